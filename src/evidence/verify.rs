//! Verifies an archive against its evidence. It believes the keys of a policy and nothing else: no note of a seal is read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::anchors::{Anchor, Anchored, anchored, anchors_of};
use super::announcement::{Announced, announced};
use super::checkpoint::{Checkpoint, CheckpointError};
use super::folder::{Folder, FolderContent, Timestamp};
use super::ledger::Ledger;
use super::note::VerifierKey;
use super::policy::Policy;
use super::stream_files::StreamFiles;
use super::stream_verdict::{StreamVerdict, verify_stream};
use super::trust::{Roots, Trust};
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
    /// The days of each stream whose files to verify, beside those of its state folder if that is there; all if it is `None`.
    pub(crate) days: Option<BTreeMap<String, BTreeSet<NaiveDate>>>,
}

/// What an archive comes to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The newest checkpoint, and who signed it; `None` if it is not believed.
    pub(crate) checkpoint: Option<(Checkpoint, VerifierKey)>,
    /// When the newest entry was written, by the clock of the sealer.
    pub(crate) sealed_at: Option<DateTime<Utc>>,
    /// What the witnesses of the policy have seen, and the newest checkpoint that enough of them have.
    pub(crate) anchors: Vec<Anchor>,
    pub(crate) anchored: Option<Anchored>,
    /// The time stamps of its checkpoints, whose signatures are not verified.
    pub(crate) timestamps: Vec<Timestamp>,
    /// Those of its checkpoints that were sent to Kafka, where nobody has looked.
    pub(crate) announced: Vec<Announced>,
    /// How many entries wait for a signature.
    pub(crate) waiting: u64,
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
        let of_streams = self.streams.iter();
        let of_streams = of_streams.flat_map(|stream| stream.all_problems(self.accept_broken));
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
    let content = content.with_longest_checkpoint();
    let unverified = match newest(&content) {
        Ok(newest) => newest,
        Err(problem) => return Ok(Verdict::refused(problem)),
    };
    let roots = roots(&content, unverified.size, options);
    if let Ok((signed, _)) = Checkpoint::verify(&content.checkpoint, options.policy.logs())
        && let Some(problem) = difference(&roots, &signed)
    {
        return Ok(Verdict::refused(problem));
    }
    let ledger = Ledger::read(content.lines(unverified.size));
    let trust = Trust::of(options.policy.logs(), &ledger.keys, &content, &roots);
    let (checkpoint, key) = match trust.verify_newest(&content.checkpoint, unverified.size) {
        Ok(verified) => verified,
        Err(error) => {
            return Ok(Verdict::refused(format!(
                "the newest checkpoint is not believed: {error}"
            )));
        }
    };
    if let Some(problem) = difference(&roots, &checkpoint) {
        return Ok(Verdict::refused(problem));
    }
    let log = VerifiedLog {
        content: &content,
        newest: &checkpoint,
        trust: &trust,
        ledger: &ledger,
        roots: &roots,
    };
    let (mut problems, mut remarks) = (log.problems(options), log.remarks());
    let (anchors, of_others) = log.anchors(options);
    problems.extend(of_others);
    let quorum = options.policy.quorum();
    let anchored = anchored(&anchors, quorum);
    if let Some(needed) = quorum.needed() {
        log.judge_anchored(needed, anchored, options.at, (&mut problems, &mut remarks));
    }
    let mut verdict = Verdict {
        anchors,
        anchored,
        timestamps: folder.timestamps()?,
        announced: announced(folder)?,
        waiting: content.waiting_behind(checkpoint.size),
        sealed_at: ledger.newest_at,
        problems,
        remarks,
        checkpoint: Some((checkpoint, key)),
        streams: Vec::new(),
        accept_broken: options.accept_broken,
    };
    for stream in streams(&ledger, files) {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == stream) {
            continue;
        }
        let files = files.iter().find(|files| files.stream == stream);
        let none = BTreeSet::new();
        let days = options.days.as_ref().map(|days| days.get(stream).unwrap_or(&none));
        verdict
            .streams
            .push(verify_stream(stream, files, &ledger, days, progress));
    }
    Ok(verdict)
}

