//! The advisory lock that keeps a second run from writing to a stream's day files.

#[cfg(unix)]
use std::fs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::process;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::location::Location;
use super::storage::STATE_FILE_MODE;
use crate::fs::{FileError, make_folder, open_for_reading, open_or_create};

/// Read limit; more than a lock file ever holds.
const MAX_LOCK_FILE: u64 = 4096;

/// What follows `<base>.` in the name of the file that says that a copy is being restored.
pub(crate) const RESTORING: &str = "restoring";

/// How often a lock file is opened again that was replaced before it was locked.
const MOST_ATTEMPTS: usize = 16;

/// The lock on the files of one location, until it is dropped or the process ends.
///
/// It is a kernel lock on `<folder>/.trailkeeper/<base>.lock`. The file is never removed: else two runs could hold
/// locks on two files of that name. Others may remove it, or the folder, so whoever writes calls [`Lock::check`] first.
#[derive(Debug)]
pub struct Lock {
    location: Location,
    path: PathBuf,
    file: File,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub(crate) pid: u32,
    /// When the lock was taken.
    pub(crate) since: DateTime<Utc>,
    /// The command that took it; unknown of an earlier version.
    pub(crate) command: Option<String>,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} holds {}; wait until it ends, or end it", described(holder), path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder; `None` if it has not written its name yet.
        holder: Option<Box<Holder>>,
    },
    /// Another file is in the place of the one that is locked, or none, so another run may hold a lock too.
    #[error(
        "{} is not the file that this run has locked: the file or its whole folder was removed or replaced, so nothing \
         more is written; make sure that no other run is at work there, and run again",
        path.display()
    )]
    Lost {
        /// The lock file.
        path: PathBuf,
    },
    /// A copy is being restored there, or was and did not end.
    #[error(
        "{} says that a copy is restored here and not whole yet: `trailkeeper copy --from` goes on with it",
        path.display()
    )]
    Restoring {
        /// The file that says so.
        path: PathBuf,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

impl LockError {
    /// Returns whether another process holds it.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Returns the error of the lock file, if that is the reason.
    pub(crate) fn of_file(&self) -> Option<&FileError> {
        match self {
            Self::File(error) => Some(error),
            Self::Held { .. } | Self::Lost { .. } | Self::Restoring { .. } => None,
        }
    }
}

impl Lock {
    /// Takes the lock of `location` without waiting, and creates the state folder if it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process holds it; [`LockError::File`] if the folder is missing or not writable.
    pub fn acquire(location: &Location, now: DateTime<Utc>) -> Result<Self, LockError> {
        Self::acquire_file(location, "lock", now)
    }

    /// Takes the lock of `location` for a run of this command.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`].
    pub(crate) fn acquire_for_run(location: &Location, command: &str, now: DateTime<Utc>) -> Result<Self, LockError> {
        let run = Some(Named::now(Some(command), now));
        Self::take(location, "lock")?.noting(&Note { run, at_work: None })
    }

    /// Takes the lock file `<base>.<what>`, which guards something other than the day files, such as a cursor.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`].
    pub(crate) fn acquire_file(location: &Location, what: &str, now: DateTime<Utc>) -> Result<Self, LockError> {
        let run = Some(Named::now(None, now));
        Self::take(location, what)?.noting(&Note { run, at_work: None })
    }

    /// Takes the lock of `location` for a command that is no run, and leaves in it who ran last.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`].
    pub(crate) fn acquire_between_runs(
        location: &Location,
        command: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, LockError> {
        let lock = Self::take(location, "lock")?;
        let run = read_note(&lock.file).and_then(|note| note.run);
        let at_work = Some(Named::now(Some(command), now));
        lock.noting(&Note { run, at_work })
    }

    /// Takes the lock of `location` to restore a copy there: nobody else gets it until that is whole.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`].
    pub(super) fn acquire_to_restore(location: &Location, now: DateTime<Utc>) -> Result<Self, LockError> {
        let at_work = Some(Named::now(Some("copy"), now));
        Self::take_any(location, "lock")?.noting(&Note { run: None, at_work })
    }

    /// Writes who holds it.
    fn noting(mut self, note: &Note) -> Result<Self, LockError> {
        write_note(&mut self.file, note).map_err(|cause| FileError::io("write to", &self.path, cause))?;
        Ok(self)
    }

    fn take(location: &Location, what: &str) -> Result<Self, LockError> {
        let lock = Self::take_any(location, what)?;
        let path = location.state_file(RESTORING);
        if location.storage().metadata(&path).is_ok() {
            return Err(LockError::Restoring { path });
        }
        Ok(lock)
    }

    fn take_any(location: &Location, what: &str) -> Result<Self, LockError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let lock = Self::try_once(location, what)?;
            match lock.check() {
                Err(LockError::Lost { .. }) if attempt < MOST_ATTEMPTS => {}
                checked => return checked.map(|()| lock),
            }
        }
    }

    /// Opens the lock file and locks it. Between the two it may have been replaced.
    fn try_once(location: &Location, what: &str) -> Result<Self, LockError> {
        make_folder(&location.state_folder())?;
        let path = location.state_file(what);
        let options = &mut OpenOptions::new();
        let (file, _) = open_or_create(options.read(true).write(true), &path, STATE_FILE_MODE)?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                location: location.clone(),
                path,
                file,
            }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held {
                path,
                holder: read_note(&file).and_then(Note::holder).map(Box::new),
            }),
            Err(TryLockError::Error(cause)) => Err(FileError::io("lock", &path, cause).into()),
        }
    }

    /// Checks that the locked file is still the one in its place, so that nobody else can hold a lock.
    ///
    /// # Errors
    /// [`LockError::Lost`] if it is not; [`LockError::File`] if the system does not say, or the whole catalog is missing.
    pub(crate) fn check(&self) -> Result<(), LockError> {
        let is_in_place = is_at(&self.file, &self.path);
        if is_in_place.map_err(|cause| FileError::io("look at", &self.path, cause))? {
            return Ok(());
        }
        // A folder that is missing altogether, as one whose disk is not mounted, is told as such.
        let folder = self.location.folder();
        folder
            .metadata()
            .map_err(|cause| FileError::io("look at", folder, cause))?;
        Err(LockError::Lost {
            path: self.path.clone(),
        })
    }

    /// Returns which run took the lock last, by the lock file alone; it may have been released since.
    ///
    /// This does not try the lock: that could turn away a run that starts at this moment.
    pub(crate) fn last_holder(location: &Location) -> Option<Holder> {
        let note = read_note(&open_for_reading(&location.state_file("lock")).ok()?)?;
        note.run.as_ref().and_then(Named::holder)
    }

    /// Returns the location that is locked.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }
}

