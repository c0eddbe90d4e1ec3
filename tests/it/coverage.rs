//! The coverage journal, the gaps that it shows, and the runs that close them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Seen, Step, When};
use url::Url;

use super::follow;
use super::support::{Catalog, PATIENCE, at, base_name, event, events, serve, streams, wait_until};

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

/// Why the spans of a line were asked for, in their order.
fn purposes(line: &Value) -> Vec<&str> {
    let asked = line["asked"].as_array().unwrap().iter();
    asked.map(|asked| asked["purpose"].as_str().unwrap()).collect()
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

/// Has Port refuse the next request for what is older than three days.
fn refuse_next_for_old(sandbox: &Sandbox) {
    let done = AtomicBool::new(false);
    let is_first_for_old = move |seen: &Seen| {
        let url = Url::parse(&format!("http://port{}", seen.path_and_query)).unwrap();
        let from = url.query_pairs().find(|(name, _)| name == "from");
        let is_old = from.is_some_and(|(_, from)| from.parse::<DateTime<Utc>>().unwrap() < at(3 * DAY));
        is_old && !done.swap(true, Ordering::Relaxed)
    };
    let refusal = Action::Answer(Answer::json(500, "{}"));
    sandbox.step(Step::new(When::Picked(Arc::new(is_first_for_old)), refusal));
}

#[test]
fn every_run_leaves_a_line_that_says_what_it_asked_and_how_it_ended() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let summaries = [catalog.collect(0, &[]), catalog.collect(0, &[])];
    for (kind, api) in streams() {
        let lines = journal(&catalog, api);
        assert_eq!(lines.len(), 4);
        for (pair, summary) in lines.chunks(2).zip(&summaries) {
            let summary = &summary[kind.name];
            let [begun, line] = pair else { panic!("{pair:?}") };
            assert_eq!(
                (&begun["end"], &begun["requests"]),
                (&"open".into(), &0.into()),
                "before anything is asked for"
            );
            assert_eq!(begun["asked"][0]["from"], line["asked"][0]["from"]);
            assert_eq!(line["end"], "exhausted");
            let [asked] = &line["asked"].as_array().unwrap()[..] else {
                panic!("{line}")
            };
            assert_eq!(asked["covered_to"], asked["to"]);
            assert_eq!(asked["purpose"], "new");
            assert_eq!((&asked["from"], &asked["to"]), (&summary["from"], &summary["to"]));
            for field in [
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
            assert_eq!(line["error"], Value::Null);
            assert_eq!(line["scope"]["stream"], kind.name);
            assert_eq!(line["last_complete"], line["at"]);
            assert_eq!(line["program"], env!("CARGO_PKG_VERSION"));
        }
    }
}

/// Collects with figures; how many gaps they show as open and as gone, and when the first open one begins to go.
fn collect_with_figures(catalog: &Catalog, code: i32, arguments: &[&str]) -> (f64, f64, Option<f64>) {
    catalog.collect_one(code, &[&["--metrics-file", "figures.prom"], arguments].concat());
    let text = fs::read_to_string(catalog.root().join("figures.prom")).unwrap();
    let gaps = |state: &str| follow::figure(&text, &format!("trailkeeper_gaps{{stream=\"port\",state=\"{state}\"}}"));
    let going = follow::figure(&text, "trailkeeper_gap_going_timestamp_seconds{stream=\"port\"}");
    (gaps("open").unwrap(), gaps("gone").unwrap(), going)
}

#[test]
fn the_figures_count_the_gaps_that_coverage_tells() {
    let sandbox = daily(40);
    let catalog = Catalog::of(&sandbox, &[Api::Port])
        .with("INITIAL_LOOKBACK_DAYS", 5)
        .with("MAX_RETRIES", 0);
    assert_eq!(collect_with_figures(&catalog, 0, &[]), (0.0, 0.0, None));
    let range = ["--since", "30d", "--until", "28d"];
    let (open, gone, going) = collect_with_figures(&catalog, 0, &range);
    assert_eq!((open, gone), (1.0, 0.0));
    let gap = gaps(&coverage(&catalog)).remove(0);
    assert_eq!(going, Some(time(&gap["going_at"]).timestamp_millis() as f64 / 1_000.0));
    // It stays as long as nobody closes it, and what is new is one more while the service is away.
    sandbox.step(Step::at(
        Api::Port,
        sandbox.request_count(Api::Port) + 1,
        Action::Answer(Answer::json(500, "{}")),
    ));
    assert_eq!(collect_with_figures(&catalog, 3, &[]), (2.0, 0.0, going));
    let told = catalog.run(&["coverage", "--fail-on-gaps"]);
    let row: Vec<_> = told.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((told.code, row[3]), (3, "2"), "{}", told.stdout);
    assert_eq!(collect_with_figures(&catalog, 0, &[]), (0.0, 0.0, None));
}

#[test]
fn a_feed_with_a_record_a_day_costs_no_more_than_a_few_requests_a_run() {
    let sandbox = daily(9);
    for (kind, api) in streams() {
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect_one(0, &[]);
        let requests = || catalog.collect_one(0, &[])["requests"].as_u64().unwrap();
        let runs = [requests(), requests(), requests(), requests()];
        assert!(runs.iter().all(|requests| *requests <= 3), "{}: {runs:?}", kind.name);
        assert_eq!(runs[3], 1, "{}: {runs:?}", kind.name);
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

    let check = || catalog.run(&["coverage", "--fail-on-gaps"]).code;
    assert_eq!(check(), 3);
    let closing = catalog.collect_one(0, &[]);
    assert_eq!(closing["appended"], 23);
    assert_eq!(check(), 0);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(purposes(&line), ["new", "gap"], "what is new comes first");
    let mut expected = sandbox.events(Api::Port);
    expected.retain(|event| event.time >= at(30 * DAY + 120));
    catalog.assert_holds(Api::Port, &expected);
    catalog.collect_one(0, &[]);
    let next = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(purposes(&next), ["new"], "what is closed is not asked for again");
}

#[test]
fn a_gap_that_the_service_refuses_holds_up_nothing_newer_and_is_closed_later() {
    let sandbox = daily(40);
    let catalog = with_a_gap(&sandbox).with("MAX_RETRIES", 0);
    refuse_next_for_old(&sandbox);
    let new = event(Api::Port, at(60), "new");
    sandbox.add(Api::Port, vec![new]);
    let refused = catalog.collect_one(3, &[]);
    assert_eq!(refused["appended"], 1, "the new record is filed all the same");
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains(" is still missing: "), "{error}");
    assert_eq!(gaps(&coverage(&catalog)).len(), 1);
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(line["end"], "failed");
    assert!(line["asked"][1]["error"].as_str().unwrap().contains("500"), "{line}");

    assert_eq!(catalog.collect_one(0, &[])["appended"], 23);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
}

#[test]
fn a_failed_run_covers_as_far_as_it_came_and_the_next_one_goes_on_from_there() {
    let sandbox = daily(40);
    let catalog = Catalog::of(&sandbox, &[Api::Port])
        .with("MAX_RETRIES", 0)
        .with("PORT_PAGE_LIMIT", 10);
    let refuse = When::Picked(Arc::new(|seen| seen.api == Some(Api::Port) && seen.number == 14));
    sandbox.step(Step::new(refuse, Action::Answer(Answer::json(503, "{}"))));
    catalog.collect_one(3, &[]);
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(line["end"], "failed");
    let asked = &line["asked"][0];
    assert!(time(&asked["covered_to"]) < time(&asked["to"]), "{line}");
    assert_eq!(line["covered"][0]["to"], asked["covered_to"]);
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
    assert!(
        time(&line["asked"][0]["covered_to"]) <= time(&failed["last_record"]),
        "{line}"
    );
    catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Tfc, &records);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
}

