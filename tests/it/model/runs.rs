//! Runs: a service is read, in this process or by the real binary, and what came of it is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::super::support::{Catalog, run_inside_within};
use super::case::Case;
use super::feed::{BETWEEN_RUNS, RUNS};
use super::service::{Asking, Model};
use super::vendor::{MARK, MARK_DIGITS, Vendor};
use super::wire::Served;

/// How long a run may take: one that takes longer does not end. It waits before it looks again, and storms are told by their
/// requests.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Why it is not complete.
    pub(crate) error: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// What was read of a service, and how.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) askings: Vec<Asking>,
    /// Over how many spans a run may go.
    pub(crate) spans: usize,
    /// When the last run began, by the reader's clock.
    pub(crate) last_now: DateTime<Utc>,
    /// Every line of the day files, by the number of its record.
    pub(crate) filed: BTreeMap<usize, Vec<String>>,
    /// The records of the rejected file, and of the pending file.
    pub(crate) rejected: Vec<usize>,
    pub(crate) pending: Vec<usize>,
    /// The records that the first run filed, or rejected.
    pub(crate) of_first: BTreeSet<usize>,
}

/// A thread's runtime, and what is logged on it and on its blocking threads.
pub(crate) struct Reader {
    runtime: Runtime,
    log: Log,
    dispatch: Dispatch,
}

/// The messages of warnings and errors.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Reader {
    pub(crate) fn new() -> Self {
        let log = Log::default();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(log.clone().with_filter(LevelFilter::WARN)));
        let of_blocking_threads = dispatch.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // For as long as the thread lives.
            .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&of_blocking_threads)))
            .build();
        Self {
            runtime: runtime.unwrap(),
            log,
            dispatch,
        }
    }

    /// Reads a service as often as a patient reader does, inside this process.
    pub(crate) fn read(&self, case: &Case, model: &Arc<Model>) -> Reading {
        tracing::dispatcher::with_default(&self.dispatch, || {
            self.runtime.block_on(async {
                let served = Served::start(Arc::clone(model), Model::clock).await;
                let catalog = catalog(case, &served.address);
                let (mut outcomes, mut of_first) = (Vec::new(), BTreeSet::new());
                for run in 0..RUNS {
                    model.begin_run(run);
                    let error = collect(&catalog, now(case, model, run)).await;
                    let warnings = std::mem::take(&mut *self.log.0.lock().unwrap());
                    outcomes.push(Outcome { error, warnings });
                    if run == 0 {
                        of_first = kept(&catalog);
                    }
                }
                Reading::of(case, model, &catalog, outcomes, of_first)
            })
        })
    }
}

/// What a run failed with that did not end.
pub(crate) const NO_END: &str = "the run does not end";

/// When a run begins, by the reader's clock.
pub(crate) fn now(case: &Case, model: &Model, run: usize) -> DateTime<Utc> {
    let since = TimeDelta::milliseconds(run as i64 * BETWEEN_RUNS);
    model.service.now + since - TimeDelta::seconds(case.clock_behind())
}

/// A folder, and the settings that read the service at this address into it.
pub(crate) fn catalog(case: &Case, address: &str) -> Catalog {
    let mut catalog = Catalog::bare();
    let folder = catalog.root().join("trail");
    fs::create_dir(&folder).unwrap();
    let prefix = case.vendor.prefix();
    catalog.set(&format!("{prefix}_LOG_CATALOG_LOCATION"), folder.display());
    catalog.set(&format!("{prefix}_LOG_FILE_BASE_NAME"), "trail");
    let variables = case
        .vendor
        .variables(address)
        .into_iter()
        .chain(case.settings.variables());
    variables.for_each(|(name, value)| catalog.set(name, value));
    catalog
}

/// One run inside this process; why it is not complete.
async fn collect(catalog: &Catalog, now: DateTime<Utc>) -> Option<String> {
    let Some(streams) = run_inside_within(PATIENCE, catalog, now).await else {
        return Some(NO_END.to_owned());
    };
    let stream = streams.values().next().unwrap();
    let error = stream["error"].as_str().map(str::to_owned);
    assert_eq!(error.is_none(), stream["status"] == "complete", "{stream}");
    error
}

impl Reading {
    /// What stands in the folder after these runs.
    pub(crate) fn of(
        case: &Case,
        model: &Model,
        catalog: &Catalog,
        outcomes: Vec<Outcome>,
        of_first: BTreeSet<usize>,
    ) -> Self {
        let mut filed: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for text in day_files(catalog) {
            for line in text.lines() {
                for number in marks(line) {
                    filed.entry(number).or_default().push(line.to_owned());
                }
            }
        }
        Self {
            last_now: now(case, model, outcomes.len() - 1),
            outcomes,
            askings: model.askings(),
            spans: 1,
            filed,
            rejected: state(catalog, "rejected"),
            pending: state(catalog, "pending"),
            of_first,
        }
    }
}

/// The records that are in the day files or in the rejected file.
pub(crate) fn kept(catalog: &Catalog) -> BTreeSet<usize> {
    let filed = day_files(catalog).flat_map(|text| marks(&text));
    filed.chain(state(catalog, "rejected")).collect()
}

fn day_files(catalog: &Catalog) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(catalog.root().join("trail")).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|file| String::from_utf8(fs::read(file.path()).unwrap()).unwrap())
}

/// The records of a file beside the journal.
fn state(catalog: &Catalog, what: &str) -> Vec<usize> {
    let path = catalog.root().join(format!("trail/.trailkeeper/trail.{what}.jsonl"));
    marks(&fs::read_to_string(path).unwrap_or_default())
}

/// The numbers of the records that a text holds.
fn marks(text: &str) -> Vec<usize> {
    let behind = text.split(MARK).skip(1);
    behind
        .filter_map(|rest| rest.get(..MARK_DIGITS)?.parse().ok())
        .collect()
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        // What failed is told by the outcome.
        if *event.metadata().level() == Level::WARN {
            self.0.lock().unwrap().push(message.0);
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}{}", self.0);
        } else {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[test]
fn the_marks_of_every_vendor_are_found_in_its_records() {
    let records = super::feed::Feed::even(3, 1).records(1_750_000_000_000, 1);
    for vendor in Vendor::ALL {
        let body: Vec<Vec<u8>> = records
            .iter()
            .map(|record| vendor.record(record, super::vendor::TimeForm::Usual, false))
            .collect();
        let text = String::from_utf8(body.concat()).unwrap();
        assert_eq!(marks(&text), [0, 1, 2]);
    }
}
