//! What the log has to say of itself: on stderr, since the log file is what it is about.

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
            // Nobody is left to tell when stderr is gone.
            let _ = stderr.make_writer().write_all(line.as_bytes());
        };
        Self {
            clock,
            stderr: Arc::new(write),
        }
    }

    /// Says on stderr that something is wrong.
    pub(super) fn error(&self, message: &str) {
        (self.stderr)(&self.line(message));
    }

    /// The line that says so.
    pub(super) fn line(&self, message: &str) -> String {
        error_line((self.clock)(), message)
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}
