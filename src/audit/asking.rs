//! Asks a service again for some hours, by the walk that runs use, with its proofs. Nothing that earlier runs have learned of the
//! service is believed: it stands in the archive that is audited.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::compare::{GivenHour, GivenRecord};
use super::hour::Hour;
use crate::config::StreamSettings;
use crate::fetch::host::Hosts;
use crate::fetch::plan::{TIME_TO_DISK, WalkPlan};
use crate::fetch::walk::Walk;
use crate::fetch::{Fetcher, WalkEnd};
use crate::http::Http;
use crate::http::retry::RetryPolicy;
use crate::record::{Reader, Record};
use crate::source::Paging;
use crate::window::Window;

/// How often a span is walked of which answers lacked records that others to the same request held.
const WALKS: usize = 3;

const LAPSED: &str = "answers lacked records that others to the same request held";

/// What a service gave of some hours.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) hours: BTreeMap<Hour, GivenHour>,
    /// Records that no day file can hold: of which hour they are is not known.
    pub(crate) rejected: Vec<u128>,
    pub(crate) requests: u64,
    pub(crate) remarks: Vec<String>,
}

/// Asks for these hours, which are in order.
pub(crate) async fn ask(
    settings: &StreamSettings,
    (http, hosts): (&Http, &Hosts),
    hours: &[Hour],
    now: DateTime<Utc>,
) -> Given {
    let limits = &settings.limits;
    let policy = RetryPolicy {
        max_retries: limits.max_retries,
        delay: limits.retry_delay,
    };
    let fetcher = Fetcher::new(
        settings.source.clone(),
        http.with_timeout(limits.request_timeout),
        policy,
    )
    .sharing(
        hosts.share(settings.source.address(), settings.organization),
        limits.concurrency,
    );
    let mut asking = Asking {
        fetcher: &fetcher,
        reader: Reader::new(settings.kind.shape),
        given: Given {
            hours: hours.iter().map(|hour| (*hour, GivenHour::default())).collect(),
            ..Given::default()
        },
    };
    for window in spans(hours, settings.source.paging()) {
        let plan = WalkPlan {
            window,
            read_to: None,
            files_beyond: false,
            now,
            grace: limits.overlap,
            max_pages: limits.max_pages,
            concurrency: limits.concurrency,
            time_to_disk: TIME_TO_DISK,
        };
        asking.ask_for(plan).await;
    }
    asking.finish()
}

/// Returns the spans to walk: hours in a row together, and all at once if every walk begins with what is newest.
fn spans(hours: &[Hour], paging: Paging) -> Vec<Window> {
    let mut spans: Vec<(Hour, Hour)> = Vec::new();
    for hour in hours {
        match spans.last_mut() {
            Some((_, last)) if paging == Paging::Numbered || last.end() == hour.begin() => *last = *hour,
            _ => spans.push((*hour, *hour)),
        }
    }
    let window = |(first, last): (Hour, Hour)| Window::new(first.begin(), last.end());
    spans.into_iter().map(window).collect()
}

struct Asking<'a> {
    fetcher: &'a Fetcher,
    reader: Reader,
    given: Given,
}

impl Asking<'_> {
    /// Walks a span until no answer lacks anything.
    async fn ask_for(&mut self, plan: WalkPlan) {
        let mut unproved = None;
        for _ in 0..WALKS {
            unproved = self.walk(plan).await;
            if unproved.as_ref().is_none_or(|(_, reason)| reason != LAPSED) {
                break;
            }
        }
        let Some((proved_to, reason)) = unproved else { return };
        let window = plan.window;
        for (hour, given) in &mut self.given.hours {
            if window.from <= hour.begin() && hour.end() <= window.to && hour.end() > proved_to {
                given.unproved = Some(reason.clone());
            }
        }
    }

    /// Walks a span once; returns up to where everything was given, and why not further, if it was not all.
    async fn walk(&mut self, plan: WalkPlan) -> Option<(DateTime<Utc>, String)> {
        let fetcher = self.fetcher;
        let mut walk = Walk::new(fetcher, plan);
        let mut proved_to = plan.window.from;
        let failed = loop {
            match walk.next_range().await {
                Ok(Some(range)) => {
                    proved_to = range.done_to;
                    self.note(range.records);
                    self.given
                        .rejected
                        .extend(range.rejected.iter().map(|rejected| rejected.content));
                }
                Ok(None) => break None,
                Err(error) => break Some((proved_to, error.to_string())),
            }
        };
        // What came and was not proved was given all the same.
        let end = if failed.is_some() {
            WalkEnd::Early
        } else {
            WalkEnd::Reached
        };
        let left = fetcher.take_left_over(end);
        self.note(left.records);
        self.given
            .rejected
            .extend(left.rejected.iter().map(|rejected| rejected.content));
        let lapsed = || (plan.window.from, LAPSED.to_owned());
        failed.or_else(|| walk.has_lapsed().then(lapsed))
    }

    fn note(&mut self, records: Vec<Record>) {
        for record in records {
            if let Some(hour) = self.given.hours.get_mut(&Hour::of(record.time)) {
                let id = self.reader.identify_with_id(&record.line).ok().and_then(|(_, id)| id);
                hour.records.push(GivenRecord {
                    record: record.identified(),
                    id,
                });
            }
        }
    }

    fn finish(mut self) -> Given {
        self.given.requests = self.fetcher.request_counts().requests;
        self.given.remarks.extend(self.fetcher.warning());
        self.given.rejected.sort_unstable();
        self.given.rejected.dedup();
        self.given
    }
}
