//! Merkle trees over lines, as in RFC 6962, section 2.1: hashes, roots, and paths from a leaf to the root.

use crate::fs::Sha256;
pub(crate) use crate::fs::{Hash, sha256};

/// What a leaf and a node begin with, so that one is never taken for the other.
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Returns the hash of a leaf, which is a line without its newline.
pub(crate) fn leaf(line: &[u8]) -> Hash {
    let mut hasher = leaf_hasher();
    hasher.update(line);
    hasher.finish()
}

/// Begins to hash a leaf.
pub(super) fn leaf_hasher() -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(&[LEAF]);
    hasher
}

pub(super) fn node(left: Hash, right: Hash) -> Hash {
    let mut bytes = [NODE; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    sha256(&bytes)
}

/// A tree that leaves are added to: it keeps the roots of its whole subtrees, at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    /// The roots of the whole subtrees, the largest first: one for each binary digit of the size that is 1.
    peaks: Vec<Hash>,
}

impl Tree {
    /// Returns the tree of so many leaves with these peaks, if there can be one.
    pub(super) fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() as u32 == size.count_ones()).then_some(Self { size, peaks })
    }

    pub(super) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Returns the number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node(left, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Returns the root; that of a tree without leaves is the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else {
            return sha256(b"");
        };
        peaks.fold(last, |right, left| node(left, right))
    }
}

/// Returns the hashes that lead from a leaf to the root of a tree of all these leaves: that of its sibling first (RFC 6962,
/// section 2.1.1). A leaf outside of the tree has none.
pub(crate) fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 || index >= leaves.len() {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (self::path(left, index), root(right)),
        Some(index) => (self::path(right, index), root(left)),
    };
    path.push(sibling);
    path
}

/// Returns the largest power of two below a number of leaves, which is how many are in the left subtree.
pub(super) fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Returns the root of the tree over some leaves.
pub(super) fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// Returns the root of a tree of `size` leaves to which a path leads from the leaf at `index`; `None` if there is no such leaf,
/// or the path has another length (RFC 9162, section 2.1.3.2).
pub(crate) fn root_of_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            hash = node(*sibling, hash);
            while place % 2 == 0 && place != 0 {
                (place, last) = (place / 2, last / 2);
            }
        } else {
            hash = node(hash, *sibling);
        }
        (place, last) = (place / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf(n.to_string().as_bytes())).collect()
    }

    fn hex(hash: Hash) -> String {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn roots_are_those_of_the_test_vectors_of_certificate_transparency() {
        // From the tests of Certificate Transparency's reference implementation.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (size, expected) in roots {
            let mut tree = Tree::default();
            inputs[..size].iter().for_each(|input| tree.push(leaf(input)));
            assert_eq!(hex(tree.root()), expected, "{size}");
        }
    }

    #[test]
    fn a_path_leads_from_each_leaf_to_the_root_and_from_no_other_place() {
        for size in 1..40 {
            let leaves = leaves(size);
            for index in 0..size {
                let path = path(&leaves, index);
                for place in 0..=size {
                    let found = root_of_path(leaves[index], place as u64, size as u64, &path);
                    assert_eq!(
                        found == Some(root(&leaves)),
                        place == index,
                        "{index} of {size} at {place}"
                    );
                }
            }
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_path_that_was_changed_leads_elsewhere(size in 2_usize..200, at: prop::sample::Index, bit in 0_usize..256) {
            let leaves = leaves(size);
            let index = at.index(size);
            let whole = path(&leaves, index);
            let expected = Some(root(&leaves));
            let leads = |path: &[Hash]| root_of_path(leaves[index], index as u64, size as u64, path);
            prop_assert_eq!(leads(&whole), expected);
            let mut changed = whole.clone();
            changed[at.index(whole.len())].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(leads(&changed), expected);
            prop_assert_ne!(leads(&whole[1..]), expected);
            prop_assert_ne!(leads(&[whole.clone(), vec![leaves[0]]].concat()), expected);
        }

        #[test]
        fn a_tree_goes_on_from_its_peaks(before in 0_usize..300, more in 0_usize..300) {
            let leaves = leaves(before + more);
            let mut tree = Tree::default();
            leaves[..before].iter().for_each(|leaf| tree.push(*leaf));
            let mut again = Tree::of(tree.size(), tree.peaks().to_vec()).unwrap();
            leaves[before..].iter().for_each(|leaf| again.push(*leaf));
            prop_assert_eq!(again.root(), root(&leaves));
            prop_assert_eq!(Tree::of(tree.size() + 1, tree.peaks().to_vec()).is_some(), (before + 1).count_ones() == before.count_ones());
        }
    }
}
