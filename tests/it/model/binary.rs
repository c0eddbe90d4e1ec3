//! The real binary: it reads a model by the real clock, and can be killed at any moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use fastrand::Rng;
use tokio::runtime::Runtime;

use super::super::support::{Catalog, now};
use super::case::Case;
use super::feed::{BETWEEN_RUNS, RUNS};
use super::judge::{Judgement, judge};
use super::runs::{Outcome, Reading, catalog, kept};
use super::service::{Model, Service};
use super::wire::Served;

/// How often a run is killed at most before it may go on to its end, and after how many milliseconds.
const MOST_KILLS: usize = 3;
const LONGEST: u64 = 500;

/// A model that answers from a thread of its own.
struct Background {
    served: Option<Served>,
    runtime: Option<Runtime>,
}

impl Background {
    fn start(model: &Arc<Model>) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let served = runtime.block_on(Served::start(Arc::clone(model), |_| now()));
        Self {
            served: Some(served),
            runtime: Some(runtime),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.served.take());
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Reads the service of a case with the real binary, killed by chance where there is `chance`, and judges what came of it.
pub(crate) fn try_binary(case: &Case, chance: Option<Rng>, adjust: impl FnOnce(&mut Service)) -> Judgement {
    // All that happens during the runs has happened by the real clock, which is the service's too.
    // In whole seconds, so that the times of a case have the same fractions each time.
    let begun = (now() - TimeDelta::milliseconds(RUNS as i64 * BETWEEN_RUNS)).trunc_subsecs(0);
    let model = Arc::new(case.model(begun, adjust));
    let background = Background::start(&model);
    let address = &background.served.as_ref().unwrap().address;
    let catalog = catalog(case, address);
    model.begin_run(0);
    if let Some(mut chance) = chance {
        for _ in 0..chance.usize(1..=MOST_KILLS) {
            let run = catalog.start(&["collect", "-q"]);
            thread::sleep(Duration::from_millis(chance.u64(5..LONGEST)));
            run.kill();
        }
    }
    let (mut outcomes, mut of_first) = (Vec::new(), BTreeSet::new());
    for run in 0..RUNS {
        model.begin_run(run);
        let ended = catalog.run(&["collect", "-q"]);
        outcomes.push(Outcome {
            error: (ended.code != 0).then(|| format!("exit code {}: {}", ended.code, ended.stderr)),
            warnings: warnings(&catalog),
        });
        if run == 0 {
            of_first = kept(&catalog);
        }
    }
    let mut reading = Reading::of(case, &model, &catalog, outcomes, of_first);
    // What comes during a run is as late by the real clock as if a replica had lacked it, and is read once more; a killed run
    // leaves a gap besides.
    reading.spans = 3;
    judge(case, &model, &reading)
}

/// The warnings in the log of the program, of all runs so far. That a kill in the middle of a write has cut a line, which the
/// next run repairs and says, is no word about the service.
fn warnings(catalog: &Catalog) -> Vec<String> {
    let log = catalog.app_log();
    log.lines()
        .filter(|line| line.contains(" WARNING:\t") && !line.contains("repaired a torn line that a crash left"))
        .map(str::to_owned)
        .collect()
}
