//! A fleet: several members that collect many organizations together, and keep them in Kafka.
//!
//! Imports: archive, config, coverage, env, fetch, forward, fs, http, json, process, record, run, source, window.
//!
//! Organizations are in buckets (`bucket`), the partitions of the topic of the state; the members of a consumer group share them out
//! (`member`). Who has a bucket begins with its transactional id, which fences the one before, reads its state (`state`,
//! `identities`), and only then fetches (`held_bucket`, `stream`). Each completed range is one transaction of records and state (`writer`,
//! `committer`). Nothing is kept on the member's disk: day files are written by who reads the topics (`filing`).

mod bucket;
mod committer;
pub(crate) mod filing;
mod held_bucket;
mod identities;
pub(crate) mod making;
pub(crate) mod member;
mod message;
pub(crate) mod news;
mod shared;
pub(crate) mod state;
pub(crate) mod status;
mod stream;
pub(crate) mod taking_over;
mod writer;
