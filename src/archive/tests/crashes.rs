//! Torn lines, kills, faults and power cuts: nothing lost, nothing repeated, no byte changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::super::faulty::Fault;
use super::*;
use crate::test_support::random::cases;

/// Number of different records in the random runs.
const RECORDS: u8 = 60;

/// The records of the random runs by number: three an hour with one time, over several days, of several lengths.
static NUMBERED: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let make = |number: u8| {
        let time = time("2025-06-09T20:00:00Z") + TimeDelta::hours(i64::from(number / 3));
        let text = "é\u{2028}".repeat(usize::from(number % 7) * 9);
        let json = format!(
            r#"{{"id": {number}, "text": "{text}", "timestamp": "{}"}}"#,
            time.to_rfc3339()
        );
        Record::read(&json, &SHAPE).unwrap()
    };
    (0..RECORDS).map(make).collect()
});

fn numbered(number: u8) -> Record {
    NUMBERED[usize::from(number)].clone()
}

fn number_of(record: &Record) -> u8 {
    NUMBERED.iter().position(|numbered| numbered == record).unwrap() as u8
}

/// Returns the contents of all day files.
fn snapshot(catalog: &Catalog) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = catalog.location.day_files().unwrap();
    files
        .into_iter()
        .map(|file| (file.path.clone(), fs::read(file.path).unwrap()))
        .collect()
}

/// Returns the numbers of the records in the day files, each of which must be in the file of its day.
fn archived(catalog: &Catalog) -> Vec<u8> {
    let mut archived = Vec::new();
    for file in catalog.location.day_files().unwrap() {
        for line in String::from_utf8_lossy(&fs::read(&file.path).unwrap()).split_inclusive('\n') {
            let Ok(found) = Record::read(line, &SHAPE) else {
                continue;
            };
            assert_eq!(found.time.date_naive(), file.date);
            archived.push(number_of(&found));
        }
    }
    archived.sort_unstable();
    archived
}

/// Counts those of these records whose whole line is in a day file.
fn whole_lines(catalog: &Catalog, numbers: &[u8]) -> u64 {
    let snapshot = snapshot(catalog);
    let lines = snapshot
        .values()
        .flat_map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n'));
    let whole: BTreeSet<&[u8]> = lines.filter_map(|line| line.strip_suffix(b"\n")).collect();
    let is_there = |number: &&u8| whole.contains(numbered(**number).line.as_bytes());
    numbers.iter().filter(is_there).count() as u64
}

/// Returns the numbers of the records that are noted as rejected.
fn noted(catalog: &Catalog) -> Vec<u8> {
    let notes = catalog.rejected_notes();
    let record = |note: &str| Record::read(note.split_once("\"record\": ")?.1.strip_suffix('}')?, &SHAPE).ok();
    let mut noted: Vec<u8> = notes
        .lines()
        .filter_map(record)
        .map(|record| number_of(&record))
        .collect();
    noted.sort_unstable();
    noted
}

#[test]
fn a_day_file_cut_at_any_byte_is_completed_without_a_change() {
    let catalog = Catalog::with_state_folder();
    let records = NUMBERED[..12].to_vec();
    assert!(records.iter().all(|record| record.time < time("2025-06-10T00:00:00Z")));
    let last = records.iter().map(|record| record.time).max();
    file(&mut catalog.open(), records.clone());
    let path = catalog.path("2025-06-09");
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 1500);
    for cut in whole.len().saturating_sub(2048)..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let _ = fs::remove_file(catalog.location.state_file("rejected.jsonl"));
        let is_record = Record::read(
            std::str::from_utf8(&whole[..cut])
                .unwrap_or("")
                .lines()
                .last()
                .unwrap_or(""),
            &SHAPE,
        );
        let is_torn = cut > 0 && whole[cut - 1] != b'\n';

        let mut archive = catalog.open();
        let expected = match (is_torn, is_record.is_ok()) {
            (false, _) => Repairs {
                completed: 0,
                repaired: 0,
            },
            (true, true) => Repairs {
                completed: 1,
                repaired: 0,
            },
            (true, false) => Repairs {
                completed: 0,
                repaired: 1,
            },
        };
        assert_eq!(archive.repaired(), expected, "cut at {cut}");
        archive.recover(now(), TimeDelta::minutes(2)).unwrap();
        file(&mut archive, records.clone());

        let repaired = fs::read(&path).unwrap();
        assert!(repaired.starts_with(&whole[..cut]), "cut at {cut}");
        assert!(repaired.ends_with(b"\n"));
        assert_eq!(
            archived(&catalog),
            (0..records.len() as u8).collect::<Vec<_>>(),
            "cut at {cut}"
        );
        let counts = day::LineCounts {
            records: records.len() as u64,
            repaired: expected.repaired,
            skipped: 0,
            first_skipped: None,
        };
        assert_eq!(catalog.counts("2025-06-09"), counts, "cut at {cut}");
        assert_eq!(catalog.rejected_notes().lines().count() as u64, expected.repaired);

        let mut archive = catalog.open();
        assert_eq!(archive.repaired(), Repairs::default());
        assert_eq!(archive.recover(now(), TimeDelta::minutes(2)).unwrap().last, last);
        assert_eq!(
            archive.deduplicate_all(records.clone()).unwrap().duplicates,
            records.len() as u64
        );
        assert_eq!(fs::read(&path).unwrap(), repaired);
    }
}

