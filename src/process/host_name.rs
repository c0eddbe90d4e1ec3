//! The name of this machine.

/// Returns the name of this machine; `None` if the system has none or does not say.
#[cfg(unix)]
pub(crate) fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

/// Returns the name of this machine; the standard library does not ask Windows for it.
#[cfg(not(unix))]
pub(crate) fn host_name() -> Option<String> {
    None
}
