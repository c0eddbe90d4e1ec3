//! Disables core dumps, so that memory, tokens above all, is not written out when the process crashes.

use std::io;

/// Keeps the kernel from writing the memory of this process anywhere, and other processes of the same user from reading
/// it: no core file (`RLIMIT_CORE` 0), and on Linux no dump by a handler and no `/proc/<pid>/mem` either
/// (`PR_SET_DUMPABLE` 0).
///
/// # Errors
/// The kernel refuses; nothing else is affected.
pub fn forbid() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        setrlimit(Resource::Core, none)?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}
