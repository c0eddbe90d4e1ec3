//! Counts what the day files of a stream hold, compressed ones included, in one pass.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use chrono::NaiveDate;

use super::counts::{Counts, People};
use super::fields::FieldReader;
use crate::archive::{DayFile, FileStamp, Listing, Location, while_days_move};
use crate::fs::FileError;
use crate::output::progress::ReadProgress;
use crate::record::Reader;
use crate::source::Kind;

/// How many different texts of a file are kept where it is not read again.
const MOST_KNOWN: usize = 200;

/// The counts of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Number of records of each day, also of those with an empty file.
    pub(crate) days: BTreeMap<NaiveDate, u64>,
    pub(crate) counts: Counts,
    /// Why compressed files are not counted that are damaged.
    pub(crate) damaged: Vec<String>,
}

/// Days without a record, between days with some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuietDays {
    pub(crate) first: NaiveDate,
    pub(crate) last: NaiveDate,
    pub(crate) days: usize,
}

/// Counts a stream, once or again and again.
pub(crate) struct Surveyor {
    kind: &'static Kind,
    people: People,
    /// The counts of files that are not read again as long as they have this length.
    known: Option<BTreeMap<PathBuf, (FileStamp, Counts)>>,
}

impl Surveyor {
    /// Counts everything, once.
    pub(crate) fn once(kind: &'static Kind) -> Self {
        Self {
            kind,
            people: People::Named,
            known: None,
        }
    }

    /// Counts again and again, without what names people: that would fill the memory. A file that has not grown is not read
    /// again, since its bytes never change.
    pub(crate) fn repeated(kind: &'static Kind) -> Self {
        Self {
            kind,
            people: People::LeftOut,
            known: Some(BTreeMap::new()),
        }
    }

    /// Reads all day files of a stream.
    ///
    /// # Errors
    /// If the folder or a day file cannot be read; one that is compressed and damaged is left out.
    pub(crate) fn survey(&mut self, location: &Location, progress: &ReadProgress) -> Result<Survey, FileError> {
        let mut survey = Survey::default();
        let mut listing = location.listing()?;
        for date in listing.dates() {
            let counted = while_days_move(location, &mut listing, |listing| {
                self.count_day(listing, date, progress)
            })?;
            survey.days.entry(date).or_default();
            for counts in counted {
                match counts {
                    Ok(mut counts) => {
                        for (day, records) in std::mem::take(&mut counts.days) {
                            *survey.days.entry(day).or_default() += records;
                        }
                        survey.counts.merge(counts);
                    }
                    Err(damaged) => survey.damaged.push(damaged),
                }
            }
        }
        self.forget_files_but(&listing);
        Ok(survey)
    }

    /// Counts the files of a day; a damaged one has the error in place of its counts.
    fn count_day(
        &mut self,
        listing: &Listing,
        date: NaiveDate,
        progress: &ReadProgress,
    ) -> Result<Vec<Result<Counts, String>>, FileError> {
        let files = listing
            .packed
            .get(&date)
            .cloned()
            .into_iter()
            .chain(listing.days.get(date));
        let files: Vec<_> = files.collect();
        let mut seen = (files.len() > 1).then(HashSet::new);
        let counted = files
            .into_iter()
            .map(|file| match self.count(&file, seen.as_mut(), progress) {
                Err(error) if error.is_damaged() => Ok(Err(error.to_string())),
                counts => counts.map(Ok),
            });
        counted.collect()
    }

    /// Forgets files that are no longer there.
    fn forget_files_but(&mut self, listing: &Listing) {
        if let Some(known) = &mut self.known {
            let there: BTreeSet<_> = listing.files().map(|file| file.path).collect();
            known.retain(|path, _| there.contains(path));
        }
    }

    /// Counts one file, or says again what was counted. What is in `seen` was in the other file of its day.
    fn count(
        &mut self,
        file: &DayFile,
        seen: Option<&mut HashSet<u128>>,
        progress: &ReadProgress,
    ) -> Result<Counts, FileError> {
        let stamp = file.stamp()?;
        let known = self.known.as_ref().and_then(|known| known.get(&file.path));
        // What two files share depends on both of them.
        if let Some((_, counts)) = known.filter(|(then, _)| then.is_as_long_as(&stamp) && seen.is_none()) {
            return Ok(counts.clone());
        }
        let mut counts = self.read(file, seen, progress)?;
        if let Some(known) = &mut self.known {
            counts.events.keep_top(MOST_KNOWN);
            counts.failures.keep_top(MOST_KNOWN);
            known.insert(file.path.clone(), (stamp, counts.clone()));
        }
        Ok(counts)
    }

