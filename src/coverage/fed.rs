//! The note that a catalog belongs to a fleet: its day files are written by `trailkeeper archive`, from Kafka, and what they lack is for the
//! fleet to collect. A run of one machine leaves such a catalog alone.
//!
//! `.trailkeeper/<base>.fleet.json`: `{"version":1,"fleet":"trails","id":"5d0c…","since":"2026-11-20T10:00:00Z"}`. The `id` is random; the
//! state of the fleet has it too, if the fleet has begun with what this catalog holds.

use std::io;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::archive::{FileUse, Location};
use crate::fs::FileError;

/// Name of the note, after `<base>.`.
pub(crate) const FED: &str = "fleet.json";

/// The note, for who copies a catalog.
pub(crate) const FED_FILE: (&str, FileUse) = (FED, FileUse::Replace);

/// Version of the note.
const VERSION: u32 = 1;

/// To which fleet a catalog belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fed {
    version: u32,
    /// `FLEET_ID`.
    pub(crate) fleet: String,
    /// Which catalog it is.
    pub(crate) id: String,
    /// Since when.
    pub(crate) since: DateTime<Utc>,
}

impl Fed {
    /// Reads the note of a catalog; `None` if it belongs to no fleet.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged: then nobody knows who may write there.
    pub(crate) fn read(location: &Location) -> Result<Option<Self>, FileError> {
        let file = location.state(FED);
        let Some(content) = file.read()? else { return Ok(None) };
        let note = serde_json::from_slice(&content).ok();
        let note = note.filter(|note: &Self| note.version == VERSION);
        note.map(Some).ok_or_else(|| {
            let damaged = io::Error::new(
                io::ErrorKind::InvalidData,
                "it is damaged, or of a newer version; it says to which fleet the catalog belongs",
            );
            FileError::io("read", file.path(), damaged)
        })
    }

    /// Notes that a catalog belongs to a fleet from now on. It has to be locked.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub(crate) fn begin(location: &Location, fleet: &str, now: DateTime<Utc>) -> Result<Self, FileError> {
        let note = Self {
            version: VERSION,
            fleet: fleet.to_owned(),
            id: format!("{:016x}", fastrand::u64(..)),
            since: now,
        };
        let file = location.state(FED);
        let content =
            serde_json::to_vec(&note).map_err(|error| FileError::io("write to", file.path(), error.into()))?;
        file.replace(&content)?;
        Ok(note)
    }

    /// Notes that a catalog belongs to no fleet any more. It has to be locked.
    ///
    /// # Errors
    /// If the note cannot be removed.
    pub(crate) fn end(location: &Location) -> Result<(), FileError> {
        location.state(FED).remove()
    }

    /// Says what is to be run for what a catalog lacks. Of one whose note cannot be read nobody knows whose it is, and a run says so.
    #[must_use]
    pub(crate) fn advice(location: &Location) -> &'static str {
        match Self::read(location) {
            Ok(Some(_)) => "run archive, which files what its fleet has collected",
            Ok(None) | Err(_) => "run collect",
        }
    }

    /// Says why a run of one machine leaves the catalog alone.
    #[must_use]
    pub(crate) fn sentence(&self) -> String {
        format!(
            "its catalog belongs to the fleet {}: `trailkeeper archive` writes its day files, and `trailkeeper fleet release` gives it \
             back to one machine",
            self.fleet
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::record::time;

    #[test]
    fn a_catalog_belongs_to_a_fleet_until_that_is_over_and_a_damaged_note_is_an_error() {
        let catalog = Catalog::with_state_folder();
        assert_eq!(Fed::read(&catalog.location).unwrap(), None);
        let begun = Fed::begin(&catalog.location, "trails", time("2026-01-05T00:00:00Z")).unwrap();
        assert_eq!(Fed::read(&catalog.location).unwrap(), Some(begun.clone()));
        assert!(begun.sentence().contains("fleet trails"));
        assert!(Fed::advice(&catalog.location).starts_with("run archive"));
        Fed::end(&catalog.location).unwrap();
        assert_eq!(Fed::advice(&catalog.location), "run collect");
        assert_eq!(Fed::read(&catalog.location).unwrap(), None);
        for damaged in [
            "",
            "{}",
            r#"{"version":2,"fleet":"x","id":"","since":"2026-01-05T00:00:00Z"}"#,
        ] {
            std::fs::write(catalog.location.state_file(FED), damaged).unwrap();
            let error = Fed::read(&catalog.location).unwrap_err().to_string();
            assert!(error.contains("fleet.json"), "{error}");
        }
    }
}
