//! `trailkeeper audit`: asks the services again for hours that nobody could prepare, and compares them with what was sealed.
//!
//! It is for the auditor, on a machine and with a token of his own: it writes nothing into the archive and takes no lock.
//!
//! `docs/json.md` has the form of `--json`.

mod arguments;
mod outcome;
mod page;
mod sample;

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use futures::future::join_all;

use super::archives::check_outside;
use super::error::CommandError;
use super::outcome::{log_problems, print_json, print_text};
use super::verify::{Basis, basis};
use crate::audit::PAGE_BEGINNING;
use crate::audit::archived::Archived;
use crate::audit::asking::{Given, ask};
use crate::audit::compare::{Bounds, ComparedHour, GivenHour, compare};
use crate::config::StreamSettings;
use crate::evidence::folder::Folder;
use crate::evidence::sealed_log::SealedLog;
use crate::evidence::signed_page::sign;
use crate::evidence::signer::Signer;
use crate::evidence::stream_files::StreamFiles;
use crate::evidence::verify::{Verdict, VerifyOptions, verify};
use crate::fs::{can_replace_own, read_to_string, replace_own};
use crate::output::logging::Log;
use crate::output::progress::{Progress, ReadProgress};
use crate::process::exit::Exit;
use crate::run;
use crate::window::floor_to_millisecond;
pub(crate) use arguments::Arguments;
pub(super) use arguments::EXAMPLES;
use outcome::{Outcome, StreamOutcome};
use sample::{Sample, Times};

/// The page names records: its owner and group can read it, as they can read the day files.
const FILE_MODE: u32 = 0o640;

/// What is audited, and where it is.
struct Subject {
    folder: Folder,
    streams: Vec<(StreamSettings, StreamFiles)>,
    /// The folders of other streams, too.
    catalogs: Vec<PathBuf>,
    progress: Progress,
}

/// Audits the chosen streams.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let subject = arguments.subject(log, clock)?;
    let signer = arguments.key.as_deref().map(Signer::read).transpose();
    let signer = signer.map_err(CommandError::setup)?;
    if let Some(path) = &arguments.out {
        let catalogs: Vec<_> = subject.streams.iter().map(|(_, files)| files.folder.clone()).collect();
        check_outside("--out", path, subject.catalogs.iter().chain(&catalogs))?;
        can_replace_own(path, FILE_MODE, PAGE_BEGINNING)?;
    }
    let now = floor_to_millisecond(clock());
    let outcome = audit(arguments, &subject, signer.as_ref(), now).await?;
    log_problems(arguments.verbosity, "audit", outcome.all_problems());
    let page = page::text(&outcome);
    let page = signer.map_or(page.clone(), |signer| sign(&page, &signer));
    if let Some(path) = &arguments.out {
        replace_own(path, FILE_MODE, page.as_bytes(), PAGE_BEGINNING)?;
    }
    if arguments.json {
        print_json(arguments.settings.organization(), &outcome)?;
    } else {
        print_text(arguments.verbosity, || page)?;
    }
    Ok(outcome.exit())
}

async fn audit(
    arguments: &Arguments,
    subject: &Subject,
    signer: Option<&Signer>,
    now: DateTime<Utc>,
) -> Result<Outcome, CommandError> {
    let basis = basis(arguments.policy.as_deref(), &subject.folder)?;
    let nonce = arguments.nonce()?;
    let mut outcome = Outcome::begin(&basis, &nonce, now);
    let Some(log) = SealedLog::read(&subject.folder)? else {
        let problem = format!("{} holds no log with a checkpoint", subject.folder.path().display());
        return Ok(outcome.refused(vec![problem]));
    };
    if let Some(signer) = signer.filter(|signer| signer.verifier().name() == log.checkpoint.origin) {
        let name = signer.verifier().name();
        let problem =
            format!("--key is the key of the log {name}: its operator does not sign an audit of his own archive");
        return Err(CommandError::usage(problem));
    }
    let times = Times::of(arguments, now)?;
    let sample = Sample::draw(subject, &log, &nonce, arguments.sample, &times)?;
    let settings: Vec<_> = subject.streams.iter().map(|(settings, _)| settings).collect();
    outcome.note_sample(&log, &sample, &settings);
    let reading = subject.progress.reading("audit", sample.bytes(subject));
    let verdict = verdict(arguments, subject, &basis, &sample, &reading, now)?;
    drop(reading);
    outcome.note_verdict(&verdict);
    if !verdict.is_believed() {
        return Ok(outcome.refused(verdict.all_problems()));
    }
    outcome.problems.extend(sample.problems());
    outcome.remarks.extend(sample.remarks());
    if sample.hours.is_empty() {
        return Ok(outcome.refused(Vec::new()));
    }
    compare_hours(&mut outcome, subject, &log, &sample, now).await?;
    Ok(outcome.ended())
}

