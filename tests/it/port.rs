//! Port: answers that are cut at their old end without a sign, and tokens that end.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Options, PortLogin, Sandbox, Step, StreamOptions, When};

use super::support::{Catalog, at, event, events, serve};

/// So many records of one time.
fn burst(count: usize, seconds_ago: i64) -> Vec<Event> {
    (0..count)
        .map(|n| event(Api::Port, at(seconds_ago), &format!("{seconds_ago}-{n}")))
        .collect()
}

/// Fifteen hundred records, a burst of `largest` among them.
fn feed(largest: usize) -> Vec<Event> {
    let mut feed = events(Api::Port, 1_000, 400);
    feed.extend((0..400).map(|n| {
        let time = at(3_000) - TimeDelta::milliseconds(n / 3);
        event(Api::Port, time, &format!("dense-{n}"))
    }));
    feed.extend(burst(largest, 2_000));
    feed
}

/// Whether the bounds are part of what is asked for, the lower and the upper one.
const BOUNDS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

/// A service with such bounds.
fn serve_within(bounds: (bool, bool), feed: Vec<Event>, adjust: impl Fn(&mut StreamOptions)) -> Sandbox {
    serve(|options| {
        let mut options = options.give(Api::Port, feed);
        (options[Api::Port].includes_from, options[Api::Port].includes_to) = bounds;
        adjust(&mut options[Api::Port]);
        options
    })
}

fn catalog(sandbox: &Sandbox) -> Catalog {
    Catalog::of(sandbox, &[Api::Port]).with("INITIAL_LOOKBACK_DAYS", 1)
}

/// Runs twice and asserts that every record is there once.
fn assert_complete(sandbox: &Sandbox, catalog: &Catalog) -> serde_json::Value {
    let first = catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    let before = catalog.tree();
    catalog.collect(0, &[]);
    catalog.assert_nothing_added(&before);
    first
}

#[test]
fn a_limit_smaller_than_a_burst_costs_no_record_whatever_the_bounds() {
    for bounds in BOUNDS {
        for unsorted in [false, true] {
            let sandbox = serve_within(bounds, feed(170), |stream| stream.unsorted = unsorted);
            assert_complete(&sandbox, &catalog(&sandbox).with("PORT_PAGE_LIMIT", 50));
        }
    }
}

#[test]
fn a_part_that_ends_within_a_moment_is_joined_to_the_rest_of_it_whatever_the_bounds() {
    for before in [430, 479, 528, 1_010] {
        for bounds in BOUNDS {
            let newer = (0..before).map(|n| event(Api::Port, at(300 + n), &n.to_string()));
            let older = events(Api::Port, 200, 4_000);
            let feed: Vec<Event> = newer.chain(burst(170, 900 + before)).chain(older).collect();
            let sandbox = serve_within(bounds, feed, |_| {});
            assert_complete(&sandbox, &catalog(&sandbox).with("PORT_PAGE_LIMIT", 50));
        }
    }
}

#[test]
fn a_burst_of_any_size_among_distant_records_costs_none_whatever_the_bounds() {
    for size in [49, 50, 51, 99, 100, 101, 200, 400] {
        for bounds in BOUNDS {
            let distant = |from: i64| (from..from + 230).map(|n| event(Api::Port, at(300 + n * 1_200), &n.to_string()));
            let feed: Vec<Event> = distant(0)
                .chain(burst(size, 300 + 240 * 1_200))
                .chain(distant(250))
                .collect();
            let sandbox = serve_within(bounds, feed, |_| {});
            let catalog = catalog(&sandbox).with("INITIAL_LOOKBACK_DAYS", 8);
            assert_complete(&sandbox, &catalog.with("PORT_PAGE_LIMIT", 50));
        }
    }
}

