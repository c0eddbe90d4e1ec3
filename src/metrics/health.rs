//! Whether the streams are well: what `/healthz` says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::output::table::age;

/// A run may end this long ago, however short the interval is: as long as a stream that fails waits at most.
const LEAST_ALLOWED: Duration = Duration::from_secs(15 * 60);

/// A stream may miss this many intervals.
const INTERVALS: u32 = 3;

/// How the last run of each stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// How long ago a run may have ended.
    allowed: Duration,
    streams: BTreeMap<&'static str, Option<LastRun>>,
    /// Organizations that cannot be collected.
    failed: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastRun {
    ended: DateTime<Utc>,
    is_complete: bool,
}

/// The health at one moment.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HealthReport {
    /// Whether every stream is well.
    pub(crate) healthy: bool,
    streams: Vec<StreamHealth>,
    /// Organizations that cannot be collected, whatever their streams are; what is wrong with them stands in the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_organizations: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct StreamHealth {
    stream: &'static str,
    healthy: bool,
    /// When its last run ended.
    last_run: Option<DateTime<Utc>>,
    problem: Option<String>,
}

impl Health {
    /// Creates that of streams that run in this interval and have not run yet.
    pub(crate) fn new(streams: impl IntoIterator<Item = &'static str>, interval: Duration) -> Self {
        Self {
            allowed: LEAST_ALLOWED.max(interval * INTERVALS),
            streams: streams.into_iter().map(|stream| (stream, None)).collect(),
            failed: BTreeSet::new(),
        }
    }

    /// Goes on with these streams.
    pub(crate) fn go_on_with(&mut self, streams: &BTreeSet<&'static str>) {
        self.streams.retain(|stream, _| streams.contains(stream));
        for stream in streams {
            self.streams.entry(stream).or_default();
        }
    }

    /// Notes the organizations that cannot be collected.
    pub(crate) fn fail(&mut self, organizations: impl Iterator<Item = String>) {
        self.failed = organizations.collect();
    }

    /// Notes a run. One that was shut down says nothing about the stream, and is not to be noted.
    pub(crate) fn run(&mut self, stream: &'static str, ended: DateTime<Utc>, is_complete: bool) {
        self.streams.insert(stream, Some(LastRun { ended, is_complete }));
    }

    /// Returns the health at `now`: well is a stream whose last run was complete and ended not long ago.
    pub(crate) fn report(&self, now: DateTime<Utc>) -> HealthReport {
        let allowed = TimeDelta::from_std(self.allowed).unwrap_or(TimeDelta::MAX);
        let streams = self.streams.iter().map(|(stream, last)| {
            let problem = problem(*last, allowed, now);
            StreamHealth {
                stream,
                healthy: problem.is_none(),
                last_run: last.map(|last| last.ended),
                problem,
            }
        });
        let streams: Vec<_> = streams.collect();
        HealthReport {
            healthy: self.failed.is_empty() && streams.iter().all(|stream| stream.healthy),
            streams,
            failed_organizations: self.failed.iter().cloned().collect(),
        }
    }
}

/// Says what is wrong, without the words of the service.
fn problem(last: Option<LastRun>, allowed: TimeDelta, now: DateTime<Utc>) -> Option<String> {
    let Some(last) = last else {
        return Some("no run has ended yet".to_owned());
    };
    if !last.is_complete {
        return Some("its last run was not complete".to_owned());
    }
    let ago = now - last.ended;
    (ago > allowed).then(|| format!("its last run ended {} ago, and {} is allowed", age(ago), age(allowed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn problems(health: &Health, now: DateTime<Utc>) -> Vec<Option<String>> {
        let report = health.report(now);
        assert_eq!(
            report.healthy,
            report.streams.iter().all(|stream| stream.problem.is_none())
        );
        report.streams.into_iter().map(|stream| stream.problem).collect()
    }

    #[test]
    fn a_stream_is_well_while_its_last_run_was_complete_and_ended_lately() {
        let mut health = Health::new(["port", "tfc"], Duration::from_secs(60));
        let none = || Some("no run has ended yet".to_owned());
        assert_eq!(problems(&health, at(0)), [none(), none()]);
        health.run("tfc", at(0), true);
        health.run("port", at(0), false);
        assert_eq!(
            problems(&health, at(1)),
            [Some("its last run was not complete".to_owned()), None]
        );
        health.run("port", at(2), true);
        assert_eq!(problems(&health, at(15)), [None, None]);
        assert_eq!(
            problems(&health, at(16)),
            [None, Some("its last run ended 16m ago, and 15m is allowed".to_owned())]
        );
    }

    #[test]
    fn an_organization_that_cannot_be_collected_is_not_well() {
        let mut health = Health::new(["acme/tfc"], Duration::from_secs(60));
        health.run("acme/tfc", at(0), true);
        health.fail(["zeta".to_owned()].into_iter());
        let report = health.report(at(1));
        assert_eq!(
            (report.healthy, report.failed_organizations.as_slice()),
            (false, &["zeta".to_owned()][..])
        );
        health.fail(std::iter::empty());
        assert!(health.report(at(1)).healthy);
    }

    #[test]
    fn a_long_interval_allows_more() {
        let mut health = Health::new(["tfc"], Duration::from_secs(3_600));
        health.run("tfc", at(0), true);
        assert_eq!(problems(&health, at(180)), [None]);
        assert!(problems(&health, at(181))[0].is_some());
    }

    #[test]
    fn streams_come_and_go_with_the_settings() {
        let mut health = Health::new(["tfc"], Duration::from_secs(60));
        health.run("tfc", at(0), true);
        health.go_on_with(&BTreeSet::from(["tfc", "port"]));
        assert_eq!(problems(&health, at(1)).len(), 2);
        health.go_on_with(&BTreeSet::from(["tfc"]));
        assert_eq!(problems(&health, at(1)), [None]);
    }
}
