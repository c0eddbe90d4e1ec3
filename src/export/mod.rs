//! Writes a bundle for somebody else: the records that a query finds, a manifest and a page that say what they are and how complete,
//! and the hashes of all of it.
//!
//! Imports: archive, config, coverage, evidence, fs, json, output, process, report, search, source, window.
//!
//! Like a search it locks nothing and writes nothing in a catalog. What the journal says is read before the files are listed, and a
//! file is read up to where its lines ended then: what is appended meanwhile belongs to another export.

mod bundle;
mod completeness;
mod format;
mod hashing;
mod manifest;
mod page;
#[cfg(feature = "parquet")]
mod parquet;
mod part;
mod proofs;
mod record_file;

pub(crate) use bundle::{Bundle, CHECKPOINT, ExportError, PROOFS, RECORDS};
pub(crate) use format::Format;
pub(crate) use manifest::{AskedQuery, Manifest};
pub(crate) use part::Part;
pub(crate) use proofs::Proofs;
