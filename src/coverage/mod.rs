//! The coverage journal of a stream: what the service was asked for, and what is missing; and, in `pending`, what it gave of that.
//!
//! Imports: archive, fetch, fs, record, source, window.
//!
//! # The journal
//!
//! `<catalog>/.trailkeeper/<base>.coverage.jsonl` has a JSON object in each line. A run writes one, synced, before it asks
//! for anything, others while it files, and the last when it ends:
//!
//! ```json
//! {"version":2,"program":"0.1.0","at":"2026-11-20T10:00:00Z","seconds":1.25,
//!  "scope":{"stream":"tfc","organization":null,"address":"https://app.terraform.io","filter":null},
//!  "overlap_seconds":120,
//!  "asked":[{"from":"2026-11-20T09:48:00Z","to":"2026-11-20T10:00:00Z","purpose":"new",
//!            "covered_to":"2026-11-20T10:00:00Z","is_done":true,"skipped":[],"is_contradicted":false,
//!            "as_given_from":null,"error":null}],
//!  "end":"exhausted","error":null,"requests":1,"retries":0,"pages":1,"received":12,"duplicates":2,"appended":10,
//!  "rejected":0,"revised":0,"repaired":0,"last_before":"2026-11-20T09:50:00Z","last_record":"2026-11-20T09:59:58Z",
//!  "service_date":"2026-11-20T10:00:01Z","counts":{"2026-11-20":{"lines":10,"bytes":2710}},"has_all_counts":false,
//!  "asked_from":"2026-11-06T10:00:00Z",
//!  "covered":[{"from":"2026-11-06T10:00:00Z","to":"2026-11-20T10:00:00Z"}],
//!  "claimed_to":null,"last_complete":"2026-11-20T10:00:00Z","last_reconciled":null,"reconciling":null,
//!  "assumptions":{"order":"newest-first","is_order_shown":true,"looks_above":0,"disorder_ms":0,"above_ms":0,"below_ms":0},
//!  "other_order_at":null,"lost":{},"contradictions":0,"unproved":[],"accepted":[]}
//! ```
//!
//! - `at`: when the run began; `seconds`: how long it has taken for this stream.
//! - `scope`: what is asked for and from whom: the organization where the address names one, scheme, host and port, and
//!   the operator's query parameters. A line of another scope covers nothing.
//! - `asked`: the spans that the run asks for, in this order. `purpose`: `new` (from the last record on), `gap` (no run
//!   has covered it), `range` (the user asked for it), `reconcile` (once more, for records that were late or lacking). `covered_to`: up to where
//!   everything was asked for and filed, and not later than the service's own time as far as its answers showed it; `null`
//!   if nothing was. `is_done`: whether it was asked for to its end. `skipped`: days whose file could not be read or written. `is_contradicted`: answers contradicted each
//!   other; `has_lapsed`, where it is so: some lacked records that others to the same request held; `as_given_from`: from where on it was filed as the service gave it all the same. `error`: why it ended early.
//! - `end`: `open` (the run goes on, or was killed), `exhausted` (the service was asked for all of it), `stopped` (the
//!   run was shut down), `failed` (`error` says why), `nothing` (there was nothing to ask for).
//! - `received` is the sum of `duplicates`, `appended`, `rejected`, `revised`, `expired`, and the records of skipped days; `repaired` of
//!   them did not come as JSON in UTF-8.
//! - `last_before`, `last_record`: the time of the archive's last record before and after the run.
//! - `service_date`: the `Date` of the last answer; if the next run is answered with the same, it is no clock's.
//!
//! - `counts`: what the files of the days hold that this run has written to; or of all days, if it `has_all_counts`: the
//!   `lines` and `bytes` of the day file, and, where another program has compressed the day, how many lines only the
//!   `compressed` file has. A day whose files hold less later has lost records.
//! - `filing`, where there are some: the days that pending records are filed to although the run does not ask for them, written
//!   before that.
//!
//! The sum of this run and all before it:
//!
//! - `asked_from`: the oldest time that any of them was to ask for; `covered`: the spans that are covered;
//!   `claimed_to`: a time that was claimed by a clock that was ahead, until it has come.
//! - `last_complete`: when the last run began that covered everything up to its start; `last_reconciled`: when the
//!   reconciling began that was last done; `reconciling`: `{"at","from","to"}`, one that is not done yet; with
//!   `lapses` where it reads once more what answers lacked something of.
//! - `assumptions`: what was seen of the service, on which it rests that what is covered is complete: the `order` of its
//!   answers (`newest-first`, `oldest-first`, `newest-page-first`, `unknown`) and whether it was shown, by how much records
//!   are out of order (`disorder_ms`, late ones included; `swapped_ms` within answers), by how much answers overlapped at least
//!   (`overlap_ms`), how far bounds reach, how far below their upper bound answers do (`reach_ms`), and how many of the next
//!   answers are `doubted`. Newest first, and that no record is further from where it belongs than answers overlapped, is
//!   believed until it is refuted: then everything is a gap again.
//!   `other_order_at`: when the order was.
//! - `lost`: the days whose files have lost records, and do not hold as much again: how (`loss`: `missing`, `shorter`,
//!   `not-a-file`, and of a compressed file `compressed-missing`, `compressed-damaged`, `fewer-records`), what they held, and
//!   when that was noticed; whatever the scope of the line is.
//! - `contradictions`: how many runs in a row were told what contradicts itself; after three it is filed as the service
//!   gives it, and is one of `unproved`: `{"from","to","reason","asked_at","repeats"}`, spans that stay gaps and are asked
//!   for again after an hour, two, and so on, up to a day.
//! - `accepted_losses`: days whose losses the operator accepted, as in `lost`; they count as covered, and are not complete.
//! - `accepted`: gaps that the service had dropped when the operator accepted that. They stay gaps, and are no cause for alarm.
//! - `expired_days`: the spans of the days that were deleted for their age; nothing before the end of the last one is asked for.
//!   A line which is written before files are deleted names them, as `expiring`: `{"file","lines","bytes","sha256","reason","at"}`,
//!   and their days, as `expiring_days`; the line after it has those in `expired_days` that are gone. Of what an interruption leaves,
//!   a day that is whole is one like all others, and one that is gone is expired. `expired`: how many records of such days came, and
//!   were not kept.
//! - `is_sealed`: the archive is sealed; then no day is deleted that is not.
//!
//! Fields may be added; readers ignore those that they do not know. A run reads the newest line of its scope, and back to the
//! last one with all counts. A journal of more than 4 MiB is kept as `<base>.coverage.previous.jsonl`, and another one
//! begins.
//!
//! # What counts as covered
//!
//! A span counts as far as it was asked for to the end, and as far as the service still had it then: what was older
//! than its retention does not count. A killed run covers what it had noted; the rest of what it was to ask for is a gap,
//! since it was noted before. What a clock claimed that was ahead is taken back by the next run.
//!
//! Where day files lie without a readable journal, nothing of what they hold is known to be covered: all of it since the
//! first of them is a gap.

