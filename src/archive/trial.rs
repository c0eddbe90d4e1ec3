//! A trial of a catalog: what a run does there, in scratch files of the state folder; and whether it can use the files that are
//! there, into which nothing is written.

use std::fs::OpenOptions;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

use super::day_file::DayFile;
use super::expired_list::EXPIRED;
use super::location::Location;
use super::lock::{Lock, LockError};
use super::notes::{REJECTED, REVISED};
use super::repair::torn_line_of;
use super::storage::STATE_FILE_MODE;
use super::takeover;
use crate::fs::{
    FileError, can_sync_folder, check_single_name, check_writable, open_for_reading, open_guarded, remove_scratch,
    remove_scratch_folder, try_to_append,
};

/// What is said where the names of new files cannot be synced.
const NO_FOLDER_SYNC: &str = "its file system cannot sync the names of new files: after a power cut a new day file may be \
                              missing, and its day is asked for again";

/// What is done with a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileUse {
    /// It is locked, and who holds it is written there.
    Lock,
    /// Lines are appended to it.
    Append,
    /// It is read, and replaced whole.
    Replace,
}

/// The state files of the archive, each as what follows `<base>.` and its use.
const STATE_FILES: [(&str, FileUse); 5] = [
    ("lock", FileUse::Lock),
    (REJECTED, FileUse::Append),
    (REVISED, FileUse::Append),
    (EXPIRED, FileUse::Append),
    (takeover::FILE, FileUse::Replace),
];

/// Locks, appends, syncs, and syncs the folder, as a run does. Returns what is to be known although it works.
///
/// # Errors
/// One of these is not possible there.
pub(crate) fn try_out(location: &Location, now: DateTime<Utc>) -> Result<Option<&'static str>, LockError> {
    check_writable(location.folder())?;
    try_out_state(location, now)?;
    let can_sync = can_sync_folder(location.folder())?;
    Ok((!can_sync).then_some(NO_FOLDER_SYNC))
}

/// Locks, appends and syncs in the state folder, as a forwarder does.
///
/// # Errors
/// One of these is not possible there.
pub(crate) fn try_out_state(location: &Location, now: DateTime<Utc>) -> Result<(), LockError> {
    let is_first = !location.state_folder().exists();
    let tried = try_in_state_folder(location, now);
    if is_first {
        remove_scratch_folder(&location.state_folder());
    }
    tried
}

/// Returns which of these state files cannot be used, and why.
pub(crate) fn try_state_files<'a>(
    location: &Location,
    files: impl IntoIterator<Item = (&'a str, FileUse)>,
) -> Vec<FileError> {
    let tried = files
        .into_iter()
        .map(|(what, used)| try_file(&location.state_file(what), used));
    tried.filter_map(Result::err).collect()
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

/// Returns which of the files that a run uses it cannot use, and why: those of the archive, and these others. A file that is
/// missing is made by a run, and one that a run has locked is no fault.
pub(crate) fn try_files<'a>(
    location: &Location,
    others: impl IntoIterator<Item = (&'a str, FileUse)>,
    today: NaiveDate,
) -> Result<Vec<FileError>, FileError> {
    let files = location.day_files()?;
    let newest = files.iter().rposition(|file| file.date <= today);
    let day_files = files.iter().enumerate();
    let of_days = day_files.map(|(index, file)| try_day_file(file, newest == Some(index)));
    let mut faults = try_state_files(location, STATE_FILES.into_iter().chain(others));
    faults.extend(of_days.filter_map(Result::err));
    Ok(faults)
}

/// A run writes to the newest day file, and to one with a torn line.
fn try_day_file(file: &DayFile, is_newest: bool) -> Result<(), FileError> {
    let torn = torn_line_of(file)?;
    if is_newest || torn.is_some() {
        try_file(&file.path, FileUse::Append)?;
    }
    Ok(())
}

/// Opens a file as who uses it does, and closes it.
fn try_file(path: &Path, used: FileUse) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    let opened = match used {
        FileUse::Lock => open_guarded(options.read(true).write(true), path),
        FileUse::Append => open_guarded(options.read(true).append(true), path),
        FileUse::Replace => open_for_reading(path),
    };
    match opened {
        Err(error) if error.is_missing() => Ok(()),
        Ok(file) if used == FileUse::Append => check_single_name(&file, path),
        opened => opened.map(drop),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_support::Catalog;

    fn faults(catalog: &Catalog) -> Vec<String> {
        let others = [("log.jsonl", FileUse::Append), ("cursor.json", FileUse::Replace)];
        let faults = try_files(&catalog.location, others, "2025-06-10".parse().unwrap()).unwrap();
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_that_can_be_used_and_files_that_are_missing_are_no_fault_and_nothing_is_written_or_made() {
        let catalog = Catalog::with_state_folder().with(&[("2025-06-09", "{}\n"), ("2025-06-10", "{}\nhalf a li")]);
        let state = |what: &str| catalog.location.state_file(what);
        assert_eq!(faults(&catalog), Vec::<String>::new());
        assert_eq!(fs::read_dir(catalog.location.state_folder()).unwrap().count(), 0);
        fs::write(state("lock"), "kept").unwrap();
        fs::write(state("log.jsonl"), "kept").unwrap();
        let _held = Lock::acquire_file(&catalog.location, "lock", DateTime::UNIX_EPOCH).unwrap();
        let holder = fs::read(state("lock")).unwrap();
        assert_eq!(faults(&catalog), Vec::<String>::new());
        assert_eq!(fs::read(state("lock")).unwrap(), holder);
        assert_eq!(fs::read(state("log.jsonl")).unwrap(), b"kept");
        assert_eq!(catalog.text("2025-06-10"), "{}\nhalf a li");
    }

    #[test]
    fn each_file_that_a_run_uses_is_tried_as_it_uses_it() {
        for what in ["lock", "rejected.jsonl", "revised.jsonl", "log.jsonl", "cursor.json"] {
            let catalog = Catalog::with_state_folder();
            let path = catalog.location.state_file(what);
            fs::create_dir(&path).unwrap();
            let expected = format!("{} is not a regular file; only regular", path.display());
            let [fault] = &faults(&catalog)[..] else {
                panic!("{what}")
            };
            assert!(fault.starts_with(&expected), "{fault}");
        }
        let catalog = Catalog::with_state_folder();
        let other = catalog.folder().join("other");
        fs::write(&other, "").unwrap();
        for (what, count) in [("log.jsonl", 1), ("cursor.json", 1)] {
            // Only what is appended to could be changed through another name.
            fs::hard_link(&other, catalog.location.state_file(what)).unwrap();
            assert_eq!(faults(&catalog).len(), count, "{what}");
        }
    }
}
