//! The coverage of a stream and its gaps, from its journal, as JSON and as a table.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::archive::Hold;
use crate::config::StreamPlace;
use crate::coverage::{Covered, Fed, Gap, Scope, Standing, Wanted, WrongDay};
use crate::fs::FileError;
use crate::output::table::{Table, left, rfc3339, right, to_the_second};

/// The coverage of a stream. The fields are those of `trailkeeper coverage --json`; `docs/json.md` says what they are.
#[derive(Debug, Default, Serialize)]
pub(super) struct StreamCoverage {
    stream: &'static str,
    retention_days: u32,
    retention_is_documented: bool,
    covered: Covered,
    gaps: Vec<ShownGap>,
    first_day: Option<NaiveDate>,
    last_complete: Option<DateTime<Utc>>,
    pending: u64,
    doubt: Option<String>,
    known_from: Option<DateTime<Utc>>,
    wrong_days: Vec<ShownWrongDay>,
    held: Vec<Hold>,
    holds_problem: Option<String>,
    remarks: Vec<String>,
    error: Option<String>,
    #[serde(skip)]
    recent: Recent,
    /// What is to be run for what is missing.
    #[serde(skip)]
    advice: &'static str,
}

/// What a gap is that reaches up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Recent {
    /// The time since the last run, which fetched what was new.
    #[default]
    Pause,
    /// The last run was to fetch it, and did not.
    Missed,
    /// There is no day file any more, so that no run asks for it.
    Gone,
}

#[derive(Debug, Serialize)]
struct ShownGap {
    #[serde(flatten)]
    gap: Gap,
    reaches_now: bool,
}

/// A day file that has lost records, or is none.
#[derive(Debug, Serialize)]
struct ShownWrongDay {
    date: NaiveDate,
    problem: &'static str,
    #[serde(skip)]
    text: String,
}

impl ShownWrongDay {
    fn of((date, wrong): (NaiveDate, WrongDay)) -> Self {
        Self {
            date,
            problem: wrong.name(),
            text: wrong.to_string(),
        }
    }
}

/// Returns the table, and below it the gaps.
pub(super) fn text(streams: &[StreamCoverage], now: DateTime<Utc>) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("ASKED FROM"),
        left("ASKED TO"),
        right("GAPS"),
        right("RETENTION"),
        left("LAST COMPLETE RUN"),
    ]);
    let mut notes = String::new();
    for stream in streams {
        table.row(stream.row(now));
        stream.write_notes(now, &mut notes);
    }
    if streams.iter().any(|stream| !stream.retention_is_documented) {
        notes.push_str("* not documented by the service: what its clients assume\n");
    }
    format!("{table}{notes}")
}

impl StreamCoverage {
    /// Reads the coverage of a stream at the time `now`; `scope` is that of the settings, if they name one.
    pub(super) fn read(stream: &StreamPlace, scope: Option<Scope>, now: DateTime<Utc>) -> Result<Self, FileError> {
        let retention = stream.kind.retention;
        let standing = Standing::read(&stream.location, Wanted::Stream(stream.kind.name), stream.keep, now)?;
        let wrong_days = standing.wrong_days(now).into_iter();
        let change = scope.and_then(|scope| standing.change_to(&scope));
        let remarks = change.into_iter().chain(standing.remarks()).collect();
        let gone = standing.gone(&stream.location, stream.keep, now);
        let recent = if gone.is_some() {
            Recent::Gone
        } else if standing.has_missed_what_is_new(&stream.location)? {
            Recent::Missed
        } else {
            Recent::Pause
        };
        let (held, holds_problem) = (standing.held(), standing.holds.err());
        let sum = standing.sum;
        let gaps = sum.gaps(retention, now).into_iter().map(|gap| ShownGap {
            reaches_now: gap.to == now,
            gap,
        });
        Ok(Self {
            stream: stream.name(),
            retention_days: retention.days,
            retention_is_documented: retention.is_documented,
            gaps: gaps.collect(),
            doubt: standing.doubt.or(gone.map(|gone| gone.to_string())),
            recent,
            advice: Fed::advice(&stream.location),
            wrong_days: wrong_days.map(ShownWrongDay::of).collect(),
            held,
            holds_problem,
            pending: standing.pending,
            remarks,
            error: None,
            known_from: sum.asked_from,
            first_day: standing.listing.first_date(),
            covered: sum.covered,
            last_complete: sum.last_complete,
        })
    }

