//! The program's own log: to stderr for people, to a file for later.
//!
//! Both have the form `2023-10-01 12:00:00.123 INFO:`, a tab, the message and its fields, in UTC, or are JSON. The file has
//! everything from DEBUG on. Of the libraries only warnings and errors are logged.
//!
//! Nothing waits for the disk of the file, or for whoever reads stderr: a line is queued or, if the queue is full, dropped
//! and counted.

mod counts;
mod file;
mod form;
mod journal;
mod notices;
mod queue;
mod rotate;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use clap::Args;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::output::progress::Progress;
pub(crate) use counts::LostLines;
pub(crate) use form::LogFormat;
use form::{Fields, Form, Line};
pub(crate) use journal::JournalStream;
use notices::Notices;
use queue::QueueGuard;

/// How much is printed on stderr; the log file always has everything.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verbosity {
    /// Print more on stderr: each request, each file
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Print nothing but errors, on stderr; what --json asks for is printed all the same
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// Returns the current time; only `main` reads the real clock.
pub(crate) type Clock = fn() -> DateTime<Utc>;

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// The log file cannot be written to.
    #[error(
        "cannot open the log file `{}`, set by APP_LOG_FILE: {source}; set it to a file that can be written to",
        path.display()
    )]
    File { path: PathBuf, source: io::Error },
    /// A log was started before.
    #[error("a log was started already")]
    Started,
}

/// The program's log. When dropped, it waits until the log file has every line, but not forever.
#[derive(Debug, Default)]
pub(crate) struct Log {
    queue: OnceLock<QueueGuard>,
}

/// Where a log goes, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions<'a> {
    /// How much stderr says.
    pub(crate) verbosity: Verbosity,
    /// The log file, if there is one.
    pub(crate) file: Option<&'a Path>,
    /// The form of lines.
    pub(crate) format: LogFormat,
    /// What systemd has connected to its journal; it may be stderr.
    pub(crate) journal: Option<JournalStream>,
    /// The lines that stand below those of the log.
    pub(crate) progress: &'a Progress,
    /// Returns the current time.
    pub(crate) clock: Clock,
}

impl<'a> LogOptions<'a> {
    /// Returns those of a log of text that is only on stderr.
    pub(crate) fn on_stderr(verbosity: Verbosity, progress: &'a Progress, clock: Clock) -> Self {
        Self {
            verbosity,
            file: None,
            format: LogFormat::Text,
            journal: None,
            progress,
            clock,
        }
    }
}

impl Log {
    /// Starts the log: stderr at this verbosity, above the lines of progress, and everything to the file if there is one.
    ///
    /// # Errors
    /// The file cannot be opened, or a log was started before.
    pub(crate) fn start(&self, options: LogOptions<'_>) -> Result<(), LoggingError> {
        let (subscriber, queue) = subscriber(options, Stderr(options.progress.clone()))?;
        tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Started)?;
        if let Some(queue) = queue {
            // A second one would have been refused just now.
            let _ = self.queue.set(queue);
        }
        Ok(())
    }

    /// Goes on in another file.
    ///
    /// # Errors
    /// It cannot be opened; then the log stays where it is.
    pub(crate) fn move_to(&self, path: &Path) -> Result<(), LoggingError> {
        let moved = self.queue.get().map_or(Ok(()), |queue| queue.move_to(path));
        moved.map_err(|source| LoggingError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// Waits until the log file has every line logged so far, or gives up on a hung disk.
    pub(crate) fn drain(&self) {
        if let Some(queue) = self.queue.get() {
            queue.drain();
        }
    }

    /// Returns the count of lines missing in the log file.
    pub(crate) fn lost_lines(&self) -> LostLines {
        self.queue.get().map(QueueGuard::lost_lines).unwrap_or_default()
    }

    /// Returns whether the log file could not be written to when the last line was, as on a full disk.
    pub(crate) fn is_refused(&self) -> bool {
        self.queue.get().is_some_and(QueueGuard::is_refused)
    }
}

/// Formats an error as a log of these options would have it on stderr; `None` if that is text for people.
pub(crate) fn error_lines(options: LogOptions<'_>, message: &str) -> Option<String> {
    let form = Form::on_stderr(options);
    let now = (options.clock)();
    match options.format {
        LogFormat::Json => Some(form.error_line(now, message)),
        LogFormat::Text if form.is_journal => Some(message.lines().map(|line| form.error_line(now, line)).collect()),
        LogFormat::Text => None,
    }
}

/// Starts the log of a command without a log file.
///
/// # Errors
/// A log was started before.
pub(crate) fn start_on_stderr(verbosity: Verbosity, progress: &Progress, clock: Clock) -> Result<(), LoggingError> {
    Log::default().start(LogOptions::on_stderr(verbosity, progress, clock))
}

fn subscriber<W>(
    options: LogOptions<'_>,
    stderr: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, Option<QueueGuard>), LoggingError>
where
    W: for<'writer> MakeWriter<'writer> + Clone + Send + Sync + 'static,
{
    let (clock, format) = (options.clock, options.format);
    let on_stderr = Form::on_stderr(options);
    let in_file = Form {
        format,
        is_journal: false,
    };
    let opened = options.file.map(|path| {
        let notices = Notices::new(stderr.clone(), on_stderr, in_file, clock);
        queue::open(path, notices).map_err(|source| LoggingError::File {
            path: path.to_owned(),
            source,
        })
    });
    let (file, queue) = opened.transpose()?.unzip();
    let line = |form| Line { clock, form };
    let file = file.map(|queue| layer(queue, line(in_file)).with_filter(from_us(LevelFilter::DEBUG)));
    let stderr = layer(stderr, line(on_stderr)).with_filter(from_us(threshold(options.verbosity)));
    Ok((tracing_subscriber::registry().with(stderr).with(file), queue))
}

fn layer<S, W>(writer: W, line: Line) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .fmt_fields(Fields(line.form.format))
        .event_format(line)
        .with_writer(writer)
        // It would report a broken stderr to stderr, and panic.
        .log_internal_errors(false)
}

