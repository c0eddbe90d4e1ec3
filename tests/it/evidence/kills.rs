//! Seals that are killed at every system call that changes something, and whose disk is full.

use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::support::{Run, can_trace, under_strace};

/// A catalog with a log, and something new that is not sealed.
struct Example {
    sandbox: Sandbox,
    catalog: Catalog,
    evidence: BTreeMap<PathBuf, Vec<u8>>,
}

impl Example {
    fn new() -> Self {
        let sandbox = daily(4);
        let catalog = sealed(&sandbox, &[Api::Tfc]);
        sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
        catalog.collect_one(0, &[]);
        let evidence = files(&folder(&catalog));
        Self {
            sandbox,
            catalog,
            evidence,
        }
    }

    /// Puts the evidence back as it was.
    fn reset(&self) {
        let folder = folder(&self.catalog);
        fs::remove_dir_all(&folder).unwrap();
        for (path, content) in &self.evidence {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    /// Asserts that whatever is there is believed, and that the next seal goes on from it.
    fn assert_goes_on(&self, after: &str) {
        let checkpoint = fs::read(folder(&self.catalog).join("checkpoint")).unwrap();
        let kept = self.catalog.root().join("kept.checkpoint");
        fs::write(&kept, checkpoint).unwrap();
        let verdict = self.catalog.run(&["verify", "--evidence"]);
        // Between the two places of a checkpoint the newer one tells that the other is old.
        let is_between = verdict.stdout.contains("more than the newest one");
        assert!(verdict.code == 0 || is_between, "{after}: {}", verdict.stdout);
        seal(&self.catalog, 0);
        let size = entries(&self.catalog).len();
        verify(&self.catalog, 0, &["--checkpoint", kept.to_str().unwrap()]);
        seal(&self.catalog, 0);
        assert_eq!(entries(&self.catalog).len(), size, "{after}");
    }
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// Has a system call of a seal fail, or kills it there: before the call takes effect. With `only`, calls for this file alone.
fn inject(catalog: &Catalog, (call, only): (&str, Option<&Path>), what: &str, when: usize) -> Run {
    let filters = [format!("trace={call}"), format!("inject={call}:{what}:when={when}")];
    under_strace(catalog, &["seal", "-q"], only, &filters)
}

#[test]
fn a_seal_that_is_killed_at_any_system_call_is_taken_up_by_the_next_one() {
    if !can_trace() {
        return;
    }
    let example = Example::new();
    for call in ["write", "fsync", "fdatasync", "rename", "mkdir", "ftruncate"] {
        let mut kills = 0;
        for when in 1.. {
            assert!(when < 1_000, "a seal makes no end of {call}");
            example.reset();
            let run = inject(&example.catalog, (call, None), "signal=KILL", when);
            match run.code {
                -1 => kills += 1,
                0 => break,
                other => panic!("{call} {kills}: exit code {other}: {}", run.stderr),
            }
            example.assert_goes_on(&format!("{call} {when}"));
        }
        println!("{call}: killed {kills} times");
    }
    example
        .catalog
        .assert_holds(Api::Tfc, &example.sandbox.events(Api::Tfc));
}

#[test]
fn a_full_disk_leaves_what_was_signed_and_says_so() {
    if !can_trace() {
        return;
    }
    let example = Example::new();
    let entries = folder(&example.catalog).join("entries.jsonl");
    let mut failures = 0;
    for (call, only) in [
        ("write", Some(entries.as_path())),
        ("fsync", None),
        ("fdatasync", None),
        ("rename", None),
    ] {
        for when in 1..12 {
            example.reset();
            let run = inject(&example.catalog, (call, only), "error=ENOSPC", when);
            if run.code != 0 {
                failures += 1;
                assert!(
                    run.stderr.contains("No space left on device"),
                    "{call} {when}: {}",
                    run.stderr
                );
            }
            example.assert_goes_on(&format!("{call} {when}"));
        }
    }
    assert!(failures > 3, "{failures}");
}
