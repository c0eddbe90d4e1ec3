//! The status for people: one table of all streams in 80 columns, ages first; with `-v` tables of day files and forwarders;
//! below them what is to be known.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::calendar::DayRecords;
use super::stream_status::{State, StreamStatus};
use crate::forward::Lag;
use crate::output::logging::Verbosity;
use crate::output::table::{Cell, Colour, Table, age, left, right, size, to_the_second};

/// How many days the bar of the first table shows.
const WEEK: usize = 7;

/// Whether the tables of day files and forwarders are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Details {
    Shown,
    LeftOut,
}

impl Details {
    pub(super) fn of(verbosity: Verbosity) -> Self {
        if verbosity.verbose { Self::Shown } else { Self::LeftOut }
    }
}

/// Returns all that is shown.
pub(super) fn text(streams: &[StreamStatus], details: Details, with_colours: bool, now: DateTime<Utc>) -> String {
    let mut text = overview(streams, with_colours, now).to_string();
    if details == Details::Shown {
        text.push_str(&format!("\n{}", day_files(streams)));
        text.push_str(&forwarders(streams, with_colours));
    }
    text + &notes(streams)
}

/// Returns the table of all streams: how old everything is, and how much there is.
fn overview(streams: &[StreamStatus], with_colours: bool, now: DateTime<Utc>) -> Table<7> {
    let mut table = Table::new([
        left("STREAM"),
        left("STATE"),
        left("LAST RECORD"),
        right("RUN"),
        right("LAG"),
        right("RECORDS"),
        left("7 DAYS"),
    ])
    .with_colours(with_colours);
    streams.iter().for_each(|stream| table.row(overview_row(stream, now)));
    table
}

fn overview_row(stream: &StreamStatus, now: DateTime<Utc>) -> [Cell; 7] {
    let run = stream.last_complete.map(|complete| age(now - complete));
    let week = &stream.days[stream.days.len().saturating_sub(WEEK)..];
    [
        stream.stream.into(),
        state(stream.state),
        last_record(stream).into(),
        run.unwrap_or_else(|| "none".to_owned()).into(),
        lag(&stream.forwarders),
        records(stream).into(),
        bar(week).into(),
    ]
}

/// Returns the age of the last record, then its time.
fn last_record(stream: &StreamStatus) -> String {
    match (stream.age_seconds, stream.last_record) {
        (Some(seconds), Some(time)) => format!("{:>4} {}", age(TimeDelta::seconds(seconds)), to_the_second(time)),
        _ => "none".to_owned(),
    }
}

/// Returns how many records there are, and more than that, where not all are counted.
fn records(stream: &StreamStatus) -> String {
    let more = if stream.not_counted.is_empty() { "" } else { "+" };
    format!("{}{more}", stream.records.all)
}

/// Returns for how long the oldest line waits, of all forwarders; `?` if that is not known.
fn lag(forwarders: &[Lag]) -> Cell {
    if forwarders.is_empty() {
        return "-".into();
    }
    if forwarders.iter().any(|lag| lag.problem.is_some()) {
        return Cell::coloured("?", Colour::Red);
    }
    let oldest = forwarders.iter().filter_map(|lag| lag.oldest_waiting_seconds).max();
    match oldest {
        Some(seconds) => Cell::coloured(age(TimeDelta::seconds(seconds)), Colour::Yellow),
        None => "0s".into(),
    }
}

fn state(state: State) -> Cell {
    match state {
        State::Ok => Cell::coloured("ok", Colour::Green),
        State::New => Cell::coloured("new", Colour::Yellow),
        State::Late => Cell::coloured("late", Colour::Red),
        State::Failed => Cell::coloured("failed", Colour::Red),
    }
}

fn day_files(streams: &[StreamStatus]) -> Table<6> {
    let mut table = Table::new([
        left("STREAM"),
        left("SINCE"),
        right("FILES"),
        right("EMPTY"),
        right("SIZE"),
        left("LAST 30 DAYS"),
    ]);
    streams.iter().for_each(|stream| table.row(day_files_row(stream)));
    table
}

fn day_files_row(stream: &StreamStatus) -> [String; 6] {
    let day = |day: Option<NaiveDate>| day.map_or_else(|| "none".to_owned(), |day| day.to_string());
    [
        stream.stream.to_owned(),
        day(stream.first_day),
        stream.files.to_string(),
        stream.days_without_records.len().to_string(),
        size(stream.bytes.all),
        bar(&stream.days),
    ]
}