impl Holder {
    /// Whether a process with this id is running; `None` if the system does not say. Ids are reused, so it may be
    /// another process.
    #[must_use]
    pub(crate) fn is_running(&self) -> Option<bool> {
        is_running(self.pid)
    }
}

/// Returns whether a file is the one at this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let there = match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        found => found?,
    };
    let locked = file.metadata()?;
    Ok((there.dev(), there.ino()) == (locked.dev(), locked.ino()))
}

/// Windows does not let others remove an open file that is locked, and std does not say which file a name is.
#[cfg(not(unix))]
fn is_at(_: &File, _: &std::path::Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
fn is_running(pid: u32) -> Option<bool> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    // A permission error means that the process exists.
    Some(rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_running(_pid: u32) -> Option<bool> {
    None
}

/// The content of a lock file, as JSON.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The last run.
    #[serde(flatten)]
    run: Option<Named>,
    /// What has taken the lock since and is no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_work: Option<Named>,
}

#[derive(Serialize, Deserialize)]
struct Named {
    pid: u32,
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl Note {
    /// Returns who has taken the lock last.
    fn holder(self) -> Option<Holder> {
        self.at_work.or(self.run)?.holder()
    }
}

impl Named {
    /// This process.
    fn now(command: Option<&str>, now: DateTime<Utc>) -> Self {
        Self {
            pid: process::id(),
            since: seconds(now),
            command: command.map(str::to_owned),
        }
    }

    fn holder(&self) -> Option<Holder> {
        Some(Holder {
            pid: self.pid,
            since: self.since.parse().ok()?,
            command: self.command.clone(),
        })
    }
}

fn read_note(mut file: &File) -> Option<Note> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_LOCK_FILE).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_note(file: &mut File, note: &Note) -> io::Result<()> {
    let text = serde_json::to_string(note)?;
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{text}")
}

fn described(holder: &Option<Box<Holder>>) -> String {
    let Some(Holder { pid, since, command }) = holder.as_deref() else {
        return "another run".to_owned();
    };
    let who = match command {
        Some(command) => format!("`trailkeeper {}`", command.escape_debug()),
        None => "another run".to_owned(),
    };
    format!("{who} (pid {pid}, since {})", seconds(*since))
}

fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-04T05:06:07Z".parse().unwrap()
    }

    #[test]
    fn a_second_run_is_refused_by_the_name_of_the_first_until_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        let first = Lock::acquire(&location, now()).unwrap();
        let error = Lock::acquire(&location, now()).unwrap_err();
        let holder = Holder {
            pid: process::id(),
            since: now(),
            command: None,
        };
        assert!(
            matches!(&error, LockError::Held { holder: Some(found), .. } if **found == holder),
            "{error}"
        );
        let expected = format!("another run (pid {}, since 2026-03-04T05:06:07Z) holds ", process::id());
        assert!(error.to_string().starts_with(&expected), "{error}");
        drop(first);
        assert_eq!(Lock::acquire(&location, now()).unwrap().location(), &location);
    }

    #[test]
    fn who_holds_it_now_is_named_and_who_ran_last_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        let later = |seconds| now() + chrono::TimeDelta::seconds(seconds);
        let message = || Lock::acquire(&location, later(9)).unwrap_err().to_string();
        let held = Lock::acquire_between_runs(&location, "pack", later(0)).unwrap();
        assert!(message().starts_with("`trailkeeper pack` (pid "), "{}", message());
        assert_eq!(Lock::last_holder(&location), None);
        drop(held);
        let held = Lock::acquire_for_run(&location, "reconcile", later(1)).unwrap();
        assert!(message().starts_with("`trailkeeper reconcile` (pid "), "{}", message());
        drop(held);
        let run = Lock::last_holder(&location).unwrap();
        let held = Lock::acquire_between_runs(&location, "expire", later(2)).unwrap();
        assert!(message().starts_with("`trailkeeper expire` (pid "), "{}", message());
        assert!(
            message().contains(", since 2026-03-04T05:06:09Z) holds "),
            "{}",
            message()
        );
        drop(held);
        assert_eq!(Lock::last_holder(&location), Some(run));
        let held = Lock::acquire_for_run(&location, "collect", later(3)).unwrap();
        assert!(message().starts_with("`trailkeeper collect` (pid "), "{}", message());
        drop(held);
    }

    #[test]
    fn streams_of_one_folder_do_not_lock_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let lock = |base| Lock::acquire(&Location::new(folder.path(), base, "log").unwrap(), now());
        let _mail = lock("mail").unwrap();
        let _disk = lock("disk").unwrap();
    }

    #[test]
    fn what_a_killed_holder_left_is_replaced_and_garbage_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        drop(Lock::acquire(&location, now()).unwrap());
        let path = location.state_file("lock");
        fs::write(&path, "x".repeat(5000)).unwrap();
        let held = Lock::acquire(&location, now()).unwrap();
        let expected = format!("{{\"pid\":{},\"since\":\"2026-03-04T05:06:07Z\"}}\n", process::id());
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        fs::write(&path, "").unwrap();
        let error = Lock::acquire(&location, now()).unwrap_err();
        assert!(matches!(error, LockError::Held { holder: None, .. }));
        assert!(error.to_string().starts_with("another run holds "), "{error}");
        drop(held);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_whose_file_was_removed_or_replaced_is_lost_until_it_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        let lock = Lock::acquire(&location, now()).unwrap();
        lock.check().unwrap();
        let (state, away) = (location.state_folder(), folder.path().join("away"));
        fs::rename(&state, &away).unwrap();
        let is_lost = |lock: &Lock| matches!(lock.check(), Err(LockError::Lost { .. }));
        assert!(is_lost(&lock));
        fs::write(&state, "a file").unwrap();
        assert!(is_lost(&lock));
        fs::remove_file(&state).unwrap();
        let other = Lock::acquire(&location, now()).unwrap();
        assert!(is_lost(&lock) && other.check().is_ok());
        fs::remove_dir_all(&state).unwrap();
        fs::rename(&away, &state).unwrap();
        assert!(is_lost(&other) && lock.check().is_ok());
        fs::remove_dir_all(folder.path()).unwrap();
        let error = lock.check().unwrap_err().to_string();
        assert!(error.contains("check that the folder exists"), "{error}");
    }

    #[test]
    fn a_lock_is_not_made_in_a_folder_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("gone"), "mail", "log").unwrap();
        let error = Lock::acquire(&location, now()).unwrap_err();
        assert!(error.to_string().contains("check that the folder exists"), "{error}");
        assert!(!location.folder().exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_file_that_is_a_link_is_refused_and_its_target_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        fs::create_dir(location.state_folder()).unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, location.state_file("lock")).unwrap();
        assert!(matches!(
            Lock::acquire(&location, now()),
            Err(LockError::File(FileError::NotOurs { .. }))
        ));
        assert_eq!(fs::read(&target).unwrap(), b"kept");
    }
}
