//! The bar chart: a bar for each day. Bars that are many times as high as most are cut, and say so, so that the others can be
//! seen beside them.

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};

use super::html::{grouped, many};
use super::picture::{Mark, Picture};

/// A bar is cut if it is more than this many times as high as most others are at most.
const HIGH: u64 = 4;

/// How many cut bars are listed below the picture.
const LISTED: usize = 5;

/// The numbers that the height of the picture stands for.
struct Axis {
    top: u64,
    /// Whether there are greater numbers.
    is_cut: bool,
}

impl Axis {
    fn of(numbers: &[u64]) -> Self {
        let mut counts: Vec<u64> = numbers.iter().copied().filter(|number| *number > 0).collect();
        counts.sort_unstable();
        let most = counts.last().copied().unwrap_or(1);
        // Nine of ten are not higher; of few, half of them.
        let usual = match counts.len() {
            0..10 => counts.get(counts.len() / 2),
            many => counts.get((many * 9).div_ceil(10) - 1),
        };
        let usual = usual.copied().unwrap_or(most);
        let high = usual.saturating_mul(HIGH);
        // The greatest that is not cut; `usual` is not.
        let top = counts.iter().rfind(|number| **number <= high);
        Self {
            top: top.copied().unwrap_or(most),
            is_cut: most > high,
        }
    }

    /// Returns the height of a number, in percent.
    fn height(&self, number: u64) -> f64 {
        number.min(self.top) as f64 / self.top as f64 * 100.0
    }
}

/// Draws a bar for each day, with the months named.
pub(super) fn days(stream: &'static str, days: &[(NaiveDate, u64)]) -> Markup {
    let numbers: Vec<u64> = days.iter().map(|(_, records)| *records).collect();
    let axis = Axis::of(&numbers);
    let marks = days.iter().map(|(date, records)| mark(*date, *records, &axis));
    let (label, name) = (format!("{stream}: records per day"), format!("{stream}-days"));
    let picture = Picture {
        label: &label,
        name: &name,
    };
    let style = format!("--n:{};min-width:{}px", days.len(), least_width(days.len()));
    html! {
        p.legend { "The line at the top stands for " (many(axis.top, "record")) "." }
        (picture.frame("bars", marks, &names(days), &style))
        @if axis.is_cut { (cut(days, &axis)) }
    }
}

fn mark(date: NaiveDate, records: u64, axis: &Axis) -> Mark {
    let class = match records {
        0 => "none",
        cut if cut > axis.top => "cut",
        _ => "bar",
    };
    Mark {
        label: format!("{}: {}", date.format("%a %Y-%m-%d"), many(records, "record")),
        class: class.to_owned(),
        style: format!("--h:{:.2}%", axis.height(records)),
    }
}

/// Names the days whose bars are cut.
fn cut(days: &[(NaiveDate, u64)], axis: &Axis) -> Markup {
    let mut cut: Vec<_> = days.iter().filter(|(_, records)| *records > axis.top).collect();
    cut.sort_by_key(|(_, records)| std::cmp::Reverse(*records));
    let listed: Vec<_> = cut
        .iter()
        .take(LISTED)
        .map(|(date, records)| format!("{date} with {}", grouped(*records)))
        .collect();
    let more = cut.len().saturating_sub(LISTED);
    html! {
        p.soft {
            span.swatch.cut {} "Cut off, since they are many times as high as the others: " (listed.join(", "))
            @if more > 0 { ", and " (many(more as u64, "more day")) }
            "."
        }
    }
}

fn names(days: &[(NaiveDate, u64)]) -> Markup {
    let names = days
        .iter()
        .enumerate()
        .filter_map(|(index, (date, _))| Some((index + 1, name(*date, days.len())?)));
    html! {
        div.names aria-hidden="true" {
            @for (column, name) in names { span style={ "grid-column:" (column) } { (name) } }
        }
    }
}

/// Returns the label of a day: every day, each Monday or each first of a month, so that labels do not overlap.
fn name(date: NaiveDate, days: usize) -> Option<String> {
    let (is_named, format) = match days {
        0..=16 => (true, "%-d %b"),
        17..=70 => (date.weekday() == chrono::Weekday::Mon, "%-d %b"),
        _ => (date.day() == 1, "%b"),
    };
    is_named.then(|| date.format(format).to_string())
}

/// Returns the width in which bars can be seen, and their names do not overlap, in pixels.
fn least_width(days: usize) -> usize {
    match days {
        0..=16 => days * 44,
        17..=70 => days * 7,
        _ => days * 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(numbers: &[u64]) -> String {
        let first: NaiveDate = "2025-01-15".parse().unwrap();
        let days: Vec<_> = first.iter_days().zip(numbers.iter().copied()).collect();
        super::days("tfc", &days).into_string()
    }

    /// The class and the height of each bar.
    fn bars(numbers: &[u64]) -> Vec<(String, f64)> {
        let html = drawn(numbers);
        let marks = html.split("<input").skip(1).map(|mark| {
            let attribute = |name: &str| {
                mark.split(&format!("{name}=\""))
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
            };
            let height = attribute("style").trim_start_matches("--h:").trim_end_matches('%');
            (attribute("class").to_owned(), height.parse().unwrap())
        });
        marks.collect()
    }

    #[test]
    fn the_greatest_value_fills_the_height() {
        assert_eq!(
            bars(&[50, 0, 200]),
            [
                ("bar".to_owned(), 25.0),
                ("none".to_owned(), 0.0),
                ("bar".to_owned(), 100.0)
            ]
        );
    }

    #[test]
    fn a_day_a_hundred_times_the_others_does_not_flatten_them() {
        for days in [4, 12, 31, 365] {
            let mut numbers = [80, 100, 120].repeat(days / 3 + 1);
            numbers.truncate(days);
            numbers[days / 2] = 10_000;
            let bars = bars(&numbers);
            assert_eq!(bars[days / 2], ("cut".to_owned(), 100.0), "{days}");
            let others = bars.iter().filter(|(class, _)| class == "bar");
            assert!(others.clone().all(|(_, height)| *height >= 50.0), "{days}: {bars:?}");
            assert_eq!(others.count(), days - 1);
            assert!(drawn(&numbers).contains(" with 10\u{202f}000"), "{days}");
        }
    }

    #[test]
    fn ordinary_days_are_not_cut() {
        let week = [100, 110, 90, 120, 100, 30, 20];
        assert!(bars(&week.repeat(8)).iter().all(|(class, _)| class == "bar"));
        assert!(bars(&[1, 100]).iter().all(|(class, _)| class == "bar"));
    }

    #[test]
    fn names_do_not_overlap() {
        for (count, most) in [(1, 1), (16, 16), (17, 3), (70, 10), (71, 3), (365, 12), (1_100, 37)] {
            let names = drawn(&vec![2; count]).matches("grid-column:").count();
            assert!((1..=most).contains(&names), "{count} days: {names} names");
        }
    }

    #[test]
    fn without_records_the_picture_is_empty() {
        assert_eq!(bars(&[]), []);
    }
}
