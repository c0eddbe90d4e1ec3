//! The same event, seen again with other fields: kept once beside the day files, and no event is filed twice or missed.

use std::collections::BTreeMap;

use serde_json::Value;
use trailkeeper::json;
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::support::{Catalog, at, event, serve, streams};

/// An event of a user, by the name that the user has by now.
fn of_user(event: Event, name: &str) -> Event {
    let text = event.text.replacen('{', &format!(r#"{{"user": "{name}", "#), 1);
    Event::new(event.time, event.id, text)
}

/// Ten events of one user, the newest half a minute old, a minute between them: a few are in what a run asks for again.
fn trail(api: Api, name: &str) -> Vec<Event> {
    (0..10)
        .map(|n| of_user(event(api, at_whole_minute(n), &format!("id-{n}")), name))
        .collect()
}

/// So many minutes before a time that stays the same during a test.
fn at_whole_minute(minutes_ago: i64) -> chrono::DateTime<chrono::Utc> {
    static NEWEST: std::sync::LazyLock<chrono::DateTime<chrono::Utc>> = std::sync::LazyLock::new(|| at(30));
    *NEWEST - chrono::TimeDelta::minutes(minutes_ago)
}

fn service(events: impl Fn(Api) -> Vec<Event>) -> Sandbox {
    serve(|options| {
        Api::ALL
            .into_iter()
            .fold(options, |options, api| options.give(api, events(api)))
    })
}

/// The sum that every received record is a part of.
fn assert_adds_up(stream: &Value) {
    let number = |name: &str| stream[name].as_u64().unwrap();
    let parts = ["duplicates", "appended", "rejected", "revised"].map(number);
    assert_eq!(parts.iter().sum::<u64>(), number("received"), "{stream}");
}

#[test]
fn a_renamed_user_is_noted_once_and_nothing_is_filed_twice_or_late() {
    let before = service(|api| trail(api, "old"));
    let mut catalog = Catalog::of(&before, &Api::ALL);
    catalog.collect(0, &[]);
    let after = service(|api| trail(api, "new"));
    catalog = catalog.pointing_at(&after);
    let mut noted = BTreeMap::new();
    for run in 0..3 {
        for (name, stream) in catalog.collect(0, &[]) {
            assert_adds_up(&stream);
            assert_eq!(
                (&stream["appended"], &stream["rejected"]),
                (&0.into(), &0.into()),
                "{name}"
            );
            let revised = stream["revised"].as_u64().unwrap();
            assert_eq!(revised > 0, run == 0, "{name}, run {run}: {stream}");
            *noted.entry(name).or_insert(0) += revised;
        }
    }
    // Also the events before the overlap, which reconciling asks for.
    let reconciled = catalog.run(&["reconcile", "--json"]);
    assert_eq!(reconciled.code, 0, "{}", reconciled.stderr);
    for (name, stream) in reconciled.summary() {
        assert_eq!((&stream["appended"], &stream["late"]), (&0.into(), &0.into()), "{name}");
    }
    let status = catalog.run(&["status", "--json"]).summary();
    for (kind, api) in streams() {
        catalog.assert_holds(api, &before.events(api));
        assert!((2..=4).contains(&noted[kind.name]), "{}: {noted:?}", kind.name);
        let notes = catalog.revised(api);
        assert_eq!(notes.len(), 10, "{}", kind.name);
        assert_eq!(status[kind.name]["revised"], 10);
        let reason = "same id and time as an archived record, with other fields";
        assert!(
            notes
                .iter()
                .all(|note| note["reason"] == reason && note["record"]["user"] == "new")
        );
        assert!(catalog.rejected(api).is_empty());
    }
}

#[test]
fn what_is_revised_is_told_to_people() {
    let api = Api::Mail;
    let before = serve(|options| options.give(api, trail(api, "old")));
    let catalog = Catalog::of(&before, &[api]);
    catalog.collect(0, &[]);
    let after = serve(|options| options.give(api, trail(api, "new")));
    let catalog = catalog.pointing_at(&after);
    let summary = catalog.run(&["reconcile"]);
    assert!(
        summary.stdout.contains("0 added, 0 of them late, 10 revised\n"),
        "{}",
        summary.stdout
    );
    let newest = serve(|options| options.give(api, trail(api, "newest")));
    let catalog = catalog.pointing_at(&newest);
    let summary = catalog.run(&["collect"]);
    let told = " revised: archived events seen again with other fields, kept in the revised file\n";
    assert!(summary.stdout.contains(told), "{}", summary.stdout);
    let status = catalog.run(&["status"]).stdout;
    assert!(status.contains(" in the revised file\n"), "{status}");
}

#[test]
fn ids_that_are_not_unique_cost_no_event() {
    let twins = |api: Api, names: &[&str]| {
        let of = |name: &&str| {
            let event = event(api, at_whole_minute(1), "twin");
            let text = event.text.replacen('{', &format!(r#"{{"to": "{name}", "#), 1);
            Event::new(event.time, event.id, text)
        };
        names.iter().map(of).collect::<Vec<_>>()
    };
    let first = service(|api| twins(api, &["a", "b"]));
    let mut catalog = Catalog::of(&first, &Api::ALL);
    catalog.collect(0, &[]);
    // The third comes later, and in the next run one of them has another field.
    let second = service(|api| twins(api, &["a", "b", "c"]));
    catalog = catalog.pointing_at(&second);
    assert!(catalog.collect(0, &[]).values().all(|stream| stream["appended"] == 1));
    let changed = |api| {
        let mut all = twins(api, &["a", "b", "c"]);
        all[1] = of_user(all[1].clone(), "new");
        all
    };
    let third = service(changed);
    catalog = catalog.pointing_at(&third);
    for (name, stream) in catalog.collect(0, &[]) {
        assert_eq!(
            (&stream["appended"], &stream["revised"]),
            (&0.into(), &1.into()),
            "{name}"
        );
    }
    for api in Api::ALL {
        catalog.assert_holds(api, &second.events(api));
        let mut line = String::new();
        json::scan(&changed(api)[1].text, &[], &mut line).unwrap();
        assert!(catalog.revised_lines(api)[0].contains(&line), "{api:?}");
    }
}
