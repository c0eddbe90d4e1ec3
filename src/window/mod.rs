//! Spans of time: the window of a run, and the slices in which it is walked from the past to now.
//!
//! Imports: nothing.

use std::time::Duration;

use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Services round bounds, and their ends may be inclusive or exclusive; each slice asks for this much of the one before.
const SEAM: TimeDelta = TimeDelta::seconds(1);

/// The first slice; a service that holds little in it is asked for longer ones at once.
const FIRST_WIDTH: TimeDelta = TimeDelta::hours(6);

/// No answer is worth more than this much emptiness at once.
const WIDEST: TimeDelta = TimeDelta::days(400);

/// A slice is not divided below this: what happened within it is fetched whole, however much it is.
const LEAST_WIDTH: TimeDelta = TimeDelta::seconds(1);

/// Records that a slice should bring at most: little enough to hold several of them in memory.
const MOST_TARGET_RECORDS: usize = 2_000;

/// Pages that a slice should bring: so many that its ends count for little, so few that slices which are fetched side
/// by side end at about the same time.
const TARGET_PAGES: usize = 10;

/// How much longer a slice may be than the one before it, so that one quiet night does not make the morning overflow.
const GROWTH: i32 = 8;

/// A service that could not answer for a slice takes its time to say so: the slices after it grow beyond half of its
/// length by this part at a time only.
const CAUTION: i32 = 16;

/// A span of time that a service is asked for; `from` is not after `to`, both in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The older end.
    pub from: DateTime<Utc>,
    /// The newer end.
    pub to: DateTime<Utc>,
}

impl Window {
    /// A window that holds both times: its ends are rounded outwards to whole milliseconds, which every service reads.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            from: floor_to_millisecond(from),
            to: ceil_to_millisecond(to),
        }
    }

    /// Whether the time lies in it, its ends included.
    pub fn contains(&self, time: DateTime<Utc>) -> bool {
        self.from <= time && time <= self.to
    }
}

/// Which span of time a run asks for: what is new, or a range that somebody gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Where to begin; else before the archive's last record.
    pub since: Option<DateTime<Utc>>,
    /// Where to end; else now.
    pub until: Option<DateTime<Utc>>,
}

/// The window of a run, and what had to be said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This window, as it was asked for.
    Window(Window),
    /// This window; the start that was asked for would have left a hole behind the last record.
    MovedBack(Window),
    /// Nothing: the range ends before it begins.
    Nothing {
        /// Where it would have begun.
        from: DateTime<Utc>,
        /// Where it ends.
        to: DateTime<Utc>,
    },
}

impl Range {
    /// The same range from `since` on, where that is before the ordinary window; else as it is.
    ///
    /// Unlike a start that somebody gave, this one cannot leave a hole, nor cut an empty archive's first window short.
    #[must_use]
    pub fn reaching_back(self, since: DateTime<Utc>, last: Option<DateTime<Utc>>, overlap: TimeDelta) -> Self {
        match last {
            Some(last) if since < last - overlap => Self {
                since: Some(since),
                ..self
            },
            _ => self,
        }
    }

    /// The window for an archive whose last record is at `last`; without one, it begins `lookback` before `now`.
    pub fn window(
        &self,
        now: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        overlap: TimeDelta,
        lookback: TimeDelta,
    ) -> Asked {
        let to = self.until.map_or(now, |until| until.min(now));
        let next = last.map_or(now - lookback, |last| last - overlap);
        let leaves_a_hole = matches!((self.since, last), (Some(since), Some(last)) if since > last);
        let from = if leaves_a_hole {
            next
        } else {
            self.since.unwrap_or(next)
        };
        match (from <= to, leaves_a_hole) {
            (true, false) => Asked::Window(Window::new(from, to)),
            (true, true) => Asked::MovedBack(Window::new(from, to)),
            (false, _) => Asked::Nothing { from, to },
        }
    }
}

/// Rounds down to a whole millisecond.
pub fn floor_to_millisecond(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::milliseconds(1)).unwrap_or(time)
}

