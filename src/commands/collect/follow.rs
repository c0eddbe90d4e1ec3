//! `trailkeeper collect --follow`: runs until a shutdown, and reports to the service manager and others meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, watch};

use super::sampler::Sampler;
use super::served_page::ServedPage;
use super::{Arguments, exporter, show_evidence, stream_names};
use crate::commands::error::CommandError;
use crate::commands::session::Session;
use crate::config::{StreamPlace, StreamSettings};
use crate::metrics::Metrics;
use crate::metrics::export::Exporter;
use crate::metrics::health::Health;
use crate::metrics::page_cache::PageCache;
use crate::metrics::serve::{ListenError, Listener, Served};
use crate::output::outlet::{Outlet, OutletError};
use crate::process::exit::Exit;
use crate::process::service_notifier::Notifier;
use crate::process::shutdown::{self, Shutdown, ShutdownTrigger};
use crate::process::signals::{self, Hangups};
use crate::run::follow::{FollowOptions, RunReport, follow};
use crate::run::summary::StreamSummary;
use crate::run::{StartError, client};
use crate::window::Range;

/// The least time between two seals.
const SEAL_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// Collects until Ctrl-C or SIGTERM, which is the normal way to stop and not a failure.
pub(super) async fn run(
    arguments: &Arguments,
    session: Session<'_>,
    range: Range,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let mut options = FollowOptions {
        range,
        interval: arguments.interval.unwrap_or_default().0,
        waits_for_locks: false,
        http: client(session.streams()).map_err(StartError::from)?,
        clock,
    };
    let (shutdown, hangups) = (signals::shutdown_of_service(), Hangups::listen());
    let notifier = Arc::new(Notifier::new(session.manager.as_ref()));
    let exporter = exporter(arguments, &session).map_err(CommandError::start)?;
    let listener = bind(arguments.metrics_listen).await.map_err(CommandError::start)?;
    let watchdog = session.manager.as_ref().and_then(|manager| manager.watchdog);
    let health = watch::Sender::new(Health::new(stream_names(&session), options.interval));
    let places = watch::Sender::new(places(&session));
    let mut observer = Observer {
        arguments,
        stdout: arguments.json.then(|| Outlet::new(io::stdout())),
        session,
        exporter,
        notifier,
        shutdown,
        hangups,
        exit: Exit::Complete,
        states: BTreeMap::new(),
        health,
        places,
        sealed_at: None,
        clock,
    };
    let mut phase = observer.begin(arguments, &options)?;
    let shutdown = || observer.shutdown.clone();
    let server = match listener {
        Some(listener) => Some(tokio::spawn(serve(listener, observer.served(clock)?, shutdown()))),
        None => None,
    };
    tokio::spawn(stay_in_touch(Arc::clone(&observer.notifier), watchdog, shutdown()));
    // What was noted before a reload tells the next phase where to begin.
    (options.range, options.waits_for_locks) = (Range::default(), true);
    while observer.observe(phase).await == PhaseEnd::Reload {
        options.http = client(observer.session.streams()).map_err(StartError::from)?;
        phase = observer.begin_anew(arguments, &options)?;
    }
    observer.sealed_at = None;
    observer.seal().await;
    observer.end();
    if let Some(server) = server {
        // It ends by the same shutdown, and has logged its errors.
        let _ = server.await;
    }
    Ok(observer.exit)
}

/// Collecting with the same settings.
struct Phase {
    reports: mpsc::Receiver<RunReport>,
    sampler: Sampler,
    /// Ends the phase, after the writes under way.
    stop: ShutdownTrigger,
}

/// Why a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PhaseEnd {
    Shutdown,
    /// The settings are others now.
    Reload,
}

