//! Resume points change nothing about what is found.

use std::fs::OpenOptions;
use std::io::Write;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::super::faulty::Fault;
use super::*;
use crate::test_support::random::cases;

const DAY: &str = "2025-06-09";

fn overlap() -> TimeDelta {
    TimeDelta::minutes(2)
}

/// Returns a record of one day, one for each minute.
fn minute(number: i64) -> Record {
    let time = time("2025-06-09T00:00:00Z") + TimeDelta::minutes(number);
    record(&number.to_string(), &time.to_rfc3339())
}

fn minutes(numbers: impl IntoIterator<Item = i64>) -> Vec<Record> {
    numbers.into_iter().map(minute).collect()
}

impl Catalog {
    fn note(&self) -> PathBuf {
        self.location.state_file(resume::FILE)
    }

    /// Opens an archive that notes resume points for files of any size.
    fn open_noting(&self) -> Archive {
        let mut archive = self.open();
        archive.smallest_offset = 1;
        archive
    }

    /// Runs with these records.
    fn run(&self, records: Vec<Record>, overlap: TimeDelta) {
        let mut archive = self.open_noting();
        let last = archive.recover(now(), TimeDelta::minutes(2)).unwrap().last;
        let newest = records.iter().map(|record| record.time).max();
        file(&mut archive, records);
        if let Some(last) = last.max(newest) {
            archive.note_resume_points(last, overlap);
        }
    }

    /// Returns a catalog with a day file of 600 minutes and its resume point.
    fn with_note() -> Self {
        let catalog = Self::with_state_folder();
        catalog.run(minutes(0..600), overlap());
        assert!(catalog.reads_only_the_end());
        catalog
    }

    /// Returns how many records of the day are known after recovery.
    fn known_after_recovery(&self) -> usize {
        let mut archive = self.open_noting();
        archive.recover(now(), TimeDelta::minutes(2)).unwrap();
        let day = archive.known.day(DAY.parse().unwrap());
        let records = minutes(0..700);
        let is_known = |record: &&Record| day.is_some_and(|day| day.holds(record));
        records.iter().filter(is_known).count()
    }

    fn reads_only_the_end(&self) -> bool {
        self.known_after_recovery() < 10
    }

