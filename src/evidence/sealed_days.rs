//! What a log says of the days of each stream, for a page about the archive. Nothing is verified here.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::checkpoint::Checkpoint;
use super::folder::Folder;
use super::ledger::{History, Ledger};
use crate::archive::day_of_name;
use crate::fs::FileError;

/// The days of a stream that are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedDays {
    pub(crate) first: NaiveDate,
    pub(crate) last: NaiveDate,
    /// How many are closed, how many may still grow, and of how many a person has acknowledged that they are not what was sealed.
    pub(crate) closed: usize,
    pub(crate) open: usize,
    pub(crate) broken: usize,
    /// When the stream was sealed last.
    pub(crate) sealed_at: Option<DateTime<Utc>>,
}

impl SealedDays {
    /// Reads what the log in a folder says of each stream.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Folder) -> Result<BTreeMap<String, Self>, FileError> {
        let mut streams: BTreeMap<String, Self> = BTreeMap::new();
        let Some(content) = folder.read()? else {
            return Ok(streams);
        };
        let size = Checkpoint::unverified(&content.checkpoint).map_or(0, |checkpoint| checkpoint.size);
        let ledger = Ledger::read(content.lines(size));
        for (file, history) in &ledger.files {
            if let Some(date) = day_of_name(&file.file) {
                let sealed_at = ledger.sealed_at.get(&file.stream).copied();
                let days = streams
                    .entry(file.stream.clone())
                    .or_insert_with(|| Self::of(date, sealed_at));
                days.add(date, history);
            }
        }
        Ok(streams)
    }

    fn of(date: NaiveDate, sealed_at: Option<DateTime<Utc>>) -> Self {
        Self {
            first: date,
            last: date,
            closed: 0,
            open: 0,
            broken: 0,
            sealed_at,
        }
    }

    fn add(&mut self, date: NaiveDate, history: &History) {
        self.first = self.first.min(date);
        self.last = self.last.max(date);
        self.closed += usize::from(history.is_closed);
        self.open += usize::from(!history.is_closed);
        self.broken += usize::from(!history.broken.is_empty());
    }
}
