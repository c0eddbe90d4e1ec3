//! Which files of a day are read where each of its lines counts once: the compressed one, the plain one, or both.

use std::io;

use chrono::NaiveDate;

use super::count::LineCounter;
use super::day_file::DayFile;
use super::listing::Listing;
use super::location::Location;
use super::moves::while_files_move;
use crate::fs::FileError;

/// The files whose lines make up a day: those of the compressed file come first.
#[derive(Debug)]
pub(crate) struct DayParts {
    pub(crate) packed: Option<DayFile>,
    pub(crate) plain: Option<DayFile>,
    /// A compressed file beside the plain one that cannot be read: another program may be writing it, or it is damaged.
    pub(crate) unreadable: Option<(DayFile, FileError)>,
}

impl Listing {
    /// Returns the compressed files that are read by nobody, beside one that this program has packed, and do not hold the same: what came
    /// late for the day, and another program has compressed.
    pub(crate) fn not_read(&self, location: &Location) -> Vec<(DayFile, FileError)> {
        let mut counter = LineCounter::of(location);
        let mut not_read = Vec::new();
        for (date, other) in &self.unread {
            let Some(packed) = self.packed.get(date).filter(|file| file.is_packed_by_us()) else {
                continue;
            };
            if !counter.is_copy(packed, other).unwrap_or(false) {
                let why = format!(
                    "it holds other lines than {}, behind which only a plain file goes on: uncompress it",
                    packed.name()
                );
                let error = FileError::io("use", &other.path, io::Error::other(why));
                not_read.push((other.clone(), error));
            }
        }
        not_read
    }

    /// Returns the files whose lines make up a day. A plain file beside one that this program has packed goes on where that ends; of
    /// others: if the lines of the one are what the other begins with, they are, or will be, the same, and the longer one counts: while
    /// another program compresses or unpacks a file there are both, and `gzip -k` leaves both.
    ///
    /// # Errors
    /// If the plain file beside a compressed one cannot be read.
    pub(crate) fn parts_of(&self, date: NaiveDate, counter: &mut LineCounter) -> Result<DayParts, FileError> {
        let both = DayParts {
            packed: self.packed.get(&date).cloned(),
            plain: self.days.get(date),
            unreadable: None,
        };
        let (Some(of_packed), Some(of_plain)) = (&both.packed, &both.plain) else {
            return Ok(both);
        };
        if of_packed.is_packed_by_us() && of_packed.contents().is_ok() {
            return Ok(both);
        }
        let first = of_plain.first_line()?;
        let copied_to = match of_packed.first_line() {
            Ok(line) if line.is_some() && line != first => return Ok(both),
            Ok(_) => Self::copied_to(of_packed, of_plain, counter),
            Err(error) => Err(error),
        };
        Ok(match copied_to {
            Ok(None) => both,
            Ok(Some(end)) if of_plain.end_of_lines()? < end => DayParts { plain: None, ..both },
            Ok(Some(_)) => DayParts { packed: None, ..both },
            Err(error) => DayParts {
                packed: None,
                unreadable: both.packed.map(|packed| (packed, error)),
                plain: both.plain,
            },
        })
    }

    /// Returns where the compressed file ends if it and the plain one have the same lines, as far as both go.
    fn copied_to(packed: &DayFile, plain: &DayFile, counter: &mut LineCounter) -> Result<Option<u64>, FileError> {
        let end = counter.end_of_lines(packed)?;
        Ok(counter.is_copy(packed, plain)?.then_some(end))
    }
}

/// Reads something of a listing, and lists anew while its files are no longer there as they were: a day is packed or unpacked.
pub(crate) fn while_days_move<T, E>(
    location: &Location,
    listing: &mut Listing,
    mut read: impl FnMut(&Listing) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<FileError>,
    for<'a> &'a E: Into<Option<&'a FileError>>,
{
    while_files_move(|| {
        let read = read(listing);
        if let Err(error) = &read
            && error.into().is_some_and(FileError::is_missing)
        {
            *listing = location.listing()?;
        }
        read
    })
}
