//! Killed anywhere: however often and whenever a run is killed, nothing is lost, repeated or changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use trailkeeper::sandbox::{Api, Event, Options, Sandbox};

use super::pack;
use super::support::random::{many, random};
use super::support::{Catalog, PATIENCE, Process, at, event, lines_by_file, now, serve, under_strace, wait_until};

/// How often a run is killed at most, and for how long the test goes on.
const MOST_KILLS: u32 = 300;
const LONGEST: Duration = Duration::from_secs(40);

/// How many records each service holds at first.
const RECORDS: i64 = 900;

/// Several records of one time, then a gap of minutes: over three days or so.
fn history(api: Api) -> Vec<Event> {
    let seconds_ago = |n: i64| 120 + (n / 7) * 2_000 + (n % 7) / 4;
    (0..RECORDS)
        .map(|n| {
            let mut event = event(api, at(seconds_ago(n)), &format!("id-{n}"));
            // Records that no single page of the cache holds: a kill can cut the write of a batch in two.
            let filler = "é\u{2028}".repeat((n % 40) as usize * 8);
            event.text = event.text.replacen('{', &format!(r#"{{"filler":"{filler}","#), 1);
            event
        })
        .collect()
}

fn sandbox() -> Sandbox {
    serve(|mut options: Options| {
        options.latency = Duration::from_millis(2);
        for api in Api::ALL {
            options = options.give(api, history(api));
        }
        options[Api::Tfc].page_cap = Some(40);
        options[Api::Tfc].rate_limit = None;
        options[Api::Port].page_cap = Some(60);
        options[Api::Mail].unsorted = true;
        options
    })
}

fn catalog(sandbox: &Sandbox) -> Catalog {
    Catalog::of(sandbox, &Api::ALL)
        .with("MAX_PAGES", 2)
        .with("PORT_PAGE_LIMIT", 50)
        .with("RECONCILE_EVERY_HOURS", 1)
}

/// The day files of all streams.
fn snapshot(catalog: &Catalog) -> BTreeMap<(usize, String), Vec<u8>> {
    let used = Api::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, api)| catalog.folder(*api).exists());
    let files = used.map(|(index, api)| {
        let files = catalog.day_files(api).into_iter();
        files.map(move |(name, bytes)| ((index, name), bytes))
    });
    files.flatten().collect()
}

/// Asserts that every file that was there still begins with every byte that it had.
fn assert_only_grew(before: &BTreeMap<(usize, String), Vec<u8>>, after: &BTreeMap<(usize, String), Vec<u8>>) {
    for (name, bytes) in before {
        let grown = after.get(name).unwrap_or_else(|| panic!("{name:?} is gone"));
        assert!(grown.starts_with(bytes), "{name:?} was changed");
    }
}

/// Asserts that the day files hold these records, each once, and else nothing but repaired torn lines that are noted.
fn assert_complete(catalog: &Catalog, api: Api, events: &[Event]) -> usize {
    let repaired: BTreeSet<(String, u64)> = catalog
        .rejected(api)
        .iter()
        .map(|note| {
            assert_eq!(note["reason"], "torn line, repaired", "{note}");
            let file = note["file"].as_str().unwrap().to_owned();
            (file, note["offset"].as_u64().unwrap())
        })
        .collect();
    let mut expected = lines_by_file(api, events);
    for (name, bytes) in catalog.day_files(api) {
        assert!(bytes.ends_with(b"\n"), "{name} does not end with a whole line");
        let mut missing = expected.remove(&name).unwrap_or_default();
        let mut offset = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_repaired = repaired.contains(&(name.clone(), offset));
            let text = std::str::from_utf8(line).unwrap_or_default().trim_end_matches('\n');
            let is_expected = missing.remove(text);
            assert!(
                is_expected || is_repaired,
                "{name} at {offset}: lost, repeated or changed: {text}"
            );
            offset += line.len() as u64;
        }
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
    }
    assert!(expected.is_empty(), "whole days are missing: {:?}", expected.keys());
    repaired.len()
}

/// Lets a run go on for so long and kills it; the exit code if it was faster.
fn kill_after(mut run: Process, delay: Duration) -> Option<i32> {
    std::thread::sleep(delay);
    run.ended()
}

/// How often a run is killed that packs, deletes and seals.
const KILLS_WITH_UPKEEP: u32 = 16;

