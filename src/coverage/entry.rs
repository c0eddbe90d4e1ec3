//! A line of the journal.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Covered;
use super::completed_runs::CompletedRun;
use crate::source::Retention;
use crate::window::{Window, floor_to_millisecond};

/// In this time every clock goes on by a second or more.
const A_WHILE: TimeDelta = TimeDelta::seconds(5);

/// Version of the lines.
const VERSION: u32 = 1;

/// What one run did for one stream; [`crate::coverage`] describes the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: u32,
    pub(crate) program: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) seconds: f64,
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) to: Option<DateTime<Utc>>,
    pub(crate) end: End,
    pub(crate) covered_to: Option<DateTime<Utc>>,
    pub(crate) error: Option<String>,
    pub(crate) closed: Vec<Closed>,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) pages: u64,
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    pub(crate) appended: u64,
    pub(crate) rejected: u64,
    #[serde(default)]
    pub(crate) repaired: u64,
    pub(crate) last_before: Option<DateTime<Utc>>,
    pub(crate) last_record: Option<DateTime<Utc>>,
    pub(crate) covered: Covered,
    pub(crate) last_complete: Option<DateTime<Utc>>,
    pub(crate) last_reconciled: Option<DateTime<Utc>>,
    pub(crate) service_date: Option<DateTime<Utc>>,
}

/// How a stream's part of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// The service was asked for everything.
    Exhausted,
    /// The run was shut down.
    Stopped,
    Failed,
    /// There was nothing to ask for.
    Nothing,
}

/// A gap that a run asked for again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    /// Start of the span.
    pub(crate) from: DateTime<Utc>,
    /// End of the span.
    pub(crate) to: DateTime<Utc>,
    /// Up to where everything was asked for and filed.
    pub(crate) covered_to: Option<DateTime<Utc>>,
    /// Why the gap is still open.
    pub(crate) error: Option<String>,
}

impl Entry {
    /// Creates the line of a run that has done nothing yet; `before` is the previous line.
    #[must_use]
    pub(crate) fn new(at: DateTime<Utc>, before: Option<Entry>) -> Self {
        let at = floor_to_millisecond(at);
        let (covered, last_complete, last_reconciled) = before.map_or_else(Default::default, |before| {
            (before.covered, before.last_complete, before.last_reconciled)
        });
        Self {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            at,
            seconds: 0.0,
            from: None,
            to: None,
            end: End::Nothing,
            covered_to: None,
            error: None,
            closed: Vec::new(),
            requests: 0,
            retries: 0,
            pages: 0,
            received: 0,
            duplicates: 0,
            appended: 0,
            rejected: 0,
            repaired: 0,
            last_before: None,
            last_record: None,
            covered,
            last_complete,
            last_reconciled,
            service_date: None,
        }
    }

    /// Adds what this run covered to what was covered before.
    ///
    /// A span does not count where the service had forgotten it when the run began, nor after the start of the run; a
    /// window may end up to a millisecond after that.
    pub(crate) fn add_up(&mut self, retention: Retention) {
        let walked = self.closed.iter().map(|gap| (Some(gap.from), gap.covered_to));
        for (from, to) in walked.chain([(self.from, self.covered_to)]) {
            if let (Some(from), Some(to)) = (from, to) {
                self.covered.add(Window {
                    from: from.max(retention.oldest(self.at)),
                    to: to.min(self.at + TimeDelta::milliseconds(1)),
                });
            }
        }
        let is_complete = matches!(self.end, End::Exhausted | End::Nothing);
        if is_complete {
            self.last_complete = Some(self.at);
        }
    }

    /// Whether to reconcile: it was never done, was done `every` ago, or was noted by a clock ahead of this one.
    #[must_use]
    pub(crate) fn is_reconciling_due(&self, now: DateTime<Utc>, every: TimeDelta) -> bool {
        self.last_reconciled
            .is_none_or(|done| done > now || now - done >= every)
    }

