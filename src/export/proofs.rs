//! The proofs of a bundle: that the records stood in the archive when it was sealed. They are made day by day, beside the records.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use chrono::NaiveDate;
use serde::Serialize;

use super::hashing::HashedFile;
use crate::archive::Location;
use crate::evidence::bundle_prover::{BundleProver, Segment};
use crate::evidence::tree::{Hash, leaf};

/// What proves the records, and where their files are.
#[derive(Debug)]
pub(crate) struct Proofs {
    pub(crate) prover: BundleProver,
    pub(crate) locations: BTreeMap<&'static str, Location>,
}

/// The log that the proofs of a bundle lead to.
#[derive(Debug, Serialize)]
pub(crate) struct ProofsOf {
    pub(super) origin: String,
    pub(super) size: u64,
    /// The file of the checkpoint.
    pub(super) checkpoint: &'static str,
}

/// How many records of a stream are proved.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ProofCounts {
    pub(super) file: String,
    pub(super) proved: u64,
    pub(super) unproved: u64,
    /// Why they are not, each reason once.
    pub(super) reasons: Vec<String>,
}

/// The file of the proofs of a stream, as it is written.
pub(super) struct ProofFile<'a> {
    proofs: &'a Proofs,
    stream: &'static str,
    file: BufWriter<HashedFile>,
    counts: ProofCounts,
    /// The day whose lines are being written, and their leaves.
    date: Option<NaiveDate>,
    lines: Vec<Hash>,
}

impl<'a> ProofFile<'a> {
    pub(super) fn begin(proofs: &'a Proofs, stream: &'static str, name: &str, file: HashedFile) -> Self {
        let counts = ProofCounts {
            file: name.to_owned(),
            ..ProofCounts::default()
        };
        Self {
            proofs,
            stream,
            file: BufWriter::new(file),
            counts,
            date: None,
            lines: Vec::new(),
        }
    }

    /// Takes records of a day, a line each.
    pub(super) fn add(&mut self, date: NaiveDate, records: &str) -> io::Result<()> {
        if self.date != Some(date) {
            self.end_day()?;
            self.date = Some(date);
        }
        let lines = records.split_terminator('\n');
        self.lines.extend(lines.map(|line| leaf(line.as_bytes())));
        Ok(())
    }

    /// Proves the lines of a day, all of which have been written.
    fn end_day(&mut self) -> io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        let Some((date, location)) = self.date.zip(self.proofs.locations.get(self.stream)) else {
            return Ok(());
        };
        if lines.is_empty() {
            return Ok(());
        }
        for segment in self.proofs.prover.prove(self.stream, location, date, &lines) {
            match &segment {
                Segment::Proved(proof) => self.counts.proved += proof.count(),
                Segment::Unproved { unproved, reason } => {
                    self.counts.unproved += unproved;
                    if !self.counts.reasons.contains(reason) {
                        self.counts.reasons.push(reason.clone());
                    }
                }
            }
            let text = serde_json::to_string(&segment)?;
            writeln!(self.file, "{text}")?;
        }
        Ok(())
    }

    /// Ends the file, syncs it, and returns its length and hash, and how many records are proved.
    pub(super) fn finish(mut self) -> io::Result<(u64, String, ProofCounts)> {
        self.end_day()?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (bytes, sha256) = file.finish()?;
        Ok((bytes, sha256, self.counts))
    }
}
