//! SHA-256 of what files hold.

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Hash(pub(crate) [u8; 32]);

/// Returns the SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    Hash::of(digest(&SHA256, bytes))
}

impl Hash {
    /// Takes a digest of SHA-256, which has 32 bytes.
    fn of(digest: ring::digest::Digest) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// Returns it in hexadecimal digits, as `sha256sum` prints it.
    pub(crate) fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Hashes bytes that come one part behind the other.
#[derive(Clone)]
pub(crate) struct Sha256(Context);

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Hash {
        Hash::of(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_any_parts_is_that_of_the_standards_example() {
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").digits(), ABC);
        let mut parts = Sha256::new();
        for part in ["a", "", "bc"] {
            parts.update(part.as_bytes());
        }
        assert_eq!(parts.finish().digits(), ABC);
    }
}
