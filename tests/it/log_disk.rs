//! A disk of the program's own log that hangs, is full, or does not let the file be opened: it costs lines of the log,
//! counted, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::follow::{self, figure};
use super::support::{Catalog, PATIENCE, at, event, events, serve, side_by_side, succeed, wait_for, wait_until};

/// A log file on a disk that hangs: a pipe that is full.
struct HungDisk {
    pipe: File,
    path: PathBuf,
}

impl HungDisk {
    fn in_folder(folder: &Path) -> Self {
        let path = folder.join("program.log");
        make_pipe(&path);
        let non_blocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(non_blocking);
        let mut pipe = options.open(&path).unwrap();
        while pipe.write(&[b'.'; 4096]).is_ok() {}
        Self { pipe, path }
    }

    /// The disk works again: what is written to it until there is this text.
    fn read_until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        wait_for("the log has the line", PATIENCE, || {
            let mut buffer = [0; 65_536];
            if let Ok(length) = self.pipe.read(&mut buffer) {
                read.extend(&buffer[..length]);
            }
            let so_far = String::from_utf8_lossy(&read);
            let is_there = so_far.contains(text);
            is_there.then(|| so_far.trim_start_matches('.').to_owned())
        })
    }
}

fn make_pipe(path: &Path) {
    succeed(Command::new("mkfifo").arg(path));
}

/// A catalog whose log is on such a disk.
fn on_a_hung_disk(sandbox: &Sandbox) -> (Catalog, HungDisk) {
    let catalog = Catalog::of(sandbox, &[Api::Tfc]);
    let disk = HungDisk::in_folder(catalog.root());
    let path = disk.path.display().to_string();
    (catalog.with("APP_LOG_FILE", path), disk)
}

/// The lines that the log lacks, by the figures of a program that has ended.
fn dropped_lines(catalog: &Catalog) -> f64 {
    let text = fs::read_to_string(catalog.root().join("figures.prom")).unwrap();
    figure(&text, "trailkeeper_log_dropped_lines_total").unwrap_or_else(|| panic!("{text}"))
}

fn seven_records() -> Sandbox {
    serve(|options| options.give(Api::Tfc, events(Api::Tfc, 7, 100)))
}

#[test]
fn a_log_disk_that_hangs_holds_up_neither_requests_nor_the_watchdog_nor_the_end() {
    let sandbox = seven_records();
    let (catalog, mut disk) = on_a_hung_disk(&sandbox);
    let socket = catalog.root().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let catalog = catalog
        .with("NOTIFY_SOCKET", socket.display())
        .with("WATCHDOG_USEC", 200_000);
    let hear = |wanted: &str| {
        wait_until(&format!("it says {wanted}"), PATIENCE, || {
            let mut buffer = [0; 4096];
            let length = loop {
                match manager.recv(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    received => break received.unwrap(),
                }
            };
            buffer[..length].starts_with(wanted.as_bytes())
        });
    };
    let running = follow::start(&catalog, &["--json", "--metrics-file", "figures.prom"]);
    hear("READY=1");
    for _ in 0..3 {
        hear("STATUS=tfc +");
        hear("WATCHDOG=1");
        hear("WATCHDOG=1");
    }
    let run = running.terminate();
    assert_eq!(run.code, 0, "{}", run.stderr);
    hear("STOPPING=1");
    catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
    assert!(dropped_lines(&catalog) >= 9.0, "three for each round");
    for line in run.stdout.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line} on stdout");
    }
    let mut log = Vec::new();
    assert!(
        disk.pipe.read_to_end(&mut log).is_err(),
        "a pipe that is open has no end"
    );
    assert!(log.iter().all(|byte| *byte == b'.'), "the disk has taken a line");
}

#[test]
fn what_a_hung_log_disk_did_not_take_is_said_on_stderr_and_counted() {
    let sandbox = seven_records();
    let (catalog, disk) = on_a_hung_disk(&sandbox);
    let arguments = ["collect", "-q", "--json", "--metrics-file", "figures.prom"];
    let run = catalog.run(&arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.summary()["tfc"]["appended"], 7);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    let dropped = dropped_lines(&catalog);
    assert!(dropped >= 3.0, "{dropped}");
    let said = format!("`{}`: {dropped} still queued at the end", disk.path.display());
    assert!(run.stderr.contains(&said), "{said} is not in {}", run.stderr);

    // The next process counts on.
    assert_eq!(catalog.run(&arguments).code, 0);
    assert!(dropped_lines(&catalog) > dropped);
}

