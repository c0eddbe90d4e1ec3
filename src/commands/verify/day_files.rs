//! Verifies day files, in several threads.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use super::stream_report::StreamReport;
use chrono::{DateTime, NaiveDate, Utc};

use crate::archive::{DayFile, DayReport, Listing, Noted, verify_day};
use crate::config::StreamPlace;
use crate::coverage::{Counted, Standing, Wanted};
use crate::fs::FileError;
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

/// Verifies all day files at `now` concurrently, those of a day in one thread, and compares them with the journal.
pub(super) fn verify(streams: &[StreamPlace], now: DateTime<Utc>) -> Result<Vec<StreamReport>, FileError> {
    let (mut jobs, mut standings) = (Vec::new(), Vec::new());
    for (stream, archive) in streams.iter().enumerate() {
        let standing = Standing::read(&archive.location, Wanted::Stream(archive.kind.name), archive.keep, now)?;
        let Listing { days, packed, .. } = &standing.listing;
        jobs.extend(standing.listing.dates().into_iter().map(|date| Job {
            stream,
            date,
            files: days.get(&date).into_iter().chain(packed.get(&date)).cloned().collect(),
            outcomes: Vec::new(),
        }));
        standings.push(standing);
    }
    let noted = streams.iter().map(|stream| Noted::rejected(&stream.location));
    let noted: Vec<Noted> = noted.collect::<Result<_, _>>()?;
    let queue = Mutex::new(jobs.iter_mut());
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| work(&queue, streams, &noted));
        }
    });
    let mut reports = put_together(streams, &standings, &jobs);
    for ((report, standing), archive) in reports.iter_mut().zip(&standings).zip(streams) {
        report.compare(standing, &archive.location, now);
    }
    Ok(reports)
}

fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_THREADS)
}

/// Takes one file after the other until there are no more.
fn work<'a>(queue: &Mutex<impl Iterator<Item = &'a mut Job>>, streams: &[StreamPlace], noted: &[Noted]) {
    let next = || queue.lock().ok().and_then(|mut jobs| jobs.next());
    while let Some(job) = next() {
        let mut reader = Reader::new(streams[job.stream].kind.shape);
        // Torn lines were repaired before the file was compressed.
        let name = streams[job.stream].location.day_name(job.date).unwrap_or_default();
        let repaired = noted[job.stream].repaired_in(&name);
        job.outcomes = verify_day(&job.files, &mut reader, repaired);
    }
}

fn put_together(streams: &[StreamPlace], standings: &[Standing], jobs: &[Job]) -> Vec<StreamReport> {
    let empty = streams.iter().map(|archive| StreamReport::new(archive.kind.name));
    let mut reports: Vec<_> = empty.collect();
    for job in jobs {
        let counted = standings[job.stream].counts.get(&job.date);
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
