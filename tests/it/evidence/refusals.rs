//! What verifiers refuse, each by its name: the list of the design, and what else a forger can think of.

use std::fs;

use super::forger::{hex, root_of, sign};
use super::sealing::acknowledge;
use super::*;

/// A sealed catalog of one stream, and a copy of its policy that no forger can reach.
fn example() -> (Sandbox, Catalog, PathBuf) {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let policy = catalog.root().join("auditor.policy");
    fs::copy(folder(&catalog).join("policy.txt"), &policy).unwrap();
    (sandbox, catalog, policy)
}

/// Asserts that the archive is refused with these words.
#[track_caller]
fn refused(catalog: &Catalog, policy: &Path, more: &[&str], expected: &str) {
    let arguments = [&["--policy", policy.to_str().unwrap()], more].concat();
    let verdict = verify(catalog, 3, &arguments);
    let problems = problems(&verdict);
    assert!(
        problems.iter().any(|problem| problem.contains(expected)),
        "{expected}: {problems:?}"
    );
}

/// Changes the entries, and signs them with the key that the forger has.
fn forge(catalog: &Catalog, change: impl FnOnce(Vec<Value>) -> Vec<Value>) {
    let entries: String = change(entries(catalog))
        .iter()
        .map(|entry| format!("{entry}\n"))
        .collect();
    fs::write(folder(catalog).join("entries.jsonl"), entries).unwrap();
    fs::remove_dir_all(folder(catalog).join("checkpoints")).unwrap();
    fs::create_dir(folder(catalog).join("checkpoints")).unwrap();
    sign(&folder(catalog), &key_file(catalog), ORIGIN);
}

#[test]
fn a_day_file_that_was_changed_cut_lengthened_deleted_or_swapped_is_named_with_lines_and_bytes() {
    let (_sandbox, catalog, policy) = example();
    let (one, other) = (path(&catalog, Api::Tfc, 3), path(&catalog, Api::Tfc, 4));
    let whole = fs::read_to_string(&one).unwrap();
    let another = fs::read_to_string(&other).unwrap();
    let newer = fs::read_to_string(path(&catalog, Api::Tfc, 1)).unwrap();
    let lines: Vec<_> = whole.split_inclusive('\n').collect();
    let table = [
        (whole.replace("3-1", "3-9"), "it is not what was sealed at"),
        (lines[0].to_owned(), "only 1 of 3 lines are there that were sealed"),
        (
            whole.trim_end().to_owned(),
            "only 2 of 3 lines are there that were sealed",
        ),
        (
            [lines[0], "\n", lines[1], lines[2]].concat(),
            "it is not what was sealed at",
        ),
        ([lines[1], lines[0], lines[2]].concat(), "it is not what was sealed at"),
        (
            [&whole, lines[0]].concat(),
            "its day is closed, and these lines are in no entry",
        ),
        (
            format!("{whole} "),
            "its day is closed, and these lines are in no entry",
        ),
        (another.clone(), "it is not what was sealed at"),
        (String::new(), "the file is gone, or empty"),
    ];
    for (text, expected) in table {
        fs::write(&one, text).unwrap();
        refused(&catalog, &policy, &[], &format!("{}: {expected}", name(&one)));
        let shown = catalog.run(&["verify", "--evidence"]);
        assert!(
            shown.stdout.contains("(lines ") && shown.stdout.contains(", bytes "),
            "{}",
            shown.stdout
        );
        assert_eq!(catalog.run(&["seal"]).code, 3);
    }
    fs::remove_file(&one).unwrap();
    refused(&catalog, &policy, &[], "the file is gone, or empty");
    let shown = catalog.run(&["verify", "--evidence"]).stdout;
    let date = |days: i64| at(days * DAY + newest()).date_naive();
    assert!(
        shown.contains(&format!("tfc: 1 sealed day is gone: {}\n", date(3))),
        "{shown}"
    );
    fs::remove_file(&other).unwrap();
    fs::remove_file(path(&catalog, Api::Tfc, 1)).unwrap();
    let gone = &verify(&catalog, 3, &[])["streams"][0]["gone"];
    assert_eq!(
        (&gone["days"], &gone["first"], &gone["last"]),
        (&3.into(), &date(4).to_string().into(), &date(1).to_string().into())
    );
    let shown = catalog.run(&["verify", "--evidence", "-q"]).stderr;
    let said = format!(
        "tfc: 3 sealed days are gone, the first of {}, the last of {}",
        date(4),
        date(1)
    );
    assert!(shown.contains(&said), "{shown}");
    fs::write(&other, &another).unwrap();
    fs::write(path(&catalog, Api::Tfc, 1), &newer).unwrap();
    fs::write(&one, &whole).unwrap();
    assert!(verify(&catalog, 0, &[])["streams"][0]["gone"].is_null());
}

