//! The process and the system that runs it: shutdown, signals, the exit code, core dumps, the service manager, whether it is awake.
//!
//! Imports: env, output.

pub(crate) mod awake;
pub mod core_dump;
pub mod open_files;
pub mod exit;
pub(crate) mod host_name;
pub(crate) mod service_notifier;
pub mod shutdown;
pub(crate) mod signals;
