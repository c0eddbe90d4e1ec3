//! The judge: what must hold, whatever the service is like.
//!
//! Every record that an answer held is in the day files, or in the rejected or pending file, whatever the runs came to.
//!
//! After the runs of a patient reader every record that the service would give is in the day files once, or in the
//! rejected file, or the last run has said that it failed; of records that no request gets, a warning is enough. No run is a storm of requests. An ordinary service is read
//! completely, at once, without a warning, and with no more requests than it takes.
//!
//! Where the same request always has the same answer, the first run that says that it is complete is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::case::Case;
use super::cost;
use super::feed::{Moment, Record};
use super::runs::{NO_END, Reader, Reading, now};
use super::service::Model;

/// Of how many missing records is found out whether a patient reader gets them.
const MOST_MISSING: usize = 100;

/// What came of a case, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Every record is there once.
    Right,
    /// The last run said that it failed.
    SaidToFail,
    /// A record that changed was filed as it was and as it became.
    TwoVersions,
    /// An ordinary service: there was a warning.
    Noisy,
    /// An ordinary service: there were more requests than it takes.
    Dear,
    /// More requests than anything explains, or no end of them.
    Storm,
    /// The last run said that it was complete, and a record is missing or there twice.
    Silent,
    /// A record that was given is kept nowhere, whatever the runs said.
    Forgotten,
}

/// A verdict and its reasons.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<String>,
}

/// Reads the service of a case and judges what came of it.
pub(crate) fn try_case(reader: &Reader, case: &Case) -> Judgement {
    let now = "2025-06-10T09:40:00.250Z".parse().unwrap();
    let model = Arc::new(case.model(now, |_| {}));
    let reading = reader.read(case, &model);
    judge(case, &model, &reading)
}

/// Judges what was read.
pub(crate) fn judge(case: &Case, model: &Model, reading: &Reading) -> Judgement {
    let mut found: BTreeMap<Verdict, Vec<String>> = BTreeMap::new();
    let mut add = |verdict, reason: String| found.entry(verdict).or_default().push(reason);
    for (index, outcome) in reading.outcomes.iter().enumerate() {
        let run = index + 1;
        if let Some(error) = &outcome.error {
            let is_last = run == reading.outcomes.len();
            let verdict = if error == NO_END {
                Verdict::Storm
            } else if is_last || case.oddities.is_empty() {
                Verdict::SaidToFail
            } else {
                Verdict::Right
            };
            add(verdict, format!("run {run} said: {error}"));
        }
        if case.oddities.is_empty() && !outcome.warnings.is_empty() {
            add(Verdict::Noisy, format!("run {run} warned: {:?}", outcome.warnings));
        }
    }
    for (verdict, reason) in too_many_requests(case, model, reading) {
        add(verdict, reason);
    }
    let is_told = reading.outcomes.last().is_some_and(|outcome| outcome.error.is_some());
    let missing = missing(model, reading);
    if !missing.is_empty() {
        let verdict = if is_told { Verdict::SaidToFail } else { Verdict::Silent };
        let due = model.service.records.iter().filter(|record| record.is_due).count();
        add(
            verdict,
            format!(
                "{}{} of {due} records are missing: {}",
                if missing.len() == MOST_MISSING { "at least " } else { "" },
                missing.len(),
                listed(&missing)
            ),
        );
    }
    let unread = not_read_at_first(case, model, reading);
    if !unread.is_empty() {
        let reason = format!(
            "run 1 said nothing, and lacks {} records: {}",
            unread.len(),
            listed(&unread)
        );
        add(Verdict::Silent, reason);
    }
    let forgotten = forgotten(case, model, reading);
    if !forgotten.is_empty() {
        let reason = format!(
            "{} records were given and are kept nowhere: {}",
            forgotten.len(),
            listed(&forgotten)
        );
        add(Verdict::Forgotten, reason);
    }
    for (verdict, reason) in repeated(reading) {
        add(verdict, reason);
    }
    let verdict = found.keys().next_back().copied().unwrap_or(Verdict::Right);
    let reasons = found.into_values().flatten().collect();
    Judgement { verdict, reasons }
}

