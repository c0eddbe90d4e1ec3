//! HTTP for sources and sinks: the client, its retry decisions and its counts.
//!
//! Imports: nothing.

mod client;
pub(crate) mod redaction;
pub(crate) mod request_stats;
pub mod retry;

pub use client::{Http, SetupError};
