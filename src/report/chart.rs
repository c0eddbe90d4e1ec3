//! Bar charts: records per day, and per hour of the day.

use chrono::{Datelike, NaiveDate};

use super::html::{Html, grouped};

/// The size of a picture, in its own units.
const WIDTH: f64 = 776.0;
const HEIGHT: f64 = 132.0;

/// Space for the names below the bars and the greatest number above them.
const BELOW: f64 = 18.0;
const ABOVE: f64 = 14.0;

struct Bar {
    value: u64,
    title: String,
    /// The label below it, if any.
    name: Option<String>,
}

/// Draws a bar for each day, with the months named.
pub(super) fn days(stream: &'static str, days: &[(NaiveDate, u64)]) -> Html {
    let bars: Vec<Bar> = days
        .iter()
        .enumerate()
        .map(|(index, (date, records))| Bar {
            value: *records,
            title: format!("{date}: {} records", grouped(*records)),
            name: name(index, *date, days.len()),
        })
        .collect();
    picture(&format!("{stream}: records per day"), &bars)
}

/// Draws a bar for each hour of the day.
pub(super) fn hours(stream: &'static str, hours: &[u64; 24]) -> Html {
    let bars: Vec<Bar> = hours
        .iter()
        .enumerate()
        .map(|(hour, records)| Bar {
            value: *records,
            title: format!("{hour:02}:00 to {hour:02}:59 UTC: {} records", grouped(*records)),
            name: Some(format!("{hour:02}")),
        })
        .collect();
    picture(&format!("{stream}: records per hour of the day, UTC"), &bars)
}

/// Returns the label of a day: every day, each Monday or each first of a month, so that labels do not overlap.
fn name(index: usize, date: NaiveDate, days: usize) -> Option<String> {
    if days <= 16 {
        return Some(date.format("%-d %b").to_string());
    }
    let is_named = match days {
        0..=70 => date.weekday() == chrono::Weekday::Mon,
        _ => date.day() == 1,
    };
    match (index, is_named) {
        (_, true) if days > 70 => Some(date.format("%b").to_string()),
        (_, true) => Some(date.format("%-d %b").to_string()),
        _ => None,
    }
}

fn picture(label: &str, bars: &[Bar]) -> Html {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    let step = WIDTH / bars.len().max(1) as f64;
    let floor = HEIGHT - BELOW;
    let mut html = Html::default();
    html.markup("<div class=\"wide\"><svg class=\"bars\" role=\"img\"")
        .attribute("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
        .attribute("aria-label", label)
        .markup(">");
    html.markup("<line class=\"grid\" x1=\"0\" y1=\"")
        .value(ABOVE)
        .markup("\" y2=\"")
        .value(ABOVE);
    html.markup("\"").attribute("x2", WIDTH).markup("/>");
    html.markup("<line class=\"axis\" x1=\"0\" y1=\"")
        .value(floor)
        .markup("\" y2=\"")
        .value(floor);
    html.markup("\"").attribute("x2", WIDTH).markup("/>");
    html.markup("<text x=\"0\" y=\"10\">").count(most).markup("</text>");
    for (index, bar) in bars.iter().enumerate() {
        let left = index as f64 * step;
        let height = bar.value as f64 / most as f64 * (floor - ABOVE);
        // A bar too low to see is drawn as a line.
        let height = if bar.value > 0 { height.max(1.0) } else { 0.0 };
        html.markup("<g><title>").value(&bar.title).markup("</title>");
        html.markup("<rect class=\"room\" y=\"0\"")
            .attribute("x", decimal(left));
        html.attribute("width", decimal(step))
            .attribute("height", floor)
            .markup("/>");
        html.markup("<rect class=\"bar\"")
            .attribute("x", decimal(left + step * 0.1));
        html.attribute("y", decimal(floor - height))
            .attribute("width", decimal(step * 0.8));
        html.attribute("height", decimal(height)).markup("/></g>");
        if let Some(name) = &bar.name {
            html.markup("<text class=\"name\"")
                .attribute("x", decimal(left + step / 2.0));
            html.attribute("y", HEIGHT - 4.0)
                .markup(">")
                .value(name)
                .markup("</text>");
        }
    }
    html.markup("</svg></div>");
    html
}

fn decimal(number: f64) -> String {
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(count: usize) -> Vec<(NaiveDate, u64)> {
        let first: NaiveDate = "2025-01-15".parse().unwrap();
        first.iter_days().take(count).map(|date| (date, 2)).collect()
    }

    #[test]
    fn the_greatest_value_fills_the_height_and_the_least_is_visible() {
        let mut hours = [0; 24];
        (hours[3], hours[4]) = (1_000_000, 1);
        let html = super::hours("tfc", &hours).into_string();
        let heights: Vec<&str> = html
            .split("class=\"bar\"")
            .skip(1)
            .map(|bar| bar.split("height=\"").nth(1).unwrap().split('"').next().unwrap())
            .collect();
        assert_eq!(heights.len(), 24);
        assert_eq!((heights[2], heights[3], heights[4]), ("0.00", "100.00", "1.00"));
    }

    #[test]
    fn names_do_not_overlap() {
        for (count, most) in [(1, 1), (16, 16), (17, 3), (70, 10), (71, 3), (365, 12), (1_100, 37)] {
            let html = days("tfc", &dates(count)).into_string();
            let names = html.matches("class=\"name\"").count();
            assert!((1..=most).contains(&names), "{count} days: {names} names");
        }
    }

    #[test]
    fn without_records_the_picture_is_empty() {
        assert!(days("tfc", &[]).into_string().contains("<svg"));
    }
}
