//! A line of the journal.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::asked::{self, Asked, Purpose, day_span};
use super::completed_runs::CompletedRun;
use super::counts_text;
use super::day_counts::{Counts, is_zero};
use super::scope::Scope;
use super::sum::Sum;
use crate::archive::ExpiredDay;
use crate::source::Retention;
use crate::window::{Window, floor_to_millisecond};

/// In this time every clock goes on by a second or more.
const A_WHILE: TimeDelta = TimeDelta::seconds(5);

/// Version of the lines.
const VERSION: u32 = 2;

/// What one run did for one stream; [`crate::coverage`] describes the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: u32,
    pub(crate) program: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) seconds: f64,
    /// The organization that the run was of, if the installation has several; nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    pub(crate) scope: Scope,
    pub(crate) overlap_seconds: i64,
    pub(crate) asked: Vec<Asked>,
    pub(crate) end: End,
    pub(crate) error: Option<String>,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) pages: u64,
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    pub(crate) appended: u64,
    pub(crate) rejected: u64,
    pub(crate) revised: u64,
    pub(crate) repaired: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) expired: u64,
    pub(crate) last_before: Option<DateTime<Utc>>,
    pub(crate) last_record: Option<DateTime<Utc>>,
    pub(crate) service_date: Option<DateTime<Utc>>,
    /// What the day files hold that this run has written to, or all of them.
    pub(crate) counts: Counts,
    pub(crate) has_all_counts: bool,
    /// The days that pending records are filed to although the run does not ask for these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) filing: BTreeSet<NaiveDate>,
    /// The days that are deleted as soon as this line is on disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expiring: Vec<ExpiredDay>,
    #[serde(flatten)]
    pub(crate) sum: Sum,
}

/// What the day files hold, by a line.
#[derive(Debug, Deserialize)]
pub(super) struct CountsOfLine {
    version: u32,
    pub(super) counts: Counts,
    pub(super) has_all_counts: bool,
}

/// How a stream's part of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// It has not: the run is still going on, or was killed.
    Open,
    /// The service was asked for everything.
    Exhausted,
    /// The run was shut down.
    Stopped,
    Failed,
    /// There was nothing to ask for.
    Nothing,
}

impl Entry {
    /// Creates the line of a run that has done nothing yet; `before` is what the runs before it have come to.
    #[must_use]
    pub(crate) fn new(at: DateTime<Utc>, scope: Scope, before: Sum) -> Self {
        let at = floor_to_millisecond(at);
        let mut sum = before;
        sum.end_at(at);
        Self {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            at,
            seconds: 0.0,
            organization: None,
            scope,
            overlap_seconds: 0,
            asked: Vec::new(),
            end: End::Open,
            error: None,
            requests: 0,
            retries: 0,
            pages: 0,
            received: 0,
            duplicates: 0,
            appended: 0,
            rejected: 0,
            revised: 0,
            repaired: 0,
            expired: 0,
            last_before: None,
            last_record: None,
            service_date: None,
            counts: Counts::new(),
            has_all_counts: false,
            filing: BTreeSet::new(),
            expiring: Vec::new(),
            sum,
        }
    }

    /// Adds what this run asked for and covered to what was before; reconciling is to reach back `reach` or more.
    pub(crate) fn add_up(&mut self, retention: Retention, reach: TimeDelta) {
        let Self { at, asked, sum, .. } = self;
        sum.note_asked(asked, retention, *at);
        sum.add_covered(asked, retention, *at);
        sum.note_contradictions(asked, retention, *at);
        let reconciling = sum.reconciling;
        sum.note_reconciled(asked, *at, reach);
        sum.note_lapses(asked, reconciling, *at);
        if self.completed_run().is_some() {
            self.sum.last_complete = Some(self.at);
        }
    }

    /// Returns the span from the oldest to the newest time that was asked for, but for gaps.
    pub(crate) fn window(&self) -> Option<Window> {
        asked::window(&self.asked)
    }

    /// Returns the spans that a run was to write to which has not ended: what it has written last is not counted. None if it has.
    pub(super) fn unfinished_spans(&self) -> Vec<Window> {
        if self.end != End::Open {
            return Vec::new();
        }
        let filing = self.filing.iter().map(|date| day_span(*date));
        self.asked.iter().map(Asked::span).chain(filing).collect()
    }

    /// Returns the date that a clock has left behind by now: that of this run's last answer, if the run was a while ago.
    pub(crate) fn stale_date(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let while_ago = TimeDelta::milliseconds((self.seconds * 1_000.0) as i64) + A_WHILE;
        self.service_date.filter(|_| (now - self.at).abs() > while_ago)
    }

    /// Returns whether everything that is new was fetched and filed, whatever came of the rest.
    pub(super) fn has_completed_what_is_new(&self) -> bool {
        let mut newest = self.asked.iter().filter(|asked| asked.purpose == Purpose::New);
        newest.any(Asked::is_complete)
    }

