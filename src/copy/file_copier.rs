//! Copies one file: compares what was copied of it with what it begins with, and sends what follows.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::manifest::{CopiedFile, Unpacked};
use super::part::{LARGEST, Part};
use super::sender::Sender;
use super::snapshot::Taken;
use crate::fs::{FileError, Sha256};
use crate::process::shutdown::Shutdown;

/// Size of a read where bytes are only hashed.
const CHUNK: usize = 256 << 10;

/// A file has at most this many parts that are not as large as they can be: what is behind the large ones is then sent once more, as one.
const MOST_SMALL: usize = 64;

trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

/// What was read of a file, and the hash of that.
pub(super) struct Begun {
    hash: Sha256,
    offset: u64,
}

impl Begun {
    fn nothing() -> Self {
        Self {
            hash: Sha256::new(),
            offset: 0,
        }
    }
}

/// Copies files of one section.
pub(super) struct FileCopier<'a> {
    pub(super) sender: &'a Sender<'a>,
    pub(super) section: &'a str,
    pub(super) shutdown: &'a Shutdown,
}

/// What a file came to.
pub(super) struct FileCopy {
    pub(super) copied: CopiedFile,
    /// How many bytes were sent of it, when all is sent.
    pub(super) sent: Arc<AtomicU64>,
}

impl FileCopier<'_> {
    /// Returns what is needed to go on behind what was copied of a file; `None` if it does not begin with that.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn begun(taken: &Taken, copied: Option<&CopiedFile>) -> Result<Option<Begun>, FileError> {
        let Some(copied) = copied else {
            return Ok(Some(Begun::nothing()));
        };
        if copied.bytes > taken.end || copied.bytes < taken.end && !taken.file.grows {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        let mut source = open(taken)?;
        hash_some(&mut source, copied.bytes, &mut hash).map_err(|cause| taken.file.unreadable(cause))?;
        let is_same = hash.clone().finish().digits() == copied.sha256;
        let offset = copied.bytes;
        Ok(is_same.then_some(Begun { hash, offset }))
    }

    /// Sends what is new of a file. `copied` is what it begins with, as far as it was `begun`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn copy(
        &self,
        taken: &Taken,
        begun: Option<Begun>,
        copied: Option<&CopiedFile>,
    ) -> Result<FileCopy, FileError> {
        let name = &taken.file.name;
        let copied = copied.filter(|_| begun.is_some());
        let Begun { mut hash, offset } = begun.unwrap_or_else(Begun::nothing);
        let sent = Arc::new(AtomicU64::new(0));
        let kept = copied.map_or(&[][..], |copied| kept_parts(&copied.parts, taken.end));
        let mut parts = Vec::with_capacity(kept.len() + 1);
        for part in kept {
            if !self.sender.has(&part.object(self.section, name), part) {
                let bytes = self.read(taken, part.offset, part.bytes)?;
                self.sender.send(self.section, name, part.offset, bytes.into(), &sent);
            }
            parts.push(part.clone());
        }
        let mut at = kept.last().map_or(0, Part::end);
        // What a power cut could take back would be in no later state of the archive, which then would go on with something else.
        if at < taken.end && taken.file.grows {
            taken.file.sync()?;
        }
        while at < taken.end && !self.is_to_end() {
            let bytes = self.read(taken, at, LARGEST.min(taken.end - at))?;
            let end = at + bytes.len() as u64;
            // Some of it may be in the hash already.
            let new = offset.max(at).min(end) - at;
            hash.update(&bytes[new as usize..]);
            parts.push(self.sender.send(self.section, name, at, bytes.into(), &sent));
            at = end;
        }
        let copied = CopiedFile {
            bytes: taken.end,
            sha256: hash.finish().digits(),
            mode: taken.file.mode,
            content: copied.and_then(|copied| copied.content.clone()),
            parts,
        };
        Ok(FileCopy { copied, sent })
    }

    /// Whether nothing more is to be read: there will be no copy.
    fn is_to_end(&self) -> bool {
        self.sender.has_failed() || self.shutdown.is_requested()
    }

    fn read(&self, taken: &Taken, offset: u64, bytes: u64) -> Result<Vec<u8>, FileError> {
        let mut content = vec![0; bytes as usize];
        let mut source = open(taken)?;
        let read = source
            .seek(SeekFrom::Start(offset))
            .and_then(|_| source.read_exact(&mut content));
        read.map_err(|cause| taken.file.unreadable(cause))?;
        Ok(content)
    }
}

