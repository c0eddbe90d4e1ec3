//! Writes the files of a bundle.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chrono::{DateTime, Utc};

use super::format::Format;
use super::hashing::{HashedFile, hash_of, hash_of_stored};
use super::manifest::{AskedQuery, FileEntry, Manifest};
use super::page;
use super::part::{Part, Source};
use super::record_file::RecordFile;
use crate::fs::{FileError, NewFolder};
use crate::output::progress::ReadProgress;
use crate::process::shutdown::Shutdown;
use crate::search::{Files, Finder, Found, SourceFile};
use crate::source::Kind;

/// It holds personal data: its owner and group can read it, as they can read the records.
const FILE_MODE: u32 = 0o640;

const PAGE: &str = "about.html";
const SUMS: &str = "SHA256SUMS";
/// It is named last: where it is, all others are.
const MANIFEST: &str = "manifest.json";

/// A bundle was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot write the manifest: {0}")]
    Manifest(#[from] serde_json::Error),
    #[error("the export was interrupted, and nothing is left of it")]
    Interrupted,
}

/// A bundle that is being written.
pub(crate) struct Bundle<'a> {
    pub(crate) folder: NewFolder,
    pub(crate) format: Format,
    pub(crate) asked: AskedQuery,
    pub(crate) parts: Vec<Part>,
    /// The name of this machine; empty if it has none.
    pub(crate) host: String,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) now: DateTime<Utc>,
}

/// What each of the files searched hashes to, or why that is not known.
type Sources = Vec<(&'static Kind, Result<Source, String>)>;

impl Bundle<'_> {
    /// Writes what is found in the files.
    ///
    /// # Errors
    /// If a file cannot be written, or a shutdown was requested: then nothing is left of it.
    pub(crate) fn write(
        mut self,
        finder: &Finder<'_>,
        files: &Files,
        progress: &ReadProgress,
    ) -> Result<Manifest, ExportError> {
        for unsearched in &files.problems {
            let kind = unsearched.kind.name;
            let part = self.parts.iter_mut().find(|part| part.kind.name == kind);
            part.into_iter().for_each(|part| part.fail(&unsearched.problem));
        }
        let (shutdown, has_failed) = (self.shutdown, AtomicBool::new(false));
        let is_over = || shutdown.is_requested() || has_failed.load(Ordering::Relaxed);
        let (entries, sources) = thread::scope(|scope| {
            // Beside the search, while what it has read is still in memory.
            let hashing = scope.spawn(|| hashes(&files.found, &is_over));
            let entries = self.write_records(finder, files, progress);
            has_failed.store(entries.is_err(), Ordering::Relaxed);
            let sources = hashing.join().map_err(|_| ExportError::Interrupted);
            Ok::<_, ExportError>((entries?, sources?))
        })?;
        if shutdown.is_requested() {
            return Err(ExportError::Interrupted);
        }
        self.note_sources(sources);
        self.finish(entries)
    }

    /// Writes a file of records for each stream.
    fn write_records(
        &mut self,
        finder: &Finder<'_>,
        files: &Files,
        progress: &ReadProgress,
    ) -> Result<Vec<FileEntry>, ExportError> {
        let mut open = BTreeMap::new();
        for part in &mut self.parts {
            part.file = format!("{}.{}", part.kind.name, self.format.name());
            let file = self.folder.create(&part.file, FILE_MODE)?;
            let file = RecordFile::begin(self.format, file).map_err(|cause| failed(&self.folder, &part.file, cause))?;
            open.insert(part.kind.name, (part, file));
        }
        let (folder, format) = (&self.folder, self.format);
        let mut outcome = Ok(());
        finder.find(
            files,
            progress,
            |kind, line, record, text| format.render(kind, line, record, text),
            |found| {
                outcome = take(&found, &mut open, folder);
                if outcome.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            },
        );
        outcome?;
        let entries = open.into_values().map(|(part, file)| {
            let written = file.finish().map_err(|cause| failed(folder, &part.file, cause))?;
            part.repaired = written.repaired;
            Ok(FileEntry {
                name: part.file.clone(),
                bytes: written.bytes,
                sha256: written.sha256,
            })
        });
        entries.collect()
    }

    fn note_sources(&mut self, sources: Sources) {
        for (kind, source) in sources {
            let Some(part) = self.parts.iter_mut().find(|part| part.kind.name == kind.name) else {
                continue;
            };
            match source {
                Ok(source) => part.sources.push(source),
                Err(problem) => part.fail(&problem),
            }
        }
    }

    /// Writes the page, the list of hashes and the manifest, and gives all files their names.
    fn finish(self, entries: Vec<FileEntry>) -> Result<Manifest, ExportError> {
        let Self {
            mut folder,
            format,
            asked,
            mut parts,
            host,
            now,
            ..
        } = self;
        parts.iter_mut().for_each(Part::judge);
        let mut manifest = Manifest::new(now, host, asked, format, parts);
        manifest.files = entries;
        let page = page::render(&manifest);
        let page = write_file(&mut folder, PAGE, page.as_bytes())?;
        manifest.files.push(page);
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        let hash = hash_of(text.as_bytes());
        let hashes = manifest.files.iter().map(|file| (&*file.sha256, &*file.name));
        let lines = hashes
            .chain([(&*hash, MANIFEST)])
            .map(|(hash, name)| format!("{hash}  {name}\n"));
        write_file(&mut folder, SUMS, lines.collect::<String>().as_bytes())?;
        write_file(&mut folder, MANIFEST, text.as_bytes())?;
        folder.finish()?;
        Ok(manifest)
    }
}

/// Writes what was found in one read.
fn take(
    found: &Found<'_>,
    open: &mut BTreeMap<&'static str, (&mut Part, RecordFile)>,
    folder: &NewFolder,
) -> Result<(), ExportError> {
    let Some((part, file)) = open.get_mut(found.kind.name) else {
        return Ok(());
    };
    match &found.result {
        Ok(matches) => {
            matches.times().for_each(|time| part.count(time));
            let written = file.write(matches.text());
            written.map_err(|cause| failed(folder, &part.file, cause))
        }
        Err(error) => {
            part.fail(&error.to_string());
            Ok(())
        }
    }
}

/// Hashes the files that are searched, as far as they are.
fn hashes(files: &[SourceFile], is_over: &(impl Fn() -> bool + Sync)) -> Sources {
    let hashed = files.iter().take_while(|_| !is_over()).map(|source| {
        let SourceFile { kind, file, length, .. } = source;
        let hash = match hash_of_stored(file, *length, is_over) {
            Ok(Some(sha256)) => Ok(Source {
                file: file.name(),
                bytes: *length,
                sha256,
            }),
            Ok(None) => Err(format!("{} has become shorter while it was read", file.path.display())),
            Err(error) => Err(error.to_string()),
        };
        (*kind, hash)
    });
    hashed.collect()
}

/// Writes a whole file.
fn write_file(folder: &mut NewFolder, name: &str, bytes: &[u8]) -> Result<FileEntry, ExportError> {
    let mut file = HashedFile::new(folder.create(name, FILE_MODE)?);
    let written = file.write_all(bytes).and_then(|()| file.finish());
    let (bytes, sha256) = written.map_err(|cause| failed(folder, name, cause))?;
    Ok(FileEntry {
        name: name.to_owned(),
        bytes,
        sha256,
    })
}

fn failed(folder: &NewFolder, name: &str, cause: io::Error) -> ExportError {
    FileError::io("write to", &folder.path().join(name), cause).into()
}
