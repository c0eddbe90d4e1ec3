//! The storm itself is tried: members that do all right pass, and each fault is found.

use crate::kafka::broker::Broker;
use crate::support::random::many;

use super::ledger::Verdict;
use super::stand_in::{Fault, StandIns};
use super::storm::{Blow, Storm};

/// How many things happen.
const ROUNDS: u32 = 14;

#[test]
#[ignore = "tries the storm, not the program: one of the tests that take minutes"]
fn members_as_they_are_designed_lose_and_repeat_nothing_in_a_storm() {
    let broker = Broker::start();
    let fleet = StandIns::new(&broker, 20, Fault::None);
    let mut storm = Storm::of(&broker, fleet, 3, "designed");
    for _ in 0..many(ROUNDS) {
        storm.round(&Blow::ALL);
    }
    let takeovers = [Blow::Kill, Blow::Freeze].map(|blow| storm.take_over(blow));
    let verdict = storm.end();
    println!("{}, takeovers {takeovers:?}", storm.told());
    assert_eq!(verdict, Verdict::default());
}

/// Lets blows fall until the fault is found.
fn find(fault: Fault, blows: &[Blow], is_found: impl Fn(&Verdict) -> bool) {
    let broker = Broker::start();
    let fleet = StandIns::new(&broker, 20, fault);
    let mut storm = Storm::of(&broker, fleet, 3, &format!("{fault:?}"));
    for _ in 0..10 {
        for _ in 0..ROUNDS / 2 {
            storm.round(blows);
        }
        let verdict = storm.end();
        if is_found(&verdict) {
            return;
        }
    }
    panic!("{fault:?} is not found: {}", storm.told());
}

#[test]
#[ignore = "tries the storm, not the program: one of the tests that take minutes"]
fn lines_that_come_again_after_a_kill_are_found() {
    find(Fault::StateLater, &[Blow::Kill, Blow::KillAll], |verdict| {
        !verdict.repeated.is_empty() && verdict.lost.is_empty()
    });
}

#[test]
#[ignore = "tries the storm, not the program: one of the tests that take minutes"]
fn lines_that_are_lost_by_a_kill_are_found() {
    find(Fault::StateEarlier, &[Blow::Kill, Blow::KillAll], |verdict| {
        !verdict.lost.is_empty() && verdict.repeated.is_empty()
    });
}

#[test]
#[ignore = "comes out by chance, and may take many freezes: one of the tests that take minutes"]
fn a_member_that_stood_still_and_is_not_fenced_is_found() {
    find(
        Fault::OwnIds,
        &[Blow::Freeze, Blow::Freeze, Blow::Rebalance],
        |verdict| !verdict.repeated.is_empty(),
    );
}