/// Puts another past into the journal: the sum of its last line.
fn rewrite_covered(catalog: &Catalog, api: Api, spans: &[(i64, i64)]) {
    let spans = spans
        .iter()
        .map(|(from, to)| serde_json::json!({"from": at(*from * DAY), "to": at(*to * DAY)}));
    rewrite_newest(catalog, api, |line| line["covered"] = spans.collect());
}

/// Makes another line of the newest one, the only one of the journal.
fn rewrite_newest(catalog: &Catalog, api: Api, rewrite: impl FnOnce(&mut Value)) {
    let mut line = journal(catalog, api).pop().unwrap();
    rewrite(&mut line);
    fs::write(journal_path(catalog, api), format!("{line}\n")).unwrap();
}

#[test]
fn a_gap_that_is_older_than_the_retention_is_gone_and_not_asked_for() {
    let sandbox = daily(10);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    rewrite_covered(&catalog, Api::Tfc, &[(40, 30), (20, 0)]);
    let requests = sandbox.request_count(Api::Tfc);
    let gone = "trailkeeper_gaps{stream=\"tfc\",state=\"gone\"}";
    catalog.collect_one(0, &["--metrics-file", "figures.prom"]);
    let figures = fs::read_to_string(catalog.root().join("figures.prom")).unwrap();
    assert_eq!(follow::figure(&figures, gone), Some(1.0));
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
fn without_a_readable_journal_everything_from_the_first_day_file_on_is_asked_for_again() {
    let sandbox = daily(9);
    for api in Api::ALL {
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect_one(0, &[]);
        let path = journal_path(&catalog, api);
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in [&whole[..20], "", "{}\n", "\0\0\n\n[]\n"] {
            fs::write(&path, damaged).unwrap();
            let before = coverage(&catalog);
            assert_eq!(before["covered"], Value::Array(Vec::new()), "{damaged:?}");
            assert!(
                before["doubt"].as_str().unwrap().contains("is asked for again"),
                "{before}"
            );
            let run = catalog.collect_one(0, &[]);
            assert_eq!(
                (&run["appended"], run["duplicates"].as_u64() >= Some(8)),
                (&0.into(), true),
                "{run}"
            );
            assert!(
                run["warnings"][0].as_str().unwrap().contains("is asked for again"),
                "{run}"
            );
            let after = coverage(&catalog);
            let [span] = &after["covered"].as_array().unwrap()[..] else {
                panic!("{after}")
            };
            assert!(
                time(&span["from"]) < at(8 * DAY) && time(&span["to"]) > at(60),
                "{after}"
            );
            assert_eq!((gaps(&after), &after["doubt"]), (Vec::new(), &Value::Null));
            assert_eq!(catalog.collect_one(0, &[])["warnings"], Value::Array(Vec::new()));
        }
    }
}

#[test]
fn as_long_as_what_was_asked_for_again_is_not_there_no_run_is_complete() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Port]).with("MAX_RETRIES", 0);
    catalog.collect_one(0, &[]);
    fs::remove_file(journal_path(&catalog, Api::Port)).unwrap();
    for _ in 0..2 {
        refuse_next_for_old(&sandbox);
        let failed = catalog.collect_one(3, &[]);
        assert_eq!(failed["status"], "failed");
        assert_ne!(gaps(&coverage(&catalog)), Vec::<Value>::new());
        assert_eq!(coverage(&catalog)["last_complete"], Value::Null);
    }
    catalog.collect_one(0, &[]);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
}

