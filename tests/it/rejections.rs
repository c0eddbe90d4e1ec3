//! Records that cannot be filed show: one by one in every result, most of an answer as a failure.

use trailkeeper::sandbox::{Api, Event, Options, Sandbox};

use super::support::{Catalog, at, event, serve, streams};

/// The services of whose answers it is known which records are in them: Port is asked for parts of an answer again.
const WHOLE: [Api; 4] = [Api::Mail, Api::Disk, Api::Audit, Api::Tfc];

/// A record of this service whose time cannot be read.
fn unreadable(api: Api, seconds_ago: i64) -> Event {
    let time = at(seconds_ago);
    let good = event(api, time, &format!("bad-{seconds_ago}"));
    let day = time.format("%Y-%m-%d").to_string();
    Event::new(time, good.id, good.text.replace(&day, "the day before"))
}

/// So many records with a time, and so many without, all of this hour.
fn mixed(api: Api, good: i64, bad: i64) -> Vec<Event> {
    let good = (0..good).map(|n| event(api, at(60 + n), &format!("good-{n}")));
    good.chain((0..bad).map(|n| unreadable(api, 60 + n))).collect()
}

#[test]
fn an_answer_with_more_than_half_of_its_times_unreadable_fails_the_stream_and_loses_nothing() {
    let sandbox = serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, mixed(api, 3, 4)))
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL)
        .with("MAX_RETRIES", 1)
        .with("RETRY_DELAY_SECONDS", 0);
    for (name, stream) in catalog.collect(3, &[]) {
        let error = stream["error"].as_str().unwrap_or_else(|| panic!("{name}: {stream}"));
        for part in ["4 of 7 records", "in 2 attempts", "the day before", "nothing is lost"] {
            assert!(error.contains(part), "{name}: no {part:?} in {error}");
        }
        assert_eq!(
            (&stream["appended"], &stream["rejected"]),
            (&0.into(), &0.into()),
            "{name}"
        );
    }
    // The next run asks for them again: half of an answer is not the most of it.
    for api in WHOLE {
        sandbox.add(api, vec![event(api, at(50), "another")]);
    }
    let whole = ["--stream", "yandex-mail,yandex-disk,yandex-audit,tfc"];
    for (name, stream) in catalog.collect(0, &whole) {
        assert_eq!(
            (&stream["appended"], &stream["rejected"]),
            (&4.into(), &4.into()),
            "{name}"
        );
    }
}

/// A record whose time is a century ahead.
fn ahead(api: Api, n: i64) -> Event {
    let time = at(60 + n);
    let good = event(api, time, &format!("ahead-{n}"));
    let year = time.format("%Y-").to_string();
    Event::new(time, good.id, good.text.replace(&year, "2099-"))
}

#[test]
fn an_answer_with_more_than_half_of_its_times_in_the_future_fails_the_stream() {
    for api in WHOLE {
        let sandbox = serve(|options| options.give(api, (0..7).map(|n| ahead(api, n)).collect()));
        let catalog = Catalog::of(&sandbox, &[api])
            .with("MAX_RETRIES", 1)
            .with("RETRY_DELAY_SECONDS", 0);
        let stream = catalog.collect_one(3, &[]);
        let error = stream["error"].as_str().unwrap();
        for part in ["7 of 7 records", "its time is in the future", "nothing is lost"] {
            assert!(error.contains(part), "{api:?}: no {part:?} in {error}");
        }
        // One of many is rejected, and shows.
        let events = (0..20).map(|n| event(api, at(100 + n), &format!("good-{n}")));
        let sandbox = serve(|options| options.give(api, events.chain([ahead(api, 1)]).collect()));
        let catalog = Catalog::of(&sandbox, &[api]);
        let stream = catalog.collect_one(0, &[]);
        assert_eq!(
            (&stream["appended"], &stream["rejected"]),
            (&20.into(), &1.into()),
            "{api:?}"
        );
    }
}

#[test]
fn a_single_record_without_a_time_is_no_other_form() {
    let give = |options: Options, api| options.give(api, mixed(api, 0, 1));
    let sandbox = serve(|options| WHOLE.into_iter().fold(options, give));
    let catalog = Catalog::of(&sandbox, &WHOLE);
    for (name, stream) in catalog.collect(0, &[]) {
        assert_eq!(
            (&stream["appended"], &stream["rejected"]),
            (&0.into(), &1.into()),
            "{name}"
        );
    }
}

/// Records of HCP Terraform, four of nine without a time, in a catalog of its own.
fn some_rejected() -> (Sandbox, Catalog) {
    let sandbox = serve(|options| options.give(Api::Tfc, mixed(Api::Tfc, 5, 4)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    (sandbox, catalog)
}

#[test]
fn with_strict_a_run_that_rejects_a_record_exits_with_3_and_is_complete_all_the_same() {
    let (sandbox, catalog) = some_rejected();
    for command in ["collect", "reconcile"] {
        let strict = catalog.run(&[command, "--strict", "--dry-run", "--json"]);
        assert_eq!(strict.code, 3, "{command}: {}", strict.stderr);
        assert_eq!(strict.summary()["tfc"]["status"], "complete", "{}", strict.stdout);
        assert_eq!(strict.summary()["tfc"]["rejected"], 4, "{}", strict.stdout);
        assert!(
            strict.stdout.trim_end().ends_with("\"exit_code\":3}"),
            "{}",
            strict.stdout
        );
        assert_eq!(catalog.run(&[command, "--dry-run"]).code, 0, "{command}");
    }
    catalog.collect(3, &["--strict"]);
    // They are noted now, and nothing is rejected that was not before.
    catalog.collect(0, &["--strict"]);
    sandbox.add(Api::Tfc, vec![unreadable(Api::Tfc, 30)]);
    assert_eq!(catalog.collect(3, &["--strict"])["tfc"]["rejected"], 1);
    assert_eq!(catalog.run(&["collect", "--follow", "--strict"]).code, 2);
}

#[test]
fn what_was_rejected_shows_in_the_tables_and_in_status() {
    let (sandbox, catalog) = some_rejected();
    let reconciled = catalog.run(&["reconcile", "--dry-run"]);
    assert!(
        reconciled.stdout.contains(": 5 added, 0 of them late, 4 rejected\n"),
        "{}",
        reconciled.stdout
    );
    catalog.collect(0, &[]);
    let status = catalog.run(&["status"]).stdout;
    let told = "tfc: 4 rejected by the last run, 4 in the rejected file with their reasons\n";
    assert!(status.contains(told), "{status}");
    sandbox.add(Api::Tfc, vec![unreadable(Api::Tfc, 30)]);
    catalog.collect(0, &[]);
    catalog.collect(0, &[]);
    let status = catalog.run(&["status"]).stdout;
    let told = "tfc: 0 rejected by the last run, 5 in the rejected file with their reasons\n";
    assert!(status.contains(told), "{status}");
    let status = catalog.run(&["status", "--json"]).summary();
    assert_eq!(
        (&status["tfc"]["rejected"], &status["tfc"]["last_run"]["rejected"]),
        (&5.into(), &0.into())
    );
}
