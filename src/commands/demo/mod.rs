//! `trailkeeper demo`: everything from the services to day files, without credentials and without a network.

mod pictures;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;

use super::error::CommandError;
use crate::config::{Config, KAFKA_SERVER, KafkaSettings, LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME, StreamSettings};
use crate::env::{ConfigErrors, Env, Row};
use crate::forward::kafka::{MockError, MockKafka};
use crate::forward::{StartPosition, Target, Targets};
use crate::fs::FileError;
use crate::output::logging::{self, Verbosity};
use crate::output::print::{PrintError, print};
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::{self, RunOptions, StartError};
use crate::sandbox::{self, Options, Sandbox};
use crate::source::SOURCES;
use crate::window::Range;
use pictures::{one_line_of_each, topics, tree};

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
    #[error("cannot list the day files: {0}")]
    List(#[from] FileError),
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
    let shown = show(&arguments.dir, clock(), &progress, with_colours).await;
    shown.map_err(CommandError::setup)
}

async fn show(dir: &Path, now: DateTime<Utc>, progress: &Progress, with_colours: bool) -> Result<Exit, DemoError> {
    let shutdown = signals::shutdown();
    let sandbox = sandbox(now).await?;
    let streams = settings(dir, &sandbox)?;
    let kafka = MockKafka::start()?;
    let targets = kafka_targets(&kafka, &streams)?;
    let (services, url) = (SOURCES.len(), sandbox.url());
    print(&format!(
        "{services} services of a sandbox on {url}, {RECORDS} records each.\n"
    ))?;
    let options = RunOptions {
        now,
        range: Range::default(),
        dry_run: false,
        reconcile: false,
        starts_over: false,
    };
    let run = || run::run_and_forward(&streams, options, &targets, progress, &shutdown);

    let address = kafka.address();
    print(&format!(
        "\nThe first run collects all of them, and forwards each line to a Kafka broker on {address}:\n\n"
    ))?;
    let first = run().await?;
    print(&first.text(with_colours))?;

    print("\nThe second run asks again from two minutes before the last records, and repeats nothing:\n\n")?;
    let second = run().await?;
    print(&second.text(with_colours))?;

    show_what_is_kept(dir, &kafka, &streams)?;
    sandbox.stop().await;
    Ok(first.exit().max(second.exit()))
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

fn show_what_is_kept(dir: &Path, kafka: &MockKafka, streams: &[StreamSettings]) -> Result<(), DemoError> {
    print(&format!("\nThe day files in {}:\n\n{}", dir.display(), tree(streams)?))?;
    let topics = topics(kafka, streams)?;
    print(&format!("\nThe topics, read by a consumer:\n\n{topics}"))?;
    print(&format!("\nOne line of each:\n\n{}", one_line_of_each(streams)?))?;
    Ok(())
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
        start: StartPosition::Start,
        replay: None,
        strict_json: false,
    })
}

fn topic(settings: &StreamSettings) -> String {
    format!("{}-logs", settings.kind.prefix.to_lowercase())
}
