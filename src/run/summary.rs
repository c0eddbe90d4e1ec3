//! The result of a run: a table for people, JSON for programs, and the exit code.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::coverage::{GapCounts, Silence};
use crate::env::Organization;
use crate::forward::Forwarded;
use crate::http::request_stats::RequestStats;
use crate::output::table::{Cell, Colour, Table, left, right, to_the_second};
use crate::process::exit::Exit;
use crate::run::lateness::Lateness;
use crate::run::{CollectError, Collected};
use crate::upkeep::Kept;

/// A run, stream by stream.
#[derive(Debug, Serialize)]
pub struct Summary {
    streams: Vec<StreamSummary>,
    /// Those of which nothing was collected, since their settings are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_organizations: Vec<FailedOrganization>,
    /// Whether nothing was written.
    dry_run: bool,
    #[serde(skip)]
    exit: Exit,
    exit_code: u8,
}

/// An organization of which nothing was collected.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FailedOrganization {
    pub(crate) organization: String,
    /// What is wrong with its settings.
    pub(crate) error: String,
}

/// What a dry run says of itself below its table.
pub(crate) const DRY_RUN: &str = "a dry run: counted, and nothing written\n";

/// When a run of a stream began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) began: DateTime<Utc>,
    pub(crate) ended: DateTime<Utc>,
}

/// Whether a stream has everything that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It has.
    Complete,
    /// It has not; see the error.
    Failed,
}

/// One stream of a run.
#[derive(Debug, Serialize)]
pub(crate) struct StreamSummary {
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<Organization>,
    status: Status,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    requests: u64,
    pages: u64,
    retries: u64,
    received: u64,
    duplicates: u64,
    rejected: u64,
    revised: u64,
    expired: u64,
    left_for_next_run: u64,
    skipped: u64,
    repaired: u64,
    appended: u64,
    files: Vec<String>,
    last_record: Option<DateTime<Utc>>,
    #[serde(skip)]
    silence: Option<Silence>,
    clock_offset_seconds: Option<i64>,
    warnings: Vec<String>,
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forward: Vec<ForwardSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upkeep: Option<Kept>,
    #[serde(skip)]
    gaps: Option<GapCounts>,
    #[serde(skip)]
    late: Lateness,
    #[serde(skip)]
    request_stats: RequestStats,
    #[serde(skip)]
    is_stopped: bool,
}

/// What happened to the records that a service returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordCounts {
    /// All of them, including repeated ones.
    pub(crate) received: u64,
    /// Those that were archived already, or came more than once.
    pub(crate) duplicates: u64,
    /// Those that cannot be filed and were not noted before.
    pub(crate) rejected: u64,
    /// Archived ones with other fields that were not noted like this before.
    pub(crate) revised: u64,
    /// Those, among all others, that did not come as JSON in UTF-8 and were not noted before.
    pub(crate) repaired: u64,
    /// Those that were appended, also by a write that failed after them.
    pub(crate) appended: u64,
}

/// The result of forwarding a stream to a sink.
#[derive(Debug, Serialize)]
pub(crate) struct ForwardSummary {
    sink: &'static str,
    sent: u64,
    repaired: u64,
    waiting: Option<u64>,
    undelivered: u64,
    error: Option<String>,
    #[serde(skip)]
    exit: Exit,
    #[serde(skip)]
    oldest_waiting: Option<DateTime<Utc>>,
}

impl From<Forwarded> for ForwardSummary {
    fn from(forwarded: Forwarded) -> Self {
        Self {
            sink: forwarded.sink,
            sent: forwarded.sent,
            repaired: forwarded.repaired,
            waiting: forwarded.waiting,
            undelivered: forwarded.undelivered,
            oldest_waiting: forwarded.oldest_waiting,
            exit: match &forwarded.failure {
                None => Exit::Complete,
                Some(failure) if failure.is_held() => Exit::Locked,
                Some(_) => Exit::StreamFailed,
            },
            error: forwarded.failure.map(|failure| failure.to_string()),
        }
    }
}

