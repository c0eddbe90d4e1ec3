//! The sinks of a run, and the forwarders of a stream, each on its own thread.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::forwarder::{ForwardError, Forwarded, Forwarder, Job, StartPosition};
use super::http::HttpSink;
use super::kafka::{self, KafkaSink};
use super::message::Envelope;
use super::sink::{Sink, SinkError};
use super::stdout::Output;
use crate::archive::SINKS;
use crate::config::{HttpSettings, KafkaSettings, StdoutSettings, StreamPlace};
use crate::output::progress::Progress;
use crate::process::shutdown::Shutdown;

/// One sink of a run.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A Kafka topic for each stream.
    Kafka(KafkaSettings),
    Http(HttpSettings),
    Stdout(StdoutSettings),
}

/// The sinks of a run; none by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    pub(crate) list: Vec<Target>,
    /// Where a stream without a cursor starts; `None` if that was not said.
    pub(crate) start: Option<StartPosition>,
    /// Send only records of this time, again, and leave the cursors alone.
    pub(crate) replay: Option<Range<DateTime<Utc>>>,
    /// Send strict copies to all of them; else each has its own setting.
    pub(crate) strict_json: bool,
    /// The streams that this process has forwarded, with the sinks.
    pub(crate) begun: Begun,
    /// What was begun with Kafka in one round and is used in the next.
    pub(crate) sessions: kafka::Pool,
}

/// Streams with the sinks that they were forwarded to; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begun(Arc<Mutex<BTreeSet<(&'static str, &'static str)>>>);

impl Begun {
    /// Returns whether this is the first time.
    fn begin(&self, stream: &'static str, sink: &'static str) -> bool {
        // A panic while it was held cannot leave it half changed.
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert((stream, sink))
    }
}

/// What the forwarders of a run share.
#[derive(Clone, Debug)]
pub(crate) struct ForwardContext {
    pub(crate) now: DateTime<Utc>,
    pub(crate) progress: Progress,
    /// Ends the forwarders early.
    pub(crate) shutdown: Shutdown,
}

impl Target {
    /// Returns its name in commands, summaries and the name of its cursor file.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Target::Kafka(_) => SINKS[0],
            Target::Http(_) => SINKS[1],
            Target::Stdout(_) => SINKS[2],
        }
    }

    /// Returns a warning about its settings, if there is one.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<&'static str> {
        match self {
            Target::Kafka(settings) => settings.warning(),
            Target::Http(settings) => settings.warning(),
            Target::Stdout(_) => None,
        }
    }

    /// Returns its setting for strict copies.
    fn strict_json(&self) -> bool {
        match self {
            Target::Kafka(settings) => settings.strict_json,
            Target::Http(settings) => settings.strict_json,
            Target::Stdout(settings) => settings.strict_json,
        }
    }

    fn sink(
        &self,
        envelope: &Envelope,
        context: &ForwardContext,
        sessions: &kafka::Pool,
    ) -> Result<Box<dyn Sink>, SinkError> {
        let (shutdown, now) = (&context.shutdown, context.now);
        Ok(match self {
            Target::Kafka(settings) if settings.transactional_id.is_some() && !envelope.is_replay => {
                kafka::transactional(settings, envelope, shutdown, now, sessions)
            }
            Target::Kafka(settings) => Box::new(KafkaSink::new(settings, envelope, shutdown, now, sessions)?),
            Target::Http(settings) => Box::new(HttpSink::new(settings, envelope, shutdown)?),
            Target::Stdout(_) => Box::new(Output::new(std::io::stdout(), envelope.organization)),
        })
    }
}

/// Notifies the forwarders of a stream of appended lines; dropping it tells them that no more will come.
#[derive(Debug)]
pub(crate) struct AppendNotifier(watch::Sender<()>);

impl AppendNotifier {
    /// Creates a notifier without listeners.
    #[must_use]
    pub(crate) fn disconnected() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Notifies the forwarders that lines were appended.
    pub(crate) fn notify(&self) {
        self.0.send_replace(());
    }
}

