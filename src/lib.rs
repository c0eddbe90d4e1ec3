//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.

pub mod cli;
pub mod config;
pub mod env;
pub mod logging;
pub mod progress;
pub mod record;
pub mod line;
pub mod window;
pub mod source;
pub mod fetch;
pub mod sandbox;