#[test]
fn every_day_file_is_repaired_and_a_torn_line_noted_with_its_place() {
    let catalog = Catalog::with_state_folder().with(&[
        ("2024-01-01", "{\"id\": \"a\", \"timestamp\": \"2024-01-01T00:00:00Z\"}"),
        ("2025-06-09", "odd\n{\"id\": \"b\", \"timest"),
        ("2025-06-10", ""),
        ("2025-06-11", "odd\n"),
        ("2030-01-01", "\0\0\0"),
    ]);
    fs::write(catalog.folder().join("mail_2025-06-09.log.bak"), "half").unwrap();
    assert_eq!(
        catalog.open().repaired(),
        Repairs {
            completed: 1,
            repaired: 2
        }
    );
    assert!(catalog.text("2024-01-01").ends_with("Z\"}\n"));
    assert_eq!(catalog.text("2025-06-09"), "odd\n{\"id\": \"b\", \"timest\n");
    assert_eq!(catalog.text("2025-06-10"), "");
    assert_eq!(catalog.text("2030-01-01"), "\0\0\0\n");
    assert_eq!(
        fs::read(catalog.folder().join("mail_2025-06-09.log.bak")).unwrap(),
        b"half"
    );
    let note = r#"{"noted_at": "2026-01-01T00:00:00.000Z", "reason": "torn line, repaired", "file": "mail_2025-06-09.log", "offset": 4, "fragment": "{\"id\": \"b\", \"timest"}"#;
    assert!(
        catalog.rejected_notes().starts_with(&format!("{note}\n")),
        "{}",
        catalog.rejected_notes()
    );
    assert_eq!(catalog.open().repaired(), Repairs::default());
    assert_eq!(catalog.rejected_notes().lines().count(), 2);
}

#[test]
fn a_torn_line_is_noted_then_terminated_and_both_are_synced_before_they_are_relied_on() {
    let catalog = Catalog::with_state_folder().with(&[("2025-06-09", "{\"id\": "), ("2025-06-10", "half")]);
    let mut archive = catalog.open();
    archive.recover(now(), TimeDelta::minutes(2)).unwrap();
    let expected = [
        "write mail.rejected.jsonl",
        "sync mail.rejected.jsonl",
        "sync names in .trailkeeper",
        "write mail_2025-06-09.log",
        "sync mail_2025-06-09.log",
        "write mail.rejected.jsonl",
        "sync mail.rejected.jsonl",
        "write mail_2025-06-10.log",
        "sync mail_2025-06-10.log",
        "sync names in catalog",
        "sync_existing mail_2025-06-10.log",
        "sync_existing mail_2025-06-09.log",
    ];
    assert_eq!(catalog.log(), expected);
    catalog.open().recover(now(), TimeDelta::minutes(2)).unwrap();
    let expected = [
        "sync names in catalog",
        "sync_existing mail.rejected.jsonl",
        "sync names in .trailkeeper",
        "sync_existing mail_2025-06-10.log",
        "sync_existing mail_2025-06-09.log",
    ];
    assert_eq!(catalog.log(), expected, "what a killed run left may not be on disk yet");
}

