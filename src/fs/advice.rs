//! What to do about an error of the system. All messages about files take it from here.

use std::io::{self, ErrorKind};

/// Returns the end of a sentence about an operation, a verb, that failed with this error; empty if the error says it itself.
pub(super) fn advice(doing: &str, cause: &io::Error) -> String {
    let unknown = cause
        .raw_os_error()
        .map(|_| "the system's log may have the reason (`journalctl -k`)");
    let known = by_number(doing, cause).or_else(|| by_kind(cause.kind()));
    known.or(unknown).map(|known| format!("; {known}")).unwrap_or_default()
}

fn by_kind(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::NotFound => "check that the folder exists and its disk is mounted",
        ErrorKind::PermissionDenied => "give the user that runs this program the right to do so",
        ErrorKind::StorageFull => "free some space, or inodes (`df -i` counts them)",
        ErrorKind::QuotaExceeded => "the quota of its owner is used up: free some space, or raise it",
        ErrorKind::FileTooLarge => {
            "a limit of the size of files is reached: raise that of the process (`ulimit -f`, systemd's LimitFSIZE=), or \
             take a file system that holds larger files"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "mount it writable; if nobody mounted it like this, the system did so after an error of its disk, which its log has"
        }
        ErrorKind::StaleNetworkFileHandle => "the network share was replaced at its server: mount it again",
        ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::NotConnected
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted => "what serves this file system does not answer: check it, and mount it again",
        ErrorKind::ResourceBusy | ErrorKind::ExecutableFileBusy => "another program or a mount uses it: end that first",
        ErrorKind::NotADirectory => "a part of its path is no folder: check the path",
        ErrorKind::IsADirectory => "a folder is in its place: move it away",
        ErrorKind::AlreadyExists => "another program made it at this moment: try again",
        ErrorKind::InvalidFilename => "the file system does not take this name: choose a shorter or simpler one",
        ErrorKind::OutOfMemory => "free some memory",
        ErrorKind::UnexpectedEof => "it became shorter while it was read: find out which other program writes to it",
        ErrorKind::WriteZero => "its file system takes no more: free some space",
        ErrorKind::Unsupported => "its file system cannot do that: take another one",
        _ => return None,
    })
}

/// The errors that have no kind, or share one with others.
#[cfg(unix)]
fn by_number(doing: &str, cause: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;

    let errno = Errno::from_io_error(cause)?;
    let is_unsupported = [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS].contains(&errno);
    Some(match errno {
        Errno::PERM => {
            "an attribute (`lsattr` shows it, `chattr -i` removes that of an immutable file) or a security policy forbids it"
        }
        Errno::IO => {
            "its disk, or the way to it, fails: look in the system's log (`journalctl -k`), and check the disk"
        }
        Errno::NOLCK => {
            "the system has no lock left, or the server of the network share gives none: start its lock service (rpc.statd), \
             or take a local disk"
        }
        Errno::MFILE => "this process has too many files open: raise its limit (`ulimit -n`, systemd's LimitNOFILE=)",
        Errno::NFILE => "too many files are open on this machine: raise fs.file-max (`sysctl`)",
        Errno::LOOP => "its path leads in a circle of links: check the path",
        Errno::NODEV | Errno::NXIO => "the device is gone: connect and mount it again",
        _ if is_unsupported && doing == "lock" => {
            "its file system has no locks, without which two runs could write at once: take a local disk, or mount it with locks"
        }
        _ if is_unsupported => "its file system cannot do that: take another one",
        _ => return None,
    })
}

#[cfg(not(unix))]
fn by_number(_: &str, _: &io::Error) -> Option<&'static str> {
    None
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn each_error_that_a_file_can_have_says_what_to_do() {
        for (errno, doing, expected) in [
            (Errno::NOENT, "open", "its disk is mounted"),
            (Errno::ACCESS, "open", "the user that runs this program"),
            (Errno::PERM, "open", "chattr -i"),
            (Errno::NOSPC, "write to", "free some space, or inodes"),
            (Errno::DQUOT, "write to", "the quota"),
            (Errno::FBIG, "write to", "ulimit -f"),
            (Errno::ROFS, "open", "mount it writable"),
            (Errno::IO, "sync", "check the disk"),
            (Errno::MFILE, "open", "ulimit -n"),
            (Errno::NFILE, "open", "fs.file-max"),
            (Errno::STALE, "read", "mount it again"),
            (Errno::TIMEDOUT, "read", "does not answer"),
            (Errno::HOSTUNREACH, "read", "does not answer"),
            (Errno::NOTCONN, "read", "does not answer"),
            (Errno::NODEV, "read", "connect and mount"),
            (Errno::NOLCK, "lock", "rpc.statd"),
            (Errno::OPNOTSUPP, "lock", "has no locks"),
            (Errno::NOSYS, "lock", "has no locks"),
            (Errno::OPNOTSUPP, "sync", "cannot do that"),
            (Errno::BUSY, "replace", "another program or a mount"),
            (Errno::ISDIR, "replace", "a folder is in its place"),
            (Errno::NOTDIR, "list", "no folder"),
            (Errno::NAMETOOLONG, "open", "shorter"),
            (Errno::LOOP, "open", "circle"),
            (Errno::NOMEM, "read", "memory"),
            (Errno::PROTO, "read", "the system's log may have the reason"),
        ] {
            let advice = advice(doing, &errno.into());
            assert!(
                advice.starts_with("; ") && advice.contains(expected),
                "{errno}: {advice}"
            );
        }
    }

    #[test]
    fn an_error_of_this_program_speaks_for_itself() {
        assert_eq!(
            advice("read", &io::Error::other("it is compressed with a dictionary")),
            ""
        );
        assert!(advice("read", &ErrorKind::UnexpectedEof.into()).contains("became shorter"));
    }
}
