//! Drawing: services at random, ordinary ones and odd ones.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::bounds::odd_bound;
use super::cap::odd_cap;
use super::case::{Case, Oddity, Settings};
use super::chance::roll;
use super::faults::faults;
use super::feed::{Damage, Moment, RUNS, arrivals, feed};
use super::numbered::odd_pages;
use super::order::odd_order;
use super::tokens::odd_tokens;
use super::vendor::{Paging, TimeForm, Vendor};

/// Which services are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As each vendor's most likely is.
    Ordinary,
    /// With one to three oddities.
    Odd,
}

/// The case of a seed.
pub(crate) fn drawn(kind: Kind, seed: u64) -> Case {
    let vendor = Vendor::ALL[seed as usize % Vendor::ALL.len()];
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    });
    case(kind, vendor).new_tree(&mut runner).unwrap().current()
}

fn case(kind: Kind, vendor: Vendor) -> BoxedStrategy<Case> {
    let oddities = match kind {
        Kind::Ordinary => Just(Vec::new()).boxed(),
        Kind::Odd => prop::collection::vec(oddity(vendor), 1..4).boxed(),
    };
    let drawn = (oddities, feed(), settings(kind), any::<u64>());
    let case = drawn.prop_map(move |(oddities, mut feed, settings, chance)| {
        // Of records that all share one moment no answer can show whether there are more, and that is told.
        if kind == Kind::Ordinary && feed.bursts.iter().skip(1).all(|(gap, _)| *gap == 0) {
            feed.bursts.push((60_000, 1));
        }
        Case {
            vendor,
            feed,
            settings,
            oddities,
            seed: roll(chance, &"service"),
        }
    });
    case.boxed()
}

fn settings(kind: Kind) -> impl Strategy<Value = Settings> {
    let max_pages = prop_oneof![Just(20_u32), 1..4_u32];
    // Of a moment with more records than a page of Port nobody can tell whether it was given whole, and that is told.
    let limits = if kind == Kind::Ordinary {
        300..500_usize
    } else {
        20..300
    };
    let port_limit = prop_oneof![Just(1_000), limits];
    let max_retries = prop_oneof![4 => Just(3_u32), 1 => Just(0)];
    let drawn = (max_pages, port_limit, 1..5_u32, 8..40_u32, max_retries);
    drawn.prop_map(
        |(max_pages, port_limit, concurrency, lookback_days, max_retries)| Settings {
            max_pages,
            port_limit,
            concurrency,
            lookback_days,
            max_retries,
        },
    )
}

/// Anything odd that a service of this vendor can be.
fn oddity(vendor: Vendor) -> BoxedStrategy<Oddity> {
    let paging = vendor.paging();
    let common = prop_oneof![
        3 => odd_bound().prop_map(Oddity::Lower),
        3 => odd_order().prop_map(Oddity::Order),
        3 => odd_cap().prop_map(Oddity::Cap),
        8 => faults(paging == Paging::Numbers).prop_map(Oddity::Faults),
        4 => happening(),
    ];
    let upper = odd_bound().prop_map(Oddity::Upper);
    let widest = prop_oneof![1_800_000..86_400_000_i64, 86_400_000..30 * 86_400_000_i64].prop_map(Oddity::Widest);
    match paging {
        Paging::Tokens => {
            prop_oneof![15 => common, 4 => upper, 1 => widest, 6 => odd_tokens().prop_map(Oddity::Tokens)].boxed()
        }
        Paging::None => prop_oneof![15 => common, 5 => upper, 1 => widest].boxed(),
        Paging::Numbers => prop_oneof![15 => common, 8 => odd_pages().prop_map(Oddity::Numbered)].boxed(),
    }
}

/// Anything that befalls the records.
fn happening() -> impl Strategy<Value = Oddity> {
    let moment = (0..RUNS - 1, 1..10_usize).prop_map(|(run, request)| Moment { run, request });
    let damage = prop_oneof![
        Just(Damage::BrokenUtf8),
        Just(Damage::ControlCharacter),
        Just(Damage::NotANumber),
        Just(Damage::BareQuote),
        Just(Damage::WrongBracket),
        Just(Damage::StrayBracket)
    ];
    let form = prop_oneof![
        Just(TimeForm::NoColon),
        Just(TimeForm::HoursOnly),
        Just(TimeForm::NoZone),
        Just(TimeForm::Comma),
        Just(TimeForm::Number)
    ];
    prop_oneof![
        3 => prop_oneof![Just(400_i64), Just(5_000)].prop_map(Oddity::FiledEarlier),
        3 => arrivals(5_000..95_000).prop_map(Oddity::Late),
        1 => arrivals(200_000..9_000_000).prop_map(Oddity::Late),
        2 => (1..200_usize, moment.clone()).prop_map(|(count, at)| Oddity::Retention(count, at)),
        2 => moment.prop_map(Oddity::Change),
        2 => (100..4_000_usize).prop_map(Oddity::Large),
        2 => (damage, 20..300_usize).prop_map(|(damage, every)| Oddity::Damage(damage, every)),
        1 => form.prop_map(Oddity::Times),
        2 => prop_oneof![-900..900_i64, Just(-90_000), Just(400 * 86_400)].prop_map(Oddity::Clock),
    ]
}
