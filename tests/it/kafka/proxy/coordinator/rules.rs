//! The rules of a group, with a clock of the test's own.

use std::time::{Duration, Instant};

use tokio::sync::oneshot::Receiver;

use super::Fault;
use super::group::{Group, State, Waiting};
use super::member::{Joined, Joining};

const SESSION: Duration = Duration::from_secs(6);
const REBALANCE: Duration = Duration::from_secs(60);

type Answer<T> = Receiver<Result<T, Fault>>;

/// What a member that knows one assignor says.
fn joining(instance: Option<&str>, told: &str) -> Joining {
    Joining {
        instance: instance.map(str::to_owned),
        session: SESSION,
        rebalance: REBALANCE,
        protocols: vec![("range".to_owned(), told.as_bytes().to_vec())],
    }
}

/// A new member joins: its id, and the answer for which it waits.
fn enter(group: &mut Group, client: &str, now: Instant) -> (String, Answer<Joined>) {
    let Waiting::Refused(Fault::MemberIdRequired, id) = group.join(client, "", joining(None, client), now) else {
        panic!("a new member gets an id first");
    };
    let answer = again(group, &id, now);
    (id, answer)
}

/// A member joins again, and says what it did before.
fn again(group: &mut Group, id: &str, now: Instant) -> Answer<Joined> {
    let client = id.split('-').next().unwrap().to_owned();
    waiting(group.join(&client, id, joining(None, &client), now))
}

fn waiting<T>(answer: Waiting<T>) -> Answer<T> {
    match answer {
        Waiting::For(answer) => answer,
        Waiting::Refused(fault, id) => panic!("{id} was refused: {fault:?}"),
    }
}

fn refused<T>(answer: Waiting<T>) -> Fault {
    match answer {
        Waiting::Refused(fault, _) => fault,
        Waiting::For(_) => panic!("it was not refused"),
    }
}

fn said<T>(answer: &mut Answer<T>) -> T {
    answer.try_recv().expect("an answer").expect("no fault")
}

/// A stable group of these members, in its second generation.
fn group_of(clients: [&str; 2], now: Instant) -> (Group, [String; 2]) {
    let mut group = Group::default();
    let (first, mut alone) = enter(&mut group, clients[0], now);
    assert_eq!(said(&mut alone).generation, 1);
    let (second, mut joined) = enter(&mut group, clients[1], now);
    assert!(joined.try_recv().is_err(), "it waits for the first to join again");
    let mut rejoined = again(&mut group, &first, now);
    assert_eq!(said(&mut rejoined).members.len(), 2, "the leader is told of all");
    assert_eq!(said(&mut joined).members, []);
    let ids = [first, second];
    share(&mut group, &ids, now);
    (group, ids)
}

/// The first one, who leads, gives each its own id.
fn share(group: &mut Group, ids: &[String], now: Instant) {
    let assignments = ids.iter().map(|id| (id.clone(), id.clone().into_bytes())).collect();
    let mut followers: Vec<_> = ids[1..]
        .iter()
        .map(|id| waiting(group.sync(id, Vec::new(), now)))
        .collect();
    assert!(followers.iter_mut().all(|answer| answer.try_recv().is_err()));
    let mut leader = waiting(group.sync(&ids[0], assignments, now));
    assert_eq!(said(&mut leader), ids[0].as_bytes());
    for (answer, id) in followers.iter_mut().zip(&ids[1..]) {
        assert_eq!(said(answer), id.as_bytes());
    }
    assert_eq!(group.state, State::Stable);
}

#[test]
fn a_member_without_heartbeats_is_out_after_its_session_and_no_sooner() {
    let now = Instant::now();
    let (mut group, [first, second]) = group_of(["a", "b"], now);
    let at = |seconds| now + Duration::from_secs(seconds);
    group.beat(&first, at(5)).unwrap();
    group.expire(at(5));
    assert_eq!(group.state, State::Stable);
    group.expire(at(6));
    assert_eq!(group.check(&second, None, 2), Err(Fault::UnknownMember));
    assert_eq!(group.beat(&first, at(6)), Err(Fault::RebalanceInProgress));
    let mut joined = again(&mut group, &first, at(6));
    let joined = said(&mut joined);
    assert_eq!((joined.generation, joined.members.len()), (3, 1));
    assert_eq!(group.check(&first, None, 2), Err(Fault::IllegalGeneration));
}

#[test]
fn a_member_that_waits_for_others_does_not_expire() {
    let now = Instant::now();
    let (mut group, [first, second]) = group_of(["a", "b"], now);
    group.prepare(now);
    let mut joined = again(&mut group, &first, now);
    group.beat(&second, now + SESSION).unwrap_err();
    group.expire(now + SESSION + SESSION / 2);
    assert!(joined.try_recv().is_err(), "the second has not joined yet");
    // The session of the second is over, and the first goes on alone.
    group.expire(now + SESSION * 2);
    assert_eq!(said(&mut joined).members.len(), 1);
}

