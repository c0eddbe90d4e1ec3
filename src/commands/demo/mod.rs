//! `trailkeeper demo`: everything from the services to day files, without credentials and without a network.

mod kept;
mod picture;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use super::error::CommandError;
use crate::config::{
    Config, KAFKA_SERVER, KafkaSettings, LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME, StreamSettings, UpkeepSettings,
};
use crate::env::{ConfigErrors, Env, Row};
use crate::forward::kafka::{MockError, MockKafka};
use crate::forward::{StartPosition, Target, Targets};
use crate::fs::{FileError, replace};
use crate::output::logging::{self, Verbosity};
use crate::output::print::{PrintError, print};
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::{self, Job, RunOptions, StartError};
use crate::sandbox::{self, Options, Sandbox};
use crate::source::SOURCES;
use crate::window::Range;
use kept::Kept;
use picture::{Shown, one_line};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The folder for the day files
    #[arg(long, value_name = "DIR", default_value = "./trailkeeper-demo")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// How many records each service of the demo holds.
const RECORDS: usize = 1_000;

/// The port of its services, if it is free.
const USUAL_PORT: u16 = 47_360;

/// The file with the settings of its archives, and the one with the time at which the first demo in a folder began.
const SETTINGS: &str = "demo.env";
const BEGUN: &str = "demo.begun";
const MODE: u32 = 0o600;

/// How long ago that can be: services keep nothing for longer.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot make or read {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Sandbox(#[from] sandbox::StartError),
    #[error("the settings of the demo cannot be used:\n{0}")]
    Settings(ConfigErrors),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Kafka(#[from] MockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// Runs the demo.
pub(crate) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let progress = Progress::unless_quiet(arguments.verbosity.quiet);
    // The printed text says what the log would.
    let verbosity = Verbosity {
        quiet: !arguments.verbosity.verbose,
        ..arguments.verbosity
    };
    let _ = logging::start_on_stderr(verbosity, &progress, clock);
    let with_colours = stdout_takes_colours(Env::load(None).allows_colours());
    let shown = async {
        let begun = begun(&arguments.dir, clock())?;
        show(&arguments.dir, begun, &progress, with_colours).await
    };
    shown.await.map_err(CommandError::setup)
}

/// Returns the time at which the first demo in a folder began, which is now without one. The records of its services follow from that:
/// others would make a later demo look as if a service had lost its records.
#[expect(clippy::disallowed_methods, reason = "the folder of the demo")]
fn begun(dir: &Path, now: DateTime<Utc>) -> Result<DateTime<Utc>, DemoError> {
    let path = dir.join(BEGUN);
    let failed = |source| DemoError::Folder {
        path: path.clone(),
        source,
    };
    let found = match fs::read_to_string(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        found => found.ok().and_then(|text| text.trim().parse().ok()),
    };
    if let Some(begun) = found.filter(|begun| (now - LONGEST..=now).contains(begun)) {
        return Ok(begun);
    }
    fs::create_dir_all(dir).map_err(failed)?;
    replace(&path, MODE, format!("{}\n", now.to_rfc3339()).as_bytes())?;
    Ok(now)
}

async fn show(dir: &Path, now: DateTime<Utc>, progress: &Progress, with_colours: bool) -> Result<Exit, DemoError> {
    let shutdown = signals::shutdown();
    let sandbox = sandbox(now).await?;
    let streams = settings(dir, &sandbox)?;
    let kafka = MockKafka::start()?;
    let targets = kafka_targets(&kafka, &streams)?;
    let (services, url, address) = (SOURCES.len(), sandbox.url(), kafka.address());
    print(&format!(
        "{services} services of a sandbox on {url}, {RECORDS} records each,\nand a Kafka broker on {address}.\n"
    ))?;
    let options = RunOptions {
        now,
        range: Range::default(),
        dry_run: false,
        reconcile: false,
        starts_over: false,
    };
    let upkeep = UpkeepSettings::default();
    let jobs = Job::all(&streams, &targets, &upkeep);
    let run = || run::run_and_forward(&jobs, options, progress, &shutdown);
    let first = run().await?;
    let second = run().await?;
    let shown = Shown {
        first: &first,
        second: &second,
        kept: &Kept::of_all(&kafka, &streams)?,
        with_colours,
    };
    let exit = first.exit().max(second.exit());
    let said = match exit {
        Exit::Complete => {
            "The first run has collected and forwarded them. A second one has asked again from two\nminutes before the last records, \
             and repeated nothing:"
        }
        _ => "Not all of them could be collected or forwarded:",
    };
    print(&format!("\n{said}\n\n{}", shown.table()))?;
    if exit == Exit::Complete {
        show_what_is_next(dir, &streams)?;
    }
    sandbox.stop().await;
    Ok(exit)
}

