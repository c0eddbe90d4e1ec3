//! How a stream stands, in one word and a sentence.

use super::{StreamReport, UnreadableStream};
use crate::coverage::End;
use crate::output::table::rfc3339;

/// How a stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) word: Word,
    /// Why it is not well; `None` if it is.
    pub(super) reason: Option<String>,
}

/// The verdict in one word; the worst that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Ok,
    /// No run has written a journal yet.
    New,
    /// Something is missing that can still be had, or was lost.
    Gaps,
    /// Its last run failed or was killed.
    Failed,
    /// Its archive cannot be read.
    Unreadable,
}

impl Word {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::New => "new",
            Self::Gaps => "gaps",
            Self::Failed => "failed",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Verdict {
    pub(super) fn of(stream: &Result<StreamReport, UnreadableStream>) -> Self {
        match stream {
            Ok(stream) => Self::of_archive(stream),
            Err(stream) => Self::because(Word::Unreadable, stream.error.clone()),
        }
    }

    fn of_archive(stream: &StreamReport) -> Self {
        if let Some(since) = stream.liveness.silent_since {
            let reason = format!(
                "the run of {} was killed, or could not write how it ended",
                rfc3339(since)
            );
            return Self::because(Word::Failed, reason);
        }
        let Some(newest) = &stream.journal else {
            return Self::because(Word::New, "no run has written a coverage journal yet".to_owned());
        };
        if newest.end == End::Failed {
            let error = newest.error.as_deref().unwrap_or("it was not complete");
            return Self::because(Word::Failed, format!("the last run failed: {error}"));
        }
        let open = stream.gaps.iter().filter(|gap| !gap.is_gone).count();
        match (open, stream.lost_days) {
            (0, 0) => Self {
                word: Word::Ok,
                reason: None,
            },
            (open, 0) => Self::because(Word::Gaps, format!("gaps that can still be closed: {open}")),
            (_, lost) => Self::because(Word::Gaps, format!("days that have lost records: {lost}")),
        }
    }

    fn because(word: Word, reason: String) -> Self {
        let reason = Some(reason);
        Self { word, reason }
    }
}