    fn read(
        &self,
        file: &DayFile,
        mut seen: Option<&mut HashSet<u128>>,
        progress: &ReadProgress,
    ) -> Result<Counts, FileError> {
        let mut counts = Counts::default();
        let (mut fields, mut identities) = (FieldReader::new(self.kind), Reader::new(self.kind.shape));
        let (mut newest, mut others) = (None, 0);
        let mut part = progress.file(file.length()?, file.is_packed());
        let not_text = file.lines(|line| {
            part.advance(line.len() as u64 + 1);
            let Some(read) = fields.read(line) else {
                others += 1;
                return;
            };
            let is_new = seen.as_mut().is_none_or(|seen| {
                let identified = identities.identify(line);
                identified.is_ok_and(|identified| seen.insert(identified.identity.content))
            });
            if is_new {
                counts.add(read, self.people, &mut newest);
            }
        })?;
        counts.unreadable = not_text + others;
        Ok(counts)
    }
}

impl Survey {
    /// Returns the number of records.
    pub(crate) fn records(&self) -> u64 {
        self.counts.records
    }

    /// Returns the first and the last day with records.
    pub(crate) fn range(&self) -> Option<(NaiveDate, NaiveDate)> {
        let mut days = self
            .days
            .iter()
            .filter(|(_, records)| **records > 0)
            .map(|(date, _)| *date);
        let first = days.next()?;
        Some((first, days.next_back().unwrap_or(first)))
    }

    /// Returns every day between those two, with its number of records.
    pub(crate) fn every_day(&self) -> Vec<(NaiveDate, u64)> {
        let Some((first, last)) = self.range() else {
            return Vec::new();
        };
        let days = first.iter_days().take_while(|date| *date <= last);
        days.map(|date| (date, self.days.get(&date).copied().unwrap_or(0)))
            .collect()
    }

