//! Compressed day files: those that another program has compressed are read like others, and never written; `seekable` has the form
//! of those that this program has packed.

use std::error::Error;
use std::fs::Metadata;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::seekable::SeekableContent;
use super::storage::StoredFile;

/// Size of a read, in bytes.
const CHUNK: usize = 64 << 10;

/// What is said of a file that is sound, and cannot be read all the same.
const FOREIGN_FORM: &str = "it is compressed with a dictionary, or with a window of more than 100 MB, which this program does not \
                            read; compress it again without -D, --long and --ultra";

/// How a day file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstandard,
    /// By this program, in the folder of the packed files.
    Seekable,
}

impl Packing {
    /// Those of other programs.
    pub(super) const ALL: [Self; 2] = [Self::Gzip, Self::Zstandard];

    /// Returns what follows the name of a day file, as `gzip` and `zstd` name their files.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstandard | Self::Seekable => ".zst",
        }
    }

    /// Returns the name of a day file without what says that it is compressed, and how it is.
    pub(super) fn of(name: &str) -> (&str, Option<Self>) {
        let packed = Self::ALL.into_iter().find_map(|packing| {
            let plain = name.strip_suffix(packing.suffix())?;
            Some((plain, Some(packing)))
        });
        packed.unwrap_or((name, None))
    }

    /// Returns the content of a compressed file, to be read from its start to its end.
    pub(super) fn unpack(self, file: Box<dyn StoredFile>) -> io::Result<Box<dyn StoredFile>> {
        if self == Self::Seekable {
            return Ok(Box::new(SeekableContent::open(file)?));
        }
        let metadata = file.metadata()?;
        // No program makes such a file, and the decoder of Zstandard takes it for an empty day.
        if metadata.len() == 0 {
            return Err(damage());
        }
        let packed = BufReader::with_capacity(CHUNK, file);
        let content: Box<dyn Read + Send> = match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstandard | Self::Seekable => Box::new(Frames::of(packed)),
        };
        Ok(Box::new(Unpacked {
            content,
            metadata,
            offset: 0,
        }))
    }
}

/// Whether an error says that what is compressed is damaged or cut off, and not that the disk could not be read.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

/// The decoders' own words are for programmers, so none of them are kept.
fn damage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "damaged or cut off")
}

/// Tells damage from an error of the disk, which comes through a decoder as it is.
fn of_decoder(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => damage(),
        _ => error,
    }
}

/// The same for the Zstandard decoder, which wraps an error of the disk, and knows what it cannot read although it is sound.
fn of_frames(error: FrameDecoderError) -> io::Error {
    use FrameDecoderError::{DictNotProvided, FailedToInitialize, WindowSizeTooBig};

    let is_too_wide = matches!(
        error,
        WindowSizeTooBig { .. }
            | FailedToInitialize(FrameHeaderError::WindowTooBig { .. })
            | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. })
    );
    if is_too_wide || matches!(error, DictNotProvided { .. }) {
        return io::Error::new(io::ErrorKind::Unsupported, FOREIGN_FORM);
    }
    let mut causes = std::iter::successors(Some(&error as &dyn Error), |error| (*error).source());
    let of_the_disk = causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    of_the_disk.map_or_else(damage, io::Error::from_raw_os_error)
}

/// The content of a compressed file.
struct Unpacked {
    content: Box<dyn Read + Send>,
    /// That of the compressed file.
    metadata: Metadata,
    offset: u64,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer).map_err(of_decoder)?;
        self.offset += length as u64;
        Ok(length)
    }
}

impl Seek for Unpacked {
    /// Only to where it is: what is compressed is read in one go.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(offset) if offset == self.offset => Ok(offset),
            _ => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

impl StoredFile for Unpacked {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.metadata.clone())
    }

    /// Whoever compressed it has removed the other file, and so has synced this one.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The frames of a Zstandard file, one behind the other (RFC 8878, section 3).
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    has_begun: bool,
}

