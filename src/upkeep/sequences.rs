//! Any sequence of what happens to days, killed at any operation, against a model: nothing is lost, nothing comes twice, what is held
//! stays, offsets lead to the same lines, and what was sealed stays true.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;
use tempfile::TempDir;

use super::expiry_rule::ExpiryRule;
use super::packing::PackRule;
use super::settling::settle;
use super::{Limit, UpkeepError};
use crate::archive::faulty::Fault;
use crate::archive::{Archive, Batch, Hold, Holds, LineCounter, Lock, Packer, content_of};
use crate::config::{EvidenceSettings, KeySource, StreamPlace};
use crate::coverage::{Counted, Entry, Journal, Scope, Standing, Sum, Wanted, day_span};
use crate::evidence::keeper::Keeper;
use crate::evidence::seal::SealOptions;
use crate::forward::position::Positions;
use crate::forward::reader::LineReader;
use crate::source::SOURCES;
use crate::test_support::Catalog;
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
    /// What follows is killed at this operation.
    Arm(u64, usize),
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
        5 => (0u64..60, 0usize..200).prop_map(|(after, bytes)| Op::Arm(after, bytes)),
        1 => prop_oneof![Just(0), Just(255), any::<u8>()].prop_map(Op::PowerCut),
    ]
}

struct Model {
    catalog: Catalog,
    place: StreamPlace,
    evidence: EvidenceSettings,
    /// The ids of what the service has given.
    given: [Vec<String>; DAYS.len()],
    /// What each day has to hold, and what of it was forwarded.
    lines: [Vec<String>; DAYS.len()],
    sent: [Vec<String>; DAYS.len()],
    positions: Positions,
    held: BTreeSet<usize>,
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
            given: Default::default(),
            lines: Default::default(),
            sent: Default::default(),
            positions: Positions::default(),
            held: BTreeSet::new(),
            _log: log,
        }
    }

    fn standing(&self) -> Standing {
        Standing::read(&self.place.location, Wanted::Stream("tfc"), None, now()).unwrap()
    }

    fn lock(&self) -> Arc<Lock> {
        Arc::new(Lock::acquire(&self.place.location, now()).unwrap())
    }

    /// Files what is new, as a run does on a disk that works, and counts it in the journal.
    fn collect(&mut self, day: usize, records: usize) {
        self.catalog.disk.restart();
        let first = self.given[day].len();
        self.given[day].extend((first..first + records).map(|number| format!("{day}-{number}")));
        if self.standing().expiry().has(date(day)) {
            return;
        }
        let mut archive = Archive::open(self.lock(), SHAPE, 0o640, now()).unwrap();
        let time = format!("{}T10:00:00Z", DAYS[day]);
        let given = self.given[day].iter().map(|id| record(id, &time)).collect();
        for batch in Batch::by_day(given) {
            let new = archive.deduplicate(batch).unwrap().new;
            archive.append(&new).unwrap();
            let new = new.records().iter().map(|record| record.line.to_string() + "\n");
            self.lines[day].extend(new);
        }
        drop(archive);
        self.count(day);
    }

    fn count(&self, day: usize) {
        let journal = Journal::of(&self.place.location);
        let mut entry = journal.newest().unwrap().unwrap();
        let (listing, mut counter) = (
            self.place.location.listing().unwrap(),
            LineCounter::of(&self.place.location),
        );
        let mut count = |file| counter.count(file).unwrap();
        let plain = listing.days.get(&date(day)).map(&mut count);
        let packed = listing.packed.get(&date(day)).map(&mut count);
        let counted = Counted {
            lines: plain.map_or(0, |plain| plain.lines),
            bytes: plain.map_or(0, |plain| plain.bytes),
            compressed: packed.map_or(0, |packed| packed.lines),
        };
        entry.counts.insert(date(day), counted);
        journal.append(&entry).unwrap();
    }

    fn packer(&self) -> Result<Packer, UpkeepError> {
        let packer = Packer::under(self.lock());
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
            packer.unpack(packed, listing.days.get(date))?;
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
        rule.carry_out(&self.place, &mut plan, &self.lock()).map(drop)
    }

    fn hold(&mut self, day: usize) {
        self.catalog.disk.restart();
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
                self.sent[day].push(text + "\n");
            }
            self.positions.update(&batch.end_of(batch.lines().len()));
        }
    }

    /// Seals all of it; returns what is not as it was sealed.
    fn seal(&self) -> Vec<String> {
        let options = SealOptions {
            now: now(),
            after: self.evidence.after,
            every: self.evidence.every,
            full: true,
        };
        let seal = Keeper::new(&self.evidence).seal(std::slice::from_ref(&self.place), options);
        let streams = seal.into_iter().flat_map(|seal| seal.streams.into_values());
        streams.flat_map(|stream| stream.problems).collect()
    }

    fn check(&self, when: &str) {
        let standing = self.standing();
        assert!(standing.sum.lost.is_empty(), "{when}: {:?}", standing.sum.lost);
        for day in 0..DAYS.len() {
            let is_expired = standing.sum.is_expired(date(day));
            assert!(!is_expired || !self.held.contains(&day), "{when}: {day} is held");
            let mut content = Vec::new();
            content_of(&standing.listing, date(day), &mut content).unwrap();
            let content = String::from_utf8(content).unwrap();
            assert!(
                is_expired || content == self.lines[day].concat(),
                "{when}: {day} holds {content}"
            );
            assert!(
                self.lines[day].starts_with(&self.sent[day]),
                "{when}: sent {:?}",
                self.sent[day]
            );
        }
    }

    /// After everything was ended that was begun, all is forwarded, and what was sealed is true.
    fn check_at_the_end(mut self) {
        self.catalog.disk.restart();
        self.seal();
        self.expire().unwrap();
        self.pack().unwrap();
        self.forward();
        self.check("at the end");
        let sum = self.standing().sum;
        for day in (0..DAYS.len()).filter(|day| !sum.is_expired(date(*day))) {
            assert_eq!(self.sent[day], self.lines[day], "day {day}");
        }
        assert_eq!(self.seal(), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn nothing_is_lost_doubled_or_deleted_that_is_held_whatever_happens(ops in prop::collection::vec(op(), 1..30)) {
        let mut model = Model::new();
        for op in ops {
            let when = format!("after {op:?}");
            match op {
                Op::Collect(day, records) => model.collect(day, records),
                Op::Pack => drop(model.pack()),
                Op::Unpack => drop(model.unpack()),
                Op::Expire => drop(model.expire()),
                Op::Hold(day) => model.hold(day),
                Op::Release => {
                    model.catalog.disk.restart();
                    Holds::release(&model.place.location, "tfc", "2026/17", now()).unwrap();
                    model.held.clear();
                }
                Op::Forward => model.forward(),
                Op::Seal => drop(model.seal()),
                Op::Arm(after, bytes) => {
                    model.catalog.disk.arm(after, Fault::Killed(bytes));
                    continue;
                }
                Op::PowerCut(left) => {
                    model.catalog.disk.restart();
                    model.catalog.disk.cut_power(model.catalog.folder(), left);
                }
            }
            // Whoever looks is another process.
            model.catalog.disk.restart();
            model.check(&when);
        }
        model.check_at_the_end();
    }
}
