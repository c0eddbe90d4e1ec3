//! One stream of a run: recover how far the archive goes, then piece by piece fetch, drop what is known, append.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use crate::archive::{AppendError, Appended, Archive, FileError, Lock, Sifted, WriteError};
use crate::config::StreamSettings;
use crate::fetch::host::Host;
use crate::fetch::http::{Http, SetupError};
use crate::fetch::retry::RetryPolicy;
use crate::fetch::walk::{Piece, Walk, WalkPlan};
use crate::fetch::{Effort, FetchError, Fetcher};
use crate::progress::StreamProgress;
use crate::stop::Stop;
use crate::window::{Asked, Range, Window, bound};

/// What a run does with a stream.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// When the run began: the end of every window.
    pub now: DateTime<Utc>,
    /// What to ask for.
    pub range: Range,
}

/// What came of a stream.
#[derive(Debug, Default)]
pub struct Collected {
    /// The window that was asked for, once it was known.
    pub window: Option<Window>,
    /// What was asked of the service.
    pub effort: Effort,
    /// Records that the service gave, repeated ones included.
    pub received: u64,
    /// Records that were in the archive already, or came more than once.
    pub duplicates: u64,
    /// Records that cannot be filed and were not noted before.
    pub rejected: u64,
    /// Records that were appended and are on disk.
    pub appended: u64,
    /// The day files that they were appended to.
    pub files: BTreeSet<String>,
    /// The time of the archive's last record.
    pub last_record: Option<DateTime<Utc>>,
    /// Why it is not complete; what was appended before stays.
    pub failure: Option<CollectError>,
}

/// Why a stream is not complete.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The service could not be asked for everything.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A day file could not be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// A day file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The client could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Somebody asked the program to end.
    #[error("ended before it was complete, as was asked for; the next run goes on from here")]
    Stopped,
    /// The program is at fault.
    #[error("an error inside the program: {0}; please report it")]
    Internal(String),
}

/// Where the day files of a stream are opened: under a lock, or for a run that writes nothing.
#[derive(Debug)]
pub enum Access {
    /// Under this lock.
    Write(Lock),
    /// Without one, for counting alone.
    DryRun(crate::archive::Location),
}

/// Collects one stream, whose service stands on `host`.
pub async fn collect(
    settings: &StreamSettings,
    access: Access,
    host: Arc<Host>,
    task: Task,
    progress: &mut StreamProgress,
    stop: &Stop,
) -> Collected {
    let mut collected = Collected::default();
    if let Err(error) = run(settings, access, host, task, progress, stop, &mut collected).await {
        collected.failure = Some(error);
    }
    collected
}

async fn run(
    settings: &StreamSettings,
    access: Access,
    host: Arc<Host>,
    task: Task,
    progress: &mut StreamProgress,
    stop: &Stop,
    collected: &mut Collected,
) -> Result<(), CollectError> {
    let mut archive = open(settings, access, task.now)?;
    let limits = &settings.limits;
    let last = archive.recover(task.now)?;
    collected.last_record = last;
    let asked = task
        .range
        .window(task.now, last, limits.overlap, limits.initial_lookback);
    let Some(window) = announce(asked, last) else {
        return Ok(());
    };
    collected.window = Some(window);
    progress.begin(window);
    let policy = RetryPolicy {
        max_retries: limits.max_retries,
        delay: limits.retry_delay,
    };
    let http = Http::new(limits.request_timeout)?;
    let fetcher = Fetcher::new(settings.source.clone(), http, policy, host, limits.concurrency);
    let plan = WalkPlan {
        window,
        now: task.now,
        grace: limits.overlap,
        max_pages: limits.max_pages,
        concurrency: limits.concurrency,
    };
    let result = file_pieces(
        Walk::new(&fetcher, plan),
        &mut archive,
        task.now,
        progress,
        stop,
        collected,
    )
    .await;
    collected.effort = fetcher.effort();
    if let Some(last) = collected.last_record {
        archive.note_tails(last, limits.overlap);
    }
    result
}

fn open(settings: &StreamSettings, access: Access, now: DateTime<Utc>) -> Result<Archive, WriteError> {
    let shape = settings.source.shape();
    match access {
        Access::Write(lock) => Archive::open(lock, shape, settings.file_mode, now),
        Access::DryRun(location) => Ok(Archive::dry_run(location, shape)),
    }
}

/// Says what is asked for, and whether it differs from what the operator typed.
fn announce(asked: Asked, last: Option<DateTime<Utc>>) -> Option<Window> {
    let last = last.map_or_else(|| "none".to_owned(), bound);
    let window = match asked {
        Asked::Window(window) => window,
        Asked::MovedBack(window) => {
            tracing::warn!(
                last_record = last,
                "--since is later than the last record, which would leave a hole: asking from before that record"
            );
            window
        }
        Asked::Nothing { from, to } => {
            tracing::warn!(
                from = bound(from),
                to = bound(to),
                "the range ends before it begins: nothing to ask for; give --since to ask for an older one"
            );
            return None;
        }
    };
    tracing::info!(
        last_record = last,
        from = bound(window.from),
        to = bound(window.to),
        "collecting"
    );
    Some(window)
}

/// Files each piece before the next one is asked for; a wish to stop is heard between writes.
async fn file_pieces(
    mut walk: Walk<'_>,
    archive: &mut Archive,
    now: DateTime<Utc>,
    progress: &mut StreamProgress,
    stop: &Stop,
    collected: &mut Collected,
) -> Result<(), CollectError> {
    loop {
        let piece = tokio::select! {
            biased;
            () = stop.requested() => return Err(CollectError::Stopped),
            piece = walk.next_piece() => piece?,
        };
        let Some(piece) = piece else { return Ok(()) };
        let (done_to, first_day) = (piece.done_to, oldest_day(&piece));
        let appended_before = collected.appended;
        collected.file(piece, archive, now)?;
        if let Some(day) = first_day {
            archive.forget_before(day);
        }
        progress.advance(done_to, collected.appended - appended_before);
    }
}

/// Later pieces can repeat records of this piece's oldest day, but hardly of the days before.
fn oldest_day(piece: &Piece) -> Option<NaiveDate> {
    piece.records.iter().map(|record| record.time.date_naive()).min()
}

impl Collected {
    fn file(&mut self, piece: Piece, archive: &mut Archive, now: DateTime<Utc>) -> Result<(), CollectError> {
        let newest = piece.records.iter().map(|record| record.time).max();
        let Sifted { new, mut conflicts, .. } = archive.sift(piece.records)?;
        conflicts.extend(piece.rejected);
        let rejected = archive.reject(&conflicts, now)?;
        self.received += piece.received;
        self.rejected += rejected;
        for record in &conflicts {
            tracing::debug!(reason = record.reason, "a record cannot be filed");
        }
        let result = archive.append(new);
        let appended = match &result {
            Ok(appended) | Err(AppendError { appended, .. }) => appended.clone(),
        };
        self.note(appended);
        result.map_err(|error| error.cause)?;
        self.duplicates = self.received - self.appended - self.rejected;
        self.last_record = self.last_record.max(newest.filter(|newest| *newest <= now));
        Ok(())
    }

    fn note(&mut self, appended: Appended) {
        for file in &appended.files {
            tracing::debug!(file, "appended to");
        }
        self.appended += appended.records;
        self.files.extend(appended.files);
    }
}
