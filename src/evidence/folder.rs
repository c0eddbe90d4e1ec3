//! The evidence folder, as it is read: the entries of the log, its checkpoints, and what the operator says is to be trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::checkpoint::Checkpoint;
use super::note::Note;
use super::stamp::Stamp;
use super::tree::{Hash, Tree, leaf, sha256};
use crate::fs::{FileError, list, open_for_reading};

/// The entries, a line each.
pub(crate) const ENTRIES: &str = "entries.jsonl";

/// The newest checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// The checkpoint of all that is sealed, where the key is on another host, which has not signed it yet.
pub(crate) const UNSIGNED: &str = "unsigned";

/// All checkpoints, each in a file that is named after its size.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// What witnesses have said of checkpoints, a note in each file.
pub(crate) const ANCHORS: &str = "anchors";

/// What the names of these files end with.
pub(super) const COSIGNATURE: &str = ".cosig";

/// What the names of time stamps end with, after the size of the checkpoint; they are beside what witnesses have said.
pub(super) const TIMESTAMP: &str = ".tsr";

/// The keys that a verifier is to trust, by the operator.
pub(crate) const POLICY: &str = "policy.txt";

/// What the names of the folders begin with that hold what was left of a lost log; a number follows.
pub(crate) const LOST: &str = "lost-";

/// Where a log is kept.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// That a service has stamped a checkpoint with the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) size: u64,
    /// When, by the clock of the service.
    pub(crate) at: DateTime<Utc>,
}

/// The content of an evidence folder.
#[derive(Debug)]
pub(crate) struct FolderContent {
    pub(crate) entries: Vec<u8>,
    /// The newest checkpoint, as it stands.
    pub(crate) checkpoint: String,
    /// What waits for a signature, as it stands, where the key is on another host.
    pub(crate) unsigned: Option<String>,
    /// The others that are there, by their sizes.
    pub(crate) checkpoints: Vec<(u64, String)>,
    /// What witnesses have said of them, by the names of the files.
    pub(crate) anchors: Vec<(String, String)>,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn shown(&self) -> String {
        self.0.display().to_string()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns what a verifier trusts who is the operator himself; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn policy(&self) -> Result<Option<(PathBuf, String)>, FileError> {
        let path = self.file(POLICY);
        Ok(read_text(&path)?.map(|text| (path, text)))
    }

    /// Reads what is there; `None` if there is no log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(&self) -> Result<Option<FolderContent>, FileError> {
        // The other way round than they are written, as a seal may be under way: whatever is signed is there then.
        let checkpoint = self.newest_checkpoint()?.unwrap_or_default();
        let unsigned = read_text(&self.file(UNSIGNED))?;
        let checkpoints = self.checkpoints()?;
        let anchors = self.anchors()?;
        let entries = read_bytes(&self.file(ENTRIES))?;
        Ok(entries.map(|entries| FolderContent {
            entries,
            checkpoint,
            unsigned,
            checkpoints,
            anchors,
        }))
    }

    /// Reads the newest checkpoint, as it stands.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn newest_checkpoint(&self) -> Result<Option<String>, FileError> {
        match read_text(&self.file(CHECKPOINT))? {
            Some(newest) => Ok(Some(newest)),
            None => Ok(self.checkpoints()?.pop().map(|(_, text)| text)),
        }
    }

    /// Reads the checkpoints, the smallest first.
    fn checkpoints(&self) -> Result<Vec<(u64, String)>, FileError> {
        let folder = self.file(CHECKPOINTS);
        let names = match list(&folder) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            names => names?,
        };
        let mut checkpoints = Vec::new();
        for name in names {
            if let Some(size) = name.to_str().and_then(|name| name.parse().ok()) {
                let text = read_text(&folder.join(&name))?;
                checkpoints.extend(text.map(|text| (size, text)));
            }
        }
        checkpoints.sort_unstable();
        Ok(checkpoints)
    }

    /// Finds the time stamps of checkpoints, the smallest checkpoint first. Whose signature they have nobody has verified.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn timestamps(&self) -> Result<Vec<Timestamp>, FileError> {
        let names = match list(&self.file(ANCHORS)) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            names => names?,
        };
        let sizes = names
            .iter()
            .filter_map(|name| name.to_str()?.strip_suffix(TIMESTAMP)?.parse().ok());
        let mut timestamps = Vec::new();
        for size in sizes.collect::<BTreeSet<u64>>() {
            let answer = read_bytes(&self.file(ANCHORS).join(format!("{size}{TIMESTAMP}")))?;
            let stamp = answer.as_deref().and_then(Stamp::parse);
            let checkpoint = read_bytes(&self.file(CHECKPOINTS).join(size.to_string()))?;
            let hash = checkpoint.as_deref().map(sha256);
            let stamp = stamp.filter(|stamp| Some(stamp.hash) == hash);
            timestamps.extend(stamp.map(|stamp| Timestamp { size, at: stamp.at }));
        }
        Ok(timestamps)
    }

    /// Reads what witnesses have said.
    pub(super) fn anchors(&self) -> Result<Vec<(String, String)>, FileError> {
        let folder = self.file(ANCHORS);
        let names = match list(&folder) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            names => names?,
        };
        let mut anchors = Vec::new();
        for name in names {
            if let Some(shown) = name.to_str().filter(|name| name.ends_with(COSIGNATURE)) {
                let text = read_text(&folder.join(&name))?;
                anchors.extend(text.map(|text| (shown.to_owned(), text)));
            }
        }
        anchors.sort_unstable();
        Ok(anchors)
    }

    /// Reads the name of the log that is there, which nobody has verified.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn unverified_origin(&self) -> Result<Option<String>, FileError> {
        let signed = self.newest_checkpoint()?.as_deref().and_then(Checkpoint::unverified);
        let checkpoint = match signed {
            Some(signed) => Some(signed),
            None => read_text(&self.file(UNSIGNED))?
                .as_deref()
                .and_then(Checkpoint::of_text),
        };
        Ok(checkpoint.map(|checkpoint| checkpoint.origin))
    }
}

