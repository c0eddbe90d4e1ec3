//! Evidence: a signed log of what the day files held, so that an auditor can check the archive without trusting its operator.
//!
//! Imports: archive, config, coverage, env, fs, output, record, window.
//!
//! The formats are those of C2SP (`signed-note`, `tlog-checkpoint`, `tlog-policy`, `tlog-proof`) and RFC 6962, so that tools of
//! others read them. Day files are only read. `docs/evidence.md` says what is proved, and what is not.

mod agent;
pub(crate) mod announcement;
pub(crate) mod anchors;
pub(crate) mod bundle_prover;
pub(crate) mod bundle_verdict;
pub(crate) mod checkpoint;
mod consistency;
pub(crate) mod entry;
pub(crate) mod expiry;
pub(crate) mod folder;
mod hasher;
pub(crate) mod keeper;
pub(crate) mod last_checkpoint;
pub(crate) mod ledger;
pub(crate) mod lines_proof;
mod log;
mod log_copy;
pub(crate) mod log_signer;
mod material;
pub(crate) mod note;
mod notes;
pub(crate) mod policy;
pub(crate) mod proof;
pub(crate) mod prover;
pub(crate) mod publish;
mod quorum;
pub(crate) mod refusal;
pub(crate) mod seal;
pub(crate) mod sealed_days;
pub(crate) mod sealed_lines;
pub(crate) mod sealed_log;
pub(crate) mod signed_page;
pub(crate) mod signer;
pub(crate) mod signing;
pub(crate) mod signing_request;
mod stamp;
pub(crate) mod standing;
pub(crate) mod stream_files;
pub(crate) mod stream_verdict;
pub(crate) mod submission;
mod tiles;
pub(crate) mod timestamp;
pub(crate) mod tree;
mod trust;
pub(crate) mod verify;
pub(crate) mod witness;
