//! The result of reconciling, as JSON and as text for people.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::run::lateness::{Class, Lateness, Needed, minutes};
use crate::run::summary::{DRY_RUN, Status, StreamSummary, Summary};
use crate::window::bound;

/// The longest bar of the histogram, in characters.
const BAR: u64 = 28;

/// The result of reconciling.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    streams: Vec<StreamReport<'a>>,
    dry_run: bool,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct StreamReport<'a> {
    stream: &'static str,
    status: Status,
    from: Option<String>,
    to: Option<String>,
    /// Records that were not there before.
    appended: u64,
    /// Of these, those that an ordinary run would have missed.
    late: u64,
    /// Records that cannot be filed and were not noted before.
    rejected: u64,
    /// Archived records that came with other fields and were not noted like this before.
    revised: u64,
    /// `OVERLAP_MINUTES` that would have caught them.
    overlap_minutes: Option<Overlaps>,
    histogram: Vec<Class>,
    warnings: &'a [String],
    error: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Overlaps {
    p99: Bounds,
    all: Bounds,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Bounds {
    at_least: i64,
    surely: i64,
}

impl<'a> Report<'a> {
    pub(super) fn of(summary: &'a Summary) -> Self {
        Self {
            streams: summary.streams().iter().map(StreamReport::of).collect(),
            dry_run: summary.is_dry_run(),
            exit_code: summary.exit() as u8,
        }
    }
}

impl<'a> StreamReport<'a> {
    fn of(summary: &'a StreamSummary) -> Self {
        let (from, to) = summary.window();
        Self {
            stream: summary.name(),
            status: summary.status(),
            from: from.map(bound),
            to: to.map(bound),
            appended: summary.appended(),
            late: summary.late().records(),
            rejected: summary.records().rejected,
            revised: summary.records().revised,
            overlap_minutes: Overlaps::of(summary.late()),
            histogram: summary.late().histogram(),
            warnings: summary.warnings(),
            error: summary.error(),
        }
    }
}

impl Overlaps {
    fn of(late: &Lateness) -> Option<Self> {
        Some(Self {
            p99: Bounds::of(late.overlap_for(99)?),
            all: Bounds::of(late.overlap_for(100)?),
        })
    }
}

impl Bounds {
    fn of(needed: Needed) -> Self {
        Self {
            at_least: minutes(needed.at_least),
            surely: minutes(needed.surely),
        }
    }
}

/// For people: a paragraph for each stream, with lines of at most 100 characters, except warnings and errors.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stream in &self.streams {
            write!(f, "{stream}")?;
        }
        if self.dry_run {
            f.write_str(DRY_RUN)?;
        }
        Ok(())
    }
}

impl fmt::Display for StreamReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_deref().unwrap_or("-");
        let noted = |what: &str, count: u64| match count {
            0 => String::new(),
            count => format!(", {count} {what}"),
        };
        let (rejected, revised) = (noted("rejected", self.rejected), noted("revised", self.revised));
        writeln!(
            f,
            "{}: since {from}: {} added, {} of them late{rejected}{revised}",
            self.stream, self.appended, self.late
        )?;
        if let Some(overlaps) = self.overlap_minutes {
            writeln!(f, "  {:<14}{:>8} {:<29}{:>8}", "overlap", "at least", "", "surely")?;
            let most = self
                .histogram
                .iter()
                .map(|class| class.at_least.max(class.surely))
                .max();
            for class in &self.histogram {
                writeln!(f, "{}", row(class, most.unwrap_or(1)))?;
            }
            writeln!(f, "  OVERLAP_MINUTES that would have caught")?;
            writeln!(f, "    99 % of them: {}", overlaps.p99)?;
            writeln!(f, "    all of them:  {}", overlaps.all)?;
        }
        for warning in self.warnings {
            writeln!(f, "  {warning}")?;
        }
        match self.error {
            Some(error) => writeln!(f, "  failed: {error}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at least {}, surely {}", self.at_least, self.surely)
    }
}

