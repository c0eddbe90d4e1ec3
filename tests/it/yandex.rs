//! Yandex 360: a page cap of two over thousands of records, whatever the service does to its pages.

use chrono::TimeDelta;
use trailkeeper::sandbox::{Action, Answer, Api, Event, LastPage, Options, Sandbox, Step, StreamOptions};

use super::support::{Catalog, at, event, serve};

const LOGS: [Api; 2] = [Api::Mail, Api::Disk];

/// Three thousand records of a few hours: single ones, small bursts, and some that fill more pages than a cycle has.
fn bursts(api: Api) -> Vec<Event> {
    let sizes = [1, 1, 3, 1, 250, 1, 2, 100, 1, 1, 99, 7, 1, 1, 1, 1];
    let mut events = Vec::new();
    for (burst, size) in sizes.iter().cycle().enumerate() {
        let time = at(300) - TimeDelta::seconds(45 * burst as i64);
        // Only mail has fractions of a second.
        let time = if api == Api::Mail {
            time - TimeDelta::milliseconds(burst as i64 % 1000)
        } else {
            time
        };
        events.extend((0..*size).map(|n| event(api, time, &format!("{burst}-{n}"))));
        if events.len() >= 3_000 {
            return events;
        }
    }
    events
}

/// Collects from services that behave like this, with every sort of bounds, and asserts that every record is there once.
fn check(adjust: impl Fn(&mut StreamOptions)) {
    for (includes_from, includes_to) in [(true, true), (true, false), (false, true), (false, false)] {
        let sandbox = serve(|mut options: Options| {
            for api in LOGS {
                options = options.give(api, bursts(api));
                options[api].includes_from = includes_from;
                options[api].includes_to = includes_to;
                adjust(&mut options[api]);
            }
            options
        });
        let catalog = Catalog::of(&sandbox, &LOGS)
            .with("MAX_PAGES", 2)
            .with("INITIAL_LOOKBACK_DAYS", 1);
        for (name, stream) in catalog.collect(0, &[]) {
            assert_eq!(stream["status"], "complete", "{name}");
        }
        for api in LOGS {
            catalog.assert_holds(api, &sandbox.events(api));
        }
        let before = catalog.tree();
        catalog.collect(0, &[]);
        catalog.assert_nothing_added(&before);
    }
}

#[test]
fn a_page_cap_of_two_costs_no_record() {
    check(|_| {});
}

#[test]
fn a_page_cap_of_two_costs_no_record_of_unsorted_pages() {
    check(|stream| stream.unsorted = true);
}

#[test]
fn a_page_cap_of_two_costs_no_record_where_empty_pages_have_tokens_and_empty_lists_are_null() {
    check(|stream| {
        stream.empty_pages = true;
        stream.null_events = true;
        stream.last_page = LastPage::TokenThenEmpty;
    });
}

#[test]
fn a_page_cap_of_two_costs_no_record_where_the_last_page_has_no_token_field() {
    check(|stream| stream.last_page = LastPage::NoToken);
}

#[test]
fn a_page_cap_of_two_keeps_clear_of_the_deep_offsets_that_a_service_refuses() {
    // The largest burst needs 250 records behind the start of its cycle.
    check(|stream| stream.deepest_offset = Some(500));
}

#[test]
fn a_page_behind_an_empty_one_that_cannot_be_read_begins_another_cycle() {
    let empty = r#"{"events":[],"nextPageToken":"next"}"#;
    let sandbox = serve(|options| {
        let options = options.give(Api::Mail, bursts(Api::Mail));
        let options = options.step(Step::at(Api::Mail, 1, Action::Answer(Answer::json(200, empty))));
        options.step(Step::at(Api::Mail, 2, Action::Answer(Answer::html(200, "Welcome"))))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("INITIAL_LOOKBACK_DAYS", 1);
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Mail, &sandbox.events(Api::Mail));
}

#[test]
fn a_service_with_bounds_is_asked_again_below_what_it_gave() {
    let records: Vec<Event> = (0..1_000)
        .map(|n| event(Api::Disk, at(300 + n), &n.to_string()))
        .collect();
    let sandbox = serve(|options| options.give(Api::Disk, records));
    let catalog = Catalog::of(&sandbox, &[Api::Disk])
        .with("DISK_MAX_PAGES", 3)
        .with("INITIAL_LOOKBACK_DAYS", 1);
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Disk, &sandbox.events(Api::Disk));
    let longest = sandbox
        .requests()
        .iter()
        .map(|seen| offset(&seen.path_and_query))
        .max()
        .unwrap();
    assert_eq!(longest, 0, "it is read by time, and not by tokens");
}

/// The offset that the token of a request stands for.
fn offset(query: &str) -> usize {
    query
        .split_once("pageToken=")
        .map_or(0, |(_, token)| token.parse().unwrap())
}

#[test]
fn an_empty_answer_in_each_of_its_forms_is_the_end_and_an_answer_without_events_is_none() {
    for (body, code) in [
        (r#"{"events":[],"nextPageToken":""}"#, 0),
        (r#"{"events":null,"nextPageToken":""}"#, 0),
        (r#"{"events":[]}"#, 0),
        (r#"{"events":null,"nextPageToken":null}"#, 0),
        (r#"{"nextPageToken":""}"#, 3),
        (r#"{"code":5,"message":"not_found","details":[]}"#, 3),
        ("[]", 3),
        ("", 3),
        ("<html></html>", 3),
    ] {
        let sandbox = serve(|options| options.step(Step::always(Api::Mail, Action::Answer(Answer::json(200, body)))));
        let catalog = Catalog::of(&sandbox, &[Api::Mail])
            .with("INITIAL_LOOKBACK_DAYS", 1)
            .with("MAX_RETRIES", 1);
        let summary = catalog.collect_one(code, &[]);
        assert_eq!(summary["retries"], if code == 0 { 0 } else { 1 }, "{body}: {summary}");
    }
}

#[test]
fn events_that_arrive_during_a_walk_shift_its_pages_without_cost() {
    let sandbox = late_arrivals();
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("MAX_PAGES", 2);
    // What arrives behind the page that shows it is the next run's, and so on while something arrives.
    for _ in 0..3 {
        catalog.collect(0, &[]);
    }
    catalog.assert_holds(Api::Mail, &sandbox.events(Api::Mail));
}

fn late_arrivals() -> Sandbox {
    serve(|mut options| {
        options = options.give(
            Api::Mail,
            (0..1_000)
                .map(|n| event(Api::Mail, at(60 + n), &n.to_string()))
                .collect(),
        );
        for request in 1..8 {
            let late = (0..30)
                .map(|n| event(Api::Mail, at(61 + n), &format!("late-{request}-{n}")))
                .collect();
            options = options.step(Step::at(Api::Mail, request * 3, Action::Add(Api::Mail, late)));
        }
        options
    })
}