impl ForwardSummary {
    /// Returns the exit code for this stream and sink.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the name of the sink.
    pub(crate) fn sink(&self) -> &'static str {
        self.sink
    }

    /// Returns how many lines the sink has acknowledged.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns of how many of those a strict copy was sent.
    pub(crate) fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Returns how many lines are still to be sent, if that is known.
    pub(crate) fn waiting(&self) -> Option<u64> {
        self.waiting
    }

    /// Returns the time of the first record to be sent.
    pub(crate) fn oldest_waiting(&self) -> Option<DateTime<Utc>> {
        self.oldest_waiting
    }

    /// Returns a line for people.
    pub(crate) fn line(&self, stream: &str) -> String {
        let Self {
            sink,
            sent,
            repaired,
            waiting,
            undelivered,
            ..
        } = self;
        let copies = match repaired {
            0 => String::new(),
            _ => format!(" ({repaired} as repaired copies)"),
        };
        let waiting = waiting.map_or_else(|| "?".to_owned(), |waiting| waiting.to_string());
        let error = self
            .error
            .as_ref()
            .map_or_else(String::new, |error| format!("; {error}"));
        format!("{stream} to {sink}: {sent} sent{copies}, {waiting} waiting, {undelivered} undelivered{error}")
    }
}

impl Summary {
    /// Creates the summary of these streams, in this order.
    pub(crate) fn new(streams: Vec<StreamSummary>) -> Self {
        let is_kept = |stream: &StreamSummary| stream.upkeep.as_ref().is_none_or(|kept| kept.problems.is_empty());
        let is_whole = |stream: &StreamSummary| stream.status == Status::Complete && is_kept(stream);
        let collected = if streams.iter().all(is_whole) {
            Exit::Complete
        } else {
            Exit::StreamFailed
        };
        let forwarded = streams
            .iter()
            .flat_map(|stream| &stream.forward)
            .map(ForwardSummary::exit);
        let exit = forwarded.fold(collected, Exit::max);
        Self {
            streams,
            failed_organizations: Vec::new(),
            dry_run: false,
            exit,
            exit_code: exit as u8,
        }
    }

    /// Adds organizations of which nothing was collected.
    #[must_use]
    pub(crate) fn with_failed(mut self, failed: Vec<FailedOrganization>) -> Self {
        let least = if failed.is_empty() {
            Exit::Complete
        } else {
            Exit::StreamFailed
        };
        self.failed_organizations = failed;
        self.at_least(least)
    }

    /// Says whether nothing was written.
    #[must_use]
    pub(crate) fn of_dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Returns whether nothing was written.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Makes a rejected record as bad as a failed stream, for the exit code.
    #[must_use]
    pub(crate) fn strict(self) -> Self {
        let mut least = Exit::Complete;
        for StreamSummary { stream, rejected, .. } in self.streams.iter().filter(|stream| stream.rejected > 0) {
            tracing::error!(stream, rejected, "records were rejected, and --strict allows none");
            least = Exit::StreamFailed;
        }
        self.at_least(least)
    }

