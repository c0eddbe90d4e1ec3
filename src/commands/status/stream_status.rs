//! The status of a stream, from its archive alone: what it holds, how old it is, how its last run ended, how far it is
//! forwarded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use super::calendar::{Amount, Calendar, DayRecords};
use crate::archive::{Archive, Hold, Hours, Location, Lock, Noted, unfinished_restoring};
use crate::config::StreamPlace;
use crate::coverage::{
    End, Entry, Fed, Gap, Journal, Liveness, LostDay, Running, Scope, ShownSilence, Silence, Standing, Wanted,
    gone_sentence,
};
use crate::forward::lag::{Lag, lags};
use crate::fs::FileError;
use crate::output::table::{self, rfc3339};
use crate::source::Kind;

/// The status of a stream. The fields are those of `trailkeeper status --json`; `docs/json.md` says what they are.
#[derive(Debug, Default, Serialize)]
pub(super) struct StreamStatus {
    pub(super) stream: &'static str,
    pub(super) folder: PathBuf,
    pub(super) state: State,
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
    pub(super) last_record: Option<DateTime<Utc>>,
    pub(super) age_seconds: Option<i64>,
    pub(super) silence: Option<ShownSilence>,
    pub(super) last_complete: Option<DateTime<Utc>>,
    pub(super) last_run: Option<LastRun>,
    pub(super) running: Option<Running>,
    pub(super) records: Amount,
    pub(super) bytes: Amount,
    pub(super) first_day: Option<NaiveDate>,
    pub(super) last_day: Option<NaiveDate>,
    pub(super) files: u64,
    pub(super) days_without_records: Vec<NaiveDate>,
    pub(super) not_counted: Vec<NaiveDate>,
    pub(super) rejected: u64,
    pub(super) revised: u64,
    pub(super) repaired: u64,
    pub(super) pending: u64,
    pub(super) days: Vec<DayRecords>,
    pub(super) held: Vec<Hold>,
    pub(super) forwarders: Vec<Lag>,
    #[serde(skip)]
    pub(super) has_losses: bool,
    /// Whether the archive could be read.
    #[serde(skip)]
    pub(super) is_read: bool,
}

/// The status in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Its last run succeeded.
    #[default]
    Ok,
    /// No run has written a journal yet.
    New,
    /// Its last record is older than allowed.
    Late,
    /// Its last run failed, or was killed, or the archive cannot be read, or is not restored as a whole.
    Failed,
}

/// How the last run ended; the fields are those of the journal.
#[derive(Debug, Serialize)]
pub(super) struct LastRun {
    pub(super) at: DateTime<Utc>,
    pub(super) seconds: f64,
    pub(super) end: End,
    pub(super) from: Option<DateTime<Utc>>,
    pub(super) to: Option<DateTime<Utc>>,
    pub(super) error: Option<String>,
    pub(super) requests: u64,
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) appended: u64,
    pub(super) rejected: u64,
    pub(super) revised: u64,
    pub(super) repaired: u64,
}

