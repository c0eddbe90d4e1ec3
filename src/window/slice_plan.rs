//! Divides a window into slices, each fetched whole before any of it is filed; their length follows from what earlier
//! ones held.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Window, floor_to_millisecond};

/// The first slice of a window that one answer does not hold; if it holds little, longer ones follow at once.
pub(super) const FIRST_WIDTH: TimeDelta = TimeDelta::hours(6);

/// The longest slice, however quiet the service is.
pub(super) const WIDEST: TimeDelta = TimeDelta::days(400);

/// The shortest slice: it is fetched whole, however much it holds.
pub(super) const LEAST_WIDTH: TimeDelta = TimeDelta::seconds(1);

/// The most records that a slice should hold: few enough to keep several slices in memory.
const MOST_TARGET_RECORDS: usize = 2_000;

/// How many pages a slice should have: enough that its ends count for little, few enough that slices fetched
/// concurrently end at about the same time.
pub(super) const TARGET_PAGES: usize = 20;

/// The same where records come in no order, so that each page is read several times.
const TARGET_PAGES_WITHOUT_ORDER: usize = 10;

/// So many slices for each of those that are read at a time are many: a few more requests count for little.
const MANY: i32 = 4;

/// A page holds so much of the one before again: one record in so many, and one more.
const OVERLAP: usize = 50;

/// What the last page of a slice leaves free, as a part of it: a slice that is a little denser than the one before does not
/// begin another page, which would be nearly empty.
const FREE_PART: usize = 20;

/// How much longer a slice may be than the one before, so that one quiet night does not make the morning overflow.
pub(super) const GROWTH: i32 = 8;

/// A slice that was too wide is divided by this: each attempt costs time.
pub(super) const DIVISION: i32 = 8;

/// After so many refusals, the wait gets no longer.
const MOST_REFUSALS: u32 = 8;

/// After a refusal for what a slice held, so many slices should hold no more than others that were answered for.
const LIGHT: u32 = 8;

/// A part of a window that is fetched whole before any of it is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The older end; the slice before ends here.
    pub(crate) from: DateTime<Utc>,
    /// The newer end.
    pub(crate) to: DateTime<Utc>,
}

impl Slice {
    pub(crate) fn width(&self) -> TimeDelta {
        self.to - self.from
    }

    /// Returns whether it is long enough to look at first how much there is.
    pub(crate) fn is_long(&self) -> bool {
        self.width() > FIRST_WIDTH
    }

    /// Returns whether it can be divided; a shorter one has to be fetched whole, however much it holds.
    pub(crate) fn is_divisible(&self) -> bool {
        self.width() > LEAST_WIDTH
    }

    /// Splits it in two, the older part about `width` long; returns only itself if it is no longer than that.
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

/// What a slice, or the part of it that was read, held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) records: usize,
    /// How many bytes of memory they take; 0 if that is not known.
    pub(crate) bytes: usize,
    /// How long they took to fetch, if that says something about other slices.
    pub(crate) took: Option<Duration>,
}

/// Divides a window into slices without gaps, oldest first; their length follows from how many records earlier ones
/// held, and how long these took to fetch.
#[derive(Clone, Debug)]
pub(crate) struct SlicePlan {
    rest: Option<Slice>,
    end: DateTime<Utc>,
    width: TimeDelta,
    page_size: usize,
    /// How many pages a slice should have at most.
    most_pages: usize,
    target_records: usize,
    /// How many bytes a slice should hold: the whole pages that come nearest, and a page at least.
    target_bytes: Option<usize>,
    target_time: Duration,
    /// How many slices are read at a time.
    at_a_time: i32,
    /// Whether that pays for itself: many were left, and they hold records.
    has_many: bool,
    /// How many bytes a record of the last slices took, at most about; 0 if that is not known.
    record_bytes: usize,
    /// Dense parts of the rest, the nearest last.
    dense: Vec<Dense>,
    /// No slice is longer, because the service could not answer for one.
    widest: TimeDelta,
    /// How often in a row that was so, and for which length the last time.
    refusals: u32,
    refused: TimeDelta,
    /// How many slices were completed since.
    since_refusal: u32,
    /// The most records of a slice that was completed.
    most_records: usize,
    /// How many of the next slices should hold no more than that, since the service refused one for what it held.
    light: u32,
}

/// A part that holds much, because a slice with it overflowed.
#[derive(Clone, Copy, Debug)]
struct Dense {
    from: DateTime<Utc>,
    /// How long a slice of it may be.
    width: TimeDelta,
}

