//! The forwarder: sends the lines after the cursor to the sink, and moves the cursor as the sink acknowledges them.

use std::ops::Range;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::batch::{Batch, Line};
use super::cursor::{CursorError, CursorFile, CursorState, Stored};
use super::day_lines::{DayLines, Days, ListedDays, UnreadableDays};
use super::message::Envelope;
use super::position::Positions;
use super::reader::LineReader;
use super::sink::{BatchAck, LocalCursor, Sink, SinkError};
use super::undelivered::Undelivered;
use crate::archive::{Lock, LockError, while_files_move};
use crate::fs::FileError;
use crate::output::progress::ForwardProgress;
use crate::process::shutdown::Shutdown;
use crate::record::Shape;

/// How often the cursor is stored while lines are sent: a sync for each batch would take longer than sending it. A kill
/// repeats at most the lines of this time.
const STORE_EVERY: Duration = Duration::from_millis(250);

/// Where forwarding starts without a cursor that agrees with the day files, if `--forward-from` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartPosition {
    /// At the end of the archive when the run begins.
    End,
    /// At the start of the archive.
    Start,
    /// At the first line of this time or later in the file of that day.
    Time(DateTime<Utc>),
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The stream and its day files.
    pub(crate) envelope: Envelope,
    /// The shape of its records.
    pub(crate) shape: Shape,
    /// Name of the sink and of the cursor.
    pub(crate) sink: &'static str,
    /// Where to start without a cursor; `None` if that was not said, and then only an empty archive is begun.
    pub(crate) start: Option<StartPosition>,
    /// Send only records of this time, again, and leave the cursor alone.
    pub(crate) replay: Option<Range<DateTime<Utc>>>,
    /// Send a strict copy of each line that strict JSON parsers refuse.
    pub(crate) strict_json: bool,
    /// When the run began.
    pub(crate) now: DateTime<Utc>,
    /// Whether this process has not forwarded the stream to the sink before.
    pub(crate) is_first: bool,
}

/// Why a stream was not forwarded, or not completely.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A day file could not be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// The cursor could not be read or written.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Another run forwards this stream to this sink.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Compressed days cannot be read; all others were sent.
    #[error(transparent)]
    Unreadable(#[from] UnreadableDays),
    /// A shutdown was requested.
    #[error("stopped on request before everything was sent")]
    Stopped,
    /// A bug in this program.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl<'a> From<&'a ForwardError> for Option<&'a FileError> {
    /// The file that cannot be read or written.
    fn from(error: &'a ForwardError) -> Self {
        match error {
            ForwardError::Read(error) => Some(error),
            ForwardError::Cursor(error) => error.into(),
            _ => None,
        }
    }
}

impl ForwardError {
    /// Whether it was asked to stop.
    #[must_use]
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped | Self::Sink(SinkError::Stopped))
    }

    /// Whether nothing is sent before it is said where to go on.
    #[must_use]
    pub(crate) fn is_undecided(&self) -> bool {
        match self {
            Self::Cursor(error) | Self::Sink(SinkError::Cursor(error)) => error.is_undecided(),
            _ => false,
        }
    }

    /// Whether another program is the reason.
    #[must_use]
    pub(crate) fn is_held(&self) -> bool {
        matches!(
            self,
            Self::Lock(LockError::Held { .. }) | Self::Sink(SinkError::Fenced { .. })
        )
    }
}

/// The result of forwarding a stream to a sink.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) sink: &'static str,
    /// Number of lines that the sink acknowledged.
    pub(crate) sent: u64,
    /// Number of those of which a strict copy was sent.
    pub(crate) repaired: u64,
    /// Number of lines still to be sent; `None` if it could not begin, or they could not be counted.
    pub(crate) waiting: Option<u64>,
    /// Time of the first record among those.
    pub(crate) oldest_waiting: Option<DateTime<Utc>>,
    /// Number of lines that the sink will never take; they are in the undelivered file.
    pub(crate) undelivered: u64,
    /// Number of lines that are not records, such as repaired fragments.
    pub(crate) skipped: u64,
    /// Why lines are waiting.
    pub(crate) failure: Option<ForwardError>,
}

impl Forwarded {
    /// Returns an empty result.
    #[must_use]
    pub(crate) fn nothing(sink: &'static str) -> Self {
        Self {
            sink,
            sent: 0,
            repaired: 0,
            waiting: Some(0),
            oldest_waiting: None,
            undelivered: 0,
            skipped: 0,
            failure: None,
        }
    }

    /// Returns the result of a forwarder that could not begin: what waits is not known.
    #[must_use]
    pub(crate) fn failed(sink: &'static str, failure: ForwardError) -> Self {
        Self {
            waiting: None,
            failure: Some(failure),
            ..Self::nothing(sink)
        }
    }
}

