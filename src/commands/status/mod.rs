//! `trailkeeper status`: the status of the streams, from the archive alone. It asks no service and needs no token.
//!
//! `docs/json.md` has the form of `--json`.
//!
//! Exit codes, but for those of [`nagios`]: 0; 3 if an archive cannot be read, and with `--max-age` if a stream is late, its
//! last run did not succeed, or day files have lost records; 1 if the settings are wrong.
//!
//! Lines are counted once for each day file; the counts are stored beside it if the state folder is writable.

mod calendar;
pub(super) mod nagios;
mod stream_status;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;

use super::archives::Archives;
use super::arguments::age::Age;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_streams, print_text};
use crate::config::StreamPlace;
use crate::forward::Lag;
use crate::output::table::{Cell, Colour, Table, age, left, right, size, to_the_second};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use calendar::DayRecords;
use stream_status::{State, StreamStatus};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Exit with 3 if the last record is older than this (90s, 15m, 36h, 7d, 2w), or the last run failed
    #[arg(long, allow_hyphen_values = true, value_name = "AGE")]
    pub(crate) max_age: Option<Age>,

    /// Print one line and exit as a monitoring plugin does: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    ///
    /// CRITICAL is a stream that is older than --max-age, whose last run failed, whose day files have lost records, or
    /// whose archive cannot be read; WARNING anything else that is wrong; UNKNOWN wrong settings and wrong usage. Figures
    /// stand behind a bar.
    #[arg(long, conflicts_with = "json")]
    pub(crate) nagios: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper status
  trailkeeper status --max-age 2h -q                  as a check: exits with 3 when a stream is late, and says which
  trailkeeper status --max-age 2h --nagios            as a plugin of Nagios, Icinga and others
  trailkeeper status --stream tfc --json

Only the folders of the streams must be set; no token is needed, and no service is asked.";

/// Shows the status of the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let streams = read(&archives, arguments, clock());
    let exit = exit(arguments, &streams);
    for stream in &streams {
        log_problems(selection.verbosity, stream.stream, stream.all_problems());
    }
    if selection.json {
        print_streams(&streams, exit)?;
    } else {
        let with_colours = stdout_takes_colours(archives.env.allows_colours());
        print_text(selection.verbosity, || text(&streams, with_colours))?;
    }
    Ok(exit)
}

fn exit(arguments: &Arguments, streams: &[StreamStatus]) -> Exit {
    let is_alarming = arguments.max_age.is_some() && streams.iter().any(StreamStatus::is_alarming);
    if is_alarming || streams.iter().any(|stream| !stream.is_read) {
        Exit::StreamFailed
    } else {
        Exit::Complete
    }
}

fn read(archives: &Archives, arguments: &Arguments, now: DateTime<Utc>) -> Vec<StreamStatus> {
    let max_age = arguments.max_age.map(|age| age.0);
    let streams = archives.streams.iter();
    let read = |stream: &StreamPlace| {
        let read = StreamStatus::read(stream, archives.scope_of(stream.kind), max_age, now);
        read.unwrap_or_else(|error| StreamStatus::unreadable(stream, &error))
    };
    streams.map(read).collect()
}

fn text(streams: &[StreamStatus], with_colours: bool) -> String {
    let (newness, day_files) = (newness(streams, with_colours), day_files(streams));
    let (forwarders, notes) = (forwarders(streams, with_colours), notes(streams));
    format!("{newness}\n{day_files}{forwarders}{notes}")
}

/// Returns the table of records and their age.
fn newness(streams: &[StreamStatus], with_colours: bool) -> Table<8> {
    let mut table = Table::new([
        left("STREAM"),
        left("STATE"),
        left("LAST RECORD"),
        right("AGE"),
        left("LAST COMPLETE RUN"),
        right("TODAY"),
        right("RECORDS"),
        right("REJECTED"),
    ])
    .with_colours(with_colours);
    streams.iter().for_each(|stream| table.row(newness_row(stream)));
    table
}

fn day_files(streams: &[StreamStatus]) -> Table<8> {
    let mut table = Table::new([
        left("STREAM"),
        left("FROM"),
        left("TO"),
        right("FILES"),
        right("EMPTY"),
        right("TODAY"),
        right("SIZE"),
        left("LAST 30 DAYS"),
    ]);
    streams.iter().for_each(|stream| table.row(day_files_row(stream)));
    table
}

/// Returns the problems of each stream, what it rejected and saw revised, and the run in progress.
fn notes(streams: &[StreamStatus]) -> String {
    let mut notes = String::new();
    for stream in streams {
        let name = stream.stream;
        for problem in &stream.problems {
            notes.push_str(&format!("{name}: {problem}\n"));
        }
        for remark in &stream.remarks {
            notes.push_str(&format!("{name}: {remark}\n"));
        }
        if stream.rejected > 0 {
            let by_last_run = stream.last_run.as_ref().map_or(0, |run| run.rejected);
            let noted = stream.rejected;
            notes.push_str(&format!(
                "{name}: {by_last_run} rejected by the last run, {noted} in the rejected file with their reasons\n"
            ));
        }
        if stream.revised > 0 {
            let revised = stream.revised;
            notes.push_str(&format!(
                "{name}: {revised} archived events seen again with other fields, in the revised file\n"
            ));
        }
        if let Some(run) = stream.running {
            let (since, pid) = (to_the_second(run.since), run.pid);
            notes.push_str(&format!("{name}: a run is in progress since {since} (process {pid})\n"));
        }
    }
    notes
}