impl SlicePlan {
    /// Creates a plan for the whole of `window`, with `page_size` records in a page; no slice should take longer than
    /// `target_time`. The first slice is all of it.
    pub(crate) fn new(window: Window, page_size: u32, target_time: Duration) -> Self {
        let page_size = (page_size as usize).clamp(1, MOST_TARGET_RECORDS);
        let target_records = records_of(page_size, TARGET_PAGES);
        Self::with_target(window, page_size, target_records, target_time)
    }

    /// Has slices hold about as many bytes, once it is known how large records are.
    pub(crate) fn of_bytes(self, target_bytes: usize) -> Self {
        Self {
            target_bytes: Some(target_bytes),
            ..self
        }
    }

    /// Has slices hold less, for records that come in no order.
    pub(crate) fn without_order(self) -> Self {
        Self {
            most_pages: TARGET_PAGES_WITHOUT_ORDER,
            target_records: records_of(self.page_size, TARGET_PAGES_WITHOUT_ORDER),
            ..self
        }
    }

    /// Has so many slices read at a time end at about the same time.
    pub(crate) fn read_at_a_time(self, slices: usize) -> Self {
        let at_a_time = i32::try_from(slices).unwrap_or(i32::MAX);
        Self { at_a_time, ..self }
    }

    /// Returns how long a time holds this many records, if it is as dense as a completed slice.
    pub(crate) fn span_of(slice: Slice, load: Load, records: i32) -> TimeDelta {
        slice.width() / i32::try_from(load.records.max(1)).unwrap_or(i32::MAX) * records
    }

    /// Creates a plan whose slices should fit into one answer.
    pub(crate) fn of_single_pages(window: Window, page_size: u32, target_time: Duration) -> Self {
        let page_size = (page_size as usize / 2).clamp(1, MOST_TARGET_RECORDS);
        Self::with_target(window, page_size, page_size, target_time)
    }

    fn with_target(window: Window, page_size: usize, target_records: usize, target_time: Duration) -> Self {
        Self {
            rest: Some(Slice {
                from: window.from,
                to: window.to,
            }),
            end: window.to,
            width: WIDEST,
            page_size,
            most_pages: TARGET_PAGES,
            target_records,
            target_bytes: None,
            target_time,
            at_a_time: 1,
            has_many: false,
            record_bytes: 0,
            dense: Vec::new(),
            widest: WIDEST,
            refusals: 0,
            refused: WIDEST,
            since_refusal: 0,
            most_records: 0,
            light: 0,
        }
    }

    /// Begins as after a look at the whole window.
    #[cfg(test)]
    pub(super) fn with_first_width(self) -> Self {
        let width = FIRST_WIDTH;
        Self { width, ..self }
    }

    /// Returns the slice to ask for next, which ends before what is read already, at `before`; `None` at the end of the window.
    pub(crate) fn next_slice(&mut self, before: Option<DateTime<Utc>>) -> Option<Slice> {
        let rest = self.rest?;
        let width = self.width_at(rest.from);
        let width = self.share_of(rest, width);
        let (mut slice, _) = rest.split(width);
        slice.to = before.map_or(slice.to, |before| slice.to.min(before));
        self.skip_to(slice.to);
        Some(slice)
    }

    /// Returns the length of a slice such that what is left is enough for all that are read at a time: the last ones are shorter, down
    /// to a half.
    fn share_of(&self, rest: Slice, width: TimeDelta) -> TimeDelta {
        if !self.has_many {
            return width;
        }
        (rest.width() / self.at_a_time).max(self.width / 2).min(width)
    }

    /// Returns from when on slices are still to be asked for.
    pub(crate) fn position(&self) -> Option<DateTime<Utc>> {
        self.rest.map(|rest| rest.from)
    }

    /// Goes on behind what is read up to this time.
    pub(crate) fn skip_to(&mut self, from: DateTime<Utc>) {
        let to = self.end;
        self.rest = (from < to).then_some(Slice { from, to });
    }

    /// Returns the length of a slice that begins here; it does not reach from a quiet part into a dense one.
    fn width_at(&mut self, from: DateTime<Utc>) -> TimeDelta {
        while let Some(dense) = self.dense.pop_if(|dense| dense.from <= from) {
            self.width = self.width.min(dense.width);
        }
        match self.dense.last() {
            Some(dense) => self.width.min(dense.from - from),
            None => self.width,
        }
    }

