//! The cursor: a position in every day file, and the file that stores them.
//!
//! A position stands just after a newline, and never ahead of what the sink has acknowledged.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::archive::{DayFile, Location, StateFile};
use crate::fs::FileError;

/// Version of the cursor file. A newer one is refused, so that an older program does not send everything again.
const VERSION: u32 = 1;

/// Positions in day files, in bytes; a file without one is at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Positions(BTreeMap<NaiveDate, u64>);

impl Positions {
    /// Returns the position in the file of a day.
    #[must_use]
    pub(crate) fn of(&self, day: NaiveDate) -> u64 {
        self.0.get(&day).copied().unwrap_or(0)
    }

    /// Sets the position in the file of a day.
    pub(crate) fn set(&mut self, day: NaiveDate, position: u64) {
        self.0.insert(day, position);
    }

    /// Overwrites the positions with those of `others`.
    pub(crate) fn update(&mut self, others: &Positions) {
        self.0.extend(&others.0);
    }

    /// Returns the greater position of both for each day.
    #[must_use]
    pub(crate) fn furthest(&self, others: &Positions) -> Self {
        let mut furthest = self.clone();
        for (day, position) in others.iter() {
            furthest.set(day, self.of(day).max(position));
        }
        furthest
    }

    /// Returns the positions, oldest day first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NaiveDate, u64)> {
        self.0.iter().map(|(day, position)| (*day, *position))
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the ends of these files, just after their last newlines: a torn line may still be written to.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn at_the_ends(files: &[DayFile]) -> Result<Self, FileError> {
        let ends = files.iter().map(|file| Ok((file.date, file.end_of_lines()?)));
        Ok(Self(ends.collect::<Result<_, FileError>>()?))
    }

    /// Resets every wrong position to the start of its file, with a warning. Returns whether there were any.
    ///
    /// A position past the end of its file, or not just after a newline, means that the file is not the one that was
    /// forwarded. Reading from the start loses no line. Positions in missing files stay: the files may come back.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn repair(&mut self, files: &[DayFile]) -> Result<bool, FileError> {
        let mut is_repaired = false;
        for file in files {
            let position = self.of(file.date);
            if position > 0 && !file.is_line_end(position)? {
                self.set(file.date, 0);
                is_repaired = true;
                tracing::warn!(
                    path = %file.path.display(),
                    position,
                    "the cursor is not at the end of a line, so this is not the file that was forwarded: sending \
                     its lines again"
                );
            }
        }
        Ok(is_repaired)
    }
}

impl FromIterator<(NaiveDate, u64)> for Positions {
    fn from_iter<I: IntoIterator<Item = (NaiveDate, u64)>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

/// The file `.trailkeeper/<base>.<sink>.json`.
#[derive(Debug)]
pub(crate) struct CursorFile {
    file: StateFile,
    previous: StateFile,
    stream: &'static str,
    sink: &'static str,
}

/// The content of a cursor file.
#[derive(Serialize, Deserialize)]
struct Content<P> {
    version: u32,
    stream: String,
    sink: String,
    /// Whether the sink still has to be asked for its own cursor, see [`CursorState`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    provisional: bool,
    days: P,
}

/// A cursor as stored in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CursorState {
    /// How far the stream is forwarded.
    pub(crate) positions: Positions,
    /// It only says where to start: the sink, which may have an earlier cursor of its own, was not reached yet.
    pub(crate) is_provisional: bool,
}

/// What was found in place of a cursor file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// No file: the stream was never forwarded to this sink.
    Nothing,
    Cursor(CursorState),
    /// A damaged file. Starting at the previous cursor, or else at the start of the archive, loses no line.
    Damaged {
        /// What is wrong with it.
        problem: String,
        /// The previous cursor; `None` if that is damaged or missing too.
        before: Option<CursorState>,
    },
}

/// Why a cursor could not be read or stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CursorError {
    /// The file, or a day file, cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A newer version of the program wrote it.
    #[error("{} was written by a newer version of trailkeeper (version {version} of its format): use that version", path.display())]
    Newer { path: PathBuf, version: u32 },
}

