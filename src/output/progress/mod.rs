//! Progress on a terminal: a line for each stream, or for what is read, on stderr, below the log lines.

mod reading;
mod screen;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

pub(crate) use reading::ReadProgress;

use super::{stderr, table};
use crate::window::Window;

/// The template of a line without a known window.
const WAITING: &str = "{spinner} {prefix:12} {msg}";
const WALKING: &str = "{spinner} {prefix:12} [{wide_bar}] {percent:>3}% {msg}{left}";
const READING: &str = "{spinner} {prefix} [{wide_bar}] {percent:>3}% {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}{left}";

/// How often the spinner turns, so that a wait for a slow answer does not look like a hang.
const TURN: Duration = Duration::from_millis(125);

/// The progress lines of a run; clones draw to the same terminal.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    appended: Counts,
}

/// How many records each stream has appended in the current run, or none between two runs.
#[derive(Clone, Debug, Default)]
struct Counts(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // A panic while it was held cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Draws to stderr if it is a terminal that can move its cursor, otherwise nowhere.
    #[must_use]
    pub(crate) fn on_stderr() -> Self {
        Self::to(screen::draw_target())
    }

    /// Draws to stderr, unless `quiet`.
    #[must_use]
    pub(crate) fn unless_quiet(quiet: bool) -> Self {
        if quiet { Self::hidden() } else { Self::on_stderr() }
    }

    /// Draws nothing.
    #[must_use]
    pub fn hidden() -> Self {
        Self::to(ProgressDrawTarget::hidden())
    }

    fn to(target: ProgressDrawTarget) -> Self {
        Self {
            bars: MultiProgress::with_draw_target(target),
            appended: Counts::default(),
        }
    }

    /// Returns how many records each stream has appended in the current run; 0 if there is none.
    #[must_use]
    pub(crate) fn appended(&self) -> BTreeMap<&'static str, u64> {
        self.appended.lock().clone()
    }

    /// Adds the line of one stream.
    #[must_use]
    pub(crate) fn stream(&self, name: &'static str) -> StreamProgress {
        let bar = ProgressBar::no_length().with_style(style(WAITING)).with_prefix(name);
        let bar = add(&self.bars, bar);
        if !self.bars.is_hidden() {
            bar.enable_steady_tick(TURN);
        }
        self.appended.lock().insert(name, 0);
        StreamProgress {
            name,
            bar,
            window: None,
            records: 0,
            appended: self.appended.clone(),
        }
    }

    /// Adds the line of a command that is to read this many bytes.
    #[must_use]
    pub(crate) fn reading(&self, command: &'static str, bytes: u64) -> ReadProgress {
        let bar = ProgressBar::new(bytes).with_style(style(READING)).with_prefix(command);
        ReadProgress {
            bar: add(&self.bars, bar),
        }
    }

    /// Adds the line of a stream that is forwarded to a sink; it appears once something was sent.
    #[must_use]
    pub(crate) fn forward(&self, stream: &'static str, sink: &'static str) -> ForwardProgress {
        ForwardProgress {
            bars: self.bars.clone(),
            name: format!("{stream} → {sink}"),
            bar: None,
        }
    }

    /// Writes whole lines to stderr, above the progress lines if there are any.
    ///
    /// # Errors
    /// Writing to stderr failed.
    pub(crate) fn write_lines(&self, lines: &str) -> io::Result<()> {
        if self.bars.is_hidden() {
            stderr::write(lines);
            return Ok(());
        }
        // Not `suspend`, which panics when the terminal has gone away.
        self.bars
            .println(expand_tabs(lines.strip_suffix('\n').unwrap_or(lines)))
    }
}

/// Adds a line to those that are drawn. If none is, it would stay among them for ever: they are removed as they are drawn.
fn add(bars: &MultiProgress, bar: ProgressBar) -> ProgressBar {
    if bars.is_hidden() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        return bar;
    }
    bars.add(bar)
}

/// The progress line of one stream; dropping this removes it.
#[derive(Debug)]
pub(crate) struct StreamProgress {
    name: &'static str,
    bar: ProgressBar,
    window: Option<Window>,
    records: u64,
    appended: Counts,
}

impl StreamProgress {
    /// Sets the window: from here on the line shows how much of it is done.
    pub(crate) fn begin(&mut self, window: Window) {
        self.window = Some(window);
        self.bar.set_style(style(WALKING));
        self.bar.set_length(seconds(window.from, window.to).max(1));
        // The wait before does not count for the rate, nor for the time left.
        self.bar.reset_elapsed();
        self.bar.reset_eta();
    }

    /// Notes that everything before `to` is done, with this many more records.
    pub(crate) fn advance(&mut self, to: DateTime<Utc>, records: u64) {
        self.records += records;
        self.appended.lock().insert(self.name, self.records);
        if let Some(window) = self.window {
            self.bar.set_position(seconds(window.from, to.min(window.to)));
        }
        let rate = self.records as f64 / self.bar.elapsed().as_secs_f64().max(1.0);
        self.bar.set_message(format!(
            "{} {} records, {rate:.0}/s",
            to.format("%Y-%m-%d %H:%M"),
            self.records
        ));
    }