#[test]
fn one_that_beats_and_does_not_join_again_is_out_after_the_rebalance_time_out() {
    let now = Instant::now();
    let (mut group, [first, second]) = group_of(["a", "b"], now);
    group.prepare(now);
    let mut joined = again(&mut group, &first, now);
    let late = now + REBALANCE;
    group.beat(&second, late - SESSION / 2).unwrap_err();
    group.expire(late - SESSION / 2);
    assert!(joined.try_recv().is_err());
    group.expire(late);
    assert_eq!(said(&mut joined).members.len(), 1);
    assert_eq!(group.check(&second, None, 3), Err(Fault::UnknownMember));
}

#[test]
fn an_id_that_nobody_joins_with_holds_the_others_up_for_a_session_only() {
    let now = Instant::now();
    let (mut group, [first, second]) = group_of(["a", "b"], now);
    refused(group.join("c", "", joining(None, "c"), now));
    group.prepare(now);
    let mut joined = [&first, &second].map(|id| again(&mut group, id, now));
    assert!(joined[0].try_recv().is_err());
    group.expire(now + SESSION);
    assert_eq!(said(&mut joined[1]).generation, 3);
}

#[test]
fn one_that_leaves_makes_the_others_join_again_and_those_that_wait_for_the_leader_too() {
    let now = Instant::now();
    let (mut group, [first, second]) = group_of(["a", "b"], now);
    group.leave(&second, None, now).unwrap();
    assert_eq!(group.leave(&second, None, now), Err(Fault::UnknownMember));
    assert_eq!(group.beat(&first, now), Err(Fault::RebalanceInProgress));
    assert_eq!(refused(group.sync(&first, Vec::new(), now)), Fault::RebalanceInProgress);

    let (mut group, [first, second]) = group_of(["a", "b"], now);
    group.prepare(now);
    let _joined = [&first, &second].map(|id| again(&mut group, id, now));
    let mut follower = waiting(group.sync(&second, Vec::new(), now));
    group.leave(&first, None, now).unwrap();
    assert_eq!(follower.try_recv().unwrap(), Err(Fault::RebalanceInProgress));
    let mut joined = again(&mut group, &second, now);
    assert_eq!(said(&mut joined).leader, second);
}

#[test]
fn a_static_member_comes_back_under_a_new_id_without_a_rebalance_and_the_old_one_is_fenced() {
    let now = Instant::now();
    let mut group = Group::default();
    let enter = |group: &mut Group, instance: &str| {
        let mut answer = waiting(group.join("client", "", joining(Some(instance), instance), now));
        answer.try_recv().map(Result::unwrap)
    };
    let first = enter(&mut group, "one").unwrap().member;
    assert!(enter(&mut group, "two").is_err());
    let mut rejoined = waiting(group.join("client", &first, joining(Some("one"), "one"), now));
    let ids: Vec<_> = said(&mut rejoined).members.into_iter().map(|(id, ..)| id).collect();
    share(&mut group, &ids, now);
    // The leader itself; what it told is of no weight.
    let mut answer = waiting(group.join("client", "", joining(Some("one"), "other"), now));
    let back = said(&mut answer);
    assert_eq!((group.state, back.generation), (State::Stable, 2));
    assert!(
        back.leader == first && back.members.is_empty(),
        "it does not assign anew"
    );
    let mut assigned = waiting(group.sync(&back.member, Vec::new(), now));
    assert_eq!(said(&mut assigned), first.as_bytes(), "what it had");
    assert_eq!(group.check(&first, Some("one"), 2), Err(Fault::FencedInstance));
    let late = joining(Some("one"), "one");
    assert_eq!(refused(group.join("client", &first, late, now)), Fault::FencedInstance);
    // Away for its session, it is out as any other.
    group.beat(&ids[1], now + SESSION / 2).unwrap();
    group.expire(now + SESSION);
    assert_eq!(group.check(&back.member, Some("one"), 2), Err(Fault::UnknownMember));
}

#[test]
fn a_member_that_joins_again_as_it_was_disturbs_nobody_unless_it_leads_or_says_something_else() {
    let now = Instant::now();
    let (mut group, [first, second]) = group_of(["a", "b"], now);
    let mut joined = again(&mut group, &second, now);
    assert_eq!((said(&mut joined).generation, group.state), (2, State::Stable));
    let changed = group.join("b", &second, joining(None, "owns other partitions"), now);
    assert!(waiting(changed).try_recv().is_err());
    assert_eq!(group.state, State::Preparing);

    let (mut group, _) = group_of(["a", "b"], now);
    assert!(again(&mut group, &first, now).try_recv().is_err());
    assert_eq!(group.state, State::Preparing);
}

#[test]
fn an_assignor_that_not_all_know_is_refused_and_the_best_liked_of_the_others_is_chosen() {
    let now = Instant::now();
    let (mut group, _) = group_of(["a", "b"], now);
    let mut other = joining(None, "c");
    other.protocols = vec![("sticky".to_owned(), Vec::new())];
    assert_eq!(
        refused(group.join("c", "", other.clone(), now)),
        Fault::InconsistentProtocol
    );
    other.protocols.push(("range".to_owned(), Vec::new()));
    assert_eq!(refused(group.join("c", "", other, now)), Fault::MemberIdRequired);
    assert_eq!(group.protocol, "range");
}
