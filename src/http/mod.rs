//! HTTP for sources and sinks: the client, when a request is repeated, and what was counted.
//!
//! Imports: nothing.

mod client;
pub(crate) mod redaction;
pub(crate) mod request_stats;
pub mod retry;

pub(crate) use client::text;
pub use client::{Http, SetupError};
