//! Parses the command line into a command.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::arguments::settings::SettingsArguments;
use super::error::CommandError;
use super::outcome::exit_of;
use super::{Command, collect, organizations, status};
use crate::config::LogSettings;
use crate::env::ConfigErrors;
use crate::output::logging::{Log, Verbosity, error_lines};
use crate::output::print::{print_error, print_to_stderr, written};
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;

/// The parsed command line.
#[derive(Debug, Parser)]
#[command(
    name = "trailkeeper",
    bin_name = "trailkeeper",
    version,
    about = "Keeps SaaS audit trails: every record once, in append-only day files",
    long_about = "Keeps SaaS audit trails: every record that a service returns, once, in append-only day files.\n\n\
                  Without a command it collects, as `trailkeeper collect` does.",
    after_long_help = EXAMPLES,
    override_usage = "trailkeeper [OPTIONS]\n       trailkeeper [--env-file <PATH>] <COMMAND>",
    disable_help_subcommand = true
)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    collect: collect::Arguments,
    #[arg(skip)]
    typed: Vec<OsString>,
}

impl CommandLine {
    /// Parses the arguments.
    ///
    /// # Errors
    /// Wrong usage, or a request for help or the version.
    pub fn read(typed: impl IntoIterator<Item = OsString>) -> Result<Self, NoCommand> {
        let typed: Vec<_> = typed.into_iter().collect();
        let is_plugin = typed.iter().any(|argument| argument == NAGIOS);
        Self::parse(typed.clone())
            .map(|parsed| Self { typed, ..parsed })
            .map_err(|answer| NoCommand { answer, is_plugin })
    }

    fn parse(typed: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut parsed = Self::try_parse_from(typed)?;
        let Some(command) = &mut parsed.command else {
            return Ok(parsed);
        };
        // Where the settings are may stand before the command; everything else there belongs to `collect` without its name.
        let before = std::mem::take(&mut parsed.collect.settings);
        if before != SettingsArguments::default() {
            take_settings(command, before)?;
        }
        if parsed.collect != collect::Arguments::default() {
            return Err(conflict(
                "only --env-file, --env-dir and --org can stand before a command",
            ));
        }
        Ok(parsed)
    }

    /// Parses the arguments into a command.
    ///
    /// # Errors
    /// Wrong usage.
    pub(super) fn command_of(typed: Vec<OsString>) -> Result<Command, clap::Error> {
        Self::parse(typed).map(Self::into_command)
    }

    /// Runs the command, reports its error, and returns the exit code.
    pub async fn run(self, clock: fn() -> DateTime<Utc>) -> ExitCode {
        signals::ignore_strays();
        // It outlives the command, whose error is logged in it.
        let log = Log::default();
        let typed = self.typed.clone();
        let mut command = self.into_command();
        if let Some(arguments) = command.as_plugin() {
            return status::nagios::run(arguments, clock).into();
        }
        let settings = command.settings().cloned().unwrap_or_default();
        let ended = run_command((&command, &typed), &settings, &log, clock).await;
        let exit = ended.unwrap_or_else(|error| {
            error.report(command.form(), command.failure(), |text| say(text, &settings, clock))
        });
        match (exit_of(&log), command.failure()) {
            (Exit::Complete, _) => exit,
            (_, Some(failure)) => failure,
            (of_log, None) => exit.max(of_log),
        }
        .into()
    }

    /// Reports that the program cannot start, and returns the exit code.
    pub fn cannot_start(self, error: &io::Error) -> ExitCode {
        let problem = format!("cannot start: {error}");
        if self.into_command().as_plugin().is_some() {
            return status::nagios::unknown(problem).into();
        }
        print_error(&problem);
        Exit::Setup.into()
    }

    fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Collect(self.collect))
    }
}

/// Prints an error where there may be no log yet: in the form of the settings, or as text where they do not say it.
fn say(text: &str, settings: &SettingsArguments, clock: fn() -> DateTime<Utc>) {
    let settings = LogSettings::read(&settings.load(), &mut ConfigErrors::default());
    let progress = Progress::hidden();
    let options = settings
        .as_ref()
        .map(|settings| settings.options(Verbosity::default(), &progress, clock));
    match options.and_then(|options| error_lines(options, text)) {
        Some(lines) => print_to_stderr(&lines),
        None => print_error(text),
    }
}

/// With it, whatever goes wrong is told as a plugin does.
const NAGIOS: &str = "--nagios";

/// The command line names no command to run: it is wrong, or asks for help or the version.
#[derive(Debug)]
pub struct NoCommand {
    answer: clap::Error,
    is_plugin: bool,
}

