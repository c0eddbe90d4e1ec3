//! Reads day files on several threads, and passes on what matches in the order of the files.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::files::{Files, Order, SourceFile};
use super::matches::Matches;
use super::query::Query;
use super::seeker::Seeker;
use super::twice::Twice;
use super::unsearched::{NotRecords, SearchError};
use crate::archive::{DayFile, Piece, PieceLines};
use crate::fs::FileError;
use crate::output::progress::ReadProgress;
use crate::process::shutdown::Shutdown;
use crate::source::{Kind, ReadRow};

/// How many results of a piece may wait to be taken: they are of one read each.
const WAITING: usize = 2;

/// What was found in one read of a file, or why some of it is not searched.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) file: &'a DayFile,
    pub(crate) result: Result<Matches, SearchError>,
}

/// What comes of the reads of a piece.
enum Output {
    Matches(Matches),
    NotRecords(NotRecords),
    Failed(FileError),
}

/// A piece of a file, and where what is found goes.
struct Task<'a> {
    source: &'a SourceFile,
    piece: Piece,
    length: u64,
    is_last_of_file: bool,
    outputs: Mutex<Option<SyncSender<Output>>>,
}

/// Searches streams.
pub(crate) struct Finder<'a> {
    pub(crate) query: &'a Query,
    pub(crate) order: Order,
    /// How many records are enough, if not all are wanted.
    pub(crate) limit: Option<u64>,
    /// Whether every line that is no record is told, and not only those with the bytes of a match: then all are parsed.
    pub(crate) checks_all: bool,
    /// What ends the search early.
    pub(crate) shutdown: Option<&'a Shutdown>,
}

impl Finder<'_> {
    /// Looks for the records. `render` makes of each what is to be passed on, and says whether it is repaired; `take` says whether there
    /// is enough.
    pub(crate) fn find(
        &self,
        files: &Files,
        progress: &ReadProgress,
        render: impl Fn(&Kind, &str, &ReadRow, &mut String) -> bool + Sync,
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
            let mut taker = Taker::default();
            for (task, outputs) in tasks.iter().zip(receivers) {
                let _read = progress.file(task.length, true);
                if taker.take_piece(task, outputs, &mut take).is_break() {
                    return stop();
                }
            }
        });
    }

    /// Divides the files into pieces.
    fn tasks<'f>(&self, files: &'f Files) -> (Vec<Task<'f>>, Vec<Receiver<Output>>) {
        let mut all = (Vec::new(), Vec::new());
        for source in &files.found {
            let mut pieces = Piece::of(&source.file, source.stamp, source.length);
            if self.order == Order::NewestFirst {
                pieces.reverse();
            }
            let count = pieces.len();
            all.extend(pieces.into_iter().zip(1..).map(|(piece, number)| {
                let (sender, receiver) = sync_channel(WAITING);
                let task = Task {
                    source,
                    piece,
                    length: source.length / count as u64,
                    is_last_of_file: number == count,
                    outputs: Mutex::new(Some(sender)),
                };
                (task, receiver)
            }));
        }
        all
    }

    /// Searches a piece, unless nobody takes what it finds.
    fn work(
        &self,
        task: &Task<'_>,
        buffer: &mut Vec<u8>,
        render: &(impl Fn(&Kind, &str, &ReadRow, &mut String) -> bool + Sync),
    ) -> ControlFlow<()> {
        let Some(outputs) = task.outputs.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return ControlFlow::Continue(());
        };
        if self.is_ended() {
            // Whoever waits for this piece goes on to the next.
            return ControlFlow::Continue(());
        }
        let mut reading = Reading {
            seeker: Seeker::new(self.query, task.source.kind, self.checks_all),
            source: task.source,
            not_records: NotRecords::default(),
        };
        let mut all = Matches::default();
        let mut is_taken = true;
        let read = task.piece.read(buffer, |lines| {
            let mut matches = if self.order == Order::NewestFirst {
                std::mem::take(&mut all)
            } else {
                Matches::default()
            };
            reading.read(lines, render, &mut matches);
            if self.order == Order::NewestFirst {
                // More than are wanted need not be held.
                self.limit
                    .into_iter()
                    .for_each(|limit| matches.keep_last(limit as usize));
                all = matches;
            } else if matches.count() > 0 || self.checks_all {
                is_taken = outputs.send(Output::Matches(matches)).is_ok();
            }
            if is_taken && !self.is_ended() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        // What is behind the damage would have come first.
        let last = [
            read.err().map(Output::Failed),
            Some(reading.not_records)
                .filter(|lines| lines.count > 0)
                .map(Output::NotRecords),
            Some(all)
                .filter(|all| all.count() > 0)
                .map(|all| Output::Matches(all.reversed())),
        ];
        is_taken &= last.into_iter().flatten().all(|output| outputs.send(output).is_ok());
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

/// What is known while the lines of a piece are read.
struct Reading<'a> {
    seeker: Seeker<'a>,
    source: &'a SourceFile,
    not_records: NotRecords,
}

impl Reading<'_> {
    fn read(
        &mut self,
        lines: PieceLines<'_>,
        render: &impl Fn(&Kind, &str, &ReadRow, &mut String) -> bool,
        matches: &mut Matches,
    ) {
        let SourceFile {
            kind, file, repaired, ..
        } = self.source;
        let (offset, bytes) = match lines {
            PieceLines::Lines { offset, bytes } => (offset, bytes),
            PieceLines::TooLong { offset } => {
                matches.add_lines(1);
                return self.not_records.add(offset);
            }
        };
        let found = |line: &str, record: &ReadRow| {
            let is_repaired = render(kind, line, record, matches.text_mut());
            matches.end_record(record, is_repaired);
        };
        let lines = self.seeker.seek(bytes, found, |at| {
            let begin = offset + at as u64;
            if !repaired.has(file, begin) {
                self.not_records.add(begin);
            }
        });
        matches.add_lines(lines);
    }
}

/// Takes what comes of the pieces, file by file.
#[derive(Default)]
struct Taker {
    twice: Twice,
    /// Of the file whose pieces are being taken.
    not_records: NotRecords,
    errors: Vec<String>,
}

impl Taker {
    fn take_piece(
        &mut self,
        task: &Task<'_>,
        outputs: Receiver<Output>,
        take: &mut impl FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let SourceFile {
            kind,
            file,
            is_one_of_two,
            ..
        } = task.source;
        let mut take = |result| take(Found { kind, file, result });
        for output in outputs {
            match output {
                Output::Matches(matches) if *is_one_of_two => take(Ok(self.twice.once(file, matches)))?,
                Output::Matches(matches) => take(Ok(matches))?,
                Output::NotRecords(lines) => self.not_records += lines,
                Output::Failed(error) => {
                    // What is true of the file is told once, and not for each of its pieces.
                    let sentence = error.to_string();
                    if !self.errors.contains(&sentence) {
                        self.errors.push(sentence);
                        take(Err(error.into()))?;
                    }
                }
            }
        }
        if !task.is_last_of_file {
            return ControlFlow::Continue(());
        }
        self.errors.clear();
        match std::mem::take(&mut self.not_records) {
            NotRecords { count: 0, .. } => ControlFlow::Continue(()),
            lines => take(Err(SearchError::NotRecords {
                path: file.path.clone(),
                lines,
            })),
        }
    }
}
