//! Records made from the sample pages and a seed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::feed::Event;
use super::options::Api;

/// A sample page that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("the sample page {file} cannot be read")]
pub struct BadSample {
    /// Its path in the repository.
    pub file: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// Makes the records of one service.
pub(super) struct Generator {
    api: Api,
}

impl Generator {
    pub(super) fn new(api: Api, _: u64, _: DateTime<Utc>, _: Option<Duration>) -> Result<Self, BadSample> {
        Ok(Self { api })
    }

    pub(super) fn history(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, u64)> {
        (0..count as u64)
            .map(|number| (now - Duration::from_secs(60 * number), number))
            .collect()
    }

    pub(super) fn arrival(&mut self, _: DateTime<Utc>) -> Option<(DateTime<Utc>, u64)> {
        None
    }

    pub(super) fn event(&self, time: DateTime<Utc>, number: u64) -> Event {
        Event::minimal(self.api, time, number.to_string())
    }
}

/// A small generator of numbers that look random: SplitMix64 (Steele, Lea, Flood, 2014).
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