/// The runs that asked too often.
fn too_many_requests(case: &Case, model: &Model, reading: &Reading) -> Vec<(Verdict, String)> {
    let mut found = Vec::new();
    for (index, asking) in reading.askings.iter().enumerate() {
        let (run, requests) = (index + 1, asking.requests);
        let need = cost::need(case, &model.service, asking);
        let reason = |most: usize| format!("run {run} asked {requests} times, {most} are enough for {need:?}");
        let most = cost::bound(need, asking, reading.spans);
        if requests > most {
            found.push((Verdict::Storm, reason(most)));
        }
        let most = cost::ordinary_bound(case, need, index == 0);
        if case.oddities.is_empty() && requests > most {
            found.push((Verdict::Dear, reason(most)));
        }
    }
    found
}

/// The records that are nowhere although a patient reader gets them, or could tell from the answers that there are more.
fn missing<'a>(model: &'a Model, reading: &Reading) -> Vec<&'a Record> {
    let is_there = |record: &Record| {
        let in_rejected = || reading.rejected.contains(&record.number);
        reading.filed.contains_key(&record.number) || in_rejected()
    };
    let last_now = reading.last_now.timestamp_millis();
    let due = || model.service.records.iter().filter(|record| record.is_due);
    let oldest = due().map(|record| record.filed_at).min();
    let is_warned = reading.outcomes.iter().any(|outcome| !outcome.warnings.is_empty());
    // An answer that ends within a moment although there are older records was cut there, which is to be told.
    let is_shown = |record: &Record| !is_warned && oldest < Some(record.filed_at);
    let missing = due().filter(|record| record.shown_at <= last_now && !is_there(record));
    let missing = missing.take(MOST_MISSING);
    missing
        .filter(|record| is_shown(record) || model.gives(record))
        .collect()
}

/// The records that the first run lacks although it said that it was complete, of a service that does nothing by chance.
fn not_read_at_first<'a>(case: &Case, model: &'a Model, reading: &Reading) -> Vec<&'a Record> {
    let first = &reading.outcomes[0];
    if !case.is_steady() || first.error.is_some() || !first.warnings.is_empty() {
        return Vec::new();
    }
    let records = model.service.records.iter();
    let due = records.filter(|record| record.is_due && record.comes == Moment::START);
    due.filter(|record| !reading.of_first.contains(&record.number) && model.gives(record))
        .collect()
}

/// The records that a run was given, were not newer than that, and are kept nowhere.
fn forgotten<'a>(case: &Case, model: &'a Model, reading: &Reading) -> Vec<&'a Record> {
    let is_kept = |number: &usize| {
        reading.filed.contains_key(number) || reading.rejected.contains(number) || reading.pending.contains(number)
    };
    let given = model.given();
    let mut lost = given.iter().filter(|(number, _)| !is_kept(number)).peekable();
    if lost.peek().is_none() {
        return Vec::new();
    }
    let records = model.service.records.iter();
    let by_number: BTreeMap<usize, &Record> = records.map(|record| (record.number, record)).collect();
    let lost = lost.map(|(number, run)| (by_number[number], now(case, model, *run).timestamp_millis()));
    lost.filter(|(record, now)| record.shown_at <= *now)
        .map(|(record, _)| record)
        .collect()
}

fn repeated(reading: &Reading) -> Vec<(Verdict, String)> {
    let mut found = Vec::new();
    for (number, lines) in &reading.filed {
        let mut distinct = lines.clone();
        distinct.sort();
        distinct.dedup();
        if distinct.len() < lines.len() {
            found.push((
                Verdict::Silent,
                format!("record {number} was filed {} times", lines.len()),
            ));
        } else if lines.len() > 1 {
            found.push((
                Verdict::TwoVersions,
                format!("record {number} was filed in {} versions", lines.len()),
            ));
        }
    }
    found.truncate(3);
    found
}

/// The first few records, by number and time.
fn listed(records: &[&Record]) -> String {
    let shown = records.iter().take(4).map(|record| {
        let time = chrono::DateTime::from_timestamp_millis(record.shown_at).unwrap();
        format!("{} of {}", record.number, time.format("%F %T%.3f"))
    });
    let more = if records.len() > 4 { ", …" } else { "" };
    shown.collect::<Vec<_>>().join(", ") + more
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Right => "right",
            Verdict::SaidToFail => "said to fail",
            Verdict::TwoVersions => "two versions of one event",
            Verdict::Noisy => "a warning without need",
            Verdict::Dear => "more requests than needed",
            Verdict::Storm => "STORM",
            Verdict::Silent => "SILENT (lost, or twice)",
            Verdict::Forgotten => "FORGOTTEN (given, and kept nowhere)",
        })
    }
}