#[test]
fn an_answer_of_fewer_records_than_asked_for_is_not_taken_for_the_whole() {
    for cap in [30, 49, 50, 51, 999] {
        let sandbox = serve(|options| {
            let mut options = options.give(Api::Port, feed(25));
            options[Api::Port].page_cap = Some(cap);
            options
        });
        assert_complete(&sandbox, &catalog(&sandbox).with("PORT_PAGE_LIMIT", 1_000));
    }
}

#[test]
fn an_answer_of_exactly_the_limit_is_not_taken_for_the_whole() {
    for count in [49, 50, 51, 100, 101] {
        let sandbox = serve(|options| options.give(Api::Port, events(Api::Port, count, 60)));
        assert_complete(&sandbox, &catalog(&sandbox).with("PORT_PAGE_LIMIT", 50));
    }
}

#[test]
fn more_records_in_one_millisecond_than_the_service_ever_gives_fail_the_stream_and_leave_no_hole() {
    for unsorted in [false, true] {
        let sandbox = serve(|options| {
            let older = events(Api::Port, 50, 40_000);
            let all = older
                .into_iter()
                .chain(burst(60, 20_000))
                .chain(events(Api::Port, 50, 300))
                .collect();
            let mut options = options.give(Api::Port, all);
            options[Api::Port].page_cap = Some(40);
            options[Api::Port].unsorted = unsorted;
            options
        });
        let catalog = catalog(&sandbox).with("PORT_PAGE_LIMIT", 100);
        for _ in 0..2 {
            let summary = catalog.collect_one(3, &[]);
            let error = summary["error"].as_str().unwrap();
            let time = at(20_000).format("%Y-%m-%dT%H:%M").to_string();
            assert!(
                error.contains("share the time") && error.contains("PORT_PAGE_LIMIT"),
                "{error}"
            );
            assert!(error.contains(&time[..13]), "{error} does not name {time}");
            for line in catalog.lines(Api::Port) {
                assert!(
                    line.contains("\"40"),
                    "nothing at or after the hole may be kept: {line}"
                );
            }
        }
    }
}

#[test]
fn a_504_for_a_wide_window_is_repeated_once_and_then_divides_the_slice() {
    let sandbox = serve(|options| {
        let mut options = options.give(Api::Port, feed(40));
        options[Api::Port].widest_window = Some(TimeDelta::minutes(20));
        options
    });
    let summary = assert_complete(&sandbox, &catalog(&sandbox).with("MAX_RETRIES", 1));
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert!(count("retries") * 10 < count("requests"), "{summary}");
}

#[test]
fn a_504_for_every_window_fails_the_stream_after_the_retries() {
    let sandbox = serve(|options| {
        options.step(Step::always(
            Api::Port,
            Action::Answer(Answer::html(504, "504 Gateway Time-out")),
        ))
    });
    let summary = catalog(&sandbox).collect_one(3, &[]);
    assert!(summary["error"].as_str().unwrap().contains("504"), "{summary}");
    // Once for each width, and then by the policy.
    let retries = summary["retries"].as_u64().unwrap();
    assert!((3..=15).contains(&retries), "{summary}");
}

#[test]
fn ok_false_with_status_200_is_an_error_that_is_tried_again() {
    let answer = Answer::json(
        200,
        r#"{"ok":false,"error":"internal_error","message":"Something broke"}"#,
    );
    let once = serve(|options| {
        options
            .give(Api::Port, feed(20))
            .step(Step::at(Api::Port, 2, Action::Answer(answer.clone())))
    });
    assert_eq!(assert_complete(&once, &catalog(&once))["retries"], 1);

    let always = serve(|options| {
        options
            .give(Api::Port, feed(20))
            .step(Step::always(Api::Port, Action::Answer(answer)))
    });
    let summary = catalog(&always).collect_one(3, &[]);
    assert!(
        summary["error"].as_str().unwrap().contains("Something broke"),
        "{summary}"
    );
    assert_eq!((&summary["retries"], &summary["requests"]), (&json!(3), &json!(4)));
}

