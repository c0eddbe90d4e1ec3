//! Verifies the files of one stream against what the log says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use chrono::{DateTime, NaiveDate, Utc};

use super::entry::{Content, FileId};
use super::hasher::Hashed;
use super::ledger::{Acknowledged, Expired, History, Ledger, Sealed};
use super::material::Material;
use super::stream_files::StreamFiles;
use super::tree::Tree;
use crate::archive::{LineCounter, Location, while_files_move};
use crate::coverage::{JOURNAL, LONGEST_JOURNAL, PREVIOUS_JOURNAL};
use crate::fs::FileError;
use crate::output::progress::ReadProgress;

/// What the files of a stream come to.
#[derive(Debug)]
pub(crate) struct StreamVerdict {
    pub(crate) stream: String,
    /// When it was sealed last.
    pub(crate) sealed_at: Option<DateTime<Utc>>,
    /// What is wrong with the stream as a whole.
    pub(crate) problems: Vec<String>,
    /// By name.
    pub(crate) files: Vec<FileVerdict>,
}

/// What a file comes to.
#[derive(Debug)]
pub(crate) struct FileVerdict {
    pub(crate) file: String,
    /// The UTC day, if it is a day file.
    pub(crate) date: Option<NaiveDate>,
    /// Whether its day is closed.
    pub(crate) is_closed: bool,
    /// What was sealed of it last.
    pub(crate) sealed: Option<Sealed>,
    /// How many lines and bytes of it are behind what was sealed.
    pub(crate) unsealed_lines: u64,
    pub(crate) unsealed_bytes: u64,
    pub(crate) problem: Option<Mismatch>,
    /// When and why it was deleted for its age.
    pub(crate) expired: Option<Expired>,
    /// What a person has acknowledged.
    pub(crate) broken: Vec<Acknowledged>,
}

/// Where a file is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) what: String,
    /// The lines that are concerned, from 1, and their bytes, from 0; as closely as the entries tell.
    pub(crate) lines: Option<(u64, u64)>,
    pub(crate) bytes: Option<(u64, u64)>,
    /// Whether nothing of the file is there.
    pub(crate) is_gone: bool,
}

/// The sealed day files of a stream of which nothing is there, and that have not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoneDays {
    pub(crate) days: u64,
    pub(crate) first: NaiveDate,
    pub(crate) last: NaiveDate,
}

impl StreamVerdict {
    /// Returns which days are gone; `None` if none is.
    pub(crate) fn gone(&self) -> Option<GoneDays> {
        let is_gone = |file: &&FileVerdict| file.problem.as_ref().is_some_and(|problem| problem.is_gone);
        let mut dates: Vec<NaiveDate> = self.files.iter().filter(is_gone).filter_map(|file| file.date).collect();
        dates.sort_unstable();
        Some(GoneDays {
            days: dates.len() as u64,
            first: *dates.first()?,
            last: *dates.last()?,
        })
    }

    /// Returns whether all of it is what was sealed.
    pub(crate) fn is_believed(&self, accept_broken: bool) -> bool {
        let is_whole = |file: &FileVerdict| file.problem.is_none() && (accept_broken || file.broken.is_empty());
        self.problems.is_empty() && self.files.iter().all(is_whole)
    }

    /// Returns what is wrong, a sentence each: at least one, if it is not believed.
    pub(super) fn all_problems(&self, accept_broken: bool) -> Vec<String> {
        let name = &self.stream;
        let of_files = self.files.iter().flat_map(|file| {
            let problem = file.problem.iter().map(ToString::to_string);
            let broken = file.broken.iter().filter(|_| !accept_broken);
            let broken = broken.map(|broken| {
                format!(
                    "a person has acknowledged that it is not what was sealed ({:?}): --accept-broken takes it all the same",
                    broken.reason
                )
            });
            problem.chain(broken).map(|problem| format!("{name}: {}: {problem}", file.file))
        });
        let own = self.problems.iter().map(|problem| format!("{name}: {problem}"));
        let gone = self.gone().map(|gone| format!("{name}: {gone}"));
        own.chain(gone).chain(of_files).collect()
    }
}

/// A file to be read.
struct Job {
    file: String,
    date: Option<NaiveDate>,
    location: Location,
}

