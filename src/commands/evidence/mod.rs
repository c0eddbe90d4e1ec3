//! `trailkeeper evidence`: what is done to the log by hand. Each command is a word and a few arguments; those about a key on another
//! host are in a file of their own.
//!
//! `docs/json.md` has the form of `--json`.

mod signing;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::archives::{Archives, check_outside};
use super::arguments::selection::Selection;
use super::arguments::settings::SettingsArguments;
use super::error::CommandError;
use super::outcome::{print_json, print_text};
use super::seal::evidence_settings;
use super::sealing;
use super::witnesses::cosigned_at;
use crate::config::{self, EvidenceSettings, KeySource};
use crate::env::ConfigErrors;
use crate::evidence::folder::Folder;
use crate::evidence::keeper::Keeper;
use crate::evidence::last_checkpoint::Signed;
use crate::evidence::note::{VerifierKey, is_name};
use crate::evidence::policy::Policy;
use crate::evidence::publish::publish;
use crate::evidence::signer::Signer;
use crate::evidence::submission::Submission;
use crate::evidence::witness::cosign;
use crate::fs::{read_to_string, replace_own};
use crate::output::logging::Verbosity;
use crate::output::print::print;
use crate::process::exit::Exit;
use crate::source::SOURCES;

/// A cosigned checkpoint is for everybody.
const CHECKPOINT_MODE: u32 = 0o644;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper evidence keygen
  trailkeeper evidence keygen --name jane.auditor.example --out auditor.key
  trailkeeper evidence acknowledge mail_audit_2026-11-20.log --reason restored
  trailkeeper evidence rotate
  trailkeeper evidence rotate --agent SHA256:1hw2Yq8oH1vWlBCkYDUnXRWUQHwMHhUFCDqiKrsMTGg
  trailkeeper evidence restart --reason disk-lost
  trailkeeper evidence publish --to published
  trailkeeper evidence request --old 42
  trailkeeper evidence sign --key log.key --state signed --log evidence --out checkpoint.signed --first
  trailkeeper evidence accept checkpoint.signed
  trailkeeper evidence keygen --witness --name w1.example --out witness.key
  trailkeeper evidence cosign --log published --policy log.policy --key witness.key --state witness --first
  trailkeeper evidence cosign --log published --policy auditor.policy --url https://w1.example/ --out cosigned

