//! The calendar: a square for each day, darker for more records.

use chrono::{Datelike, NaiveDate};

use super::html::{Html, grouped};

/// A square and the gap after it, in units of the picture.
const STEP: i64 = 14;

/// Space for the weekdays at the left and the months at the top.
const LEFT: i64 = 34;
const TOP: i64 = 18;

/// Number of shades, without the one for days without records.
const SHADES: usize = 5;

/// The shades: the greatest number of records for each, lightest first.
pub(super) struct Scale {
    bounds: Vec<u64>,
}

impl Scale {
    /// Returns shades that each have about as many days with records.
    pub(super) fn of(days: &[(NaiveDate, u64)]) -> Self {
        let mut counts: Vec<u64> = days
            .iter()
            .map(|(_, records)| *records)
            .filter(|records| *records > 0)
            .collect();
        counts.sort_unstable();
        let mut bounds: Vec<u64> = (1..=SHADES)
            .filter_map(|shade| counts.get((counts.len() * shade).div_ceil(SHADES).checked_sub(1)?))
            .copied()
            .collect();
        bounds.dedup();
        Self { bounds }
    }

    /// Returns the shade of a day: 0 for one without records, `SHADES` for the fullest.
    fn shade(&self, records: u64) -> usize {
        if records == 0 {
            return 0;
        }
        let below = self.bounds.partition_point(|bound| *bound < records);
        // With fewer shades than usual the darkest are used.
        (below + 1 + SHADES - self.bounds.len()).min(SHADES)
    }

    /// Returns the legend of the shades.
    pub(super) fn legend(&self) -> Html {
        let mut html = Html::default();
        html.markup("<p class=\"legend\"><span class=\"swatch s0\"></span>none");
        let mut from = 1;
        for bound in &self.bounds {
            html.markup(" <span class=\"swatch s")
                .value(self.shade(*bound))
                .markup("\"></span>");
            if from == *bound {
                html.count(from)
            } else {
                html.count(from).markup("–").count(*bound)
            };
            from = bound + 1;
        }
        html.markup(" records</p>");
        html
    }
}

/// Draws a picture for each year with records.
pub(super) fn pictures(stream: &'static str, days: &[(NaiveDate, u64)], scale: &Scale) -> Html {
    let mut html = Html::default();
    for year in days.chunk_by(|one, next| one.0.year() == next.0.year()) {
        html.part(&picture(stream, year, scale));
    }
    html
}

/// Draws one year: a column for each week, a row for each weekday from Monday.
fn picture(stream: &'static str, days: &[(NaiveDate, u64)], scale: &Scale) -> Html {
    let mut html = Html::default();
    let Some((first, _)) = days.first() else { return html };
    let origin = monday_before(first.with_ordinal(1).unwrap_or(*first));
    let year = first.year();
    html.markup("<div class=\"wide\"><svg class=\"calendar\" role=\"img\"")
        .attribute("viewBox", format!("0 0 {} {}", LEFT + 53 * STEP + STEP, TOP + 7 * STEP))
        .attribute("aria-label", format!("{stream}: records per day in {year}"))
        .markup(">");
    html.markup("<text class=\"year\" x=\"0\" y=\"11\">")
        .value(year)
        .markup("</text>");
    for (row, weekday) in [(0, "Mon"), (2, "Wed"), (4, "Fri")] {
        html.markup("<text x=\"0\"")
            .attribute("y", TOP + row * STEP + 10)
            .markup(">");
        html.text(weekday).markup("</text>");
    }
    for month in 1..=12 {
        if let Some(start) = NaiveDate::from_ymd_opt(year, month, 1) {
            html.markup("<text y=\"11\"")
                .attribute("x", column(origin, start).max(LEFT + 12))
                .markup(">");
            html.value(start.format("%b")).markup("</text>");
        }
    }
    for (date, records) in days {
        let row = i64::from(date.weekday().num_days_from_monday());
        html.markup("<rect width=\"12\" height=\"12\" rx=\"2\"")
            .attribute("x", column(origin, *date))
            .attribute("y", TOP + row * STEP)
            .attribute("class", format!("s{}", scale.shade(*records)))
            .markup("><title>")
            .value(format!("{date}: {} records", grouped(*records)))
            .markup("</title></rect>");
    }
    html.markup("</svg></div>");
    html
}

fn monday_before(date: NaiveDate) -> NaiveDate {
    date.week(chrono::Weekday::Mon).first_day()
}

fn column(origin: NaiveDate, date: NaiveDate) -> i64 {
    LEFT + (monday_before(date) - origin).num_days() / 7 * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(counts: &[u64]) -> Vec<(NaiveDate, u64)> {
        let first: NaiveDate = "2024-12-30".parse().unwrap();
        first.iter_days().zip(counts.iter().copied()).collect()
    }

    fn shades(counts: &[u64]) -> Vec<usize> {
        let days = days(counts);
        let scale = Scale::of(&days);
        days.iter().map(|(_, records)| scale.shade(*records)).collect()
    }

    #[test]
    fn a_day_with_more_records_is_darker() {
        assert_eq!(shades(&[0, 1, 2, 3, 4, 5]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(shades(&[1_000_000, 1, 0, 2, 2, 3, 4]), [5, 2, 0, 2, 2, 3, 4]);
    }

    #[test]
    fn few_different_numbers_use_the_darkest_shades() {
        assert_eq!(shades(&[7, 0, 7, 7]), [5, 0, 5, 5]);
        assert_eq!(shades(&[]), [0; 0]);
        assert_eq!(shades(&[0, 0]), [0, 0]);
    }

    #[test]
    fn each_year_has_a_picture_and_each_day_a_square_in_its_week() {
        let days = days(&[1; 9]);
        let html = pictures("tfc", &days, &Scale::of(&days)).into_string();
        assert_eq!(html.matches("<svg").count(), 2);
        assert_eq!(html.matches("<rect").count(), 9);
        // 2024-12-30 is a Monday in the last week of its year, 2025-01-01 a Wednesday in the first of its.
        assert!(html.contains(&format!(
            "x=\"{}\" y=\"{TOP}\" class=\"s5\"><title>2024-12-30: 1 records",
            LEFT + 52 * STEP
        )));
        assert!(html.contains(&format!(
            "x=\"{LEFT}\" y=\"{}\" class=\"s5\"><title>2025-01-01: 1",
            TOP + 2 * STEP
        )));
        assert!(html.contains(&format!(
            "x=\"{}\" y=\"{TOP}\" class=\"s5\"><title>2025-01-06: 1",
            LEFT + STEP
        )));
    }
}
