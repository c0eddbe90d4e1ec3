//! Signs the checkpoints of a log on a host that does not seal: it keeps the last one that it has signed, and signs the next one only
//! if the log has grown out of that.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::folder::Folder;
use super::keeper::number_of;
use super::last_checkpoint::{LastCheckpoint, Signed, WitnessError};
use super::signer::Signer;
use super::signing_request::SigningRequest;

/// Where the request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// The evidence folder, or a copy of it.
    Folder(&'a Path),
    /// What `evidence request` has printed.
    Text(&'a str),
}

/// Signs what is asked for, if it is consistent with what was signed last. What is signed is on disk before anybody gets it.
///
/// # Errors
/// If it is not, it is of another log than the key, or something cannot be read or written.
pub(crate) fn sign(
    asked: Asked<'_>,
    signer: &Signer,
    (state, is_first): (&Path, bool),
    now: DateTime<Utc>,
) -> Result<Signed, WitnessError> {
    let last = LastCheckpoint::open(state, is_first, now)?;
    let request = match asked {
        Asked::Folder(folder) => SigningRequest::of(&Folder::new(folder), Some(last.size()))?,
        Asked::Text(text) => SigningRequest::parse(text)?,
    };
    let name = signer.verifier().name();
    if number_of(&request.checkpoint.origin, name).is_none() {
        return Err(WitnessError::OtherLog {
            known: name.to_owned(),
            found: request.checkpoint.origin,
        });
    }
    // What is older, or another log, is said first: no other request would do.
    last.check(&request.checkpoint, |_| true)?;
    if request.old != last.size() {
        return Err(WitnessError::OtherOld {
            signed: last.size(),
            old: request.old,
        });
    }
    last.check(&request.checkpoint, |last| request.has_grown_out_of(last))?;
    let text = request.checkpoint.text();
    let note = format!("{text}\n{}", signer.sign_as(&request.checkpoint.origin, &text));
    last.keep(&note)?;
    Ok(Signed {
        checkpoint: request.checkpoint,
        note,
    })
}
