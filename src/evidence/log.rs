//! Adds to the log: entries, and the checkpoint that signs them, under a lock.
//!
//! An entry counts once a checkpoint holds it. What stands behind the newest checkpoint was not signed, since a crash came between,
//! and is cut off before more is added.

#![expect(
    clippy::disallowed_methods,
    reason = "this file writes the evidence folder, which is not inside a catalog"
)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::entry::Entry;
use super::folder::{CHECKPOINT, CHECKPOINTS, ENTRIES, Folder, FolderContent, LOST, POLICY, UNSIGNED, lines};
use super::ledger::Ledger;
use super::log_signer::{LogSigner, SigningError, signed};
use super::note::VerifierKey;
use super::policy::Policy;
use super::tree::{Tree, leaf};
use crate::archive::{Location, Lock, LockError};
use crate::fs::{FileError, folder_of, make_folder, open_guarded, open_or_create, rename, replace, sync_folder};

/// Mode of the files, which agents and auditors may read.
const MODE: u32 = 0o640;

/// Why nothing is added to a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(
        "{folder} holds no log, and a key is there: a log is begun once, by `trailkeeper evidence keygen`; restore the folder from \
         a copy, or begin another log, which will say so for ever, with `trailkeeper evidence restart --reason TEXT`"
    )]
    Missing { folder: String },
    #[error("{folder} holds a log already: nothing is begun anew")]
    Begun { folder: String },
    #[error(
        "the newest checkpoint in {folder} is not one by this key: {error}; nothing is signed: use the key of this log, or restore \
         the folder from a copy"
    )]
    OtherKey { folder: String, error: CheckpointError },
    #[error(
        "the entries in {folder} are not those that were signed ({problem}); nothing is signed, since that would make a second history: \
         restore the folder from its newest copy, or, if it is lost, begin another log with `trailkeeper evidence restart --reason TEXT`"
    )]
    NotAsSigned { folder: String, problem: String },
    #[error("the signature is not accepted: {problem}")]
    NotAccepted { problem: String },
    #[error("nothing is signed: {0}")]
    Signing(#[from] SigningError),
    #[error("cannot write an entry: {0}")]
    Json(#[from] serde_json::Error),
}

impl LogError {
    /// Returns whether there is no log that this key could go on with.
    pub(super) fn is_of_a_lost_log(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::OtherKey { .. } | Self::NotAsSigned { .. }
        )
    }
}

/// A log that is added to, as long as its lock is held.
#[derive(Debug)]
pub(crate) struct Log {
    folder: Folder,
    /// The tree over the entries that are signed, or wait for a signature, and their length in bytes.
    tree: Tree,
    bytes: u64,
    /// How many of them are signed.
    signed: u64,
    /// What these entries come to.
    pub(crate) ledger: Ledger,
    _lock: Lock,
}

impl Log {
    /// Begins a log with these entries, the first of which is its key. The folder is created if it is missing.
    ///
    /// # Errors
    /// If there is a log already, another process adds to it, or the system refuses.
    pub(crate) fn begin(
        folder: &Folder,
        entries: &[Entry],
        signer: &LogSigner,
        now: DateTime<Utc>,
    ) -> Result<(), LogError> {
        make_folder(folder.path())?;
        let lock = lock(folder, now)?;
        if folder.file(ENTRIES).symlink_metadata().is_ok() {
            return Err(LogError::Begun { folder: folder.shown() });
        }
        let mut log = Self {
            folder: folder.clone(),
            tree: Tree::default(),
            bytes: 0,
            signed: 0,
            ledger: Ledger::default(),
            _lock: lock,
        };
        let policy = folder.file(POLICY);
        if !policy.exists() {
            replace(&policy, MODE, Policy::text(signer.verifier()).as_bytes())?;
        }
        log.add(entries, &[signer])
    }

    /// Returns why nothing can be added to the log of a folder, as far as it shows without the key.
    ///
    /// # Errors
    /// If there is none, or it does not hold what its newest checkpoint says.
    pub(crate) fn check(folder: &Folder) -> Result<(), LogError> {
        let content = folder
            .read()?
            .ok_or_else(|| LogError::Missing { folder: folder.shown() })?;
        if content.checkpoint.is_empty() && content.unsigned.is_some() {
            // Nothing has come back from the host of the key yet.
            return Ok(());
        }
        let failed = || LogError::OtherKey {
            folder: folder.shown(),
            error: CheckpointError::Form,
        };
        let newest = Checkpoint::unverified(&content.checkpoint).ok_or_else(failed)?;
        end_of(folder, &content, &newest).map(|_| ())
    }

