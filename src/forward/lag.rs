//! How far the forwarders of a stream have got, from their cursors and the day files alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::cursor::{CursorError, CursorFile, Stored};
use super::day_lines::{DayLines, Days, ListedDays};
use super::position::Positions;
use crate::archive::{Location, SINKS, while_files_move};
use crate::fs::FileError;
use crate::record::{Reader, Shape};

/// How far a forwarder has got with a stream. The fields are those of `trailkeeper status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Lag {
    pub(crate) sink: &'static str,
    /// The cursor file that this is told from; `None` if there is none, or it cannot be read.
    pub(crate) cursor: Option<PathBuf>,
    /// The newest day file with a position; `None` if nothing was forwarded.
    pub(crate) file: Option<String>,
    /// The position there, in bytes.
    pub(crate) offset: Option<u64>,
    /// Time of the last record before that.
    pub(crate) up_to: Option<DateTime<Utc>>,
    /// Number of whole lines after the cursor, in all day files; `None` if the cursor, or a file, cannot be read.
    pub(crate) waiting: Option<u64>,
    /// Time of the first record among those, in the oldest day file that has one.
    pub(crate) oldest_waiting: Option<DateTime<Utc>>,
    /// The age of that record.
    pub(crate) oldest_waiting_seconds: Option<i64>,
    /// Why the lag is unknown, or only partly known.
    pub(crate) problem: Option<String>,
}

/// Returns how far each forwarder of a stream has got at `now`.
///
/// Of day files without waiting lines only the line before the cursor is read, and cursors are not changed. A cursor that
/// cannot be read, or does not agree with the day files, has a `problem`.
#[must_use]
pub(crate) fn lags(location: &Location, stream: &'static str, shape: Shape, now: DateTime<Utc>) -> Vec<Lag> {
    let forwarded = Stream {
        location,
        stream,
        shape,
        now,
    };
    SINKS.into_iter().filter_map(|sink| forwarded.lag(sink)).collect()
}

/// Returns why streams are not forwarded before `--forward-from` says where to go on, or another version of the program
/// does it, for each sink.
#[must_use]
pub(crate) fn cursor_problems(location: &Location, stream: &'static str) -> Vec<String> {
    let find = |sink| -> Result<Option<String>, CursorError> {
        let mut listed = Days::of(location).list(..)?;
        let found = FoundCursor::of(location, stream, sink, &mut listed)?;
        Ok(found.and_then(|found| found.problem(&listed)))
    };
    let problem = |sink| while_files_move(|| find(sink)).unwrap_or_else(|error| Some(error.to_string()));
    SINKS.into_iter().filter_map(problem).collect()
}

/// Returns the days that a forwarder of a stream has not sent to their ends, with its sink. One whose cursor cannot be gone on from
/// has sent none.
///
/// # Errors
/// If a cursor or a day file cannot be read.
pub(crate) fn not_passed(
    location: &Location,
    stream: &'static str,
) -> Result<BTreeMap<NaiveDate, &'static str>, CursorError> {
    let mut waiting = BTreeMap::new();
    for sink in SINKS {
        let mut listed = Days::of(location).list(..)?;
        let Some(found) = FoundCursor::of(location, stream, sink, &mut listed)? else {
            continue;
        };
        for day in &listed.days {
            if found.problem.is_some() || found.positions.of(day.date) < day.end()? {
                waiting.insert(day.date, sink);
            }
        }
    }
    Ok(waiting)
}

/// A cursor as it is stored, or what there is in its place.
struct FoundCursor {
    /// Its file, if it could be read.
    file: Option<PathBuf>,
    /// How far it agrees with the day files.
    positions: Positions,
    /// Why it is none to go on from.
    problem: Option<CursorError>,
}

