//! Numbered pages: what a service says of its pages where they have numbers.

use std::fmt;

use proptest::prelude::*;

/// What is odd about numbered pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberedOddity {
    /// The counts do not know the newest so many records yet.
    CountsLate(usize),
    /// The counts are those of all records that the service has, whatever was asked for.
    CountsOfEverything,
    /// `total_count` is wrong by so many.
    CountWrong(i64),
    /// `next_page` is null although `total_pages` is larger.
    NextNull,
    /// There is no `next_page`.
    NextMissing,
    /// There is neither `next_page` nor `total_count`.
    CountMissing,
    /// There is `current_page` only.
    NothingSaid,
    /// From so many requests on, pages hold so many records.
    SizeGrows(usize, usize),
}

/// What an answer says of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pagination {
    pub(crate) current: usize,
    pub(crate) next: NextPage,
    pub(crate) pages: Option<usize>,
    pub(crate) count: Option<usize>,
}

/// What an answer says of the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    Number(usize),
    Null,
    Missing,
}

impl Pagination {
    /// What is said of page `current`, where pages hold `size` records, by a service with this oddity that has `count` records
    /// of the span and `everything` in all.
    pub(crate) fn of(
        oddity: Option<NumberedOddity>,
        (current, size): (usize, usize),
        (count, everything): (usize, usize),
    ) -> Self {
        let believed = match oddity {
            Some(NumberedOddity::CountsLate(late)) => count.saturating_sub(late),
            Some(NumberedOddity::CountsOfEverything) => everything,
            _ => count,
        };
        let pages = believed.div_ceil(size).max(1);
        let next = match oddity {
            Some(NumberedOddity::NextNull) => NextPage::Null,
            Some(NumberedOddity::NextMissing | NumberedOddity::CountMissing | NumberedOddity::NothingSaid) => {
                NextPage::Missing
            }
            _ if current < pages => NextPage::Number(current + 1),
            _ => NextPage::Null,
        };
        let count = match oddity {
            Some(NumberedOddity::CountWrong(by)) => Some(believed.saturating_add_signed(by as isize)),
            Some(NumberedOddity::CountMissing | NumberedOddity::NothingSaid) => None,
            _ => Some(believed),
        };
        let pages = (oddity != Some(NumberedOddity::NothingSaid)).then_some(pages);
        Self {
            current,
            next,
            pages,
            count,
        }
    }
}

/// Anything odd about numbered pages.
pub(crate) fn odd_pages() -> impl Strategy<Value = NumberedOddity> {
    prop_oneof![
        (1..10_usize).prop_map(NumberedOddity::CountsLate),
        Just(NumberedOddity::CountsOfEverything),
        prop_oneof![Just(-3_i64), Just(-1), Just(1), Just(40)].prop_map(NumberedOddity::CountWrong),
        Just(NumberedOddity::NextNull),
        Just(NumberedOddity::NextMissing),
        Just(NumberedOddity::CountMissing),
        Just(NumberedOddity::NothingSaid),
        (1..6_usize, 60..400_usize).prop_map(|(after, size)| NumberedOddity::SizeGrows(after, size)),
    ]
}

impl fmt::Display for NumberedOddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NumberedOddity::CountsLate(late) => write!(f, "does not count the newest {late} records yet"),
            NumberedOddity::CountsOfEverything => write!(f, "counts all of its records, whatever it is asked for"),
            NumberedOddity::CountWrong(by) => write!(f, "says a `total_count` that is wrong by {by}"),
            NumberedOddity::NextNull => write!(f, "says that `next_page` is null on every page"),
            NumberedOddity::NextMissing => write!(f, "never says `next_page`"),
            NumberedOddity::CountMissing => write!(f, "never says `next_page`, nor how many records there are"),
            NumberedOddity::NothingSaid => write!(f, "says nothing of other pages"),
            NumberedOddity::SizeGrows(after, size) => write!(f, "gives pages of {size} records after {after} requests"),
        }
    }
}
