//! Holds: the spans of a stream of which nothing may be deleted, for a case such as an inquiry.
//!
//! They are stored in `.trailkeeper/<base>.holds.jsonl`, a line for each hold that was placed or released, oldest first. The
//! file is replaced whole, and synced, so it never ends in a torn line: a line that cannot be read is damage, and then nothing
//! is known of the holds.
//!
//! Each line names its stream, which stays held when the base name of its files is changed: the holds of a stream are those in all such
//! files of the folder that name it. A file of another base name of which a line names none, or cannot be read, may be the stream's.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::location::{HOLDS_GUARD, Location};
use super::lock::{Lock, LockError};
use crate::fs::FileError;
use crate::output::printable::printable;
use crate::window::{Window, floor_to_millisecond};

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
    /// Returns whether something of a span is held.
    pub(crate) fn touches(&self, span: Window) -> bool {
        self.since.is_none_or(|since| since < span.to) && self.until.is_none_or(|until| span.from < until)
    }

    /// Says what it keeps.
    pub(crate) fn sentence(&self) -> String {
        let case = printable(&self.case);
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        match (self.since.map(time), self.until.map(time)) {
            (None, None) => format!("held for the case {case}: everything"),
            (Some(since), None) => format!("held for the case {case}: everything since {since}"),
            (None, Some(until)) => format!("held for the case {case}: everything before {until}"),
            (Some(since), Some(until)) => format!("held for the case {case}: from {since} to {until}"),
        }
    }

    /// Whether it is for the same case and span.
    fn is_as(&self, other: &Self) -> bool {
        (&self.case, self.since, self.until) == (&other.case, other.since, other.until)
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    v: u32,
    /// Whose hold it is: in a file of another base name it has to be told.
    #[serde(default)]
    stream: Option<String>,
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
    #[error(
        "{path}: line {line} does not say of which stream the hold is, and the file has another base name, so what is held is not \
         known: rename the file to {own} if it is of this stream, or move it away"
    )]
    OfNoStream { path: String, line: usize, own: String },
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
    /// Reads the holds of a stream; none if there is no file.
    ///
    /// # Errors
    /// If a file cannot be read, or a line of it, or it is not known whose one is.
    pub(crate) fn read(location: &Location, stream: &str) -> Result<Self, HoldsError> {
        let files = files(location)?;
        let read = files.iter().map(|place| read_file(location, place, stream));
        let all = read.collect::<Result<Vec<_>, _>>()?;
        let mut holds = Self::default();
        for hold in all.into_iter().flat_map(|(_, holds)| holds.0) {
            holds.take(Event::Hold(hold));
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
    pub(crate) fn keep(location: &Location, now: DateTime<Utc>) -> Result<Vec<Lock>, HoldsError> {
        let guard = format!("{HOLDS_GUARD}.lock");
        let lock = |place: &Location| Ok(Lock::acquire_file(place, &guard, now)?);
        files(location)?.iter().map(lock).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.0.iter()
    }

    /// Returns the first hold of something in a span.
    pub(crate) fn of(&self, span: Window) -> Option<&Hold> {
        self.0.iter().find(|hold| hold.touches(span))
    }

    /// Places a hold; returns whether it is new, or has a new note: the same span is held for a case once.
    ///
    /// # Errors
    /// If they cannot be read or written. What was held before still is.
    pub(crate) fn add(location: &Location, stream: &str, hold: Hold) -> Result<bool, HoldsError> {
        let hold = Hold {
            at: floor_to_millisecond(hold.at),
            ..hold
        };
        let _kept = Self::keep(location, hold.at)?;
        let is_known = |other: &Hold| other.is_as(&hold) && (hold.note.is_none() || hold.note == other.note);
        if Self::read(location, stream)?.iter().any(is_known) {
            return Ok(false);
        }
        append(location, stream, Event::Hold(hold))?;
        Ok(true)
    }

    /// Ends what is held for a case, in each file that holds it, and returns how many holds those were.
    ///
    /// # Errors
    /// If they cannot be read or written. What was held before still is, in whole or in part.
    pub(crate) fn release(
        location: &Location,
        stream: &str,
        case: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, HoldsError> {
        let _kept = Self::keep(location, now)?;
        let is_of_case = |hold: &&Hold| hold.case == case;
        let released = Self::read(location, stream)?.iter().filter(is_of_case).count() as u64;
        for place in files(location)? {
            let (_, holds) = read_file(location, &place, stream)?;
            if holds.iter().any(|hold| hold.case == case) {
                let (case, at) = (case.to_owned(), floor_to_millisecond(now));
                append(&place, stream, Event::Release { case, at })?;
            }
        }
        Ok(released)
    }
}

/// Returns the places whose files of holds are to be read: that of the stream first, and those of the other base names in the folder
/// that have one.
fn files(location: &Location) -> Result<Vec<Location>, HoldsError> {
    Ok([location.clone()]
        .into_iter()
        .chain(location.with_state_file(HOLDS)?)
        .collect())
}

/// Reads what a file says of a stream, and its content; of its own stream is what names none in the file of its own base name.
fn read_file(own: &Location, place: &Location, stream: &str) -> Result<(Vec<u8>, Holds), HoldsError> {
    let file = place.state(HOLDS);
    let path = || file.path().display().to_string();
    let content = file.read()?.unwrap_or_default();
    // A file is only made with a hold in it.
    if content.is_empty() && file.length().is_ok() {
        return Err(HoldsError::Damaged {
            path: path(),
            line: 1,
            cause: "the file is empty".to_owned(),
        });
    }
    let mut holds = Holds::default();
    for (number, text) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = number + 1;
        let Line { stream: of, event, .. } = read_line(text).map_err(|cause| HoldsError::Damaged {
            path: path(),
            line,
            cause,
        })?;
        match of {
            Some(of) if of != stream => {}
            None if place != own => {
                let own = own.state(HOLDS);
                let own = own
                    .path()
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                return Err(HoldsError::OfNoStream {
                    path: path(),
                    line,
                    own,
                });
            }
            _ => holds.take(event),
        }
    }
    Ok((content, holds))
}

/// Adds a line to the file of a place, whose guard is held.
fn append(place: &Location, stream: &str, event: Event) -> Result<(), HoldsError> {
    let (mut content, _) = read_file(place, place, stream)?;
    let line = Line {
        v: VERSION,
        stream: Some(stream.to_owned()),
        event,
    };
    serde_json::to_writer(&mut content, &line)?;
    content.push(b'\n');
    Ok(place.state(HOLDS).replace(&content)?)
}

fn read_line(text: &[u8]) -> Result<Line, String> {
    if text.last() != Some(&b'\n') {
        return Err("it is cut off".to_owned());
    }
    let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if line.v == VERSION {
        Ok(line)
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
        let holds = Holds::read(&catalog.location, "mail").unwrap();
        holds.iter().map(|hold| hold.case.clone()).collect()
    }

    #[test]
    fn what_is_placed_is_held_until_its_case_is_released_and_the_history_stays() {
        let catalog = Catalog::new();
        let location = &catalog.location;
        assert_eq!(cases(&catalog), Vec::<String>::new());
        assert!(Holds::add(location, "mail", hold("2026/17", None)).unwrap());
        assert!(
            !Holds::add(location, "mail", hold("2026/17", None)).unwrap(),
            "it is held already"
        );
        assert!(Holds::add(location, "mail", hold("2026/17", Some("2026-01-01T00:00:00Z"))).unwrap());
        assert!(Holds::add(location, "mail", hold("other", None)).unwrap());
        assert_eq!(cases(&catalog), ["2026/17", "2026/17", "other"]);
        assert_eq!(Holds::release(location, "mail", "2026/17", now()).unwrap(), 2);
        assert_eq!(Holds::release(location, "mail", "2026/17", now()).unwrap(), 0);
        assert_eq!(cases(&catalog), ["other"]);
        assert!(Holds::add(location, "mail", hold("2026/17", None)).unwrap());
        let text = fs::read_to_string(location.state_file(HOLDS)).unwrap();
        let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(9).unwrap()).collect();
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
            assert_eq!(
                Holds::add(&catalog.location, "mail", noted(note)).unwrap(),
                is_new,
                "{note:?}"
            );
        }
        let holds = Holds::read(&catalog.location, "mail").unwrap();
        let notes: Vec<_> = holds.iter().map(|hold| hold.note.as_deref()).collect();
        assert_eq!(notes, [Some("two")]);
    }

    #[test]
    fn a_line_that_cannot_be_read_means_that_nothing_is_known() {
        let catalog = Catalog::with_state_folder();
        Holds::add(&catalog.location, "mail", hold("one", None)).unwrap();
        let path = catalog.location.state_file(HOLDS);
        let whole = fs::read_to_string(&path).unwrap();
        for (damaged, expected) in [
            (whole.trim_end().to_owned(), "line 1 cannot be read (it is cut off)"),
            (format!("{whole}{{}}\n"), "line 2 cannot be read"),
            (whole.replace("\"v\":1", "\"v\":2"), "it is of version 2"),
            (whole.replace("hold", "hald"), "line 1 cannot be read"),
        ] {
            fs::write(&path, &damaged).unwrap();
            let error = Holds::read(&catalog.location, "mail").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(Holds::add(&catalog.location, "mail", hold("two", None)).is_err());
            assert!(Holds::release(&catalog.location, "mail", "one", now()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "it is as it was");
        }
    }

    #[test]
    fn the_holds_of_a_stream_stay_its_own_when_its_files_get_another_base_name() {
        let catalog = Catalog::with_state_folder();
        let before = &catalog.location;
        let after = Location::new(catalog.folder(), "mail_audit", "log").unwrap();
        Holds::add(before, "mail", hold("one", None)).unwrap();
        Holds::add(before, "disk", hold("two", None)).unwrap();
        let cases = |stream: &str| {
            let holds = Holds::read(&after, stream).unwrap();
            holds.iter().map(|hold| hold.case.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            (cases("mail"), cases("disk")),
            (vec!["one".to_owned()], vec!["two".to_owned()])
        );
        assert!(!Holds::add(&after, "mail", hold("one", None)).unwrap(), "it is held");
        assert!(!after.state_file(HOLDS).exists());
        Holds::add(&after, "mail", hold("three", None)).unwrap();
        assert_eq!(Holds::release(&after, "mail", "one", now()).unwrap(), 1);
        assert_eq!(cases("mail"), ["three"]);
        assert_eq!(cases("disk"), ["two"], "it is another stream's");
        let kept = Lock::acquire_file(before, "holds.lock", now()).unwrap();
        assert!(Holds::add(&after, "mail", hold("four", None)).unwrap_err().is_held());
        drop(kept);
        // One that names no stream may be of any.
        let path = before.state_file(HOLDS);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(r#""stream":"disk","#, "")).unwrap();
        let error = Holds::read(&after, "mail").unwrap_err().to_string();
        assert!(
            error.contains("line 2 does not say of which stream") && error.contains("mail_audit.holds.jsonl"),
            "{error}"
        );
        assert!(Holds::release(&after, "mail", "three", now()).is_err());
        let cases: Vec<_> = Holds::read(before, "mail")
            .unwrap()
            .iter()
            .map(|hold| hold.case.clone())
            .collect();
        assert_eq!(
            cases,
            ["two", "three"],
            "it is of the stream whose base name the file has"
        );
    }

    #[test]
    fn only_one_process_changes_them() {
        let catalog = Catalog::with_state_folder();
        let lock = Lock::acquire_file(&catalog.location, "holds.lock", now()).unwrap();
        let error = Holds::add(&catalog.location, "mail", hold("one", None)).unwrap_err();
        assert!(error.is_held(), "{error}");
        drop(lock);
        assert!(Holds::add(&catalog.location, "mail", hold("one", None)).unwrap());
    }
}
