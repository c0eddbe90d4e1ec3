//! Output for people: text on stdout and stderr, made printable, tables, progress lines, the log, the terminal.
//!
//! Imports: window.

pub(crate) mod csv;
pub(crate) mod logging;
pub(crate) mod outlet;
pub mod print;
pub(crate) mod printable;
pub mod progress;
pub mod stderr;
pub(crate) mod table;
pub(crate) mod terminal;
