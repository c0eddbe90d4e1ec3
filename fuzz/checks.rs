//! What must hold for any bytes whatever; called by the fuzz targets and, bounded, by tests/it/fuzz.rs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::{RawValue, Value};
use trailkeeper::archive::{Archive, Batch, Location, Lock};
use trailkeeper::env::{ConfigErrors, Env};
use trailkeeper::json::{push_strict, scan};
use trailkeeper::record::{Broken, Reader, Record, Rejected};
use trailkeeper::source::{Authorization, Next, PageRequest, Position, SOURCES, Source, read_page};
use trailkeeper::window::Window;

/// A text has a line form exactly where it is JSON; the form is one line, stays itself, keeps the identity, and has a strict
/// copy, or is one.
pub(crate) fn line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut form = String::new();
    let scanned = scan(text, &[&["date"], &["trigger", "at"]], &mut form);
    let parsed = serde_json::from_str::<&RawValue>(text);
    assert_eq!(scanned.is_ok(), parsed.is_ok(), "{text:?}");
    let Ok(scanned) = scanned else { return };
    assert!(!form.bytes().any(|byte| byte < b' '), "{form:?} is more than one line");
    let mut again = String::new();
    let rescanned = scan(&form, &[&["date"], &["trigger", "at"]], &mut again).expect("a form is JSON");
    assert_eq!((&again, rescanned.content), (&form, scanned.content));
    for found in scanned.found.iter().flatten() {
        assert!(form.get(found.range.clone()).is_some());
    }
    let mut copy = String::new();
    let copy = if push_strict(&form, &mut copy) { &copy } else { &form };
    assert!(serde_json::from_str::<Value>(copy).is_ok(), "{copy:?} is not strict");
    assert!(!push_strict(copy, &mut again), "{copy:?} has another copy");
}

/// Every source, as settings make it; nothing is ever asked of the addresses.
static CONFIGURED: LazyLock<Vec<Arc<dyn Source>>> = LazyLock::new(|| {
    let env = Env::from_pairs([
        ("OAUTH_TOKEN_ARG", "token"),
        ("ORGANIZATION_ID_ARG", "1"),
        ("PORT_CLIENT_ID", "id"),
        ("PORT_CLIENT_SECRET", "secret"),
        ("TFC_ORG_TOKEN", "token"),
    ]);
    let configure = |kind: &trailkeeper::source::Kind| {
        let mut errors = ConfigErrors::default();
        (kind.configure)(&env, &mut errors).unwrap_or_else(|| panic!("{errors}"))
    };
    SOURCES.iter().map(configure).collect()
});

/// Whatever a service answers, its page is read or refused, and its records are filed or rejected: no panic, no record
/// that its own line would not give again, and no next page that cannot be asked for.
pub(crate) fn pages(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let window = Window::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
    for source in CONFIGURED.iter() {
        let mut request = PageRequest {
            window,
            position: Position::First,
            size: source.page_size(),
        };
        let _ = source.error_message(&text);
        if let Authorization::Minted(request) = source.authorization() {
            let _ = (request.read)(&text);
        }
        let read = |broken| {
            read_page(
                &**source,
                &mut Reader::new(source.kind().shape),
                &request,
                bytes,
                broken,
            )
        };
        let Ok(page) = read(Broken::Refuse).or_else(|_| read(Broken::SetAside)) else {
            continue;
        };
        // No record stays behind in the envelope.
        if let Ok(parsed) = serde_json::from_slice::<Value>(bytes) {
            let listed = parsed[source.list()].as_array().map_or(0, Vec::len);
            assert_eq!(page.records.len(), listed, "{text:?}");
        }
        let mut reader = Reader::new(source.kind().shape);
        for record in page.records.into_iter().chain(page.originals.into_iter().map(Err)) {
            check_record(&mut reader, record);
        }
        if let Next::At(position) = page.next {
            request.position = position;
            assert_eq!(source.page_url(&request).host_str(), source.address().host_str());
        }
    }
}

fn check_record(reader: &mut Reader, record: Result<Record, Rejected>) {
    match record {
        Ok(record) => {
            assert!(!record.line.contains('\n'));
            let found = reader
                .identify(&record.line)
                .expect("a line of the archive is a record");
            assert_eq!((found.time, found.identity), (record.time, record.identity));
        }
        Err(rejected) => assert!(!rejected.line.contains('\n') && !rejected.reason.contains('\n')),
    }
}

/// Whatever stands in a day file, it is repaired by one newline at most, and read, and appended to, and no byte changes.
pub(crate) fn tail(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::new(folder.path(), "fuzz", "log").expect("a location");
    let path = folder.path().join("fuzz_2025-06-09.log");
    fs::write(&path, bytes).expect("a file");
    let now: DateTime<Utc> = "2025-06-10T00:00:00Z".parse().expect("a time");
    let shape = SOURCES[0].shape;
    let open = || Archive::open(lock(&location, now), shape, 0o640, now).expect("an archive");

    let repaired = open().repaired();
    let is_half = bytes.last().is_some_and(|last| *last != b'\n');
    assert_eq!(repaired.completed + repaired.repaired, u64::from(is_half));
    let mut expected = bytes.to_vec();
    expected.extend(is_half.then_some(b'\n'));
    assert_eq!(fs::read(&path).expect("the file"), expected);
    assert_eq!(count_notes(folder.path()), repaired.repaired as usize);

    let mut archive = open();
    assert_eq!(archive.repaired(), Default::default(), "repaired twice");
    let recovery = archive.recover(now, TimeDelta::minutes(2)).expect("a readable archive");
    let last = recovery.last;
    assert!(last.is_none_or(|last| last <= now));
    let record = Record::read(r#"{"date":"2025-06-09T12:00:00Z","uniqId":"\u0000 new"}"#, &shape).expect("a record");
    let batch = Batch::by_day(vec![record.clone()]).next().expect("a day");
    let new = archive.deduplicate(batch.clone()).expect("a readable archive").new;
    if archive.append(&new).expect("a writable archive").is_some() {
        expected.extend(record.line.bytes().chain([b'\n']));
        let deduplicated = archive.deduplicate(batch).expect("a readable archive");
        assert_eq!((deduplicated.new.records().len(), deduplicated.duplicates), (0, 1));
    }
    assert_eq!(fs::read(&path).expect("the file"), expected);
}

/// The lock, which a test of the same process can hold for a moment more: a child that it starts has all open files until it
/// runs a program of its own.
fn lock(location: &Location, now: DateTime<Utc>) -> Lock {
    for _ in 0..100 {
        if let Ok(lock) = Lock::acquire(location, now) {
            return lock;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Lock::acquire(location, now).expect("a lock")
}

/// How many torn lines are noted, at different places.
fn count_notes(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join(".trailkeeper/fuzz.rejected.jsonl")).unwrap_or_default();
    let notes = text
        .lines()
        .map(|line| serde_json::from_str::<BTreeMap<String, &RawValue>>(line).expect("a note"));
    let offsets: Vec<_> = notes.map(|note| note["offset"].get().to_owned()).collect();
    offsets.len()
}