    /// Returns the periods without records between days with some.
    pub(crate) fn quiet(&self) -> Vec<QuietDays> {
        let days = self.every_day();
        let stretches = days.chunk_by(|one, next| (one.1 == 0) == (next.1 == 0));
        let quiet = stretches.filter(|stretch| stretch[0].1 == 0);
        quiet
            .map(|stretch| QuietDays {
                first: stretch[0].0,
                last: stretch[stretch.len() - 1].0,
                days: stretch.len(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::source::SOURCES;
    use crate::test_support::packed;

    fn write(folder: &Path, files: &[(&str, &str)]) -> Location {
        for (date, text) in files {
            fs::write(folder.join(format!("mail_{date}.log")), text).unwrap();
        }
        Location::new(folder, "mail", "log").unwrap()
    }

    fn survey(files: &[(&str, &str)]) -> Survey {
        let folder = tempfile::tempdir().unwrap();
        let location = write(folder.path(), files);
        let mut surveyor = Surveyor::once(&SOURCES[0]);
        surveyor.survey(&location, &ReadProgress::hidden()).unwrap()
    }

    fn mail(time: &str, event: &str, user: &str) -> String {
        format!("{{\"eventType\": \"{event}\", \"date\": \"{time}\", \"userLogin\": \"{user}\"}}\n")
    }

    fn gzip(path: &Path, text: &str) {
        fs::write(path, packed::gzip(text.as_bytes())).unwrap();
    }

    #[test]
    fn records_are_counted_by_day_weekday_hour_event_and_user() {
        let day = [
            mail("2025-06-09T10:00:00Z", "message_receive", "a"),
            mail("2025-06-09T10:30:00Z", "message_receive", "b"),
            mail("2025-06-09T23:59:59Z", "mailbox_send", "a"),
        ];
        let survey = survey(&[
            ("2025-06-09", &day.concat()),
            ("2025-06-10", ""),
            ("2025-06-13", &mail("2025-06-13T10:00:00Z", "mailbox_send", "a")),
        ]);
        let counts = &survey.counts;
        assert_eq!(survey.records(), 4);
        // A Monday and a Friday.
        assert_eq!((counts.week[0][10], counts.week[0][23], counts.week[4][10]), (2, 1, 1));
        assert_eq!(
            counts.events.top(9),
            (vec![("mailbox_send", 2), ("message_receive", 2)], 0)
        );
        assert_eq!(counts.actors.top(1), (vec![("a", 3)], 1));
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(survey.range(), Some((date("2025-06-09"), date("2025-06-13"))));
        let quiet = QuietDays {
            first: date("2025-06-10"),
            last: date("2025-06-12"),
            days: 3,
        };
        assert_eq!(survey.quiet(), [quiet]);
        let days: Vec<_> = survey.every_day().into_iter().map(|(_, records)| records).collect();
        assert_eq!(days, [3, 0, 0, 0, 1]);
    }

    #[test]
    fn lines_that_are_not_records_count_but_torn_lines_do_not() {
        let text = mail("2025-06-09T10:00:00Z", "x", "a") + "{\"half\": \"a line\n[]\n{}\n{\"being\": \"writ";
        let survey = survey(&[("2025-06-09", &text)]);
        assert_eq!((survey.records(), survey.counts.unreadable), (1, 3));
    }

    #[test]
    fn a_record_after_a_newer_one_came_later_than_that() {
        let times = ["10:00:00", "10:00:30", "10:00:00", "09:00:31", "03:00:00", "10:00:31"];
        let lines = times.map(|time| mail(&format!("2025-06-09T{time}Z"), "x", "a"));
        let delays: Vec<_> = survey(&[("2025-06-09", &lines.concat())]).counts.delays();
        let records: Vec<_> = delays.iter().map(|delay| delay.records).collect();
        assert_eq!(records, [1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn an_empty_archive_can_be_surveyed() {
        let survey = survey(&[]);
        assert_eq!(survey, Survey::default());
        assert_eq!(
            (survey.range(), survey.every_day(), survey.quiet()),
            (None, vec![], vec![])
        );
    }

    #[test]
    fn compressed_days_count_once_and_damaged_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (
            mail("2025-06-09T10:00:00Z", "x", "a"),
            mail("2025-06-09T11:00:00Z", "x", "b"),
        );
        let location = write(folder.path(), &[("2025-06-09", &(one.clone() + &two))]);
        gzip(&folder.path().join("mail_2025-06-09.log.gz"), &one);
        gzip(
            &folder.path().join("mail_2025-06-10.log.gz"),
            &mail("2025-06-10T10:00:00Z", "x", "a"),
        );
        fs::write(folder.path().join("mail_2025-06-11.log.gz"), "damaged").unwrap();
        let mut surveyor = Surveyor::once(&SOURCES[0]);
        let survey = surveyor.survey(&location, &ReadProgress::hidden()).unwrap();
        let days: Vec<_> = survey.days.values().copied().collect();
        assert_eq!((days, survey.records()), (vec![2, 1, 0], 3));
        assert!(survey.damaged[0].contains("2025-06-11"), "{:?}", survey.damaged);
    }

    #[test]
    fn a_repeated_survey_reads_what_has_grown_and_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (
            mail("2025-06-09T10:00:00Z", "x", "a"),
            mail("2025-06-10T10:00:00Z", "x", "a"),
        );
        let location = write(folder.path(), &[("2025-06-09", &old), ("2025-06-10", &new)]);
        let mut surveyor = Surveyor::repeated(&SOURCES[0]);
        let mut survey = || surveyor.survey(&location, &ReadProgress::hidden()).unwrap();
        assert_eq!(survey().records(), 2);
        // Not even this is noticed in a file that has the same length: it is not read.
        fs::write(folder.path().join("mail_2025-06-09.log"), "x".repeat(old.len())).unwrap();
        fs::write(folder.path().join("mail_2025-06-10.log"), new.repeat(2)).unwrap();
        let second = survey();
        assert_eq!((second.records(), second.counts.unreadable), (3, 0));
        assert_eq!(
            (second.counts.actors.different(), second.counts.addresses.different()),
            (0, 0)
        );
        assert_eq!(second.counts.events.top(1).0, [("x", 3)]);
    }
}