    fn append_as_another_program(&self, text: &str) {
        let mut file = OpenOptions::new().append(true).open(self.path(DAY)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn only_the_end_of_the_newest_file_is_read() {
    let catalog = Catalog::with_note();
    // The overlap, its margin, and up to one record before it.
    assert_eq!(catalog.known_after_recovery(), 4);
    let mut archive = catalog.open_noting();
    assert_eq!(
        archive.recover(now(), TimeDelta::minutes(2)).unwrap().last,
        Some(minute(599).time)
    );
    let deduplicated = archive.deduplicate_all(minutes(597..602)).unwrap();
    assert_eq!((deduplicated.new.len(), deduplicated.duplicates), (2, 3));
}

#[test]
fn for_a_record_before_the_end_the_whole_file_is_read() {
    let catalog = Catalog::with_note();
    let mut archive = catalog.open_noting();
    archive.recover(now(), TimeDelta::minutes(2)).unwrap();
    assert_eq!(archive.deduplicate_all(minutes([3, 599])).unwrap().duplicates, 2);
}

#[test]
fn an_id_is_compared_with_records_of_its_time_and_so_the_end_is_enough() {
    let catalog = Catalog::with_state_folder();
    catalog.run(minutes(0..600), overlap());
    let mut archive = catalog.open_noting();
    archive.recover(now(), TimeDelta::minutes(2)).unwrap();
    let another_time = record("3", "2025-06-09T09:59:30Z");
    let revised = r#"{"id": "599", "timestamp": "2025-06-09T09:59:00Z", "user": "new"}"#;
    let came = vec![another_time, Record::read(revised, &SHAPE).unwrap()];
    let deduplicated = archive.deduplicate_all(came).unwrap();
    assert_eq!((deduplicated.new.len(), deduplicated.revisions.len()), (1, 1));
    let day = archive.known.day(DAY.parse().unwrap()).unwrap();
    assert!(!day.holds(&minute(3)), "the start of the file was not read");
}

#[test]
fn late_records_are_known_and_leave_the_resume_point() {
    let catalog = Catalog::with_note();
    let late = || {
        vec![
            record("late", "2025-06-09T01:00:30Z"),
            record("new", "2025-06-09T10:00:00Z"),
        ]
    };
    catalog.run(late(), overlap());
    assert!(catalog.text(DAY).contains("late"));
    assert!(catalog.reads_only_the_end());
    let mut archive = catalog.open_noting();
    assert_eq!(
        archive.recover(now(), TimeDelta::minutes(2)).unwrap().last,
        Some(time("2025-06-09T10:00:00Z"))
    );
    assert_eq!(archive.deduplicate_all(late()).unwrap().duplicates, 2);
}

#[test]
fn with_a_note_that_does_not_match_the_file_the_whole_file_is_read() {
    type Change = fn(&Catalog);
    let changes: [(&str, Change); 7] = [
        ("the note is gone", |catalog| fs::remove_file(catalog.note()).unwrap()),
        ("the note is empty", |catalog| fs::write(catalog.note(), "").unwrap()),
        ("the note is changed", |catalog| {
            let text = fs::read_to_string(catalog.note()).unwrap();
            let (before, after) = text.split_once("\"offset\":").unwrap();
            fs::write(catalog.note(), format!("{before}\"offset\":1{after}")).unwrap();
        }),
        ("a line was appended", |catalog| {
            catalog.append_as_another_program("{\"id\": \"x\", \"timestamp\": \"2025-06-09T00:00:30Z\"}\n");
        }),
        ("the file was cut", |catalog| {
            let lines = catalog
                .text(DAY)
                .lines()
                .take(599)
                .map(|line| format!("{line}\n"))
                .collect::<String>();
            fs::write(catalog.path(DAY), lines).unwrap();
        }),
        ("the file is another one", |catalog| {
            let text = catalog.text(DAY);
            fs::remove_file(catalog.path(DAY)).unwrap();
            fs::write(catalog.path(DAY), text).unwrap();
        }),
        ("a byte in the middle was changed", |catalog| {
            let text = catalog.text(DAY).replacen("T05:00:00+", "T05:00:01+", 1);
            // In place, so that the inode stays the same.
            OpenOptions::new()
                .write(true)
                .open(catalog.path(DAY))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        }),
    ];
    for (what, change) in changes {
        let catalog = Catalog::with_note();
        change(&catalog);
        assert!(catalog.known_after_recovery() > 590, "{what}");
    }
}

#[test]
fn a_note_with_another_offset_or_time_is_not_used() {
    let catalog = Catalog::with_note();
    let mut resume_points = resume::read(&catalog.location);
    for (offset, time) in [
        ("30000", None),
        ("0", None),
        ("99999999", None),
        ("", Some("2025-06-09T09:00:00Z")),
    ] {
        let json = serde_json::to_string(&resume_points).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        if let Ok(offset) = offset.parse::<u64>() {
            value[0]["offset"] = offset.into();
        }
        if let Some(time) = time {
            value[0]["time"] = time.into();
        }
        // Wrong, but with a valid check.
        let wrong = resume::text(serde_json::from_value(value).unwrap()).unwrap();
        fs::write(catalog.note(), wrong).unwrap();
        assert!(catalog.known_after_recovery() > 590, "{offset} {time:?}");
    }
    fs::write(
        catalog.note(),
        resume::text(std::mem::take(&mut resume_points)).unwrap(),
    )
    .unwrap();
    assert!(catalog.reads_only_the_end());
}

#[test]
fn just_after_midnight_the_ends_of_two_files_are_noted() {
    let catalog = Catalog::with_state_folder();
    let night = || minutes(0..1441);
    catalog.run(night(), overlap());
    let mut archive = catalog.open_noting();
    archive.recover(now(), TimeDelta::minutes(2)).unwrap();
    let last_three = night().split_off(1438);
    assert_eq!(archive.deduplicate_all(last_three).unwrap().duplicates, 3);
    let yesterday = archive.known.day(DAY.parse().unwrap()).unwrap();
    assert!(!yesterday.holds(&minute(3)));
}

#[test]
fn small_files_are_not_noted_and_a_dry_run_notes_none() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open();
    file(&mut archive, minutes(0..600));
    archive.note_resume_points(minute(599).time, overlap());
    assert!(!catalog.note().exists());
    let mut archive = catalog.dry_run();
    archive.smallest_offset = 1;
    archive.recover(now(), TimeDelta::minutes(2)).unwrap();
    archive.note_resume_points(minute(599).time, overlap());
    assert!(!catalog.note().exists());
}

#[test]
fn a_note_that_cannot_be_written_stops_nothing() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open_noting();
    file(&mut archive, minutes(0..600));
    catalog.disk.arm(0, Fault::Full(0));
    archive.note_resume_points(minute(599).time, overlap());
    assert!(!catalog.note().exists());
    assert_eq!(file(&mut archive, minutes([600])).records, 1);
}

#[test]
fn what_another_program_wrote_during_the_run_is_not_skipped() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open_noting();
    file(&mut archive, minutes(0..300));
    catalog.append_as_another_program("{\"id\": \"x\", \"timestamp\": \"2025-06-09T20:00:00Z\"}\n");
    file(&mut archive, minutes(300..600));
    archive.note_resume_points(minute(599).time, overlap());
    assert!(!catalog.note().exists());
}