    /// Creates that of a stream whose archive cannot be read.
    pub(super) fn unreadable(stream: &StreamPlace, error: &FileError) -> Self {
        let retention = stream.kind.retention;
        Self {
            stream: stream.name(),
            retention_days: retention.days,
            retention_is_documented: retention.is_documented,
            error: Some(error.to_string()),
            ..Self::default()
        }
    }

    /// Returns whether the archive could be read.
    pub(super) fn is_read(&self) -> bool {
        self.error.is_none()
    }

    fn row(&self, now: DateTime<Utc>) -> [String; 6] {
        let (first, last) = (self.covered.spans().first(), self.covered.spans().last());
        let time = |time: Option<DateTime<Utc>>| time.map_or_else(|| "none".to_owned(), to_the_second);
        let mark = if self.retention_is_documented { "" } else { "*" };
        [
            self.stream.to_owned(),
            time(first.map(|span| span.from)),
            time(last.map(|span| span.to)),
            self.worth_a_line(now).count().to_string(),
            format!("{}d{mark}", self.retention_days),
            time(self.last_complete),
        ]
    }

    pub(super) fn name(&self) -> &'static str {
        self.stream
    }

    /// Returns whether something is missing, or not known.
    pub(super) fn has_gaps(&self, now: DateTime<Utc>) -> bool {
        !self.problems(now).is_empty()
    }

    /// Says what is missing, or not known.
    pub(super) fn problems(&self, now: DateTime<Utc>) -> Vec<String> {
        let gaps = self
            .worth_a_line(now)
            .map(|gap| gap.sentence((self.recent, self.advice)));
        let wrong_days = self.wrong_days.iter();
        let wrong_days = wrong_days.map(|ShownWrongDay { date, text, .. }| format!("{date}: {text}"));
        let reasons = self.error.iter().chain(&self.doubt).chain(&self.holds_problem).cloned();
        reasons.chain(gaps).chain(wrong_days).collect()
    }

    /// Returns the gaps, except the usual pause after a run that fetched what was new, and those that are accepted.
    fn worth_a_line(&self, now: DateTime<Utc>) -> impl Iterator<Item = &ShownGap> {
        let can_be_pause = self.recent == Recent::Pause;
        let gaps = self.gaps.iter().filter(|gap| !gap.gap.is_accepted);
        gaps.filter(move |gap| !(can_be_pause && gap.gap.is_pause(now)))
    }

    /// Names the gaps that are accepted, and what else is no cause for alarm.
    fn asides(&self) -> impl Iterator<Item = String> {
        let accepted = self.gaps.iter().filter(|gap| gap.gap.is_accepted);
        let accepted = accepted.map(|gap| gap.sentence((self.recent, self.advice)) + "; accepted");
        accepted.chain(self.remarks.iter().cloned())
    }

    fn write_notes(&self, now: DateTime<Utc>, notes: &mut String) {
        let stream = self.stream;
        for said in self.problems(now).into_iter().chain(self.asides()) {
            let _ = writeln!(notes, "{stream}: {said}");
        }
        if !self.is_read() {
            return;
        }
        match (self.known_from, self.first_day) {
            (None, _) => {
                let _ = writeln!(notes, "{stream}: no run has asked for anything yet");
            }
            (Some(from), Some(day)) if day < from.date_naive() => {
                let from = rfc3339(from);
                let _ = writeln!(notes, "{stream}: the archive begins on {day}; not known before {from}");
            }
            _ => {}
        }
    }
}