    /// Removes the line: the stream is done or has failed, and the summary says the rest.
    #[cfg(test)]
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for StreamProgress {
    fn drop(&mut self) {
        self.appended.lock().insert(self.name, 0);
    }
}

/// The progress line of a stream that is forwarded; dropping this removes it.
#[derive(Debug)]
pub(crate) struct ForwardProgress {
    bars: MultiProgress,
    name: String,
    bar: Option<ProgressBar>,
}

impl ForwardProgress {
    /// Notes how many lines were sent and acknowledged in all.
    pub(crate) fn advance(&mut self, sent: u64) {
        if sent == 0 || self.bars.is_hidden() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::no_length()
                .with_style(style(WAITING))
                .with_prefix(self.name.clone());
            self.bars.add(bar)
        });
        bar.set_message(format!("{sent} lines sent"));
        bar.tick();
    }
}

impl Drop for ForwardProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_seconds()).unwrap_or(0)
}

/// Expands tabs as a terminal does: indicatif fills each line to the width of the terminal and counts a tab as nothing,
/// so the text after a tab would be too far to the right.
fn expand_tabs(lines: &str) -> String {
    let mut expanded = String::with_capacity(lines.len() + 8);
    let mut column = 0;
    for character in lines.chars() {
        let width = if character == '\t' { 8 - column % 8 } else { 1 };
        match character {
            '\t' => expanded.extend(std::iter::repeat_n(' ', width)),
            other => expanded.push(other),
        }
        column = if character == '\n' { 0 } else { column + width };
    }
    expanded
}

/// Writes how long it will still take, once that can be told.
fn write_time_left(state: &ProgressState, text: &mut dyn fmt::Write) {
    let left = state.eta();
    if !left.is_zero() {
        let left = TimeDelta::from_std(left).unwrap_or(TimeDelta::MAX);
        // Writing to the line does not fail.
        let _ = write!(text, ", {} left", table::age(left));
    }
}

