//! The rules of the tests, held by reading their sources.

use std::fs;
use std::path::Path;

/// What waits for ever, if need be; `process.rs` and `wait.rs` have what does not.
const UNBOUNDED: [&str; 6] = [
    ".wait_with_output()",
    ".output()",
    ".status().unwrap().success()",
    ".wait()",
    ".recv()",
    ".join()",
];

/// What makes a generator with a seed of its own; `random.rs` has the one of the run.
const SEEDS: [&str; 4] = ["fastrand::u64(", "with_seed(", "Rng::new(", "TestRunner::de"];

/// Each Rust file below these folders, and its text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = folders
        .iter()
        .flat_map(|folder| walkdir::WalkDir::new(root.join(folder)));
    let paths = entries.map(|entry| entry.unwrap().into_path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            (
                path.strip_prefix(root).unwrap().display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

/// The lines with one of these words, but for the files of `support` that own them.
fn lines_with(words: &[&str], owners: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(&["tests"]) {
        if owners.iter().any(|owner| path.ends_with(owner)) {
            continue;
        }
        let lines = text.lines().filter(|line| words.iter().any(|word| line.contains(word)));
        found.extend(lines.map(|line| format!("{path}: {}", line.trim())));
    }
    found
}

#[test]
fn no_test_waits_without_a_bound() {
    let found = lines_with(&UNBOUNDED, &["support/process.rs", "support/rules.rs"]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_random_test_takes_the_seed_of_the_run() {
    let mut blocks = 0;
    for (path, text) in sources(&["src", "tests"]) {
        for block in text.split("proptest! {\n").skip(1) {
            let first = block.lines().next().unwrap();
            let is_seeded = first.contains("#![proptest_config(") && first.contains("cases(");
            assert!(is_seeded, "{path} has a random test without `cases`: {first}");
            blocks += 1;
        }
    }
    assert!(blocks > 30, "{blocks}");
    let found = lines_with(&SEEDS, &["support/random.rs", "support/rules.rs"]);
    assert_eq!(found, [""; 0]);
}
