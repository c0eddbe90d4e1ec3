//! Verifies day files, in several threads.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use super::stream_report::StreamReport;
use chrono::{DateTime, NaiveDate, Utc};

use crate::archive::{DayFile, DayReport, Listing, Noted, Takeover, verify_day};
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
        let Listing { days, packed, .. } = &**listing;
        jobs.extend(listing.dates().into_iter().map(|date| Job {
            stream,
            date,
            files: days.get(&date).into_iter().chain(packed.get(&date)).cloned().collect(),
            outcomes: Vec::new(),
        }));
    }
    jobs
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
        job.outcomes = verify_day(&job.files, &mut reader, &known.noted, takeover, progress);
    }
}

fn put_together(streams: &[StreamPlace], known: &[Result<Known, FileError>], jobs: &[Job]) -> Vec<StreamReport> {
    let begun = streams.iter().zip(known).map(|(place, known)| match known {
        Ok(_) => StreamReport::new(place.kind.name),
        Err(error) => StreamReport::unreadable(place.kind.name, place.location.folder(), error),
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