    /// Returns the run, if it asked for everything up to its start.
    pub(super) fn completed_run(&self) -> Option<CompletedRun> {
        let is_newest = |asked: &&Asked| asked.purpose == Purpose::New && asked.to >= self.at;
        let newest = self
            .asked
            .iter()
            .find(is_newest)
            .filter(|_| self.end == End::Exhausted)?;
        // What was asked for besides, and reaches up to it.
        let others = self
            .asked
            .iter()
            .filter(|asked| asked.purpose != Purpose::Gap && asked.to >= newest.from);
        Some(CompletedRun {
            at: self.at,
            from: others.map(|asked| asked.from).fold(newest.from, DateTime::min),
            last: self.last_before.unwrap_or(newest.from),
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
        read_line(line, |entry: &Self| entry.version, |entry| &mut entry.counts)
    }

    /// Parses of a line only what the day files hold.
    pub(super) fn read_counts(line: &str) -> Option<CountsOfLine> {
        read_line(line, |read: &CountsOfLine| read.version, |read| &mut read.counts)
    }
}

/// Parses a line of this version, whose counts have a parser of their own where they are of the usual form.
fn read_line<T: DeserializeOwned>(line: &str, version: fn(&T) -> u32, counts: fn(&mut T) -> &mut Counts) -> Option<T> {
    let of_this_version = |line: &str| {
        let read = serde_json::from_str(line).ok();
        read.filter(|read| version(read) == VERSION)
    };
    if let Some((rest, taken)) = counts_text::take_out(line)
        && let Some(mut read) = of_this_version(&rest)
        && counts(&mut read).is_empty()
    {
        *counts(&mut read) = taken;
        return Some(read);
    }
    of_this_version(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coverage::Covered;
    use crate::test_support::random::cases;

    const REACH: TimeDelta = TimeDelta::hours(36);

    const TWO_WEEKS: Retention = Retention {
        days: 14,
        is_documented: true,
    };

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn asked(from: &str, to: &str, purpose: Purpose, covered_to: Option<&str>) -> Asked {
        let (from, to) = (time(from), time(to));
        Asked {
            covered_to: covered_to.map(time),
            ..Asked::new(Window { from, to }, purpose)
        }
    }

    fn entry(at: &str, from: &str, covered_to: Option<&str>, before: Option<Entry>) -> Entry {
        let sum = before.map(|before| before.sum).unwrap_or_default();
        let mut entry = Entry::new(time(at), Scope::sample(), sum);
        entry.asked.push(asked(from, at, Purpose::New, covered_to));
        entry.end = if covered_to == Some(at) {
            End::Exhausted
        } else {
            End::Failed
        };
        entry.add_up(TWO_WEEKS, REACH);
        entry
    }

    fn spans(entry: &Entry) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        entry
            .sum
            .covered
            .spans()
            .iter()
            .map(|span| (span.from, span.to))
            .collect()
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
        assert_eq!(second.sum.last_complete, Some(second.at));
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
        assert_eq!(part.sum.last_complete, Some(first.at));
        let none = entry(
            "2026-11-12T00:00:00Z",
            "2026-11-10T00:00:00Z",
            None,
            Some(first.clone()),
        );
        assert_eq!(none.sum.covered, first.sum.covered);
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
        let mut gap = asked("2026-11-19T00:00:00Z", "2026-11-19T01:00:00Z", Purpose::Gap, None);
        gap.skipped.insert("2026-11-19".parse().unwrap());
        entry.asked.push(gap);
        let line = entry.to_line().unwrap();
        let expected = concat!(
            r#"{"version":2,"program":"0.1.0","at":"2026-11-20T10:00:00Z","seconds":0.0,"scope":{"stream":"tfc","#,
            r#""organization":null,"address":"https://app.terraform.io","filter":null},"overlap_seconds":0,"#,
            r#""asked":[{"from":"2026-11-20T09:48:00.500Z","to":"2026-11-20T10:00:00Z","purpose":"new","#,
            r#""covered_to":null,"is_done":false,"skipped":[],"is_contradicted":false,"as_given_from":null,"error":null},{"from":"2026-11-19T00:00:00Z","#,
            r#""to":"2026-11-19T01:00:00Z","purpose":"gap","covered_to":null,"is_done":false,"skipped":["2026-11-19"],"#,
            r#""is_contradicted":false,"as_given_from":null,"error":null}],"#,
            r#""end":"failed","error":"port answered 500","requests":0,"retries":0,"pages":0,"received":0,"#,
            r#""duplicates":0,"appended":0,"rejected":0,"revised":0,"repaired":0,"last_before":null,"last_record":null,"#,
            r#""service_date":null,"counts":{},"has_all_counts":false,"asked_from":"2026-11-20T09:48:00.500Z","covered":[],"claimed_to":null,"last_complete":null,"#,
            r#""last_reconciled":null,"reconciling":null,"assumptions":{"order":"newest-first","#,
            r#""is_order_shown":false,"looks_above":0,"disorder_ms":0,"above_ms":0,"below_ms":0},"#,
            r#""other_order_at":null,"lost":{},"contradictions":0,"unproved":[],"accepted":[]}"#
        );
        assert_eq!(line, expected);
        assert_eq!(Entry::read(&line), Some(entry));
        assert_eq!(Entry::read(&line.replace(r#""version":2"#, r#""version":1"#)), None);
        assert_eq!(Entry::read(&line[..line.len() - 1]), None);
        assert!(Entry::read(&line.replacen('{', r#"{"new":[1],"#, 1)).is_some());
        assert!(Entry::read(&line.replace(r#","accepted":[]"#, "")).is_some());
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
            let mut sum = Sum::default();
            for (at, from, to) in runs {
                let mut next = Entry::new(hour(at), Scope::sample(), sum);
                let mut span = Asked::new(Window { from: hour(from), to: hour(to) }, Purpose::New);
                span.covered_to = Some(hour(to));
                next.asked.push(span);
                next.add_up(TWO_WEEKS, REACH);
                asked.add(Window { from: hour(from), to: hour(to) });
                sum = next.sum;
            }
            for span in sum.covered.spans() {
                prop_assert!(asked.spans().iter().any(|one| one.from <= span.from && span.to <= one.to));
            }
        }
    }
}