    /// Returns the date that a clock has left behind by now: that of this run's last answer, if the run was a while ago.
    pub(crate) fn stale_date(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let while_ago = TimeDelta::milliseconds((self.seconds * 1_000.0) as i64) + A_WHILE;
        self.service_date.filter(|_| (now - self.at).abs() > while_ago)
    }

    /// Notes that this run has reconciled, if it is complete up to its start and reached back at least `reach`.
    pub(crate) fn note_reconciled(&mut self, reach: TimeDelta) {
        if self.completed_run().is_some_and(|run| run.from <= self.at - reach) {
            self.last_reconciled = Some(self.at);
        }
    }

    /// Returns the run, if it asked for everything up to its start.
    pub(super) fn completed_run(&self) -> Option<CompletedRun> {
        let from = self.from.filter(|_| self.end == End::Exhausted)?;
        (self.to? >= self.at).then(|| CompletedRun {
            at: self.at,
            from,
            last: self.last_before.unwrap_or(from),
        })
    }

    /// Returns the line, without its newline.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub(crate) fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Parses a line of the journal; `None` if it is not one of this version.
    #[must_use]
    pub(crate) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line)
            .ok()
            .filter(|entry: &Self| entry.version == VERSION)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    const TWO_WEEKS: Retention = Retention {
        days: 14,
        is_documented: true,
    };

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn entry(at: &str, from: &str, covered_to: Option<&str>, before: Option<Entry>) -> Entry {
        let mut entry = Entry::new(time(at), before);
        entry.from = Some(time(from));
        entry.to = Some(entry.at);
        entry.covered_to = covered_to.map(time);
        entry.end = if entry.covered_to == entry.to {
            End::Exhausted
        } else {
            End::Failed
        };
        entry.add_up(TWO_WEEKS);
        entry
    }

    fn spans(entry: &Entry) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        entry.covered.spans().iter().map(|span| (span.from, span.to)).collect()
    }

    #[test]
    fn runs_that_go_on_where_the_one_before_ended_cover_one_span() {
        let first = entry(
            "2026-11-10T00:00:00Z",
            "2026-11-01T00:00:00Z",
            Some("2026-11-10T00:00:00Z"),
            None,
        );
        let second = entry(
            "2026-11-11T00:00:00Z",
            "2026-11-09T23:00:00Z",
            Some("2026-11-11T00:00:00Z"),
            Some(first),
        );
        assert_eq!(
            spans(&second),
            [(time("2026-11-01T00:00:00Z"), time("2026-11-11T00:00:00Z"))]
        );
        assert_eq!(second.last_complete, Some(second.at));
    }

    #[test]
    fn a_failed_run_covers_as_far_as_it_came_and_is_not_the_last_complete_one() {
        let first = entry(
            "2026-11-10T00:00:00Z",
            "2026-11-01T00:00:00Z",
            Some("2026-11-10T00:00:00Z"),
            None,
        );
        let part = entry(
            "2026-11-12T00:00:00Z",
            "2026-11-10T00:00:00Z",
            Some("2026-11-11T00:00:00Z"),
            Some(first.clone()),
        );
        assert_eq!(
            spans(&part),
            [(time("2026-11-01T00:00:00Z"), time("2026-11-11T00:00:00Z"))]
        );
        assert_eq!(part.last_complete, Some(first.at));
        let none = entry(
            "2026-11-12T00:00:00Z",
            "2026-11-10T00:00:00Z",
            None,
            Some(first.clone()),
        );
        assert_eq!(none.covered, first.covered);
    }

    #[test]
    fn what_the_service_had_forgotten_when_it_was_asked_is_not_covered() {
        let first = entry(
            "2026-11-01T00:00:00Z",
            "2026-10-25T00:00:00Z",
            Some("2026-11-01T00:00:00Z"),
            None,
        );
        let late = entry(
            "2026-11-20T00:00:00Z",
            "2026-10-31T00:00:00Z",
            Some("2026-11-20T00:00:00Z"),
            Some(first),
        );
        assert_eq!(
            spans(&late),
            [
                (time("2026-10-25T00:00:00Z"), time("2026-11-01T00:00:00Z")),
                (time("2026-11-06T00:00:00Z"), time("2026-11-20T00:00:00Z")),
            ]
        );
    }

    #[test]
    fn a_line_is_read_back_and_the_form_is_the_documented_one() {
        let mut entry = entry("2026-11-20T10:00:00Z", "2026-11-20T09:48:00.5Z", None, None);
        entry.error = Some("port answered 500".into());
        entry.closed.push(Closed {
            from: time("2026-11-19T00:00:00Z"),
            to: time("2026-11-19T01:00:00Z"),
            covered_to: None,
            error: None,
        });
        let line = entry.to_line().unwrap();
        let expected = concat!(
            r#"{"version":1,"program":"0.1.0","at":"2026-11-20T10:00:00Z","seconds":0.0,"#,
            r#""from":"2026-11-20T09:48:00.500Z","to":"2026-11-20T10:00:00Z","end":"failed","covered_to":null,"#,
            r#""error":"port answered 500","closed":[{"from":"2026-11-19T00:00:00Z","to":"2026-11-19T01:00:00Z","#,
            r#""covered_to":null,"error":null}],"requests":0,"retries":0,"pages":0,"received":0,"duplicates":0,"#,
            r#""appended":0,"rejected":0,"repaired":0,"last_before":null,"last_record":null,"covered":[],"last_complete":null,"#,
            r#""last_reconciled":null,"service_date":null}"#
        );
        assert_eq!(line, expected);
        assert_eq!(Entry::read(&line), Some(entry));
        assert_eq!(Entry::read(&line.replace(r#""version":1"#, r#""version":2"#)), None);
        assert_eq!(Entry::read(&line[..line.len() - 1]), None);
        assert!(Entry::read(&line.replacen('{', r#"{"new":[1],"#, 1)).is_some());
        assert!(
            Entry::read(
                &line
                    .replace(r#","service_date":null"#, "")
                    .replace(r#""repaired":0,"#, "")
            )
            .is_some(),
            "as older versions wrote it"
        );
    }

    #[test]
    fn reconciling_is_due_when_it_was_never_done_or_long_ago_or_by_a_clock_that_was_ahead() {
        let (at, every, reach) = (time("2026-11-20T00:00:00Z"), TimeDelta::hours(24), TimeDelta::hours(36));
        let run = |from, covered_to| {
            let mut entry = entry("2026-11-20T00:00:00Z", from, covered_to, None);
            entry.note_reconciled(reach);
            entry
        };
        let complete = Some("2026-11-20T00:00:00Z");
        assert!(
            run("2026-11-19T23:00:00Z", complete).is_reconciling_due(at, every),
            "a short run is none"
        );
        assert!(
            run("2026-11-18T00:00:00Z", None).is_reconciling_due(at, every),
            "it failed"
        );
        let done = run("2026-11-18T12:00:00Z", complete);
        for (minutes, is_due) in [(0, false), (24 * 60 - 1, false), (24 * 60, true), (-1, true)] {
            assert_eq!(
                done.is_reconciling_due(at + TimeDelta::minutes(minutes), every),
                is_due,
                "{minutes}"
            );
        }
        assert_eq!(Entry::new(at, Some(done.clone())).last_reconciled, done.last_reconciled);
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// Whatever the runs, no time counts as covered that no run asked for.
        #[test]
        fn nothing_is_covered_that_nobody_asked_for(
            runs in prop::collection::vec((0_i64..2_000, 0_i64..2_000, 0_i64..2_000), 1..12),
        ) {
            let hour = |hours| DateTime::from_timestamp(1_700_000_000 + hours * 3_600, 0).unwrap();
            let mut asked = Covered::default();
            let mut entry = None;
            for (at, from, to) in runs {
                let mut next = Entry::new(hour(at), entry);
                next.from = Some(hour(from));
                next.covered_to = Some(hour(to));
                next.add_up(TWO_WEEKS);
                asked.add(Window { from: hour(from), to: hour(to) });
                entry = Some(next);
            }
            for span in entry.unwrap().covered.spans() {
                prop_assert!(asked.spans().iter().any(|one| one.from <= span.from && span.to <= one.to));
            }
        }
    }
}