impl<R: BufRead> Frames<R> {
    fn of(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            has_begun: false,
        }
    }

    /// Begins the next frame; returns `false` at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.has_begun = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(of_frames(error)),
            }
        }
        Ok(false)
    }

    fn is_over(&self) -> bool {
        !self.has_begun || self.decoder.is_finished() && self.decoder.can_collect() == 0
    }

    /// Compares the content of a frame with its checksum, if it has one; the decoder leaves that to its user.
    fn check(&self) -> io::Result<()> {
        let noted = self.decoder.get_checksum_from_data().filter(|_| self.has_begun);
        match noted {
            Some(noted) if self.decoder.get_calculated_checksum() != Some(noted) => Err(damage()),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 || !self.has_begun {
            if self.is_over() {
                self.check()?;
                if !self.begin()? {
                    return Ok(0);
                }
                continue;
            }
            let one_block = BlockDecodingStrategy::UptoBlocks(1);
            self.decoder
                .decode_blocks(&mut self.source, one_block)
                .map_err(of_frames)?;
        }
        self.decoder.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::test_support::packed::{gzip, zstandard};

    fn unpacked(packing: Packing, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let mut content = Vec::new();
        packing.unpack(Box::new(File::open(path)?))?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn a_file_with_any_other_bit_is_damaged_or_has_the_same_content() {
        let text: String = (0..40)
            .map(|number| format!("{{\"id\": {}}}\n", number * 7919 % 97))
            .collect();
        for packing in Packing::ALL {
            let pack = if packing == Packing::Gzip { gzip } else { zstandard };
            let whole = pack(text.as_bytes());
            for bit in 0..whole.len() * 8 {
                let mut other = whole.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                if let Ok(content) = unpacked(packing, &other) {
                    assert_eq!(content, text.as_bytes(), "{packing:?}: bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_several_parts_is_read_to_its_end() {
        let parts: [&[u8]; 3] = [b"one\n", &[b'x'; 300_000], b""];
        let whole = parts.concat();
        for packing in Packing::ALL {
            let pack = if packing == Packing::Gzip { gzip } else { zstandard };
            assert_eq!(unpacked(packing, &pack(&whole)).unwrap(), whole);
            let packed: Vec<u8> = parts.iter().flat_map(|part| pack(part)).collect();
            assert_eq!(unpacked(packing, &packed).unwrap(), whole);
            assert!(unpacked(packing, &packed[..packed.len() / 2]).is_err(), "it is cut off");
            assert!(unpacked(packing, b"").is_err(), "no program compresses to nothing");
            assert!(unpacked(packing, b"not compressed at all").is_err());
        }
    }

    #[test]
    fn damage_is_told_in_plain_words_and_apart_from_a_disk_that_fails() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(5))
            }
        }
        for packing in Packing::ALL {
            let pack = if packing == Packing::Gzip { gzip } else { zstandard };
            let whole = pack(&vec![b'x'; 300_000]);
            let mut flipped = whole.clone();
            flipped[0] ^= 0xff;
            for damaged in [
                &whole[..1],
                &whole[..whole.len() / 2],
                &whole[..whole.len() - 1],
                &flipped,
            ] {
                let error = unpacked(packing, damaged).unwrap_err();
                assert!(is_damage(&error), "{packing:?} {error}");
                assert_eq!(error.to_string(), "damaged or cut off");
            }
            let mut content: Box<dyn Read> = match packing {
                Packing::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(whole[..9].chain(Failing)))),
                Packing::Zstandard | Packing::Seekable => {
                    Box::new(Frames::of(BufReader::new(whole[..5].chain(Failing))))
                }
            };
            let error = of_decoder(content.read(&mut [0; 9]).unwrap_err());
            assert_eq!(error.raw_os_error(), Some(5), "{packing:?} {error:?}");
        }
    }

    #[test]
    fn a_sound_file_that_cannot_be_read_is_not_damaged() {
        let magic = 0xFD2F_B528_u32.to_le_bytes();
        let empty_block = [1, 0, 0];
        let wide = [&magic[..], &[0, 18 << 3], &empty_block].concat();
        let with_dictionary = [&magic[..], &[1, 0, 7], &empty_block].concat();
        for foreign in [wide, with_dictionary] {
            let error = unpacked(Packing::Zstandard, &foreign).unwrap_err();
            assert!(!is_damage(&error), "{error}");
            assert!(error.to_string().contains("compress it again"), "{error}");
        }
    }

    #[test]
    fn a_frame_that_is_to_be_skipped_is() {
        let mut packed = 0x184D_2A50_u32.to_le_bytes().to_vec();
        packed.extend(4_u32.to_le_bytes());
        packed.extend(b"note");
        packed.extend(zstandard(b"line\n"));
        assert_eq!(unpacked(Packing::Zstandard, &packed).unwrap(), b"line\n");
    }
}
