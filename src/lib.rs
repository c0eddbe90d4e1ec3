//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.
//!
//! # The flow
//!
//! A module imports only from those listed above it, and its first lines say from which; `tests/it/structure/` holds
//! both. Data flows the same way:
//!
//! settings ([`mod@env`], [`cli`], [`config`]) → a window of time ([`window`]) → pages ([`source`] says what to ask,
//! [`fetch`] asks) → records ([`record`], [`mod@line`]) → duplicates dropped, day files ([`archive`]) → the outcome of a
//! stream ([`collect`]) and of a run ([`run`], [`summary`]).
//!
//! # The invariants
//!
//! 1. At any moment the archive holds, for the span that was ever asked for, everything up to its last record: a piece
//!    of a window is filed only when the service was asked for all of it, oldest piece first ([`fetch::walk`]).
//! 2. A byte of a day file, once written, never changes and never moves ([`archive`]).
//! 3. What may be tailed is whole lines; a line is one record ([`mod@line`], [`archive`]).
//! 4. A record that the service gave is in a day file or in the rejected file before the run says so ([`collect`]).
//! 5. Everything but the day files can be rebuilt from them; nothing else is needed to go on ([`archive`]).
//!
//! Each outside thing has one owner: [`mod@env`] the environment, [`fetch::http`] the HTTP client, [`archive`] the day
//! files, `main` the clock and the end of the process.

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
pub mod cli;
pub mod run;
pub mod metrics;
pub mod report;
pub mod commands;
