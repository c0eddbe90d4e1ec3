//! Tokens: what a service says of the next page where pages follow by token.

use std::fmt;

use proptest::prelude::*;

/// What is odd about the tokens of a service; where nothing is, each names an offset and lives for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenOddity {
    /// Behind so many pages there is no token, although there are records.
    EndAfter(usize, NoToken),
    /// The token behind so many pages is the one that was sent.
    RepeatAfter(usize),
    /// Refused with 400 when so many other requests came in between.
    ExpireAfter(usize),
    /// Refused with 400 behind so many records.
    RefusedPast(usize),
    /// Each use moves a position that the service keeps, also when the answer is lost.
    MoveAScroll,
    /// Of every so many pages one is empty and has a token: the last of them, or the first.
    EmptyPageEvery(usize, bool),
    /// The last page has a token that leads to an empty one.
    LeadToAnEmptyPage,
}

/// How an answer says that there is no further page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoToken {
    Empty,
    Missing,
    Null,
    /// There is a token, under a name that nobody documents.
    OtherName,
}

/// What an answer says of the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextToken {
    Token(String),
    No(NoToken),
}

/// What a token stands for: where its page begins, which page it is, and at which request it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: usize,
    pub(crate) page: usize,
    pub(crate) given_at: usize,
}

impl Position {
    /// The first page.
    pub(crate) const FIRST: Position = Position {
        offset: 0,
        page: 0,
        given_at: 0,
    };

    /// The text of the token.
    pub(crate) fn token(self) -> String {
        format!("{}_{}_{}", self.offset, self.page, self.given_at)
    }

    /// Reads a token that this service gave.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let numbers: Vec<usize> = token.split('_').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [offset, page, given_at] = numbers[..] else {
            return None;
        };
        Some(Self { offset, page, given_at })
    }
}

/// Anything odd about tokens.
pub(crate) fn odd_tokens() -> impl Strategy<Value = TokenOddity> {
    let no_token = prop_oneof![
        Just(NoToken::Empty),
        Just(NoToken::Missing),
        Just(NoToken::Null),
        Just(NoToken::OtherName)
    ];
    prop_oneof![
        2 => (1..4_usize, no_token).prop_map(|(pages, form)| TokenOddity::EndAfter(pages, form)),
        1 => (1..4_usize).prop_map(TokenOddity::RepeatAfter),
        1 => (1..6_usize).prop_map(TokenOddity::ExpireAfter),
        1 => (100..400_usize).prop_map(TokenOddity::RefusedPast),
        1 => Just(TokenOddity::MoveAScroll),
        1 => (2..4_usize, any::<bool>()).prop_map(|(every, is_first)| TokenOddity::EmptyPageEvery(every, is_first)),
        1 => Just(TokenOddity::LeadToAnEmptyPage),
    ]
}

impl fmt::Display for TokenOddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenOddity::EndAfter(pages, form) => {
                let form = match form {
                    NoToken::Empty => "an empty token",
                    NoToken::Missing => "no token",
                    NoToken::Null => "a token that is null",
                    NoToken::OtherName => "the token under another name",
                };
                write!(f, "gives {form} behind page {pages}, although there are more")
            }
            TokenOddity::RepeatAfter(pages) => write!(f, "gives the same token again behind page {pages}"),
            TokenOddity::ExpireAfter(requests) => write!(f, "refuses a token {requests} requests later (400)"),
            TokenOddity::RefusedPast(offset) => write!(f, "refuses tokens behind {offset} records (400)"),
            TokenOddity::MoveAScroll => write!(f, "moves on each time that it is sent a token, the same one too"),
            TokenOddity::EmptyPageEvery(pages, is_first) => {
                let which = if *is_first { "first" } else { "last" };
                write!(
                    f,
                    "gives an empty page with a token in place of the {which} of every {pages}"
                )
            }
            TokenOddity::LeadToAnEmptyPage => write!(f, "gives a token on the last page that leads to an empty one"),
        }
    }
}
