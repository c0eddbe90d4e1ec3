//! Exports the metrics: to a file for node_exporter, and as text for the HTTP server.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Metrics;
use crate::fs::{FileError, replace_own};
use crate::output::logging::LostLines;

/// Others read the file: node_exporter runs as another user.
const FILE_MODE: u32 = 0o644;

/// What the file begins with, by which it is known.
const BEGINNING: &str = "# HELP trailkeeper_";

/// Read limit for an existing file; more than the metrics ever need.
const MAX_FILE: u64 = 4 << 20;

/// Writing the text takes at most one part in this many of the time: that of thousands of streams takes a tenth of a second.
const SHARE: u32 = 100;

/// A text that is written faster than this is written at once.
const AT_ONCE: Duration = Duration::from_millis(2);

/// The metrics and where they go.
#[derive(Debug)]
pub(crate) struct Exporter {
    metrics: Metrics,
    file: Option<PathBuf>,
    text: watch::Sender<String>,
    lost_lines: LostLines,
    /// The lost lines that the metrics already count.
    counted_lines: u64,
    /// Before this the text is not written again.
    rest_to: Instant,
}

/// The file of `--metrics-file` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--metrics-file: {0}")]
pub(crate) struct MetricsFileError(#[from] FileError);

impl Exporter {
    /// Continues the metrics in the file, and writes it, so that a file which cannot be written is found at the start.
    /// With `only`, metrics of other streams are dropped. Each update adds the log lines lost since.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn start(
        mut metrics: Metrics,
        file: Option<PathBuf>,
        only: Option<&[&str]>,
        lost_lines: LostLines,
    ) -> Result<Self, MetricsFileError> {
        if let Some(path) = &file {
            metrics.resume(&read(path)?, only);
        }
        let exporter = Self {
            text: watch::Sender::new(metrics.render()),
            metrics,
            file,
            lost_lines,
            counted_lines: 0,
            rest_to: Instant::now(),
        };
        exporter.write()?;
        Ok(exporter)
    }

    /// Returns a receiver of the newest text, which is written from now on.
    pub(crate) fn text(&self) -> watch::Receiver<String> {
        self.text.subscribe()
    }

    /// Goes on with the metrics of other streams; with `only`, those of the streams that are no more are dropped.
    pub(crate) fn go_on_with(&mut self, mut metrics: Metrics, only: Option<&[&str]>) {
        if self.is_wanted() {
            metrics.resume(&self.metrics.render(), only);
        }
        self.metrics = metrics;
        self.export();
    }

    /// Changes the metrics, and exports them, unless that was done just before and takes long: then a later update does it.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Metrics)) {
        change(&mut self.metrics);
        if Instant::now() >= self.rest_to {
            self.export();
        }
    }

    /// Exports the metrics if somebody wants them. A file that cannot be written is only logged: its age shows in Prometheus.
    pub(crate) fn export(&mut self) {
        self.count_lost_lines();
        if !self.is_wanted() {
            return;
        }
        let began = Instant::now();
        self.text.send_replace(self.metrics.render());
        let took = began.elapsed();
        if took > AT_ONCE {
            self.rest_to = Instant::now() + took * SHARE;
        }
        if let Err(error) = self.write() {
            tracing::error!("{error}");
        }
    }

    fn is_wanted(&self) -> bool {
        self.file.is_some() || self.text.receiver_count() > 0
    }

    fn count_lost_lines(&mut self) {
        let lost = self.lost_lines.total();
        self.metrics.log_dropped(lost.saturating_sub(self.counted_lines));
        self.counted_lines = self.counted_lines.max(lost);
    }

    fn write(&self) -> Result<(), MetricsFileError> {
        let Some(path) = &self.file else { return Ok(()) };
        Ok(replace_own(path, FILE_MODE, self.text.borrow().as_bytes(), BEGINNING)?)
    }
}

/// Reads the file; an empty text if it is missing.
fn read(path: &Path) -> Result<String, MetricsFileError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes)) {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(cause) => Err(FileError::io("read", path, cause).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::metrics::Forwarding;

    #[test]
    fn the_file_and_the_text_follow_each_change_and_the_next_process_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trailkeeper.prom");
        for delivered in [5, 10] {
            let mut exporter =
                Exporter::start(Metrics::new(["tfc"]), Some(path.clone()), None, LostLines::default()).unwrap();
            let newest = exporter.text();
            let forwarding = Forwarding {
                delivered: 5,
                ..Forwarding::default()
            };
            exporter.update(|metrics| metrics.forwarded("tfc", "kafka", forwarding));
            let line = format!("trailkeeper_forwarded_records_total{{stream=\"tfc\",forwarder=\"kafka\"}} {delivered}");
            assert!(newest.borrow().contains(&line), "{}", *newest.borrow());
            assert_eq!(fs::read_to_string(&path).unwrap(), *newest.borrow());
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_found_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/trailkeeper.prom");
        let error = Exporter::start(Metrics::default(), Some(path), None, LostLines::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--metrics-file: cannot replace ") && error.contains("trailkeeper.prom"),
            "{error}"
        );
    }
}
