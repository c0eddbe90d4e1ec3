//! `trailkeeper collect --follow`: rounds until somebody asks to end, and word of them to whoever listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::sampler::Sampler;
use super::session::{self, Session};
use crate::cli::Collect;
use crate::metrics::export::MetricsFileError;
use crate::metrics::serve::{ListenError, Listener};
use crate::output::print::print;
use crate::process::exit::Exit;
use crate::process::service_notifier::Notifier;
use crate::process::shutdown::Shutdown;
use crate::process::signals;
use crate::run::StartError;
use crate::run::follow::{FollowOptions, RunReport, follow};
use crate::window::Range;

/// Why the program could not begin.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    MetricsFile(#[from] MetricsFileError),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Collects until Ctrl-C or SIGTERM, which is the way to end and so no failure.
pub(super) async fn run(arguments: &Collect, session: &Session, range: Range, clock: fn() -> DateTime<Utc>) -> Exit {
    let options = FollowOptions {
        range,
        interval: arguments.follow.interval.unwrap_or_default().0,
        clock,
    };
    match keep_running(arguments, session, options).await {
        Ok(()) => Exit::Complete,
        Err(FollowError::Start(error)) => session::refuse(&error),
        Err(error) => {
            tracing::error!("{error}");
            Exit::Setup
        }
    }
}

async fn keep_running(arguments: &Collect, session: &Session, options: FollowOptions) -> Result<(), FollowError> {
    let shutdown = signals::shutdown();
    let manager = session.manager.as_ref();
    let notifier = Arc::new(Notifier::new(manager));
    let mut exporter = session.exporter(arguments)?;
    let listener = match arguments.follow.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let mut reports = follow(
        &session.config.streams,
        options,
        &session.targets,
        &session.progress,
        &shutdown,
    )?;
    let server = listener.map(|listener| tokio::spawn(serve(listener, exporter.text(), shutdown.clone())));
    tokio::spawn(stay_in_touch(
        Arc::clone(&notifier),
        manager.and_then(|manager| manager.watchdog),
        shutdown.clone(),
    ));
    notifier.ready(&format!("following {} streams", session.config.streams.len()));
    let mut states = BTreeMap::new();
    let mut sampler = Sampler::new(arguments, session, options.clock);
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            sample = sampler.sample() => {
                exporter.update(|metrics| sample.show(metrics));
                continue;
            }
        };
        let Some(report) = report else { break };
        exporter.update(|metrics| metrics.run(&report.summary, report.times));
        if arguments.json {
            print_json(&report);
        }
        states.insert(report.summary.name(), state(&report));
        if !shutdown.is_requested() {
            notifier.status(&states.values().cloned().collect::<Vec<_>>().join("; "));
        }
    }
    if let Some(server) = server {
        // It ends by the same wish; what became of it was logged there.
        let _ = server.await;
    }
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<Listener, ListenError> {
    let listener = Listener::bind(address).await?;
    let address = listener.address().unwrap_or(address);
    if !address.ip().is_loopback() {
        tracing::warn!("--metrics-listen: everybody who reaches {address} can read the figures");
    }
    tracing::info!("serving the figures at http://{address}/metrics");
    Ok(listener)
}

async fn serve(listener: Listener, text: tokio::sync::watch::Receiver<String>, shutdown: Shutdown) {
    let end = async move { shutdown.requested().await };
    if let Err(error) = listener.serve(text, end).await {
        tracing::error!("the figures are not served any more: {error}");
    }
}

/// Shows the service manager that tasks still run, twice as often as it wants to see it, and tells it of the end.
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

/// A stream in a few words, for `systemctl status`.
fn state(report: &RunReport) -> String {
    let summary = &report.summary;
    let time = report.times.ended.format("%H:%M:%SZ");
    match summary.error() {
        None => format!("{} +{} at {time}", summary.name(), summary.appended()),
        Some(_) => format!("{} failed {} times, last at {time}", summary.name(), report.failures),
    }
}

fn print_json(report: &RunReport) {
    match serde_json::to_string(&report.summary) {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => tracing::error!("the summary cannot be written: {error}"),
    }
}
