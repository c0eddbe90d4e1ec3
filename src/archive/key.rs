//! What is kept in memory of an archived record: sixteen bytes.

use chrono::{DateTime, Timelike, Utc};

use crate::record::Identified;

/// How many bits tell records with one id and one time apart.
const CONTENT_BITS: u32 = 56;

/// How many bits tell records of one millisecond with different ids apart. The rest is for the milliseconds of a day.
const ID_BITS: u32 = 128 - 27 - CONTENT_BITS;

/// The time, id and content of a record. Keys of a day are in the order of time, so that what is looked up one after the
/// other is close together, and those with one id and one time follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(u128);

/// The time and the id of a record, the same for all of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Moment(u128);

impl Key {
    pub(super) fn of(Identified { time, identity }: Identified) -> Self {
        let id = identity.mark as u64 ^ spread(time);
        let id = u128::from(id >> (u64::BITS - ID_BITS));
        let content = identity.content & ((1 << CONTENT_BITS) - 1);
        let millisecond = u128::from(milliseconds_of_the_day(time));
        Self((((millisecond << ID_BITS) | id) << CONTENT_BITS) | content)
    }

    pub(super) fn moment(self) -> Moment {
        Moment(self.0 >> CONTENT_BITS)
    }
}

fn milliseconds_of_the_day(time: DateTime<Utc>) -> u32 {
    time.num_seconds_from_midnight() * 1_000 + time.timestamp_subsec_millis()
}

/// Spreads the whole time over the upper bits: the milliseconds of a day say neither which day nor how many nanoseconds.
fn spread(time: DateTime<Utc>) -> u64 {
    let nanoseconds = i64::from(time.timestamp_subsec_nanos());
    let time = time.timestamp().wrapping_mul(1_000_000_000).wrapping_add(nanoseconds);
    (time as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::test_support::record::{SHAPE, record};

    fn key(id: &str, time: &str, more: &str) -> Key {
        let json = format!(r#"{{"id": "{id}", "timestamp": "2025-06-09T{time}Z"{more}}}"#);
        Key::of(Record::read(&json, &SHAPE).unwrap().identified())
    }

    #[test]
    fn versions_of_one_id_and_time_have_one_moment_and_all_else_has_another() {
        let first = key("a", "23:59:59.9990001", "");
        let second = key("a", "23:59:59.9990001", r#", "n": 1"#);
        assert_eq!(first.moment(), second.moment());
        assert_ne!(first, second);
        for other in [
            key("b", "23:59:59.9990001", ""),
            key("a", "23:59:59.9990002", ""),
            key("a", "23:59:59.998", ""),
            key("a", "00:00:00", ""),
        ] {
            assert_ne!(first.moment(), other.moment());
        }
        let next_day = record("a", "2025-06-10T00:00:00Z").identified();
        assert_ne!(key("a", "00:00:00", "").moment(), Key::of(next_day).moment());
    }

    #[test]
    fn keys_are_in_the_order_of_time() {
        let times = ["00:00:00", "00:00:00.001", "10:11:12.345", "23:59:59", "23:59:59.999"];
        let keys = times.map(|time| key("a", time, ""));
        assert!(keys.is_sorted());
        assert!(keys.map(|key| key.moment()).is_sorted());
    }
}
