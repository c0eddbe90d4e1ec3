//! A bucket that a member has: taken over, collected, and let go of, or taken over anew after an error.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument, Span};

use super::committer::{self, BucketClient, BucketGone};
use super::news::News;
use super::shared::Shared;
use super::state::{BucketState, OwnerState};
use super::stream::{Collecting, name_of};
use crate::forward::kafka::fleet::{BucketError, BucketProducer, Outgoing, read_partitions};
use crate::process::shutdown::{self, Shutdown};

/// A member that was fenced hears within this time that the bucket is no longer its own, if that is so.
const AFTER_FENCING: Duration = Duration::from_secs(5);

/// The waits before a bucket is taken over anew, after the first failure and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often a member says that it has a bucket.
const BEAT: Duration = Duration::from_secs(60);

/// Why a bucket is not collected any more.
enum Ended {
    Stopped,
    Fenced,
    Failed(String),
}

impl From<BucketError> for Ended {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::Stopped => Self::Stopped,
            BucketError::Fenced => Self::Fenced,
            BucketError::Failed(problem) => Self::Failed(problem),
        }
    }
}

/// Has a bucket until it is to stop: then what is being committed is finished or aborted, and nothing else is begun.
pub(super) async fn keep(shared: Arc<Shared>, bucket: i32, stop: Shutdown) {
    let span = tracing::error_span!("bucket", bucket);
    async {
        let mut failures: u32 = 0;
        while !stop.is_requested() && shared.is_reachable_or(&stop).await {
            let pause = match hold(&shared, bucket, &stop).await {
                Ended::Stopped => return,
                Ended::Fenced => {
                    shared.tell(News::Fenced);
                    tracing::info!("another member has taken the bucket over");
                    failures = 0;
                    AFTER_FENCING
                }
                Ended::Failed(problem) => {
                    shared.tell(News::Failed);
                    failures += 1;
                    let pause = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT);
                    tracing::error!(
                        next_seconds = pause.as_secs(),
                        "the bucket cannot be collected: {problem}"
                    );
                    pause
                }
            };
            tokio::select! {
                () = stop.requested() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
    .instrument(span)
    .await;
}

/// Takes a bucket over, and collects its streams for as long as that goes well.
async fn hold(shared: &Arc<Shared>, bucket: i32, stop: &Shutdown) -> Ended {
    let since = (shared.clock)();
    let (producer, state) = match take_over(shared, bucket, stop).await {
        Ok(taken) => taken,
        Err(_) if stop.is_requested() => return Ended::Stopped,
        Err(ended) => return ended,
    };
    if let Err(error) = state.check(&shared.fleet.id, shared.buckets) {
        return Ended::Failed(error.to_string());
    }
    let (client, mut committing) = committer::start(producer, Arc::clone(&shared.rejected_topic));
    let beat = Beat {
        shared,
        bucket,
        since,
        client: client.clone(),
    };
    if beat.say().await.is_err() {
        drop((beat, client));
        return ended(committing.await);
    }
    let (end, streams_stop) = shutdown::channel();
    let mut streams = begin(shared, (bucket, client), state, &streams_stop);
    shared.tell(News::TakenOver);
    tracing::info!(streams = streams.len(), "the bucket is taken over");
    let why = watch(&beat, stop, &mut committing, &mut streams).await;
    end.trigger();
    while streams.join_next().await.is_some() {}
    if matches!(why, Some(Ended::Stopped)) {
        beat.say_no_more().await;
    }
    drop(beat);
    match why {
        // The last client is gone, so the thread ends.
        Some(why) if !committing.is_finished() => {
            let _ = committing.await;
            why
        }
        Some(why) => why,
        None => ended(committing.await),
    }
}

fn ended(joined: Result<Result<(), BucketError>, tokio::task::JoinError>) -> Ended {
    match joined {
        Ok(Ok(())) => Ended::Failed("its thread has ended".to_owned()),
        Ok(Err(error)) => error.into(),
        Err(_) => Ended::Failed("its thread panicked; please report it".to_owned()),
    }
}

/// Waits until the bucket is to be let go of, and says so to others meanwhile; `None` if its thread has ended, and says why.
async fn watch(
    beat: &Beat<'_>,
    stop: &Shutdown,
    committing: &mut JoinHandle<Result<(), BucketError>>,
    streams: &mut JoinSet<()>,
) -> Option<Ended> {
    let mut beats = interval_at(Instant::now() + BEAT, BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return Some(Ended::Stopped),
            Some(joined) = streams.join_next() => match joined {
                Err(error) => return Some(Ended::Failed(format!("an internal error: {error}; please report it"))),
                // It has found out first that nothing can be kept any more.
                Ok(()) if streams.is_empty() => return None,
                Ok(()) => {}
            },
            _ = beats.tick() => if beat.say().await.is_err() {
                return None;
            },
            () = ended_by_itself(committing) => return None,
        }
    }
}

/// Waits until the thread has ended, and leaves its result where it is.
async fn ended_by_itself(committing: &JoinHandle<Result<(), BucketError>>) {
    while !committing.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Fences the member before, and only then reads the state.
async fn take_over(shared: &Arc<Shared>, bucket: i32, stop: &Shutdown) -> Result<(BucketProducer, BucketState), Ended> {
    let (shared, stop, span) = (Arc::clone(shared), stop.clone(), Span::current());
    let taken = spawn_blocking(move || {
        span.in_scope(|| {
            let fleet = &shared.fleet;
            let id = format!("{}.{bucket}", fleet.id);
            let now = (shared.clock)();
            let producer = BucketProducer::begin(&fleet.kafka, id, &fleet.state_topic, &stop, now)?;
            let mut state = BucketState::default();
            let read = read_partitions(
                &fleet.kafka,
                &fleet.id,
                (&fleet.state_topic, [bucket]),
                &stop,
                |message| state.take(message.key, message.value),
            );
            read.map_err(Ended::Failed)?;
            Ok((producer, state))
        })
    });
    taken
        .await
        .unwrap_or_else(|_| Err(Ended::Failed("taking it over panicked; please report it".to_owned())))
}

/// Begins to collect the streams of a bucket.
fn begin(
    shared: &Arc<Shared>,
    (bucket, client): (i32, BucketClient),
    mut state: BucketState,
    stop: &Shutdown,
) -> JoinSet<()> {
    let mut streams = JoinSet::new();
    for stream in shared.streams_of(bucket) {
        let kept = state.streams.remove(&name_of(&stream.settings)).unwrap_or_default();
        if kept.state.as_ref().is_some_and(|state| state.is_released) {
            tracing::warn!(
                stream = stream.settings.name(),
                "not collected: it was given back to one machine; take its topic out of the settings, or take its catalog over again"
            );
            continue;
        }
        let collecting = Collecting::of(shared, stream.clone(), kept, (bucket, client.clone()), stop.clone());
        streams.spawn(collecting.keep_collecting().in_current_span());
    }
    streams
}

/// Says to others that this member has the bucket.
struct Beat<'a> {
    shared: &'a Shared,
    bucket: i32,
    since: DateTime<Utc>,
    client: BucketClient,
}

impl Beat<'_> {
    async fn say(&self) -> Result<(), BucketGone> {
        let Self { shared, since, .. } = self;
        let now = (shared.clock)();
        let (key, value) = OwnerState::new(&shared.member, &shared.config, *since, now).message();
        self.commit(key, Some(value), now).await
    }

    /// Says that nobody has the bucket. Who has taken it over says otherwise, and this is refused.
    async fn say_no_more(&self) {
        let _ = self.commit(OwnerState::key(), None, (self.shared.clock)()).await;
    }

    async fn commit(&self, key: Vec<u8>, payload: Option<Vec<u8>>, now: DateTime<Utc>) -> Result<(), BucketGone> {
        let message = Outgoing {
            topic: Arc::clone(&self.shared.state_topic),
            partition: Some(self.bucket),
            key,
            payload,
            time: None,
            headers: Vec::new(),
        };
        self.client.commit(Vec::new(), vec![message], now).await.map(drop)
    }
}
