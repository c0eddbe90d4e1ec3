//! How many files the process may have open: as many as the system allows at all.

/// Raises the limit that a shell or a service manager has set for usual programs, mostly 1 024, to the one that may be asked for:
/// thousands of streams each hold a lock and a connection. If the system refuses, it stays as it is.
#[cfg(unix)]
pub fn allow_as_many_as_can_be() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub fn allow_as_many_as_can_be() {}
