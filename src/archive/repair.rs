//! Repairs day files that a crash left without a final newline.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::day_file::DayFile;
use super::durable_appender::{DurableAppender, WriteError};
use super::lines::{TornLine, torn_line};
use super::listing::Listing;
use super::location::Location;
use super::notes::NotesFile;
use super::turn::Turn;
use crate::fs::FileError;
use crate::record::Reader;

/// What was repaired at the end of the day files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Records that lacked only their newline.
    pub completed: u64,
    /// Torn lines. They are noted in the rejected file, and the overlap fetches their records again.
    pub repaired: u64,
}

/// Repairs the day files of a location.
pub(super) struct Repairer<'a> {
    pub(super) location: &'a Location,
    pub(super) appender: &'a mut DurableAppender,
    pub(super) rejected: &'a mut NotesFile,
    pub(super) reader: &'a mut Reader,
    pub(super) file_mode: u32,
    pub(super) now: DateTime<Utc>,
    /// The days whose file cannot be read, or is torn and cannot be written to, and why; it is left as it is.
    pub(super) unusable: &'a mut BTreeMap<NaiveDate, String>,
    /// Where the torn lines began that were repaired.
    pub(super) torn: &'a mut Vec<(NaiveDate, u64)>,
}

impl Repairer<'_> {
    /// Adds the missing newline to each day file that ends without one, of those whose turn it is.
    pub(super) fn repair(&mut self, listing: &Listing, turn: Turn) -> Result<Repairs, WriteError> {
        let mut repairs = Repairs::default();
        let picked = turn.pick(listing.days.dates().to_vec());
        for file in picked.into_iter().filter_map(|date| listing.days.get(date)) {
            let repaired = match torn_line_of(&file) {
                Ok(Some(torn)) => self.repair_line(&file, &torn, &mut repairs),
                Ok(None) => Ok(()),
                // Somebody has moved it since it was listed.
                Err(error) if error.is_missing() => Ok(()),
                Err(error) => Err(error.into()),
            };
            match repaired {
                // Nothing was written, and other files can be.
                Err(error) if !self.appender.is_poisoned() => {
                    self.unusable.insert(file.date, error.to_string());
                }
                repaired => repaired?,
            }
        }
        if !listing.days.is_empty() {
            self.appender.sync_folder(self.location.folder())?;
        }
        Ok(repairs)
    }

    /// A torn line is noted before it is repaired. After a crash between the two it is found again at the end of its
    /// file; one repaired first would look like other damage forever.
    fn repair_line(&mut self, file: &DayFile, torn: &TornLine, repairs: &mut Repairs) -> Result<(), WriteError> {
        let path = file.path.display();
        if self.is_record(&torn.bytes) {
            self.appender.terminate(&file.path, self.file_mode)?;
            repairs.completed += 1;
            tracing::info!(%path, offset = torn.offset, "added the newline that the last record lacked");
            return Ok(());
        }
        self.rejected.note_torn_line(self.appender, file, torn, self.now)?;
        self.appender.terminate(&file.path, self.file_mode)?;
        repairs.repaired += 1;
        self.torn.push((file.date, torn.offset));
        tracing::warn!(%path, offset = torn.offset, bytes = torn.bytes.len(), "repaired a torn line that a crash left");
        Ok(())
    }

    fn is_record(&mut self, bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| self.reader.identify(text).is_ok())
    }
}

/// Returns the torn line at the end of a day file, if there is one.
pub(super) fn torn_line_of(file: &DayFile) -> Result<Option<TornLine>, FileError> {
    torn_line(file.open()?.as_mut()).map_err(|cause| FileError::io("read", &file.path, cause))
}