/// Returns the style of a template; the tests check all templates.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").with_key("left", write_time_left)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that records what is written to it, or fails at each write.
    #[derive(Clone, Debug, Default)]
    struct Terminal {
        written: Arc<Mutex<String>>,
        gone: bool,
    }

    impl Terminal {
        fn note(&self, text: &str) -> io::Result<()> {
            if self.gone {
                return Err(io::Error::other("the terminal has gone away"));
            }
            self.written.lock().unwrap().push_str(text);
            Ok(())
        }

        fn take(&self) -> String {
            std::mem::take(&mut self.written.lock().unwrap())
        }

        fn progress(&self) -> Progress {
            Progress::to(ProgressDrawTarget::term_like(Box::new(self.clone())))
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
            self.note(&format!("<up {lines}>"))
        }

        fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
            self.note(&format!("<down {lines}>"))
        }

        fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
            self.note(&format!("<right {columns}>"))
        }

        fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
            self.note(&format!("<left {columns}>"))
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.note(&format!("{text}\n"))
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.note(text)
        }

        fn clear_line(&self) -> io::Result<()> {
            self.note("<clear>")
        }

        fn flush(&self) -> io::Result<()> {
            self.note("")
        }
    }

    fn day() -> Window {
        Window {
            from: "2025-06-09T00:00:00Z".parse().unwrap(),
            to: "2025-06-10T00:00:00Z".parse().unwrap(),
        }
    }

    /// Draws now, despite the limit on redraws.
    fn drawn(terminal: &Terminal, stream: &StreamProgress) -> String {
        terminal.take();
        stream.bar.force_draw();
        terminal.take()
    }

    #[test]
    fn the_templates_are_sound() {
        for template in [WAITING, WALKING, READING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_stream_shows_its_name_then_how_far_it_has_come() {
        let terminal = Terminal::default();
        let mut stream = terminal.progress().stream("yandex-mail");
        assert!(drawn(&terminal, &stream).contains("yandex-mail"));
        stream.begin(day());
        stream.advance("2025-06-09T06:00:00Z".parse().unwrap(), 100);
        stream.advance("2025-06-09T12:00:00Z".parse().unwrap(), 150);
        let shown = drawn(&terminal, &stream);
        assert!(shown.contains(" 50% 2025-06-09 12:00 250 records"), "{shown}");
    }

    #[test]
    fn a_stream_shows_its_rate_and_the_time_left() {
        let terminal = Terminal::default();
        let mut stream = terminal.progress().stream("yandex-mail");
        stream.begin(day());
        stream.bar = stream.bar.clone().with_elapsed(Duration::from_secs(100));
        stream.advance("2025-06-09T06:00:00Z".parse().unwrap(), 5_000);
        let shown = drawn(&terminal, &stream);
        assert!(shown.contains(" 25% 2025-06-09 06:00 5000 records, 50/s, "), "{shown}");
        assert!(shown.contains(" left"), "{shown}");
    }

    #[test]
    fn what_is_read_shows_bytes_rate_and_time_left() {
        let terminal = Terminal::default();
        let reading = terminal.progress().reading("verify", 8 << 20);
        let mut file = reading.file(4 << 20, false);
        file.advance(2 << 20);
        terminal.take();
        reading.bar.force_draw();
        let shown = terminal.take();
        assert!(
            shown.contains("verify [") && shown.contains(" 25% 2.00 MiB of 8.00 MiB, "),
            "{shown}"
        );
        assert!(shown.contains("iB/s, ") && shown.contains(" left"), "{shown}");
        drop(file);
        drop(reading);
        assert!(!terminal.take().ends_with("verify"));
    }

    #[test]
    fn what_the_runs_under_way_have_appended_is_told_also_where_nothing_is_drawn() {
        let progress = Progress::hidden();
        let (mut tfc, mut port) = (progress.stream("tfc"), progress.stream("port"));
        tfc.begin(day());
        tfc.advance(day().to, 100);
        tfc.advance(day().to, 11);
        port.advance(day().to, 5);
        assert_eq!(progress.clone().appended(), BTreeMap::from([("port", 5), ("tfc", 111)]));
        tfc.finish();
        assert_eq!(progress.appended(), BTreeMap::from([("port", 5), ("tfc", 0)]));
    }

    #[test]
    fn a_time_outside_the_window_stays_within_the_line() {
        let terminal = Terminal::default();
        let mut stream = terminal.progress().stream("tfc");
        stream.begin(day());
        stream.advance("2025-06-01T00:00:00Z".parse().unwrap(), 1);
        assert!(drawn(&terminal, &stream).contains("  0% "));
        stream.advance("2025-07-01T00:00:00Z".parse().unwrap(), 1);
        assert!(drawn(&terminal, &stream).contains("100% "));
    }

    #[test]
    fn an_empty_window_is_no_trouble() {
        let terminal = Terminal::default();
        let mut stream = terminal.progress().stream("port");
        let now = day().from;
        stream.begin(Window { from: now, to: now });
        stream.advance(now, 0);
        assert!(drawn(&terminal, &stream).contains("0 records"));
    }

    #[test]
    fn a_log_line_stands_whole_above_the_progress() {
        let terminal = Terminal::default();
        let progress = terminal.progress();
        let stream = progress.stream("port");
        drawn(&terminal, &stream);
        progress.write_lines("2023-10-01 12:00:00.123 INFO:\tfirst\n").unwrap();
        let written = terminal.take();
        let (line, after) = written.split_once("INFO:").unwrap();
        assert!(line.contains("<clear>"), "{written}");
        assert!(after.contains("first") && after.contains("port"), "{written}");
        assert!(after.find("first") < after.find("port"), "{written}");
    }

    #[test]
    fn tabs_become_the_spaces_that_a_terminal_shows() {
        let line = "2023-10-01 12:00:00.123 INFO:\tone\n\ttwo\n12345678\tthree";
        let expected = "2023-10-01 12:00:00.123 INFO:   one\n        two\n12345678        three";
        assert_eq!(expand_tabs(line), expected);
    }

    #[test]
    fn a_line_with_a_tab_fills_the_terminal_exactly() {
        let terminal = Terminal::default();
        let progress = terminal.progress();
        let stream = progress.stream("port");
        drawn(&terminal, &stream);
        progress.write_lines("2023-10-01 12:00:00.123 INFO:\tfirst\n").unwrap();
        let written = terminal.take();
        let line = &written[written.find("2023").unwrap()..];
        // The spinner of the progress line, a braille pattern, comes next.
        let filled: String = line
            .chars()
            .take_while(|c| !matches!(c, '\u{2800}'..='\u{28ff}' | '\n'))
            .collect();
        assert!(!filled.contains('\t') && filled.chars().count() == 80, "{written}");
    }

    #[test]
    fn a_finished_stream_leaves_nothing_behind() {
        let terminal = Terminal::default();
        let progress = terminal.progress();
        let stream = progress.stream("port");
        drawn(&terminal, &stream);
        stream.finish();
        terminal.take();
        progress.write_lines("after\n").unwrap();
        assert!(!terminal.take().contains("port"));
    }

    #[test]
    fn a_terminal_that_has_gone_away_is_an_error_and_no_panic() {
        let progress = Terminal {
            gone: true,
            ..Terminal::default()
        }
        .progress();
        let mut stream = progress.stream("port");
        stream.begin(day());
        assert!(progress.write_lines("lost\n").is_err());
        stream.advance(day().to, 1);
        stream.finish();
        assert!(progress.write_lines("lost\n").is_err());
    }

    #[test]
    fn a_line_that_nobody_sees_leaves_nothing_behind() {
        let progress = Progress::hidden();
        let _first = progress.stream("port");
        let size = || {
            (0..100).for_each(|_| drop(progress.stream("tfc")));
            format!("{progress:?}").len()
        };
        assert_eq!(size(), size());
    }

    #[test]
    fn hidden_progress_takes_every_call() {
        let progress = Progress::hidden();
        let mut stream = progress.stream("port");
        stream.begin(day());
        stream.advance(day().to, 1);
        stream.finish();
    }
}
