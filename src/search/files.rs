//! Which files are to be searched, and how much of each.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::unsearched::Unsearched;
use crate::archive::{
    DayFile, FileStamp, LineCounter, Listing, Location, RepairedLines, days_that_can_hold, while_files_move,
};
use crate::fs::FileError;
use crate::source::{ColumnReader, Kind};

/// In which order records are found: that of their days and lines, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

/// A stream to search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) location: &'a Location,
}

/// A file to search.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) kind: &'static Kind,
    pub(crate) file: DayFile,
    /// What it was when it was listed.
    pub(crate) stamp: FileStamp,
    /// How much of it is searched, in bytes as it is stored: to the end of its last whole line when it was listed, all of one that is
    /// compressed.
    pub(crate) length: u64,
    /// Whether the day has another file as well, which can hold some of the same records.
    pub(super) is_one_of_two: bool,
    pub(super) repaired: Arc<RepairedLines>,
}

/// The files to search, in the order of the search, and why others are not searched.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) found: Vec<SourceFile>,
    pub(crate) problems: Vec<Unsearched>,
}

impl Files {
    /// Lists the files that can hold records of these times, by day and stream.
    #[must_use]
    pub(crate) fn list<'a>(
        times: &Range<DateTime<Utc>>,
        order: Order,
        places: impl Iterator<Item = Place<'a>>,
    ) -> Self {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for place in places {
            let lister = Lister::of(place);
            match lister.list_anew(times) {
                Ok((of_stream, unsearched)) => {
                    found.extend(of_stream);
                    problems.extend(unsearched.into_iter().map(|problem| lister.unsearched(problem)));
                }
                Err(error) => problems.push(lister.unsearched(error.to_string())),
            }
        }
        // The order of the streams, and of the files of a day, stays.
        found.sort_by_key(|source| source.file.date);
        if order == Order::NewestFirst {
            found.reverse();
        }
        Self { found, problems }
    }

    /// Returns the sum of their lengths.
    pub(crate) fn bytes(&self) -> u64 {
        self.found.iter().map(|source| source.length).sum()
    }
}

/// Lists the files of a stream.
struct Lister<'a> {
    place: Place<'a>,
    repaired: Arc<RepairedLines>,
}

/// The files of a stream, and why others are not searched.
type Listed = (Vec<SourceFile>, Vec<String>);

impl<'a> Lister<'a> {
    fn of(place: Place<'a>) -> Self {
        let repaired = Arc::new(RepairedLines::of(place.location));
        Self { place, repaired }
    }

    fn unsearched(&self, problem: String) -> Unsearched {
        let kind = self.place.kind;
        Unsearched { kind, problem }
    }

    /// Lists them, and again if one of them has been compressed or unpacked meanwhile.
    fn list_anew(&self, times: &Range<DateTime<Utc>>) -> Result<Listed, FileError> {
        while_files_move(|| self.list(times))
    }

    fn list(&self, times: &Range<DateTime<Utc>>) -> Result<Listed, FileError> {
        let location = self.place.location;
        let (listing, mut counter) = (location.listing()?, LineCounter::of(location));
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for day in days_that_can_hold(location, &listing, times)? {
            match self.day(&listing, day, &mut counter, &mut problems) {
                Ok(of_day) => found.extend(of_day),
                Err(error) if error.is_missing() => return Err(error),
                // Those of the other days can be read all the same.
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok((found, problems))
    }

    fn day(
        &self,
        listing: &Listing,
        day: NaiveDate,
        counter: &mut LineCounter,
        problems: &mut Vec<String>,
    ) -> Result<Vec<SourceFile>, FileError> {
        let odd = listing.odd.get(&day);
        problems.extend(odd.map(|path| format!("{} is not a regular file", path.display())));
        let parts = listing.parts_of(day, counter)?;
        problems.extend(parts.unreadable.map(|(_, error)| error.to_string()));
        // Of two compressed files one is usually the other in another form.
        let other = listing
            .unread
            .get(&day)
            .zip(parts.packed.as_ref().or(parts.plain.as_ref()));
        if let Some((other, read)) = other
            && counter.end_of_lines(other).ok() != counter.end_of_lines(read).ok()
        {
            let (other, read) = (other.path.display(), read.name());
            problems.push(format!(
                "{other}: the day has other lines in {read}; keep one of the two"
            ));
        }
        let is_one_of_two = parts.packed.is_some() && parts.plain.is_some();
        let mut found = Vec::new();
        for file in parts.packed.into_iter().chain(parts.plain) {
            match self.source_file(&file, is_one_of_two) {
                // A compressed file without a byte is a damaged one, which reading it says.
                Ok(source) => found.extend((source.length > 0 || file.is_packed()).then_some(source)),
                Err(error) if error.is_missing() => return Err(error),
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok(found)
    }

    fn source_file(&self, file: &DayFile, is_one_of_two: bool) -> Result<SourceFile, FileError> {
        let kind = self.place.kind;
        let (stamp, length) = file.extent(|line| ColumnReader::new(kind).read(line).is_ok())?;
        Ok(SourceFile {
            kind,
            file: file.clone(),
            stamp,
            length,
            is_one_of_two,
            repaired: Arc::clone(&self.repaired),
        })
    }
}