/// Forwards one stream to one sink, and holds the lock of the cursor.
pub(crate) struct Forwarder {
    reader: LineReader,
    outbox: Outbox,
    shutdown: Shutdown,
}

/// The lines in flight, and how far the sink acknowledged them.
struct Outbox {
    sink: Box<dyn Sink>,
    is_replay: bool,
    cursor: CursorFile,
    /// That of the cursor; none in a replay, which has no cursor.
    lock: Option<Lock>,
    /// What the sink has acknowledged.
    state: CursorState,
    /// What was known when it was opened; none in a replay.
    local: LocalCursor,
    /// Why there is no cursor, unless the sink has one.
    missing: Option<CursorError>,
    /// Since when `state` is newer than the stored cursor.
    unstored_since: Option<Instant>,
    undelivered_file: Undelivered,
    forwarded: Forwarded,
    progress: ForwardProgress,
}

impl Forwarder {
    /// Locks and loads the cursor, or creates it where the job says to start. Call it before anything is appended. Without a
    /// cursor [`Forwarder::run`] fails, unless the sink has one.
    ///
    /// # Errors
    /// If another run holds the cursor, or a file cannot be read or written.
    pub(crate) fn open(
        job: Job,
        sink: Box<dyn Sink>,
        progress: ForwardProgress,
        shutdown: Shutdown,
    ) -> Result<Self, ForwardError> {
        let location = &job.envelope.location;
        let cursor = CursorFile::new(location, job.envelope.stream, job.sink);
        let (lock, start, reader) = match job.replay.clone() {
            Some(times) => {
                let reader = LineReader::between(location, job.shape, times);
                (None, Start::at(CursorState::default(), false), reader)
            }
            None => {
                let lock = Lock::acquire_file(location, &format!("{}.lock", job.sink), job.now)?;
                let start = while_files_move(|| Start::of(&job, &cursor))?;
                let reader = LineReader::new(location, job.shape, start.state.positions.clone());
                (Some(lock), start, reader.for_sink(job.sink))
            }
        };
        let outbox = Outbox {
            undelivered_file: Undelivered::new(job.envelope.clone(), job.sink, job.now),
            forwarded: Forwarded::nothing(job.sink),
            is_replay: job.replay.is_some(),
            sink,
            cursor,
            lock,
            state: start.state,
            local: start.local,
            missing: start.missing,
            unstored_since: None,
            progress,
        };
        Ok(Self {
            reader: reader.with_strict_json(job.strict_json),
            outbox,
            shutdown,
        })
    }

    #[cfg(test)]
    pub(super) fn with_batches_of(mut self, bytes: usize) -> Self {
        self.reader = self.reader.with_batches_of(bytes);
        self
    }

    /// Forwards what there is, again each time `more` returns true, until it returns false.
    ///
    /// This blocks, so call it on a thread of its own.
    pub(crate) fn run(mut self, mut more: impl FnMut() -> bool) -> Forwarded {
        let mut result = self.restore();
        loop {
            if result.is_ok() && !self.shutdown.is_requested() {
                result = self.drain();
            }
            // After a failure too: lines appended until the end are counted as waiting.
            if !more() {
                break;
            }
        }
        self.finish(result)
    }

    fn restore(&mut self) -> Result<(), ForwardError> {
        if let Some(positions) = self.outbox.restore()? {
            self.reader.seek(positions);
        }
        Ok(())
    }

    /// Forwards until a pass over all files finds nothing more, or a shutdown is requested.
    ///
    /// The next batch is read and split into lines while one is sent.
    fn drain(&mut self) -> Result<(), ForwardError> {
        let Self {
            reader,
            outbox,
            shutdown,
            ..
        } = self;
        std::thread::scope(|scope| {
            let (batches, read) = mpsc::sync_channel(1);
            let (spare, returned) = mpsc::channel();
            let span = tracing::Span::current();
            scope.spawn(move || span.in_scope(|| read_ahead(reader, shutdown, &batches, &returned)));
            outbox.send_all(&read, &spare)
        })
    }

