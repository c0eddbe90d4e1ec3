//! A catalog of one stream in a folder of its own.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::archive::Location;
#[cfg(unix)]
use crate::archive::faulty::Faulty;

/// A catalog with the day files `mail_<day>.log`; modules add what their own tests do with it.
pub(crate) struct Catalog {
    folder: TempDir,
    pub(crate) location: Location,
    /// A disk that works until it is told otherwise.
    #[cfg(unix)]
    pub(crate) disk: Faulty,
}

impl Catalog {
    /// An empty one, without a state folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        Self {
            folder,
            location,
            #[cfg(unix)]
            disk: Faulty::default(),
        }
    }

    /// An empty one, with the state folder that its lock would have made.
    pub(crate) fn with_state_folder() -> Self {
        let catalog = Self::new();
        fs::create_dir(catalog.location.state_folder()).unwrap();
        catalog
    }

    /// The same with these day files, each a day and its text.
    pub(crate) fn with(self, files: &[(&str, &str)]) -> Self {
        files.iter().for_each(|(day, text)| self.write(day, text));
        self
    }

    /// The same, read and written through its disk.
    #[cfg(unix)]
    pub(crate) fn through_its_disk(mut self) -> Self {
        self.location = self.location.on(self.disk.clone());
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The day file of this day.
    pub(crate) fn path(&self, day: &str) -> PathBuf {
        self.folder().join(format!("mail_{day}.log"))
    }

    /// What a day file holds.
    pub(crate) fn text(&self, day: &str) -> String {
        fs::read_to_string(self.path(day)).unwrap()
    }

    /// Writes a day file, in place of the one that was there.
    pub(crate) fn write(&self, day: &str, text: &str) {
        fs::write(self.path(day), text).unwrap();
    }

    /// Appends to a day file.
    pub(crate) fn append(&self, day: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(day))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// What is noted of rejected records; nothing where there are none.
    pub(crate) fn rejected_notes(&self) -> String {
        let bytes = fs::read(self.location.state_file("rejected.jsonl")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
