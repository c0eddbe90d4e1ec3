//! Verifies an archive against its evidence. It believes the keys of a policy and nothing else: no note of a seal is read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::checkpoint::Checkpoint;
use super::folder::{Folder, FolderContent};
use super::ledger::Ledger;
use super::note::VerifierKey;
use super::policy::Policy;
use super::stream_verdict::{StreamVerdict, verify_stream};
use super::trust::{Trust, root_of};
use crate::archive::Location;
use crate::fs::FileError;
use crate::output::progress::ReadProgress;

/// What to verify against.
#[derive(Debug)]
pub(crate) struct VerifyOptions {
    /// Whose signatures are believed.
    pub(crate) policy: Policy,
    /// A checkpoint that was kept elsewhere: what it says has to be true still.
    pub(crate) older: Option<String>,
    /// Up to when the archive has to be sealed.
    pub(crate) at: Option<DateTime<Utc>>,
    /// Whether what a person has acknowledged is no reason to refuse.
    pub(crate) accept_broken: bool,
    /// The streams to verify; all if there are none.
    pub(crate) only: Vec<String>,
}

/// Where the files of a stream are.
#[derive(Clone, Debug)]
pub(crate) struct StreamFiles {
    pub(crate) stream: String,
    pub(crate) folder: PathBuf,
    /// Where files are that no entry names, if the settings are known.
    pub(crate) location: Option<Location>,
}

/// What an archive comes to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The newest checkpoint, and who signed it; `None` if it is not believed.
    pub(crate) checkpoint: Option<(Checkpoint, VerifierKey)>,
    /// When the newest entry was written, by the clock of the sealer.
    pub(crate) sealed_at: Option<DateTime<Utc>>,
    /// What is wrong with the log.
    pub(crate) problems: Vec<String>,
    /// What is to be known of it.
    pub(crate) remarks: Vec<String>,
    pub(crate) streams: Vec<StreamVerdict>,
    accept_broken: bool,
}

impl Verdict {
    /// Returns that nothing is believed.
    pub(crate) fn refused(problem: String) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }

    /// Returns whether the archive is what was sealed.
    pub(crate) fn is_believed(&self) -> bool {
        self.problems.is_empty() && self.streams.iter().all(|stream| self.is_stream_believed(stream))
    }

    /// Returns whether a stream of it is what was sealed.
    pub(crate) fn is_stream_believed(&self, stream: &StreamVerdict) -> bool {
        stream.is_believed(self.accept_broken)
    }

    /// Returns everything that is wrong, a sentence each.
    pub(crate) fn all_problems(&self) -> Vec<String> {
        let of_streams = self.streams.iter().flat_map(StreamVerdict::all_problems);
        self.problems.iter().cloned().chain(of_streams).collect()
    }
}

/// Verifies the files of some streams.
///
/// # Errors
/// If the evidence folder cannot be read; what is wrong with the files is in the verdict.
pub(crate) fn verify(
    folder: &Folder,
    files: &[StreamFiles],
    options: &VerifyOptions,
    progress: &ReadProgress,
) -> Result<Verdict, FileError> {
    let Some(content) = folder.read()? else {
        return Ok(Verdict::refused(format!("{} holds no log", folder.path().display())));
    };
    let trust = Trust::of(options.policy.logs(), &content);
    let (checkpoint, key) = match trust.verify(&content.checkpoint) {
        Ok(verified) => verified,
        Err(error) => {
            return Ok(Verdict::refused(format!(
                "the newest checkpoint is not believed: {error}"
            )));
        }
    };
    if let Some(problem) = difference(&content, &checkpoint) {
        return Ok(Verdict::refused(problem));
    }
    let ledger = Ledger::read(content.lines(checkpoint.size));
    let mut verdict = Verdict {
        sealed_at: ledger.newest_at,
        problems: problems(&content, &checkpoint, &trust, &ledger, options),
        remarks: remarks(&content, &checkpoint, &ledger),
        checkpoint: Some((checkpoint, key)),
        streams: Vec::new(),
        accept_broken: options.accept_broken,
    };
    for stream in streams(&ledger, files) {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == stream) {
            continue;
        }
        let files = files.iter().find(|files| files.stream == stream);
        verdict.streams.push(verify_stream(stream, files, &ledger, progress));
    }
    Ok(verdict)
}

