//! `trailkeeper copy`: copies archives to another disk or to object storage, and restores them. It takes no lock where it reads.
//!
//! `docs/json.md` has the form of `--json`.

use std::path::PathBuf;
use std::thread;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use tokio::runtime::Handle;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_json, print_text};
use crate::config::{ObjectStorageSettings, evidence_folder};
use crate::copy::{Address, Copied, CopiedSection, Copier, CopyError, EVIDENCE, RestoreError, Restored, Restorer};
use crate::output::table::{Cell, Table, left, right, size};
use crate::process::exit::Exit;
use crate::process::signals;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Copy what is new to this place: file:///folder, s3://bucket/path, az://container/path or gs://bucket/path
    #[arg(long, value_name = "URL", required_unless_present = "from", conflicts_with = "from")]
    to: Option<String>,

    /// Restore the newest copy of this place into the folders of the settings, which have to be empty
    #[arg(long, value_name = "URL")]
    from: Option<String>,

    /// Say what would be sent, and write nothing
    #[arg(long, conflicts_with = "from")]
    dry_run: bool,

    #[command(flatten)]
    pub(super) selection: Selection,
}

impl Arguments {
    /// Returns the option that names where the copy is.
    pub(super) fn place(&self) -> &'static str {
        if self.from.is_some() { "--from" } else { "--to" }
    }
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper copy --to file:///mnt/copies
  trailkeeper copy --to s3://audit-copies/mail --stream yandex-mail --dry-run
  trailkeeper copy --from s3://audit-copies/all";

/// What was copied, as JSON.
#[derive(Debug, Serialize)]
struct ShownCopy {
    to: String,
    copy: Option<u64>,
    is_new: bool,
    streams: Vec<ShownSection>,
    evidence: Option<ShownSection>,
    dry_run: bool,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownSection {
    stream: String,
    files: u64,
    bytes: u64,
    sent_files: u64,
    sent_bytes: u64,
    problems: Vec<String>,
}

/// What was restored, as JSON.
#[derive(Debug, Serialize)]
struct ShownRestored {
    from: String,
    copy: u64,
    at: DateTime<Utc>,
    streams: Vec<ShownRestoredSection>,
    evidence: Option<ShownRestoredSection>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownRestoredSection {
    stream: String,
    files: u64,
    bytes: u64,
    already_there: u64,
}

/// What the settings say besides where the streams are.
struct Settings {
    address: Address,
    objects: Option<ObjectStorageSettings>,
    evidence: Option<PathBuf>,
}

/// Copies the chosen streams, or restores them.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let (archives, settings) = Archives::find_for(&arguments.selection, clock, |env, faults| {
        let (name, url) = match (&arguments.to, &arguments.from) {
            (_, Some(from)) => ("--from", from),
            (to, None) => ("--to", to.as_ref()?),
        };
        let address = url.parse::<Address>();
        let address = address
            .map_err(|error| faults.arguments.add(name, error.to_string()))
            .ok()?;
        let evidence = evidence_folder(env, &mut faults.settings);
        let objects = if address.is_of_objects() {
            Some(ObjectStorageSettings::read(env, &mut faults.settings)?)
        } else {
            None
        };
        Some(Settings {
            address,
            objects,
            // It is of all streams: a part of them would be ahead of the others.
            evidence: evidence.filter(|_| arguments.selection.streams.is_empty()),
        })
    })?;
    if let (Some(_), Address::Folder(folder)) = (&arguments.to, &settings.address) {
        archives.check_outside(folder)?;
    }
    let (now, runtime) = (clock(), Handle::current());
    // What waits for object storage may not be the thread that runs this.
    thread::scope(|scope| {
        let work = || at_work(arguments, &archives, &settings, runtime, now);
        let done = scope.spawn(work).join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn at_work(
    arguments: &Arguments,
    archives: &Archives,
    settings: &Settings,
    runtime: Handle,
    now: DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let _entered = runtime.enter();
    let shutdown = signals::shutdown();
    let Settings {
        address,
        objects,
        evidence,
    } = settings;
    let store = address.open(objects.as_ref(), runtime.clone());
    let store = store.map_err(CommandError::setup)?;
    if arguments.from.is_some() {
        let restorer = Restorer {
            store: store.as_ref(),
            from: &address.to_string(),
            shutdown: &shutdown,
            now,
        };
        let restored = restorer.restore(&archives.streams, evidence.as_deref())?;
        return show_restored(arguments, address, restored);
    }
    let copier = Copier {
        store: store.as_ref(),
        shutdown: &shutdown,
        is_dry_run: arguments.dry_run,
        now,
    };
    let copied = copier.copy(&archives.streams, evidence.as_deref())?;
    show_copied(arguments, address, copied)
}

fn show_copied(arguments: &Arguments, address: &Address, mut copied: Copied) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    for section in &mut copied.sections {
        section.name = name_of(selection, &section.name);
    }
    let has_problems = copied.sections.iter().any(|section| !section.problems.is_empty());
    let exit = if has_problems {
        Exit::StreamFailed
    } else {
        Exit::Complete
    };
    for section in &copied.sections {
        log_problems(selection.verbosity, &section.name, &section.problems);
    }
    if selection.json {
        let (evidence, streams) = copied
            .sections
            .into_iter()
            .partition::<Vec<_>, _>(|section| section.name == EVIDENCE);
        print_json(
            selection.settings.organization(),
            &ShownCopy {
                to: address.to_string(),
                copy: copied.number,
                is_new: copied.is_new,
                streams: streams.into_iter().map(ShownSection::of).collect(),
                evidence: evidence.into_iter().map(ShownSection::of).next(),
                dry_run: arguments.dry_run,
                exit_code: exit as u8,
            },
        )?;
    } else {
        print_text(selection.verbosity, || copied_text(&copied, arguments.dry_run))?;
    }
    Ok(exit)
}

impl ShownSection {
    fn of(section: CopiedSection) -> Self {
        Self {
            stream: section.name,
            files: section.files,
            bytes: section.bytes,
            sent_files: section.sent_files,
            sent_bytes: section.sent_bytes,
            problems: section.problems,
        }
    }
}

fn copied_text(copied: &Copied, is_dry_run: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        right("FILES"),
        right("BYTES"),
        right("SENT FILES"),
        right("SENT"),
    ]);
    let mut notes = String::new();
    for section in &copied.sections {
        table.row([
            Cell::from(section.name.as_str()),
            section.files.to_string().into(),
            size(section.bytes).into(),
            section.sent_files.to_string().into(),
            size(section.sent_bytes).into(),
        ]);
        for problem in &section.problems {
            notes += &format!("{}: {problem}\n", section.name);
        }
    }
    let end = match copied.number {
        _ if is_dry_run => "nothing was written\n".to_owned(),
        None => "there is nothing to be copied\n".to_owned(),
        Some(number) if copied.is_new => format!("copy {number} is complete\n"),
        Some(number) => format!("nothing is new since copy {number}\n"),
    };
    format!("{table}{notes}{end}")
}

