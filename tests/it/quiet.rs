//! `-q`: not a byte where all is well, so that a line of cron needs no redirection, and where it is not, what is wrong.

use std::fs;

use trailkeeper::sandbox::{Action, Answer, Api, Event, Step};

use super::forwarding::Listener;
use super::support::{Catalog, Run, at, event, events, serve};

/// Every command that has the flag and something to say of streams.
const COMMANDS: [&[&str]; 9] = [
    &["collect"],
    &["collect", "--forward-http", "--dry-run"],
    &["reconcile"],
    &["forward", "http"],
    &["check"],
    &["status", "--max-age", "2h"],
    &["coverage", "--fail-on-gaps"],
    &["verify"],
    &["report", "--html", "page.html"],
];

/// Asserts that there is nothing on stdout, and on stderr only errors, one of them with this text, each with the stream.
#[track_caller]
fn assert_errors_alone(run: &Run, code: i32, stream: &str, text: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
    assert!(run.stderr.contains(text), "{text:?} is not in {}", run.stderr);
    for line in run.stderr.lines() {
        assert!(line.contains(" ERROR:\t") && line.contains(stream), "{line}");
    }
}

#[test]
fn every_command_says_nothing_where_all_is_well_and_prints_json_where_that_is_asked_for() {
    let sandbox = serve(|options| {
        let options = options.give(Api::Mail, events(Api::Mail, 3, 600));
        options.give(Api::Tfc, events(Api::Tfc, 3, 600))
    });
    let listener = Listener::start(|_| 200);
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]).with("HTTP_FORWARD_URL", &listener.address);
    let begin = catalog.run(&["forward", "http", "--forward-from", "start", "-q"]);
    assert_eq!((begin.code, begin.stderr.as_str()), (0, ""));
    for command in COMMANDS {
        for quiet in ["-q", "--quiet"] {
            let run = catalog.run(&[command, &[quiet]].concat());
            let said = (run.code, run.stdout.as_str(), run.stderr.as_str());
            assert_eq!(said, (0, "", ""), "{command:?}");
        }
        let run = catalog.run(&[command, &["-q", "--json"]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command:?}");
        assert!(
            run.stdout.starts_with('{') && run.stdout.lines().count() == 1,
            "{command:?}: {}",
            run.stdout
        );
    }
    // What is asked for by name is the result itself.
    let lines = catalog.run(&["forward", "stdout", "--forward-from", "start", "-q"]);
    assert_eq!((lines.stdout.lines().count(), lines.stderr.as_str()), (6, ""));
    let page = catalog.run(&["report", "--html", "-", "-q"]);
    assert!(page.stdout.starts_with("<!DOCTYPE html>") && page.stderr.is_empty());
}

#[test]
fn a_run_that_fails_or_rejects_or_cannot_forward_is_told_with_its_stream() {
    let refuse = Step::always(Api::Mail, Action::Answer(Answer::json(401, "{}")));
    let sandbox = serve(|options| {
        let odd = Event::new(at(50), "odd", "[\"no object\"]");
        options
            .give(Api::Tfc, vec![event(Api::Tfc, at(60), "t"), odd])
            .step(refuse)
    });
    let mail = Catalog::of(&sandbox, &[Api::Mail]);
    assert_errors_alone(&mail.run(&["collect", "-q"]), 3, "yandex-mail", "401");
    assert_errors_alone(&mail.run(&["reconcile", "-q"]), 3, "yandex-mail", "401");
    assert_errors_alone(&mail.run(&["check", "-q"]), 1, "yandex-mail", "401");
    assert_errors_alone(&mail.run(&["status", "-q"]), 0, "yandex-mail", "401");
    let listener = Listener::start(|_| 400);
    let tfc = Catalog::of(&sandbox, &[Api::Tfc])
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_TIMEOUT_SECONDS", 1);
    assert_errors_alone(&tfc.run(&["collect", "-q", "--strict"]), 3, "tfc", "--strict");
    let forward = tfc.run(&["forward", "http", "--forward-from", "start", "-q"]);
    assert_errors_alone(&forward, 3, "tfc", "400");
}

#[test]
fn what_the_archive_lacks_is_told_with_its_stream_by_the_commands_that_read_it() {
    let sandbox = serve(|options| {
        let daily = (0..3).map(|day| event(Api::Port, at(day * 86_400 + 7_200), &day.to_string()));
        options.give(Api::Port, daily.collect())
    });
    let catalog = Catalog::of(&sandbox, &[Api::Port]);
    catalog.collect_one(0, &[]);
    let late = catalog.run(&["status", "-q", "--max-age", "1h"]);
    assert_errors_alone(&late, 3, "port", "Z, and --max-age allows 60m");
    let (oldest, _) = catalog.day_files(Api::Port).into_iter().next().unwrap();
    let path = catalog.folder(Api::Port).join(&oldest);
    fs::write(&path, "not a record\n").unwrap();
    assert_errors_alone(
        &catalog.run(&["verify", "-q"]),
        3,
        "port",
        &format!("{oldest}:1: not a record"),
    );
    assert_errors_alone(&catalog.run(&["coverage", "-q", "--fail-on-gaps"]), 3, "port", " to 2");
    assert_errors_alone(
        &catalog.run(&["status", "-q", "--max-age", "3h"]),
        3,
        "port",
        "was fetched and is lost",
    );
    fs::remove_dir_all(catalog.folder(Api::Port)).unwrap();
    for command in [
        &["status"][..],
        &["coverage"],
        &["verify"],
        &["report", "--html", "page.html"],
    ] {
        let run = catalog.run(&[command, &["-q"]].concat());
        assert_errors_alone(&run, 3, "port", "port");
    }
}

#[test]
fn the_line_of_cron_needs_no_redirection() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/cron/trailkeeper");
    let text = fs::read_to_string(sample).unwrap();
    let line = text.lines().find(|line| line.starts_with('*')).unwrap();
    assert!(line.contains(" --quiet") && !line.contains('>'), "{line}");
}