#[test]
fn a_filter_that_was_removed_leaves_everything_to_be_asked_for() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Port]).with("PORT_API_QUERY", "status=SUCCESS");
    catalog.collect_one(0, &[]);
    let catalog = catalog.with("PORT_API_QUERY", "");
    let run = catalog.collect_one(0, &[]);
    let warning = run["warnings"][0].as_str().unwrap();
    assert!(warning.contains("another filter"), "{warning}");
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(purposes(&line), ["new", "gap"], "{line}");
    assert_eq!(line["scope"]["filter"], Value::Null);
    assert_eq!(catalog.collect_one(0, &[])["warnings"], Value::Array(Vec::new()));
}

#[test]
fn a_run_that_asks_for_nothing_or_ends_in_the_past_is_not_the_last_complete_one() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    let complete = coverage(&catalog)["last_complete"].clone();
    catalog.collect_one(0, &["--until", "20d"]);
    assert_eq!(coverage(&catalog)["last_complete"], complete);
    catalog.collect_one(0, &["--since", "5d", "--until", "3d"]);
    assert_eq!(coverage(&catalog)["last_complete"], complete);
    catalog.collect_one(0, &["--since", "5d"]);
    assert!(time(&coverage(&catalog)["last_complete"]) > time(&complete));
}

#[test]
fn a_range_whose_run_was_killed_is_asked_for_to_its_end_by_the_next_run() {
    for api in [Api::Mail, Api::Port] {
        let hourly: Vec<Event> = (0..2_000)
            .map(|n| event(api, at(600 + n * 3_600), &n.to_string()))
            .collect();
        let sandbox = serve(|mut options| {
            options.latency = Duration::from_millis(20);
            options[Api::Port].page_cap = Some(100);
            options.give(api, hourly.clone())
        });
        let catalog = Catalog::of(&sandbox, &[api]).with("INITIAL_LOOKBACK_DAYS", 2);
        catalog.collect_one(0, &[]);
        let before = catalog.day_files(api).len();
        let run = catalog.start(&["collect", "--since", "100d"]);
        wait_until("it has filed older days", PATIENCE, || {
            catalog.day_files(api).len() > before + 5
        });
        run.kill();
        assert!(catalog.lines(api).len() < hourly.len(), "it was over already");
        assert_ne!(gaps(&coverage(&catalog)), Vec::<Value>::new());
        catalog.collect_one(0, &[]);
        catalog.assert_holds(api, &hourly);
        assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
    }
}

