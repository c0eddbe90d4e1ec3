//! The calendar: a square for each day, darker for more records.

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};

use super::html::many;
use super::picture::{Mark, Picture};
use super::scale::Scale;

/// Column of the first week, and row of the first weekday, behind their names.
const FIRST: i64 = 2;

/// Draws a picture for each year with records.
pub(super) fn pictures(stream: &'static str, days: &[(NaiveDate, u64)], scale: &Scale) -> Markup {
    html! {
        @for year in days.chunk_by(|one, next| one.0.year() == next.0.year()) {
            (picture(stream, year, scale))
        }
    }
}

/// Draws the months of one year that have days: a column for each week, a row for each weekday from Monday.
fn picture(stream: &'static str, days: &[(NaiveDate, u64)], scale: &Scale) -> Markup {
    let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else {
        return Markup::default();
    };
    let year = first.year();
    let origin = monday_before(first.with_day(1).unwrap_or(*first));
    let marks = days.iter().map(|(date, records)| Mark {
        label: format!("{}: {}", date.format("%a %Y-%m-%d"), many(*records, "record")),
        class: format!("s{}", scale.shade(*records)),
        style: format!("grid-area:{}/{}", row(*date), column(origin, *date)),
    });
    let (label, name) = (
        format!("{stream}: records per day in {year}"),
        format!("{stream}-{year}"),
    );
    let picture = Picture {
        label: &label,
        name: &name,
    };
    picture.frame("calendar", marks, &names(*first, *last, origin), "")
}

/// Writes the names of the months from the first day to the last, and of some weekdays.
fn names(first: NaiveDate, last: NaiveDate, origin: NaiveDate) -> Markup {
    let months = (first.month()..=last.month()).filter_map(|month| NaiveDate::from_ymd_opt(first.year(), month, 1));
    html! {
        div.names aria-hidden="true" {
            b style="grid-area:1/1" { (first.year()) }
            @for start in months {
                span style={ "grid-area:1/" (column(origin, start)) } { (start.format("%b").to_string()) }
            }
            @for (row, weekday) in [(FIRST, "Mon"), (FIRST + 2, "Wed"), (FIRST + 4, "Fri")] {
                span style={ "grid-area:" (row) "/1" } { (weekday) }
            }
        }
    }
}

fn monday_before(date: NaiveDate) -> NaiveDate {
    date.week(chrono::Weekday::Mon).first_day()
}

fn row(date: NaiveDate) -> i64 {
    FIRST + i64::from(date.weekday().num_days_from_monday())
}

fn column(origin: NaiveDate, date: NaiveDate) -> i64 {
    FIRST + (monday_before(date) - origin).num_days() / 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_year_has_a_picture_and_each_day_a_square_in_its_week() {
        let first: NaiveDate = "2024-12-30".parse().unwrap();
        let days: Vec<_> = first.iter_days().zip([1; 9]).collect();
        let scale = Scale::of(days.iter().map(|(_, records)| *records));
        let html = pictures("tfc", &days, &scale).into_string();
        assert_eq!(html.matches("role=\"radiogroup\"").count(), 2);
        assert_eq!(html.matches("<input").count(), 9);
        // 2024-12-30 is a Monday in the sixth week of its month, 2025-01-01 a Wednesday in the first of its.
        for (area, label) in [
            ("2/7", "Mon 2024-12-30"),
            ("4/2", "Wed 2025-01-01"),
            ("2/3", "Mon 2025-01-06"),
        ] {
            let mark = format!("class=\"s5\" style=\"grid-area:{area}\" aria-label=\"{label}: 1 record\"");
            assert!(html.contains(&mark), "{mark}: {html}");
        }
    }
}
