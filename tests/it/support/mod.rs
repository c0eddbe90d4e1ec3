//! What the tests stand on: a catalog that the real binary collects into, a sandbox that it collects from.

mod catalog;
pub(crate) mod certificates;
mod inside;
pub(crate) mod process;
pub(crate) mod random;
mod rules;
mod service;
#[cfg(unix)]
mod terminal;
mod threads;
mod tools;
mod wait;

pub(crate) use catalog::{Catalog, Run, base_name};
pub(crate) use inside::{run_inside, run_inside_within};
pub(crate) use process::Process;
pub(crate) use service::{at, event, events, lines_by_file, now, serve, streams};
#[cfg(unix)]
pub(crate) use terminal::Session;
pub(crate) use threads::side_by_side;
pub(crate) use tools::{PythonPackage, can_trace, succeed, tool, under_strace};
pub(crate) use wait::{PATIENCE, wait_for, wait_until};
