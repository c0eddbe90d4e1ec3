//! Tables for people: columns as wide as their content, numbers aligned right, and the formats of their values.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// What separates two columns.
const BETWEEN: &str = "  ";

/// A column: its heading, and how its cells are aligned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    heading: &'static str,
    is_number: bool,
}

/// Creates a column of text.
#[must_use]
pub(crate) fn left(heading: &'static str) -> Column {
    Column {
        heading,
        is_number: false,
    }
}

/// Creates a column of numbers.
#[must_use]
pub(crate) fn right(heading: &'static str) -> Column {
    Column {
        heading,
        is_number: true,
    }
}

/// The content of a cell; each character is one terminal column wide.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

/// The colour of a cell, if colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// As it should be.
    Green,
    /// Needs attention.
    Yellow,
    /// It is wrong.
    Red,
}

impl Cell {
    /// Creates a coloured cell.
    #[must_use]
    pub(crate) fn coloured(text: impl Into<String>, colour: Colour) -> Self {
        Self {
            text: text.into(),
            colour: Some(colour),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            colour: None,
        }
    }
}

impl Colour {
    /// Returns a text in this colour.
    #[must_use]
    pub(crate) fn paint(self, text: &str) -> String {
        format!("\u{1b}[{}m{text}\u{1b}[0m", self.code())
    }

    /// The code of ECMA-48, SGR.
    fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
        }
    }
}

/// Rows of `N` cells below a line of headings.
#[derive(Clone, Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[Cell; N]>,
    is_coloured: bool,
}

impl<const N: usize> Table<N> {
    /// Creates a table without rows or colours.
    #[must_use]
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            is_coloured: false,
        }
    }

    /// Turns colours on or off.
    #[must_use]
    pub(crate) fn with_colours(self, is_coloured: bool) -> Self {
        Self { is_coloured, ..self }
    }

    pub(crate) fn row(&mut self, cells: [impl Into<Cell>; N]) {
        self.rows.push(cells.map(Into::into));
    }

    /// Returns whether it has no rows.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn line(&self, cells: &[Cell; N], widths: [usize; N]) -> String {
        let mut line = String::new();
        for ((cell, width), column) in cells.iter().zip(widths).zip(self.columns) {
            let space = " ".repeat(width - cell.text.chars().count());
            let text = match cell.colour.filter(|_| self.is_coloured) {
                Some(colour) => colour.paint(&cell.text),
                None => cell.text.clone(),
            };
            if column.is_number {
                line.extend([&*space, &*text, BETWEEN]);
            } else {
                line.extend([&*text, &*space, BETWEEN]);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The headings and the rows, one line each, without trailing white space.
impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = self.columns.map(|column| Cell::from(column.heading));
        let lines = || std::iter::once(&headings).chain(&self.rows);
        let widths = std::array::from_fn(|column| {
            let cells = lines().map(|cells| cells[column].text.chars().count());
            cells.max().unwrap_or(0)
        });
        lines().try_for_each(|cells| writeln!(f, "{}", self.line(cells, widths)))
    }
}

/// Formats a time as every command shows it: RFC 3339, UTC, with as many digits of a second as it has.
#[must_use]
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Formats a time to the second, in 20 characters.
#[must_use]
pub(crate) fn to_the_second(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Formats a duration by its largest unit, rounded down: `45s`, `12m`, `36h`, `12d`; below 0 it is `0s`.
#[must_use]
pub(crate) fn age(length: TimeDelta) -> String {
    match length.num_seconds() {
        ..0 => "0s".to_owned(),
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Formats a number of bytes in three digits and a binary unit: `999B`, `1.21K`, `45.6M`.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1_000 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64;
    let mut unit = 'B';
    for larger in ['K', 'M', 'G', 'T', 'P', 'E'] {
        // What would be shown with four digits goes to the next unit.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1_024.0, larger);
    }
    let decimals = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_at_the_right() {
        let mut table = Table::new([left("NAME"), right("N"), left("BAR")]);
        assert!(table.is_empty());
        table.row(["ä", "12345", "▁█"]);
        table.row(["longer", "1", ""]);
        assert_eq!(
            table.to_string(),
            "NAME        N  BAR\nä       12345  ▁█\nlonger      1\n"
        );
    }

    #[test]
    fn colours_are_shown_where_they_are_asked_for_and_take_no_width() {
        let mut table = Table::new([left("A"), left("B")]);
        table.row([Cell::coloured("ok", Colour::Green), "x".into()]);
        table.row([Cell::from("longer"), "y".into()]);
        assert_eq!(table.to_string(), "A       B\nok      x\nlonger  y\n");
        assert_eq!(
            table.with_colours(true).to_string(),
            "A       B\n\u{1b}[32mok\u{1b}[0m      x\nlonger  y\n"
        );
    }

    #[test]
    fn ages_are_shown_by_their_largest_unit() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(age(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1_000, "0.98K"),
            (1_024, "1.00K"),
            (10_240, "10.0K"),
            (1_048_576 * 456 / 10, "45.6M"),
            (1 << 30, "1.00G"),
            (u64::MAX, "16.0E"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn no_size_is_wider_than_five_characters(bytes: u64, shift in 0_u32..64) {
            prop_assert!(size(bytes >> shift).len() <= 5);
        }
    }
}
