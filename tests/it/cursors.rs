//! Where forwarding begins and goes on: `forward`, `collect`, `status` and `check` say the same of a cursor.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use crate::forwarding::Listener;
use crate::support::{Catalog, event, events, now, serve};

const NO_CURSOR: &str = "there is no cursor for http, and the archive has lines: nothing is sent until `--forward-from` says where \
                         to go on: `start`, `end` (what comes from now on) or a time";

struct World {
    /// It ends when it is dropped.
    _sandbox: Sandbox,
    catalog: Catalog,
    listener: Listener,
}

/// How many seconds ago it was noon UTC of the day before: what was then is in one file, whatever the hour is now.
fn yesterday_noon() -> i64 {
    now().timestamp() % 86_400 + 43_200
}

impl World {
    /// A catalog, a service with ten records, and a listener that takes everything.
    fn new() -> Self {
        let listener = Listener::start(|_| 200);
        let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, yesterday_noon())));
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("HTTP_FORWARD_URL", &listener.address);
        Self {
            _sandbox: sandbox,
            catalog,
            listener,
        }
    }

    /// What the summary says of the sink.
    fn run(&self, arguments: &[&str], code: i32) -> Value {
        let run = self.catalog.run(arguments);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        let summary: Value = serde_json::from_str(&run.stdout).unwrap();
        summary["streams"][0]["forward"][0].clone()
    }

    fn forward(&self, code: i32) -> Value {
        self.run(&["forward", "http", "--json"], code)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.catalog
            .folder(Api::Tfc)
            .join(".trailkeeper")
            .join(format!("tfc_audit.{name}"))
    }

    fn day_file(&self) -> PathBuf {
        let name = self.catalog.day_files(Api::Tfc).into_keys().next_back().unwrap();
        self.catalog.folder(Api::Tfc).join(name)
    }

    /// The problem with the cursor as `forward`, `status` and `check` tell it, and the lines that wait.
    fn told(&self) -> (String, u64) {
        let before = self.listener.requests().len();
        let forward = self.forward(3);
        let said = forward["error"].as_str().unwrap().to_owned();
        let status = self.catalog.run(&["status", "--json"]);
        let lag = status.summary()["tfc"]["forwarders"][0].clone();
        assert_eq!(lag["problem"], said);
        assert_eq!(lag["waiting"], forward["waiting"]);
        let check = self.catalog.run(&["check", "--json", "--stream", "tfc"]);
        assert_eq!(check.code, 1);
        let check: Value = serde_json::from_str(&check.stdout).unwrap();
        let problems = check["streams"][0]["problems"].as_array().unwrap();
        assert!(problems.contains(&json!(said)), "{problems:?}");
        assert_eq!(self.listener.requests().len(), before, "something was sent");
        (said, forward["waiting"].as_u64().unwrap())
    }
}

#[test]
fn a_fresh_archive_is_forwarded_whole_although_its_first_runs_cannot_send() {
    let mut world = World::new();
    let address = world.listener.address.clone();
    world.catalog.set("HTTP_FORWARD_URL", "http://127.0.0.1:9");
    world.catalog.set("MAX_RETRIES", 0);
    let collect = ["collect", "--json", "--forward-http"];
    assert_eq!(world.run(&collect, 3)["waiting"], 10);
    world.catalog.set("HTTP_FORWARD_URL", address);
    assert_eq!(world.run(&collect, 0)["sent"], 10);
    assert_eq!(world.run(&collect, 0)["sent"], 0);
}

