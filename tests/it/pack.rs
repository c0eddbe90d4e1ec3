//! `pack` and `unpack`: every command says the same of an archive before and after.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::forwarding::Listener;
use super::support::{Catalog, PATIENCE, at, base_name, event, process, serve, tool};

pub(super) const DAY: i64 = 86_400;

/// Three records on each of the last days.
pub(super) fn sandbox(days: i64) -> Sandbox {
    let three = |day: i64| (0..3).map(move |n| event(Api::Mail, at(day * DAY + 600 + n), &format!("{day}-{n}")));
    let events: Vec<Event> = (0..days).flat_map(three).collect();
    serve(|options| options.give(Api::Mail, events))
}

/// What a command prints with `--json`.
pub(super) fn shown(catalog: &Catalog, code: i32, arguments: &[&str]) -> Value {
    let run = catalog.run(&[arguments, &["--json"]].concat());
    assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn pack(catalog: &Catalog) -> Vec<Value> {
    let packed = shown(catalog, 0, &["pack", "--older-than", "2d"]);
    packed["streams"][0]["days"].as_array().unwrap().clone()
}

/// The lines that `search` finds, the oldest first.
fn found(catalog: &Catalog) -> Vec<String> {
    let run = catalog.run(&["search", "--event=*", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout.lines().map(str::to_owned).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What commands say of the archive, without what tells in which form it is.
fn said(catalog: &Catalog) -> Vec<Value> {
    let status = &shown(catalog, 0, &["status"])["streams"][0];
    let coverage = &shown(catalog, 0, &["coverage"])["streams"][0];
    let verify = &shown(catalog, 0, &["verify"])["streams"][0];
    let report = catalog.run(&["report", "--html", "page.html"]);
    assert_eq!(report.code, 0, "{}", report.stderr);
    vec![
        status["records"].clone(),
        status["days"].clone(),
        json!(coverage["gaps"].as_array().unwrap().len()),
        verify["records"].clone(),
        verify["wrong"].clone(),
        json!(found(catalog)),
    ]
}

#[test]
fn every_command_says_the_same_of_a_packed_archive() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let folder = catalog.folder(Api::Mail);
    let (before, files) = (said(&catalog), names(&folder));
    let would = shown(&catalog, 0, &["pack", "--older-than", "2d", "--dry-run"]);
    assert_eq!(names(&folder), files, "nothing was written");
    let days = pack(&catalog);
    assert_eq!(days.len(), would["streams"][0]["days"].as_array().unwrap().len());
    assert!(days.len() >= 5, "{days:?}");
    assert_eq!(names(&folder.join("packed")).len(), days.len());
    assert_eq!(names(&folder).len(), files.len() - days.len() + 1);
    assert_eq!(said(&catalog), before);
    catalog.collect(0, &[]);
    assert_eq!(said(&catalog), before, "nothing is collected again");
    assert_eq!(pack(&catalog).len(), 0);
    let copies = catalog.root().join("copies");
    shown(&catalog, 0, &["unpack", "--to", copies.to_str().unwrap()]);
    assert_eq!(names(&copies).len(), days.len());
    assert_eq!(said(&catalog), before, "the archive is as it was");
    let unpacked = catalog.run(&["unpack"]);
    assert!(
        unpacked.stderr.contains("send their lines again"),
        "{}",
        unpacked.stderr
    );
    assert_eq!(names(&folder.join("packed")), Vec::<String>::new());
    for name in names(&copies) {
        assert_eq!(
            fs::read(copies.join(&name)).unwrap(),
            fs::read(folder.join(&name)).unwrap()
        );
    }
    assert_eq!(said(&catalog), before);
}

#[test]
fn whoever_reads_while_days_are_packed_and_unpacked_says_the_same() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let before = said(&catalog);
    // In each round the days are packed, or unpacked, once: as often as a command can be met by that.
    let (begin, begun) = std::sync::mpsc::sync_channel(0);
    let catalog = &catalog;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..2 {
                begun.recv_timeout(PATIENCE).unwrap();
                assert!(pack(catalog).len() > 3);
                begun.recv_timeout(PATIENCE).unwrap();
                shown(catalog, 0, &["unpack"]);
            }
        });
        for round in 0..4 {
            begin.send(()).unwrap();
            assert_eq!(said(catalog), before);
            let bundle = format!("bundle-{round}");
            let exported = shown(catalog, 0, &["export", "--since", "30d", "--to", &bundle]);
            assert_eq!(exported["streams"][0]["records"], 24, "{exported}");
        }
    });
}

