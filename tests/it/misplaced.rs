//! A catalog that another program filled by other rules: files named by local time or by the date of the run. Its records stand
//! in the files of other days; they are found there, told apart from damage, and left as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use trailkeeper::json;
use trailkeeper::sandbox::{Api, Event, Options, Sandbox};

use super::support::random::{many, random};
use super::support::{Catalog, at, base_name, event, now, process, run_inside, serve};

const API: Api = Api::Tfc;

/// How many catalogs of other programs are drawn.
const CASES: u32 = 12;

/// The service keeps records for two weeks; these are well within.
const DAYS: i64 = 10;

const DAY: i64 = 86_400;

/// By which rule the other program named its files.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// By local time, so many minutes east of UTC.
    Local(i64),
    /// By the day of a run that comes every so many seconds, so many seconds after midnight UTC.
    Run { every: i64, after: i64 },
}

impl Rule {
    fn file_day(self, time: DateTime<Utc>) -> NaiveDate {
        match self {
            Self::Local(minutes) => (time + TimeDelta::minutes(minutes)).date_naive(),
            Self::Run { every, after } => {
                let seconds = time.timestamp() - after;
                let next = (seconds.div_euclid(every) + 1) * every + after;
                // What the last run has fetched, which was just now.
                DateTime::from_timestamp(next, 0).unwrap().min(now()).date_naive()
            }
        }
    }
}

/// How the other program wrote lines and left its files.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// With CRLF.
    has_returns: bool,
    /// Without spaces, as other serializers write.
    is_compact: bool,
    /// How many of the oldest files it has compressed.
    compressed: usize,
    /// Whether a crash left the first half of a line that the service still gives.
    is_torn: bool,
    /// How many of its records are there twice.
    repeats: usize,
}

/// A folder that another program has left.
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    /// How often each record is in them.
    records: BTreeMap<String, usize>,
    misplaced: u64,
}

fn record_of(text: &str) -> String {
    let mut line = String::new();
    json::scan(text, &[], &mut line).unwrap();
    line
}

fn name(date: NaiveDate) -> String {
    format!("{}_{date}.log", base_name(API))
}

/// What another program makes of these records.
fn leave(folder: &Path, events: &[Event], rule: Rule, manner: Manner, random: &mut Rng) -> Left {
    let mut contents: BTreeMap<NaiveDate, Vec<u8>> = BTreeMap::new();
    let mut left = Left {
        files: BTreeMap::new(),
        records: BTreeMap::new(),
        misplaced: 0,
    };
    let mut again: Vec<usize> = (0..manner.repeats).map(|_| random.usize(..events.len())).collect();
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|event| event.time);
    for (index, event) in sorted.iter().enumerate() {
        let times = 1 + again.extract_if(.., |again| *again == index).count();
        let date = rule.file_day(event.time);
        let line = record_of(&event.text);
        for _ in 0..times {
            let written = if manner.is_compact {
                line.replace(": ", ":").replace(", ", ",")
            } else {
                line.clone()
            };
            let end = if manner.has_returns { "\r\n" } else { "\n" };
            contents.entry(date).or_default().extend((written + end).bytes());
            left.misplaced += u64::from(event.time.date_naive() != date);
        }
        *left.records.entry(line).or_default() += times;
    }
    if manner.is_torn
        && contents.len() > manner.compressed
        && let Some(mut newest) = contents.last_entry()
    {
        newest.get_mut().extend(b"{\"id\": \"torn");
    }
    for (index, (date, bytes)) in contents.into_iter().enumerate() {
        let (name, bytes) = if index < manner.compressed {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&bytes).unwrap();
            (name(date) + ".gz", encoder.finish().unwrap())
        } else {
            (name(date), bytes)
        };
        fs::write(folder.join(&name), &bytes).unwrap();
        left.files.insert(name, bytes);
    }
    left
}

/// How often each record stands in the files of a folder, compressed ones included.
fn standing(catalog: &Catalog) -> BTreeMap<String, usize> {
    let mut records = BTreeMap::new();
    for (name, bytes) in catalog.day_files(API) {
        let content = if name.ends_with(".gz") {
            let mut content = Vec::new();
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut content).unwrap();
            content
        } else {
            bytes
        };
        for line in String::from_utf8(content).unwrap().lines() {
            if serde_json::from_str::<Value>(line).is_ok() {
                *records.entry(record_of(line)).or_default() += 1;
            }
        }
    }
    records
}

