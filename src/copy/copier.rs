//! Copies archives to a store: what is new, and at the end the manifest that makes a copy of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use chrono::{DateTime, NaiveDate, Utc};

use super::file_copier::FileCopier;
use super::manifest::{EVIDENCE, FOLDER, Manifest, ManifestError, Section};
use super::section_copier::{SectionCopier, SectionCopy};
use super::sender::{Sender, put_checked, with_sender};
use super::snapshot::{Snapshot, SnapshotError, is_still, of_evidence, of_stream};
use super::store::{Put, Store, StoreError};
use crate::archive::Location;
use crate::config::StreamPlace;
use crate::coverage::{Journal, Wanted};
use crate::fs::FileError;
use crate::process::shutdown::Shutdown;

/// How often it is begun anew, since days are packed, unpacked or deleted while they are read, or something is sealed.
const TRIES: usize = 8;

/// Nothing, or not all, was copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the manifest {object}: {cause}")]
    Manifest { object: String, cause: ManifestError },
    #[error("cannot write the manifest: {0}")]
    Json(#[from] serde_json::Error),
    #[error("another copy was made there meanwhile: run it again")]
    Overtaken,
    #[error("interrupted: there is no new copy; the next one sends what this one has not")]
    Interrupted,
    #[error("there is no copy at {0}")]
    Nothing(String),
}

/// What a copy came to.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The number of the newest copy that is there now; `None` if there is none.
    pub(crate) number: Option<u64>,
    /// Whether that was made now.
    pub(crate) is_new: bool,
    pub(crate) sections: Vec<CopiedSection>,
}

/// What was copied of a stream, or of the evidence.
#[derive(Debug, Default)]
pub(crate) struct CopiedSection {
    pub(crate) name: String,
    /// What the copy has of it now.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// What was sent of that.
    pub(crate) sent_files: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) problems: Vec<String>,
}

/// Copies to a store.
#[derive(Debug)]
pub(crate) struct Copier<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) shutdown: &'a Shutdown,
    /// Whether nothing is to be written.
    pub(crate) is_dry_run: bool,
    pub(crate) now: DateTime<Utc>,
}

/// What is to be copied, as it was at one moment.
struct Captured<'a> {
    streams: Vec<(&'a StreamPlace, Result<Snapshot, SnapshotError>)>,
    evidence: Option<Result<Snapshot, SnapshotError>>,
}

impl Copier<'_> {
    /// Copies streams, and the evidence.
    ///
    /// # Errors
    /// If the store cannot be used. What is wrong with a stream is in the result.
    pub(crate) fn copy(&self, places: &[StreamPlace], evidence: Option<&Path>) -> Result<Copied, CopyError> {
        let before = newest(self.store)?;
        let mut manifest = before.clone().unwrap_or_default();
        let mut there = BTreeMap::new();
        let names = places.iter().map(|place| place.kind.name);
        for name in names.chain(evidence.map(|_| EVIDENCE)) {
            there.extend(self.store.list(name)?);
        }
        let copies = with_sender(self.store, there, self.is_dry_run, |sender| {
            self.copy_all(places, evidence, &manifest, sender)
        })?;
        if self.shutdown.is_requested() {
            return Err(CopyError::Interrupted);
        }
        let sections = copies.into_iter().map(|(name, copy)| {
            let shown = shown(&name, &copy);
            if !copy.section.files.is_empty() {
                manifest.sections.insert(name, copy.section);
            }
            shown
        });
        let sections: Vec<_> = sections.collect();
        let is_new = before
            .as_ref()
            .is_none_or(|before| before.sections != manifest.sections);
        if is_new && !self.is_dry_run && !manifest.sections.is_empty() {
            manifest.number += 1;
            manifest.at = self.now;
            let object = Manifest::object(manifest.number);
            if put_checked(self.store, &object, &manifest.to_bytes()?.into())? == Put::Exists {
                return Err(CopyError::Overtaken);
            }
        }
        let is_there = manifest.number > 0;
        Ok(Copied {
            number: is_there.then_some(manifest.number),
            is_new: is_there && is_new && !self.is_dry_run,
            sections,
        })
    }

    fn copy_all(
        &self,
        places: &[StreamPlace],
        evidence: Option<&Path>,
        before: &Manifest,
        sender: &Sender<'_>,
    ) -> Vec<(String, SectionCopy)> {
        for _ in 1..TRIES {
            let captured = capture(places, evidence);
            if let Ok(copies) = self.copy_captured(captured, before, sender) {
                return copies;
            }
        }
        // What is gone by now is told.
        let all = self.each_captured(capture(places, evidence), before, sender);
        let told = all.into_iter().map(|(name, copy)| {
            let copy = copy.unwrap_or_else(|error| failed(before.sections.get(&name), error.to_string()));
            (name, copy)
        });
        told.collect()
    }

    /// Errors if a file is no longer there as it was.
    fn copy_captured(
        &self,
        captured: Captured<'_>,
        before: &Manifest,
        sender: &Sender<'_>,
    ) -> Result<Vec<(String, SectionCopy)>, FileError> {
        let all = self.each_captured(captured, before, sender).into_iter();
        let copies = all.map(|(name, copy)| match copy {
            Err(SnapshotError::File(error)) if error.is_missing() => Err(error),
            Err(error) => {
                let copy = failed(before.sections.get(&name), error.to_string());
                Ok((name, copy))
            }
            Ok(copy) => Ok((name, copy)),
        });
        copies.collect()
    }

    fn each_captured(
        &self,
        captured: Captured<'_>,
        before: &Manifest,
        sender: &Sender<'_>,
    ) -> Vec<(String, Result<SectionCopy, SnapshotError>)> {
        let mut copies = Vec::new();
        for (place, snapshot) in captured.streams {
            let copy = snapshot.and_then(|snapshot| self.copy_stream(place, &snapshot, before, sender));
            copies.push((place.kind.name.to_owned(), copy));
        }
        if let Some(snapshot) = captured.evidence {
            let copy = snapshot.and_then(|snapshot| {
                let copier = self.section(EVIDENCE, &snapshot, before, sender, &|_| false);
                Ok(copier.copy("", "")?)
            });
            copies.push((EVIDENCE.to_owned(), copy));
        }
        copies
    }

    fn copy_stream(
        &self,
        place: &StreamPlace,
        snapshot: &Snapshot,
        before: &Manifest,
        sender: &Sender<'_>,
    ) -> Result<SectionCopy, SnapshotError> {
        let (name, location) = (place.kind.name, &place.location);
        let sum = Journal::of(location).past(Wanted::Stream(name))?.sum(None);
        let is_expired = |date: NaiveDate| sum.is_expired(date);
        let copier = self.section(name, snapshot, before, sender, &is_expired);
        Ok(copier.copy(location.base(), location.extension())?)
    }

    fn section<'s>(
        &'s self,
        name: &'s str,
        snapshot: &'s Snapshot,
        before: &'s Manifest,
        sender: &'s Sender<'_>,
        is_expired: &'s dyn Fn(NaiveDate) -> bool,
    ) -> SectionCopier<'s> {
        SectionCopier {
            files: FileCopier {
                sender,
                section: name,
                shutdown: self.shutdown,
            },
            snapshot,
            before: before.sections.get(name),
            is_expired,
        }
    }
}