#[test]
fn a_whole_day_that_is_in_no_entry_is_refused_and_a_new_one_is_not_yet_sealed() {
    let (sandbox, catalog, policy) = example();
    let foreign = path(&catalog, Api::Tfc, 40);
    fs::copy(path(&catalog, Api::Tfc, 4), &foreign).unwrap();
    refused(&catalog, &policy, &[], "its day is closed, and it is in no entry");
    fs::remove_file(&foreign).unwrap();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect_one(0, &[]);
    verify(&catalog, 0, &[]);
}

#[test]
fn entries_that_were_edited_cut_or_added_are_refused_without_the_key() {
    let (_sandbox, catalog, policy) = example();
    let file = folder(&catalog).join("entries.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let count = text.lines().count();
    // Each entry in turn.
    for number in 0..count {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[number] = lines[number].replace("\"v\":1", "\"v\": 1");
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        refused(&catalog, &policy, &[], "are not those that were signed");
        lines.remove(number);
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        refused(&catalog, &policy, &[], "were signed, and fewer are there");
        assert_eq!(catalog.run(&["seal"]).code, 3);
    }
    fs::write(&file, format!("{text}{{\"v\":1}}\n")).unwrap();
    let verdict = verify(&catalog, 0, &["--policy", policy.to_str().unwrap()]);
    assert!(
        verdict["remarks"][0].as_str().unwrap().contains("not signed"),
        "{verdict}"
    );
    fs::remove_file(&file).unwrap();
    refused(&catalog, &policy, &[], "holds no log");
    assert_eq!(catalog.run(&["seal"]).code, 3);
}

#[test]
fn the_log_is_cut_back_to_an_earlier_checkpoint() {
    let (sandbox, catalog, policy) = example();
    let (entries_file, checkpoint_file) = (
        folder(&catalog).join("entries.jsonl"),
        folder(&catalog).join("checkpoint"),
    );
    let (entries_before, checkpoint_before) = (fs::read(&entries_file).unwrap(), fs::read(&checkpoint_file).unwrap());
    let archive_before = catalog.day_files(Api::Tfc);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect_one(0, &[]);
    seal(&catalog, 0);
    let newest = catalog.root().join("newest.checkpoint");
    fs::copy(&checkpoint_file, &newest).unwrap();
    verify(&catalog, 0, &["--checkpoint", newest.to_str().unwrap()]);
    // Only the newest checkpoint: as after a crash, another one is the newest, and its entries are there.
    fs::write(&checkpoint_file, &checkpoint_before).unwrap();
    verify(&catalog, 0, &["--checkpoint", newest.to_str().unwrap()]);
    // The entries too: the others tell.
    fs::write(&entries_file, &entries_before).unwrap();
    refused(&catalog, &policy, &[], "more than the newest one: the log was cut off");
    // Everything, as from a backup: only who has kept a checkpoint can tell.
    let size = String::from_utf8(entries_before).unwrap().lines().count();
    for kept in fs::read_dir(folder(&catalog).join("checkpoints")).unwrap() {
        let kept = kept.unwrap().path();
        if name(&kept).parse::<usize>().unwrap() > size {
            fs::remove_file(kept).unwrap();
        }
    }
    for (file, bytes) in archive_before {
        fs::write(catalog.folder(Api::Tfc).join(file), bytes).unwrap();
    }
    verify(&catalog, 0, &["--policy", policy.to_str().unwrap()]);
    refused(
        &catalog,
        &policy,
        &["--checkpoint", newest.to_str().unwrap()],
        "the log was cut off",
    );
    let later = (now() + chrono::TimeDelta::hours(1)).to_rfc3339();
    refused(&catalog, &policy, &["--at", &later], "the evidence is stale");
    verify(&catalog, 0, &["--at", "1d"]);
}

#[test]
fn a_history_that_was_signed_again_is_refused_by_who_kept_a_checkpoint() {
    let (_sandbox, catalog, policy) = example();
    let kept = catalog.root().join("kept.checkpoint");
    fs::copy(folder(&catalog).join("checkpoint"), &kept).unwrap();
    let changed = path(&catalog, Api::Tfc, 4);
    edit(&changed, |text| text.replace("4-1", "4-8"));
    let content = fs::read(&changed).unwrap();
    forge(&catalog, |mut entries| {
        for entry in &mut entries {
            if entry["file"] == name(&changed) {
                entry["root"] = hex(root_of(&content)).into();
                entry["sha256"] = sha256(&changed).into();
            }
        }
        entries
    });
    // The operator owns the key: without a kept checkpoint it is not to be seen.
    verify(&catalog, 0, &["--policy", policy.to_str().unwrap()]);
    refused(
        &catalog,
        &policy,
        &["--checkpoint", kept.to_str().unwrap()],
        "is of another history",
    );
}

/// As `sha256sum` shows it.
fn sha256(path: &Path) -> String {
    let run = super::super::support::succeed(std::process::Command::new("sha256sum").arg(path));
    run.stdout.split(' ').next().unwrap().to_owned()
}

#[test]
fn entries_that_contradict_each_other_are_refused_whoever_signed_them() {
    let with = |change: &dyn Fn(&mut Value), expected: &str| {
        let (_sandbox, catalog, policy) = example();
        forge(&catalog, |mut entries| {
            let mut more = entries.iter().find(|entry| entry["kind"] == "day").unwrap().clone();
            change(&mut more);
            entries.push(more);
            entries
        });
        refused(&catalog, &policy, &[], expected);
    };
    with(
        &|entry| {
            entry["lines"] = 2.into();
            entry["bytes"] = 20.into();
        },
        "says less than an earlier entry",
    );
    with(
        &|entry| entry["root"] = "ab".repeat(32).into(),
        "says something else than an earlier entry about the same lines",
    );
    with(
        &|entry| entry["file"] = "../tfc/tfc_audit_2026-01-01.log".into(),
        "names a file outside of the catalog",
    );
    with(&|entry| entry["v"] = 2.into(), "cannot be read: it is of version 2");
    with(&|entry| entry["kind"] = "dey".into(), "cannot be read");
    with(
        &|entry| entry["sha256"] = "ab".repeat(32).into(),
        "its SHA-256 is not that of its entry",
    );
    with(
        &|entry| {
            let stream = "yandex-mail";
            entry["stream"] = stream.into();
        },
        "it is not said where its files are",
    );
}

#[test]
fn keys_that_nobody_trusts_prove_nothing() {
    let (sandbox, catalog, policy) = example();
    let other = sealed(&sandbox, &[Api::Tfc]);
    // A log of the same name, with another key.
    refused(&other, &policy, &[], "no key that is trusted has signed it");
    // The right key, and a checkpoint for another log.
    let key = fs::read_to_string(key_file(&catalog)).unwrap();
    sign(&folder(&catalog), &key_file(&catalog), "audit.example.org/other");
    refused(&catalog, &policy, &[], "which is the key of another one");
    assert!(key.starts_with("PRIVATE+KEY+audit.example.org/trails+"));
    // No policy at all.
    fs::remove_file(folder(&other).join("policy.txt")).unwrap();
    let verdict = verify(&other, 3, &[]);
    assert!(problems(&verdict)[0].contains("no key is trusted"), "{verdict}");
    // The operator's own policy is used, and called that.
    let (_sandbox, catalog, _) = example();
    let verdict = verify(&catalog, 0, &[]);
    assert_eq!(verdict["is_operators_policy"], true);
    let shown = catalog.run(&["verify", "--evidence"]);
    assert!(
        shown.stdout.contains("that shows accidents, and no forgery"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("SHA256:"), "{}", shown.stdout);
}

#[test]
fn a_restored_backup_makes_no_second_history() {
    let (sandbox, catalog, _) = example();
    let backup = fs::read(folder(&catalog).join("entries.jsonl")).unwrap();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect_one(0, &[]);
    seal(&catalog, 0);
    fs::write(folder(&catalog).join("entries.jsonl"), backup).unwrap();
    let run = catalog.run(&["seal", "--json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("would make a second history"), "{}", run.stderr);
    // And neither does an older checkpoint beside the newer one.
    let error: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(error["error"]["kind"], "refused");
}

#[test]
fn who_has_no_settings_verifies_the_folders() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc, Api::Mail]);
    let elsewhere = tempfile::tempdir().unwrap();
    let policy = folder(&catalog).join("policy.txt");
    let run = |files: &[(&str, Api)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        command
            .current_dir(elsewhere.path())
            .env_clear()
            .args(["verify", "--evidence", "--json"]);
        command
            .arg("--evidence-folder")
            .arg(folder(&catalog))
            .arg("--policy")
            .arg(&policy);
        for (stream, api) in files {
            command
                .arg("--files")
                .arg(format!("{stream}={}", catalog.folder(*api).display()));
        }
        super::super::support::process::run(&mut command)
    };
    let both = [("tfc", Api::Tfc), ("yandex-mail", Api::Mail)];
    let whole = run(&both);
    assert_eq!(whole.code, 0, "{}{}", whole.stdout, whole.stderr);
    let one = run(&both[..1]);
    assert_eq!(one.code, 3);
    assert!(
        one.stdout.contains("it is not said where its files are"),
        "{}",
        one.stdout
    );
    assert_eq!(run(&[("tfc", Api::Mail), ("yandex-mail", Api::Tfc)]).code, 3);
    edit(&path(&catalog, Api::Mail, 4), |text| text.replace("4-1", "4-7"));
    assert_eq!(run(&both).code, 3);
    acknowledge(&catalog, &name(&path(&catalog, Api::Mail, 4)), 0);
    let broken = run(&both);
    assert!(
        broken.code == 3 && broken.stdout.contains("seen by the owner"),
        "{}",
        broken.stdout
    );
}

#[test]
fn every_form_of_a_day_is_what_was_sealed() {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    let (_sandbox, catalog, policy) = example();
    let plain = path(&catalog, Api::Tfc, 4);
    let whole = fs::read(&plain).unwrap();
    let gzip = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let packed = PathBuf::from(format!("{}.gz", plain.display()));
    fs::write(&packed, gzip(&whole)).unwrap();
    verify(&catalog, 0, &[]);
    // What people and agents read is the plain one.
    let text = String::from_utf8(whole.clone()).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    for forged in [
        [lines[0], lines[2]].concat(),
        [lines[0], &lines[1].replace("4-1", "4-")].concat(),
    ] {
        fs::write(&plain, forged).unwrap();
        refused(&catalog, &policy, &[], "are in no entry");
        assert_eq!(catalog.run(&["seal", "--full"]).code, 3);
    }
    fs::write(&plain, &whole).unwrap();
    fs::write(&packed, gzip([lines[0], lines[2]].concat().as_bytes())).unwrap();
    refused(&catalog, &policy, &[], "it is not what was sealed");
    fs::remove_file(&packed).unwrap();
    // One that is being written yet is no fault.
    let begun = gzip(&whole);
    fs::write(&packed, &begun[..begun.len() / 2]).unwrap();
    verify(&catalog, 0, &[]);
    fs::write(&packed, gzip(&whole)).unwrap();
    fs::write(format!("{}.zst", plain.display()), "another").unwrap();
    refused(&catalog, &policy, &[], "the day has two compressed files");
    fs::remove_file(format!("{}.zst", plain.display())).unwrap();
    #[cfg(unix)]
    {
        let elsewhere = catalog.root().join("forged.log");
        fs::write(&elsewhere, lines[0]).unwrap();
        fs::remove_file(&plain).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &plain).unwrap();
        refused(&catalog, &policy, &[], "is no regular file");
    }
}

