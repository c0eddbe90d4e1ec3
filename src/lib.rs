//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.

pub mod archive;
pub mod line;
pub mod record;
pub mod source;
pub mod window;
