//! The cursor: a position in every day file, the file that stores them, and why there is none to go on from.
//!
//! A position stands just after a newline, and never ahead of what the sink has acknowledged.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::position::{Mismatch, Positions};
use crate::archive::{Location, StateFile};
use crate::fs::FileError;

/// Version of the cursor file. Version 1 has no hashes of lines, and is read too. A newer one is refused, so that an older
/// program does not send everything again.
const VERSION: u32 = 2;

/// What has to be said before anything is sent.
const DECIDE: &str = "nothing is sent until `--forward-from` says where to go on: `start`, `end` (what comes from now on) or a \
                      time";

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
    /// No file: the stream was never forwarded to this sink, or the file was removed.
    Nothing,
    Cursor(CursorState),
    /// A damaged file.
    Damaged {
        /// What is wrong with it.
        problem: String,
        /// The file with the previous cursor, if that is sound.
        previous: Option<PathBuf>,
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
    /// There is no cursor, and there are lines.
    #[error("there is no cursor for {sink}, and the archive has lines: {DECIDE}")]
    Missing { sink: &'static str },
    /// It is damaged, and there are lines.
    #[error("{} is damaged: {problem}: {DECIDE}{}", path.display(), or_previous(previous.as_ref()))]
    Damaged {
        path: PathBuf,
        problem: String,
        previous: Option<PathBuf>,
    },
    /// The archive was restored, and the one that was copied may forward with the same transactional id.
    #[error(
        "this archive was restored from copy {copy}, and the one that was copied may still forward with the transactional id `{id}`: end \
         that one for good, and run `trailkeeper forward kafka --forward-from start` once, which goes on behind the cursor that Kafka \
         has; nothing is sent before, and the other one is left alone"
    )]
    Restored { copy: String, id: String },
    /// It is not the cursor of these day files.
    #[error(
        "the cursor for {sink} is not one in these day files: {first}{}. {origin}; else {DECIDE}",
        and_others(*others)
    )]
    Mismatch {
        sink: &'static str,
        first: Mismatch,
        /// Number of further files.
        others: usize,
        origin: Origin,
    },
}

/// Which archive has written a cursor, as far as its id tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Unknown,
    This,
    Another,
}

impl fmt::Display for Origin {
    /// Writes what may have happened, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "They may have been restored from an older backup, or be those of another archive: put back the right ones"
            }
            Self::This => {
                "This archive has written it: day files may have been restored from an older backup, or fetched again in \
                 another order: put back the right ones"
            }
            Self::Another => {
                "It was written by another archive, or by this one before its state folder was lost: give each archive a \
                 transactional id of its own, or put back the right day files"
            }
        })
    }
}

fn or_previous(previous: Option<&PathBuf>) -> String {
    let say = |path: &PathBuf| {
        let path = path.display();
        format!("; or put {path} in its place, after which the last lines are sent again")
    };
    previous.map_or_else(String::new, say)
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        _ => format!(", and so in {others} more"),
    }
}

impl<'a> From<&'a CursorError> for Option<&'a FileError> {
    /// The file that cannot be read or written.
    fn from(error: &'a CursorError) -> Self {
        match error {
            CursorError::File(error) => Some(error),
            _ => None,
        }
    }
}

impl CursorError {
    /// Returns the error for positions that do not agree with their files; `None` if all agree.
    #[must_use]
    pub(crate) fn of_mismatches(sink: &'static str, mismatches: &[Mismatch]) -> Option<Self> {
        let (first, others) = mismatches.split_first()?;
        Some(Self::Mismatch {
            sink,
            first: first.clone(),
            others: others.len(),
            origin: Origin::Unknown,
        })
    }