#[test]
fn an_entry_about_another_kind_of_file_erases_nothing() {
    let (_sandbox, catalog, policy) = example();
    let kept = catalog.root().join("kept.checkpoint");
    fs::copy(folder(&catalog).join("checkpoint"), &kept).unwrap();
    let changed = path(&catalog, Api::Tfc, 4);
    edit(&changed, |text| text.split_inclusive('\n').take(1).collect());
    let content = fs::read(&changed).unwrap();
    let entry = serde_json::json!({
        "v": 1, "kind": "journal", "stream": "tfc", "file": name(&changed), "lines": 1, "bytes": content.len(),
        "root": hex(root_of(&content)), "at": now().to_rfc3339(),
    });
    forge(&catalog, |mut entries| {
        entries.push(entry);
        entries
    });
    refused(
        &catalog,
        &policy,
        &["--checkpoint", kept.to_str().unwrap()],
        "takes a day file for another file",
    );
}

#[test]
fn a_journal_is_another_one_only_if_the_one_before_it_was_full() {
    let (_sandbox, catalog, policy) = example();
    let state = catalog.folder(Api::Tfc).join(".trailkeeper");
    let journal = state.join("tfc_audit.coverage.jsonl");
    fs::rename(&journal, state.join("tfc_audit.coverage.previous.jsonl")).unwrap();
    fs::write(&journal, "forged\n").unwrap();
    refused(&catalog, &policy, &[], "tfc_audit.coverage.jsonl: only 1 of");
}

#[test]
fn nothing_expires_by_holds_that_are_not_what_was_sealed() {
    let sandbox = daily(8);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let run = catalog.run(&["hold", "add", "2026/17"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    seal(&catalog, 0);
    fs::remove_file(catalog.folder(Api::Mail).join(".trailkeeper/mail_audit.holds.jsonl")).unwrap();
    let run = catalog.run(&["expire", "--older-than", "4d", "--yes"]);
    assert_eq!(run.code, 3, "{}", run.stdout);
    let said = run.stdout + &run.stderr;
    assert!(said.contains("the stream is not what was sealed"), "{said}");
    assert!(path(&catalog, Api::Mail, 7).exists());
}
