//! The services that a test collects from, and what their records have to become.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use trailkeeper::json;
use trailkeeper::sandbox::{Api, Event, Options, Sandbox};
use trailkeeper::source::{Kind, SOURCES};

use super::base_name;

/// The time, for tests of a program that asks the real clock.
#[expect(clippy::disallowed_methods, reason = "the program under test asks the real clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// So many seconds before now, in whole seconds, so that every service can write it.
pub(crate) fn at(seconds_ago: i64) -> DateTime<Utc> {
    let now = DateTime::from_timestamp(now().timestamp(), 0).unwrap();
    now - TimeDelta::seconds(seconds_ago)
}

/// Every stream that the program knows, with the service that the sandbox has for it.
pub(crate) fn streams() -> Vec<(&'static Kind, Api)> {
    SOURCES.iter().map(|kind| (kind, api_of(kind))).collect()
}

fn api_of(kind: &Kind) -> Api {
    let mut apis = Api::ALL.into_iter();
    apis.find(|api| api.name() == kind.name)
        .unwrap_or_else(|| panic!("the sandbox has no service for {}: add one", kind.name))
}

/// A sandbox with the real clock, on a thread of its own.
pub(crate) fn serve(adjust: impl FnOnce(Options) -> Options) -> Sandbox {
    Sandbox::start_on_thread(adjust(Options::empty(Arc::new(now)))).unwrap()
}

/// The smallest record of this service.
pub(crate) fn event(api: Api, time: DateTime<Utc>, id: &str) -> Event {
    Event::minimal(api, time, id)
}

/// So many records, a second apart, the newest `newest` seconds ago.
pub(crate) fn events(api: Api, count: i64, newest: i64) -> Vec<Event> {
    (0..count)
        .map(|n| event(api, at(newest + n), &format!("{newest}-{n}")))
        .collect()
}

/// The lines that these records have to become, by the name of the day file.
pub(crate) fn lines_by_file(api: Api, events: &[Event]) -> BTreeMap<String, BTreeSet<String>> {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let mut line = String::new();
        json::scan(&event.text, &[], &mut line).unwrap();
        let name = format!("{}_{}.log", base_name(api), event.time.date_naive());
        assert!(
            files.entry(name).or_default().insert(line),
            "the service gave a record twice"
        );
    }
    files
}
