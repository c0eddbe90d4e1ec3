//! Forwarding to Kafka: the real binary, a broker in a process of its own, and everything that can go wrong between.

pub(crate) mod broker;
mod check;
mod configs;
mod delivery;
#[cfg(unix)]
mod fleet;
mod groups;
mod kills;
mod lag;
mod outbox;
mod proxy;
pub(crate) mod reader;
mod refusals;
mod rights;
#[cfg(feature = "kafka-tls")]
mod security;
mod servant;
mod topics;
mod transactions;
