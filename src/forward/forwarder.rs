//! The loop: lines past the cursor go to the sink, and what the sink has confirmed moves the cursor.

use std::ops::Range;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::batch::Batch;
use super::cursor::{CursorError, CursorFile, CursorState, Positions, Stored};
use super::message::Envelope;
use super::sink::{BatchAck, Sink, SinkError};
use super::tail::Tail;
use super::undelivered::Undelivered;
use crate::archive::{Lock, LockError};
use crate::fs::FileError;
use crate::output::progress::ForwardProgress;
use crate::process::shutdown::Shutdown;
use crate::record::Shape;

/// While lines keep going out, the cursor is stored so often: a sync for each batch would take longer than to send it. A
/// kill repeats the lines of this time at most.
const STORE_EVERY: Duration = Duration::from_millis(250);

/// Where a stream begins that was never forwarded to a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StartPosition {
    /// Behind what the archive holds when the run begins.
    #[default]
    End,
    /// With everything that the archive holds.
    Start,
    /// With the first line of this time or later in the file of that day.
    Time(DateTime<Utc>),
}

/// What is to be forwarded.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Which stream, from where.
    pub(crate) envelope: Envelope,
    /// How its records are read.
    pub(crate) shape: Shape,
    /// The name of the sink; that of the cursor too.
    pub(crate) sink: &'static str,
    /// Where it begins without a cursor.
    pub(crate) start: StartPosition,
    /// Only records of this time, once more, past the cursor.
    pub(crate) replay: Option<Range<DateTime<Utc>>>,
    /// When the run began.
    pub(crate) now: DateTime<Utc>,
}

/// Why a stream was not forwarded, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The sink took no more.
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
    /// Somebody asked the program to end.
    #[error("ended before everything was sent, as was asked for")]
    Stopped,
    /// The program is at fault.
    #[error("an error inside the program: {0}; please report it")]
    Internal(String),
}

impl ForwardError {
    /// Whether another program is the reason.
    #[must_use]
    pub(crate) fn is_held(&self) -> bool {
        matches!(
            self,
            Self::Lock(LockError::Held { .. }) | Self::Sink(SinkError::Fenced { .. })
        )
    }
}

/// What came of forwarding a stream to a sink.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// The name of the sink.
    pub(crate) sink: &'static str,
    /// Lines that the sink has confirmed.
    pub(crate) sent: u64,
    /// Lines that are still to be sent.
    pub(crate) waiting: u64,
    /// The time of the first record among those.
    pub(crate) oldest_waiting: Option<DateTime<Utc>>,
    /// Lines that the sink will never take, and that were kept as undelivered.
    pub(crate) undelivered: u64,
    /// Lines that are no records, such as repaired fragments.
    pub(crate) skipped: u64,
    /// Why lines are waiting.
    pub(crate) failure: Option<ForwardError>,
}

impl Forwarded {
    /// Nothing yet.
    #[must_use]
    pub(crate) fn nothing(sink: &'static str) -> Self {
        Self {
            sink,
            sent: 0,
            waiting: 0,
            oldest_waiting: None,
            undelivered: 0,
            skipped: 0,
            failure: None,
        }
    }

    /// Nothing, for this reason.
    #[must_use]
    pub(crate) fn failed(sink: &'static str, failure: ForwardError) -> Self {
        Self {
            failure: Some(failure),
            ..Self::nothing(sink)
        }
    }
}

/// Forwards one stream to one sink; it has the cursor for itself.
pub(crate) struct Forwarder {
    tail: Tail,
    outbox: Outbox,
    shutdown: Shutdown,
    _lock: Option<Lock>,
}

/// What was read, on its way to the sink, and how far that has come.
struct Outbox {
    sink: Box<dyn Sink>,
    is_replay: bool,
    cursor: CursorFile,
    /// What the sink has confirmed.
    state: CursorState,
    /// Since when there is something confirmed that is not stored.
    unstored_since: Option<Instant>,
    undelivered_file: Undelivered,
    forwarded: Forwarded,
    progress: ForwardProgress,
}

