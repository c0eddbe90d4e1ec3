//! What a topic takes, as far as its refusals have taught it, and which lines it will never take.
//!
//! A broker refuses whole batches. Kafka 2.4 and later names the lines that it has something against, and librdkafka then gives
//! all others `InvalidDifferentRecord`; else it is found out with smaller batches.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use rdkafka::types::RDKafkaErrorCode;

use super::verdict::{LINE_CODES, SIZE_CODES, is_about_lines};
use crate::forward::batch::{Batch, Line};
use crate::forward::sink::SinkError;
use crate::forward::undelivered::Undelivered;

/// The largest batch that a producer makes by default, in bytes.
const LARGEST_BATCH: usize = 1_000_000;

/// Why a line is undelivered that is larger than a message may be.
pub(super) const TOO_LARGE: &str = "too large for Kafka";

/// What is known of a topic.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The largest batch, in bytes.
    batch_bytes: usize,
    /// Whether each line has a request to itself, so that a refusal is about it alone.
    is_singly: bool,
    /// Lines of this time and later, which are ahead of the clock, have the time of the broker.
    latest: Option<DateTime<Utc>>,
    /// Lines of this time and earlier have the time of the broker.
    earliest: Option<DateTime<Utc>>,
    /// Lines that have the time of the broker.
    untimed: BTreeSet<(NaiveDate, u64)>,
    /// Lines that will never be taken, with the reason.
    refused: BTreeMap<(NaiveDate, u64), String>,
    /// Whether a line was taken.
    has_accepted: bool,
    /// When the run began.
    now: DateTime<Utc>,
}

/// What has to be done before lines are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Nothing.
    Lines,
    /// Create another producer, with other batches.
    Batches,
}

fn place(line: &Line) -> (NaiveDate, u64) {
    (line.day, line.offset)
}

