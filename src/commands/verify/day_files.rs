//! Verifies day files, in several threads.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use super::stream_report::StreamReport;
use chrono::{DateTime, NaiveDate, Utc};

use crate::archive::{DayFile, DayReport, Listing, Location, Noted, Takeover, verify_day, while_files_move};
use crate::config::StreamPlace;
use crate::coverage::{Counted, Standing, Wanted};
use crate::fs::FileError;
use crate::output::progress::ReadProgress;
use crate::record::Reader;

/// More threads than this would wait for the disk.
const MOST_THREADS: usize = 8;

/// The files of a day of a stream, with the index of the stream.
struct Job {
    stream: usize,
    date: NaiveDate,
    files: Vec<DayFile>,
    /// One for each file.
    outcomes: Vec<Result<DayReport, FileError>>,
}

/// What is known of a stream before its files are read.
struct Known {
    standing: Standing,
    noted: Noted,
    /// What another program has left.
    takeover: Option<Takeover>,
}

/// Verifies all day files at `now` concurrently, those of a day in one thread, and compares them with the journal. An archive
/// that cannot be read is wrong, and holds up no other.
pub(super) fn verify(streams: &[StreamPlace], progress: &ReadProgress, now: DateTime<Utc>) -> Vec<StreamReport> {
    let known: Vec<_> = streams.iter().map(|place| know(place, now)).collect();
    let mut jobs = jobs(&known);
    let queue = Mutex::new(jobs.iter_mut());
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| work(&queue, streams, &known, progress));
        }
    });
    let mut reports = put_together(streams, &known, &jobs);
    for ((report, known), place) in reports.iter_mut().zip(&known).zip(streams) {
        let listing = known.as_ref().ok().map(|known| &known.standing.listing);
        for (file, error) in listing
            .into_iter()
            .flat_map(|listing| listing.not_read(&place.location))
        {
            report.add(file.name(), Some(&Err(error)), 0);
        }
    }
    for ((report, known), place) in reports.iter_mut().zip(&known).zip(streams) {
        if let Ok(known) = known {
            report.compare(&known.standing, &place.location, now);
        }
    }
    reports
}

fn know(place: &StreamPlace, now: DateTime<Utc>) -> Result<Known, FileError> {
    let standing = Standing::read(&place.location, Wanted::Stream(place.kind.name), place.keep, now)?;
    Ok(Known {
        takeover: standing.takeover(&place.location, now)?,
        standing,
        noted: Noted::rejected(&place.location)?,
    })
}

fn jobs(known: &[Result<Known, FileError>]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (stream, known) in known.iter().enumerate() {
        let Ok(known) = known else { continue };
        let listing = &known.standing.listing;
        jobs.extend(listing.dates().into_iter().map(|date| Job {
            stream,
            date,
            files: files_of(listing, date),
            outcomes: Vec::new(),
        }));
    }
    jobs
}

fn files_of(listing: &Listing, date: NaiveDate) -> Vec<DayFile> {
    let Listing { days, packed, .. } = listing;
    days.get(date).into_iter().chain(packed.get(&date).cloned()).collect()
}

fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_THREADS)
}

/// Takes one file after the other until there are no more.
fn work<'a>(
    queue: &Mutex<impl Iterator<Item = &'a mut Job>>,
    streams: &[StreamPlace],
    known: &[Result<Known, FileError>],
    progress: &ReadProgress,
) {
    let next = || queue.lock().ok().and_then(|mut jobs| jobs.next());
    while let Some(job) = next() {
        let mut reader = Reader::new(streams[job.stream].kind.shape);
        // There is a job only where that is known.
        let Ok(known) = &known[job.stream] else { continue };
        let takeover = known.takeover.as_ref();
        let verify = |files: &[DayFile]| verify_day(files, &mut reader, &known.noted, takeover, progress);
        job.verify(&streams[job.stream].location, verify);
    }
}

impl Job {
    /// Verifies the files, and lists them anew while the day is packed or unpacked.
    fn verify(&mut self, location: &Location, mut verify: impl FnMut(&[DayFile]) -> Vec<Result<DayReport, FileError>>) {
        let verified = while_files_move(|| {
            self.outcomes = verify(&self.files);
            let is_moved = |outcome: &Result<DayReport, FileError>| outcome.as_ref().is_err_and(FileError::is_missing);
            let Some(index) = self.outcomes.iter().position(is_moved) else {
                return Ok(());
            };
            let files = files_of(&location.listing()?, self.date);
            // All of them are gone.
            if files.is_empty() {
                return Ok(());
            }
            self.files = files;
            self.outcomes.swap_remove(index).map(drop)
        });
        if let Err(error) = verified {
            self.outcomes = vec![Err(error)];
        }
    }
}

fn put_together(streams: &[StreamPlace], known: &[Result<Known, FileError>], jobs: &[Job]) -> Vec<StreamReport> {
    let begun = streams.iter().zip(known).map(|(place, known)| match known {
        Ok(_) => StreamReport::new(place.name()),
        Err(error) => StreamReport::unreadable(place.name(), place.location.folder(), error),
    });
    let mut reports: Vec<_> = begun.collect();
    for job in jobs {
        let counted = known[job.stream].as_ref().ok();
        let counted = counted.and_then(|known| known.standing.counts.get(&job.date));
        for (index, file) in job.files.iter().enumerate() {
            let of_file = |counted: &Counted| {
                if file.is_packed() {
                    counted.compressed
                } else {
                    counted.lines
                }
            };
            reports[job.stream].add(file.name(), job.outcomes.get(index), counted.map_or(0, of_file));
        }
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Lock, Packer};
    use crate::output::progress::Progress;
    use crate::source::SOURCES;
    use crate::test_support::Catalog;

    #[test]
    fn a_day_that_is_packed_after_it_was_listed_is_read_where_it_is_now() {
        let catalog = Catalog::with_state_folder();
        let lines = [1, 2].map(|n| format!("{{\"id\":\"{n}\",\"timestamp\":\"2025-06-09T00:00:0{n}Z\"}}\n"));
        catalog.write("2025-06-09", &lines.concat());
        let kind = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let place = StreamPlace {
            organization: None,
            kind,
            location: catalog.location.clone(),
            keep: None,
        };
        let now = "2026-11-20T10:00:00Z".parse().unwrap();
        let known = [know(&place, now)];
        let mut jobs = jobs(&known);
        let listing = catalog.location.listing().unwrap();
        let packer = Packer::under(Lock::acquire(&catalog.location, now).unwrap());
        packer.pack(&listing.days.get(jobs[0].date).unwrap(), None).unwrap();
        let progress = Progress::hidden().reading("verify", 1);
        work(&Mutex::new(jobs.iter_mut()), &[place], &known, &progress);
        let [Ok(report)] = &jobs[0].outcomes[..] else {
            panic!("{:?}", jobs[0].outcomes);
        };
        assert_eq!((report.records, jobs[0].files[0].is_packed_by_us()), (2, true));
    }
}
