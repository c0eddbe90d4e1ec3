//! One stream of a bucket: it is collected again and again, for as long as its member has the bucket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::Instrument;

use super::committer::BucketClient;
use super::message::Messages;
use super::news::News;
use super::shared::Shared;
use super::state::KeptStream;
use super::writer::{FleetWriter, Known, Place};
use crate::config::{FleetStream, StreamSettings};
use crate::coverage::Scope;
use crate::process::shutdown::Shutdown;
use crate::run::follow::{RunReport, share, wait};
use crate::run::steps::StepSender;
use crate::run::stream::{RunContext, fetch};
use crate::run::summary::{StreamSummary, Times};
use crate::run::{CollectError, Collected};
use crate::window::{Range, bound};

/// A stream that is collected.
pub(super) struct Collecting {
    shared: Arc<Shared>,
    stream: FleetStream,
    name: String,
    bucket: i32,
    client: BucketClient,
    known: Known,
    messages: Messages,
    stop: Shutdown,
}

/// Returns the name of a stream in the state of its bucket: `ORGANIZATION/STREAM`, and `/STREAM` where there are no organizations.
pub(super) fn name_of(settings: &StreamSettings) -> String {
    let organization = settings.organization.map_or("", |organization| organization.name());
    format!("{organization}/{}", settings.kind.name)
}

impl Collecting {
    /// Goes on from what is known of a stream.
    pub(super) fn of(
        shared: &Arc<Shared>,
        stream: FleetStream,
        kept: KeptStream,
        (bucket, client): (i32, BucketClient),
        stop: Shutdown,
    ) -> Self {
        let KeptStream { state, identities } = kept;
        let scope = Scope::of(stream.settings.source.as_ref());
        let kafka = &shared.fleet.kafka;
        let messages = Messages::of(
            &stream,
            Arc::clone(&shared.rejected_topic),
            (kafka.partition_by, kafka.strict_json),
            shared.partitions_of(&stream.topic),
        );
        Self {
            known: Known::of(state, identities, scope, (shared.clock)()),
            name: name_of(&stream.settings),
            shared: Arc::clone(shared),
            stream,
            bucket,
            client,
            messages,
            stop,
        }
    }

    /// Collects until it is to stop, or nothing can be kept any more.
    pub(super) async fn keep_collecting(self) {
        // Adds the stream's name to each of its log lines; at the error level, so that `-q` keeps it.
        let span = tracing::error_span!("stream", stream = self.stream.settings.name());
        self.collect_again_and_again().instrument(span).await;
    }

    async fn collect_again_and_again(mut self) {
        let (mut failures, mut is_first) = (0, true);
        while !self.stop.is_requested() {
            if !self.shared.is_reachable_or(&self.stop).await {
                return;
            }
            let is_long = self.known.state.last_record.is_none();
            let shared = Arc::clone(&self.shared);
            let slot = shared.slots.take(async move { is_long }).await;
            let began = (self.shared.clock)();
            let collected = self.collect().await;
            drop(slot);
            log(&collected);
            match &collected.failure {
                Some(CollectError::BucketGone | CollectError::Stopped) => {
                    return self.tell(collected, began, failures, None);
                }
                Some(_) => failures += 1,
                None => failures = 0,
            }
            let interval = self.shared.interval;
            // From then on the streams of many organizations begin at different moments.
            let is_spread = is_first && failures == 0 && self.stream.settings.organization.is_some();
            let pause = if is_spread {
                interval.mul_f64(share(&self.name))
            } else {
                wait(interval, failures, fastrand::f64())
            };
            is_first = false;
            self.tell(collected, began, failures, Some(pause));
            pause_unless_stopped(&self.stop, pause).await;
        }
    }

    fn tell(&self, collected: Collected, began: DateTime<Utc>, failures: u32, wait: Option<Duration>) {
        let settings = &self.stream.settings;
        let times = Times {
            began,
            ended: (self.shared.clock)(),
        };
        self.shared.tell(News::Ran(Box::new(RunReport {
            summary: StreamSummary::new(settings.name(), collected).of(settings.organization),
            times,
            failures,
            wait,
        })));
    }

    /// Makes one run.
    async fn collect(&mut self) -> Collected {
        let settings = Arc::clone(&self.stream.settings);
        let context = RunContext {
            now: (self.shared.clock)(),
            began: Instant::now(),
            range: Range::default(),
            reconcile: false,
            starts_over: false,
            http: self.shared.http.clone(),
            hosts: Arc::clone(&self.shared.hosts),
            shutdown: self.stop.clone(),
        };
        let place = Place {
            name: &self.name,
            state_topic: &self.shared.state_topic,
            bucket: self.bucket,
            config: &self.shared.config,
            client: &self.client,
        };
        let (mut writer, recovered) =
            FleetWriter::new(&mut self.known, &settings, place, &mut self.messages, context.now);
        let (sender, steps) = StepSender::channel();
        let (ending, ()) = futures::join!(fetch(&settings, &context, sender, &recovered), writer.work(steps));
        writer.end(ending).await
    }
}

async fn pause_unless_stopped(stop: &Shutdown, pause: Duration) {
    tokio::select! {
        () = stop.requested() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

fn log(collected: &Collected) {
    match &collected.failure {
        None => tracing::info!(
            appended = collected.appended,
            duplicates = collected.duplicates,
            rejected = collected.rejected,
            revised = collected.revised,
            last_record = collected.last_record.map_or_else(|| "none".to_owned(), bound),
            "complete"
        ),
        Some(failure @ (CollectError::Stopped | CollectError::BucketGone)) => {
            tracing::info!(appended = collected.appended, "{failure}");
        }
        Some(failure) => tracing::error!(appended = collected.appended, "failed: {failure}"),
    }
}
