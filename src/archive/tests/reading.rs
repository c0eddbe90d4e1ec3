//! Finding the last record, and recognizing records that come again.

use super::*;

fn recovered(catalog: &Catalog) -> Option<DateTime<Utc>> {
    let last = catalog
        .open()
        .recover(now(), chrono::TimeDelta::minutes(2))
        .unwrap()
        .last;
    assert_eq!(
        catalog
            .dry_run()
            .recover(now(), chrono::TimeDelta::minutes(2))
            .unwrap()
            .last,
        last
    );
    last
}

#[test]
fn an_empty_catalog_has_no_last_record() {
    assert_eq!(recovered(&Catalog::with_state_folder()), None);
}

#[test]
fn the_last_record_is_the_latest_of_the_newest_file_and_not_its_last_line() {
    let newest = [
        line("c", "2025-06-10T08:00:00Z"),
        line("d", "2025-06-10T12:00:00.120+03:00"),
        line("e", "2025-06-10T08:59:59.999Z"),
    ];
    let catalog = Catalog::with_state_folder().with(&[
        ("2025-06-09", &line("a", "2025-06-09T23:59:59Z")),
        ("2025-06-10", &newest.concat()),
    ]);
    assert_eq!(recovered(&catalog), Some(time("2025-06-10T09:00:00.120Z")));
}

#[test]
fn a_file_that_somebody_moves_after_it_was_listed_is_no_fault() {
    let catalog = Catalog::with_state_folder().with(&[
        ("2025-06-09", &line("a", "2025-06-09T10:00:00Z")),
        ("2025-06-10", &line("b", "2025-06-10T10:00:00Z")),
    ]);
    let mut archive = catalog.open();
    fs::remove_file(catalog.folder().join("mail_2025-06-10.log")).unwrap();
    let recovery = archive.recover(now(), chrono::TimeDelta::minutes(2)).unwrap();
    assert_eq!(recovery.last, Some(time("2025-06-09T10:00:00Z")));
    assert_eq!(archive.unusable().len(), 0);
}

#[test]
fn the_folder_is_listed_once_for_repairing_and_recovering() {
    let catalog = Catalog::with_state_folder().with(&[("2025-06-09", &line("a", "2025-06-09T10:00:00Z"))]);
    let lists = |archive: &mut Archive| {
        archive.recover(now(), chrono::TimeDelta::minutes(2)).unwrap();
        let log = catalog.disk.log();
        log.iter()
            .filter(|entry| entry.starts_with("list ") && !entry.ends_with("packed"))
            .count()
    };
    assert_eq!(lists(&mut catalog.open()), 1);
}

#[test]
fn files_without_a_record_are_skipped() {
    let catalog = Catalog::with_state_folder().with(&[
        ("2025-06-08", &line("a", "2025-06-08T10:00:00Z")),
        (
            "2025-06-09",
            "{\"id\": 1}\nnot a record\n\n[]\n{\"timestamp\": \"2025-02-30T00:00:00Z\"}\n",
        ),
        ("2025-06-10", "\n"),
        ("2025-06-11", ""),
    ]);
    assert_eq!(recovered(&catalog), Some(time("2025-06-08T10:00:00Z")));
}

#[test]
fn records_and_files_of_the_future_do_not_count() {
    let newest = [
        line("c", "2025-12-31T23:59:59Z"),
        line("d", "2026-01-01T00:00:00Z"),
        line("e", "2026-01-01T00:00:00.001Z"),
        line("f", "9999-12-31T00:00:00Z"),
    ];
    let catalog = Catalog::with_state_folder().with(&[
        ("2026-01-01", &newest.concat()),
        ("2026-01-02", &line("g", "2025-12-31T23:59:59.5Z")),
    ]);
    assert_eq!(recovered(&catalog), Some(now()));
    fs::write(catalog.path("2026-01-01"), &newest[2]).unwrap();
    assert_eq!(recovered(&catalog), None);
}

#[test]
fn lines_that_are_not_records_do_not_hide_those_around_them() {
    let catalog = Catalog::with_state_folder();
    let lines = [
        b"\xff\xfe\0\n".to_vec(),
        line("a", "2025-06-09T10:00:00Z").into_bytes(),
        b"\n{\"id\": \"x\", \"timestamp\": \"2025-06-09T11:0\n".to_vec(),
        line("b", "2025-06-09T10:30:00Z").replace('\n', "\r\n").into_bytes(),
        vec![0; 5000],
    ];
    fs::write(catalog.path("2025-06-09"), lines.concat()).unwrap();
    assert_eq!(recovered(&catalog), Some(time("2025-06-09T10:30:00Z")));
    let expected = day::LineCounts {
        records: 2,
        repaired: 1,
        skipped: 3,
        first_skipped: Some(1),
    };
    assert_eq!(catalog.counts("2025-06-09"), expected);
}

