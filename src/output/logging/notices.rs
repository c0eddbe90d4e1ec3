//! Messages about the log itself: on stderr, since they concern the log file.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use tracing_subscriber::fmt::MakeWriter;

use super::Clock;
use super::form::error_line;

/// Writes lines to stderr in the form of the log, whatever its verbosity.
#[derive(Clone)]
pub(super) struct Notices {
    clock: Clock,
    stderr: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Notices {
    pub(super) fn new<W>(stderr: W, clock: Clock) -> Self
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let write = move |line: &str| {
            // If stderr is gone, there is nowhere left to report it.
            let _ = stderr.make_writer().write_all(line.as_bytes());
        };
        Self {
            clock,
            stderr: Arc::new(write),
        }
    }

    /// Reports an error on stderr.
    pub(super) fn error(&self, message: &str) {
        (self.stderr)(&self.line(message));
    }

    /// Formats the line of an error.
    pub(super) fn line(&self, message: &str) -> String {
        error_line((self.clock)(), message)
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}