    fn finish(mut self, result: Result<(), ForwardError>) -> Forwarded {
        let Self {
            reader,
            outbox,
            shutdown,
            ..
        } = &mut self;
        // The first failure is the one to report.
        let stored = outbox.store();
        let result = result.and(stored).and_then(|()| match reader.unreadable() {
            Some(unreadable) => Err(unreadable.clone().into()),
            None => Ok(()),
        });
        let forwarded = &mut outbox.forwarded;
        let is_incomplete = result.is_err() || shutdown.is_requested();
        if is_incomplete && !outbox.is_replay {
            forwarded.waiting = reader.count_behind(&outbox.state.positions).ok();
            reader.seek(outbox.state.positions.clone());
            let first = reader.next_batch_with_lines().ok().flatten();
            forwarded.oldest_waiting = first.and_then(|batch| Some(batch.lines().first()?.time));
        }
        // A replay has no cursor, so no lines wait.
        let is_stopped =
            forwarded.waiting.is_none_or(|waiting| waiting > 0) || outbox.is_replay && shutdown.is_requested();
        forwarded.failure = match result {
            Ok(()) if is_stopped => Some(ForwardError::Stopped),
            Err(ForwardError::Sink(SinkError::Closed)) | Ok(()) => None,
            Err(ForwardError::Sink(SinkError::Stopped)) => Some(ForwardError::Stopped),
            Err(error) => Some(error),
        };
        let Outbox { sink, forwarded, .. } = self.outbox;
        sink.end();
        forwarded
    }
}

/// Reads batches until a pass finds nothing more, a shutdown is requested, or the receiver is gone.
fn read_ahead(
    reader: &mut LineReader,
    shutdown: &Shutdown,
    batches: &mpsc::SyncSender<Result<Batch, CursorError>>,
    returned: &mpsc::Receiver<Batch>,
) {
    while !shutdown.is_requested() {
        returned.try_iter().for_each(|batch| reader.recycle(batch));
        let Some(batch) = reader.next_batch().transpose() else {
            break;
        };
        let has_failed = batch.is_err();
        if batches.send(batch).is_err() || has_failed {
            break;
        }
    }
}

impl Outbox {
    /// Asks the sink for its own cursor. Returns the positions if they differ from the stored ones.
    fn restore(&mut self) -> Result<Option<Positions>, ForwardError> {
        if self.is_replay {
            return Ok(None);
        }
        if let Some(error) = self
            .missing
            .take_if(|error| matches!(error, CursorError::Mismatch { .. }))
        {
            return Err(error.into());
        }
        let restored = match (self.sink.restore(&self.local)?, self.missing.take()) {
            (Some(positions), _) => CursorState {
                positions,
                is_provisional: false,
            },
            (None, missing) => return Err(missing.unwrap_or_else(|| self.cursor.missing()).into()),
        };
        if self.local.chosen().is_some_and(|chosen| *chosen != restored.positions) {
            let sink = self.forwarded.sink;
            tracing::warn!(
                sink,
                "--forward-from is ignored because there is a cursor already; to send a range again, use \
                 `trailkeeper forward {sink} --since … --until …`"
            );
        }
        if restored == self.state {
            return Ok(None);
        }
        self.write_cursor(&restored)?;
        self.state = restored;
        Ok(Some(self.state.positions.clone()))
    }

    /// Sends the batches that are read and waits until all are acknowledged.
    fn send_all(
        &mut self,
        batches: &mpsc::Receiver<Result<Batch, CursorError>>,
        spare: &mpsc::Sender<Batch>,
    ) -> Result<(), ForwardError> {
        let mut in_flight = 0;
        for batch in batches {
            let batch = batch?;
            self.forwarded.skipped += batch.skipped;
            self.sink.send(batch);
            in_flight += 1;
            if in_flight >= self.sink.depth() {
                self.next_ack(spare)?;
                in_flight -= 1;
            }
        }
        for _ in 0..in_flight {
            self.next_ack(spare)?;
        }
        self.store()
    }

    fn next_ack(&mut self, spare: &mpsc::Sender<Batch>) -> Result<(), ForwardError> {
        let BatchAck { batch, done, failure } = self.sink.next_ack(&mut self.undelivered_file);
        self.commit(&batch, done)?;
        let (undelivered, sent): (Vec<&Line>, Vec<&Line>) = batch.lines()[..done]
            .iter()
            .partition(|line| self.undelivered_file.has(line));
        self.forwarded.undelivered += undelivered.len() as u64;
        self.forwarded.sent += sent.len() as u64;
        self.forwarded.repaired += sent.iter().filter(|line| line.copy.is_some()).count() as u64;
        // The reader may have ended.
        let _ = spare.send(batch);
        self.progress.advance(self.forwarded.sent);
        match failure {
            None => Ok(()),
            Some(failure) => Err(failure.into()),
        }
    }

    fn commit(&mut self, batch: &Batch, done: usize) -> Result<(), ForwardError> {
        let end = batch.end_of(done);
        if self.is_replay || end.is_empty() {
            return Ok(());
        }
        self.state.positions.update(&end);
        match self.unstored_since.get_or_insert_with(Instant::now).elapsed() {
            waited if waited >= STORE_EVERY => self.store(),
            _ => Ok(()),
        }
    }

