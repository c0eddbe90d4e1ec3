//! Windows, ranges and slices by example, and slices against random loads.

use proptest::prelude::*;

use std::time::Duration;

use super::slice_plan::*;
use super::*;
use crate::test_support::bound::at_most;
use crate::test_support::random::cases;

fn at(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + milliseconds).unwrap()
}

fn plan(window: Window) -> SlicePlan {
    SlicePlan::new(window, 200, Duration::from_millis(2_500)).with_first_width()
}

/// A load of this many records, with unknown time.
fn load(records: usize) -> Load {
    Load {
        records,
        bytes: 0,
        took: None,
    }
}

#[test]
fn a_window_is_rounded_outwards_to_milliseconds() {
    let from = "2025-06-09T10:00:00.123456Z".parse().unwrap();
    let to = "2025-06-09T10:00:00.123456Z".parse().unwrap();
    let window = Window::new(from, to);
    assert_eq!(bound(window.from), "2025-06-09T10:00:00.123Z");
    assert_eq!(bound(window.to), "2025-06-09T10:00:00.124Z");
    // Also where nanoseconds since 1970 do not fit into 64 bits.
    for year in ["1500", "9998"] {
        let time: DateTime<Utc> = format!("{year}-06-09T10:00:00.123456789Z").parse().unwrap();
        let window = Window::new(time, time);
        assert_eq!(window.from.timestamp_subsec_nanos(), 123_000_000);
        assert_eq!(window.to - window.from, TimeDelta::milliseconds(1));
    }
}

#[test]
fn an_empty_window_is_still_asked_for_once() {
    let mut plan = plan(Window::new(at(0), at(0)));
    assert_eq!(plan.next_slice(None), Some(Slice { from: at(0), to: at(0) }));
    assert_eq!(plan.next_slice(None), None);
}

#[test]
fn slices_grow_while_they_are_empty_and_shrink_when_they_overflow() {
    let mut plan = plan(Window::new(at(0), at(86_400_000 * 365)));
    let first = plan.next_slice(None).unwrap();
    plan.completed(first, load(0));
    let second = plan.next_slice(None).unwrap();
    assert_eq!(second.width(), first.width() * GROWTH);
    plan.overflowed(second, second.to - TimeDelta::minutes(1), load(10_000));
    let again = plan.next_slice(None).unwrap();
    assert_eq!(
        (again.from, again.width()),
        (second.from, TimeDelta::milliseconds(11_670))
    );
    for _ in 0..10 {
        let quiet = plan.next_slice(None).unwrap();
        plan.completed(quiet, load(0));
        if quiet.to == second.to - TimeDelta::seconds(61) {
            assert_eq!(plan.next_slice(None).unwrap().width(), TimeDelta::milliseconds(11_670));
            return;
        }
    }
    panic!("no slice ends where much begins");
}

/// Returns how many of a day's slices are read in vain, because they hold more than 10 000 records.
fn overflows_of_a_day(held: impl Fn(Slice) -> (usize, DateTime<Utc>)) -> usize {
    let mut plan = plan(Window::new(at(0), at(86_400_000)));
    let mut overflows = 0;
    let mut round = at_most(100_000);
    while let Some(slice) = plan.next_slice(None) {
        round();
        let (records, oldest_read) = held(slice);
        if records > 10_000 && slice.is_divisible() {
            overflows += 1;
            plan.overflowed(slice, oldest_read, load(10_000));
        } else {
            plan.completed(slice, load(records));
        }
    }
    overflows
}

#[test]
fn slow_answers_make_slices_shorter_but_never_shorter_than_a_page() {
    // 10 records a second, 200 in a page.
    for (seconds_a_page, records) in [(0.0, 1_945), (0.1, 1_945), (0.5, 1_000), (1.0, 500), (10.0, 200)] {
        let mut plan = plan(Window::new(at(0), at(86_400_000)));
        let mut last = 0;
        for _ in 0..20 {
            let slice = plan.next_slice(None).unwrap();
            last = slice.width().num_seconds() as usize * 10;
            let took = Some(Duration::from_secs_f64(seconds_a_page * last as f64 / 200.0));
            plan.completed(slice, Load { took, ..load(last) });
        }
        assert!(last.abs_diff(records) <= 10, "{seconds_a_page} s: {last}");
    }
}

#[test]
fn slices_of_large_records_have_fewer_of_them_but_never_less_than_a_page() {
    for (bytes_a_record, records) in [(0, 1_945), (300, 1_750), (1_000, 570), (4_000, 190), (1_000_000, 190)] {
        let window = Window::new(at(0), at(86_400_000));
        let mut plan = plan(window).of_bytes(512 << 10);
        let mut last = 0;
        for _ in 0..20 {
            let slice = plan.next_slice(None).unwrap();
            last = slice.width().num_seconds() as usize * 10;
            let bytes = last * bytes_a_record;
            plan.completed(slice, Load { bytes, ..load(last) });
        }
        assert!(last.abs_diff(records) <= 10, "{bytes_a_record} bytes: {last}");
        assert!(plan.slice_bytes() >= last * bytes_a_record);
    }
}

#[test]
fn what_was_read_of_a_slice_that_held_too_much_is_not_returned_again() {
    let mut plan = plan(Window::new(at(0), at(86_400_000 * 30)));
    let first = plan.next_slice(None).unwrap();
    let from = first.to - TimeDelta::minutes(5);
    plan.read_above(first, from, load(3_000));
    let again = plan.next_slice(Some(from)).unwrap();
    // Not a slice of the same density: it costs little if there is too much again.
    assert_eq!(
        (again.from, again.width()),
        (first.from, (from - first.from) / DIVISION)
    );
    plan.completed(again, load(0));
    let rest = plan.next_slice(Some(from)).unwrap();
    assert_eq!((rest.from, rest.to, plan.position()), (again.to, from, Some(from)));
    plan.skip_to(first.to);
    assert_eq!(plan.next_slice(None).unwrap().from, first.to);
}

