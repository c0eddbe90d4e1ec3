//! Files what came of a stream in its day files, and notes in its journal what the fleet has covered.
//!
//! It takes the lock of the catalog for each batch, as a run does, so that packing, deleting and sealing have their turns. A line of the
//! journal names the days before they are written to, and one after that what they hold; one that says how complete the stream is comes
//! when everything is filed that was committed with the state that says it.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::incoming::Incoming;
use crate::archive::{
    Appended, Archive, Batch, Dedup, Hours, Incomplete, Lock, LockError, NewlyNoted, Takeover, Turn, WriteError,
};
use crate::config::{ArchiveStream, StreamPlace};
use crate::coverage::{Counted, Counts, Covered, End, Entry, Fed, Journal, Standing, Sum, Wanted};
use crate::fleet::state::StreamState;
use crate::fs::FileError;
use crate::record::{Record, Rejected};
use crate::window::bound;

/// After so many lines of the journal one has the counts of all day files.
const LINES_BETWEEN_COUNTS: usize = 64;

/// What is said of a catalog that is one machine's again.
const RELEASED: &str = "the fleet has given its catalog back to one machine, so it is not written to here: take its folder out of the settings \
                        of the archive";

/// Says of a catalog that one machine has collected why it is not written to. A fleet that has collected the stream cannot go on from it.
fn of_one_machine(has_state: bool) -> FilingError {
    let advice = if has_state {
        "the fleet has collected the stream by itself, and cannot go on from it any more: keep it as it is, and name an empty folder"
    } else {
        "`trailkeeper fleet adopt` has the fleet go on from it; or name an empty folder"
    };
    FilingError::Refused(format!(
        "its catalog is one that this machine has collected, and no fleet has taken it over, so it is not written to here: {advice}"
    ))
}

/// Why something cannot be filed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilingError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A day file cannot be used.
    #[error("no record of {date} is filed until its file can be used: {cause}")]
    Unusable {
        /// The day.
        date: NaiveDate,
        /// The reason.
        cause: String,
    },
    /// Nothing may be written there; the text says why.
    #[error("{0}")]
    Refused(String),
}

impl FilingError {
    /// Returns whether another process is at work in the catalog.
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::Lock(error) | Self::Write(WriteError::Lock(error)) => error.is_held(),
            _ => false,
        }
    }
}

/// A catalog, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) stream: &'a ArchiveStream,
    /// The fleet that it belongs to.
    pub(super) fleet: &'a str,
    /// The last run of the fleet whose end its journal has, by what the member has noted.
    pub(super) claimed: Option<DateTime<Utc>>,
    pub(super) now: DateTime<Utc>,
}

/// What came of a stream, to be filed together.
#[derive(Debug, Default)]
pub(super) struct Load {
    records: Vec<Record>,
    rejected: Vec<Rejected>,
    revised: Vec<Rejected>,
}

impl Load {
    /// Adds something; returns how many bytes it holds.
    pub(super) fn add(&mut self, incoming: Incoming) -> usize {
        match incoming {
            Incoming::Record(record) => {
                let bytes = record.line.len();
                self.records.push(record);
                bytes
            }
            Incoming::Rejected(rejected) => {
                let bytes = rejected.line.len();
                self.rejected.push(rejected);
                bytes
            }
            Incoming::Revised(revised) => {
                let bytes = revised.line.len();
                self.revised.push(revised);
                bytes
            }
        }
    }
}

/// What became of it. What is on disk is counted whatever went wrong after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filed {
    pub(super) received: u64,
    pub(super) appended: u64,
    pub(super) rejected: u64,
    pub(super) revised: u64,
    pub(super) repaired: u64,
    pub(super) expired: u64,
    pub(super) last_record: Option<DateTime<Utc>>,
}

impl Filed {
    /// Returns how many records were archived already, or came more than once.
    pub(super) fn duplicates(&self) -> u64 {
        let kept = self.appended + self.rejected + self.revised + self.expired;
        self.received.saturating_sub(kept)
    }
}

