//! Lines of day files that another program has compressed before they were sent.

use super::position::Positions;
use crate::archive::Location;
use crate::fs::FileError;

/// Day files that were compressed before all of their lines were sent: nothing is sent of a compressed file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{lines} lines were not sent before another program compressed {files}: decompress {files} (gzip -d or zstd -d --rm), and the \
     next run sends them; compress only what was sent",
    files = files.join(", ")
)]
pub(crate) struct CompressedTooSoon {
    /// The names of the compressed files, oldest first.
    files: Vec<String>,
    /// How many of their lines stand behind the cursor.
    pub(crate) lines: u64,
}

/// Gives compressed days that are later than all positions one at their start, so that they still wait when what is later than
/// they has been sent.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn note_waiting(location: &Location, positions: &mut Positions) -> Result<(), FileError> {
    let Some((newest, _)) = positions.iter().next_back() else {
        return Ok(());
    };
    for day in location.listing()?.packed.into_keys().filter(|day| *day > newest) {
        positions.set(day, 0);
    }
    Ok(())
}

impl CompressedTooSoon {
    /// Finds them: of days with a position, or later than all of these. An older day without a position was passed by when
    /// forwarding began. What cannot be read is for `verify` to tell.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn find(location: &Location, positions: &Positions) -> Result<Option<Self>, FileError> {
        let Some((newest, _)) = positions.iter().next_back() else {
            return Ok(None);
        };
        let mut found = Self {
            files: Vec::new(),
            lines: 0,
        };
        let listing = location.listing()?;
        // Where a plain file stands beside it, for what came late, the position is in that.
        let alone = listing.packed.iter().filter(|(day, _)| !listing.days.contains_key(day));
        for (day, file) in alone {
            let position = positions.of(*day);
            if !positions.has(*day) && *day < newest {
                continue;
            }
            let lines = file.packed_lines_behind(position).unwrap_or(0);
            if lines > 0 {
                found.files.push(file.name());
                found.lines += lines;
            }
        }
        Ok((found.lines > 0).then_some(found))
    }
}
