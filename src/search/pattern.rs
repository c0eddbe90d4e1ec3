//! What a value is compared with: a text, one with `*` and `?`, or a regular expression.

use regex::{Regex, RegexBuilder};

/// How patterns are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// They are regular expressions, which match anywhere in a value.
    pub(crate) is_regex: bool,
    pub(crate) ignores_case: bool,
}

/// A text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PatternError(String);

/// The largest compiled expression, in bytes: what fits into the longest command line.
const LARGEST: usize = 256 << 20;

/// A pattern for a value.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    matcher: Matcher,
    needle: String,
}

#[derive(Clone, Debug)]
enum Matcher {
    Equal(String),
    Within(String),
    Regex(Regex),
}

/// Where in a value a pattern without a regular expression has to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// It is the whole value.
    Whole,
    /// Anywhere in it.
    Within,
}

impl Pattern {
    /// Reads a pattern. Without a regular expression `*` stands for any characters and `?` for one; a backslash takes the meaning
    /// from these and from another backslash.
    ///
    /// # Errors
    /// It is no regular expression, or too large a one.
    pub(crate) fn parse(text: &str, manner: Manner, extent: Extent) -> Result<Self, PatternError> {
        if manner.is_regex {
            return Ok(Self {
                matcher: Matcher::Regex(regex(text, manner)?),
                needle: String::new(),
            });
        }
        let pieces = pieces(text);
        let literal = || pieces.iter().map(Piece::literal).collect::<String>();
        let has_wildcard = pieces.iter().any(|piece| !matches!(piece, Piece::Literal(_)));
        let matcher = match (has_wildcard || manner.ignores_case, extent) {
            (false, Extent::Whole) => Matcher::Equal(literal()),
            (false, Extent::Within) => Matcher::Within(literal()),
            (true, extent) => {
                let inner: String = pieces.iter().map(Piece::expression).collect();
                let expression = match extent {
                    Extent::Whole => format!("^(?:{inner})$"),
                    Extent::Within => inner,
                };
                Matcher::Regex(regex(&expression, manner)?)
            }
        };
        let longest = pieces.iter().map(Piece::literal).max_by_key(|literal| literal.len());
        Ok(Self {
            matcher,
            needle: longest.unwrap_or_default().to_owned(),
        })
    }

    /// Whether a value matches.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match &self.matcher {
            Matcher::Equal(text) => value == text,
            Matcher::Within(text) => value.contains(text),
            Matcher::Regex(regex) => regex.is_match(value),
        }
    }

    /// Returns a text that every match holds, but for its case if that is ignored; empty if none is known.
    pub(crate) fn needle(&self) -> &str {
        &self.needle
    }
}

fn regex(expression: &str, manner: Manner) -> Result<Regex, PatternError> {
    let built = RegexBuilder::new(expression)
        .case_insensitive(manner.ignores_case)
        .dot_matches_new_line(!manner.is_regex)
        .size_limit(LARGEST)
        .build();
    built.map_err(|error| PatternError(error.to_string()))
}

/// A part of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Any,
    One,
}

impl Piece {
    fn literal(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Any | Self::One => "",
        }
    }

    fn expression(&self) -> String {
        match self {
            Self::Literal(text) => regex::escape(text),
            Self::Any => ".*".to_owned(),
            Self::One => ".".to_owned(),
        }
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = vec![Piece::Literal(String::new())];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let wildcard = match character {
            '*' => Some(Piece::Any),
            '?' => Some(Piece::One),
            _ => None,
        };
        if let Some(wildcard) = wildcard {
            pieces.extend([wildcard, Piece::Literal(String::new())]);
        } else if let Some(Piece::Literal(literal)) = pieces.last_mut() {
            let next = characters.clone().next();
            let escaped = next.filter(|next| character == '\\' && matches!(next, '*' | '?' | '\\'));
            if escaped.is_some() {
                characters.next();
            }
            literal.push(escaped.unwrap_or(character));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern, Manner::default(), Extent::Whole)
            .unwrap()
            .matches(value)
    }

    #[test]
    fn a_text_is_the_whole_value_unless_it_has_wildcards() {
        for (pattern, value, expected) in [
            ("plan", "plan", true),
            ("plan", "the plan", false),
            ("plan", "Plan", false),
            ("*plan*", "the plan\nof today", true),
            ("p?an", "pläan", false),
            ("p?an", "plan", true),
            ("*", "", true),
            ("?", "é", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            (r"a\", r"a\", true),
            (r"a\\b", r"a\b", true),
            (r"C:\Users\x", r"C:\Users\x", true),
            ("[x].(+)", "[x].(+)", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value}");
        }
    }

    #[test]
    fn case_is_ignored_and_expressions_are_read_where_asked() {
        let manner = Manner {
            ignores_case: true,
            ..Manner::default()
        };
        assert!(
            Pattern::parse("ПЛАН*", manner, Extent::Whole)
                .unwrap()
                .matches("план 1")
        );
        let manner = Manner {
            is_regex: true,
            ..Manner::default()
        };
        let expression = Pattern::parse("^a.+c$", manner, Extent::Whole).unwrap();
        assert!(expression.matches("abc") && !expression.matches("xabc"));
        assert!(Pattern::parse("a(", manner, Extent::Whole).is_err());
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn every_match_holds_the_needle(pattern in "[ab*?\\\\]{0,6}", value in "[ab*?\\\\]{0,6}") {
            for extent in [Extent::Whole, Extent::Within] {
                let pattern = Pattern::parse(&pattern, Manner::default(), extent).unwrap();
                prop_assert!(!pattern.matches(&value) || value.contains(pattern.needle()));
            }
        }
    }
}