/// Port with more records at one moment than it gives at a time, and others before and behind them.
fn with_a_crowd() -> Sandbox {
    let crowd = (0..30).map(|n| event(Api::Port, at(3 * DAY), &format!("crowd-{n}")));
    let others = [5, 2, 1].map(|days| event(Api::Port, at(days * DAY), &format!("other-{days}")));
    let all = crowd.chain(others).collect();
    serve(|options| {
        let mut options = options.give(Api::Port, all);
        options[Api::Port].page_cap = Some(10);
        options
    })
}

#[test]
fn what_contradicts_itself_in_three_runs_is_filed_as_given_and_is_a_gap_until_it_can_be_proved() {
    let sandbox = with_a_crowd();
    let catalog = Catalog::of(&sandbox, &[Api::Port]);
    for _ in 0..3 {
        let failed = catalog.collect_one(3, &[]);
        assert!(failed["error"].as_str().unwrap().contains("share the time"), "{failed}");
        assert!(catalog.lines(Api::Port).len() <= 1, "nothing newer is filed");
    }
    let given = catalog.collect_one(3, &[]);
    let error = given["error"].as_str().unwrap();
    assert!(
        error.contains("filed as the service gives it") && error.contains("share the time"),
        "{error}"
    );
    assert_eq!(catalog.lines(Api::Port).len(), 1 + 10 + 2);
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert!(time(&line["unproved"][0]["from"]) <= at(3 * DAY), "{line}");
    let shown = coverage(&catalog);
    let reason = shown["gaps"][0]["unproved"]
        .as_str()
        .unwrap_or_else(|| panic!("{shown}"));
    assert!(reason.contains("share the time"), "{reason}");
    assert_eq!(shown["last_complete"], Value::Null);

    // What comes now is complete, and that is not.
    sandbox.add(Api::Port, vec![event(Api::Port, at(1), "new")]);
    let failed = catalog.collect_one(3, &[]);
    assert_eq!(failed["appended"], 1, "{failed}");
    assert!(
        failed["error"].as_str().unwrap().contains("cannot be proved"),
        "{failed}"
    );
    let line = journal(&catalog, Api::Port).pop().unwrap();
    assert_eq!(purposes(&line), ["new"], "{line}");

    // A day later it is asked for again, and then the service has dropped most of the crowd.
    let mut line = line;
    line["unproved"][0]["asked_at"] = at(2 * DAY).to_rfc3339().into();
    fs::write(journal_path(&catalog, Api::Port), format!("{line}\n")).unwrap();
    let next = sandbox.request_count(Api::Port) + 1;
    sandbox.step(Step::at(Api::Port, next, Action::DropOldest(Api::Port, 26)));
    let complete = catalog.collect_one(0, &[]);
    assert_eq!(complete["appended"], 0, "{complete}");
    assert_eq!(purposes(&journal(&catalog, Api::Port).pop().unwrap()), ["new", "gap"]);
    assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
}