/// Asserts that each record of the service stands there once, or as often as the other program wrote it, and that what that
/// wrote has not changed; returns how many lines there are too many.
#[track_caller]
fn assert_taken_over(catalog: &Catalog, sandbox: &Sandbox, left: &Left) {
    let files = catalog.day_files(API);
    for (name, bytes) in &left.files {
        assert!(files[name].starts_with(bytes), "{name} was changed, not appended to");
        assert!(!name.ends_with(".gz") || files[name] == *bytes, "{name} was written to");
    }
    let found = standing(catalog);
    let mut expected = left.records.clone();
    for event in sandbox.events(API) {
        expected.entry(record_of(&event.text)).or_insert(1);
    }
    let repeated: usize = found
        .iter()
        .map(|(line, times)| times.saturating_sub(*expected.get(line).unwrap_or(&0)))
        .sum();
    let missing = expected.iter().filter(|(line, _)| !found.contains_key(*line)).count();
    assert_eq!((repeated, missing), (0, 0), "lines that are repeated, and missing");
}

fn shown(catalog: &Catalog, command: &str, code: i32) -> Value {
    let run = catalog.run(&[command, "--json"]);
    assert_eq!(run.code, code, "{command}: {}{}", run.stdout, run.stderr);
    run.summary().into_values().next().unwrap()
}

#[track_caller]
fn assert_told(catalog: &Catalog, left: &Left, manner: Manner) {
    let report = shown(catalog, "verify", 0);
    let figures = ["misplaced", "repeats", "wrong"].map(|field| report[field].as_u64());
    assert_eq!(
        figures,
        [left.misplaced, manner.repeats as u64, 0].map(Some),
        "{report}"
    );
}

/// Records every half an hour over some days, up to ten minutes ago.
fn history() -> Vec<Event> {
    (0..DAYS * 48)
        .map(|n| event(API, at(600 + n * 1_800), &format!("id-{n}")))
        .collect()
}

fn serving(events: Vec<Event>) -> Sandbox {
    serve(|options| options.give(API, events))
}

/// Takes over what a program with this rule left of all but the newest records of the service.
fn taken_over(rule: Rule, manner: Manner) -> (Sandbox, Catalog, Left) {
    let events = history();
    let sandbox = serving(events.clone());
    let catalog = Catalog::of(&sandbox, &[API]);
    let left = leave(&catalog.folder(API), &events[5..], rule, manner, &mut random());
    (sandbox, catalog, left)
}

const RULES: [Rule; 8] = [
    Rule::Local(14 * 60),
    Rule::Local(5 * 60 + 30),
    Rule::Local(3 * 60),
    Rule::Local(-3 * 60 - 30),
    Rule::Local(-12 * 60),
    Rule::Run { every: DAY, after: 300 },
    Rule::Run { every: 3_600, after: 0 },
    Rule::Run {
        every: 7 * DAY,
        after: 7_200,
    },
];

#[test]
fn records_in_the_files_of_other_days_are_not_repeated() {
    for rule in RULES {
        println!("{rule:?}");
        let (sandbox, catalog, left) = taken_over(rule, Manner::default());
        assert_eq!(catalog.collect_one(0, &[])["appended"], 5);
        assert_taken_over(&catalog, &sandbox, &left);
        for again in [&[][..], &["--since", "12d"], &["--since", "9d", "--until", "4d"]] {
            assert_eq!(catalog.collect_one(0, again)["appended"], 0, "{again:?}");
        }
        let reconciled = catalog.run(&["reconcile", "--since", "12d"]);
        assert_eq!(reconciled.code, 0, "{}", reconciled.stderr);
        assert_taken_over(&catalog, &sandbox, &left);
        assert_told(&catalog, &left, Manner::default());
    }
}

