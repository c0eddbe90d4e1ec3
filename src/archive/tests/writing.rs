//! What is appended where, and what is refused.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::faulty::Fault;
use super::*;

fn three_days() -> Vec<Record> {
    vec![
        record("e", "2025-06-11T10:00:00Z"),
        record("b", "2025-06-09T23:59:59.999Z"),
        record("d", "2025-06-10T00:00:00Z"),
        record("c", "2025-06-10T01:00:00+02:00"),
        record("a", "2025-06-09T10:00:00Z"),
        record("f", "2025-06-11T10:00:00Z"),
    ]
}

fn ids(text: &str) -> String {
    text.lines().map(|line| &line[8..9]).collect()
}

#[test]
fn each_record_goes_to_the_file_of_its_own_utc_day_in_the_order_of_time() {
    let catalog = Catalog::with_state_folder();
    let appended = file(&mut catalog.open(), three_days());
    assert_eq!(ids(&catalog.text("2025-06-09")), "acb");
    assert_eq!(ids(&catalog.text("2025-06-10")), "d");
    assert_eq!(ids(&catalog.text("2025-06-11")), "ef");
    assert_eq!(
        catalog.text("2025-06-10"),
        "{\"id\": \"d\", \"timestamp\": \"2025-06-10T00:00:00Z\"}\n"
    );
    let bytes: usize = ["09", "10", "11"]
        .iter()
        .map(|day| catalog.text(&format!("2025-06-{day}")).len())
        .sum();
    let files = ["mail_2025-06-09.log", "mail_2025-06-10.log", "mail_2025-06-11.log"].map(str::to_owned);
    assert_eq!(
        appended,
        AppendedAll {
            records: 6,
            unsynced: 0,
            bytes: bytes as u64,
            files: files.to_vec()
        }
    );
}

#[test]
fn a_day_is_on_disk_before_the_next_is_begun() {
    let catalog = Catalog::with_state_folder().with(&[("2025-06-10", "")]);
    let mut archive = catalog.open();
    catalog.log();
    archive.append_all(three_days()).unwrap();
    let expected = [
        "write mail_2025-06-09.log",
        "sync mail_2025-06-09.log",
        "sync names in catalog",
        "write mail_2025-06-10.log",
        "sync mail_2025-06-10.log",
        "write mail_2025-06-11.log",
        "sync mail_2025-06-11.log",
        "sync names in catalog",
    ];
    assert_eq!(catalog.log(), expected);
}

#[test]
fn nothing_to_append_makes_no_file() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open();
    let empty = Batch::by_day(three_days()).next().unwrap().filter(|_| None);
    assert_eq!(archive.append(&empty).unwrap(), None);
    assert!(catalog.location.day_files().unwrap().is_empty());
}

#[test]
fn what_was_appended_is_known() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open();
    file(&mut archive, three_days());
    assert_eq!(archive.deduplicate_all(three_days()).unwrap().duplicates, 6);
    assert_eq!(catalog.open().deduplicate_all(three_days()).unwrap().duplicates, 6);
}

#[test]
fn late_records_go_behind_newer_ones_and_change_nothing() {
    let catalog = Catalog::with_state_folder();
    file(&mut catalog.open(), three_days());
    let before = catalog.text("2025-06-09");
    file(&mut catalog.open(), vec![record("z", "2025-06-09T00:00:00Z")]);
    assert_eq!(ids(&catalog.text("2025-06-09")), "acbz");
    assert!(catalog.text("2025-06-09").starts_with(&before));
    assert_eq!(
        catalog
            .open()
            .recover(now(), chrono::TimeDelta::minutes(2))
            .unwrap()
            .last,
        Some(time("2025-06-11T10:00:00Z"))
    );
}

#[test]
fn a_dry_run_does_all_and_writes_nothing() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.dry_run();
    assert_eq!(file(&mut archive, three_days()).records, 6);
    assert_eq!(archive.deduplicate_all(three_days()).unwrap().duplicates, 6);
    let rejected = record("x", "2025-06-09T00:00:00Z").into_rejected("odd");
    assert_eq!(
        archive.reject(std::slice::from_ref(&rejected), now()).unwrap().records,
        1
    );
    assert_eq!(archive.reject(&[rejected], now()).unwrap().records, 0);
    assert!(catalog.location.day_files().unwrap().is_empty());
    assert_eq!(catalog.rejected_notes(), "");
}