/// Reports the runs of all streams.
struct Observer<'a> {
    arguments: &'a Arguments,
    session: Session<'a>,
    /// Where the summaries go with `--json`, as long as somebody reads them.
    stdout: Option<Outlet>,
    exporter: Exporter,
    notifier: Arc<Notifier>,
    shutdown: Shutdown,
    hangups: Hangups,
    /// That of the command: a shutdown is no failure, but a summary that could not be written is one.
    exit: Exit,
    /// Each stream in a few words.
    states: BTreeMap<&'static str, String>,
    /// How the last run of each stream ended.
    health: watch::Sender<Health>,
    /// Where the streams are kept, for the page.
    places: watch::Sender<Vec<StreamPlace>>,
    /// When it was sealed last.
    sealed_at: Option<DateTime<Utc>>,
    clock: fn() -> DateTime<Utc>,
}

impl Observer<'_> {
    /// Begins to collect with the settings of the session.
    fn begin(&self, arguments: &Arguments, options: &FollowOptions) -> Result<Phase, StartError> {
        let session = &self.session;
        let (stop, stopped) = shutdown::channel();
        let phase = Phase {
            reports: follow(&session.jobs(), options, &session.progress, &stopped)?,
            sampler: Sampler::new(arguments, session, options.clock),
            stop,
        };
        self.ready();
        Ok(phase)
    }

    /// The same after the settings were read again.
    fn begin_anew(&mut self, arguments: &Arguments, options: &FollowOptions) -> Result<Phase, StartError> {
        let names = stream_names(&self.session);
        let metrics = Metrics::new(names.iter().copied());
        self.exporter.go_on_with(metrics, arguments.only(&names));
        show_evidence(arguments, &self.session, &[], &mut self.exporter);
        self.states.retain(|name, _| names.contains(name));
        self.health.send_modify(|health| health.go_on_with(&names));
        self.places.send_replace(places(&self.session));
        self.begin(arguments, options)
    }

    /// Returns what the listener serves.
    fn served(&self, clock: fn() -> DateTime<Utc>) -> Result<Served, CommandError> {
        let mut page = ServedPage::of(self.places.subscribe(), clock);
        Ok(Served {
            text: self.exporter.text(),
            health: self.health.subscribe(),
            page: PageCache::start(Box::new(move || page.make())).map_err(CommandError::setup)?,
            clock,
        })
    }

    fn ready(&self) {
        let streams = self.session.streams().count();
        self.notifier.ready(&format!("following {streams} streams"));
    }

    /// Reports each run that ended, and samples meanwhile, until the last stream has ended.
    async fn observe(&mut self, mut phase: Phase) -> PhaseEnd {
        let mut end = PhaseEnd::Shutdown;
        let shutdown = self.shutdown.clone();
        let mut is_stopping = false;
        loop {
            tokio::select! {
                report = phase.reports.recv() => match report {
                    Some(report) => {
                        self.show(&report);
                        self.seal().await;
                    }
                    None if shutdown.is_requested() => return PhaseEnd::Shutdown,
                    None => return end,
                },
                sample = phase.sampler.sample() => self.exporter.update(|metrics| sample.show(metrics)),
                () = self.hangups.next() => if self.reload() {
                    end = PhaseEnd::Reload;
                    phase.stop.trigger();
                },
                () = shutdown.requested(), if !is_stopping => {
                    is_stopping = true;
                    phase.stop.trigger();
                }
            }
        }
    }

    /// Reads the settings again; returns whether they have changed. Wrong ones change nothing.
    fn reload(&mut self) -> bool {
        self.notifier.reloading();
        let changes = match self.session.reload() {
            Ok(changes) => changes,
            Err(errors) => {
                tracing::error!("the settings could not be read again, and stay as they were: {errors}");
                self.ready();
                return false;
            }
        };
        if changes.is_empty() {
            tracing::info!("the settings were read again: nothing has changed");
            self.ready();
            return false;
        }
        tracing::info!("the settings were read again, and the streams start anew with them: {changes} changed");
        true
    }

    fn show(&mut self, report: &RunReport) {
        let summary = &report.summary;
        self.exporter.update(|metrics| metrics.run(summary, report.times));
        self.print(summary);
        if !summary.is_stopped() {
            let is_complete = summary.error().is_none();
            self.health
                .send_modify(|health| health.run(summary.name(), report.times.ended, is_complete));
        }
        self.states.insert(summary.name(), state(report));
        if !self.shutdown.is_requested() {
            let states: Vec<_> = self.states.values().map(String::as_str).collect();
            self.notifier.status(&states.join("; "));
        }
    }

    /// Seals what was collected; not after the run of each stream, since they end one soon after the other.
    async fn seal(&mut self) {
        let now = (self.clock)();
        if self
            .sealed_at
            .is_none_or(|before| before + SEAL_PAUSE <= now || now < before)
        {
            // What is wrong is logged, and is no reason to end.
            let sealed = self.session.seal(now).await;
            show_evidence(self.arguments, &self.session, &sealed, &mut self.exporter);
            self.sealed_at = Some(now);
        }
    }

    fn print(&mut self, summary: &StreamSummary) {
        let Some(stdout) = &self.stdout else { return };
        if stdout.is_closed() {
            tracing::warn!("the reader of standard output has gone away: the summaries are printed no more");
            self.stdout = None;
            return;
        }
        let line = serde_json::to_string(summary).map_err(|error| OutletError::Write(error.into()));
        let outcome = line.and_then(|line| {
            stdout.offer(line + "\n");
            stdout.check()
        });
        self.lost(outcome);
    }

    fn lost(&mut self, outcome: Result<(), OutletError>) {
        if let Err(error) = outcome {
            tracing::error!("summaries on standard output are lost: {error}");
            self.exit = Exit::Setup;
        }
    }

    /// Waits for what is still to be written.
    fn end(&mut self) {
        if let Some(stdout) = &self.stdout {
            let outcome = stdout.drain();
            self.lost(outcome);
        }
        // The metrics count the lines that are missing in the log.
        self.session.log.drain();
        self.exporter.update(|_| {});
    }
}

