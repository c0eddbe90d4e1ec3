//! What runs and commands say of an archive that is not as it should be: nothing is wrong in silence.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step};

use super::support::{Catalog, at, base_name, event, serve, streams};

const DAY: i64 = 86_400;

/// The commands that look at an archive.
const VIEWS: [&str; 4] = ["coverage", "status", "verify", "check"];

/// Services with a record on each of the last days.
fn daily(days: i64) -> Sandbox {
    let records = |api| -> Vec<Event> {
        let one = |day: i64| event(api, at(day * DAY + 600), &day.to_string());
        (0..days).map(one).collect()
    };
    serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, records(api)))
    })
}

/// A catalog of Port that holds the records of these days.
fn collected(sandbox: &Sandbox) -> Catalog {
    let catalog = Catalog::of(sandbox, &[Api::Port]).with("MAX_RETRIES", 0);
    catalog.collect_one(0, &[]);
    catalog
}

fn day_file(catalog: &Catalog, days_ago: i64) -> PathBuf {
    let date = at(days_ago * DAY + 600).date_naive();
    catalog
        .folder(Api::Port)
        .join(format!("{}_{date}.log", base_name(Api::Port)))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// What a command prints.
fn shown(catalog: &Catalog, command: &str) -> String {
    let run = catalog.run(&[command]);
    format!("{}{}", run.stdout, run.stderr)
}

#[track_caller]
fn assert_said(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}

/// Has a run end with this code; returns its warnings and its error.
#[track_caller]
fn collect(catalog: &Catalog, code: i32, arguments: &[&str]) -> String {
    let run = catalog.collect_one(code, arguments);
    format!("{} {}", run["warnings"], run["error"])
}

#[test]
fn what_a_run_that_failed_did_not_fetch_is_a_gap_at_once() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let check = || catalog.run(&["coverage", "--fail-on-gaps"]);
    assert_eq!(check().code, 0, "the pause since a run that was complete");
    let refused = sandbox.request_count(Api::Port) + 1;
    sandbox.step(Step::at(Api::Port, refused, Action::Answer(Answer::json(400, "{}"))));
    catalog.collect_one(3, &[]);
    let failed = check();
    assert_eq!(failed.code, 3, "{}", failed.stdout);
    assert_said(
        &failed.stdout,
        &[" to now, ", "the last run did not fetch it", "run collect"],
    );
    assert!(
        failed.stdout.lines().nth(1).unwrap().contains("  1  "),
        "{}",
        failed.stdout
    );
    catalog.collect_one(0, &[]);
    assert_eq!(check().code, 0, "{}", check().stdout);
}

#[cfg(unix)]
#[test]
fn a_newest_day_file_with_other_names_is_a_gap_and_no_run_can_write_to_it() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let newest = day_file(&catalog, 0);
    let other = catalog.root().join("other");
    fs::hard_link(&newest, &other).unwrap();
    sandbox.add(Api::Port, vec![event(Api::Port, at(500), "new")]);
    let advice = "remove the other names";
    assert_said(&collect(&catalog, 3, &[]), &[newest.to_str().unwrap(), advice]);
    let check = catalog.run(&["check"]);
    assert_eq!(check.code, 1, "{}", check.stdout);
    assert_said(&check.stdout, &["(hard links)", advice]);
    let coverage = catalog.run(&["coverage", "--fail-on-gaps"]);
    assert_eq!(coverage.code, 3, "{}", coverage.stdout);
    fs::remove_file(other).unwrap();
    catalog.collect_one(0, &[]);
    assert_eq!(catalog.run(&["coverage", "--fail-on-gaps"]).code, 0);
}

#[test]
fn of_two_compressed_forms_of_a_day_the_one_that_is_not_read_is_named() {
    let sandbox = daily(9);
    for is_damaged in [false, true] {
        let catalog = collected(&sandbox);
        let day = day_file(&catalog, 4);
        let bytes = fs::read(&day).unwrap();
        fs::remove_file(&day).unwrap();
        let mut packed = gzip(&bytes);
        packed.truncate(packed.len() - usize::from(is_damaged));
        fs::write(with_suffix(&day, ".gz"), packed).unwrap();
        let second = with_suffix(&day, ".zst");
        fs::write(&second, zstandard(&bytes)).unwrap();
        let name = second.file_name().unwrap().to_str().unwrap();
        for command in VIEWS {
            assert_said(&shown(&catalog, command), &[name, "is not read"]);
        }
        assert_said(&collect(&catalog, 0, &[]), &[name, "is not read"]);
        fs::remove_file(second).unwrap();
        assert!(!shown(&catalog, "coverage").contains("is not read"));
    }
}