impl CursorFile {
    /// Returns the cursor file of a stream for one sink.
    pub(crate) fn new(location: &Location, stream: &'static str, sink: &'static str) -> Self {
        Self {
            file: location.state(&format!("{sink}.json")),
            previous: location.state(&format!("{sink}.previous.json")),
            stream,
            sink,
        }
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Reads the cursor.
    ///
    /// # Errors
    /// If the file cannot be read, or a newer version wrote it. A damaged file is not an error.
    pub(crate) fn load(&self) -> Result<Stored, CursorError> {
        let before = |content| self.parse(content).ok().flatten();
        match (self.file.read()?, self.previous.read()?) {
            (None, None) => Ok(Stored::Nothing),
            // The last change crashed between its two renames.
            (None, Some(previous)) => self.check(&previous, || None),
            (Some(current), previous) => self.check(&current, || previous.as_deref().and_then(before)),
        }
    }

    fn check(&self, content: &[u8], before: impl FnOnce() -> Option<CursorState>) -> Result<Stored, CursorError> {
        let problem = match self.parse(content) {
            Ok(Some(state)) => return Ok(Stored::Cursor(state)),
            Ok(None) => "it is the cursor of another stream or sink".to_owned(),
            Err(CursorFormatError::Newer(version)) => {
                return Err(CursorError::Newer {
                    path: self.path().to_owned(),
                    version,
                });
            }
            Err(CursorFormatError::Json(error)) => format!("it is not the JSON of a cursor: {error}"),
        };
        Ok(Stored::Damaged {
            problem,
            before: before(),
        })
    }

    /// Returns the cursor; `None` if it belongs to another stream or sink.
    fn parse(&self, content: &[u8]) -> Result<Option<CursorState>, CursorFormatError> {
        #[derive(Deserialize)]
        struct Header {
            version: u32,
        }
        let header: Header = serde_json::from_slice(content).map_err(CursorFormatError::Json)?;
        if header.version > VERSION {
            return Err(CursorFormatError::Newer(header.version));
        }
        let content: Content<Positions> = serde_json::from_slice(content).map_err(CursorFormatError::Json)?;
        let is_own = content.stream == self.stream && content.sink == self.sink;
        Ok(is_own.then_some(CursorState {
            positions: content.days,
            is_provisional: content.provisional,
        }))
    }

    /// Replaces the cursor file and syncs it.
    ///
    /// # Errors
    /// If the file cannot be written; the previous cursor is then still there.
    pub(crate) fn store(&self, state: &CursorState) -> Result<(), CursorError> {
        let content = Content {
            provisional: state.is_provisional,
            version: VERSION,
            stream: self.stream.to_owned(),
            sink: self.sink.to_owned(),
            days: &state.positions,
        };
        let mut json = serde_json::to_vec(&content)
            .map_err(|error| FileError::io("write to", self.path(), io::Error::other(error)))?;
        json.push(b'\n');
        Ok(self.file.replace_keeping(&self.previous, &json)?)
    }
}

/// Why a content is not a cursor.
enum CursorFormatError {
    Json(serde_json::Error),
    Newer(u32),
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::random::cases;

    impl Catalog {
        fn cursor(&self) -> CursorFile {
            CursorFile::new(&self.location, "yandex-mail", "kafka")
        }

        fn state(&self, name: &str) -> PathBuf {
            self.location.state_folder().join(name)
        }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn positions(list: &[(&str, u64)]) -> Positions {
        list.iter().map(|(text, position)| (day(text), *position)).collect()
    }

    fn cursor_of(positions: Positions) -> Stored {
        Stored::Cursor(state_of(positions))
    }

    fn state_of(positions: Positions) -> CursorState {
        CursorState {
            positions,
            is_provisional: false,
        }
    }

    #[test]
    fn a_cursor_stays_provisional_until_it_is_stored_again() {
        let catalog = Catalog::new();
        let (cursor, one) = (catalog.cursor(), positions(&[("2025-06-09", 1)]));
        let provisional = CursorState {
            positions: one.clone(),
            is_provisional: true,
        };
        cursor.store(&provisional).unwrap();
        assert_eq!(cursor.load().unwrap(), Stored::Cursor(provisional));
        cursor.store(&state_of(one.clone())).unwrap();
        assert_eq!(cursor.load().unwrap(), cursor_of(one));
    }