impl Limits {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            batch_bytes: LARGEST_BATCH,
            is_singly: false,
            latest: None,
            earliest: None,
            untimed: BTreeSet::new(),
            refused: BTreeMap::new(),
            has_accepted: false,
            now,
        }
    }

    /// Keeps what is known, for another run.
    #[must_use]
    pub(super) fn at(self, now: DateTime<Utc>) -> Self {
        Self {
            untimed: BTreeSet::new(),
            refused: BTreeMap::new(),
            now,
            ..self
        }
    }

    /// Returns the properties of the producer that make no larger batches; none if nothing was refused.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'static str, String)> {
        let bytes = (self.batch_bytes < LARGEST_BATCH).then(|| ("batch.size", self.batch_bytes.to_string()));
        // One line after the other: what comes behind a refused one is not sent.
        let singly = ["batch.num.messages", "max.in.flight.requests.per.connection"].map(|name| (name, "1".to_owned()));
        bytes.into_iter().chain(singly.into_iter().filter(|_| self.is_singly))
    }

    /// Whether a line is sent with the time of the broker.
    pub(super) fn is_untimed(&self, line: &Line) -> bool {
        self.latest
            .is_some_and(|latest| line.time >= latest && line.time > self.now)
            || self.earliest.is_some_and(|earliest| line.time <= earliest)
            || self.untimed.contains(&place(line))
    }

    /// Whether a line will never be taken.
    pub(super) fn is_refused(&self, line: &Line) -> bool {
        self.refused.contains_key(&place(line))
    }

    /// Returns why a line will never be taken.
    pub(super) fn refusal(&self, line: &Line) -> Option<&str> {
        self.refused.get(&place(line)).map(String::as_str)
    }

    /// Notes a line that will never be taken.
    pub(super) fn refuse(&mut self, line: &Line, reason: impl Into<String>) {
        self.refused.insert(place(line), reason.into());
    }

    /// Notes that lines were taken.
    pub(super) fn accept_some(&mut self) {
        self.has_accepted = true;
    }

    /// Whether each line has a request to itself.
    pub(super) fn is_singly(&self) -> bool {
        self.is_singly
    }

    /// Lets batches be the usual ones again; returns whether they were not, so that another producer is needed.
    pub(super) fn end_singly(&mut self) -> bool {
        std::mem::take(&mut self.is_singly)
    }

    /// Writes those of these lines to the undelivered file that will never be taken.
    pub(super) fn keep_refused(
        &self,
        batch: &Batch,
        lines: &[Line],
        undelivered_file: &mut Undelivered,
    ) -> Result<(), SinkError> {
        if self.refused.is_empty() {
            return Ok(());
        }
        for line in lines {
            if let Some(reason) = self.refused.get(&place(line)) {
                undelivered_file.add(batch, line, reason)?;
            }
        }
        Ok(())
    }

    /// Learns from failures, each with its line.
    ///
    /// # Errors
    /// If it cannot be told whether the lines are to blame: the code says what was the matter.
    pub(super) fn learn(&mut self, failures: &[(&Line, RDKafkaErrorCode)]) -> Result<Lesson, RDKafkaErrorCode> {
        let are_named = failures
            .iter()
            .any(|(_, code)| *code == RDKafkaErrorCode::InvalidDifferentRecord);
        let about = |codes: &[RDKafkaErrorCode]| -> Vec<(&Line, RDKafkaErrorCode)> {
            let about = failures.iter().filter(|(_, code)| codes.contains(code));
            about.copied().collect()
        };
        let too_large = about(&SIZE_CODES);
        if !too_large.is_empty() {
            return Ok(self.learn_sizes(&too_large));
        }
        let of_time = about(&[RDKafkaErrorCode::InvalidTimestamp]);
        let of_time = of_time
            .iter()
            .map(|(line, _)| *line)
            .filter(|line| !self.is_untimed(line));
        let of_time: Vec<_> = of_time.collect();
        if !of_time.is_empty() {
            self.learn_times(&of_time);
            return Ok(Lesson::Lines);
        }
        let refused = failures.iter().filter(|(_, code)| is_about_lines(*code));
        let refused: Vec<_> = refused.copied().collect();
        if !are_named && !self.is_singly && refused.len() > 1 {
            self.is_singly = true;
            return Ok(Lesson::Batches);
        }
        // Several in a row were taken with the time of the broker: it is the time that the broker has against all of them.
        if self.is_singly && self.untimed.len() >= 3 && refused.iter().all(|(line, _)| !self.is_untimed(line)) {
            let lines: Vec<_> = failures.iter().map(|(line, _)| *line).collect();
            self.learn_times(&lines);
            return Ok(Lesson::Lines);
        }
        for (line, code) in refused {
            // The broker names the lines, but not always what it has against them: it can be the time.
            if code == RDKafkaErrorCode::InvalidRecord && self.untimed.insert(place(line)) {
                continue;
            }
            if !LINE_CODES.contains(&code) && !self.has_accepted {
                return Err(code);
            }
            self.refuse(line, format!("Kafka refused it: {code}"));
        }
        Ok(Lesson::Lines)
    }

    fn learn_sizes(&mut self, refused: &[(&Line, RDKafkaErrorCode)]) -> Lesson {
        let sizes = refused.iter().map(|(line, _)| line.range.len());
        let are_alone = refused.len() == 1 || self.is_singly || sizes.clone().all(|size| size >= self.batch_bytes);
        if are_alone {
            for (line, _) in refused {
                self.refuse(line, TOO_LARGE);
            }
            return Lesson::Lines;
        }
        self.batch_bytes = (self.batch_bytes.min(sizes.sum()) / 2).max(1);
        tracing::info!(
            bytes = self.batch_bytes,
            "the topic takes no larger batches: making smaller ones"
        );
        Lesson::Batches
    }

    /// Times ahead of the clock are the first to be blamed: that is what brokers refuse by default.
    fn learn_times(&mut self, refused: &[&Line]) {
        let ahead = refused
            .iter()
            .map(|line| line.time)
            .filter(|time| *time > self.now)
            .min();
        match ahead {
            Some(time) => self.latest = Some(self.latest.map_or(time, |latest| latest.min(time))),
            None => self.earliest = self.earliest.max(refused.iter().map(|line| line.time).max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::{InvalidTimestamp, MessageSizeTooLarge, PolicyViolation};

    const IDENTITY: crate::record::Identity = crate::record::Identity { content: 0, mark: 0 };

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn line(offset: u64, at: &str) -> Line {
        Line {
            range: 0..100,
            copy: None,
            day: time(at).date_naive(),
            offset,
            time: time(at),
            identity: IDENTITY,
            id: None,
        }
    }

    #[test]
    fn batches_are_halved_until_a_line_is_refused_alone() {
        let mut limits = Limits::new(time("2025-06-09T12:00:00Z"));
        let lines: Vec<_> = (0..30)
            .map(|number| line(number * 100, "2025-06-09T10:00:00Z"))
            .collect();
        let refused =
            |count: usize| -> Vec<_> { lines[..count].iter().map(|line| (line, MessageSizeTooLarge)).collect() };
        for bytes in [1_500, 750] {
            assert_eq!(limits.learn(&refused(30)), Ok(Lesson::Batches));
            assert_eq!(limits.properties().next(), Some(("batch.size", bytes.to_string())));
        }
        assert_eq!(limits.learn(&refused(1)), Ok(Lesson::Lines));
        assert!(limits.is_refused(&lines[0]) && !limits.is_refused(&lines[1]));
    }

    #[test]
    fn refused_times_are_those_ahead_of_the_clock_and_else_those_of_the_past() {
        let mut limits = Limits::new(time("2025-06-09T12:00:00Z"));
        let (old, late, ahead) = (
            line(0, "2020-06-09T10:00:00Z"),
            line(1, "2025-06-09T10:00:00Z"),
            line(2, "2025-06-09T15:00:00Z"),
        );
        let all = [&old, &late, &ahead].map(|line| (line, InvalidTimestamp));
        assert_eq!(limits.learn(&all), Ok(Lesson::Lines));
        assert_eq!(
            [&old, &late, &ahead].map(|line| limits.is_untimed(line)),
            [false, false, true]
        );
        assert_eq!(limits.learn(&all[..1]), Ok(Lesson::Lines));
        assert_eq!(
            [&old, &late, &ahead].map(|line| limits.is_untimed(line)),
            [true, false, true]
        );
        // With the time of the broker too.
        assert_eq!(limits.learn(&all[..1]), Ok(Lesson::Lines));
        assert!(limits.is_refused(&old) && !limits.is_refused(&late));
    }

    #[test]
    fn what_can_be_about_anything_is_about_a_line_only_if_others_were_taken() {
        let mut limits = Limits::new(time("2025-06-09T12:00:00Z"));
        let (one, two) = (line(0, "2025-06-09T10:00:00Z"), line(1, "2025-06-09T10:00:00Z"));
        let both = [(&one, PolicyViolation), (&two, PolicyViolation)];
        assert_eq!(limits.learn(&both), Ok(Lesson::Batches));
        assert_eq!(limits.properties().next(), Some(("batch.num.messages", "1".to_owned())));
        assert_eq!(limits.learn(&both[..1]), Err(PolicyViolation));
        limits.accept_some();
        assert_eq!(limits.learn(&both[..1]), Ok(Lesson::Lines));
        assert!(limits.is_refused(&one) && !limits.is_refused(&two));
    }
}