impl NoCommand {
    /// Prints help, the version, or what is wrong, and returns the exit code.
    pub fn print(&self) -> ExitCode {
        let Self { answer, is_plugin } = self;
        if *is_plugin && answer.use_stderr() {
            let text = answer.render().to_string();
            // The usage and a hint at --help follow.
            let problem = text.split("\n\n").next().unwrap_or_default();
            return status::nagios::unknown(problem.trim_start_matches("error: ")).into();
        }
        match written(answer.print()) {
            Err(failed) if !answer.use_stderr() => {
                print_error(&failed.to_string());
                Exit::Setup.into()
            }
            _ => ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(Exit::Usage as u8)),
        }
    }
}

/// Gives a command what stood before it of where the settings are.
fn take_settings(command: &mut Command, before: SettingsArguments) -> Result<(), clap::Error> {
    if let Command::Init(arguments) = command
        && let (Some(path), None) = (&before.env_file, &arguments.env_file)
    {
        arguments.env_file = Some(path.clone());
        return Ok(());
    }
    match command.settings() {
        Some(settings) if *settings == SettingsArguments::default() => {
            *settings = before;
            Ok(())
        }
        Some(_) => Err(conflict(
            "where the settings are is said before the command or after it, not in both places",
        )),
        None => Err(conflict("this command reads no settings, so it takes no --env-file")),
    }
}

/// Runs a command, for each organization if there are several and it does not see to that itself.
async fn run_command(
    (command, typed): (&Command, &[OsString]),
    settings: &SettingsArguments,
    log: &Log,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    match organizations::check_dir(settings)? {
        Some(folder) if !command.knows_organizations() => {
            organizations::run_each((command, typed), (settings, &folder), log, clock).await
        }
        _ => command.run(log, clock).await,
    }
}

