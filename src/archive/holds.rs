//! Holds: the spans of a stream of which nothing may be deleted, for a case such as an inquiry.
//!
//! They are stored in `.trailkeeper/<base>.holds.jsonl`, a line for each hold that was placed or released, oldest first. The
//! file is replaced whole, and synced, so it never ends in a torn line: a line that cannot be read is damage, and then nothing
//! is known of the holds.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::location::{HOLDS_GUARD, Location};
use super::lock::{Lock, LockError};
use super::state_file::StateFile;
use crate::fs::FileError;
use crate::window::floor_to_millisecond;

/// Name of the file, after `<base>.`.
pub(crate) const HOLDS: &str = "holds.jsonl";

/// Version of the lines.
const VERSION: u32 = 1;

/// Nothing of a span may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// What it is for, as the one who placed it calls it.
    pub(crate) case: String,
    /// The span; `None` where it has no end on that side.
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) note: Option<String>,
    /// When it was placed.
    pub(crate) at: DateTime<Utc>,
}

impl Hold {
    /// Whether it is for the same case and span.
    fn is_as(&self, other: &Self) -> bool {
        (&self.case, self.since, self.until) == (&other.case, other.since, other.until)
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    v: u32,
    #[serde(flatten)]
    event: Event,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Event {
    Hold(Hold),
    /// Nothing is held for this case any more.
    Release {
        case: String,
        at: DateTime<Utc>,
    },
}

/// The holds of a stream cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldsError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot write the holds: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{path}: line {line} cannot be read ({cause}), so what is held is not known: restore the file from a copy")]
    Damaged { path: String, line: usize, cause: String },
}

impl HoldsError {
    /// Returns whether another process is changing them.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_held())
    }
}

/// The holds of a stream that are in force, in the order in which they were placed.
#[derive(Debug, Default)]
pub(crate) struct Holds(Vec<Hold>);

impl Holds {
    /// Reads them; none if there is no file.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it.
    pub(crate) fn read(location: &Location) -> Result<Self, HoldsError> {
        let file = location.state(HOLDS);
        let content = file.read()?.unwrap_or_default();
        Self::of(&file, &content)
    }

    fn of(file: &StateFile, content: &[u8]) -> Result<Self, HoldsError> {
        let mut holds = Self::default();
        // A file is only made with a hold in it.
        if content.is_empty() && file.length().is_ok() {
            return Err(HoldsError::Damaged {
                path: file.path().display().to_string(),
                line: 1,
                cause: "the file is empty".to_owned(),
            });
        }
        for (number, text) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let event = event_of(text).map_err(|cause| HoldsError::Damaged {
                path: file.path().display().to_string(),
                line: number + 1,
                cause,
            })?;
            holds.take(event);
        }
        Ok(holds)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Hold(hold) => match self.0.iter_mut().find(|other| other.is_as(&hold)) {
                Some(other) => *other = hold,
                None => self.0.push(hold),
            },
            Event::Release { case, .. } => self.0.retain(|hold| hold.case != case),
        }
    }

    /// Keeps them as they are, as long as what is returned lives.
    ///
    /// # Errors
    /// If another process is changing them, or the state folder cannot be written.
    pub(crate) fn keep(location: &Location, now: DateTime<Utc>) -> Result<Lock, HoldsError> {
        Ok(Lock::acquire_file(location, &format!("{HOLDS_GUARD}.lock"), now)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.0.iter()
    }

    /// Places a hold; returns whether it is new, or has a new note: the same span is held for a case once.
    ///
    /// # Errors
    /// If they cannot be read or written. What was held before still is.
    pub(crate) fn add(location: &Location, hold: Hold) -> Result<bool, HoldsError> {
        let hold = Hold {
            at: floor_to_millisecond(hold.at),
            ..hold
        };
        change(location, hold.at, |holds| {
            let is_known = |other: &Hold| other.is_as(&hold) && (hold.note.is_none() || hold.note == other.note);
            let is_new = !holds.iter().any(is_known);
            (is_new, is_new.then(|| Event::Hold(hold.clone())))
        })
    }

    /// Ends what is held for a case, and returns how many holds those were.
    ///
    /// # Errors
    /// If they cannot be read or written. What was held before still is.
    pub(crate) fn release(location: &Location, case: &str, now: DateTime<Utc>) -> Result<u64, HoldsError> {
        change(location, now, |holds| {
            let released = holds.iter().filter(|hold| hold.case == case).count() as u64;
            let event = Event::Release {
                case: case.to_owned(),
                at: floor_to_millisecond(now),
            };
            (released, (released > 0).then_some(event))
        })
    }
}

