//! `copy`: what is copied comes back byte for byte, whatever interrupts it, and nothing that was copied is given up.

mod interrupted;
mod s3;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};
use walkdir::WalkDir;

use super::pack::{DAY, sandbox, shown};
use super::support::{Catalog, at, base_name, event, process, tool};

/// A folder for copies beside those of the streams, and its URL.
fn store(catalog: &Catalog) -> (PathBuf, String) {
    let folder = catalog.root().join("copies");
    fs::create_dir_all(&folder).unwrap();
    let url = format!("file://{}", folder.display());
    (folder, url)
}

fn copy(catalog: &Catalog, code: i32, url: &str) -> Value {
    shown(catalog, code, &["copy", "--to", url])
}

/// The same settings with empty folders, on another machine so to speak.
fn elsewhere(sandbox: &Sandbox, apis: &[Api]) -> Catalog {
    Catalog::of(sandbox, apis)
}

/// All files below a folder, but for locks and what can be made again.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().is_file());
    let named = files.map(|entry| {
        let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        (name, fs::read(entry.path()).unwrap())
    });
    let is_copied = |name: &str| {
        // The last ones are where a restored archive is from, and what a killed process was about to write.
        let others = [
            ".lock",
            ".lines.json",
            ".resume.json",
            "notes.json",
            ".restored",
            ".new",
        ];
        !others.iter().any(|other| name.ends_with(other))
    };
    named.filter(|(name, _)| is_copied(name)).collect()
}

fn sent(shown: &Value) -> u64 {
    shown["streams"][0]["sent_bytes"].as_u64().unwrap()
}

fn problem(shown: &Value) -> &str {
    shown["streams"][0]["problems"][0].as_str().unwrap()
}

/// The plain file of a day.
fn day(catalog: &Catalog, days_ago: i64) -> PathBuf {
    let date = at(days_ago * DAY + 600).date_naive();
    catalog
        .folder(Api::Mail)
        .join(format!("{}_{date}.log", base_name(Api::Mail)))
}

#[test]
fn an_archive_in_both_forms_comes_back_as_it_was_and_goes_on() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    shown(&catalog, 0, &["pack", "--older-than", "4d"]);
    shown(&catalog, 0, &["hold", "add", "one"]);
    let (folder, url) = store(&catalog);
    let would = shown(&catalog, 0, &["copy", "--to", &url, "--dry-run"]);
    assert_eq!(files(&folder), BTreeMap::new(), "nothing was written");
    let first = copy(&catalog, 0, &url);
    assert_eq!((&first["copy"], &first["is_new"]), (&json!(1), &json!(true)), "{first}");
    assert_eq!(sent(&first), sent(&would));
    assert_eq!(sent(&first), first["streams"][0]["bytes"].as_u64().unwrap());
    let again = copy(&catalog, 0, &url);
    assert_eq!(
        (sent(&again), &again["copy"]),
        (0, &json!(1)),
        "nothing is new: {again}"
    );
    let other = elsewhere(&sandbox, &[Api::Mail]);
    let restored = shown(&other, 0, &["copy", "--from", &url]);
    assert_eq!(restored["streams"][0]["bytes"], first["streams"][0]["bytes"]);
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
    assert_eq!(shown(&other, 0, &["verify"])["streams"][0]["records"], 24);
    // All that is missing is what came since.
    let coverage = shown(&other, 0, &["coverage"]);
    let gaps = coverage["streams"][0]["gaps"].as_array().unwrap();
    assert!(gaps.iter().all(|gap| gap["reaches_now"] == true), "{gaps:?}");
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    for catalog in [&catalog, &other] {
        assert_eq!(catalog.collect_one(0, &[])["appended"], 1);
        assert_eq!(shown(catalog, 0, &["verify"])["streams"][0]["records"], 25);
    }
}

#[test]
fn a_copy_is_not_written_where_agents_look_for_day_files() {
    let sandbox = sandbox(2);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let tree = catalog.tree();
    let below = catalog.folder(Api::Mail).join(".trailkeeper");
    for folder in [catalog.folder(Api::Mail), below] {
        let run = catalog.run(&["copy", "--to", &format!("file://{}", folder.display())]);
        assert_eq!(run.code, 1, "{}", run.stdout);
        assert!(run.stderr.contains("the folder of a stream"), "{}", run.stderr);
    }
    catalog.assert_unchanged(&tree);
}