/// Reads the newest checkpoint, which nobody has verified yet, or says why there is none.
fn newest(content: &FolderContent) -> Result<Checkpoint, String> {
    let waiting = content.waiting_behind(0);
    if content.checkpoint.is_empty() && waiting > 0 {
        return Err(format!(
            "nothing is signed yet: {waiting} entries wait for the key, which is on another host"
        ));
    }
    let newest = Checkpoint::unverified(&content.checkpoint);
    newest.ok_or_else(|| format!("the newest checkpoint is not believed: {}", CheckpointError::Form))
}

fn streams<'a>(ledger: &'a Ledger, files: &'a [StreamFiles]) -> BTreeSet<&'a str> {
    let given = files.iter().map(|files| files.stream.as_str());
    ledger.streams().into_iter().chain(given).collect()
}

/// Returns the roots that checkpoints are compared with.
fn roots(content: &FolderContent, newest: u64, options: &VerifyOptions) -> Roots {
    let others = content.checkpoints.iter().map(|(_, text)| text).chain(&options.older);
    let others = others.chain(content.anchors.iter().map(|(_, text)| text));
    let sizes = others.filter_map(|text| Checkpoint::unverified(text).map(|checkpoint| checkpoint.size));
    content.roots(&sizes.chain([newest]).collect())
}

/// Says in what the entries are not those of a checkpoint.
fn difference(roots: &Roots, checkpoint: &Checkpoint) -> Option<String> {
    let Checkpoint { size, root, .. } = checkpoint;
    match roots.get(size) {
        None => Some(format!(
            "{size} entries were signed, and fewer are there: the log was cut off"
        )),
        Some(found) if found != root => Some(format!("the first {size} entries are not those that were signed")),
        Some(_) => None,
    }
}

/// A log whose newest checkpoint is believed.
struct VerifiedLog<'a> {
    content: &'a FolderContent,
    newest: &'a Checkpoint,
    trust: &'a Trust<'a>,
    ledger: &'a Ledger,
    roots: &'a Roots,
}

