//! Clocks that are apart, each alone: ordinary services, read by a machine with another clock.

use super::case::Oddity;
use super::draw::{Kind, drawn};
use super::judge::{Verdict, try_case};
use super::runs::Reader;
use super::seed;

/// How many seconds the reader's clock goes behind the service's.
const BEHIND: [i64; 8] = [-400 * 86_400, -90_000, -900, -130, 130, 900, 90_000, 400 * 86_400];

/// A service whose newest moment fills more than a page: a run of a clock far ahead reads many spans above it.
const FULL_AT_THE_END: u64 = 13_429_239_417_556_168_691;

#[test]
fn a_newest_moment_of_several_pages_is_not_read_again_with_each_empty_span_above_it() {
    let mut case = drawn(Kind::Ordinary, FULL_AT_THE_END);
    case.oddities.push(Oddity::Clock(BEHIND[0]));
    let judgement = try_case(&Reader::new(), &case);
    assert_eq!(judgement.verdict, Verdict::Right, "{:?}\n{case}", judgement.reasons);
}

#[test]
fn ordinary_services_are_read_completely_whatever_the_clocks_say() {
    let (first, reader) = (seed(), Reader::new());
    for (index, behind) in BEHIND.into_iter().cycle().take(5 * BEHIND.len()).enumerate() {
        let seed = first.wrapping_add(index as u64);
        let mut case = drawn(Kind::Ordinary, seed);
        case.oddities.push(Oddity::Clock(behind));
        let judgement = try_case(&reader, &case);
        assert_eq!(
            judgement.verdict,
            Verdict::Right,
            "{behind}, seed {seed}: {:?}\n{case}",
            judgement.reasons
        );
    }
}
