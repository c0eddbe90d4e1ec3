//! A row in the list of services: what a stream is called and how its source is made from the environment.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Source;
use crate::env::{ConfigErrors, Env, Row};
use crate::record::{KeyPath, Shape};

/// Makes a source from the environment, or names every fault in what the source needs.
///
/// `None` means that at least one fault was added. [`ConfigErrors::missing`] already knows why the stream is read.
pub type Configure = fn(&Env, &mut ConfigErrors) -> Option<Arc<dyn Source>>;

/// One kind of stream.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What people call it: `--stream`, the summary, messages. Lower case with hyphens.
    pub name: &'static str,
    /// What the documents call the vendor; the streams of one stand side by side.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) vendor: &'static str,
    /// What it holds, for the documents: the end of a sentence that begins with its name.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) about: &'static str,
    /// What its folder and its files are called in the documents: `/var/log/audit/mail`, `mail_audit`.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) example: &'static str,
    /// The prefix of its variables, without the underscore: `MAIL`.
    pub(crate) prefix: &'static str,
    /// Where its records keep time and identity.
    pub shape: Shape,
    /// How long the service keeps records.
    pub(crate) retention: Retention,
    /// The prefix under which another collector knew the variables of its place, so that its settings can be taken over.
    pub(crate) legacy_prefix: Option<&'static str>,
    /// How many days a first run goes back when `INITIAL_LOOKBACK_DAYS` says nothing else.
    pub(crate) lookback_days: u32,
    /// The variables that say who asks, which `configure` reads.
    pub(crate) credentials: &'static [&'static dyn Row],
    /// The other variables that `configure` reads.
    pub(crate) variables: &'static [&'static dyn Row],
    /// Where a record says what happened; what stands at these paths is put together.
    pub(crate) event: &'static [KeyPath],
    /// Where a record says who did it; the first of these paths with a text or a number counts.
    pub(crate) actor: &'static [KeyPath],
    /// Makes the source.
    pub configure: Configure,
}

/// How long a service keeps records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For this many days after they happened.
    pub(crate) days: u32,
    /// Whether the vendor says so; else it is what clients of the service assume.
    pub(crate) is_documented: bool,
}

impl Retention {
    /// The oldest time whose records the service still has when it is `now`.
    #[must_use]
    pub(crate) fn oldest(self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - TimeDelta::days(self.days.into())
    }

    /// From when on the service has no record of `time` any more.
    #[must_use]
    pub(crate) fn gone_at(self, time: DateTime<Utc>) -> DateTime<Utc> {
        time + TimeDelta::days(self.days.into())
    }
}

/// Kinds are told apart by their names.
impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

impl Kind {
    /// The name of a variable of this stream: `MAX_PAGES` is `MAIL_MAX_PAGES`.
    #[must_use]
    pub fn variable(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    /// A base name for its day files where nobody chose one, as in the demo: `yandex_mail_audit`.
    #[must_use]
    pub(crate) fn usual_base_name(&self) -> String {
        let name = self.name.replace('-', "_");
        format!("{}_audit", name.trim_end_matches("_audit"))
    }

    /// The rows of all variables that `configure` reads.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static dyn Row> {
        self.credentials.iter().chain(self.variables).copied()
    }

    /// Those that hold a secret.
    pub fn secrets(&self) -> impl Iterator<Item = &'static dyn Row> {
        self.rows().filter(|row| row.file().is_some())
    }
}
