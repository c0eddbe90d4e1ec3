//! The proof of one line (C2SP `tlog-proof`): that it stands in a file which an entry names, and that the entry stands in the log.
//!
//! The outer part is the entry's: its number, its path, the checkpoint. The inner part is in `extra`, three lines of text: an object
//! `{"v":1,"line":N,"path":["<base64>",…]}` with the number of the line, from 1, and the hashes from it to the root of the file; the
//! entry; and the record's line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::entry::{Content, Entry, FileId, Says};
use super::note::VerifierKey;
use super::policy::Policy;
use super::tree::{Hash, leaf, root_of_path};

/// The first line of a proof.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";

/// Version of the inner part.
const VERSION: u32 = 1;

/// A proof of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The number of the entry, from 0, and the hashes from it to the root of the log.
    pub(super) index: u64,
    pub(super) entry_path: Vec<Hash>,
    /// The checkpoint, as it stands.
    pub(super) checkpoint: String,
    /// The number of the line, from 1, and the hashes from it to the root of the file.
    pub(super) line_number: u64,
    pub(super) line_path: Vec<Hash>,
    /// The entry and the record's line, without their newlines.
    pub(super) entry: Vec<u8>,
    pub(super) line: Vec<u8>,
}

/// What a proof shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proven {
    pub(crate) file: FileId,
    /// The number of the line, from 1.
    pub(crate) line_number: u64,
    /// The record's line.
    pub(crate) line: Vec<u8>,
    pub(crate) content: Content,
    /// The entry that names the file.
    pub(crate) entry: Entry,
    pub(crate) index: u64,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) key: VerifierKey,
}

/// Why a proof shows nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProofError {
    #[error("it is not a proof")]
    Form,
    #[error("its inner part cannot be read: {0}")]
    Inner(String),
    #[error("its checkpoint is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("the entry is not in the log that the checkpoint is of")]
    Entry,
    #[error("the entry is not about a file")]
    NoFile,
    #[error("the line is not in the file that the entry names")]
    Line,
    #[error("the entry acknowledges that the file is not what was sealed: {0}")]
    Broken(String),
}

#[derive(Serialize, Deserialize)]
struct Inner {
    v: u32,
    line: u64,
    path: Vec<String>,
}

impl Proof {
    /// Returns the text of the proof.
    ///
    /// # Errors
    /// Never in practice: numbers and texts can be written as JSON.
    pub(crate) fn to_text(&self) -> serde_json::Result<String> {
        let inner = serde_json::to_vec(&Inner {
            v: VERSION,
            line: self.line_number,
            path: self.line_path.iter().map(base64).collect(),
        })?;
        let extra = [&inner[..], &self.entry, &self.line].join(&b'\n');
        let path: String = self.entry_path.iter().map(|hash| base64(hash) + "\n").collect();
        let (extra, index) = (STANDARD.encode(extra), self.index);
        Ok(format!(
            "{MAGIC}\nextra {extra}\nindex {index}\n{path}\n{}",
            self.checkpoint
        ))
    }

    /// Reads a proof; nothing of it is verified.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, ProofError> {
        let (outer, checkpoint) = text.split_once("\n\n").ok_or(ProofError::Form)?;
        let mut lines = outer.split('\n');
        let (magic, extra, index) = (lines.next(), lines.next(), lines.next());
        if magic != Some(MAGIC) {
            return Err(ProofError::Form);
        }
        let extra = extra
            .and_then(|line| line.strip_prefix("extra "))
            .ok_or(ProofError::Form)?;
        let digits = index
            .and_then(|line| line.strip_prefix("index "))
            .ok_or(ProofError::Form)?;
        let index: u64 = digits.parse().map_err(|_| ProofError::Form)?;
        let entry_path = lines.map(hash).collect::<Option<_>>().ok_or(ProofError::Form)?;
        if index.to_string() != digits {
            return Err(ProofError::Form);
        }
        let extra = STANDARD.decode(extra).map_err(|_| ProofError::Form)?;
        let mut parts = extra.splitn(3, |byte| *byte == b'\n');
        let (Some(inner), Some(entry), Some(line)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ProofError::Form);
        };
        let inner: Inner = serde_json::from_slice(inner).map_err(|error| ProofError::Inner(error.to_string()))?;
        if inner.v != VERSION {
            return Err(ProofError::Inner(format!(
                "it is of version {}: update trailkeeper",
                inner.v
            )));
        }
        let line_path = inner.path.iter().map(|text| hash(text)).collect::<Option<_>>();
        Ok(Self {
            index,
            entry_path,
            checkpoint: checkpoint.to_owned(),
            line_number: inner.line,
            line_path: line_path.ok_or(ProofError::Form)?,
            entry: entry.to_owned(),
            line: line.to_owned(),
        })
    }

    /// Verifies a proof against the keys of a policy.
    ///
    /// # Errors
    /// If it shows nothing.
    pub(crate) fn verify(&self, policy: &Policy) -> Result<Proven, ProofError> {
        let (checkpoint, signers) = Checkpoint::verify_by(&self.checkpoint, policy)?;
        let key = signers.last().copied().cloned().ok_or(CheckpointError::Form)?;
        let root = root_of_path(leaf(&self.entry), self.index, checkpoint.size, &self.entry_path);
        if root != Some(checkpoint.root) {
            return Err(ProofError::Entry);
        }
        let entry = Entry::read(&self.entry).map_err(ProofError::Inner)?;
        if let Says::Broken { reason, .. } = &entry.says {
            return Err(ProofError::Broken(reason.escape_debug().to_string()));
        }
        let (file, content) = entry.says.content().ok_or(ProofError::NoFile)?;
        let place = self.line_number.checked_sub(1).ok_or(ProofError::Line)?;
        let is_one_line = !self.line.contains(&b'\n');
        let root = root_of_path(leaf(&self.line), place, content.lines, &self.line_path);
        if root != Some(content.root) || !is_one_line {
            return Err(ProofError::Line);
        }
        Ok(Proven {
            file: file.clone(),
            line_number: self.line_number,
            line: self.line.clone(),
            content,
            entry: entry.clone(),
            index: self.index,
            checkpoint,
            key,
        })
    }
}