impl FoundCursor {
    /// Returns `None` if the stream was never forwarded to this sink, which leaves the lock of its cursor, or has no lines.
    fn of(
        location: &Location,
        stream: &'static str,
        sink: &'static str,
        listed: &mut ListedDays,
    ) -> Result<Option<Self>, CursorError> {
        let file = CursorFile::new(location, stream, sink);
        let nothing = |problem| {
            let positions = Positions::default();
            let problem = Some(problem);
            Ok(Some(Self {
                file: None,
                positions,
                problem,
            }))
        };
        let mut positions = match file.load()? {
            Stored::Cursor(state) => state.positions,
            Stored::Nothing if !location.state_file(&format!("{sink}.lock")).exists() || listed.are_empty()? => {
                return Ok(None);
            }
            Stored::Nothing => return nothing(file.missing()),
            Stored::Damaged { problem, previous } => return nothing(file.damaged(problem, previous)),
        };
        let mismatches = positions.compare_listed(listed, |_| true)?;
        Ok(Some(Self {
            file: Some(file.path().to_owned()),
            positions: positions.without(&mismatches),
            problem: CursorError::of_mismatches(sink, &mismatches),
        }))
    }
}

impl FoundCursor {
    /// Returns why not everything is sent by the next run.
    fn problem(&self, listed: &ListedDays) -> Option<String> {
        let problem = self.problem.as_ref().map(ToString::to_string);
        problem.or_else(|| listed.unreadable.as_ref().map(ToString::to_string))
    }
}

/// A stream and its day files.
struct Stream<'a> {
    location: &'a Location,
    stream: &'static str,
    shape: Shape,
    now: DateTime<Utc>,
}

