//! Of which days the records in the files of a day are, by their times: another program may have filed them by local time, or by the
//! date of its run. What is deleted is a file, and what is to be kept are records.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::file_stamp::FileStamp;
use super::lines::{Line, Lines};
use super::listing::Listing;
use super::location::Location;
use super::repaired_lines::RepairedLines;
use crate::fs::FileError;
use crate::record::{Reader, Shape};

/// What was read of the files of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayTimes {
    /// The days of its records.
    pub(crate) days: BTreeSet<NaiveDate>,
    /// How many lines are no record whose time can be told; torn ones that were repaired are none, since their records came again.
    pub(crate) untold: u64,
    /// What the files were before they were read: the plain one, then the packed one.
    pub(super) stamps: Vec<FileStamp>,
}

impl Listing {
    /// Reads the times of all records in the files of a day.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn day_times(&self, location: &Location, shape: Shape, date: NaiveDate) -> Result<DayTimes, FileError> {
        let (mut reader, repaired) = (Reader::new(shape), RepairedLines::of(location));
        let mut times = DayTimes::default();
        for file in self.files_of(date) {
            times.stamps.push(file.stamp()?);
            let mut lines = Lines::of(file.open()?);
            while let Some(line) = lines.next().map_err(|cause| file.unreadable(cause))? {
                match day_of(&line, &mut reader) {
                    Some(day) => drop(times.days.insert(day)),
                    None => times.untold += u64::from(!line.ended || !repaired.has(&file, line.offset)),
                }
            }
        }
        Ok(times)
    }
}

fn day_of(line: &Line<'_>, reader: &mut Reader) -> Option<NaiveDate> {
    let text = std::str::from_utf8(line.bytes).ok().filter(|_| line.ended)?;
    Some(reader.identify(text).ok()?.time.date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::record::{SHAPE, line_of_day};

    #[test]
    fn the_records_of_other_days_and_lines_that_are_none_are_found_in_all_files_of_a_day() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let catalog = Catalog::with_state_folder();
        catalog.write_packed_by_us("2025-06-09", &[&line_of_day("2025-06-08", "a")]);
        let late = [
            line_of_day("2025-06-09", "b"),
            "{\"id\": 1}\n".to_owned(),
            "torn".to_owned(),
        ];
        catalog.write("2025-06-09", &late.concat());
        let times = || {
            let listing = catalog.location.listing().unwrap();
            listing.day_times(&catalog.location, SHAPE, day("2025-06-09")).unwrap()
        };
        let found = times();
        assert_eq!(found.days, [day("2025-06-08"), day("2025-06-09")].into());
        assert_eq!((found.untold, found.stamps.len()), (2, 2));
        // What was torn, and repaired since, is no record that is missing.
        let offset = late[0].len() + late[1].len() + line_of_day("2025-06-08", "a").len();
        let noted = format!(
            r#"{{"noted_at": "2026-03-04T05:06:07.089Z", "reason": "torn line, repaired", "file": "mail_2025-06-09.log", "offset": {offset}, "fragment": "torn"}}"#
        );
        std::fs::write(catalog.location.state_file("rejected.jsonl"), noted + "\n").unwrap();
        catalog.write("2025-06-09", &(late.concat() + "\n"));
        assert_eq!(times().untold, 1);
    }
}