#[test]
fn what_the_other_program_has_not_is_filed_in_the_file_of_its_utc_day() {
    let events = history();
    let sandbox = serving(events.clone());
    let catalog = Catalog::of(&sandbox, &[API]);
    let missing = |n: &usize| n % 7 == 3;
    let kept: Vec<Event> = events
        .into_iter()
        .enumerate()
        .filter(|(n, _)| !missing(n))
        .map(|(_, event)| event)
        .collect();
    let left = leave(
        &catalog.folder(API),
        &kept,
        Rule::Local(600),
        Manner::default(),
        &mut random(),
    );
    catalog.collect(0, &[]);
    catalog.collect(0, &["--since", "12d"]);
    assert_taken_over(&catalog, &sandbox, &left);
    for (name, bytes) in catalog.day_files(API) {
        let added = String::from_utf8(bytes).unwrap()[left.files.get(&name).map_or(0, Vec::len)..].to_owned();
        for line in added.lines() {
            let time = serde_json::from_str::<Value>(line).unwrap()["timestamp"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(name.contains(&time[..10]), "{name}: {line}");
        }
    }
    assert_told(&catalog, &left, Manner::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_file_that_is_dated_tomorrow_is_read_and_is_no_fault() {
    let noon = now()
        .date_naive()
        .pred_opt()
        .unwrap()
        .and_hms_opt(20, 0, 0)
        .unwrap()
        .and_utc();
    let events: Vec<Event> = (0..96)
        .map(|n| event(API, noon - TimeDelta::minutes(10 + n * 30), &format!("id-{n}")))
        .collect();
    let sandbox = Sandbox::start_on_thread(Options::empty(Arc::new(move || noon)).give(API, events.clone())).unwrap();
    let catalog = Catalog::of(&sandbox, &[API]);
    let left = leave(
        &catalog.folder(API),
        &events[1..],
        Rule::Local(600),
        Manner::default(),
        &mut random(),
    );
    assert!(left.files.contains_key(&name(now().date_naive())));
    for appended in [1, 0] {
        let summary = run_inside(&catalog, noon).await.into_values().next().unwrap();
        assert_eq!(summary["appended"], appended, "{summary}");
        assert!(!summary["warnings"].to_string().contains("future"), "{summary}");
        assert_taken_over(&catalog, &sandbox, &left);
    }
}

#[test]
fn the_last_record_is_the_newest_of_all_files_and_a_run_asks_from_there() {
    for rule in RULES {
        let (sandbox, catalog, _) = taken_over(rule, Manner::default());
        let last_record = || -> DateTime<Utc> {
            let status = shown(&catalog, "status", 0);
            status["last_record"].as_str().unwrap().parse().unwrap()
        };
        let events = sandbox.events(API);
        let time = |newest: usize| events[events.len() - 1 - newest].time;
        assert_eq!(last_record(), time(5), "{rule:?}");
        catalog.collect(0, &[]);
        assert_eq!(last_record(), time(0), "{rule:?}");
        let again = catalog.collect_one(0, &[]);
        let from: DateTime<Utc> = again["from"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            (from, &again["requests"]),
            (time(0) - TimeDelta::minutes(2), &1.into()),
            "{rule:?}: {again}"
        );
    }
}

#[test]
fn what_was_moved_or_filed_wrong_after_the_takeover_is_damage() {
    let (_sandbox, catalog, left) = taken_over(Rule::Local(180), Manner::default());
    catalog.collect(0, &[]);
    let (file, bytes) = left.files.iter().nth(4).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let other = left.files.keys().nth(6).unwrap();
    let line = text.lines().last().unwrap();
    let mut opened = OpenOptions::new()
        .append(true)
        .open(catalog.folder(API).join(other))
        .unwrap();
    opened.write_all(format!("{line}\n").as_bytes()).unwrap();
    let report = shown(&catalog, "verify", 3);
    assert_eq!(
        (&report["misplaced"], &report["wrong"]),
        (&left.misplaced.into(), &1.into()),
        "{report}"
    );
    assert_eq!(report["findings"][0]["problem"], "wrong-day");
    // One that was put into what stood there makes all of that file another.
    let path = catalog.folder(API).join(file);
    let now = fs::read(&path).unwrap();
    fs::write(&path, [line.as_bytes(), b"\n", &now].concat()).unwrap();
    let report = shown(&catalog, "verify", 3);
    assert!(report["misplaced"].as_u64().unwrap() < left.misplaced, "{report}");
}

#[test]
fn a_file_without_misplaced_records_at_the_takeover_has_none_that_are_no_damage() {
    let sandbox = serving(history());
    let catalog = Catalog::of(&sandbox, &[API]);
    catalog.collect(0, &[]);
    let name = catalog.day_files(API).into_keys().nth(3).unwrap();
    let other = catalog.day_files(API).into_values().nth(5).unwrap();
    let line = String::from_utf8(other).unwrap().lines().next().unwrap().to_owned();
    let mut opened = OpenOptions::new()
        .append(true)
        .open(catalog.folder(API).join(name))
        .unwrap();
    opened.write_all(format!("{line}\n").as_bytes()).unwrap();
    let report = shown(&catalog, "verify", 3);
    assert_eq!(
        (&report["misplaced"], &report["wrong"]),
        (&0.into(), &1.into()),
        "{report}"
    );
    catalog.collect(0, &[]);
    assert_eq!(shown(&catalog, "verify", 3)["wrong"], 1);
}

#[test]
fn no_other_command_makes_a_fault_of_such_files() {
    for rule in RULES {
        println!("{rule:?}");
        let (_sandbox, catalog, left) = taken_over(rule, Manner::default());
        for is_taken_over in [false, true] {
            assert_eq!(
                shown(&catalog, "verify", 0)["misplaced"],
                left.misplaced,
                "{is_taken_over}"
            );
            assert_eq!(shown(&catalog, "check", 0)["problems"], Value::Array(Vec::new()));
            let coverage = shown(&catalog, "coverage", 0);
            assert_eq!(coverage["wrong_days"], Value::Array(Vec::new()));
            let status = shown(&catalog, "status", 0);
            assert!(!status["problems"].to_string().contains("future"), "{status}");
            let report = catalog.run(&["report", "--html", "report.html", "--json"]);
            assert_eq!(report.code, 0, "{}", report.stderr);
            if is_taken_over {
                assert_eq!(status["problems"], Value::Array(Vec::new()));
                assert_eq!(status["days_without_records"], Value::Array(Vec::new()), "{rule:?}");
            }
            catalog.collect(0, &[]);
        }
    }
}

#[test]
fn a_compressed_file_and_one_that_is_compressed_later_are_known_again() {
    let manner = Manner {
        compressed: 4,
        ..Manner::default()
    };
    let (sandbox, catalog, left) = taken_over(Rule::Local(-300), manner);
    catalog.collect(0, &[]);
    assert_taken_over(&catalog, &sandbox, &left);
    assert_told(&catalog, &left, manner);
    let name = left.files.keys().nth(6).unwrap();
    let path = catalog.folder(API).join(name);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&fs::read(&path).unwrap()).unwrap();
    fs::write(format!("{}.gz", path.display()), encoder.finish().unwrap()).unwrap();
    fs::remove_file(&path).unwrap();
    assert_told(&catalog, &left, manner);
    assert_eq!(catalog.collect_one(0, &["--since", "12d"])["appended"], 0);
    // What comes for that day begins a file, in which nothing stood.
    sandbox.add(API, vec![event(API, at(600 + 4 * DAY), "late")]);
    catalog.collect(0, &["--since", "12d"]);
    assert_told(&catalog, &left, manner);
}

#[test]
fn a_compressed_file_that_is_unpacked_or_compressed_again_has_what_was_left() {
    let manner = Manner {
        compressed: 6,
        repeats: 20,
        ..Manner::default()
    };
    let (sandbox, catalog, left) = taken_over(Rule::Local(-300), manner);
    catalog.collect(0, &[]);
    assert_told(&catalog, &left, manner);
    let packed: Vec<_> = left.files.keys().filter(|name| name.ends_with(".gz")).collect();
    let content = |name: &str| {
        let mut content = Vec::new();
        std::io::copy(
            &mut flate2::read::MultiGzDecoder::new(&left.files[name][..]),
            &mut content,
        )
        .unwrap();
        content
    };
    let at_place = |name: &str| catalog.folder(API).join(name);
    let unpacked = at_place(packed[1]).with_extension("");
    fs::write(&unpacked, content(packed[1])).unwrap();
    fs::remove_file(at_place(packed[1])).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&content(packed[2])).unwrap();
    fs::write(at_place(packed[2]), encoder.finish().unwrap()).unwrap();
    let zst = at_place(packed[3]).with_extension("zst");
    fs::write(
        &zst,
        ruzstd::encoding::compress_to_vec(&content(packed[3])[..], ruzstd::encoding::CompressionLevel::Fastest),
    )
    .unwrap();
    fs::remove_file(at_place(packed[3])).unwrap();
    assert_told(&catalog, &left, manner);
    assert_eq!(catalog.collect_one(0, &["--since", "12d"])["appended"], 0);
    // What comes for the days of an unpacked and of a compressed one.
    let events = [7, 8, 9].map(|day| event(API, at(600 + day * DAY), &format!("late-{day}")));
    sandbox.add(API, events.into());
    assert_eq!(catalog.collect_one(0, &["--since", "12d"])["appended"], 3);
    assert_told(&catalog, &left, manner);
    // A line of another day in a file that stands beside a compressed one was not left.
    let beside = at_place(packed[0]).with_extension("");
    let line = content(packed[5])
        .split_inclusive(|byte| *byte == b'\n')
        .next()
        .unwrap()
        .to_owned();
    let mut opened = OpenOptions::new().create(true).append(true).open(beside).unwrap();
    opened.write_all(&line).unwrap();
    assert_eq!(shown(&catalog, "verify", 3)["wrong"], 1);
}

#[test]
fn a_run_that_would_take_over_says_what_it_would_append_and_writes_nothing() {
    let (_sandbox, catalog, _) = taken_over(Rule::Local(180), Manner::default());
    let before = catalog.tree();
    assert_eq!(catalog.collect_one(0, &["--dry-run"])["appended"], 5);
    catalog.assert_unchanged(&before);
}

#[test]
fn a_damaged_note_of_the_takeover_is_made_anew_and_repeats_nothing() {
    let (sandbox, catalog, left) = taken_over(Rule::Local(180), Manner::default());
    catalog.collect(0, &[]);
    let note = catalog
        .folder(API)
        .join(format!(".trailkeeper/{}.takeover.jsonl", base_name(API)));
    let whole = fs::read_to_string(&note).unwrap();
    let head = whole.split_inclusive('\n').next().unwrap();
    for damaged in ["", "{\"version\":1", "nonsense\n", head, &whole[..whole.len() - 1]] {
        fs::write(&note, damaged).unwrap();
        catalog.collect(0, &["--since", "12d"]);
        assert_taken_over(&catalog, &sandbox, &left);
        assert_told(&catalog, &left, Manner::default());
    }
}

#[test]
fn a_catalog_of_this_program_has_no_note_of_a_takeover() {
    let sandbox = serving(history());
    let catalog = Catalog::of(&sandbox, &[API]);
    for _ in 0..2 {
        catalog.collect(0, &[]);
        let state = fs::read_dir(catalog.folder(API).join(".trailkeeper")).unwrap();
        let names: BTreeSet<_> = state
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(!names.iter().any(|name| name.contains("takeover")), "{names:?}");
    }
}

/// Takes over a catalog that is drawn, with runs that are killed.
fn try_drawn(random: &mut Rng) {
    let rule = match random.u8(..4) {
        0 | 1 => Rule::Local(random.i64(-12 * 4..=14 * 4) * 15),
        2 => Rule::Run {
            every: random.i64(1..48) * 3_600,
            after: random.i64(0..DAY),
        },
        _ => Rule::Run {
            every: random.i64(2..9) * DAY,
            after: random.i64(0..DAY),
        },
    };
    let manner = Manner {
        has_returns: random.bool(),
        is_compact: random.bool(),
        compressed: random.usize(..6),
        is_torn: random.bool(),
        repeats: random.usize(..6),
    };
    println!("{rule:?} {manner:?}");
    let step = random.i64(300..4_000);
    let all: Vec<Event> = (0..DAYS * DAY / step)
        .map(|n| event(API, at(600 + n * step), &format!("id-{n}")))
        .collect();
    let newest = random.usize(..20);
    let kept: Vec<Event> = all[newest..].iter().filter(|_| random.u8(..) > 10).cloned().collect();
    let sandbox = serve(|mut options| {
        options[API].page_cap = Some(random.usize(20..200));
        options.give(API, all)
    });
    let catalog = Catalog::of(&sandbox, &[API]).with("MAX_PAGES", random.u32(2..6));
    let left = leave(&catalog.folder(API), &kept, rule, manner, random);
    for _ in 0..random.usize(..5) {
        let run = catalog.start(&["collect", "-q"]);
        killed_after(run, random.u64(5..150));
    }
    if random.bool() {
        sandbox.add(API, vec![event(API, at(random.i64(60..DAYS * DAY)), "new")]);
    }
    catalog.collect(0, &[]);
    catalog.collect(0, &["--since", "11d"]);
    assert_taken_over(&catalog, &sandbox, &left);
    assert_told(&catalog, &left, manner);
    assert_eq!(catalog.collect_one(0, &["--since", "11d"])["appended"], 0);
}

/// Lets a run go on for so many milliseconds and kills it.
fn killed_after(mut run: process::Process, milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    run.ended();
}

#[test]
fn however_another_program_named_its_files_each_record_stands_once_and_the_misplaced_are_counted() {
    let mut random = random();
    for _ in 0..many(CASES) {
        try_drawn(&mut random);
    }
}
