//! Order: how the records of a span follow each other.

use std::cmp::Reverse;
use std::fmt;

use proptest::prelude::*;

use super::chance::roll;
use super::feed::Record;

/// The milliseconds of a day.
const DAY: u64 = 86_400_000;

/// How the records of a span follow each other, over all of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    /// From page to page; inside a page they stand anyhow.
    NewestPageFirst,
    /// Two that lie less than so many milliseconds apart can stand either way round.
    Shuffled(i64),
    /// Newest first, but for one record in so many, which stands up to two days from where it belongs, each time.
    Misplaced(u64),
    OldestFirst,
    Random,
}

impl Order {
    /// Puts the records of a span into order.
    pub(crate) fn sort(self, records: &mut [&Record], seed: u64) {
        let chance = |record: &Record| roll(seed, &record.number);
        match self {
            Order::NewestFirst | Order::NewestPageFirst => {
                records.sort_by_cached_key(|record| (Reverse(record.filed_at), chance(record)));
            }
            Order::Shuffled(by) => {
                let moved = |record: &Record| record.filed_at + (chance(record) % by.unsigned_abs()) as i64;
                records.sort_by_cached_key(|record| (Reverse(moved(record)), chance(record)));
            }
            Order::Misplaced(every) => {
                let moved = |record: &Record| match chance(record) {
                    chance if chance % every == 0 => {
                        record.filed_at + (chance / every % (4 * DAY)) as i64 - 2 * DAY as i64
                    }
                    _ => record.filed_at,
                };
                records.sort_by_cached_key(|record| (Reverse(moved(record)), chance(record)));
            }
            Order::OldestFirst => records.sort_by_cached_key(|record| (record.filed_at, chance(record))),
            Order::Random => records.sort_by_cached_key(|record| chance(record)),
        }
    }

    /// Puts the records of one page into order.
    pub(crate) fn sort_page(self, page: &mut [&Record], seed: u64) {
        if self == Order::NewestPageFirst {
            page.sort_by_cached_key(|record| roll(seed, &("page", record.number)));
        }
    }
}

/// Each order that no client reports.
pub(crate) fn odd_order() -> impl Strategy<Value = Order> {
    prop_oneof![
        2 => prop_oneof![Just(6), Just(1_500), Just(20_000)].prop_map(Order::Shuffled),
        1 => Just(Order::NewestPageFirst),
        2 => Just(Order::OldestFirst),
        1 => Just(Order::Random),
    ]
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::NewestFirst => write!(f, "answers newest first"),
            Order::NewestPageFirst => write!(f, "answers newest page first, anyhow inside a page"),
            Order::Shuffled(by) => write!(f, "answers newest first, but for neighbours within {by} ms"),
            Order::Misplaced(every) => write!(
                f,
                "answers newest first, but for one record in {every}, which stands anywhere"
            ),
            Order::OldestFirst => write!(f, "answers oldest first"),
            Order::Random => write!(f, "answers in no order"),
        }
    }
}
