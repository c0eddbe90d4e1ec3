//! Splits a window into ranges, oldest first, each complete up to where it ends: a completed range can be filed at
//! once, because nothing older is still to come.

use super::bounded::BoundedWalk;
pub use super::completed_range::CompletedRange;
use super::numbered::NumberedWalk;
use super::plan::WalkPlan;
use super::{FetchError, Fetcher};
use crate::record::Anchor;
use crate::source::Paging;

/// A window that is being fetched.
pub struct Walk<'a> {
    fetcher: &'a Fetcher,
    state: State<'a>,
    lapses_before: u32,
}

enum State<'a> {
    Bounded(Box<BoundedWalk<'a>>),
    Numbered(Box<NumberedWalk>),
}

impl<'a> Walk<'a> {
    /// Creates a walk over the plan's window.
    pub fn new(fetcher: &'a Fetcher, plan: WalkPlan) -> Self {
        Self::above(fetcher, plan, Vec::new())
    }

    /// Creates a walk over the plan's window that should come upon one of these records of the archive at its older end.
    pub(crate) fn above(fetcher: &'a Fetcher, plan: WalkPlan, archived: Vec<Anchor>) -> Self {
        fetcher.begin_walk(plan);
        let state = match fetcher.source().paging() {
            Paging::Bounded => State::Bounded(Box::new(BoundedWalk::new(fetcher, plan, archived))),
            Paging::Numbered => State::Numbered(Box::new(NumberedWalk::new(
                plan,
                fetcher.source().page_size(),
                archived,
            ))),
        };
        Self {
            fetcher,
            state,
            lapses_before: fetcher.learned().lapses,
        }
    }

