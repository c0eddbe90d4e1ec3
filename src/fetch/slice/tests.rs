//! Walks over slices, against services drawn at random and against known odd ones.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use chrono::TimeDelta;

use super::paging::{SliceWalk, Step};
use super::truncation::{TruncationCandidate, TruncationProbe};
use super::*;
use crate::fetch::fetched_records::TimeLimits;
use crate::record::Identity;
use crate::record::Record;
use crate::source::{Next, Page, PageOrder, PageRequest, Position};
use crate::test_support::bound::at_most;
use crate::test_support::random::cases;
use crate::window::Window;
use crate::window::{Load, SlicePlan};

const START: i64 = 1_700_000_000_000;

/// A service whose behavior is drawn at random.
#[derive(Clone, Debug)]
struct Service {
    /// Milliseconds after `START`, one for each record.
    feed: Vec<i64>,
    page_size: usize,
    /// Whether it gives tokens, or cuts answers silently.
    has_tokens: bool,
    /// The most records of an answer, whatever was asked for.
    cap: Option<usize>,
    includes_from: bool,
    includes_to: bool,
    /// Whether the records of a page are in order.
    sorts_pages: bool,
    /// Whether every second token leads to an empty page first.
    gives_empty_pages: bool,
    /// Whether the last page says that it is the last.
    says_last: bool,
    sequence: Sequence,
}

/// In which order a service returns the records of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    NewestFirst,
    OldestFirst,
    Shuffled,
}

impl Service {
    fn answer(&self, request: &PageRequest) -> Page {
        let mut matching: Vec<(i64, usize)> = self.feed.iter().copied().zip(0..).collect();
        matching.retain(|(time, _)| self.is_within(request.window, START + time));
        matching.sort_by_key(|(time, id)| match self.sequence {
            Sequence::NewestFirst => (-time, *id),
            Sequence::OldestFirst => (*time, *id),
            Sequence::Shuffled => (0, id.wrapping_mul(0x9E37_79B9) % 1013),
        });
        let size = request.size.of(self.page_size as u32) as usize;
        let size = self.cap.map_or(size, |cap| cap.min(size));
        if !self.has_tokens {
            matching.truncate(size);
            let next = if matching.is_empty() { Next::Last } else { Next::Unknown };
            return self.page(matching, next);
        }
        let (offset, is_blank) = match &request.position {
            Position::Token(token) => (token.trim_end_matches('b').parse().unwrap(), token.ends_with('b')),
            _ => (0, false),
        };
        if is_blank {
            return self.page(Vec::new(), Next::At(Position::Token(offset.to_string())));
        }
        let end = (offset + size).min(matching.len());
        let page = matching[offset.min(end)..end].to_vec();
        let next = match (end < matching.len(), self.gives_empty_pages && (end / size) % 2 == 1) {
            (true, true) => Next::At(Position::Token(format!("{end}b"))),
            (true, false) => Next::At(Position::Token(end.to_string())),
            (false, _) if self.says_last || page.len() < size => Next::Last,
            (false, _) => Next::Unknown,
        };
        self.page(page, next)
    }

    fn is_within(&self, window: Window, time: i64) -> bool {
        let (from, to) = (window.from.timestamp_millis(), window.to.timestamp_millis());
        (from < time || self.includes_from && from == time) && (time < to || self.includes_to && time == to)
    }

    fn page(&self, mut records: Vec<(i64, usize)>, next: Next) -> Page {
        if !self.sorts_pages {
            records.sort_by_key(|(_, id)| id.wrapping_mul(0x9E37_79B9) % 1009);
        }
        let records = records.into_iter().map(|(time, id)| Ok(record(time, id))).collect();
        Page {
            records,
            originals: Vec::new(),
            next,
            pages: None,
        }
    }
}

fn record(milliseconds: i64, id: usize) -> Record {
    let id = id as u128;
    Record {
        time: DateTime::from_timestamp_millis(START + milliseconds).unwrap(),
        identity: Identity { key: id, content: id },
        line: id.to_string().into(),
    }
}

fn slice(from: i64, to: i64) -> Slice {
    let at = |milliseconds| DateTime::from_timestamp_millis(START + milliseconds).unwrap();
    Slice {
        from: at(from),
        to: at(to),
    }
}

fn time_limits(slice: Slice) -> TimeLimits {
    TimeLimits {
        filed_to: slice.to,
        possible_to: slice.to + TimeDelta::days(1),
    }
}