pub(super) fn base64(hash: &Hash) -> String {
    STANDARD.encode(hash.0)
}

pub(super) fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::signer::Signer;
    use super::super::tree::{Tree, path};
    use super::*;
    use crate::test_support::random::cases;

    fn tree(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree
    }

    fn proof(lines: usize, entries: usize, line: usize, entry: usize) -> (Proof, Policy) {
        let line_at = |n: usize| format!("{{\"id\":{n}}}").into_bytes();
        let leaves: Vec<_> = (0..lines).map(|n| leaf(&line_at(n))).collect();
        let says = Says::Open {
            file: FileId {
                stream: "tfc".to_owned(),
                file: "tfc_2026-11-20.log".to_owned(),
            },
            content: Content {
                lines: lines as u64,
                bytes: 7,
                root: tree(&leaves).root(),
            },
        };
        let text = Entry::new(says, "2026-11-20T10:00:00Z".parse().unwrap())
            .to_line()
            .unwrap();
        let log: Vec<_> = (0..entries)
            .map(|n| {
                if n == entry {
                    leaf(text.as_bytes())
                } else {
                    leaf(&n.to_le_bytes())
                }
            })
            .collect();
        let signer = Signer::sample("example.org/audit");
        let checkpoint = Checkpoint {
            origin: "example.org/audit".to_owned(),
            size: entries as u64,
            root: tree(&log).root(),
        };
        let proof = Proof {
            index: entry as u64,
            entry_path: path(&log, entry),
            checkpoint: checkpoint.signed(&signer),
            line_number: line as u64 + 1,
            line_path: path(&leaves, line),
            entry: text.into_bytes(),
            line: line_at(line),
        };
        (proof, Policy::parse(&Policy::text(signer.verifier())).unwrap())
    }

    proptest! {
        #![proptest_config(cases(128))]

        #[test]
        fn a_proof_is_believed_as_it_was_written_and_no_byte_of_it_can_be_changed(
            lines in 1_usize..200,
            entries in 1_usize..100,
            at: prop::sample::Index,
            byte: prop::sample::Index,
            change in 1_u8..=255,
        ) {
            let (line, entry) = (at.index(lines), at.index(entries));
            let (proof, policy) = proof(lines, entries, line, entry);
            let text = proof.to_text().unwrap();
            let read = Proof::parse(&text).unwrap();
            prop_assert_eq!(&read, &proof);
            let proven = read.verify(&policy).unwrap();
            prop_assert_eq!((proven.line_number, &proven.line), (line as u64 + 1, &proof.line));
            let mut changed = text.clone().into_bytes();
            changed[byte.index(text.len())] ^= change;
            if let Ok(changed) = String::from_utf8(changed) {
                let believed = Proof::parse(&changed).and_then(|proof| proof.verify(&policy));
                // What is not signed may be written in another way; it proves the same, or nothing.
                prop_assert!(believed.is_err() || believed.as_ref() == Ok(&proven), "{changed}");
            }
        }
    }

    #[test]
    fn a_proof_by_another_key_or_for_another_line_is_refused() {
        let (proof, policy) = proof(5, 7, 2, 3);
        let other = Policy::parse(&Policy::text(Signer::sample("example.org/other").verifier())).unwrap();
        assert!(matches!(proof.verify(&other), Err(ProofError::Checkpoint(_))));
        for line_number in [0, 1, 2, 4, 5, 6, u64::MAX] {
            let moved = Proof {
                line_number,
                ..proof.clone()
            };
            assert_eq!(moved.verify(&policy), Err(ProofError::Line), "{line_number}");
        }
        let moved = Proof {
            index: 2,
            ..proof.clone()
        };
        assert_eq!(moved.verify(&policy), Err(ProofError::Entry));
        let text = proof.to_text().unwrap();
        assert!(text.len() < 4 << 10, "{}", text.len());
    }
}