#[test]
fn a_record_of_many_megabytes_is_read() {
    let catalog = Catalog::with_state_folder();
    let long = format!(
        r#"{{"id": "long", "text": "{}", "timestamp": "2025-06-09T10:00:00Z"}}"#,
        "é".repeat(4 << 20)
    );
    fs::write(
        catalog.path("2025-06-09"),
        format!("{long}\n{}", line("b", "2025-06-09T09:00:00Z")),
    )
    .unwrap();
    assert_eq!(recovered(&catalog), Some(time("2025-06-09T10:00:00Z")));
}

#[test]
fn a_dry_run_counts_a_whole_record_without_a_newline_but_no_torn_line() {
    let whole = line("a", "2025-06-09T10:00:00Z");
    for (text, expected) in [
        (&whole[..whole.len() - 1], Some(time("2025-06-09T10:00:00Z"))),
        (&whole[..20], None),
    ] {
        let catalog = Catalog::with_state_folder().with(&[("2025-06-09", text)]);
        assert_eq!(
            catalog
                .dry_run()
                .recover(now(), chrono::TimeDelta::minutes(2))
                .unwrap()
                .last,
            expected
        );
        assert_eq!(catalog.counts("2025-06-09").skipped, 0);
        assert_eq!(catalog.text("2025-06-09"), text);
        assert_eq!(catalog.rejected_notes(), "");
    }
}

#[test]
fn a_vanished_folder_is_an_error_that_names_it() {
    let catalog = Catalog::with_state_folder().with(&[("2025-06-09", &line("a", "2025-06-09T10:00:00Z"))]);
    let mut archive = catalog.open();
    fs::remove_dir_all(catalog.folder()).unwrap();
    let error = archive
        .recover(now(), chrono::TimeDelta::minutes(2))
        .unwrap_err()
        .to_string();
    assert!(error.contains(catalog.folder().to_str().unwrap()), "{error}");
}

#[test]
fn records_are_compared_with_the_files_of_their_own_days() {
    let catalog = Catalog::with_state_folder().with(&[
        ("2025-06-09", &line("a", "2025-06-09T23:59:59Z")),
        ("2025-06-10", &line("b", "2025-06-10T00:00:01Z")),
    ]);
    let mut archive = catalog.open();
    archive.recover(now(), chrono::TimeDelta::minutes(2)).unwrap();
    let came = vec![
        record("b", "2025-06-10T00:00:01Z"),
        record("c", "2025-06-10T00:00:01Z"),
        record("a", "2025-06-10T02:59:59+03:00"),
        record("a", "2025-06-09T23:59:59Z"),
        record("d", "2025-06-09T23:59:59Z"),
        record("e", "2025-06-11T00:00:00Z"),
    ];
    let expected = [2, 4, 1, 5].map(|place: usize| came[place].clone());
    let deduplicated = archive.deduplicate_all(came).unwrap();
    assert_eq!(deduplicated.new, expected);
    assert_eq!(
        (deduplicated.duplicates, deduplicated.revisions.len()),
        (2, 0),
        "the `a` whose time is written otherwise comes beside the archived one"
    );
}

#[test]
fn what_repeats_in_one_batch_is_new_once() {
    let catalog = Catalog::with_state_folder();
    let twice = record("a", "2025-06-09T10:00:00Z");
    let same_value = Record::read(r#"{ "timestamp":"2025-06-09T10:00:00Z","id":"\u0061" }"#, &SHAPE).unwrap();
    let deduplicated = catalog
        .open()
        .deduplicate_all(vec![twice.clone(), same_value, twice.clone()])
        .unwrap();
    assert_eq!((deduplicated.new, deduplicated.duplicates), (vec![twice], 2));
}

#[test]
fn two_archived_records_with_one_id_are_both_known() {
    let one = r#"{"id": "a", "timestamp": "2025-06-09T10:00:00Z", "n": 1}"#;
    let two = r#"{"id": "a", "timestamp": "2025-06-09T10:00:00Z", "n": 2}"#;
    let catalog = Catalog::with_state_folder().with(&[("2025-06-09", &format!("{one}\n{two}\n"))]);
    let came = [one, two].map(|json| Record::read(json, &SHAPE).unwrap()).to_vec();
    assert_eq!(catalog.open().deduplicate_all(came).unwrap().duplicates, 2);
}

#[test]
fn a_forgotten_day_is_read_again() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open();
    let (old, new) = (record("a", "2025-06-09T10:00:00Z"), record("b", "2025-06-10T10:00:00Z"));
    file(&mut archive, vec![old.clone(), new.clone()]);
    archive.forget_before(new.time.date_naive());
    assert!(archive.known.day(old.time.date_naive()).is_none());
    assert!(archive.known.day(new.time.date_naive()).is_some());
    assert_eq!(archive.deduplicate_all(vec![old, new]).unwrap().duplicates, 2);
}
