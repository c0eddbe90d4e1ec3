//! Writes HTML that is escaped by construction: text from a record can never become markup.

use std::fmt::{self, Write};

use crate::output::printable::excerpt;

/// How much of a text is shown, in characters.
const MAX_TEXT: usize = 120;

/// A page, or a part of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup. It is a constant, so nothing that is read can become markup.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text of any origin.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in excerpt(text, MAX_TEXT).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds a number, date or time.
    pub(super) fn value(&mut self, value: impl fmt::Display) -> &mut Self {
        self.text(&value.to_string())
    }

    /// Adds a count with its thousands grouped.
    pub(super) fn count(&mut self, count: u64) -> &mut Self {
        self.value(grouped(count))
    }

    /// Adds an attribute with its value.
    pub(super) fn attribute(&mut self, name: &'static str, value: impl fmt::Display) -> &mut Self {
        self.markup(" ").markup(name).markup("=\"").value(value).markup("\"")
    }

    pub(super) fn part(&mut self, part: &Html) -> &mut Self {
        self.0.push_str(&part.0);
        self
    }

    /// Adds an element with text in it.
    pub(super) fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.markup(open).text(text).markup(close)
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Formats a number with a narrow space between its thousands.
pub(super) fn grouped(number: u64) -> String {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    #[test]
    fn hostile_text_stays_text() {
        let mut html = Html::default();
        html.text("</td><script>alert('x')</script>\u{202e}\u{0}\"&amp;");
        let expected = "&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\\u{202e}\\u{0}&quot;&amp;amp;";
        assert_eq!(html.into_string(), expected);
    }

    #[test]
    fn long_text_is_cut() {
        let mut html = Html::default();
        html.text(&"<".repeat(1_000));
        assert_eq!(html.into_string(), "&lt;".repeat(MAX_TEXT) + "…");
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
            let mut html = Html::default();
            html.attribute("title", &text);
            let html = html.into_string();
            prop_assert_eq!(html.matches('"').count(), 2);
            prop_assert!(!html.contains(['<', '>', '\'', '\n', '\0']));
        }
    }
}
