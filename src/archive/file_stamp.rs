//! How a file is known again that was looked at before: by what the system keeps of it, and by bytes that it held.

use std::fs::Metadata;
use std::io;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::storage::{StoredFile, read_at};

/// How many bytes are compared at each place.
const COMPARED: u64 = 4096;

/// What the system keeps of a file; every write changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileStamp {
    /// Its length, in bytes.
    pub(super) length: u64,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970.
    modified: [i64; 2],
    /// The same for the change of anything, which no program can set; `None` where the system keeps no such time.
    changed: Option<[i64; 2]>,
}

impl FileStamp {
    /// The stamp of a file.
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

    /// The stamp of a file.
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

    /// Whether nothing can have been written to the file since an equal stamp was taken.
    pub(super) fn is_reliable(&self) -> bool {
        self.changed.is_some()
    }

    /// Whether a later stamp can be that of the same file, grown.
    pub(super) fn can_have_grown_to(&self, later: &Self) -> bool {
        (self.device, self.inode) == (later.device, later.inode) && self.length <= later.length
    }
}

/// The hash of what stands just before these places of a file, in hexadecimal digits.
pub(super) fn hash_before(file: &mut dyn StoredFile, places: &[u64]) -> io::Result<String> {
    let mut bytes = Vec::new();
    for place in places {
        let start = place.saturating_sub(COMPARED);
        let held = bytes.len();
        bytes.resize(held + (place - start) as usize, 0);
        read_at(file, start, &mut bytes[held..])?;
    }
    Ok(hash(&bytes))
}

/// The hash of some bytes, in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}
