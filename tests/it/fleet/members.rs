//! The program itself in a storm.

use std::time::Duration;

use trailkeeper::sandbox::{Action, Answer, Step};

use crate::kafka::broker::Broker;
use crate::support::random::many;
use crate::support::{PATIENCE, wait_until};

use super::crew::{Crew, STREAMS};
use super::ledger::Verdict;
use super::storm::{Blow, Fleet, Storm, TAKEOVER};

/// How many things happen in each test; `.ci/night` has ten times as many, hundreds of kills among them.
const ROUNDS: u32 = 16;

/// Lets blows fall on three members with twelve organizations; nothing may be lost, and nothing may be there twice.
fn storm(name: &str, blows: &[Blow], takeovers: &[Blow]) {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 12);
    storm_over(&broker, crew, name, blows, takeovers);
}

fn storm_over(broker: &Broker, crew: Crew, name: &str, blows: &[Blow], takeovers: &[Blow]) {
    let mut storm = Storm::of(broker, crew, 3, name);
    for organization in storm.fleet.organizations() {
        let lines = storm.fleet.begin_with(&organization, 40);
        lines.into_iter().for_each(|line| storm.note(line));
    }
    for _ in 0..many(ROUNDS) {
        storm.round(blows);
    }
    let takeovers: Vec<_> = takeovers.iter().map(|blow| storm.take_over(*blow)).collect();
    let verdict = storm.end();
    println!("{}, takeovers {takeovers:?}", storm.told());
    assert_eq!(verdict, Verdict::default());
    storm.assert_nothing_left_on_disk();
    storm.assert_nobody_has_heard(&storm.fleet.secrets(), &["fleet.state", "fleet.rejected"]);
}

#[test]
fn kills_lose_and_repeat_nothing_and_every_organization_is_owned_again_in_time() {
    storm(
        "kills",
        &[Blow::Kill, Blow::KillAll, Blow::Replace, Blow::Scale],
        &[Blow::Kill; 2],
    );
}

#[test]
fn members_that_stood_still_are_fenced_and_join_again() {
    storm(
        "zombies",
        &[Blow::Freeze, Blow::Freeze, Blow::Rebalance, Blow::SlowCommits],
        &[Blow::Freeze; 2],
    );
}

#[test]
fn a_broker_that_is_slow_or_away_loses_and_repeats_nothing() {
    storm(
        "broker",
        &[
            Blow::Outage,
            Blow::SlowCommits,
            Blow::LostAnswers,
            Blow::SlowRecords,
            Blow::Rebalance,
            Blow::Kill,
        ],
        &[Blow::Kill],
    );
}

#[test]
fn everything_at_once_loses_and_repeats_nothing() {
    storm("everything", &Blow::ALL, &[Blow::Kill, Blow::Freeze]);
}

/// The group would wait for a minute for one that does not say that it goes.
#[test]
fn a_member_that_is_asked_to_end_gives_back_what_it_has_at_once() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 12).with_session(Duration::from_secs(60));
    let mut storm = Storm::of(&broker, crew, 2, "leaving");
    storm.wait_until_shared();
    assert_eq!(storm.dismiss(), 0);
    for organization in storm.fleet.organizations() {
        storm.give_one(&organization, 0);
    }
    storm.wait_until_complete(TAKEOVER);
}

/// All services hang: a member that would wait for them could not join again.
#[test]
fn a_fetch_that_is_under_way_holds_up_no_rebalance() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 12);
    for organization in crew.organizations() {
        for (api, _) in STREAMS {
            crew.service(&organization)
                .step(Step::always(api, Action::Wait(PATIENCE)));
        }
    }
    let mut storm = Storm::of(&broker, crew, 2, "hanging");
    storm.wait_until_shared();
    wait_until("a request of every stream hangs", PATIENCE, || {
        storm.fleet.are_all_asked()
    });
    storm.hire();
    storm.wait_until_shared_within(TAKEOVER);
}

/// Each answer takes its time, so that a first collection of twenty pages or more is under way when something happens.
#[test]
fn first_collections_that_are_under_way_are_taken_over() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 6);
    for organization in crew.organizations() {
        for (api, _) in STREAMS {
            let wait = Action::Wait(Duration::from_millis(100));
            crew.service(&organization).step(Step::always(api, wait));
        }
    }
    let mut storm = Storm::of(&broker, crew, 3, "beginners");
    for organization in storm.fleet.organizations() {
        let lines = storm.fleet.begin_with(&organization, 2_000);
        lines.into_iter().for_each(|line| storm.note(line));
    }
    for _ in 0..many(ROUNDS / 2) {
        storm.round(&[
            Blow::Kill,
            Blow::Freeze,
            Blow::Rebalance,
            Blow::SlowRecords,
            Blow::Replace,
        ]);
    }
    let verdict = storm.end();
    println!("{}", storm.told());
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn services_that_fail_now_and_then_lose_and_repeat_nothing_either() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 8).with_troubles();
    let blows = [
        Blow::Kill,
        Blow::Freeze,
        Blow::Rebalance,
        Blow::SlowCommits,
        Blow::LostAnswers,
    ];
    storm_over(&broker, crew, "troubles", &blows, &[]);
}

#[test]
fn an_organization_whose_service_fails_holds_up_no_other() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 6);
    let failing = crew.organizations().remove(0);
    for (api, _) in STREAMS {
        let refuse = Action::Answer(Answer::json(403, "{}"));
        crew.service(&failing).step(Step::always(api, refuse));
    }
    let mut storm = Storm::of(&broker, crew, 2, "failing");
    for organization in storm.fleet.organizations().into_iter().skip(1) {
        storm.give_one(&organization, 0);
    }
    storm.wait_until_complete(TAKEOVER * 2);
}