#[test]
fn a_count_that_is_never_met_is_a_gap_in_each_run_and_holds_up_nothing() {
    let answer = |ids: &[&str]| {
        let records: Vec<String> = ids.iter().map(|id| event(Api::Tfc, at(3_600), id).text).collect();
        let body = format!(
            r#"{{"data":[{}],"pagination":{{"current_page":1,"next_page":null,"prev_page":null,"total_pages":1,"total_count":5}}}}"#,
            records.join(",")
        );
        Action::Answer(Answer::json(200, body))
    };
    let sandbox = serve(|options| options.step(Step::always(Api::Tfc, answer(&["1", "2"]))));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    for run in 0..6 {
        let failed = catalog.collect_one(3, &[]);
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("the service counts 5 records and gives 2"), "{error}");
        assert_eq!(
            error.contains("filed as the service gives it"),
            run >= 3,
            "run {run}: {error}"
        );
        assert_eq!(catalog.lines(Api::Tfc).len(), 2);
        assert_eq!(coverage(&catalog)["last_complete"], Value::Null);
    }
    let requests = catalog.collect_one(3, &[])["requests"].as_u64().unwrap();
    assert!(requests < 12, "{requests}");
    let shown = coverage(&catalog);
    assert!(shown["gaps"].to_string().contains("counts 5 records"), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_journal_that_cannot_be_written_fails_the_stream_before_anything_is_asked_for() {
    let sandbox = daily(5);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    fs::create_dir(catalog.folder(Api::Mail).join(".trailkeeper")).unwrap();
    std::os::unix::fs::symlink("/dev/null", journal_path(&catalog, Api::Mail)).unwrap();
    let failed = catalog.collect_one(3, &[]);
    assert_eq!((&failed["appended"], &failed["requests"]), (&0.into(), &0.into()));
    assert!(failed["error"].as_str().unwrap().contains("coverage.jsonl"), "{failed}");
    assert_eq!(sandbox.request_count(Api::Mail), 0);
}

#[cfg(unix)]
#[test]
fn a_day_whose_file_cannot_be_written_is_left_for_the_next_run_and_holds_up_no_other() {
    let sandbox = daily(9);
    for api in Api::ALL {
        let catalog = Catalog::of(&sandbox, &[api]);
        let date = at(4 * DAY + 600).date_naive();
        let path = catalog.folder(api).join(format!("{}_{date}.log", base_name(api)));
        fs::create_dir_all(&path).unwrap();
        let failed = catalog.collect_one(3, &[]);
        assert_eq!(failed["appended"], 8, "{failed}");
        let error = failed["error"].as_str().unwrap();
        assert!(
            error.contains(&date.to_string()) && error.contains("not filed"),
            "{error}"
        );
        let shown = coverage(&catalog);
        let [gap] = &gaps(&shown)[..] else { panic!("{shown}") };
        assert_eq!(time(&gap["from"]).date_naive(), date, "{gap}");
        fs::remove_dir(&path).unwrap();
        assert_eq!(catalog.collect_one(0, &[])["appended"], 1);
        assert_eq!(gaps(&coverage(&catalog)), Vec::<Value>::new());
        catalog.assert_holds(api, &sandbox.events(api));
    }
}

#[test]
fn how_much_of_the_journal_does_not_count_is_said() {
    let api = Api::Port;
    let sandbox = daily(3);
    let mut catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &[]);
    let remarks = |catalog: &Catalog| -> Vec<String> {
        let said = ["coverage", "status", "verify", "check"].map(|command| {
            let run = catalog.run(&[command, "--json"]);
            assert_eq!(run.code, 0, "{command}: {}{}", run.stdout, run.stderr);
            run.summary().into_values().next().unwrap()["remarks"].to_string()
        });
        said.to_vec()
    };
    assert_eq!(remarks(&catalog), ["[]"; 4]);
    catalog.set("PORT_API_QUERY", "status=SUCCESS");
    let [coverage, status, verify, check] = &remarks(&catalog)[..] else {
        panic!()
    };
    for said in [coverage, status, check] {
        assert!(
            said.contains("the settings are for another filter than the last run had"),
            "{said}"
        );
    }
    assert_eq!(verify, "[]");
    catalog.collect_one(0, &[]);
    for said in remarks(&catalog) {
        assert!(
            said.contains("2 runs in the journal") && said.contains("with another filter than the last one"),
            "{said}"
        );
    }
    // Without a token the settings name no scope, and the archive speaks for itself.
    catalog.set("PORT_API_QUERY", "");
    catalog.unset("PORT_API_TOKEN");
    let run = catalog.run(&["status", "--json"]);
    assert!(!run.stdout.contains("the settings are for"), "{}", run.stdout);
}

