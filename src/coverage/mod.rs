//! What a service was asked for, and what nobody asked it for: the coverage journal of a stream.
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
//!  "last_before":"2026-11-20T09:50:00Z","last_record":"2026-11-20T09:59:58Z",
//!  "covered":[{"from":"2026-11-06T10:00:00Z","to":"2026-11-20T10:00:00Z"}],
//!  "last_complete":"2026-11-20T10:00:00Z","last_reconciled":null}
//! ```
//!
//! - `at`: when the run began; `seconds`: how long it took for this stream.
//! - `from`, `to`: what was asked for; `null` where the run did not get that far.
//! - `end`: `exhausted` (the service was asked for all of it), `stopped` (somebody ended the run), `failed` (then `error`
//!   says why), `nothing` (there was nothing to ask for).
//! - `covered_to`: up to where everything was asked for and filed; `null` where nothing was.
//! - `closed`: the gaps that this run went back for before it went on: `{"from","to","covered_to","error"}`.
//! - `last_before`, `last_record`: the time of the archive's last record before and after the run.
//! - `covered`: the spans for which the service was asked for everything, by this run and all before it.
//! - `last_complete`: when the last run began that ended well, this one included; `last_reconciled`: when the last one
//!   began that reached back `RECONCILE_HOURS` or more.
//!
//! Fields may be added; a reader passes over those that it does not know. A line is written when its stream has ended
//! and all of its records are on disk, so a run that was killed covers nothing on paper: what it archived is asked for
//! again, once, and found to be there. The last line that can be read holds the sum of all, so a run reads one line,
//! however long the journal is. A damaged or deleted journal makes less of the past known and nothing false.
//!
//! # What counts as covered
//!
//! A span counts as far as it was walked to its end and as far as the service still had it when it was asked: what was
//! older than its retention by then does not count. Time before the first covered span is not known, and no gap: a
//! catalog that another program began has records there that no journal speaks of.

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
