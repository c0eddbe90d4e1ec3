//! Which lines of day files are torn ones that a run has repaired: they hold no record, and none is missing for them.

use std::sync::OnceLock;

use super::day_file::DayFile;
use super::location::Location;
use super::notes::Noted;

/// Those of a stream. They are read when the first is asked for.
#[derive(Debug)]
pub(crate) struct RepairedLines {
    location: Location,
    noted: OnceLock<Noted>,
}

impl RepairedLines {
    pub(crate) fn of(location: &Location) -> Self {
        Self {
            location: location.clone(),
            noted: OnceLock::new(),
        }
    }

    /// Whether the line at this offset of a file is one. If the rejected file cannot be read none is known to be.
    pub(crate) fn has(&self, file: &DayFile, offset: u64) -> bool {
        let noted = self
            .noted
            .get_or_init(|| Noted::rejected(&self.location).unwrap_or_default());
        noted.repaired_in(file).is_ok_and(|offsets| offsets.contains(&offset))
    }
}