    /// Adapts the length of the next slices to what a completed one held.
    ///
    /// Several may complete before one of the new length: they do not each lengthen it.
    pub(crate) fn completed(&mut self, slice: Slice, load: Load) {
        self.most_records = self.most_records.max(load.records);
        self.note_bytes(load);
        self.light = self.light.saturating_sub(1);
        let longest = self.width.max(slice.width() * GROWTH);
        self.widen(slice.width());
        let widest = if load.records == 0 {
            self.widest_of_nothing()
        } else {
            self.widest
        };
        self.width = self
            .width_for(slice.width(), load)
            .clamp(LEAST_WIDTH, longest.min(widest));
        self.note_many(load);
    }

    /// Returns whether what is left is worth dividing among all that are read at a time.
    pub(crate) fn has_many(&self) -> bool {
        self.has_many
    }

    /// Notes whether what is left is worth dividing among all that are read at a time.
    fn note_many(&mut self, load: Load) {
        let is_dense = load.records > self.page_size && self.at_a_time > 1;
        self.has_many = load.records > 0 && (self.has_many || is_dense && self.has_many_left());
    }

    /// Adapts the number of records of a slice to how large they are.
    fn note_bytes(&mut self, load: Load) {
        if load.records == 0 || load.bytes == 0 {
            return;
        }
        let record_bytes = (load.bytes / load.records).max(1);
        self.record_bytes = record_bytes.max(self.record_bytes / 2);
        if let Some(target_bytes) = self.target_bytes {
            let records = target_bytes / record_bytes;
            let most = records.clamp(self.page_size, self.page_size * self.most_pages);
            self.target_records = in_whole_pages(self.page_size, most);
        }
    }

    /// Returns how many bytes a slice should hold, by the records of the last ones; 0 if that is not known.
    pub(crate) fn slice_bytes(&self) -> usize {
        self.record_bytes.saturating_mul(self.target_records)
    }

    /// Returns whether the slices behind one with so many records hold some pages, even if these should have been longer.
    pub(crate) fn has_pages_behind(&self, records: usize) -> bool {
        records * GROWTH as usize >= 2 * self.page_size && self.has_many_left()
    }

    /// Returns whether there are many slices left for each of those that are read at a time.
    fn has_many_left(&self) -> bool {
        self.rest.is_some_and(|rest| self.holds_many(rest))
    }

    fn holds_many(&self, rest: Slice) -> bool {
        rest.width() / self.at_a_time / MANY > self.width
    }

    fn target_pages(&self) -> i32 {
        let pages = i32::try_from(self.target_records / self.page_size).unwrap_or(i32::MAX);
        pages.max(1)
    }

    /// Returns how many records a slice should hold, by how long it is.
    pub(crate) fn planned_records(&self, slice: Slice) -> usize {
        let (width, usual) = (slice.width().num_milliseconds(), self.width.num_milliseconds().max(1));
        let part = (width as f64 / usual as f64).min(1.0);
        (self.target_records as f64 * part) as usize
    }

    /// Handles a slice that held too much: at least this load, between its newer end and `oldest`. It is returned
    /// again, in shorter slices, and so is everything after it.
    pub(crate) fn overflowed(&mut self, slice: Slice, oldest: DateTime<Utc>, load: Load) {
        let width = self.width_for(slice.to - oldest, load).max(LEAST_WIDTH);
        // What lies before it is unknown: as dense as the rest, or quiet.
        let from = floor_to_millisecond(oldest) - LEAST_WIDTH;
        self.note_dense(Dense { from, width });
        self.again_from(slice, width);
    }

    /// Handles a slice that held too much, of which what is newer than `from`, this load, need not be read again: only the rest is
    /// returned again, and everything after it. Since nothing is lost by reading too much, longer slices are tried at once.
    pub(crate) fn read_above(&mut self, slice: Slice, from: DateTime<Utc>, load: Load) {
        let width = self.width_for(slice.to - from, load).max(LEAST_WIDTH);
        self.note_dense(Dense { from, width });
        let below = width.max((from - slice.from) / DIVISION);
        if self.position().is_some_and(|position| position < slice.from) {
            // Something is left before it.
            let width = below.min(slice.width() / 2).max(LEAST_WIDTH);
            self.note_dense(Dense {
                from: slice.from,
                width,
            });
        } else {
            self.again_from(slice, below);
        }
    }

    fn note_dense(&mut self, dense: Dense) {
        let place = self.dense.partition_point(|other| other.from > dense.from);
        self.dense.insert(place, dense);
    }

    /// Goes back to this time, if what is behind it was passed over.
    pub(crate) fn back_to(&mut self, from: DateTime<Utc>) {
        if self.position().is_none_or(|position| from < position) {
            self.skip_to(from);
        }
    }

