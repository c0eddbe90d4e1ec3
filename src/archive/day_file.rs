//! Reads a day file: line by line, a range of whole lines, or its end.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;

use super::backward_lines::{BackwardLines, MAX_LINE, end_of_last_line};
use super::file_stamp::{FileStamp, SHORTER};
use super::lines::Lines;
use super::packed::{Packing, is_damage};
use super::seekable::Contents;
use super::storage::{Storage, StoredFile, read_at};
use crate::fs::{FileError, count_names, folder_of};

/// Size of a read where lines are only counted or skipped, in bytes.
const CHUNK: usize = 256 << 10;

/// The folder inside a catalog for the day files that this program has packed: agents do not look there.
pub(crate) const PACKED_FOLDER: &str = "packed";

/// A day file and the storage that holds it.
#[derive(Clone)]
pub(crate) struct DayFile {
    /// The UTC day of its records.
    pub(crate) date: NaiveDate,
    pub(crate) path: PathBuf,
    /// How it is compressed, if it is.
    packing: Option<Packing>,
    listed: Listed,
    storage: Arc<dyn Storage>,
}

/// What the day of a file was when it was listed: what is opened later has to be of that form, since other bytes of the day take its
/// name when the day is packed or unpacked.
#[derive(Clone, Copy, Debug, Default)]
enum Listed {
    /// It was not, or cannot be compared.
    #[default]
    Unknown,
    /// A plain file without one that this program has packed.
    Alone,
    /// A plain file beside a packed one, and where its first byte stands in the day.
    Beside {
        own: FileStamp,
        packed: FileStamp,
        base: u64,
    },
    /// One that this program has packed, and, if a plain one goes on behind it, where.
    Packed { own: FileStamp, end: Option<u64> },
}

/// What was read from a day file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadRange {
    /// Whole lines, or nothing if only a torn line is left.
    Whole,
    /// A line longer than any record, of this many bytes with its newline. It was skipped.
    TooLong(u64),
}

impl DayFile {
    pub(super) fn new(date: NaiveDate, path: PathBuf, storage: Arc<dyn Storage>) -> Self {
        Self {
            date,
            path,
            packing: None,
            listed: Listed::Unknown,
            storage,
        }
    }

    /// Returns the compressed file that can be in its place.
    pub(super) fn packed(&self, packing: Packing) -> Self {
        let mut path = self.path.clone().into_os_string();
        path.push(packing.suffix());
        Self {
            path: path.into(),
            packing: Some(packing),
            listed: Listed::Unknown,
            ..self.clone()
        }
    }

