//! A forger who has the key, or none: makes logs with other people's code, so that what verifiers refuse is not only what the program
//! itself would never write. The same code is what reads the program's logs independently.

use std::fs;
use std::path::Path;

use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::tlog::{Hash, HashReader, RecordProof, check_record, record_hash, stored_hashes, tree_hash};

/// The hashes of a tree, in the order of tlog tiles.
pub(super) struct Hashes(Vec<Hash>);

impl HashReader for Hashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::tlog::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Hashes {
    pub(super) fn of<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> (Self, u64) {
        let (mut hashes, mut size) = (Self(Vec::new()), 0);
        for line in lines {
            let more = stored_hashes(size, line, &hashes).unwrap();
            hashes.0.extend(more);
            size += 1;
        }
        (hashes, size)
    }

    pub(super) fn root(&self, size: u64) -> Hash {
        tree_hash(size, self).unwrap()
    }
}

/// The root over the lines of a text.
pub(super) fn root_of(text: &[u8]) -> Hash {
    let lines = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap());
    let (hashes, size) = Hashes::of(lines);
    hashes.root(size)
}

/// In the digits of an entry.
pub(super) fn hex(hash: Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs the entries that stand in an evidence folder, with the key of a file and the name in it.
pub(super) fn sign(folder: &Path, key_file: &Path, origin: &str) {
    let entries = fs::read(folder.join("entries.jsonl")).unwrap();
    let root = root_of(&entries);
    let size = entries.iter().filter(|byte| **byte == b'\n').count();
    let text = format!("{origin}\n{size}\n{}\n", base64(&root.0));
    let signed = signed(&text, key_file);
    fs::write(folder.join("checkpoint"), &signed).unwrap();
    fs::write(folder.join("checkpoints").join(size.to_string()), &signed).unwrap();
}

/// Returns a text with the signature of a key.
pub(super) fn signed(text: &str, key_file: &Path) -> Vec<u8> {
    let key = fs::read_to_string(key_file).unwrap();
    let signer = StandardSigner::new(key.trim_end()).unwrap();
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    note.to_bytes()
}

/// Reads a checkpoint that a key has signed: its origin, size and root.
pub(super) fn checkpoint(note: &[u8], vkey: &str) -> (String, u64, Hash) {
    let note = Note::from_bytes(note).unwrap();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).unwrap())]);
    note.verify(&known).unwrap();
    let text = std::str::from_utf8(note.text()).unwrap().to_owned();
    let lines: Vec<_> = text.lines().collect();
    let root = Hash::parse_hash(lines[2]).unwrap();
    (lines[0].to_owned(), lines[1].parse().unwrap(), root)
}

/// Asserts that an entry is in a log.
pub(super) fn assert_contains(path: &RecordProof, (size, root): (u64, Hash), index: u64, entry: &[u8]) {
    check_record(path, size, root, index, record_hash(entry)).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0_u32, |word, (n, byte)| word | u32::from(*byte) << (16 - 8 * n));
        let digits = (0..=chunk.len()).map(|n| DIGITS[(word >> (18 - 6 * n) & 63) as usize] as char);
        text.extend(digits.chain(std::iter::repeat_n('=', 3 - chunk.len())));
    }
    text
}
