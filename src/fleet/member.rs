//! A member of a fleet: it joins the group, has the buckets that the group gives it, and lets go of those that it takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::bucket::bucket_of;
use super::held_bucket;
use super::making::{CheckedTopics, check_topics};
use super::news::News;
use super::shared::Shared;
use crate::config::{FleetSettings, FleetStream};
use crate::forward::kafka::fleet::{Group, GroupEvent};
use crate::process::host_name::host_name;
use crate::process::shutdown::{self, Shutdown, ShutdownTrigger};
use crate::run::slots::Slots;
use crate::run::{StartError, client, hosts_of};

/// What a member is told.
pub(crate) struct MemberOptions {
    pub(crate) fleet: FleetSettings,
    pub(crate) streams: Vec<FleetStream>,
    /// The version of the settings, in hexadecimal digits.
    pub(crate) config: String,
    /// The wait between the end of a run of a stream and the start of the next.
    pub(crate) interval: Duration,
    /// Returns the current time.
    pub(crate) clock: fn() -> DateTime<Utc>,
    /// Told what happens.
    pub(crate) news: mpsc::UnboundedSender<News>,
}

/// Why a member cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    /// A topic is not as it has to be, or Kafka cannot be used.
    #[error("{0}")]
    Kafka(String),
    /// The client for the services cannot be set up.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A bucket that is held.
struct Held {
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
}

/// The buckets of a member. Their epochs are in order: one that was taken away and is given back begins when it has ended.
struct Buckets {
    shared: Arc<Shared>,
    held: HashMap<i32, Held>,
    /// Those that are ending.
    ending: HashMap<i32, JoinHandle<()>>,
}

impl Buckets {
    fn assign(&mut self, buckets: &[i32]) {
        for bucket in buckets {
            let (stop, stopped) = shutdown::channel();
            let (shared, bucket) = (Arc::clone(&self.shared), *bucket);
            let before = self.ending.remove(&bucket);
            let task = tokio::spawn(async move {
                if let Some(before) = before {
                    // Whatever became of it.
                    let _ = before.await;
                }
                held_bucket::keep(shared, bucket, stopped).await;
            });
            if let Some(twice) = self.held.insert(bucket, Held { stop, task }) {
                twice.stop.trigger();
            }
        }
        self.tell();
    }

    /// Has buckets end, and does not wait for that: the member who gets them fences what goes on.
    fn revoke(&mut self, buckets: &[i32]) {
        for bucket in buckets {
            if let Some(Held { stop, task }) = self.held.remove(bucket) {
                stop.trigger();
                self.ending.insert(*bucket, task);
            }
        }
        self.ending.retain(|_, task| !task.is_finished());
        self.tell();
    }

    fn tell(&self) {
        let streams = self.held.keys().flat_map(|bucket| self.shared.streams_of(*bucket));
        self.shared.tell(News::Holds {
            buckets: self.held.len(),
            streams: streams.map(|stream| stream.settings.name()).collect(),
        });
    }

    /// Ends all of them, and waits until they have ended.
    async fn end(mut self) {
        let held: Vec<_> = self.held.keys().copied().collect();
        self.revoke(&held);
        for (_, task) in self.ending {
            let _ = task.await;
        }
    }
}

/// Collects as a member of a fleet until a shutdown.
///
/// # Errors
/// If a topic is not as it has to be, or the group cannot be joined.
pub(crate) async fn run(options: MemberOptions, shutdown: &Shutdown) -> Result<(), MemberError> {
    let MemberOptions {
        fleet,
        streams,
        config,
        interval,
        clock,
        news,
    } = options;
    let CheckedTopics {
        buckets,
        partitions,
        warnings,
    } = check_topics(&fleet, &streams).await.map_err(MemberError::Kafka)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let settings = || streams.iter().map(|stream| &*stream.settings);
    let (http, hosts) = (client(settings()).map_err(StartError::from)?, hosts_of(settings()));
    let slots = Arc::new(Slots::of(streams.len()));
    let (sender, mut events) = mpsc::unbounded_channel();
    let group = Group::join(&fleet.kafka, (&fleet.id, &fleet.state_topic), sender).map_err(MemberError::Kafka)?;
    let shared = Arc::new(Shared {
        state_topic: fleet.state_topic.as_str().into(),
        rejected_topic: fleet.rejected_topic.as_str().into(),
        buckets,
        partitions,
        streams: by_bucket(streams, buckets),
        http,
        hosts,
        slots,
        config,
        member: member_name(),
        interval,
        clock,
        news,
        is_reachable: group.reachable(),
        fleet,
    });
    shared.tell(News::Joined {
        member: shared.member.clone(),
    });
    tracing::info!(
        member = shared.member,
        buckets,
        config = shared.config,
        "joining the fleet"
    );
    let mut all = Buckets {
        shared,
        held: HashMap::new(),
        ending: HashMap::new(),
    };
    let refused = serve(&mut all, &mut events, shutdown).await;
    all.end().await;
    // What it had is free for others at once. If that fails, they wait for the end of its session.
    let _ = spawn_blocking(move || group.leave()).await;
    refused.map_or(Ok(()), |problem| Err(MemberError::Kafka(problem)))
}

/// Does what the group says until a shutdown; returns why the group cannot be joined, if so.
async fn serve(
    all: &mut Buckets,
    events: &mut mpsc::UnboundedReceiver<GroupEvent>,
    shutdown: &Shutdown,
) -> Option<String> {
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => return None,
            event = events.recv() => match event {
                Some(GroupEvent::Assigned(buckets)) => {
                    if buckets.is_empty() {
                        tracing::debug!("no more buckets are assigned");
                    } else {
                        tracing::info!(?buckets, "assigned");
                    }
                    all.assign(&buckets);
                }
                Some(GroupEvent::Revoked(buckets)) => {
                    tracing::info!(?buckets, "revoked");
                    all.revoke(&buckets);
                }
                Some(GroupEvent::Refused(problem)) => return Some(problem),
                None => return Some("the thread of the group has ended; please report it".to_owned()),
            },
        }
    }
}

fn by_bucket(streams: Vec<FleetStream>, buckets: i32) -> BTreeMap<i32, Vec<FleetStream>> {
    let mut all: BTreeMap<i32, Vec<FleetStream>> = BTreeMap::new();
    for stream in streams {
        let organization = stream
            .settings
            .organization
            .map_or("", |organization| organization.name());
        all.entry(bucket_of(organization, buckets)).or_default().push(stream);
    }
    all
}

/// Returns a name by which a member is told from others: its host's, and digits that no other process has.
fn member_name() -> String {
    let digits = fastrand::u32(..);
    let host = host_name().unwrap_or_else(|| "member".to_owned());
    format!("{host}-{digits:08x}")
}
