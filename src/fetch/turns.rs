//! Whose request to a host is sent next: organizations take turns, whatever each has waiting. Nothing here waits or sends.

use std::collections::{BTreeMap, VecDeque};

use crate::env::Organization;

/// Whose a request is; `None` in an installation of one organization.
pub(super) type Party = Option<Organization>;

/// So many organizations in a backoff at a time show that the host is in trouble, not they.
pub(super) const MOST_BACKOFFS: usize = 3;

/// How much is asked for, of which a request is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// What came since the last run.
    Short,
    /// A first collection, or another span that takes many requests.
    Long,
}

/// A request, from when it begins to wait until its answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// The requests to a host that wait, and those that are under way.
///
/// The next one is that of the organization whose turn it is; then it is its turn again after all others that wait. So one that
/// has many waiting holds up each other one by one request in a round. Long ones have half of the places at most as long as a
/// short one waits.
#[derive(Debug, Default)]
pub(super) struct Turns {
    places: Places,
    /// Organizations that have requests waiting; whose turn it is comes first.
    round: VecDeque<Line>,
    under_way: BTreeMap<Ticket, (Party, Length)>,
    /// How many requests of each wait because of a rate limit.
    backoffs: BTreeMap<Party, usize>,
    last: u64,
}

/// How many requests may be under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Of all together.
    pub(super) all: usize,
    /// Of each of them.
    pub(super) each: BTreeMap<Party, usize>,
}

/// What one organization has waiting, in the order in which it came.
#[derive(Debug)]
struct Line {
    party: Party,
    waiting: VecDeque<(Ticket, Length)>,
}

impl Turns {
    /// Changes how many may be under way; those that are stay so.
    pub(super) fn allow(&mut self, places: Places) {
        self.places = places;
    }

