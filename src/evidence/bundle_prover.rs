//! Proves the lines of a bundle, day by day, against the newest checkpoint.

use std::collections::HashMap;
use std::ops::ControlFlow;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::entry::FileId;
use super::folder::{Folder, FolderContent};
use super::ledger::{Ledger, Sealed};
use super::lines_proof::{LinesProof, ProvenEntry};
use super::material::Material;
use super::tree::{Hash, leaf, path, root};
use crate::archive::{LineCounter, Location, while_files_move};
use crate::fs::FileError;

/// The next lines of a file of records: their proof, or why they have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Segment {
    Proved(LinesProof),
    Unproved { unproved: u64, reason: String },
}

/// A log that proves lines.
pub(crate) struct BundleProver {
    content: FolderContent,
    pub(crate) checkpoint: Checkpoint,
    log: Vec<Hash>,
    ledger: Ledger,
}

/// Shows no entries.
impl std::fmt::Debug for BundleProver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleProver")
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

impl BundleProver {
    /// Reads a log; or says why it proves nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Folder) -> Result<Result<Self, String>, FileError> {
        let Some(content) = folder.read()? else {
            return Ok(Err(format!("{} holds no log", folder.shown())));
        };
        let checkpoint = Checkpoint::unverified(&content.checkpoint);
        let is_as_signed = |checkpoint: &Checkpoint| {
            let tree = content.tree_of(checkpoint.size);
            tree.is_some_and(|(tree, _)| tree.root() == checkpoint.root)
        };
        let Some(checkpoint) = checkpoint.filter(is_as_signed) else {
            return Ok(Err(format!("the log in {} is not as it was signed", folder.shown())));
        };
        Ok(Ok(Self {
            log: content.lines(checkpoint.size).map(leaf).collect(),
            ledger: Ledger::read(content.lines(checkpoint.size)),
            content,
            checkpoint,
        }))
    }

    /// Returns the checkpoint as it stands.
    pub(crate) fn checkpoint_text(&self) -> String {
        self.content.cosigned_checkpoint()
    }

    /// Proves lines of a day, by their leaves, which are in the order of its files.
    pub(crate) fn prove(&self, stream: &str, location: &Location, date: NaiveDate, lines: &[Hash]) -> Vec<Segment> {
        match self.leaves(stream, location, date) {
            Ok((entry, leaves)) => segments(&entry, &leaves, lines),
            Err(reason) => vec![unproved(lines.len(), &reason)],
        }
    }

    /// Returns the newest entry about the file of a day, and the leaves of what it says; or why nothing is proved by it.
    fn leaves(&self, stream: &str, location: &Location, date: NaiveDate) -> Result<(ProvenEntry, Vec<Hash>), String> {
        let id = FileId {
            stream: stream.to_owned(),
            file: location.day_name(date).unwrap_or_default(),
        };
        let history = self.ledger.files.get(&id);
        if let Some(broken) = history.and_then(|history| history.broken.last()) {
            let reason = broken.reason.escape_debug();
            return Err(format!("{} was acknowledged as broken ({reason})", id.file));
        }
        let sealed = history.and_then(|history| history.newest());
        let sealed = sealed.ok_or_else(|| format!("{} is not sealed yet", id.file))?;
        let leaves = sealed_leaves(location, date, sealed).map_err(|error| error.to_string())?;
        let leaves = leaves.ok_or_else(|| format!("{} is not what was sealed", id.file))?;
        let number = sealed.entry as usize;
        let entry = self.content.lines(self.checkpoint.size).nth(number).unwrap_or_default();
        let entry = ProvenEntry {
            entry: String::from_utf8_lossy(entry).into_owned(),
            index: sealed.entry,
            path: path(&self.log, number),
        };
        Ok((entry, leaves))
    }
}

/// Returns the leaves of what was sealed of a day; `None` if it is something else.
fn sealed_leaves(location: &Location, date: NaiveDate, sealed: Sealed) -> Result<Option<Vec<Hash>>, FileError> {
    let read = || {
        let listing = location.listing()?;
        let Ok(material) = Material::of_day(&listing, date, &mut LineCounter::of(location))? else {
            return Ok(None);
        };
        let mut leaves = Vec::new();
        material.lines(|line| {
            if leaves.len() as u64 == sealed.content.lines {
                return ControlFlow::Break(());
            }
            leaves.push(leaf(line));
            ControlFlow::Continue(())
        })?;
        Ok(Some(leaves))
    };
    let leaves: Option<Vec<Hash>> = while_files_move(read)?;
    Ok(leaves.filter(|leaves| leaves.len() as u64 == sealed.content.lines && root(leaves) == sealed.content.root))
}

fn unproved(lines: usize, reason: &str) -> Segment {
    Segment::Unproved {
        unproved: lines as u64,
        reason: reason.to_owned(),
    }
}

/// Finds the lines among the leaves, each behind the one before it, and proves those in a row together.
fn segments(entry: &ProvenEntry, leaves: &[Hash], lines: &[Hash]) -> Vec<Segment> {
    let mut places: HashMap<[u8; 32], Vec<u64>> = HashMap::new();
    for (leaf, place) in leaves.iter().zip(0..) {
        places.entry(leaf.0).or_default().push(place);
    }
    let (mut segments, mut found, mut lacking, mut next) = (Vec::new(), Vec::new(), 0, 0);
    let not_sealed = "these lines are not sealed yet";
    for line in lines {
        let of_line = places.get(&line.0).map_or(&[][..], Vec::as_slice);
        match of_line.get(of_line.partition_point(|place| *place < next)) {
            Some(place) => {
                if lacking > 0 {
                    segments.push(unproved(std::mem::take(&mut lacking), not_sealed));
                }
                found.push(*place);
                next = place + 1;
            }
            None => {
                if !found.is_empty() {
                    segments.push(Segment::Proved(LinesProof::of(
                        entry,
                        leaves,
                        &std::mem::take(&mut found),
                    )));
                }
                lacking += 1;
            }
        }
    }
    if !found.is_empty() {
        segments.push(Segment::Proved(LinesProof::of(entry, leaves, &found)));
    }
    if lacking > 0 {
        segments.push(unproved(lacking, not_sealed));
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_sealed_stand_between_those_that_are() {
        let all: Vec<Hash> = (0..6).map(|n: u8| leaf(&[n])).collect();
        let entry = ProvenEntry {
            entry: String::new(),
            index: 0,
            path: Vec::new(),
        };
        let counts = |lines: &[Hash]| -> Vec<i64> {
            let segments = segments(&entry, &all[..4], lines).into_iter();
            let count = |segment| match segment {
                Segment::Proved(proof) => proof.count() as i64,
                Segment::Unproved { unproved, .. } => -(unproved as i64),
            };
            segments.map(count).collect()
        };
        assert_eq!(counts(&all), [4, -2]);
        assert_eq!(counts(&[all[0], all[5], all[1], all[3]]), [1, -1, 2]);
        // What is out of order is not where it says.
        assert_eq!(counts(&[all[1], all[0]]), [1, -1]);
        assert_eq!(counts(&[]), [0; 0]);
    }
}
