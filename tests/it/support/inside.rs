//! A run of the library in this process, for tests of many runs.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use trailkeeper::config::Config;
use trailkeeper::env::Env;
use trailkeeper::output::progress::Progress;
use trailkeeper::process::shutdown;
use trailkeeper::run::{self, RunOptions, StartError};
use trailkeeper::source::SOURCES;
use trailkeeper::window::Range;

use super::{Catalog, PATIENCE};

/// What `collect` does with the settings of a catalog when it is `now`: its summary, by the name of the stream.
pub(crate) async fn run_inside(catalog: &Catalog, now: DateTime<Utc>) -> BTreeMap<String, Value> {
    let streams = run_inside_within(PATIENCE, catalog, now).await;
    streams.unwrap_or_else(|| panic!("the run has not ended, or begun, after {PATIENCE:?}"))
}

/// The same for a run that may have no end; `None` if it has not ended after so long.
pub(crate) async fn run_inside_within(
    patience: Duration,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Option<BTreeMap<String, Value>> {
    let config = Config::read(&Env::from_pairs(catalog.variables()), SOURCES, &[]).unwrap();
    let options = RunOptions {
        now,
        range: Range::default(),
        dry_run: false,
        reconcile: false,
        starts_over: false,
    };
    let (_trigger, shutdown) = shutdown::channel();
    let progress = Progress::hidden();
    let run = async {
        loop {
            match run::run(&config.streams, options, &progress, &shutdown).await {
                // A process that another test starts holds the lock of the run before, with all open files, until it runs
                // a program of its own.
                Err(StartError::Lock { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                ended => return ended.unwrap(),
            }
        }
    };
    let summary = tokio::time::timeout(patience, run).await.ok()?;
    let summary: Value = serde_json::from_str(&summary.to_json().unwrap()).unwrap();
    let streams = summary["streams"].as_array().unwrap();
    let name = |stream: &Value| stream["stream"].as_str().unwrap().to_owned();
    Some(streams.iter().map(|stream| (name(stream), stream.clone())).collect())
}
