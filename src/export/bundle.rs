//! Writes the files of a bundle.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chrono::{DateTime, Utc};

use super::format::Format;
use super::hashing::{HashedFile, hash_of_stored};
use super::manifest::{AskedQuery, FileEntry, Manifest};
use super::page;
use super::part::{Part, Source};
use super::proofs::{ProofFile, Proofs, ProofsOf};
use super::record_file::RecordFile;
use crate::fs::{FileError, NewFolder, sha256};
use crate::output::progress::ReadProgress;
use crate::process::shutdown::Shutdown;
use crate::search::{Files, Finder, Found, SearchError, SourceFile};
use crate::source::Kind;

/// It holds personal data: nobody but its owner can read it, whatever the folder is.
const FILE_MODE: u32 = 0o600;

/// What the names of the files of records and of their proofs end with, after the name of the stream.
pub(crate) const RECORDS: &str = ".ndjson";
pub(crate) const PROOFS: &str = ".proofs.jsonl";

/// The checkpoint that the proofs lead to.
pub(crate) const CHECKPOINT: &str = "checkpoint";

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
    /// What proves the records, if they are lines of the archive, and that is sealed.
    pub(crate) proofs: Option<Proofs>,
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
        let proofs = self.proofs.as_ref();
        for part in &mut self.parts {
            part.file = format!("{}.{}", part.kind.name, self.format.name());
            let file = self.folder.create(&part.file, FILE_MODE)?;
            let file = RecordFile::begin(self.format, file).map_err(|cause| failed(&self.folder, &part.file, cause))?;
            let name = format!("{}{PROOFS}", part.kind.name);
            let proofs = proofs.map(|proofs| {
                let file = HashedFile::new(self.folder.create(&name, FILE_MODE)?);
                Ok::<_, ExportError>(ProofFile::begin(proofs, part.kind.name, &name, file))
            });
            open.insert(part.kind.name, (part, file, proofs.transpose()?));
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
        let mut entries = Vec::new();
        for (part, file, proofs) in open.into_values() {
            let (bytes, sha256) = file.finish().map_err(|cause| failed(folder, &part.file, cause))?;
            let name = part.file.clone();
            entries.push(FileEntry { name, bytes, sha256 });
            if let Some(proofs) = proofs {
                let (bytes, sha256, counts) = proofs.finish().map_err(|cause| failed(folder, PROOFS, cause))?;
                let name = counts.file.clone();
                entries.push(FileEntry { name, bytes, sha256 });
                part.proofs = Some(counts);
            }
        }
        Ok(entries)
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
            proofs,
            host,
            now,
            ..
        } = self;
        parts.iter_mut().for_each(Part::judge);
        let mut manifest = Manifest::new(now, host, asked, format, parts);
        manifest.files = entries;
        if let Some(Proofs { prover, .. }) = proofs {
            let checkpoint = write_file(&mut folder, CHECKPOINT, prover.checkpoint_text().as_bytes())?;
            manifest.files.push(checkpoint);
            manifest.proofs = Some(ProofsOf {
                origin: prover.checkpoint.origin,
                size: prover.checkpoint.size,
                checkpoint: CHECKPOINT,
            });
        }
        let page = page::render(&manifest);
        let page = write_file(&mut folder, PAGE, page.as_bytes())?;
        manifest.files.push(page);
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        let hash = sha256(text.as_bytes()).digits();
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

/// What is being written of each stream.
type Open<'a> = BTreeMap<&'static str, (&'a mut Part, RecordFile, Option<ProofFile<'a>>)>;

/// Writes what was found in one read.
fn take(found: &Found<'_>, open: &mut Open<'_>, folder: &NewFolder) -> Result<(), ExportError> {
    let Some((part, file, proofs)) = open.get_mut(found.kind.name) else {
        return Ok(());
    };
    match &found.result {
        Ok(matches) => {
            part.count_lines(found.file.date, matches.lines());
            matches.times().for_each(|time| part.count(time));
            part.repaired += matches.repaired(matches.count());
            let mut written = file.write(matches.text());
            if let Some(proofs) = proofs {
                written = written.and_then(|()| proofs.add(found.file.date, matches.text()));
            }
            written.map_err(|cause| failed(folder, &part.file, cause))
        }
        Err(error) => {
            part.fail(&error.to_string());
            if let SearchError::NotRecords { lines, .. } = error {
                part.not_records += lines.count;
            }
            Ok(())
        }
    }
}

/// Hashes the files that are searched, as far as they are.
fn hashes(files: &[SourceFile], is_over: &(impl Fn() -> bool + Sync)) -> Sources {
    let hashed = files.iter().map_while(|source| {
        let hashed = hash_of_source(source, is_over).map_err(|error| error.to_string());
        Some((source.kind, hashed.transpose()?))
    });
    hashed.collect()
}

