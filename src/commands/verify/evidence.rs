//! `verify --evidence`: compares the archive with what was sealed; it needs public keys only.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;

use super::verdict_view::{Basis, shown, text};
use crate::commands::archives::Archives;
use crate::commands::arguments::selection::Selection;
use crate::commands::arguments::time::TimeArg;
use crate::commands::error::CommandError;
use crate::commands::outcome::{log_problems, print_json, print_text};
use crate::commands::seal::evidence_settings;
use crate::config::StreamPlace;
use crate::evidence::folder::Folder;
use crate::evidence::policy::Policy;
use crate::evidence::verify::{StreamFiles, Verdict, VerifyOptions, verify};
use crate::fs::read_to_string;
use crate::output::progress::{Progress, ReadProgress};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;

/// The arguments that are about evidence.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvidenceArguments {
    /// Compare the files with what was sealed, instead of reading their lines
    #[arg(long)]
    pub(crate) evidence: bool,

    /// Trust the keys in this policy (C2SP tlog-policy), and not what the operator has put into the evidence folder
    #[arg(long, value_name = "FILE")]
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

    /// The evidence folder, where the settings of the collector are not known
    #[arg(long, value_name = "DIR", requires_all = ["evidence", "files"])]
    pub(crate) evidence_folder: Option<PathBuf>,

    /// The catalog of a stream, where the settings of the collector are not known
    #[arg(long, value_name = "STREAM=DIR", requires = "evidence_folder", value_parser = files)]
    pub(crate) files: Vec<(String, PathBuf)>,

    /// Verify the proof of one line, which `prove` wrote; needs --policy and nothing else
    #[arg(long, value_name = "FILE", requires = "policy", conflicts_with = "evidence")]
    pub(crate) proof: Option<PathBuf>,
}

fn files(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((stream, folder)) if !stream.is_empty() && !folder.is_empty() => Ok((stream.to_owned(), folder.into())),
        _ => Err("expected the name of a stream, `=`, and its folder".to_owned()),
    }
}

/// Verifies the archive.
pub(super) fn run(
    arguments: &EvidenceArguments,
    selection: &Selection,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    match &arguments.evidence_folder {
        Some(folder) => {
            let files = arguments.files.iter().map(|(stream, folder)| StreamFiles {
                stream: stream.clone(),
                folder: folder.clone(),
                location: None,
            });
            let files: Vec<_> = files.collect();
            let progress = Progress::unless_quiet(selection.verbosity.quiet);
            let reading = progress.reading("verify", bytes(&files));
            judge(arguments, selection, (folder, &files), &reading, false, clock())
        }
        None => {
            let archives = Archives::find_showing(selection, clock)?;
            let settings = evidence_settings(&archives.env, &archives.streams)?;
            let files: Vec<_> = archives.streams.iter().map(stream_files).collect();
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

fn stream_files(place: &StreamPlace) -> StreamFiles {
    StreamFiles {
        stream: place.kind.name.to_owned(),
        folder: place.location.folder().to_owned(),
        location: Some(place.location.clone()),
    }
}

fn judge(
    arguments: &EvidenceArguments,
    selection: &Selection,
    (folder, files): (&Path, &[StreamFiles]),
    progress: &ReadProgress,
    with_colours: bool,
    now: DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let folder = Folder::new(folder);
    let basis = basis(arguments, &folder)?;
    let verdict = match &basis.policy {
        Err(problem) => Verdict::refused(problem.clone()),
        Ok(policy) => {
            let options = VerifyOptions {
                policy: policy.clone(),
                older: arguments.checkpoint.as_deref().map(read_to_string).transpose()?,
                at: arguments.at.map(|time| time.resolve(now)),
                accept_broken: arguments.accept_broken,
                only: selection.streams.clone(),
            };
            verify(&folder, files, &options, progress)?
        }
    };
    let exit = if verdict.is_believed() {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    log_problems(selection.verbosity, "evidence", verdict.all_problems());
    if selection.json {
        print_json(&shown(&verdict, &basis, exit))?;
    } else {
        print_text(selection.verbosity, || {
            text(&verdict, &basis, (selection.verbosity, with_colours))
        })?;
    }
    Ok(exit)
}

/// Reads the policy: that of the auditor, or what the operator says.
fn basis(arguments: &EvidenceArguments, folder: &Folder) -> Result<Basis, CommandError> {
    let (path, text, is_operators) = match &arguments.policy {
        Some(path) => (path.clone(), read_to_string(path)?, false),
        None => match folder.policy()? {
            Some((path, text)) => (path, text, true),
            None => {
                let problem = "no key is trusted: name a policy with --policy".to_owned();
                return Ok(Basis {
                    path: PathBuf::new(),
                    policy: Err(problem),
                    is_operators: false,
                });
            }
        },
    };
    let policy = Policy::parse(&text).map_err(|error| format!("the policy {} cannot be used: {error}", path.display()));
    Ok(Basis {
        path,
        policy,
        is_operators,
    })
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
