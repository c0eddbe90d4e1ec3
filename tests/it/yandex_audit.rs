//! The unified audit log of Yandex 360: in any order, by any bounds, and under the names of another collector.

use std::collections::HashSet;
use std::fs;

use chrono::TimeDelta;
use trailkeeper::json;
use trailkeeper::sandbox::{
    Action, Answer, Api, Event, LastPage, Options, Sandbox, Sequence, Step, StreamOptions, samples,
};

use super::support::{Catalog, at, base_name, event, serve};

const SEQUENCES: [Sequence; 3] = [Sequence::NewestFirst, Sequence::OldestFirst, Sequence::Shuffled];

/// Four thousand records of a few hours: single ones, and bursts of one time that fill more pages than the cap.
fn bursts() -> Vec<Event> {
    let sizes = [1, 1, 3, 1, 250, 1, 2, 100, 1, 1, 99, 7, 1, 1, 1, 1];
    let mut events = Vec::new();
    for (burst, size) in sizes.iter().cycle().enumerate() {
        let micros = burst as i64 * 45_000_000 + burst as i64 % 1_000;
        let time = at(300) - TimeDelta::microseconds(micros);
        events.extend((0..*size).map(|n| event(Api::Audit, time, &format!("{burst}-{n}"))));
        if events.len() >= 4_000 {
            break;
        }
    }
    events
}

fn serve_records(records: Vec<Event>, adjust: impl FnOnce(&mut StreamOptions)) -> Sandbox {
    serve(|options: Options| {
        let mut options = options.give(Api::Audit, records);
        adjust(&mut options[Api::Audit]);
        options
    })
}

fn catalog(sandbox: &Sandbox) -> Catalog {
    Catalog::of(sandbox, &[Api::Audit])
        .with("MAX_PAGES", 2)
        .with("INITIAL_LOOKBACK_DAYS", 1)
}

/// Collects twice: every record is there once after the first run, and the second one changes nothing.
fn check(sequence: Sequence, adjust: impl FnOnce(&mut StreamOptions)) {
    let sandbox = serve_records(bursts(), |stream| {
        stream.sequence = sequence;
        adjust(stream);
    });
    let catalog = catalog(&sandbox);
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Audit, &sandbox.events(Api::Audit));
    let before = catalog.day_files(Api::Audit);
    catalog.collect(0, &[]);
    assert_eq!(catalog.day_files(Api::Audit), before);
}

#[test]
fn a_page_cap_of_two_costs_no_record_in_whatever_order_they_come() {
    for sequence in SEQUENCES {
        check(sequence, |_| {});
    }
}

#[test]
fn bounds_that_are_not_part_of_the_window_cost_no_record() {
    for (includes_from, includes_to) in [(true, false), (false, true), (false, false)] {
        check(Sequence::Shuffled, |stream| {
            stream.includes_from = includes_from;
            stream.includes_to = includes_to;
        });
    }
}

#[test]
fn a_walk_ends_at_a_key_that_is_null_empty_or_absent_and_not_at_an_empty_page() {
    for last_page in [LastPage::EmptyToken, LastPage::NoToken, LastPage::TokenThenEmpty] {
        check(Sequence::OldestFirst, |stream| {
            stream.last_page = last_page;
            stream.empty_pages = true;
            stream.null_events = true;
            stream.unsorted = true;
        });
    }
}

#[test]
fn tokens_are_followed_past_the_page_cap_until_the_looks_agree() {
    let records: Vec<Event> = (0..1_000)
        .map(|n| event(Api::Audit, at(300 + n), &n.to_string()))
        .collect();
    let sandbox = serve_records(records, |stream| stream.sequence = Sequence::Shuffled);
    let summary = catalog(&sandbox).collect_one(0, &[]);
    assert_eq!(summary["appended"], 1_000);
    // Without an order, all pages are read until three looks agree.
    assert!(summary["pages"].as_u64().unwrap() <= 50, "{summary}");
    assert!(summary["received"].as_u64().unwrap() <= 1_010, "{summary}");
}

#[test]
fn more_records_than_memory_should_hold_are_taken_in_several_slices_in_whatever_order_they_come() {
    let records: Vec<Event> = (0..12_000)
        .map(|n| event(Api::Audit, at(300) - TimeDelta::milliseconds(n * 500), &n.to_string()))
        .collect();
    for sequence in SEQUENCES {
        let sandbox = serve_records(records.clone(), |stream| stream.sequence = sequence);
        let summary = catalog(&sandbox).collect_one(0, &[]);
        assert_eq!(summary["appended"], 12_000, "{sequence:?}");
        // 120 pages would do; without an order, each is read three times, and some of them in vain.
        assert!(summary["pages"].as_u64().unwrap() <= 1_000, "{sequence:?} {summary}");
    }
}

#[test]
fn a_failure_in_the_middle_leaves_no_hole_behind_the_newest_record() {
    let sandbox = serve(|mut options: Options| {
        options = options.give(Api::Audit, bursts());
        options[Api::Audit].sequence = Sequence::Shuffled;
        let broken = Action::Answer(Answer::json(403, "{}"));
        options.step(Step::at(Api::Audit, 20, broken))
    });
    let catalog = catalog(&sandbox);
    let failed = catalog.collect_one(3, &[]);
    assert!(failed["appended"].as_u64().unwrap() < 4_000);
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Audit, &sandbox.events(Api::Audit));
}

