//! Processes of the tests: none outlives this one, and none can hang it.

#![allow(dead_code, reason = "of what the tests need, this example needs a part")]

#[path = "../../../tests/it/support/process.rs"]
mod process;
#[path = "../../../tests/it/support/wait.rs"]
pub(crate) mod wait;

pub(crate) use process::{Process, run};

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}
