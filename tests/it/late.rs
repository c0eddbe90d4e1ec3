//! Records that arrive late: `reconcile`, by itself and as a part of `collect`.

use std::fs;

use serde_json::Value;
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::support::{Catalog, Run, at, base_name, event, serve, streams};

const HOUR: i64 = 3_600;

/// Records over four days, the newest five minutes old.
fn history(api: Api) -> Vec<Event> {
    (0..200)
        .map(|n| event(api, at(300 + n * 1_700), &format!("id-{n}")))
        .collect()
}

fn sandbox(apis: &[Api]) -> Sandbox {
    serve(|options| {
        apis.iter()
            .fold(options, |options, api| options.give(*api, history(*api)))
    })
}

fn report(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// The journal, which says when it was reconciled.
fn journal(catalog: &Catalog, api: Api) -> std::path::PathBuf {
    catalog
        .folder(api)
        .join(format!(".trailkeeper/{}.coverage.jsonl", base_name(api)))
}

#[test]
fn late_records_come_with_reconcile_to_the_files_of_their_days_and_collect_goes_on_where_it_was() {
    let sandbox = sandbox(&Api::ALL);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    catalog.collect(0, &[]);
    for api in Api::ALL {
        let late = [HOUR, 3 * HOUR, 30 * HOUR].map(|ago| event(api, at(ago), &format!("late-{ago}")));
        sandbox.add(api, late.to_vec());
    }
    let collected = catalog.collect(0, &[]);
    assert!(
        collected.values().all(|stream| stream["appended"] == 0),
        "{collected:?}"
    );
    let before = Api::ALL.map(|api| catalog.day_files(api));

    let report = report(&catalog.run(&["reconcile", "--json"]));
    assert_eq!(report["exit_code"], 0);
    for (index, stream) in report["streams"].as_array().unwrap().iter().enumerate() {
        assert_eq!(stream["stream"], streams()[index].0.name);
        assert_eq!(
            (&stream["appended"], &stream["late"]),
            (&3.into(), &3.into()),
            "{stream}"
        );
        let overlap = &stream["overlap_minutes"];
        // The last record is five minutes old: 30 hours are 1795 minutes before it.
        assert!(
            overlap["all"]["surely"]
                .as_i64()
                .is_some_and(|minutes| (1_795..1_797).contains(&minutes)),
            "{overlap}"
        );
        assert_eq!(overlap["all"], overlap["p99"]);
        let total = |column: &str| {
            let classes = stream["histogram"].as_array().unwrap().iter();
            classes.map(|class| class[column].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!((total("at_least"), total("surely")), (3, 3), "{stream}");
    }
    for (api, before) in Api::ALL.into_iter().zip(&before) {
        let after = catalog.day_files(api);
        assert!(before.iter().all(|(name, bytes)| after[name].starts_with(bytes)));
        catalog.assert_holds(api, &sandbox.events(api));
    }
    // The last lines of some files are old ones now, and still the last record is the right one.
    let collected = catalog.collect(0, &[]);
    for (kind, _) in streams() {
        let stream = &collected[kind.name];
        assert_eq!(stream["appended"], 0, "{stream}");
        let (from, last) = (time(&stream["from"]), time(&stream["last_record"]));
        assert!((last - from).num_seconds() <= 121, "{stream}");
    }
}

fn time(value: &Value) -> chrono::DateTime<chrono::Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn the_report_for_people_says_how_late_and_what_overlap_would_have_helped() {
    let sandbox = sandbox(&[Api::Tfc]);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    sandbox.add(
        Api::Tfc,
        vec![event(Api::Tfc, at(2 * HOUR), "late"), event(Api::Tfc, at(0), "new")],
    );
    let run = catalog.run(&["reconcile"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in [
        "2 added, 1 of them late",
        "at least",
        "up to 2 h",
        "#",
        "OVERLAP_MINUTES",
        "99 % of them: at least",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert!(
        run.stdout.lines().all(|line| line.chars().count() <= 100),
        "{}",
        run.stdout
    );
    let again = catalog.run(&["reconcile"]);
    assert!(again.stdout.contains("0 added, 0 of them late"), "{}", again.stdout);
}

#[test]
fn reconcile_goes_back_36_hours_or_as_far_as_it_is_told_and_a_dry_one_writes_nothing() {
    let sandbox = sandbox(&[Api::Mail]);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(60 * HOUR), "very late")]);
    assert_eq!(report(&catalog.run(&["reconcile", "--json"]))["streams"][0]["late"], 0);
    let before = catalog.tree();
    for hours in ["3d", "61h"] {
        let dry = report(&catalog.run(&["reconcile", "--since", hours, "--dry-run", "--json"]));
        assert_eq!(dry["streams"][0]["late"], 1, "{dry}");
    }
    catalog.assert_unchanged(&before);
    assert_eq!(
        report(&catalog.run(&["reconcile", "--since", "3d", "--json"]))["streams"][0]["late"],
        1
    );
    catalog.assert_holds(Api::Mail, &sandbox.events(Api::Mail));
    let wrong = catalog.run(&["reconcile", "--since", "2999-01-01"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}

#[test]
fn a_start_after_the_last_record_leaves_no_hole_and_an_empty_archive_is_filled_from_its_lookback() {
    let sandbox = sandbox(&[Api::Port]);
    let catalog = Catalog::of(&sandbox, &[Api::Port]);
    let first = catalog.run(&["reconcile", "--since", "1m", "--json"]);
    assert_eq!(
        report(&first)["streams"][0]["late"],
        0,
        "there was nothing that they could be later than"
    );
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    sandbox.add(Api::Port, vec![event(Api::Port, at(120), "new")]);
    assert_eq!(
        report(&catalog.run(&["reconcile", "--since", "1s", "--json"]))["streams"][0]["appended"],
        1
    );
}

#[test]
fn collect_reconciles_by_itself_when_it_is_time_and_a_damaged_state_only_means_that_it_does_so_now() {
    let api = Api::Disk;
    let sandbox = sandbox(&[api]);
    let catalog = Catalog::of(&sandbox, &[api])
        .with("RECONCILE_EVERY_HOURS", 24)
        .with("DISK_RECONCILE_HOURS", 12);
    catalog.collect(0, &[]);
    let add = |hours: i64| sandbox.add(api, vec![event(api, at(hours * HOUR), &format!("late-{hours}"))]);
    add(11);
    assert_eq!(catalog.collect_one(0, &[])["appended"], 0, "it reconciled just now");
    fs::remove_file(journal(&catalog, api)).unwrap();
    let reconciled = catalog.collect_one(0, &[]);
    assert_eq!(reconciled["appended"], 1, "{reconciled}");
    assert!(
        catalog.app_log().contains("appended late records late=1"),
        "{}",
        catalog.app_log()
    );
    assert_eq!(catalog.collect_one(0, &[])["requests"], 1);

    add(10);
    let whole = fs::read(journal(&catalog, api)).unwrap();
    let first_line = whole.split(|byte| *byte == b'\n').next().unwrap();
    let damages = [
        &b""[..],
        b"{",
        b"\0\0\0\0\n",
        &first_line[..first_line.len() / 2],
        b"{\"version\":1,\"last_reconciled\":7}\n",
    ];
    for (hours, damage) in (5..).zip(damages) {
        fs::write(journal(&catalog, api), damage).unwrap();
        add(hours);
        let run = catalog.run(&["collect", "--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_ne!(run.summary()["yandex-disk"]["appended"], 0);
    }
    catalog.assert_holds(api, &sandbox.events(api));
    // A range that somebody gave is not made longer.
    fs::remove_file(journal(&catalog, api)).unwrap();
    let asked = catalog.collect_one(0, &["--since", "1h"]);
    assert!(
        (time(&asked["to"]) - time(&asked["from"])).num_minutes() <= 61,
        "{asked}"
    );
}

#[test]
fn with_runs_in_between_the_report_says_that_less_overlap_may_have_been_enough() {
    let api = Api::Mail;
    let sandbox = sandbox(&[api]);
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect(0, &[]);
    sandbox.add(api, vec![event(api, at(10 * HOUR), "late")]);
    let found = report(&catalog.run(&["reconcile", "--json"]));
    let all = &found["streams"][0]["overlap_minutes"]["all"];
    // The run before covered that time in vain; this one is the next, so nothing is left open.
    assert_eq!(all["at_least"], all["surely"], "{all}");
    fs::remove_file(journal(&catalog, api)).unwrap();
    sandbox.add(api, vec![event(api, at(11 * HOUR), "later")]);
    let without = report(&catalog.run(&["reconcile", "--json"]));
    assert_eq!(
        without["streams"][0]["overlap_minutes"]["all"]["at_least"], 0,
        "{without}"
    );
}
