//! The process and the system that runs it: shutdown, core files, the service manager.
//!
//! Imports: env, output.

pub mod core_dump;
pub mod service_notifier;
pub mod shutdown;
