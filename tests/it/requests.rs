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