impl StreamStatus {
    /// Reads the status of a stream at the time `now`. A last record older than `max_age` makes it late. `scope` is that of the
    /// settings, if they name one.
    ///
    /// # Errors
    /// The folder, a day file or a state file cannot be read.
    pub(super) fn read(
        place: &StreamPlace,
        scope: Option<Scope>,
        max_age: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Self, FileError> {
        let StreamPlace {
            kind, location, keep, ..
        } = place;
        let mut standing = Standing::read(location, Wanted::Stream(kind.name), *keep, now)?;
        let noted = Noted::rejected(location)?;
        let takeover = standing.takeover(location, now)?;
        let days = Calendar::new(location, &mut standing, &noted).with_misplaced(takeover.as_ref());
        standing.store_counts();
        let last_record = Archive::last_record(location, kind.shape, now, takeover)?;
        let liveness = Liveness::of(Lock::last_holder(location), standing.newest.as_ref());
        let gone = standing.gone(location, *keep, now);
        let ended = last_ended(location, &standing, &liveness)?;
        let unfinished = unfinished_restoring(location)?;
        let mut problems = problems(kind, &standing, ended.as_ref(), (&liveness, Fed::advice(location)), now);
        let gone = gone.map(|gone| gone.to_string());
        // The last run may have said the same.
        let is_said = |gone: &String| problems.iter().any(|problem| problem.ends_with(gone.as_str()));
        let gone = gone.filter(|gone| !is_said(gone));
        problems.extend(gone);
        let unknown = days.unknown.iter();
        problems.extend(unknown.map(|(date, why)| format!("{date}: its records are not all counted: {why}")));
        let change = scope.and_then(|scope| standing.change_to(&scope));
        let remarks = change.into_iter().chain(standing.remarks()).collect();
        let has_losses = !standing.sum.lost.is_empty();
        let held = standing.held();
        let files = standing.listing.files().count() as u64;
        let pending = standing.pending;
        let newest = standing.newest;
        let age = last_record.map(|last| now - last);
        let lateness = lateness(last_record, max_age, now);
        let asked_at = newest.as_ref().and_then(|entry| entry.sum.last_complete);
        let moments = last_record.zip(asked_at);
        let silence = moments.and_then(|(last, asked_at)| Silence::of(&Hours::read(location), last, asked_at));
        let state = state(ended.as_ref(), &liveness, lateness.is_some());
        let state = unfinished.as_ref().map_or(state, |_| State::Failed);
        problems.extend(unfinished);
        problems.extend(lateness);
        problems.extend(silence.and_then(|silence| silence.sentence()));
        let today = now.date_naive();
        Ok(Self {
            stream: place.name(),
            folder: location.folder().to_owned(),
            state,
            problems,
            remarks,
            last_record,
            age_seconds: age.map(|age| age.num_seconds()),
            silence: silence.map(|silence| silence.shown()),
            last_complete: newest.as_ref().and_then(|entry| entry.sum.last_complete),
            last_run: newest.map(LastRun::from),
            running: liveness.running,
            records: days.records(today),
            bytes: days.bytes(today),
            not_counted: days.unknown.keys().copied().collect(),
            first_day: days.first(),
            last_day: days.last(),
            files,
            days_without_records: days.without_records(today),
            rejected: noted.records(),
            revised: Noted::revised(location)?.records(),
            repaired: days.repaired,
            pending,
            days: days.until(today),
            held,
            forwarders: lags(location, kind.name, kind.shape, now),
            has_losses,
            is_read: true,
        })
    }

    /// Creates that of a stream whose archive cannot be read.
    pub(super) fn unreadable(place: &StreamPlace, error: &FileError) -> Self {
        Self {
            stream: place.name(),
            folder: place.location.folder().to_owned(),
            state: State::Failed,
            problems: vec![error.to_string()],
            ..Self::default()
        }
    }

    /// Returns all that is wrong, with its forwarders too.
    pub(super) fn all_problems(&self) -> impl Iterator<Item = String> {
        let of_forwarders = self.forwarders.iter().filter_map(|lag| {
            let problem = lag.problem.as_ref()?;
            Some(format!("{}: {problem}", lag.sink))
        });
        self.problems.iter().cloned().chain(of_forwarders)
    }

    /// Returns whether an alarm is due: it is late, its last run did not succeed, or day files have lost records.
    pub(super) fn is_alarming(&self) -> bool {
        self.has_losses || matches!(self.state, State::Late | State::Failed)
    }
}

impl From<Entry> for LastRun {
    fn from(entry: Entry) -> Self {
        let window = entry.window();
        Self {
            at: entry.at,
            seconds: entry.seconds,
            end: entry.end,
            from: window.map(|window| window.from),
            to: window.map(|window| window.to),
            error: entry.error,
            requests: entry.requests,
            received: entry.received,
            duplicates: entry.duplicates,
            appended: entry.appended,
            rejected: entry.rejected,
            revised: entry.revised,
            repaired: entry.repaired,
        }
    }
}

/// Returns the last run that is over: while one is under way, it is the one before that, which says how the stream stands.
fn last_ended(location: &Location, standing: &Standing, liveness: &Liveness) -> Result<Option<Entry>, FileError> {
    match &standing.newest {
        Some(newest) if liveness.running.is_some() && newest.end == End::Open => Ok(Journal::of(location)
            .run_before(newest)?
            .or_else(|| Some(newest.clone()))),
        newest => Ok(newest.clone()),
    }
}

fn state(ended: Option<&Entry>, liveness: &Liveness, is_late: bool) -> State {
    let went_wrong = ended.is_some_and(|entry| entry.end == End::Failed);
    if went_wrong || liveness.silent_since.is_some() {
        return State::Failed;
    }
    if is_late {
        return State::Late;
    }
    if ended.is_none() { State::New } else { State::Ok }
}

/// Says that the last record is older than allowed. Without any record the stream counts as late.
fn lateness(last: Option<DateTime<Utc>>, max_age: Option<TimeDelta>, now: DateTime<Utc>) -> Option<String> {
    let most = max_age.filter(|most| last.is_none_or(|last| now - last > *most))?;
    let allowed = table::age(most);
    Some(match last {
        Some(last) => format!(
            "its last record is of {}, and --max-age allows {allowed}",
            rfc3339(last)
        ),
        None => format!("it has no record, and --max-age allows {allowed}"),
    })
}

fn problems(
    kind: &Kind,
    standing: &Standing,
    last_ended: Option<&Entry>,
    (liveness, advice): (&Liveness, &str),
    now: DateTime<Utc>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(since) = liveness.silent_since {
        problems.push(format!(
            "the run of {} has not written how it ended: it was killed, its disk was full, or another run held one of the \
             catalogs; {advice}",
            rfc3339(since)
        ));
    }
    if let Some(run) = last_ended
        && let Some(error) = &run.error
    {
        let at = rfc3339(run.at);
        problems.push(match ended(run.end) {
            Some(ended) => format!("the run of {at} {ended}: {error}"),
            None => format!("the run of {at} was {error}"),
        });
    }
    problems.extend(standing.doubt.clone());
    problems.extend(standing.holds.as_ref().err().cloned());
    let wrong_days = standing.wrong_days(now).into_iter();
    problems.extend(wrong_days.map(|(date, wrong)| format!("{date}: {wrong}")));
    let gaps = standing.sum.gaps(kind.retention, now).into_iter();
    let open = gaps.filter(|gap| !gap.is_gone && gap.to < now);
    problems.extend(open.map(|gap| open_gap(gap, &standing.sum.lost, advice)));
    problems.extend(gone_sentence(&standing.sum.gone_gaps(kind.retention, now)));
    problems
}

/// Says what is to be done about a gap; `lost` are the days that were fetched once.
fn open_gap(gap: Gap, lost: &BTreeMap<NaiveDate, LostDay>, advice: &str) -> String {
    let (from, to, day) = (rfc3339(gap.from), rfc3339(gap.to), gap.gone_at.date_naive());
    let (first, last) = (
        gap.from.date_naive(),
        (gap.to - TimeDelta::milliseconds(1)).date_naive(),
    );
    let days = first.iter_days().take_while(|date| *date <= last).count();
    let lost = lost.range(first..=last.max(first)).count();
    match gap.unproved {
        None if lost == 0 => {
            format!("no run has fetched {from} to {to}, and the service drops it on {day}; {advice}")
        }
        None if lost == days => {
            format!("{from} to {to} was fetched and is lost, and the service drops it on {day}; {advice}")
        }
        None => format!(
            "{from} to {to} is missing, of which {lost} of {days} days were fetched and are lost, and the service drops it on \
             {day}; {advice}"
        ),
        Some(reason) => {
            format!("{from} to {to} is filed as the service gives it, and not proved to be complete: {reason}")
        }
    }
}

/// Returns how a run ended, before its error; `None` if the error says so itself.
fn ended(end: End) -> Option<&'static str> {
    match end {
        End::Stopped => None,
        End::Failed => Some("failed"),
        End::Exhausted | End::Nothing => Some("ended"),
        End::Open => Some("has not ended"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::coverage::{Asked, Purpose};
    use crate::source::SOURCES;
    use crate::test_support::Catalog;
    use crate::test_support::record::line;
    use crate::window::Window;

    /// A catalog that a run holds.
    struct Held {
        catalog: Catalog,
        lock: Lock,
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn tfc() -> &'static Kind {
        SOURCES.iter().find(|kind| kind.name == "tfc").unwrap()
    }

    impl Held {
        fn new(began: DateTime<Utc>) -> Self {
            let catalog = Catalog::new();
            let lock = Lock::acquire(&catalog.location, began).unwrap();
            Self { catalog, lock }
        }

        fn day(&self, date: &str, text: &str) {
            self.catalog.write(date, text);
        }

        fn journal(&self, at: DateTime<Utc>, adjust: impl FnOnce(&mut Entry)) {
            let journal = Journal::of(self.lock.location());
            let before = journal.newest().unwrap().map(|entry| entry.sum).unwrap_or_default();
            let mut entry = Entry::new(at, Scope::sample(), before);
            let mut asked = Asked::new(Window::new(at - TimeDelta::hours(1), at), Purpose::New);
            asked.covered_to = Some(at);
            entry.asked.push(asked);
            entry.end = End::Exhausted;
            adjust(&mut entry);
            entry.add_up(tfc().retention, TimeDelta::hours(36));
            journal.append(&entry).unwrap();
        }

        fn status(&self, max_age: Option<TimeDelta>) -> StreamStatus {
            let place = StreamPlace {
                organization: None,
                kind: tfc(),
                location: self.lock.location().clone(),
                keep: None,
            };
            StreamStatus::read(&place, None, max_age, now()).unwrap()
        }
    }

    #[test]
    fn what_the_archive_holds_is_counted_by_day() {
        let held = Held::new(now());
        held.journal(now(), |_| {});
        held.day(
            "2026-11-16",
            &(line("1", "2026-11-16T00:00:00Z") + &line("2", "2026-11-16T00:00:01Z")),
        );
        held.day("2026-11-18", "");
        held.day("2026-11-20", &(line("3", "2026-11-20T11:30:00Z") + "{\"id\": "));
        let status = held.status(None);
        assert_eq!(status.state, State::Ok);
        assert_eq!(status.records, Amount { today: 1, all: 3 });
        assert_eq!(status.bytes.today, line("3", "2026-11-20T11:30:00Z").len() as u64 + 7);
        assert_eq!(
            (status.files, status.first_day, status.last_day),
            (3, "2026-11-16".parse().ok(), "2026-11-20".parse().ok())
        );
        let without: Vec<_> = status.days_without_records.iter().map(ToString::to_string).collect();
        assert_eq!(without, ["2026-11-17", "2026-11-18", "2026-11-19"]);
        assert_eq!(
            (status.last_record, status.age_seconds),
            ("2026-11-20T11:30:00Z".parse().ok(), Some(1_800))
        );
        assert_eq!(status.days.len(), 30);
        assert_eq!(status.days.iter().filter_map(|day| day.records).sum::<u64>(), 3);
        assert_eq!(status.days[29].date, now().date_naive());
    }

    #[test]
    fn repaired_torn_lines_are_no_records() {
        let held = Held::new(now());
        held.day(
            "2026-11-20",
            &("{\"id\": 1\n".to_owned() + &line("3", "2026-11-20T11:30:00Z")),
        );
        let note = r#"{"noted_at": "2026-11-20T00:00:00Z", "reason": "torn line, repaired", "file": "mail_2026-11-20.log", "offset": 0, "fragment": "{"}"#;
        let notes = held.lock.location().state("rejected.jsonl");
        notes.append_line(note).unwrap();
        notes
            .append_line(r#"{"noted_at": "x", "reason": "odd", "record": {}}"#)
            .unwrap();
        let status = held.status(None);
        assert_eq!((status.records.all, status.repaired, status.rejected), (1, 1, 1));
    }

    #[test]
    fn a_stream_is_late_when_its_last_record_is_older_than_allowed() {
        let held = Held::new(now());
        held.journal(now(), |_| {});
        held.day("2026-11-20", &line("1", "2026-11-20T10:00:00Z"));
        assert_eq!(held.status(Some(TimeDelta::hours(2))).state, State::Ok);
        let late = held.status(Some(TimeDelta::minutes(119)));
        assert!(late.state == State::Late && late.is_alarming());
        fs::remove_file(held.catalog.path("2026-11-20")).unwrap();
        assert_eq!(held.status(Some(TimeDelta::days(900))).state, State::Late);
    }

    #[test]
    fn a_failed_run_and_an_open_gap_are_problems() {
        let held = Held::new(now());
        held.journal(now() - TimeDelta::days(3), |_| {});
        held.journal(now(), |entry| {
            entry.end = End::Failed;
            entry.error = Some("the service is in trouble".into());
            entry.asked[0].covered_to = Some(now() - TimeDelta::minutes(30));
        });
        let status = held.status(None);
        assert_eq!(status.state, State::Failed);
        assert_eq!(
            status.problems,
            [
                "the run of 2026-11-20T12:00:00Z failed: the service is in trouble",
                "no run has fetched 2026-11-17T12:00:00Z to 2026-11-20T11:00:00Z, and the service drops it on 2026-12-04; run collect",
            ]
        );
        assert_eq!(status.last_complete, Some(now() - TimeDelta::days(3)));
    }

    #[test]
    fn a_run_without_a_word_is_running_or_was_killed() {
        let held = Held::new(now());
        assert_eq!(held.status(None).running.map(|run| run.pid), Some(std::process::id()));
        assert_eq!(held.status(None).state, State::New);
        // No process has the greatest id: Linux goes up to 2^22.
        let note = format!("{{\"pid\":{},\"since\":\"2026-11-20T12:00:00Z\"}}\n", i32::MAX);
        fs::write(held.lock.location().state_file("lock"), note).unwrap();
        let killed = held.status(None);
        assert_eq!((killed.state, killed.running), (State::Failed, None));
        assert!(
            killed.problems[0].contains("2026-11-20T12:00:00Z has not written how it ended"),
            "{:?}",
            killed.problems
        );
        held.journal(now(), |_| {});
        assert_eq!(held.status(None).state, State::Ok);
        held.journal(now(), |entry| entry.end = End::Open);
        let killed = held.status(None);
        assert_eq!(
            (killed.state, killed.running),
            (State::Failed, None),
            "it has noted what it asks for"
        );
    }
}