EVIDENCE_FOLDER, EVIDENCE_ORIGIN and EVIDENCE_KEY_FILE say where the log is, what it is called, and which key signs it.
EVIDENCE_PUBLIC_KEY in place of the last one says that the key is on another host.";

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Action {
    /// Make a key, write it to EVIDENCE_KEY_FILE, or take that of the other settings; begin the log, and print the public key
    Keygen(KeygenArguments),
    /// Take a file as it is now, although it is not what was sealed, and say why; verifiers show it for ever
    Acknowledge(AcknowledgeArguments),
    /// Replace the key by a new one; the old one signs once more that it does
    Rotate(RotateArguments),
    /// Ask the host that has the key to sign what is sealed here: the checkpoint, and how it has grown
    Request(signing::RequestArguments),
    /// Sign, on the host that has the key, what `evidence request` asks for, if it has grown out of what was signed before
    Sign(signing::SignArguments),
    /// Take the checkpoint that the host of the key has signed
    Accept(signing::AcceptArguments),
    /// Write the log as static files for others to fetch: tiles, entries, and the checkpoint (C2SP tlog-tiles)
    Publish(PublishArguments),
    /// Sign, as a witness, the newest checkpoint of a log that has grown out of what was signed before; or ask one at its address
    Cosign(CosignArguments),
    /// Begin another log in place of one that is lost, under a name with the next number; verifiers show it for ever
    Restart(RestartArguments),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct Options {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: SettingsArguments,

    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct KeygenArguments {
    /// Make a key for somebody else than the operator, such as an auditor, under this name, and begin no log
    #[arg(long, value_name = "NAME", requires = "out", value_parser = key_name)]
    name: Option<String>,

    /// Make it for a witness, which signs the checkpoints of others and nothing else
    #[arg(long, requires = "name")]
    witness: bool,

    /// The file to write that key to
    #[arg(long, value_name = "FILE", requires = "name")]
    out: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct RotateArguments {
    /// Hand over to this key of the ssh-agent behind SSH_AUTH_SOCK, by its fingerprint, instead of a new one in a file
    #[arg(long, value_name = "SHA256:...")]
    agent: Option<String>,

    #[command(flatten)]
    options: Options,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct AcknowledgeArguments {
    /// The day file, or the file of the state folder: its name, or its path
    #[arg(value_name = "FILE")]
    file: String,

    /// What happened, for those who verify the archive later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,

    #[command(flatten)]
    selection: Selection,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct PublishArguments {
    /// The folder to write to, which a web server may serve; what is there already stays as it is
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    #[command(flatten)]
    options: Options,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct CosignArguments {
    /// The log: an evidence folder or a copy of one, or what `evidence publish` wrote
    #[arg(long, value_name = "DIR")]
    log: PathBuf,

    /// The policy of the witness, with the public key of the log
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,

    /// The key of the witness, which `evidence keygen --witness` has made
    #[arg(long, value_name = "FILE", required_unless_present = "url")]
    key: Option<PathBuf>,

    /// The folder in which the witness keeps what it signed last, of this log alone
    #[arg(long, value_name = "DIR", required_unless_present = "url")]
    state: Option<PathBuf>,

    /// Sign the first checkpoint, with which nothing can be compared
    #[arg(long)]
    first: bool,

    /// Ask the witness at this address to sign (C2SP tlog-witness), whose public key is in the policy, instead of signing here
    #[arg(long, value_name = "URL", conflicts_with_all = ["key", "state", "first"])]
    url: Option<String>,

    /// Write the cosigned checkpoint to this file, replacing an older one, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct RestartArguments {
    /// What happened, for those who verify the archive later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,

    #[command(flatten)]
    options: Options,
}

/// The result of each command as JSON; what it does not have is null.
#[derive(Debug, Default, Serialize)]
struct Shown {
    key: Option<String>,
    fingerprint: Option<String>,
    file: Option<String>,
    size: Option<u64>,
    written: Option<u64>,
    waiting: Option<u64>,
    exit_code: u8,
}

impl Arguments {
    /// Returns where it is said from where the settings are read.
    pub(super) fn settings(&mut self) -> Option<&mut SettingsArguments> {
        Some(match &mut self.action {
            // A witness and the host of the key have no settings of the collector.
            Action::Cosign(_) | Action::Sign(_) => return None,
            Action::Request(arguments) => &mut arguments.settings,
            Action::Accept(arguments) => &mut arguments.options.settings,
            Action::Keygen(arguments) => &mut arguments.options.settings,
            Action::Rotate(arguments) => &mut arguments.options.settings,
            Action::Acknowledge(arguments) => &mut arguments.selection.settings,
            Action::Publish(arguments) => &mut arguments.options.settings,
            Action::Restart(arguments) => &mut arguments.options.settings,
        })
    }

    /// Returns whether it reads the settings of the collector.
    pub(super) fn reads_settings(&self) -> bool {
        !matches!(self.action, Action::Cosign(_) | Action::Sign(_))
    }

    /// Returns the option that names one place for what it writes, if it has one.
    pub(super) fn place(&self) -> Option<&'static str> {
        matches!(self.action, Action::Publish(_)).then_some("--to")
    }

    /// Returns how much it says.
    pub(super) fn verbosity(&self) -> Verbosity {
        match &self.action {
            Action::Keygen(arguments) => arguments.options.verbosity,
            Action::Rotate(arguments) => arguments.options.verbosity,
            Action::Acknowledge(arguments) => arguments.selection.verbosity,
            Action::Publish(arguments) => arguments.options.verbosity,
            Action::Accept(arguments) => arguments.options.verbosity,
            Action::Restart(arguments) => arguments.options.verbosity,
            Action::Request(arguments) => arguments.verbosity,
            Action::Sign(_) | Action::Cosign(_) => Verbosity::default(),
        }
    }

    /// Returns whether the result is printed as JSON.
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            Action::Keygen(arguments) => arguments.options.json,
            Action::Rotate(arguments) => arguments.options.json,
            Action::Acknowledge(arguments) => arguments.selection.json,
            Action::Publish(arguments) => arguments.options.json,
            // Standard output is for the checkpoint, or the request.
            Action::Cosign(_) | Action::Sign(_) | Action::Request(_) => false,
            Action::Accept(arguments) => arguments.options.json,
            Action::Restart(arguments) => arguments.options.json,
        }
    }
}

/// Does what is to be done.
pub(crate) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    match &arguments.action {
        Action::Keygen(arguments) => match (&arguments.name, &arguments.out) {
            (Some(name), Some(path)) => keygen_for(name, path, arguments),
            _ => keygen(&arguments.options, clock()),
        },
        Action::Acknowledge(arguments) => acknowledge(arguments, clock).await,
        Action::Rotate(arguments) => match &arguments.agent {
            Some(fingerprint) => rotate_to_agent(&arguments.options, fingerprint, clock()).await,
            None => rotate(&arguments.options, clock()).await,
        },
        Action::Publish(arguments) => publish_to(arguments),
        Action::Cosign(arguments) => cosign_log(arguments, clock()).await,
        Action::Request(arguments) => signing::request(arguments),
        Action::Sign(arguments) => signing::sign_request(arguments, clock()),
        Action::Accept(arguments) => signing::accept(arguments, clock()),
        Action::Restart(arguments) => restart(arguments, clock()),
    }
}

fn settings(options: &Options) -> Result<EvidenceSettings, CommandError> {
    let env = options.settings.load();
    if !env.errors().is_empty() {
        return Err(env.errors().clone().into());
    }
    evidence_settings(&env, &[])
}

fn key_name(text: &str) -> Result<String, String> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("expected a name such as jane.auditor.example, without spaces and `+`".to_owned())
    }
}