#[test]
fn another_extension_or_base_name_than_before_is_what_is_said_of_an_archive_that_is_gone() {
    let sandbox = daily(3);
    let mut catalog = collected(&sandbox);
    catalog.set("LOG_FILE_EXTENSION", "json");
    assert_said(
        &collect(&catalog, 3, &[]),
        &["LOG_FILE_EXTENSION", "port_audit_", ".log"],
    );
    assert_said(&shown(&catalog, "coverage"), &["LOG_FILE_EXTENSION"]);
    catalog.unset("LOG_FILE_EXTENSION");
    let stream = streams().into_iter().find(|(_, api)| *api == Api::Port).unwrap().0;
    catalog.set(&stream.variable("LOG_FILE_BASE_NAME"), "renamed");
    for command in ["coverage", "status", "check"] {
        assert_said(&shown(&catalog, command), &["LOG_FILE_BASE_NAME", "`port_audit`"]);
    }
    assert_said(&collect(&catalog, 0, &[]), &["LOG_FILE_BASE_NAME", "`port_audit`"]);
    assert!(!collect(&catalog, 0, &[]).contains("BASE_NAME"), "it has files now");
}

#[test]
fn streams_that_share_a_folder_are_not_taken_for_one_that_was_renamed() {
    let sandbox = daily(3);
    let mut catalog = Catalog::of(&sandbox, &[Api::Port, Api::Tfc]);
    let folder = catalog.folder(Api::Port);
    let tfc = streams().into_iter().find(|(_, api)| *api == Api::Tfc).unwrap().0;
    catalog.set(&tfc.variable("LOG_CATALOG_LOCATION"), folder.display());
    catalog.collect(0, &["--stream", "port"]);
    let first = catalog.collect(0, &["--stream", "tfc"]);
    assert!(!first["tfc"]["warnings"].to_string().contains("BASE_NAME"), "{first:?}");
}

#[test]
fn a_run_that_starts_over_says_what_it_forgets() {
    let sandbox = daily(40);
    let catalog = Catalog::of(&sandbox, &[Api::Port]).with("INITIAL_LOOKBACK_DAYS", 5);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &["--since", "30d", "--until", "28d"]);
    fs::remove_file(day_file(&catalog, 3)).unwrap();
    let said = collect(&catalog, 0, &["--start-over"]);
    let lost = at(3 * DAY + 600).date_naive().to_string();
    let forgotten = at(28 * DAY).date_naive().to_string();
    assert_said(
        &said,
        &["--start-over forgets", "1 gap from", "1 lost day", &lost, &forgotten],
    );
    assert_said(&catalog.app_log(), &["--start-over forgets"]);
    assert!(
        !collect(&catalog, 0, &["--start-over"]).contains("forgets"),
        "nothing is left to forget"
    );
}

#[test]
fn a_file_in_the_place_of_the_state_folder_is_named_with_what_to_do() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let state = catalog.folder(Api::Port).join(".trailkeeper");
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "").unwrap();
    for command in VIEWS {
        assert_said(
            &shown(&catalog, command),
            &[".trailkeeper", "is not a folder", "move it away"],
        );
    }
    assert_said(&collect(&catalog, 3, &[]), &[".trailkeeper", "not a folder"]);
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_compressed_file_is_not_said_to_be_missing() {
    let sandbox = daily(9);
    let catalog = collected(&sandbox);
    let day = day_file(&catalog, 4);
    let moved = catalog.root().join("moved.gz");
    fs::write(&moved, gzip(&fs::read(&day).unwrap())).unwrap();
    fs::remove_file(&day).unwrap();
    let packed = with_suffix(&day, ".gz");
    fs::rename(&moved, &packed).unwrap();
    catalog.collect_one(0, &[]);
    fs::rename(&packed, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &packed).unwrap();
    for command in VIEWS {
        let text = shown(&catalog, command);
        assert_said(&text, &["is no regular file"]);
        assert!(!text.contains("is missing"), "{text}");
    }
}

#[test]
fn of_an_archive_that_is_gone_coverage_says_the_ways_on_that_collect_says() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    (0..3).for_each(|days| fs::remove_file(day_file(&catalog, days)).unwrap());
    for command in ["coverage", "status", "check"] {
        let text = shown(&catalog, command);
        assert_said(&text, &["there is no day file in", "restore", "--start-over"]);
        assert!(!text.contains("run collect"), "{text}");
    }
    collect(&catalog, 3, &[]);
    let status = shown(&catalog, "status");
    assert_eq!(status.matches("there is no day file in").count(), 1, "{status}");
}

#[test]
fn days_that_were_fetched_and_lost_are_not_said_to_be_fetched_by_no_run() {
    let sandbox = daily(9);
    let catalog = collected(&sandbox);
    fs::remove_file(day_file(&catalog, 4)).unwrap();
    let status = shown(&catalog, "status");
    assert!(!status.contains("no run has fetched"), "{status}");
    assert_said(&status, &["was fetched and is lost"]);
}

#[test]
fn a_run_names_day_files_that_are_dated_in_the_future() {
    let sandbox = daily(3);
    let catalog = collected(&sandbox);
    let future = day_file(&catalog, -400);
    fs::write(&future, "").unwrap();
    let date = at(-400 * DAY + 600).date_naive().to_string();
    assert_said(&collect(&catalog, 0, &[]), &["dated in the future", &date]);
}
