//! Restores a copy into empty folders. Each byte is compared with the manifest: as it comes, and as it stands on disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::copier::{CopyError, is_of, newest, numbered};
use super::manifest::{CopiedFile, EVIDENCE, Manifest, Section};
use super::snapshot::evidence_location;
use super::store::{Store, StoreError};
use crate::archive::{Location, LockError, Restoring};
use crate::config::StreamPlace;
use crate::fs::{FileError, Sha256, sha256};
use crate::process::shutdown::Shutdown;

/// How many files are restored at a time.
const AT_ONCE: usize = 4;

/// A copy was not restored, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("cannot note what is restored: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the copy has files {copied}_….{copied_extension} of {stream}, and the settings say {base}_….{extension}")]
    OtherNames {
        stream: &'static str,
        copied: String,
        copied_extension: String,
        base: String,
        extension: String,
    },
    #[error("the copy has nothing of {0}")]
    NotCopied(String),
    #[error("{folder} holds what was begun to be restored of another copy: go on with that, or empty the folder")]
    OtherCopy { folder: String },
    #[error("{object} is missing in the copy")]
    Missing { object: String },
    #[error("{object} is not what was copied: its bytes have another hash than the manifest says")]
    Differs { object: String },
    #[error("{path} is not what was written when it is read back: the disk is not to be trusted")]
    NotAsWritten { path: String },
    #[error("interrupted: the same command goes on")]
    Interrupted,
}

impl RestoreError {
    /// Whether another process is at work there.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_held())
    }

    /// Whether the copy is not what it should be.
    pub(crate) fn is_of_copy(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Differs { .. }
                | Self::NotAsWritten { .. }
                | Self::Copy(CopyError::Manifest { .. })
        )
    }
}

/// What an unfinished restoring has noted: it goes on with the same copy.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    from: String,
    copy: u64,
    /// Whether all of it is there, so that folders without such a note are finished, and may have been used since.
    #[serde(default)]
    is_whole: bool,
}

/// What was restored of a stream, or of the evidence.
#[derive(Debug)]
pub(crate) struct RestoredSection {
    pub(crate) name: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Files that an interrupted restoring had written already.
    pub(crate) there: u64,
}

/// What was restored.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) number: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) sections: Vec<RestoredSection>,
}

/// Restores copies of a store.
#[derive(Debug)]
pub(crate) struct Restorer<'a> {
    pub(crate) store: &'a dyn Store,
    /// What the store is called.
    pub(crate) from: &'a str,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) now: DateTime<Utc>,
}

/// Where a section of the copy is restored.
struct Target<'a> {
    name: &'a str,
    location: Location,
    section: &'a Section,
}

impl Target<'_> {
    /// What it came to, of which so many files were there.
    fn restored(&self, there: u64) -> RestoredSection {
        RestoredSection {
            name: self.name.to_owned(),
            files: self.section.files.len() as u64,
            bytes: self.section.files.values().map(|file| file.bytes).sum(),
            there,
        }
    }
}

