//! What commands of the evidence say with `-q`, and what they take for an argument.

use super::*;
use crate::support::Run;

#[track_caller]
fn says(run: &Run, code: i32, what: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
    assert!(run.stderr.contains(what), "{what}: {}", run.stderr);
}

#[test]
fn a_proof_a_bundle_and_a_page_that_prove_nothing_say_why_even_when_quiet() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let policy = "evidence/policy.txt";
    let run = catalog.run(&["prove", "--stream", "tfc", "--id", "2-1", "--out", "proof"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = catalog.run(&["export", "--since", "10d", "--to", "bundle"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    edit(&catalog.root().join("proof"), |text| text.replace("index ", "index 1"));
    says(
        &catalog.run(&["verify", "-q", "--proof", "proof", "--policy", policy]),
        3,
        "proof proves nothing: ",
    );
    edit(&catalog.root().join("bundle/checkpoint"), |text| {
        text.replace("\n\n", "\nx\n\n")
    });
    says(
        &catalog.run(&["verify", "-q", "--bundle", "bundle", "--policy", policy]),
        3,
        "the checkpoint is not believed: ",
    );
    let key = catalog.run(&[
        "evidence",
        "keygen",
        "--json",
        "--name",
        "jane.example",
        "--out",
        "jane.key",
    ]);
    let key: Value = serde_json::from_str(&key.stdout).unwrap();
    let key = key["key"].as_str().unwrap();
    fs::write(catalog.root().join("page"), "trailkeeper audit v1\n").unwrap();
    says(
        &catalog.run(&["verify", "-q", "--page", "page", "--signer", key]),
        3,
        "page is not what was signed: ",
    );
    // What is signed, and something else, is no page.
    let log = fs::read_to_string(folder(&catalog).join("policy.txt")).unwrap();
    let log = log.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    says(
        &catalog.run(&["verify", "-q", "--page", "evidence/checkpoint", "--signer", log]),
        3,
        "evidence/checkpoint is signed, and is no page of an audit",
    );
}

#[test]
fn a_policy_that_cannot_be_used_and_a_bundle_that_is_not_there_are_wrong_arguments_everywhere() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    fs::write(catalog.root().join("bad.policy"), "lag a\n").unwrap();
    let run = catalog.run(&["prove", "--stream", "tfc", "--id", "1-1", "--out", "proof"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    fs::create_dir(catalog.root().join("bundle")).unwrap();
    for arguments in [
        &["verify", "--evidence"][..],
        &["verify", "--proof", "proof"],
        &["verify", "--bundle", "bundle"],
        &["audit", "--sample", "1"],
    ] {
        let run = catalog.run(&[arguments, &["--policy", "bad.policy"]].concat());
        says(&run, 1, "the policy bad.policy cannot be used: line 1");
    }
    let run = catalog.run(&["verify", "--bundle", "/nope", "--policy", "evidence/policy.txt"]);
    assert!(
        run.code == 1 && run.stderr.contains("/nope"),
        "{}{}",
        run.stdout,
        run.stderr
    );
    assert!(!run.stderr.contains("it has no proofs"), "{}", run.stderr);
}

#[test]
fn a_nonce_is_a_text_that_everybody_sees() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    for nonce in [
        "a\u{200b}b",
        "a\u{202e}b",
        "a\nb",
        " a",
        "a ",
        "",
        "\u{feff}a",
        "\u{a0}a",
    ] {
        says(
            &catalog.run(&["audit", "--sample", "1", "--nonce", nonce]),
            2,
            "--nonce must be a text of one line",
        );
    }
    let run = catalog.run(&["audit", "--sample", "1", "--nonce", "Würfel 4-2-6"]);
    assert!(!run.stderr.contains("--nonce"), "{}", run.stderr);
}

#[test]
fn nothing_is_written_into_the_folder_of_a_stream() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let (inside, catalog_folder) = (catalog.folder(Api::Tfc).join("page"), catalog.folder(Api::Tfc));
    let inside = inside.to_str().unwrap();
    let before = fs::read_dir(&catalog_folder).unwrap().count();
    let files = format!("tfc={}", catalog_folder.display());
    says(
        &catalog.run(&["audit", "--sample", "1", "--out", inside]),
        1,
        "the folder of a stream",
    );
    let named = [
        "--policy",
        "evidence/policy.txt",
        "--evidence-folder",
        "evidence",
        "--files",
        &files,
    ];
    says(
        &catalog.run(&[&["audit", "--sample", "1", "--out", inside][..], &named].concat()),
        1,
        "the folder of a stream",
    );
    says(&catalog.run(&["evidence", "publish", "--to", inside]), 1, "--to: ");
    assert_eq!(fs::read_dir(&catalog_folder).unwrap().count(), before);
}

#[test]
fn what_a_killed_witness_leaves_is_removed_by_the_next_one() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let run = catalog.run(&[
        "evidence",
        "keygen",
        "--witness",
        "--name",
        "w.example",
        "--out",
        "w.key",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let state = catalog.root().join("state");
    fs::create_dir(&state).unwrap();
    let left = state.join(".last-checkpoint.4711.new");
    fs::write(&left, "half a check").unwrap();
    fs::write(state.join("notes"), "mine").unwrap();
    let arguments = [
        "evidence",
        "cosign",
        "--policy",
        "evidence/policy.txt",
        "--key",
        "w.key",
        "--state",
        "state",
    ];
    let run = catalog.run(&[&arguments[..], &["--log", "evidence", "--first"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!left.exists() && state.join("notes").exists());
}

#[test]
fn status_names_a_log_that_nothing_can_be_added_to() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let log = catalog.root().join("evidence");
    let (entries, checkpoint) = (log.join("entries.jsonl"), log.join("checkpoint"));
    assert_eq!(catalog.run(&["status", "--nagios"]).code, 0);
    let cut = || {
        let text = fs::read_to_string(&entries).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines[..lines.len() - 1].join("\n") + "\n";
        fs::write(&entries, kept).unwrap();
    };
    let remove = || fs::remove_file(&entries).unwrap();
    let garbage = || fs::write(&checkpoint, "x\n").unwrap();
    let (key_file, aside) = (catalog.root().join("evidence.key"), catalog.root().join("aside"));
    let key = || fs::rename(&key_file, &aside).unwrap();
    let gone = || fs::remove_dir_all(&log).unwrap();
    let damages: [(&dyn Fn(), &str); 5] = [
        (&cut, "fewer are there"),
        (&remove, "holds no log"),
        (&garbage, "is not one by this key"),
        (&key, "evidence.key"),
        (&gone, "holds no log"),
    ];
    let files = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    let whole: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    for (damage, problem) in damages {
        damage();
        let plugin = catalog.run(&["status", "--nagios"]);
        assert!(
            plugin.code == 2 && plugin.stdout.contains(problem),
            "{problem}: {}",
            plugin.stdout
        );
        says(&catalog.run(&["status", "--max-age", "30d", "-q"]), 3, problem);
        assert_ne!(catalog.run(&["seal", "-q"]).code, 0, "{problem}");
        let check = catalog.run(&["check"]);
        assert!(
            check.code == 1 && (check.stdout + &check.stderr).contains(problem),
            "{problem}"
        );
        // Its mode is for its owner alone.
        let _ = fs::rename(&aside, &key_file);
        fs::create_dir_all(&log).unwrap();
        for (path, content) in &whole {
            fs::write(path, content).unwrap();
        }
    }
    assert_eq!(catalog.run(&["status", "--nagios"]).code, 0);
}

#[test]
fn a_checkpoint_that_is_not_in_its_place_yet_is_the_newest_all_the_same() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let checkpoint = catalog.root().join("evidence/checkpoint");
    let before = fs::read(&checkpoint).unwrap();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, newer(60), "more")]);
    catalog.collect(0, &[]);
    assert_eq!(catalog.run(&["seal"]).code, 0);
    assert_ne!(fs::read(&checkpoint).unwrap(), before);
    fs::write(&checkpoint, before).unwrap();
    let verified = catalog.run(&["verify", "--evidence"]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    // Where its entries are not there, they were cut off.
    let entries = catalog.root().join("evidence/entries.jsonl");
    let text = fs::read_to_string(&entries).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&entries, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    says(&catalog.run(&["verify", "--evidence", "-q"]), 3, "cut off");
}

#[test]
fn a_checkpoint_of_a_second_history_by_the_same_key_is_told_whoever_has_cosigned_it() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let log = catalog.root().join("evidence");
    let (entries, checkpoint) = (log.join("entries.jsonl"), log.join("checkpoint"));
    let before = [&entries, &checkpoint].map(|path| fs::read(path).unwrap());
    let grown = |id: &str| {
        sandbox.add(Api::Tfc, vec![event(Api::Tfc, newer(60), id)]);
        catalog.collect(0, &[]);
        assert_eq!(catalog.run(&["seal"]).code, 0);
        fs::read_to_string(&checkpoint).unwrap()
    };
    let one = grown("one");
    let size: u64 = one.lines().nth(1).unwrap().parse().unwrap();
    // Somebody has put it back, and sealed something else.
    fs::write(&entries, &before[0]).unwrap();
    fs::write(&checkpoint, &before[1]).unwrap();
    fs::remove_file(log.join(format!("checkpoints/{size}"))).unwrap();
    let other = grown("other");
    assert_eq!(other.lines().nth(1), one.lines().nth(1));
    assert_eq!(catalog.run(&["verify", "--evidence"]).code, 0);
    fs::create_dir_all(log.join("anchors")).unwrap();
    fs::write(log.join("anchors/kept.cosig"), &one).unwrap();
    says(
        &catalog.run(&["verify", "--evidence", "-q"]),
        3,
        "anchors/kept.cosig is of another history",
    );
    fs::write(log.join("anchors/kept.cosig"), &other).unwrap();
    assert_eq!(catalog.run(&["verify", "--evidence"]).code, 0);
}
