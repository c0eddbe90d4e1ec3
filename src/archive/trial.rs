//! A trial of a catalog: what a run does there, in scratch files of the state folder.

use chrono::{DateTime, Utc};

use super::location::Location;
use super::lock::{Lock, LockError};
use super::storage::STATE_FILE_MODE;
use crate::fs::{can_sync_folder, check_writable, remove_scratch, remove_scratch_folder, try_to_append};

/// What is said where the names of new files cannot be synced.
const NO_FOLDER_SYNC: &str = "its file system cannot sync the names of new files: after a power cut a new day file may be \
                              missing, and its day is asked for again";

/// Locks, appends, syncs, and syncs the folder, as a run does. Returns what is to be known although it works.
///
/// # Errors
/// One of these is not possible there.
pub(crate) fn try_out(location: &Location, now: DateTime<Utc>) -> Result<Option<&'static str>, LockError> {
    check_writable(location.folder())?;
    let is_first = !location.state_folder().exists();
    let tried = try_in_state_folder(location, now);
    if is_first {
        remove_scratch_folder(&location.state_folder());
    }
    tried?;
    let can_sync = can_sync_folder(location.folder())?;
    Ok((!can_sync).then_some(NO_FOLDER_SYNC))
}

fn try_in_state_folder(location: &Location, now: DateTime<Utc>) -> Result<(), LockError> {
    // Not the lock of the runs: one may be at work, and whoever takes that lock is taken for a run.
    let lock = Lock::acquire_file(location, "check.lock", now);
    remove_scratch(&location.state_file("check.lock"));
    match lock {
        // Another check is at work, so locks work.
        Err(LockError::Held { .. }) | Ok(_) => {}
        Err(error) => return Err(error),
    }
    Ok(try_to_append(&location.state_file("check.scratch"), STATE_FILE_MODE)?)
}
