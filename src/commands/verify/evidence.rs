//! `verify --evidence`: compares the archive with what was sealed; it needs public keys only.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;

use super::basis::basis;
use super::verdict_view::{shown, text};
use crate::commands::archives::Archives;
use crate::commands::arguments::selection::Selection;
use crate::commands::arguments::stream_folder::stream_folder;
use crate::commands::arguments::time::TimeArg;
use crate::commands::error::CommandError;
use crate::commands::outcome::{log_problems, print_json, print_text};
use crate::commands::seal::evidence_settings;
use crate::evidence::folder::Folder;
use crate::evidence::stream_files::StreamFiles;
use crate::evidence::verify::{Verdict, VerifyOptions, verify};
use crate::fs::read_to_string;
use crate::output::print::print_to_stderr;
use crate::output::progress::{Progress, ReadProgress};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;

/// The arguments that are about evidence.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvidenceArguments {
    /// Compare the files with what was sealed, instead of reading their lines
    #[arg(long, group = "what")]
    pub(crate) evidence: bool,

    /// Trust the keys in this policy (C2SP tlog-policy), and not what the operator has put into the evidence folder
    #[arg(long, value_name = "FILE", requires = "what")]
    pub(crate) policy: Option<PathBuf>,

    /// A checkpoint that was kept elsewhere: what it says has to be true still
    #[arg(long, value_name = "FILE", requires = "evidence")]
    pub(crate) checkpoint: Option<PathBuf>,

    /// Refuse evidence whose newest entry is older than this time
    #[arg(long, value_name = "TIME", requires = "evidence", allow_hyphen_values = true)]
    pub(crate) at: Option<TimeArg>,

    /// Take what was acknowledged as broken for no reason to refuse
    #[arg(long, requires = "evidence")]
    pub(crate) accept_broken: bool,

    /// The evidence folder, where the settings of the collector are not known; of a bundle, to see whether its days are whole by
    /// the newest entries about them
    #[arg(long, value_name = "DIR", requires = "what")]
    pub(crate) evidence_folder: Option<PathBuf>,

    /// The catalog of a stream, where the settings of the collector are not known, or do not name it any more
    #[arg(long, value_name = "STREAM=DIR", requires = "evidence", value_parser = stream_folder)]
    pub(crate) files: Vec<(String, PathBuf)>,

    /// Verify the proof of one line, which `prove` wrote; needs --policy and nothing else
    #[arg(
        long,
        value_name = "FILE",
        group = "what",
        requires = "policy",
        conflicts_with_all = ["checkpoint", "at", "accept_broken", "files", "evidence_folder"]
    )]
    pub(crate) proof: Option<PathBuf>,

    /// Verify the proofs of a bundle, which `export` wrote; needs --policy
    #[arg(
        long,
        value_name = "DIR",
        group = "what",
        requires = "policy",
        conflicts_with_all = ["checkpoint", "at", "accept_broken", "files"]
    )]
    pub(crate) bundle: Option<PathBuf>,

    /// Verify the signature of a page that `audit` wrote; needs --signer and nothing else
    #[arg(long, value_name = "FILE", requires = "signer", conflicts_with_all = ["what", "policy"])]
    pub(crate) page: Option<PathBuf>,

    /// The public key of the auditor who signed the page
    #[arg(long, value_name = "KEY", requires = "page")]
    pub(crate) signer: Option<String>,
}

/// Verifies the archive.
pub(super) fn run(
    arguments: &EvidenceArguments,
    selection: &Selection,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    match &arguments.evidence_folder {
        Some(folder) => {
            let files: Vec<_> = named_files(arguments).collect();
            if files.is_empty() {
                return Err(CommandError::usage(
                    "--evidence-folder: name the catalogs too, with --files",
                ));
            }
            let progress = Progress::unless_quiet(selection.verbosity.quiet);
            let reading = progress.reading("verify", bytes(&files));
            judge(arguments, selection, (folder, &files), &reading, false, clock())
        }
        None => {
            let archives = Archives::find_showing(selection, clock)?;
            let settings = evidence_settings(&archives.env, &archives.streams)?;
            let mut files: Vec<_> = archives.streams.iter().map(StreamFiles::of).collect();
            files.extend(named_files(arguments));
            let with_colours = stdout_takes_colours(archives.env.allows_colours());
            let reading = archives.reading("verify");
            judge(
                arguments,
                selection,
                (&settings.folder, &files),
                &reading,
                with_colours,
                clock(),
            )
        }
    }
}

/// Returns where files are that the arguments name.
fn named_files(arguments: &EvidenceArguments) -> impl Iterator<Item = StreamFiles> {
    arguments.files.iter().map(|(stream, folder)| StreamFiles {
        stream: stream.clone(),
        folder: folder.clone(),
        location: None,
    })
}

fn judge(
    arguments: &EvidenceArguments,
    selection: &Selection,
    (folder, files): (&Path, &[StreamFiles]),
    progress: &ReadProgress,
    with_colours: bool,
    now: DateTime<Utc>,
) -> Result<Exit, CommandError> {
    if let Some(twice) = named_twice(files) {
        let problem = format!("--files: {twice} has a folder already: name each stream once");
        return Err(CommandError::usage(problem));
    }
    let folder = Folder::new(folder);
    let basis = basis(arguments.policy.as_deref(), &folder)?;
    let verdict = match &basis.policy {
        Err(problem) => Verdict::refused(problem.clone()),
        Ok(policy) => {
            let options = VerifyOptions {
                policy: policy.clone(),
                older: arguments.checkpoint.as_deref().map(read_to_string).transpose()?,
                at: arguments.at.map(|time| time.resolve(now)),
                accept_broken: arguments.accept_broken,
                only: selection.streams.clone(),
                days: None,
            };
            verify(&folder, files, &options, progress)?
        }
    };
    let exit = if verdict.is_believed() {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    if arguments.evidence_folder.is_some() && selection.verbosity.quiet && !selection.json {
        verdict
            .all_problems()
            .iter()
            .for_each(|problem| print_to_stderr(&format!("{problem}\n")));
    }
    log_problems(selection.verbosity, "evidence", verdict.all_problems());
    if selection.json {
        print_json(selection.settings.organization(), &shown(&verdict, &basis, exit))?;
    } else {
        print_text(selection.verbosity, || {
            text(&verdict, &basis, (selection.verbosity, with_colours))
        })?;
    }
    Ok(exit)
}

fn named_twice(files: &[StreamFiles]) -> Option<&str> {
    let mut streams: Vec<_> = files.iter().map(|files| files.stream.as_str()).collect();
    streams.sort_unstable();
    streams
        .windows(2)
        .find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
}

/// Returns how long the files are.
fn bytes(files: &[StreamFiles]) -> u64 {
    let entries = files
        .iter()
        .filter_map(|files| crate::fs::list(&files.folder).ok().map(|names| (files, names)));
    let lengths = entries.flat_map(|(files, names)| {
        names
            .into_iter()
            .filter_map(|name| files.folder.join(name).metadata().ok())
            .collect::<Vec<_>>()
    });
    lengths
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}
