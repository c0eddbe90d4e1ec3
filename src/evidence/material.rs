//! What is sealed, as it stands on disk: the files of a day, or a file of the state folder.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use chrono::NaiveDate;

use super::hasher::{Hashed, Hasher};
use super::tree::{Hash, Tree, sha256};
use crate::archive::{DayFile, FileStamp, LineCounter, Listing, StateFile};
use crate::fs::FileError;

/// So many bytes before what is new are compared with what stood there.
const COMPARED: u64 = 4096;

/// A first and a last line.
pub(super) type Ends = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The most of a last line that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// The files that make up one content: of a day, what another program has compressed comes first.
#[derive(Debug)]
pub(super) enum Material {
    Day(Vec<DayFile>),
    State(StateFile),
}

impl Material {
    /// Returns the files of a day. Every form of it has to hold the same: people and agents read the one or the other.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub(super) fn of_day(
        listing: &Listing,
        date: NaiveDate,
        counter: &mut LineCounter,
    ) -> Result<Result<Self, String>, FileError> {
        if let Some(path) = listing.odd.get(&date) {
            let problem = format!("{} is no regular file", path.display());
            return Ok(Err(problem));
        }
        if let Some(unread) = listing.unread.get(&date) {
            let problem = format!("the day has two compressed files, {} among them", unread.name());
            return Ok(Err(problem));
        }
        let parts = listing.parts_of(date, counter)?;
        if let Some((_, error)) = parts.unreadable
            && parts.plain.is_none()
        {
            return Err(error);
        }
        let files: Vec<_> = parts.packed.into_iter().chain(parts.plain).collect();
        let (plain, packed) = (listing.days.get(date), listing.packed.get(&date));
        // Of what this program has packed the listing has only what is needed.
        if let (Some(plain), Some(packed), [_]) = (plain, packed, &files[..])
            && !is_copy(&plain, packed)?
        {
            let problem = format!("{} holds something else than {}", packed.name(), plain.name());
            return Ok(Err(problem));
        }
        Ok(Ok(Self::Day(files)))
    }

    /// Returns what tells whether it was written to since; nothing if a file is missing.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub(super) fn stamps(&self) -> Result<Vec<FileStamp>, FileError> {
        match self {
            Self::Day(files) => files.iter().map(DayFile::stamp).collect(),
            Self::State(file) => Ok(file.stamp()?.into_iter().collect()),
        }
    }

    /// Has all of it on disk: a run that was killed has not synced what it wrote, and a power cut takes that away.
    ///
    /// # Errors
    /// If a file cannot be synced.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        match self {
            Self::Day(files) => files.iter().try_for_each(DayFile::sync),
            Self::State(file) => file.sync(),
        }
    }

    /// Returns whether it is a day that this program has packed.
    pub(super) fn is_packed(&self) -> bool {
        match self {
            Self::Day(files) => files.first().is_some_and(DayFile::is_packed_by_us),
            Self::State(_) => false,
        }
    }

    /// Returns how long its files are, in bytes as they are stored.
    ///
    /// # Errors
    /// If one is missing.
    pub(super) fn length(&self) -> Result<u64, FileError> {
        match self {
            Self::Day(files) => files.iter().map(DayFile::length).sum(),
            Self::State(file) => Ok(file.length().unwrap_or(0)),
        }
    }

    /// Returns the length of the whole lines in the part that this program writes, in bytes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn plain_bytes(&self) -> Result<u64, FileError> {
        match self {
            Self::Day(files) => {
                let plain = files.iter().filter(|file| !file.is_packed());
                plain.map(DayFile::end_of_lines).sum()
            }
            Self::State(_) => Ok(0),
        }
    }

    /// Hashes the lines behind those of a tree, which end at this byte; the content up to each of the `wanted` lines is noted.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn hash(
        &self,
        behind: Tree,
        bytes: u64,
        wanted: &[u64],
        mut progress: impl FnMut(u64),
    ) -> Result<Hashed, FileError> {
        let mut hasher = Hasher::behind(behind, bytes, wanted);
        match self {
            // Only one that is alone can be read from within.
            Self::Day(files) => {
                for file in files {
                    let content = file.open_at(bytes)?;
                    hasher
                        .read(content, &mut progress)
                        .map_err(|cause| file.unreadable(cause))?;
                }
            }
            Self::State(file) => {
                let failed = |cause| FileError::io("read", file.path(), cause);
                if let Some(mut content) = file.open()? {
                    content.seek(SeekFrom::Start(bytes)).map_err(failed)?;
                    hasher.read(content.by_ref(), &mut progress).map_err(failed)?;
                }
            }
        }
        Ok(hasher.finish())
    }

    /// Returns the hash of the bytes just before an offset of a file that can be read from within, which end with a newline; `None`
    /// if they do not.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn hash_before(&self, end: u64) -> Result<Option<Hash>, FileError> {
        let start = end.saturating_sub(COMPARED);
        let mut bytes = Vec::new();
        match self {
            Self::Day(files) => {
                let Some(file) = files.first() else { return Ok(None) };
                let read = file.open_at(start)?.take(end - start).read_to_end(&mut bytes);
                read.map_err(|cause| file.unreadable(cause))?;
            }
            Self::State(file) => {
                let failed = |cause| FileError::io("read", file.path(), cause);
                let Some(mut content) = file.open()? else {
                    return Ok(None);
                };
                content.seek(SeekFrom::Start(start)).map_err(failed)?;
                content.take(end - start).read_to_end(&mut bytes).map_err(failed)?;
            }
        }
        let is_whole = bytes.len() as u64 == end - start && bytes.last().is_none_or(|last| *last == b'\n');
        Ok(is_whole.then(|| sha256(&bytes)))
    }

    /// Passes its whole lines to `visit`, without their newlines, until it says that it has enough.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn lines(&self, mut visit: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), FileError> {
        let mut split = Split::default();
        match self {
            Self::Day(files) => {
                for file in files {
                    let read = split.read(file.open_at(0)?, &mut visit);
                    if read.map_err(|cause| file.unreadable(cause))?.is_break() {
                        break;
                    }
                }
            }
            Self::State(file) => {
                if let Some(content) = file.open()? {
                    let read = split.read(content, &mut visit);
                    let _ = read.map_err(|cause| FileError::io("read", file.path(), cause))?;
                }
            }
        }
        Ok(())
    }

    /// Returns its first and its last whole line, of a day.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn ends(&self) -> Result<Ends, FileError> {
        let Self::Day(files) = self else {
            return Ok((None, None));
        };
        let first = files.first().map(DayFile::first_line).transpose()?.flatten();
        let last = match files.last() {
            // It cannot be read from its end.
            Some(file) if file.is_packed() => self.last_line()?,
            Some(file) => file.line_before(file.end_of_lines()?, LONGEST)?,
            None => None,
        };
        Ok((first, last))
    }

    fn last_line(&self) -> Result<Option<Vec<u8>>, FileError> {
        let mut last = None;
        self.lines(|line| {
            last = Some(line.to_owned());
            ControlFlow::Continue(())
        })?;
        Ok(last)
    }

    /// Returns whether it can be read from within: it is one file that is not compressed.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Day(files) => matches!(&files[..], [file] if !file.is_packed()),
            Self::State(_) => true,
        }
    }
}