/// Makes a key for an auditor or a witness.
fn keygen_for(name: &str, path: &Path, arguments: &KeygenArguments) -> Result<Exit, CommandError> {
    let signer = if arguments.witness {
        Signer::generate_cosigner(name)
    } else {
        Signer::generate(name)
    };
    let signer = signer.map_err(CommandError::setup)?;
    signer.write(path).map_err(CommandError::setup)?;
    show_key(&arguments.options, signer.verifier(), |key| {
        format!(
            "{key}\n\nThis is the public key ({}). Give it to those who are to believe what it signs.\n",
            key.fingerprint()
        )
    })
}

fn keygen(options: &Options, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let settings = settings(options)?;
    let key = Keeper::new(&settings).generate_key(now)?;
    show_key(options, &key, |key| {
        let keep = match &settings.key {
            Some(KeySource::Agent(_)) => "Use the key for nothing else than this log",
            Some(KeySource::Elsewhere(_)) => "Nothing counts until its host has signed: evidence request, sign, accept",
            _ => "Keep a copy of the key file apart from this machine",
        };
        format!(
            "{key}\n\nThis is the public key of the log ({}). Give it to those who verify the archive, in a policy of theirs; what \
             stands in {} is the operator's word only. {keep}.\n",
            key.fingerprint(),
            settings.folder.join("policy.txt").display()
        )
    })
}

async fn rotate(options: &Options, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let settings = settings(options)?;
    sealing::ask(&settings, now).await?;
    let (key, kept) = Keeper::new(&settings).rotate(now)?;
    show_key(options, &key, |key| {
        format!(
            "{key}\n\nThis is the public key from now on ({}). Verifiers who have the log follow it from the old key; for proofs of \
             single lines they need it in their policy. The old key is kept as {}: put it away.\n",
            key.fingerprint(),
            kept.display()
        )
    })
}

async fn rotate_to_agent(options: &Options, fingerprint: &str, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let settings = settings(options)?;
    sealing::ask(&settings, now).await?;
    let key = Keeper::new(&settings).rotate_to_agent(fingerprint, now)?;
    show_key(options, &key, |key| {
        format!(
            "{key}\n\nThis is the public key from now on ({}). Verifiers who have the log follow it from the old key; for proofs of \
             single lines they need it in their policy. Set EVIDENCE_KEY_AGENT={fingerprint} now, and nothing else that names a key: \
             until then nothing is sealed.\n",
            key.fingerprint(),
        )
    })
}

