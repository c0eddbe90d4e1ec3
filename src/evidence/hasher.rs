//! Hashes the lines of a file: the tree over them, and the SHA-256 of their bytes.

use std::io::{self, Read};

use super::entry::Content;
use super::tree::{Hash, Tree, leaf, leaf_hasher};
use crate::fs::Sha256;

/// Size of a read, in bytes.
const CHUNK: usize = 1 << 20;

/// What a file holds: its whole lines. What follows the last newline may still be written to.
#[derive(Clone, Debug)]
pub(super) struct Hashed {
    pub(super) tree: Tree,
    /// Length of the whole lines, in bytes.
    pub(super) bytes: u64,
    /// The SHA-256 of the whole lines that were read.
    pub(super) sha256: Hash,
    /// Length of what follows them, in bytes.
    pub(super) torn: u64,
    /// What the file held up to each of the lines that were asked for, as far as it has so many.
    pub(super) marks: Vec<Content>,
}

impl Hashed {
    pub(super) fn content(&self) -> Content {
        Content {
            lines: self.tree.size(),
            bytes: self.bytes,
            root: self.tree.root(),
        }
    }
}

/// Hashes lines that come in chunks of any size.
pub(super) struct Hasher<'a> {
    tree: Tree,
    bytes: u64,
    /// Of everything, and of everything up to the last newline.
    all: Sha256,
    whole: Sha256,
    /// A line that has begun in an earlier chunk, and its length.
    begun: Option<(Sha256, u64)>,
    /// The numbers of lines still asked for, in order.
    wanted: &'a [u64],
    marks: Vec<Content>,
}

impl<'a> Hasher<'a> {
    /// Begins behind the lines of a tree, which end at this byte. `wanted` are the numbers of lines at which the content is noted,
    /// in ascending order and none below the size of the tree.
    pub(super) fn behind(tree: Tree, bytes: u64, wanted: &'a [u64]) -> Self {
        let mut hasher = Self {
            tree,
            bytes,
            all: Sha256::new(),
            whole: Sha256::new(),
            begun: None,
            wanted,
            marks: Vec::new(),
        };
        hasher.mark();
        hasher
    }

    /// Reads a source to its end.
    pub(super) fn read(&mut self, mut source: impl Read, mut progress: impl FnMut(u64)) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match source.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    self.add(&chunk[..read]);
                    progress(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, chunk: &[u8]) {
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', chunk) {
            self.line(&chunk[start..newline]);
            start = newline + 1;
        }
        self.all.update(&chunk[..start]);
        if start > 0 {
            self.whole = self.all.clone();
        }
        let rest = &chunk[start..];
        self.all.update(rest);
        if !rest.is_empty() {
            let (hasher, length) = self.begun.get_or_insert_with(|| (leaf_hasher(), 0));
            hasher.update(rest);
            *length += rest.len() as u64;
        }
    }

    /// Adds a line, of which this is the part in the chunk.
    fn line(&mut self, part: &[u8]) {
        let before = match self.begun.take() {
            None => {
                self.tree.push(leaf(part));
                0
            }
            Some((mut hasher, length)) => {
                hasher.update(part);
                self.tree.push(hasher.finish());
                length
            }
        };
        self.bytes += before + part.len() as u64 + 1;
        self.mark();
    }

    fn mark(&mut self) {
        while let Some((_, rest)) = self
            .wanted
            .split_first()
            .filter(|(first, _)| **first == self.tree.size())
        {
            self.marks.push(Content {
                lines: self.tree.size(),
                bytes: self.bytes,
                root: self.tree.root(),
            });
            self.wanted = rest;
        }
    }

    pub(super) fn finish(self) -> Hashed {
        Hashed {
            tree: self.tree,
            bytes: self.bytes,
            sha256: self.whole.finish(),
            torn: self.begun.map_or(0, |(_, length)| length),
            marks: self.marks,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::sha256;
    use super::*;
    use crate::test_support::random::cases;

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn chunks_of_any_size_come_to_the_same(
            lines in prop::collection::vec("[ab]{0,20}", 0..30),
            torn in "[ab]{0,9}",
            size in 1_usize..50,
            mark in 0_u64..30,
        ) {
            let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let text = format!("{whole}{torn}");
            let wanted = [mark, mark];
            let mut hasher = Hasher::behind(Tree::default(), 0, &wanted);
            text.as_bytes().chunks(size).for_each(|chunk| hasher.add(chunk));
            let hashed = hasher.finish();
            let mut tree = Tree::default();
            let mut marks = Vec::new();
            let mut bytes = 0;
            for number in 0..=lines.len() {
                if number as u64 == mark {
                    marks = vec![Content { lines: mark, bytes, root: tree.root() }; 2];
                }
                if let Some(line) = lines.get(number) {
                    tree.push(leaf(line.as_bytes()));
                    bytes += line.len() as u64 + 1;
                }
            }
            prop_assert_eq!(&hashed.tree, &tree);
            prop_assert_eq!((hashed.bytes, hashed.torn), (whole.len() as u64, torn.len() as u64));
            prop_assert_eq!(hashed.sha256, sha256(whole.as_bytes()));
            prop_assert_eq!(hashed.marks, marks);
        }
    }
}