/// A sandbox whose tokens have to be minted.
fn minting(adjust: impl FnOnce(Options) -> Options) -> Sandbox {
    serve(|mut options| {
        options.port_login = PortLogin::Client;
        adjust(options.give(Api::Port, feed(20)))
    })
}

fn mints(sandbox: &Sandbox) -> u64 {
    sandbox.requests().iter().filter(|seen| seen.is_mint).count() as u64
}

#[test]
fn a_token_is_minted_once_and_used_for_the_whole_run() {
    let sandbox = minting(|options| options);
    let catalog = catalog(&sandbox).with("PORT_PAGE_LIMIT", 50);
    let summary = catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    assert_eq!(mints(&sandbox), 1);
    assert_eq!(
        summary["requests"],
        summary["pages"].as_u64().unwrap() + 1,
        "minting counts as a request"
    );
}

#[test]
fn a_token_is_renewed_before_the_end_that_was_announced() {
    let token = r#"{"ok":true,"accessToken":"sandbox-port-token","expiresIn":3,"tokenType":"Bearer"}"#;
    let sandbox = minting(|mut options| {
        options.latency = Duration::from_millis(40);
        options.step(Step::new(
            When::Mints(1..=usize::MAX),
            Action::Answer(Answer::json(200, token)),
        ))
    });
    let catalog = catalog(&sandbox).with("PORT_PAGE_LIMIT", 20);
    let summary = catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    let (pages, minted) = (summary["pages"].as_u64().unwrap(), mints(&sandbox));
    assert!((2..pages / 2).contains(&minted), "{minted} tokens for {pages} pages");
}

#[test]
fn tokens_that_end_while_a_run_goes_on_stop_nothing() {
    let sandbox = minting(|mut options| {
        options.port_token_life = TimeDelta::milliseconds(800);
        options.latency = Duration::from_millis(10);
        options
    });
    let catalog = catalog(&sandbox).with("PORT_PAGE_LIMIT", 20).with("MAX_RETRIES", 0);
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
}

#[test]
fn a_token_that_ends_too_early_is_minted_anew_after_a_401_each_time() {
    let sandbox = minting(|options| {
        let ends = |options: Options, at| options.step(Step::at(Api::Port, at, Action::EndPortToken));
        ends(ends(options, 5), 11)
    });
    let catalog = catalog(&sandbox).with("PORT_PAGE_LIMIT", 50);
    let summary = catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    assert_eq!((mints(&sandbox), &summary["retries"]), (3, &json!(0)));
}

#[test]
fn a_token_that_ends_as_soon_as_it_was_minted_is_minted_once_more() {
    // The service hands out the same token until it ends, so a fresh one may have a moment left to live.
    let sandbox = minting(|options| options.step(Step::at(Api::Port, 1, Action::EndPortToken)));
    let catalog = catalog(&sandbox);
    catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    assert_eq!(mints(&sandbox), 2);
}

#[test]
fn tokens_without_a_life_are_minted_for_each_request() {
    let token = r#"{"ok":true,"accessToken":"sandbox-port-token","expiresIn":0,"tokenType":"Bearer"}"#;
    let sandbox = minting(|options| {
        options.step(Step::new(
            When::Mints(1..=usize::MAX),
            Action::Answer(Answer::json(200, token)),
        ))
    });
    let catalog = catalog(&sandbox);
    let summary = catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    assert_eq!(mints(&sandbox), summary["pages"].as_u64().unwrap());
}

#[test]
fn a_login_that_is_refused_fails_at_once_with_a_hint_and_without_the_secret() {
    let sandbox = minting(|options| options);
    let catalog = catalog(&sandbox).with("PORT_CLIENT_SECRET", "hunter2-secret");
    let run = catalog.run(&["--json"]);
    let summary = &run.summary()["port"];
    let error = summary["error"].as_str().unwrap();
    assert!(error.contains("401") && error.contains("PORT_CLIENT_SECRET"), "{error}");
    assert_eq!((run.code, &summary["retries"], mints(&sandbox)), (3, &json!(0), 1));
    assert!(!format!("{}{}{}", run.stdout, run.stderr, catalog.app_log()).contains("hunter2"));
}

