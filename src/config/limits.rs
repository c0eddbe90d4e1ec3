//! How far and how patiently a stream asks its service; for all streams, or for one with its prefix.

use std::time::Duration;

use chrono::TimeDelta;

use crate::env::{ConfigErrors, Env, seconds, whole_number};
use crate::source::Kind;

/// The variables that are read here; each also with a stream's prefix, `MAIL_MAX_PAGES`.
pub(super) const VARIABLES: [&str; 9] = [
    "FETCH_CONCURRENCY",
    "INITIAL_LOOKBACK_DAYS",
    "MAX_PAGES",
    "MAX_RETRIES",
    "OVERLAP_MINUTES",
    "RECONCILE_EVERY_HOURS",
    "RECONCILE_HOURS",
    "REQUEST_TIMEOUT_SECONDS",
    "RETRY_DELAY_SECONDS",
];

/// The longest wait between two tries, and so the longest first one.
const LONGEST_RETRY_DELAY_SECONDS: f64 = 300.0;

/// How far and how patiently a stream asks its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many pages one cycle of page tokens may have; `MAX_PAGES`, 20.
    pub max_pages: u32,
    /// How long before the last record a run asks again; `OVERLAP_MINUTES`, 2.
    pub overlap: TimeDelta,
    /// How many requests are under way at a time at most; `FETCH_CONCURRENCY`, 4.
    pub concurrency: usize,
    /// How often one request is tried again; `MAX_RETRIES`, 3.
    pub max_retries: u32,
    /// The first wait before a request is tried again; `RETRY_DELAY_SECONDS`, 2.
    pub retry_delay: Duration,
    /// How long one request may take in all; `REQUEST_TIMEOUT_SECONDS`, 60.
    pub request_timeout: Duration,
    /// How far the first run goes back; `INITIAL_LOOKBACK_DAYS`, by the kind of stream.
    pub initial_lookback: TimeDelta,
    /// How often `collect` reconciles by itself, `None` for never; `RECONCILE_EVERY_HOURS`, 0 for never.
    pub reconcile_every: Option<TimeDelta>,
    /// How far back that goes; `RECONCILE_HOURS`, 36.
    pub reconcile_reach: TimeDelta,
}

impl Limits {
    /// Reads the limits of one kind of stream; `None` after a fault.
    pub(super) fn read(env: &Env, kind: &Kind, errors: &mut ConfigErrors) -> Option<Self> {
        let prefix = kind.prefix;
        let lookback = kind.lookback_days.to_string();
        let max_pages = env.per_stream(prefix, "MAX_PAGES", "20", whole_number(1..=1_000), errors);
        let overlap = env.per_stream(prefix, "OVERLAP_MINUTES", "2", whole_number(0..=10_080), errors);
        let concurrency = env.per_stream(prefix, "FETCH_CONCURRENCY", "4", whole_number(1..=64), errors);
        let max_retries = env.per_stream(prefix, "MAX_RETRIES", "3", whole_number(0..=100), errors);
        let delays = seconds(0.0..=LONGEST_RETRY_DELAY_SECONDS);
        let retry_delay = env.per_stream(prefix, "RETRY_DELAY_SECONDS", "2", delays, errors);
        let request_timeout = env.per_stream(prefix, "REQUEST_TIMEOUT_SECONDS", "60", seconds(0.1..=3600.0), errors);
        let lookback = env.per_stream(
            prefix,
            "INITIAL_LOOKBACK_DAYS",
            &lookback,
            whole_number(1..=3_650),
            errors,
        );
        let every = env.per_stream(prefix, "RECONCILE_EVERY_HOURS", "0", whole_number(0..=8_760), errors);
        let reach = env.per_stream(prefix, "RECONCILE_HOURS", "36", whole_number(1..=8_760), errors);
        Some(Self {
            max_pages: max_pages?,
            overlap: TimeDelta::minutes(overlap?),
            concurrency: concurrency?,
            max_retries: max_retries?,
            retry_delay: retry_delay?,
            request_timeout: request_timeout?,
            initial_lookback: TimeDelta::days(lookback?),
            reconcile_every: Some(TimeDelta::hours(every?)).filter(|every| !every.is_zero()),
            reconcile_reach: TimeDelta::hours(reach?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    fn read(kind: &Kind, pairs: &[(&str, &str)]) -> (Option<Limits>, String) {
        let mut errors = ConfigErrors::default();
        let limits = Limits::read(&Env::from_pairs(pairs.iter().copied()), kind, &mut errors);
        (limits, errors.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let expected = Limits {
            max_pages: 20,
            overlap: TimeDelta::minutes(2),
            concurrency: 4,
            max_retries: 3,
            retry_delay: Duration::from_secs(2),
            request_timeout: Duration::from_secs(60),
            initial_lookback: TimeDelta::days(184),
            reconcile_every: None,
            reconcile_reach: TimeDelta::hours(36),
        };
        assert_eq!(read(&SOURCES[0], &[]), (Some(expected), String::new()));
    }

    #[test]
    fn the_lookback_follows_the_kind_until_it_is_set() {
        for kind in SOURCES {
            let days = |pairs| read(kind, pairs).0.unwrap().initial_lookback.num_days();
            assert_eq!(days(&[]), i64::from(kind.lookback_days));
            assert_eq!(days(&[("INITIAL_LOOKBACK_DAYS", "7")]), 7);
            let own = kind.variable("INITIAL_LOOKBACK_DAYS");
            assert_eq!(days(&[("INITIAL_LOOKBACK_DAYS", "7"), (&own, "9")]), 9);
        }
    }

    #[test]
    fn every_limit_can_be_set_for_one_stream_and_every_bad_one_is_named() {
        for kind in SOURCES {
            for variable in VARIABLES {
                let own = kind.variable(variable);
                let (limits, errors) = read(kind, &[(variable, "1"), (&own, "-1")]);
                assert_eq!(limits, None);
                assert!(
                    errors.starts_with(&format!("{own} must be a ")) && errors.ends_with("not `-1`"),
                    "{errors}"
                );
                assert!(read(kind, &[(variable, "-1"), (&own, "1")]).0.is_some());
            }
        }
        let all = VARIABLES.map(|variable| (variable, "often"));
        assert_eq!(read(&SOURCES[0], &all).1.lines().count(), VARIABLES.len());
    }
}