/// The catalog of a stream, locked.
struct Opened<'a> {
    stream: &'a ArchiveStream,
    now: DateTime<Utc>,
    lock: Arc<Lock>,
    standing: Standing,
    journal: Journal,
    takeover: Option<Takeover>,
    /// What the day files hold that were written to, or counted anew.
    counts: Counts,
}

/// Files what came of a stream; what its catalog has already is dropped. What was filed is on disk when this returns, also after an error.
pub(super) fn file(target: Target<'_>, state: &StreamState, load: Load) -> (Filed, Result<(), FilingError>) {
    let mut filed = Filed::default();
    let result = Opened::of(target, state.is_released).and_then(|mut opened| {
        let mut archive = opened.archive()?;
        let days: BTreeSet<_> = load.records.iter().map(|record| record.time.date_naive()).collect();
        if !days.is_empty() {
            let mut line = opened.line(state, End::Open, &filed);
            line.filing = days;
            opened.write(line)?;
        }
        let done = opened.file(&mut archive, load, state, &mut filed);
        let mut line = opened.line(state, End::Stopped, &filed);
        line.error = done.as_ref().err().map(ToString::to_string);
        // An earlier error says more than that of the journal.
        let noted = opened.write(line);
        done.and(noted)
    });
    (filed, result)
}

/// Notes what the fleet has covered, but for what is never called complete: everything that was committed with this state has to be filed.
pub(super) fn claim(target: Target<'_>, state: &StreamState, excluded: Option<&Covered>) -> Result<(), FilingError> {
    let location = &target.stream.place.location;
    if state.is_released && Fed::read(location)?.is_none() {
        // One machine goes on with it.
        return Ok(());
    }
    let mut opened = Opened::of(target, state.is_released)?;
    let line = opened.claimed(state, excluded);
    let is_noted = |newest: &Entry| newest.at == line.at && newest.end == line.end && newest.sum == line.sum;
    if opened.standing.newest.as_ref().is_some_and(is_noted) {
        return Ok(());
    }
    opened.write(line)
}

/// Checks that a catalog is this fleet's, or nobody's, before anything is read for it.
///
/// # Errors
/// If it is another fleet's, or one machine's, or cannot be read.
pub(super) fn check(stream: &ArchiveStream, fleet: &str, state: Option<&StreamState>) -> Result<(), FilingError> {
    let place = &stream.place;
    match Fed::read(&place.location)? {
        // What is released is for one machine to go on with, and is told when something comes of it.
        None if state.is_some_and(|state| state.is_released) => Ok(()),
        None if is_collected_here(place)? => Err(of_one_machine(state.is_some())),
        Some(other) if other.fleet != fleet => Err(FilingError::Refused(other.sentence())),
        None | Some(_) => Ok(()),
    }
}

/// Returns what a catalog holds that its journal calls complete for what this state is of.
///
/// # Errors
/// If it cannot be read.
pub(super) fn covered_here(
    stream: &ArchiveStream,
    state: &StreamState,
    now: DateTime<Utc>,
) -> Result<Covered, FileError> {
    let location = &stream.place.location;
    if !location.state_folder().exists() {
        return Ok(Covered::default());
    }
    let wanted = Wanted::Scope(&state.run.scope);
    Ok(Standing::read(location, wanted, stream.place.keep, now)?.sum.covered)
}

