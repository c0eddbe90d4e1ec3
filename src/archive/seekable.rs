//! The form of a packed day file: the seekable format of Zstandard, which any Zstandard program reads.
//!
//! Frames of whole lines, at most 1 MiB of them each, but for a longer line, which is a frame of its own. Then a skippable frame
//! with the list of the parts, as JSON: of each plain file that was packed into it, the length and the SHA-256. Last a skippable
//! frame with the lengths of all frames, by which one is found that holds an offset.
//!
//! <https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md>

use std::fs::Metadata;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};

use super::backward_lines::MAX_LINE;
use super::storage::{StoredFile, read_at};
use crate::fs::{Hash, Sha256};

/// The longest content of a frame, in bytes, unless it is one line.
const FRAME: usize = 1 << 20;

/// A higher level needs much more time for a little less room.
const LEVEL: i32 = 9;

/// What skippable frames begin with: that of the parts, and that of the lengths, which the format names.
const PARTS_MAGIC: u32 = 0x184D_2A5D;
const TABLE_MAGIC: u32 = 0x184D_2A5E;

/// What a file ends with.
const FOOTER_MAGIC: u32 = 0x8F92_EAB1;

/// Lengths of the head of a skippable frame, of the end of the table, and of one of its entries, in bytes.
const HEAD: u64 = 8;
const FOOTER: u64 = 9;
const ENTRY: u64 = 8;

/// Read limit of the list of the parts; more than it ever has.
const MOST_PARTS_BYTES: u64 = 16 << 20;

/// Version of the list of the parts.
const VERSION: u32 = 1;

/// A plain file that was packed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackedPart {
    pub(super) bytes: u64,
    /// In hexadecimal digits, as `sha256sum` prints it.
    pub(super) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartsList {
    v: u32,
    parts: Vec<PackedPart>,
}

/// The lengths of a frame in bytes: as it is stored, and of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    stored: u32,
    content: u32,
}

/// What the end of a packed file says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    frames: Vec<Frame>,
    pub(super) parts: Vec<PackedPart>,
}

impl Contents {
    /// Returns how long the content is, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.content)).sum()
    }

    /// Returns how long the frames are, in bytes as they are stored.
    fn stored(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.stored)).sum()
    }

    /// Reads the end of a packed file.
    ///
    /// # Errors
    /// Of the kind of damage if it is none, or not whole.
    pub(super) fn read(file: &mut dyn StoredFile) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut footer = [0; FOOTER as usize];
        read_exactly(file, length.checked_sub(FOOTER), &mut footer)?;
        let count = number(&footer[..4]);
        if number(&footer[5..]) != FOOTER_MAGIC || footer[4] != 0 {
            return Err(damage());
        }
        let table = HEAD + u64::from(count) * ENTRY + FOOTER;
        let table_start = length.checked_sub(table).ok_or_else(damage)?;
        let mut entries = vec![0; (table - FOOTER) as usize];
        read_exactly(file, Some(table_start), &mut entries)?;
        if number(&entries[..4]) != TABLE_MAGIC || u64::from(number(&entries[4..8])) != table - HEAD {
            return Err(damage());
        }
        let frames = entries[HEAD as usize..]
            .chunks_exact(ENTRY as usize)
            .map(|entry| Frame {
                stored: number(&entry[..4]),
                content: number(&entry[4..]),
            });
        let mut contents = Self {
            frames: frames.collect(),
            parts: Vec::new(),
        };
        contents.parts = read_parts(file, contents.stored(), table_start)?;
        let of_parts: u64 = contents.parts.iter().map(|part| part.bytes).sum();
        if of_parts == contents.length() {
            Ok(contents)
        } else {
            Err(damage())
        }
    }
}