impl FolderContent {
    /// Takes a longer checkpoint whose entries are there for the newest one: a seal is under way, or was killed, before it was in its
    /// place. Nobody has verified it.
    pub(super) fn with_longest_checkpoint(mut self) -> Self {
        let newest = Checkpoint::unverified(&self.checkpoint).map_or(0, |checkpoint| checkpoint.size);
        let longest = self.checkpoints.last().filter(|(size, _)| *size > newest);
        if let Some((size, text)) = longest
            && self.tree_of(*size).is_some()
        {
            self.checkpoint = text.clone();
        }
        self
    }

    /// Returns how many entries behind the first ones, so many, are sealed and wait for a signature.
    pub(super) fn waiting_behind(&self, signed: u64) -> u64 {
        let unsigned = self.unsigned.as_deref().and_then(Checkpoint::of_text);
        unsigned.map_or(0, |unsigned| unsigned.size.saturating_sub(signed))
    }

    /// Returns the newest checkpoint with all signatures that are known of it: those of the witnesses too.
    pub(super) fn cosigned_checkpoint(&self) -> String {
        let Ok(newest) = Note::parse(&self.checkpoint) else {
            return self.checkpoint.clone();
        };
        let mut text = self.checkpoint.clone();
        let notes = self.anchors.iter().filter_map(|(_, text)| Note::parse(text).ok());
        for note in notes.filter(|note| note.text == newest.text) {
            for line in note.signature_lines() {
                if !text.contains(&line) {
                    text.push_str(&line);
                }
            }
        }
        text
    }

    /// Returns the tree over the first entries, so many, and where they end; `None` if there are fewer whole lines.
    pub(crate) fn tree_of(&self, size: u64) -> Option<(Tree, u64)> {
        let (mut tree, mut bytes) = (Tree::default(), 0);
        let mut rest = &self.entries[..];
        while tree.size() < size {
            let newline = memchr::memchr(b'\n', rest)?;
            tree.push(leaf(&rest[..newline]));
            bytes += newline as u64 + 1;
            rest = &rest[newline + 1..];
        }
        Some((tree, bytes))
    }

    /// Returns the roots of the trees over the first entries, for each of these numbers of which there are so many.
    pub(super) fn roots(&self, sizes: &BTreeSet<u64>) -> BTreeMap<u64, Hash> {
        let (mut tree, mut roots) = (Tree::default(), BTreeMap::new());
        let largest = sizes.last().copied().unwrap_or(0);
        let mut lines = lines(&self.entries);
        loop {
            if sizes.contains(&tree.size()) {
                roots.insert(tree.size(), tree.root());
            }
            match lines.next().filter(|_| tree.size() < largest) {
                Some(line) => tree.push(leaf(line)),
                None => return roots,
            }
        }
    }

    /// Returns the first entries, so many, a line each.
    pub(crate) fn lines(&self, size: u64) -> impl Iterator<Item = &[u8]> {
        lines(&self.entries).take(usize::try_from(size).unwrap_or(usize::MAX))
    }
}

/// Returns the whole lines of a text.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
    let whole = &text[..end];
    whole
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| &line[..line.len() - 1])
}

pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = match open_for_reading(path) {
        Err(error) if error.is_missing() => return Ok(None),
        opened => opened?,
    };
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .map_err(|cause| FileError::io("read", path, cause))?;
    Ok(Some(content))
}

/// Reads a text; bytes that are not UTF-8 are no text that anybody has signed.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, FileError> {
    Ok(read_bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