/// A catalog of HCP Terraform that no run has come to for so many days, although it keeps records for 14.
fn abandoned_for(sandbox: &Sandbox, days: i64) -> Catalog {
    let catalog = Catalog::of(sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    rewrite_covered(&catalog, Api::Tfc, &[(40, days)]);
    rewrite_newest(&catalog, Api::Tfc, |line| {
        line["at"] = at(days * DAY).to_rfc3339().into()
    });
    catalog
}

#[test]
fn a_gap_that_the_service_has_dropped_is_told_by_its_run_and_by_the_status_until_it_is_accepted() {
    let sandbox = daily(10);
    let catalog = abandoned_for(&sandbox, 20);
    let said = "is gone: no run fetched all of it before the service dropped it";
    let warns = |summary: &Value| summary["warnings"].to_string().contains(said);
    assert!(warns(&catalog.collect_one(0, &[])));
    assert!(!warns(&catalog.collect_one(0, &[])), "once is enough for a log");
    let status = catalog.run(&["status"]);
    assert!(status.stdout.contains(said), "{}", status.stdout);
    let nagios = || catalog.run(&["status", "--nagios"]);
    assert_eq!(nagios().code, 1, "{}", nagios().stdout);
    assert!(nagios().stdout.contains(said), "{}", nagios().stdout);
    assert_eq!(catalog.run(&["coverage", "--fail-on-gaps"]).code, 3);

    let accepted = catalog.run(&["coverage", "--accept-missing", "--fail-on-gaps"]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    assert!(accepted.stdout.contains("; accepted\n"), "{}", accepted.stdout);
    assert_eq!(
        (nagios().code, catalog.run(&["coverage", "--fail-on-gaps"]).code),
        (0, 0)
    );
    // It is still a gap, and the next run keeps that it is accepted.
    catalog.collect_one(0, &["--metrics-file", "figures.prom"]);
    let shown = coverage(&catalog);
    let [gap] = &gaps(&shown)[..] else { panic!("{shown}") };
    assert_eq!((&gap["is_gone"], &gap["is_accepted"]), (&true.into(), &true.into()));
    let figures = fs::read_to_string(catalog.root().join("figures.prom")).unwrap();
    let gone = follow::figure(&figures, "trailkeeper_gaps{stream=\"tfc\",state=\"gone\"}");
    assert_eq!(gone, Some(0.0));
    assert_eq!(nagios().code, 0, "{}", nagios().stdout);
}

#[test]
fn only_what_is_gone_is_accepted() {
    let sandbox = daily(10);
    let catalog = abandoned_for(&sandbox, 20);
    sandbox.step(Step::always(Api::Tfc, Action::Answer(Answer::json(500, "{}"))));
    let catalog = catalog.with("MAX_RETRIES", 0);
    catalog.collect_one(3, &[]);
    assert_eq!(catalog.run(&["coverage", "--accept-missing", "--fail-on-gaps"]).code, 3);
    let shown = coverage(&catalog);
    let all = shown["gaps"].as_array().unwrap();
    // What the service drops meanwhile is between them.
    let (gone, open) = (&all[0], &all[all.len() - 1]);
    let flags = |gap: &Value| (gap["is_gone"].clone(), gap["is_accepted"].clone());
    assert_eq!(flags(gone), (true.into(), true.into()));
    assert_eq!(flags(open), (false.into(), false.into()));
}

#[test]
fn what_a_service_forgets_between_the_first_runs_is_no_gap() {
    let sandbox = daily(10);
    sandbox.step(Step::always(Api::Tfc, Action::Answer(Answer::json(500, "{}"))));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_RETRIES", 0);
    catalog.collect_one(3, &[]);
    let shown = coverage(&catalog);
    let all = shown["gaps"].as_array().unwrap();
    assert!(all.iter().all(|gap| gap["is_gone"] == false), "{shown}");
    assert_eq!(all.len(), 1, "{shown}");
}