/// Rounds up to a whole millisecond.
pub fn ceil_to_millisecond(time: DateTime<Utc>) -> DateTime<Utc> {
    let floor = floor_to_millisecond(time);
    if floor == time {
        time
    } else {
        floor + TimeDelta::milliseconds(1)
    }
}

/// The form in which every service takes a bound: RFC 3339, UTC, milliseconds.
pub fn bound(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A part of a window that is fetched whole before any of it is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The older end; the slice before ends here.
    pub from: DateTime<Utc>,
    /// The newer end.
    pub to: DateTime<Utc>,
}

impl Slice {
    /// What to ask the service for, so that nothing at the seam of two slices is left out.
    pub fn padded(&self) -> Window {
        Window {
            from: self.from - SEAM,
            to: self.to,
        }
    }

    /// Its length.
    pub fn width(&self) -> TimeDelta {
        self.to - self.from
    }

    /// Whether it can be divided, or is so short that it has to be fetched whole, however much it holds.
    pub fn is_divisible(&self) -> bool {
        self.width() > LEAST_WIDTH
    }

    /// Two slices in its place, the older one of about `width`; itself alone where that is the whole.
    pub fn split(&self, width: TimeDelta) -> (Slice, Option<Slice>) {
        let middle = floor_to_millisecond(self.from + width.max(LEAST_WIDTH));
        if middle >= self.to {
            return (*self, None);
        }
        (
            Slice {
                from: self.from,
                to: middle,
            },
            Some(Slice {
                from: middle,
                to: self.to,
            }),
        )
    }
}

/// What a slice, or the part of it that was read, turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many records.
    pub records: usize,
    /// How long they took to fetch, if that says something of how long others will take.
    pub took: Option<Duration>,
}

/// Divides a window into slices that follow each other without a hole, oldest first; how long they are follows from
/// how many records the ones before held, and how long these took to fetch.
#[derive(Clone, Debug)]
pub struct SlicePlan {
    rest: Option<Slice>,
    end: DateTime<Utc>,
    width: TimeDelta,
    page_size: usize,
    target_records: usize,
    target_time: Duration,
    /// What is known to be dense in what is still to be given out, the nearest last.
    dense: Vec<Dense>,
    /// No slice is longer, since the service could not answer for one.
    widest: TimeDelta,
}

/// A part that is known to hold much, because a slice with it overflowed.
#[derive(Clone, Copy, Debug)]
struct Dense {
    /// Where it begins.
    from: DateTime<Utc>,
    /// How long a slice of it may be.
    width: TimeDelta,
}

impl SlicePlan {
    /// A plan for the whole of `window`, of a service that gives so many records in a page; no slice should take longer
    /// than `target_time`.
    pub fn new(window: Window, page_size: u32, target_time: Duration) -> Self {
        let page_size = (page_size as usize).clamp(1, MOST_TARGET_RECORDS);
        Self {
            rest: Some(Slice {
                from: window.from,
                to: window.to,
            }),
            end: window.to,
            width: FIRST_WIDTH,
            page_size,
            target_records: (page_size * TARGET_PAGES).min(MOST_TARGET_RECORDS),
            target_time,
            dense: Vec::new(),
            widest: WIDEST,
        }
    }

    /// The slice to ask for next; `None` when the whole window was given out.
    pub fn next_slice(&mut self) -> Option<Slice> {
        let rest = self.rest?;
        let (slice, rest) = rest.split(self.width_at(rest.from));
        self.rest = rest;
        Some(slice)
    }

    /// The length of a slice that begins here: it does not reach from a quiet part into a dense one.
    fn width_at(&mut self, from: DateTime<Utc>) -> TimeDelta {
        while let Some(dense) = self.dense.pop_if(|dense| dense.from <= from) {
            self.width = self.width.min(dense.width);
        }
        match self.dense.last() {
            Some(dense) => self.width.min(dense.from - from),
            None => self.width,
        }
    }