fn threshold(verbosity: Verbosity) -> LevelFilter {
    match verbosity {
        Verbosity { quiet: true, .. } => LevelFilter::ERROR,
        Verbosity { verbose: true, .. } => LevelFilter::DEBUG,
        Verbosity { .. } => LevelFilter::INFO,
    }
}

fn from_us(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Stderr, shared with the progress lines.
#[derive(Clone)]
struct Stderr(Progress);

impl<'writer> MakeWriter<'writer> for Stderr {
    type Writer = LineWriter<'writer>;

    fn make_writer(&'writer self) -> LineWriter<'writer> {
        LineWriter(&self.0)
    }
}

/// Each `write` is one whole line.
struct LineWriter<'a>(&'a Progress);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_lines(&String::from_utf8_lossy(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, info_span, trace, warn};

    use super::queue::LONGEST_QUEUE;
    use super::*;

    const NORMAL: Verbosity = Verbosity {
        verbose: false,
        quiet: false,
    };
    const VERBOSE: Verbosity = Verbosity {
        verbose: true,
        quiet: false,
    };
    const QUIET: Verbosity = Verbosity {
        verbose: false,
        quiet: true,
    };

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_696_161_600_123).unwrap()
    }

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn subscriber<W>(
        verbosity: Verbosity,
        file: Option<&Path>,
        stderr: W,
        clock: Clock,
    ) -> Result<(impl Subscriber + Send + Sync + use<W>, Option<QueueGuard>), LoggingError>
    where
        W: for<'writer> MakeWriter<'writer> + Clone + Send + Sync + 'static,
    {
        let progress = Progress::hidden();
        let options = LogOptions::on_stderr(verbosity, &progress, clock);
        super::subscriber(LogOptions { file, ..options }, stderr)
    }

    /// Returns what stderr and the log file hold after some events.
    fn logged(verbosity: Verbosity, events: impl FnOnce()) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let captured = Captured::default();
        let stderr = captured.clone();
        let (subscriber, guard) = subscriber(verbosity, Some(&path), move || stderr.clone(), noon).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        drop(guard);
        let stderr = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        (stderr, fs::read_to_string(path).unwrap())
    }

    #[test]
    fn a_line_has_the_form_of_the_documentation_on_stderr_and_in_the_file() {
        let expected =
            "2023-10-01 12:00:00.123 INFO:\tappended stream=yandex-mail records=243 path=\"/a b\" none=\"\"\n";
        let (stderr, file) = logged(NORMAL, || {
            info!(stream = "yandex-mail", records = 243, path = %Path::new("/a b").display(), none = "", "appended");
        });
        assert_eq!(stderr, expected);
        assert_eq!(file, expected);
    }

    #[test]
    fn fields_of_any_kind_are_shown() {
        let (stderr, _) = logged(NORMAL, || {
            let error = io::Error::other("no route");
            info!(error = &error as &dyn std::error::Error, quoted = ?"a b", list = ?[1, 2], flag = true, part = 0.5, "x");
        });
        let fields = "error=\"no route\" quoted=\"a b\" list=\"[1, 2]\" flag=true part=0.5";
        assert_eq!(stderr, format!("2023-10-01 12:00:00.123 INFO:\tx {fields}\n"));
    }

    #[test]
    fn the_fields_of_spans_follow_those_of_the_event() {
        let (stderr, file) = logged(NORMAL, || {
            let _stream = info_span!("stream", stream = "port").entered();
            let _request = info_span!("request", page = 2).entered();
            warn!(status = 429, "trying again");
        });
        assert_eq!(
            stderr,
            "2023-10-01 12:00:00.123 WARNING:\ttrying again status=429 page=2 stream=port\n"
        );
        assert_eq!(file, stderr);
    }

    #[test]
    fn nothing_in_a_message_or_a_field_drives_the_terminal_or_adds_a_line() {
        let (stderr, file) = logged(NORMAL, || {
            let hostile = "\u{1b}]0;x\u{7}\n2023-10-01 12:00:00.123 ERROR:\tforged\u{9b}2J\u{202e}";
            let _span = info_span!("span", answer = hostile).entered();
            info!(answer = hostile, shown = %hostile, "{hostile}");
        });
        for text in [stderr, file] {
            assert_eq!(text.lines().count(), 1, "{text}");
            let (_, message) = text.split_once('\t').unwrap();
            let controls: Vec<_> = message
                .trim_end_matches('\n')
                .chars()
                .filter(|c| c.is_control())
                .collect();
            assert!(controls.is_empty() && !message.contains('\u{202e}'), "{text}");
        }
    }

    #[test]
    fn as_json_fields_keep_their_type_and_nothing_drives_the_terminal() {
        let captured = Captured::default();
        let stderr = captured.clone();
        let progress = Progress::hidden();
        let options = LogOptions {
            format: LogFormat::Json,
            ..LogOptions::on_stderr(NORMAL, &progress, noon)
        };
        let (subscriber, _) = super::subscriber(options, move || stderr.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _span = info_span!("stream", stream = "port", page = 2).entered();
            warn!(records = 3_u64, part = 0.5, flag = true, path = %"a\u{9b}\"b", "said \u{202e}\n\"so\"");
        });
        let line = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            line,
            r#"{"logger":"trailkeeper","time":"2023-10-01T12:00:00.123Z","level":"WARNING","message":"said \u202e\n\"so\"","#
                .to_owned()
                + r#""records":3,"part":0.5,"flag":true,"path":"a\u009b\"b","stream":"port","page":2}"#
                + "\n"
        );
    }

    fn one_of_each() {
        error!("e");
        warn!("w");
        info!("i");
        debug!("d");
        trace!("t");
        error!(target: "hyper::client", "library e");
        warn!(target: "hyper::client", "library w");
        info!(target: "hyper::client", "library i");
        debug!(target: "hyper::client", "library d");
    }

    fn messages(text: &str) -> Vec<&str> {
        text.lines().map(|line| line.split_once('\t').unwrap().1).collect()
    }

    #[test]
    fn stderr_says_as_much_as_was_asked_for_and_the_file_everything() {
        for (verbosity, expected) in [
            (QUIET, &["e", "library e"][..]),
            (NORMAL, &["e", "w", "i", "library e", "library w"]),
            (VERBOSE, &["e", "w", "i", "d", "library e", "library w"]),
        ] {
            let (stderr, file) = logged(verbosity, one_of_each);
            assert_eq!(messages(&stderr), expected, "{verbosity:?}");
            assert_eq!(messages(&file), ["e", "w", "i", "d", "library e", "library w"]);
        }
    }

    #[test]
    fn levels_have_the_names_that_python_gives_them() {
        let (stderr, _) = logged(VERBOSE, one_of_each);
        let words: Vec<_> = stderr
            .lines()
            .map(|line| line.split(['\t', ' ']).nth(2).unwrap())
            .collect();
        assert_eq!(words[..4], ["ERROR:", "WARNING:", "INFO:", "DEBUG:"]);
    }

    #[test]
    fn a_burst_as_long_as_the_queue_is_in_the_file_completely() {
        let (_, file) = logged(QUIET, || {
            (0..LONGEST_QUEUE).for_each(|number| debug!("{number}"));
        });
        let numbers: Vec<usize> = messages(&file)
            .into_iter()
            .map(|message| message.parse().unwrap())
            .collect();
        assert_eq!(numbers, (0..LONGEST_QUEUE).collect::<Vec<_>>());
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("absent/app.log")] {
            let error = subscriber(NORMAL, Some(&path), io::sink, noon)
                .err()
                .unwrap()
                .to_string();
            let expected = format!("cannot open the log file `{}`, set by APP_LOG_FILE: ", path.display());
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_broken_stderr_costs_no_line_of_the_file() {
        #[derive(Clone)]
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let (subscriber, guard) = subscriber(NORMAL, Some(&path), || Broken, noon).unwrap();
        tracing::subscriber::with_default(subscriber, || info!("kept"));
        drop(guard);
        assert_eq!(messages(&fs::read_to_string(path).unwrap()), ["kept"]);
    }

    #[test]
    fn without_a_file_only_stderr_is_written() {
        let captured = Captured::default();
        let stderr = captured.clone();
        let (subscriber, _guard) = subscriber(NORMAL, None, move || stderr.clone(), noon).unwrap();
        tracing::subscriber::with_default(subscriber, || info!("shown"));
        assert_eq!(
            messages(&String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()),
            ["shown"]
        );
    }
}