    /// Takes in a request, which waits until [`Self::next`] names it.
    pub(super) fn join(&mut self, party: Party, length: Length) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        match self.round.iter_mut().find(|line| line.party == party) {
            Some(line) => line.waiting.push_back((ticket, length)),
            None => self.round.push_back(Line {
                party,
                waiting: VecDeque::from([(ticket, length)]),
            }),
        }
        ticket
    }

    /// Returns the next one that may be sent, which is under way from now on.
    pub(super) fn next(&mut self) -> Option<Ticket> {
        if self.is_closed() || self.under_way.len() >= self.places.all.max(1) {
            return None;
        }
        let takes_long = self.takes_long();
        let may_go = |(_, length): &(Ticket, Length)| takes_long || *length == Length::Short;
        let next = self.round.iter().enumerate().find_map(|(index, line)| {
            let place = line
                .waiting
                .iter()
                .position(may_go)
                .filter(|_| self.has_place(line.party));
            place.map(|place| (index, place))
        });
        let (index, place) = next?;
        let mut line = self.round.remove(index)?;
        let (ticket, length) = line.waiting.remove(place)?;
        self.under_way.insert(ticket, (line.party, length));
        if !line.waiting.is_empty() {
            self.round.push_back(line);
        }
        Some(ticket)
    }

    /// Lets go of a request, be it waiting or under way.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if self.under_way.remove(&ticket).is_some() {
            return;
        }
        for line in &mut self.round {
            line.waiting.retain(|(waiting, _)| *waiting != ticket);
        }
        self.round.retain(|line| !line.waiting.is_empty());
    }

    /// Stops the requests of an organization, until as many ends as beginnings.
    pub(super) fn begin_backoff(&mut self, party: Party) {
        *self.backoffs.entry(party).or_default() += 1;
    }

    pub(super) fn end_backoff(&mut self, party: Party) {
        if let Some(backoffs) = self.backoffs.get_mut(&party) {
            *backoffs = backoffs.saturating_sub(1);
        }
        self.backoffs.retain(|_, backoffs| *backoffs > 0);
    }

    /// Returns whether nothing at all is sent: one that is alone was asked to wait, or so many were that it is the host's.
    pub(super) fn is_closed(&self) -> bool {
        self.backoffs.contains_key(&None) || self.backoffs.len() >= MOST_BACKOFFS
    }

    /// Returns whether an organization may send one more.
    fn has_place(&self, party: Party) -> bool {
        let under_way = || self.under_way.values().filter(|(of, _)| *of == party).count();
        let most = self.places.each.get(&party).copied();
        !self.backoffs.contains_key(&party) && most.is_none_or(|most| under_way() < most.max(1))
    }

    /// Returns whether a long one may be sent: fewer than half are, or no short one could be sent in its place.
    fn takes_long(&self) -> bool {
        let long = self.under_way.values().filter(|(_, length)| *length == Length::Long);
        let mut short = self.round.iter().filter(|line| {
            let mut lengths = line.waiting.iter().map(|(_, length)| *length);
            lengths.any(|length| length == Length::Short)
        });
        long.count() < (self.places.all / 2).max(1) || !short.any(|line| self.has_place(line.party))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Length::{Long, Short};
    use super::*;
    use crate::test_support::random::cases;

    fn party(number: usize) -> Party {
        Some(Organization::new(&format!("o{number}")).unwrap())
    }

    fn with_places(all: usize) -> Turns {
        let mut turns = Turns::default();
        turns.allow(Places {
            all,
            each: BTreeMap::new(),
        });
        turns
    }

    fn all_that_may_go(turns: &mut Turns) -> Vec<Ticket> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn one_that_has_fifty_waiting_holds_up_another_by_one() {
        let mut turns = with_places(1);
        let many: Vec<_> = (0..50).map(|_| turns.join(party(0), Short)).collect();
        assert_eq!(turns.next(), Some(many[0]));
        let single = turns.join(party(1), Short);
        turns.leave(many[0]);
        assert_eq!(turns.next(), Some(many[1]));
        turns.leave(many[1]);
        assert_eq!(turns.next(), Some(single));
        turns.leave(single);
        assert_eq!(turns.next(), Some(many[2]));
    }

    #[test]
    fn of_one_alone_the_first_that_came_is_the_first_that_goes() {
        let mut turns = with_places(2);
        let all: Vec<_> = (0..5).map(|_| turns.join(None, Short)).collect();
        assert_eq!(all_that_may_go(&mut turns), all[..2]);
        turns.leave(all[3]);
        turns.leave(all[0]);
        turns.leave(all[1]);
        assert_eq!(all_that_may_go(&mut turns), [all[2], all[4]]);
    }

    #[test]
    fn each_keeps_to_its_own_number() {
        let mut turns = with_places(10);
        turns.allow(Places {
            all: 10,
            each: BTreeMap::from([(party(0), 2), (party(1), 3)]),
        });
        let first: Vec<_> = (0..5).map(|_| turns.join(party(0), Short)).collect();
        let second: Vec<_> = (0..5).map(|_| turns.join(party(1), Short)).collect();
        let gone = all_that_may_go(&mut turns);
        assert_eq!(gone, [first[0], second[0], first[1], second[1], second[2]]);
    }

    #[test]
    fn long_ones_have_half_of_the_places_while_a_short_one_waits_and_all_of_them_otherwise() {
        let mut turns = with_places(4);
        let long: Vec<_> = (0..8).map(|_| turns.join(party(0), Long)).collect();
        assert_eq!(all_that_may_go(&mut turns), long[..4]);
        let short: Vec<_> = (1..5).map(|number| turns.join(party(number), Short)).collect();
        for (done, next) in [(long[0], short[0]), (long[1], short[1]), (short[0], short[2])] {
            turns.leave(done);
            assert_eq!(all_that_may_go(&mut turns), [next]);
        }
        // One of two long ones has ended: it is their turn.
        turns.leave(long[2]);
        assert_eq!(all_that_may_go(&mut turns), [long[4]]);
        turns.leave(short[1]);
        assert_eq!(all_that_may_go(&mut turns), [short[3]]);
        turns.leave(short[2]);
        assert_eq!(all_that_may_go(&mut turns), [long[5]]);
    }

    #[test]
    fn a_rate_limit_stops_one_and_the_host_only_if_three_have_it() {
        let mut turns = with_places(9);
        turns.begin_backoff(party(0));
        turns.begin_backoff(party(0));
        turns.begin_backoff(party(1));
        let waiting: Vec<_> = (0..3).map(|number| turns.join(party(number), Short)).collect();
        assert_eq!(all_that_may_go(&mut turns), [waiting[2]]);
        turns.begin_backoff(party(3));
        let other = turns.join(party(4), Short);
        turns.end_backoff(party(0));
        assert_eq!(all_that_may_go(&mut turns), []);
        turns.end_backoff(party(0));
        assert_eq!(all_that_may_go(&mut turns), [waiting[0], other]);
        // One that is alone is the host's guest as a whole.
        turns.begin_backoff(None);
        turns.end_backoff(party(1));
        assert_eq!(all_that_may_go(&mut turns), []);
        turns.end_backoff(None);
        assert_eq!(all_that_may_go(&mut turns), [waiting[1]]);
    }

    #[test]
    fn a_long_one_waits_for_no_short_one_that_cannot_be_sent() {
        let mut turns = with_places(2);
        turns.begin_backoff(party(0));
        turns.join(party(0), Short);
        let long = [turns.join(party(1), Long), turns.join(party(1), Long)];
        assert_eq!(all_that_may_go(&mut turns), long);
    }

    /// What happens at a host.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Join(usize, Length),
        /// One of those that wait or are under way ends or is given up.
        Leave(usize),
        BeginBackoff(usize),
        EndBackoff(usize),
    }

    const PARTIES: usize = 5;

    fn event() -> impl Strategy<Value = Event> {
        let length = prop_oneof![Just(Short), Just(Long)];
        prop_oneof![
            4 => (0..PARTIES, length).prop_map(|(party, length)| Event::Join(party, length)),
            4 => (0..100_usize).prop_map(Event::Leave),
            1 => (0..PARTIES).prop_map(Event::BeginBackoff),
            1 => (0..PARTIES).prop_map(Event::EndBackoff),
        ]
    }

    /// A host, and what is known of it from outside.
    struct Observed {
        turns: Turns,
        all: usize,
        waiting: Vec<(Ticket, usize, Length)>,
        under_way: Vec<(Ticket, usize, Length)>,
        backoffs: [usize; PARTIES],
        /// How often each other was served while one could have been and waited.
        passed_over: [[usize; PARTIES]; PARTIES],
    }

    impl Observed {
        fn new(all: usize) -> Self {
            Self {
                turns: with_places(all),
                all,
                waiting: Vec::new(),
                under_way: Vec::new(),
                backoffs: [0; PARTIES],
                passed_over: [[0; PARTIES]; PARTIES],
            }
        }

        fn happen(&mut self, event: Event) {
            match event {
                Event::Join(of, length) => {
                    let ticket = self.turns.join(party(of), length);
                    self.waiting.push((ticket, of, length));
                }
                Event::Leave(index) => {
                    let count = self.waiting.len() + self.under_way.len();
                    if count > 0 {
                        self.leave(index % count);
                    }
                }
                Event::BeginBackoff(of) => {
                    self.turns.begin_backoff(party(of));
                    self.backoffs[of] += 1;
                }
                Event::EndBackoff(of) if self.backoffs[of] > 0 => {
                    self.turns.end_backoff(party(of));
                    self.backoffs[of] -= 1;
                }
                Event::EndBackoff(_) => {}
            }
            // Who has nothing waiting any more comes last when it comes again.
            for of in 0..PARTIES {
                if !self.could_go(of) {
                    self.passed_over[of] = [0; PARTIES];
                }
            }
        }

        fn leave(&mut self, index: usize) {
            let all = if index < self.waiting.len() {
                &mut self.waiting
            } else {
                &mut self.under_way
            };
            let index = index % all.len();
            self.turns.leave(all.remove(index).0);
        }

        fn could_go(&self, of: usize) -> bool {
            self.backoffs[of] == 0
                && self
                    .waiting
                    .iter()
                    .any(|(_, party, length)| *party == of && *length == Short)
        }

        /// Sends all that may go, and checks that it may and that nothing else could.
        fn send(&mut self) {
            while let Some(ticket) = self.turns.next() {
                let index = self.waiting.iter().position(|(waiting, ..)| *waiting == ticket);
                let (_, of, length) = self.waiting[index.expect("only what waits is sent")];
                let could: Vec<_> = (0..PARTIES).filter(|other| self.could_go(*other)).collect();
                for other in 0..PARTIES {
                    let waits = could.contains(&other) && other != of;
                    self.passed_over[other][of] = if waits { self.passed_over[other][of] + 1 } else { 0 };
                    assert!(self.passed_over[other][of] <= 1, "{of} again and again before {other}");
                }
                self.passed_over[of] = [0; PARTIES];
                let long = self.under_way.iter().filter(|(.., length)| *length == Long).count();
                assert!(length == Short || long < (self.all / 2).max(1) || could.is_empty());
                assert!(self.backoffs[of] == 0 && self.backoffs.iter().filter(|count| **count > 0).count() < 3);
                self.under_way.push(self.waiting.remove(index.unwrap()));
                assert!(self.under_way.len() <= self.all);
            }
            let is_closed = self.backoffs.iter().filter(|count| **count > 0).count() >= 3;
            let is_full = self.under_way.len() == self.all;
            let nobody = self.waiting.iter().all(|(_, of, _)| self.backoffs[*of] > 0);
            assert!(
                is_closed || is_full || nobody,
                "a place is free, and somebody waits for it"
            );
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_free_place_is_taken_by_whoever_waits_and_nobody_is_passed_over(
            all in 1..6_usize,
            events in prop::collection::vec(event(), 1..200),
        ) {
            let mut observed = Observed::new(all);
            for event in events {
                observed.happen(event);
                observed.send();
            }
            // In the end everybody is served.
            for of in 0..PARTIES {
                (0..observed.backoffs[of]).for_each(|_| observed.turns.end_backoff(party(of)));
            }
            observed.backoffs = [0; PARTIES];
            observed.send();
            while !observed.under_way.is_empty() {
                observed.leave(observed.waiting.len());
                observed.send();
            }
            prop_assert!(observed.waiting.is_empty());
        }
    }
}
