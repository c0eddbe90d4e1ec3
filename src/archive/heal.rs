//! Half lines that a crash left at the end of day files: one newline each completes or seals them.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::lines::{HalfLine, half_line};
use super::location::{DayFile, Location};
use super::pen::{Pen, WriteError};
use super::rejected::RejectedFile;
use super::storage::{FileError, open_for_reading};
use crate::record::Reader;

/// What was found at the end of the day files and mended by a newline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Healed {
    /// Records that lacked only their newline.
    pub completed: u64,
    /// Half lines; they are noted in the rejected file, and the overlap brings their records again.
    pub sealed: u64,
}

/// What heals the day files of a location.
pub(super) struct Healer<'a> {
    pub(super) location: &'a Location,
    pub(super) pen: &'a mut Pen,
    pub(super) rejected: &'a mut RejectedFile,
    pub(super) reader: &'a mut Reader,
    pub(super) file_mode: u32,
    pub(super) now: DateTime<Utc>,
}

impl Healer<'_> {
    /// Adds the missing newline to each day file that ends without one.
    pub(super) fn heal(&mut self) -> Result<Healed, WriteError> {
        let mut healed = Healed::default();
        let files = self.location.day_files()?;
        for file in &files {
            if let Some(half) = half_line_of(&file.path)? {
                self.mend(file, &half, &mut healed)?;
            }
        }
        if !files.is_empty() {
            self.pen.settle_folder(self.location.folder())?;
        }
        Ok(healed)
    }

    /// A half line is noted before it is sealed: after a crash between the two it is still at the end of its file and
    /// found again, while one that was sealed first would look like any other damage for ever.
    fn mend(&mut self, file: &DayFile, half: &HalfLine, healed: &mut Healed) -> Result<(), WriteError> {
        let path = file.path.display();
        if self.is_record(&half.bytes) {
            self.pen.seal(&file.path, self.file_mode)?;
            healed.completed += 1;
            tracing::info!(%path, offset = half.offset, "completed the last line, which lacked its newline");
            return Ok(());
        }
        if let Some(name) = self.location.day_name(file.date) {
            self.rejected.note_half_line(self.pen, &name, half, self.now)?;
        }
        self.pen.seal(&file.path, self.file_mode)?;
        healed.sealed += 1;
        tracing::warn!(%path, offset = half.offset, bytes = half.bytes.len(), "sealed half a line that a crash had left");
        Ok(())
    }

    fn is_record(&mut self, bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| self.reader.identify(text).is_ok())
    }
}

fn half_line_of(path: &Path) -> Result<Option<HalfLine>, FileError> {
    half_line(&mut open_for_reading(path)?).map_err(|cause| FileError::io("read", path, cause))
}
