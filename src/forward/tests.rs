//! The forwarder against a sink that fails on demand, on real files.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::batch::Batch;
use super::cursor::{CursorFile, Stored};
use super::forwarder::*;
use super::message::Envelope;
use super::position::Positions;
use super::sink::{BatchAck, Sink, SinkError};
use super::stdout::Output;
use super::undelivered::Undelivered;
use crate::archive::faulty::Fault;
use crate::output::progress::Progress;
use crate::process::shutdown;
use crate::test_support::Catalog;
use crate::test_support::bound::PATIENCE;
use crate::test_support::packed::gzip;
use crate::test_support::random::cases;
use crate::test_support::record::{SHAPE, line_of_day as line};

const DAYS: [&str; 3] = ["2025-06-09", "2025-06-10", "2025-06-11"];

impl Catalog {
    fn add(&self, day: &str, id: &str) {
        self.append(day, &line(day, id));
    }

    fn job(&self, start: impl Into<Option<StartPosition>>) -> Job {
        Job {
            envelope: Envelope {
                stream: "tfc",
                organization: None,
                location: self.location.clone(),
                is_replay: false,
            },
            shape: SHAPE,
            sink: "kafka",
            start: start.into(),
            replay: None,
            strict_json: false,
            now: "2025-06-12T00:00:00Z".parse().unwrap(),
            is_first: true,
        }
    }

    fn try_forwarder(
        &self,
        start: impl Into<Option<StartPosition>>,
        sink: impl Sink + 'static,
    ) -> Result<Forwarder, ForwardError> {
        let (_, shutdown) = shutdown::channel();
        let progress = Progress::hidden().forward("tfc", "kafka");
        Forwarder::open(self.job(start), Box::new(sink), progress, shutdown)
    }

    /// Waits for a lock that a process which another test starts holds, with all open files, until it runs a program of
    /// its own.
    fn try_forwarder_in_time(
        &self,
        start: StartPosition,
        sink: impl Fn() -> Script,
    ) -> Result<Forwarder, ForwardError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_forwarder(start, sink()) {
                Err(error) if error.is_held() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => return opened,
            }
        }
    }

    fn forwarder(&self, start: impl Into<Option<StartPosition>>, sink: impl Sink + 'static) -> Forwarder {
        self.try_forwarder(start, sink).unwrap()
    }

    fn forward(&self, start: impl Into<Option<StartPosition>>, sink: impl Sink + 'static) -> Forwarded {
        self.forwarder(start, sink).run(|| false)
    }

    /// Returns the ids sent to a sink that takes everything.
    fn sent(&self, start: impl Into<Option<StartPosition>>) -> Vec<String> {
        let world = World::default();
        let forwarded = self.forward(start, world.sink(&[]));
        assert!(forwarded.failure.is_none(), "{forwarded:?}");
        let ids = world.0.lock().unwrap().arrived.concat_ids();
        assert_eq!(forwarded.sent, ids.len() as u64);
        ids
    }

    /// Returns why nothing is sent, and how many lines wait.
    fn refused(&self) -> (String, u64) {
        let world = World::default();
        let forwarded = self.forward(None, world.sink(&[]));
        assert!(world.0.lock().unwrap().arrived.is_empty());
        assert_eq!(forwarded.sent, 0);
        (forwarded.failure.unwrap().to_string(), forwarded.waiting.unwrap())
    }

    fn stored(&self) -> Positions {
        match CursorFile::new(&self.location, "tfc", "kafka").load().unwrap() {
            Stored::Cursor(state) => state.positions,
            Stored::Nothing => Positions::default(),
            other => panic!("{other:?}"),
        }
    }
}

/// What a sink does with a batch.
#[derive(Clone, Copy, Debug)]
enum Act {
    Confirm,
    /// This many 256ths of the lines arrive, this many 256ths of those are acknowledged, then it fails.
    Fail {
        arrive: u8,
        confirm: u8,
    },
    /// The first line is undeliverable.
    Undeliverable,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What has arrived, in order: day and id.
    arrived: Vec<(String, String)>,
    /// What the sink has acknowledged.
    confirmed: Positions,
}