    /// Handles the first slice, all of the window, of which only the newest records were read: this load, down to
    /// `oldest`. It is returned again in shorter slices.
    pub(crate) fn surveyed(&mut self, slice: Slice, oldest: DateTime<Utc>, load: Load) {
        self.overflowed(slice, oldest, load);
        if self.holds_many(slice) {
            // It is read alone: a page shows as much as all of them.
            self.width = self.width / self.target_pages();
        }
        self.width = self.width.max(FIRST_WIDTH).min(slice.width() / 2).max(LEAST_WIDTH);
    }

    /// Returns whether slices are as short as they are because the service could not answer for longer ones.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusals > 0
    }

    /// Goes back to a slice, and everything after it.
    pub(crate) fn again(&mut self, slice: Slice) {
        self.rest = Some(Slice {
            from: slice.from,
            to: self.end,
        });
    }

    /// Handles a slice for which the service could not answer, asked for with what is below it in a window of this width: for what it
    /// holds, if it has answered for as long ones. It is returned again, and everything after it.
    pub(crate) fn too_wide(&mut self, slice: Slice, asked: TimeDelta, is_by_load: bool) {
        self.widest = (slice.width() / DIVISION).max(LEAST_WIDTH);
        self.light = if is_by_load { LIGHT } else { 0 };
        self.refusals = if is_by_load {
            1
        } else {
            (self.refusals + 1).min(MOST_REFUSALS)
        };
        self.refused = asked;
        self.since_refusal = 0;
        self.again_from(slice, self.widest);
    }

    /// Lets slices grow back as quickly as they shrank. If the service refuses a width again and again, slices stay below
    /// it, and each attempt to go beyond waits twice as long as the one before.
    fn widen(&mut self, width: TimeDelta) {
        if width >= self.refused {
            self.refusals = 0;
        }
        self.since_refusal += 1;
        if self.refusals <= 1 || self.since_refusal > 1 << self.refusals {
            self.since_refusal = 0;
            self.widest = (self.widest * DIVISION).min(WIDEST);
        } else if self.widest * 2 < self.refused {
            self.widest = self.widest * 2;
        }
    }

    /// Returns how long a slice may be that is likely to hold nothing. It has nothing to join, and so does not reach further down than
    /// itself: it may come closer to what was refused.
    fn widest_of_nothing(&self) -> TimeDelta {
        if self.is_refused() {
            self.widest.max(self.refused * 3 / 4)
        } else {
            self.widest
        }
    }

    fn again_from(&mut self, slice: Slice, width: TimeDelta) {
        self.width = width.min(slice.width() / 2).max(LEAST_WIDTH);
        self.rest = Some(Slice {
            from: slice.from,
            to: self.end,
        });
    }

    /// Returns the length that holds the wanted number of records at the same density.
    fn width_for(&self, width: TimeDelta, load: Load) -> TimeDelta {
        let factor = self.wanted_records(load) / load.records.max(1) as f64;
        let milliseconds = width.num_milliseconds() as f64 * factor;
        TimeDelta::milliseconds(milliseconds.min(WIDEST.num_milliseconds() as f64) as i64)
    }

    /// Returns how many records can be fetched in time at the speed of this load. At least a page: asking for less
    /// would only make more requests.
    fn wanted_records(&self, load: Load) -> f64 {
        // A little less than the most that was answered for: how many it can be is not known.
        let answered = (self.most_records * 3 / 4).max(1);
        let is_less = self.light > 0 && answered < self.target_records;
        let most = if is_less { answered } else { self.target_records } as f64;
        let Some(took) = load.took else { return most };
        // A page takes its time, however little it has.
        let pages = load.records.div_ceil(self.page_size).max(1);
        let in_time = (pages * self.page_size) as f64 * self.target_time.as_secs_f64() / took.as_secs_f64();
        // If it took no time, this is infinite or NaN.
        in_time.max(self.page_size as f64).min(most)
    }
}

/// Returns how many records a slice of so many pages should hold, as long as it is not known how large they are.
fn records_of(page_size: usize, pages: usize) -> usize {
    in_whole_pages(page_size, (page_size * pages).min(MOST_TARGET_RECORDS))
}

/// Returns how many records fit into as many whole pages as these are about, each of which overlaps the one before.
fn in_whole_pages(page_size: usize, records: usize) -> usize {
    let pages = ((records + page_size / 2) / page_size).max(1);
    let overlaps = (pages - 1) * (page_size / OVERLAP + 1);
    // Of pages of a few records more than half are overlaps.
    (pages * page_size - overlaps - page_size / FREE_PART).max(records / 2)
}
