//! A store of copies in memory, whose user can be killed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use crate::copy::{Put, Store, StoreError};
use crate::fs::FileError;

/// The objects, and how many operations come before the kill, if one does.
#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    left: Option<u64>,
}

/// The store. From the kill on it fails, until the restart.
#[derive(Debug, Default)]
pub(crate) struct MortalStore(Mutex<State>);

impl MortalStore {
    /// Kills whoever uses it after this many operations.
    pub(crate) fn arm(&self, after: u64) {
        self.state().left = Some(after);
    }

    /// Starts the program again.
    pub(crate) fn restart(&self) {
        self.state().left = None;
    }

    /// Returns how many objects have a name that begins so.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        let state = self.state();
        state.objects.keys().filter(|name| name.starts_with(beginning)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts an operation.
    fn operate(&self, name: &str) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        if let Some(left) = &mut state.left {
            if *left == 0 {
                return Err(FileError::io("use", Path::new(name), io::Error::other("killed")).into());
            }
            *left -= 1;
        }
        Ok(state)
    }
}

impl Store for MortalStore {
    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let state = self.operate(folder)?;
        let found = state.objects.iter();
        let found = found.filter(|(name, _)| name.split('/').next() == Some(folder));
        Ok(found.map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect())
    }

    fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.operate(name)?.objects.get(name).cloned())
    }

    fn put(&self, name: &str, bytes: Bytes) -> Result<Put, StoreError> {
        let mut state = self.operate(name)?;
        if state.objects.contains_key(name) {
            return Ok(Put::Exists);
        }
        state.objects.insert(name.to_owned(), bytes);
        Ok(Put::Written)
    }
}