impl<'a> Opened<'a> {
    fn of(target: Target<'a>, is_released: bool) -> Result<Self, FilingError> {
        let Target { stream, fleet, now, .. } = target;
        let place = &stream.place;
        let lock = Arc::new(Lock::acquire_between_runs(&place.location, "archive", now)?);
        match Fed::read(&place.location)? {
            None if is_released => return Err(FilingError::Refused(RELEASED.to_owned())),
            None if is_collected_here(place)? => return Err(of_one_machine(true)),
            None => drop(Fed::begin(&place.location, fleet, now)?),
            Some(fed) if fed.fleet == fleet => {}
            Some(other) => return Err(FilingError::Refused(other.sentence())),
        }
        let wanted = Wanted::Stream(place.kind.name);
        let mut standing = Standing::read_in_turn(&place.location, wanted, place.keep, now, Turn::Of(now))?;
        check_newest(target, &standing)?;
        let mut takeover = None;
        if !standing.is_begun {
            // What another program has left, before anything is written.
            let left = Takeover::of(&standing.listing, now);
            left.store(&place.location)?;
            takeover = Some(left);
        }
        standing.store_counts();
        if let Some(ahead) = standing.sum.line_ahead(now) {
            return Err(FilingError::Refused(ahead));
        }
        if let Some(gone) = standing.gone(&place.location, place.keep, now) {
            return Err(FilingError::Refused(gone.to_string()));
        }
        let counts = standing.count_what_a_killed_run_wrote()?;
        Ok(Self {
            stream,
            now,
            lock,
            journal: Journal::of(&place.location),
            standing,
            takeover,
            counts,
        })
    }

    fn archive(&mut self) -> Result<Archive, FilingError> {
        let (turn, listing) = (self.standing.turn(self.now), Arc::clone(&self.standing.listing));
        let shape = self.stream.place.kind.shape;
        let (lock, mode) = (Arc::clone(&self.lock), self.stream.file_mode);
        let mut archive = Archive::open_in_turn(lock, shape, mode, self.now, turn, listing)?;
        if let Some(takeover) = self.takeover.take() {
            archive.know_takeover(takeover);
        }
        for (date, offset) in archive.torn() {
            self.standing.note_torn(*date, *offset, self.now);
        }
        Ok(archive)
    }

    fn file(
        &mut self,
        archive: &mut Archive,
        load: Load,
        state: &StreamState,
        filed: &mut Filed,
    ) -> Result<(), FilingError> {
        let count = |records: usize| records as u64;
        filed.received = count(load.records.len()) + count(load.revised.len());
        let expiry = self.standing.expiry();
        let mut hours = Hours::default();
        for batch in Batch::by_day(load.records) {
            let date = batch.date();
            if expiry.has(date) {
                filed.expired += count(batch.records().len());
            } else {
                self.file_day(archive, batch, &mut hours, filed)?;
            }
        }
        let (noted, is_noted) = Incomplete::split(archive.reject(&load.rejected, self.now));
        let NewlyNoted { records, repaired } = noted;
        filed.received += records;
        filed.rejected += records;
        filed.repaired += repaired;
        is_noted?;
        let (noted, is_noted) = Incomplete::split(archive.note_revisions(&load.revised, self.now));
        filed.revised += noted.records;
        is_noted?;
        self.note_hours(&hours);
        if let Some(last) = filed.last_record {
            archive.note_resume_points(last, TimeDelta::seconds(state.run.overlap_seconds));
        }
        Ok(())
    }

    fn file_day(
        &mut self,
        archive: &mut Archive,
        batch: Batch,
        hours: &mut Hours,
        filed: &mut Filed,
    ) -> Result<(), FilingError> {
        let date = batch.date();
        if let Some(cause) = archive.unusable().get(&date) {
            let cause = cause.clone();
            return Err(FilingError::Unusable { date, cause });
        }
        let mut times = batch.records().iter().rev().map(|record| record.time);
        let newest = times.find(|time| *time <= self.now);
        let Dedup { new, .. } = archive.deduplicate_by_content(batch)?;
        let before = self.count_before(archive, date)?;
        let held = self.counts.get(&date).or(self.standing.counts.get(&date));
        if held.is_none_or(|held| held.all() < before.all()) && before.all() > 0 {
            // A process that was killed has written to it, and all that comes may be there already.
            self.counts.insert(date, before);
        }
        let (appended, is_appended) = Incomplete::split(archive.append(&new));
        if let Some(appended) = appended {
            let written = &new.records()[..appended.records as usize];
            written.iter().for_each(|record| hours.add(record.time));
            filed.appended += appended.records;
            self.count_after(archive, date, before, &appended)?;
        }
        is_appended?;
        filed.last_record = filed.last_record.max(newest);
        archive.forget_before(date);
        Ok(())
    }

