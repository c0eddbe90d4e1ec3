//! What people see: text made printable, tables, progress lines, the log, the terminal.
//!
//! Imports: window.

pub mod logging;
pub mod printable;
pub mod progress;
pub mod table;
pub mod terminal;