fn conflict(problem: &str) -> clap::Error {
    CommandLine::command().error(ErrorKind::ArgumentConflict, problem)
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
  1  settings are wrong, the program could not start, or its output or log could not be written
  2  wrong usage
  3  at least one stream failed, is too old (status), or holds something wrong (verify)
  4  another run holds one of the catalogs";

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::commands::arguments::selection::Selection;
    use crate::commands::arguments::sinks::Sinks;
    use crate::commands::arguments::start::StartArg;
    use crate::commands::{check, coverage, demo, sandbox, verify};
    use crate::output::logging::Verbosity;
    use crate::source::SOURCES;

    fn typed(arguments: &str) -> Result<Command, clap::Error> {
        let typed = std::iter::once("trailkeeper").chain(arguments.split_whitespace());
        CommandLine::parse(typed.map(OsString::from).collect()).map(CommandLine::into_command)
    }

    pub(crate) fn collect(arguments: &str) -> collect::Arguments {
        match typed(arguments).unwrap() {
            Command::Collect(collect) => collect,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn collecting_is_what_it_does_without_a_command() {
        assert_eq!(collect(""), collect::Arguments::default());
        assert_eq!(collect("collect"), collect::Arguments::default());
        let flags = "--stream tfc,port --since 36h --until 2025-06-09 --dry-run --json --env-file /etc/x.env -v";
        assert_eq!(collect(flags), collect(&format!("collect {flags}")));
    }

    #[test]
    fn every_argument_of_collect_is_read() {
        let expected = collect::Arguments {
            streams: vec!["tfc".to_owned(), "port".to_owned(), "yandex-mail".to_owned()],
            since: Some("36h".parse().unwrap()),
            until: Some("2025-06-09".parse().unwrap()),
            dry_run: true,
            sinks: Sinks {
                kafka: true,
                http: true,
                from: Some(StartArg::Start),
                strict_json: true,
            },
            json: true,
            settings: SettingsArguments::of_file(PathBuf::from("/etc/x.env")),
            verbosity: Verbosity {
                verbose: false,
                quiet: true,
            },
            ..collect::Arguments::default()
        };
        let flags = "--stream tfc,port --stream yandex-mail --since 36h --until 2025-06-09 --dry-run --json \
                     --forward-kafka --forward-http --forward-from start --strict-json";
        assert_eq!(collect(&format!("collect {flags} --env-file /etc/x.env -q")), expected);
    }

    #[test]
    fn what_is_said_of_forwarding_without_a_sink_is_no_use() {
        assert!(typed("collect --forward-from start").is_err());
        assert!(typed("collect --strict-json").is_err());
        for sink in ["--forward-kafka", "--forward-http"] {
            assert!(collect(&format!("{sink} --forward-from 7d")).sinks.from.is_some());
        }
    }

    #[test]
    fn following_and_its_figures_are_asked_for_by_name() {
        let follow = collect("--follow --interval 5m --metrics-file x.prom --metrics-listen 0.0.0.0:1");
        assert!(follow.follow);
        assert_eq!(follow.interval, Some("5m".parse().unwrap()));
        assert_eq!(follow.metrics_file, Some(PathBuf::from("x.prom")));
        assert_eq!(follow.metrics_listen, Some("0.0.0.0:1".parse().unwrap()));
        let loopback = collect("collect --follow --metrics-listen").metrics_listen;
        assert_eq!(loopback, Some("127.0.0.1:9464".parse().unwrap()));
    }

    #[test]
    fn sandbox_and_demo_have_defaults() {
        let sandbox = sandbox::Arguments {
            listen: "127.0.0.1:8360".parse().unwrap(),
            records: 2_000,
            seed: 1,
            latency_ms: 0,
            record_bytes: 0,
            gzip: false,
            still: false,
            faults: Vec::new(),
            verbosity: Verbosity::default(),
        };
        assert_eq!(typed("sandbox").unwrap(), Command::Sandbox(sandbox.clone()));
        let other = sandbox::Arguments {
            listen: "[::1]:0".parse().unwrap(),
            records: 5,
            seed: 7,
            latency_ms: 50,
            record_bytes: 700,
            gzip: true,
            still: true,
            faults: vec!["slow=2@tfc".parse().unwrap(), "empty".parse().unwrap()],
            ..sandbox
        };
        assert_eq!(
            typed("sandbox --listen [::1]:0 --records 5 --seed 7 --latency-ms 50 --record-bytes 700 --gzip --still --fault slow=2@tfc --fault empty")
                .unwrap(),
            Command::Sandbox(other)
        );
        let demo = demo::Arguments {
            dir: PathBuf::from("./trailkeeper-demo"),
            verbosity: Verbosity::default(),
        };
        assert_eq!(typed("demo").unwrap(), Command::Demo(demo.clone()));
        assert_eq!(
            typed("demo --dir /tmp/x").unwrap(),
            Command::Demo(demo::Arguments {
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
            settings: SettingsArguments::of_file(PathBuf::from("x.env")),
            verbosity: Verbosity::default(),
        };
        let flags = "--stream tfc --json --env-file x.env";
        let check = Command::Check(check::Arguments {
            forward_kafka: true,
            selection: selection.clone(),
        });
        assert_eq!(typed(&format!("check --forward-kafka {flags}")).unwrap(), check);
        let coverage = Command::Coverage(coverage::Arguments {
            accept_missing: false,
            fail_on_gaps: false,
            selection: selection.clone(),
        });
        assert_eq!(typed(&format!("coverage {flags}")).unwrap(), coverage);
        let verify = Command::Verify(verify::Arguments {
            evidence: verify::EvidenceArguments::default(),
            selection: selection.clone(),
        });
        assert_eq!(typed(&format!("verify {flags}")).unwrap(), verify);
        let status = Command::Status(status::Arguments {
            max_age: Some("2h".parse().unwrap()),
            nagios: false,
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
            assert!(SOURCES.iter().all(|kind| message.contains(kind.name)), "{message}");
            assert!(message.contains("a similar value exists: 'port'"), "{message}");
        }
    }

    #[test]
    fn the_settings_file_can_stand_before_the_command_too() {
        for command in [
            "collect --dry-run",
            "forward kafka --json",
            "reconcile --since 7d",
            "check",
            "status --max-age 2h",
            "coverage",
            "verify -v",
            "report --html x.html",
            "init",
        ] {
            let behind = typed(&format!("{command} --env-file /etc/x.env")).unwrap();
            for before in ["--env-file /etc/x.env", "--env-file=/etc/x.env"] {
                assert_eq!(
                    typed(&format!("{before} {command}")).unwrap(),
                    behind,
                    "{before} {command}"
                );
            }
        }
    }

    #[test]
    fn a_settings_file_that_no_command_reads_is_wrong_usage() {
        for command in ["sandbox", "demo", "man", "completions bash", "check --env-file y.env"] {
            let error = typed(&format!("--env-file x.env {command}")).unwrap_err();
            assert_eq!(
                (error.kind(), error.exit_code()),
                (ErrorKind::ArgumentConflict, 2),
                "{error}"
            );
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
            "-q check",
            "--env-file x.env --json collect",
            "--stream tfc collect",
            "sandbox --listen localhost",
            "sandbox --records -1",
            "sandbox --fault slow=0",
            "sandbox --fault sloww",
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
        let definition = CommandLine::command();
        let commands = definition.get_subcommands().chain([&definition]);
        let texts = commands.filter_map(|command| command.get_after_long_help());
        let texts: Vec<_> = texts.map(ToString::to_string).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        let examples: Vec<_> = lines.filter_map(|line| line.strip_prefix("  trailkeeper")).collect();
        assert!(examples.len() > 30, "only {} examples were found", examples.len());
        for example in examples {
            let arguments = example.split(['|', '>']).next().unwrap_or_default();
            let arguments = arguments.split("   ").next().unwrap_or_default();
            if let Err(error) = typed(arguments) {
                assert_eq!(error.exit_code(), 0, "{example}: {error}");
            }
        }
    }
}