    /// Returns the same under another path.
    pub(super) fn at(&self, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            listed: Listed::Unknown,
            ..self.clone()
        }
    }

    /// Returns the file that this program packs it into.
    pub(super) fn packed_by_us(&self) -> Self {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(Packing::Seekable.suffix());
        Self {
            path: folder_of(&self.path).join(PACKED_FOLDER).join(name),
            packing: Some(Packing::Seekable),
            listed: Listed::Unknown,
            ..self.clone()
        }
    }

    /// Returns the file that it was before it was compressed.
    pub(super) fn plain(&self) -> Self {
        let path = self.path.with_extension("");
        let path = match self.packing {
            None => self.path.clone(),
            Some(Packing::Seekable) => folder_of(folder_of(&path)).join(path.file_name().unwrap_or_default()),
            Some(_) => path,
        };
        Self {
            path,
            packing: None,
            listed: Listed::Unknown,
            ..self.clone()
        }
    }

    /// Returns the same as a plain file that has none beside it which this program has packed.
    pub(super) fn listed_alone(self) -> Self {
        let listed = Listed::Alone;
        Self { listed, ..self }
    }

    /// Returns the same as a file that this program has packed, as it is now.
    ///
    /// # Errors
    /// If it is missing, or its folder cannot be read.
    pub(super) fn listed_packed(self) -> Result<Self, FileError> {
        let (own, end) = (self.stamp()?, None);
        let listed = Listed::Packed { own, end };
        Ok(Self { listed, ..self })
    }

    /// Returns the same as a packed file behind which a plain one goes on at this offset of the day.
    pub(super) fn gone_on_at(self, offset: u64) -> Self {
        let listed = match self.listed {
            Listed::Packed { own, .. } => Listed::Packed { own, end: Some(offset) },
            other => other,
        };
        Self { listed, ..self }
    }

    /// Returns the same as a plain file beside this packed one; its first byte stands at `base` in the day.
    ///
    /// # Errors
    /// If one is missing, or a folder cannot be read.
    pub(super) fn listed_beside(self, packed: &Self, base: u64) -> Result<Self, FileError> {
        let packed = match packed.listed {
            Listed::Packed { own, .. } => own,
            _ => packed.stamp()?,
        };
        let own = self.stamp()?;
        let listed = Listed::Beside { own, packed, base };
        Ok(Self { listed, ..self })
    }

    /// Returns where its first byte stands in the day.
    pub(super) fn base(&self) -> u64 {
        match self.listed {
            Listed::Beside { base, .. } => base,
            Listed::Unknown | Listed::Alone | Listed::Packed { .. } => 0,
        }
    }

    /// Returns where its content ended in the day, if another file goes on there.
    pub(super) fn goes_on_at(&self) -> Option<u64> {
        match self.listed {
            Listed::Packed { end, .. } => end,
            Listed::Unknown | Listed::Alone | Listed::Beside { .. } => None,
        }
    }

    /// Returns what is in its place if it was compressed or unpacked.
    pub(crate) fn in_other_form(&self) -> Option<Self> {
        let forms = match self.packing {
            None => {
                let of_others = Packing::ALL.map(|packing| self.packed(packing));
                [self.packed_by_us()].into_iter().chain(of_others).collect()
            }
            Some(_) => vec![self.plain()],
        };
        let is_there = |file: &Self| file.metadata().is_ok_and(|found| found.is_file());
        forms.into_iter().find(is_there)
    }

    /// Returns its name, with its folder if that is the one of the packed files.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if self.is_packed_by_us() {
            format!("{PACKED_FOLDER}/{name}")
        } else {
            name.into_owned()
        }
    }

    /// Returns whether it is compressed, by whatever program.
    pub(crate) fn is_packed(&self) -> bool {
        self.packing.is_some()
    }

    /// Returns whether this program has compressed it: then it can be read from within.
    pub(crate) fn is_packed_by_us(&self) -> bool {
        self.packing == Some(Packing::Seekable)
    }

    /// Returns what a file that this program has packed says of its content.
    ///
    /// # Errors
    /// If it cannot be read; [`FileError::Damaged`] if it is not whole.
    pub(super) fn contents(&self) -> Result<Contents, FileError> {
        Contents::read(self.stored()?.as_mut()).map_err(|cause| self.unreadable(cause))
    }

    /// Opens it for reading: one that is compressed from its start to its end. Errors if it is not a regular file.
    pub(super) fn open(&self) -> Result<Box<dyn StoredFile>, FileError> {
        let file = self.stored()?;
        match self.packing {
            None => Ok(file),
            Some(packing) => packing.unpack(file).map_err(|cause| self.unreadable(cause)),
        }
    }

    /// Opens it for reading from this offset of its content, in bytes.
    ///
    /// # Errors
    /// If it cannot be read, or is not a regular file.
    pub(crate) fn open_at(&self, offset: u64) -> Result<Box<dyn StoredFile>, FileError> {
        let mut file = self.open()?;
        let moved = match self.packing {
            None => file.seek(SeekFrom::Start(offset)),
            Some(Packing::Seekable) => file.seek(SeekFrom::Start(offset)),
            Some(_) => io::copy(&mut file.as_mut().take(offset), &mut io::sink()),
        };
        moved.map_err(|cause| self.unreadable(cause))?;
        Ok(file)
    }

    /// Opens it for reading as it is stored: one that is compressed is not unpacked.
    ///
    /// # Errors
    /// If it cannot be read, or is no regular file; as if it were missing, if its day was packed or unpacked since it was listed.
    pub(super) fn stored(&self) -> Result<Box<dyn StoredFile>, FileError> {
        let file = self.storage.read(&self.path)?;
        let now = || {
            let metadata = file.metadata().map_err(|cause| self.unreadable(cause))?;
            Ok(FileStamp::of(&metadata))
        };
        if self.is_as_listed(now)? {
            return Ok(file);
        }
        let moved = "its day was packed or unpacked meanwhile";
        let cause = io::Error::new(io::ErrorKind::NotFound, moved);
        Err(FileError::io("read", &self.path, cause))
    }

    /// Returns whether what is open, and is `now` so, holds the bytes of the day for which it was listed.
    fn is_as_listed(&self, now: impl FnOnce() -> Result<FileStamp, FileError>) -> Result<bool, FileError> {
        Ok(match &self.listed {
            Listed::Unknown => true,
            // The packed file gets its name before this one is removed.
            Listed::Alone => self.packed_by_us().metadata().is_err(),
            Listed::Beside { own, packed, .. } => {
                let is_packed = || self.packed_by_us().stamp().is_ok_and(|stamp| stamp == *packed);
                own.can_have_grown_to(&now()?) && is_packed()
            }
            Listed::Packed { own, .. } => *own == now()?,
        })
    }

    /// Returns whether it is another name for the same file, as both were listed.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let stamp = |file: &Self| match file.listed {
            Listed::Packed { own, .. } => Some(own),
            Listed::Unknown | Listed::Alone | Listed::Beside { .. } => None,
        };
        self.path == other.path && stamp(self) == stamp(other)
    }

    /// Returns whether it is no longer there as it was when it was listed.
    pub(super) fn has_moved(&self) -> bool {
        self.stored().is_err_and(|error| error.is_missing())
    }

    /// Returns what tells whether it was written to since.
    ///
    /// # Errors
    /// If it is missing, or its folder cannot be read.
    pub(crate) fn stamp(&self) -> Result<FileStamp, FileError> {
        Ok(FileStamp::of(&self.metadata()?))
    }

    /// Syncs what was written to it, and its name: see [`Storage::sync_with_name`].
    ///
    /// # Errors
    /// If it cannot be synced.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.storage.sync_with_name(&self.path)
    }

    /// Passes the first `length` bytes of it to `visit`, as they are stored, until it says that it has enough.
    ///
    /// # Errors
    /// If the file cannot be read, or is not that of the stamp, grown or not.
    pub(crate) fn read_stored(
        &self,
        stamp: &FileStamp,
        length: u64,
        mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        let failed = |cause| self.unreadable(cause);
        let (mut stored, mut chunk, mut left) = (self.stored()?, vec![0; CHUNK], length);
        while left > 0 {
            let read = read_some(&mut stored.as_mut().take(left), &mut chunk).map_err(failed)?;
            if read == 0 {
                break;
            }
            left -= read as u64;
            if visit(&chunk[..read]).is_break() {
                return Ok(());
            }
        }
        let now = FileStamp::of(&stored.metadata().map_err(failed)?);
        let loss = stamp.loss_until(&now).or((left > 0).then_some(SHORTER));
        loss.map_or(Ok(()), |loss| Err(failed(io::Error::other(loss))))
    }

    /// Returns its metadata, without opening it.
    pub(super) fn metadata(&self) -> Result<Metadata, FileError> {
        self.storage.metadata(&self.path)
    }

    /// Returns its size in bytes.
    ///
    /// # Errors
    /// If it is missing, or its folder cannot be read.
    pub(crate) fn length(&self) -> Result<u64, FileError> {
        Ok(self.metadata()?.len())
    }

    /// Returns whether it has more than one name, so that it can be written to through another one.
    ///
    /// # Errors
    /// If it is missing, or its folder cannot be read.
    pub(crate) fn has_other_names(&self) -> Result<bool, FileError> {
        Ok(count_names(&self.metadata()?).is_some_and(|names| names > 1))
    }

    /// Passes the whole lines that are UTF-8 to `visit` and returns how many lines were not. A torn line at the end is
    /// ignored: another program may be writing it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn lines(&self, mut visit: impl FnMut(&str)) -> Result<u64, FileError> {
        let mut unreadable = 0;
        let mut lines = Lines::of(self.open()?);
        while let Some(line) = lines.next().map_err(|cause| self.unreadable(cause))? {
            match std::str::from_utf8(line.bytes) {
                Ok(text) if line.ended => visit(text),
                Ok(_) => {}
                Err(_) => unreadable += 1,
            }
        }
        Ok(unreadable)
    }

    /// Returns the first result of `read` for the whole lines from `start` on. A line must begin at `start`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn first_behind<T>(
        &self,
        start: u64,
        mut read: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<T>, FileError> {
        let failed = |cause| self.unreadable(cause);
        let mut lines = Lines::of(self.open_at(start)?);
        while let Some(line) = lines.next().map_err(failed)? {
            let text = str::from_utf8(line.bytes).ok().filter(|_| line.ended);
            if let Some(found) = text.and_then(&mut read) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the last result of `read` for the lines before `end`. A line must end at `end`. No more of the file is
    /// read than needed; one that is compressed can only be read from its start.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn last_before<T>(
        &self,
        end: u64,
        mut read: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<T>, FileError> {
        let failed = |cause| self.unreadable(cause);
        let mut file = self.open()?;
        if self.is_packed() && !self.is_packed_by_us() {
            return last_in(file.take(end), read).map_err(failed);
        }
        let mut lines = BackwardLines::before(file.as_mut(), end);
        while let Some(line) = lines.next_line().map_err(failed)? {
            if let Some(found) = str::from_utf8(&line.bytes).ok().and_then(&mut read) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns where its last whole line ends, in bytes. What follows may still be written to.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn end_of_lines(&self) -> Result<u64, FileError> {
        let mut file = self.open()?;
        let end = file.seek(SeekFrom::End(0));
        end.and_then(|end| end_of_last_line(file.as_mut(), end))
            .map_err(|cause| self.unreadable(cause))
    }

    /// Returns what it is, and how much of it can be read, in bytes as it is stored: to the end of its last line, which has a newline or
    /// is one for which `is_whole` says so, or all of one that is compressed. What follows may still be written to.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn extent(&self, is_whole: impl FnOnce(&str) -> bool) -> Result<(FileStamp, u64), FileError> {
        let failed = |cause| self.unreadable(cause);
        let mut file = self.stored()?;
        let stamp = FileStamp::of(&file.metadata().map_err(failed)?);
        if self.is_packed() {
            return Ok((stamp, stamp.length));
        }
        let end = end_of_last_line(file.as_mut(), stamp.length).map_err(failed)?;
        let mut last = vec![0; (stamp.length - end).min(MAX_LINE) as usize];
        read_at(file.as_mut(), end, &mut last).map_err(failed)?;
        let is_whole = !last.is_empty() && str::from_utf8(&last).is_ok_and(is_whole);
        Ok((stamp, if is_whole { stamp.length } else { end }))
    }

    /// Returns the line that ends just before `end`, with its newline, or the last `most` bytes of a longer one; `None` if
    /// no line ends there, as past the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn line_before(&self, end: u64, most: usize) -> Result<Option<Vec<u8>>, FileError> {
        if !self.is_packed() && end > self.length()? {
            return Ok(None);
        }
        let start = end.saturating_sub(most as u64);
        let mut bytes = Vec::new();
        let read = self.open_at(start)?.take(end - start).read_to_end(&mut bytes);
        if (read.map_err(|cause| self.unreadable(cause))? as u64) < end - start {
            return Ok(None);
        }
        let Some((b'\n', text)) = bytes.split_last() else {
            return Ok(None);
        };
        let line = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
        Ok(Some(bytes.split_off(line)))
    }

    /// Returns the first whole line of its content, in bytes; `None` if there is none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn first_line(&self) -> Result<Option<Vec<u8>>, FileError> {
        let mut lines = Lines::of(self.open()?);
        let line = lines.next().map_err(|cause| self.unreadable(cause))?;
        Ok(line.filter(|line| line.ended).map(|line| line.bytes.to_vec()))
    }

    /// Counts the newlines from `start` on.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn count_lines_from(&self, start: u64) -> Result<u64, FileError> {
        let mut file = self.open_at(start)?;
        count_newlines(file.as_mut()).map_err(|cause| self.unreadable(cause))
    }

    /// Appends whole lines from `start` on to `text`: about `room` bytes, but at least one line if there is one. Also
    /// returns up to which length the file is on disk; it is synced if the lines reach past `synced`, and with the first lines its name.
    ///
    /// # Errors
    /// If the file cannot be read or synced.
    pub(crate) fn read_whole_lines(
        &self,
        start: u64,
        room: usize,
        synced: u64,
        text: &mut Vec<u8>,
    ) -> Result<(ReadRange, u64), FileError> {
        let failed = |cause| self.unreadable(cause);
        let mut file = self.open()?;
        let length = file.metadata().map_err(failed)?.len();
        if length <= start {
            return Ok((ReadRange::Whole, synced));
        }
        let before = text.len();
        text.reserve(room.min((length - start) as usize));
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let (read, _) = read_lines(&mut file, text, room).map_err(failed)?;
        if start + (text.len() - before) as u64 <= synced {
            return Ok((read, synced));
        }
        let length = file.metadata().map_err(failed)?.len();
        file.sync_data()
            .map_err(|cause| FileError::io("sync", &self.path, cause))?;
        if start == 0 {
            // Its name may not be on disk either, if the run that made it was killed.
            self.storage.sync_folder(folder_of(&self.path))?;
        }
        Ok((read, length))
    }

    /// Returns the error of a read of this file.
    pub(crate) fn unreadable(&self, cause: io::Error) -> FileError {
        if self.is_packed() && is_damage(&cause) {
            let path = self.path.clone();
            return FileError::Damaged { path };
        }
        FileError::io("read", &self.path, cause)
    }
}

