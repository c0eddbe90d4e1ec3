//! Asking again: hours that nobody could prepare are asked of the service once more, and compared with what was sealed.
//!
//! Imports: archive, config, coverage, evidence, fetch, fs, http, record, source, window.
//!
//! Nothing is written, and no lock is taken. `draw` and `compare` are functions of their arguments; `docs/commands/audit.md`
//! has the rule by which hours are drawn, so that a stranger can repeat it.

pub(crate) mod archived;
pub(crate) mod asking;
pub(crate) mod compare;
pub(crate) mod draw;
pub(crate) mod hour;
pub(crate) mod population;

/// What every page of an audit begins with: nothing else is replaced by a page, or believed to be one.
pub(crate) const PAGE_BEGINNING: &str = "trailkeeper audit v1\n";
