//! Recognizes a file that was read before, by its metadata and by bytes that it held.

use std::fs::Metadata;
use std::io;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::storage::{StoredFile, read_at};

/// Number of bytes compared at each offset.
pub(super) const COMPARED: u64 = 4096;

/// What is said of a file that lost bytes while it was read.
pub(super) const SHORTER: &str = "it has become shorter while it was read, so that records are missing";
const REPLACED: &str = "another file has taken its place while it was read, so that records are missing";

/// Metadata of a file; every write changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    pub(super) length: u64,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970.
    modified: [i64; 2],
    /// The time of the last change of any kind, which no program can set; `None` where the system has none.
    changed: Option<[i64; 2]>,
}

impl FileStamp {
    /// Returns the stamp of a file.
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        Self {
            length: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: [metadata.mtime(), metadata.mtime_nsec()],
            changed: Some([metadata.ctime(), metadata.ctime_nsec()]),
        }
    }

    /// Returns the stamp of a file.
    #[cfg(not(unix))]
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        let since_1970 = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Self {
            length: metadata.len(),
            modified: since_1970.map_or([0; 2], |since| [since.as_secs() as i64, since.subsec_nanos().into()]),
            ..Self::default()
        }
    }

    /// Whether an equal stamp later proves that nothing was written in between.
    pub(crate) fn is_reliable(&self) -> bool {
        self.changed.is_some()
    }

    /// Whether `later` can be the same file after it grew.
    pub(crate) fn can_have_grown_to(&self, later: &Self) -> bool {
        self.loss_until(later).is_none()
    }

    /// Whether the other one is of the same file with the same length.
    pub(crate) fn is_as_long_as(&self, other: &Self) -> bool {
        self.loss_until(other).is_none() && other.loss_until(self).is_none()
    }

    /// Says why `later` cannot be the same file after it grew.
    pub(super) fn loss_until(&self, later: &Self) -> Option<&'static str> {
        if (self.device, self.inode) != (later.device, later.inode) {
            return Some(REPLACED);
        }
        (later.length < self.length).then_some(SHORTER)
    }
}

/// Hashes the bytes just before these offsets of a file, in hexadecimal digits.
pub(super) fn hash_before(file: &mut dyn StoredFile, offsets: &[u64]) -> io::Result<String> {
    let mut bytes = Vec::new();
    for offset in offsets {
        let start = offset.saturating_sub(COMPARED);
        let filled = bytes.len();
        bytes.resize(filled + (offset - start) as usize, 0);
        read_at(file, start, &mut bytes[filled..])?;
    }
    Ok(hash(&bytes))
}

/// Returns the hash in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}