/// Reads the frame with the list of the parts, which stands between these offsets.
fn read_parts(file: &mut dyn StoredFile, start: u64, end: u64) -> io::Result<Vec<PackedPart>> {
    let length = end
        .checked_sub(start + HEAD)
        .filter(|length| *length <= MOST_PARTS_BYTES);
    let mut bytes = vec![0; (HEAD + length.ok_or_else(damage)?) as usize];
    read_exactly(file, Some(start), &mut bytes)?;
    let (head, text) = bytes.split_at(HEAD as usize);
    if number(&head[..4]) != PARTS_MAGIC || number(&head[4..]) as usize != text.len() {
        return Err(damage());
    }
    let list: PartsList = serde_json::from_slice(text).map_err(|_| damage())?;
    if list.v == VERSION {
        return Ok(list.parts);
    }
    let problem = format!(
        "it is of version {}, and this program knows {VERSION}: update it",
        list.v
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, problem))
}

fn read_exactly(file: &mut dyn StoredFile, offset: Option<u64>, bytes: &mut [u8]) -> io::Result<()> {
    let offset = offset.ok_or_else(damage)?;
    read_at(file, offset, bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damage(),
        _ => error,
    })
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn damage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "damaged or cut off")
}

/// The content of a packed file, which can be read from any offset on.
pub(super) struct SeekableContent {
    file: Box<dyn StoredFile>,
    contents: Contents,
    decompressor: Decompressor<'static>,
    /// The content of the frame that was read last.
    frame: Vec<u8>,
    /// Where that begins, in bytes of the content.
    frame_start: u64,
    /// Which frame is the next, and where it is stored.
    next: usize,
    next_stored: u64,
    /// Where is read, in bytes of the content.
    position: u64,
}

impl SeekableContent {
    /// Opens a packed file.
    ///
    /// # Errors
    /// Those of [`Contents::read`].
    pub(super) fn open(mut file: Box<dyn StoredFile>) -> io::Result<Self> {
        Ok(Self {
            contents: Contents::read(file.as_mut())?,
            file,
            decompressor: Decompressor::new()?,
            frame: Vec::new(),
            frame_start: 0,
            next: 0,
            next_stored: 0,
            position: 0,
        })
    }

    fn frame_end(&self) -> u64 {
        self.frame_start + self.frame.len() as u64
    }

    /// Goes to the frame that holds the position, or to the end of the file; it is read next.
    fn find_frame(&mut self) {
        self.frame.clear();
        (self.frame_start, self.next, self.next_stored) = (0, 0, 0);
        for frame in &self.contents.frames {
            if self.position < self.frame_start + u64::from(frame.content) {
                break;
            }
            self.frame_start += u64::from(frame.content);
            self.next_stored += u64::from(frame.stored);
            self.next += 1;
        }
    }

    /// Reads the next frame; returns `false` at the end of the file.
    fn read_frame(&mut self) -> io::Result<bool> {
        let Some(Frame { stored, content }) = self.contents.frames.get(self.next).copied() else {
            return Ok(false);
        };
        if u64::from(content) > MAX_LINE.max(FRAME as u64) + 1 {
            return Err(damage());
        }
        let mut bytes = vec![0; stored as usize];
        read_exactly(self.file.as_mut(), Some(self.next_stored), &mut bytes)?;
        let start = self.frame_end();
        let unpacked = self.decompressor.decompress(&bytes, content as usize);
        self.frame = unpacked.map_err(|_| damage())?;
        if self.frame.len() != content as usize {
            return Err(damage());
        }
        self.frame_start = start;
        self.next += 1;
        self.next_stored += u64::from(stored);
        Ok(true)
    }
}

