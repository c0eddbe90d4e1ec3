//! A sealed archive is changed at random: whatever it is, it is refused by a name, or nothing that is proved has changed.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::support::random::{many, random};

/// How many changes are tried.
const CHANGES: u32 = 150;

/// All day files and all files of the evidence, but for notes of the sealer.
fn snapshot(catalog: &Catalog) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(catalog.root()).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let is_ours = |path: &Path| {
        let text = path.to_str().unwrap();
        let is_evidence = path.starts_with(folder(catalog)) && !text.contains(".trailkeeper");
        is_evidence
            || text.ends_with(".log") && path.parent() != Some(catalog.root())
            || text.contains("coverage.jsonl")
    };
    let files = files.map(|entry| entry.path().to_owned()).filter(|path| is_ours(path));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn put_back(catalog: &Catalog, before: &BTreeMap<PathBuf, Vec<u8>>) {
    for path in snapshot(catalog).keys().filter(|path| !before.contains_key(*path)) {
        fs::remove_file(path).unwrap();
    }
    for (path, content) in before {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Changes one file at random, and says how.
fn change(files: &BTreeMap<PathBuf, Vec<u8>>, random: &mut fastrand::Rng) -> String {
    let paths: Vec<_> = files.keys().collect();
    let path = paths[random.usize(..paths.len())];
    let mut content = files[path].clone();
    let lines: Vec<Vec<u8>> = content
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let how = match random.u8(..8) {
        0 => {
            fs::remove_file(path).unwrap();
            return format!("{} removed", path.display());
        }
        1 => {
            content.truncate(random.usize(..content.len()));
            "cut"
        }
        2 => {
            let at = random.usize(..content.len());
            content[at] ^= 1 << random.u8(..8);
            "a bit turned"
        }
        3 => {
            let at = random.usize(..=content.len());
            content.insert(at, random.u8(..));
            "a byte put in"
        }
        4 => {
            content.remove(random.usize(..content.len()));
            "a byte taken out"
        }
        5 => {
            let mut lines = lines;
            let (one, other) = (random.usize(..lines.len()), random.usize(..lines.len()));
            lines.swap(one, other);
            content = lines.concat();
            "two lines swapped"
        }
        6 => {
            let line = &lines[random.usize(..lines.len())];
            content.extend(line);
            "a line said twice"
        }
        _ => {
            content.clone_from(&files[paths[random.usize(..paths.len())]]);
            "another file in its place"
        }
    };
    fs::write(path, content).unwrap();
    format!("{}: {how}", path.display())
}

/// What is proved: of each file how much, and whether it is closed.
fn proved(verdict: &Value) -> Vec<String> {
    let streams = verdict["streams"].as_array().unwrap();
    let files = streams.iter().flat_map(|stream| stream["files"].as_array().unwrap());
    let proved = files.map(|file| {
        format!(
            "{} {} {} {}",
            file["file"], file["lines"], file["bytes"], file["is_closed"]
        )
    });
    proved
        .chain([verdict["origin"].to_string(), verdict["size"].to_string()])
        .collect()
}

#[test]
fn whatever_is_changed_is_refused_or_changes_nothing_that_is_proved() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc, Api::Mail]);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect(0, &[]);
    seal(&catalog, 0);
    let policy = catalog.root().join("auditor.policy");
    let kept = catalog.root().join("auditor.checkpoint");
    fs::copy(folder(&catalog).join("policy.txt"), &policy).unwrap();
    fs::copy(folder(&catalog).join("checkpoint"), &kept).unwrap();
    let trusting = [
        "--policy",
        policy.to_str().unwrap(),
        "--checkpoint",
        kept.to_str().unwrap(),
    ];
    let expected = proved(&verify(&catalog, 0, &trusting));
    let files = snapshot(&catalog);
    let mut random = random();
    let (mut refused, mut harmless) = (0, 0);
    for _ in 0..many(CHANGES) {
        let how = change(&files, &mut random);
        let run = catalog.run(&[&["verify", "--evidence", "--json"], &trusting[..]].concat());
        let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
        match run.code {
            3 => {
                assert!(
                    !problems(&verdict).is_empty(),
                    "{how}: refused without a name: {verdict}"
                );
                refused += 1;
            }
            0 => {
                assert_eq!(proved(&verdict), expected, "{how}");
                harmless += 1;
            }
            code => panic!("{how}: exit code {code}: {}", run.stderr),
        }
        put_back(&catalog, &files);
    }
    println!("{refused} refused, {harmless} without effect");
    assert!(refused > harmless, "{refused} refused, {harmless} without effect");
    verify(&catalog, 0, &trusting);
}
