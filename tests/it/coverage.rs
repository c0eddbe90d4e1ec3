//! The coverage journal, the gaps that it shows, and the runs that close them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step, When};

use super::support::{Catalog, at, base_name, event, events, now, serve, streams};

const DAY: i64 = 86_400;

/// Services with a record for each of the last days.
fn daily(days: i64) -> Sandbox {
    let records = |api| -> Vec<Event> {
        (0..days)
            .map(|day| event(api, at(day * DAY + 600), &day.to_string()))
            .collect()
    };
    serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, records(api)))
    })
}

fn journal_path(catalog: &Catalog, api: Api) -> PathBuf {
    let name = format!(".trailkeeper/{}.coverage.jsonl", base_name(api));
    catalog.folder(api).join(name)
}

fn journal(catalog: &Catalog, api: Api) -> Vec<Value> {
    let text = fs::read_to_string(journal_path(catalog, api)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn coverage(catalog: &Catalog) -> Value {
    let run = catalog.run(&["coverage", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.summary().into_values().next().unwrap()
}

/// The gaps but for the time since the last run.
fn gaps(coverage: &Value) -> Vec<Value> {
    let gaps = coverage["gaps"].as_array().unwrap();
    gaps.iter().filter(|gap| gap["reaches_now"] == false).cloned().collect()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

fn is_near(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    (one - other).abs() < TimeDelta::minutes(5)
}

/// A catalog of Port with a gap from 28 to 5 days ago, which two runs left.
fn with_a_gap(sandbox: &Sandbox) -> Catalog {
    let catalog = Catalog::of(sandbox, &[Api::Port]).with("INITIAL_LOOKBACK_DAYS", 5);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &["--since", "30d", "--until", "28d"]);
    catalog
}

#[test]
fn every_run_leaves_a_line_that_says_what_it_asked_and_how_it_ended() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let summaries = [catalog.collect(0, &[]), catalog.collect(0, &[])];
    for (kind, api) in streams() {
        let lines = journal(&catalog, api);
        assert_eq!(lines.len(), 2);
        for (line, summary) in lines.iter().zip(&summaries) {
            let summary = &summary[kind.name];
            assert_eq!(line["end"], "exhausted");
            assert_eq!(line["covered_to"], line["to"]);
            for field in [
                "from",
                "to",
                "requests",
                "retries",
                "pages",
                "received",
                "duplicates",
                "appended",
                "rejected",
                "repaired",
            ] {
                assert_eq!(line[field], summary[field], "{field} of {}", kind.name);
            }
            assert_eq!(line["covered"].as_array().unwrap().len(), 1);
            assert_eq!(
                (&line["error"], &line["closed"]),
                (&Value::Null, &Value::Array(Vec::new()))
            );
            assert_eq!(line["last_complete"], line["at"]);
            assert_eq!(line["program"], env!("CARGO_PKG_VERSION"));
        }
    }
}

#[test]
fn a_dry_run_leaves_no_line() {
    let sandbox = daily(3);
    let catalog = Catalog::of(&sandbox, &[Api::Disk]);
    catalog.collect_one(0, &["--dry-run"]);
    assert!(!journal_path(&catalog, Api::Disk).exists());
}

#[test]
fn a_gap_between_two_ranges_is_named_with_its_last_day_and_closed_by_the_next_run() {
    let sandbox = daily(40);
    let catalog = with_a_gap(&sandbox);
    let before = coverage(&catalog);
    let [gap] = &gaps(&before)[..] else { panic!("{before}") };
    assert!(
        is_near(time(&gap["from"]), at(28 * DAY)) && is_near(time(&gap["to"]), at(5 * DAY)),
        "{gap}"
    );
    assert_eq!(time(&gap["gone_at"]), time(&gap["to"]) + TimeDelta::days(365));
    assert_eq!(gap["is_gone"], false);
    let text = catalog.run(&["coverage"]).stdout;
    let last_day = time(&gap["gone_at"]).date_naive();
    assert!(text.contains(&format!(", gone on {last_day}")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    let closing = catalog.collect_one(0, &[]);
    assert_eq!(closing["appended"], 23);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(line["closed"].as_array().unwrap().len(), 1);
    let mut expected = sandbox.events(Api::Port);
    expected.retain(|event| event.time >= at(30 * DAY + 120));
    catalog.assert_holds(Api::Port, &expected);
    catalog.collect_one(0, &[]);
    let next = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(
        next["closed"],
        Value::Array(Vec::new()),
        "what is closed is not asked for again"
    );
}

#[test]
fn a_gap_that_the_service_refuses_holds_up_nothing_newer_and_is_closed_later() {
    let sandbox = daily(40);
    let catalog = with_a_gap(&sandbox).with("MAX_RETRIES", 0);
    let refuse_next = |sandbox: &Sandbox| {
        let number = sandbox.request_count(Api::Port) + 1;
        sandbox.step(Step::at(Api::Port, number, Action::Answer(Answer::json(500, "{}"))));
    };
    refuse_next(&sandbox);
    let new = event(Api::Port, at(60), "new");
    sandbox.add(Api::Port, vec![new]);
    let refused = catalog.collect_one(3, &[]);
    assert_eq!(refused["appended"], 1, "the new record is filed all the same");
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains(" is still missing: "), "{error}");
    assert_eq!(gaps(&coverage(&catalog)).len(), 1);
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(line["end"], "failed");
    assert!(line["closed"][0]["error"].as_str().unwrap().contains("500"), "{line}");

    assert_eq!(catalog.collect_one(0, &[])["appended"], 23);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
}

#[test]
fn a_failed_run_covers_as_far_as_it_came_and_the_next_one_goes_on_from_there() {
    let sandbox = daily(40);
    let catalog = Catalog::of(&sandbox, &[Api::Port])
        .with("MAX_RETRIES", 0)
        .with("PORT_PAGE_LIMIT", 10);
    let refuse = When::Picked(Arc::new(|seen| seen.api == Some(Api::Port) && seen.number == 9));
    sandbox.step(Step::new(refuse, Action::Answer(Answer::json(503, "{}"))));
    catalog.collect_one(3, &[]);
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(line["end"], "failed");
    assert!(time(&line["covered_to"]) < time(&line["to"]), "{line}");
    assert_eq!(line["covered"][0]["to"], line["covered_to"]);
    assert_eq!(line["last_complete"], Value::Null);
    catalog.collect_one(0, &[]);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
}

#[test]
fn a_numbered_feed_that_fails_covers_no_more_than_it_brought() {
    let records = events(Api::Tfc, 400, 3_600);
    let sandbox = serve(|options| {
        let mut options = options.give(Api::Tfc, records.clone());
        options[Api::Tfc].page_cap = Some(10);
        options[Api::Tfc].rate_limit = None;
        options
    });
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("MAX_RETRIES", 0)
        .with("MAX_PAGES", 3);
    sandbox.step(Step::at(Api::Tfc, 20, Action::Answer(Answer::json(500, "{}"))));
    let failed = catalog.collect_one(3, &[]);
    let line = journal(&catalog, Api::Tfc).pop().unwrap();
    assert!(failed["appended"].as_u64() > Some(0));
    assert!(time(&line["covered_to"]) <= time(&failed["last_record"]), "{line}");
    catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Tfc, &records);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
}

/// Puts another past into the journal: the sum of its last line.
fn rewrite_covered(catalog: &Catalog, api: Api, spans: &[(i64, i64)]) {
    let mut line = journal(catalog, api).pop().unwrap();
    let spans = spans
        .iter()
        .map(|(from, to)| serde_json::json!({"from": at(*from * DAY), "to": at(*to * DAY)}));
    line["covered"] = spans.collect();
    fs::write(journal_path(catalog, api), format!("{line}\n")).unwrap();
}

#[test]
fn a_gap_that_is_older_than_the_retention_is_gone_and_not_asked_for() {
    let sandbox = daily(10);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    rewrite_covered(&catalog, Api::Tfc, &[(40, 30), (20, 0)]);
    let requests = sandbox.request_count(Api::Tfc);
    catalog.collect_one(0, &[]);
    assert_eq!(sandbox.request_count(Api::Tfc), requests + 1);
    let shown = coverage(&catalog);
    let [gap] = &gaps(&shown)[..] else { panic!("{shown}") };
    assert_eq!(gap["is_gone"], true);
    let since = time(&gap["gone_at"]).date_naive();
    let text = catalog.run(&["coverage"]).stdout;
    assert!(text.contains(&format!(", gone since {since}")), "{text}");
}

#[test]
fn of_a_gap_that_is_gone_in_part_the_rest_is_closed() {
    let sandbox = daily(14);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("TFC_INITIAL_LOOKBACK_DAYS", 5);
    catalog.collect_one(0, &[]);
    rewrite_covered(&catalog, Api::Tfc, &[(40, 20), (5, 0)]);
    assert_eq!(catalog.collect_one(0, &[])["appended"], 9);
    let shown = coverage(&catalog);
    let [gap] = &gaps(&shown)[..] else { panic!("{shown}") };
    assert_eq!(gap["is_gone"], true);
    assert!(is_near(time(&gap["to"]), at(14 * DAY)), "{gap}");
}

#[test]
fn a_journal_that_a_crash_cut_or_somebody_damaged_stops_nothing_and_claims_nothing() {
    let sandbox = daily(5);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    let path = journal_path(&catalog, Api::Mail);
    let whole = fs::read_to_string(&path).unwrap();
    for damaged in [&whole[..whole.len() / 2], "", "{}\n", "\0\0\n\n[]\n"] {
        fs::write(&path, damaged).unwrap();
        let before = coverage(&catalog);
        assert_eq!(before["covered"], Value::Array(Vec::new()), "{damaged:?}");
        catalog.collect_one(0, &[]);
        let after = coverage(&catalog);
        let [span] = &after["covered"].as_array().unwrap()[..] else {
            panic!("{after}")
        };
        assert!(
            time(&span["from"]) > now() - TimeDelta::hours(1),
            "only what this run asked for counts"
        );
    }
    let text = catalog.run(&["coverage"]).stdout;
    assert!(
        text.contains("the archive begins on ") && text.contains(" is unknown"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_journal_that_cannot_be_written_fails_the_stream_after_its_records_are_filed() {
    let sandbox = daily(5);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    fs::create_dir(catalog.folder(Api::Mail).join(".trailkeeper")).unwrap();
    std::os::unix::fs::symlink("/dev/null", journal_path(&catalog, Api::Mail)).unwrap();
    let failed = catalog.collect_one(3, &[]);
    assert_eq!(failed["appended"], 5);
    assert!(failed["error"].as_str().unwrap().contains("coverage.jsonl"), "{failed}");
}
