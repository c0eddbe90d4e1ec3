//! What a bundle has of one stream.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Serialize, Serializer};

use super::completeness::Completeness;
use super::proofs::ProofCounts;
use crate::config::StreamPlace;
use crate::coverage::Scope;
use crate::source::Kind;
use crate::window::Window;

/// What a bundle has of one stream. `docs/json.md` says what the fields are.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    #[serde(rename = "stream", serialize_with = "name")]
    pub(super) kind: &'static Kind,
    pub(super) file: String,
    pub(super) records: u64,
    pub(super) repaired: u64,
    /// Lines of the files searched that are no records.
    pub(super) not_records: u64,
    pub(super) first_record: Option<DateTime<Utc>>,
    pub(super) last_record: Option<DateTime<Utc>>,
    pub(super) is_complete: bool,
    /// What was to be read, and could not be.
    pub(super) not_read: Vec<String>,
    #[serde(flatten)]
    pub(super) completeness: Completeness,
    #[serde(serialize_with = "days")]
    pub(super) days: BTreeMap<NaiveDate, u64>,
    pub(super) sources: Vec<Source>,
    /// How many records are proved; `None` if there are no proofs.
    pub(super) proofs: Option<ProofCounts>,
    /// How many lines were read of the files of each day, but for those that are blank.
    #[serde(skip)]
    lines: BTreeMap<NaiveDate, u64>,
    /// Why it is not known how complete it is.
    #[serde(skip)]
    unknown: Option<String>,
}

/// A file that was searched.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) file: String,
    /// How much of it was searched, as it is stored.
    pub(super) bytes: u64,
    /// Of these bytes.
    pub(super) sha256: String,
}

#[derive(Serialize)]
struct Day {
    date: NaiveDate,
    records: u64,
}

fn name<S: Serializer>(kind: &&'static Kind, serializer: S) -> Result<S::Ok, S::Error> {
    kind.name.serialize(serializer)
}

fn days<S: Serializer>(days: &BTreeMap<NaiveDate, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(days.iter().map(|(date, records)| Day {
        date: *date,
        records: *records,
    }))
}

impl Part {
    /// Begins that of a stream: reads how complete its archive is for a span of time, at `now`; whether that is its end because no other
    /// was asked for stands beside it.
    pub(crate) fn begin(place: &StreamPlace, scope: Option<&Scope>, span: (Window, bool), now: DateTime<Utc>) -> Self {
        let read = Completeness::read(place, scope, span, now);
        let unknown = read.as_ref().err().map(ToString::to_string);
        Self {
            kind: place.kind,
            file: String::new(),
            records: 0,
            repaired: 0,
            not_records: 0,
            first_record: None,
            last_record: None,
            is_complete: false,
            not_read: Vec::new(),
            completeness: read.unwrap_or_default(),
            days: BTreeMap::new(),
            sources: Vec::new(),
            proofs: None,
            lines: BTreeMap::new(),
            unknown,
        }
    }

    /// Counts a record.
    pub(super) fn count(&mut self, time: DateTime<Utc>) {
        self.records += 1;
        self.first_record = Some(self.first_record.map_or(time, |first| first.min(time)));
        self.last_record = Some(self.last_record.map_or(time, |last| last.max(time)));
        *self.days.entry(time.date_naive()).or_default() += 1;
    }

    /// Counts lines that were read of the files of a day.
    pub(super) fn count_lines(&mut self, date: NaiveDate, lines: u64) {
        *self.lines.entry(date).or_default() += lines;
    }

    /// Notes that something was not read, once.
    pub(super) fn fail(&mut self, problem: &str) {
        if !self.not_read.iter().any(|known| known == problem) {
            self.not_read.push(problem.to_owned());
        }
    }

    /// Finds out whether it is complete, when all has been read.
    pub(super) fn judge(&mut self) {
        // A folder that is missing is told as what it is, and not twice.
        if let Some(error) = self.unknown.take().filter(|error| !self.not_read.contains(error)) {
            self.fail(&format!("how complete it is, is not known: {error}"));
        }
        self.not_read.sort_unstable();
        // What was not read is told as such.
        if self.not_read.is_empty() {
            self.completeness.note_lines(&self.lines);
        }
        self.is_complete = self.not_read.is_empty() && self.completeness.is_complete();
    }

    pub(crate) fn name(&self) -> &'static str {
        self.kind.name
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Returns how many records are proved and how many are not; `None` if there are no proofs.
    pub(crate) fn proved(&self) -> Option<(u64, u64)> {
        self.proofs.as_ref().map(|proofs| (proofs.proved, proofs.unproved))
    }

    /// Says of which records there is no proof although the archive is sealed.
    pub(crate) fn unproved_sentence(&self) -> Option<String> {
        let proofs = self.proofs.as_ref().filter(|proofs| proofs.unproved > 0)?;
        let reasons = proofs.reasons.join("; ");
        Some(format!("{} records have no proof: {reasons}", proofs.unproved))
    }

    /// Whether all of the time that was asked for is there, up to the last run.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether something is missing that nobody has accepted, or not known.
    pub(crate) fn is_alarming(&self) -> bool {
        self.completeness.is_alarming()
    }

    /// Returns what is to be known besides, and is no fault.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.completeness.remarks
    }

    /// Whether a file was not read.
    pub(crate) fn has_failed(&self) -> bool {
        !self.not_read.is_empty()
    }

    /// Says all that is missing, or not known.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let not_read = self.not_read.iter().map(|problem| format!("not read: {problem}"));
        not_read.chain(self.completeness.sentences()).collect()
    }
}