/// Returns the name of a stream, as it is shown; the evidence is of all of them.
fn name_of(selection: &Selection, section: &str) -> String {
    match selection.settings.organization() {
        Some(organization) if section != EVIDENCE => organization.stream(section).to_owned(),
        _ => section.to_owned(),
    }
}

fn show_restored(arguments: &Arguments, address: &Address, mut restored: Restored) -> Result<Exit, CommandError> {
    let (selection, exit) = (&arguments.selection, Exit::Complete);
    for section in &mut restored.sections {
        section.name = name_of(selection, &section.name);
    }
    if !selection.json {
        print_text(selection.verbosity, || restored_text(&restored))?;
        return Ok(exit);
    }
    let sections = restored.sections.into_iter().map(|section| ShownRestoredSection {
        stream: section.name,
        files: section.files,
        bytes: section.bytes,
        already_there: section.there,
    });
    let (evidence, streams) = sections.partition::<Vec<_>, _>(|section| section.stream == EVIDENCE);
    print_json(
        selection.settings.organization(),
        &ShownRestored {
            from: address.to_string(),
            copy: restored.number,
            at: restored.at,
            streams,
            evidence: evidence.into_iter().next(),
            exit_code: exit as u8,
        },
    )?;
    Ok(exit)
}

fn restored_text(restored: &Restored) -> String {
    let mut table = Table::new([left("STREAM"), right("FILES"), right("BYTES")]);
    for section in &restored.sections {
        table.row([
            Cell::from(section.name.as_str()),
            section.files.to_string().into(),
            size(section.bytes).into(),
        ]);
    }
    let number = restored.number;
    let at = crate::window::bound(restored.at);
    format!("{table}copy {number} of {at} is restored, and all of it compared with its hashes\n")
}

impl From<CopyError> for CommandError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Interrupted => Self::interrupted(error),
            CopyError::Manifest { .. } => Self::refused(error),
            error => Self::setup(error),
        }
    }
}

impl From<RestoreError> for CommandError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Interrupted => Self::interrupted(error),
            error if error.is_held() => Self::held(error),
            error if error.is_of_copy() => Self::refused(error),
            error => Self::setup(error),
        }
    }
}