fn streams<'a>(ledger: &'a Ledger, files: &'a [StreamFiles]) -> BTreeSet<&'a str> {
    let given = files.iter().map(|files| files.stream.as_str());
    ledger.streams().into_iter().chain(given).collect()
}

/// Says in what the entries are not those of a checkpoint.
fn difference(content: &FolderContent, checkpoint: &Checkpoint) -> Option<String> {
    let Checkpoint { size, root, .. } = checkpoint;
    match root_of(content, *size) {
        None => Some(format!(
            "{size} entries were signed, and fewer are there: the log was cut off"
        )),
        Some(found) if found != *root => Some(format!("the first {size} entries are not those that were signed")),
        Some(_) => None,
    }
}

fn problems(
    content: &FolderContent,
    newest: &Checkpoint,
    trust: &Trust,
    ledger: &Ledger,
    options: &VerifyOptions,
) -> Vec<String> {
    let mut problems = ledger.faults.clone();
    for (size, text) in &content.checkpoints {
        problems.extend(problem_of(&format!("checkpoints/{size}"), text, content, newest, trust));
    }
    if let Some(older) = &options.older {
        problems.extend(problem_of("the older checkpoint", older, content, newest, trust));
    }
    let others = ledger.keys.iter().filter(|(_, key)| key.name() != newest.origin);
    problems.extend(others.map(|(number, key)| format!("entry {number} names a key of another log, {}", key.name())));
    if let Some(at) = options
        .at
        .filter(|at| ledger.newest_at.is_none_or(|newest| newest < *at))
    {
        let newest = ledger
            .newest_at
            .map_or("never".to_owned(), |newest| newest.to_rfc3339());
        problems.push(format!(
            "the newest entry is of {newest}, before {}: the evidence is stale",
            at.to_rfc3339()
        ));
    }
    problems
}

/// Says why an earlier checkpoint is not of the same history as the newest one.
fn problem_of(name: &str, text: &str, content: &FolderContent, newest: &Checkpoint, trust: &Trust) -> Option<String> {
    let earlier = match trust.verify(text) {
        Ok((earlier, _)) => earlier,
        Err(error) => return Some(format!("{name} is not believed: {error}")),
    };
    if earlier.origin != newest.origin {
        return Some(format!("{name} is of another log, {}", earlier.origin));
    }
    if earlier.size > newest.size {
        let Checkpoint { size, .. } = earlier;
        return Some(format!(
            "{name} holds {size} entries, more than the newest one: the log was cut off"
        ));
    }
    difference(content, &earlier).map(|problem| format!("{name} is of another history: {problem}"))
}

fn remarks(content: &FolderContent, newest: &Checkpoint, ledger: &Ledger) -> Vec<String> {
    let mut remarks = Vec::new();
    let signed = content.tree_of(newest.size).map_or(0, |(_, bytes)| bytes);
    if (signed as usize) < content.entries.len() {
        remarks.push("entries behind the newest checkpoint are not signed: the next seal replaces them".to_owned());
    }
    remarks.extend(ledger.restarts.iter().map(|reason| {
        format!(
            "this log was begun in place of one that was lost ({}): what that one said is not proved here",
            reason.escape_debug()
        )
    }));
    remarks
}

impl StreamFiles {
    /// Returns where the day files of these names are.
    pub(super) fn locations<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Location> {
        let mut locations: Vec<Location> = self.location.iter().cloned().collect();
        for location in names.filter_map(|name| Location::of_day_file(&self.folder, name)) {
            if !locations.contains(&location) {
                locations.push(location);
            }
        }
        locations
    }

    /// Returns where the files of the state folder are, which have whole names.
    pub(super) fn state_location(&self) -> Location {
        Location::of_state(&self.folder)
    }
}