impl Forwarder {
    /// Takes the cursor, or sets it where the job says to begin. To be called before anything is appended.
    ///
    /// # Errors
    /// Another run has the cursor, or a file cannot be read or written.
    pub(crate) fn open(
        job: Job,
        sink: Box<dyn Sink>,
        progress: ForwardProgress,
        shutdown: Shutdown,
    ) -> Result<Self, ForwardError> {
        let location = &job.envelope.location;
        let cursor = CursorFile::new(location, job.envelope.stream, job.sink);
        let (lock, state, tail) = match job.replay.clone() {
            Some(times) => {
                let tail = Tail::between(location.clone(), job.shape, times);
                (None, CursorState::default(), tail)
            }
            None => {
                let lock = Lock::acquire_file(location, &format!("{}.lock", job.sink), job.now)?;
                let state = start(&job, &cursor)?;
                let tail = Tail::new(location.clone(), job.shape, state.positions.clone());
                (Some(lock), state, tail)
            }
        };
        let outbox = Outbox {
            undelivered_file: Undelivered::new(job.envelope.clone(), job.sink, job.now),
            forwarded: Forwarded::nothing(job.sink),
            is_replay: job.replay.is_some(),
            sink,
            cursor,
            state,
            unstored_since: None,
            progress,
        };
        Ok(Self {
            tail,
            outbox,
            shutdown,
            _lock: lock,
        })
    }

    #[cfg(test)]
    pub(super) fn with_batches_of(mut self, bytes: usize) -> Self {
        self.tail = self.tail.with_batches_of(bytes);
        self
    }

    /// Forwards what there is, and again whenever `more` returns true, until it returns false.
    ///
    /// It blocks: it belongs on a thread of its own.
    pub(crate) fn run(mut self, mut more: impl FnMut() -> bool) -> Forwarded {
        let mut result = self.restore();
        loop {
            if result.is_ok() && !self.shutdown.is_requested() {
                result = self.drain();
            }
            // After a failure too: what is appended until the end waits as well, and is counted.
            if !more() {
                break;
            }
        }
        self.finish(result)
    }

    fn restore(&mut self) -> Result<(), ForwardError> {
        if let Some(positions) = self.outbox.restore()? {
            self.tail.seek(positions);
        }
        Ok(())
    }

    /// Forwards until a pass over all files brings nothing more, or a shutdown is asked for.
    ///
    /// A batch is read and taken apart while the one before it is sent.
    fn drain(&mut self) -> Result<(), ForwardError> {
        let Self {
            tail, outbox, shutdown, ..
        } = self;
        std::thread::scope(|scope| {
            let (batches, read) = mpsc::sync_channel(1);
            let (spare, done_with) = mpsc::channel();
            let span = tracing::Span::current();
            scope.spawn(move || span.in_scope(|| read_ahead(tail, shutdown, &batches, &done_with)));
            outbox.send_all(&read, &spare)
        })
    }

    fn finish(mut self, result: Result<(), ForwardError>) -> Forwarded {
        let Self {
            tail, outbox, shutdown, ..
        } = &mut self;
        // What failed first is what is told.
        let stored = outbox.store();
        let result = result.and(stored);
        let forwarded = &mut outbox.forwarded;
        let is_cut = result.is_err() || shutdown.is_requested();
        if is_cut && !outbox.is_replay {
            forwarded.waiting = tail.count_behind(&outbox.state.positions).unwrap_or(0);
            tail.seek(outbox.state.positions.clone());
            let first = tail.next_batch_with_lines().ok().flatten();
            forwarded.oldest_waiting = first.and_then(|batch| Some(batch.lines().first()?.time));
        }
        // A replay has no cursor behind which lines would wait.
        let is_short = forwarded.waiting > 0 || outbox.is_replay && shutdown.is_requested();
        forwarded.failure = match result {
            Ok(()) if is_short => Some(ForwardError::Stopped),
            Err(ForwardError::Sink(SinkError::Closed)) | Ok(()) => None,
            Err(ForwardError::Sink(SinkError::Stopped)) => Some(ForwardError::Stopped),
            Err(error) => Some(error),
        };
        self.outbox.forwarded
    }
}

