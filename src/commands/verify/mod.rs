//! `trailkeeper verify`: checks every line of the day files.
//!
//! A day file is sound if each of its lines is one JSON object with a time of that UTC day, no record is there twice,
//! and the last line has its newline. Torn lines that a crash left and a later run repaired are listed and not wrong,
//! since their records were fetched again. Late records come after newer ones; they are counted, and not wrong either.
//!
//! What another program had left before the first run is not wrong if it is misplaced or repeated, and is counted.
//!
//! `--evidence` compares the files with what was sealed instead, in `evidence`, and `--proof` verifies the proof of a line.
//!
//! `docs/json.md` has the form of `--json`.

mod basis;
mod bundle;
mod day_files;
mod evidence;
mod page;
mod proof;
mod stream_report;
mod verdict_view;

use chrono::{DateTime, Utc};
use clap::Args;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_streams, print_text};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
pub(super) use basis::{Basis, basis};
pub(crate) use evidence::EvidenceArguments;
use stream_report::{StreamReport, text};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) evidence: EvidenceArguments,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper verify
  trailkeeper verify --stream yandex-mail --json
  trailkeeper verify --evidence --policy policy.txt
  trailkeeper verify --evidence --policy policy.txt --evidence-folder evidence --files tfc=tfc
  trailkeeper verify --proof event.tlog-proof --policy policy.txt
  trailkeeper verify --bundle bundle --policy policy.txt
  trailkeeper verify --bundle bundle --policy policy.txt --evidence-folder evidence
  trailkeeper verify --page audit.page --signer jane.auditor.example+7a4cd1fd+AcZNLL4e

It takes no lock and writes nothing, and may run beside `collect`. Exit codes: 0 all is well, 3 something is wrong.";

/// Verifies the chosen streams, or a proof.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let Arguments { evidence, .. } = arguments;
    if let (Some(proof), Some(policy)) = (&evidence.proof, &evidence.policy) {
        return proof::run(proof, policy, selection.json, selection.verbosity);
    }
    if let (Some(folder), Some(policy)) = (&evidence.bundle, &evidence.policy) {
        let log = evidence.evidence_folder.as_deref();
        return bundle::run(folder, (policy, log), selection.json, selection.verbosity);
    }
    if let (Some(page), Some(signer)) = (&evidence.page, &evidence.signer) {
        return page::run(page, signer, selection.json, selection.verbosity);
    }
    if evidence.evidence {
        return evidence::run(evidence, selection, clock);
    }
    let archives = Archives::find_showing(selection, clock)?;
    let streams = day_files::verify(&archives.streams, &archives.reading("verify"), clock());
    let exit = exit(&streams);
    for stream in &streams {
        log_problems(selection.verbosity, stream.name(), stream.problems());
    }
    if selection.json {
        print_streams(selection.settings.organization(), &streams, exit)?;
    } else {
        let with_colours = stdout_takes_colours(archives.env.allows_colours());
        print_text(selection.verbosity, || text(&streams, with_colours))?;
    }
    Ok(exit)
}

fn exit(streams: &[StreamReport]) -> Exit {
    if streams.iter().all(StreamReport::is_ok) {
        Exit::Complete
    } else {
        Exit::StreamFailed
    }
}
