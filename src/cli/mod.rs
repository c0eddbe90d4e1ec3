//! What was typed: the commands and their arguments, checked for form but not yet for meaning.
//!
//! Imports: forward, output, window.

mod follow;
mod forward;
mod init;
mod install;
mod archive;
mod check;
mod reconcile;
mod report;
mod time;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use crate::output::logging::Verbosity;
use crate::window::Range;
pub use archive::{Coverage, Status, Verify};
pub use check::Check;
pub use follow::{Follow, Interval, IntervalError};
pub use forward::{CollectForward, Forward, SinkArg, StartArg};
pub use init::Init;
pub use install::{Completions, Man};
pub use reconcile::Reconcile;
pub use report::Report;
pub use time::{TimeArg, TimeError};

/// What was typed, as a whole.
#[derive(Debug, Parser)]
#[command(
    name = "trailkeeper",
    bin_name = "trailkeeper",
    version,
    about = "Keeps SaaS audit trails: every record once, in append-only day files",
    long_about = "Keeps SaaS audit trails: every record that a service gave, once, in append-only day files.\n\n\
                  Without a command it collects, as `trailkeeper collect` does.",
    after_long_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    collect: Collect,
}

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Ask the services for new records and append them to the day files (the default)
    #[command(after_long_help = COLLECT_EXAMPLES)]
    Collect(Collect),
    /// Send what the day files hold to Kafka, an HTTP listener or standard output, from where the last time ended
    #[command(after_long_help = forward::EXAMPLES)]
    Forward(Forward),
    /// Ask again for the last hours, add what arrived late, and say how late it was
    #[command(after_long_help = reconcile::EXAMPLES)]
    Reconcile(Reconcile),
    /// Try the settings: folders, tokens, services, clock; one request of one record per stream
    #[command(after_long_help = check::EXAMPLES)]
    Check(Check),
    /// Show what the archive holds, how old it is, and what the last run said; asks nobody
    #[command(after_long_help = archive::STATUS_EXAMPLES)]
    Status(Status),
    /// Show for which time the services were asked for everything, and the gaps
    #[command(after_long_help = archive::COVERAGE_EXAMPLES)]
    Coverage(Coverage),
    /// Read every line of the day files and report what is wrong
    #[command(after_long_help = archive::VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Serve a stand-in for the services, with invented records
    #[command(after_long_help = SANDBOX_EXAMPLES)]
    Sandbox(Sandbox),
    /// Show the whole way on invented records: no credentials, no network
    Demo(Demo),
    /// Ask for the settings on a terminal and write .env
    Init(Init),
    /// Write a page that shows the archive: records per day and hour, event types, users, gaps
    Report(Report),
    /// Print completions for a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

/// The arguments of `collect`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Collect {
    /// Collect these streams only [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',')]
    pub streams: Vec<String>,

    /// Ask from this time on instead of from the last record
    ///
    /// A time (2025-06-09T10:00:00Z, with any offset, or UTC without one), a date (its midnight in UTC), or an age: 90s,
    /// 15m, 36h, 7d, 2w. Only what is missing is added. A start after the last record is moved back to it, so that no
    /// hole is left.
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeArg>,

    /// Ask up to this time instead of up to now; same forms as --since
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeArg>,

    /// Fetch and count, but write nothing to the catalogs
    #[arg(long)]
    pub dry_run: bool,

    /// What new lines are forwarded to.
    #[command(flatten)]
    pub forward: CollectForward,

    /// Print the summary as JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// Whether to go on, and what others see of it.
    #[command(flatten)]
    pub follow: Follow,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// The arguments of `sandbox`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Listen on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8360")]
    pub listen: SocketAddr,

    /// Begin with this many records in each stream
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub records: u32,

    /// Invent the records from this number; the same number gives the same records
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Hold every answer back for this many milliseconds
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub latency_ms: u64,

    /// Pad records that are shorter to this many bytes of JSON
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub record_bytes: u32,

    /// Compress answers for clients that take them so
    #[arg(long)]
    pub gzip: bool,

    /// Let no new records appear as time goes by
    #[arg(long)]
    pub still: bool,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// The arguments of `demo`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// Put the day files here
    #[arg(long, value_name = "DIR", default_value = "./trailkeeper-demo")]
    pub dir: PathBuf,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// What the commands for operators have in common.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these streams [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',')]
    pub streams: Vec<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// A range that ends before it begins: wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--since {since:?} must be before --until {until:?}")]
