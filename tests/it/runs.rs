//! Runs that follow each other: the first, the second, and those that go on.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use trailkeeper::sandbox::{Action, Answer, Api, Event, Options, Records, Sandbox, Step};

use super::support::{Catalog, at, event, events, lines_by_file, now, serve, streams};

/// Generated records of all streams, and no new ones while the test runs.
fn generated(count: usize) -> Sandbox {
    let mut options = Options::new(std::sync::Arc::new(now));
    for api in Api::ALL {
        options[api].records = Records::Generated { count, arrivals: None };
    }
    Sandbox::start_on_thread(options).unwrap()
}

#[test]
fn a_first_run_files_every_record_and_a_second_one_adds_nothing() {
    let sandbox = generated(1_500);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let first = catalog.collect(0, &[]);
    let files = catalog.tree();
    let second = catalog.collect(0, &[]);
    catalog.assert_nothing_added(&files);
    for (kind, api) in streams() {
        catalog.assert_holds(api, &sandbox.events(api));
        let (first, second) = (&first[kind.name], &second[kind.name]);
        assert_eq!(
            (&first["appended"], &first["status"]),
            (&1_500.into(), &"complete".into()),
            "{first}"
        );
        assert_eq!(
            (&second["appended"], &second["duplicates"]),
            (&0.into(), &second["received"]),
            "{second}"
        );
        assert_eq!(first["last_record"], second["last_record"]);
        assert_ne!(second["received"], 0, "the overlap asks for the last record again");
    }
}