#[test]
fn an_answer_that_takes_its_time_to_say_nothing_does_not_shorten_slices() {
    let mut plan = plan(Window::new(at(0), at(86_400_000 * 30)));
    let first = plan.next_slice(None).unwrap();
    let took = Some(Duration::from_secs(50));
    plan.completed(first, Load { took, ..load(0) });
    assert_eq!(plan.next_slice(None).unwrap().width(), first.width() * GROWTH);
}

#[test]
fn what_was_too_wide_once_is_hardly_tried_again() {
    let mut plan = plan(Window::new(at(0), at(86_400_000 * 30)));
    let (mut refused, mut given) = (0, 0);
    let mut round = at_most(100_000);
    while let Some(slice) = plan.next_slice(None) {
        round();
        if slice.width() > TimeDelta::minutes(40) {
            refused += 1;
            plan.too_wide(slice, slice.width(), false);
        } else {
            given += 1;
            plan.completed(slice, load(0));
        }
    }
    assert!(given < 2_000 && refused < given / 8, "{refused} in vain, {given} not");
}

#[test]
fn what_holds_nothing_is_asked_for_in_slices_nearly_as_long_as_can_be() {
    for most in [TimeDelta::minutes(10), TimeDelta::minutes(40), TimeDelta::hours(7)] {
        let mut plan = plan(Window::new(at(0), at(86_400_000 * 30)));
        let (mut refused, mut given) = (0, 0);
        let mut round = at_most(100_000);
        while let Some(slice) = plan.next_slice(None) {
            round();
            if slice.width() > most {
                refused += 1;
                plan.too_wide(slice, slice.width(), false);
            } else {
                given += 1;
                plan.completed(slice, load(0));
            }
        }
        let least = TimeDelta::days(30).num_seconds() / most.num_seconds();
        // Each is looked at three times.
        assert!(
            given * 3 + refused < least * 4 + 20,
            "{most}: {refused} in vain, {given} not"
        );
    }
}

#[test]
fn little_is_read_in_vain_however_the_records_lie_and_in_whatever_order_they_come() {
    for per_second in [1, 30, 1_000] {
        let count = |slice: Slice| (slice.width().num_seconds() * per_second) as usize;
        let newest_first = |slice: Slice| (count(slice), slice.to - TimeDelta::seconds(10_000 / per_second));
        assert!(overflows_of_a_day(newest_first) <= 1, "{per_second} a second");
        let in_another_order = |slice: Slice| (count(slice), slice.from);
        assert!(overflows_of_a_day(in_another_order) <= 6, "{per_second} a second");
    }
    // A quiet day with so many records in one second that it needs a slice of its own.
    for burst in [at(1), at(6 * 3_600_000 - 1), at(50_000_123), at(86_400_000 - 1)] {
        let held = |slice: Slice| {
            if slice.from < burst && burst <= slice.to {
                (20_000, burst)
            } else {
                (0, slice.from)
            }
        };
        let overflows = overflows_of_a_day(held);
        assert!(overflows <= 8, "{overflows}");
    }
}

#[test]
fn the_window_of_a_run_never_leaves_a_hole_behind_the_last_record() {
    let (minute, day) = (TimeDelta::minutes(1), TimeDelta::days(1));
    let (now, last) = (at(0), at(-3_600_000));
    let window = |since, until, last| Range { since, until }.window(now, last, minute * 2, day);
    let asked = |from, to| ResolvedRange::Window(Window { from, to });
    assert_eq!(window(None, None, Some(last)), asked(last - minute * 2, now));
    assert_eq!(window(None, None, None), asked(now - day, now));
    assert_eq!(
        window(Some(now - day * 9), Some(last), Some(last)),
        asked(now - day * 9, last)
    );
    assert_eq!(window(Some(now - minute), None, None), asked(now - minute, now));
    let moved = ResolvedRange::StartMoved(Window {
        from: last - minute * 2,
        to: now,
    });
    assert_eq!(window(Some(now - minute), None, Some(last)), moved);
    assert_eq!(window(None, Some(now + day), Some(last)), asked(last - minute * 2, now));
    assert!(matches!(
        window(None, Some(last - day), Some(last)),
        ResolvedRange::Empty { .. }
    ));
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn slices_cover_the_window_without_a_hole(
        width in 0_i64..12 * 3_600_000,
        answers in prop::collection::vec((0_usize..20_000, 0_u8..4), 1..60),
    ) {
        let window = Window::new(at(0), at(width));
        let mut plan = plan(window);
        let mut answers = answers.into_iter().cycle();
        let mut covered = window.from;
        for _ in 0..200_000 {
            let Some(slice) = plan.next_slice(None) else { break };
            prop_assert_eq!(slice.from, covered);
            let (records, kind) = answers.next().unwrap();
            match kind {
                0 if slice.is_divisible() => plan.too_wide(slice, slice.width(), false),
                1 if slice.is_divisible() => plan.overflowed(slice, slice.from + slice.width() / 3, load(records)),
                _ => {
                    plan.completed(slice, load(records));
                    covered = slice.to;
                }
            }
        }
        prop_assert_eq!(covered, window.to);
    }
}
