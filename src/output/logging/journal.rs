//! The systemd journal: whether stderr is connected to it.
//!
//! Fact: systemd.exec(5), `JOURNAL_STREAM`.

/// The device and inode of the stream that systemd has connected to its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalStream {
    /// The device number.
    pub(crate) device: u64,
    /// The inode number.
    pub(crate) inode: u64,
}

impl JournalStream {
    /// Returns whether stderr is that stream; it may have been redirected since.
    #[cfg(target_os = "linux")]
    pub(super) fn is_stderr(self) -> bool {
        let found = rustix::fs::fstat(std::io::stderr());
        found.is_ok_and(|found| (found.st_dev, found.st_ino) == (self.device, self.inode))
    }

    /// Returns whether stderr is that stream.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_stderr(self) -> bool {
        false
    }
}