/// Formats `up to 10 min       12 ######                        3 ##`.
fn row(class: &Class, most: u64) -> String {
    let mut row = format!("  {:<14}{:>8} ", label(class.up_to_minutes), class.at_least);
    let _ = write!(
        row,
        "{:<29}{:>8} {}",
        bar(class.at_least, most),
        class.surely,
        bar(class.surely, most)
    );
    row.truncate(row.trim_end().len());
    row
}

/// Draws at least one character for any number but zero.
fn bar(count: u64, most: u64) -> String {
    "#".repeat((count * BAR).div_ceil(most.max(1)) as usize)
}

fn label(up_to_minutes: Option<i64>) -> String {
    match up_to_minutes {
        None => "longer".to_owned(),
        Some(minutes) if minutes < 60 => format!("up to {minutes} min"),
        Some(minutes) if minutes < 60 * 48 => format!("up to {} h", minutes / 60),
        Some(minutes) => format!("up to {} days", minutes / 60 / 24),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::run::Collected;

    fn summary(late: &[(i64, i64)]) -> Summary {
        let mut collected = Collected {
            appended: 7_000_000_000,
            ..Collected::default()
        };
        for (at_least, surely) in late {
            collected.late.add(Needed {
                at_least: TimeDelta::minutes(*at_least),
                surely: TimeDelta::minutes(*surely),
            });
        }
        Summary::new(vec![StreamSummary::new("yandex-mail", collected)])
    }

    #[test]
    fn the_table_fits_a_hundred_columns_whatever_was_found() {
        let many: Vec<_> = (0..20_000).map(|n| (n / 4, n)).collect();
        let table = Report::of(&summary(&many)).to_string();
        assert!(table.lines().count() > 15, "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    }

    #[test]
    fn the_table_shows_both_bounds_and_what_overlap_would_have_done() {
        let table = Report::of(&summary(&[(4, 1300), (5, 1200), (6, 1201)])).to_string();
        assert!(table.starts_with("yandex-mail: since -: 7000000000 added, 3 of them late\n  overlap       at least "));
        let rows: Vec<Vec<_>> = table
            .lines()
            .skip(2)
            .take(2)
            .map(|row| row.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["up", "to", "5", "min", "2", "###################", "0"]);
        assert_eq!(rows[1], ["up", "to", "10", "min", "1", "##########", "0"]);
        let last: Vec<_> = table
            .lines()
            .find(|row| row.contains("24 h"))
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(last, ["up", "to", "24", "h", "0", "3", "############################"]);
        assert!(
            table.ends_with("    99 % of them: at least 6, surely 1300\n    all of them:  at least 6, surely 1300\n")
        );
    }

    #[test]
    fn the_json_form_is_stable() {
        let found = summary(&[(4, 1300)]);
        assert_eq!(
            serde_json::to_string(&Report::of(&found)).unwrap(),
            r#"{"streams":[{"stream":"yandex-mail","status":"complete","from":null,"to":null,"appended":7000000000,"late":1,"rejected":0,"revised":0,"overlap_minutes":{"p99":{"at_least":4,"surely":1300},"all":{"at_least":4,"surely":1300}},"histogram":[{"up_to_minutes":5,"at_least":1,"surely":0},{"up_to_minutes":10,"at_least":0,"surely":0},{"up_to_minutes":20,"at_least":0,"surely":0},{"up_to_minutes":30,"at_least":0,"surely":0},{"up_to_minutes":60,"at_least":0,"surely":0},{"up_to_minutes":120,"at_least":0,"surely":0},{"up_to_minutes":180,"at_least":0,"surely":0},{"up_to_minutes":360,"at_least":0,"surely":0},{"up_to_minutes":720,"at_least":0,"surely":0},{"up_to_minutes":1440,"at_least":0,"surely":1}],"warnings":[],"error":null}],"dry_run":false,"exit_code":0}"#
        );
        let none = serde_json::to_string(&Report::of(&summary(&[]))).unwrap();
        assert!(
            none.contains(r#""late":0,"rejected":0,"revised":0,"overlap_minutes":null,"histogram":[],"#),
            "{none}"
        );
    }
}
