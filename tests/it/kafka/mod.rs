//! Forwarding to Kafka: the real binary, a broker in a process of its own, and everything that can go wrong between.

mod broker;
mod delivery;
mod kills;
mod outbox;
mod proxy;
mod transactions;