    /// A slice came back whole: fit the length of the next ones to what it held.
    ///
    /// Several may come back before one of the new length was seen: they do not lengthen it one after the other.
    pub fn completed(&mut self, slice: Slice, load: Load) {
        let longest = self.width.max(slice.width() * GROWTH);
        self.widest = (self.widest + self.widest / CAUTION).min(WIDEST);
        self.width = self
            .fitting(slice.width(), load)
            .clamp(LEAST_WIDTH, longest.min(self.widest));
    }

    /// A slice held too much: at least this load lies between its newer end and `oldest`. It is given out again, in
    /// shorter slices, and so is everything behind it.
    pub fn overflowed(&mut self, slice: Slice, oldest: DateTime<Utc>, load: Load) {
        let width = self.fitting(slice.to - oldest, load).max(LEAST_WIDTH);
        // Nothing is known of what lies before it: as dense as the rest, or quiet.
        let from = floor_to_millisecond(oldest) - LEAST_WIDTH;
        self.dense.push(Dense { from, width });
        self.again_from(slice, width);
    }

    /// The service could not answer for a slice of this length. It is given out again, and everything behind it.
    pub fn too_wide(&mut self, slice: Slice) {
        self.widest = (slice.width() / 2).max(LEAST_WIDTH);
        self.again_from(slice, slice.width());
    }

    fn again_from(&mut self, slice: Slice, width: TimeDelta) {
        self.width = width.min(slice.width() / 2).max(LEAST_WIDTH);
        self.rest = Some(Slice {
            from: slice.from,
            to: self.end,
        });
    }

    /// The length in which, at the same density, the wanted number of records would lie.
    fn fitting(&self, width: TimeDelta, load: Load) -> TimeDelta {
        let factor = self.wanted_records(load) / load.records.max(1) as f64;
        let milliseconds = width.num_milliseconds() as f64 * factor;
        TimeDelta::milliseconds(milliseconds.min(WIDEST.num_milliseconds() as f64) as i64)
    }

    /// As many records as can be fetched in time at the pace of this load. A page takes what it takes: to ask for less
    /// than one would only make more requests.
    fn wanted_records(&self, load: Load) -> f64 {
        let most = self.target_records as f64;
        let Some(took) = load.took else { return most };
        let in_time = load.records as f64 * self.target_time.as_secs_f64() / took.as_secs_f64();
        // Where it took no time this is infinite, or no number at all.
        in_time.max(self.page_size as f64).min(most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + milliseconds).unwrap()
    }

    fn plan(window: Window) -> SlicePlan {
        SlicePlan::new(window, 200, Duration::from_millis(2_500))
    }

    /// So many records, of which nobody knows how long they took.
    fn load(records: usize) -> Load {
        Load { records, took: None }
    }

    #[test]
    fn a_window_is_rounded_outwards_to_milliseconds() {
        let from = "2025-06-09T10:00:00.123456Z".parse().unwrap();
        let to = "2025-06-09T10:00:00.123456Z".parse().unwrap();
        let window = Window::new(from, to);
        assert_eq!(bound(window.from), "2025-06-09T10:00:00.123Z");
        assert_eq!(bound(window.to), "2025-06-09T10:00:00.124Z");
    }

    #[test]
    fn an_empty_window_is_still_asked_for_once() {
        let mut plan = plan(Window::new(at(0), at(0)));
        assert_eq!(plan.next_slice(), Some(Slice { from: at(0), to: at(0) }));
        assert_eq!(plan.next_slice(), None);
    }

    #[test]
    fn slices_grow_while_they_are_empty_and_shrink_when_they_overflow() {
        let mut plan = plan(Window::new(at(0), at(86_400_000 * 365)));
        let first = plan.next_slice().unwrap();
        plan.completed(first, load(0));
        let second = plan.next_slice().unwrap();
        assert_eq!(second.width(), first.width() * GROWTH);
        plan.overflowed(second, second.to - TimeDelta::minutes(1), load(10_000));
        let again = plan.next_slice().unwrap();
        assert_eq!((again.from, again.width()), (second.from, TimeDelta::seconds(12)));
        for _ in 0..10 {
            let quiet = plan.next_slice().unwrap();
            plan.completed(quiet, load(0));
            if quiet.to == second.to - TimeDelta::seconds(61) {
                assert_eq!(plan.next_slice().unwrap().width(), TimeDelta::seconds(12));
                return;
            }
        }
        panic!("no slice ends where much begins");
    }