    /// Stores the cursor if it has changed.
    fn store(&mut self) -> Result<(), ForwardError> {
        match self.unstored_since.take() {
            Some(_) => self.write_cursor(&self.state),
            None => Ok(()),
        }
    }

    /// Writes to the cursor file, if its lock is still held.
    fn write_cursor(&self, state: &CursorState) -> Result<(), ForwardError> {
        if let Some(lock) = &self.lock {
            lock.check()?;
        }
        Ok(self.cursor.store(state)?)
    }
}

/// What is known of the cursor before the sink is asked.
struct Start {
    state: CursorState,
    local: LocalCursor,
    /// Why there is no cursor.
    missing: Option<CursorError>,
}

impl Start {
    fn at(state: CursorState, is_chosen: bool) -> Self {
        let positions = state.positions.clone();
        let local = if state.is_provisional {
            LocalCursor::Start { positions, is_chosen }
        } else {
            LocalCursor::Acknowledged {
                positions,
                chosen: None,
            }
        };
        Self {
            state,
            local,
            missing: None,
        }
    }

    /// Returns what there is without a cursor: nothing is acknowledged but `positions`, by which waiting lines are counted.
    fn missing(positions: Positions, error: CursorError) -> Self {
        Self {
            state: CursorState {
                positions,
                is_provisional: true,
            },
            local: LocalCursor::Missing,
            missing: Some(error),
        }
    }

    /// Notes where the job says to start, for a sink whose own cursor cannot be used.
    fn with_chosen(mut self, job: &Job, listed: &mut ListedDays) -> Result<Self, ForwardError> {
        if let (LocalCursor::Acknowledged { chosen, .. }, Some(start)) = (&mut self.local, job.start)
            && job.is_first
        {
            *chosen = Some(start_positions(job, start, listed)?);
        }
        Ok(self)
    }

    /// Loads the cursor, or creates it where the job says to start, or at the start of an empty archive.
    fn of(job: &Job, file: &CursorFile) -> Result<Self, ForwardError> {
        let mut listed = Days::of(&job.envelope.location).list(..)?;
        let found = load(job, file, &mut listed)?;
        let Some(error) = &found.missing else {
            return found.with_chosen(job, &mut listed);
        };
        let is_lost = matches!(error, CursorError::Missing { .. } | CursorError::Damaged { .. });
        let positions = match job.start {
            Some(start) => start_positions(job, start, &mut listed)?,
            None if is_lost && listed.are_empty()? => Positions::default(),
            None => return Ok(found),
        };
        if !matches!(error, CursorError::Missing { .. }) {
            tracing::warn!(sink = job.sink, "replacing the cursor: {error}");
        }
        let state = CursorState {
            positions,
            is_provisional: true,
        };
        file.store(&state)?;
        Ok(Self::at(state, job.start.is_some()))
    }
}

/// Loads the cursor and compares it with the days.
fn load(job: &Job, file: &CursorFile, listed: &mut ListedDays) -> Result<Start, CursorError> {
    let mut state = match file.load()? {
        Stored::Cursor(state) => state,
        Stored::Nothing => return Ok(Start::missing(Positions::default(), file.missing())),
        Stored::Damaged { problem, previous } => {
            return Ok(Start::missing(Positions::default(), file.damaged(problem, previous)));
        }
    };
    let stored = state.positions.clone();
    let mismatches = state.positions.compare_listed(listed, |_| true)?;
    if let Some(error) = CursorError::of_mismatches(job.sink, &mismatches) {
        return Ok(Start::missing(state.positions.without(&mismatches), error));
    }
    if state.positions != stored {
        file.store(&state)?;
    }
    Ok(Start::at(state, false))
}

/// Returns the positions at which to start, with the lines before them.
fn start_positions(job: &Job, start: StartPosition, listed: &mut ListedDays) -> Result<Positions, ForwardError> {
    let mut positions = match start {
        StartPosition::Start => Positions::default(),
        StartPosition::End => Positions::at_the_ends(&listed.days)?,
        StartPosition::Time(time) => positions_at(job, time, &listed.days)?,
    };
    positions.compare_listed(listed, |_| true)?;
    Ok(positions)
}

fn positions_at(job: &Job, time: DateTime<Utc>, days: &[DayLines]) -> Result<Positions, ForwardError> {
    let before = days.partition_point(|day| day.date <= time.date_naive());
    let mut positions = Positions::at_the_ends(&days[..before])?;
    let mut day = LineReader::between(&job.envelope.location, job.shape, time..DateTime::<Utc>::MAX_UTC);
    if let Some(batch) = day.next_batch_with_lines()?
        && let Some(first) = batch.lines().first()
        && first.day == time.date_naive()
    {
        positions.set(first.day, first.offset);
    }
    Ok(positions)
}