/// Returns the parts that stay as they are when the file is `end` bytes long: the large ones alone, if there are many others.
fn kept_parts(parts: &[Part], end: u64) -> &[Part] {
    let large = parts.iter().take_while(|part| part.bytes == LARGEST).count();
    let is_longer = parts.last().is_some_and(|last| last.end() < end);
    if is_longer && parts.len() - large >= MOST_SMALL {
        &parts[..large]
    } else {
        parts
    }
}

/// Reads what a compressed file holds.
///
/// # Errors
/// If it cannot be read; [`FileError::Damaged`] if it is not whole.
pub(super) fn unpacked(taken: &Taken) -> Result<Unpacked, FileError> {
    let (mut hash, mut content) = (Sha256::new(), taken.file.content()?);
    let read = hash_some(&mut content, u64::MAX, &mut hash);
    let bytes = read.map_err(|cause| taken.file.unreadable(cause))?;
    let sha256 = hash.finish().digits();
    Ok(Unpacked { bytes, sha256 })
}

fn open(taken: &Taken) -> Result<Box<dyn Bytes>, FileError> {
    Ok(match &taken.read {
        Some(read) => Box::new(Cursor::new(Arc::clone(read))),
        None => Box::new(taken.file.open()?),
    })
}

/// Hashes the next bytes, at most so many; returns how many those were.
pub(super) fn hash_some(source: &mut dyn Read, most: u64, hash: &mut Sha256) -> io::Result<u64> {
    let (mut chunk, mut all) = (vec![0; CHUNK], 0);
    while all < most {
        let room = (most - all).min(CHUNK as u64) as usize;
        match source.read(&mut chunk[..room]) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&chunk[..read]);
                all += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_is_copied_survives_a_power_cut_here_too() {
        use std::collections::BTreeMap;
        use std::io::Write;

        use super::super::folder_store::FolderStore;
        use super::super::sender::with_sender;
        use crate::archive::Location;
        use crate::archive::faulty::Faulty;
        use crate::coverage::JOURNAL;
        use crate::process::shutdown;

        let (folder, disk, store) = (
            tempfile::tempdir().unwrap(),
            Faulty::default(),
            tempfile::tempdir().unwrap(),
        );
        let location = Location::new(folder.path(), "mail", "log").unwrap().on(disk.clone());
        std::fs::create_dir(location.state_folder()).unwrap();
        let path = location.state_file(JOURNAL);
        let mut journal = location.storage().open(&path, 0o640).unwrap().file;
        journal.write_all(b"one\n").unwrap();
        journal.sync_data().unwrap();
        location.storage().sync_folder(&location.state_folder()).unwrap();
        // The process is killed before it syncs that.
        journal.write_all(b"two\n").unwrap();
        let file = location.held_state(JOURNAL, true).unwrap().unwrap();
        let taken = Taken {
            end: file.end().unwrap(),
            file,
            read: None,
        };
        let (_trigger, shutdown) = shutdown::channel();
        let store = FolderStore::new(store.path()).unwrap();
        let copied = with_sender(&store, BTreeMap::new(), false, |sender| {
            let copier = FileCopier {
                sender,
                section: "tfc",
                shutdown: &shutdown,
            };
            copier.copy(&taken, None, None).unwrap().copied
        });
        assert_eq!(copied.unwrap().bytes, 8);
        disk.cut_power(folder.path(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn many_small_parts_are_joined_when_something_is_added() {
        let part = |offset, bytes| Part {
            offset,
            bytes,
            sha256: String::new(),
        };
        let mut parts = vec![part(0, LARGEST)];
        parts.extend((0..MOST_SMALL as u64 - 1).map(|n| part(LARGEST + n, 1)));
        let end = LARGEST + MOST_SMALL as u64 - 1;
        assert_eq!(kept_parts(&parts, end + 1).len(), parts.len());
        parts.push(part(end, 1));
        assert_eq!(kept_parts(&parts, end + 1).len(), parts.len(), "nothing is added");
        assert_eq!(kept_parts(&parts, end + 2).len(), 1);
    }
}
