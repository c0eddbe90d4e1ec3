//! The heat map: a square for each hour of each weekday, darker for more records.

use maud::{Markup, html};

use super::html::{Cell, Heading, many, table};
use super::picture::{Mark, Picture};
use super::scale::Scale;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Row and column of the first square, behind the names.
const FIRST: usize = 2;

/// Draws the picture and its legend.
pub(super) fn picture(stream: &'static str, week: &[[u64; 24]; 7]) -> Markup {
    let scale = Scale::of(week.iter().flatten().copied());
    let marks = week.iter().enumerate().flat_map(|(weekday, hours)| {
        let scale = &scale;
        hours.iter().enumerate().map(move |(hour, records)| Mark {
            label: format!(
                "{} {hour:02}:00 to {hour:02}:59 UTC: {}",
                WEEKDAYS[weekday],
                many(*records, "record")
            ),
            class: format!("s{}", scale.shade(*records)),
            style: format!("grid-area:{}/{}", FIRST + weekday, FIRST + hour),
        })
    });
    let (label, name) = (
        format!("{stream}: records per weekday and hour"),
        format!("{stream}-week"),
    );
    let picture = Picture {
        label: &label,
        name: &name,
    };
    html! {
        (picture.frame("heat", marks, &names(), ""))
        (scale.legend())
    }
}

fn names() -> Markup {
    html! {
        div.names aria-hidden="true" {
            @for (weekday, name) in WEEKDAYS.iter().enumerate() {
                span style={ "grid-area:" (FIRST + weekday) "/1" } { (name) }
            }
            @for hour in (0..24).step_by(3) {
                span style={ "grid-area:1/" (FIRST + hour) "/2/span 3" } { (format!("{hour:02}:00")) }
            }
        }
    }
}

/// Writes the same as a table.
pub(super) fn numbers(stream: &'static str, week: &[[u64; 24]; 7]) -> Markup {
    let caption = format!("{stream}: records per weekday and hour, UTC");
    let rows = (0..24).map(|hour| {
        let cells = std::array::from_fn(|weekday| Cell::Number(week[weekday][hour]));
        (format!("{hour:02}:00"), cells)
    });
    table(&caption, WEEKDAYS.map(Heading::Number), rows, "Hour")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_of_the_week_has_its_square() {
        let mut week = [[0; 24]; 7];
        (week[0][0], week[6][23]) = (12, 1);
        let html = picture("tfc", &week).into_string();
        assert_eq!(html.matches("<input").count(), 7 * 24);
        for mark in [
            "class=\"s5\" style=\"grid-area:2/2\" aria-label=\"Mon 00:00 to 00:59 UTC: 12 records\"",
            "style=\"grid-area:8/25\" aria-label=\"Sun 23:00 to 23:59 UTC: 1 record\"",
        ] {
            assert!(html.contains(mark), "{mark}: {html}");
        }
        assert_eq!(numbers("tfc", &week).into_string().matches("<td").count(), 7 * 24);
    }
}