    #[test]
    fn a_stored_cursor_is_loaded_and_the_file_is_readable_json() {
        let catalog = Catalog::new();
        let cursor = catalog.cursor();
        assert_eq!(cursor.load().unwrap(), Stored::Nothing);
        let stored = positions(&[("2025-06-09", 4711), ("2025-06-10", 0)]);
        cursor.store(&state_of(stored.clone())).unwrap();
        assert_eq!(cursor.load().unwrap(), cursor_of(stored));
        assert_eq!(
            fs::read_to_string(catalog.state("mail.kafka.json")).unwrap(),
            "{\"version\":1,\"stream\":\"yandex-mail\",\"sink\":\"kafka\",\"days\":{\"2025-06-09\":4711,\"2025-06-10\":0}}\n"
        );
    }

    #[test]
    fn a_damaged_cursor_falls_back_to_the_one_before_it() {
        let catalog = Catalog::new();
        let cursor = catalog.cursor();
        let (one, two) = (positions(&[("2025-06-09", 1)]), positions(&[("2025-06-09", 2)]));
        cursor.store(&state_of(one.clone())).unwrap();
        cursor.store(&state_of(two)).unwrap();
        for damage in [
            "",
            "{\"version\":1",
            "null",
            "{\"version\":1,\"stream\":\"port\",\"sink\":\"kafka\",\"days\":{}}",
        ] {
            fs::write(catalog.state("mail.kafka.json"), damage).unwrap();
            let Stored::Damaged { before, .. } = cursor.load().unwrap() else {
                panic!("{damage}")
            };
            assert_eq!(before, Some(state_of(one.clone())));
        }
        fs::write(catalog.state("mail.kafka.previous.json"), "x").unwrap();
        assert!(matches!(cursor.load().unwrap(), Stored::Damaged { before: None, .. }));
    }

    #[test]
    fn a_crash_between_the_two_renames_costs_nothing() {
        let catalog = Catalog::new();
        let cursor = catalog.cursor();
        let one = positions(&[("2025-06-09", 1)]);
        cursor.store(&state_of(one.clone())).unwrap();
        fs::rename(
            catalog.state("mail.kafka.json"),
            catalog.state("mail.kafka.previous.json"),
        )
        .unwrap();
        assert_eq!(cursor.load().unwrap(), cursor_of(one));
    }

    #[test]
    fn the_cursor_of_a_newer_version_is_left_alone() {
        let catalog = Catalog::new();
        let cursor = catalog.cursor();
        cursor.store(&CursorState::default()).unwrap();
        fs::write(catalog.state("mail.kafka.json"), "{\"version\":2,\"rows\":[]}").unwrap();
        assert!(matches!(cursor.load(), Err(CursorError::Newer { version: 2, .. })));
    }

    #[test]
    fn the_end_of_a_file_is_after_its_last_newline() {
        let long = format!("{{}}\n{}", "x".repeat(200_000));
        let catalog = Catalog::new().with(&[
            ("2025-06-07", ""),
            ("2025-06-08", "half"),
            ("2025-06-09", "a\nb\n"),
            ("2025-06-10", "a\nbb\nhalf"),
            ("2025-06-11", &long),
        ]);
        let ends = Positions::at_the_ends(&catalog.location.day_files().unwrap()).unwrap();
        let found: Vec<_> = ends.iter().map(|(_, position)| position).collect();
        assert_eq!(found, [0, 0, 4, 5, 3]);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_position_is_kept_exactly_if_it_stands_after_a_newline(text in "[a\n]{0,12}", position in 0u64..15) {
            let catalog = Catalog::new().with(&[("2025-06-09", &text)]);
            let mut cursor = positions(&[("2025-06-08", 9), ("2025-06-09", position)]);
            let is_repaired = cursor.repair(&catalog.location.day_files().unwrap()).unwrap();
            let is_right = position == 0 || text.as_bytes().get(position as usize - 1) == Some(&b'\n');
            prop_assert_eq!(is_repaired, !is_right);
            prop_assert_eq!(cursor.of(day("2025-06-09")), if is_right { position } else { 0 });
            prop_assert_eq!(cursor.of(day("2025-06-08")), 9);
        }
    }
}