impl VerifiedLog<'_> {
    fn problems(&self, options: &VerifyOptions) -> Vec<String> {
        let mut problems = self.ledger.faults.clone();
        for (size, text) in &self.content.checkpoints {
            problems.extend(self.problem_of(&format!("checkpoints/{size}"), text));
        }
        if let Some(older) = &options.older {
            problems.extend(self.problem_of("the older checkpoint", older));
        }
        for (name, text) in &self.content.anchors {
            // One by the key of this log can show a second history, whoever has cosigned it; what the policy's witnesses have seen is
            // told with their names.
            let is_theirs = !anchors_of(text, options.policy.quorum()).is_empty();
            if !is_theirs && self.trust.verify(text).is_ok() {
                problems.extend(self.problem_of(&format!("anchors/{name}"), text));
            }
        }
        let origin = &self.newest.origin;
        let others = self.ledger.keys.iter().filter(|(_, key)| key.name() != origin);
        problems.extend(others.map(|(number, key)| {
            let name = key.name();
            format!("entry {number} names a key of another log, {name}")
        }));
        let newest = self.ledger.newest_at;
        if let Some(at) = options.at.filter(|at| newest.is_none_or(|newest| newest < *at)) {
            let newest = newest.map_or("never".to_owned(), |newest| newest.to_rfc3339());
            problems.push(format!(
                "the newest entry is of {newest}, before {}: the evidence is stale",
                at.to_rfc3339()
            ));
        }
        problems
    }

    /// Says whether enough witnesses have seen the log, and lately enough.
    fn judge_anchored(
        &self,
        needed: &str,
        anchored: Option<Anchored>,
        at: Option<DateTime<Utc>>,
        (problems, remarks): (&mut Vec<String>, &mut Vec<String>),
    ) {
        match anchored {
            None => problems.push(format!(
                "no checkpoint has the cosignatures that the policy asks for, those of {needed}"
            )),
            Some(anchored) if at.is_some_and(|at| anchored.at < at) => problems.push(format!(
                "the newest checkpoint with the cosignatures that the policy asks for is of {}: the evidence is stale",
                anchored.at.to_rfc3339()
            )),
            Some(Anchored { size, .. }) if size < self.newest.size => remarks.push(format!(
                "what stands behind the first {size} entries is not cosigned yet as the policy asks: it rests on the key of the log alone"
            )),
            Some(_) => {}
        }
    }

    /// Returns what the witnesses of the policy say of this history, and says where they have seen another one.
    fn anchors(&self, options: &VerifyOptions) -> (Vec<Anchor>, Vec<String>) {
        let quorum = options.policy.quorum();
        let kept = self
            .content
            .checkpoints
            .iter()
            .map(|(size, text)| (format!("checkpoints/{size}"), text));
        let anchors = self
            .content
            .anchors
            .iter()
            .map(|(name, text)| (format!("anchors/{name}"), text));
        let older = options
            .older
            .iter()
            .map(|text| ("the older checkpoint".to_owned(), text));
        let newest = std::iter::once(("the newest checkpoint".to_owned(), &self.content.checkpoint));
        let (mut found, mut problems) = (Vec::<Anchor>::new(), Vec::new());
        for (name, text) in newest.chain(older).chain(kept).chain(anchors) {
            for anchor in anchors_of(text, quorum) {
                let seen = &anchor.checkpoint;
                let is_of_this_log = seen.origin == self.newest.origin;
                let problem = difference(self.roots, seen).or_else(|| {
                    let is_longer = seen.size > self.newest.size;
                    is_longer.then(|| format!("{} entries were seen, more than the newest checkpoint has", seen.size))
                });
                match problem.filter(|_| is_of_this_log) {
                    Some(problem) => problems.push(format!(
                        "{} has seen another history ({name}): {problem}",
                        anchor.witness
                    )),
                    None if is_of_this_log && !found.contains(&anchor) => found.push(anchor),
                    None => {}
                }
            }
        }
        found.sort_by_key(|anchor| (anchor.size, anchor.at));
        (found, problems)
    }

    /// Says why an earlier checkpoint is not of the same history as the newest one.
    fn problem_of(&self, name: &str, text: &str) -> Option<String> {
        let earlier = match self.trust.verify(text) {
            Ok(earlier) => earlier,
            Err(error) => return Some(format!("{name} is not believed: {error}")),
        };
        if earlier.origin != self.newest.origin {
            return Some(format!("{name} is of another log, {}", earlier.origin));
        }
        if earlier.size > self.newest.size {
            let Checkpoint { size, .. } = earlier;
            return Some(format!(
                "{name} holds {size} entries, more than the newest one: the log was cut off"
            ));
        }
        difference(self.roots, &earlier).map(|problem| format!("{name} is of another history: {problem}"))
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let signed = self.content.tree_of(self.newest.size).map_or(0, |(_, bytes)| bytes);
        let waiting = self.content.waiting_behind(self.newest.size);
        if waiting > 0 {
            remarks.push(format!(
                "{waiting} entries behind the newest checkpoint wait for the key, which is on another host: what they say is not proved yet"
            ));
        } else if (signed as usize) < self.content.entries.len() {
            remarks.push("entries behind the newest checkpoint are not signed: the next seal replaces them".to_owned());
        }
        if let Some(number) = self.ledger.goes_back_at {
            remarks.push(format!(
                "entry {number} is older than the one before it: the clock of the machine that seals was put back"
            ));
        }
        remarks.extend(self.ledger.restarts.iter().map(|reason| {
            format!(
                "this log was begun in place of one that was lost ({}): what that one said is not proved here",
                reason.escape_debug()
            )
        }));
        remarks
    }
}
