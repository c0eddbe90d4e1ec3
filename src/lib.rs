//! trailkeeper keeps SaaS audit trails: every record that a service gave, once, in append-only day files.

pub mod env;
pub mod record;
pub mod line;
pub mod window;
pub mod source;
pub mod fetch;
pub mod sandbox;
