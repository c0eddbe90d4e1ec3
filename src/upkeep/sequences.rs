//! Any sequence of what happens to days, killed at any operation, against a model: nothing is lost, nothing comes twice, what is held
//! stays, offsets lead to the same lines, what was sealed stays true, and what was copied comes back.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;
use tempfile::TempDir;

use super::expiry_rule::ExpiryRule;
use super::packing::PackRule;
use super::settling::settle;
use super::{Limit, UpkeepError};
use crate::archive::faulty::Fault;
use crate::archive::{Archive, Batch, Hold, Holds, LineCounter, Location, Lock, Packer, content_of};
use crate::config::{EvidenceSettings, KeySource, StreamPlace};
use crate::copy::{Copier, Restorer};
use crate::coverage::{Asked, Counted, End, Entry, Journal, Purpose, Scope, Standing, Sum, Wanted, day_span};
use crate::evidence::folder::{CHECKPOINT, CHECKPOINTS, ENTRIES};
use crate::evidence::keeper::Keeper;
use crate::evidence::seal::SealOptions;
use crate::forward::position::Positions;
use crate::forward::reader::LineReader;
use crate::fs::FileError;
use crate::process::shutdown;
use crate::source::SOURCES;
use crate::test_support::Catalog;
use crate::test_support::mortal_store::MortalStore;
use crate::test_support::random::cases;
use crate::test_support::record::{SHAPE, record};
use crate::window::Window;

const DAYS: [&str; 4] = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-14"];

/// The first three days are old enough to be deleted then.
const EXPIRE_AFTER: TimeDelta = TimeDelta::days(14);

fn now() -> DateTime<Utc> {
    "2026-01-20T00:00:00Z".parse().unwrap()
}