impl Read for SeekableContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position < self.frame_start || self.position > self.frame_end() {
            self.find_frame();
        }
        while self.position >= self.frame_end() {
            if !self.read_frame()? {
                return Ok(0);
            }
        }
        let rest = &self.frame[(self.position - self.frame_start) as usize..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for SeekableContent {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.contents.length().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl StoredFile for SeekableContent {
    /// That of the packed file.
    fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Why a file is not packed.
#[derive(Debug)]
pub(super) enum Unpackable {
    /// It cannot be read, or the packed one not be written.
    Io(io::Error),
    /// Its last line has no newline.
    Torn,
    /// A line is longer than any record.
    TooLong,
}

impl From<io::Error> for Unpackable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes a packed file.
pub(super) struct SeekableWriter<W> {
    to: W,
    contents: Contents,
    compressor: Compressor<'static>,
}

impl<W: Write> SeekableWriter<W> {
    pub(super) fn new(to: W) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.include_contentsize(true)?;
        let contents = Contents {
            frames: Vec::new(),
            parts: Vec::new(),
        };
        Ok(Self {
            to,
            contents,
            compressor,
        })
    }

    /// Copies the frames and the parts of another packed file, as they are stored.
    pub(super) fn copy(&mut self, file: &mut dyn StoredFile) -> io::Result<()> {
        let contents = Contents::read(file)?;
        file.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut file.take(contents.stored()), &mut self.to)?;
        if copied != contents.stored() {
            return Err(damage());
        }
        self.contents.frames.extend(contents.frames);
        self.contents.parts.extend(contents.parts);
        Ok(())
    }

    /// Adds all of a plain file as a part.
    pub(super) fn add(&mut self, source: impl Read) -> Result<(), Unpackable> {
        let mut source = BufReader::with_capacity(FRAME, source);
        let (mut hash, mut bytes, mut lines) = (Sha256::new(), 0, Vec::new());
        loop {
            let end = lines.len();
            read_line(&mut source, &mut lines)?;
            let read = lines.len() - end;
            if (read == 0 || lines.len() > FRAME) && end > 0 {
                self.frame(&lines[..end])?;
                lines.drain(..end);
            }
            if read == 0 {
                break;
            }
            hash.update(&lines[lines.len() - read..]);
            bytes += read as u64;
        }
        let sha256 = hash.finish().digits();
        self.contents.parts.push(PackedPart { bytes, sha256 });
        Ok(())
    }

    fn frame(&mut self, lines: &[u8]) -> io::Result<()> {
        let stored = self.compressor.compress(lines)?;
        self.to.write_all(&stored)?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        self.contents.frames.push(Frame {
            stored: length(&stored)?,
            content: length(lines)?,
        });
        Ok(())
    }

    /// Writes the end, and returns what it was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let list = PartsList {
            v: VERSION,
            parts: self.contents.parts,
        };
        let text = serde_json::to_vec(&list)?;
        self.to.write_all(&skippable(PARTS_MAGIC, &text)?)?;
        let mut table = Vec::new();
        for frame in &self.contents.frames {
            table.extend(frame.stored.to_le_bytes());
            table.extend(frame.content.to_le_bytes());
        }
        let count = u32::try_from(self.contents.frames.len()).map_err(io::Error::other)?;
        table.extend(count.to_le_bytes());
        table.push(0);
        table.extend(FOOTER_MAGIC.to_le_bytes());
        self.to.write_all(&skippable(TABLE_MAGIC, &table)?)?;
        Ok(self.to)
    }
}

/// Says why a plain file cannot be packed.
pub(super) fn check(source: impl Read) -> Result<(), Unpackable> {
    let mut source = BufReader::with_capacity(FRAME, source);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !read_line(&mut source, &mut line)? {
            return Ok(());
        }
    }
}

/// Adds the next line; returns whether there is one.
fn read_line(source: &mut impl BufRead, lines: &mut Vec<u8>) -> Result<bool, Unpackable> {
    let read = source.take(MAX_LINE + 1).read_until(b'\n', lines)?;
    match lines.last() {
        _ if read == 0 => Ok(false),
        Some(b'\n') => Ok(true),
        _ if read as u64 > MAX_LINE => Err(Unpackable::TooLong),
        _ => Err(Unpackable::Torn),
    }
}

