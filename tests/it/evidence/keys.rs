//! Keys: made once, kept to their owner, replaced, and a log that is lost.

use std::fs;

use super::*;

#[test]
fn a_key_is_written_for_its_owner_alone_never_over_a_file_and_only_keygen_begins_a_log() {
    let sandbox = daily(2);
    let catalog = unsealed(&sandbox, &[Api::Tfc]);
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("not sealed: "), "{}", run.stderr);
    assert!(!folder(&catalog).exists());
    let made = catalog.run(&["evidence", "keygen", "--json"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let shown: Value = serde_json::from_str(&made.stdout).unwrap();
    assert!(
        shown["key"].as_str().unwrap().starts_with(&format!("{ORIGIN}+")),
        "{shown}"
    );
    let secret = fs::read_to_string(key_file(&catalog)).unwrap();
    assert!(!made.stdout.contains(secret.trim_end().splitn(5, '+').last().unwrap()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = fs::metadata(key_file(&catalog)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(key_file(&catalog), fs::Permissions::from_mode(0o644)).unwrap();
        let run = catalog.run(&["seal"]);
        assert!(
            run.code == 1 && run.stderr.contains("can be read by others: chmod 600"),
            "{}",
            run.stderr
        );
        fs::set_permissions(key_file(&catalog), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for _ in 0..2 {
        let again = catalog.run(&["evidence", "keygen"]);
        assert_eq!(again.code, 1, "{}", again.stderr);
        assert_eq!(fs::read_to_string(key_file(&catalog)).unwrap(), secret);
        // Also when the log is gone: that would be a second history.
        let _ = fs::rename(folder(&catalog), catalog.root().join("away"));
    }
    let taken = catalog.run(&["evidence", "keygen"]).stderr;
    assert!(
        taken.contains("no key is written over another one: name a file of its own"),
        "{taken}"
    );
    let run = catalog.run(&["seal"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("holds no log, and a key is there"),
        "{}",
        run.stderr
    );
    fs::rename(catalog.root().join("away"), folder(&catalog)).unwrap();
    seal(&catalog, 0);
    fs::remove_file(key_file(&catalog)).unwrap();
    assert_eq!(catalog.run(&["seal"]).code, 1);
    verify(&catalog, 0, &[]);
}

#[test]
fn a_new_key_is_followed_from_the_old_one() {
    let sandbox = daily(5);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let policy = catalog.root().join("auditor.policy");
    fs::copy(folder(&catalog).join("policy.txt"), &policy).unwrap();
    let old = fs::read_to_string(key_file(&catalog)).unwrap();
    let run = catalog.run(&["evidence", "rotate"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_ne!(fs::read_to_string(key_file(&catalog)).unwrap(), old);
    let kept = fs::read_dir(catalog.root()).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.filter(|path| name(path).starts_with("evidence.key.until-"));
    assert_eq!(
        kept.map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>(),
        [old]
    );
    let trusting = ["--policy", policy.to_str().unwrap()];
    verify(&catalog, 0, &trusting);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect_one(0, &[]);
    seal(&catalog, 0);
    // Signed by the new key alone by now.
    let verdict = verify(&catalog, 0, &trusting);
    assert_eq!(problems(&verdict), Vec::<String>::new());
    assert_eq!(catalog.run(&["evidence", "rotate"]).code, 0);
    seal(&catalog, 0);
    verify(&catalog, 0, &trusting);
    // Without the checkpoint that handed over nobody vouches for the new key.
    for kept in fs::read_dir(folder(&catalog).join("checkpoints")).unwrap() {
        fs::remove_file(kept.unwrap().path()).unwrap();
    }
    let verdict = verify(&catalog, 3, &trusting);
    assert!(
        problems(&verdict)[0].contains("no key that is trusted has signed it"),
        "{verdict}"
    );
}

#[test]
fn a_lost_log_is_begun_anew_under_another_name_which_says_so_for_ever() {
    let sandbox = daily(5);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let run = catalog.run(&["evidence", "restart", "--reason", "a trial"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let lost = fs::read_to_string(folder(&catalog).join("checkpoint")).unwrap();
    fs::remove_file(folder(&catalog).join("entries.jsonl")).unwrap();
    assert_eq!(catalog.run(&["seal"]).code, 3);
    let run = catalog.run(&["evidence", "restart", "--reason", "the disk was lost"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    seal(&catalog, 0);
    let verdict = verify(&catalog, 0, &[]);
    assert_eq!(verdict["origin"], format!("{ORIGIN}/2"));
    assert!(
        verdict["remarks"][0].as_str().unwrap().contains("the disk was lost"),
        "{verdict}"
    );
    assert_eq!(kinds(&catalog, "restart")[0]["lost"], lost);
    assert_eq!(
        fs::read_to_string(folder(&catalog).join("lost-1/checkpoint")).unwrap(),
        lost
    );
    catalog.collect_one(0, &[]);
    fs::remove_dir_all(folder(&catalog)).unwrap();
    let run = catalog.run(&["evidence", "restart", "--reason", "again"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    seal(&catalog, 0);
}

#[test]
fn the_settings_are_checked_together_and_the_folder_is_not_inside_a_catalog() {
    let sandbox = daily(2);
    let mut catalog = unsealed(&sandbox, &[Api::Tfc]);
    catalog.set("EVIDENCE_ORIGIN", "https://audit.example.org");
    catalog.unset("EVIDENCE_KEY_FILE");
    catalog.set("SEAL_AFTER_HOURS", "often");
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    for variable in ["EVIDENCE_ORIGIN", "SEAL_AFTER_HOURS"] {
        assert!(run.stderr.contains(variable), "{}", run.stderr);
    }
    let mut catalog = unsealed(&sandbox, &[Api::Tfc]);
    let inside = catalog.folder(Api::Tfc).join("evidence");
    catalog.set("EVIDENCE_FOLDER", inside.display());
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("EVIDENCE_FOLDER must not be inside the catalog"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_key_that_was_replaced_signs_nothing_more() {
    let sandbox = daily(5);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let policy = catalog.root().join("auditor.policy");
    fs::copy(folder(&catalog).join("policy.txt"), &policy).unwrap();
    let old = catalog.root().join("old.key");
    fs::copy(key_file(&catalog), &old).unwrap();
    let made = catalog.run(&["evidence", "rotate", "--json"]);
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let newer = catalog.root().join("newer.policy");
    fs::write(&newer, format!("log {}\nquorum none\n", made["key"].as_str().unwrap())).unwrap();
    verify(&catalog, 0, &["--policy", newer.to_str().unwrap()]);
    // Whoever has seen the old key goes on with it.
    let entry = serde_json::json!({
        "v": 1, "kind": "open", "stream": "tfc", "file": "tfc_audit_2099-01-01.log", "lines": 0, "bytes": 0,
        "root": super::forger::hex(super::forger::root_of(b"")), "at": now().to_rfc3339(),
    });
    edit(&folder(&catalog).join("entries.jsonl"), |text| {
        format!("{text}{entry}\n")
    });
    super::forger::sign(&folder(&catalog), &old, ORIGIN);
    for policy in [&policy, &newer] {
        let verdict = verify(&catalog, 3, &["--policy", policy.to_str().unwrap()]);
        assert!(
            problems(&verdict)[0].contains("no key that is trusted has signed it"),
            "{verdict}"
        );
    }
}

#[test]
fn a_rotation_that_was_killed_is_finished_by_the_next_one() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let old = fs::read(key_file(&catalog)).unwrap();
    assert_eq!(catalog.run(&["evidence", "rotate"]).code, 0);
    // As a kill leaves it before the new key has taken the place of the old one.
    fs::rename(key_file(&catalog), catalog.root().join("evidence.key.next")).unwrap();
    fs::write(key_file(&catalog), old).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        fs::set_permissions(key_file(&catalog), fs::Permissions::from_mode(0o600)).unwrap();
    }
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("`trailkeeper evidence rotate` finishes that"),
        "{}",
        run.stderr
    );
    let run = catalog.run(&["evidence", "rotate"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!catalog.root().join("evidence.key.next").exists());
    seal(&catalog, 0);
    verify(&catalog, 0, &[]);
}

#[test]
fn a_log_that_somebody_adds_to_is_not_lost() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let lock = folder(&catalog).join(".trailkeeper/evidence.lock");
    let lock = fs::File::options().write(true).open(lock).unwrap();
    lock.lock().unwrap();
    let run = catalog.run(&["evidence", "restart", "--reason", "impatience"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(folder(&catalog).join("entries.jsonl").exists());
    drop(lock);
    verify(&catalog, 0, &[]);
}

#[cfg(unix)]
#[test]
fn a_credential_of_systemd_is_a_key_that_is_only_read() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = daily(2);
    let mut catalog = sealed(&sandbox, &[Api::Tfc]);
    let given = catalog.root().join("credentials");
    fs::create_dir(&given).unwrap();
    let credential = given.join("evidence_key");
    fs::rename(key_file(&catalog), &credential).unwrap();
    catalog.set("EVIDENCE_KEY_FILE", "credential:evidence_key");
    let run = catalog.run(&["collect"]);
    assert!(
        run.code == 1 && run.stderr.contains("CREDENTIALS_DIRECTORY is not set"),
        "{}",
        run.stderr
    );
    // Who only reads needs none.
    verify(&catalog, 0, &[]);
    catalog.set("CREDENTIALS_DIRECTORY", given.display());
    // The mode of a file that the service may read by a list of rights.
    for (mode, code) in [(0o440, 0), (0o400, 0), (0o444, 3)] {
        fs::set_permissions(&credential, fs::Permissions::from_mode(mode)).unwrap();
        sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(i64::from(mode)), &mode.to_string())]);
        let run = catalog.run(&["collect"]);
        assert_eq!(run.code, code, "{mode:o}: {}", run.stderr);
    }
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).unwrap();
    seal(&catalog, 0);
    verify(&catalog, 0, &[]);
    for command in ["rotate", "keygen"] {
        let run = catalog.run(&["evidence", command]);
        assert_eq!(run.code, 1, "{command}: {}", run.stderr);
    }
    let rotated = catalog.run(&["evidence", "rotate"]);
    assert!(
        rotated
            .stderr
            .contains("the key is the credential evidence_key of systemd, which is only read"),
        "{}",
        rotated.stderr
    );
}
