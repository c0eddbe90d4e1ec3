//! How many requests a run needs, so that one that asks for much more is ended: a service in trouble is not helped by a
//! storm of requests.

use chrono::TimeDelta;

use crate::record::digests::ShortDigests;
use crate::record::{Record, Rejected};

/// So many requests a run may make for each retry; for each answer that lacks what another holds, as long as these are few; and for
/// each walk after the first.
const FOR_A_RETRY: u64 = 1;
const FOR_A_LAPSE: u64 = 4;
const FOR_A_WALK: u64 = 8;

/// So many such answers, and one for so many that are needed, are few.
const FEW_LAPSES: u64 = 4;
const ANSWERS_FOR_A_LAPSE: u64 = 4;

/// An answer is counted in so many parts.
const PARTS: u64 = 1_000;

/// The records of so many usual pages are remembered, to know those that are read again, and no more than so many: they would not
/// fit in a processor's cache.
const REMEMBERED_PAGES: u64 = 50;
const MOST_REMEMBERED: u64 = 10_000;

/// The least records that a page is taken to have for that.
const FEWEST_OF_PAGE: u64 = 100;

/// How windows are read, of which the answers may contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    /// Until the answers prove that all of it was read.
    #[default]
    Proving,
    /// So too, and if that fails once more, as it is given: that is to take few requests.
    ProvingOnceMore,
    /// As it is given, with looks around each answer.
    AsGiven,
}

/// What a run has asked and been told so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct SoFar {
    pub(super) requests: u64,
    pub(super) retries: u64,
    /// How many answers lacked what others hold.
    pub(super) lapses: u64,
}

/// So many requests a run may make.
struct Rates {
    /// For each answer that its walks need.
    answer: u64,
    /// For each slice that the service wants as short, which is looked at three times where nothing is in it.
    short_slice: u64,
    besides: u64,
}

impl Reading {
    /// Returns how many requests there may be. A healthy walk takes up to two for each answer that it needs, with joins and looks at
    /// moments and empty pages: four times that is too much.
    fn rates(self) -> Rates {
        let (answer, short_slice, besides) = match self {
            Reading::Proving => (8, 4, 24),
            Reading::ProvingOnceMore => (4, 4, 12),
            Reading::AsGiven => (8, 8, 24),
        };
        Rates {
            answer,
            short_slice,
            besides,
        }
    }
}

/// What answers have brought.
#[derive(Debug, Default)]
pub(super) struct Effort {
    /// What parts of the answers were new, in thousandths of an answer; how many records in all, and the most of one answer, up to
    /// the usual size.
    new_parts: u64,
    records: u64,
    most_records: u64,
    usual_size: u64,
    /// Answers that did not come, or were too large.
    failures: u64,
    /// How many slices were read that are as short as they are because the service refused longer ones.
    short_slices: u64,
    /// How wide the window of the walk is, and the widest that was answered for, and not refused since.
    window: TimeDelta,
    widest: TimeDelta,
    /// How its windows are read.
    reading: Reading,
    /// How many requests there were before this walk.
    requests_before: u64,
    /// How many walks the run has begun, and how many answers and short slices those before this one needed.
    walks: u64,
    answers_before: u64,
    slices_before: u64,
    /// The content hashes of the last records: what is read again brings nothing new.
    recent: ShortDigests,
    /// What tells them apart in whatever version they come: one that differs in each answer is something new once.
    moments: ShortDigests,
}

impl Effort {
    /// Nothing so far, from a service whose pages usually have so many records.
    pub(super) fn new(usual_size: u32) -> Self {
        Self {
            usual_size: usual_size.into(),
            ..Self::default()
        }
    }

    /// Begins to count for another walk of the run, over a window of this width, after so many requests.
    pub(super) fn begin_walk(&mut self, window: TimeDelta, requests: u64) {
        *self = Self {
            usual_size: self.usual_size,
            window,
            requests_before: requests,
            reading: self.reading,
            failures: self.failures,
            walks: self.walks + 1,
            answers_before: self.answers(),
            slices_before: self.short_slices(),
            ..Self::default()
        };
    }

    /// Counts the records of an answer that no other had of late; returns for each whether it is one.
    pub(super) fn note_answer(&mut self, records: &[Result<Record, Rejected>]) -> Vec<bool> {
        let most_recent = (REMEMBERED_PAGES * self.usual_size.max(FEWEST_OF_PAGE)).min(MOST_REMEMBERED);
        if self.recent.len() as u64 > most_recent {
            self.recent.clear();
            self.moments.clear();
        }
        let is_new = |item: &Result<Record, Rejected>| {
            self.recent.insert(short(match item {
                Ok(record) => record.identity.content,
                Err(rejected) => rejected.content,
            }))
        };
        let are_new: Vec<bool> = records.iter().map(is_new).collect();
        let moments = records.iter().map(|item| match item {
            Ok(record) => record.moment(),
            Err(rejected) => rejected.content,
        });
        let new = moments.filter(|moment| self.moments.insert(short(*moment))).count();
        self.new_parts += (PARTS * new as u64).div_ceil(records.len().max(1) as u64);
        self.records += new as u64;
        self.most_records = self.most_records.max(self.usual_size.min(records.len() as u64));
        are_new
    }

    /// Returns whether an answer had a record of this content of late.
    pub(super) fn has_seen(&self, content: u128) -> bool {
        self.recent.contains(&short(content))
    }

    /// Counts a request that was given up.
    pub(super) fn note_failure(&mut self) {
        self.failures += 1;
    }

    /// Counts a slice that is as short as it is because the service refused a longer one.
    pub(super) fn note_short_slice(&mut self) {
        self.short_slices += 1;
    }