#[test]
fn killed_while_old_days_are_packed_and_deleted_and_all_is_sealed_nothing_is_lost_or_doubled() {
    let (sandbox, mut random) = (pack::sandbox(12), random());
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    catalog.set("SEAL_EVERY_MINUTES", 0);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    catalog.set("PACK_AFTER_DAYS", 3);
    catalog.set("EXPIRE_AFTER_DAYS", 8);
    let rounds = many(KILLS_WITH_UPKEEP);
    let mut patience = 100;
    for round in 0..rounds {
        // What comes late for a day that is packed by then.
        let time = at(5 * pack::DAY + 700 + i64::from(round));
        sandbox.add(Api::Mail, vec![event(Api::Mail, time, &format!("late-{round}"))]);
        let run = catalog.start(&["collect", "-q", "--since", "7d"]);
        patience += 100;
        if let Some(code) = kill_after(run, Duration::from_millis(random.u64(5..patience))) {
            assert_eq!(code, 0, "{}", catalog.app_log());
        }
    }
    // What is sealed by one run is deleted by the next.
    for _ in 0..3 {
        let run = catalog.collect_one(0, &["--since", "7d"]);
        assert_eq!(run["upkeep"]["problems"], serde_json::json!([]), "{run}");
    }
    let is_kept = |day: &i64| {
        let date = at(day * pack::DAY + 600).date_naive();
        date + chrono::Days::new(9) > now().date_naive()
    };
    let kept = (0..12).filter(is_kept).count() as u64;
    assert!((7..11).contains(&kept), "{kept}");
    let expected = 3 * kept + u64::from(rounds);
    let found = catalog.run(&["search", "--event=*", "--json"]);
    let lines: BTreeSet<_> = found.stdout.lines().collect();
    assert_eq!(
        (found.stdout.lines().count() as u64, lines.len() as u64),
        (expected, expected)
    );
    assert_eq!(pack::shown(&catalog, 0, &["verify"])["streams"][0]["records"], expected);
    pack::shown(&catalog, 0, &["seal", "--full"]);
    pack::shown(&catalog, 0, &["verify", "--evidence"]);
    let names = fs::read_dir(catalog.folder(Api::Mail).join("packed")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names.iter().all(|name| name.to_string_lossy().ends_with(".zst")),
        "{names:?}"
    );
}

#[test]
fn killed_at_random_moments_hundreds_of_times_the_archive_is_complete_and_no_byte_of_it_changed() {
    let mut random = random();
    let (begun, mut kills, mut repaired, mut archives) = (Instant::now(), 0, 0, 0);
    let (most_kills, longest) = (many(MOST_KILLS), many(LONGEST));
    while kills < most_kills && begun.elapsed() < longest {
        let sandbox = sandbox();
        let catalog = catalog(&sandbox);
        let mut before = snapshot(&catalog);
        let (mut arrivals, mut patience) = (0, 100);
        loop {
            let run = catalog.start(&["collect", "-q"]);
            // Ever more time, so that there is an end however slow the machine is.
            patience += if begun.elapsed() < longest { 15 } else { 1_000 };
            assert!(patience < 200_000, "no run gets to its end");
            let code = kill_after(run, Duration::from_millis(random.u64(5..patience)));
            let after = snapshot(&catalog);
            assert_only_grew(&before, &after);
            before = after;
            match code {
                None => kills += 1,
                Some(0) => break,
                Some(other) => panic!("exit code {other}: {}", catalog.app_log()),
            }
            if random.u8(..) < 60 {
                arrivals += 1;
                for api in Api::ALL {
                    sandbox.add(api, vec![event(api, at(0), &format!("new-{arrivals}"))]);
                }
            }
        }
        catalog.collect(0, &[]);
        assert_only_grew(&before, &snapshot(&catalog));
        for api in Api::ALL {
            repaired += assert_complete(&catalog, api, &sandbox.events(api));
        }
        archives += 1;
    }
    println!(
        "{kills} kills in {archives} archives, {repaired} torn lines repaired, {:.1?}",
        begun.elapsed()
    );
    assert!(kills > 0);
}

/// Every system call that writes, one after the other: strace kills the run before the call takes effect.
#[test]
#[ignore = "needs strace and some minutes"]
fn killed_at_every_system_call_that_writes_the_archive_is_complete_after_the_next_run() {
    let sandbox = serve(|options| options.give(Api::Mail, history(Api::Mail)));
    for call in ["write", "fdatasync", "fsync", "openat", "rename", "unlink", "mkdir"] {
        let mut kills = 0;
        for when in 1.. {
            assert!(when < 10_000, "a run makes no end of {call}");
            let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("MAX_PAGES", 2);
            let inject = [
                format!("trace={call}"),
                format!("inject={call}:signal=KILL:when={when}"),
            ];
            let run = under_strace(&catalog, &["collect", "-q"], None, &inject);
            match run.code {
                -1 => kills += 1,
                0 => break,
                other => panic!("{call} {kills}: exit code {other}: {}", run.stderr),
            }
            let before = snapshot(&catalog);
            catalog.collect(0, &[]);
            assert_only_grew(&before, &snapshot(&catalog));
            assert_complete(&catalog, Api::Mail, &sandbox.events(Api::Mail));
        }
        println!("{call}: killed {kills} times");
    }
}

#[test]
fn a_second_run_exits_with_4_and_names_the_first_and_a_killed_one_holds_nothing() {
    let sandbox = serve(|options| {
        let slow = trailkeeper::sandbox::Action::Wait(Duration::from_secs(60));
        options
            .give(Api::Tfc, history(Api::Tfc))
            .step(trailkeeper::sandbox::Step::at(Api::Tfc, 1, slow))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let mut first = catalog.start(&["collect", "-q"]);
    wait_until("the first run asks", PATIENCE, || {
        first.assert_running();
        sandbox.request_count(Api::Tfc) > 0
    });
    let before = catalog.tree();
    for command in ["collect", "reconcile"] {
        let second = catalog.run(&[command]);
        assert_eq!(second.code, 4, "{}", second.stderr);
        let lock = fs::read_to_string(catalog.folder(Api::Tfc).join(".trailkeeper/tfc_audit.lock")).unwrap();
        let note: Value = serde_json::from_str(&lock).unwrap();
        let holder = format!("(pid {}, since {})", first.id(), note["since"].as_str().unwrap());
        assert!(second.stderr.contains(&holder), "{holder}: {}", second.stderr);
        assert_eq!(note["pid"], first.id());
    }
    catalog.assert_unchanged(&before);
    first.kill();
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
}
