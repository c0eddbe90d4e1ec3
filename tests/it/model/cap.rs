//! Cap: what an answer can hold at most, whatever was asked for.

use std::fmt;

use proptest::prelude::*;

use super::chance::roll;

/// What an answer can hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cap {
    /// As many records as were asked for.
    Asked,
    /// Never more than so many records.
    Records(usize),
    /// Records of so many bytes in all, and one in any case.
    Bytes(usize),
    /// Another number of records in each answer, between these.
    Varying(usize, usize),
}

impl Cap {
    /// How many of the records, given by their lengths, an answer holds; `salt` differs from request to request.
    pub(crate) fn count(self, asked: usize, lengths: impl ExactSizeIterator<Item = usize>, salt: u64) -> usize {
        let there = lengths.len();
        let most = match self {
            Cap::Asked => asked,
            Cap::Records(most) => asked.min(most),
            Cap::Varying(least, most) => asked.min(least + roll(salt, &"cap") as usize % (most - least + 1)),
            Cap::Bytes(bytes) => {
                let sums = lengths.scan(0, |sum, length| {
                    *sum += length;
                    Some(*sum)
                });
                sums.take(asked).take_while(|sum| *sum <= bytes).count().max(1)
            }
        };
        there.min(most)
    }

    /// About how many records an answer holds.
    pub(crate) fn typical(self, asked: usize, length: usize) -> usize {
        match self {
            Cap::Asked => asked,
            Cap::Records(most) => asked.min(most),
            Cap::Varying(least, most) => asked.min(usize::midpoint(least, most)),
            Cap::Bytes(bytes) => asked.min(bytes / length.max(1)),
        }
        .max(1)
    }
}

/// Each cap that was not asked for.
pub(crate) fn odd_cap() -> impl Strategy<Value = Cap> {
    prop_oneof![
        (5..80_usize).prop_map(Cap::Records),
        (2_000..40_000_usize).prop_map(Cap::Bytes),
        (1..30_usize, 5..60_usize).prop_map(|(least, more)| Cap::Varying(least, least + more)),
        (1..4_usize, 0..4_usize).prop_map(|(least, more)| Cap::Varying(least, least + more)),
    ]
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cap::Asked => write!(f, "gives as many records as it is asked for"),
            Cap::Records(most) => write!(f, "gives {most} records at most"),
            Cap::Bytes(bytes) => write!(f, "gives records of {bytes} bytes at most"),
            Cap::Varying(least, most) => write!(f, "gives {least} to {most} records, differently each time"),
        }
    }
}