fn skippable(magic: u32, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(bytes.len() + HEAD as usize);
    frame.extend(magic.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend(bytes);
    Ok(frame)
}

/// Returns the hash of what is left of a source.
pub(super) fn hash_of(source: &mut dyn StoredFile) -> io::Result<Hash> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; FRAME]);
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return Ok(hash.finish()),
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Packs these parts.
#[cfg(test)]
pub(crate) fn packed(parts: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut writer = SeekableWriter::new(Vec::new()).unwrap();
    parts.iter().for_each(|part| writer.add(part.as_ref()).unwrap());
    writer.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn open(bytes: &[u8]) -> io::Result<SeekableContent> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        SeekableContent::open(Box::new(File::open(path)?))
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        open(bytes)?.read_to_end(&mut content)?;
        Ok(content)
    }

    /// Lines of about these lengths, in KiB, which do not compress to nothing.
    fn lines(lengths: &[usize]) -> Vec<u8> {
        let line = |(number, length): (usize, &usize)| {
            let text: String = (0..length * 64).map(|n| format!("{:016}", n * 7919 + number)).collect();
            format!("{number}{text}\n")
        };
        let text: String = lengths.iter().enumerate().map(line).collect();
        text.into_bytes()
    }

    #[test]
    fn frames_end_at_newlines_and_a_line_that_is_longer_is_one_of_its_own() {
        let content = lines(&[300, 300, 300, 300, 1500, 10, 10]);
        let bytes = packed(&[&content]);
        let mut opened = open(&bytes).unwrap();
        let mut start = 0;
        let mut lengths = Vec::new();
        for frame in opened.contents.frames.clone() {
            start += frame.content as usize;
            assert_eq!(content[start - 1], b'\n');
            lengths.push(frame.content as usize >> 10);
        }
        assert_eq!((start, lengths), (content.len(), vec![900, 300, 1500, 20]));
        let mut all = Vec::new();
        opened.read_to_end(&mut all).unwrap();
        assert!(all == content);
    }

    #[test]
    fn a_file_with_any_other_bit_is_damaged_or_has_the_same_content() {
        let content = lines(&[0, 0, 0]);
        let whole = packed(&[&content[..], b"late\n"]);
        let expected = [&content[..], b"late\n"].concat();
        assert_eq!(unpacked(&whole).unwrap(), expected);
        for bit in 0..whole.len() * 8 {
            let mut other = whole.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            match unpacked(&other) {
                Ok(content) => assert_eq!(content, expected, "bit {bit}"),
                Err(error) => assert!(
                    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Unsupported),
                    "bit {bit}: {error}"
                ),
            }
        }
        for cut in 0..whole.len() {
            assert!(unpacked(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_torn_last_line_is_not_packed() {
        let mut writer = SeekableWriter::new(Vec::new()).unwrap();
        assert!(matches!(writer.add(&b"one\ntw"[..]), Err(Unpackable::Torn)));
    }

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn it_is_read_from_any_offset_and_its_parts_are_told(
            parts in prop::collection::vec(prop::collection::vec(0_usize..400, 0..6), 1..4),
            seeks in prop::collection::vec((0_usize..1 << 21, 1_usize..1 << 20), 0..6),
        ) {
            let parts: Vec<_> = parts.iter().map(|part| lines(part)).collect();
            let content = parts.concat();
            let mut writer = SeekableWriter::new(Vec::new()).unwrap();
            writer.add(&parts[0][..]).unwrap();
            let mut bytes = writer.finish().unwrap();
            for part in &parts[1..] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("file");
                std::fs::write(&path, &bytes).unwrap();
                let mut writer = SeekableWriter::new(Vec::new()).unwrap();
                writer.copy(&mut File::open(path).unwrap()).unwrap();
                writer.add(&part[..]).unwrap();
                bytes = writer.finish().unwrap();
            }
            let mut opened = open(&bytes).unwrap();
            prop_assert_eq!(opened.contents.length(), content.len() as u64);
            let told: Vec<_> = opened.contents.parts.iter().map(|part| part.bytes).collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len() as u64).collect();
            prop_assert_eq!(told, lengths);
            for (offset, length) in seeks {
                opened.seek(SeekFrom::Start(offset as u64)).unwrap();
                let mut read = Vec::new();
                opened.by_ref().take(length as u64).read_to_end(&mut read).unwrap();
                let from = offset.min(content.len());
                prop_assert!(read == content[from..(from + length).min(content.len())]);
            }
        }
    }
}
