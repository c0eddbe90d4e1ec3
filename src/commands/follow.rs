//! `trailkeeper collect --follow`: rounds until somebody asks to end, and word of them to whoever listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::pulse::Pulse;
use super::session::{self, Session};
use super::{print, stop_on_signals};
use crate::cli::Collect;
use crate::follow::{Plan, Round, follow};
use crate::metrics::export::MetricsFileError;
use crate::metrics::serve::{ListenError, Listener};
use crate::notify::Notifier;
use crate::run::StartError;
use crate::stop::Stop;
use crate::summary::Exit;
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
    let plan = Plan {
        range,
        interval: arguments.follow.interval.unwrap_or_default().0,
        clock,
    };
    match keep_running(arguments, session, plan).await {
        Ok(()) => Exit::Complete,
        Err(FollowError::Start(error)) => session::refuse(&error),
        Err(error) => {
            tracing::error!("{error}");
            Exit::Setup
        }
    }
}

async fn keep_running(arguments: &Collect, session: &Session, plan: Plan) -> Result<(), FollowError> {
    let stop = stop_on_signals();
    let manager = session.manager.as_ref();
    let notifier = Arc::new(Notifier::new(manager));
    let mut exporter = session.exporter(arguments)?;
    let listener = match arguments.follow.metrics_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let mut rounds = follow(
        &session.config.streams,
        plan,
        &session.targets,
        &session.progress,
        &stop,
    )?;
    let server = listener.map(|listener| tokio::spawn(serve(listener, exporter.text(), stop.clone())));
    tokio::spawn(stay_in_touch(
        Arc::clone(&notifier),
        manager.and_then(|manager| manager.watchdog),
        stop.clone(),
    ));
    notifier.ready(&format!("following {} streams", session.config.streams.len()));
    let mut states = BTreeMap::new();
    let mut pulse = Pulse::new(arguments, session, plan.clock);
    loop {
        let round = tokio::select! {
            round = rounds.recv() => round,
            beat = pulse.beat() => {
                exporter.update(|metrics| beat.show(metrics));
                continue;
            }
        };
        let Some(round) = round else { break };
        exporter.update(|metrics| metrics.run(&round.summary, round.times));
        if arguments.json {
            print_json(&round);
        }
        states.insert(round.summary.name(), state(&round));
        if !stop.is_requested() {
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

async fn serve(listener: Listener, text: tokio::sync::watch::Receiver<String>, stop: Stop) {
    let end = async move { stop.requested().await };
    if let Err(error) = listener.serve(text, end).await {
        tracing::error!("the figures are not served any more: {error}");
    }
}

/// Shows the service manager that tasks still run, twice as often as it wants to see it, and tells it of the end.
async fn stay_in_touch(notifier: Arc<Notifier>, watchdog: Option<Duration>, stop: Stop) {
    let Some(period) = watchdog.map(|watchdog| (watchdog / 2).max(Duration::from_millis(1))) else {
        stop.requested().await;
        return notifier.stopping();
    };
    let mut ticks = tokio::time::interval(period);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => notifier.alive(),
            () = stop.requested(), if !is_stopping => {
                is_stopping = true;
                notifier.stopping();
            }
        }
    }
}

/// A stream in a few words, for `systemctl status`.
fn state(round: &Round) -> String {
    let summary = &round.summary;
    let time = round.times.ended.format("%H:%M:%SZ");
    match summary.error() {
        None => format!("{} +{} at {time}", summary.name(), summary.appended()),
        Some(_) => format!("{} failed {} times, last at {time}", summary.name(), round.failures),
    }
}

fn print_json(round: &Round) {
    match serde_json::to_string(&round.summary) {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => tracing::error!("the summary cannot be written: {error}"),
    }
}
