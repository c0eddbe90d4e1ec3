//! `trailkeeper evidence request`, `sign` and `accept`: a log whose key is on another host. The host that seals asks, the other one
//! signs, and the first one accepts what that has signed.

use std::io::Read;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::{Options, Shown, give_away, settings};
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::outcome::{print_json, print_text};
use crate::evidence::folder::Folder;
use crate::evidence::keeper::Keeper;
use crate::evidence::signer::Signer;
use crate::evidence::signing::{Asked, sign};
use crate::evidence::signing_request::{MAX_REQUEST, SigningRequest};
use crate::fs::read_to_string;
use crate::output::logging::Verbosity;
use crate::output::print::print;
use crate::process::exit::Exit;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestArguments {
    /// How many entries the other host has signed last, if those are not the ones of the newest checkpoint here
    #[arg(long, value_name = "ENTRIES")]
    old: Option<u64>,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct SignArguments {
    /// The key of the log, which `evidence keygen --name ORIGIN` has made
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// The folder in which is kept what was signed last, of this log alone
    #[arg(long, value_name = "DIR")]
    state: PathBuf,

    /// The evidence folder or a copy of it, instead of a request on standard input
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,

    /// Sign the first checkpoint, with which nothing can be compared
    #[arg(long)]
    first: bool,

    /// Write the signed checkpoint to this file, replacing an older one, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct AcceptArguments {
    /// The signed checkpoint, instead of standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) options: Options,
}

/// Asks for a signature.
pub(super) fn request(arguments: &RequestArguments) -> Result<Exit, CommandError> {
    let options = Options {
        json: false,
        settings: arguments.settings.clone(),
        verbosity: arguments.verbosity,
    };
    let settings = settings(&options)?;
    let request = SigningRequest::of(&Folder::new(&settings.folder), arguments.old)?;
    print(&request.to_string())?;
    Ok(Exit::Complete)
}

/// Signs what is asked for.
pub(super) fn sign_request(arguments: &SignArguments, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let signer = Signer::read(&arguments.key).map_err(CommandError::setup)?;
    let text = match &arguments.log {
        Some(_) => String::new(),
        None => read_input("the request")?,
    };
    let asked = match &arguments.log {
        Some(folder) => Asked::Folder(folder),
        None => Asked::Text(&text),
    };
    let signed = sign(asked, &signer, (&arguments.state, arguments.first), now)?;
    give_away(&signed, arguments.out.as_deref())
}

/// Accepts what the other host has signed.
pub(super) fn accept(arguments: &AcceptArguments, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let options = &arguments.options;
    let settings = settings(options)?;
    let text = match &arguments.file {
        Some(file) => read_to_string(file)?,
        None => read_input("the signed checkpoint")?,
    };
    let (checkpoint, waiting) = Keeper::new(&settings).accept(&text, now)?;
    let size = checkpoint.size;
    if options.json {
        print_json(
            options.settings.organization(),
            &Shown {
                size: Some(size),
                waiting: Some(waiting),
                ..Shown::default()
            },
        )?;
    } else {
        print_text(options.verbosity, || {
            let origin = &checkpoint.origin;
            format!("the first {size} entries of the log {origin} are signed; {waiting} wait for a signature\n")
        })?;
    }
    Ok(Exit::Complete)
}

fn read_input(what: &str) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_REQUEST).read_to_string(&mut text);
    read.map_err(|error| CommandError::setup(format!("cannot read {what} from standard input: {error}")))?;
    Ok(text)
}