#[test]
fn packed_days_that_cannot_be_reached_and_late_files_that_are_compressed_are_told() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    pack(&catalog);
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(5 * DAY + 700), "late")]);
    shown(&catalog, 0, &["reconcile", "--since", "8d"]);
    let folder = catalog.folder(Api::Mail);
    let name = format!("{}_{}.log", base_name(Api::Mail), at(5 * DAY + 700).date_naive());
    let (late, compressed) = (folder.join(&name), folder.join(name + ".gz"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&fs::read(&late).unwrap()).unwrap();
    fs::write(&compressed, gzip.finish().unwrap()).unwrap();
    let whole = fs::read(&late).unwrap();
    fs::remove_file(&late).unwrap();
    let verify = catalog.run(&["verify"]);
    assert_eq!(verify.code, 3);
    assert!(
        verify.stdout.contains("behind which only a plain file goes on"),
        "{}",
        verify.stdout
    );
    fs::remove_file(&compressed).unwrap();
    fs::write(&late, whole).unwrap();
    assert_eq!(shown(&catalog, 0, &["verify"])["streams"][0]["records"], 25);
    let (packed, away) = (folder.join("packed"), catalog.root().join("away"));
    fs::rename(&packed, &away).unwrap();
    fs::write(&packed, "a file").unwrap();
    let search = catalog.run(&["search", "--event=*", "--json"]);
    assert_eq!(search.code, 2, "{}", search.stderr);
    assert!(search.stderr.contains("packed is not a folder"), "{}", search.stderr);
    for command in ["verify", "collect", "pack"] {
        assert_eq!(catalog.run(&[command]).code, 3, "{command}");
    }
    fs::remove_file(&packed).unwrap();
    fs::rename(&away, &packed).unwrap();
    assert_eq!(found(&catalog).len(), 25);
}

#[test]
fn what_comes_late_for_a_packed_day_is_forwarded_once_and_joined() {
    let (sandbox, listener) = (sandbox(8), Listener::start(|_| 200));
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.set("HTTP_FORWARD_URL", &listener.address);
    catalog.collect(0, &[]);
    let forward = |arguments: &[&str]| {
        let sent = shown(&catalog, 0, &[&["forward", "http"], arguments].concat());
        sent["streams"][0]["forward"][0]["sent"].as_u64().unwrap()
    };
    shown(&catalog, 0, &["forward", "http", "--forward-from", "start"]);
    let days = pack(&catalog);
    assert_eq!(forward(&[]), 0, "a position means the same byte");
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(5 * DAY + 700), "late")]);
    shown(&catalog, 0, &["reconcile", "--since", "8d"]);
    let left = shown(&catalog, 0, &["pack", "--older-than", "2d"]);
    assert_eq!(left["streams"][0]["days"], json!([]));
    let reason = left["streams"][0]["left"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not all forwarded to http"), "{reason}");
    assert_eq!(forward(&[]), 1);
    assert_eq!(pack(&catalog).len(), 1);
    assert_eq!(names(&catalog.folder(Api::Mail).join("packed")).len(), days.len());
    assert_eq!(forward(&[]), 0);
    assert_eq!(found(&catalog).len(), 25);
    let replayed = forward(&["--since", "9d"]);
    assert_eq!(replayed, 25);
    assert_eq!(shown(&catalog, 0, &["verify"])["streams"][0]["records"], 25);
}

