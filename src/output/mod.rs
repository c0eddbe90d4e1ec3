//! What people see: text on stdout and stderr, made printable, tables, progress lines, the log, the terminal.
//!
//! Imports: window.

pub mod logging;
pub mod print;
pub mod printable;
pub mod progress;
pub mod table;
pub mod terminal;
