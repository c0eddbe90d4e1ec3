//! Finds a line in the archive and writes its proof.

use std::ops::ControlFlow;

use super::checkpoint::Checkpoint;
use super::entry::FileId;
use super::folder::Folder;
use super::ledger::{Ledger, Sealed};
use super::material::Material;
use super::proof::Proof;
use super::tree::{Hash, Tree, leaf, path};
use crate::archive::{LineCounter, Location, day_of_name, while_files_move};
use crate::config::StreamPlace;
use crate::fs::FileError;
use crate::output::table::rfc3339;
use crate::record::Reader;

/// The line to prove.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// That of the record with this id; the first one, if several versions of it are kept.
    Id(String),
    /// The line with this number, from 1, of this file.
    Line(String, u64),
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProveError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} holds no log: `trailkeeper evidence keygen` begins one")]
    NoLog(String),
    #[error("the log in {0} is not as it was signed: `trailkeeper verify --evidence` says what is wrong")]
    NotAsSigned(String),
    #[error("no record of this stream has the id {0}, or it is not sealed yet: `trailkeeper seal` seals what is new")]
    NoRecord(String),
    #[error("no record of this stream that is still there has the id {id}; {gone}")]
    NoRecordLeft { id: String, gone: String },
    #[error("{file} has no line {line}, or it is not sealed yet: `trailkeeper seal` seals what is new")]
    NoLine { file: String, line: u64 },
    #[error("{0} is not what was sealed: `trailkeeper verify --evidence` says where")]
    Changed(String),
    #[error("{file} was deleted for its age on {at} ({reason}): nothing of it can be proved any more")]
    Expired { file: String, at: String, reason: String },
    #[error("{file} was acknowledged as broken ({reason}): what stands in it proves nothing")]
    Broken { file: String, reason: String },
}

/// Proves a line of a stream.
///
/// # Errors
/// If there is no such line, it is not sealed, or the file or the log is not what was sealed.
pub(crate) fn prove(folder: &Folder, place: &StreamPlace, wanted: &Wanted) -> Result<Proof, ProveError> {
    let shown = || folder.path().display().to_string();
    let content = folder.read()?.ok_or_else(|| ProveError::NoLog(shown()))?;
    let checkpoint = Checkpoint::unverified(&content.checkpoint).ok_or_else(|| ProveError::NotAsSigned(shown()))?;
    let log: Vec<Hash> = content.lines(checkpoint.size).map(leaf).collect();
    let is_as_signed = content
        .tree_of(checkpoint.size)
        .is_some_and(|(tree, _)| tree.root() == checkpoint.root);
    if !is_as_signed {
        return Err(ProveError::NotAsSigned(shown()));
    }
    let ledger = Ledger::read(content.lines(checkpoint.size));
    let (id, number) = find(place, &ledger, wanted)?;
    let history = ledger.files.get(&id);
    if let Some(broken) = history.and_then(|history| history.broken.last()) {
        return Err(ProveError::Broken {
            file: id.file,
            reason: broken.reason.escape_debug().to_string(),
        });
    }
    let expired = history.and_then(|history| history.expired.as_ref());
    if let Some(expired) = expired.filter(|_| !is_there(place, &id.file)) {
        return Err(ProveError::Expired {
            file: id.file,
            at: rfc3339(expired.at),
            reason: expired.reason.escape_debug().to_string(),
        });
    }
    let sealed = history.and_then(|history| history.newest());
    let sealed = sealed.filter(|sealed| (1..=sealed.content.lines).contains(&number));
    let sealed = sealed.ok_or_else(|| ProveError::NoLine {
        file: id.file.clone(),
        line: number,
    })?;
    let (leaves, line) = leaves(place, &id, sealed, number)?;
    let entry = usize::try_from(sealed.entry)
        .ok()
        .and_then(|number| content.lines(checkpoint.size).nth(number));
    Ok(Proof {
        index: sealed.entry,
        entry_path: path(&log, sealed.entry as usize),
        checkpoint: content.cosigned_checkpoint(),
        line_number: number,
        line_path: path(&leaves, number as usize - 1),
        entry: entry.unwrap_or_default().to_owned(),
        line,
    })
}

