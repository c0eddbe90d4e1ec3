//! The records of a service, sorted by time, and the window that a request selects.

use std::borrow::Cow;
use std::ops::{Bound, Range};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::behavior::{Sequence, StreamOptions};
use super::event::Event;
use super::generate::Generator;
use super::minted_token::MintedToken;
use super::random::SplitMix;

/// The text of a record.
#[derive(Clone)]
enum Text {
    Given(Arc<Event>),
    /// Generated from its number when needed: a million records take 32 MB instead of a gigabyte.
    Made(u64),
}

/// A record in the feed.
#[derive(Clone)]
struct Entry {
    time: DateTime<Utc>,
    text: Text,
}

impl Entry {
    /// Returns a key that looks random and does not change when other records come or go.
    fn shuffle_key(&self) -> u64 {
        let id = match &self.text {
            Text::Given(event) => event
                .id
                .bytes()
                .fold(0_u64, |id, byte| id.wrapping_mul(31) ^ u64::from(byte)),
            Text::Made(number) => *number,
        };
        SplitMix::new(id ^ self.time.timestamp_micros().unsigned_abs()).next()
    }
}

/// The records of one service, oldest first.
pub(super) struct Feed {
    entries: Vec<Entry>,
    generator: Option<Generator>,
}

impl Feed {
    /// Creates a feed of exactly these records.
    pub(super) fn given(events: Vec<Event>) -> Self {
        let mut feed = Self {
            entries: Vec::new(),
            generator: None,
        };
        feed.add(events);
        feed
    }

    /// Creates a feed of `count` generated records up to `now`.
    pub(super) fn generated(mut generator: Generator, count: usize, now: DateTime<Utc>) -> Self {
        let made = generator.history(count, now);
        let mut entries: Vec<_> = made
            .into_iter()
            .map(|(time, number)| Entry {
                time,
                text: Text::Made(number),
            })
            .collect();
        entries.sort_by_key(|entry| entry.time);
        Self {
            entries,
            generator: Some(generator),
        }
    }

    /// Adds the generated records that are due by `now`.
    pub(super) fn advance(&mut self, now: DateTime<Utc>) {
        let Some(generator) = &mut self.generator else { return };
        while let Some((time, number)) = generator.arrival(now) {
            let index = self.entries.partition_point(|entry| entry.time <= time);
            self.entries.insert(
                index,
                Entry {
                    time,
                    text: Text::Made(number),
                },
            );
        }
    }

    /// Adds records of any time; of two with one time the later added counts as newer.
    pub(super) fn add(&mut self, events: Vec<Event>) {
        self.entries.extend(events.into_iter().map(|event| Entry {
            time: event.time,
            text: Text::Given(event.into()),
        }));
        self.entries.sort_by_key(|entry| entry.time);
    }

    /// Drops the `count` oldest records.
    pub(super) fn drop_oldest(&mut self, count: usize) {
        self.entries.drain(..count.min(self.entries.len()));
    }

    /// Returns every record, oldest first.
    pub(super) fn events(&self) -> Vec<Event> {
        self.entries.iter().map(|entry| self.event(entry)).collect()
    }

    /// Returns the records between two bounds.
    pub(super) fn window(&self, from: Bound<DateTime<Utc>>, to: Bound<DateTime<Utc>>) -> Selection<'_> {
        let start = match from {
            Bound::Included(from) => self.entries.partition_point(|entry| entry.time < from),
            Bound::Excluded(from) => self.entries.partition_point(|entry| entry.time <= from),
            Bound::Unbounded => 0,
        };
        let end = match to {
            Bound::Included(to) => self.entries.partition_point(|entry| entry.time <= to),
            Bound::Excluded(to) => self.entries.partition_point(|entry| entry.time < to),
            Bound::Unbounded => self.entries.len(),
        };
        Selection {
            feed: self,
            rows: Rows::All(start..end.max(start)),
        }
    }

    fn text<'a>(&'a self, entry: &'a Entry) -> Cow<'a, str> {
        match &entry.text {
            Text::Given(event) => Cow::Borrowed(&event.text),
            Text::Made(_) => Cow::Owned(self.event(entry).text),
        }
    }

    fn event(&self, entry: &Entry) -> Event {
        match (&entry.text, &self.generator) {
            (Text::Given(event), _) => Event::clone(event),
            (Text::Made(number), Some(generator)) => generator.event(entry.time, *number),
            (Text::Made(number), None) => Event::new(entry.time, number.to_string(), "null"),
        }
    }
}