    /// How many of a day's slices are read in vain, because they turn out to hold more than 10 000 records.
    fn overflows_of_a_day(held: impl Fn(Slice) -> (usize, DateTime<Utc>)) -> usize {
        let mut plan = plan(Window::new(at(0), at(86_400_000)));
        let mut overflows = 0;
        while let Some(slice) = plan.next_slice() {
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
        for (seconds_a_page, records) in [(0.0, 2_000), (0.1, 2_000), (0.5, 1_000), (1.0, 500), (10.0, 200)] {
            let mut plan = plan(Window::new(at(0), at(86_400_000)));
            let mut last = 0;
            for _ in 0..20 {
                let slice = plan.next_slice().unwrap();
                last = slice.width().num_seconds() as usize * 10;
                let took = Some(Duration::from_secs_f64(seconds_a_page * last as f64 / 200.0));
                plan.completed(slice, Load { records: last, took });
            }
            assert!(last.abs_diff(records) <= 10, "{seconds_a_page} s: {last}");
        }
    }

    #[test]
    fn an_answer_that_takes_its_time_to_say_nothing_does_not_shorten_slices() {
        let mut plan = plan(Window::new(at(0), at(86_400_000 * 30)));
        let first = plan.next_slice().unwrap();
        let took = Some(Duration::from_secs(50));
        plan.completed(first, Load { records: 0, took });
        assert_eq!(plan.next_slice().unwrap().width(), first.width() * GROWTH);
    }

    #[test]
    fn what_was_too_wide_once_is_hardly_tried_again() {
        let mut plan = plan(Window::new(at(0), at(86_400_000 * 30)));
        let (mut refused, mut given) = (0, 0);
        while let Some(slice) = plan.next_slice() {
            if slice.width() > TimeDelta::minutes(40) {
                refused += 1;
                plan.too_wide(slice);
            } else {
                given += 1;
                plan.completed(slice, load(0));
            }
        }
        assert!(given < 2_000 && refused < given / 8, "{refused} in vain, {given} not");
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
        // A quiet day with so many records in one second that it has to be fetched by itself.
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
        let asked = |from, to| Asked::Window(Window { from, to });
        assert_eq!(window(None, None, Some(last)), asked(last - minute * 2, now));
        assert_eq!(window(None, None, None), asked(now - day, now));
        assert_eq!(
            window(Some(now - day * 9), Some(last), Some(last)),
            asked(now - day * 9, last)
        );
        assert_eq!(window(Some(now - minute), None, None), asked(now - minute, now));
        let moved = Asked::MovedBack(Window {
            from: last - minute * 2,
            to: now,
        });
        assert_eq!(window(Some(now - minute), None, Some(last)), moved);
        assert_eq!(window(None, Some(now + day), Some(last)), asked(last - minute * 2, now));
        assert!(matches!(
            window(None, Some(last - day), Some(last)),
            Asked::Nothing { .. }
        ));
    }

    #[test]
    fn reaching_back_makes_a_window_longer_and_never_shorter() {
        let (minute, day) = (TimeDelta::minutes(1), TimeDelta::days(1));
        let (now, last) = (at(0), at(-3_600_000));
        let window = |since, last| {
            let range = Range::default().reaching_back(since, last, minute * 2);
            range.window(now, last, minute * 2, day)
        };
        let asked = |from| Asked::Window(Window { from, to: now });
        assert_eq!(window(now - day, Some(last)), asked(now - day));
        assert_eq!(window(now - minute, Some(last)), asked(last - minute * 2));
        assert_eq!(window(now - minute, None), asked(now - day));
    }

    proptest! {
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
                let Some(slice) = plan.next_slice() else { break };
                prop_assert_eq!(slice.from, covered);
                let (records, kind) = answers.next().unwrap();
                match kind {
                    0 if slice.is_divisible() => plan.too_wide(slice),
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
}
