//! The proof of some lines of a file, together: the hashes of the subtrees that hold none of them, from the left to the right. It is
//! as short as it can be: of a file whose lines are all there it has no hash at all.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::entry::{Entry, FileId, Says};
use super::proof::{ProofError, base64, hash};
use super::tree::{Hash, leaf, node, root, root_of_path, split};

/// The version of its form.
const VERSION: u32 = 1;

/// The proof of some lines of a file. `docs/evidence.md` has its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinesProof {
    v: u32,
    /// The entry about the file, as it stands in the log, and its number.
    entry: String,
    index: u64,
    /// The hashes from the entry to the root of the log.
    path: Vec<String>,
    /// The lines: the number of the first one of a row, from 1, and how many there are in a row.
    lines: Vec<(u64, u64)>,
    hashes: Vec<String>,
}

/// What is proved of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvenLines {
    pub(crate) file: FileId,
    /// Whether these are all lines of a closed day that its entry is about.
    pub(crate) is_whole_day: bool,
    /// When that entry was written, its number, and how many lines it is about.
    pub(crate) at: DateTime<Utc>,
    pub(crate) entry: u64,
    pub(crate) lines: u64,
}

/// An entry of the log, and how it is led from to the root.
#[derive(Clone, Debug)]
pub(super) struct ProvenEntry {
    pub(super) entry: String,
    pub(super) index: u64,
    pub(super) path: Vec<Hash>,
}

impl LinesProof {
    /// Proves the lines at these places, from 0 and in ascending order, of a file with these leaves.
    pub(super) fn of(entry: &ProvenEntry, leaves: &[Hash], places: &[u64]) -> Self {
        let mut hashes = Vec::new();
        collect(leaves, 0, places, &mut hashes);
        let mut lines: Vec<(u64, u64)> = Vec::new();
        for place in places {
            match lines.last_mut() {
                Some((first, count)) if *first + *count == place + 1 => *count += 1,
                _ => lines.push((place + 1, 1)),
            }
        }
        Self {
            v: VERSION,
            entry: entry.entry.clone(),
            index: entry.index,
            path: entry.path.iter().map(base64).collect(),
            lines,
            hashes: hashes.iter().map(base64).collect(),
        }
    }

