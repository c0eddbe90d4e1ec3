//! Which spans the runs before this one asked for: when to reconcile again, and since when a record is known to be late.
//!
//! Nothing is lost with this state: without it the next run reconciles, and late records are measured less closely.

use std::io;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Archive;
use super::durable_appender::WriteError;
use super::state_file::StateFile;
use crate::fs::FileError;

/// More than the file ever holds; a longer one is damaged.
const LARGEST_FILE: u64 = 1 << 20;

/// The name of the file behind the stream's base name.
const FILE: &str = "runs.json";

/// How many runs are remembered; of more, every second one of the older half is merged into the one after it.
const MOST_RUNS: usize = 256;

/// The runs that asked for everything up to the time at which they began, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    #[serde(serialize_with = "write_time_or_null", deserialize_with = "read_time_or_null")]
    reconciled: Option<DateTime<Utc>>,
    runs: Vec<CompletedRun>,
}

/// A run that asked for everything from `from` up to the time at which it began, and got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedRun {
    /// When it began.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub at: DateTime<Utc>,
    /// Where its window began.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub from: DateTime<Utc>,
    /// The archive's last record when it began; an ordinary window begins the overlap before it.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub last: DateTime<Utc>,
}

impl Runs {
    /// Whether it is time to reconcile: never done, or `every` ago, or noted by a clock that was ahead of this one.
    pub fn is_due(&self, now: DateTime<Utc>, every: TimeDelta) -> bool {
        self.reconciled.is_none_or(|done| done > now || now - done >= every)
    }

    /// Remembers a run that is complete; one that reached back `reach` or further has reconciled.
    pub fn note(&mut self, run: CompletedRun, reach: TimeDelta) {
        if run.from <= run.at - reach {
            self.reconciled = Some(run.at);
        }
        // Runs of a clock that was ahead of this one say nothing that can be relied on.
        self.runs.retain(|earlier| earlier.at < run.at);
        self.runs.push(run);
        // What an earlier run covered, and this one does too, this one covered last.
        while let [.., before, newest] = self.runs[..]
            && before.from >= newest.from
        {
            self.merge(self.runs.len() - 2);
        }
        if self.runs.len() > MOST_RUNS {
            (0..MOST_RUNS / 4).for_each(|index| self.merge(index));
        }
    }

    /// The least overlap that could have brought a record of this time: the next run after the last one that covered its
    /// time in vain would have had to ask so far behind `last`, the archive's last record then.
    ///
    /// `last` is taken where there was no run since. `None` if no run is known to have covered that time.
    pub fn least_overlap(&self, time: DateTime<Utc>, last: DateTime<Utc>) -> Option<TimeDelta> {
        let missed = self.runs.iter().rposition(|run| run.from <= time && time <= run.at)?;
        let next_last = self.runs.get(missed + 1).map_or(last, |next| next.last);
        Some((next_last - time).max(TimeDelta::zero()))
    }

    /// Forgets a run; the one after it then counts as the next one, by the lower of their last records, so that
    /// [`Runs::least_overlap`] never says too much.
    fn merge(&mut self, index: usize) {
        let forgotten = self.runs.remove(index);
        if let Some(next) = self.runs.get_mut(index) {
            next.last = next.last.min(forgotten.last);
        }
    }
}

impl Archive {
    /// The runs before this one. A state file that is missing or damaged is an empty one.
    pub fn runs(&self) -> Runs {
        match read(&self.location.state(FILE)) {
            Ok(runs) => runs,
            Err(error) => {
                tracing::warn!("{error}: going on without it, which loses nothing");
                Runs::default()
            }
        }
    }

    /// Puts the state file in the place of the one before, at once or not at all; a dry run leaves it as it is.
    ///
    /// # Errors
    /// If it cannot be written; the archive is complete all the same.
    pub fn keep_runs(&mut self, runs: &Runs) -> Result<(), WriteError> {
        let path = self.location.state_file("runs.json");
        let text = serde_json::to_string(runs).map_err(|error| FileError::io("write", &path, error.into()))?;
        Ok(self.appender.replace(&path, format!("{text}\n").as_bytes())?)
    }
}

