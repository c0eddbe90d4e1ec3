//! `trailkeeper collect --follow`: runs until a shutdown, and reports to the service manager and others meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::sampler::Sampler;
use super::served_page::ServedPage;
use super::{Arguments, exporter, show_evidence, stream_names};
use crate::commands::error::CommandError;
use crate::commands::session::{Occasion, Session};
use crate::config::{StreamPlace, StreamSettings};
use crate::metrics::Metrics;
use crate::metrics::export::Exporter;
use crate::metrics::health::Health;
use crate::metrics::page_cache::PageCache;
use crate::metrics::serve::{ListenError, Listener, Served};
use crate::output::outlet::{Outlet, OutletError};
use crate::process::exit::Exit;
use crate::process::service_notifier::Notifier;
use crate::process::shutdown::Shutdown;
use crate::process::signals::{self, Hangups};
use crate::run::follow::{FollowOptions, RunReport};
use crate::run::following::{Following, News};
use crate::run::summary::StreamSummary;
use crate::run::{StartError, client};
use crate::window::Range;

/// The least time between two seals.
const SEAL_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// So many streams are described one by one.
const MOST_TOLD: usize = 8;

/// How often the folder of organizations is looked at, or once in an interval, if that is shorter.
const LOOK: Duration = Duration::from_secs(60);

/// Collects until Ctrl-C or SIGTERM, which is the normal way to stop and not a failure.
pub(super) async fn run(
    arguments: &Arguments,
    session: Session<'_>,
    range: Range,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let options = FollowOptions {
        range,
        interval: arguments.interval.unwrap_or_default().0,
        waits_for_locks: false,
        http: client(session.streams()).map_err(StartError::from)?,
        clock,
    };
    let (shutdown, hangups) = (signals::shutdown_of_service(), Hangups::listen());
    let notifier = Arc::new(Notifier::new(session.manager.as_ref()));
    let exporter = exporter(arguments, &session).map_err(CommandError::start)?;
    let listener = bind(arguments.metrics_listen, true)
        .await
        .map_err(CommandError::start)?;
    let watchdog = session.manager.as_ref().and_then(|manager| manager.watchdog);
    let mut health = Health::new(stream_names(&session), options.interval);
    health.fail(session.failed.iter().map(|failed| failed.name.clone()));
    let health = watch::Sender::new(health);
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
        complaint: None,
        clock,
    };
    let following = Following::start(observer.session.jobs(), options.clone(), &observer.session.progress)?;
    observer.ready();
    let shutdown = || observer.shutdown.clone();
    let server = match listener {
        Some(listener) => Some(tokio::spawn(serve(listener, observer.served(clock)?, shutdown()))),
        None => None,
    };
    tokio::spawn(stay_in_touch(Arc::clone(&observer.notifier), watchdog, shutdown()));
    observer.observe(arguments, following, options).await;
    observer.sealed_at = None;
    observer.seal().await;
    observer.end();
    if let Some(server) = server {
        // It ends by the same shutdown, and has logged its errors.
        let _ = server.await;
    }
    Ok(observer.exit)
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
    states: BTreeMap<&'static str, State>,
    /// How the last run of each stream ended.
    health: watch::Sender<Health>,
    /// Where the streams are kept, for the page.
    places: watch::Sender<Vec<StreamPlace>>,
    /// When it was sealed last.
    sealed_at: Option<DateTime<Utc>>,
    /// What was wrong with the settings of all organizations at the last look, which is said once.
    complaint: Option<String>,
    clock: fn() -> DateTime<Utc>,
}