/// What happens to the files between two runs.
#[derive(Clone, Debug)]
enum Event {
    /// A run with these minutes, and an overlap of this many.
    Run(Vec<i64>, i64),
    /// Another program appends these minutes.
    Foreign(Vec<i64>),
    /// Another program removes this many bytes from the end.
    Cut(usize),
    /// Another program changes this byte of the file.
    Flip(usize),
    /// The note is replaced by the first one.
    OldNote,
    NoNote,
}

fn event() -> impl Strategy<Value = Event> {
    let numbers = || (0_i64..1500, prop::collection::vec(-20_i64..20, 0..30));
    let near = |(middle, around): (i64, Vec<i64>)| around.into_iter().map(|by| (middle + by).max(0)).collect();
    prop_oneof![
        6 => (numbers().prop_map(near), 0_i64..30).prop_map(|(numbers, overlap)| Event::Run(numbers, overlap)),
        1 => numbers().prop_map(near).prop_map(Event::Foreign),
        1 => (0_usize..200).prop_map(Event::Cut),
        1 => any::<usize>().prop_map(Event::Flip),
        1 => Just(Event::OldNote),
        1 => Just(Event::NoNote),
    ]
}

fn apply(catalog: &Catalog, event: &Event, first_note: &mut Option<Vec<u8>>) {
    let path = catalog.path(DAY);
    let text = fs::read(&path).unwrap_or_default();
    match event {
        Event::Run(numbers, overlap) => {
            catalog.run(minutes(numbers.clone()), TimeDelta::minutes(*overlap));
            if first_note.is_none() {
                *first_note = fs::read(catalog.note()).ok();
            }
        }
        Event::Foreign(numbers) if !text.is_empty() => {
            let lines = minutes(numbers.clone())
                .into_iter()
                .map(|record| format!("{}\n", record.line));
            catalog.append_as_another_program(&lines.collect::<String>());
        }
        Event::Cut(bytes) if !text.is_empty() => {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(text.len().saturating_sub(*bytes) as u64).unwrap();
        }
        Event::Flip(place) if !text.is_empty() => {
            let mut text = text;
            let place = place % text.len();
            text[place] ^= 1;
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .write_all(&text)
                .unwrap();
        }
        Event::OldNote => {
            if let Some(note) = first_note {
                fs::write(catalog.note(), note).unwrap();
            }
        }
        Event::NoNote => drop(fs::remove_file(catalog.note())),
        Event::Foreign(_) | Event::Cut(_) | Event::Flip(_) => {}
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn whatever_happened_to_the_files_the_note_does_not_change_what_is_found(
        events in prop::collection::vec(event(), 1..14),
        asked in prop::collection::vec((0_i64..1500, 1_i64..40), 1..4),
    ) {
        let catalog = Catalog::with_state_folder();
        let mut first_note = None;
        for event in &events {
            apply(&catalog, event, &mut first_note);
            // Both use the same files; what the first repairs, the second finds repaired.
            let mut with = catalog.open_noting();
            let mut without = catalog.open_noting();
            without.resume_points.clear();
            prop_assert_eq!(with.recover(now(), TimeDelta::minutes(2)).unwrap().last, without.recover(now(), TimeDelta::minutes(2)).unwrap().last);
            for (first, count) in &asked {
                let records = minutes(*first..first + count);
                prop_assert_eq!(with.deduplicate_all(records.clone()).unwrap(), without.deduplicate_all(records).unwrap());
            }
        }
    }
}
