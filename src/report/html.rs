//! The parts of a page that hold text of any origin: what they are given is made printable and cut, and then escaped.

use std::borrow::Cow;
use std::fmt::Write;

use maud::{Markup, html};

use crate::output::printable::{excerpt, printable};

/// How much of a text is shown, in characters.
const MAX_TEXT: usize = 120;

/// Makes a text of any origin fit to be shown: printable, and not too long. The page escapes it.
pub(crate) fn shown(text: &str) -> String {
    excerpt(text, MAX_TEXT)
}

/// Makes a sentence of this program, in which a text of any origin can stand, fit to be shown as a whole.
pub(crate) fn whole(text: &str) -> Cow<'_, str> {
    printable(text)
}

/// Formats a number with a narrow space between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // Writing to a string does not fail.
            let _ = text.write_char('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of things: `1 record`, `12 records`.
pub(crate) fn many(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {one}{s}", grouped(number))
}

/// A fact with its name, for a list of them.
pub(crate) fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A cell of a table.
pub(crate) enum Cell {
    Text(String),
    /// It is not cut.
    Whole(String),
    Number(u64),
    /// A part of the whole, from 0 to 1, as a bar.
    Share(f64),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn markup(&self) -> Markup {
        html! {
            @match self {
                Self::Text(text) => td { (shown(text)) },
                Self::Whole(text) => td { (whole(text)) },
                Self::Number(number) => td.number { (grouped(*number)) },
                Self::Share(share) => td.share {
                    span.share style={ "width:" (format!("{:.1}", share * 100.0)) "%" } {}
                },
            }
        }
    }
}

/// How a heading stands over its column.
#[derive(Clone, Copy)]
pub(crate) enum Heading {
    Text(&'static str),
    Number(&'static str),
    /// Of a column of bars, which say what a number beside them says.
    Share(&'static str),
}

/// Writes a table: the first column names its row.
pub(crate) fn table<const N: usize>(
    caption: &str,
    headings: [Heading; N],
    rows: impl Iterator<Item = (String, [Cell; N])>,
    first: &'static str,
) -> Markup {
    html! {
        table {
            caption { (shown(caption)) }
            thead { tr {
                th scope="col" { (first) }
                @for heading in headings {
                    @match heading {
                        Heading::Text(text) => th scope="col" { (text) },
                        Heading::Number(text) => th.number scope="col" { (text) },
                        Heading::Share(text) => th scope="col" { span.unseen { (text) } },
                    }
                }
            } }
            tbody {
                @for (name, cells) in rows {
                    tr {
                        th scope="row" { (shown(&name)) }
                        @for cell in &cells { (cell.markup()) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn cell(text: &str) -> String {
        Cell::text(text).markup().into_string()
    }

    #[test]
    fn hostile_text_stays_text() {
        let expected = "<td>&lt;/td&gt;&lt;script&gt;alert('x')&lt;/script&gt;\\u{202e}\\u{0}&quot;&amp;amp;</td>";
        assert_eq!(cell("</td><script>alert('x')</script>\u{202e}\u{0}\"&amp;"), expected);
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(
            cell(&"<".repeat(1_000)),
            format!("<td>{}…</td>", "&lt;".repeat(MAX_TEXT))
        );
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{202f}000"),
            (12_345_678, "12\u{202f}345\u{202f}678"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn no_text_adds_markup_or_leaves_an_attribute(text in "(?s:.*)|[<>&\"'a]{0,40}") {
            let html = html! { p title=(shown(&text)) { (shown(&text)) } }.into_string();
            prop_assert_eq!(html.matches('"').count(), 2);
            prop_assert_eq!((html.matches('<').count(), html.matches('>').count()), (2, 2));
            prop_assert!(!html.contains(['\n', '\0']));
        }
    }
}
