//! What a run was given and could not file: a later run files it, whether the service gives it again or not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step, When};

use super::support::{Catalog, PATIENCE, at, base_name, event, serve, wait_until};

/// One service for each way to page: by tokens, by bounds, by numbers.
const PAGED: [Api; 3] = [Api::Mail, Api::Port, Api::Tfc];

/// How many records there are, and how many a page has; those of the newest page but for the very newest ones are lacking
/// in the end.
const RECORDS: i64 = 300;
const PAGE: usize = 40;
const LACKING: std::ops::Range<usize> = 5..12;

/// Records of an hour, newest first.
fn records(api: Api) -> Vec<Event> {
    (0..RECORDS)
        .map(|n| event(api, at(600 + n * 12), &n.to_string()))
        .collect()
}

/// A service of these records.
fn service(api: Api, records: Vec<Event>, steps: Vec<Step>) -> Sandbox {
    serve(|mut options| {
        options[api].page_cap = (api != Api::Mail).then_some(PAGE);
        steps
            .into_iter()
            .fold(options.give(api, records), |options, step| options.step(step))
    })
}

/// From this request on it fails, however often it is asked.
fn failing_from(api: Api, number: usize) -> Step {
    let answer = Action::Answer(Answer::json(500, r#"{"message": "in trouble"}"#));
    Step::new(When::Requests(api, number..=usize::MAX), answer)
}

fn catalog(sandbox: &Sandbox, api: Api) -> Catalog {
    Catalog::of(sandbox, &[api])
        .with("PORT_PAGE_LIMIT", PAGE)
        .with("FETCH_CONCURRENCY", 1)
}

fn pending_file(catalog: &Catalog, api: Api) -> PathBuf {
    let name = format!(".trailkeeper/{}.pending.jsonl", base_name(api));
    catalog.folder(api).join(name)
}

fn pending(catalog: &Catalog, api: Api) -> Vec<String> {
    let text = fs::read_to_string(pending_file(catalog, api)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// All records but some of those that the first pages gave.
fn without_lacking(all: &[Event]) -> Vec<Event> {
    let kept = all.iter().enumerate().filter(|(index, _)| !LACKING.contains(index));
    kept.map(|(_, event)| event.clone()).collect()
}

/// A catalog whose only run was given the newest pages, and failed; the records; and a service that lacks some of those.
fn failed(api: Api) -> (Catalog, Vec<Event>, Sandbox) {
    let all = records(api);
    let sandbox = service(api, all.clone(), vec![failing_from(api, 3)]);
    let catalog = catalog(&sandbox, api);
    catalog.collect_one(3, &[]);
    assert_eq!(
        catalog.lines(api),
        Vec::<String>::new(),
        "nothing is proved to be complete"
    );
    let later = service(api, without_lacking(&all), Vec::new());
    (catalog.pointing_at(&later), all, later)
}

#[test]
fn what_a_failed_run_was_given_is_filed_once_although_the_next_one_is_not_given_it_again() {
    for api in PAGED {
        let (catalog, all, _later) = failed(api);
        let kept = pending(&catalog, api).len();
        assert!(kept >= PAGE, "{api:?}: {kept}");
        let run = catalog.collect_one(0, &[]);
        assert_eq!(
            (run["appended"].as_i64(), run["duplicates"].as_i64()),
            (Some(RECORDS), Some(0)),
            "{run}"
        );
        catalog.assert_holds(api, &all);
        assert!(!pending_file(&catalog, api).exists(), "{api:?}");
        assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
    }
}

#[test]
fn what_has_other_fields_by_then_is_filed_as_it_is_and_kept_as_it_was() {
    for api in PAGED {
        let (catalog, mut all, _later) = failed(api);
        let was = all[7].clone();
        all[7].text = was.text.replacen('{', r#"{"odd":1,"#, 1);
        let later = service(api, all.clone(), Vec::new());
        let catalog = catalog.pointing_at(&later);
        assert_eq!(catalog.collect_one(0, &[])["revised"], 1);
        catalog.assert_holds(api, &all);
        let revised = catalog.revised(api);
        let was: Value = serde_json::from_str(&was.text).unwrap();
        assert_eq!(revised.iter().map(|note| &note["record"]).collect::<Vec<_>>(), [&was]);
    }
}

#[test]
fn what_a_stopped_run_was_given_is_filed_too() {
    for api in PAGED {
        let all = records(api);
        let hangs = Step::at(api, 3, Action::Wait(Duration::from_secs(600)));
        let sandbox = service(api, all.clone(), vec![hangs]);
        let catalog = catalog(&sandbox, api);
        let run = catalog.start(&["collect", "--json"]);
        wait_until("the service does not answer", PATIENCE, || {
            sandbox.request_count(api) >= 3
        });
        let stopped = run.terminate();
        assert_eq!(stopped.code, 3, "{}", stopped.stderr);
        let later = service(api, without_lacking(&all), Vec::new());
        let catalog = catalog.pointing_at(&later);
        catalog.collect_one(0, &[]);
        catalog.assert_holds(api, &all);
    }
}

#[test]
fn several_failed_runs_keep_what_all_of_them_were_given_each_record_once() {
    for api in PAGED {
        let (catalog, all, later) = failed(api);
        let first = pending(&catalog, api);
        later.step(failing_from(api, 1));
        catalog.collect_one(3, &[]);
        assert!(pending(&catalog, api) == first, "{api:?}: nothing was given");
        let again = service(api, all.clone(), vec![failing_from(api, 4)]);
        let catalog = catalog.pointing_at(&again);
        catalog.collect_one(3, &[]);
        let mut second = pending(&catalog, api);
        assert!(second.len() >= first.len());
        second.sort_unstable();
        second.dedup();
        let last = service(api, without_lacking(&all), Vec::new());
        let catalog = catalog.pointing_at(&last);
        catalog.collect_one(0, &[]);
        catalog.assert_holds(api, &all);
    }
}

#[test]
fn a_run_that_is_killed_before_it_removes_what_it_has_filed_leaves_duplicates_only() {
    for api in PAGED {
        let (catalog, all, _later) = failed(api);
        let before = fs::read(pending_file(&catalog, api)).unwrap();
        catalog.collect_one(0, &[]);
        fs::write(pending_file(&catalog, api), before).unwrap();
        assert_eq!(catalog.collect_one(0, &[])["appended"], 0, "{api:?}");
        catalog.assert_holds(api, &all);
        assert!(!pending_file(&catalog, api).exists(), "{api:?}");
    }
}

#[test]
fn of_a_damaged_file_the_rest_is_filed_and_the_damaged_lines_are_kept() {
    let api = Api::Tfc;
    let (catalog, all, _later) = failed(api);
    let whole = fs::read_to_string(pending_file(&catalog, api)).unwrap();
    // The newest record is one that the service still has.
    let (first, rest) = whole.split_once('\n').unwrap();
    let damaged = format!("{}\nno line\n{rest}", &first[..first.len() / 2]);
    fs::write(pending_file(&catalog, api), &damaged).unwrap();
    let run = catalog.run(&["collect", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("2 lines of the pending file cannot be read"),
        "{}",
        run.stderr
    );
    catalog.assert_holds(api, &all);
    let rejected = catalog.rejected(api);
    let records: Vec<_> = rejected.iter().map(|note| note["record"].as_str().unwrap()).collect();
    assert_eq!(records, [&first[..first.len() / 2], "no line"]);
    assert!(!pending_file(&catalog, api).exists());
}

#[test]
fn a_file_that_cannot_be_read_or_written_is_told_and_left_alone() {
    let api = Api::Mail;
    let sandbox = service(api, records(api), vec![failing_from(api, 3)]);
    let catalog = catalog(&sandbox, api);
    fs::create_dir_all(pending_file(&catalog, api)).unwrap();
    let run = catalog.run(&["collect", "--json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("could not be kept for the next run"),
        "{}",
        run.stderr
    );
    assert!(
        run.stdout.contains("could not be kept for the next run"),
        "{}",
        run.stdout
    );
    assert!(pending_file(&catalog, api).is_dir());
    let later = service(api, records(api), Vec::new());
    let catalog = catalog.pointing_at(&later);
    let complete = catalog.run(&["collect", "--json"]);
    assert_eq!(complete.code, 0, "{}", complete.stderr);
    assert!(complete.stderr.contains("pending.jsonl"), "{}", complete.stderr);
}

#[test]
fn what_was_given_in_another_scope_waits_for_a_run_in_that() {
    let api = Api::Port;
    let all = records(api);
    let sandbox = service(api, all.clone(), vec![failing_from(api, 3)]);
    let mut catalog = catalog(&sandbox, api).with("PORT_API_QUERY", "status=SUCCESS");
    catalog.collect_one(3, &[]);
    let later = service(api, without_lacking(&all), Vec::new());
    catalog = catalog.pointing_at(&later);
    let given = pending(&catalog, api);
    assert!(given.len() >= PAGE);
    catalog.set("PORT_API_QUERY", "");
    let other = catalog.run(&["collect", "--json"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    assert!(
        other.stderr.contains("another organization, address or filter"),
        "{}",
        other.stderr
    );
    assert!(pending(&catalog, api) == given, "they are left as they are");
    catalog.assert_holds(api, &without_lacking(&all));
    catalog.set("PORT_API_QUERY", "status=SUCCESS");
    catalog.collect_one(0, &[]);
    catalog.assert_holds(api, &all);
    assert!(!pending_file(&catalog, api).exists());
}

#[test]
fn what_no_run_asks_for_any_more_is_filed_as_what_comes_late() {
    let api = Api::Tfc;
    let (catalog, mut all, _later) = failed(api);
    let years_ago = event(api, at(900 * 86_400), "years ago");
    let line: Value = serde_json::from_str(&pending(&catalog, api)[0]).unwrap();
    let record: Value = serde_json::from_str(&years_ago.text).unwrap();
    let mut text = fs::read_to_string(pending_file(&catalog, api)).unwrap();
    text.push_str(
        &serde_json::json!({"given_at": line["given_at"], "scope": line["scope"], "record": record}).to_string(),
    );
    fs::write(pending_file(&catalog, api), text).unwrap();
    catalog.collect_one(0, &[]);
    let written = serde_json::to_string(&record).unwrap();
    all.push(Event::new(years_ago.time, "years ago", written));
    catalog.assert_holds(api, &all);
    assert!(!pending_file(&catalog, api).exists());
}

#[test]
fn the_records_of_a_day_that_cannot_be_filed_are_pending() {
    let api = Api::Tfc;
    // A day ago, and today.
    let old: Vec<Event> = (0..5)
        .map(|n| event(api, at(86_400 + n), &format!("old {n}")))
        .collect();
    let new: Vec<Event> = (0..5).map(|n| event(api, at(n), &format!("new {n}"))).collect();
    let all = [new, old.clone()].concat();
    let sandbox = service(api, all.clone(), Vec::new());
    let catalog = catalog(&sandbox, api).with("INITIAL_LOOKBACK_DAYS", 3);
    let day = catalog
        .folder(api)
        .join(format!("tfc_audit_{}.log", old[4].time.date_naive()));
    fs::create_dir(&day).unwrap();
    catalog.collect_one(3, &[]);
    assert!(pending(&catalog, api).len() >= old.len() - 1);
    fs::remove_dir(day).unwrap();
    let lacking: Vec<Event> = all.iter().filter(|event| event.id != "old 4").cloned().collect();
    let later = service(api, lacking, Vec::new());
    let catalog = catalog.pointing_at(&later);
    catalog.collect_one(0, &[]);
    catalog.assert_holds(api, &all);
}

#[test]
fn what_cannot_be_filed_is_in_the_rejected_file_although_the_run_failed() {
    let api = Api::Mail;
    let mut all = records(api);
    all[3].text = r#"{"eventType": "message_receive"}"#.into();
    let sandbox = service(api, all, vec![failing_from(api, 3)]);
    let catalog = catalog(&sandbox, api);
    let failed = catalog.collect_one(3, &[]);
    assert_eq!(
        (catalog.rejected(api).len(), failed["rejected"].as_i64()),
        (1, Some(1)),
        "{failed}"
    );
}

#[test]
fn a_dry_run_keeps_nothing_and_takes_nothing() {
    let api = Api::Tfc;
    let sandbox = service(api, records(api), vec![failing_from(api, 3)]);
    let fresh = catalog(&sandbox, api);
    fresh.collect_one(3, &["--dry-run"]);
    assert!(!pending_file(&fresh, api).exists());
    let (catalog, all, _later) = failed(api);
    let before = pending(&catalog, api);
    let dry = catalog.collect_one(0, &["--dry-run"]);
    assert_eq!(
        (dry["appended"].as_i64(), pending(&catalog, api)),
        (Some(RECORDS), before)
    );
    catalog.collect_one(0, &["--start-over"]);
    catalog.assert_holds(api, &all);
}

#[test]
fn what_is_pending_is_told_by_every_command_that_shows_the_archive() {
    let (catalog, _all, _later) = failed(Api::Tfc);
    let count = pending(&catalog, Api::Tfc).len();
    let said = format!("{count} records that the service gave are pending");
    for command in ["status", "coverage", "verify"] {
        let text = catalog.run(&[command]);
        assert!(text.stdout.contains(&said), "{command}: {}", text.stdout);
        let json = catalog
            .run(&[command, "--json"])
            .summary()
            .into_values()
            .next()
            .unwrap();
        assert_eq!(json["pending"], count, "{command}: {json}");
        assert!(json["remarks"].to_string().contains(&said), "{command}: {json}");
    }
    catalog.collect(0, &[]);
    for command in ["status", "coverage", "verify"] {
        let text = catalog.run(&[command]);
        assert!(!text.stdout.contains("pending"), "{command}: {}", text.stdout);
    }
}

#[test]
fn what_came_late_and_a_failed_run_was_given_moves_no_run_past_what_it_was_not_given() {
    for api in PAGED {
        let old = vec![event(api, at(30_000), "old")];
        let sandbox = service(api, old.clone(), Vec::new());
        let catalog = catalog(&sandbox, api);
        catalog.collect_one(0, &[]);
        // They come hours late, into time that a run has found empty, and the service fails while they are read.
        let late = (0..RECORDS).map(|n| event(api, at(20_000 + n * 12), &n.to_string()));
        let all: Vec<_> = late.chain(old).collect();
        let failing = service(api, all.clone(), vec![failing_from(api, 3)]);
        let catalog = catalog.pointing_at(&failing);
        catalog.collect_one(3, &[]);
        assert_eq!(catalog.lines(api).len(), 1, "{api:?}");
        assert!(pending(&catalog, api).len() >= PAGE, "{api:?}");
        let well = service(api, all.clone(), Vec::new());
        let catalog = catalog.pointing_at(&well);
        catalog.collect_one(0, &[]);
        catalog.assert_holds(api, &all);
        assert_eq!(pending(&catalog, api), Vec::<String>::new());
    }
}
