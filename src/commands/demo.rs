//! `trailkeeper demo`: the whole way from the services to day files, without credentials and without a network.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::cli;
use crate::config::{
    Access, Choice, Config, KAFKA_SERVER, KafkaSettings, LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME, StreamSettings,
};
use crate::env::{ConfigErrors, Env, Row};
use crate::forward::kafka::{MockError, MockKafka};
use crate::forward::{StartPosition, Target, Targets};
use crate::output::logging;
use crate::output::print::{print, print_error};
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::Summary;
use crate::run::{self, RunOptions, StartError};
use crate::sandbox::{self, Options, Sandbox};
use crate::source::SOURCES;
use crate::window::Range;

/// Records that each service of the demo holds.
const RECORDS: usize = 1_000;

/// Of a stream's day files, as many as are shown from each end.
const SHOWN: usize = 2;

/// Of a line, as many characters as are shown.
const LINE_WIDTH: usize = 98;

/// Why the demo could not be shown.
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
    List(#[from] crate::fs::FileError),
}

/// Runs the demo.
pub async fn run(arguments: &cli::Demo, clock: fn() -> DateTime<Utc>) -> Exit {
    let progress = Progress::unless_quiet(arguments.verbosity.quiet);
    let verbosity = if arguments.verbosity.verbose {
        arguments.verbosity
    } else {
        // The pictures below say what the log would.
        cli::Verbosity {
            verbose: false,
            quiet: true,
        }
    };
    let _ = logging::start(verbosity, None, &progress, clock);
    let with_colours = stdout_takes_colours(Env::load(None).allows_colours());
    match show(&arguments.dir, clock(), &progress, with_colours).await {
        Ok(exit) => exit,
        Err(error) => {
            print_error(&error.to_string());
            Exit::Setup
        }
    }
}

async fn show(dir: &Path, now: DateTime<Utc>, progress: &Progress, with_colours: bool) -> Result<Exit, DemoError> {
    let shutdown = signals::shutdown();
    // A clock that stands still: what the first run leaves to the second is then exactly nothing.
    let sandbox = Sandbox::start(Options::new(Arc::new(move || now)).records(RECORDS)).await?;
    let streams = settings(dir, &sandbox)?;
    let kafka = MockKafka::start()?;
    let targets = kafka_targets(&kafka, &streams)?;
    let options = RunOptions {
        now,
        range: Range::default(),
        dry_run: false,
        reconcile: false,
    };
    print(&format!(
        "{} services of a sandbox on {}, {RECORDS} records each.\n",
        SOURCES.len(),
        sandbox.url()
    ));

    print(&format!(
        "\nThe first run collects all of them, and forwards each line to a Kafka broker on {}:\n\n",
        kafka.address()
    ));
    let first = run::run_and_forward(&streams, options, &targets, progress, &shutdown).await?;
    print(&first.text(with_colours));

    print("\nThe second run asks again from two minutes before the last records, and repeats nothing:\n\n");
    let second = run::run_and_forward(&streams, options, &targets, progress, &shutdown).await?;
    print(&second.text(with_colours));

    print(&format!("\nThe day files in {}:\n\n{}", dir.display(), tree(&streams)?));
    print(&format!(
        "\nThe topics, read by a consumer:\n\n{}",
        topics(&kafka, &streams)?
    ));
    print(&format!("\nOne line of each:\n\n{}", one_line_of_each(&streams)?));
    sandbox.stop().await;
    Ok(worse(&first, &second))
}

fn worse(first: &Summary, second: &Summary) -> Exit {
    first.exit().max(second.exit())
}

/// The streams of the sandbox, a folder each.
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
    let choice = Choice {
        streams: &[],
        access: Access::Write,
    };
    let config = Config::read(&Env::from_pairs(variables), SOURCES, choice).map_err(DemoError::Settings)?;
    Ok(config.streams)
}

/// The Kafka of the demo; what an earlier demo has sent went to another one, so its cursors are of no use.
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
    })
}

fn topic(settings: &StreamSettings) -> String {
    format!("{}-logs", settings.kind.prefix.to_lowercase())
}

/// What each topic holds, against the day files.
fn topics(kafka: &MockKafka, streams: &[StreamSettings]) -> Result<String, DemoError> {
    let mut text = String::new();
    let names: Vec<_> = streams.iter().map(topic).collect();
    let mut held = kafka.consume(&names)?;
    for (settings, name) in streams.iter().zip(names) {
        let messages = held.remove(&name).unwrap_or_default();
        let distinct: HashSet<_> = messages.iter().collect();
        let mut missing = 0;
        for path in day_files(settings)? {
            let lines = read(&path)?;
            missing += lines
                .lines()
                .filter(|line| !distinct.contains(&line.as_bytes().to_vec()))
                .count();
        }
        let repeated = messages.len() - distinct.len();
        let _ = writeln!(
            text,
            "{name:<12} {} messages, {repeated} of them twice, {missing} lines missing",
            messages.len()
        );
    }
    Ok(text)
}

/// Each stream's folder with its first and last day files, and a count of its lines.
fn tree(streams: &[StreamSettings]) -> Result<String, DemoError> {
    let mut text = String::new();
    for settings in streams {
        let files = day_files(settings)?;
        let (lines, distinct) = count_lines(&files)?;
        let repeated = lines - distinct;
        let _ = writeln!(
            text,
            "{}/  {} files, {lines} lines, {repeated} of them twice",
            settings.kind.name,
            files.len()
        );
        let hidden = files.len().saturating_sub(2 * SHOWN);
        for (index, path) in files.iter().enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match index {
                _ if index < SHOWN || index >= SHOWN + hidden => drop(writeln!(text, "  {name}")),
                SHOWN => drop(writeln!(text, "  … {hidden} more")),
                _ => {}
            }
        }
    }
    Ok(text)
}

fn one_line_of_each(streams: &[StreamSettings]) -> Result<String, DemoError> {
    let mut text = String::new();
    for settings in streams {
        if let Some(path) = day_files(settings)?.last() {
            let content = read(path)?;
            let line = content.lines().next().unwrap_or_default();
            let _ = writeln!(text, "{}", crate::output::printable::excerpt(line, LINE_WIDTH));
        }
    }
    Ok(text)
}

fn count_lines(files: &[PathBuf]) -> Result<(usize, usize), DemoError> {
    let (mut lines, mut distinct) = (0, HashSet::new());
    for path in files {
        for line in read(path)?.lines() {
            lines += 1;
            distinct.insert(line.to_owned());
        }
    }
    Ok((lines, distinct.len()))
}

fn read(path: &Path) -> Result<String, DemoError> {
    fs::read_to_string(path).map_err(|source| DemoError::Folder {
        path: path.to_owned(),
        source,
    })
}

fn day_files(settings: &StreamSettings) -> Result<Vec<PathBuf>, DemoError> {
    Ok(settings
        .location
        .day_files()?
        .into_iter()
        .map(|file| file.path)
        .collect())
}