fn read(file: &StateFile) -> Result<Runs, FileError> {
    let Some(text) = file.read_text(LARGEST_FILE)? else {
        return Ok(Runs::default());
    };
    serde_json::from_str(&text).map_err(|error| FileError::io("read", file.path(), io::Error::from(error)))
}

fn write_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true).serialize(serializer)
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn write_time_or_null<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .serialize(serializer)
}

fn read_time_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(29_000_000 + minutes)
    }

    fn run(at_minute: i64, from: i64, last: i64) -> CompletedRun {
        CompletedRun {
            at: at(at_minute),
            from: at(from),
            last: at(last),
        }
    }

    fn runs(noted: &[CompletedRun]) -> Runs {
        let mut runs = Runs::default();
        noted.iter().for_each(|run| runs.note(*run, HOUR * 36));
        runs
    }

    #[test]
    fn reconciling_is_due_when_it_was_never_done_or_long_ago_or_by_a_clock_that_was_ahead() {
        let every = HOUR * 24;
        assert!(runs(&[]).is_due(at(0), every));
        assert!(runs(&[run(0, -10, -8)]).is_due(at(1), every), "a short run is none");
        let done = runs(&[run(0, -36 * 60, -5)]);
        assert!(!done.is_due(at(0), every));
        assert!(!done.is_due(at(24 * 60 - 1), every));
        assert!(done.is_due(at(24 * 60), every));
        assert!(done.is_due(at(-1), every));
    }

    #[test]
    fn the_least_overlap_is_that_of_the_next_run_after_the_last_one_that_covered_the_time() {
        let runs = runs(&[run(10, -2, 0), run(20, 7, 9), run(30, 17, 19)]);
        let least = |time| runs.least_overlap(at(time), at(29)).map(|least| least.num_minutes());
        assert_eq!(least(-3), None, "no run covered it");
        assert_eq!(
            least(5),
            Some(4),
            "the run at 10 did, and the one at 20 asked from 9 minus the overlap"
        );
        assert_eq!(least(8), Some(11));
        assert_eq!(least(18), Some(11), "no run since the one at 30: this one decides");
        assert_eq!(least(31), None);
    }

    #[test]
    fn a_run_that_covers_what_another_did_takes_its_place() {
        let noted = runs(&[run(10, 0, 2), run(11, 0, 2), run(12, -50, 2)]);
        assert_eq!(noted.runs, [run(12, -50, 2)]);
        let back = runs(&[run(10, 0, 2), run(5, 1, 2)]);
        assert_eq!(back.runs, [run(5, 1, 2)], "the clock went back");
    }

    #[test]
    fn the_file_form_is_read_back_and_no_damage_is_more_than_an_empty_state() {
        let runs = runs(&[run(10, -36 * 60, 0), run(20, 7, 9)]);
        let text = serde_json::to_string(&runs).unwrap();
        assert!(text.starts_with(r#"{"reconciled":"2025-02-"#), "{text}");
        assert_eq!(serde_json::from_str::<Runs>(&text).unwrap(), runs);
        for cut in 0..text.len() {
            assert!(serde_json::from_str::<Runs>(&text[..cut]).is_err());
        }
    }

    proptest! {
        /// However many runs were merged, what is said stays at or below what all of them would say.
        #[test]
        fn merging_never_says_that_more_overlap_was_needed(
            steps in prop::collection::vec((1_i64..30, 0_i64..40), 1..900),
            times in prop::collection::vec(0_i64..20_000, 20),
        ) {
            let (mut now, mut last, mut all) = (0, 0, Vec::new());
            let mut noted = Runs::default();
            for (pause, step) in steps {
                now += pause;
                let run = run(now, last - 2, last);
                last = (last + step).min(now);
                noted.note(run, HOUR * 36);
                all.push(run);
            }
            prop_assert!(noted.runs.len() <= MOST_RUNS);
            let all = Runs { reconciled: None, runs: all };
            for time in times {
                let (told, true_least) = (noted.least_overlap(at(time), at(last)), all.least_overlap(at(time), at(last)));
                prop_assert!(told.unwrap_or_default() <= true_least.unwrap_or_default(), "{told:?} {true_least:?}");
            }
        }
    }
}