    /// Opens the log to add to it, and makes sure that it holds what this key has signed last. Entries that nobody signed are cut
    /// off.
    ///
    /// # Errors
    /// If there is none, another process adds to it, or what it holds is not what was signed.
    pub(crate) fn open(folder: &Folder, key: &VerifierKey, now: DateTime<Utc>) -> Result<Self, LogError> {
        let missing = || LogError::Missing { folder: folder.shown() };
        if !folder.path().is_dir() {
            return Err(missing());
        }
        let lock = lock(folder, now)?;
        let content = folder.read()?.ok_or_else(missing)?;
        let unsigned = content.unsigned.as_deref().and_then(Checkpoint::of_text);
        let signed = match &unsigned {
            // Nothing has come back from the host of the key yet.
            Some(_) if content.checkpoint.is_empty() => None,
            _ => Some(newest_signed(folder, &content, key)?),
        };
        let of_signed = signed
            .as_ref()
            .map(|(checkpoint, _)| end_of(folder, &content, checkpoint));
        let (tree, bytes) = of_signed.transpose()?.unwrap_or_default();
        let size = tree.size();
        let (tree, bytes) = match unsigned.filter(|unsigned| unsigned.size > size) {
            Some(unsigned) => end_of(folder, &content, &unsigned)?,
            None => (tree, bytes),
        };
        let ledger = Ledger::read(lines(&content.entries[..bytes as usize]));
        check_anchors(folder, &content, size, (&ledger, key))?;
        if (bytes as usize) < content.entries.len() {
            cut(&folder.file(ENTRIES), bytes)?;
        }
        if let Some((_, text)) = signed.filter(|(_, text)| **text != content.checkpoint) {
            // A crash came before it was in its place.
            replace(&folder.file(CHECKPOINT), MODE, text.as_bytes())?;
        }
        Ok(Self {
            folder: folder.clone(),
            tree,
            bytes,
            signed: size,
            ledger,
            _lock: lock,
        })
    }

    /// Returns how many entries there are.
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Returns how many of them wait for a signature.
    pub(crate) fn waiting(&self) -> u64 {
        self.tree.size() - self.signed
    }

    /// Returns what the signed entries come to.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn signed_ledger(&self) -> Result<Ledger, FileError> {
        let content = self.folder.read()?;
        Ok(content.map_or_else(Ledger::default, |content| Ledger::read(content.lines(self.signed))))
    }

    /// Adds entries, and signs them, or notes that they wait for a signature. They and the checkpoint are on disk when this returns;
    /// after a crash in between, none of them counts.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn add(&mut self, entries: &[Entry], signers: &[&LogSigner]) -> Result<(), LogError> {
        let Some(signer) = signers.first() else { return Ok(()) };
        let mut tree = self.tree.clone();
        let mut text = String::new();
        for entry in entries {
            let line = entry.to_line()?;
            tree.push(leaf(line.as_bytes()));
            text.push_str(&line);
            text.push('\n');
        }
        let checkpoint = Checkpoint {
            origin: signer.verifier().name().to_owned(),
            size: tree.size(),
            root: tree.root(),
        };
        // What cannot be signed is not written either.
        let signed = signed(&checkpoint, signers)?;
        append(&self.folder.file(ENTRIES), self.bytes, text.as_bytes())?;
        match signed {
            Some(signed) => {
                self.keep(&checkpoint, &signed)?;
                self.signed = checkpoint.size;
            }
            None => replace(&self.folder.file(UNSIGNED), MODE, checkpoint.text().as_bytes())?,
        }
        self.bytes += text.len() as u64;
        self.tree = tree;
        Ok(())
    }

    /// Takes a checkpoint that the host of the key has signed.
    ///
    /// # Errors
    /// If it is not by this key, or not of these entries, or cannot be written.
    pub(crate) fn accept(&mut self, text: &str, key: &VerifierKey) -> Result<Checkpoint, LogError> {
        let refused = |problem: String| LogError::NotAccepted { problem };
        let verified = Checkpoint::verify(text, std::slice::from_ref(key));
        let (checkpoint, _) = verified.map_err(|error| refused(error.to_string()))?;
        let content = self.folder.read()?;
        let tree = content.and_then(|content| content.tree_of(checkpoint.size));
        if checkpoint.size > self.size() || tree.is_none_or(|(tree, _)| tree.root() != checkpoint.root) {
            return Err(refused(format!(
                "its {} entries are not those of this log: is the folder an older copy, or has somebody changed it?",
                checkpoint.size
            )));
        }
        if checkpoint.size > self.signed {
            self.keep(&checkpoint, text)?;
            self.signed = checkpoint.size;
        }
        Ok(checkpoint)
    }

    fn keep(&self, checkpoint: &Checkpoint, signed: &str) -> Result<(), FileError> {
        let folder = self.folder.file(CHECKPOINTS);
        make_folder(&folder)?;
        // First under its size: so it is known after a crash that it was signed.
        replace(&folder.join(checkpoint.size.to_string()), MODE, signed.as_bytes())?;
        replace(&self.folder.file(CHECKPOINT), MODE, signed.as_bytes())
    }
}