    /// Notes the widest span that was answered for, and not refused since.
    pub(super) fn note_widest(&mut self, width: TimeDelta) {
        self.widest = width;
    }

    /// Returns how many answers the walks of the run need for what was read: as many as the new parts of answers make up,
    /// but no more than twice as many as would be if all were as large as the largest.
    pub(super) fn answers(&self) -> u64 {
        let at_least = self.records.div_ceil(self.most_records.max(1));
        self.answers_before + self.new_parts.div_ceil(PARTS).min(2 * at_least)
    }

    /// Returns how many short slices they need: those that were read, but no more than twice as many as would be if all were as
    /// wide as the widest that was answered for.
    fn short_slices(&self) -> u64 {
        let widest = self.widest.num_milliseconds().max(1);
        let slices = u64::try_from(self.window.num_milliseconds() / widest + 1).unwrap_or(0);
        self.slices_before + self.short_slices.min(2 * slices)
    }

    /// Returns how many requests this walk has made, of so many in all.
    pub(super) fn requests_of_walk(&self, in_all: u64) -> u64 {
        in_all.saturating_sub(self.requests_before)
    }

    /// Saves requests for another reading of what the walks of the run read.
    pub(super) fn expect_another_reading(&mut self) {
        self.reading = Reading::ProvingOnceMore;
    }

    /// Begins to count for a reading of what answers give, however they contradict each other.
    pub(super) fn begin_as_given(&mut self, window: TimeDelta, requests: u64) {
        self.reading = Reading::AsGiven;
        self.begin_walk(window, requests);
    }

    /// Returns whether one more request is within what the run may need.
    pub(super) fn allows(&self, so_far: SoFar) -> bool {
        let Rates {
            answer,
            short_slice,
            besides,
        } = self.reading.rates();
        let needed = answer * self.answers() + short_slice * self.short_slices();
        let walks = FOR_A_WALK * self.walks.saturating_sub(1);
        let lapses = so_far.lapses.min(FEW_LAPSES + self.answers() / ANSWERS_FOR_A_LAPSE);
        let repeated = FOR_A_RETRY * (so_far.retries + self.failures) + FOR_A_LAPSE * lapses;
        so_far.requests < besides + needed + walks + repeated
    }
}

/// Returns half of a hash: of some thousand records that are remembered none is taken for another.
fn short(hash: u128) -> u64 {
    hash as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    fn after(requests: u64) -> SoFar {
        SoFar {
            requests,
            retries: 0,
            lapses: 0,
        }
    }

    fn record(version: u64) -> Result<Record, Rejected> {
        let tfc = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let text =
            format!(r#"{{"id":"ae-1","timestamp":"2025-06-09T10:00:00Z","type":"Resource","version":"{version}"}}"#);
        Ok(Record::read(&text, &tfc.shape).unwrap())
    }

    #[test]
    fn a_record_that_differs_in_each_answer_is_no_reason_to_ask_without_end() {
        let mut effort = Effort::new(100);
        effort.begin_walk(TimeDelta::hours(1), 0);
        let mut requests = 0;
        while effort.allows(after(requests)) {
            // It was given, all the same.
            assert_eq!(effort.note_answer(&[record(requests)]), [true]);
            requests += 1;
            assert!(requests < 1_000, "{effort:?}");
        }
    }

    /// An answer of these records, each in the version of its number.
    fn answer(numbers: std::ops::Range<u64>) -> Vec<Result<Record, Rejected>> {
        let tfc = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let text = |number| format!(r#"{{"id":"ae-{number}","timestamp":"2025-06-09T10:00:00Z","type":"Resource"}}"#);
        numbers
            .map(|number| Ok(Record::read(&text(number), &tfc.shape).unwrap()))
            .collect()
    }

    /// How many requests are allowed after a walk for each of these, which had an answer for each of its ranges.
    fn allowed(walks: &[Vec<std::ops::Range<u64>>], begin_last: impl Fn(&mut Effort)) -> u64 {
        let mut effort = Effort::new(100);
        for (index, answers) in walks.iter().enumerate() {
            effort.begin_walk(TimeDelta::hours(1), 0);
            if index + 1 == walks.len() {
                begin_last(&mut effort);
            }
            for numbers in answers {
                effort.note_answer(&answer(numbers.clone()));
            }
        }
        (0..10_000)
            .find(|requests| !effort.allows(after(*requests)))
            .expect("there is an end")
    }

    #[test]
    fn a_run_may_ask_four_times_as_often_as_its_walks_do_at_most_however_many_walks_it_takes() {
        let pages =
            |numbers: std::ops::Range<u64>| numbers.map(|page| page * 100..page * 100 + 100).collect::<Vec<_>>();
        let none = |_: &mut Effort| ();
        assert_eq!(allowed(&[pages(0..50)], none), 24 + 8 * 50);
        assert_eq!(allowed(&[pages(0..30), pages(30..50)], none), 24 + FOR_A_WALK + 8 * 50);
        // Answers of which little is new need no more than what is new of them.
        let overlapping: Vec<_> = (0..50).map(|answer| answer..answer + 100).collect();
        assert_eq!(allowed(&[overlapping], none), 24 + 8 * 2);
    }

    #[test]
    fn of_two_readings_of_one_window_the_first_takes_half() {
        let pages: Vec<_> = (0..50).map(|page| page * 100..page * 100 + 100).collect();
        let once = allowed(std::slice::from_ref(&pages), |_| ());
        assert_eq!(
            allowed(std::slice::from_ref(&pages), Effort::expect_another_reading),
            once / 2
        );
        let as_given = |effort: &mut Effort| effort.begin_as_given(TimeDelta::hours(1), 0);
        assert_eq!(
            allowed(&[pages.clone(), pages], as_given),
            once + 2 * FOR_A_WALK + 8 * 50
        );
    }
}
