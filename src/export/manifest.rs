//! The manifest of a bundle: what was asked for, how complete it is, and the hashes of what was written and read.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::format::Format;
use super::part::Part;
use super::proofs::ProofsOf;
use crate::search::AskedFilter;

/// The version of its form; another one would be read in another way.
const VERSION: u8 = 1;

/// A bundle. `docs/json.md` says what the fields are.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    version: u8,
    pub(super) program: &'static str,
    pub(super) made_at: DateTime<Utc>,
    pub(super) host: String,
    pub(super) query: AskedQuery,
    pub(super) format: Format,
    pub(super) is_complete: bool,
    pub(super) records: u64,
    pub(super) streams: Vec<Part>,
    /// Which log proves the records; `None` if there are no proofs.
    pub(super) proofs: Option<ProofsOf>,
    pub(super) files: Vec<FileEntry>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AskedQuery {
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    pub(crate) filters: Vec<AskedFilter>,
}

/// A file of a bundle.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FileEntry {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) fn new(
        made_at: DateTime<Utc>,
        host: String,
        query: AskedQuery,
        format: Format,
        streams: Vec<Part>,
    ) -> Self {
        Self {
            version: VERSION,
            program: concat!("trailkeeper ", env!("CARGO_PKG_VERSION")),
            made_at,
            host,
            query,
            format,
            is_complete: streams.iter().all(Part::is_complete),
            records: streams.iter().map(Part::records).sum(),
            streams,
            proofs: None,
            files: Vec::new(),
        }
    }

    /// Returns the number of records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Whether all of the time that was asked for is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns what it has of each stream.
    pub(crate) fn streams(&self) -> &[Part] {
        &self.streams
    }
}
