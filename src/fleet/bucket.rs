//! Which bucket an organization is in: the partition that Kafka's producers would choose for a message with its name as key.

/// Returns the bucket of an organization; without organizations, of the installation.
pub(crate) fn bucket_of(organization: &str, buckets: i32) -> i32 {
    let positive = (murmur2(organization.as_bytes()) & 0x7fff_ffff) as i32;
    positive % buckets.max(1)
}

/// The 32-bit murmur2 hash of Kafka's producers: `Utils.murmur2` in Kafka, with its seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let word = word
            .iter()
            .rev()
            .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        let mut k = word.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest
            .iter()
            .rev()
            .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of `UtilsTest.testMurmur2` in Kafka.
    #[test]
    fn the_hash_is_that_of_kafkas_producers() {
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn organizations_are_spread_over_all_buckets() {
        let mut counts = [0; 64];
        for number in 0..6_400 {
            counts[bucket_of(&format!("organization-{number}"), 64) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (50..=160).contains(count)), "{counts:?}");
        assert_eq!(bucket_of("", 1), 0);
    }
}
