//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.

pub mod printable;
pub mod stop;
pub mod env;
pub mod record;
pub mod line;
pub mod window;
pub mod source;
pub mod cli;
pub mod config;
pub mod fetch;
pub mod archive;
pub mod progress;
pub mod logging;
pub mod forward;
pub mod collect;
pub mod summary;
pub mod run;
pub mod sandbox;
pub mod commands;
