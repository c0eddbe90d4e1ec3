//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.
//!
//! # The map
//!
//! Data flows one way. A module imports only from those above it in the list below, and its first lines say which.
//!
//! - settings: `env` reads the variables, `config` makes the streams and sinks of them
//! - window: what a run asks for, and the slices of it
//! - pages: `source` says what to ask a service and reads its answer, without I/O; `fetch` asks, over `http`
//! - records: `record`, in the form and with the identity that `json` defines
//! - day files: `archive` drops duplicates, appends, repairs, reads and verifies
//! - coverage: `coverage` keeps the journal of what was asked for
//! - sinks: `forward` sends what the day files hold, and moves its cursor
//! - outcome: `run` puts these together; `metrics`, `report` and the `commands` show what came of it
//!
//! `sandbox` stands apart: a stand-in for the services that imports nothing, for its two commands and the tests.
//!
//! # The words
//!
//! - record: one entry of an audit trail, as the service gave it
//! - line: a record as JSON on one line, with its newline
//! - day file: the lines of one stream and one UTC day; it only grows
//! - catalog: the folder of a stream's day files; what else is kept stands in its `.trailkeeper/`
//! - source: a service; organization: whose trail it keeps; stream: one trail of a source, and its catalog
//! - run: one pass over the streams; window: the span of time that it asks for
//! - page: one answer of a service; slice: a span asked for, page by page; walk: all slices of a window
//! - completed range: a span of which the service gave every record, so that it may be filed
//! - identity: the hashes that a record is known by, of its content and of its id
//! - duplicate: a record that is archived already; conflict: a record with the id of another one and other content
//! - rejected: a record that no day file can hold; it is kept in the rejected file, with the reason
//! - watermark: the time of the last record in the archive, shown as `LAST RECORD`
//! - overlap: how far before the watermark a run asks again; late: a record older than that when it came
//! - reconcile: to ask again for days, for late records
//! - coverage: the spans that the service was asked for, to the end; gap: a span between them
//! - journal: a line for each run of a stream, with its coverage
//! - append: to write lines to the end of a day file; sync: to wait until they are on disk
//! - torn line: what a crash left of a line; repair: to end it with a newline and note it as rejected
//! - sink: where lines are forwarded to; forwarder: what reads the day files for a sink
//! - cursor: how far a stream is forwarded to a sink, as an offset in each day file
//! - in flight: sent and not yet acknowledged; acknowledgement: a sink's word that it has a line
//! - undelivered: a line that a sink will never take; it is kept in the undelivered file, with the reason
//! - retry: to send a request again; backoff: the wait before it; rate limit: how often a service may be asked
//! - shutdown: the wish that everything ends soon, with nothing lost
//!
//! # The invariants
//!
//! 1. For the span that was ever asked for, the archive holds everything up to its watermark that the service still
//!    had: a range is filed only when it is complete, the oldest first (`fetch/walk.rs`, `run/writer.rs`).
//! 2. A byte of a day file, once written, never changes and never moves (`archive/`).
//! 3. What may be tailed is whole lines; a line is one record (`json/`, `archive/durable_appender.rs`).
//! 4. A record that the service gave is in a day file or in the rejected file before the run says so (`run/writer.rs`).
//! 5. The day files are enough to go on. The rest can be rebuilt from them, but for
//!    - the journal: it alone knows the coverage, and so the gaps, and what was reconciled. Without it the past is
//!      unknown, not covered.
//!    - the cursors: they alone know what was acknowledged. A damaged one is reported, and lines are sent twice rather
//!      than never; without one forwarding starts as for a new sink.
//!    - the rejected and undelivered files: they hold what stands nowhere else, or is missing elsewhere.
//! 6. A cursor stands just after a newline, and never ahead of what its sink has acknowledged (`forward/cursor.rs`).
//!
//! # The owners
//!
//! One file or folder knows each outside thing: `env/` the environment, `http/client.rs` reqwest, `forward/kafka/`
//! rdkafka, `main.rs` the clock and the end of the process. `archive/` writes the day files and what stands in
//! `.trailkeeper/`, `fs.rs` opens and replaces files for it and for others. Who else writes one says so at the place.
//!
//! `clippy.toml` and `tests/it/structure/` hold the owners and the order of the modules.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests make and damage files; the same code without its tests is linted too"
    )
)]

pub mod sandbox;
pub mod json;
pub mod window;
pub mod fs;
pub mod output;
pub mod record;
pub mod env;
pub mod process;
pub mod http;
pub mod source;
pub mod archive;
pub mod config;
pub mod fetch;
pub mod coverage;
pub mod forward;
pub mod run;
pub mod metrics;
pub mod report;
pub mod commands;
#[cfg(test)]
pub(crate) mod test_support;