/// Returns the table of forwarders; empty if there are none.
fn forwarders(streams: &[StreamStatus], with_colours: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("FORWARDER"),
        left("FORWARDED UP TO"),
        right("WAITING"),
        right("OLDEST"),
    ])
    .with_colours(with_colours);
    let mut problems = String::new();
    for stream in streams {
        for lag in &stream.forwarders {
            table.row(forwarder(stream.stream, lag));
            if let Some(problem) = &lag.problem {
                problems.push_str(&format!("{}, {}: {problem}\n", stream.stream, lag.sink));
            }
        }
    }
    if table.is_empty() {
        String::new()
    } else {
        format!("\n{table}{problems}")
    }
}

fn forwarder(stream: &'static str, lag: &Lag) -> [Cell; 5] {
    let oldest = lag
        .oldest_waiting_seconds
        .map(|seconds| age(TimeDelta::seconds(seconds)));
    let waiting = match lag.waiting {
        0 => Cell::from("0"),
        waiting => Cell::coloured(waiting.to_string(), Colour::Yellow),
    };
    [
        stream.into(),
        lag.sink.into(),
        lag.up_to.map_or_else(|| "nothing yet".to_owned(), to_the_second).into(),
        waiting,
        oldest.unwrap_or_default().into(),
    ]
}

fn newness_row(stream: &StreamStatus) -> [Cell; 8] {
    let time = |time: Option<DateTime<Utc>>| Cell::from(time.map_or_else(|| "none".to_owned(), to_the_second));
    let age = stream.age_seconds.map(|seconds| age(TimeDelta::seconds(seconds)));
    [
        stream.stream.into(),
        state(stream.state),
        time(stream.last_record),
        age.unwrap_or_default().into(),
        time(stream.last_complete),
        stream.records.today.to_string().into(),
        // More than that, where not all are counted.
        format!(
            "{}{}",
            stream.records.all,
            if stream.not_counted.is_empty() { "" } else { "+" }
        )
        .into(),
        stream.rejected.to_string().into(),
    ]
}

fn state(state: State) -> Cell {
    match state {
        State::Ok => Cell::coloured("ok", Colour::Green),
        State::New => Cell::coloured("new", Colour::Yellow),
        State::Late => Cell::coloured("late", Colour::Red),
        State::Failed => Cell::coloured("failed", Colour::Red),
    }
}

fn day_files_row(stream: &StreamStatus) -> [String; 8] {
    let day = |day: Option<NaiveDate>| day.map_or_else(|| "none".to_owned(), |day| day.to_string());
    [
        stream.stream.to_owned(),
        day(stream.first_day),
        day(stream.last_day),
        stream.files.to_string(),
        stream.days_without_records.len().to_string(),
        size(stream.bytes.today),
        size(stream.bytes.all),
        bar(&stream.days),
    ]
}

/// Eighths of a character's height.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws one character for each day, its height relative to the busiest day; a dot for a day without records, and a question
/// mark for one that is not all counted.
fn bar(days: &[DayRecords]) -> String {
    let most = days.iter().filter_map(|day| day.records).max().unwrap_or(0);
    let block = |day: &DayRecords| match day.records {
        None => '?',
        Some(0) => '·',
        Some(records) => BLOCKS[eighth(records, most)],
    };
    days.iter().map(block).collect()
}

/// Returns from 0 for the least to 7 for `most`.
fn eighth(records: u64, most: u64) -> usize {
    let share = records as f64 / most as f64;
    ((share * 8.0).ceil() as usize).clamp(1, 8) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(records: &[u64]) -> Vec<DayRecords> {
        let first: NaiveDate = "2026-11-01".parse().unwrap();
        let dates = first.iter_days().zip(records);
        dates
            .map(|(date, records)| DayRecords {
                date,
                records: Some(*records),
            })
            .collect()
    }

    #[test]
    fn a_day_is_as_high_as_its_share_of_the_busiest_day() {
        assert_eq!(bar(&days(&[0, 1, 100, 400, 401, 800, 799])), "·▁▁▄▅██");
        assert_eq!(bar(&days(&[0, 0])), "··");
        assert_eq!(bar(&days(&[1, u64::MAX])), "▁█");
        let unknown = DayRecords {
            records: None,
            ..days(&[0])[0]
        };
        assert_eq!(bar(&[unknown]), "?");
    }

    #[test]
    fn both_tables_fit_a_hundred_columns() {
        let time = Some("2026-11-20T12:00:00Z".parse().unwrap());
        let day: NaiveDate = "2026-11-20".parse().unwrap();
        let amount = calendar::Amount {
            today: 9_999_999,
            all: 999_999_999,
        };
        let status = StreamStatus {
            stream: "yandex-mail",
            folder: "/var/log/mail".into(),
            state: State::Failed,
            problems: Vec::new(),
            remarks: Vec::new(),
            last_record: time,
            age_seconds: Some(86_400 * 99),
            last_complete: time,
            last_run: None,
            running: None,
            records: amount,
            bytes: amount,
            first_day: Some(day),
            last_day: Some(day),
            files: 9_999,
            days_without_records: vec![day; 999],
            not_counted: vec![day],
            rejected: 9_999_999,
            revised: 0,
            repaired: 0,
            pending: 0,
            days: days(&[1; 30]),
            forwarders: vec![Lag {
                sink: "kafka",
                up_to: time,
                waiting: 999_999_999,
                oldest_waiting_seconds: Some(86_400 * 999),
                ..Lag::default()
            }],
            has_losses: false,
            is_read: true,
        };
        let text = text(&[status], false);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?}\n{text}");
    }
}
