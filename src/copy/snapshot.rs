//! What an archive holds at one moment, without holding up who writes to it: listed twice, and nothing was written in between.
//!
//! Cursors are read first: each stands where the lines of its day files are. Those files may grow while nothing else does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::archive::{FileUse, HeldFile, Location};
use crate::coverage::{FED_FILE, JOURNAL_FILES, PENDING_FILE};
use crate::evidence::checkpoint::Checkpoint;
use crate::evidence::folder::{ANCHORS, CHECKPOINT, CHECKPOINTS, ENTRIES, LOST, POLICY, UNSIGNED};
use crate::forward;
use crate::fs::FileError;

/// How often it is tried, and how long it is waited in between, where somebody writes all the time.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(25);

/// How many logs can have been lost before this one.
const MOST_LOST: u32 = 64;

/// A file at that moment.
#[derive(Clone)]
pub(super) struct Taken {
    pub(super) file: HeldFile,
    /// Where its last whole line ends, or its length.
    pub(super) end: u64,
    /// All of it, if it is one that is replaced as a whole.
    pub(super) read: Option<Arc<[u8]>>,
}

/// What the folder of a stream, or that of the evidence, holds at one moment, by the paths in it.
pub(super) type Snapshot = BTreeMap<String, Taken>;

/// There is no such moment, or something cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} is written to all the time, so that there is no moment to be copied: try again later")]
    Busy(String),
}

/// Takes that of a stream.
///
/// # Errors
/// If something cannot be read, or there is no moment in which nothing is written.
pub(super) fn of_stream(location: &Location) -> Result<Snapshot, SnapshotError> {
    let shown = || location.folder().display().to_string();
    until_still(shown, || {
        let mut taken = Snapshot::new();
        // The file of what is undelivered after the cursors, which have passed what it holds.
        for (what, used) in forward::state_files().filter(|(_, used)| *used != FileUse::Lock) {
            let file = location.held_state(&what, used == FileUse::Append)?;
            add_all(&mut taken, file)?;
        }
        let before = files_of_stream(location)?;
        add_all(&mut taken, before.iter().cloned())?;
        let after = files_of_stream(location)?;
        Ok(are_same(&before, &after).then_some(taken))
    })
}

/// Takes that of an evidence folder: what was said of a checkpoint before the checkpoints, and these before the entries.
///
/// # Errors
/// As of [`of_stream`].
pub(super) fn of_evidence(folder: &Path) -> Result<Snapshot, SnapshotError> {
    let location = evidence_location(folder)?;
    let shown = || folder.display().to_string();
    until_still(shown, || {
        let before = files_of_evidence(&location)?;
        let mut taken = Snapshot::new();
        add_all(&mut taken, before.iter().cloned())?;
        leave_out_unsealed(&mut taken)?;
        Ok(are_same(&before, &files_of_evidence(&location)?).then_some(taken))
    })
}

/// Returns whether an evidence folder still holds just what was taken.
///
/// # Errors
/// If it cannot be read.
pub(super) fn is_still(folder: &Path, taken: &Snapshot) -> Result<bool, SnapshotError> {
    let now = files_of_evidence(&evidence_location(folder)?)?;
    Ok(now.len() == taken.len()
        && now
            .iter()
            .all(|file| taken.get(&file.name).is_some_and(|old| old.file.is_as(file))))
}

/// Returns an evidence folder as the location that it is for its lock.
///
/// # Errors
/// None but that the name cannot be used.
pub(super) fn evidence_location(folder: &Path) -> Result<Location, FileError> {
    let location = Location::new(folder, "evidence", "jsonl");
    location.map_err(|error| FileError::io("use", folder, std::io::Error::other(error)))
}

