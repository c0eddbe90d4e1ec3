//! The drawing of hours. The root of the log is fixed before the auditor says his nonce, and nobody else knows that before: so
//! neither who keeps the archive nor who audits it can choose the hours.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::evidence::checkpoint::Checkpoint;
use crate::fs::sha256;

/// What every hash of a drawing begins with.
const RULE: &str = "trailkeeper audit v1";

/// Draws so many different numbers below `population`, or all of them; in ascending order.
///
/// Number after number, the SHA-256 is taken of four lines: the name of the rule, the root of the checkpoint in base64, the nonce, and
/// how many hashes were taken before. Its first eight bytes are a number, the highest byte first. The rest of its division by the
/// population is drawn, unless it was drawn already, or the number is so high that low rests would be drawn more often.
pub(crate) fn draw(checkpoint: &Checkpoint, nonce: &str, population: u64, sample: u64) -> BTreeSet<u64> {
    if sample >= population {
        return (0..population).collect();
    }
    let root = STANDARD.encode(checkpoint.root.0);
    let even = u64::MAX - (u64::MAX % population + 1) % population;
    let mut drawn = BTreeSet::new();
    let mut count = 0_u64;
    while (drawn.len() as u64) < sample {
        let number = number(&format!("{RULE}\n{root}\n{nonce}\n{count}\n"));
        count += 1;
        if number <= even {
            drawn.insert(number % population);
        }
    }
    drawn
}

/// Returns a nonce that nobody has chosen; `None` if the system has no random numbers.
pub(crate) fn random_nonce() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn number(text: &str) -> u64 {
    let hash = sha256(text.as_bytes());
    hash.0[..8]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(root: &[u8]) -> Checkpoint {
        Checkpoint {
            origin: "example.org/audit".to_owned(),
            size: 7,
            root: sha256(root),
        }
    }

    #[test]
    fn what_is_drawn_follows_from_the_root_and_the_nonce_alone() {
        let drawn = draw(&checkpoint(b"root"), "dice-4-2-6", 1_440, 30);
        assert_eq!(drawn.len(), 30);
        assert_eq!(drawn, draw(&checkpoint(b"root"), "dice-4-2-6", 1_440, 30));
        assert_ne!(drawn, draw(&checkpoint(b"root"), "dice-4-2-7", 1_440, 30));
        assert_ne!(drawn, draw(&checkpoint(b"other"), "dice-4-2-6", 1_440, 30));
    }

    #[test]
    fn all_are_drawn_if_there_are_no_more_and_none_if_there_is_none() {
        for (population, sample, drawn) in [(0, 30, 0), (29, 30, 29), (30, 30, 30), (31, 30, 30), (9, 0, 0)] {
            let found = draw(&checkpoint(b"root"), "", population, sample);
            assert_eq!(found.len(), drawn, "{sample} of {population}");
            assert!(found.iter().all(|number| *number < population));
        }
    }

    #[test]
    fn each_number_is_drawn_about_as_often_as_any_other() {
        let mut times = [0_u32; 10];
        for nonce in 0..2_000 {
            for number in draw(&checkpoint(b"root"), &nonce.to_string(), 10, 3) {
                times[number as usize] += 1;
            }
        }
        // 600 each; four times the standard deviation is 82.
        assert!(times.iter().all(|times| (518..=682).contains(times)), "{times:?}");
    }
}