fn date(day: usize) -> NaiveDate {
    DAYS[day].parse().unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    /// So many new records of a day come, among all that came before.
    Collect(usize, usize),
    Pack,
    Unpack,
    Expire,
    Hold(usize),
    Release,
    Forward,
    Seal,
    /// A seal that is killed: this part of what it writes is on disk.
    KilledSeal(u8),
    Copy,
    /// The last copy is restored elsewhere.
    Restore,
    PowerCut(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let day = || 0..DAYS.len();
    prop_oneof![
        4 => (day(), 1usize..4).prop_map(|(day, records)| Op::Collect(day, records)),
        4 => Just(Op::Pack),
        2 => Just(Op::Unpack),
        2 => Just(Op::Expire),
        1 => day().prop_map(Op::Hold),
        1 => Just(Op::Release),
        3 => Just(Op::Forward),
        3 => Just(Op::Seal),
        1 => any::<u8>().prop_map(Op::KilledSeal),
        2 => Just(Op::Copy),
        1 => Just(Op::Restore),
        1 => prop_oneof![Just(0), Just(255), any::<u8>()].prop_map(Op::PowerCut),
    ]
}

/// What a day has to hold.
#[derive(Clone, Debug, Default)]
struct Day {
    /// The ids of what the service has given.
    given: Vec<String>,
    /// The lines, of which those that were torn and ended later are no records.
    lines: Vec<String>,
    /// The part of a line that a killed run has left behind them.
    torn: String,
    /// How many bytes a run has synced.
    synced: usize,
    /// The records that were forwarded.
    sent: Vec<String>,
}

impl Day {
    fn content(&self) -> String {
        self.lines.concat() + &self.torn
    }

    fn records(&self) -> impl Iterator<Item = &String> {
        let is_record = |line: &&String| serde_json::from_str::<serde_json::Value>(line).is_ok();
        self.lines.iter().filter(is_record)
    }

    /// Takes in what a run has left, which may have been killed: what was there, and of the `new` lines the first. What was torn
    /// may have been ended.
    fn grow(&mut self, content: &str, new: &[String]) {
        let held = self.content();
        let mut rest = content
            .strip_prefix(&held)
            .unwrap_or_else(|| panic!("{content} and not {held}"));
        if let Some(behind) = rest.strip_prefix('\n').filter(|_| !self.torn.is_empty()) {
            self.lines.push(std::mem::take(&mut self.torn) + "\n");
            rest = behind;
        }
        for line in new.iter().filter(|line| !held.contains(*line)) {
            if let Some(behind) = rest.strip_prefix(line.as_str()) {
                self.lines.push(line.clone());
                rest = behind;
            } else if line.starts_with(rest) {
                self.torn += rest;
                rest = "";
                break;
            }
        }
        assert_eq!(rest, "", "{content}");
    }

    /// Takes in what a power cut has left: all that was synced.
    fn shrink(&mut self, content: &str) {
        let held = self.content();
        assert!(
            held.starts_with(content) && content.len() >= self.synced,
            "{content} of {held}"
        );
        let end = content.rfind('\n').map_or(0, |newline| newline + 1);
        self.lines = content[..end].split_inclusive('\n').map(str::to_owned).collect();
        self.torn = content[end..].to_owned();
    }
}

/// After how many operations it is killed, and such a part of a write, if it is.
type Kill = Option<(u64, usize)>;

fn kill() -> impl Strategy<Value = Kill> {
    let after = prop_oneof![3 => 0u64..20, 1 => 0u64..60];
    prop::option::weighted(0.4, (after, 0usize..100))
}

struct Model {
    catalog: Catalog,
    place: StreamPlace,
    evidence: EvidenceSettings,
    days: [Day; DAYS.len()],
    positions: Positions,
    held: BTreeSet<usize>,
    /// How many runs and seals there were: each has a time of its own.
    ticks: i64,
    store: MortalStore,
    /// What the newest copy has of each day that was not expired; `None` if that is not known.
    copied: Option<[Option<String>; DAYS.len()]>,
    armed: Kill,
    _log: TempDir,
}

impl Model {
    fn new() -> Self {
        let (catalog, log) = (
            Catalog::with_state_folder().through_its_disk(),
            tempfile::tempdir().unwrap(),
        );
        let evidence = EvidenceSettings {
            folder: log.path().join("evidence"),
            origin: "audit.example.org/trails".to_owned(),
            key: Some(KeySource::File(log.path().join("key"))),
            credentials: None,
            ssh_agent: None,
            every: TimeDelta::zero(),
            after: TimeDelta::hours(48),
            timestamps: None,
            witnesses: None,
            topic: None,
        };
        Keeper::new(&evidence).generate_key(now()).unwrap();
        let mut sum = Sum {
            asked_from: Some(day_span(date(0)).from),
            ..Sum::default()
        };
        sum.covered.add(Window::new(day_span(date(0)).from, now()));
        let entry = Entry {
            has_all_counts: true,
            ..Entry::new(now(), Scope::sample(), sum)
        };
        Journal::of(&catalog.location).append(&entry).unwrap();
        catalog.disk.cut_power(catalog.folder(), 255);
        let place = StreamPlace {
            organization: None,
            kind: SOURCES.iter().find(|kind| kind.name == "tfc").unwrap(),
            location: catalog.location.clone(),
            keep: None,
        };
        Self {
            catalog,
            place,
            evidence,
            days: Default::default(),
            positions: Positions::default(),
            held: BTreeSet::new(),
            ticks: 0,
            store: MortalStore::default(),
            copied: None,
            armed: None,
            _log: log,
        }
    }

    fn standing(&self) -> Standing {
        standing_of(&self.place.location)
    }

    /// Returns the time of another run.
    fn tick(&mut self) -> DateTime<Utc> {
        self.ticks += 1;
        now() + TimeDelta::seconds(self.ticks)
    }

    fn lock(&self) -> Result<Arc<Lock>, UpkeepError> {
        Ok(Arc::new(Lock::acquire(&self.place.location, now())?))
    }

    /// Has what follows be killed.
    fn arm(&mut self, kill: Kill) {
        if let Some((after, bytes)) = kill {
            self.catalog.disk.arm(after, Fault::Killed(bytes));
            self.store.arm(after);
        }
        self.armed = kill;
    }

    fn cut_power(&mut self, left: u8) {
        self.restart();
        self.catalog.disk.cut_power(self.catalog.folder(), left);
        let standing = self.standing();
        for (number, day) in self.days.iter_mut().enumerate() {
            if !standing.sum.is_expired(date(number)) {
                day.shrink(&content(&standing, number));
            }
        }
    }

    /// Starts everything again that was killed.
    fn restart(&mut self) {
        self.catalog.disk.restart();
        self.store.restart();
        self.armed = None;
    }

    /// Files what is new of a day.
    fn collect(&mut self, day: usize, records: usize) {
        let first = self.days[day].given.len();
        let new = (first..first + records).map(|number| format!("{day}-{number}"));
        self.days[day].given.extend(new);
        let at = self.tick();
        let run = self.run(day, at);
        let is_whole = run.is_ok();
        self.restart();
        let standing = self.standing();
        for (number, held) in self.days.iter_mut().enumerate() {
            if standing.sum.is_expired(date(number)) {
                continue;
            }
            let is_asked_for = number == day && !standing.expiry().has(date(day));
            let given = held.given.iter().filter(|_| is_asked_for);
            let time = format!("{}T10:00:00Z", DAYS[number]);
            let given: Vec<_> = given.map(|id| record(id, &time).line.to_string() + "\n").collect();
            held.grow(&content(&standing, number), &given);
            if is_asked_for && is_whole {
                assert_eq!(held.records().count(), given.len(), "{run:?}");
                held.synced = held.content().len();
            }
        }
    }

    /// Does what a run does: it notes what it asks for, ends what is torn, files, and counts.
    fn run(&self, day: usize, at: DateTime<Utc>) -> Result<(), Box<dyn Error>> {
        let location = &self.place.location;
        let lock = self.lock()?;
        let mut standing = Standing::read(location, Wanted::Stream("tfc"), None, now())?;
        let mut archive = Archive::open(lock, SHAPE, 0o640, at)?;
        for (date, offset) in archive.torn() {
            standing.note_torn(*date, *offset, now());
        }
        let counts = standing.count_what_a_killed_run_wrote()?;
        let mut entry = Entry {
            asked: vec![Asked::new(day_span(date(day)), Purpose::Range)],
            counts,
            ..Entry::new(at, Scope::sample(), standing.sum.clone())
        };
        let journal = Journal::of(location);
        journal.append(&entry)?;
        if !standing.expiry().has(date(day)) {
            let time = format!("{}T10:00:00Z", DAYS[day]);
            let given = self.days[day].given.iter().map(|id| record(id, &time)).collect();
            for batch in Batch::by_day(given) {
                let new = archive.deduplicate(batch)?.new;
                archive.append(&new).map_err(|incomplete| incomplete.cause)?;
            }
            entry.counts.insert(date(day), self.counted(day)?);
        }
        entry.end = End::Exhausted;
        Ok(journal.append(&entry)?)
    }

    fn counted(&self, day: usize) -> Result<Counted, FileError> {
        let location = &self.place.location;
        let (listing, mut counter) = (location.listing()?, LineCounter::of(location));
        let mut count = |file| counter.count(file);
        let plain = listing.days.get(date(day));
        let plain = plain.as_ref().map(&mut count).transpose()?;
        let packed = listing.packed.get(&date(day)).map(&mut count).transpose()?;
        Ok(Counted {
            lines: plain.map_or(0, |plain| plain.lines),
            bytes: plain.map_or(0, |plain| plain.bytes),
            compressed: packed.map_or(0, |packed| packed.lines),
        })
    }

    fn packer(&self) -> Result<Packer, UpkeepError> {
        let packer = Packer::under(self.lock()?);
        packer.finish(&self.place.location.listing()?)?;
        Ok(packer)
    }

    fn pack(&self) -> Result<(), UpkeepError> {
        let packer = self.packer()?;
        let rule = PackRule {
            older_than: TimeDelta::days(2),
            now: now(),
        };
        rule.plan(&self.place)?.carry_out(&packer, Limit::NONE, &|| false);
        Ok(())
    }

    fn unpack(&self) -> Result<(), UpkeepError> {
        let packer = self.packer()?;
        let listing = self.place.location.listing()?;
        for (date, packed) in &listing.packed {
            packer.unpack(packed, listing.days.get(*date).as_ref())?;
        }
        Ok(())
    }

    fn expire(&self) -> Result<(), UpkeepError> {
        let rule = ExpiryRule {
            older_than: EXPIRE_AFTER,
            now: now(),
            evidence: Some(&self.evidence),
            unsealed: false,
        };
        drop(self.packer()?);
        let mut plan = rule.plan(&self.place, Limit::NONE)?;
        rule.carry_out(&self.place, &mut plan, &self.lock()?).map(drop)
    }

    fn hold(&mut self, day: usize) {
        self.restart();
        settle(&self.place, now()).unwrap();
        // What is left of a day is held, and the day has lost records all the same.
        if self.standing().sum.expiring_days.contains(&date(day)) {
            return;
        }
        let span = day_span(date(day));
        let hold = Hold {
            case: "2026/17".to_owned(),
            since: Some(span.from),
            until: Some(span.to),
            note: None,
            at: now(),
        };
        Holds::add(&self.place.location, "tfc", hold).unwrap();
        if !self.standing().sum.is_expired(date(day)) {
            self.held.insert(day);
        }
    }

    /// Sends what stands behind the cursor, and acknowledges each batch.
    fn forward(&mut self) {
        let mut reader = LineReader::new(&self.place.location, SHAPE, self.positions.clone());
        while let Ok(Some(batch)) = reader.next_batch() {
            for line in batch.lines() {
                let day = DAYS.iter().position(|day| line.day.to_string() == *day).unwrap();
                let text = String::from_utf8_lossy(batch.bytes(line)).into_owned();
                self.days[day].sent.push(text + "\n");
            }
            self.positions.update(&batch.end_of(batch.lines().len()));
        }
    }

    /// Seals all of it; returns what is not as it was sealed.
    fn seal(&mut self) -> Vec<String> {
        let at = self.tick();
        seal(&self.evidence, &self.place, at)
    }

    /// Seals, and takes back what a seal that is killed has not written: entries come first, then the checkpoint under its size, then
    /// in its place, and the notes at the end.
    fn seal_and_die(&mut self, part: u8) {
        self.restart();
        let folder = self.evidence.folder.clone();
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let notes = folder.join(".trailkeeper/evidence.notes.json");
        let (entries, checkpoint, noted) = (read(ENTRIES), read(CHECKPOINT), fs::read(&notes).ok());
        let sizes = |folder: &Path| -> BTreeSet<_> {
            let files = fs::read_dir(folder.join(CHECKPOINTS)).unwrap();
            files.map(|file| file.unwrap().path()).collect()
        };
        let before = sizes(&folder);
        self.seal();
        let written = read(ENTRIES);
        match noted.filter(|_| part < 250) {
            Some(noted) => fs::write(&notes, noted).unwrap(),
            None => drop(fs::remove_file(&notes)),
        }
        if part < 225 {
            fs::write(folder.join(CHECKPOINT), checkpoint).unwrap();
        }
        if part < 200 {
            for size in sizes(&folder).difference(&before) {
                fs::remove_file(size).unwrap();
            }
            // What an earlier one has left was cut off.
            let same = entries.iter().zip(&written).take_while(|(one, other)| one == other);
            let begin = same.count();
            let end = begin + (written.len() - begin) * usize::from(part) / 199;
            fs::write(folder.join(ENTRIES), &written[..end]).unwrap();
        }
    }

    /// Copies all of it, when what a killed run has not synced is on disk: one that is lost by a power cut after it was copied is
    /// missed, as it should be.
    fn copy(&mut self) {
        let at = self.tick();
        self.catalog.disk.cut_power(self.catalog.folder(), 255);
        let manifests = self.manifests();
        let (_trigger, shutdown) = shutdown::channel();
        let copier = Copier {
            store: &self.store,
            shutdown: &shutdown,
            is_dry_run: false,
            now: at,
        };
        let copied = copier.copy(std::slice::from_ref(&self.place), Some(&self.evidence.folder));
        self.restart();
        let has_problems = match &copied {
            Ok(copied) => copied.sections.iter().any(|section| !section.problems.is_empty()),
            Err(_) => false,
        };
        if copied.is_err() && self.manifests() == manifests {
            return;
        }
        // What is being deleted is neither there nor expired.
        let is_settled = self
            .standing()
            .newest
            .is_none_or(|newest| newest.sum.expiring_days.is_empty());
        assert!(!is_settled || !has_problems, "{copied:?}");
        self.copied = is_settled.then(|| self.copyable());
    }

    fn manifests(&self) -> usize {
        self.store.count("manifests/")
    }

    /// What a copy has to have of each day: its whole lines.
    fn copyable(&self) -> [Option<String>; DAYS.len()] {
        let sum = self.standing().sum;
        std::array::from_fn(|day| (!sum.is_expired(date(day))).then(|| self.days[day].lines.concat()))
    }

    /// Restores the newest copy, by a first try that may be killed and a second one that goes on, and looks whether it is the archive.
    fn restore(&mut self) {
        let Some(copied) = self.copied.clone() else { return };
        let (catalog, log) = (Catalog::new().through_its_disk(), tempfile::tempdir().unwrap());
        let place = StreamPlace {
            location: catalog.location.clone(),
            ..self.place.clone()
        };
        let evidence = EvidenceSettings {
            folder: log.path().join("evidence"),
            ..self.evidence.clone()
        };
        let (_trigger, shutdown) = shutdown::channel();
        let restorer = Restorer {
            store: &self.store,
            from: "memory",
            shutdown: &shutdown,
            now: now(),
        };
        let restore = || restorer.restore(std::slice::from_ref(&place), Some(&evidence.folder));
        if let Some((after, bytes)) = self.armed {
            catalog.disk.arm(after, Fault::Killed(bytes));
        }
        let is_whole = restore().is_ok();
        self.store.restart();
        catalog.disk.restart();
        if !is_whole {
            restore().unwrap();
        }
        let standing = standing_of(&place.location);
        assert!(standing.sum.lost.is_empty(), "{:?}", standing.sum.lost);
        for (day, copied) in copied.iter().enumerate() {
            assert_eq!(standing.sum.is_expired(date(day)), copied.is_none(), "day {day}");
            let Some(copied) = copied else { continue };
            assert_eq!(content(&standing, day), *copied, "day {day}");
        }
        let at = self.tick();
        assert_eq!(seal(&evidence, &place, at), Vec::<String>::new());
    }

    fn check(&self, when: &str) {
        let standing = self.standing();
        assert!(standing.sum.lost.is_empty(), "{when}: {:?}", standing.sum.lost);
        for (number, day) in self.days.iter().enumerate() {
            let is_expired = standing.sum.is_expired(date(number));
            assert!(!is_expired || !self.held.contains(&number), "{when}: {number} is held");
            let content = content(&standing, number);
            assert!(
                is_expired || content == day.content(),
                "{when}: {number} holds {content}"
            );
            let sent = day.records().take(day.sent.len());
            assert!(sent.eq(&day.sent), "{when}: sent {:?}", day.sent);
        }
    }

    /// After everything was ended that was begun, all is forwarded, what was sealed is true, and a copy is the archive.
    fn check_at_the_end(mut self) {
        self.restart();
        // It ends what is torn, of any day.
        self.collect(0, 0);
        self.seal();
        self.expire().unwrap();
        self.pack().unwrap();
        self.forward();
        self.check("at the end");
        let sum = self.standing().sum;
        for day in (0..DAYS.len()).filter(|day| !sum.is_expired(date(*day))) {
            let day = &self.days[day];
            assert!(day.records().eq(&day.sent), "{day:?}");
        }
        assert_eq!(self.seal(), Vec::<String>::new());
        self.copy();
        assert!(self.copied.is_some());
        self.restore();
    }
}

fn standing_of(location: &Location) -> Standing {
    Standing::read(location, Wanted::Stream("tfc"), None, now()).unwrap()
}

/// What the files of a day hold.
fn content(standing: &Standing, day: usize) -> String {
    let mut content = Vec::new();
    content_of(&standing.listing, date(day), &mut content).unwrap();
    String::from_utf8(content).unwrap()
}

fn seal(evidence: &EvidenceSettings, place: &StreamPlace, now: DateTime<Utc>) -> Vec<String> {
    let options = SealOptions {
        now,
        after: evidence.after,
        every: evidence.every,
        full: true,
    };
    let seal = Keeper::new(evidence).seal(std::slice::from_ref(place), options);
    let streams = seal.into_iter().flat_map(|seal| seal.streams.into_values());
    streams.flat_map(|stream| stream.problems).collect()
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn nothing_is_lost_doubled_or_deleted_that_is_held_whatever_happens(
        steps in prop::collection::vec((kill(), op()), 1..25)
    ) {
        let mut model = Model::new();
        for (kill, op) in steps {
            let when = format!("after {op:?}, {kill:?}");
            model.arm(kill);
            match op {
                Op::Collect(day, records) => model.collect(day, records),
                Op::Pack => drop(model.pack()),
                Op::Unpack => drop(model.unpack()),
                Op::Expire => drop(model.expire()),
                Op::Hold(day) => model.hold(day),
                Op::Release => {
                    model.restart();
                    Holds::release(&model.place.location, "tfc", "2026/17", now()).unwrap();
                    model.held.clear();
                }
                Op::Forward => model.forward(),
                Op::Seal => drop(model.seal()),
                Op::KilledSeal(part) => model.seal_and_die(part),
                Op::Copy => model.copy(),
                Op::Restore => model.restore(),
                Op::PowerCut(left) => model.cut_power(left),
            }
            // Whoever looks is another process.
            model.restart();
            model.check(&when);
        }
        model.check_at_the_end();
    }
}

#[test]
fn a_line_that_was_sent_is_there_after_a_power_cut_although_the_run_that_wrote_it_was_killed_before_its_sync() {
    for after in 0..25 {
        let mut model = Model::new();
        model.arm(Some((after, usize::MAX)));
        model.collect(1, 1);
        model.forward();
        model.cut_power(0);
        model.check(&format!("killed after {after}"));
    }
}

#[test]
fn what_was_sealed_is_there_after_a_power_cut_although_the_run_that_wrote_it_was_killed_before_its_sync() {
    let collect: fn(&mut Model) = |model| model.collect(1, 1);
    let expire: fn(&mut Model) = |model| drop(model.expire());
    for (what, write) in [("run", collect), ("expire", expire)] {
        for after in 0..25 {
            let mut model = Model::new();
            model.collect(0, 1);
            model.seal();
            model.arm(Some((after, usize::MAX)));
            write(&mut model);
            model.restart();
            model.seal();
            model.cut_power(0);
            model.restart();
            assert_eq!(model.seal(), Vec::<String>::new(), "{what} killed after {after}");
        }
    }
}