impl Stream<'_> {
    /// Returns `None` if the stream was never forwarded to this sink.
    fn lag(&self, sink: &'static str) -> Option<Lag> {
        let lag = while_files_move(|| self.read(sink)).unwrap_or_else(|error| {
            Some(Lag {
                problem: Some(error.to_string()),
                ..Lag::default()
            })
        });
        lag.map(|lag| Lag { sink, ..lag })
    }

    fn read(&self, sink: &'static str) -> Result<Option<Lag>, CursorError> {
        let mut listed = Days::of(self.location).list(..)?;
        let Some(found) = FoundCursor::of(self.location, self.stream, sink, &mut listed)? else {
            return Ok(None);
        };
        let (mut waiting, mut oldest_waiting) = (0, None);
        for day in &listed.days {
            let position = found.positions.of(day.date);
            let behind = day.count_behind(position)?;
            waiting += behind;
            if behind > 0 && oldest_waiting.is_none() {
                oldest_waiting = day.first_behind(position, self.time())?;
            }
        }
        Ok(Some(Lag {
            cursor: found.file.clone(),
            waiting: Some(waiting),
            oldest_waiting,
            oldest_waiting_seconds: oldest_waiting.map(|oldest| (self.now - oldest).num_seconds()),
            problem: found.problem(&listed),
            ..self.position(&found.positions, &listed.days)?
        }))
    }

    /// Returns the newest position of the cursor.
    fn position(&self, positions: &Positions, days: &[DayLines]) -> Result<Lag, FileError> {
        let Some(day) = days.iter().rev().find(|day| positions.of(day.date) > 0) else {
            return Ok(Lag::default());
        };
        let offset = positions.of(day.date);
        Ok(Lag {
            file: self.location.day_name(day.date),
            offset: Some(offset),
            up_to: day.last_before(offset, self.time())?,
            ..Lag::default()
        })
    }

    /// Reads the time of a line; `None` if it is not a record.
    fn time(&self) -> impl FnMut(&str) -> Option<DateTime<Utc>> {
        let mut reader = Reader::new(self.shape);
        move |line| Some(reader.identify(line).ok()?.time)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::cursor::CursorState;
    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::record::{SHAPE, line, time as at};

    fn record(time: &str) -> String {
        line(time, time)
    }

    impl Catalog {
        fn set_cursor(&self, positions: &[(&str, u64)]) {
            let positions = positions.iter().map(|(day, at)| (day.parse().unwrap(), *at)).collect();
            let state = CursorState {
                positions,
                is_provisional: false,
            };
            CursorFile::new(&self.location, "yandex-mail", "kafka")
                .store(&state)
                .unwrap();
        }

        fn lags(&self) -> Vec<Lag> {
            lags(&self.location, "yandex-mail", SHAPE, at("2025-06-10T12:00:00Z"))
        }

        fn lag(&self) -> Lag {
            let lags = self.lags();
            assert_eq!(lags.len(), 1, "{lags:?}");
            lags.into_iter().next().unwrap()
        }
    }

    #[test]
    fn a_stream_that_was_never_forwarded_has_no_forwarder() {
        let catalog = Catalog::new();
        catalog.append("2025-06-10", &record("2025-06-10T11:00:00Z"));
        assert_eq!(catalog.lags(), []);
    }

    #[test]
    fn of_a_cursor_that_is_gone_the_lock_is_left_and_everything_waits() {
        let catalog = Catalog::with_state_folder();
        fs::write(catalog.location.state_file("http.lock"), "").unwrap();
        assert_eq!(catalog.lags(), [], "there is no line");
        catalog.append("2025-06-10", &record("2025-06-10T11:00:00Z"));
        let lag = catalog.lag();
        assert_eq!((lag.sink, lag.waiting), ("http", Some(1)));
        assert!(lag.problem.unwrap().starts_with("there is no cursor for http"));
    }

    #[test]
    fn a_forwarder_that_has_sent_everything_has_nothing_waiting() {
        let catalog = Catalog::new();
        let line = record("2025-06-10T11:00:00Z");
        catalog.append("2025-06-09", "junk\n");
        catalog.append("2025-06-10", &line);
        catalog.set_cursor(&[("2025-06-09", 5), ("2025-06-10", line.len() as u64)]);
        let expected = Lag {
            sink: "kafka",
            cursor: Some(catalog.location.state_file("kafka.json")),
            file: Some("mail_2025-06-10.log".to_owned()),
            offset: Some(line.len() as u64),
            up_to: Some(at("2025-06-10T11:00:00Z")),
            waiting: Some(0),
            ..Lag::default()
        };
        assert_eq!(catalog.lag(), expected);
    }

    #[test]
    fn whole_lines_after_the_cursor_wait_late_ones_too() {
        let catalog = Catalog::new();
        let (old, new) = (record("2025-06-09T10:00:00Z"), record("2025-06-10T11:00:00Z"));
        catalog.append("2025-06-09", &old);
        catalog.append("2025-06-10", &new);
        catalog.set_cursor(&[("2025-06-09", old.len() as u64), ("2025-06-10", new.len() as u64)]);
        catalog.append("2025-06-09", &format!("junk\n{}", record("2025-06-09T08:00:00Z")));
        catalog.append("2025-06-10", &format!("{}half", record("2025-06-10T11:59:00Z")));
        let lag = catalog.lag();
        assert_eq!((lag.waiting, lag.up_to), (Some(3), Some(at("2025-06-10T11:00:00Z"))));
        assert_eq!(lag.oldest_waiting, Some(at("2025-06-09T08:00:00Z")));
        assert_eq!(lag.oldest_waiting_seconds, Some(28 * 3600));
    }

    #[test]
    fn before_the_first_line_everything_waits() {
        let catalog = Catalog::new();
        catalog.append("2025-06-09", &record("2025-06-09T10:00:00Z"));
        catalog.set_cursor(&[]);
        let lag = catalog.lag();
        assert_eq!((lag.file, lag.up_to, lag.waiting), (None, None, Some(1)));
    }

    #[test]
    fn a_cursor_that_does_not_match_its_file_is_told_and_all_its_lines_wait() {
        let catalog = Catalog::new();
        let line = record("2025-06-10T11:00:00Z");
        catalog.append("2025-06-10", &line.repeat(2));
        for position in [line.len() as u64 + 1, 10_000] {
            catalog.set_cursor(&[("2025-06-10", position)]);
            let lag = catalog.lag();
            assert_eq!(lag.waiting, Some(2), "{position}");
            assert!(lag.problem.unwrap().contains("is not one in these day files"));
        }
    }

    #[test]
    fn a_damaged_or_unreadable_cursor_is_reported() {
        let catalog = Catalog::new();
        catalog.append("2025-06-10", &record("2025-06-10T11:00:00Z"));
        catalog.set_cursor(&[]);
        let path = catalog.location.state_file("kafka.json");
        fs::write(&path, "{").unwrap();
        let damaged = catalog.lag();
        assert_eq!(damaged.waiting, Some(1));
        assert!(damaged.problem.unwrap().contains("mail.kafka.json is damaged"));
        fs::write(&path, r#"{"version": 3}"#).unwrap();
        let newer = catalog.lag();
        assert_eq!(newer.waiting, None, "it cannot be counted");
        assert!(newer.problem.unwrap().contains("newer version of trailkeeper"));
    }
}