/// What a service answers from: its records, its behavior, the time.
pub(super) struct View<'a> {
    /// The records, expired ones included.
    pub(super) feed: &'a Feed,
    pub(super) options: &'a StreamOptions,
    /// The token that it has minted, if any.
    pub(super) minted: &'a MintedToken,
    /// The time of the request.
    pub(super) now: DateTime<Utc>,
    /// What is newer than this is not there yet: a replica that lags answers.
    pub(super) known_to: Option<DateTime<Utc>>,
}

impl View<'_> {
    /// Returns the records between two bounds that are not past retention; the options say whether each bound is
    /// included.
    pub(super) fn select(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Selection<'_> {
        let to = [to, self.known_to].into_iter().flatten().min();
        let bound = |included| if included { Bound::Included } else { Bound::Excluded };
        let asked = from.map_or(Bound::Unbounded, bound(self.options.includes_from));
        let kept = self.options.retention.map(|retention| self.now - retention);
        let lower = match (kept, from) {
            (Some(kept), Some(from)) if from >= kept => asked,
            (Some(kept), _) => Bound::Included(kept),
            (None, _) => asked,
        };
        self.feed
            .window(lower, to.map_or(Bound::Unbounded, bound(self.options.includes_to)))
    }

    /// Whether the window is wider than the service can answer in time.
    pub(super) fn is_too_wide(&self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> bool {
        let oldest = from.unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        self.options
            .widest_window
            .is_some_and(|widest| to.unwrap_or(self.now) - oldest > widest)
    }
}

/// Which records of a feed a request selects, by index.
enum Rows {
    All(Range<usize>),
    Picked(Vec<usize>),
}

/// The records that a request selects.
pub(super) struct Selection<'a> {
    feed: &'a Feed,
    rows: Rows,
}

impl Selection<'_> {
    /// Keeps only the records whose text passes.
    pub(super) fn filter(mut self, passes: impl Fn(&str) -> bool) -> Self {
        let Rows::All(range) = &self.rows else { return self };
        let picked = range
            .clone()
            .filter(|&row| passes(&self.feed.text(&self.feed.entries[row])));
        self.rows = Rows::Picked(picked.collect());
        self
    }

    /// Returns the number of records.
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::All(range) => range.len(),
            Rows::Picked(rows) => rows.len(),
        }
    }

    /// Returns at most `take` records after the `skip` newest ones, newest first.
    pub(super) fn newest(&self, skip: usize, take: usize) -> Vec<Cow<'_, str>> {
        let end = self.len().saturating_sub(skip);
        let start = end.saturating_sub(take);
        (start..end)
            .rev()
            .map(|index| self.feed.text(&self.feed.entries[self.row(index)]))
            .collect()
    }

    /// Returns at most `take` records after the first `skip` ones, in this sequence.
    pub(super) fn page(&self, sequence: Sequence, skip: usize, take: usize) -> Vec<Cow<'_, str>> {
        let mut indexes: Vec<usize> = (0..self.len()).collect();
        match sequence {
            Sequence::NewestFirst => return self.newest(skip, take),
            Sequence::OldestFirst => {}
            Sequence::Shuffled => indexes.sort_by_key(|&index| self.feed.entries[self.row(index)].shuffle_key()),
        }
        let indexes = indexes.into_iter().skip(skip).take(take);
        indexes
            .map(|index| self.feed.text(&self.feed.entries[self.row(index)]))
            .collect()
    }

    fn row(&self, index: usize) -> usize {
        match &self.rows {
            Rows::All(range) => range.start + index,
            Rows::Picked(rows) => rows[index],
        }
    }
}

/// Returns the inside of a JSON array of these records, in this order or shuffled, without white space.
pub(super) fn array(mut records: Vec<Cow<'_, str>>, unsorted: bool) -> String {
    if unsorted {
        let mut random = SplitMix::new(records.len() as u64);
        for index in (1..records.len()).rev() {
            records.swap(index, random.below(index as u64 + 1) as usize);
        }
    }
    records.join(",")
}