#[test]
fn a_queue_that_is_full_at_the_end_costs_lines_and_prints_nothing_to_stdout() {
    // Each record without a time is a line of the log; half of an answer may be such.
    let timeless = |n: i64| Event::new(at(60 + n), n.to_string(), format!(r#"{{"id":"{n}"}}"#));
    let pairs = (0..9_000).flat_map(|n| [event(Api::Tfc, at(60 + n), &format!("good-{n}")), timeless(n)]);
    let sandbox = serve(|options| options.give(Api::Tfc, pairs.collect()));
    let (catalog, _disk) = on_a_hung_disk(&sandbox);
    let run = catalog.run(&["collect", "-q", "--json", "--metrics-file", "figures.prom"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    assert_eq!(run.summary()["tfc"]["rejected"], 9_000);
    let told: Vec<_> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{}", run.stderr);
    assert!(told[0].contains("ERROR:\tlog lines are dropped"), "{}", told[0]);
    for why in [" dropped because ", " still queued at the end;"] {
        assert!(told[1].contains(why), "{}", told[1]);
    }
    assert!(dropped_lines(&catalog) > 9_000.0);
}

#[test]
fn every_command_with_a_log_file_ends_although_its_disk_hangs() {
    let sandbox = seven_records();
    let cases: [(&[&str], i32); 5] = [
        (&["check", "--json"], 0),
        (&["reconcile", "--json"], 0),
        (&["forward", "stdout", "--forward-from", "start"], 0),
        (&["collect", "--json", "--metrics-file", "gone/figures.prom"], 1),
        (&["collect", "--follow", "--metrics-listen", "192.0.2.1:1"], 1),
    ];
    side_by_side(cases, |(arguments, code)| {
        let (catalog, _disk) = on_a_hung_disk(&sandbox);
        let run = catalog.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        for line in run.stdout.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{arguments:?}: {line}");
        }
        assert!(run.stderr.contains("program.log"), "{arguments:?}: {}", run.stderr);
    });
}

#[test]
fn a_log_disk_that_hangs_while_the_file_is_opened_holds_up_no_run() {
    let sandbox = seven_records();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let path = catalog.root().join("program.log");
    // Nobody reads it, so that it cannot be opened.
    make_pipe(&path);
    let catalog = catalog.with("APP_LOG_FILE", path.display());
    let run = catalog.run(&["collect", "-q", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.summary()["tfc"]["appended"], 7);
    assert!(run.stderr.contains("opening"), "{}", run.stderr);
}

#[test]
fn a_log_disk_that_comes_back_gets_what_waited_for_it() {
    let sandbox = seven_records();
    let (catalog, mut disk) = on_a_hung_disk(&sandbox);
    let running = catalog.start(&["collect", "--json"]);
    wait_until("records are appended", PATIENCE, || {
        !catalog.day_files(Api::Tfc).is_empty()
    });
    let log = disk.read_until("INFO:\tcomplete appended=7 ");
    let run = running.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(log.lines().count() >= 3, "{log}");
    for text in [log, run.stderr] {
        assert!(!text.contains("ERROR"), "{text}");
    }
}

#[test]
fn a_log_disk_that_is_full_is_told_once_its_lines_are_counted_and_the_exit_code_says_so() {
    let sandbox = seven_records();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("APP_LOG_FILE", "/dev/full");
    let run = catalog.run(&["collect", "-q", "--json", "--metrics-file", "figures.prom"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.summary()["tfc"]["appended"], 7);
    let told = run.stderr.matches("No space left on device").count();
    assert_eq!(told, 1, "{}", run.stderr);
    assert!(dropped_lines(&catalog) >= 3.0);
}

#[test]
fn every_line_is_in_the_log_file_whatever_the_end() {
    let sandbox = seven_records();
    let cases: [(&[&str], i32); 6] = [
        (&["collect", "-v"], 0),
        (&["collect", "-v", "--metrics-file", "gone/figures.prom"], 1),
        (&["collect", "-v", "--follow", "--metrics-listen", "192.0.2.1:1"], 1),
        (&["reconcile", "-v"], 0),
        (&["check", "-v"], 0),
        (&["forward", "stdout", "-v"], 0),
    ];
    for (arguments, code) in cases {
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        let run = catalog.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        let log = catalog.app_log();
        let message = |line: &str| line.split_once(' ').unwrap().1.split_once(' ').unwrap().1.to_owned();
        let in_file: Vec<_> = log.lines().map(message).collect();
        for line in run.stderr.lines() {
            assert!(
                in_file.contains(&message(line)),
                "{arguments:?}: {line} is not in {log}"
            );
        }
    }
}