/// Adds the line that `decide` returns, under the lock of the holds; also returns what else it does.
fn change<T>(
    location: &Location,
    now: DateTime<Utc>,
    decide: impl FnOnce(&Holds) -> (T, Option<Event>),
) -> Result<T, HoldsError> {
    let lock = Holds::keep(location, now)?;
    let file = location.state(HOLDS);
    let mut content = file.read()?.unwrap_or_default();
    let (decided, event) = decide(&Holds::of(&file, &content)?);
    if let Some(event) = event {
        serde_json::to_writer(&mut content, &Line { v: VERSION, event })?;
        content.push(b'\n');
        lock.check()?;
        file.replace(&content)?;
    }
    Ok(decided)
}

fn event_of(text: &[u8]) -> Result<Event, String> {
    if text.last() != Some(&b'\n') {
        return Err("it is cut off".to_owned());
    }
    let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if line.v == VERSION {
        Ok(line.event)
    } else {
        Err(format!("it is of version {}, and this program knows {VERSION}", line.v))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_support::Catalog;

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    fn now() -> DateTime<Utc> {
        at("2026-11-20T10:00:00Z")
    }

    fn hold(case: &str, since: Option<&str>) -> Hold {
        Hold {
            case: case.to_owned(),
            since: since.map(at),
            until: None,
            note: None,
            at: now(),
        }
    }

    fn cases(catalog: &Catalog) -> Vec<String> {
        let holds = Holds::read(&catalog.location).unwrap();
        holds.iter().map(|hold| hold.case.clone()).collect()
    }

    #[test]
    fn what_is_placed_is_held_until_its_case_is_released_and_the_history_stays() {
        let catalog = Catalog::new();
        let location = &catalog.location;
        assert_eq!(cases(&catalog), Vec::<String>::new());
        assert!(Holds::add(location, hold("2026/17", None)).unwrap());
        assert!(
            !Holds::add(location, hold("2026/17", None)).unwrap(),
            "it is held already"
        );
        assert!(Holds::add(location, hold("2026/17", Some("2026-01-01T00:00:00Z"))).unwrap());
        assert!(Holds::add(location, hold("other", None)).unwrap());
        assert_eq!(cases(&catalog), ["2026/17", "2026/17", "other"]);
        assert_eq!(Holds::release(location, "2026/17", now()).unwrap(), 2);
        assert_eq!(Holds::release(location, "2026/17", now()).unwrap(), 0);
        assert_eq!(cases(&catalog), ["other"]);
        assert!(Holds::add(location, hold("2026/17", None)).unwrap());
        let text = fs::read_to_string(location.state_file(HOLDS)).unwrap();
        let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(5).unwrap()).collect();
        assert_eq!(kinds, ["hold", "hold", "hold", "release", "hold"]);
    }

    #[test]
    fn a_new_note_takes_the_place_of_the_one_before() {
        let catalog = Catalog::with_state_folder();
        let noted = |note: Option<&str>| Hold {
            note: note.map(str::to_owned),
            ..hold("2026/17", None)
        };
        for (note, is_new) in [
            (None, true),
            (Some("one"), true),
            (Some("one"), false),
            (Some("two"), true),
            (None, false),
        ] {
            assert_eq!(Holds::add(&catalog.location, noted(note)).unwrap(), is_new, "{note:?}");
        }
        let holds = Holds::read(&catalog.location).unwrap();
        let notes: Vec<_> = holds.iter().map(|hold| hold.note.as_deref()).collect();
        assert_eq!(notes, [Some("two")]);
    }

    #[test]
    fn a_line_that_cannot_be_read_means_that_nothing_is_known() {
        let catalog = Catalog::with_state_folder();
        Holds::add(&catalog.location, hold("one", None)).unwrap();
        let path = catalog.location.state_file(HOLDS);
        let whole = fs::read_to_string(&path).unwrap();
        for (damaged, expected) in [
            (whole.trim_end().to_owned(), "line 1 cannot be read (it is cut off)"),
            (format!("{whole}{{}}\n"), "line 2 cannot be read"),
            (whole.replace("\"v\":1", "\"v\":2"), "it is of version 2"),
            (whole.replace("hold", "hald"), "line 1 cannot be read"),
        ] {
            fs::write(&path, &damaged).unwrap();
            let error = Holds::read(&catalog.location).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(Holds::add(&catalog.location, hold("two", None)).is_err());
            assert!(Holds::release(&catalog.location, "one", now()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "it is as it was");
        }
    }

    #[test]
    fn only_one_process_changes_them() {
        let catalog = Catalog::with_state_folder();
        let lock = Lock::acquire_file(&catalog.location, "holds.lock", now()).unwrap();
        let error = Holds::add(&catalog.location, hold("one", None)).unwrap_err();
        assert!(error.is_held(), "{error}");
        drop(lock);
        assert!(Holds::add(&catalog.location, hold("one", None)).unwrap());
    }
}
