//! `trailkeeper collect --follow`: runs until a shutdown, and reports to the service manager and others meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use super::sampler::Sampler;
use super::{Arguments, exporter};
use crate::commands::error::CommandError;
use crate::commands::outcome::print_json;
use crate::commands::session::Session;
use crate::metrics::export::Exporter;
use crate::metrics::serve::{ListenError, Listener};
use crate::process::exit::Exit;
use crate::process::service_notifier::Notifier;
use crate::process::shutdown::Shutdown;
use crate::process::signals;
use crate::run::follow::{FollowOptions, RunReport, follow};
use crate::window::Range;

/// Collects until Ctrl-C or SIGTERM, which is the normal way to stop and not a failure.
pub(super) async fn run(
    arguments: &Arguments,
    session: &Session<'_>,
    range: Range,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let options = FollowOptions {
        range,
        interval: arguments.interval.unwrap_or_default().0,
        clock,
    };
    let shutdown = signals::shutdown();
    let notifier = Arc::new(Notifier::new(session.manager.as_ref()));
    let exporter = exporter(arguments, session).map_err(CommandError::start)?;
    let listener = bind(arguments.metrics_listen).await.map_err(CommandError::start)?;
    let (streams, targets) = (&session.config.streams, &session.targets);
    let reports = follow(streams, options, targets, &session.progress, &shutdown)?;
    let server = listener.map(|listener| tokio::spawn(serve(listener, exporter.text(), shutdown.clone())));
    let watchdog = session.manager.as_ref().and_then(|manager| manager.watchdog);
    tokio::spawn(stay_in_touch(Arc::clone(&notifier), watchdog, shutdown.clone()));
    notifier.ready(&format!("following {} streams", streams.len()));
    let observer = Observer {
        as_json: arguments.json,
        exporter,
        sampler: Sampler::new(arguments, session, clock),
        notifier,
        shutdown,
        exit: Exit::Complete,
        states: BTreeMap::new(),
    };
    let (mut exporter, exit) = observer.observe(reports).await;
    // The metrics count the lines that are missing in the log.
    session.log.drain();
    exporter.update(|_| {});
    if let Some(server) = server {
        // It ends by the same shutdown, and has logged its errors.
        let _ = server.await;
    }
    Ok(exit)
}

/// Reports the runs of all streams.
struct Observer {
    as_json: bool,
    exporter: Exporter,
    sampler: Sampler,
    notifier: Arc<Notifier>,
    shutdown: Shutdown,
    /// That of the command: a shutdown is no failure, but a summary that could not be written is one.
    exit: Exit,
    /// Each stream in a few words.
    states: BTreeMap<&'static str, String>,
}

impl Observer {
    /// Reports each run that ended, and samples meanwhile, until the last stream has ended.
    async fn observe(mut self, mut reports: mpsc::Receiver<RunReport>) -> (Exporter, Exit) {
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.show(&report),
                    None => return (self.exporter, self.exit),
                },
                sample = self.sampler.sample() => self.exporter.update(|metrics| sample.show(metrics)),
            }
        }
    }

    fn show(&mut self, report: &RunReport) {
        let summary = &report.summary;
        self.exporter.update(|metrics| metrics.run(summary, report.times));
        if self.as_json
            && let Err(error) = print_json(summary)
        {
            tracing::error!("a summary is lost: {error}");
            self.exit = Exit::Setup;
        }
        self.states.insert(summary.name(), state(report));
        if !self.shutdown.is_requested() {
            let states: Vec<_> = self.states.values().map(String::as_str).collect();
            self.notifier.status(&states.join("; "));
        }
    }
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
        tracing::warn!("--metrics-listen: everyone who can reach {address} can read the metrics");
    }
    tracing::info!("serving metrics at http://{address}/metrics");
    Ok(listener)
}

async fn serve(listener: Listener, text: watch::Receiver<String>, shutdown: Shutdown) {
    let end = async move { shutdown.requested().await };
    if let Err(error) = listener.serve(text, end).await {
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
