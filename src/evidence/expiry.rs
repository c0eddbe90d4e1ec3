//! Says in the log which day files are about to be deleted for their age.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::entry::{Content, Entry, FileId, Says};
use super::folder::Folder;
use super::keeper::{Keeper, KeeperError, content_of};
use super::ledger::{History, Ledger};
use super::log::Log;
use super::log_signer::LogSigner;
use super::notes::Notes;
use super::seal::{SealOptions, seal_stream};
use crate::config::StreamPlace;
use crate::fs::FileError;

/// A day file that is about to be deleted.
pub(crate) struct ExpiringFile {
    pub(crate) file: String,
    pub(crate) reason: String,
    /// Whether it is what an interrupted deletion has left of its day.
    pub(crate) is_rest: bool,
}

/// What the log says of the files that are to be deleted.
pub(crate) struct SealedFiles(Ledger);

impl SealedFiles {
    /// Reads the log in a folder; `None` if there is none. Nothing is verified here.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let content = Folder::new(folder).read()?;
        Ok(content.map(|content| Self(Ledger::read(content.lines(u64::MAX)))))
    }

    /// Returns whether a day file is sealed, as that of a day which is closed.
    pub(crate) fn is_closed(&self, place: &StreamPlace, file: &str) -> bool {
        let history = self.0.files.get(&id(place, file));
        history.is_some_and(|history| history.is_closed)
    }
}

impl Keeper<'_> {
    /// Checks that day files of a stream are what was sealed, all of them, and so are its journal and its holds, which decide what goes:
    /// before anything says that they go.
    ///
    /// # Errors
    /// Those of [`Keeper::expire`].
    pub(crate) fn check_before_expiry(
        &self,
        place: &StreamPlace,
        files: &[ExpiringFile],
        now: DateTime<Utc>,
    ) -> Result<(), KeeperError> {
        let signer = self.signer()?;
        let mut log = self.open(&signer, now)?;
        let entries = expiring(&log.ledger, place, files, now)?;
        let options = SealOptions {
            now,
            after: self.settings.after,
            every: TimeDelta::zero(),
            full: false,
        };
        let mut notes = Notes::read(&self.location()?.state("notes.json"));
        let sealed = seal_stream(place, &log.ledger, &mut notes, options);
        match sealed.problems.into_iter().next() {
            Some(problem) => Err(KeeperError::OfStream { problem }),
            None if matches!(signer, LogSigner::Elsewhere(_)) => announce(&mut log, &signer, entries, place, files),
            None => Ok(()),
        }
    }

    /// Adds that day files of a stream are about to be deleted. Each has to be what was sealed, all of it.
    ///
    /// # Errors
    /// If the key or the log cannot be used, or a file is not what was sealed; then nothing is added.
    pub(crate) fn expire(
        &self,
        place: &StreamPlace,
        files: &[ExpiringFile],
        now: DateTime<Utc>,
    ) -> Result<(), KeeperError> {
        let signer = self.signer()?;
        let mut log = self.open(&signer, now)?;
        let entries = expiring(&log.ledger, place, files, now)?;
        if !entries.is_empty() {
            log.add(&entries, &[&signer])?;
        }
        Ok(())
    }
}

/// Adds the entries, which another host has to sign before anything goes.
fn announce(
    log: &mut Log,
    signer: &LogSigner,
    entries: Vec<Entry>,
    place: &StreamPlace,
    files: &[ExpiringFile],
) -> Result<(), KeeperError> {
    if !entries.is_empty() {
        log.add(&entries, &[signer])?;
    }
    let signed = log.signed_ledger()?;
    let is_signed = |file: &str| {
        let history = signed.files.get(&id(place, file));
        history.is_some_and(|history| history.expired.is_some())
    };
    let waiting = files.iter().filter(|expiring| !is_signed(&expiring.file)).count();
    if waiting == 0 {
        Ok(())
    } else {
        Err(KeeperError::Waits { files: waiting })
    }
}

/// Returns the entries that files are about to be deleted, but for those which the log has.
fn expiring(
    ledger: &Ledger,
    place: &StreamPlace,
    files: &[ExpiringFile],
    now: DateTime<Utc>,
) -> Result<Vec<Entry>, KeeperError> {
    let mut entries = Vec::new();
    for ExpiringFile { file, reason, is_rest } in files {
        let file = id(place, file);
        let history = ledger.files.get(&file);
        let is_expired = history.is_some_and(|history| history.expired.is_some());
        let sealed = history
            .and_then(|history| history.newest())
            .map(|sealed| sealed.content);
        let (content, _) = content_of(&place.location, &file.file, sealed)?;
        let is_rest = || *is_rest && is_expired && history.is_some_and(|history| can_be_rest(history, content));
        if sealed != Some(content) && !is_rest() {
            return Err(KeeperError::NotAsSealed { file: file.file });
        }
        if is_expired {
            continue;
        }
        let reason = reason.clone();
        entries.push(Entry::new(Says::Expired { file, content, reason }, now));
    }
    Ok(entries)
}

/// Returns whether a file can be what is left of one that was sealed: it is shorter, and no entry about so many lines says otherwise.
fn can_be_rest(history: &History, content: Content) -> bool {
    let is_shorter = history
        .newest()
        .is_some_and(|newest| content.lines < newest.content.lines);
    let mut of_same_length = history
        .sealed
        .iter()
        .filter(|sealed| sealed.content.lines == content.lines);
    is_shorter && of_same_length.all(|sealed| sealed.content == content)
}

fn id(place: &StreamPlace, file: &str) -> FileId {
    FileId {
        stream: place.kind.name.to_owned(),
        file: file.to_owned(),
    }
}
