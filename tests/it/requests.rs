//! How many requests a run takes of a service that is well.

use chrono::TimeDelta;
use trailkeeper::sandbox::{Api, Event};

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
            let requests = catalog.collect_one(0, &[])["requests"].as_u64().unwrap();
            assert!(
                requests <= most,
                "{}, {bursts:?} bursts, {concurrency} at a time: {requests} requests of {pages} pages",
                api.name()
            );
            catalog.assert_holds(api, &sandbox.events(api));
        }
    }
}

/// How many requests each of so many runs takes.
fn requests_of_runs(catalog: &Catalog, runs: usize) -> Vec<u64> {
    let of_run = |_| catalog.collect_one(0, &[])["requests"].as_u64().unwrap();
    (0..runs).map(of_run).collect()
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
            let feed: Vec<Event> = (0..count)
                .map(|n| event(api, at(newest + 3 * n), &n.to_string()))
                .collect();
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
        let feed: Vec<Event> = (0..5)
            .map(|n| event(Api::Port, at(3_600 + 10 * n), &n.to_string()))
            .collect();
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