    /// Makes the exit code at least this one.
    #[must_use]
    pub(crate) fn at_least(self, exit: Exit) -> Self {
        let exit = self.exit.max(exit);
        Self {
            exit,
            exit_code: exit as u8,
            ..self
        }
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn streams(&self) -> &[StreamSummary] {
        &self.streams
    }

    /// Returns the JSON form, on one line.
    ///
    /// # Errors
    /// Never in practice: the summary has nothing that JSON cannot represent.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl StreamSummary {
    /// Creates the summary of one stream.
    pub(crate) fn new(stream: &'static str, collected: Collected) -> Self {
        let is_stopped = matches!(collected.failure, Some(CollectError::Stopped));
        let window = collected.window();
        let error = collected.failure.map(|failure| failure.to_string());
        Self {
            stream,
            organization: None,
            status: if error.is_none() {
                Status::Complete
            } else {
                Status::Failed
            },
            from: window.map(|window| window.from),
            to: window.map(|window| window.to),
            requests: collected.request_counts.requests,
            pages: collected.request_counts.pages,
            retries: collected.request_counts.retries,
            received: collected.received,
            duplicates: collected.duplicates,
            rejected: collected.rejected,
            revised: collected.revised,
            expired: collected.expired,
            left_for_next_run: collected.left_for_next_run,
            skipped: collected.skipped,
            repaired: collected.repaired,
            appended: collected.appended,
            files: collected.files.into_iter().collect(),
            last_record: collected.last_record,
            silence: collected.silence,
            clock_offset_seconds: collected.clock_offset.map(|offset| offset.num_seconds()),
            warnings: collected.warnings,
            error,
            forward: collected.forwarded.into_iter().map(ForwardSummary::from).collect(),
            upkeep: collected.kept,
            gaps: collected.gaps,
            late: collected.late,
            request_stats: collected.request_stats,
            is_stopped,
        }
    }

    /// Says whose stream it is, if there are several organizations.
    #[must_use]
    pub(crate) fn of(self, organization: Option<Organization>) -> Self {
        Self { organization, ..self }
    }

    /// Returns the result of forwarding, for each sink of the run.
    pub(crate) fn forward(&self) -> &[ForwardSummary] {
        &self.forward
    }

    /// Returns what happened to the records that the service returned.
    pub(crate) fn records(&self) -> RecordCounts {
        RecordCounts {
            received: self.received,
            duplicates: self.duplicates,
            rejected: self.rejected,
            revised: self.revised,
            repaired: self.repaired,
            appended: self.appended,
        }
    }

    /// Returns by how much the service's clock was ahead of ours, in seconds, if it is known.
    pub(crate) fn clock_offset_seconds(&self) -> Option<i64> {
        self.clock_offset_seconds
    }

    /// Returns what is to be known although it is no failure.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns what is missing after the run, if that is known.
    pub(crate) fn gaps(&self) -> Option<GapCounts> {
        self.gaps
    }

    /// Returns the number of retries.
    pub(crate) fn retries(&self) -> u64 {
        self.retries
    }

    /// Returns whether it is incomplete because of a shutdown.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Returns how the requests ended and how long they took.
    pub(crate) fn request_stats(&self) -> &RequestStats {
        &self.request_stats
    }

    /// Returns the time of the archive's last record.
    pub(crate) fn last_record(&self) -> Option<DateTime<Utc>> {
        self.last_record
    }

    /// Returns for how long the stream has been quiet, where that can be compared with its past.
    pub(crate) fn silence(&self) -> Option<Silence> {
        self.silence
    }

    /// Returns the name of the stream.
    pub(crate) fn name(&self) -> &'static str {
        self.stream
    }

    /// Returns whether the stream has everything that was asked for.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// Returns the requested window.
    pub(crate) fn window(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        (self.from, self.to)
    }

    /// Returns the appended records that were late.
    pub(crate) fn late(&self) -> &Lateness {
        &self.late
    }

    /// Returns the number of appended records.
    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Returns why it is not complete.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// The table, and below it the errors, without colours.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

impl Summary {
    /// Returns the table, and below it the errors.
    #[must_use]
    pub(crate) fn text(&self, with_colours: bool) -> String {
        let mut table = Table::new([
            left("STREAM"),
            left("STATUS"),
            right("APPENDED"),
            right("RECEIVED"),
            right("DUPLICATES"),
            right("REJECTED"),
            right("REQUESTS"),
            left("LAST RECORD"),
        ])
        .with_colours(with_colours);
        self.streams.iter().for_each(|stream| table.row(stream.row()));
        if self.streams.iter().any(|stream| stream.organization.is_some()) {
            table.row(self.total_row());
        }
        let mut text = table.to_string();
        for FailedOrganization { organization, error } in &self.failed_organizations {
            text.push_str(&format!("{organization}: not collected: {error}\n"));
        }
        for stream in &self.streams {
            for forward in &stream.forward {
                text.push_str(&(forward.line(stream.stream) + "\n"));
            }
            if let Some(kept) = &stream.upkeep {
                text.push_str(&kept.lines(stream.stream));
            }
            if stream.repaired > 0 {
                text.push_str(&stream.repaired_line());
            }
            if stream.revised > 0 {
                text.push_str(&stream.revised_line());
            }
            for said in stream.notes().iter().chain(&stream.error) {
                text.push_str(&format!("{}: {said}\n", stream.stream));
            }
        }
        if self.dry_run {
            text.push_str(DRY_RUN);
        }
        text
    }