#[test]
fn a_kill_at_any_operation_loses_nothing_even_with_a_power_cut() {
    let (first, second) = (NUMBERED[..20].to_vec(), NUMBERED.to_vec());
    let run = |catalog: &Catalog| -> Result<(), ()> {
        let mut archive = catalog.try_open().map_err(drop)?;
        archive.recover(now(), TimeDelta::minutes(2)).map_err(drop)?;
        let deduplicated = archive.deduplicate_all(second.clone()).map_err(drop)?;
        archive.append_all(deduplicated.new).map_err(drop)?;
        archive
            .reject(&[second[0].clone().into_rejected("odd")], now())
            .map(drop)
            .map_err(drop)
    };
    for share in [None, Some(0), Some(100), Some(255)] {
        for operation in 0.. {
            let catalog = Catalog::with_state_folder();
            file(&mut catalog.open(), first.clone());
            fs::write(catalog.path("2025-06-08"), "half a li").unwrap();
            catalog.disk.arm(operation, Fault::Killed(operation as usize * 37));
            let outcome = run(&catalog);
            catalog.disk.restart();
            if let Some(share) = share {
                catalog.disk.cut_power(catalog.folder(), share);
            }
            if outcome.is_ok() {
                assert!(operation > 20, "the run has more operations than this");
                break;
            }
            assert!(
                (0..20).all(|number| archived(&catalog).contains(&number)),
                "killed at {operation}, left {share:?}"
            );
            run(&catalog).unwrap();
            assert_eq!(
                archived(&catalog),
                (0..RECORDS).collect::<Vec<_>>(),
                "killed at {operation}, left {share:?}"
            );
            let records = catalog
                .rejected_notes()
                .lines()
                .filter(|note| note.contains("\"odd\", \"record\": {"))
                .count();
            assert_eq!(records, 1, "killed at {operation}, left {share:?}");
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Deduplicate and append these records.
    File(Vec<u8>),
    /// Reject this record.
    Reject(u8),
    /// Set a fault after this many operations.
    Arm(u64, Fault),
    /// End the process, if it still runs, and start it again.
    Reopen,
    /// Cut the power and start again; this share of what was not synced is left.
    PowerCut(u8),
}

fn fault() -> impl Strategy<Value = Fault> {
    let bytes = || 0usize..900;
    prop_oneof![
        bytes().prop_map(Fault::Short),
        Just(Fault::Interrupted),
        bytes().prop_map(Fault::Full),
        bytes().prop_map(Fault::Broken),
        bytes().prop_map(Fault::Killed),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => prop::collection::vec(0..RECORDS, 0..25).prop_map(Op::File),
        1 => (0..RECORDS).prop_map(Op::Reject),
        4 => (0u64..25, fault()).prop_map(|(after, fault)| Op::Arm(after, fault)),
        3 => Just(Op::Reopen),
        1 => prop_oneof![Just(0), Just(255), any::<u8>()].prop_map(Op::PowerCut),
    ]
}

/// A catalog under random operations, and the model to check it against.
struct Model {
    catalog: Catalog,
    /// `None` after an error: a run ends with its first one.
    archive: Option<Archive>,
    /// Records that the archive has confirmed as archived.
    confirmed: BTreeSet<u8>,
    /// Records that it has confirmed as noted.
    noted: BTreeSet<u8>,
    /// The day files when they were read last.
    seen: BTreeMap<PathBuf, Vec<u8>>,
}

impl Model {
    fn new() -> Self {
        let catalog = Catalog::with_state_folder();
        let archive = Some(catalog.open());
        Self {
            catalog,
            archive,
            confirmed: BTreeSet::new(),
            noted: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    fn perform(&mut self, op: &Op) {
        match op {
            Op::File(numbers) => self.file(numbers),
            Op::Reject(number) => self.reject(*number),
            Op::Arm(after, fault) => self.catalog.disk.arm(*after, *fault),
            Op::Reopen => self.reopen(),
            Op::PowerCut(left) => self.cut_power(*left),
        }
        self.check();
    }

    fn file(&mut self, numbers: &[u8]) {
        let Some(mut archive) = self.archive.take() else { return };
        let records = numbers.iter().map(|number| numbered(*number)).collect();
        let Ok(deduplicated) = archive.deduplicate_all(records) else {
            return;
        };
        let mut new = deduplicated.new.clone();
        new.sort_by_key(|record| record.time);
        let new: Vec<u8> = new.iter().map(number_of).collect();
        match archive.append_all(deduplicated.new) {
            Ok(appended) => {
                assert_eq!(appended.records, new.len() as u64);
                self.confirmed.extend(numbers);
                self.archive = Some(archive);
            }
            Err(Stopped { appended, .. }) => {
                let synced = appended.records - appended.unsynced;
                self.confirmed.extend(&new[..synced as usize]);
                self.assert_no_hole(&new);
                assert_eq!(whole_lines(&self.catalog, &new), appended.records);
                assert!(
                    archive.append_all(vec![numbered(0)]).is_err(),
                    "it goes on after an error"
                );
            }
        }
    }

    fn reject(&mut self, number: u8) {
        let Some(mut archive) = self.archive.take() else { return };
        let rejected = numbered(number).into_rejected("odd");
        let before = noted(&self.catalog);
        let (newly_noted, is_noted) = Incomplete::split(archive.reject(&[rejected], now()));
        assert!(newly_noted.records == 0 || !before.contains(&number), "noted again");
        if is_noted.is_ok() {
            self.noted.insert(number);
            self.archive = Some(archive);
        } else {
            let there = noted(&self.catalog).len() - before.len();
            // A process that is dead reads nothing.
            assert!(
                [0, there as u64].contains(&newly_noted.records),
                "{newly_noted:?}, {there}"
            );
        }
    }

    /// What an append wrote before it failed must be its oldest part.
    fn assert_no_hole(&self, batch: &[u8]) {
        let archived = archived(&self.catalog);
        let is_archived: Vec<bool> = batch.iter().map(|number| archived.contains(number)).collect();
        assert!(
            is_archived.is_sorted_by(|older, newer| older >= newer),
            "a hole: {is_archived:?}"
        );
    }

    /// Starts the program; if a set fault ends it, starts it again on a disk that works.
    fn reopen(&mut self) {
        self.archive = None;
        let first = self.catalog.try_open();
        self.archive = Some(first.unwrap_or_else(|_| {
            self.catalog.disk.restart();
            self.catalog.open()
        }));
    }

    fn cut_power(&mut self, left: u8) {
        self.archive = None;
        for (path, bytes) in &mut self.seen {
            bytes.truncate(self.catalog.disk.synced_length(path));
        }
        self.seen.retain(|_, bytes| !bytes.is_empty());
        self.catalog.disk.restart();
        self.catalog.disk.cut_power(self.catalog.folder(), left);
        self.reopen();
    }

    /// Checks that no byte has changed, and that what was confirmed is there once.
    fn check(&mut self) {
        let found = snapshot(&self.catalog);
        for (path, before) in &self.seen {
            assert!(
                found.get(path).is_some_and(|bytes| bytes.starts_with(before)),
                "{} has changed",
                path.display()
            );
        }
        self.seen = found;
        let archived = archived(&self.catalog);
        assert!(archived.is_sorted_by(|one, next| one < next), "repeated: {archived:?}");
        let lost: Vec<_> = self
            .confirmed
            .iter()
            .filter(|number| !archived.contains(number))
            .collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let noted = noted(&self.catalog);
        assert!(noted.is_sorted_by(|one, next| one < next), "noted twice: {noted:?}");
        assert!(self.noted.iter().all(|number| noted.contains(number)), "a note is lost");
    }

    /// Sends everything again, to a disk that works.
    fn finish(&mut self) {
        self.catalog.disk.restart();
        self.reopen();
        self.perform(&Op::File((0..RECORDS).rev().collect()));
        assert_eq!(archived(&self.catalog), (0..RECORDS).collect::<Vec<_>>());
        for day in self.catalog.location.day_files().unwrap() {
            let counts = self.catalog.counts(&day.date.to_string());
            assert_eq!(counts.skipped, 0, "every torn line is noted");
            assert!(fs::read(day.path).unwrap().ends_with(b"\n"));
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn whatever_fails_every_record_is_archived_once_and_no_byte_changes(ops in prop::collection::vec(op(), 1..40)) {
        let mut model = Model::new();
        for op in &ops {
            model.perform(op);
        }
        model.finish();
    }
}
