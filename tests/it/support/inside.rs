//! A run of the library in this process, for tests of many runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use trailkeeper::config::{Access, Choice, Config};
use trailkeeper::env::Env;
use trailkeeper::output::progress::Progress;
use trailkeeper::process::shutdown;
use trailkeeper::run::{self, RunOptions};
use trailkeeper::source::SOURCES;
use trailkeeper::window::Range;

use super::{Catalog, PATIENCE};

/// What `collect` does with the settings of a catalog when it is `now`: its summary, by the name of the stream.
pub(crate) async fn run_inside(catalog: &Catalog, now: DateTime<Utc>) -> BTreeMap<String, Value> {
    let choice = Choice {
        streams: &[],
        access: Access::Write,
    };
    let config = Config::read(&Env::from_pairs(catalog.variables()), SOURCES, choice).unwrap();
    let options = RunOptions {
        now,
        range: Range::default(),
        dry_run: false,
        reconcile: false,
    };
    let (_trigger, shutdown) = shutdown::channel();
    let progress = Progress::hidden();
    let run = run::run(&config.streams, options, &progress, &shutdown);
    let summary = tokio::time::timeout(PATIENCE, run).await;
    let summary = summary
        .unwrap_or_else(|_| panic!("the run has not ended after {PATIENCE:?}"))
        .unwrap();
    let summary: Value = serde_json::from_str(&summary.to_json().unwrap()).unwrap();
    let streams = summary["streams"].as_array().unwrap();
    let name = |stream: &Value| stream["stream"].as_str().unwrap().to_owned();
    streams.iter().map(|stream| (name(stream), stream.clone())).collect()
}