fn until_still(
    shown: impl FnOnce() -> String,
    mut take: impl FnMut() -> Result<Option<Snapshot>, FileError>,
) -> Result<Snapshot, SnapshotError> {
    for _ in 0..TRIES {
        match take() {
            Ok(Some(taken)) => return Ok(taken),
            Ok(None) => {}
            // A day is packed or unpacked at this moment.
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        pause();
    }
    // It may be one that is missing for good.
    take().map(drop)?;
    Err(SnapshotError::Busy(shown()))
}

#[expect(clippy::disallowed_methods, reason = "this runs on a thread that may block")]
fn pause() {
    std::thread::sleep(PAUSE);
}

fn add_all(taken: &mut Snapshot, files: impl IntoIterator<Item = HeldFile>) -> Result<(), FileError> {
    for file in files {
        // What is replaced as a whole may be another one when it is sent.
        let is_small = !file.grows && file.date.is_none();
        let read = is_small.then(|| file.read()).transpose()?.map(Arc::from);
        let end = file.end()?;
        taken.insert(file.name.clone(), Taken { file, end, read });
    }
    Ok(())
}

/// Leaves out entries that belong to no checkpoint: those that a killed seal has left, which the next one replaces by others.
fn leave_out_unsealed(taken: &mut Snapshot) -> Result<(), FileError> {
    let sealed = sealed_entries(taken);
    if let Some(entries) = taken.get_mut(ENTRIES) {
        let text = entries.file.read()?;
        let mut newlines = memchr::memchr_iter(b'\n', &text);
        let last = sealed.checked_sub(1).map(|before| newlines.nth(before));
        entries.end = match last {
            None => 0,
            // Fewer than there should be are told by whoever reads the log.
            Some(newline) => newline.map_or(entries.end, |newline| newline as u64 + 1),
        };
    }
    Ok(())
}

/// Returns how many entries the largest checkpoint has, signed or not.
fn sealed_entries(taken: &Snapshot) -> usize {
    let text = |name: &str| taken.get(name)?.read.as_deref().map(String::from_utf8_lossy);
    let signed = text(CHECKPOINT).and_then(|text| Checkpoint::unverified(&text));
    let waiting = text(UNSIGNED).and_then(|text| Checkpoint::of_text(&text));
    let named = taken
        .keys()
        .filter_map(|name| name.strip_prefix(CHECKPOINTS)?.strip_prefix('/'));
    let sizes = named.filter_map(|name| name.parse().ok());
    let sizes = sizes.chain(signed.into_iter().chain(waiting).map(|checkpoint| checkpoint.size));
    sizes
        .max()
        .map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

fn are_same(before: &[HeldFile], after: &[HeldFile]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(one, other)| one.is_as(other))
}

fn files_of_stream(location: &Location) -> Result<Vec<HeldFile>, FileError> {
    let journal = JOURNAL_FILES.into_iter().chain([PENDING_FILE, FED_FILE]);
    let journal = journal.map(|(what, used)| (what, used == FileUse::Append));
    let mut files = Vec::new();
    for (what, grows) in journal.chain(Location::own_state_files()) {
        files.extend(location.held_state(what, grows)?);
    }
    files.extend(location.held_days()?);
    Ok(files)
}

fn files_of_evidence(location: &Location) -> Result<Vec<HeldFile>, FileError> {
    let mut files = Vec::new();
    add_log(location, "", &mut files)?;
    for number in 1..=MOST_LOST {
        add_log(location, &format!("{LOST}{number}/"), &mut files)?;
    }
    Ok(files)
}

fn add_log(location: &Location, folder: &str, files: &mut Vec<HeldFile>) -> Result<(), FileError> {
    for below in [ANCHORS, CHECKPOINTS] {
        for name in location.names_in(&format!("{folder}{below}"))? {
            // A file that is being replaced.
            if !name.starts_with('.') {
                files.extend(location.held_named(&format!("{folder}{below}/{name}"), false)?);
            }
        }
    }
    for (name, grows) in [(CHECKPOINT, false), (UNSIGNED, false), (POLICY, false), (ENTRIES, true)] {
        files.extend(location.held_named(&format!("{folder}{name}"), grows)?);
    }
    Ok(())
}
