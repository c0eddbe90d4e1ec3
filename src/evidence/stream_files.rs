//! Where the files of a stream are, for who verifies them.

use std::path::PathBuf;

use crate::archive::{Location, STATE_FOLDER};
use crate::config::StreamPlace;

/// Where the files of a stream are.
#[derive(Clone, Debug)]
pub(crate) struct StreamFiles {
    pub(crate) stream: String,
    pub(crate) folder: PathBuf,
    /// Where files are that no entry names, if the settings are known.
    pub(crate) location: Option<Location>,
}

impl StreamFiles {
    /// Returns where the files of a stream are by the settings.
    pub(crate) fn of(place: &StreamPlace) -> Self {
        Self {
            stream: place.kind.name.to_owned(),
            folder: place.location.folder().to_owned(),
            location: Some(place.location.clone()),
        }
    }

    /// Returns whether the folder of what is kept beside the day files is there.
    pub(crate) fn has_state_folder(&self) -> bool {
        self.folder.join(STATE_FOLDER).is_dir()
    }

    /// Returns where the day files of these names are.
    pub(crate) fn locations<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Location> {
        let mut locations: Vec<Location> = self.location.iter().cloned().collect();
        for location in names.filter_map(|name| Location::of_day_file(&self.folder, name)) {
            if !locations.contains(&location) {
                locations.push(location);
            }
        }
        locations
    }

    /// Returns where the files of the state folder are, which have whole names.
    pub(super) fn state_location(&self) -> Location {
        Location::of_state(&self.folder)
    }
}