/// Reads batch after batch until a pass brings nothing more, a shutdown is asked for, or nobody takes them.
fn read_ahead(
    tail: &mut Tail,
    shutdown: &Shutdown,
    batches: &mpsc::SyncSender<Result<Batch, FileError>>,
    done_with: &mpsc::Receiver<Batch>,
) {
    while !shutdown.is_requested() {
        done_with.try_iter().for_each(|batch| tail.recycle(batch));
        let Some(batch) = tail.next_batch().transpose() else {
            break;
        };
        let has_failed = batch.is_err();
        if batches.send(batch).is_err() || has_failed {
            break;
        }
    }
}

impl Outbox {
    /// Asks the sink how far it has come, where it knows better; gives the cursor if that changes it.
    fn restore(&mut self) -> Result<Option<Positions>, ForwardError> {
        if self.is_replay {
            return Ok(None);
        }
        let restored = CursorState {
            positions: self.sink.restore(&self.state)?,
            is_provisional: false,
        };
        if restored == self.state {
            return Ok(None);
        }
        self.cursor.store(&restored)?;
        self.state = restored;
        Ok(Some(self.state.positions.clone()))
    }

    /// Sends what is read, until nothing more comes and everything is settled.
    fn send_all(
        &mut self,
        read: &mpsc::Receiver<Result<Batch, FileError>>,
        spare: &mpsc::Sender<Batch>,
    ) -> Result<(), ForwardError> {
        let mut in_flight = 0;
        for batch in read {
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
        let BatchAck {
            batch,
            done,
            undelivered,
            failure,
        } = self.sink.next_ack(&mut self.undelivered_file);
        self.commit(&batch, done)?;
        // The reader may have come to its end.
        let _ = spare.send(batch);
        self.forwarded.sent += (done as u64).saturating_sub(undelivered);
        self.forwarded.undelivered += undelivered;
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

    /// Stores the cursor, if there is anything new in it.
    fn store(&mut self) -> Result<(), ForwardError> {
        match self.unstored_since.take() {
            Some(_) => Ok(self.cursor.store(&self.state)?),
            None => Ok(()),
        }
    }
}

/// The cursor as the archive keeps it, or where it begins.
fn start(job: &Job, file: &CursorFile) -> Result<CursorState, ForwardError> {
    let sink = job.sink;
    let mut state = match file.load()? {
        Stored::Cursor(state) => {
            if job.start != StartPosition::End {
                tracing::warn!(
                    sink,
                    "--forward-from has no effect: there is a cursor already; to send a range again, use \
                     `trailkeeper forward {sink} --since … --until …`"
                );
            }
            state
        }
        Stored::Nothing => {
            let state = CursorState {
                positions: start_positions(job)?,
                is_provisional: true,
            };
            file.store(&state)?;
            state
        }
        Stored::Damaged { problem, before } => {
            let instead = match before {
                Some(_) => "the one before it is taken, so the last lines are sent again",
                None => "everything in the archive is sent again",
            };
            tracing::warn!(sink, "{} is damaged: {problem}; {instead}", file.path().display());
            let state = before.unwrap_or_default();
            file.store(&state)?;
            state
        }
    };
    if state.positions.repair(&job.envelope.location.day_files()?)? {
        file.store(&state)?;
    }
    Ok(state)
}

fn start_positions(job: &Job) -> Result<Positions, ForwardError> {
    let location = &job.envelope.location;
    let mut files = location.day_files()?;
    let time = match job.start {
        StartPosition::Start => return Ok(Positions::default()),
        StartPosition::End => return Ok(Positions::at_the_ends(&files)?),
        StartPosition::Time(time) => time,
    };
    files.retain(|file| file.date <= time.date_naive());
    let mut positions = Positions::at_the_ends(&files)?;
    let mut day = Tail::between(location.clone(), job.shape, time..DateTime::<Utc>::MAX_UTC);
    if let Some(batch) = day.next_batch_with_lines()?
        && let Some(first) = batch.lines().first()
        && first.day == time.date_naive()
    {
        positions.set(first.day, first.offset);
    }
    Ok(positions)
}
