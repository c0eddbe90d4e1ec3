//! Arguments that several commands have in common.

pub(crate) mod age;
pub(crate) mod filters;
pub(crate) mod interval;
pub(crate) mod listen;
pub(crate) mod range;
pub(crate) mod selection;
pub(crate) mod settings;
pub(crate) mod sinks;
pub(crate) mod start;
pub(crate) mod stream_folder;
pub(crate) mod stream_name;
pub(crate) mod time;
