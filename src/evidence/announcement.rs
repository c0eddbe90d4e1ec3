//! Checkpoints in a Kafka topic: which one is still to be sent there, and where those are that were.

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::folder::{ANCHORS, Folder, read_text};
use crate::fs::{FileError, list, make_folder, replace};

/// Mode of what is kept.
const MODE: u32 = 0o640;

/// What the names of the files end with that say where a checkpoint is, after its size.
const SUFFIX: &str = ".kafka";

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// A checkpoint that was sent, by what the broker said when it took it; nobody has looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// How many entries it has.
    pub(crate) size: u64,
    pub(crate) place: Place,
}

/// The newest checkpoint, which is not in the topic yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unannounced {
    pub(crate) size: u64,
    /// The name of the log, and the signed checkpoint as it stands.
    pub(crate) origin: String,
    pub(crate) note: String,
}

impl Unannounced {
    /// Returns the newest checkpoint if no note says that it is in this topic.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn newest(folder: &Folder, topic: &str) -> Result<Option<Self>, FileError> {
        let Some(note) = folder.newest_checkpoint()? else {
            return Ok(None);
        };
        let Some(Checkpoint { size, origin, .. }) = Checkpoint::unverified(&note) else {
            return Ok(None);
        };
        let is_there = place(folder, size)?.is_some_and(|place| place.topic == topic);
        Ok((!is_there).then_some(Self { size, origin, note }))
    }

    /// Notes where the broker has put it.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(crate) fn keep(&self, folder: &Folder, place: &Place) -> Result<(), FileError> {
        let anchors = folder.file(ANCHORS);
        make_folder(&anchors)?;
        let path = anchors.join(format!("{}{SUFFIX}", self.size));
        let text = serde_json::to_string(place).map_err(|error| FileError::io("write to", &path, error.into()))?;
        replace(&path, MODE, format!("{text}\n").as_bytes())
    }
}

/// Finds the checkpoints that were sent, the smallest first.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn announced(folder: &Folder) -> Result<Vec<Announced>, FileError> {
    let names = match list(&folder.file(ANCHORS)) {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        names => names?,
    };
    let sizes = names
        .iter()
        .filter_map(|name| name.to_str()?.strip_suffix(SUFFIX)?.parse().ok());
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut announced = Vec::new();
    for size in sizes {
        announced.extend(place(folder, size)?.map(|place| Announced { size, place }));
    }
    Ok(announced)
}

/// Reads where a checkpoint is; what cannot be read says nothing.
fn place(folder: &Folder, size: u64) -> Result<Option<Place>, FileError> {
    let text = read_text(&folder.file(ANCHORS).join(format!("{size}{SUFFIX}")))?;
    let place: Option<Place> = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(place.filter(|place| is_topic(&place.topic)))
}

/// Returns whether this is the name of a topic: it is shown as a part of a command.
fn is_topic(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_legal)
}
