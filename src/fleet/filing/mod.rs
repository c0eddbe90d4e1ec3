//! The archive of a fleet: day files, written from the audit topics by a consumer of them.
//!
//! A member reads what is committed (`archivist`), each partition that is its own from where its day files end, and files it (`day_writer`)
//! with the code that files what one machine collects: the same archive, and the same deduplication, so that what comes again after a
//! crash is dropped. Where it stands is noted on its disk (`member_note`) and then in its group, when the lines are synced. How complete
//! that is says the state of the fleet (`known_streams`), as far as all that was committed with it is filed.

mod archivist;
mod batch;
mod day_writer;
mod filed_streams;
mod incoming;
mod known_streams;
mod member_note;
pub(crate) mod report;
mod strays;

pub(crate) use archivist::{ArchiveError, Archivist, ArchivistOptions};
