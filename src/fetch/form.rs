//! What is wrong with the times of an answer, and whether it shows that the form of the records has changed.

use chrono::{DateTime, TimeDelta, Utc};

use crate::http::retry::AttemptError;
use crate::record::{Record, Rejected};
use crate::window::bound;

/// With fewer records that cannot be filed, an answer says nothing about the others: any service has an odd one.
const FEWEST: usize = 3;

/// Runs come at least this often. A record that is further ahead of the clocks has a wrong time.
const SOON: TimeDelta = TimeDelta::days(1);

/// Rejects the records of an answer that no run of the next [`SOON`] would file, `latest` being the latest time that one can have
/// now: else nobody would ever see them.
pub(super) fn reject_those_in_the_future(
    records: Vec<Result<Record, Rejected>>,
    latest: DateTime<Utc>,
) -> Vec<Result<Record, Rejected>> {
    let future = latest + SOON;
    if records.iter().flatten().all(|record| record.time <= future) {
        return records;
    }
    let checked = records.into_iter().map(|item| match item {
        Ok(record) if record.time > future => {
            let reason = format!(
                "its time is in the future, after {}, by what is known of the clocks",
                bound(future)
            );
            Err(record.into_rejected(reason))
        }
        item => item,
    });
    checked.collect()
}

/// Checks that at least half of the records of an answer can be filed, as far as they tell themselves: else it is not
/// them that are odd, but what is expected of them.
///
/// Those that an earlier answer had, among more others, do not count: narrow windows show them again.
///
/// # Errors
/// [`AttemptError::OtherForm`]: the answer counts as one that cannot be read, and nothing of it is used.
pub(super) fn check_form(
    records: &[Result<Record, Rejected>],
    is_known: impl Fn(u128) -> bool,
) -> Result<(), AttemptError> {
    let unfit = records.iter().filter_map(|record| record.as_ref().err());
    let mut unfit = unfit.filter(|rejected| !is_known(rejected.content));
    let count = unfit.clone().count();
    match unfit.next() {
        Some(first) if count >= FEWEST && count > records.len() / 2 => Err(AttemptError::OtherForm {
            unfit: count,
            records: records.len(),
            first: first.reason.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ReadError;
    use crate::source::SOURCES;

    fn record(text: &str) -> Result<Record, Rejected> {
        match Record::read(text, &SOURCES[0].shape) {
            Ok(record) => Ok(record),
            Err(ReadError::Rejected(rejected)) => Err(rejected),
            Err(ReadError::JsonError(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn three_records_or_more_and_more_than_half_of_an_answer_are_another_form() {
        let good = || record(r#"{"date":"2026-01-05T00:00:00Z"}"#);
        let bad = || record(r#"{"date":"yesterday"}"#);
        for good_records in 0..7 {
            for bad_records in 0..10 {
                let mut answer: Vec<_> = (0..good_records).map(|_| good()).collect();
                answer.extend((0..bad_records).map(|_| bad()));
                let expected = bad_records >= FEWEST && bad_records > good_records;
                let checked = check_form(&answer, |_| false);
                assert_eq!(checked.is_err(), expected, "{good_records} good, {bad_records} bad");
                if let Err(error) = checked {
                    let reason = "the time at `date` cannot be read: \"yesterday\"".to_owned();
                    let (unfit, records) = (bad_records, good_records + bad_records);
                    assert_eq!(
                        error,
                        AttemptError::OtherForm {
                            unfit,
                            records,
                            first: reason
                        }
                    );
                }
            }
        }
    }
}