#[test]
fn a_sink_that_is_switched_on_later_gets_nothing_until_it_is_said_what() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    assert_eq!(world.told(), (NO_CURSOR.to_owned(), 10));
    // Collecting goes on, and what it appends waits too.
    let newer = serve(|options| options.give(Api::Tfc, vec![event(Api::Tfc, crate::support::at(5), "new")]));
    let catalog = world.catalog.pointing_at(&newer);
    let world = World {
        _sandbox: newer,
        catalog,
        ..world
    };
    let arguments = ["collect", "--forward-http", "--metrics-file", "m.prom"];
    let run = world.catalog.run(&arguments);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains(NO_CURSOR), "{}", run.stderr);
    let metrics = fs::read_to_string(world.catalog.root().join("m.prom")).unwrap();
    let lag = "trailkeeper_forwarder_lag_records{stream=\"tfc\",forwarder=\"http\"} 11";
    assert!(metrics.lines().any(|line| line == lag), "{metrics}");
    let end = world.run(&["forward", "http", "--json", "--forward-from", "end"], 0);
    assert_eq!((&end["sent"], &end["waiting"]), (&json!(0), &json!(0)));
    assert_eq!(world.forward(0)["sent"], 0);
}

#[test]
fn a_cursor_that_is_lost_or_damaged_is_not_guessed() {
    for (content, kept) in [(None, None), (Some("{"), Some("previous.json")), (Some(""), None)] {
        let world = World::new();
        world.run(&["collect", "--json", "--forward-http"], 0);
        let previous = world.state("http.previous.json");
        if kept.is_none() && previous.exists() {
            fs::remove_file(&previous).unwrap();
        }
        match content {
            None => fs::remove_file(world.state("http.json")).unwrap(),
            Some(text) => fs::write(world.state("http.json"), text).unwrap(),
        }
        let (said, waiting) = world.told();
        assert_eq!(waiting, 10);
        match content {
            None => assert_eq!(said, NO_CURSOR),
            Some(_) => assert!(said.contains("tfc_audit.http.json is damaged"), "{said}"),
        }
        assert_eq!(said.contains("previous.json in its place"), kept.is_some(), "{said}");
        let start = world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
        assert_eq!(start["sent"], 10);
    }
}

#[test]
fn a_day_that_was_restored_from_an_older_backup_stops_forwarding() {
    let world = World::new();
    world.run(&["collect", "--json", "--forward-http"], 0);
    let path = world.day_file();
    let right = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = right.split_inclusive('\n').collect();
    let older = lines[..lines.len() - 1].concat();
    let mut turned = lines.clone();
    turned.reverse();
    for wrong in [older, turned.concat(), turned.concat().repeat(2)] {
        fs::write(&path, &wrong).unwrap();
        let (said, waiting) = world.told();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            said.starts_with("the cursor for http is not one in these day files: "),
            "{said}"
        );
        assert!(said.contains(name) && said.contains("--forward-from"), "{said}");
        assert_eq!(waiting, wrong.lines().count() as u64);
    }
    fs::write(&path, &right).unwrap();
    assert_eq!(world.forward(0)["sent"], 0, "the right one is back");
    compress(&path);
    assert_eq!(world.forward(0)["sent"], 0, "another program has compressed it");
}

/// Compresses a file as `gzip` does.
fn compress(path: &Path) -> PathBuf {
    let packed = path.with_extension("log.gz");
    fs::write(&packed, gzip(&fs::read(path).unwrap())).unwrap();
    fs::remove_file(path).unwrap();
    packed
}

/// A line of an archive with another id, as a service gives it late.
fn late_line(line: &str) -> String {
    let line = line.lines().next().unwrap();
    line.replacen("\"id\": \"", "\"id\": \"late-", 1) + "\n"
}