#[test]
fn a_run_on_the_real_disk_holds_its_lock_and_sets_its_modes() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::new(folder.path(), "mail", "log").unwrap();
    let lock = Lock::acquire(&location, now()).unwrap();
    let mut archive = Archive::open(lock, SHAPE, 0o604, now()).unwrap();
    assert!(matches!(Lock::acquire(&location, now()), Err(LockError::Held { .. })));
    file(&mut archive, three_days());
    archive
        .reject(&[record("x", "2025-06-09T00:00:00Z").into_rejected("odd")], now())
        .unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(folder.path().join("mail_2025-06-10.log")), 0o604);
    assert_eq!(mode(location.state_file("rejected.jsonl")), 0o640);
    assert_eq!(mode(location.state_file("lock")), 0o640);
    assert_eq!(mode(location.state_folder()), 0o750);
    drop(archive);
    assert!(Lock::acquire(&location, now()).is_ok());
}

#[test]
fn links_and_pipes_in_the_place_of_a_day_file_are_refused_and_left_alone() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    fs::write(&target, "kept\n").unwrap();
    let plant: [(&str, &dyn Fn(PathBuf)); 4] = [
        ("symbolic link", &|path| symlink(&target, path).unwrap()),
        ("hard links", &|path| fs::hard_link(&target, path).unwrap()),
        ("not a regular file", &|path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        }),
        ("not a regular file", &|path| fs::create_dir(path).unwrap()),
    ];
    for (what, plant) in plant {
        let catalog = Catalog::with_state_folder();
        plant(catalog.path("2025-06-10"));
        let mut archive = catalog.open();
        assert_eq!(
            archive.recover(now(), chrono::TimeDelta::minutes(2)).unwrap().last,
            None
        );
        let error = archive.append_all(three_days()).unwrap_err();
        assert_eq!(error.appended.files, ["mail_2025-06-09.log"]);
        assert_eq!(error.appended.records, 3);
        let message = error.to_string();
        assert!(
            message.contains(what) && message.contains("mail_2025-06-10.log"),
            "{message}"
        );
        assert!(!catalog.path("2025-06-11").exists());
        assert_eq!(fs::read(&target).unwrap(), b"kept\n");
    }
}

#[test]
fn an_error_says_what_was_appended_and_ends_all_writing() {
    // The line of the second day has 49 bytes. A process that is dead syncs nothing.
    for (fault, second, unsynced) in [
        (Fault::Broken(0), 0, 0),
        (Fault::Full(48), 0, 0),
        (Fault::Full(49), 1, 0),
        (Fault::Killed(1000), 1, 1),
    ] {
        let catalog = Catalog::with_state_folder();
        let mut archive = catalog.open();
        // Open twice, look, write, sync, sync the folder: the fault comes at the write of the second day.
        catalog.disk.arm(6 + 3, fault);
        let error = archive.append_all(three_days()).unwrap_err();
        let files = ["mail_2025-06-09.log", "mail_2025-06-10.log"].map(str::to_owned);
        assert_eq!(error.appended.files, files[..1 + second], "{fault:?}");
        assert_eq!(
            (error.appended.records, error.appended.unsynced),
            (3 + second as u64, unsynced),
            "{fault:?}"
        );
        assert!(error.to_string().contains("cannot write to "), "{error}");
        assert!(error.to_string().contains("mail_2025-06-10.log"), "{error}");
        catalog.disk.restart();
        let error = archive.append_all(three_days()).unwrap_err();
        assert!(matches!(error.cause, WriteError::Poisoned { .. }));
        let refused = archive.reject(&[three_days()[0].clone().into_rejected("x")], now());
        assert!(matches!(refused.unwrap_err().cause, WriteError::Poisoned { .. }));
        assert!(!catalog.path("2025-06-11").exists());

        let mut archive = catalog.open();
        file(&mut archive, three_days());
        assert_eq!(archive.deduplicate_all(three_days()).unwrap().duplicates, 6);
    }
}

#[test]
fn what_was_not_synced_is_counted_and_not_relied_on() {
    let catalog = Catalog::with_state_folder();
    let mut archive = catalog.open();
    archive.deduplicate_all(three_days()).unwrap();
    catalog.disk.arm(4, Fault::Broken(0));
    let error = archive.append_all(three_days()).unwrap_err();
    let AppendedAll { records, unsynced, .. } = error.appended;
    assert_eq!((records, unsynced), (3, 3), "they are in the file");
    assert!(error.to_string().starts_with("cannot sync "), "{error}");
    let known = |day: &str| archive.known.day(day.parse().unwrap()).unwrap().holds(&three_days()[4]);
    assert!(!known("2025-06-09"));
}

#[test]
fn a_time_without_a_day_file_is_an_error_and_not_a_file() {
    let catalog = Catalog::with_state_folder();
    let mut far = record("a", "2025-06-09T10:00:00Z");
    far.time = DateTime::<Utc>::MAX_UTC;
    let error = catalog.open().append_all(vec![far]).unwrap_err();
    assert!(matches!(error.cause, WriteError::NoDay { .. }));
    assert_eq!(fs::read_dir(catalog.folder()).unwrap().count(), 1);
}
