//! What the archive has of some hours of a stream: sealed records, those behind what is sealed, and what explains differences.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::hour::Hour;
use crate::archive::{Location, Noted, days_that_can_hold};
use crate::coverage::{Covered, Standing, Wanted};
use crate::evidence::entry::FileId;
use crate::evidence::ledger::Ledger;
use crate::evidence::sealed_lines::records_of_day;
use crate::evidence::stream_files::StreamFiles;
use crate::fs::FileError;
use crate::record::Identified;
use crate::record::digests::Digests;
use crate::source::Kind;

/// A stream whose archive is looked into.
#[derive(Debug)]
pub(crate) struct AuditedStream<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) files: &'a StreamFiles,
    pub(crate) ledger: &'a Ledger,
    /// After which time a day file may be missing.
    pub(crate) keep: Option<TimeDelta>,
}

/// A sealed record, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedRecord {
    pub(crate) record: Identified,
    pub(crate) file: String,
    pub(crate) line: u64,
}

/// What the archive has of some hours.
#[derive(Debug, Default)]
pub(crate) struct Archived {
    /// By the hour of their times.
    pub(crate) sealed: BTreeMap<Hour, Vec<SealedRecord>>,
    /// Records behind what is sealed.
    pub(crate) unsealed: Digests,
    /// Records that came with other fields than the archived ones, and those that no day file can hold.
    pub(crate) revised: NotedRecords,
    pub(crate) rejected: NotedRecords,
    /// What the journal says was fetched; `None` if it is not there.
    pub(crate) covered: Option<Covered>,
    /// Days that were deleted for their age, and why.
    pub(crate) expired: BTreeMap<NaiveDate, String>,
    pub(crate) remarks: Vec<String>,
}

/// Records that are noted beside the day files.
#[derive(Debug, Default)]
pub(crate) struct NotedRecords(Vec<Noted>);

impl NotedRecords {
    pub(crate) fn has(&self, content: u128) -> bool {
        self.0.iter().any(|noted| noted.has(content))
    }
}

impl AuditedStream<'_> {
    /// Returns the days whose files can hold records of these hours.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub(crate) fn days(&self, hours: &[Hour]) -> Result<BTreeSet<NaiveDate>, FileError> {
        let mut days: BTreeSet<_> = hours.iter().map(|hour| hour.date()).collect();
        for location in self.locations() {
            let listing = location.listing()?;
            for hour in hours {
                days.extend(days_that_can_hold(&location, &listing, &hour.times())?);
            }
        }
        Ok(days)
    }

    /// Returns the folder and the names of its day files, by the settings and by the log.
    fn locations(&self) -> Vec<Location> {
        let of_stream = self.ledger.files.keys().filter(|file| file.stream == self.kind.name);
        self.files.locations(of_stream.map(|file| file.file.as_str()))
    }

    /// Reads what the archive has of these hours.
    ///
    /// # Errors
    /// If a file cannot be read; the text says which.
    pub(crate) fn read(&self, hours: &[Hour], now: DateTime<Utc>) -> Result<Archived, String> {
        let mut archived = Archived::default();
        let days = self.days(hours).map_err(|error| error.to_string())?;
        let times: Vec<_> = hours.iter().map(|hour| hour.times()).collect();
        for location in self.locations() {
            for date in &days {
                self.read_day(&mut archived, &location, *date, &times)?;
            }
            self.read_state(&mut archived, &location, now)
                .map_err(|error| error.to_string())?;
        }
        if !self.files.has_state_folder() {
            let remark = "the state folder is not there: what the archive says it lacks, revised and rejected records cannot be told apart";
            archived.remarks.push(remark.to_owned());
        }
        Ok(archived)
    }

    fn read_day(
        &self,
        archived: &mut Archived,
        location: &Location,
        date: NaiveDate,
        times: &[Range<DateTime<Utc>>],
    ) -> Result<(), String> {
        let Some(file) = location.day_name(date) else {
            return Ok(());
        };
        let id = FileId {
            stream: self.kind.name.to_owned(),
            file: file.clone(),
        };
        let history = self.ledger.files.get(&id);
        let sealed = history.and_then(|history| history.newest());
        let sealed = sealed.map_or(0, |sealed| sealed.content.lines);
        let records = records_of_day(location, date, self.kind.shape, times)?;
        let is_there = location.listing().map_err(|error| error.to_string())?.has(date);
        if let Some(expired) = history
            .and_then(|history| history.expired.as_ref())
            .filter(|_| !is_there)
        {
            archived.expired.insert(date, expired.reason.clone());
        }
        for line in records {
            if line.number > sealed {
                archived.unsealed.insert(line.record.identity.content);
                continue;
            }
            let hour = archived.sealed.entry(Hour::of(line.record.time)).or_default();
            hour.push(SealedRecord {
                record: line.record,
                file: file.clone(),
                line: line.number,
            });
        }
        Ok(())
    }

    /// Reads what is kept beside the day files.
    fn read_state(&self, archived: &mut Archived, location: &Location, now: DateTime<Utc>) -> Result<(), FileError> {
        archived.revised.0.push(Noted::revised(location)?);
        archived.rejected.0.push(Noted::rejected(location)?);
        if !self.files.has_state_folder() {
            return Ok(());
        }
        let standing = Standing::read(location, Wanted::Stream(self.kind.name), self.keep, now)?;
        let covered = archived.covered.get_or_insert_default();
        standing.sum.covered.spans().iter().for_each(|span| covered.add(*span));
        Ok(())
    }
}