/// Verifies the log, and the files that the drawn hours are in.
fn verdict(
    arguments: &Arguments,
    subject: &Subject,
    basis: &Basis,
    sample: &Sample,
    reading: &ReadProgress,
    now: DateTime<Utc>,
) -> Result<Verdict, CommandError> {
    let policy = match &basis.policy {
        Ok(policy) => policy.clone(),
        Err(problem) => return Ok(Verdict::refused(problem.clone())),
    };
    let options = VerifyOptions {
        policy,
        older: arguments.checkpoint.as_deref().map(read_to_string).transpose()?,
        at: arguments.at.map(|time| time.resolve(now)),
        accept_broken: arguments.accept_broken,
        only: arguments.streams.clone(),
        days: Some(sample.days.clone()),
    };
    let files: Vec<_> = subject.streams.iter().map(|(_, files)| files.clone()).collect();
    Ok(verify(&subject.folder, &files, &options, reading)?)
}

/// Reads the archive, then asks for the same hours, and compares.
async fn compare_hours(
    outcome: &mut Outcome,
    subject: &Subject,
    log: &SealedLog,
    sample: &Sample,
    now: DateTime<Utc>,
) -> Result<(), CommandError> {
    let mut archived = BTreeMap::new();
    for (settings, files) in &subject.streams {
        let name = settings.kind.name;
        if let Some(hours) = sample.hours.get(name) {
            let stream = sample::audited(settings, files, log);
            match stream.read(hours, now) {
                Ok(read) => drop(archived.insert(name, read)),
                Err(problem) => outcome.problems.push(format!("{name}: {problem}")),
            }
        }
    }
    let streams: Vec<_> = subject.streams.iter().map(|(settings, _)| settings.clone()).collect();
    let http = run::client(streams.iter()).map_err(CommandError::setup)?;
    let hosts = run::hosts_of(streams.iter());
    let asked = streams
        .iter()
        .filter(|settings| archived.contains_key(settings.kind.name));
    let (http, hosts) = (&http, &*hosts);
    let asked = asked.map(|settings| async move {
        let hours = &sample.hours[settings.kind.name];
        (settings, ask(settings, (http, hosts), hours, now).await)
    });
    for (settings, given) in join_all(asked).await {
        let name = settings.kind.name;
        let archived = &archived[name];
        let sealed_at = log.ledger.sealed_at.get(name).copied().unwrap_or(now);
        let bounds = Bounds {
            late_from: sealed_at - settings.limits.reconcile_reach,
            kept_from: settings.kind.retention.oldest(now),
        };
        let hours = given.hours.iter();
        let hours: Vec<ComparedHour> = hours
            .map(|(hour, given): (_, &GivenHour)| compare(*hour, given, archived, bounds))
            .collect();
        outcome.note_hours(name, &hours, remarks(&given, archived));
    }
    Ok(())
}

/// Returns what is to be known of the stream as a whole.
fn remarks(given: &Given, archived: &Archived) -> StreamOutcome {
    let not_kept = given
        .rejected
        .iter()
        .filter(|content| !archived.rejected.has(**content));
    StreamOutcome {
        requests: given.requests,
        rejected_not_kept: not_kept.count() as u64,
        remarks: given.remarks.iter().chain(&archived.remarks).cloned().collect(),
        ..StreamOutcome::default()
    }
}