/// Verifies a stream, or these days of it. Without `files` nothing is known of what is there.
pub(super) fn verify_stream(
    stream: &str,
    files: Option<&StreamFiles>,
    ledger: &Ledger,
    days: Option<&BTreeSet<NaiveDate>>,
    progress: &ReadProgress,
) -> StreamVerdict {
    let mut verdict = StreamVerdict {
        stream: stream.to_owned(),
        sealed_at: ledger.sealed_at.get(stream).copied(),
        problems: Vec::new(),
        files: Vec::new(),
    };
    let Some(files) = files else {
        verdict.problems.push(
            "the log has entries about this stream, and it is not said where its files are: name them with --files, or with \
             --stream the others"
                .to_owned(),
        );
        return verdict;
    };
    match jobs(stream, files, ledger) {
        Ok(mut jobs) => {
            if let Some(days) = days {
                let has_state = files.has_state_folder();
                jobs.retain(|job| job.date.map_or(has_state, |date| days.contains(&date)));
            }
            verdict.files = in_parallel(&jobs, |job| verify_file(stream, job, ledger, progress));
        }
        Err(error) => verdict.problems.push(error.to_string()),
    }
    verdict
}

/// Returns the files that the log names, and the day files that it does not name.
fn jobs(stream: &str, files: &StreamFiles, ledger: &Ledger) -> Result<Vec<Job>, FileError> {
    let named = ledger
        .files
        .keys()
        .filter(|file| file.stream == stream)
        .map(|file| file.file.as_str());
    let locations = files.locations(named.clone());
    // What is in the state folder is found by its whole name.
    let of_state = files.state_location();
    let mut jobs = BTreeMap::new();
    for name in named {
        let day = locations
            .iter()
            .find_map(|location| Some((Some(location.day_of(name)?), location)));
        let (date, location) = day.unwrap_or((None, &of_state));
        jobs.insert(name.to_owned(), (date, location.clone()));
    }
    for location in &locations {
        let listing = location.listing()?;
        for date in listing.dates().into_iter().chain(listing.odd.keys().copied()) {
            let name = location.day_name(date).unwrap_or_default();
            jobs.entry(name).or_insert_with(|| (Some(date), location.clone()));
        }
    }
    let jobs = jobs
        .into_iter()
        .map(|(file, (date, location))| Job { file, date, location });
    Ok(jobs.collect())
}

