//! What others have said of checkpoints: cosignatures of the witnesses that a policy names, in notes of their own or in a checkpoint.

use chrono::{DateTime, Utc};

use super::checkpoint::Checkpoint;
use super::note::Note;
use super::quorum::Quorum;

/// That a witness has seen a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) size: u64,
    /// The name and the public key of the witness.
    pub(crate) witness: String,
    pub(crate) key: String,
    /// When, by the clock of the witness.
    pub(crate) at: DateTime<Utc>,
    /// What it has seen.
    pub(super) checkpoint: Checkpoint,
}

/// The newest checkpoint that the quorum of a policy has cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchored {
    pub(crate) size: u64,
    /// When the last of the witnesses has seen it.
    pub(crate) at: DateTime<Utc>,
}

/// Returns what the witnesses of a quorum say in a note; nothing if it is none of theirs.
pub(super) fn anchors_of(text: &str, quorum: &Quorum) -> Vec<Anchor> {
    let note = Note::parse(text).ok();
    let Some((note, checkpoint)) =
        note.and_then(|note| Checkpoint::of_note(&note).map(|checkpoint| (note, checkpoint)))
    else {
        return Vec::new();
    };
    let anchors = quorum.witnesses().filter_map(|key| {
        let at = note.cosigned_at(key)?;
        Some(Anchor {
            size: checkpoint.size,
            witness: key.name().to_owned(),
            key: key.to_string(),
            at,
            checkpoint: checkpoint.clone(),
        })
    });
    anchors.collect()
}

/// Returns the newest checkpoint that enough of these have cosigned.
pub(super) fn anchored(anchors: &[Anchor], quorum: &Quorum) -> Option<Anchored> {
    quorum.needed()?;
    let mut sizes: Vec<_> = anchors.iter().map(|anchor| anchor.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let is_met = |size: &u64| {
        let of_size = |key: &str| anchors.iter().any(|anchor| anchor.size == *size && anchor.key == key);
        quorum.is_met(|key| of_size(&key.to_string()))
    };
    let size = sizes.into_iter().rev().find(is_met)?;
    let times = anchors
        .iter()
        .filter(|anchor| anchor.size == size)
        .map(|anchor| anchor.at);
    Some(Anchored { size, at: times.max()? })
}
