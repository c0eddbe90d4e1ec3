//! Where Kafka's cursor of a stream stands, for `check`: it is read, and nothing is made, sent or committed.

use serde::Serialize;

use super::client::Session;
use super::cursors::Cursors;
use crate::archive::{Location, while_files_move};
use crate::config::KafkaSettings;
use crate::forward::archive_id::ArchiveId;
use crate::forward::cursor::{CursorError, CursorFile, Stored};
use crate::forward::day_lines::Days;
use crate::forward::position::Positions;
use crate::forward::sink::SinkError;

/// Where it stands. The fields are those of `trailkeeper check --json`.
#[derive(Debug, Serialize)]
pub(crate) struct CursorProbe {
    /// The newest day file with a position.
    pub(crate) file: String,
    /// The position there, in bytes.
    pub(crate) offset: u64,
    /// Number of lines that the next run sends.
    pub(crate) waiting: u64,
}

/// Asks for the cursor of a stream that is forwarded exactly once; `None` if Kafka has none.
///
/// # Errors
/// If it cannot be read, or does not agree with the day files.
pub(super) fn probe_cursor(
    settings: &KafkaSettings,
    id: &str,
    stream: &'static str,
    location: &Location,
    session: &Session,
) -> Result<Option<CursorProbe>, SinkError> {
    let archive = ArchiveId::of(location).map_err(CursorError::from)?;
    let stream_id = format!("{id}.{stream}");
    let Some(committed) = Cursors::look(settings, id, &stream_id, session, archive)? else {
        return Ok(None);
    };
    let compare = || {
        let mut listed = Days::of(location).list(..)?;
        let mut positions = committed.positions.clone();
        let mismatches = positions.compare_listed(&mut listed, |_| true)?;
        if let Some(error) = CursorError::of_mismatches("kafka", &mismatches) {
            return Err(error.with_origin(committed.origin));
        }
        let newest = listed.days.iter().rev().find(|day| positions.of(day.date) > 0);
        let Some(newest) = newest.map(|day| day.date) else {
            return Ok(None);
        };
        // The next run goes on from the further of both.
        let furthest = positions.furthest(&acknowledged(location, stream)?);
        let behind = listed.days.iter().map(|day| day.count_behind(furthest.of(day.date)));
        Ok(Some(CursorProbe {
            file: location.day_name(newest).unwrap_or_default(),
            offset: positions.of(newest),
            waiting: behind.sum::<Result<u64, _>>()?,
        }))
    };
    Ok(while_files_move(compare)?)
}

/// Returns the positions of the cursor on disk.
fn acknowledged(location: &Location, stream: &'static str) -> Result<Positions, CursorError> {
    Ok(match CursorFile::new(location, stream, "kafka").load()? {
        Stored::Cursor(state) if !state.is_provisional => state.positions,
        _ => Positions::default(),
    })
}