    /// Returns how many lines it is about.
    pub(crate) fn count(&self) -> u64 {
        self.lines.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Returns which lines it is about: the number of the first one of each row, from 1, and how many there are in a row.
    pub(crate) fn lines(&self) -> &[(u64, u64)] {
        &self.lines
    }

    /// Verifies that these are the lines, by their leaves, in a log whose checkpoint is believed.
    ///
    /// # Errors
    /// If it shows nothing.
    pub(crate) fn verify(&self, checkpoint: &Checkpoint, lines: &[Hash]) -> Result<ProvenLines, ProofError> {
        if self.v != VERSION {
            return Err(ProofError::Inner(format!(
                "it is of version {}: update trailkeeper",
                self.v
            )));
        }
        let path = hashes(&self.path)?;
        let root = root_of_path(leaf(self.entry.as_bytes()), self.index, checkpoint.size, &path);
        if root != Some(checkpoint.root) {
            return Err(ProofError::Entry);
        }
        let entry = Entry::read(self.entry.as_bytes()).map_err(ProofError::Inner)?;
        if let Says::Broken { reason, .. } = &entry.says {
            return Err(ProofError::Broken(reason.escape_debug().to_string()));
        }
        let (file, content) = entry.says.content().ok_or(ProofError::NoFile)?;
        let leaves = self.placed(lines, content.lines).ok_or(ProofError::Line)?;
        let subtrees = hashes(&self.hashes)?;
        let mut subtrees = subtrees.into_iter();
        let root = gather(0, content.lines, &leaves, &mut subtrees);
        if root != Some(content.root) || subtrees.next().is_some() {
            return Err(ProofError::Line);
        }
        let is_closed = matches!(entry.says, Says::Day { .. } | Says::Late { .. } | Says::Packed { .. });
        Ok(ProvenLines {
            file: file.clone(),
            is_whole_day: is_closed && leaves.len() as u64 == content.lines,
            at: entry.at,
            entry: self.index,
            lines: content.lines,
        })
    }

    /// Returns the leaves with their places, which have to ascend and be below `size`.
    fn placed(&self, lines: &[Hash], size: u64) -> Option<Vec<(u64, Hash)>> {
        if self.count() != lines.len() as u64 || lines.is_empty() {
            return None;
        }
        let mut next = 0;
        let mut leaves = Vec::with_capacity(lines.len());
        for (first, count) in &self.lines {
            let begin = first.checked_sub(1).filter(|begin| *begin >= next)?;
            next = begin.checked_add(*count).filter(|next| *next <= size)?;
            for place in begin..next {
                leaves.push((place, *lines.get(leaves.len())?));
            }
        }
        Some(leaves)
    }
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, ProofError> {
    texts
        .iter()
        .map(|text| hash(text))
        .collect::<Option<_>>()
        .ok_or(ProofError::Form)
}

/// Collects the roots of the subtrees that hold none of these places.
fn collect(leaves: &[Hash], from: u64, places: &[u64], hashes: &mut Vec<Hash>) {
    match (places, leaves) {
        ([], leaves) => hashes.push(root(leaves)),
        (_, [] | [_]) => {}
        (places, leaves) => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            let middle = from + left.len() as u64;
            let (before, behind) = places.split_at(places.partition_point(|place| *place < middle));
            collect(left, from, before, hashes);
            collect(right, middle, behind, hashes);
        }
    }
}

/// Returns the root of a subtree of so many leaves, of which some are known and the others are in subtrees.
fn gather(from: u64, size: u64, leaves: &[(u64, Hash)], hashes: &mut impl Iterator<Item = Hash>) -> Option<Hash> {
    match leaves {
        [] => hashes.next(),
        [(place, leaf)] if size == 1 => (*place == from).then_some(*leaf),
        _ if size <= 1 => None,
        leaves => {
            let left = size.checked_next_power_of_two().map_or(1 << 63, |power| power / 2);
            let middle = from + left;
            let (before, behind) = leaves.split_at(leaves.partition_point(|(place, _)| *place < middle));
            let one = gather(from, left, before, hashes)?;
            let other = gather(middle, size - left, behind, hashes)?;
            Some(node(one, other))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::Content;
    use super::super::tree::path;
    use super::*;
    use crate::test_support::random::cases;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf(n.to_string().as_bytes())).collect()
    }

    /// The proof of some lines of a closed day, and the checkpoint of a log of five entries.
    fn proof(leaves: &[Hash], places: &[u64]) -> (LinesProof, Checkpoint) {
        let file = FileId {
            stream: "tfc".to_owned(),
            file: "tfc_2026-11-20.log".to_owned(),
        };
        let content = Content {
            lines: leaves.len() as u64,
            bytes: 7,
            root: root(leaves),
        };
        let says = Says::Late {
            file,
            content,
            sha256: leaf(b"content"),
        };
        let entry = Entry::new(says, "2026-11-20T10:00:00Z".parse().unwrap())
            .to_line()
            .unwrap();
        let mut log = self::leaves(5);
        log[3] = leaf(entry.as_bytes());
        let checkpoint = Checkpoint {
            origin: "example.org/audit".to_owned(),
            size: 5,
            root: root(&log),
        };
        let entry = ProvenEntry {
            entry,
            index: 3,
            path: path(&log, 3),
        };
        (LinesProof::of(&entry, leaves, places), checkpoint)
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn lines_are_proved_where_they_are_and_nowhere_else(
            chosen in prop::collection::vec(any::<bool>(), 1..200),
            at: prop::sample::Index,
            bit in 0_usize..256,
        ) {
            let leaves = leaves(chosen.len());
            let places: Vec<u64> = (0..).zip(&chosen).filter(|(_, is)| **is).map(|(place, _)| place).collect();
            prop_assume!(!places.is_empty());
            let (proof, checkpoint) = proof(&leaves, &places);
            let lines: Vec<Hash> = places.iter().map(|place| leaves[*place as usize]).collect();
            let is_whole_day = lines.len() == leaves.len();
            let proven = proof.verify(&checkpoint, &lines).unwrap();
            prop_assert_eq!(proven.is_whole_day, is_whole_day);
            prop_assert_eq!(is_whole_day, proof.hashes.is_empty());
            let mut other = lines.clone();
            other[at.index(lines.len())].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(proof.verify(&checkpoint, &other), Err(ProofError::Line));
            prop_assert_eq!(proof.verify(&checkpoint, &lines[1..]), Err(ProofError::Line));
            if lines.len() > 1 {
                let mut swapped = lines.clone();
                swapped.swap(0, 1);
                prop_assert_eq!(proof.verify(&checkpoint, &swapped), Err(ProofError::Line));
            }
            let mut moved = proof.clone();
            moved.lines[0].0 += 1;
            prop_assert!(moved.verify(&checkpoint, &lines).is_err());
            let more = LinesProof { hashes: [proof.hashes.clone(), vec![base64(&leaves[0])]].concat(), ..proof.clone() };
            prop_assert_eq!(more.verify(&checkpoint, &lines), Err(ProofError::Line));
        }
    }

    #[test]
    fn numbers_that_no_file_has_prove_nothing() {
        let leaves = leaves(9);
        let (proof, checkpoint) = proof(&leaves, &[2, 3]);
        for lines in [
            vec![(0, 2)],
            vec![(u64::MAX, 2)],
            vec![(3, u64::MAX), (1, 3)],
            vec![(4, 1), (3, 1)],
            vec![(9, 2)],
        ] {
            let other = LinesProof { lines, ..proof.clone() };
            assert_eq!(
                other.verify(&checkpoint, &leaves[2..4]),
                Err(ProofError::Line),
                "{other:?}"
            );
        }
        let other = LinesProof { index: 2, ..proof };
        assert_eq!(other.verify(&checkpoint, &leaves[2..4]), Err(ProofError::Entry));
    }
}
