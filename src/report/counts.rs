//! What day files hold, in figures.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Utc};

use super::fields::Fields;
use super::texts::Texts;

/// The classes of delays: how much newer a record before it is. The last class is unbounded.
const DELAYS: [(TimeDelta, &str); 6] = [
    (TimeDelta::minutes(1), "up to a minute"),
    (TimeDelta::minutes(10), "up to 10 minutes"),
    (TimeDelta::hours(1), "up to an hour"),
    (TimeDelta::hours(6), "up to 6 hours"),
    (TimeDelta::days(1), "up to a day"),
    (TimeDelta::MAX, "longer"),
];

/// The figures of one day file, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    /// Number of records of each UTC day, whose file another program may have named after another.
    pub(crate) days: BTreeMap<NaiveDate, u64>,
    /// Number of records in each hour, UTC, of each weekday from Monday.
    pub(crate) week: [[u64; 24]; 7],
    /// How often each event type occurs.
    pub(crate) events: Texts,
    /// How often each actor occurs.
    pub(crate) actors: Texts,
    /// How often each event type failed, and with which word.
    pub(crate) failures: Texts,
    /// How often each network address occurs.
    pub(crate) addresses: Texts,
    /// The times of the first and the last record.
    pub(crate) span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Number of lines that are not records.
    pub(crate) unreadable: u64,
    delays: [u64; DELAYS.len()],
}

/// Whether the figures may hold what names people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum People {
    /// Users and addresses are counted.
    Named,
    /// They are not.
    LeftOut,
}

/// Records after newer ones in their day file, by delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    /// The delay, in words.
    pub(crate) label: &'static str,
    pub(crate) records: u64,
}

impl Counts {
    /// Adds a record; `newest` is the newest time before it in its file.
    pub(super) fn add(&mut self, fields: Fields, people: People, newest: &mut Option<DateTime<Utc>>) {
        let time = fields.time;
        self.records += 1;
        *self.days.entry(time.date_naive()).or_default() += 1;
        self.week[time.weekday().num_days_from_monday() as usize][time.hour() as usize] += 1;
        if let Some(word) = fields.failure {
            let event = fields.event.as_deref().unwrap_or("without an event type");
            self.failures.add(Some(format!("{event}: {word}")));
        }
        self.events.add(fields.event);
        if people == People::Named {
            self.actors.add(fields.actor);
            self.addresses.add(fields.address);
        }
        self.span = union(self.span, Some((time, time)));
        if let Some(newest) = newest.filter(|newest| *newest > time) {
            let class = DELAYS.iter().position(|(most, _)| newest - time <= *most);
            self.delays[class.unwrap_or(DELAYS.len() - 1)] += 1;
        }
        *newest = (*newest).max(Some(time));
    }

    /// Adds the figures of another file.
    pub(super) fn merge(&mut self, other: Counts) {
        self.records += other.records;
        let cells = self.week.iter_mut().flatten();
        cells
            .zip(other.week.iter().flatten())
            .for_each(|(sum, more)| *sum += more);
        self.events.merge(other.events);
        self.actors.merge(other.actors);
        self.failures.merge(other.failures);
        self.addresses.merge(other.addresses);
        self.span = union(self.span, other.span);
        self.unreadable += other.unreadable;
        self.delays
            .iter_mut()
            .zip(other.delays)
            .for_each(|(sum, more)| *sum += more);
    }

    /// Returns the number of records after newer ones in their file, which surely came later than those.
    pub(crate) fn delays(&self) -> Vec<Delay> {
        let classes = DELAYS.iter().zip(self.delays);
        classes.map(|((_, label), records)| Delay { label, records }).collect()
    }
}

type Span = (DateTime<Utc>, DateTime<Utc>);

fn union(one: Option<Span>, other: Option<Span>) -> Option<Span> {
    match (one, other) {
        (Some((first, last)), Some(other)) => Some((first.min(other.0), last.max(other.1))),
        (one, other) => one.or(other),
    }
}