pub struct EmptyRangeError {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Collect {
    /// What `--since` and `--until` mean when it is `now`.
    ///
    /// # Errors
    /// The range would be empty: `--since` is not before `--until`, or not before now.
    pub fn range(&self, now: DateTime<Utc>) -> Result<Range, EmptyRangeError> {
        let since = self.since.map(|time| time.resolve(now));
        let until = self.until.map(|time| time.resolve(now).min(now));
        match (since, until.unwrap_or(now)) {
            (Some(since), until) if since >= until => Err(EmptyRangeError { since, until }),
            _ => Ok(Range { since, until }),
        }
    }
}

/// Reads what was typed; `streams` are the names that `--stream` knows.
///
/// # Errors
/// Wrong usage, which exits with 2, or a request for help or the version, which exits with 0: both by
/// [`clap::Error::exit`].
pub fn parse<A: Into<OsString> + Clone>(
    typed: impl IntoIterator<Item = A>,
    streams: &[&'static str],
) -> Result<Command, clap::Error> {
    let mut definition = definition(streams);
    let matches = definition.try_get_matches_from_mut(typed)?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))?;
    Ok(arguments.command.unwrap_or(Command::Collect(arguments.collect)))
}

/// The definition of the command line, for help, manual page and completions.
#[must_use]
pub fn definition(streams: &[&'static str]) -> clap::Command {
    let with_names = |command: clap::Command| {
        command.mut_arg("streams", |argument| {
            argument.value_parser(PossibleValuesParser::new(streams))
        })
    };
    let mut command = with_names(Arguments::command());
    for name in [
        "collect",
        "forward",
        "reconcile",
        "check",
        "status",
        "coverage",
        "verify",
        "report",
    ] {
        command = command.mut_subcommand(name, with_names);
    }
    command
}

const EXAMPLES: &str = "\
Examples:
  trailkeeper demo                        see it work, without credentials
  trailkeeper                             collect all streams that .env switches on
  trailkeeper check                       try the settings without collecting
  trailkeeper collect --stream tfc -v     collect one stream and say more
  trailkeeper status                      what the archive holds, and how old it is
  trailkeeper collect --help              everything that collect can do

Exit codes:
  0  everything complete, or as it should be
  1  settings are wrong, or the program could not start
  2  wrong usage
  3  at least one stream failed, is too old (status), or holds something wrong (verify)
  4  another run holds one of the catalogs";

const COLLECT_EXAMPLES: &str = "\
Examples:
  trailkeeper collect --stream yandex-mail,yandex-disk
  trailkeeper collect --since 36h                     add what arrived late
  trailkeeper collect --since 2025-06-01 --until 2025-06-08
  trailkeeper collect --dry-run --json                count, write nothing
  trailkeeper collect --env-file /etc/trailkeeper.env -q
  trailkeeper collect --follow --interval 5m          keep running, as a service does
  trailkeeper collect --follow --metrics-listen       and show Prometheus how it goes";

const SANDBOX_EXAMPLES: &str = "\
Examples:
  trailkeeper sandbox                                 prints the variables to set
  trailkeeper sandbox --listen 127.0.0.1:0 --records 100000 --seed 7";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  trailkeeper completions bash > /usr/share/bash-completion/completions/trailkeeper
  trailkeeper completions zsh > /usr/share/zsh/vendor-completions/_trailkeeper
  trailkeeper completions fish > ~/.config/fish/completions/trailkeeper.fish";

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    const STREAMS: [&str; 4] = ["yandex-mail", "yandex-disk", "port", "tfc"];

    fn typed(arguments: &str) -> Result<Command, clap::Error> {
        parse(
            std::iter::once("trailkeeper").chain(arguments.split_whitespace()),
            &STREAMS,
        )
    }

    fn collect(arguments: &str) -> Collect {
        match typed(arguments).unwrap() {
            Command::Collect(collect) => collect,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        definition(&STREAMS).debug_assert();
    }

    #[test]
    fn collecting_is_what_it_does_without_a_command() {
        assert_eq!(collect(""), Collect::default());
        assert_eq!(collect("collect"), Collect::default());
        let flags = "--stream tfc,port --since 36h --until 2025-06-09 --dry-run --json --env-file /etc/x.env -v";
        assert_eq!(collect(flags), collect(&format!("collect {flags}")));
    }

    #[test]
    fn every_argument_of_collect_is_read() {
        let expected = Collect {
            streams: vec!["tfc".to_owned(), "port".to_owned(), "yandex-mail".to_owned()],
            since: Some("36h".parse().unwrap()),
            until: Some("2025-06-09".parse().unwrap()),
            dry_run: true,
            forward: CollectForward {
                kafka: true,
                http: true,
                from: Some(StartArg::Start),
            },
            json: true,
            env_file: Some(PathBuf::from("/etc/x.env")),
            follow: Follow::default(),
            verbosity: Verbosity {
                verbose: false,
                quiet: true,
            },
        };
        let flags = "--stream tfc,port --stream yandex-mail --since 36h --until 2025-06-09 --dry-run --json \
                     --forward-kafka --forward-http --forward-from start";
        assert_eq!(collect(&format!("collect {flags} --env-file /etc/x.env -q")), expected);
    }

    #[test]
    fn a_beginning_without_a_sink_is_no_use() {
        assert!(typed("collect --forward-from start").is_err());
        for sink in ["--forward-kafka", "--forward-http"] {
            assert!(collect(&format!("{sink} --forward-from 7d")).forward.from.is_some());
        }
    }

    #[test]
    fn following_and_its_figures_are_asked_for_by_name() {
        let follow = collect("--follow --interval 5m --metrics-file x.prom --metrics-listen 0.0.0.0:1").follow;
        assert!(follow.follow);
        assert_eq!(follow.interval, Some("5m".parse().unwrap()));
        assert_eq!(follow.metrics_file, Some(PathBuf::from("x.prom")));
        assert_eq!(follow.metrics_listen, Some("0.0.0.0:1".parse().unwrap()));
        let loopback = collect("collect --follow --metrics-listen").follow.metrics_listen;
        assert_eq!(loopback, Some("127.0.0.1:9464".parse().unwrap()));
    }

    #[test]
    fn sandbox_and_demo_have_defaults() {
        let sandbox = Sandbox {
            listen: "127.0.0.1:8360".parse().unwrap(),
            records: 2_000,
            seed: 1,
            latency_ms: 0,
            record_bytes: 0,
            gzip: false,
            still: false,
            verbosity: Verbosity::default(),
        };
        assert_eq!(typed("sandbox").unwrap(), Command::Sandbox(sandbox.clone()));
        let other = Sandbox {
            listen: "[::1]:0".parse().unwrap(),
            records: 5,
            seed: 7,
            latency_ms: 50,
            record_bytes: 700,
            gzip: true,
            still: true,
            ..sandbox
        };
        assert_eq!(
            typed("sandbox --listen [::1]:0 --records 5 --seed 7 --latency-ms 50 --record-bytes 700 --gzip --still")
                .unwrap(),
            Command::Sandbox(other)
        );
        let demo = Demo {
            dir: PathBuf::from("./trailkeeper-demo"),
            verbosity: Verbosity::default(),
        };
        assert_eq!(typed("demo").unwrap(), Command::Demo(demo.clone()));
        assert_eq!(
            typed("demo --dir /tmp/x").unwrap(),
            Command::Demo(Demo {
                dir: PathBuf::from("/tmp/x"),
                ..demo
            })
        );
    }

    #[test]
    fn the_commands_for_operators_read_their_arguments() {
        let selection = Selection {
            streams: vec!["tfc".to_owned()],
            json: true,
            env_file: Some(PathBuf::from("x.env")),
            verbosity: Verbosity::default(),
        };
        let flags = "--stream tfc --json --env-file x.env";
        let check = Command::Check(Check {
            forward_kafka: true,
            selection: selection.clone(),
        });
        assert_eq!(typed(&format!("check --forward-kafka {flags}")).unwrap(), check);
        let coverage = Command::Coverage(Coverage {
            selection: selection.clone(),
        });
        assert_eq!(typed(&format!("coverage {flags}")).unwrap(), coverage);
        let verify = Command::Verify(Verify {
            selection: selection.clone(),
        });
        assert_eq!(typed(&format!("verify {flags}")).unwrap(), verify);
        let status = Command::Status(Status {
            max_age: Some("2h".parse().unwrap()),
            selection,
        });
        assert_eq!(typed(&format!("status --max-age 2h {flags}")).unwrap(), status);
        assert_eq!(typed("status --max-age 2025-06-09").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_unknown_stream_is_answered_with_the_known_ones() {
        for arguments in ["--stream prot", "collect --stream tfc,prot"] {
            let error = typed(arguments).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (ErrorKind::InvalidValue, 2));
            let message = error.to_string();
            assert!(STREAMS.iter().all(|name| message.contains(name)), "{message}");
            assert!(message.contains("a similar value exists: 'port'"), "{message}");
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for arguments in [
            "gather",
            "--since",
            "--since yesterday",
            "--until 2025-02-30",
            "-v -q",
            "--stream",
            "--stream ,",
            "collect extra",
            "--dry-run collect",
            "sandbox --listen localhost",
            "sandbox --records -1",
            "demo --json",
            "--interval 60s",
            "--follow --interval 60",
            "--follow --until 1h",
            "--follow --dry-run",
            "--metrics-listen",
            "--dry-run --metrics-file x.prom",
        ] {
            let error = typed(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments}: {error}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_answered_with_the_forms() {
        let message = typed("--since yesterday").unwrap_err().to_string();
        assert!(
            message.contains("yesterday") && message.contains("36h") && message.contains("2025-06-09"),
            "{message}"
        );
    }

    #[test]
    fn help_and_version_exit_with_0() {
        for (arguments, kind) in [
            ("--help", ErrorKind::DisplayHelp),
            ("-h", ErrorKind::DisplayHelp),
            ("collect --help", ErrorKind::DisplayHelp),
            ("sandbox --help", ErrorKind::DisplayHelp),
            ("demo --help", ErrorKind::DisplayHelp),
            ("--version", ErrorKind::DisplayVersion),
        ] {
            let error = typed(arguments).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 0), "{arguments}");
        }
        let version = typed("--version").unwrap_err().to_string();
        assert_eq!(version, format!("trailkeeper {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn the_examples_in_the_help_are_accepted() {
        let examples = [
            EXAMPLES,
            COLLECT_EXAMPLES,
            SANDBOX_EXAMPLES,
            check::EXAMPLES,
            archive::STATUS_EXAMPLES,
            archive::COVERAGE_EXAMPLES,
            archive::VERIFY_EXAMPLES,
        ];
        for line in examples.iter().flat_map(|text| text.lines()) {
            let Some(example) = line.strip_prefix("  trailkeeper") else {
                continue;
            };
            let arguments = example.split("   ").next().unwrap_or_default();
            match typed(arguments) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.exit_code(), 0, "{line}: {error}"),
            }
        }
    }

    #[test]
    fn a_range_is_resolved_against_the_clock() {
        let now = "2025-06-10T12:00:00Z".parse().unwrap();
        let range = |arguments| collect(arguments).range(now);
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            range(""),
            Ok(Range {
                since: None,
                until: None
            })
        );
        assert_eq!(
            range("--since 36h"),
            Ok(Range {
                since: time("2025-06-09T00:00:00Z"),
                until: None
            })
        );
        let until = Range {
            since: time("2025-06-01T00:00:00Z"),
            until: time("2025-06-10T11:00:00Z"),
        };
        assert_eq!(range("--since 2025-06-01 --until 1h"), Ok(until));
        let clipped = Range {
            since: None,
            until: Some(now),
        };
        assert_eq!(range("--until 2025-07-01"), Ok(clipped));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_wrong_usage() {
        let now = "2025-06-10T12:00:00Z".parse().unwrap();
        for arguments in [
            "--since 1h --until 2h",
            "--since 1h --until 1h",
            "--since 2025-07-01",
            "--since 0s",
        ] {
            assert!(collect(arguments).range(now).is_err(), "{arguments}");
        }
        let error = collect("--since 1h --until 2h").range(now).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--since 2025-06-10T11:00:00Z must be before --until 2025-06-10T10:00:00Z"
        );
    }
}
