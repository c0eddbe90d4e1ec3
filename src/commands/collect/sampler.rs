//! Metrics during runs: what they have appended so far, and how far the forwarders are behind.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::Arguments;
use crate::commands::session::Session;
use crate::config::StreamPlace;
use crate::forward::lag::{Lag, lags};
use crate::metrics::Metrics;
use crate::output::progress::Progress;

/// How often samples are taken.
const PERIOD: Duration = Duration::from_secs(2);

/// Sampling takes at most one part in this many of the time, since it counts the lines of a long queue each time.
const SHARE: u32 = 20;

/// Takes a sample every few seconds, if the metrics are exported.
pub(super) struct Sampler {
    /// `None` if they are not.
    archives: Option<Vec<Forwarded>>,
    progress: Progress,
    clock: fn() -> DateTime<Utc>,
    next: Instant,
}

/// A stream and the sinks that it is forwarded to.
#[derive(Clone)]
struct Forwarded {
    place: StreamPlace,
    sinks: Vec<&'static str>,
}

/// The metrics of one moment.
pub(super) struct Sample {
    appended: BTreeMap<&'static str, u64>,
    lags: Vec<(&'static str, Lag)>,
}

impl Sampler {
    /// Creates the sampler of a session, which is idle unless the arguments ask for metrics.
    pub(super) fn new(arguments: &Arguments, session: &Session<'_>, clock: fn() -> DateTime<Utc>) -> Self {
        let archives = session.members.iter().flat_map(|member| {
            let sinks: Vec<_> = member.targets.list.iter().map(|target| target.name()).collect();
            let streams = member.config.streams.iter();
            streams.map(move |settings| Forwarded {
                place: settings.place(),
                sinks: sinks.clone(),
            })
        });
        Self {
            archives: arguments.has_metrics().then(|| archives.collect()),
            progress: session.progress.clone(),
            clock,
            next: Instant::now(),
        }
    }

    /// Waits for the next sample. A cancelled wait shortens the next one.
    pub(super) async fn sample(&mut self) -> Sample {
        let Some(archives) = self.archives.clone() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(self.next).await;
        let (started, now) = (Instant::now(), (self.clock)());
        let measured = tokio::task::spawn_blocking(move || {
            let of_all = archives.iter().flat_map(|archive| archive.lags(now));
            of_all.collect()
        });
        // What cannot be measured is left unchanged.
        let lags = measured.await.unwrap_or_default();
        self.next = Instant::now() + PERIOD.max(started.elapsed() * SHARE);
        Sample {
            appended: self.progress.appended(),
            lags,
        }
    }
}

impl Forwarded {
    /// Measures the lag of each sink that is still forwarded to; for others it means nothing.
    fn lags(&self, now: DateTime<Utc>) -> Vec<(&'static str, Lag)> {
        if self.sinks.is_empty() {
            return Vec::new();
        }
        let StreamPlace { kind, location, .. } = &self.place;
        let all = lags(location, kind.name, kind.shape, now).into_iter();
        all.filter(|lag| self.sinks.contains(&lag.sink) && lag.problem.is_none())
            .map(|lag| (self.place.name(), lag))
            .collect()
    }
}

impl Sample {
    /// Copies the sample into the metrics.
    pub(super) fn show(&self, metrics: &mut Metrics) {
        for (stream, appended) in &self.appended {
            metrics.under_way(stream, *appended);
        }
        for (stream, lag) in &self.lags {
            let seconds = lag.oldest_waiting_seconds.unwrap_or(0).max(0);
            // What is not known is left unchanged.
            if let Some(waiting) = lag.waiting {
                metrics.lag(stream, lag.sink, waiting, seconds as f64);
            }
        }
    }
}
