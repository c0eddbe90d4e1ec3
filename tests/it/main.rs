//! The program from outside: the real binary, real sockets, real files. One binary, so that it is linked once.
//!
//! Nothing waits without a bound (`support/wait.rs`, `support/process.rs`). Random tests take their seed from
//! `TRAILKEEPER_TEST_SEED`, or one of their own, which a test that fails shows; `TRAILKEEPER_TEST_TIMES=10` has them try
//! ten times as many cases, or go on for ten times as long, as `.ci/night` does.

#![expect(
    clippy::print_stdout,
    reason = "a test says what it was seeded with, measured or had to skip"
)]
#![allow(clippy::disallowed_methods, reason = "tests make, damage and remove files")]

#[cfg(test)]
#[cfg(unix)]
mod agents;
#[cfg(test)]
mod check;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod copy;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod cursors;
#[cfg(test)]
mod days;
#[cfg(test)]
#[cfg(unix)]
mod disk;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod expire;
#[cfg(test)]
mod export;
#[cfg(test)]
mod feeds;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hold;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[cfg(unix)]
mod killed;
#[cfg(test)]
#[cfg(unix)]
mod fleet;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod http_sink;
#[cfg(test)]
mod init;
#[cfg(test)]
mod install;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod late;
#[cfg(test)]
mod json;
#[cfg(test)]
mod json_forms;
#[cfg(test)]
#[cfg(unix)]
mod locks;
#[cfg(test)]
#[cfg(unix)]
mod log_disk;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod lost_days;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod memory;
#[cfg(test)]
#[cfg(unix)]
mod misplaced;
#[cfg(test)]
mod model;
#[cfg(test)]
mod nagios;
#[cfg(test)]
mod network;
#[cfg(test)]
mod organizations;
mod outputs;
#[cfg(test)]
mod pack;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod package;
#[cfg(test)]
#[cfg(unix)]
mod pending;
#[cfg(test)]
mod port;
#[cfg(test)]
#[cfg(unix)]
mod progress;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod python_dotenv;
#[cfg(test)]
mod quiet;
#[cfg(test)]
#[cfg(unix)]
mod readme;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod records;
#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod rejections;
#[cfg(test)]
mod report;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod revisions;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod search;
#[cfg(test)]
#[cfg(unix)]
mod secrets;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod showing;
#[cfg(test)]
#[cfg(unix)]
mod signals;
#[cfg(test)]
mod status;
#[cfg(test)]
mod statuses;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod strict_json;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod support;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod terraform;
#[cfg(test)]
mod told;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod yandex;
#[cfg(test)]
mod yandex_audit;