    /// Returns whether answers have lacked records so far that others to the same request hold, so that it is worth the while
    /// to read all of it once more.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.fetcher.learned().lapses > self.lapses_before
    }

    /// Fetches the next range; `None` at the end of the window.
    ///
    /// After its future was dropped, a walk is not to be used again.
    ///
    /// # Errors
    /// The service could not be asked for everything in the range; earlier ranges stay valid.
    pub async fn next_range(&mut self) -> Result<Option<CompletedRange>, FetchError> {
        match &mut self.state {
            State::Bounded(walk) => walk.next_range().await,
            State::Numbered(walk) => walk.next_range(self.fetcher).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::env::{ConfigErrors, Env};
    use crate::fetch::host::Share;
    use crate::fetch::plan::TIME_TO_DISK;
    use crate::http::retry::RetryPolicy;
    use crate::http::{Http, Proxies};
    use crate::record::Record;
    use crate::sandbox::{Api, Event, Options, Sandbox};
    use crate::source::SOURCES;
    use crate::test_support::bound::{at_most, in_time};
    use crate::test_support::random::cases;
    use crate::window::Window;

    fn now() -> DateTime<Utc> {
        "2025-06-09T12:00:00Z".parse().unwrap()
    }

    fn fetcher(sandbox: &Sandbox, stream: &str, concurrency: usize) -> Fetcher {
        let env = Env::from_pairs(sandbox.variables());
        let kind = SOURCES.iter().find(|kind| kind.name == stream).unwrap();
        let source = (kind.configure)(&env, &mut ConfigErrors::default()).unwrap();
        let policy = RetryPolicy {
            max_retries: 3,
            delay: Duration::ZERO,
        };
        Fetcher::new(source, Http::new(&Proxies::default()).unwrap(), policy)
            .sharing(Share::alone(concurrency), concurrency)
    }

    /// The numbers of the records of each range, by time, and the time up to which the window is complete with it.
    type Ranges = Vec<(Vec<(DateTime<Utc>, u32)>, DateTime<Utc>)>;

    async fn ranges(options: Options, stream: &str, plan: WalkPlan) -> Ranges {
        ranges_and_requests(options, stream, plan).await.0
    }

    /// Returns what a walk hands out, and how many requests it took.
    async fn ranges_and_requests(options: Options, stream: &str, plan: WalkPlan) -> (Ranges, u64) {
        let sandbox = Sandbox::start(options).await.unwrap();
        let fetcher = fetcher(&sandbox, stream, plan.concurrency);
        let mut walk = Walk::new(&fetcher, plan);
        let mut ranges = Vec::new();
        let mut round = at_most(10_000);
        while let Some(range) = in_time("a range", walk.next_range()).await.unwrap() {
            round();
            let number = |record: &Record| {
                let value: serde_json::Value = serde_json::from_str(&record.line).unwrap();
                let id = ["uniqId", "identifier", "id"]
                    .iter()
                    .find_map(|key| value.get(key))
                    .unwrap();
                (record.time, id.as_str().unwrap().parse().unwrap())
            };
            ranges.push((range.records.iter().map(number).collect(), range.done_to));
        }
        (ranges, fetcher.request_counts().requests)
    }

    /// A walk over the last so many days.
    fn plan_of_days(days: i64, concurrency: usize) -> WalkPlan {
        WalkPlan {
            window: Window::new(now() - TimeDelta::days(days), now()),
            read_to: None,
            files_beyond: false,
            now: now(),
            grace: TimeDelta::zero(),
            max_pages: 20,
            concurrency,
            time_to_disk: TIME_TO_DISK,
        }
    }

    #[tokio::test]
    async fn what_was_read_of_a_slice_that_held_too_much_is_not_read_again() {
        let minutes = |minutes: i64| now() - TimeDelta::minutes(minutes);
        // Even after half a year without anything, and in bursts with quiet between them.
        let even: Vec<_> = (0..12_000).map(|n| minutes(60 + n * 3)).collect();
        let burst =
            |n: i64| (0..1_500).map(move |place| minutes(1_000 + n * 9_000) - TimeDelta::milliseconds(place * 400));
        for (times, most) in [(even, 150), ((0..8).flat_map(burst).collect(), 180)] {
            for concurrency in [1, 4] {
                let numbered = times.iter().enumerate();
                let events = numbered.map(|(n, time)| Event::minimal(Api::Mail, *time, n.to_string()));
                let options = Options::empty(Arc::new(now)).give(Api::Mail, events.collect());
                let (ranges, requests) =
                    ranges_and_requests(options, "yandex-mail", plan_of_days(180, concurrency)).await;
                let given: usize = ranges.iter().map(|(records, _)| records.len()).sum();
                assert_eq!(given, 12_000);
                // A page of a hundred, of which three are for the join.
                assert!(requests <= most, "{concurrency}: {requests}");
            }
        }
    }

    #[tokio::test]
    async fn of_slow_pages_no_more_are_read_before_the_first_is_handed_on_than_time_allows() {
        // A page is a hundred records of mail, ten of the feed, and takes at least 10 ms.
        for (api, stream, most) in [(Api::Mail, "yandex-mail", 700), (Api::Tfc, "tfc", 80)] {
            for concurrency in [1, 4] {
                let events = (0..3_000).map(|n| Event::minimal(api, now() - TimeDelta::seconds(n), n.to_string()));
                let events = events.take(if api == Api::Tfc { 190 } else { 3_000 }).collect();
                let mut options = Options::empty(Arc::new(now)).give(api, events);
                options.latency = Duration::from_millis(10);
                options[Api::Tfc].page_cap = Some(10);
                let plan = WalkPlan {
                    window: Window::new(now() - TimeDelta::hours(1), now()),
                    read_to: None,
                    files_beyond: false,
                    now: now(),
                    grace: TimeDelta::zero(),
                    max_pages: 20,
                    concurrency,
                    time_to_disk: Duration::from_millis(60),
                };
                let ranges = ranges(options, stream, plan).await;
                let largest = ranges.iter().map(|(records, _)| records.len()).max().unwrap();
                assert!(largest <= most, "{stream}, {concurrency}: {largest}");
            }
        }
    }

    proptest! {
        #![proptest_config(cases(24))]

        #[test]
        fn slices_that_are_fetched_concurrently_come_oldest_first_and_each_complete(
            ages in prop::collection::vec((0_i64..14 * 86_400, 1_usize..20), 1..60),
            dense in prop::option::of((0_i64..14 * 86_400, 100_usize..3_000)),
            concurrency in 1_usize..9,
            max_pages in 1_u32..4,
            is_port in any::<bool>(),
        ) {
            let (api, stream) = if is_port { (Api::Port, "port") } else { (Api::Mail, "yandex-mail") };
            let bursts = ages.into_iter().flat_map(|(age, count)| vec![age * 1000; count]);
            // A busy hour, so that slices overflow while later ones are in flight.
            let busy = dense.into_iter().flat_map(|(age, count)| (0..count as i64).map(move |n| age * 1000 + n * 1200));
            let events: Vec<Event> = bursts
                .chain(busy)
                .enumerate()
                .map(|(n, age)| Event::minimal(api, now() - TimeDelta::milliseconds(age), n.to_string()))
                .collect();
            let count = events.len() as u32;
            let plan = WalkPlan {
                window: Window::new(now() - TimeDelta::days(15), now()),
                read_to: None,
                files_beyond: false,
                now: now(),
                grace: TimeDelta::minutes(2),
                max_pages,
                concurrency,
                time_to_disk: TIME_TO_DISK,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ranges = runtime.block_on(ranges(Options::empty(Arc::new(now)).give(api, events), stream, plan));
            let mut filed = BTreeMap::new();
            let mut done = plan.window.from;
            for (records, done_to) in ranges {
                prop_assert!(done_to >= done);
                for (time, number) in records {
                    prop_assert!(time <= done_to);
                    prop_assert!(time >= done || filed.contains_key(&number));
                    filed.insert(number, time);
                }
                done = done_to;
            }
            prop_assert_eq!(filed.into_keys().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
    }
}