pub(crate) mod asked;
mod completed_runs;
mod counts_text;
mod covered;
mod day_counts;
mod entry;
mod expiry;
mod fed;
mod file_notices;
mod gap;
mod journal;
mod liveness;
mod notices;
mod pending;
mod reconciling;
mod scope;
mod silence;
mod standing;
mod sum;
mod unproved;

pub(crate) use asked::{Asked, Purpose, day_span};
#[cfg(test)]
pub(crate) use completed_runs::CompletedRun;
pub(crate) use completed_runs::CompletedRuns;
pub(crate) use covered::Covered;
pub(crate) use day_counts::{Counted, Counts, Loss, LostDay, may_be_deleted};
pub(crate) use entry::{End, Entry};
pub(crate) use expiry::Expiry;
pub(crate) use fed::{FED, FED_FILE, Fed};
pub(crate) use gap::{Gap, GapCounts, gone_sentence};
pub(crate) use journal::{JOURNAL, JOURNAL_FILES, Journal, LONGEST_JOURNAL, PREVIOUS_JOURNAL};
pub(crate) use liveness::{Liveness, Running};
pub(crate) use notices::Gone;
pub(crate) use pending::{PENDING, PENDING_FILE, Pending, PendingError};
pub(crate) use reconciling::Reconciling;
pub(crate) use scope::{Scope, Wanted};
pub(crate) use silence::{ShownSilence, Silence};
pub(crate) use standing::{Standing, WrongDay};
pub(crate) use sum::Sum;
pub(crate) use unproved::Unproved;
