//! The feed: which records a service has, when each of them happened, and when it comes, changes and goes.

use proptest::prelude::*;

/// How many times a patient reader runs.
pub(crate) const RUNS: usize = 3;

/// How many milliseconds lie between two runs.
pub(crate) const BETWEEN_RUNS: i64 = 300_000;

/// How long before the first run the newest record happened that is there from the start, in milliseconds.
const NEWEST: i64 = 30_000;

/// Which records a service has.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// What is there from the start: milliseconds back to a burst, and how many records of one time it has.
    pub(crate) bursts: Vec<(i64, usize)>,
    /// What comes later.
    pub(crate) arrivals: Vec<Arrival>,
}

/// Records that come later.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Moment,
    pub(crate) count: usize,
    /// How long before its run the first of them happened, in milliseconds.
    pub(crate) age: i64,
}

/// A moment of the reading: which run, and which request of it. What does not happen in its run happens before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) run: usize,
    pub(crate) request: usize,
}

/// A record, times in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Counted from 0 within the service.
    pub(crate) number: usize,
    /// The time that it shows.
    pub(crate) shown_at: i64,
    /// The time by which the service sorts and filters it.
    pub(crate) filed_at: i64,
    pub(crate) comes: Moment,
    pub(crate) goes: Moment,
    pub(crate) changes: Moment,
    /// How many bytes of padding it has.
    pub(crate) padding: usize,
    pub(crate) damage: Option<Damage>,
    /// Whether a patient reader gets it for certain.
    pub(crate) is_due: bool,
}

/// What is wrong with the JSON of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    BrokenUtf8,
    ControlCharacter,
    NotANumber,
    /// A quote that is not escaped: where the record ends cannot be told.
    BareQuote,
    /// A bracket that does not fit: the same.
    WrongBracket,
    /// A bracket behind it, as if the list ended there.
    StrayBracket,
}

impl Moment {
    pub(crate) const START: Moment = Moment { run: 0, request: 0 };
    pub(crate) const NEVER: Moment = Moment {
        run: usize::MAX,
        request: 0,
    };
}

impl Record {
    /// Whether the service has it by then.
    pub(crate) fn is_there(&self, now: Moment) -> bool {
        self.comes <= now && now < self.goes
    }
}

impl Feed {
    /// So many records, so many milliseconds apart.
    pub(crate) fn even(count: usize, apart: i64) -> Self {
        Self {
            bursts: vec![(apart, 1); count],
            arrivals: Vec::new(),
        }
    }

    /// Its records, where the first run begins at `now`, with times in steps of `grain` milliseconds.
    pub(crate) fn records(&self, now: i64, grain: i64) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        let mut push = |time: i64, comes: Moment, is_due: bool| {
            let time = time.div_euclid(grain) * grain;
            records.push(Record {
                number: records.len(),
                shown_at: time,
                filed_at: time,
                comes,
                goes: Moment::NEVER,
                changes: Moment::NEVER,
                padding: 0,
                damage: None,
                is_due,
            });
        };
        let mut time = now - NEWEST;
        for (gap, count) in &self.bursts {
            time -= gap;
            (0..*count).for_each(|_| push(time, Moment::START, true));
        }
        for arrival in &self.arrivals {
            let run_at = now + arrival.at.run as i64 * BETWEEN_RUNS;
            // An ordinary run asks two minutes back; who comes later than that is for `reconcile`.
            let is_between_runs = arrival.at.run > 0 && arrival.at.request == 0;
            let is_due = arrival.age < 100_000 + if is_between_runs { BETWEEN_RUNS } else { 0 };
            (0..arrival.count).for_each(|n| push(run_at - arrival.age + n as i64 * 7, arrival.at, is_due));
        }
        records
    }

    /// How many records it has.
    pub(crate) fn len(&self) -> usize {
        let bursts = self.bursts.iter().map(|(_, count)| count).sum::<usize>();
        bursts + self.arrivals.iter().map(|arrival| arrival.count).sum::<usize>()
    }
}

/// Any feed: quiet hours, busy seconds, and bursts of one time; new records come while it is read.
pub(crate) fn feed() -> impl Strategy<Value = Feed> {
    let gap = prop_oneof![
        2 => 0..3_i64,
        3 => 20..1_500_i64,
        2 => 1_000..60_000_i64,
        1 => 60_000..600_000_i64,
        1 => 3_600_000..40_000_000_i64,
    ];
    let burst = prop_oneof![8 => 1..4_usize, 3 => 5..30_usize, 1 => 40..130_usize];
    let bursts = prop::collection::vec((gap, burst), 1..80);
    (bursts, arrivals(0..5_000)).prop_map(|(bursts, arrivals)| Feed { bursts, arrivals })
}

/// Records that come while the first two runs read, so long after they happened.
pub(crate) fn arrivals(ages: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = (0..RUNS - 1, 1..12_usize, 1..8_usize, ages);
    let arrival = arrival.prop_map(|(run, request, count, age)| Arrival {
        at: Moment { run, request },
        count,
        // None of them happens in the future.
        age: age.max(count as i64 * 7),
    });
    prop::collection::vec(arrival, 0..3)
}
