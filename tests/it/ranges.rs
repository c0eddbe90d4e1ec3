//! `--since` and `--until` in all their forms, and what they must not do to the archive.

use chrono::{DateTime, FixedOffset, NaiveDate, SecondsFormat, TimeDelta, Utc};
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::support::{Catalog, event, now, serve, streams};

fn today() -> NaiveDate {
    now().date_naive()
}

/// A time of a day so many days ago.
fn days_ago(days: i64, hour: u32, minute: u32) -> DateTime<Utc> {
    (today() - TimeDelta::days(days))
        .and_hms_opt(hour, minute, 0)
        .unwrap()
        .and_utc()
}

/// A record at 30 minutes past each hour of the last days, up to an hour before now.
fn hourly(api: Api, days: i64) -> Vec<Event> {
    let start = days_ago(days, 0, 30);
    let hours = (now() - TimeDelta::hours(1) - start).num_hours();
    (0..=hours)
        .map(|hour| event(api, start + TimeDelta::hours(hour), &hour.to_string()))
        .collect()
}

fn sandbox(days: i64) -> Sandbox {
    serve(|options| {
        streams()
            .into_iter()
            .fold(options, |all, (_, api)| all.give(api, hourly(api, days)))
    })
}

fn within(sandbox: &Sandbox, api: Api, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Event> {
    let mut events = sandbox.events(api);
    events.retain(|event| from <= event.time && event.time <= to);
    events
}

#[test]
fn since_and_until_take_times_dates_and_ages() {
    let sandbox = sandbox(6);
    let moscow = FixedOffset::east_opt(3 * 3600).unwrap();
    let (from, to) = (days_ago(4, 7, 0), days_ago(2, 19, 0));
    let day = |days| (today() - TimeDelta::days(days)).to_string();
    let utc = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let local = |time: DateTime<Utc>| time.with_timezone(&moscow).to_rfc3339();
    let hours_ago = |time: DateTime<Utc>| ((now() - time).num_hours()).to_string() + "h";
    let round = |time: DateTime<Utc>| now() - TimeDelta::hours((now() - time).num_hours());
    for (since, until, from, to) in [
        (utc(from), utc(to), from, to),
        (local(from), local(to), from, to),
        (day(4), day(2), days_ago(4, 0, 0), days_ago(2, 0, 0)),
        (hours_ago(from), hours_ago(to), round(from), round(to)),
        (
            "3d".into(),
            "36h".into(),
            now() - TimeDelta::days(3),
            now() - TimeDelta::hours(36),
        ),
    ] {
        // A run near the half of an hour would be about other records than the test: ages count from its own start.
        let catalog = Catalog::of(&sandbox, &Api::ALL);
        let summary = catalog.collect(0, &["--since", &since, "--until", &until]);
        for (kind, api) in streams() {
            let expected = within(&sandbox, api, from, to);
            assert!(!expected.is_empty());
            let found = summary[kind.name]["appended"].as_u64().unwrap() as usize;
            // The edges of an age move while the test runs; one record at either end may or may not be in it.
            if since.ends_with(['h', 'd']) {
                assert!(
                    found.abs_diff(expected.len()) <= 1,
                    "{since} {until}: {found}, {}",
                    expected.len()
                );
            } else {
                catalog.assert_holds(api, &expected);
            }
        }
    }
}

#[test]
fn an_older_range_adds_only_what_is_missing_and_a_second_time_nothing() {
    let sandbox = sandbox(9);
    let catalog = Catalog::of(&sandbox, &Api::ALL).with("INITIAL_LOOKBACK_DAYS", 1);
    let recent = catalog.collect(0, &[]);
    let older = [
        "--since",
        &days_ago(5, 12, 0).to_rfc3339(),
        "--until",
        &days_ago(0, 0, 0).to_rfc3339(),
    ];
    let first = catalog.collect(0, &older);
    for (kind, api) in streams() {
        catalog.assert_holds(api, &within(&sandbox, api, days_ago(5, 12, 0), now()));
        assert_ne!(first[kind.name]["appended"], 0);
        // What a later run goes on from is the newest record, not what was added last.
        assert_eq!(first[kind.name]["last_record"], recent[kind.name]["last_record"]);
    }
    let before = catalog.tree();
    for (name, stream) in catalog.collect(0, &older) {
        assert_eq!(stream["appended"], 0, "{name}");
    }
    catalog.assert_nothing_added(&before);
}

#[test]
fn a_since_after_the_last_record_is_moved_back_to_it_with_a_warning() {
    let sandbox = sandbox(4);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let until = days_ago(3, 0, 0).to_rfc3339();
    catalog.collect(0, &["--until", &until]);
    for (kind, api) in streams() {
        catalog.assert_holds(api, &within(&sandbox, api, days_ago(9, 0, 0), days_ago(3, 0, 0)));
        let run = catalog.run(&["--json", "--stream", kind.name, "--since", "2h"]);
        assert_eq!(run.code, 0);
        let warning = run
            .stderr
            .lines()
            .find(|line| line.contains(" WARNING:\t"))
            .unwrap_or_default();
        assert!(
            warning.contains("--since") && warning.contains(kind.name),
            "{}",
            run.stderr
        );
        catalog.assert_holds(api, &sandbox.events(api));
    }
}

#[test]
fn a_range_without_a_since_goes_on_from_the_last_record_up_to_its_end() {
    let sandbox = sandbox(4);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    for end in [days_ago(3, 0, 0), days_ago(2, 11, 0), days_ago(0, 0, 0)] {
        let summary = catalog.collect(0, &["--until", &end.to_rfc3339()]);
        for (kind, api) in streams() {
            catalog.assert_holds(api, &within(&sandbox, api, days_ago(9, 0, 0), end));
            let to = summary[kind.name]["to"].as_str().unwrap();
            assert_eq!(to.parse::<DateTime<Utc>>().unwrap(), end);
        }
    }
}

#[test]
fn an_end_in_the_future_is_now() {
    let sandbox = sandbox(1);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let summary = catalog.collect_one(0, &["--until", "2999-01-01"]);
    assert!(summary["to"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() <= now());
    catalog.assert_holds(Api::Mail, &sandbox.events(Api::Mail));
}