    /// Says which archive has written the cursor, if it does not agree with the day files.
    #[must_use]
    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        match self {
            Self::Mismatch {
                sink, first, others, ..
            } => Self::Mismatch {
                sink,
                first,
                others,
                origin,
            },
            other => other,
        }
    }

    /// Whether only `--forward-from` helps, or another file.
    #[must_use]
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Damaged { .. } | Self::Mismatch { .. } | Self::Restored { .. }
        )
    }
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

    /// Returns the error of a cursor that is missing or damaged.
    #[must_use]
    pub(crate) fn missing(&self) -> CursorError {
        CursorError::Missing { sink: self.sink }
    }

    #[must_use]
    pub(crate) fn damaged(&self, problem: String, previous: Option<PathBuf>) -> CursorError {
        CursorError::Damaged {
            path: self.path().to_owned(),
            problem,
            previous,
        }
    }

    /// Reads the cursor.
    ///
    /// # Errors
    /// If the file cannot be read, or a newer version wrote it. A damaged file is not an error.
    pub(crate) fn load(&self) -> Result<Stored, CursorError> {
        match (self.file.read()?, self.previous.read()?) {
            (None, None) => Ok(Stored::Nothing),
            // The last change crashed between its two renames.
            (None, Some(previous)) => self.check(&previous, None),
            (Some(current), previous) => self.check(&current, previous.as_deref()),
        }
    }

    fn check(&self, content: &[u8], previous: Option<&[u8]>) -> Result<Stored, CursorError> {
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
        let is_sound = |content: &&[u8]| self.parse(content).is_ok_and(|state| state.is_some());
        Ok(Stored::Damaged {
            problem,
            previous: previous.filter(is_sound).map(|_| self.previous.path().to_owned()),
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

    use chrono::NaiveDate;

    use super::super::position::{LineHash, Position};
    use super::*;
    use crate::test_support::Catalog;

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
        let mut stored = positions(&[("2025-06-09", 4711), ("2025-06-10", 0)]);
        let line = Some(LineHash::of(b"line\n"));
        stored.set(day("2025-06-11"), Position { offset: 5, line });
        cursor.store(&state_of(stored.clone())).unwrap();
        assert_eq!(cursor.load().unwrap(), cursor_of(stored));
        assert_eq!(
            fs::read_to_string(catalog.state("mail.kafka.json")).unwrap(),
            "{\"version\":2,\"stream\":\"yandex-mail\",\"sink\":\"kafka\",\"days\":{\"2025-06-09\":4711,\"2025-06-10\":0,\
             \"2025-06-11\":{\"offset\":5,\"line\":\"a667f365a8678c5d\"}}}\n"
        );
    }

    #[test]
    fn a_cursor_of_version_1_is_read() {
        let catalog = Catalog::with_state_folder();
        let text = r#"{"version":1,"stream":"yandex-mail","sink":"kafka","days":{"2025-06-09":4711}}"#;
        fs::write(catalog.state("mail.kafka.json"), text).unwrap();
        assert_eq!(
            catalog.cursor().load().unwrap(),
            cursor_of(positions(&[("2025-06-09", 4711)]))
        );
    }

    #[test]
    fn of_a_damaged_cursor_the_one_before_it_is_told_if_that_is_sound() {
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
            r#"{"version":2,"stream":"yandex-mail","sink":"kafka","days":{"2025-06-09":{"offset":2,"line":"a667f365a8678c5"}}}"#,
            r#"{"version":2,"stream":"yandex-mail","sink":"kafka","days":{"2025-06-09":{"offset":2,"line":"a667f365a8678c5x"}}}"#,
            r#"{"version":2,"stream":"yandex-mail","sink":"kafka","days":{"2025-06-09":{"offset":2,"line":"+667f365a8678c5d"}}}"#,
        ] {
            fs::write(catalog.state("mail.kafka.json"), damage).unwrap();
            let Stored::Damaged { previous, .. } = cursor.load().unwrap() else {
                panic!("{damage}")
            };
            assert_eq!(previous, Some(catalog.state("mail.kafka.previous.json")));
        }
        fs::write(catalog.state("mail.kafka.previous.json"), "x").unwrap();
        assert!(matches!(cursor.load().unwrap(), Stored::Damaged { previous: None, .. }));
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
        fs::write(catalog.state("mail.kafka.json"), "{\"version\":3,\"rows\":[]}").unwrap();
        assert!(matches!(cursor.load(), Err(CursorError::Newer { version: 3, .. })));
    }
}