impl Restorer<'_> {
    /// Restores streams, and the evidence if there is some, where the settings have them.
    ///
    /// # Errors
    /// If a folder is not empty, the copy is not what it should be, or the system refuses. What was written stays: the next
    /// restoring goes on.
    pub(crate) fn restore(&self, places: &[StreamPlace], evidence: Option<&Path>) -> Result<Restored, RestoreError> {
        let noted = self.noted(places, evidence)?;
        let is_whole = noted.as_ref().is_some_and(|note| note.is_whole);
        let manifest = self.manifest(noted.as_ref())?;
        let targets = targets(&manifest, places, evidence)?;
        let note = |is_whole| {
            serde_json::to_vec(&Note {
                from: self.from.to_owned(),
                copy: manifest.number,
                is_whole,
            })
        };
        let begin = |target: &Target<'_>| -> Result<Option<Restoring>, RestoreError> {
            if is_whole && !Restoring::is_begun(&target.location)? {
                return Ok(None);
            }
            Ok(Some(Restoring::begin(&target.location, &note(is_whole)?, self.now)?))
        };
        // All of them say that they are not whole before one is begun, and none that it is before all are.
        let begun = targets.iter().map(|target| Ok((target, begin(target)?)));
        let begun = begun.collect::<Result<Vec<_>, RestoreError>>()?;
        let mut sections = Vec::new();
        for (target, restoring) in &begun {
            sections.push(match restoring {
                Some(restoring) => self.fill(target, restoring)?,
                None => target.restored(target.section.files.len() as u64),
            });
        }
        let of_all = note(true)?;
        let copy = format!("{} at {}", manifest.number, self.from);
        for (target, restoring) in &begun {
            if let Some(restoring) = restoring.as_ref().filter(|_| target.name != EVIDENCE) {
                restoring.note_copy(&copy)?;
            }
            let names: BTreeSet<_> = target.section.files.keys().map(String::as_str).collect();
            restoring
                .iter()
                .try_for_each(|restoring| restoring.settle(&names, &of_all))?;
        }
        for restoring in begun.into_iter().filter_map(|(_, restoring)| restoring) {
            restoring.finish()?;
        }
        Ok(Restored {
            number: manifest.number,
            at: manifest.at,
            sections,
        })
    }

    /// Returns what unfinished restorings have noted.
    fn noted(&self, places: &[StreamPlace], evidence: Option<&Path>) -> Result<Option<Note>, RestoreError> {
        let evidence = evidence.map(evidence_location).transpose()?;
        let (mut noted, mut in_use): (Option<Note>, _) = (None, None);
        for location in places.iter().map(|place| &place.location).chain(&evidence) {
            let text = match Restoring::unfinished(location) {
                Err(error @ FileError::NotEmpty { .. }) => {
                    in_use.get_or_insert(error);
                    continue;
                }
                found => found?,
            };
            let Some(text) = text else { continue };
            let other = || RestoreError::OtherCopy {
                folder: location.folder().display().to_string(),
            };
            let mut note: Note = serde_json::from_slice(&text).map_err(|_| other())?;
            if note.from != self.from || noted.as_ref().is_some_and(|noted| noted.copy != note.copy) {
                return Err(other());
            }
            note.is_whole |= noted.is_some_and(|noted| noted.is_whole);
            noted = Some(note);
        }
        match in_use {
            Some(error) if !noted.as_ref().is_some_and(|noted| noted.is_whole) => Err(error.into()),
            _ => Ok(noted),
        }
    }

    /// Returns the newest copy, or the one that was begun to be restored.
    fn manifest(&self, noted: Option<&Note>) -> Result<Manifest, RestoreError> {
        let found = match noted {
            Some(note) => numbered(self.store, note.copy)?,
            None => newest(self.store)?,
        };
        Ok(found.ok_or_else(|| CopyError::Nothing(self.from.to_owned()))?)
    }

    fn fill(&self, target: &Target<'_>, restoring: &Restoring) -> Result<RestoredSection, RestoreError> {
        let files = Mutex::new(target.section.files.iter());
        let restored = Mutex::new(Ok(0));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some((name, file)) = next_while_sound(&files, &restored) {
                        note(&restored, self.file(target.name, name, file, restoring));
                    }
                });
            }
        });
        let there = restored.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        Ok(target.restored(there))
    }

    /// Restores a file; returns whether it was there.
    fn file(&self, section: &str, name: &str, file: &CopiedFile, restoring: &Restoring) -> Result<bool, RestoreError> {
        if restoring.has(name, file.bytes, &file.sha256)? {
            return Ok(true);
        }
        let (mut written, mut hash) = (restoring.create(name, file.mode)?, Sha256::new());
        for part in &file.parts {
            if self.shutdown.is_requested() {
                return Err(RestoreError::Interrupted);
            }
            let object = part.object(section, name);
            let Some(bytes) = self.store.get(&object)? else {
                return Err(RestoreError::Missing { object });
            };
            if bytes.len() as u64 != part.bytes || sha256(&bytes).digits() != part.sha256 {
                return Err(RestoreError::Differs { object });
            }
            hash.update(&bytes);
            written.write(&bytes)?;
        }
        let path = written.path().display().to_string();
        written.finish()?;
        if hash.finish().digits() != file.sha256 {
            return Err(RestoreError::Differs {
                object: format!("{section}/{name}"),
            });
        }
        if restoring.has(name, file.bytes, &file.sha256)? {
            Ok(false)
        } else {
            Err(RestoreError::NotAsWritten { path })
        }
    }
}

fn targets<'a>(
    manifest: &'a Manifest,
    places: &[StreamPlace],
    evidence: Option<&Path>,
) -> Result<Vec<Target<'a>>, RestoreError> {
    let mut targets = Vec::new();
    for place in places {
        let name = place.kind.name;
        let Some(section) = manifest.sections.get(name) else {
            return Err(RestoreError::NotCopied(name.to_owned()));
        };
        if !is_of(section, &place.location) {
            return Err(RestoreError::OtherNames {
                stream: name,
                copied: section.base.clone(),
                copied_extension: section.extension.clone(),
                base: place.location.base().to_owned(),
                extension: place.location.extension().to_owned(),
            });
        }
        let location = place.location.clone();
        targets.push(Target {
            name,
            location,
            section,
        });
    }
    // An archive may have been copied before it was sealed.
    let section = manifest.sections.get(EVIDENCE);
    if let (Some(folder), Some(section)) = (evidence, section) {
        targets.push(Target {
            name: EVIDENCE,
            location: evidence_location(folder)?,
            section,
        });
    }
    Ok(targets)
}

type Outcome = Mutex<Result<u64, RestoreError>>;

fn next_while_sound<T>(files: &Mutex<impl Iterator<Item = T>>, restored: &Outcome) -> Option<T> {
    let is_sound = restored.lock().unwrap_or_else(PoisonError::into_inner).is_ok();
    let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next();
    is_sound.then(next).flatten()
}

fn note(restored: &Outcome, file: Result<bool, RestoreError>) {
    let mut restored = restored.lock().unwrap_or_else(PoisonError::into_inner);
    match file {
        Ok(was_there) => {
            if let Ok(there) = restored.as_mut() {
                *there += u64::from(was_there);
            }
        }
        // The first is told.
        Err(error) if restored.is_ok() => *restored = Err(error),
        Err(_) => {}
    }
}
