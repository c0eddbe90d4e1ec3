//! That a witness refuses the log, since it has cosigned more than is here, or another history. It is noted in the evidence folder, so
//! that it outlives the run that was told, until the witness cosigns again.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::folder::{Folder, read_text};
use super::note::VerifierKey;
use crate::fs::{FileError, make_folder, remove, replace};

/// The folder of the notes, a file for each witness. It is about this host: no copy takes it.
const REFUSALS: &str = "refusals";

/// Mode of the notes.
const MODE: u32 = 0o640;

/// That a witness refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The name of its key.
    pub(crate) witness: String,
    /// What it has seen, as it said last.
    pub(crate) problem: String,
    /// When it refused for the first time since it cosigned.
    pub(crate) since: DateTime<Utc>,
}

impl Refusal {
    /// Reads what is noted of a witness.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Folder, witness: &VerifierKey) -> Result<Option<Self>, FileError> {
        let path = path(folder, witness);
        let refusal = read_text(&path)?.map(|text| serde_json::from_str(&text));
        refusal
            .transpose()
            .map_err(|error| FileError::io("read", &path, error.into()))
    }

    /// Notes that a witness refuses now.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(crate) fn note(
        folder: &Folder,
        witness: &VerifierKey,
        problem: &str,
        now: DateTime<Utc>,
    ) -> Result<(), FileError> {
        let before = Self::read(folder, witness).ok().flatten();
        let refusal = Self {
            witness: witness.name().to_owned(),
            problem: problem.to_owned(),
            since: before.map_or(now, |before| before.since),
        };
        make_folder(&folder.file(REFUSALS))?;
        let path = path(folder, witness);
        let text = serde_json::to_string(&refusal).map_err(|error| FileError::io("write to", &path, error.into()))?;
        replace(&path, MODE, format!("{text}\n").as_bytes())
    }

    /// Takes the note away: the witness has cosigned.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn end(folder: &Folder, witness: &VerifierKey) -> Result<(), FileError> {
        remove(&path(folder, witness))
    }
}

fn path(folder: &Folder, witness: &VerifierKey) -> PathBuf {
    folder.file(REFUSALS).join(format!("{}.json", witness.file_name()))
}
