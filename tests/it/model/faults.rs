//! Faults: answers that are not what the service holds, now and then.
//!
//! They hit at most two looks in a row, so that a patient reader gets around them; those without end are counted apart.

use std::collections::HashMap;
use std::fmt;

use proptest::prelude::*;

use super::chance::roll;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A good answer without records, and without a next page.
    Empty,
    /// The records of its older half are missing.
    HalfThePage,
    /// The connection ends in the middle of the body.
    CutBody,
    /// The connection ends before the answer, which the service takes for given.
    Lost,
    /// An error, which the service takes for a given answer.
    Status(u16),
    /// From a replica that does not have the newest so many records yet.
    Lagging(usize),
    /// The same, but of what came between two runs it lacks any, not the newest.
    LaggingInAnyOrder(usize),
    /// From a replica that lacks one record in so many, always the same ones.
    Holes(u64),
    /// The same as lagging, of every page but the first.
    LaggingBehindTheFirst(usize),
    /// A page in the place of the one behind it, where they have numbers.
    PageBefore,
    /// With one more record, from anywhere in the feed.
    Stray,
}

/// One answer in so many has this fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) fault: Fault,
    pub(crate) every: u64,
    /// Whether any number of looks in a row can have it.
    pub(crate) is_endless: bool,
}

/// How often each look was taken, and how many of these in a row had a fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks {
    taken: HashMap<String, (u64, u64)>,
    in_a_row: u64,
}

/// The most looks in a row that have a fault.
const MOST_IN_A_ROW: u64 = 2;

impl Looks {
    /// The fault that this look has, if any.
    pub(crate) fn fault(&mut self, look: &str, faults: &[Faults], seed: u64) -> Option<Fault> {
        let (taken, in_a_row) = self.taken.entry(look.to_owned()).or_default();
        *taken += 1;
        let hit = faults
            .iter()
            .enumerate()
            .find(|(index, faults)| roll(seed, &(look, *taken, index)) % faults.every == 0);
        let is_patient = *in_a_row < MOST_IN_A_ROW && self.in_a_row < MOST_IN_A_ROW;
        match hit {
            Some((_, faults)) if faults.is_endless || is_patient => {
                *in_a_row += 1;
                self.in_a_row += 1;
                Some(faults.fault)
            }
            _ => {
                *in_a_row = 0;
                self.in_a_row = 0;
                None
            }
        }
    }
}

/// Anything that can be wrong with an answer; where pages have numbers, they can stand for each other.
pub(crate) fn faults(is_numbered: bool) -> impl Strategy<Value = Faults> {
    let status = prop_oneof![Just(504_u16), Just(500), Just(429)].prop_map(Fault::Status);
    let lagging = prop_oneof![
        (1..6_usize).prop_map(Fault::Lagging),
        (6..400_usize).prop_map(Fault::Lagging),
        (1..6_usize).prop_map(Fault::LaggingBehindTheFirst)
    ];
    let fault = prop_oneof![
        3 => Just(Fault::Empty),
        2 => Just(Fault::HalfThePage),
        1 => Just(Fault::CutBody),
        2 => Just(Fault::Lost),
        2 => status,
        4 => lagging,
        1 => Just(Fault::Stray),
        if is_numbered { 3 } else { 0 } => Just(Fault::PageBefore),
    ];
    let every = prop_oneof![Just(2_u64), 3..6_u64, 6..20_u64];
    (fault, every, prop::bool::weighted(0.05)).prop_map(|(fault, every, is_endless)| Faults {
        fault,
        every,
        is_endless,
    })
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one answer in {} ", self.every)?;
        match self.fault {
            Fault::Empty => write!(f, "is empty")?,
            Fault::Stray => write!(f, "has one more record, from anywhere")?,
            Fault::HalfThePage => write!(f, "lacks the older half of its records")?,
            Fault::CutBody => write!(f, "is cut in the middle of the body")?,
            Fault::Lost => write!(f, "is lost")?,
            Fault::Status(status) => write!(f, "is {status}")?,
            Fault::Lagging(newest) => write!(f, "comes from a replica that lacks the newest {newest}")?,
            Fault::LaggingInAnyOrder(last) => {
                write!(f, "comes from a replica that lacks {last} of those that came last")?;
            }
            Fault::Holes(one_in) => write!(f, "comes from a replica that lacks one record in {one_in}")?,
            Fault::LaggingBehindTheFirst(newest) => {
                write!(
                    f,
                    "behind the first page comes from a replica that lacks the newest {newest}"
                )?;
            }
            Fault::PageBefore => write!(f, "has the page before in its place")?,
        }
        if self.is_endless {
            write!(f, ", without end")?;
        }
        Ok(())
    }
}

#[test]
fn at_most_two_looks_in_a_row_have_a_fault_unless_it_has_no_end() {
    let mut faults = Faults {
        fault: Fault::Empty,
        every: 1,
        is_endless: false,
    };
    let mut looks = Looks::default();
    let mut hits = |faults| [(); 6].map(|()| looks.fault("a page", &[faults], 0).is_some());
    assert_eq!(hits(faults), [true, true, false, true, true, false]);
    faults.is_endless = true;
    assert_eq!(hits(faults), [true; 6]);
}