#[test]
fn what_was_sealed_is_what_is_packed_and_a_packed_file_that_is_changed_is_found() {
    let sandbox = sandbox(8);
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    let days = pack(&catalog).len();
    assert!(days > 0);
    let entries = fs::read_to_string(root.join("evidence/entries.jsonl")).unwrap();
    shown(&catalog, 0, &["seal", "--full"]);
    let after = fs::read_to_string(root.join("evidence/entries.jsonl")).unwrap();
    assert_eq!(after.lines().filter(|line| line.contains("\"late\"")).count(), 0);
    assert!(after.starts_with(&entries));
    let forms = || {
        let entries = fs::read_to_string(root.join("evidence/entries.jsonl")).unwrap();
        let forms = entries.lines().filter(|line| line.contains("\"kind\":\"packed\""));
        let packed = forms.clone().filter(|line| line.contains("\"is_packed\":true")).count();
        (packed, forms.count() - packed)
    };
    let closed = forms().0;
    assert!(closed > 0 && days <= closed + 1, "{closed} of {days}");
    shown(&catalog, 0, &["seal"]);
    shown(&catalog, 0, &["seal", "--full"]);
    assert!(
        forms().0 <= days && forms().1 == 0,
        "it is said once of each day: {:?}",
        forms()
    );
    shown(&catalog, 0, &["verify", "--evidence"]);
    shown(&catalog, 0, &["unpack"]);
    shown(&catalog, 0, &["seal"]);
    assert_eq!(forms().1, forms().0);
    pack(&catalog);
    shown(&catalog, 0, &["verify", "--evidence"]);
    let proof = root.join("event.tlog-proof");
    let arguments = [
        "prove",
        "--stream",
        "yandex-mail",
        "--id",
        "5-1",
        "--out",
        proof.to_str().unwrap(),
    ];
    let proved = catalog.run(&arguments);
    assert_eq!(proved.code, 0, "{}", proved.stderr);
    let packed = catalog.folder(Api::Mail).join("packed");
    let path = packed.join(&names(&packed)[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(catalog.run(&["verify", "--evidence"]).code, 3);
    let verify = catalog.run(&["verify"]);
    assert_eq!(verify.code, 3);
    assert!(verify.stdout.contains("damaged or cut off"), "{}", verify.stdout);
}

#[test]
fn a_day_that_has_lost_records_is_left() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let name = format!("{}_{}.log", base_name(Api::Mail), at(5 * DAY + 600).date_naive());
    let path = catalog.folder(Api::Mail).join(name);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    let shown = shown(&catalog, 0, &["pack", "--older-than", "2d"]);
    let left = &shown["streams"][0]["left"];
    assert_eq!(left.as_array().unwrap().len(), 1, "{shown}");
    assert!(
        left[0]["reason"].to_string().contains("a gap that can still be filled"),
        "{shown}"
    );
    assert!(path.exists());
    assert_eq!(catalog.run(&["pack", "--older-than", "1d"]).code, 2);
}

#[test]
fn the_zstd_program_alone_reads_a_packed_day() {
    let sandbox = sandbox(5);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let folder = catalog.folder(Api::Mail);
    let plain = names(&folder).into_iter().find(|name| name.ends_with(".log")).unwrap();
    let content = fs::read(folder.join(&plain)).unwrap();
    pack(&catalog);
    let packed = folder.join(format!("packed/{plain}.zst"));
    let Some(mut zstd) = tool("zstd", "zstd") else { return };
    let run = process::run(zstd.args(["-d", "-q", "-c"]).arg(packed));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.as_bytes() == content);
}

