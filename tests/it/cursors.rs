//! Where forwarding begins and goes on: `forward`, `collect`, `status` and `check` say the same of a cursor.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use crate::forwarding::Listener;
use crate::support::{Catalog, event, events, serve};

const NO_CURSOR: &str = "there is no cursor for http, and the archive has lines: nothing is sent until `--forward-from` says where \
                         to go on: `start`, `end` (what comes from now on) or a time";

struct World {
    /// It ends when it is dropped.
    _sandbox: Sandbox,
    catalog: Catalog,
    listener: Listener,
}

impl World {
    /// A catalog, a service with ten records, and a listener that takes everything.
    fn new() -> Self {
        let listener = Listener::start(|_| 200);
        let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
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
    fs::rename(&path, path.with_extension("log.zst")).unwrap();
    assert_eq!(world.forward(0)["sent"], 0, "another program has compressed it");
}

#[test]
fn compressed_days_are_lines_of_the_archive_and_it_is_told_that_they_are_not_sent() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let compressed = world.catalog.day_files(Api::Tfc).into_keys();
    for name in compressed {
        let path = world.catalog.folder(Api::Tfc).join(name);
        fs::rename(&path, path.with_extension("log.gz")).unwrap();
    }
    assert_eq!(world.told(), (NO_CURSOR.to_owned(), 0));
    let said = "of 1 day that another program has compressed nothing is sent: decompress it first if its lines are to go there";
    let again = world.catalog.run(&["forward", "http", "--since", "2000-01-01"]);
    assert!(again.stderr.contains(said), "{}", again.stderr);
    let end = world.catalog.run(&["forward", "http", "--forward-from", "end"]);
    assert_eq!(
        (end.code, end.stderr.contains("compressed")),
        (0, false),
        "{}",
        end.stderr
    );
    fs::remove_file(world.state("http.json")).unwrap();
    fs::remove_file(world.state("http.previous.json")).unwrap();
    let start = world.catalog.run(&["forward", "http", "--forward-from", "start"]);
    assert_eq!((start.code, start.stderr.contains(said)), (0, true), "{}", start.stderr);
}

#[test]
fn a_day_that_is_compressed_while_its_lines_wait_is_told_until_they_are_sent() {
    for member_count in [1, 2] {
        let world = World::new();
        world.catalog.collect(0, &[]);
        let (path, whole) = (world.day_file(), fs::read(world.day_file()).unwrap());
        let seven = whole
            .split_inclusive(|byte| *byte == b'\n')
            .take(7)
            .map(<[u8]>::len)
            .sum();
        fs::write(&path, &whole[..seven]).unwrap();
        assert_eq!(
            world.run(&["forward", "http", "--json", "--forward-from", "start"], 0)["sent"],
            7
        );
        let packed = path.with_extension("log.gz");
        let half = whole.len() / member_count;
        let members: Vec<u8> = whole.chunks(half.max(1)).flat_map(gzip).collect();
        fs::write(&packed, members).unwrap();
        fs::remove_file(&path).unwrap();
        let name = packed.file_name().unwrap().to_str().unwrap();
        let said = format!(
            "3 lines were not sent before another program compressed {name}: decompress {name} (gzip -d or zstd -d --rm), and \
             the next run sends them; compress only what was sent"
        );
        assert_eq!(world.told(), (said, 3));
        // As it is advised.
        fs::write(&path, &whole).unwrap();
        fs::remove_file(&packed).unwrap();
        assert_eq!(world.forward(0)["sent"], 3);
        fs::write(&packed, whole.chunks(half.max(1)).flat_map(gzip).collect::<Vec<u8>>()).unwrap();
        fs::remove_file(&path).unwrap();
        let sent = world.forward(0);
        assert_eq!((&sent["sent"], &sent["waiting"]), (&json!(0), &json!(0)));
        // What comes late for a compressed day goes to a new file.
        let late = String::from_utf8(whole[..seven].to_vec())
            .unwrap()
            .replacen("\"id\":\"", "\"id\":\"late-", 1);
        fs::write(&path, late.lines().next().unwrap().to_owned() + "\n").unwrap();
        for count in [1, 0] {
            assert_eq!(world.forward(0)["sent"], count);
        }
    }
}

#[test]
fn a_compressed_day_still_waits_when_a_later_one_has_been_sent() {
    let world = World::new();
    world.catalog.collect(0, &[]);
    let path = world.day_file();
    world.run(&["forward", "http", "--json", "--forward-from", "start"], 0);
    let line = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned() + "\n";
    let of_day = |day: &str| path.with_file_name(format!("tfc_audit_{day}.log"));
    fs::write(of_day("2099-01-01").with_extension("log.gz"), gzip(line.as_bytes())).unwrap();
    fs::write(of_day("2099-01-02"), line).unwrap();
    for sent in [1, 0] {
        let forward = world.forward(3);
        assert_eq!(
            (&forward["sent"], &forward["waiting"]),
            (&json!(sent), &json!(1)),
            "{forward}"
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