#[test]
fn a_second_copy_sends_only_what_is_new_also_of_a_day_that_grows_or_is_packed() {
    let sandbox = sandbox(6);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (folder, url) = store(&catalog);
    let first = sent(&copy(&catalog, 0, &url));
    let parts_of_first = files(&folder);
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    let length = fs::metadata(day(&catalog, 0)).map_or(0, |file| file.len());
    catalog.collect(0, &[]);
    let added = fs::metadata(day(&catalog, 0)).unwrap().len() - length;
    let second = copy(&catalog, 0, &url);
    assert!(added <= sent(&second) && sent(&second) < first, "{second}");
    // Late records and packing: what was copied of the day stands at the same place of it.
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(4 * DAY + 700), "late")]);
    shown(&catalog, 0, &["pack", "--older-than", "2d"]);
    shown(&catalog, 0, &["reconcile", "--since", "8d"]);
    assert_eq!(copy(&catalog, 0, &url)["copy"], 3);
    shown(&catalog, 0, &["pack", "--older-than", "2d"]);
    assert_eq!(copy(&catalog, 0, &url)["copy"], 4);
    shown(&catalog, 0, &["unpack"]);
    assert_eq!(copy(&catalog, 0, &url)["copy"], 5);
    let all = files(&folder);
    for (name, bytes) in parts_of_first {
        assert_eq!(all[&name], bytes, "{name} was changed");
    }
    let other = elsewhere(&sandbox, &[Api::Mail]);
    shown(&other, 0, &["copy", "--from", &url]);
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
    assert_eq!(shown(&other, 0, &["verify"])["streams"][0]["records"], 20);
}

#[test]
fn the_torn_end_of_a_day_is_not_copied_and_what_is_worse_never_takes_the_place_of_what_was_copied() {
    let sandbox = sandbox(6);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (_, url) = store(&catalog);
    let whole = fs::read(day(&catalog, 1)).unwrap();
    fs::write(day(&catalog, 1), [&whole[..], b"{\"torn"].concat()).unwrap();
    copy(&catalog, 0, &url);
    fs::write(day(&catalog, 1), &whole).unwrap();
    assert_eq!(copy(&catalog, 0, &url)["copy"], 1, "the torn line was not copied");
    let good = files(&catalog.folder(Api::Mail));
    let (changed, gone) = (day(&catalog, 2), day(&catalog, 3));
    let mut bytes = fs::read(&changed).unwrap();
    bytes[20] ^= 1;
    fs::write(&changed, bytes).unwrap();
    fs::remove_file(&gone).unwrap();
    let worse = copy(&catalog, 3, &url);
    let problems = worse["streams"][0]["problems"].as_array().unwrap();
    let told = |text: &str| problems.iter().any(|problem| problem.as_str().unwrap().contains(text));
    assert_eq!(problems.len(), 2, "{worse}");
    assert!(
        told("does not begin with what was copied") && told("is missing, and was not deleted"),
        "{worse}"
    );
    let other = elsewhere(&sandbox, &[Api::Mail]);
    shown(&other, 0, &["copy", "--from", &url]);
    let restored = files(&other.folder(Api::Mail));
    for file in [changed, gone] {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(restored[name], good[name]);
    }
}

#[test]
fn an_older_state_or_another_archive_is_not_copied_over_a_newer_one() {
    let sandbox = sandbox(4);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (_, url) = store(&catalog);
    let older = catalog.root().join("older");
    let folder = catalog.folder(Api::Mail);
    process::run(std::process::Command::new("cp").args(["-a"]).args([&folder, &older]));
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    catalog.collect(0, &[]);
    copy(&catalog, 0, &url);
    fs::rename(&folder, catalog.root().join("newer")).unwrap();
    fs::rename(&older, &folder).unwrap();
    let refused = copy(&catalog, 3, &url);
    assert!(
        problem(&refused).contains("an older state of the copied one"),
        "{refused}"
    );
    assert_eq!((sent(&refused), &refused["copy"]), (0, &json!(1)));
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let refused = copy(&catalog, 3, &url);
    assert!(
        problem(&refused).contains("is missing, which the copy has"),
        "{refused}"
    );
    let another = Catalog::of(&sandbox, &[Api::Mail]);
    another.collect(0, &["--since", "2d"]);
    let refused = copy(&another, 3, &url);
    assert!(
        problem(&refused).contains("Copy another archive to another place"),
        "{refused}"
    );
    shown(&catalog, 0, &["copy", "--from", &url]);
    assert_eq!(shown(&catalog, 0, &["verify"])["streams"][0]["records"], 13);
}

#[test]
fn days_that_expire_are_dropped_from_later_copies_and_stay_in_the_earlier_ones() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (folder, url) = store(&catalog);
    let before = copy(&catalog, 0, &url);
    let objects = files(&folder).len();
    let expired = shown(&catalog, 0, &["expire", "--older-than", "4d", "--yes"]);
    let days = expired["streams"][0]["days"].as_array().unwrap().len() as u64;
    assert!(days > 1, "{expired}");
    let after = copy(&catalog, 0, &url);
    let count = |shown: &Value| shown["streams"][0]["files"].as_u64().unwrap();
    // What was deleted is named in a file of its own.
    assert_eq!(count(&after), count(&before) - days + 1);
    assert!(files(&folder).len() > objects, "nothing is deleted");
    let other = elsewhere(&sandbox, &[Api::Mail]);
    shown(&other, 0, &["copy", "--from", &url]);
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
    assert_eq!(other.collect_one(0, &[])["appended"], 0);
}