/// Returns where the streams are kept.
fn places(session: &Session<'_>) -> Vec<StreamPlace> {
    session.streams().map(StreamSettings::place).collect()
}

/// Opens the listener of `--metrics-listen`, if that is given.
async fn bind(address: Option<SocketAddr>) -> Result<Option<Listener>, ListenError> {
    match address {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr) -> Result<Listener, ListenError> {
    let listener = Listener::bind(address).await?;
    let address = listener.address().unwrap_or(address);
    if !address.ip().is_loopback() {
        tracing::warn!(
            "--metrics-listen: everyone who can reach {address} can read the metrics and the page of the archive"
        );
    }
    tracing::info!("serving metrics at http://{address}/metrics, and a page of the archive at /");
    Ok(listener)
}

async fn serve(listener: Listener, served: Served, shutdown: Shutdown) {
    let end = async move { shutdown.requested().await };
    if let Err(error) = listener.serve(served, end).await {
        tracing::error!("metrics are no longer served: {error}");
    }
}

/// Tells the service manager that tasks still run, twice as often as it requires, and that a shutdown began.
async fn stay_in_touch(notifier: Arc<Notifier>, watchdog: Option<Duration>, shutdown: Shutdown) {
    let Some(period) = watchdog.map(|watchdog| (watchdog / 2).max(Duration::from_millis(1))) else {
        shutdown.requested().await;
        return notifier.stopping();
    };
    let mut ticks = tokio::time::interval(period);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => notifier.alive(),
            () = shutdown.requested(), if !is_stopping => {
                is_stopping = true;
                notifier.stopping();
            }
        }
    }
}

/// Describes a stream in a few words, for `systemctl status`.
fn state(report: &RunReport) -> String {
    let summary = &report.summary;
    let time = report.times.ended.format("%H:%M:%SZ");
    match summary.error() {
        None => format!("{} +{} at {time}", summary.name(), summary.appended()),
        Some(_) => format!("{} failed {} times, last at {time}", summary.name(), report.failures),
    }
}
