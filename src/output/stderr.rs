//! Stderr: everything that the program says there, so that nothing of it waits for whoever reads it.

use std::io;
use std::sync::OnceLock;

use super::outlet::Outlet;

static STDERR: OnceLock<Outlet> = OnceLock::new();

fn stderr() -> &'static Outlet {
    STDERR.get_or_init(|| Outlet::new(io::stderr()))
}

/// Writes a text to stderr soon. If stderr is gone, there is nowhere left to report it.
pub(crate) fn write(text: impl Into<String>) {
    stderr().offer(text.into());
}

/// Waits until everything is written, or gives up if nobody reads it.
pub fn drain() {
    if let Some(stderr) = STDERR.get() {
        // There is nowhere to say that it was not read.
        let _ = stderr.drain();
    }
}