#[test]
fn a_copy_is_restored_into_empty_folders_alone_and_nobody_writes_there_until_it_is_whole() {
    let sandbox = sandbox(4);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (folder, url) = store(&catalog);
    let none = catalog.run(&["copy", "--from", &url]);
    assert_eq!(none.code, 1);
    copy(&catalog, 0, &url);
    let tree = catalog.tree();
    let refused = catalog.run(&["copy", "--from", &url]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
    catalog.assert_unchanged(&tree);
    // An object that was changed in the store.
    let part = files(&folder)
        .into_keys()
        .find(|name| name.contains("coverage.jsonl"))
        .unwrap();
    let sound = fs::read(folder.join(&part)).unwrap();
    let mut bytes = sound.clone();
    bytes[3] ^= 1;
    fs::write(folder.join(&part), bytes).unwrap();
    let other = elsewhere(&sandbox, &[Api::Mail]);
    let damaged = other.run(&["copy", "--from", &url]);
    assert_eq!(damaged.code, 3, "{}", damaged.stderr);
    assert!(damaged.stderr.contains("is not what was copied"), "{}", damaged.stderr);
    let collect = other.run(&["collect"]);
    assert_eq!(collect.code, 3);
    assert!(collect.stderr.contains("a copy is restored here"), "{}", collect.stderr);
    fs::write(folder.join(&part), sound).unwrap();
    let restored = shown(&other, 0, &["copy", "--from", &url]);
    assert!(restored["streams"][0]["already_there"].as_u64() <= restored["streams"][0]["files"].as_u64());
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
    other.collect(0, &[]);
    // What is there is compared, not believed, when a copy comes upon it.
    let third = elsewhere(&sandbox, &[Api::Mail]).with("MAIL_LOG_FILE_BASE_NAME", "other");
    let names = third.run(&["copy", "--from", &url]);
    assert_eq!(names.code, 1);
    assert!(names.stderr.contains("the settings say other"), "{}", names.stderr);
}

fn with_evidence(catalog: Catalog) -> Catalog {
    let root = catalog.root().to_owned();
    catalog
        .with("EVIDENCE_FOLDER", root.join("evidence").display())
        .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
        .with("EVIDENCE_KEY_FILE", root.join("evidence.key").display())
}

/// The next seal writes others in their place, with which the copy would not go on.
#[test]
fn entries_that_a_killed_seal_has_left_are_not_copied() {
    let sandbox = sandbox(4);
    let catalog = with_evidence(Catalog::of(&sandbox, &[Api::Mail]));
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    let entries = catalog.root().join("evidence/entries.jsonl");
    let sealed = fs::read_to_string(&entries).unwrap();
    fs::write(&entries, format!("{sealed}{{\"never\":\"signed\"}}\n")).unwrap();
    let (_folder, url) = store(&catalog);
    copy(&catalog, 0, &url);
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    catalog.collect(0, &[]);
    shown(&catalog, 0, &["seal"]);
    assert!(fs::read_to_string(&entries).unwrap().len() > sealed.len());
    copy(&catalog, 0, &url);
    let other = with_evidence(elsewhere(&sandbox, &[Api::Mail]));
    shown(&other, 0, &["copy", "--from", &url]);
    shown(&other, 0, &["verify", "--evidence"]);
}

#[test]
fn what_is_sealed_is_copied_with_its_evidence_and_verifies_where_it_is_restored() {
    let sandbox = sandbox(6);
    let catalog = with_evidence(Catalog::of(&sandbox, &[Api::Mail]));
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    shown(&catalog, 0, &["pack", "--older-than", "3d"]);
    shown(&catalog, 0, &["seal"]);
    let (folder, url) = store(&catalog);
    let copied = copy(&catalog, 0, &url);
    assert!(copied["evidence"]["files"].as_u64().unwrap() > 3, "{copied}");
    let key = fs::read(catalog.root().join("evidence.key")).unwrap();
    let leaked = files(&folder).into_values().any(|bytes| bytes == key);
    assert!(!leaked, "the key is not copied");
    let other = with_evidence(elsewhere(&sandbox, &[Api::Mail]));
    shown(&other, 0, &["copy", "--from", &url]);
    assert_eq!(
        files(&other.root().join("evidence")),
        files(&catalog.root().join("evidence"))
    );
    shown(&other, 0, &["verify", "--evidence"]);
    fs::copy(catalog.root().join("evidence.key"), other.root().join("evidence.key")).unwrap();
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    assert_eq!(other.collect_one(0, &[])["appended"], 1);
    shown(&other, 0, &["seal"]);
    shown(&other, 0, &["verify", "--evidence"]);
}

#[test]
fn plain_tools_put_a_copied_day_together() {
    let sandbox = sandbox(4);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (folder, url) = store(&catalog);
    copy(&catalog, 0, &url);
    let Some(mut shell) = tool("bash", "bash") else { return };
    let name = day(&catalog, 1).file_name().unwrap().to_str().unwrap().to_owned();
    let script = format!("cat {}/yandex-mail/{name}/*", folder.display());
    let run = process::run(shell.args(["-c", &script]));
    assert_eq!(run.stdout.into_bytes(), fs::read(day(&catalog, 1)).unwrap());
}