#[test]
fn compressed_days_are_lines_of_the_archive_and_where_to_begin_is_chosen_in_them_too() {
    for (from, sent) in [("start", 10), ("end", 0), ("2000-01-01", 10), ("2100-01-01", 0)] {
        let world = World::new();
        world.catalog.collect(0, &[]);
        let path = world.day_file();
        let lines = fs::read_to_string(&path).unwrap();
        let packed = compress(&path);
        assert_eq!(world.told(), (NO_CURSOR.to_owned(), 10));
        let forward = world.run(&["forward", "http", "--json", "--forward-from", from], 0);
        assert_eq!(
            (&forward["sent"], &forward["waiting"]),
            (&json!(sent), &json!(0)),
            "{from}"
        );
        // Neither compressed nor unpacked is it sent again, and what comes late for it is.
        assert_eq!(world.forward(0)["sent"], 0, "{from}");
        fs::write(&path, late_line(lines.lines().next().unwrap())).unwrap();
        for sent in [1, 0] {
            assert_eq!(world.forward(0)["sent"], sent, "{from}");
        }
        fs::write(&path, lines + &fs::read_to_string(&path).unwrap()).unwrap();
        fs::remove_file(packed).unwrap();
        assert_eq!(world.forward(0)["sent"], 0, "{from}: unpacked before the late one");
        let again = world.run(&["forward", "http", "--json", "--since", "2000-01-01"], 0);
        assert_eq!(again["sent"], 11);
        compress(&path);
        let again = world.run(&["forward", "http", "--json", "--since", "2000-01-01"], 0);
        assert_eq!(again["sent"], 11);
    }
}

#[test]
fn what_waits_of_a_day_is_sent_although_another_program_has_compressed_it_in_between() {
    for (member_count, has_late) in [(1, false), (1, true), (2, false), (2, true)] {
        let world = World::new();
        world.catalog.collect(0, &[]);
        let (path, whole) = (world.day_file(), fs::read_to_string(world.day_file()).unwrap());
        let lines: Vec<_> = whole.split_inclusive('\n').collect();
        fs::write(&path, lines[..7].concat()).unwrap();
        let start = world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
        assert_eq!(start["sent"], 7);
        let half = whole.len().div_ceil(member_count);
        let members: Vec<u8> = whole.as_bytes().chunks(half).flat_map(gzip).collect();
        fs::write(path.with_extension("log.gz"), members).unwrap();
        fs::remove_file(&path).unwrap();
        // What comes late for a compressed day goes to a new file, and hides nothing.
        if has_late {
            fs::write(&path, late_line(lines[0])).unwrap();
        }
        let waiting = 3 + u64::from(has_late);
        let status = world.catalog.run(&["status", "--json"]);
        let lag = status.summary()["tfc"]["forwarders"][0].clone();
        assert_eq!((&lag["waiting"], &lag["problem"]), (&json!(waiting), &Value::Null));
        for sent in [waiting, 0] {
            let forward = world.forward(0);
            assert_eq!((&forward["sent"], &forward["waiting"]), (&json!(sent), &json!(0)));
        }
        let requests = world.listener.requests();
        let arrays = requests
            .iter()
            .map(|request| serde_json::from_str::<Vec<Value>>(&request.body).unwrap());
        let late = has_late.then(|| late_line(lines[0]));
        let expected = lines
            .iter()
            .copied()
            .chain(late.as_deref())
            .map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(
            arrays.flatten().collect::<Vec<Value>>(),
            expected.collect::<Vec<Value>>()
        );
    }
}

#[test]
fn where_forwarding_cannot_begin_it_is_not_said_that_nothing_waits() {
    let world = World::new();
    world.catalog.collect(0, &["--forward-http"]);
    let line = fs::read_to_string(world.day_file()).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(world.day_file()).unwrap();
    file.write_all(line.as_bytes()).unwrap();
    fs::write(world.state("http.json"), "{\"version\":99}").unwrap();
    let forward = world.forward(3);
    assert!(
        forward["error"].as_str().unwrap().contains("a newer version"),
        "{forward}"
    );
    assert_eq!((&forward["sent"], &forward["waiting"]), (&json!(0), &Value::Null));
    let text = world.catalog.run(&["forward", "http"]).stdout;
    assert!(
        text.starts_with("tfc to http: 0 sent, ? waiting, 0 undelivered; "),
        "{text}"
    );
    let status = world.catalog.run(&["status", "--json"]);
    assert_eq!(status.summary()["tfc"]["forwarders"][0]["waiting"], Value::Null);
    let figures = world.catalog.run(&["status", "--nagios"]).stdout;
    assert!(figures.contains("tfc_http_waiting=U;;;0"), "{figures}");
    let status = world.catalog.run(&["status", "-v"]).stdout;
    let row = status
        .lines()
        .find(|line| line.starts_with("tfc  ") && line.contains("http"));
    assert!(row.is_some_and(|row| row.contains(" ? ")), "{status}");
}