/// Moves a lost log into a folder of its own, `lost-<number>`; returns its newest checkpoint, if there is one.
///
/// # Errors
/// If the system refuses.
pub(super) fn put_aside(folder: &Folder, number: u64) -> Result<Option<String>, FileError> {
    make_folder(folder.path())?;
    let checkpoint = folder.newest_checkpoint()?;
    let aside = folder.file(&format!("{LOST}{number}"));
    make_folder(&aside)?;
    for name in [ENTRIES, CHECKPOINTS, CHECKPOINT, UNSIGNED, POLICY] {
        let from = folder.file(name);
        if from.symlink_metadata().is_ok() {
            rename(&from, &aside.join(name))?;
        }
    }
    Ok(checkpoint)
}

/// Checks that the log is that of every checkpoint of its keys which witnesses have signed and is in the folder: a backup that was
/// restored, and added to, would be another history.
fn check_anchors(
    folder: &Folder,
    content: &FolderContent,
    signed: u64,
    (ledger, key): (&Ledger, &VerifierKey),
) -> Result<(), LogError> {
    let keys: Vec<_> = ledger.keys.iter().map(|(_, key)| key).chain([key]).cloned().collect();
    for (name, text) in &content.anchors {
        // What no key of this log has signed says nothing of it.
        let Ok((anchored, _)) = Checkpoint::verify(text, &keys) else {
            continue;
        };
        let tree = content.tree_of(anchored.size);
        let is_of_this_log = anchored.size <= signed && tree.is_some_and(|(tree, _)| tree.root() == anchored.root);
        if !is_of_this_log {
            return Err(LogError::NotAsSigned {
                folder: folder.shown(),
                problem: format!("anchors/{name} has {} that are not here", anchored.size),
            });
        }
    }
    Ok(())
}

/// Returns the tree over the entries of a checkpoint, and where they end.
fn end_of(folder: &Folder, content: &FolderContent, checkpoint: &Checkpoint) -> Result<(Tree, u64), LogError> {
    let size = checkpoint.size;
    let failed = |problem: String| LogError::NotAsSigned {
        folder: folder.shown(),
        problem,
    };
    let end = content.tree_of(size);
    let end = end.ok_or_else(|| failed(format!("{size} were signed, and fewer are there")))?;
    if end.0.root() == checkpoint.root {
        Ok(end)
    } else {
        Err(failed(format!("the root of the first {size} is another one")))
    }
}

/// Returns the newest checkpoint that a key has signed, and its text.
fn newest_signed<'a>(
    folder: &Folder,
    content: &'a FolderContent,
    key: &VerifierKey,
) -> Result<(Checkpoint, &'a String), LogError> {
    let keys = std::slice::from_ref(key);
    let failed = |error| LogError::OtherKey {
        folder: folder.shown(),
        error,
    };
    let (newest, _) = Checkpoint::verify(&content.checkpoint, keys).map_err(failed)?;
    let others = content.checkpoints.iter().filter(|(size, _)| *size > newest.size);
    let later = others.filter_map(|(_, text)| Some((Checkpoint::verify(text, keys).ok()?.0, text)));
    let later = later.max_by_key(|(checkpoint, _)| checkpoint.size);
    Ok(later.unwrap_or((newest, &content.checkpoint)))
}

pub(super) fn lock(folder: &Folder, now: DateTime<Utc>) -> Result<Lock, LogError> {
    let location = Location::new(folder.path(), "evidence", "jsonl")
        .map_err(|error| FileError::io("use", folder.path(), std::io::Error::other(error)))?;
    Ok(Lock::acquire(&location, now)?)
}

/// Appends whole lines at the end of the signed ones, and syncs them.
fn append(path: &Path, end: u64, lines: &[u8]) -> Result<(), FileError> {
    let failed = |cause| FileError::io("write to", path, cause);
    let (mut file, is_new) = open_or_create(OpenOptions::new().read(true).append(true), path, MODE)?;
    if file.metadata().map_err(failed)?.len() != end {
        // Lines of an attempt that failed.
        file.set_len(end).map_err(failed)?;
    }
    file.write_all(lines).and_then(|()| file.sync_all()).map_err(failed)?;
    if is_new { sync_folder(folder_of(path)) } else { Ok(()) }
}

/// Cuts a file off.
fn cut(path: &Path, end: u64) -> Result<(), FileError> {
    let failed = |cause| FileError::io("write to", path, cause);
    let file = open_guarded(OpenOptions::new().write(true), path)?;
    file.set_len(end).and_then(|()| file.sync_all()).map_err(failed)
}
