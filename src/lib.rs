//! trailkeeper keeps SaaS audit trails: every record that a service returns, once, in append-only day files.
//!
//! # The map
//!
//! Data flows one way. A module imports only from those above it in the list of modules at the end of
//! this file; its first lines say which.
//!
//! - settings: `env` reads the variables, `config` builds the streams and sinks from them
//! - window: the span of time that a run asks for, and its slices
//! - pages: `source` builds the requests and parses the answers, without I/O; `fetch` sends them, over `http`
//! - records: `record`, with the line form and identity that `json` defines
//! - day files: `archive` drops duplicates, appends, repairs, reads and verifies
//! - coverage: `coverage` keeps the journal of what was fetched, and what is pending
//! - evidence: `evidence` signs what the day files hold, and proves it; `audit` asks the services again, and compares
//! - sinks: `forward` sends the lines of the day files and advances its cursor
//! - old days: `upkeep` packs them, and deletes them for their age
//! - copies: `copy` keeps archives on another disk or in object storage, and restores them
//! - fleets: `fleet` keeps records in Kafka in place of day files, on several machines
//! - outcome: `run` ties these together; `metrics`, `report`, `search`, `export` and the `commands` show the result
//!
//! `sandbox` stands apart: it imitates the services, imports nothing, and serves its two commands and the tests.
//!
//! # The words
//!
//! - record: one entry of an audit trail, as the service returned it
//! - line: a record as JSON on one line, with its newline
//! - day file: the lines of one stream and one UTC day; it only grows
//! - compressed day file: one that another program has compressed (`.gz`, `.zst`); it is read and never written. Damaged: it
//!   cannot be read to its end, and counts for nothing
//! - packed: compressed by this program, in `packed/`; part: a plain file that was packed into it; continuation: the plain file
//!   beside it, with what came late, which goes on where it ends
//! - loss: what the files of a day held and hold no more, by the counts of the journal; the day is a gap
//! - expired: deleted for its age by this program, on purpose; expiry line: the end of the newest expired day, before which nothing
//!   is asked for
//! - held: kept for a case, whatever its age; a hold is of a span of a stream
//! - upkeep: the packing and deleting of old days at the end of a run, as the settings say
//! - taken over: what another program had left in a catalog before the first run, which begins the journal; misplaced: one of
//!   its records that stands in the file of another day
//! - catalog: the folder of a stream's day files; everything else that is kept is in its `.trailkeeper/`
//! - source: a service; organization: the owner of the trail; stream: one trail of a source, and its catalog
//! - run: one pass over the streams; window: the span of time that it asks for
//! - page: one answer of a service; slice: a span fetched page by page; walk: all slices of a window
//! - anchor: a known record that an answer has to hold, which joins it to what is known; look: one request of several for
//!   the same
//! - contradiction: answers that cannot all be true, such as one without its anchor
//! - completed range: a span whose every record the service has returned, so that it may be filed
//! - identity: the hashes that identify a record, of its content and of its id
//! - duplicate: a record that is archived already; revision: an archived record that came with other fields, known by its
//!   id and time; it is kept in the revised file
//! - rejected: a record that no day file can hold; it is kept in the rejected file, with the reason
//! - left for the next run: a record that is newer than the run; it is neither filed nor rejected
//! - left over: what a run was given and no completed range has; pending: what earlier runs left over, in the pending file; it
//!   is filed with the range that completes its time, or, if no run asks for that any more, as what comes late
//! - original: a record that was not UTF-8, as it came, in the rejected file; it was filed with U+FFFD. It counts as
//!   repaired, as does a record that is not JSON and was rejected
//! - watermark: the time of the last record in the archive, shown as `LAST RECORD`
//! - overlap: how far before the watermark a run starts; late: a record older than that when it arrived
//! - reconcile: to fetch days again, to find late records
//! - coverage: the spans that were fetched completely; gap: a span that was to be, and is not
//! - scope: what a stream is asked for and from whom; journal: what its runs were to ask for, and its coverage
//! - unproved: filed as the service gives it, although its answers contradict each other
//! - append: to write lines to the end of a day file; sync: to wait until they are on disk
//! - torn line: the part of a line that a crash left; repair: to end it with a newline and note it as rejected
//! - sink: where lines are forwarded to; forwarder: reads the day files for a sink
//! - cursor: how far a stream is forwarded to a sink, as an offset in each day file and the hash of the line before it
//! - archive id: a random number, made once for a catalog, that a cursor in Kafka carries; a hint of who has written it
//! - in flight: sent and not yet acknowledged; acknowledgement: a sink's confirmation that it has a line
//! - undelivered: a line that a sink will never accept; it is kept in the undelivered file, with the reason
//! - strict copy: a line, repaired so that strict JSON parsers take it; it is sent in place of the line, and counts as
//!   repaired where forwarding counts
//! - bundle: the files that `export` wrote for somebody else, with a manifest of them; part: what is in it of one stream
//! - copy: what another disk or object storage has of archives; its manifest, which is written last, names the files and the parts
//!   of each, which are never replaced; snapshot: what an archive holds at one moment
//! - fleet: members that share organizations and keep their records in Kafka; bucket: a part of the organizations, which has one owner;
//!   state: what a fleet knows of the streams of a bucket, in a topic of its own; set aside: sent to the topic of what is rejected;
//!   to adopt: to go on in a fleet from the catalog of one machine; to release: the way back
//! - retry: to send a request again; backoff: the wait before it; rate limit: how often a service may be asked
//! - shutdown: the request to stop soon, without losing anything
//!
//! # The invariants
//!
//! 1. For the span that was ever asked for, the archive holds everything up to its watermark that the service still had, but
//!    for the gaps that the journal named, synced, before anything newer was filed. A range is filed only when it is
//!    proved complete, the oldest first; what cannot be proved in several runs is named in the journal first
//!    (`fetch/walk.rs`, `run/writer/`, `coverage/`).
//! 2. A byte of a day file, once written, never changes and never moves (`archive/`). Packing and unpacking remove a day file when
//!    another one holds its bytes at the same offsets (`archive/pack.rs`); only `expire` deletes a day, which the journal names
//!    before (`upkeep/expiring.rs`, `archive/expire.rs`).
//! 3. Whoever tails a day file sees whole lines; a line is one record (`json/`, `archive/durable_appender.rs`).
//! 4. A record that the service returned is in a day file, or in the rejected, revised or pending file, before the run reports
//!    it, or its end (`run/writer/`, `fetch/given.rs`).
//! 5. The day files are enough to continue. Everything else can be rebuilt from them, except
//!    - the journal: only it knows the coverage, and so the gaps, and what was reconciled. Without it the past is
//!      unknown, not covered.
//!    - the cursors: only they know what was acknowledged. Without one, or with one that is damaged or does not agree with
//!      the day files, nothing is sent until it is said where to go on.
//!    - the rejected, revised, pending and undelivered files: they hold what is stored nowhere else, or is missing elsewhere.
//!    - the holds, and the list of expired days.
//! 6. A cursor is always just after a newline, and never ahead of what its sink has acknowledged (`forward/cursor.rs`).
//!
//! # The owners
//!
//! One file or folder owns each outside thing: `env/` the environment, `http/client.rs` reqwest, `forward/kafka/`
//! rdkafka, `copy/objects.rs` and `copy/connector.rs` object_store, `main.rs` the clock and the end of the process. `archive/` writes the day files and everything in
//! `.trailkeeper/`; `fs/` opens, makes and replaces files for it and for others. Any other code that writes a file says so
//! there.
//!
//! `clippy.toml` and `tests/it/structure/` enforce the owners and the order of the modules.

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
pub mod evidence;
pub mod audit;
pub mod forward;
pub mod upkeep;
pub mod copy;
pub mod run;
pub mod fleet;
pub mod metrics;
pub mod report;
pub mod search;
pub mod export;
pub mod commands;
#[cfg(test)]
pub(crate) mod test_support;
