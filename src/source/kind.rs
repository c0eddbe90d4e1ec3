//! A row in the list of services: the name of a stream and how its source is built from the environment.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Source;
use super::columns::Columns;
use crate::env::{ConfigErrors, Env, Organization, Row};
use crate::record::{KeyPath, Shape};

/// Builds a source from the environment, or adds every error in its variables.
///
/// `None` means that at least one error was added. [`ConfigErrors::missing`] already knows why the stream is read.
pub type Configure = fn(&Env, &mut ConfigErrors) -> Option<Arc<dyn Source>>;

/// One kind of stream.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, in `--stream`, the summary and messages. Lower case with hyphens.
    pub name: &'static str,
    /// The vendor's name in the documents, which group streams by vendor.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) vendor: &'static str,
    /// What it holds, for the documents: the end of a sentence that begins with its name.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) about: &'static str,
    /// What its files are named after where nothing else is said: `mail` for `mail_audit`.
    pub(crate) example: &'static str,
    /// The prefix of its variables, without the underscore: `MAIL`.
    pub(crate) prefix: &'static str,
    /// Where its records have their time and identity.
    pub shape: Shape,
    /// How long the service keeps records.
    pub(crate) retention: Retention,
    /// The prefix of its variables in another collector, so that its settings can be taken over.
    pub(crate) legacy_prefix: Option<&'static str>,
    /// How many days a first run goes back, unless `INITIAL_LOOKBACK_DAYS` is set.
    pub(crate) lookback_days: u32,
    /// The credential variables that `configure` reads.
    pub(crate) credentials: &'static [&'static dyn Row],
    /// The other variables that `configure` reads.
    pub(crate) variables: &'static [&'static dyn Row],
    /// Where its records have what `report` and `search` show.
    pub(crate) columns: Columns,
    /// Where a record says how it ended; `None` if the records of this source do not.
    pub(crate) outcome: Option<Outcome>,
    /// Builds the source.
    pub configure: Configure,
}

/// Where a record says how what it tells of has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Where the word stands.
    pub(crate) path: KeyPath,
    /// The word for success; with any other the action has failed.
    pub(crate) success: &'static str,
}

/// How long a service keeps records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// In days after they happened.
    pub(crate) days: u32,
    /// Whether the vendor documents it; otherwise it is what clients of the service assume.
    pub(crate) is_documented: bool,
}

impl Retention {
    /// Returns the oldest time whose records the service still has at `now`.
    #[must_use]
    pub(crate) fn oldest(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - TimeDelta::days(self.days.into())
    }

    /// Returns when the service drops the records of `time`.
    #[must_use]
    pub(crate) fn gone_at(self, time: DateTime<Utc>) -> DateTime<Utc> {
        time + TimeDelta::days(self.days.into())
    }
}

/// Kinds are compared by name.
impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

impl Kind {
    /// Returns the name of such a stream in all that is shown: `yandex-mail`, or `acme/yandex-mail` of an organization.
    #[must_use]
    pub(crate) fn name_of(&self, organization: Option<Organization>) -> &'static str {
        organization.map_or(self.name, |organization| organization.stream(self.name))
    }

    /// Returns the name of a variable of this stream: `MAX_PAGES` is `MAIL_MAX_PAGES`.
    #[must_use]
    pub fn variable(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    /// Returns the base name of its day files in the documents, in the demo, and where `init` is told no other: `mail_audit`.
    #[must_use]
    pub(crate) fn usual_base_name(&self) -> String {
        format!("{}_audit", self.example)
    }

    /// Returns the rows of all variables that `configure` reads.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static dyn Row> {
        self.credentials.iter().chain(self.variables).copied()
    }

    /// Returns the rows of the variables that hold a secret.
    pub fn secrets(&self) -> impl Iterator<Item = &'static dyn Row> {
        self.rows().filter(|row| row.file().is_some())
    }
}