#[test]
fn a_run_goes_on_with_what_arrived_since_late_records_of_the_overlap_included() {
    let sandbox = serve(|options| {
        streams()
            .into_iter()
            .fold(options, |options, (_, api)| options.give(api, events(api, 300, 600)))
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    catalog.collect(0, &[]);
    let before: Vec<_> = streams().iter().map(|(_, api)| catalog.day_files(*api)).collect();
    for (_, api) in streams() {
        // The last record is 600 seconds old, so the overlap reaches back to 720.
        sandbox.add(
            api,
            vec![
                event(api, at(700), "late"),
                event(api, at(500), "new"),
                event(api, at(500), "burst"),
            ],
        );
    }
    let second = catalog.collect(0, &[]);
    for ((kind, api), before) in streams().into_iter().zip(before) {
        assert_eq!(second[kind.name]["appended"], 3, "{}", second[kind.name]);
        catalog.assert_holds(api, &sandbox.events(api));
        for (name, bytes) in before {
            assert!(
                catalog.day_files(api)[&name].starts_with(&bytes),
                "{name} was changed, not appended to"
            );
        }
    }
}

#[test]
fn without_a_command_it_collects() {
    let sandbox = serve(|options| options.give(Api::Disk, events(Api::Disk, 10, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Disk]);
    let run = catalog.run(&["--json"]);
    assert_eq!((run.code, &run.summary()["yandex-disk"]["appended"]), (0, &10.into()));
    catalog.assert_holds(Api::Disk, &sandbox.events(Api::Disk));
}

#[test]
fn a_stream_that_is_asked_for_is_collected_alone() {
    let sandbox = generated(20);
    for (kind, api) in streams() {
        let catalog = Catalog::of(&sandbox, &Api::ALL);
        let summary = catalog.collect_one(0, &["--stream", kind.name]);
        assert_eq!(
            (&summary["stream"], &summary["appended"]),
            (&kind.name.into(), &20.into())
        );
        for (_, other) in streams() {
            assert_eq!(catalog.day_files(other).is_empty(), other != api, "{}", kind.name);
        }
    }
    let all = Catalog::of(&sandbox, &Api::ALL);
    let names = |summary: std::collections::BTreeMap<String, _>| summary.into_keys().collect::<Vec<_>>();
    assert_eq!(names(all.collect(0, &["--stream", "tfc,port"])), ["port", "tfc"]);
    assert_eq!(
        names(all.collect(0, &["--stream", "tfc", "--stream", "yandex-mail"])),
        ["tfc", "yandex-mail"]
    );
}

#[test]
fn a_dry_run_counts_what_a_run_would_add_and_writes_nothing() {
    let sandbox = serve(|options| {
        streams()
            .into_iter()
            .fold(options, |options, (_, api)| options.give(api, events(api, 30, 600)))
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let empty = catalog.tree();
    for (name, stream) in catalog.collect(0, &["--dry-run"]) {
        assert_eq!(
            (&stream["appended"], &stream["status"]),
            (&30.into(), &"complete".into()),
            "{name}"
        );
        assert_eq!(stream["warnings"], json!([]), "{name}");
    }
    catalog.assert_unchanged(&empty);
    catalog.collect(0, &[]);
    for (_, api) in streams() {
        sandbox.add(
            api,
            vec![event(api, at(60), "new"), Event::new(at(50), "odd", "[\"no object\"]")],
        );
    }
    let filled = catalog.tree();
    for (name, stream) in catalog.collect(0, &["--dry-run"]) {
        assert_eq!(
            (&stream["appended"], &stream["rejected"]),
            (&1.into(), &1.into()),
            "{name}"
        );
        assert_eq!(stream["warnings"], json!([]), "{name}");
    }
    let run = catalog.run(&["reconcile", "--dry-run", "--json"]);
    assert_eq!((run.code, run.stderr.contains("was cut")), (0, false), "{}", run.stderr);
    catalog.assert_unchanged(&filled);
}

#[test]
fn a_dry_run_says_that_it_is_one_and_others_that_they_are_none() {
    let sandbox = generated(5);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    for command in ["collect", "reconcile"] {
        for (arguments, expected) in [(&[][..], false), (&["--dry-run"], true)] {
            let all = |form: &[&'static str]| [&[command], arguments, form].concat();
            let summary: Value = serde_json::from_str(&catalog.run(&all(&["--json"])).stdout).unwrap();
            assert_eq!(summary["dry_run"], expected, "{command} {arguments:?}");
            let text = catalog.run(&all(&[])).stdout;
            assert_eq!(
                text.contains("a dry run: counted, and nothing written"),
                expected,
                "{text}"
            );
        }
    }
}

/// The JSON summary as it is documented, with the values of this one.
fn documented(summary: &Value) -> String {
    let keys = [
        "stream",
        "status",
        "from",
        "to",
        "requests",
        "pages",
        "retries",
        "received",
        "duplicates",
        "rejected",
        "revised",
        "expired",
        "left_for_next_run",
        "skipped",
        "repaired",
        "appended",
        "files",
        "last_record",
        "clock_offset_seconds",
        "warnings",
        "error",
    ];
    let streams: Vec<String> = summary["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| {
            let fields: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{}", stream[key])).collect();
            format!("{{{}}}", fields.join(","))
        })
        .collect();
    format!(
        "{{\"streams\":[{}],\"dry_run\":false,\"exit_code\":{}}}\n",
        streams.join(","),
        summary["exit_code"]
    )
}

#[test]
fn the_json_summary_has_exactly_the_documented_keys_in_their_order() {
    let newest = at(60);
    let sandbox = serve(|options| {
        options
            .give(
                Api::Mail,
                vec![event(Api::Mail, newest, "1"), Event::new(newest, "2", "0")],
            )
            .step(Step::always(
                Api::Port,
                Action::Answer(Answer::json(403, r#"{"ok":false,"error":"forbidden","message":"No."}"#)),
            ))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk, Api::Port]);
    let run = catalog.run(&["collect", "--json"]);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.stdout, documented(&summary));
    let [mail, disk, port] = summary["streams"].as_array().unwrap().as_slice() else {
        panic!("{summary}")
    };
    let time = newest.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(
        mail["files"],
        json!([format!("mail_audit_{}.log", newest.date_naive())])
    );
    assert_eq!((&mail["last_record"], &mail["error"]), (&json!(time), &Value::Null));
    assert_eq!(
        (&mail["received"], &mail["appended"], &mail["rejected"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let written: DateTime<Utc> = mail["to"].as_str().unwrap().parse().unwrap();
    assert!(mail["to"].as_str().unwrap().ends_with('Z') && now() - written < TimeDelta::minutes(5));
    assert_eq!(
        (&disk["status"], &disk["files"], &disk["last_record"]),
        (&json!("complete"), &json!([]), &Value::Null)
    );
    assert_eq!(
        (&port["status"], &port["appended"], &port["requests"]),
        (&json!("failed"), &json!(0), &json!(1))
    );
    assert!(port["error"].as_str().unwrap().contains("403"), "{port}");
    assert_eq!((run.code, &summary["exit_code"]), (3, &json!(3)));
}

#[test]
fn stdout_holds_the_table_for_people_and_nothing_else() {
    let sandbox = generated(20);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let run = catalog.run(&["collect", "-v"]);
    assert_eq!(run.code, 0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 1 + streams().len(), "{}", run.stdout);
    assert!(lines[0].starts_with("STREAM "), "{}", run.stdout);
    for ((kind, _), line) in streams().into_iter().zip(&lines[1..]) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[..3], [kind.name, "complete", "20"], "{line}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_asks_nobody() {
    let sandbox = generated(5);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let before = catalog.tree();
    for arguments in [
        &["--since", "yesterday"][..],
        &["--stream", "gitlab"],
        &["--since", "1h", "--until", "2h"],
        &["--since", "2999-01-01"],
        &["gather"],
        &["--quiet", "--verbose"],
    ] {
        let run = catalog.run(arguments);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (2, ""),
            "{arguments:?}: {}",
            run.stderr
        );
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(sandbox.requests(), Vec::new());
    catalog.assert_unchanged(&before);
}

#[test]
fn a_negative_age_is_answered_with_what_an_age_is_in_every_command() {
    let catalog = Catalog::bare();
    for arguments in [
        &["status", "--max-age", "-5m"][..],
        &["collect", "--since", "-5m"],
        &["collect", "--until", "-5m"],
        &["collect", "--follow", "--interval", "-5m"],
        &["collect", "--forward-http", "--forward-from", "-5m"],
        &["reconcile", "--since", "-5m"],
        &["forward", "http", "--forward-from", "-5m"],
        &["forward", "http", "--since", "-5m"],
        &["forward", "http", "--since", "7d", "--until", "-5m"],
    ] {
        let run = catalog.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        let says = run.stderr.contains("'-5m'") && run.stderr.contains("cannot be negative");
        assert!(says, "{arguments:?}: {}", run.stderr);
    }
    // What follows a value that was forgotten is no age either.
    let forgotten = catalog.run(&["status", "--max-age", "--json"]).stderr;
    assert!(
        forgotten.contains("'--json' for '--max-age <AGE>': expected an age"),
        "{forgotten}"
    );
}

#[test]
fn a_failed_stream_leaves_the_others_alone() {
    for (failing, failing_api) in streams() {
        let refusal = Action::Answer(Answer::html(403, "Forbidden"));
        let sandbox = serve(|options| {
            let options = streams()
                .into_iter()
                .fold(options, |all, (_, api)| all.give(api, events(api, 30, 60)));
            options.step(Step::always(failing_api, refusal))
        });
        let catalog = Catalog::of(&sandbox, &Api::ALL);
        let summary = catalog.collect(3, &[]);
        for (kind, api) in streams() {
            let status = if kind.name == failing.name {
                "failed"
            } else {
                "complete"
            };
            assert_eq!(summary[kind.name]["status"], status);
            let expected = if kind.name == failing.name {
                Vec::new()
            } else {
                sandbox.events(api)
            };
            catalog.assert_holds(api, &expected);
        }
    }
}

#[test]
fn a_service_that_has_other_records_than_before_is_read_completely_wherever_they_are() {
    for api in [Api::Mail, Api::Port, Api::Tfc] {
        // Pairs of records, so far apart: some lie between the known ones and where the run begins.
        for apart in [1, 30, 70, 130] {
            let pairs = |name: &str, newest| -> Vec<Event> {
                let time = |n: i64| at(newest + n / 2 * apart) - TimeDelta::milliseconds(n % 2 * 700);
                (0..60).map(|n| event(api, time(n), &format!("{name} {n}"))).collect()
            };
            let sandbox = serve(|options| options.give(api, pairs("one", 600)));
            let catalog = Catalog::of(&sandbox, &[api]);
            catalog.collect(0, &[]);
            let next = sandbox.request_count(api) + 1;
            sandbox.step(Step::at(api, next, Action::DropOldest(api, 60)));
            let others = pairs("other", 610);
            sandbox.step(Step::at(api, next, Action::Add(api, others.clone())));
            let run = catalog.collect_one(0, &[]);
            assert_eq!(run["status"], "complete", "{api:?} {apart} {run}");
            let asked_for: Vec<_> = others.into_iter().filter(|event| event.time > at(718)).collect();
            let (kept, wanted) = (catalog.lines(api), lines_by_file(api, &asked_for));
            assert!(
                wanted.values().flatten().all(|line| kept.contains(line)),
                "{api:?} {apart}"
            );
        }
    }
}
