//! Repeats: which hashes may be among many more than once, told without a set of all of them.

/// How many bits there are for each hash, at least: one in twenty or so is taken for a repeat that is none.
const BITS: usize = 16;

/// A filter: what it says is no repeat is none.
#[derive(Debug)]
pub(super) struct Repeats {
    once: Vec<u64>,
    again: Vec<u64>,
    bits: usize,
}

impl Repeats {
    /// For so many hashes.
    pub(super) fn with_capacity(hashes: usize) -> Self {
        let bits = (hashes * BITS).next_power_of_two().max(64);
        Self {
            once: vec![0; bits / 64],
            again: vec![0; bits / 64],
            bits,
        }
    }

    /// Notes a hash that is there.
    pub(super) fn note(&mut self, hash: u128) {
        let (word, bit) = self.place(hash);
        self.again[word] |= self.once[word] & bit;
        self.once[word] |= bit;
    }

    /// Returns whether it may have been noted more than once.
    pub(super) fn may_have(&self, hash: u128) -> bool {
        let (word, bit) = self.place(hash);
        self.again[word] & bit != 0
    }

    fn place(&self, hash: u128) -> (usize, u64) {
        let place = hash as usize & (self.bits - 1);
        (place / 64, 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    #[test]
    fn each_repeat_is_found_and_few_others_are_taken_for_one() {
        let hashes: Vec<u128> = (0_u32..1_000).map(|number| xxh3_128(&number.to_le_bytes())).collect();
        let mut repeats = Repeats::with_capacity(hashes.len());
        let twice = &hashes[..10];
        hashes.iter().chain(twice).for_each(|hash| repeats.note(*hash));
        assert!(twice.iter().all(|hash| repeats.may_have(*hash)));
        let others = hashes[10..].iter().filter(|hash| repeats.may_have(**hash)).count();
        assert!(others < 100, "{others}");
    }
}
