//! How many requests a run takes of a service that is well.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use trailkeeper::sandbox::{Action, Answer, Api, Event, Options, Seen, Step, When};

use super::support::{Catalog, at, event, serve};

/// Twenty thousand records of half a year: one every thirteen minutes, or in so many bursts of some minutes.
fn half_a_year(api: Api, bursts: Option<i32>) -> Vec<Event> {
    const COUNT: i32 = 20_000;
    let (newest, width) = (at(600), TimeDelta::days(180));
    let time = |n: i32| match bursts {
        None => newest - width / COUNT * n,
        Some(bursts) => {
            let of_burst = COUNT / bursts;
            newest - width / bursts * (n / of_burst) - TimeDelta::milliseconds(400) * (n % of_burst)
        }
    };
    (0..COUNT).map(|n| event(api, time(n), &n.to_string())).collect()
}

/// So many records, so many seconds apart.
fn even(api: Api, count: i64, newest: i64, apart: i64) -> Vec<Event> {
    (0..count)
        .map(|n| event(api, at(newest + apart * n), &n.to_string()))
        .collect()
}

/// An answer of mail without records.
fn empty() -> Action {
    Action::Answer(Answer::json(200, r#"{"events":[],"nextPageToken":""}"#.to_owned()))
}

/// A bound that a request asks for.
fn bound_of(seen: &Seen, name: &str) -> DateTime<Utc> {
    let address = seen.path_and_query.replace("%3A", ":");
    let (_, rest) = address.split_once(&format!("{name}=")).unwrap();
    rest.split('&').next().unwrap().parse().unwrap()
}

/// How many requests a run takes.
fn requests_of_run(catalog: &Catalog) -> u64 {
    catalog.collect_one(0, &[])["requests"].as_u64().unwrap()
}

/// How many requests each of so many runs takes.
fn requests_of_runs(catalog: &Catalog, runs: usize) -> Vec<u64> {
    (0..runs).map(|_| requests_of_run(catalog)).collect()
}

#[test]
fn a_first_collection_takes_a_few_requests_more_than_its_records_fill_pages() {
    let pages_and_most = [(Api::Mail, None, 200, 220), (Api::Port, None, 100, 114)];
    for (api, bursts, pages, most) in pages_and_most {
        for concurrency in [1, 4] {
            let sandbox = serve(|options| options.give(api, half_a_year(api, bursts)));
            let catalog = Catalog::of(&sandbox, &[api])
                .with("PORT_PAGE_LIMIT", 200)
                .with("INITIAL_LOOKBACK_DAYS", 184)
                .with("FETCH_CONCURRENCY", concurrency);
            let requests = requests_of_run(&catalog);
            assert!(
                requests <= most,
                "{}, {bursts:?} bursts, {concurrency} at a time: {requests} requests of {pages} pages",
                api.name()
            );
            catalog.assert_holds(api, &sandbox.events(api));
        }
    }
}

#[test]
fn blocks_of_numbered_pages_follow_each_other_and_the_last_page_is_seen_to_be_the_last() {
    // In full pages: that nothing is behind the last one shows in none of them.
    for (count, most) in [(20_000, 24), (30_000, 34), (50_000, 56)] {
        let feed = even(Api::Tfc, count, 600, 20);
        let sandbox = serve(|options| options.give(Api::Tfc, feed.clone()));
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        let requests = requests_of_run(&catalog);
        assert!(requests <= most, "{count} records: {requests} requests");
        catalog.assert_holds(Api::Tfc, &feed);
    }
}

#[test]
fn what_was_read_of_a_window_that_seemed_to_fit_into_answers_is_kept_when_it_does_not() {
    // A service that says nothing of giving less than it is asked for.
    for bursts in [None, Some(40)] {
        for concurrency in [1, 4] {
            let feed = half_a_year(Api::Port, bursts);
            let sandbox = serve(|mut options| {
                options[Api::Port].page_cap = Some(100);
                options.give(Api::Port, feed)
            });
            let catalog = Catalog::of(&sandbox, &[Api::Port])
                .with("PORT_PAGE_LIMIT", 1000)
                .with("FETCH_CONCURRENCY", concurrency);
            let requests = requests_of_run(&catalog);
            // Of 200 pages.
            assert!(
                requests <= 240,
                "{bursts:?} bursts, {concurrency} at a time: {requests} requests"
            );
            catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
        }
    }
}

#[test]
fn slices_that_came_empty_by_a_fault_are_read_again_with_what_is_above_them() {
    for concurrency in [1, 4] {
        let feed = even(Api::Mail, 10_000, 60, 9);
        let sandbox = serve(|options| {
            // Those behind the look at the whole window.
            (2..=4)
                .map(|number| Step::at(Api::Mail, number, empty()))
                .fold(options.give(Api::Mail, feed.clone()), Options::step)
        });
        let catalog = Catalog::of(&sandbox, &[Api::Mail])
            .with("INITIAL_LOOKBACK_DAYS", 8)
            .with("FETCH_CONCURRENCY", concurrency);
        let requests = requests_of_run(&catalog);
        assert!(
            requests <= 150,
            "{concurrency} at a time: {requests} requests of 100 pages"
        );
        catalog.assert_holds(Api::Mail, &feed);
    }
}

#[test]
fn what_is_below_a_part_that_was_kept_is_asked_for_again_if_it_came_empty() {
    for concurrency in [1, 4] {
        let feed = even(Api::Mail, 10_000, 60, 9);
        let (middle, asked) = (at(50_000), Mutex::new(HashSet::new()));
        // A slice that ends below the middle comes empty the first time.
        let is_first_below = move |seen: &Seen| {
            let to = bound_of(seen, "beforeDate");
            to < middle && asked.lock().unwrap().insert(seen.path_and_query.clone())
        };
        let sandbox = serve(|options| {
            let step = Step::new(When::Picked(Arc::new(is_first_below)), empty());
            options.give(Api::Mail, feed.clone()).step(step)
        });
        let catalog = Catalog::of(&sandbox, &[Api::Mail])
            .with("INITIAL_LOOKBACK_DAYS", 8)
            .with("FETCH_CONCURRENCY", concurrency);
        catalog.collect_one(0, &[]);
        catalog.assert_holds(Api::Mail, &feed);
    }
}

#[test]
fn what_is_above_does_not_wait_until_the_end_of_the_oldest_slice_is_shown() {
    let feed = even(Api::Mail, 30_000, 60, 500);
    let oldest = feed.last().unwrap().time;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let note = move |seen: &Seen| {
        noted.lock().unwrap().push(bound_of(seen, "beforeDate"));
        false
    };
    let sandbox = serve(|options| {
        let step = Step::new(When::Picked(Arc::new(note)), empty());
        options.give(Api::Mail, feed.clone()).step(step)
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail])
        .with("MAIL_INITIAL_LOOKBACK_DAYS", 174)
        .with("FETCH_CONCURRENCY", 2);
    catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Mail, &feed);
    let asked = asked.lock().unwrap();
    let below = |to: &DateTime<Utc>| *to < oldest;
    let looks = asked.iter().filter(|to| below(to)).count();
    assert!(looks >= 3, "{looks}");
    let first = asked.iter().position(below).unwrap();
    let last = asked.iter().rposition(below).unwrap();
    let is_above = |to: &DateTime<Utc>| *to > oldest + TimeDelta::days(1);
    assert!(asked[first..last].iter().any(is_above), "{:?}", &asked[..=last]);
}

#[test]
fn what_an_earlier_run_has_read_is_looked_below_once() {
    for (api, newest) in [
        (Api::Mail, 3_600),
        (Api::Mail, 90 * 86_400),
        (Api::Audit, 3_600),
        (Api::Port, 3_600),
    ] {
        for count in [1, 5, 20] {
            let feed = even(api, count, newest, 3);
            let sandbox = serve(|options| options.give(api, feed.clone()));
            let catalog = Catalog::of(&sandbox, &[api]);
            let requests = requests_of_runs(&catalog, 6);
            // The first one has to prove that nothing is below, and the first ones that nothing is above.
            assert_eq!(requests[4..], [2, 2], "{}, {count} records: {requests:?}", api.name());
            catalog.assert_holds(api, &feed);
        }
    }
}

#[test]
fn what_came_late_below_the_oldest_record_is_found_however_short_answers_are() {
    // Of a service that gives no more than so many records, and does not say so.
    for cap in [3, 5] {
        let feed = even(Api::Port, 5, 3_600, 10);
        let late: Vec<Event> = (0..2)
            .map(|n| event(Api::Port, at(3_660 + 10 * n), &format!("late-{n}")))
            .collect();
        for run_before in [1, 5] {
            let sandbox = serve(|mut options| {
                options[Api::Port].page_cap = Some(cap);
                options.give(Api::Port, feed.clone())
            });
            let catalog = Catalog::of(&sandbox, &[Api::Port]);
            requests_of_runs(&catalog, run_before);
            sandbox.add(Api::Port, late.clone());
            catalog.collect_one(0, &[]);
            let all: Vec<Event> = feed.iter().chain(&late).cloned().collect();
            catalog.assert_holds(Api::Port, &all);
        }
    }
}