/// Returns the file and the number of the line.
fn find(place: &StreamPlace, ledger: &Ledger, wanted: &Wanted) -> Result<(FileId, u64), ProveError> {
    let in_stream = |file: &str| FileId {
        stream: place.kind.name.to_owned(),
        file: file.to_owned(),
    };
    let id = match wanted {
        Wanted::Line(file, number) => return Ok((in_stream(file), *number)),
        Wanted::Id(id) => id,
    };
    let files = ledger
        .files
        .iter()
        .rev()
        .filter(|(file, _)| file.stream == place.kind.name);
    for (file, history) in files {
        let lines = history.newest().map_or(0, |sealed| sealed.content.lines);
        if let Some(material) = material(place, &file.file)?
            && let Some(number) = number_of(place, &material, id)?.filter(|number| *number <= lines)
        {
            return Ok((file.clone(), number));
        }
    }
    Err(no_record(place, ledger, id))
}

/// Says that no record has an id, and which days are gone that may have had one.
fn no_record(place: &StreamPlace, ledger: &Ledger, id: &str) -> ProveError {
    let of_stream = ledger.files.iter().filter(|(file, _)| file.stream == place.kind.name);
    let mut gone: Vec<_> = of_stream
        .filter_map(|(file, history)| Some((day_of_name(&file.file)?, &file.file, history.expired.as_ref()?)))
        .filter(|(_, file, _)| !is_there(place, file))
        .collect();
    gone.sort_by_key(|(date, ..)| *date);
    let id = id.to_owned();
    let (Some((first, ..)), Some((last, file, expired))) = (gone.first(), gone.last()) else {
        return ProveError::NoRecord(id);
    };
    let (days, at, reason) = (gone.len(), rfc3339(expired.at), expired.reason.escape_debug());
    let gone = format!(
        "if it was of a day from {first} to {last}, that was deleted for its age, and nothing of it can be proved any more. {days} days \
         were, the last one, {file}, on {at}: {reason}"
    );
    ProveError::NoRecordLeft { id, gone }
}

/// Returns the number of the first line whose record has an id.
fn number_of(place: &StreamPlace, material: &Material, id: &str) -> Result<Option<u64>, FileError> {
    let finder = memchr::memmem::Finder::new(id.as_bytes());
    let mut reader = Reader::new(place.kind.shape);
    let (mut number, mut found) = (0, None);
    material.lines(|line| {
        number += 1;
        // An id may be written with escapes.
        let may_be = finder.find(line).is_some() || memchr::memchr(b'\\', line).is_some();
        let text = std::str::from_utf8(line).ok().filter(|_| may_be);
        let read = text.and_then(|text| reader.identify_with_id(text).ok());
        if read.is_some_and(|(_, found)| found.as_deref() == Some(id)) {
            found = Some(number);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Returns the hashes of the lines that were sealed, and one of the lines.
fn leaves(place: &StreamPlace, id: &FileId, sealed: Sealed, number: u64) -> Result<(Vec<Hash>, Vec<u8>), ProveError> {
    let changed = || ProveError::Changed(id.file.clone());
    let material = material(place, &id.file)?.ok_or_else(changed)?;
    let (mut leaves, mut wanted, mut tree) = (Vec::new(), Vec::new(), Tree::default());
    material.lines(|line| {
        if tree.size() == sealed.content.lines {
            return ControlFlow::Break(());
        }
        let hash = leaf(line);
        leaves.push(hash);
        tree.push(hash);
        if tree.size() == number {
            wanted = line.to_owned();
        }
        ControlFlow::Continue(())
    })?;
    if tree.size() != sealed.content.lines || tree.root() != sealed.content.root {
        return Err(changed());
    }
    Ok((leaves, wanted))
}

/// Returns whether the day that a file is named after has a file.
fn is_there(place: &StreamPlace, name: &str) -> bool {
    let day = place.location.day_of(name).zip(place.location.listing().ok());
    day.is_some_and(|(date, listing)| listing.has(date))
}

/// Returns the files of the day that a file is named after; `None` if it is not a day file.
fn material(place: &StreamPlace, name: &str) -> Result<Option<Material>, FileError> {
    let Some(location) = Location::of_day_file(place.location.folder(), name) else {
        return Ok(None);
    };
    let Some(date) = location.day_of(name) else {
        return Ok(None);
    };
    while_files_move(|| {
        let listing = location.listing()?;
        // What cannot be what was sealed is found by its root.
        Material::of_day(&listing, date, &mut LineCounter::of(&location)).map(Result::ok)
    })
}