/// Signs as a witness, or asks one.
async fn cosign_log(arguments: &CosignArguments, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let CosignArguments {
        log,
        policy,
        key,
        state,
        first,
        url,
        ..
    } = arguments;
    let rules = read_to_string(policy)?;
    let policy = Policy::parse(&rules);
    let policy = policy.map_err(|error| CommandError::setup(format!("the policy cannot be used: {error}")))?;
    let signed = match (url, key, state) {
        (Some(url), ..) => asked_at(url, log, &policy).await?,
        (None, Some(key), Some(state)) => {
            let signer = Signer::read_cosigner(key).map_err(CommandError::setup)?;
            cosign(log, &policy, &signer, (state, *first), now)?
        }
        (None, ..) => return Err(CommandError::usage("name --key and --state, or --url")),
    };
    give_away(&signed, arguments.out.as_deref())
}

/// Asks a witness at its address to cosign the newest checkpoint of a copy.
async fn asked_at(address: &str, log: &Path, policy: &Policy) -> Result<Signed, CommandError> {
    let mut errors = ConfigErrors::default();
    let proxies = config::read_proxies(&SettingsArguments::default().load(), &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let submission = Submission::of_copy(log, policy)?;
    Ok(cosigned_at(address, submission, policy, &proxies).await?)
}

/// Writes a signed checkpoint to a file, in place of an older one of its log, or to standard output.
fn give_away(signed: &Signed, out: Option<&Path>) -> Result<Exit, CommandError> {
    match out {
        Some(path) => {
            let origin = format!("{}\n", signed.checkpoint.origin);
            replace_own(path, CHECKPOINT_MODE, signed.note.as_bytes(), &origin)?;
        }
        None => print(&signed.note)?,
    }
    Ok(Exit::Complete)
}

fn publish_to(arguments: &PublishArguments) -> Result<Exit, CommandError> {
    let options = &arguments.options;
    let env = options.settings.load();
    check_outside("--to", &arguments.to, &config::catalogs(&env, SOURCES))?;
    let settings = settings(options)?;
    let published = publish(&Folder::new(&settings.folder), &arguments.to)?;
    let (size, written) = (published.checkpoint.size, published.written);
    if options.json {
        print_json(
            options.settings.organization(),
            &Shown {
                size: Some(size),
                written: Some(written),
                ..Shown::default()
            },
        )?;
    } else {
        print_text(options.verbosity, || {
            let (origin, to) = (&published.checkpoint.origin, arguments.to.display());
            format!("{to}: the log {origin} with {size} entries; {written} files are new\n")
        })?;
    }
    Ok(Exit::Complete)
}

fn restart(arguments: &RestartArguments, now: DateTime<Utc>) -> Result<Exit, CommandError> {
    let settings = settings(&arguments.options)?;
    let key = Keeper::new(&settings).restart(&arguments.reason, now)?;
    show_key(&arguments.options, &key, |key| {
        format!(
            "{key}\n\nThe log is called {} from now on, and what the lost one said is not proved by it. Give this public key to those \
             who verify the archive.\n",
            key.name()
        )
    })
}

fn show_key(options: &Options, key: &VerifierKey, text: impl Fn(&VerifierKey) -> String) -> Result<Exit, CommandError> {
    if options.json {
        print_json(
            options.settings.organization(),
            &Shown {
                key: Some(key.to_string()),
                fingerprint: Some(key.fingerprint()),
                ..Shown::default()
            },
        )?;
    } else {
        print_text(options.verbosity, || text(key))?;
    }
    Ok(Exit::Complete)
}

async fn acknowledge(arguments: &AcknowledgeArguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let settings = evidence_settings(&archives.env, &archives.streams)?;
    sealing::ask(&settings, clock()).await?;
    let keeper = Keeper::new(&settings);
    let file = keeper.acknowledge(&archives.streams, &arguments.file, &arguments.reason, clock())?;
    if selection.json {
        print_json(
            selection.settings.organization(),
            &Shown {
                file: Some(file.file),
                ..Shown::default()
            },
        )?;
    } else {
        print_text(selection.verbosity, || {
            format!(
                "{} of {} counts as it is from now on; verifiers show why\n",
                file.file, file.stream
            )
        })?;
    }
    Ok(Exit::Complete)
}
