//! What runs and commands say of an archive that is not as it should be: nothing is wrong in silence.

use std::fs;
use std::path::PathBuf;

use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step};

use super::support::{Catalog, at, base_name, event, serve, streams};

const DAY: i64 = 86_400;

/// The commands that look at an archive.
const VIEWS: [&str; 4] = ["coverage", "status", "verify", "check"];

/// Services with a record on each of the last days.
fn daily(days: i64) -> Sandbox {
    let records = |api| -> Vec<Event> {
        let one = |day: i64| event(api, at(day * DAY + 600), &day.to_string());
        (0..days).map(one).collect()
    };
    serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, records(api)))
    })
}

/// A catalog of Port that holds the records of these days.
fn collected(sandbox: &Sandbox) -> Catalog {
    let catalog = Catalog::of(sandbox, &[Api::Port]).with("MAX_RETRIES", 0);
    catalog.collect_one(0, &[]);
    catalog
}

fn day_file(catalog: &Catalog, days_ago: i64) -> PathBuf {
    let date = at(days_ago * DAY + 600).date_naive();
    catalog
        .folder(Api::Port)
        .join(format!("{}_{date}.log", base_name(Api::Port)))
}

/// What a command prints.
fn shown(catalog: &Catalog, command: &str) -> String {
    let run = catalog.run(&[command]);
    format!("{}{}", run.stdout, run.stderr)
}

#[track_caller]
fn assert_said(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}

/// Has a run end with this code; returns its warnings and its error.
#[track_caller]
fn collect(catalog: &Catalog, code: i32, arguments: &[&str]) -> String {
    let run = catalog.collect_one(code, arguments);
    format!("{} {}", run["warnings"], run["error"])
}

#[test]
fn what_a_run_that_failed_did_not_fetch_is_a_gap_at_once() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let check = || catalog.run(&["coverage", "--fail-on-gaps"]);
    assert_eq!(check().code, 0, "the pause since a run that was complete");
    let refused = sandbox.request_count(Api::Port) + 1;
    sandbox.step(Step::at(Api::Port, refused, Action::Answer(Answer::json(400, "{}"))));
    catalog.collect_one(3, &[]);
    let failed = check();
    assert_eq!(failed.code, 3, "{}", failed.stdout);
    assert_said(
        &failed.stdout,
        &[" to now, ", "the last run did not fetch it", "run collect"],
    );
    assert!(
        failed.stdout.lines().nth(1).unwrap().contains("  1  "),
        "{}",
        failed.stdout
    );
    catalog.collect_one(0, &[]);
    assert_eq!(check().code, 0, "{}", check().stdout);
}

#[cfg(unix)]
#[test]
fn a_newest_day_file_with_other_names_is_a_gap_and_no_run_can_write_to_it() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let newest = day_file(&catalog, 0);
    let other = catalog.root().join("other");
    fs::hard_link(&newest, &other).unwrap();
    sandbox.add(Api::Port, vec![event(Api::Port, at(500), "new")]);
    let advice = "remove the other names";
    assert_said(&collect(&catalog, 3, &[]), &[newest.to_str().unwrap(), advice]);
    let check = catalog.run(&["check"]);
    assert_eq!(check.code, 1, "{}", check.stdout);
    assert_said(&check.stdout, &["(hard links)", advice]);
    let coverage = catalog.run(&["coverage", "--fail-on-gaps"]);
    assert_eq!(coverage.code, 3, "{}", coverage.stdout);
    fs::remove_file(other).unwrap();
    catalog.collect_one(0, &[]);
    assert_eq!(catalog.run(&["coverage", "--fail-on-gaps"]).code, 0);
}

#[test]
fn a_file_in_the_place_of_the_state_folder_is_named_with_what_to_do() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let state = catalog.folder(Api::Port).join(".trailkeeper");
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "").unwrap();
    for command in VIEWS {
        assert_said(
            &shown(&catalog, command),
            &[".trailkeeper", "is not a folder", "move it away"],
        );
    }
    assert_said(&collect(&catalog, 3, &[]), &[".trailkeeper", "not a folder"]);
}
