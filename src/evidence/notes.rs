//! What the last seal noted of the files, so that the next one reads only what was written since. It proves nothing: verifiers never
//! read it, and a seal without it reads everything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::{Content, FileId};
use super::tree::{Hash, Tree};
use crate::archive::{FileStamp, StateFile};

/// Version of the file.
const VERSION: u32 = 1;

/// The notes, by file.
#[derive(Debug, Default)]
pub(super) struct Notes {
    files: BTreeMap<FileId, Note>,
    /// Whether they are others than are stored.
    is_changed: bool,
}

/// What was noted of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(flatten)]
    file: FileId,
    stamps: Vec<FileStamp>,
    /// What it held, which may be more than was sealed.
    content: Content,
    /// The peaks of its tree, as long as it may grow, and the hash of its last bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peaks: Vec<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Hash>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    files: Vec<Note>,
}

impl Notes {
    /// Reads the notes; none if there are none that can be read.
    pub(super) fn read(file: &StateFile) -> Self {
        let content = file.read().ok().flatten().unwrap_or_default();
        let stored = serde_json::from_slice::<Stored>(&content).ok();
        let notes = stored
            .filter(|stored| stored.version == VERSION)
            .map(|stored| stored.files);
        let by_file = notes
            .unwrap_or_default()
            .into_iter()
            .map(|note| (note.file.clone(), note));
        Self {
            files: by_file.collect(),
            is_changed: false,
        }
    }

    /// Stores the notes, if there are new ones. Without them the next seal only takes longer.
    pub(super) fn store(&self, file: &StateFile) {
        if !self.is_changed {
            return;
        }
        let stored = Stored {
            version: VERSION,
            files: self.files.values().cloned().collect(),
        };
        let written = serde_json::to_vec(&stored).ok().map(|content| file.replace(&content));
        if let Some(Err(error)) = written {
            tracing::warn!("the next seal reads all files: {error}");
        }
    }

    /// Returns what was noted of a file, if that was of this content.
    pub(super) fn of(&self, file: &FileId, content: Content) -> Option<&Note> {
        self.files.get(file).filter(|note| note.content == content)
    }

    /// Notes what a file holds, and its tree if it may grow.
    pub(super) fn note(
        &mut self,
        file: FileId,
        stamps: Vec<FileStamp>,
        content: Content,
        grown: Option<(&Tree, Hash)>,
    ) {
        let peaks = grown.map(|(tree, _)| tree.peaks().to_vec()).unwrap_or_default();
        let note = Note {
            file: file.clone(),
            stamps,
            content,
            peaks,
            end: grown.map(|(_, end)| end),
        };
        self.files.insert(file, note);
        self.is_changed = true;
    }
}

impl Note {
    /// Returns whether nothing was written to the files since.
    pub(super) fn is_unchanged(&self, stamps: &[FileStamp]) -> bool {
        !stamps.is_empty() && self.stamps == stamps && stamps.iter().all(FileStamp::is_reliable)
    }

    /// Returns the tree over what the file held, if it can be the same file that has grown, and the hash of its last bytes.
    pub(super) fn tree_of_grown(&self, stamps: &[FileStamp]) -> Option<(Tree, Hash)> {
        let (&[before], &[after]) = (&self.stamps[..], stamps) else {
            return None;
        };
        let can_have_grown = before.is_reliable() && before.can_have_grown_to(&after);
        let tree = Tree::of(self.content.lines, self.peaks.clone()).filter(|_| can_have_grown)?;
        Some((tree, self.end?))
    }
}