/// Walks a slice to its end, in at most `most_pages` pages.
fn walk(
    service: &Service,
    slice: Slice,
    max_pages: u32,
    most_seen: &mut usize,
    most_pages: usize,
) -> (Step, SliceWalk) {
    walk_in(PageOrder::NewestFirst, service, slice, max_pages, most_seen, most_pages)
}

fn walk_in(
    order: PageOrder,
    service: &Service,
    slice: Slice,
    max_pages: u32,
    most_seen: &mut usize,
    most_pages: usize,
) -> (Step, SliceWalk) {
    let mut walk = SliceWalk::new(slice, time_limits(slice), max_pages, service.page_size as u32, order);
    for _ in 0..most_pages {
        let page = service.answer(&walk.request());
        let before = *most_seen;
        *most_seen = before.max(page.records.len());
        match walk.take(page, before) {
            Step::Fetch => {}
            end => return (end, walk),
        }
    }
    panic!("no end after {most_pages} pages: {walk:?}");
}

fn services() -> impl Strategy<Value = Service> {
    let burst = (0_i64..4_000, 1_usize..40);
    let feed = prop::collection::vec(burst, 0..60)
        .prop_map(|bursts| bursts.into_iter().flat_map(|(time, count)| vec![time; count]).collect());
    (feed, 1_usize..25, any::<[bool; 6]>()).prop_map(|(feed, page_size, flags)| Service {
        feed,
        page_size,
        has_tokens: flags[0],
        cap: None,
        includes_from: flags[1],
        includes_to: flags[2],
        sorts_pages: flags[3],
        gives_empty_pages: flags[4],
        says_last: flags[5],
        sequence: Sequence::NewestFirst,
    })
}

/// Services that page by tokens in an order that the walk does not know.
fn services_in_any_order() -> impl Strategy<Value = Service> {
    let sequences = vec![Sequence::NewestFirst, Sequence::OldestFirst, Sequence::Shuffled];
    (services(), prop::sample::select(sequences)).prop_map(|(service, sequence)| Service {
        has_tokens: true,
        says_last: true,
        sequence,
        ..service
    })
}

#[test]
fn the_oldest_records_of_all_in_two_milliseconds_are_parted_by_an_inclusive_bound() {
    let service = Service {
        feed: [[177; 14], [176; 14]].concat(),
        page_size: 1,
        has_tokens: false,
        cap: Some(15),
        includes_from: false,
        includes_to: true,
        sorts_pages: false,
        gives_empty_pages: false,
        says_last: false,
        sequence: Sequence::NewestFirst,
    };
    let (end, walk) = walk(&service, slice(0, 1_000), 20, &mut 0, 100);
    assert_eq!(end, Step::Complete);
    assert_eq!(ids(&walk.fetched.records), all_ids(&service));
}

#[test]
fn what_lies_a_millisecond_before_a_cut_answer_is_seen_where_bounds_are_exclusive() {
    let service = Service {
        feed: [vec![318; 27], vec![317]].concat(),
        page_size: 1,
        has_tokens: false,
        cap: Some(5),
        includes_from: false,
        includes_to: false,
        sorts_pages: false,
        gives_empty_pages: false,
        says_last: false,
        sequence: Sequence::NewestFirst,
    };
    let (end, _) = walk(&service, slice(0, 1_000), 20, &mut 0, 100);
    assert!(
        matches!(end, Step::Fail(FetchError::SameTime { count: 5, .. })),
        "{end:?}"
    );
}