impl fmt::Debug for DayFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DayFile").field(&self.path).finish()
    }
}

/// Counts the newlines of the rest of a file.
fn count_newlines(file: &mut dyn StoredFile) -> io::Result<u64> {
    let mut lines = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = read_some(file, &mut chunk)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', &chunk[..read]).count() as u64;
    }
}

/// Reads once, and again if a signal interrupted the read.
pub(super) fn read_some(file: &mut (impl Read + ?Sized), chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Returns the last result of `read` for the lines of a text.
fn last_in<T>(text: impl Read, mut read: impl FnMut(&str) -> Option<T>) -> io::Result<Option<T>> {
    let mut lines = Lines::of(text);
    let mut last = None;
    while let Some(line) = lines.next()? {
        last = str::from_utf8(line.bytes).ok().and_then(&mut read).or(last);
    }
    Ok(last)
}

/// Appends whole lines to `text`: about `room` bytes, but at least one line if there is one. Also returns what was read behind them.
pub(super) fn read_lines(source: &mut impl Read, text: &mut Vec<u8>, room: usize) -> io::Result<(ReadRange, Vec<u8>)> {
    let start = text.len();
    let mut room = room;
    loop {
        let before = text.len();
        let read = source.take(room as u64).read_to_end(text)?;
        if let Some(last) = memchr::memrchr(b'\n', &text[before..]) {
            return Ok((ReadRange::Whole, text.split_off(before + last + 1)));
        }
        if read < room {
            return Ok((ReadRange::Whole, text.split_off(start)));
        }
        if (text.len() - start) as u64 > MAX_LINE {
            let skipped = (text.len() - start) as u64;
            text.truncate(start);
            return skip_line(source, skipped);
        }
        room = text.len() - start;
    }
}

/// Skips the rest of a line, of which `skipped` bytes are read already. Also returns what was read behind it.
fn skip_line(source: &mut impl Read, mut skipped: u64) -> io::Result<(ReadRange, Vec<u8>)> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = read_some(source, &mut chunk)?;
        if read == 0 {
            return Ok((ReadRange::Whole, Vec::new()));
        }
        if let Some(newline) = memchr::memchr(b'\n', &chunk[..read]) {
            let behind = chunk[newline + 1..read].to_vec();
            return Ok((ReadRange::TooLong(skipped + newline as u64 + 1), behind));
        }
        skipped += read as u64;
    }
}
