//! A window divided into slices, each fetched whole before any of it is filed; how long they are follows from what the
//! ones before it held.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Window, floor_to_millisecond};

/// Services round bounds, and their ends may be inclusive or exclusive; each slice asks for this much of the one before.
const SEAM: TimeDelta = TimeDelta::seconds(1);

/// The first slice; a service that holds little in it is asked for longer ones at once.
pub(super) const FIRST_WIDTH: TimeDelta = TimeDelta::hours(6);

/// No answer is worth more than this much emptiness at once.
pub(super) const WIDEST: TimeDelta = TimeDelta::days(400);

/// A slice is not divided below this: what happened within it is fetched whole, however much it is.
pub(super) const LEAST_WIDTH: TimeDelta = TimeDelta::seconds(1);

/// Records that a slice should bring at most: little enough to hold several of them in memory.
const MOST_TARGET_RECORDS: usize = 2_000;

/// Pages that a slice should bring: so many that its ends count for little, so few that slices which are fetched side
/// by side end at about the same time.
pub(super) const TARGET_PAGES: usize = 10;

/// How much longer a slice may be than the one before it, so that one quiet night does not make the morning overflow.
pub(super) const GROWTH: i32 = 8;

/// A service that could not answer for a slice takes its time to say so: the slices after it grow beyond half of its
/// length by this part at a time only.
pub(super) const CAUTION: i32 = 16;

/// A part of a window that is fetched whole before any of it is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The older end; the slice before ends here.
    pub(crate) from: DateTime<Utc>,
    /// The newer end.
    pub(crate) to: DateTime<Utc>,
}

impl Slice {
    /// What to ask the service for, so that nothing at the seam of two slices is left out.
    pub(crate) fn padded(&self) -> Window {
        Window {
            from: self.from - SEAM,
            to: self.to,
        }
    }

    /// Its length.
    pub(crate) fn width(&self) -> TimeDelta {
        self.to - self.from
    }

    /// Whether it can be divided, or is so short that it has to be fetched whole, however much it holds.
    pub(crate) fn is_divisible(&self) -> bool {
        self.width() > LEAST_WIDTH
    }

    /// Two slices in its place, the older one of about `width`; itself alone where that is the whole.
    pub(crate) fn split(&self, width: TimeDelta) -> (Slice, Option<Slice>) {
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
pub(crate) struct Load {
    /// How many records.
    pub(crate) records: usize,
    /// How long they took to fetch, if that says something of how long others will take.
    pub(crate) took: Option<Duration>,
}

/// Divides a window into slices that follow each other without a hole, oldest first; how long they are follows from
/// how many records the ones before held, and how long these took to fetch.
#[derive(Clone, Debug)]
pub(crate) struct SlicePlan {
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
    pub(crate) fn new(window: Window, page_size: u32, target_time: Duration) -> Self {
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
    pub(crate) fn next_slice(&mut self) -> Option<Slice> {
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
    pub(crate) fn completed(&mut self, slice: Slice, load: Load) {
        let longest = self.width.max(slice.width() * GROWTH);
        self.widest = (self.widest + self.widest / CAUTION).min(WIDEST);
        self.width = self
            .fitting(slice.width(), load)
            .clamp(LEAST_WIDTH, longest.min(self.widest));
    }

    /// A slice held too much: at least this load lies between its newer end and `oldest`. It is given out again, in
    /// shorter slices, and so is everything behind it.
    pub(crate) fn overflowed(&mut self, slice: Slice, oldest: DateTime<Utc>, load: Load) {
        let width = self.fitting(slice.to - oldest, load).max(LEAST_WIDTH);
        // Nothing is known of what lies before it: as dense as the rest, or quiet.
        let from = floor_to_millisecond(oldest) - LEAST_WIDTH;
        self.dense.push(Dense { from, width });
        self.again_from(slice, width);
    }

    /// The service could not answer for a slice of this length. It is given out again, and everything behind it.
    pub(crate) fn too_wide(&mut self, slice: Slice) {
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
