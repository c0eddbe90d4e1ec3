//! Reads day files on several threads, and passes on what matches in the order of the files.

use std::collections::HashSet;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use chrono::NaiveDate;

use super::matches::Matches;
use super::query::Query;
use super::seeker::Seeker;
use crate::archive::{DayFile, LineCounter, Location, Piece, days_that_can_hold, while_files_move};
use crate::fs::FileError;
use crate::output::progress::ReadProgress;
use crate::process::shutdown::Shutdown;
use crate::source::{Kind, ReadRow};

/// How many results of a piece may wait to be taken: they are of one read each.
const WAITING: usize = 2;

/// A stream to search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) location: &'a Location,
}

/// In which order records are found: that of their days and lines, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

/// What was found in one read of a file, or why it could not be read.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) file: &'a DayFile,
    pub(crate) result: Result<Matches, FileError>,
}

/// A file to search.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) kind: &'static Kind,
    pub(crate) file: DayFile,
    /// How much of it is searched, in bytes as it is stored: to the end of its last whole line when it was listed, all of one that is
    /// compressed.
    pub(crate) length: u64,
    /// Whether the day has another file as well, which can hold some of the same records.
    is_one_of_two: bool,
}

/// Why something of a stream is not searched.
#[derive(Debug)]
pub(crate) struct Unsearched {
    pub(crate) kind: &'static Kind,
    pub(crate) problem: String,
}

/// The files to search, in the order of the search, and why others are not searched.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) found: Vec<SourceFile>,
    pub(crate) problems: Vec<Unsearched>,
}

impl Files {
    /// Returns the sum of their lengths.
    pub(crate) fn bytes(&self) -> u64 {
        self.found.iter().map(|source| source.length).sum()
    }
}

type Results = Result<Matches, FileError>;

/// A piece of a file of a stream, and where what is found goes.
struct Task {
    kind: &'static Kind,
    piece: Piece,
    length: u64,
    is_one_of_two: bool,
    results: Mutex<Option<SyncSender<Results>>>,
}

/// Searches streams.
pub(crate) struct Finder<'a> {
    pub(crate) query: &'a Query,
    pub(crate) order: Order,
    /// How many records are enough, if not all are wanted.
    pub(crate) limit: Option<u64>,
    /// What ends the search early.
    pub(crate) shutdown: Option<&'a Shutdown>,
}