#[test]
fn a_compressed_day_that_cannot_be_read_is_told_and_holds_up_no_other() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let (path, whole) = (world.day_file(), fs::read(world.day_file()).unwrap());
    world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
    let of_day = |day: &str| path.with_file_name(format!("tfc_audit_{day}.log"));
    let packed = of_day("2001-01-01").with_extension("log.gz");
    let content = gzip(&whole);
    fs::write(&packed, &content[..content.len() - 9]).unwrap();
    let (said, waiting) = world.told();
    assert!(
        said.starts_with("nothing was sent of tfc_audit_2001-01-01.log.gz: cannot read ")
            && said.ends_with("the compressed file is damaged or cut off; restore it from a copy"),
        "{said}"
    );
    assert_eq!(waiting, 0);
    fs::write(of_day("2001-01-02"), &whole).unwrap();
    for sent in [10, 0] {
        assert_eq!(world.forward(3)["sent"], sent);
    }
    let again = world.run(&["forward", "http", "--json", "--since", "2001-01-01"], 3);
    assert_eq!((&again["sent"], again["error"].as_str().unwrap()), (&json!(20), &*said));
    fs::write(&packed, content).unwrap();
    for sent in [10, 0] {
        assert_eq!(world.forward(0)["sent"], sent);
    }
}

#[test]
fn a_compressed_day_that_is_not_the_one_that_was_sent_stops_forwarding() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let (path, whole) = (world.day_file(), fs::read_to_string(world.day_file()).unwrap());
    let lines: Vec<_> = whole.split_inclusive('\n').collect();
    fs::write(&path, lines[..7].concat()).unwrap();
    world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
    let turned: String = lines.iter().rev().copied().collect();
    // One with other lines, and one from an older backup.
    for (content, waits) in [(turned.clone() + &turned, 20), (lines[..6].concat(), 6)] {
        fs::write(&path, content).unwrap();
        let packed = compress(&path);
        let (said, waiting) = world.told();
        assert!(
            said.starts_with("the cursor for http is not one in these day files: "),
            "{said}"
        );
        assert!(said.contains(".log.gz"), "{said}");
        assert_eq!(waiting, waits);
        fs::remove_file(packed).unwrap();
    }
}

#[test]
fn what_came_late_may_be_put_into_the_compressed_file_at_any_time() {
    for forwards_between in [false, true] {
        let world = World::new();
        world.catalog.collect(0, &[]);
        let (path, whole) = (world.day_file(), fs::read_to_string(world.day_file()).unwrap());
        world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
        let packed = compress(&path);
        let late = late_line(&whole);
        fs::write(&path, &late).unwrap();
        assert_eq!(world.forward(0)["sent"], 1);
        let members = [fs::read(&packed).unwrap(), gzip(late.as_bytes())].concat();
        fs::write(&packed, members).unwrap();
        if forwards_between {
            assert_eq!(world.forward(0)["sent"], 0);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(world.forward(0)["sent"], 0);
        fs::write(&path, late.replace("late-", "later-")).unwrap();
        for sent in [1, 0] {
            assert_eq!(world.forward(0)["sent"], sent, "{forwards_between}");
        }
    }
}

#[test]
fn a_day_is_sent_once_while_another_program_compresses_it_and_when_both_files_stay() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let (path, whole) = (world.day_file(), fs::read(world.day_file()).unwrap());
    let packed = path.with_extension("log.gz");
    let content = gzip(&whole);
    fs::write(&packed, &content[..content.len() / 2]).unwrap();
    assert_eq!(
        world.run(&["forward", "http", "--json", "--forward-from", "start"], 0)["sent"],
        10
    );
    fs::write(&packed, content).unwrap();
    assert_eq!(world.forward(0)["sent"], 0, "as gzip -k leaves it");
    fs::remove_file(&path).unwrap();
    assert_eq!(world.forward(0)["sent"], 0);
}

