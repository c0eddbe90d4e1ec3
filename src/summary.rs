//! What a run came to: a table for people, JSON for programs, and the exit code.

use std::fmt;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::collect::Collected;
use crate::lateness::Lateness;
use crate::table::{Table, left, rfc3339, right};

/// How the program ended, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All streams are complete.
    Complete = 0,
    /// The settings are wrong, the program could not start, or `check` found something that does not work.
    Setup = 1,
    /// The command line is wrong.
    Usage = 2,
    /// At least one stream is not complete, is older than `status --max-age` allows, or holds what `verify` calls wrong.
    StreamFailed = 3,
    /// Another run holds one of the catalogs.
    Locked = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A run, stream by stream.
#[derive(Debug, Serialize)]
pub struct Summary {
    streams: Vec<StreamSummary>,
    exit_code: u8,
}

/// Whether a stream holds everything that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does.
    Complete,
    /// It does not; see the error.
    Failed,
}

/// One stream of a run.
#[derive(Debug, Serialize)]
pub struct StreamSummary {
    stream: &'static str,
    status: Status,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    requests: u64,
    pages: u64,
    retries: u64,
    received: u64,
    duplicates: u64,
    rejected: u64,
    appended: u64,
    files: Vec<String>,
    last_record: Option<DateTime<Utc>>,
    error: Option<String>,
    #[serde(skip)]
    late: Lateness,
}

impl Summary {
    /// The summary of these streams, in this order.
    pub fn new(streams: Vec<StreamSummary>) -> Self {
        let exit = match streams.iter().all(|stream| stream.status == Status::Complete) {
            true => Exit::Complete,
            false => Exit::StreamFailed,
        };
        Self {
            streams,
            exit_code: exit as u8,
        }
    }

    /// How the program should end.
    pub fn exit(&self) -> Exit {
        if self.exit_code == Exit::Complete as u8 {
            Exit::Complete
        } else {
            Exit::StreamFailed
        }
    }

    /// The streams.
    pub fn streams(&self) -> &[StreamSummary] {
        &self.streams
    }

    /// The JSON form, on one line.
    ///
    /// # Errors
    /// Never in practice: the summary holds nothing that JSON cannot.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl StreamSummary {
    /// The summary of one stream.
    pub fn new(stream: &'static str, collected: Collected) -> Self {
        let error = collected.failure.map(|failure| failure.to_string());
        Self {
            stream,
            status: if error.is_none() {
                Status::Complete
            } else {
                Status::Failed
            },
            from: collected.window.map(|window| window.from),
            to: collected.window.map(|window| window.to),
            requests: collected.effort.requests,
            pages: collected.effort.pages,
            retries: collected.effort.retries,
            received: collected.received,
            duplicates: collected.duplicates,
            rejected: collected.rejected,
            appended: collected.appended,
            files: collected.files.into_iter().collect(),
            last_record: collected.last_record,
            error,
            late: collected.late,
        }
    }

    /// What people call the stream.
    pub fn name(&self) -> &'static str {
        self.stream
    }

    /// Whether it holds everything that was asked for.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The window that was asked for.
    pub fn window(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        (self.from, self.to)
    }

    /// The appended records that had come late.
    pub fn late(&self) -> &Lateness {
        &self.late
    }

    /// Records that were appended.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// Why it is not complete.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// The table, and below it what failed.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            left("STREAM"),
            left("STATUS"),
            right("APPENDED"),
            right("RECEIVED"),
            right("DUPLICATES"),
            right("REJECTED"),
            right("REQUESTS"),
            left("LAST RECORD"),
        ]);
        self.streams.iter().for_each(|stream| table.row(stream.row()));
        write!(f, "{table}")?;
        for stream in &self.streams {
            if let Some(error) = &stream.error {
                writeln!(f, "{}: {error}", stream.stream)?;
            }
        }
        Ok(())
    }
}

impl StreamSummary {
    fn row(&self) -> [String; 8] {
        let status = match self.status {
            Status::Complete => "complete",
            Status::Failed => "failed",
        };
        let numbers = [
            self.appended,
            self.received,
            self.duplicates,
            self.rejected,
            self.requests,
        ];
        let [appended, received, duplicates, rejected, requests] = numbers.map(|number| number.to_string());
        let last = self.last_record.map_or_else(|| "none".to_owned(), rfc3339);
        [
            self.stream.to_owned(),
            status.to_owned(),
            appended,
            received,
            duplicates,
            rejected,
            requests,
            last,
        ]
    }
}
