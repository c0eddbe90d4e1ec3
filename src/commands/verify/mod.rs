//! `trailkeeper verify`: checks every line of the day files.
//!
//! A day file is sound if each of its lines is one JSON object with a time of that UTC day, no record is there twice,
//! and the last line has its newline. Torn lines that a crash left and a later run repaired are listed and not wrong,
//! since their records were fetched again. Late records come after newer ones; they are counted, and not wrong either.
//!
//! With `--json`: `{"streams": […], "exit_code": 0}`, and for each stream `stream`, `files`, `records`, `in_both` (records that
//! are in a day file and in its compressed form, and are counted once), `bytes`, `repaired`, `out_of_order`, `wrong`,
//! `warnings`, and `findings`: `[{"file","line","offset","problem","text"}]`, at most 1000 of each file. `problem` is one of
//! `blank`, `not-utf8`, `not-json`, `not-a-record`, `wrong-day`, `repeated`, `no-newline`, `torn-line`, `unreadable` and
//! `repaired`. Of a file as a whole, with the line 0: `missing`, `shorter` or `fewer-lines` than when a run wrote to it,
//! `not-a-file` and `future`, of a compressed file `compressed-missing`, `compressed-damaged` and `fewer-records`, and
//! `several-names` (hard links, through which another program can write to it), which is a warning. Only `repaired` and
//! warnings are not wrong. `remarks`: sentences on day files that were never counted, or that another program has compressed
//! (these are checked like the others), and on runs whose coverage does not count.

mod day_files;
mod stream_report;

use chrono::{DateTime, Utc};
use clap::Args;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_streams, print_text};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use stream_report::{StreamReport, text};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper verify
  trailkeeper verify --stream yandex-mail --json

It takes no lock and writes nothing, and may run beside `collect`. Exit codes: 0 all is well, 3 something is wrong.";

/// Verifies the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let streams = day_files::verify(&archives.streams, clock());
    let exit = exit(&streams);
    for stream in &streams {
        log_problems(selection.verbosity, stream.name(), stream.problems());
    }
    if selection.json {
        print_streams(&streams, exit)?;
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
