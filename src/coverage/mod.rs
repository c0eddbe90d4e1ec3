//! The coverage journal of a stream: what the service was asked for, and what is missing.
//!
//! Imports: archive, fs, source, window.
//!
//! # The journal
//!
//! Every run appends one line per stream to `<catalog>/.trailkeeper/<base>.coverage.jsonl`, a JSON object:
//!
//! ```json
//! {"version":1,"program":"0.1.0","at":"2026-11-20T10:00:00Z","seconds":1.25,
//!  "from":"2026-11-20T09:48:00Z","to":"2026-11-20T10:00:00Z","end":"exhausted","covered_to":"2026-11-20T10:00:00Z",
//!  "error":null,"closed":[],"requests":1,"retries":0,"pages":1,"received":12,"duplicates":2,"appended":10,"rejected":0,
//!  "repaired":0,"last_before":"2026-11-20T09:50:00Z","last_record":"2026-11-20T09:59:58Z",
//!  "covered":[{"from":"2026-11-06T10:00:00Z","to":"2026-11-20T10:00:00Z"}],
//!  "last_complete":"2026-11-20T10:00:00Z","last_reconciled":null,"service_date":"2026-11-20T10:00:01Z"}
//! ```
//!
//! - `at`: when the run began; `seconds`: how long it took for this stream.
//! - `from`, `to`: the window; `null` if the run did not get that far.
//! - `end`: `exhausted` (the service was asked for all of it), `stopped` (the run was shut down), `failed` (`error`
//!   says why), `nothing` (there was nothing to ask for).
//! - `covered_to`: up to where everything was asked for and filed, and not later than the service's own time as far as
//!   its answers showed it; `null` if nothing was.
//! - `closed`: the gaps that this run asked for first: `{"from","to","covered_to","error"}`.
//! - `received` is the sum of `duplicates`, `appended` and `rejected`; `repaired` of them did not come as JSON in UTF-8.
//! - `last_before`, `last_record`: the time of the archive's last record before and after the run.
//! - `covered`: the spans that this run and all runs before it asked for.
//! - `last_complete`: when the last complete run began, this one included; `last_reconciled`: when the last run began
//!   that reached back `RECONCILE_HOURS` or more.
//! - `service_date`: the `Date` of the last answer; if the next run is answered with the same, it is no clock's.
//!
//! Fields may be added; readers ignore those that they do not know. A line is written when the stream has ended and all
//! of its records are on disk. A killed run thus covers nothing: the next run asks again for what it archived and finds
//! duplicates. The last readable line holds the sum of all, so a run reads one line, however long the journal is. If
//! the journal is damaged or deleted, less of the past is known, but nothing false is.
//!
//! # What counts as covered
//!
//! A span counts as far as it was asked for to the end, and as far as the service still had it then: what was older
//! than its retention does not count. Time before the first covered span is unknown, not a gap: a catalog that another
//! program began has records there that no journal mentions.

mod completed_runs;
mod covered;
mod entry;
mod gap;
mod journal;

#[cfg(test)]
pub(crate) use completed_runs::CompletedRun;
pub(crate) use completed_runs::CompletedRuns;
pub(crate) use covered::Covered;
pub(crate) use entry::{Closed, End, Entry};
pub(crate) use gap::{Gap, gaps};
pub(crate) use journal::Journal;