#[test]
fn an_answer_that_grew_no_longer_is_not_taken_for_whole_because_what_lies_before_it_is_too_large_to_read() {
    let part = slice(0, 1_000);
    for (was_enlarged, is_told) in [(true, true), (false, false)] {
        let mut walk = SliceWalk::new(part, time_limits(part), 20, 4, PageOrder::NewestFirst);
        let candidate = TruncationCandidate {
            time: part.to,
            count: 4,
            was_enlarged,
        };
        walk.probe = Some(TruncationProbe::FurtherBack {
            candidate,
            reach: TimeDelta::days(30),
        });
        let step = walk.shrink_page(too_large());
        assert_eq!(
            matches!(step, Step::Fail(FetchError::SameTime { count: 4, .. })),
            is_told,
            "{step:?}"
        );
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_record_of_a_slice_comes_exactly_once_or_the_walk_fails_aloud(
        service in services(),
        max_pages in 1_u32..6,
    ) {
        let whole = slice(-1_000, 5_000);
        let (end, walk) = walk(&service, whole, max_pages, &mut 0, 20_000);
        match end {
            Step::Complete => prop_assert_eq!(ids(&walk.fetched.records), all_ids(&service)),
            Step::Fail(FetchError::SameTime { .. }) => {
                // Only where the oldest records of all are so close that bounds cannot separate them, and fill a page
                // exactly: no answer can show whether the service has more. Or where so many are so close that the
                // largest page does not hold them.
                let close_to = |time: i64| {
                    let near = move |other: &&i64| (time..=time + 2).contains(*other);
                    service.feed.iter().filter(near).count()
                };
                let oldest = service.feed.iter().min().copied().unwrap();
                let fills_a_page = (0..=2).any(|ticks| {
                    let count = service.feed.iter().filter(|time| **time <= oldest + ticks).count();
                    (0..=6).any(|doubled| count == service.page_size << doubled)
                });
                let exceeds_a_page = service.feed.iter().any(|time| close_to(*time) >= service.page_size << 6);
                prop_assert!(fills_a_page || exceeds_a_page);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn where_the_order_is_not_known_every_record_comes_exactly_once_past_the_page_cap(
        service in services_in_any_order(),
        max_pages in 1_u32..6,
    ) {
        let whole = slice(-1_000, 5_000);
        let (end, walk) = walk_in(PageOrder::Unknown, &service, whole, max_pages, &mut 0, 20_000);
        prop_assert_eq!(end, Step::Complete);
        prop_assert_eq!(ids(&walk.fetched.records), all_ids(&service));
        prop_assert_eq!(walk.fetched.received as usize, service.feed.len(), "nothing is asked for twice");
    }

    #[test]
    fn where_the_order_is_not_known_an_answer_that_may_be_cut_is_never_taken_for_the_whole(
        mut service in services_in_any_order(),
    ) {
        service.has_tokens = false;
        prop_assume!(!service.feed.is_empty());
        let (end, _) = walk_in(PageOrder::Unknown, &service, slice(-1_000, 5_000), 20, &mut 0, 1);
        let is_divided = end == Step::Overflow;
        prop_assert!(is_divided);
    }

    #[test]
    fn a_service_that_caps_its_answers_silently_never_costs_a_record(
        mut service in services(),
        cap in 1_usize..30,
    ) {
        service.has_tokens = false;
        service.cap = Some(cap);
        let (end, walk) = walk(&service, slice(-1_000, 5_000), 20, &mut 0, 20_000);
        match end {
            Step::Complete => {
                let missing = all_ids(&service).len() - walk.fetched.records.len();
                // The one case that no answer can show: nothing older exists, and exactly the cap arrived.
                let oldest = service.feed.iter().min().copied();
                let at_oldest = service.feed.iter().filter(|time| Some(**time) == oldest).count();
                prop_assert!(missing == 0 || at_oldest > cap, "{} records are missing", missing);
            }
            Step::Fail(FetchError::SameTime { .. }) => prop_assert!(largest_burst(&service) >= cap.min(service.page_size)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn slices_of_any_width_show_what_a_silent_cap_cuts_off(
        mut service in services(),
        cap in 1_usize..30,
        width in 1_i64..3_000,
    ) {
        service.has_tokens = false;
        service.cap = Some(cap);
        let mut most_seen = 0;
        let mut rest = Some(slice(-1_000, 5_000));
        let mut round = at_most(10_000);
        while let Some(part) = rest {
            round();
            let (part, newer) = part.split(TimeDelta::milliseconds(width));
            rest = newer;
            let (end, walk) = walk(&service, part, 20, &mut most_seen, 20_000);
            if matches!(end, Step::Fail(FetchError::SameTime { .. })) {
                prop_assert!(largest_burst(&service) >= cap.min(service.page_size));
                return Ok(());
            }
            prop_assert_eq!(end, Step::Complete);
            let due: Vec<usize> = service.feed.iter().enumerate()
                .filter(|(_, time)| {
                    let time = DateTime::from_timestamp_millis(START + **time).unwrap();
                    part.from < time && time < part.to
                })
                .map(|(id, _)| id)
                .collect();
            let have = ids(&walk.fetched.records);
            // The one case that no answer can show: nothing older exists, and exactly the cap arrived.
            let oldest = service.feed.iter().min().copied();
            let at_oldest = service.feed.iter().filter(|time| Some(**time) == oldest).count();
            let missing = due.iter().filter(|id| !have.contains(id)).count();
            prop_assert!(missing == 0 || at_oldest > cap, "{} records are missing up to {}", missing, part.to);
        }
    }

    #[test]
    fn the_slices_of_a_window_bring_every_record_in_ranges_that_are_each_complete(
        service in services(),
        max_pages in 1_u32..6,
        width in 1_i64..5_000,
    ) {
        let mut plan = SlicePlan::new(Window::new(slice(-1_000, 0).from, slice(0, 5_000).to), 100, Duration::ZERO);
        let mut filed = BTreeMap::new();
        let mut most_seen = 0;
        let mut round = at_most(20_000);
        while let Some(mut part) = plan.next_slice() {
            let mut rest = part.split(TimeDelta::milliseconds(width)).1;
            part = part.split(TimeDelta::milliseconds(width)).0;
            loop {
                round();
                let (end, walk) = walk(&service, part, max_pages, &mut most_seen, 20_000);
                if matches!(end, Step::Fail(FetchError::SameTime { .. })) {
                    return Ok(());
                }
                prop_assert_eq!(end, Step::Complete);
                for record in &walk.fetched.records {
                    prop_assert!(record.time <= part.to);
                    filed.insert(record.identity.key as usize, record.time);
                }
                let due = service.feed.iter().filter(|time| START + **time < part.to.timestamp_millis()).count();
                let have = filed.values().filter(|time| **time < part.to).count();
                prop_assert_eq!(have, due, "up to {}", part.to);
                let (records, took) = (walk.fetched.records.len(), None);
                plan.completed(part, Load { records, took });
                let Some(next) = rest else { break };
                (part, rest) = next.split(TimeDelta::milliseconds(width));
            }
        }
        prop_assert_eq!(filed.into_keys().collect::<Vec<_>>(), all_ids(&service));
    }
}

#[test]
fn a_burst_that_is_cut_silently_is_found_out_although_nothing_older_is_in_its_slice() {
    let older = (0..50).map(|n| n * 10);
    let service = Service {
        feed: older.chain([5_000; 60]).collect(),
        page_size: 100,
        has_tokens: false,
        cap: Some(40),
        sequence: Sequence::NewestFirst,
        includes_from: true,
        includes_to: true,
        sorts_pages: true,
        gives_empty_pages: false,
        says_last: true,
    };
    let (end, _) = walk(&service, slice(4_000, 6_000), 20, &mut 0, 100);
    assert!(
        matches!(end, Step::Fail(FetchError::SameTime { count: 40, .. })),
        "{end:?}"
    );
    // An answer that is not cut must not fail, whether or not there is anything before it.
    for (cap, has_older) in [(None, true), (None, false), (Some(70), true)] {
        let mut service = Service { cap, ..service.clone() };
        if !has_older {
            service.feed.retain(|time| *time == 5_000);
        }
        let (end, walk) = walk(&service, slice(4_000, 6_000), 20, &mut 0, 100);
        assert_eq!((end, walk.fetched.records.len()), (Step::Complete, 60));
    }
}

fn too_large() -> FetchError {
    FetchError::TooLarge {
        address: String::new(),
        problem: String::new(),
    }
}

#[test]
fn a_page_that_is_too_large_is_asked_for_in_halves_down_to_one_record() {
    let part = slice(0, 1_000);
    let mut walk = SliceWalk::new(part, time_limits(part), 20, 100, PageOrder::NewestFirst);
    let sizes: Vec<u32> = std::iter::from_fn(|| {
        let step = walk.shrink_page(too_large());
        (step == Step::Fetch).then(|| walk.request().size.of(100))
    })
    .collect();
    assert_eq!(sizes, [50, 25, 12, 6, 3, 1]);
    assert_eq!(walk.shrink_page(too_large()), Step::Fail(too_large()));
}

#[test]
fn a_burst_of_large_records_fails_aloud_instead_of_asking_for_ever() {
    let part = slice(0, 1_000);
    let mut walk = SliceWalk::new(part, time_limits(part), 20, 4, PageOrder::NewestFirst);
    assert_eq!(walk.shrink_page(too_large()), Step::Fetch);
    let full = Page {
        records: vec![Ok(record(5, 1)), Ok(record(5, 2))],
        originals: Vec::new(),
        next: Next::Unknown,
        pages: None,
    };
    assert_eq!(walk.take(full, 0), Step::Fetch);
    assert_eq!(walk.request().size.of(4), 4);
    assert!(matches!(
        walk.shrink_page(too_large()),
        Step::Fail(FetchError::SameTime { count: 2, .. })
    ));
}

fn ids(records: &[Record]) -> Vec<usize> {
    let mut ids: Vec<_> = records.iter().map(|record| record.identity.key as usize).collect();
    ids.sort_unstable();
    ids
}

fn all_ids(service: &Service) -> Vec<usize> {
    (0..service.feed.len()).collect()
}

fn largest_burst(service: &Service) -> usize {
    let mut counts = BTreeMap::<i64, usize>::new();
    for time in &service.feed {
        *counts.entry(*time).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}