impl ShownGap {
    /// `a gap from 2026-11-02T00:00:00Z to 2026-11-05T00:00:00Z, gone on 2026-11-19`
    fn sentence(&self, (recent, advice): (Recent, &str)) -> String {
        let gap = &self.gap;
        let (from, to) = (rfc3339(gap.from), rfc3339(gap.to));
        let going = gap.going_at.date_naive();
        let sentence = match (self.reaches_now, recent) {
            (true, Recent::Pause) => format!("a gap from {from} to now, going from {going} on: {advice}"),
            (true, Recent::Missed) => {
                format!("a gap from {from} to now, going from {going} on: the last run did not fetch it; {advice}")
            }
            (true, Recent::Gone) => format!("a gap from {from} to now, going from {going} on"),
            (false, _) if gap.is_gone => format!("a gap from {from} to {to}, gone since {}", gap.gone_at.date_naive()),
            (false, _) => format!("a gap from {from} to {to}, gone on {}", gap.gone_at.date_naive()),
        };
        let unproved = gap.unproved.iter();
        let unproved =
            unproved.map(|reason| format!("; filed as the service gives it, and not proved to be complete: {reason}"));
        sentence + &unproved.collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Sum;
    use crate::source::Retention;
    use crate::window::Window;

    fn time(text: &str) -> DateTime<Utc> {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    fn coverage(spans: &[(&str, &str)], now: DateTime<Utc>) -> StreamCoverage {
        let retention = Retention {
            days: 14,
            is_documented: true,
        };
        let windows = spans.iter().map(|(from, to)| Window {
            from: time(from),
            to: time(to),
        });
        let covered = Covered::from(windows.collect::<Vec<_>>());
        let sum = Sum {
            covered: covered.clone(),
            ..Sum::default()
        };
        let gaps = sum.gaps(retention, now);
        StreamCoverage {
            stream: "tfc",
            retention_days: 14,
            retention_is_documented: true,
            gaps: gaps
                .into_iter()
                .map(|gap| ShownGap {
                    reaches_now: gap.to == now,
                    gap,
                })
                .collect(),
            covered,
            first_day: Some("2026-10-01".parse().unwrap()),
            last_complete: Some(time("2026-11-10")),
            pending: 0,
            doubt: None,
            known_from: spans.first().map(|(from, _)| time(from)),
            wrong_days: Vec::new(),
            held: Vec::new(),
            holds_problem: None,
            error: None,
            remarks: Vec::new(),
            recent: Recent::Pause,
            advice: "run collect",
        }
    }

    #[test]
    fn gaps_are_named_with_the_day_on_which_they_are_gone() {
        let now = time("2026-11-12");
        let spans = [
            ("2026-10-01", "2026-10-20"),
            ("2026-10-22", "2026-11-02"),
            ("2026-11-05", "2026-11-12"),
        ];
        assert_eq!(
            text(&[coverage(&spans, now)], now),
            "STREAM  ASKED FROM            ASKED TO              GAPS  RETENTION  LAST COMPLETE RUN\n\
             tfc     2026-10-01T00:00:00Z  2026-11-12T00:00:00Z     2        14d  2026-11-10T00:00:00Z\n\
             tfc: a gap from 2026-10-20T00:00:00Z to 2026-10-22T00:00:00Z, gone since 2026-11-05\n\
             tfc: a gap from 2026-11-02T00:00:00Z to 2026-11-05T00:00:00Z, gone on 2026-11-19\n"
        );
    }

    #[test]
    fn the_pause_after_the_last_run_is_named_when_it_is_long() {
        let spans = [("2026-10-01", "2026-11-02")];
        let shown = |now: DateTime<Utc>| {
            text(&[coverage(&spans, now)], now)
                .lines()
                .skip(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(time("2026-11-03")), Vec::<String>::new());
        assert_eq!(
            shown(time("2026-11-04")),
            ["tfc: a gap from 2026-11-02T00:00:00Z to now, going from 2026-11-16 on: run collect"]
        );
    }

    #[test]
    fn what_no_journal_speaks_of_is_said_to_be_unknown() {
        let now = time("2026-11-12");
        let later = text(&[coverage(&[("2026-11-01", "2026-11-12")], now)], now);
        let expected = "tfc: the archive begins on 2026-10-01; not known before 2026-11-01T00:00:00Z\n";
        assert!(later.ends_with(expected), "{later}");
        let none = text(&[coverage(&[], now)], now);
        assert!(none.ends_with("tfc: no run has asked for anything yet\n"), "{none}");
    }
}
