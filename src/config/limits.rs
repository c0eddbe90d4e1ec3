//! How far and how often a stream asks its service; for all streams, or for one with its prefix.

use std::time::Duration;

use chrono::TimeDelta;

use crate::env::{ConfigErrors, DefaultValue, Env, Row, Scope, Setting, Variable, seconds, whole_number};
use crate::source::{Kind, SOURCES};

/// The variables, in the order of the documents; each also with a stream's prefix, `MAIL_MAX_PAGES`.
pub(super) const ROWS: &[&dyn Row] = &[
    &OVERLAP_MINUTES,
    &RECONCILE_EVERY_HOURS,
    &RECONCILE_HOURS,
    &INITIAL_LOOKBACK_DAYS,
    &MAX_PAGES,
    &FETCH_CONCURRENCY,
    &MAX_RETRIES,
    &RETRY_DELAY_SECONDS,
    &REQUEST_TIMEOUT_SECONDS,
];

/// The longest wait between two attempts, and so the longest first one.
const LONGEST_RETRY_DELAY_SECONDS: f64 = 300.0;

const OVERLAP_MINUTES: Setting<i64> = Setting {
    variable: Variable {
        name: "OVERLAP_MINUTES",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("2"),
        example: None,
        doc: "How many minutes before the last record each run starts, for records that arrive late; 0 to 10080.",
    },
    parse: |text| whole_number(text, 0..=10_080),
};

const RECONCILE_EVERY_HOURS: Setting<i64> = Setting {
    variable: Variable {
        name: "RECONCILE_EVERY_HOURS",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("0"),
        example: None,
        doc: "How often, in hours, a run reconciles by itself: fetches the last `RECONCILE_HOURS` hours again and adds what \
              arrived too late for the overlap, as `trailkeeper reconcile` does; 0 to 8760, 0 is never. Once a day (24) is a good \
              start; the result shows how many `OVERLAP_MINUTES` would have been enough.",
    },
    parse: |text| whole_number(text, 0..=8_760),
};

const RECONCILE_HOURS: Setting<i64> = Setting {
    variable: Variable {
        name: "RECONCILE_HOURS",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("36"),
        example: None,
        doc: "How many hours a run goes back when it reconciles; 1 to 8760.",
    },
    parse: |text| whole_number(text, 1..=8_760),
};

const INITIAL_LOOKBACK_DAYS: Setting<i64> = Setting {
    variable: Variable {
        name: "INITIAL_LOOKBACK_DAYS",
        scope: Scope::AllStreams,
        default: DefaultValue::OfStream(lookback_days),
        example: None,
        doc: "How many days the first run goes back, when there is no record yet; 1 to 3650. The default is how long the service keeps records, \
              as far as known.",
    },
    parse: |text| whole_number(text, 1..=3_650),
};

const MAX_PAGES: Setting<u32> = Setting {
    variable: Variable {
        name: "MAX_PAGES",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("20"),
        example: None,
        doc: "How many pages of a feed with page numbers (tfc) are read before any of it is filed; 1 to 1000. A longer feed is \
              read in parts from its far end. It does not limit how much is read. The other streams are read by time.",
    },
    parse: |text| whole_number(text, 1..=1_000),
};

const FETCH_CONCURRENCY: Setting<usize> = Setting {
    variable: Variable {
        name: "FETCH_CONCURRENCY",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("4"),
        example: None,
        doc: "How many requests to one host may be in flight at a time; 1 to 64. Streams on one host share the largest of their \
              values, and each keeps to its own; with several organizations each has its own share, and all together at most 32. The \
              published rate limit of a service always applies.",
    },
    parse: |text| whole_number(text, 1..=64),
};

pub(super) const MAX_RETRIES: Setting<u32> = Setting {
    variable: Variable {
        name: "MAX_RETRIES",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("3"),
        example: None,
        doc: "How often a failed request is retried; 0 to 100. Network errors, the statuses 408, 429 and 5xx, and answers that \
              are not JSON are retried.",
    },
    parse: |text| whole_number(text, 0..=100),
};

