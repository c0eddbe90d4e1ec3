//! What all buckets of a member share: settings, topics, the clients of the services, and whom to tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use super::news::News;
use crate::config::{FleetSettings, FleetStream};
use crate::fetch::host::Hosts;
use crate::http::Http;
use crate::process::shutdown::Shutdown;
use crate::run::slots::Slots;

/// What all buckets of a member share.
pub(super) struct Shared {
    pub(super) fleet: FleetSettings,
    pub(super) state_topic: Arc<str>,
    pub(super) rejected_topic: Arc<str>,
    pub(super) buckets: i32,
    /// How many partitions each topic has.
    pub(super) partitions: BTreeMap<String, i32>,
    pub(super) streams: BTreeMap<i32, Vec<FleetStream>>,
    pub(super) http: Http,
    pub(super) hosts: Arc<Hosts>,
    pub(super) slots: Arc<Slots>,
    pub(super) config: String,
    pub(super) member: String,
    pub(super) interval: Duration,
    pub(super) clock: fn() -> DateTime<Utc>,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Whether a broker answered lately.
    pub(super) is_reachable: watch::Receiver<bool>,
}

impl Shared {
    /// Tells what has happened; if nobody listens any more, the member is about to end.
    pub(super) fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }

    /// Returns the streams of a bucket.
    pub(super) fn streams_of(&self, bucket: i32) -> &[FleetStream] {
        self.streams.get(&bucket).map_or(&[], Vec::as_slice)
    }

    /// Returns how many partitions a topic has.
    pub(super) fn partitions_of(&self, topic: &str) -> i32 {
        self.partitions.get(topic).copied().unwrap_or(1)
    }

    /// Waits until a broker answers: what is fetched could not be kept. Returns `false` if it is to stop before that.
    pub(super) async fn is_reachable_or(&self, stop: &Shutdown) -> bool {
        let mut reachable = self.is_reachable.clone();
        tokio::select! {
            () = stop.requested() => false,
            answered = reachable.wait_for(|is_reachable| *is_reachable) => answered.is_ok(),
        }
    }
}
