//! Torn lines that a crash left at the end of day files: one newline each completes or terminates them.

use chrono::{DateTime, Utc};

use super::day_file::DayFile;
use super::durable_appender::{DurableAppender, WriteError};
use super::lines::{TornLine, torn_line};
use super::location::Location;
use super::rejected::RejectedFile;
use crate::fs::FileError;
use crate::record::Reader;

/// What was found at the end of the day files and mended by a newline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Records that lacked only their newline.
    pub completed: u64,
    /// Torn lines; they are noted in the rejected file, and the overlap brings their records again.
    pub repaired: u64,
}

/// What repairs the day files of a location.
pub(super) struct Repairer<'a> {
    pub(super) location: &'a Location,
    pub(super) appender: &'a mut DurableAppender,
    pub(super) rejected: &'a mut RejectedFile,
    pub(super) reader: &'a mut Reader,
    pub(super) file_mode: u32,
    pub(super) now: DateTime<Utc>,
}

impl Repairer<'_> {
    /// Adds the missing newline to each day file that ends without one.
    pub(super) fn repair(&mut self) -> Result<Repairs, WriteError> {
        let mut repaired = Repairs::default();
        let files = self.location.day_files()?;
        for file in &files {
            if let Some(half) = torn_line_of(file)? {
                self.mend(file, &half, &mut repaired)?;
            }
        }
        if !files.is_empty() {
            self.appender.sync_folder(self.location.folder())?;
        }
        Ok(repaired)
    }

    /// A torn line is noted before it is repaired: after a crash between the two it is still at the end of its file and
    /// found again, while one that was repaired first would look like any other damage for ever.
    fn mend(&mut self, file: &DayFile, half: &TornLine, repaired: &mut Repairs) -> Result<(), WriteError> {
        let path = file.path.display();
        if self.is_record(&half.bytes) {
            self.appender.terminate(&file.path, self.file_mode)?;
            repaired.completed += 1;
            tracing::info!(%path, offset = half.offset, "completed the last line, which lacked its newline");
            return Ok(());
        }
        if let Some(name) = self.location.day_name(file.date) {
            self.rejected.note_torn_line(self.appender, &name, half, self.now)?;
        }
        self.appender.terminate(&file.path, self.file_mode)?;
        repaired.repaired += 1;
        tracing::warn!(%path, offset = half.offset, bytes = half.bytes.len(), "repaired a torn line that a crash had left");
        Ok(())
    }

    fn is_record(&mut self, bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| self.reader.identify(text).is_ok())
    }
}

fn torn_line_of(file: &DayFile) -> Result<Option<TornLine>, FileError> {
    torn_line(file.open()?.as_mut()).map_err(|cause| FileError::io("read", &file.path, cause))
}