/// Hashes a file, or what has taken its place if another program has compressed or unpacked it; `None` if it is over before.
fn hash_of_source(source: &SourceFile, is_over: &impl Fn() -> bool) -> Result<Option<Source>, FileError> {
    let (mut file, mut stamp, mut length) = (source.file.clone(), source.stamp, source.length);
    let mut hash = hash_of_stored(&file, &stamp, length, is_over);
    if hash.as_ref().is_err_and(FileError::is_missing)
        && let Some(other) = file.in_other_form()
    {
        (stamp, length) = other.extent(|_| false)?;
        hash = hash_of_stored(&other, &stamp, length, is_over);
        file = other;
    }
    let hash = hash?;
    Ok(hash.map(|hash| Source {
        file: file.name(),
        bytes: length,
        sha256: hash.digits(),
    }))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::config::StreamPlace;
    use crate::process::shutdown;
    use crate::search::{Order, Place, Query};
    use crate::source::SOURCES;
    use crate::test_support::Catalog;
    use crate::test_support::packed::gzip;
    use crate::window::Window;

    const DAY: &str = "2025-06-09";

    /// Exports two records, and does something to their file after it was listed.
    fn exported(disturb: impl FnOnce(&PathBuf, &str)) -> Manifest {
        let line = "{\"eventType\": \"x\", \"date\": \"2025-06-09T10:00:00Z\", \"userLogin\": \"a\"}\n";
        let (catalog, content) = (Catalog::new(), format!("{line}{}", line.replace(":00Z", ":01Z")));
        catalog.write(DAY, &content);
        let from: DateTime<Utc> = "2025-06-09T00:00:00Z".parse().unwrap();
        let span = Window::new(from, from + chrono::TimeDelta::days(1));
        let query = Query {
            times: span.from..span.to,
            filters: Vec::new(),
            is_inverted: false,
            ignores_case: false,
        };
        let (kind, location) = (&SOURCES[0], catalog.location.clone());
        let places = std::iter::once(Place {
            kind,
            location: &location,
        });
        let files = Files::list(&query.times, Order::OldestFirst, places);
        disturb(&catalog.path(DAY), &content);
        let place = StreamPlace {
            organization: None,
            kind,
            location: location.clone(),
            keep: None,
        };
        let (_trigger, shutdown) = shutdown::channel();
        let finder = Finder {
            query: &query,
            order: Order::OldestFirst,
            limit: None,
            checks_all: true,
            shutdown: Some(&shutdown),
        };
        let to = tempfile::tempdir().unwrap();
        let bundle = Bundle {
            folder: NewFolder::make(&to.path().join("bundle")).unwrap(),
            format: Format::Ndjson,
            asked: AskedQuery {
                since: span.from,
                until: span.to,
                filters: Vec::new(),
            },
            parts: vec![Part::begin(&place, None, (span, false), span.to)],
            proofs: None,
            host: String::new(),
            shutdown: &shutdown,
            now: span.to,
        };
        bundle.write(&finder, &files, &ReadProgress::hidden()).unwrap()
    }

    #[test]
    fn a_file_that_loses_bytes_or_is_replaced_is_named_once_and_its_hash_is_not_that_of_a_source() {
        type Disturb = fn(&PathBuf, &str);
        let disturbances: [(Disturb, &str); 4] = [
            (
                |path, content| fs::write(path, &content[..content.len() / 2]).unwrap(),
                "become shorter",
            ),
            (|path, _| fs::write(path, "").unwrap(), "become shorter"),
            (
                |path, content| {
                    fs::write(path.with_extension("new"), content).unwrap();
                    fs::rename(path.with_extension("new"), path).unwrap();
                },
                "another file has taken its place",
            ),
            (|path, _| fs::remove_file(path).unwrap(), "cannot open"),
        ];
        for (disturb, word) in disturbances {
            let manifest = exported(disturb);
            let [part] = manifest.streams() else {
                panic!("one stream")
            };
            let not_read = &part.not_read;
            assert!(
                not_read.len() == 1 && not_read[0].contains(word),
                "{word}: {not_read:?}"
            );
            assert!(part.has_failed() && !part.is_complete() && part.sources.is_empty());
        }
    }

    #[test]
    fn a_file_that_grows_or_is_compressed_is_read_whole() {
        type Disturb = fn(&PathBuf, &str);
        let disturbances: [(Disturb, &str); 3] = [
            (|_, _| {}, "mail_2025-06-09.log"),
            (
                |path, content| fs::write(path, format!("{content}{{}}\n")).unwrap(),
                "mail_2025-06-09.log",
            ),
            (
                |path, content| {
                    fs::write(path.with_extension("log.gz"), gzip(content.as_bytes())).unwrap();
                    fs::remove_file(path).unwrap();
                },
                "mail_2025-06-09.log.gz",
            ),
        ];
        for (disturb, name) in disturbances {
            let manifest = exported(disturb);
            let [part] = manifest.streams() else {
                panic!("one stream")
            };
            assert_eq!((part.records(), &part.not_read[..]), (2, &[][..]));
            assert_eq!(part.sources[0].file, name);
        }
    }
}