/// Takes all that is to be copied: the evidence says nothing of a stream that is not in it, and nothing of the streams is in it that is
/// not told.
fn capture<'a>(places: &'a [StreamPlace], evidence: Option<&Path>) -> Captured<'a> {
    let mut captured = capture_once(places, evidence);
    for _ in 1..TRIES {
        let is_same = match (evidence, &captured.evidence) {
            (Some(folder), Some(Ok(taken))) => is_still(folder, taken).unwrap_or(true),
            _ => true,
        };
        if is_same {
            break;
        }
        captured = capture_once(places, evidence);
    }
    captured
}

fn capture_once<'a>(places: &'a [StreamPlace], evidence: Option<&Path>) -> Captured<'a> {
    let evidence = evidence.map(of_evidence);
    let streams = places.iter().map(|place| (place, of_stream(&place.location)));
    Captured {
        streams: streams.collect(),
        evidence,
    }
}

/// A section that stays as an earlier copy has it.
fn failed(before: Option<&Section>, problem: String) -> SectionCopy {
    SectionCopy {
        section: before.cloned().unwrap_or_default(),
        files: Vec::new(),
        problems: vec![problem],
    }
}

fn shown(name: &str, copy: &SectionCopy) -> CopiedSection {
    let sent = copy.files.iter().map(|file| file.sent.load(Ordering::Relaxed));
    CopiedSection {
        name: name.to_owned(),
        files: copy.section.files.len() as u64,
        bytes: copy.section.files.values().map(|file| file.bytes).sum(),
        sent_files: sent.clone().filter(|sent| *sent > 0).count() as u64,
        sent_bytes: sent.sum(),
        problems: copy.problems.clone(),
    }
}

/// Reads the newest manifest; `None` if there is none.
///
/// # Errors
/// If the store cannot be read, or the manifest.
pub(super) fn newest(store: &dyn Store) -> Result<Option<Manifest>, CopyError> {
    let names = store.list(FOLDER)?;
    let newest = names.keys().filter_map(|name| Manifest::number_of(name)).max();
    newest.map_or(Ok(None), |number| numbered(store, number))
}

/// Reads the manifest with this number; `None` if there is none.
///
/// # Errors
/// As of [`newest`].
pub(super) fn numbered(store: &dyn Store, number: u64) -> Result<Option<Manifest>, CopyError> {
    let object = Manifest::object(number);
    let Some(text) = store.get(&object)? else {
        return Ok(None);
    };
    match Manifest::parse(&text) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(cause) => Err(CopyError::Manifest { object, cause }),
    }
}

/// Whether a location is where a section belongs: its files have these names.
pub(super) fn is_of(section: &Section, location: &Location) -> bool {
    section.base == location.base() && section.extension == location.extension()
}