    /// Returns what a day file holds before it is written to.
    fn count_before(&mut self, archive: &mut Archive, date: NaiveDate) -> Result<Counted, FilingError> {
        let length = archive.length(date)?;
        let counted = self.counts.get(&date).or(self.standing.counts.get(&date)).copied();
        if let Some(counted) = counted.filter(|counted| counted.bytes == length) {
            return Ok(counted);
        }
        Ok(Counted {
            lines: archive.count_lines(date)?,
            bytes: length,
            compressed: archive.only_compressed(date),
        })
    }

    fn count_after(
        &mut self,
        archive: &mut Archive,
        date: NaiveDate,
        before: Counted,
        appended: &Appended,
    ) -> Result<(), FilingError> {
        let Some(end) = appended.end else { return Ok(()) };
        let is_as_expected = end == before.bytes + appended.bytes;
        let lines = if is_as_expected {
            before.lines + appended.records
        } else {
            archive.count_lines(date)?
        };
        let bytes = end;
        self.counts.insert(date, Counted { lines, bytes, ..before });
        Ok(())
    }

    /// Notes in which hours there were records.
    fn note_hours(&self, hours: &Hours) {
        let location = &self.stream.place.location;
        let mut known = Hours::read(location);
        if known.add_all(hours)
            && let Err(error) = known.store(location)
        {
            tracing::debug!("the rhythm of the stream is not noted: {error}");
        }
    }

    /// Returns a line of the journal that claims nothing that was not claimed before.
    fn line(&self, state: &StreamState, end: End, filed: &Filed) -> Entry {
        let mut line = Entry::new(self.now, state.run.scope.clone(), self.standing.sum.clone());
        let asked_from = line.sum.asked_from.into_iter().chain(state.run.sum.asked_from);
        line.sum.asked_from = asked_from.min();
        line.organization.clone_from(&state.run.organization);
        line.overlap_seconds = state.run.overlap_seconds;
        line.end = end;
        line.received = filed.received;
        line.duplicates = filed.duplicates();
        line.appended = filed.appended;
        line.rejected = filed.rejected;
        line.revised = filed.revised;
        line.repaired = filed.repaired;
        line.expired = filed.expired;
        line.last_before = self.standing.last_record;
        line.last_record = self.standing.last_record.max(filed.last_record);
        line
    }

    /// Returns the line of the last run of the fleet, as far as it is true of this catalog.
    fn claimed(&self, state: &StreamState, excluded: Option<&Covered>) -> Entry {
        let mut line = state.run.clone();
        if line.end == End::Open {
            // It goes on, and not here: whoever reads this must not think that somebody writes to these files.
            line.end = End::Stopped;
        }
        line.sum = sum_of(&self.standing.sum, &state.run.sum, excluded);
        line.last_before = self.standing.last_record;
        line.last_record = self.standing.last_record;
        line
    }

    fn write(&mut self, mut line: Entry) -> Result<(), FilingError> {
        self.lock.check()?;
        let (counts, before) = (&self.counts, &self.standing.counts);
        line.sum
            .forget_what_is_there_again(|date| counts.get(&date).or(before.get(&date)).copied());
        line.has_all_counts = self.standing.lines_without_counts >= LINES_BETWEEN_COUNTS || self.journal.is_full();
        line.counts = self.counts.clone();
        if line.has_all_counts {
            let before = self.standing.counts.iter().map(|(date, counted)| (*date, *counted));
            line.counts = before.chain(line.counts).collect();
        }
        self.journal.append(&line)?;
        self.standing.lines_without_counts = if line.has_all_counts {
            0
        } else {
            self.standing.lines_without_counts.saturating_add(1)
        };
        self.standing.sum = line.sum;
        self.standing.last_record = line.last_record;
        Ok(())
    }
}

/// Returns whether a run has begun the journal of a catalog.
fn is_collected_here(place: &StreamPlace) -> Result<bool, FileError> {
    let past = Journal::of(&place.location).past(Wanted::Stream(place.kind.name))?;
    Ok(past.is_begun())
}