fn show_what_is_next(dir: &Path, streams: &[StreamSettings]) -> Result<(), DemoError> {
    let newest = streams.last().map(|settings| one_line(dir, settings)).transpose()?;
    let settings = write_settings(dir, streams)?;
    print(&format!(
        "\nEach record is a line, as the service wrote it, in the file of its day:\n\n{}\n\
         Next:\n\n  \
         trailkeeper status --env-file {settings}\n  \
         trailkeeper report --env-file {settings} --html demo.html\n  \
         trailkeeper init    (asks for your own streams)\n",
        newest.unwrap_or_default(),
        settings = settings.display(),
    ))?;
    Ok(())
}

/// Writes the settings of the demo's archives for the commands that read them; returns the path of the file.
fn write_settings(dir: &Path, streams: &[StreamSettings]) -> Result<PathBuf, DemoError> {
    let mut text = String::from("# The archives of `trailkeeper demo`; their services are gone.\n");
    for settings in streams {
        let (kind, folder) = (settings.kind, settings.location.folder());
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let quoted = folder.display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
        let (location, base) = (LOG_CATALOG_LOCATION.of(kind.prefix), LOG_FILE_BASE_NAME.of(kind.prefix));
        text += &format!(
            "{}='{quoted}'\n{}={}\n",
            location.name(),
            base.name(),
            kind.usual_base_name()
        );
    }
    let path = dir.join(SETTINGS);
    replace(&path, MODE, text.as_bytes())?;
    Ok(path)
}

/// Starts the services at the same address each time, if it is free: what another address gave is asked for again.
async fn sandbox(now: DateTime<Utc>) -> Result<Sandbox, sandbox::StartError> {
    // A clock that stands still: the first run leaves exactly nothing to the second.
    let options = || Options::new(Arc::new(move || now)).records(RECORDS);
    let at_usual_port = Options {
        listen: (Ipv4Addr::LOCALHOST, USUAL_PORT).into(),
        ..options()
    };
    match Sandbox::start(at_usual_port).await {
        Err(sandbox::StartError::Listen { .. }) => Sandbox::start(options()).await,
        started => started,
    }
}

/// Returns the settings of the sandbox's streams, with a folder each.
#[expect(clippy::disallowed_methods, reason = "the folders of the demo")]
fn settings(dir: &Path, sandbox: &Sandbox) -> Result<Vec<StreamSettings>, DemoError> {
    let mut variables = sandbox.variables();
    for kind in SOURCES {
        let folder = dir.join(kind.name);
        fs::create_dir_all(&folder).map_err(|source| DemoError::Folder {
            path: folder.clone(),
            source,
        })?;
        variables.push((
            LOG_CATALOG_LOCATION.of(kind.prefix).name(),
            folder.display().to_string(),
        ));
        variables.push((LOG_FILE_BASE_NAME.of(kind.prefix).name(), kind.usual_base_name()));
    }
    let config = Config::read(&Env::from_pairs(variables), SOURCES, &[]).map_err(DemoError::Settings)?;
    Ok(config.streams)
}

/// Starts forwarding to the demo's Kafka. An earlier demo has sent to another one, so its cursors are removed.
#[expect(clippy::disallowed_methods, reason = "the cursors of an earlier demo")]
fn kafka_targets(kafka: &MockKafka, streams: &[StreamSettings]) -> Result<Targets, DemoError> {
    for settings in streams {
        kafka.create_topic(&topic(settings))?;
        for cursor in ["kafka.json", "kafka.previous.json"] {
            let path = settings.location.state_file(cursor);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(DemoError::Folder { path, source });
                }
                _ => {}
            }
        }
    }
    let env = Env::from_pairs([(KAFKA_SERVER.name(), kafka.address())]);
    let kinds: Vec<_> = SOURCES.iter().collect();
    let mut errors = ConfigErrors::default();
    let settings = KafkaSettings::read(&env, &kinds, &mut errors).ok_or(DemoError::Settings(errors))?;
    Ok(Targets {
        list: vec![Target::Kafka(settings)],
        start: Some(StartPosition::Start),
        replay: None,
        strict_json: false,
        ..Targets::default()
    })
}

fn topic(settings: &StreamSettings) -> String {
    format!("{}-logs", settings.kind.prefix.to_lowercase())
}
