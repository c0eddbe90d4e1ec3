//! What a run opens and reads does not grow with what is in the archive.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::*;

/// Returns a record of 4 KiB of one day, one for each second.
fn second(number: i64) -> Record {
    let time = time("2025-06-09T00:00:00Z") + TimeDelta::seconds(number);
    let (time, padding) = (time.to_rfc3339(), "x".repeat(4_096));
    let json = format!(r#"{{"id": "{number}", "timestamp": "{time}", "padding": "{padding}"}}"#);
    Record::read(&json, &SHAPE).unwrap()
}

fn seconds(numbers: std::ops::Range<i64>) -> Vec<Record> {
    numbers.map(second).collect()
}

#[test]
fn a_run_opens_no_more_day_files_the_more_there_are() {
    let catalog = Catalog::with_state_folder();
    let first = "2024-01-01".parse::<NaiveDate>().unwrap();
    for day in first.iter_days().take(300) {
        let day = day.to_string();
        catalog.write(&day, &line("1", &format!("{day}T00:00:00Z")));
    }
    let opened = |turn| {
        let mut archive = Archive::new(
            catalog.location.clone(),
            Arc::new(catalog.disk.clone()),
            None,
            SHAPE,
            0o640,
        );
        archive.location = catalog.location.clone().on(catalog.disk.clone());
        catalog.disk.log();
        let listing = archive.location.listing().unwrap();
        archive.repair(now(), turn, &listing).unwrap();
        let log = catalog.disk.log();
        let names = log.iter().filter(|entry| entry.starts_with("read mail_"));
        names.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((opened(Turn::All), opened(Turn::Of(now()))), (300, 16));
}

#[test]
fn of_a_record_from_before_the_resume_point_no_more_is_read_than_has_to_be() {
    let catalog = Catalog::with_state_folder();
    let run = |records: Vec<Record>, newest| {
        let mut archive = catalog.open();
        archive.recover(now(), TimeDelta::seconds(20)).unwrap();
        let deduplicated = archive.deduplicate_all(records).unwrap();
        let day = archive.known.day("2025-06-09".parse().unwrap()).unwrap();
        let known = seconds(0..1_000).iter().filter(|record| day.holds(record)).count();
        let (new, duplicates) = (deduplicated.new.len(), deduplicated.duplicates);
        archive.append_all(deduplicated.new).unwrap();
        archive.note_resume_points(second(newest).time, TimeDelta::seconds(20));
        (new, duplicates, known)
    };
    run(seconds(0..1_000), 999);
    for newest in 1_000..1_003 {
        let (new, duplicates, known) = run(seconds(newest - 200..newest + 1), newest);
        assert_eq!((new, duplicates), (1, 200));
        assert!((197..600).contains(&known), "{known} records were read");
    }
    assert_eq!(run(seconds(1..1_003), 1_002).1, 1_002, "all that is needed is read");
}

#[test]
fn what_was_rejected_is_not_read_where_every_line_is_a_record() {
    let catalog = Catalog::with_state_folder().with(&[("2025-06-09", &line("1", "2025-06-09T00:00:00Z"))]);
    let name = catalog.location.state_file(REJECTED);
    fs::write(
        &name,
        "{\"reason\": \"torn line, repaired\", \"file\": \"mail_2025-06-09.log\", \"offset\": 3}\n",
    )
    .unwrap();
    let read_rejected = || {
        let mut archive = catalog.open();
        archive.recover(now(), TimeDelta::zero()).unwrap();
        archive.rejected.is_read()
    };
    assert!(!read_rejected());
    catalog.append("2025-06-09", "no record\n");
    assert!(read_rejected());
}

#[test]
fn of_all_that_was_rejected_a_run_reads_only_the_end_for_what_is_rejected_again() {
    let catalog = Catalog::with_state_folder();
    let odd = |id: &str| record(id, "2025-06-09T00:00:00Z").into_rejected("odd");
    let note = |rejected: &[Rejected]| {
        let mut archive = catalog.open();
        let noted = archive.reject(rejected, now()).unwrap().records;
        (noted, archive.rejected.is_read())
    };
    assert_eq!(note(&[odd("1"), odd("2")]), (2, true));
    assert_eq!(note(&[]), (0, false));
    assert_eq!(note(&[odd("2")]), (0, false));
    assert_eq!(note(&[odd("2"), odd("1")]), (0, false));
    assert_eq!(note(&[odd("1"), odd("3")]), (1, true));
    // So many that the first are no longer among the last.
    let more: Vec<_> = (0..10_000).map(|number| odd(&format!("more {number}"))).collect();
    assert_eq!(note(&more), (10_000, true));
    assert_eq!(note(&[odd("1"), odd("more 9999")]), (0, true));
    assert_eq!(note(&[odd("more 9999")]), (0, false));
}
