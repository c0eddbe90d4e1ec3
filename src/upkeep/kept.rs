//! What the upkeep of a stream came to.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::error::UpkeepError;

/// What was done with the days of a stream at the end of a run. The fields are those of `collect --json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Kept {
    pub(crate) packed: u64,
    pub(crate) deleted: u64,
    /// How many days are old enough and stay as they are.
    pub(crate) left: u64,
    pub(crate) problems: Vec<String>,
    /// Whether there was more to do than is done in one go.
    #[serde(skip)]
    pub(super) has_more: bool,
    /// Whether something was in use, and is to be tried again soon.
    #[serde(skip)]
    pub(super) is_held: bool,
}

impl Kept {
    /// Returns whether there was more to do than is done in one go.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Returns whether something was in use by another process.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// The work has ended with a bug in the program.
    pub(crate) fn panicked() -> Self {
        Self {
            problems: vec!["packing or deleting old days panicked; please report it".to_owned()],
            ..Self::default()
        }
    }

    pub(super) fn fail(&mut self, error: &UpkeepError) {
        self.is_held |= error.is_held();
        self.problems.push(error.to_string());
    }

    /// Notes the days that stay, and logs the oldest with its reason.
    pub(super) fn leave(&mut self, what: &str, left: &BTreeMap<NaiveDate, String>) {
        self.left += left.len() as u64;
        if let Some((date, reason)) = left.first_key_value() {
            tracing::info!(days = left.len(), "{what}: {date}: {reason}");
        }
    }

    /// Returns lines for people: none if nothing was done, and nothing went wrong.
    pub(crate) fn lines(&self, stream: &str) -> String {
        let Self { packed, deleted, .. } = self;
        let done = [(*packed, "packed"), (*deleted, "deleted for their age")];
        let done = done.into_iter().filter(|(days, _)| *days > 0);
        let done = done.map(|(days, what)| format!("{stream}: {days} days {what}\n"));
        let problems = self.problems.iter();
        done.chain(problems.map(|problem| format!("{stream}: {problem}\n")))
            .collect()
    }
}