impl Observer<'_> {
    /// Goes on with the streams of the session, after they have changed.
    fn go_on(&mut self, arguments: &Arguments) {
        let names = stream_names(&self.session);
        let metrics = Metrics::new(names.iter().copied());
        self.exporter.go_on_with(metrics, arguments.only(&names));
        show_evidence(arguments, &self.session, &[], &mut self.exporter);
        let names: BTreeSet<_> = names.into_iter().collect();
        self.states.retain(|name, _| names.contains(name));
        self.health.send_modify(|health| health.go_on_with(&names));
        self.places.send_replace(places(&self.session));
        self.ready();
    }

    /// Returns what the listener serves.
    fn served(&self, clock: fn() -> DateTime<Utc>) -> Result<Served, CommandError> {
        let mut page = ServedPage::of(self.places.subscribe(), clock);
        Ok(Served {
            text: self.exporter.text(),
            health: self.health.subscribe(),
            page: Some(PageCache::start(Box::new(move || page.make())).map_err(CommandError::setup)?),
            clock,
        })
    }

    fn ready(&self) {
        let streams = self.session.streams().count();
        self.notifier.ready(&format!("following {streams} streams"));
    }

    /// Reports each run that ended, and samples and looks for other settings meanwhile, until the last stream has ended.
    async fn observe(&mut self, arguments: &Arguments, mut following: Following, mut options: FollowOptions) {
        // What was noted before tells a stream that begins anew where to begin.
        let of_later = |options: &FollowOptions| FollowOptions {
            range: Range::default(),
            waits_for_locks: true,
            ..options.clone()
        };
        let shutdown = self.shutdown.clone();
        let mut sampler = Sampler::new(arguments, &self.session, self.clock);
        let mut looks = looks(options.interval);
        let mut is_stopping = false;
        options = of_later(&options);
        loop {
            let mut occasion = None;
            tokio::select! {
                news = following.next() => match news {
                    News::Ran(report) => {
                        self.show(&report);
                        self.seal().await;
                    }
                    News::Changed => {
                        self.go_on(arguments);
                        sampler = Sampler::new(arguments, &self.session, self.clock);
                    }
                    News::Ended => return,
                },
                sample = sampler.sample() => self.exporter.update(|metrics| sample.show(metrics)),
                () = self.hangups.next() => occasion = Some(Occasion::Asked),
                _ = looks.tick() => occasion = self.session.has_other_files().await.then_some(Occasion::Look),
                () = shutdown.requested(), if !is_stopping => {
                    is_stopping = true;
                    following.end();
                }
            }
            if let Some(occasion) = occasion.filter(|_| !is_stopping)
                && let Some(anew) = self.reload(occasion)
            {
                match client(self.session.streams()) {
                    Ok(http) => options.http = http,
                    Err(error) => tracing::error!("{error}; what begins anew goes on as before"),
                }
                following.go_on_with(self.session.jobs(), &anew, options.clone());
            }
        }
    }

    /// Reads the settings again; returns which streams begin anew, if anything has changed. Wrong ones change nothing.
    fn reload(&mut self, occasion: Occasion) -> Option<BTreeSet<&'static str>> {
        if occasion == Occasion::Asked {
            self.notifier.reloading();
        }
        let reloaded = self.session.reload(occasion);
        self.health
            .send_modify(|health| health.fail(self.session.failed.iter().map(|failed| failed.name.clone())));
        let complaint = reloaded.as_ref().err().map(CommandError::on_one_line);
        match &complaint {
            Some(errors) if occasion == Occasion::Asked || self.complaint != complaint => {
                tracing::error!("the settings could not be read again, and stay as they were: {errors}");
            }
            _ => {}
        }
        self.complaint = complaint;
        let anew = reloaded.ok().flatten();
        if occasion == Occasion::Asked && anew.is_none() {
            if self.complaint.is_none() {
                tracing::info!("the settings were read again: nothing has changed");
            }
            self.ready();
        }
        anew
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
        self.states.insert(summary.name(), State::of(report));
        if !self.shutdown.is_requested() {
            self.notifier.status(|| status(self.states.values()));
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
        self.exporter.export();
    }
}

/// Returns when the folder of organizations is looked at.
fn looks(interval: Duration) -> tokio::time::Interval {
    let period = LOOK.min(interval);
    let mut looks = interval_at(Instant::now() + period, period);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Returns where the streams are kept.
fn places(session: &Session<'_>) -> Vec<StreamPlace> {
    session.streams().map(StreamSettings::place).collect()
}

/// Opens the listener of `--metrics-listen`, if that is given. A member of a fleet, or of its archive, serves no page.
pub(in crate::commands) async fn bind(
    address: Option<SocketAddr>,
    has_page: bool,
) -> Result<Option<Listener>, ListenError> {
    match address {
        Some(address) => listen(address, has_page).await.map(Some),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr, has_page: bool) -> Result<Listener, ListenError> {
    let listener = Listener::bind(address).await?;
    let address = listener.address().unwrap_or(address);
    if !address.ip().is_loopback() {
        let page = if has_page { " and the page of the archive" } else { "" };
        tracing::warn!("--metrics-listen: everyone who can reach {address} can read the metrics{page}");
    }
    let page = if has_page {
        ", and a page of the archive at /"
    } else {
        ""
    };
    tracing::info!("serving metrics at http://{address}/metrics{page}");
    Ok(listener)
}

pub(in crate::commands) async fn serve(listener: Listener, served: Served, shutdown: Shutdown) {
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

/// A stream in a few words.
struct State {
    is_complete: bool,
    text: String,
}

impl State {
    fn of(report: &RunReport) -> Self {
        let summary = &report.summary;
        let time = report.times.ended.format("%H:%M:%SZ");
        Self {
            is_complete: summary.error().is_none(),
            text: match summary.error() {
                None => format!("{} +{} at {time}", summary.name(), summary.appended()),
                Some(_) => format!("{} failed {} times, last at {time}", summary.name(), report.failures),
            },
        }
    }
}

/// Describes all streams, for `systemctl status`: of many only how many they are, and those that have failed.
fn status<'a>(states: impl ExactSizeIterator<Item = &'a State> + Clone) -> String {
    let count = states.len();
    if count <= MOST_TOLD {
        return states.map(|state| state.text.as_str()).collect::<Vec<_>>().join("; ");
    }
    let failed = states.filter(|state| !state.is_complete);
    match failed.clone().count() {
        0 => format!("{count} streams, all complete"),
        some => {
            let first: Vec<_> = failed.take(MOST_TOLD).map(|state| state.text.as_str()).collect();
            format!("{count} streams, {some} failed: {}", first.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_streams_those_that_have_failed_are_told() {
        let states = |count: usize| {
            let state = |number: usize| State {
                is_complete: !number.is_multiple_of(100),
                text: format!("o{number}"),
            };
            (1..=count).map(state).collect::<Vec<_>>()
        };
        assert_eq!(status(states(3).iter()), "o1; o2; o3");
        assert_eq!(status(states(50).iter()), "50 streams, all complete");
        assert_eq!(status(states(250).iter()), "250 streams, 2 failed: o100; o200");
    }
}