#[test]
fn what_a_stopped_gunzip_left_beside_the_compressed_file_hides_none_of_its_lines() {
    for sent_before in [0, 4] {
        let world = World::new();
        world.catalog.collect(0, &[]);
        let (path, whole) = (world.day_file(), fs::read_to_string(world.day_file()).unwrap());
        let lines: Vec<_> = whole.split_inclusive('\n').collect();
        fs::write(&path, lines[..sent_before].concat()).unwrap();
        world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
        fs::write(path.with_extension("log.gz"), gzip(whole.as_bytes())).unwrap();
        fs::write(&path, lines[..6].concat() + &lines[6][..9]).unwrap();
        for sent in [10 - sent_before, 0] {
            assert_eq!(world.forward(0)["sent"], sent, "{sent_before}");
        }
        fs::write(&path, &whole).unwrap();
        fs::remove_file(path.with_extension("log.gz")).unwrap();
        assert_eq!(world.forward(0)["sent"], 0, "it was ended");
    }
}

#[test]
fn records_that_were_filed_again_while_a_compressed_file_was_damaged_are_not_sent_again() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let (path, whole) = (world.day_file(), fs::read_to_string(world.day_file()).unwrap());
    world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
    let packed = compress(&path);
    let lines: Vec<_> = whole.split_inclusive('\n').collect();
    for damaged in [gzip(whole.as_bytes())[..60].to_vec(), Vec::new(), b"junk".to_vec()] {
        fs::write(&packed, damaged).unwrap();
        // In another order, with what came late.
        let again: String = lines.iter().rev().copied().collect();
        fs::write(&path, late_line(lines[0]) + &again).unwrap();
        let said = world.forward(3)["error"].as_str().unwrap().to_owned();
        assert!(said.starts_with("nothing was sent of tfc_audit_"), "{said}");
        assert!(said.contains(".log.gz: "), "{said}");
    }
    fs::write(&packed, gzip(whole.as_bytes())).unwrap();
    for sent in [1, 0] {
        let forward = world.forward(0);
        assert_eq!((&forward["sent"], &forward["waiting"]), (&json!(sent), &json!(0)));
    }
}

#[test]
fn a_damaged_file_with_a_late_one_beside_it_holds_up_no_other_day() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let (path, whole) = (world.day_file(), fs::read_to_string(world.day_file()).unwrap());
    world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
    fs::write(compress(&path), "").unwrap();
    fs::write(&path, late_line(&whole)).unwrap();
    fs::write(path.with_file_name("tfc_audit_2001-01-01.log"), &whole).unwrap();
    for sent in [10, 0] {
        let forward = world.forward(3);
        assert_eq!(forward["sent"], sent, "{forward}");
        assert!(forward["error"].to_string().contains(".log.gz: "), "{forward}");
    }
}

#[test]
fn of_two_compressed_files_with_other_lines_it_is_told_that_one_is_not_sent() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let (path, whole) = (world.day_file(), fs::read(world.day_file()).unwrap());
    world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
    let other = compress(&path).with_extension("zst");
    let zstandard = |bytes| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    fs::write(&other, zstandard(&whole[..])).unwrap();
    assert_eq!(world.forward(0)["sent"], 0, "both have the same lines");
    fs::write(&other, zstandard(&whole.repeat(2)[..])).unwrap();
    let (said, _) = world.told();
    assert!(
        said.contains(".log.zst: the day has other lines in tfc_audit_"),
        "{said}"
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
