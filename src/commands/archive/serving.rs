//! What `archive --metrics-listen` serves: metrics of this member, and the health of the streams that it files.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use crate::commands::collect::follow::{bind, serve};
use crate::commands::error::CommandError;
use crate::fleet::filing::report::{ArchiveReport, StreamReport};
use crate::metrics::export::Exporter;
use crate::metrics::health::Health;
use crate::metrics::serve::Served;
use crate::metrics::{Filed, Metrics};
use crate::output::logging::Log;
use crate::process::shutdown::Shutdown;

/// Exports what a member tells after each round.
pub(super) struct Serving {
    exporter: Exporter,
    health: watch::Sender<Health>,
    /// The streams that are shown.
    streams: BTreeSet<&'static str>,
    clock: fn() -> DateTime<Utc>,
}

impl Serving {
    /// Listens, if an address is given; the streams are not known yet, and organizations that cannot be filed are.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub(super) async fn start(
        (address, interval): (Option<SocketAddr>, Duration),
        failed: &[(String, String)],
        (log, shutdown): (&Log, &Shutdown),
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Option<Self>, CommandError> {
        let Some(listener) = bind(address, false).await.map_err(CommandError::start)? else {
            return Ok(None);
        };
        let exporter = Exporter::start(Metrics::new([]), None, None, log.lost_lines()).map_err(CommandError::start)?;
        let mut health = Health::new([], interval);
        health.fail(failed.iter().map(|(organization, _)| organization.clone()));
        let health = watch::Sender::new(health);
        let served = Served {
            text: exporter.text(),
            health: health.subscribe(),
            page: None,
            clock,
        };
        tokio::spawn(serve(listener, served, shutdown.clone()));
        Ok(Some(Self {
            exporter,
            health,
            streams: BTreeSet::new(),
            clock,
        }))
    }

    /// Shows each round, until the member has ended.
    pub(super) async fn show(mut self, mut told: mpsc::UnboundedReceiver<ArchiveReport>) {
        while let Some(report) = told.recv().await {
            self.take(&report);
        }
        self.exporter.export();
    }

    fn take(&mut self, report: &ArchiveReport) {
        let streams: BTreeSet<_> = report.streams.iter().map(|stream| stream.stream).collect();
        if streams != self.streams {
            let names: Vec<_> = streams.iter().copied().collect();
            self.exporter.go_on_with(Metrics::new([]), Some(&names));
            self.health.send_modify(|health| health.go_on_with(&streams));
            self.streams = streams;
        }
        let now = (self.clock)();
        self.exporter.update(|metrics| {
            for stream in &report.streams {
                metrics.filed(stream.stream, &filed(stream), now);
            }
            let lag = report.partitions.iter();
            metrics.archive_lag(lag.map(|one| (one.topic.as_str(), one.partition, one.waiting)));
            metrics.archive_strays(report.rejected);
        });
        self.health.send_modify(|health| {
            for stream in &report.streams {
                health.run(stream.stream, now, stream.is_complete());
            }
        });
    }
}

fn filed(stream: &StreamReport) -> Filed {
    Filed {
        appended: stream.appended,
        duplicates: stream.duplicates,
        rejected: stream.rejected,
        revised: stream.revised,
        last_record: stream.last_record,
        fleet_run_at: stream.fleet_run_at,
        is_complete: stream.is_complete(),
    }
}