trait ConcatIds {
    fn concat_ids(&self) -> Vec<String>;
}

impl ConcatIds for Vec<(String, String)> {
    fn concat_ids(&self) -> Vec<String> {
        self.iter().map(|(_, id)| id.clone()).collect()
    }
}

impl World {
    fn sink(&self, script: &[Act]) -> Script {
        Script {
            world: self.clone(),
            script: script.iter().copied().collect(),
            in_flight: VecDeque::new(),
        }
    }
}

struct Script {
    world: World,
    script: VecDeque<Act>,
    in_flight: VecDeque<Batch>,
}

impl Script {
    fn arrive(&self, batch: &Batch, lines: std::ops::Range<usize>) {
        let mut state = self.world.0.lock().unwrap();
        for line in &batch.lines()[lines] {
            state.arrived.push((line.day.to_string(), line.id.clone().unwrap()));
        }
    }
}

impl Sink for Script {
    fn depth(&self) -> usize {
        2
    }

    fn send(&mut self, batch: Batch) {
        self.in_flight.push_back(batch);
    }

    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck {
        let batch = self.in_flight.pop_front().unwrap();
        let lines = batch.lines().len();
        let (arrive, done, failure) = match self.script.pop_front().unwrap_or(Act::Confirm) {
            Act::Undeliverable if lines > 0 => {
                undelivered_file.add(&batch, &batch.lines()[0], "too large").unwrap();
                (1..lines, lines, None)
            }
            Act::Confirm | Act::Undeliverable => (0..lines, lines, None),
            Act::Fail { arrive, confirm } => {
                let arrive = lines * usize::from(arrive) / 256;
                let confirm = arrive * usize::from(confirm) / 256;
                (0..arrive, confirm, Some(SinkError::Refused("away".into())))
            }
        };
        self.arrive(&batch, arrive);
        self.world.0.lock().unwrap().confirmed.update(&batch.end_of(done));
        BatchAck { batch, done, failure }
    }
}

#[test]
fn without_a_cursor_nothing_is_sent_until_it_is_said_where_to_begin() {
    let catalog = Catalog::new();
    catalog.add(DAYS[0], "old");
    for _ in 0..2 {
        let (reason, waiting) = catalog.refused();
        assert_eq!(
            reason,
            "there is no cursor for kafka, and the archive has lines: nothing is sent until `--forward-from` says where to go \
             on: `start`, `end` (what comes from now on) or a time"
        );
        assert_eq!(waiting, 1);
        assert!(!catalog.location.state_file("kafka.json").exists());
    }
    assert_eq!(catalog.sent(StartPosition::Start), ["old"]);
}

#[test]
fn an_archive_that_is_empty_when_the_run_begins_is_forwarded_from_its_start() {
    let catalog = Catalog::new();
    catalog.append(DAYS[0], "half");
    let fail = Act::Fail { arrive: 0, confirm: 0 };
    let mut later = ["a", "b"].into_iter();
    let forwarded = catalog.forwarder(None, World::default().sink(&[fail])).run(|| {
        let appended = later.next();
        appended.iter().for_each(|id| catalog.add(DAYS[1], id));
        appended.is_some()
    });
    assert_eq!((forwarded.sent, forwarded.waiting), (0, Some(2)));
    assert_eq!(catalog.sent(None), ["a", "b"], "by the cursor of the run that failed");
}

