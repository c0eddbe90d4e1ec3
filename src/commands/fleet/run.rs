//! `trailkeeper fleet run`: a member of a fleet, and what it serves of itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use clap::Args;
use tokio::sync::{mpsc, watch};

use super::settings::FleetConfig;
use crate::commands::arguments::interval::Interval;
use crate::commands::arguments::listen::listen_address;
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::collect::follow::{bind, serve};
use crate::commands::error::CommandError;
use crate::fleet::member::{self, MemberOptions};
use crate::fleet::news::News;
use crate::metrics::Metrics;
use crate::metrics::export::Exporter;
use crate::metrics::health::Health;
use crate::metrics::serve::Served;
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::follow::RunReport;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The time between two runs of a stream: 30s, 5m, 1h [default: 60s]
    #[arg(long, value_name = "TIME")]
    interval: Option<Interval>,

    /// Serve metrics of this member for Prometheus at /metrics, and /healthz [default address: 127.0.0.1:9464]
    #[arg(
        long,
        value_name = "ADDR:PORT",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:9464",
        value_parser = listen_address
    )]
    metrics_listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

/// Collects until Ctrl-C or SIGTERM, which is the normal way to stop and not a failure.
pub(super) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let config = FleetConfig::read(&arguments.settings)?;
    let progress = Progress::hidden();
    let options = config.log.options(arguments.verbosity, &progress, clock);
    log.start(LogOptions { file: None, ..options })?;
    config.log_problems();
    let interval = arguments.interval.unwrap_or_default().0;
    let shutdown = signals::shutdown_of_service();
    let listener = bind(arguments.metrics_listen, false)
        .await
        .map_err(CommandError::start)?;
    let exporter = Exporter::start(Metrics::new([]), None, None, log.lost_lines()).map_err(CommandError::start)?;
    let mut health = Health::new([], interval);
    health.fail(config.failed.iter().map(|(organization, _)| organization.clone()));
    let mut observer = Observer {
        exporter,
        health: watch::Sender::new(health),
        config: config.version.clone(),
    };
    if let Some(listener) = listener {
        let served = Served {
            text: observer.exporter.text(),
            health: observer.health.subscribe(),
            page: None,
            clock,
        };
        tokio::spawn(serve(listener, served, shutdown.clone()));
    }
    let (news, mut told) = mpsc::unbounded_channel();
    let options = MemberOptions {
        fleet: config.fleet,
        streams: config.streams,
        config: config.version,
        interval,
        clock,
        news,
    };
    // The last sender is gone when the member has ended.
    let observing = async {
        while let Some(news) = told.recv().await {
            observer.take(news);
        }
    };
    let (ended, ()) = futures::join!(member::run(options, &shutdown), observing);
    ended.map_err(CommandError::start)?;
    Ok(Exit::Complete)
}

/// Exports what the member tells.
struct Observer {
    exporter: Exporter,
    health: watch::Sender<Health>,
    config: String,
}

impl Observer {
    fn take(&mut self, news: News) {
        match news {
            News::Joined { member } => {
                let config = &self.config;
                self.exporter.update(|metrics| metrics.fleet_member(&member, config));
            }
            News::Holds { buckets, streams } => self.go_on_with(buckets, &streams),
            News::TakenOver => self.exporter.update(|metrics| metrics.fleet_takeover("complete")),
            News::Fenced => self.exporter.update(|metrics| metrics.fleet_takeover("fenced")),
            News::Failed => self.exporter.update(|metrics| metrics.fleet_takeover("failed")),
            News::Ran(report) => self.note_run(&report),
        }
    }

    /// Of streams that are another member's by now nothing is shown.
    fn go_on_with(&mut self, buckets: usize, streams: &BTreeSet<&'static str>) {
        let names: Vec<_> = streams.iter().copied().collect();
        self.exporter
            .go_on_with(Metrics::new(names.iter().copied()), Some(&names));
        self.exporter.update(|metrics| metrics.fleet_buckets(buckets));
        self.health.send_modify(|health| health.go_on_with(streams));
    }

    fn note_run(&mut self, report: &RunReport) {
        let RunReport { summary, times, .. } = report;
        self.exporter.update(|metrics| metrics.run(summary, *times));
        if !summary.is_stopped() {
            let is_complete = summary.error().is_none();
            self.health
                .send_modify(|health| health.run(summary.name(), times.ended, is_complete));
        }
    }
}