/// The running forwarders of one stream.
#[derive(Debug)]
pub(crate) struct Forwarding {
    failed: Vec<Forwarded>,
    running: Vec<(&'static str, JoinHandle<Forwarded>)>,
}

impl Targets {
    /// Whether there are no sinks.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Starts the forwarders of a stream: they lock their cursors at once and send lines on threads of their own.
    ///
    /// They forward what there is, again at each notification, and end after the notifier is dropped. One that cannot
    /// start does not affect the others or the collecting.
    pub(crate) async fn start(self, place: StreamPlace, context: ForwardContext) -> (AppendNotifier, Forwarding) {
        let span = tracing::Span::current();
        let sinks: Vec<_> = self.list.iter().map(Target::name).collect();
        // The cursors are files: not to be read on the request thread.
        let started = tokio::task::spawn_blocking(move || span.in_scope(|| self.open_all(&place, &context)));
        started.await.unwrap_or_else(|_| {
            let failure = || ForwardError::Internal("the start of the forwarders panicked".into());
            let forwarding = Forwarding {
                failed: sinks
                    .into_iter()
                    .map(|sink| Forwarded::failed(sink, failure()))
                    .collect(),
                running: Vec::new(),
            };
            (AppendNotifier::disconnected(), forwarding)
        })
    }

    fn open_all(&self, place: &StreamPlace, context: &ForwardContext) -> (AppendNotifier, Forwarding) {
        let notifier = AppendNotifier::disconnected();
        let mut forwarding = Forwarding {
            failed: Vec::new(),
            running: Vec::new(),
        };
        for target in &self.list {
            match self.open(target, place, context) {
                Ok(forwarder) => {
                    let mut notifications = notifier.0.subscribe();
                    let runtime = tokio::runtime::Handle::current();
                    let more = move || runtime.block_on(notifications.changed()).is_ok();
                    let span = tracing::Span::current();
                    let task = tokio::task::spawn_blocking(move || span.in_scope(|| forwarder.run(more)));
                    forwarding.running.push((target.name(), task));
                }
                Err(error) => forwarding.failed.push(Forwarded::failed(target.name(), error)),
            }
        }
        (notifier, forwarding)
    }

    fn open(&self, target: &Target, place: &StreamPlace, context: &ForwardContext) -> Result<Forwarder, ForwardError> {
        let stream = place.kind.name;
        let envelope = Envelope {
            stream,
            organization: place.organization,
            location: place.location.clone(),
            is_replay: self.replay.is_some(),
        };
        let sink = target.sink(&envelope, context, &self.sessions)?;
        let job = Job {
            envelope,
            shape: place.kind.shape,
            sink: target.name(),
            start: self.start,
            replay: self.replay.clone(),
            strict_json: self.strict_json || target.strict_json(),
            now: context.now,
            is_first: self.begun.begin(place.name(), target.name()),
        };
        let progress = context.progress.forward(place.name(), target.name());
        Forwarder::open(job, sink, progress, context.shutdown.clone())
    }
}

impl Forwarding {
    /// Waits until all of them have ended, which they do after the notifier is dropped, and logs the results.
    pub(crate) async fn finish(self) -> Vec<Forwarded> {
        let mut all = self.failed;
        for (sink, task) in self.running {
            let forwarded = task.await.unwrap_or_else(|_| {
                let failure = ForwardError::Internal("the thread of a forwarder panicked".into());
                Forwarded::failed(sink, failure)
            });
            all.push(forwarded);
        }
        for forwarded in &all {
            log(forwarded);
        }
        all
    }
}

fn log(forwarded: &Forwarded) {
    let Forwarded {
        sink,
        sent,
        repaired,
        waiting,
        undelivered,
        skipped,
        failure,
        ..
    } = forwarded;
    match failure {
        None => tracing::info!(sink, sent, repaired, waiting, undelivered, skipped, "forwarded"),
        Some(failure) if failure.is_undecided() => {
            tracing::error!(sink, sent, waiting, undelivered, "forwarding failed: {failure}");
        }
        // Whoever asks for that knows it.
        Some(failure) if failure.is_stop() => tracing::warn!(
            sink,
            sent,
            repaired,
            waiting,
            undelivered,
            "forwarding was {failure}; the next run goes on from here"
        ),
        Some(failure) => tracing::error!(
            sink,
            sent,
            repaired,
            waiting,
            undelivered,
            "forwarding failed: {failure}; the next run goes on from here"
        ),
    }
}