#[test]
fn an_organization_and_a_token_that_are_refused_are_explained_by_what_to_check() {
    for (status, hint) in [
        (400, "AUDIT_API_QUERY"),
        (401, "OAUTH_TOKEN_ARG"),
        (403, "ya360_security:read_auditlog"),
        (404, "ORGANIZATION_ID_ARG"),
    ] {
        let body = r#"{"message":"Отказано.","description":"Refused","error":"RefusedError"}"#;
        let answer = Action::Answer(Answer::json(status, body));
        let sandbox = serve(|options| options.step(Step::always(Api::Audit, answer)));
        let summary = catalog(&sandbox).collect_one(3, &[]);
        let error = summary["error"].as_str().unwrap();
        assert!(error.contains("Отказано.") && error.contains(hint), "{error}");
        assert_eq!(summary["requests"], 1);
    }
}

#[test]
fn a_disk_log_that_is_gone_names_the_stream_that_has_its_events() {
    for status in [404, 410] {
        let answer = Action::Answer(Answer::json(status, r#"{"code":5,"message":"not_found","details":[]}"#));
        let sandbox = serve(|options| options.step(Step::always(Api::Disk, answer)));
        let catalog = Catalog::of(&sandbox, &[Api::Disk]);
        let summary = catalog.collect_one(3, &[]);
        let error = summary["error"].as_str().unwrap();
        assert!(
            error.contains("superseded") && error.contains("yandex-audit"),
            "{error}"
        );
        assert_eq!(summary["requests"], 1);
    }
}

#[test]
fn check_says_that_the_disk_log_is_superseded_and_fails_for_nothing() {
    let sandbox = serve(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Disk, Api::Audit]);
    let run = catalog.run(&["check"]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    let notices: Vec<_> = run.stdout.lines().filter(|line| line.contains("superseded")).collect();
    let [notice] = notices[..] else {
        panic!("{}", run.stdout)
    };
    assert!(
        notice.starts_with("yandex-disk: the vendor ") && notice.contains("yandex-audit"),
        "{notice}"
    );
    assert_eq!(sandbox.request_count(Api::Audit), 1);
}

#[test]
fn check_names_the_scope_that_the_unified_log_needs() {
    let answer = Action::Answer(Answer::json(403, r#"{"message":"Доступ запрещён."}"#));
    let sandbox = serve(|options| options.step(Step::always(Api::Audit, answer)));
    let run = Catalog::of(&sandbox, &[Api::Audit]).run(&["check"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("ya360_security:read_auditlog"), "{}", run.stdout);
}

#[test]
fn the_settings_and_the_catalog_of_another_collector_are_taken_over() {
    let sandbox = serve_records(samples(Api::Audit).unwrap(), |_| {});
    let mut catalog = Catalog::of(&sandbox, &[Api::Audit]).with("INITIAL_LOOKBACK_DAYS", 3650);
    // What the other one wrote: the line form, in the order of its pages.
    let (first, rest) = {
        let mut lines = Vec::new();
        for event in samples(Api::Audit).unwrap() {
            let mut line = String::new();
            json::scan(&event.text, &[], &mut line).unwrap();
            lines.push((event.time.date_naive(), line));
        }
        let oldest = lines.iter().map(|(day, _)| *day).min().unwrap();
        lines.into_iter().partition::<Vec<_>, _>(|(day, _)| *day == oldest)
    };
    assert!(!first.is_empty() && !rest.is_empty());
    let name = format!("{}_{}.log", base_name(Api::Audit), first[0].0);
    let text: String = first.iter().map(|(_, line)| format!("{line}\n")).collect();
    fs::write(catalog.folder(Api::Audit).join(&name), &text).unwrap();
    for (own, former) in [
        ("AUDIT_LOG_CATALOG_LOCATION", "NEW_LOG_CATALOG_LOCATION"),
        ("AUDIT_LOG_FILE_BASE_NAME", "NEW_LOG_FILE_BASE_NAME"),
    ] {
        let value = catalog.unset(own);
        catalog.set(former, value);
    }
    let summary = catalog.collect_one(0, &[]);
    assert_eq!(summary["stream"], "yandex-audit");
    assert_eq!(summary["appended"], rest.len());
    assert_eq!(catalog.day_files(Api::Audit)[&name], text.as_bytes());
    let lines: Vec<_> = catalog.lines(Api::Audit);
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), first.len() + rest.len());

    catalog.set("AUDIT_LOG_FILE_BASE_NAME", "audit");
    let refused = catalog.run(&["collect"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .stderr
            .contains("AUDIT_LOG_FILE_BASE_NAME must not be set together with NEW_LOG_FILE_BASE_NAME"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_filter_is_sent_with_every_page_as_one_list() {
    let sandbox = serve_records(samples(Api::Audit).unwrap(), |_| {});
    let catalog = Catalog::of(&sandbox, &[Api::Audit])
        .with("INITIAL_LOOKBACK_DAYS", 3650)
        .with("AUDIT_API_QUERY", "types=id_cookie.set&types=messenger_chat.created");
    assert_eq!(catalog.collect_one(0, &[])["appended"], 2);
    let wanted = "types=id_cookie.set%2Cmessenger_chat.created";
    assert!(
        sandbox
            .requests()
            .iter()
            .all(|seen| seen.path_and_query.contains(wanted))
    );
    for (query, problem) in [("count=5", "sets itself"), ("includeUids=1", "include_uids")] {
        let catalog = Catalog::of(&sandbox, &[Api::Audit]).with("AUDIT_API_QUERY", query);
        let refused = catalog.run(&["collect"]);
        assert_eq!(refused.code, 1);
        assert!(
            refused.stderr.contains("AUDIT_API_QUERY") && refused.stderr.contains(problem),
            "{}",
            refused.stderr
        );
    }
}