pub(super) const RETRY_DELAY_SECONDS: Setting<Duration> = Setting {
    variable: Variable {
        name: "RETRY_DELAY_SECONDS",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("2"),
        example: None,
        doc: "How many seconds to wait before the first retry, with or without a fraction; 0 to 300. The wait doubles with each \
              retry; a wait that the server asks for takes precedence, up to 300 seconds.",
    },
    parse: |text| seconds(text, 0.0..=LONGEST_RETRY_DELAY_SECONDS),
};

pub(super) const REQUEST_TIMEOUT_SECONDS: Setting<Duration> = Setting {
    variable: Variable {
        name: "REQUEST_TIMEOUT_SECONDS",
        scope: Scope::AllStreams,
        default: DefaultValue::Text("60"),
        example: None,
        doc: "How many seconds one request may take, from connecting to the last byte; 0.1 to 3600.",
    },
    parse: |text| seconds(text, 0.1..=3600.0),
};

/// Returns how far the first run of the stream with this prefix goes back by default.
fn lookback_days(prefix: &str) -> String {
    let kind = SOURCES.iter().find(|kind| kind.prefix == prefix);
    kind.map_or_else(String::new, |kind| kind.lookback_days.to_string())
}

/// How far and how often a stream asks its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How many pages one cycle of page tokens may have; `MAX_PAGES`.
    pub(crate) max_pages: u32,
    /// How long before the last record a run starts; `OVERLAP_MINUTES`.
    pub(crate) overlap: TimeDelta,
    /// How many requests are in flight at most; `FETCH_CONCURRENCY`.
    pub(crate) concurrency: usize,
    /// How often a request is retried; `MAX_RETRIES`.
    pub(crate) max_retries: u32,
    /// The wait before the first retry; `RETRY_DELAY_SECONDS`.
    pub(crate) retry_delay: Duration,
    /// How long one request may take in all; `REQUEST_TIMEOUT_SECONDS`.
    pub(crate) request_timeout: Duration,
    /// How far the first run goes back; `INITIAL_LOOKBACK_DAYS`.
    pub(crate) initial_lookback: TimeDelta,
    /// How often `collect` reconciles by itself, `None` for never; `RECONCILE_EVERY_HOURS`.
    pub(crate) reconcile_every: Option<TimeDelta>,
    /// How far back that goes; `RECONCILE_HOURS`.
    pub(crate) reconcile_reach: TimeDelta,
}

impl Limits {
    /// Reads the limits of one kind of stream; `None` after an error.
    pub(super) fn read(env: &Env, kind: &Kind, errors: &mut ConfigErrors) -> Option<Self> {
        let prefix = kind.prefix;
        let max_pages = env.per_stream(&MAX_PAGES, prefix, errors);
        let overlap = env.per_stream(&OVERLAP_MINUTES, prefix, errors);
        let concurrency = env.per_stream(&FETCH_CONCURRENCY, prefix, errors);
        let max_retries = env.per_stream(&MAX_RETRIES, prefix, errors);
        let retry_delay = env.per_stream(&RETRY_DELAY_SECONDS, prefix, errors);
        let request_timeout = env.per_stream(&REQUEST_TIMEOUT_SECONDS, prefix, errors);
        let lookback = env.per_stream(&INITIAL_LOOKBACK_DAYS, prefix, errors);
        let every = env.per_stream(&RECONCILE_EVERY_HOURS, prefix, errors);
        let reach = env.per_stream(&RECONCILE_HOURS, prefix, errors);
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
            for variable in ROWS.iter().map(|row| row.name()) {
                let own = kind.variable(&variable);
                let (limits, errors) = read(kind, &[(&variable, "1"), (&own, "-1")]);
                assert_eq!(limits, None);
                assert!(
                    errors.starts_with(&format!("{own} must be a ")) && errors.ends_with("not `-1`"),
                    "{errors}"
                );
                assert!(read(kind, &[(&variable, "-1"), (&own, "1")]).0.is_some());
            }
        }
        let all: Vec<_> = ROWS.iter().map(|row| (row.variable().name, "often")).collect();
        assert_eq!(read(&SOURCES[0], &all).1.lines().count(), ROWS.len());
    }
}
