//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.

pub mod fetch;
pub mod line;
pub mod record;
pub mod source;
pub mod window;