#[test]
fn a_day_that_is_no_longer_the_one_that_was_forwarded_stops_everything() {
    type Change = fn(&Catalog, &std::path::Path);
    let changes: [(&str, Change); 4] = [
        ("shorter", |_, path| fs::write(path, line(DAYS[0], "a")).unwrap()),
        ("other lines", |_, path| {
            fs::write(path, line(DAYS[0], "b") + &line(DAYS[0], "a")).unwrap();
        }),
        ("longer, with other lines", |_, path| {
            fs::write(path, line(DAYS[0], "cc").repeat(9)).unwrap();
        }),
        ("a torn line is left", |_, path| fs::write(path, "{").unwrap()),
    ];
    for (what, change) in changes {
        let catalog = Catalog::new();
        catalog.append(DAYS[0], &(line(DAYS[0], "a") + &line(DAYS[0], "b")));
        assert_eq!(catalog.sent(StartPosition::Start), ["a", "b"]);
        let before = catalog.stored();
        let path = catalog.location.day_files().unwrap()[0].path.clone();
        let right = fs::read(&path).unwrap();
        change(&catalog, &path);
        catalog.add(DAYS[1], "c");
        let (reason, waiting) = catalog.refused();
        assert!(
            reason.starts_with("the cursor for kafka is not one in these day files: "),
            "{what}: {reason}"
        );
        assert!(
            reason.contains("mail_2025-06-09.log") && waiting > 0,
            "{what}: {reason}"
        );
        assert_eq!(catalog.stored(), before, "{what}");
        fs::write(&path, right).unwrap();
        assert_eq!(catalog.sent(None), ["c"], "{what}: put back");
        change(&catalog, &path);
        assert_eq!(
            catalog.sent(StartPosition::End),
            Vec::<String>::new(),
            "{what}: decided"
        );
        catalog.add(DAYS[2], "d");
        assert!(catalog.sent(None).ends_with(&["d".to_owned()]), "{what}");
    }
}

#[test]
fn a_day_that_is_deleted_or_compressed_is_no_fault_and_is_compared_when_it_comes_back() {
    let catalog = Catalog::new();
    catalog.add(DAYS[0], "a");
    assert_eq!(catalog.sent(StartPosition::Start), ["a"]);
    let path = catalog.location.day_files().unwrap()[0].path.clone();
    let packed = path.with_extension("log.gz");
    let content = fs::read(&path).unwrap();
    fs::write(&packed, gzip(&content)).unwrap();
    fs::remove_file(&path).unwrap();
    catalog.add(DAYS[1], "b");
    assert_eq!(catalog.sent(None), ["b"]);
    fs::write(&path, content).unwrap();
    fs::remove_file(&packed).unwrap();
    catalog.add(DAYS[0], "late");
    assert_eq!(catalog.sent(None), ["late"]);
    fs::remove_file(&path).unwrap();
    let world = World::default();
    let mut rounds = 0;
    let forwarded = catalog.forwarder(None, world.sink(&[])).run(|| {
        rounds += 1;
        catalog.append(DAYS[0], &line(DAYS[0], "other").repeat(9));
        rounds == 1
    });
    assert!(world.0.lock().unwrap().arrived.is_empty());
    let reason = forwarded.failure.unwrap().to_string();
    assert!(
        reason.contains("another line ends") || reason.contains("no line ends"),
        "{reason}"
    );
}