/// Returns the table of forwarders; empty if there are none.
fn forwarders(streams: &[StreamStatus], with_colours: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("FORWARDER"),
        right("OLDEST"),
        right("WAITING"),
        left("FORWARDED UP TO"),
    ])
    .with_colours(with_colours);
    for stream in streams {
        for lag in &stream.forwarders {
            table.row(forwarder(stream.stream, lag));
        }
    }
    if table.is_empty() {
        String::new()
    } else {
        format!("\n{table}")
    }
}

fn forwarder(stream: &'static str, lag: &Lag) -> [Cell; 5] {
    let oldest = lag
        .oldest_waiting_seconds
        .map(|seconds| age(TimeDelta::seconds(seconds)));
    let waiting = match lag.waiting {
        None => Cell::coloured("?", Colour::Red),
        Some(0) => Cell::from("0"),
        Some(waiting) => Cell::coloured(waiting.to_string(), Colour::Yellow),
    };
    [
        stream.into(),
        lag.sink.into(),
        oldest.unwrap_or_default().into(),
        waiting,
        lag.up_to.map_or_else(|| "nothing yet".to_owned(), to_the_second).into(),
    ]
}

/// Returns the problems of each stream, what it rejected and saw revised, and the run in progress.
fn notes(streams: &[StreamStatus]) -> String {
    let lines = streams.iter().flat_map(|stream| {
        let notes = notes_of(stream).into_iter();
        notes.map(|note| format!("{}: {note}\n", stream.stream))
    });
    lines.collect()
}

fn notes_of(stream: &StreamStatus) -> Vec<String> {
    let mut notes: Vec<String> = stream.all_problems().collect();
    notes.extend(stream.remarks.iter().cloned());
    let waits = |lag: &Lag| Some((lag.waiting.filter(|waiting| *waiting > 0)?, lag.sink));
    for (waiting, sink) in stream.forwarders.iter().filter_map(waits) {
        notes.push(format!("{waiting} lines wait for {sink}"));
    }
    if stream.rejected > 0 {
        let by_last_run = stream.last_run.as_ref().map_or(0, |run| run.rejected);
        let noted = stream.rejected;
        notes.push(format!(
            "{by_last_run} rejected by the last run, {noted} in the rejected file with their reasons"
        ));
    }
    if stream.revised > 0 {
        let revised = stream.revised;
        notes.push(format!(
            "{revised} archived events seen again with other fields, in the revised file"
        ));
    }
    if let Some(run) = stream.running {
        let (since, pid) = (to_the_second(run.since), run.pid);
        notes.push(format!("a run is in progress since {since} (process {pid})"));
    }
    notes
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
    use super::super::calendar::Amount;
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
    fn all_tables_fit_80_columns() {
        let time = Some("2026-11-20T12:00:00Z".parse().unwrap());
        let day: NaiveDate = "2026-11-20".parse().unwrap();
        let amount = Amount {
            today: 9_999_999,
            all: 999_999_999,
        };
        let status = StreamStatus {
            stream: "yandex-audit",
            folder: "/var/log/mail".into(),
            state: State::Failed,
            problems: Vec::new(),
            remarks: Vec::new(),
            last_record: time,
            age_seconds: Some(86_400 * 99),
            silence: None,
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
            pending: 0,
            repaired: 0,
            days: days(&[1; 30]),
            held: Vec::new(),
            forwarders: vec![Lag {
                sink: "kafka",
                up_to: time,
                waiting: Some(999_999_999),
                oldest_waiting_seconds: Some(86_400 * 999),
                ..Lag::default()
            }],
            has_losses: false,
            is_read: true,
        };
        let now = "2027-11-20T12:00:00Z".parse().unwrap();
        let text = text(&[status], Details::Shown, false, now);
        let tables: Vec<_> = text.lines().filter(|line| !line.contains(": ")).collect();
        assert_eq!(tables.len(), 3 * 2 + 2, "{text}");
        let widest = tables.iter().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}\n{text}");
        let row = tables[1].split_whitespace().take(6);
        let expected = ["yandex-audit", "failed", "99d", "2026-11-20T12:00:00Z", "365d", "999d"];
        assert_eq!(row.collect::<Vec<_>>(), expected, "ages come first");
    }
}