    /// Returns what all organizations have together.
    fn total_row(&self) -> [Cell; 8] {
        let organizations: BTreeSet<_> = self.streams.iter().filter_map(|stream| stream.organization).collect();
        let failed = self
            .streams
            .iter()
            .filter(|stream| stream.status == Status::Failed)
            .count();
        let sum = |of: fn(&StreamSummary) -> u64| Cell::from(self.streams.iter().map(of).sum::<u64>().to_string());
        let status = match (failed, self.failed_organizations.len()) {
            (0, 0) => Cell::coloured("complete", Colour::Green),
            (0, others) => Cell::coloured(format!("{others} not collected"), Colour::Red),
            (_, 0) => Cell::coloured(format!("{failed} failed"), Colour::Red),
            (_, others) => Cell::coloured(format!("{failed} failed, {others} not collected"), Colour::Red),
        };
        let some = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (streams, organizations) = (
            some(self.streams.len(), "stream"),
            some(organizations.len(), "organization"),
        );
        [
            format!("{streams} of {organizations}").into(),
            status,
            sum(|stream| stream.appended),
            sum(|stream| stream.received),
            sum(|stream| stream.duplicates),
            sum(|stream| stream.rejected),
            sum(|stream| stream.requests),
            Cell::from(""),
        ]
    }
}

impl StreamSummary {
    /// Returns what is to be known of a stream although it is no failure.
    fn notes(&self) -> Vec<String> {
        let left = self.left_for_next_run;
        let note = || format!("{left} newer than this run, left for the next one, which asks for them again");
        let Self { expired, .. } = self;
        let gone = || format!("{expired} of days that were deleted for their age, not kept");
        let notes = self.warnings.iter().cloned();
        notes
            .chain((left > 0).then(note))
            .chain((*expired > 0).then(gone))
            .collect()
    }

    /// Tells that the service sent what is not JSON.
    fn repaired_line(&self) -> String {
        let Self { stream, repaired, .. } = self;
        format!("{stream}: {repaired} repaired: not JSON in UTF-8, kept as they came in the rejected file\n")
    }

    /// Tells that archived events came with other fields.
    fn revised_line(&self) -> String {
        let Self { stream, revised, .. } = self;
        format!("{stream}: {revised} revised: archived events seen again with other fields, kept in the revised file\n")
    }

    fn row(&self) -> [Cell; 8] {
        let status = match self.status {
            Status::Complete => Cell::coloured("complete", Colour::Green),
            Status::Failed => Cell::coloured("failed", Colour::Red),
        };
        let numbers = [
            self.appended,
            self.received,
            self.duplicates,
            self.rejected,
            self.requests,
        ];
        let [appended, received, duplicates, rejected, requests] = numbers.map(|number| number.to_string());
        let rejected = match self.rejected {
            0 => Cell::from(rejected),
            _ => Cell::coloured(rejected, Colour::Yellow),
        };
        let last = self.last_record.map_or_else(|| "none".to_owned(), to_the_second);
        [
            self.stream.into(),
            status,
            appended.into(),
            received.into(),
            duplicates.into(),
            rejected,
            requests.into(),
            last.into(),
        ]
    }
}
