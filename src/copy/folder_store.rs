//! Copies in a folder, such as one of another disk or machine that is mounted.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::store::{Put, Store, StoreError};
use crate::fs::{FileError, Kept, files_below, keep, open_for_reading};

/// A folder of copies, which exists.
#[derive(Debug)]
pub(super) struct FolderStore(PathBuf);

impl FolderStore {
    pub(super) fn new(folder: &Path) -> Result<Self, StoreError> {
        if folder.is_dir() {
            Ok(Self(folder.to_owned()))
        } else {
            Err(StoreError::new(format!(
                "{} is not a folder: make it, or mount what it is for",
                folder.display()
            )))
        }
    }
}

impl Store for FolderStore {
    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let files = files_below(&self.0.join(folder))?.into_iter();
        Ok(files.map(|(name, bytes)| (format!("{folder}/{name}"), bytes)).collect())
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let path = self.0.join(name);
        let mut file = match open_for_reading(&path) {
            Err(error) if error.is_missing() => return Ok(None),
            opened => opened?,
        };
        let mut content = Vec::new();
        let read = file.read_to_end(&mut content);
        read.map_err(|cause| FileError::io("read", &path, cause))?;
        Ok(Some(content.into()))
    }

    fn put(&self, name: &str, bytes: Bytes) -> Result<Put, StoreError> {
        Ok(match keep(&self.0, &self.0.join(name), &bytes)? {
            Kept::New => Put::Written,
            Kept::Before => Put::Exists,
        })
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        Self::new(error.to_string())
    }
}
