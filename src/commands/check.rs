//! `trailkeeper check`
use crate::{cli, summary::Exit};
use chrono::{DateTime, Utc};
/// Checks.
pub async fn run(_: &cli::Check, _: fn() -> DateTime<Utc>) -> Exit {
    Exit::Setup
}
