//! Messages about the log itself: on stderr, since they concern the log file.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use tracing_subscriber::fmt::MakeWriter;

use super::Clock;
use super::form::Form;

/// Writes lines to stderr in the form of the log, whatever its verbosity.
#[derive(Clone)]
pub(super) struct Notices {
    clock: Clock,
    on_stderr: Form,
    in_file: Form,
    stderr: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Notices {
    /// Creates them for a stderr and a log file of these forms.
    pub(super) fn new<W>(stderr: W, on_stderr: Form, in_file: Form, clock: Clock) -> Self
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let write = move |line: &str| {
            // If stderr is gone, there is nowhere left to report it.
            let _ = stderr.make_writer().write_all(line.as_bytes());
        };
        Self {
            clock,
            on_stderr,
            in_file,
            stderr: Arc::new(write),
        }
    }

    /// Reports an error on stderr.
    pub(super) fn error(&self, message: &str) {
        (self.stderr)(&self.on_stderr.error_line((self.clock)(), message));
    }

    /// Formats an error as a line of the log file.
    pub(super) fn line(&self, message: &str) -> String {
        self.in_file.error_line((self.clock)(), message)
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}