/// Does something with each job, in several threads; the results are in the order of the jobs.
fn in_parallel<J: Sync, R: Send>(jobs: &[J], act: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(jobs.len().max(1));
    let next = Mutex::new(0..jobs.len());
    let results = Mutex::new(BTreeMap::new());
    let take = || next.lock().ok().and_then(|mut next| next.next());
    let work = || {
        while let Some(number) = take() {
            let result = act(&jobs[number]);
            if let Ok(mut results) = results.lock() {
                results.insert(number, result);
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    results
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect()
}

fn verify_file(stream: &str, job: &Job, ledger: &Ledger, progress: &ReadProgress) -> FileVerdict {
    let id = FileId {
        stream: stream.to_owned(),
        file: job.file.clone(),
    };
    let nothing = History::default();
    let history = ledger.files.get(&id).unwrap_or(&nothing);
    let mut verdict = FileVerdict {
        file: job.file.clone(),
        date: job.date,
        is_closed: history.is_closed,
        sealed: history.newest(),
        unsealed_lines: 0,
        unsealed_bytes: 0,
        problem: None,
        expired: history.expired.clone(),
        broken: history.broken.clone(),
    };
    let wanted: BTreeSet<u64> = history.sealed.iter().map(|sealed| sealed.content.lines).collect();
    let wanted: Vec<u64> = wanted.into_iter().collect();
    let hashed = while_files_move(|| read(job, &wanted, progress));
    verdict.problem = match hashed {
        Err(error) => Some(Mismatch::of(error.to_string())),
        Ok(Err(problem)) => Some(Mismatch::of(problem)),
        Ok(Ok(hashed)) => {
            let sealed = verdict
                .sealed
                .map_or((0, 0), |sealed| (sealed.content.lines, sealed.content.bytes));
            verdict.unsealed_lines = hashed.tree.size().saturating_sub(sealed.0);
            verdict.unsealed_bytes = (hashed.bytes + hashed.torn).saturating_sub(sealed.1);
            // Its deletion may have been interrupted.
            let is_less = history
                .newest()
                .is_some_and(|newest| hashed.tree.size() < newest.content.lines);
            compare(&hashed, history)
                .filter(|_| history.expired.is_none() || !is_less)
                .filter(|_| !was_put_aside(&id, job, ledger))
                .or_else(|| behind(&verdict, &hashed, ledger.closed_to.get(stream).copied()))
        }
    };
    verdict
}

/// Reads a file; or says why its forms cannot all be what was sealed.
fn read(job: &Job, wanted: &[u64], progress: &ReadProgress) -> Result<Result<Hashed, String>, FileError> {
    let material = match job.date {
        Some(date) => {
            let listing = job.location.listing()?;
            match Material::of_day(&listing, date, &mut LineCounter::of(&job.location))? {
                Ok(material) => material,
                Err(problem) => return Ok(Err(problem)),
            }
        }
        None => state_file(job, &job.file),
    };
    let mut part = progress.file(material.length()?, false);
    material
        .hash(Tree::default(), 0, wanted, |read| part.advance(read))
        .map(Ok)
}

fn state_file(job: &Job, name: &str) -> Material {
    Material::State(job.location.state_named(name))
}

/// Says from where on a file is not what was sealed, if it is not.
fn compare(hashed: &Hashed, history: &History) -> Option<Mismatch> {
    let mut whole = (0, 0);
    for sealed in &history.sealed {
        let Content { lines, bytes, .. } = sealed.content;
        let found = hashed.marks.iter().find(|mark| mark.lines == lines);
        if found != Some(&sealed.content) {
            let at = sealed.at.format("%Y-%m-%d %H:%M:%S");
            let what = match found {
                None if hashed.tree.size() == 0 => "the file is gone, or empty".to_owned(),
                None => format!(
                    "only {} of {lines} lines are there that were sealed at {at}",
                    hashed.tree.size()
                ),
                Some(_) => format!("it is not what was sealed at {at}"),
            };
            return Some(Mismatch {
                what,
                lines: Some((whole.0 + 1, lines)),
                bytes: Some((whole.1, bytes)),
                is_gone: hashed.tree.size() == 0,
            });
        }
        whole = (lines, bytes);
    }
    let newest = history.newest().filter(|sealed| sealed.content.bytes == hashed.bytes)?;
    let is_other = newest.sha256.is_some_and(|sha256| sha256 != hashed.sha256);
    is_other.then(|| Mismatch::of("its SHA-256 is not that of its entry".to_owned()))
}

/// Says that what stands behind the sealed lines should be sealed.
fn behind(verdict: &FileVerdict, hashed: &Hashed, closed_to: Option<NaiveDate>) -> Option<Mismatch> {
    let date = verdict.date?;
    let sealed = verdict.sealed.map(|sealed| sealed.content);
    let is_unsealed = verdict.unsealed_bytes > 0;
    let what = match sealed {
        Some(_) if verdict.is_closed && is_unsealed => "its day is closed, and these lines are in no entry",
        None if closed_to.is_some_and(|closed_to| date < closed_to) => "its day is closed, and it is in no entry",
        _ => return None,
    };
    let (lines, bytes) = sealed.map_or((0, 0), |sealed| (sealed.lines, sealed.bytes));
    Some(Mismatch {
        what: what.to_owned(),
        lines: Some((lines + 1, hashed.tree.size().max(lines + 1))),
        bytes: Some((bytes, hashed.bytes + hashed.torn)),
        is_gone: false,
    })
}

/// Returns whether a journal is another one than was sealed because it was full since, and put aside: then what was sealed of the
/// newer one stands in the one before.
fn was_put_aside(id: &FileId, job: &Job, ledger: &Ledger) -> bool {
    let base = id
        .file
        .strip_suffix(PREVIOUS_JOURNAL)
        .or_else(|| id.file.strip_suffix(JOURNAL));
    let Some(base) = base.filter(|_| job.date.is_none()) else {
        return false;
    };
    let newest = FileId {
        file: format!("{base}{JOURNAL}"),
        ..id.clone()
    };
    let Some(sealed) = ledger.files.get(&newest).and_then(History::newest) else {
        return false;
    };
    let previous = state_file(job, &format!("{base}{PREVIOUS_JOURNAL}"));
    if previous.length().unwrap_or(0) <= LONGEST_JOURNAL {
        return false;
    }
    let hashed = previous.hash(Tree::default(), 0, &[sealed.content.lines], |_| {});
    hashed.is_ok_and(|hashed| hashed.marks.first() == Some(&sealed.content))
}

impl Mismatch {
    fn of(what: String) -> Self {
        Self {
            what,
            lines: None,
            bytes: None,
            is_gone: false,
        }
    }
}

/// As a sentence.
impl std::fmt::Display for GoneDays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { days, first, last } = self;
        match days {
            1 => write!(f, "1 sealed day is gone: {first}"),
            _ => write!(
                f,
                "{days} sealed days are gone, the first of {first}, the last of {last}"
            ),
        }
    }
}

/// With the lines and bytes that are concerned.
impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if let (Some((first, last)), Some((from, to))) = (self.lines, self.bytes) {
            write!(f, " (lines {first} to {last}, bytes {from} to {to})")?;
        }
        Ok(())
    }
}
