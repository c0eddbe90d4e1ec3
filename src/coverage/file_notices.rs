//! What is to be told of day files by their names alone.

use chrono::NaiveDate;

use super::journal::Journal;
use super::scope::Wanted;
use crate::archive::{DayFile, Location};
use crate::fs::FileError;

/// Names days, oldest first; `None` if there are none.
pub(super) fn days(dates: impl IntoIterator<Item = NaiveDate>) -> Option<String> {
    let mut dates = dates.into_iter();
    let first = dates.next()?;
    Some(match dates.enumerate().last() {
        None => first.to_string(),
        Some((index, last)) => format!("{} days from {first} to {last}", index + 2),
    })
}

/// Names compressed files that are not read, since another one of their day is; `None` if there are none.
pub(super) fn unread_sentence<'a>(files: impl Iterator<Item = &'a DayFile>) -> Option<String> {
    let names: Vec<String> = files.map(DayFile::name).collect();
    let (first, last) = (names.first()?, names.last()?);
    let which = match names.len() {
        1 => format!("{first} is not read, since its day has a .gz too"),
        count => format!("{count} files from {first} to {last} are not read, since their days have a .gz too"),
    };
    Some(format!(
        "{which}: of a day keep the one that is whole and holds more, and move the other away"
    ))
}

/// Says that the day files have other names than the settings say, where there is no day file of these: the settings may
/// have been changed.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn renamed(location: &Location, wanted: Wanted<'_>) -> Result<Option<String>, FileError> {
    for other in location.files_of_other_names()? {
        let (name, base) = (&other.example, other.location.base());
        if base == location.base() {
            return Ok(Some(format!(
                "the folder has {name}: if LOG_FILE_EXTENSION was changed, set it back or rename the day files"
            )));
        }
        // Streams may share a folder, each with its base name.
        let is_of_stream = Journal::of(&other.location)
            .newest_stream()
            .is_ok_and(|stream| stream.as_deref() == Some(wanted.stream()));
        if is_of_stream {
            return Ok(Some(format!(
                "the folder has {name}, and a journal that says that it is of this stream: if LOG_FILE_BASE_NAME was changed from \
                 `{base}`, set it back, or the archive begins anew under the other name"
            )));
        }
    }
    Ok(None)
}