#[test]
fn a_cursor_of_version_1_is_taken_over_and_knows_its_lines_from_then_on() {
    let catalog = Catalog::with_state_folder();
    catalog.append(DAYS[0], &(line(DAYS[0], "a") + &line(DAYS[0], "b")));
    let end = line(DAYS[0], "a").len();
    let old = format!(r#"{{"version":1,"stream":"tfc","sink":"kafka","days":{{"2025-06-09":{end}}}}}"#);
    fs::write(catalog.location.state_file("kafka.json"), old).unwrap();
    assert_eq!(catalog.sent(None), ["b"]);
    let path = catalog.location.day_files().unwrap()[0].path.clone();
    fs::write(path, line(DAYS[0], "b") + &line(DAYS[0], "a")).unwrap();
    assert!(catalog.refused().0.contains("another line"));
}

#[test]
fn on_first_use_only_later_lines_are_sent_if_that_is_asked_for() {
    let catalog = Catalog::new();
    catalog.add(DAYS[1], "old");
    catalog.append(DAYS[2], "half");
    assert_eq!(catalog.sent(StartPosition::End), Vec::<String>::new());
    catalog.append(DAYS[2], " repaired\n");
    catalog.add(DAYS[2], "new");
    catalog.add(DAYS[0], "late");
    assert_eq!(catalog.sent(None), ["late", "new"]);
    assert_eq!(catalog.sent(None), Vec::<String>::new());
}

#[test]
fn the_first_use_can_begin_at_the_start_or_at_a_time() {
    for (begin, expected) in [
        (StartPosition::Start, &["a", "b", "c", "d"][..]),
        (
            StartPosition::Time("2025-06-10T10:00:00Z".parse().unwrap()),
            &["b", "c", "d"],
        ),
        (StartPosition::Time("2025-06-10T10:00:01Z".parse().unwrap()), &["d"]),
        (
            StartPosition::Time("2025-06-08T10:00:01Z".parse().unwrap()),
            &["a", "b", "c", "d"],
        ),
        (StartPosition::Time("2025-07-08T10:00:01Z".parse().unwrap()), &[]),
    ] {
        let catalog = Catalog::new();
        for (day, id) in [(0, "a"), (1, "b"), (1, "c"), (2, "d")] {
            catalog.add(DAYS[day], id);
        }
        assert_eq!(catalog.sent(begin), expected, "{begin:?}");
        // There is a cursor now, so the start position is ignored.
        assert_eq!(catalog.sent(StartPosition::Start), Vec::<String>::new());
    }
}

#[test]
fn a_damaged_cursor_sends_nothing_and_what_to_do_is_told() {
    let catalog = Catalog::new();
    for id in ["a", "b"] {
        catalog.add(DAYS[0], id);
        assert_eq!(catalog.sent(StartPosition::Start), [id]);
    }
    let path = catalog.location.state_file("kafka.json");
    let previous = catalog.location.state_file("kafka.previous.json");
    fs::write(&path, "{").unwrap();
    let (reason, waiting) = catalog.refused();
    assert!(reason.contains("mail.kafka.json is damaged: "), "{reason}");
    let remedy = format!("or put {} in its place", previous.display());
    assert!(reason.contains(&remedy), "{reason}");
    assert_eq!(waiting, 2);
    fs::copy(&previous, &path).unwrap();
    assert_eq!(catalog.sent(None), ["b"], "from the cursor before");
    fs::write(&path, "{").unwrap();
    fs::write(&previous, "").unwrap();
    assert!(!catalog.refused().0.contains("in its place"));
    assert_eq!(catalog.sent(StartPosition::Start), ["a", "b"]);
    for offset in ["7", "70000", "18446744073709551615"] {
        let elsewhere = format!(r#"{{"version":1,"stream":"tfc","sink":"kafka","days":{{"2025-06-09":{offset}}}}}"#);
        fs::write(&path, elsewhere).unwrap();
        assert!(
            catalog.refused().0.contains("is not one in these day files"),
            "{offset}"
        );
    }
}

#[test]
fn a_damaged_cursor_of_an_empty_archive_is_begun_anew() {
    let catalog = Catalog::with_state_folder();
    fs::write(catalog.location.state_file("kafka.json"), "{").unwrap();
    assert_eq!(catalog.sent(None), Vec::<String>::new());
    catalog.add(DAYS[0], "a");
    assert_eq!(catalog.sent(None), ["a"]);
}

#[test]
fn a_replay_sends_a_range_again_and_leaves_the_cursor_alone() {
    let catalog = Catalog::new();
    for (day, id) in DAYS.iter().zip(["a", "b", "c"]) {
        catalog.add(day, id);
    }
    assert_eq!(catalog.sent(StartPosition::End), Vec::<String>::new());
    let before = catalog.stored();
    let mut job = catalog.job(StartPosition::End);
    job.replay = Some("2025-06-10T00:00:00Z".parse().unwrap().."2025-06-11T00:00:00Z".parse().unwrap());
    let (world, (_, shutdown)) = (World::default(), shutdown::channel());
    let progress = Progress::hidden().forward("tfc", "kafka");
    let forwarded = Forwarder::open(job, Box::new(world.sink(&[])), progress, shutdown)
        .unwrap()
        .run(|| false);
    assert_eq!((forwarded.sent, forwarded.waiting), (1, Some(0)));
    assert_eq!(world.0.lock().unwrap().arrived.concat_ids(), ["b"]);
    assert_eq!(catalog.stored(), before);
}

#[test]
fn a_replay_that_was_shut_down_is_not_complete() {
    let catalog = Catalog::new();
    catalog.add(DAYS[0], "a");
    let mut job = catalog.job(StartPosition::End);
    job.replay = Some("2025-06-09T00:00:00Z".parse().unwrap().."2025-06-11T00:00:00Z".parse().unwrap());
    let (world, (trigger, shutdown)) = (World::default(), shutdown::channel());
    let progress = Progress::hidden().forward("tfc", "kafka");
    trigger.trigger();
    let forwarded = Forwarder::open(job, Box::new(world.sink(&[])), progress, shutdown)
        .unwrap()
        .run(|| false);
    assert!(
        matches!(forwarded.failure, Some(ForwardError::Stopped)),
        "{forwarded:?}"
    );
}

#[test]
fn an_undeliverable_line_is_kept_with_the_reason_and_passed() {
    let catalog = Catalog::new();
    for id in ["a", "b"] {
        catalog.add(DAYS[0], id);
    }
    let world = World::default();
    let forwarded = catalog.forward(StartPosition::Start, world.sink(&[Act::Undeliverable]));
    assert_eq!(
        (forwarded.sent, forwarded.undelivered, forwarded.waiting),
        (1, 1, Some(0))
    );
    assert_eq!(world.0.lock().unwrap().arrived.concat_ids(), ["b"]);
    let notes = fs::read_to_string(catalog.location.state_file("undelivered.jsonl")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&notes).unwrap();
    assert_eq!(
        (&note["reason"], &note["record"]["id"]),
        (&"too large".into(), &"a".into())
    );
    assert_eq!(
        (&note["file"], &note["offset"]),
        (&"mail_2025-06-09.log".into(), &0.into())
    );
}

#[test]
fn a_second_forwarder_of_the_same_sink_is_refused_while_the_first_is_there() {
    let catalog = Catalog::new();
    let world = World::default();
    let first = catalog.forwarder(StartPosition::End, world.sink(&[]));
    let (_, shutdown) = shutdown::channel();
    let progress = Progress::hidden().forward("tfc", "kafka");
    let second = Forwarder::open(
        catalog.job(StartPosition::End),
        Box::new(world.sink(&[])),
        progress,
        shutdown,
    );
    assert!(second.is_err_and(|error| error.is_held()));
    drop(first);
    assert_eq!(catalog.sent(StartPosition::End), Vec::<String>::new());
}

#[test]
fn a_failure_says_how_many_lines_wait() {
    let catalog = Catalog::new();
    for id in ["a", "b", "c"] {
        catalog.add(DAYS[0], id);
    }
    let world = World::default();
    let fail = Act::Fail {
        arrive: 255,
        confirm: 200,
    };
    let forwarded = catalog.forward(StartPosition::Start, world.sink(&[fail]));
    assert_eq!((forwarded.sent, forwarded.waiting), (1, Some(2)));
    assert_eq!(forwarded.failure.unwrap().to_string(), "away");
}

#[test]
fn what_is_appended_after_a_failure_waits_too() {
    let catalog = Catalog::new();
    catalog.add(DAYS[0], "a");
    let fail = Act::Fail { arrive: 0, confirm: 0 };
    let mut later = ["b", "c"].into_iter();
    let forwarded = catalog
        .forwarder(StartPosition::Start, World::default().sink(&[fail]))
        .run(|| {
            let appended = later.next();
            appended.iter().for_each(|id| catalog.add(DAYS[1], id));
            appended.is_some()
        });
    assert_eq!((forwarded.sent, forwarded.waiting), (0, Some(3)));
    assert_eq!(catalog.sent(StartPosition::End), ["a", "b", "c"]);
}

#[test]
fn standard_output_gets_the_lines_themselves_and_a_closed_pipe_is_no_failure() {
    struct Pipe(Arc<Mutex<Vec<u8>>>, usize);
    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.1 == 0 {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.1);
            self.1 -= taken;
            self.0.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let catalog = Catalog::new();
    let whole = line(DAYS[0], "a") + &line(DAYS[0], "b");
    catalog.append(DAYS[0], &format!("junk\n{whole}half"));
    let written = Arc::new(Mutex::new(Vec::new()));
    let cut = catalog.forward(StartPosition::Start, Output::new(Pipe(written.clone(), 20), None));
    assert!(cut.failure.is_none());
    assert_eq!((cut.sent, cut.waiting), (0, Some(3)));
    written.lock().unwrap().clear();
    let forwarded = catalog.forward(
        StartPosition::Start,
        Output::new(Pipe(written.clone(), usize::MAX), None),
    );
    assert_eq!((forwarded.sent, forwarded.skipped), (2, 1));
    assert_eq!(*written.lock().unwrap(), whole.as_bytes());
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        day: usize,
        lines: usize,
        junk: bool,
    },
    Run(Vec<Act>),
    /// The disk fails after this many writing or reading operations.
    Break {
        after: u64,
        fault: Fault,
        is_reading: bool,
    },
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (0usize..90).prop_map(Fault::Short),
        Just(Fault::Interrupted),
        Just(Fault::Full(0)),
        Just(Fault::Broken(0)),
        Just(Fault::Killed(0)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        2 => Just(Act::Confirm),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(arrive, confirm)| Act::Fail { arrive, confirm }),
    ];
    let step = prop_oneof![
        3 => (0..3usize, 0..40usize, any::<bool>()).prop_map(|(day, lines, junk)| Step::Add { day, lines, junk }),
        2 => prop::collection::vec(act, 0..4).prop_map(Step::Run),
        2 => (0u64..30, fault(), any::<bool>())
            .prop_map(|(after, fault, is_reading)| Step::Break { after, fault, is_reading }),
    ];
    prop::collection::vec(step, 0..20)
}