#[test]
fn a_packed_day_that_is_damaged_is_never_left_out_in_silence() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let all = found(&catalog).len();
    pack(&catalog);
    let packed = catalog.folder(Api::Mail).join("packed");
    let path = packed.join(&names(&packed)[2]);
    let whole = fs::read(&path).unwrap();
    let (cut, mut flipped) = (&whole[..whole.len() / 2], whole.clone());
    flipped[whole.len() / 3] ^= 4;
    let longer = [&whole[..], b"x"].concat();
    for (how, damaged) in [
        ("empty", &b""[..]),
        ("cut", cut),
        ("flipped", &flipped),
        ("longer", &longer),
    ] {
        fs::write(&path, damaged).unwrap();
        let run = catalog.run(&["search", "--event=*", "--json"]);
        let told = run.stderr.contains(&*path.to_string_lossy());
        assert_eq!((run.code, told), (2, true), "{how}: {}", run.stderr);
        assert!(run.stdout.lines().count() < all, "{how}");
        assert_eq!(catalog.run(&["verify"]).code, 3, "{how}");
        assert_eq!(catalog.run(&["unpack"]).code, 3, "{how}");
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(found(&catalog).len(), all);
    // A link in its place is no day file, as it is none beside it.
    let elsewhere = catalog.root().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let run = catalog.run(&["search", "--event=*", "--json"]);
    assert_eq!(
        (run.code, run.stderr.contains("is not a regular file")),
        (2, true),
        "{}",
        run.stderr
    );
    let run = catalog.run(&["forward", "stdout", "--forward-from", "start"]);
    assert!(run.stderr.contains("is not a regular file"), "{}", run.stderr);
    assert_eq!(catalog.run(&["verify"]).code, 3);
    fs::remove_file(&path).unwrap();
    fs::rename(&elsewhere, &path).unwrap();
    // One that another program has made is held to the same.
    let day = path.with_extension("");
    fs::remove_file(&path).unwrap();
    for end in ["gz", "zst"] {
        let file = catalog
            .folder(Api::Mail)
            .join(day.file_name().unwrap())
            .with_extension(format!("log.{end}"));
        fs::write(&file, "").unwrap();
        let run = catalog.run(&["search", "--event=*", "--json"]);
        assert_eq!(run.code, 2, "{end}: {}", run.stderr);
        assert_eq!(catalog.run(&["verify"]).code, 3, "{end}");
        fs::remove_file(&file).unwrap();
    }
}

/// A run that is killed leaves a part of a line behind what came late for a packed day.
#[test]
fn a_torn_line_behind_a_packed_day_is_known_for_one_before_and_after_the_joining() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    pack(&catalog);
    let late = |second: i64, id: &str| {
        sandbox.add(Api::Mail, vec![event(Api::Mail, at(5 * DAY + second), id)]);
        shown(&catalog, 0, &["reconcile", "--since", "8d"]);
    };
    late(700, "late");
    let packed = catalog.folder(Api::Mail).join("packed");
    let plain = |name: &String| catalog.folder(Api::Mail).join(name.trim_end_matches(".zst"));
    let packed_days = names(&packed);
    let day = packed_days.iter().map(plain).find(|path| path.exists()).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&day).unwrap();
    file.write_all(b"{\"id\": \"torn").unwrap();
    let run = catalog.run(&["collect", "--json"]);
    assert!(run.stderr.contains("repaired a torn line"), "{}", run.stderr);
    late(800, "later");
    let said = || {
        let verify = &shown(&catalog, 0, &["verify"])["streams"][0];
        let status = &shown(&catalog, 0, &["status"])["streams"][0];
        let said = [&verify["records"], &verify["wrong"], &status["records"]["all"]];
        (said.map(Value::clone), found(&catalog).len())
    };
    let before = said();
    assert_eq!(before.0, [json!(26), json!(0), json!(26)]);
    assert_eq!(before.1, 26);
    assert_eq!(pack(&catalog).len(), 1);
    assert!(!day.exists());
    assert_eq!(said(), before, "joined");
    shown(&catalog, 0, &["unpack"]);
    assert_eq!(said(), before, "unpacked");
}
