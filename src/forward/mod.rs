//! A second reader of the archive: lines past a cursor go to a sink, and then the cursor moves.
//!
//! Imports: archive, config, env, fs, http, output, process, record.
//!
//! The day files are the outbox. A sink that is away, a kill, or a run without forwarding in between loses nothing, and
//! fetching never waits for a sink. A cursor stands just after a newline, and never ahead of what its sink has confirmed.

pub mod batch;
pub mod cursor;
pub mod forwarder;
pub mod http;
pub mod kafka;
pub mod lag;
pub mod message;
pub mod sink;
pub mod stdout;
pub mod tail;
pub mod target;
pub mod undelivered;

#[cfg(test)]
mod tests;

pub use forwarder::{ForwardError, Forwarded, Forwarder, Job, StartPosition};
pub use lag::Lag;
pub use target::{AppendNotifier, ForwardContext, Forwarding, Target, Targets};