impl Finder<'_> {
    /// Lists the files that can hold records of the time, by day and stream.
    #[must_use]
    pub(crate) fn files<'a>(&self, places: impl Iterator<Item = Place<'a>>) -> Files {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for place in places {
            match self.files_of(place, &mut problems) {
                Ok(found) => files.extend(found),
                Err(error) => problems.push(Unsearched {
                    kind: place.kind,
                    problem: error.to_string(),
                }),
            }
        }
        // The order of the streams, and of the files of a day, stays.
        files.sort_by_key(|(day, _)| *day);
        if self.order == Order::NewestFirst {
            files.reverse();
        }
        Files {
            found: files.into_iter().map(|(_, file)| file).collect(),
            problems,
        }
    }

    /// Lists those of a stream, anew if one of them has been compressed or unpacked meanwhile.
    fn files_of(
        &self,
        place: Place<'_>,
        problems: &mut Vec<Unsearched>,
    ) -> Result<Vec<(NaiveDate, SourceFile)>, FileError> {
        let known = problems.len();
        while_files_move(|| {
            problems.truncate(known);
            self.list(place, problems)
        })
    }

    fn list(
        &self,
        place: Place<'_>,
        problems: &mut Vec<Unsearched>,
    ) -> Result<Vec<(NaiveDate, SourceFile)>, FileError> {
        let Place { kind, location } = place;
        let unsearched = |problem| Unsearched { kind, problem };
        let (listing, mut counter) = (location.listing()?, LineCounter::of(location));
        let mut files = Vec::new();
        for day in days_that_can_hold(location, &listing, &self.query.times)? {
            let parts = listing.parts_of(day, &mut counter)?;
            problems.extend(parts.unreadable.map(|(_, error)| unsearched(error.to_string())));
            let is_one_of_two = parts.packed.is_some() && parts.plain.is_some();
            for file in parts.packed.into_iter().chain(parts.plain) {
                files.extend(source_file(kind, file, is_one_of_two)?.map(|source| (day, source)));
            }
            // Of two compressed files one is usually the other in another form.
            let other = listing.unread.get(&day).zip(parts.packed.or(parts.plain));
            if let Some((other, read)) = other
                && counter.end_of_lines(other).ok() != counter.end_of_lines(read).ok()
            {
                let (other, read) = (other.path.display(), read.name());
                problems.push(unsearched(format!(
                    "{other}: the day has other lines in {read}; keep one of the two"
                )));
            }
        }
        let odd = listing.odd.values().map(|path| path.display());
        problems.extend(odd.map(|path| unsearched(format!("{path} is not a regular file"))));
        Ok(files)
    }

    /// Looks for the records. `render` makes of each what is to be passed on, and `take` says whether there is enough.
    pub(crate) fn find(
        &self,
        files: &Files,
        progress: &ReadProgress,
        render: impl Fn(&Kind, &str, &ReadRow, &mut String) + Sync,
        mut take: impl FnMut(Found<'_>) -> ControlFlow<()>,
    ) {
        let (tasks, receivers) = self.tasks(files);
        let next = AtomicUsize::new(0);
        // Nobody takes more: no thread looks for it.
        let stop = || next.store(tasks.len(), Ordering::Relaxed);
        thread::scope(|scope| {
            let count = thread::available_parallelism().map_or(1, NonZero::get).min(tasks.len());
            for _ in 0..count {
                scope.spawn(|| {
                    let mut buffer = Vec::new();
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.work(task, &mut buffer, &render).is_break() {
                            stop();
                        }
                    }
                });
            }
            let mut twice = Twice::default();
            for (task, results) in tasks.iter().zip(receivers) {
                let _read = progress.file(task.length, true);
                let (kind, file) = (task.kind, &task.piece.file);
                let mut results = results.into_iter().map(|result| twice.once(task, result));
                if results.any(|result| take(Found { kind, file, result }).is_break()) {
                    return stop();
                }
            }
        });
    }

    /// Divides the files into pieces.
    fn tasks(&self, files: &Files) -> (Vec<Task>, Vec<Receiver<Results>>) {
        let mut all = (Vec::new(), Vec::new());
        for source in &files.found {
            let SourceFile {
                kind,
                file,
                length,
                is_one_of_two,
            } = source;
            let mut pieces = Piece::of(file, *length);
            if self.order == Order::NewestFirst {
                pieces.reverse();
            }
            let length = length / pieces.len() as u64;
            all.extend(pieces.into_iter().map(|piece| {
                let (sender, receiver) = sync_channel(WAITING);
                let results = Mutex::new(Some(sender));
                let task = Task {
                    kind,
                    piece,
                    length,
                    is_one_of_two: *is_one_of_two,
                    results,
                };
                (task, receiver)
            }));
        }
        all
    }

    /// Searches a piece, unless nobody takes what it finds.
    fn work(
        &self,
        task: &Task,
        buffer: &mut Vec<u8>,
        render: &(impl Fn(&Kind, &str, &ReadRow, &mut String) + Sync),
    ) -> ControlFlow<()> {
        let Some(results) = task.results.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return ControlFlow::Continue(());
        };
        if self.is_ended() {
            // Whoever waits for this piece goes on to the next.
            return ControlFlow::Continue(());
        }
        let mut seeker = Seeker::new(self.query, task.kind);
        let mut all = Matches::default();
        let mut is_taken = true;
        let read = task.piece.read(buffer, |lines| {
            let mut matches = if self.order == Order::NewestFirst {
                std::mem::take(&mut all)
            } else {
                Matches::default()
            };
            seeker.seek(lines, |line, record| {
                render(task.kind, line, record, matches.text_mut());
                matches.end_record(record);
            });
            if self.order == Order::NewestFirst {
                // More than are wanted need not be held.
                self.limit
                    .into_iter()
                    .for_each(|limit| matches.keep_last(limit as usize));
                all = matches;
            } else if matches.count() > 0 {
                is_taken = results.send(Ok(matches)).is_ok();
            }
            if is_taken && !self.is_ended() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        // What is behind the damage would have come first.
        if let Err(error) = read {
            is_taken &= results.send(Err(error)).is_ok();
        }
        if all.count() > 0 {
            is_taken &= results.send(Ok(all.reversed())).is_ok();
        }
        if is_taken {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn is_ended(&self) -> bool {
        self.shutdown.is_some_and(Shutdown::is_requested)
    }
}

/// Returns a file with as much of it as is searched; `None` if it has no whole line yet.
fn source_file(kind: &'static Kind, file: &DayFile, is_one_of_two: bool) -> Result<Option<SourceFile>, FileError> {
    let length = if file.is_packed() {
        file.length()?
    } else {
        file.end_of_lines()?
    };
    let source = SourceFile {
        kind,
        file: file.clone(),
        length,
        is_one_of_two,
    };
    Ok((length > 0).then_some(source))
}

/// The records that were found in the one file of a day which has two.
#[derive(Default)]
struct Twice {
    /// The file that was searched last.
    last: Option<(NaiveDate, PathBuf)>,
    /// What identifies the records of it, and those of the file before it if that is of the same day.
    own: HashSet<u128>,
    others: HashSet<u128>,
}

impl Twice {
    /// Leaves out what was found in the other file of the day already.
    fn once(&mut self, task: &Task, result: Results) -> Results {
        let matches = match result {
            Ok(matches) if task.is_one_of_two => matches,
            other => return other,
        };
        let DayFile { date, path, .. } = &task.piece.file;
        let is_same = self.last.as_ref().is_some_and(|(_, last)| last == path);
        if !is_same {
            let is_same_day = self
                .last
                .as_ref()
                .is_some_and(|(last, other)| last == date && other.parent() == path.parent());
            let before = std::mem::take(&mut self.own);
            self.others = if is_same_day { before } else { HashSet::new() };
            self.last = Some((*date, path.clone()));
        }
        self.own.extend(matches.contents());
        Ok(matches.without(&self.others))
    }
}