#[test]
fn what_the_token_endpoint_answers_is_said_of_its_own_address() {
    let answers = [
        (
            Answer::json(401, r#"{"message":"No."}"#),
            "answered 401, \"No.\": check PORT_CLIENT_ID",
        ),
        (Answer::json(422, "{}"), "answered 422: check PORT_CLIENT_ID"),
        (Answer::json(404, "{}"), "check PORT_API_URL"),
        (
            Answer::json(503, "{}"),
            "answered 503 in 2 attempts: the service may be in trouble",
        ),
        (Answer::json(429, "{}"), "answered 429 in 2 attempts"),
        // At the other address, it would mean that the window was too wide.
        (Answer::html(504, "Gateway Time-out"), "answered 504 in 2 attempts"),
        (Answer::html(200, "Sign in"), "cannot be read in 2 attempts"),
    ];
    for (answer, expected) in answers {
        let sandbox =
            minting(|options| options.step(Step::new(When::Mints(1..=usize::MAX), Action::Answer(answer.clone()))));
        let catalog = catalog(&sandbox).with("MAX_RETRIES", 1);
        let summary = catalog.collect_one(3, &[]);
        let error = summary["error"].as_str().unwrap();
        let address = format!("{}/v1/auth/access_token", sandbox.url());
        assert!(error.contains(&address) && error.contains(expected), "{error}");
        assert!(!error.contains("audit-log"), "{error}");
        assert_eq!(sandbox.request_count(Api::Port), 0, "{error}");
        assert!(mints(&sandbox) <= 2, "{error}");
    }
}

#[test]
fn a_401_that_a_new_token_does_not_mend_fails_after_one_more_token() {
    let refusal = Answer::json(401, r#"{"ok":false,"error":"unauthorized","message":"No."}"#);
    let sandbox = minting(|options| options.step(Step::always(Api::Port, Action::Answer(refusal))));
    let summary = catalog(&sandbox).collect_one(3, &[]);
    assert_eq!((mints(&sandbox), sandbox.request_count(Api::Port)), (2, 2), "{summary}");
}

#[test]
fn the_base_address_and_the_token_may_be_written_in_all_the_usual_ways() {
    let sandbox = serve(|options| options.give(Api::Port, events(Api::Port, 5, 60)));
    for path in ["", "/", "/v1", "/v1/"] {
        for prefix in ["", "Bearer "] {
            let mut catalog = catalog(&sandbox).with("PORT_API_URL", format!("{}{path}", sandbox.url()));
            let token = catalog.unset("PORT_API_TOKEN");
            catalog.set("PORT_API_TOKEN", format!("{prefix}{token}"));
            assert_eq!(catalog.collect_one(0, &[])["appended"], 5, "{path:?} {prefix:?}");
        }
    }
}

#[test]
fn a_token_endpoint_that_refuses_with_status_200_is_quoted() {
    let sandbox = serve(|mut options| {
        options.port_login = PortLogin::Client;
        options
    });
    let refusal = Answer::json(200, r#"{"ok":false,"error":"nope"}"#);
    let every_request = When::Picked(Arc::new(|_| true));
    sandbox.step(Step::new(every_request, Action::Answer(refusal)));
    let catalog = Catalog::of(&sandbox, &[Api::Port]).with("MAX_RETRIES", 0);
    let summary = catalog.collect_one(3, &[]);
    let error = summary["error"].as_str().unwrap();
    assert!(
        error.contains("/v1/auth/access_token cannot be read (the service answered \"ok\":false: nope)"),
        "{error}"
    );
}