/// Returns whether the shorter one of two files of a day is how the longer one begins: one is, or will be, a copy of the other. What
/// cannot be unpacked may still be written, and is compared as far as it goes.
fn is_copy(plain: &DayFile, packed: &DayFile) -> Result<bool, FileError> {
    let mut one = BufReader::with_capacity(1 << 16, plain.open_at(0)?);
    let mut other = match packed.open_at(0) {
        Err(error) if error.is_damaged() => return Ok(true),
        opened => BufReader::with_capacity(1 << 16, opened?),
    };
    loop {
        let read = one.fill_buf().map_err(|cause| plain.unreadable(cause))?;
        let unpacked = match other.fill_buf().map_err(|cause| packed.unreadable(cause)) {
            Err(error) if error.is_damaged() => return Ok(true),
            unpacked => unpacked?,
        };
        let length = read.len().min(unpacked.len());
        if length == 0 || read[..length] != unpacked[..length] {
            return Ok(length == 0);
        }
        one.consume(length);
        other.consume(length);
    }
}

/// Splits what is read into lines.
#[derive(Default)]
struct Split {
    /// A line whose end is still to be read.
    line: Vec<u8>,
}

impl Split {
    fn read(
        &mut self,
        source: impl Read,
        visit: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut source = BufReader::with_capacity(1 << 20, source);
        loop {
            source.read_until(b'\n', &mut self.line)?;
            let Some((b'\n', line)) = self.line.split_last() else {
                return Ok(ControlFlow::Continue(()));
            };
            if visit(line).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.line.clear();
        }
    }
}
