//! HTTP for sources and sinks: the client, its retry decisions, its counts, and the services' clocks.
//!
//! Imports: env.

mod client;
pub(crate) mod clock;
mod proxy;
pub(crate) mod redaction;
pub(crate) mod request_stats;
pub mod retry;
mod roots;

#[cfg(feature = "object-storage")]
pub(crate) use client::ForeignError;
pub(crate) use client::{Authorities, Post, Receipt};
pub use client::{Http, SetupError};
pub use proxy::Proxies;
pub(crate) use proxy::{Proxy, ProxyAddress};