/// Checks that a catalog is the one that was written to, and not that of another disk or an older copy: what it lacks comes no more.
fn check_newest(target: Target<'_>, standing: &Standing) -> Result<(), FilingError> {
    let newest = standing.newest.as_ref().map(|newest| newest.at);
    match target.claimed {
        Some(claimed) if newest.is_none_or(|newest| newest < claimed) => Err(FilingError::Refused(format!(
            "{} is older than what was filed there up to {}: its disk is not mounted, or it was restored from an older copy; mount it, restore ARCHIVE_FOLDER from the same copy, or read all that Kafka still has once more with --from-start",
            target.stream.place.location.folder().display(),
            bound(claimed)
        ))),
        _ => Ok(()),
    }
}

/// Returns what all runs of a fleet have come to, as far as it is true of a catalog: what became of its files it alone knows.
fn sum_of(own: &Sum, fleet: &Sum, excluded: Option<&Covered>) -> Sum {
    let mut sum = Sum {
        lost: Default::default(),
        accepted_losses: own.accepted_losses.clone(),
        expired_days: own.expired_days.clone(),
        expiring_days: own.expiring_days.clone(),
        is_sealed: own.is_sealed,
        accepted: own.accepted.clone(),
        ..fleet.clone()
    };
    let never = excluded.map_or(&[][..], Covered::spans);
    never.iter().for_each(|span| sum.covered.remove(*span));
    let lost = own.lost.clone().into_iter().map(|(day, mut lost)| {
        lost.covered = None;
        (day, lost)
    });
    sum.lose(lost.collect());
    sum
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::archive_streams;
    use crate::coverage::{Asked, Purpose, Scope};
    use crate::env::Env;
    use crate::source::SOURCES;
    use crate::test_support::record::{record, time};
    use crate::window::Window;

    fn now() -> DateTime<Utc> {
        time("2026-01-05T00:00:00Z")
    }

    fn stream(folder: &std::path::Path) -> ArchiveStream {
        let env = Env::from_pairs([
            ("TFC_LOG_CATALOG_LOCATION", folder.to_str().unwrap()),
            ("TFC_LOG_FILE_BASE_NAME", "tfc"),
            ("TFC_KAFKA_TOPIC", "tfc-audit"),
        ]);
        archive_streams(&env, SOURCES).unwrap().remove(0)
    }

    fn target(stream: &ArchiveStream) -> Target<'_> {
        Target {
            stream,
            fleet: "trails",
            claimed: None,
            now: now(),
        }
    }

    fn load(ids: &[&str]) -> Load {
        let mut load = Load::default();
        for id in ids {
            load.add(Incoming::Record(record(id, "2026-01-04T10:00:00Z")));
        }
        load
    }

    /// A fleet that has covered two days.
    fn state() -> StreamState {
        let mut state = StreamState::new(Scope::sample(), now());
        let span = Window::new(time("2026-01-03T00:00:00Z"), now());
        let mut asked = Asked::new(span, Purpose::New);
        asked.covered_to = Some(now());
        asked.is_done = true;
        state.run.asked = vec![asked];
        state.run.end = End::Exhausted;
        state.run.add_up(
            SOURCES.iter().find(|kind| kind.name == "tfc").unwrap().retention,
            TimeDelta::hours(36),
        );
        state
    }

    fn standing(stream: &ArchiveStream) -> Standing {
        Standing::read(&stream.place.location, Wanted::Stream("tfc"), None, now()).unwrap()
    }

    #[test]
    fn what_comes_again_is_dropped_and_what_is_filed_is_counted_and_claims_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path());
        let (filed, done) = file(target(&stream), &state(), load(&["a", "b", "a"]));
        assert!(done.is_ok(), "{done:?}");
        assert_eq!((filed.appended, filed.duplicates()), (2, 1));
        let (filed, done) = file(target(&stream), &state(), load(&["b", "c"]));
        assert!(done.is_ok(), "{done:?}");
        assert_eq!((filed.appended, filed.duplicates()), (1, 1));
        let standing = standing(&stream);
        let counted = standing.counts.values().next().unwrap();
        let text = fs::read_to_string(folder.path().join("tfc_2026-01-04.log")).unwrap();
        assert_eq!((counted.lines, counted.bytes), (3, text.len() as u64));
        assert_eq!(standing.sum.covered.spans(), []);
        assert_eq!(
            standing.sum.asked_from,
            state().run.sum.asked_from,
            "what is not claimed is a gap"
        );
        assert_eq!(standing.newest.unwrap().end, End::Stopped);
    }

    #[test]
    fn a_day_that_a_killed_process_has_written_is_counted_although_everything_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path());
        file(target(&stream), &state(), load(&["a"])).1.unwrap();
        let killed = |id: &str, date: &str| {
            let record = record(id, &format!("{date}T10:00:00Z"));
            let mut opened = Opened::of(target(&stream), false).unwrap();
            let mut line = opened.line(&state(), End::Open, &Filed::default());
            line.filing = BTreeSet::from([date.parse().unwrap()]);
            opened.write(line).unwrap();
            fs::write(
                folder.path().join(format!("tfc_{date}.log")),
                format!("{}\n", record.line),
            )
            .unwrap();
            let mut load = Load::default();
            load.add(Incoming::Record(record));
            load
        };
        let load = killed("b", "2026-01-03");
        let (filed, done) = file(target(&stream), &state(), load);
        assert!(done.is_ok() && filed.duplicates() == 1, "{filed:?} {done:?}");
        let counts = standing(&stream).counts;
        let lines: Vec<_> = counts.values().map(|counted| counted.lines).collect();
        assert_eq!(lines, [1, 1], "{counts:?}");
    }

    #[test]
    fn what_the_fleet_has_covered_is_claimed_but_for_what_never_is_and_lost_days() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path());
        file(target(&stream), &state(), load(&["a"])).1.unwrap();
        claim(target(&stream), &state(), None).unwrap();
        assert_eq!(standing(&stream).sum.covered, state().run.sum.covered);
        let mut excluded = Covered::default();
        excluded.add(Window::new(time("2026-01-03T00:00:00Z"), time("2026-01-03T12:00:00Z")));
        claim(target(&stream), &state(), Some(&excluded)).unwrap();
        let from = standing(&stream).sum.covered.spans()[0].from;
        assert_eq!(from, time("2026-01-03T12:00:00Z"));
        let day = folder.path().join("tfc_2026-01-04.log");
        fs::write(&day, "").unwrap();
        let mut later = state();
        later.run.seconds = 1.0;
        claim(target(&stream), &later, Some(&excluded)).unwrap();
        let standing = standing(&stream);
        assert!(!standing.sum.lost.is_empty());
        let is_lost = |window: &Window| window.to <= time("2026-01-04T00:00:00Z") || window.from >= now();
        assert!(
            standing.sum.covered.spans().iter().all(is_lost),
            "{:?}",
            standing.sum.covered
        );
    }

    #[test]
    fn a_run_of_the_fleet_that_goes_on_is_none_here_and_an_older_catalog_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path());
        let mut open = state();
        open.run.end = End::Open;
        claim(target(&stream), &open, None).unwrap();
        assert_eq!(standing(&stream).newest.unwrap().end, End::Stopped);
        let later = Target {
            claimed: Some(now() + TimeDelta::hours(1)),
            ..target(&stream)
        };
        let (filed, refused) = file(later, &state(), load(&["a"]));
        let refused = refused.unwrap_err().to_string();
        assert!(
            filed == Filed::default() && refused.contains("is older than what was filed there"),
            "{refused}"
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing but the state folder"
        );
    }

    #[test]
    fn the_catalog_of_another_fleet_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let stream = stream(folder.path());
        file(target(&stream), &state(), load(&["a"])).1.unwrap();
        let other = Target {
            fleet: "others",
            ..target(&stream)
        };
        let refused = file(other, &state(), load(&["b"])).1.unwrap_err().to_string();
        assert!(refused.contains("belongs to the fleet trails"), "{refused}");
    }
}