proptest! {
    #![proptest_config(cases(256))]

    /// Lines are added to any day. Runs fail at any line, with and without lost acknowledgements, and the disk at any
    /// operation.
    #[test]
    fn no_line_is_lost_the_order_is_kept_and_the_cursor_is_never_ahead(steps in steps(), batch in 1usize..3000) {
        let (catalog, world) = (Catalog::new().through_its_disk(), World::default());
        let mut added: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut number = 0;
        for step in steps.into_iter().chain([Step::Run(Vec::new()), Step::Run(Vec::new())]) {
            match step {
                Step::Add { day, lines, junk } => {
                    for _ in 0..lines {
                        number += 1;
                        catalog.add(DAYS[day], &number.to_string());
                        added.entry(DAYS[day].to_owned()).or_default().push(number.to_string());
                    }
                    if junk {
                        catalog.append(DAYS[day], "{\"repaired\n");
                    }
                }
                Step::Break { after, fault, is_reading: true } => catalog.disk.arm_reading(after, fault),
                Step::Break { after, fault, is_reading: false } => catalog.disk.arm(after, fault),
                Step::Run(script) => {
                    let opened = catalog.try_forwarder_in_time(StartPosition::Start, || world.sink(&script));
                    if let Ok(forwarder) = opened {
                        forwarder.with_batches_of(batch).run(|| false);
                    }
                    catalog.disk.restart();
                    let confirmed = world.0.lock().unwrap().confirmed.clone();
                    for (day, position) in catalog.stored().iter() {
                        prop_assert!(position.offset <= confirmed.of(day), "{day}: {position:?} is ahead");
                    }
                }
            }
        }
        let mut first_arrivals: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (day, id) in world.0.lock().unwrap().arrived.iter() {
            let ids = first_arrivals.entry(day.clone()).or_default();
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        prop_assert_eq!(first_arrivals, added);
    }
}
