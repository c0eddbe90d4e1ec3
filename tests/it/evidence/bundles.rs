//! The proofs in a bundle of `export`: verified elsewhere, with a policy and nothing else, and by a few lines of Python.

use std::process::Command;

use super::forger::{Hashes, checkpoint};
use super::*;
use crate::support::{PythonPackage, process};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tlog_tiles::tlog::{Hash, check_record, prove_record, record_hash};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/evidence/verify_bundle.py");

fn export(catalog: &Catalog, to: &str, more: &[&str]) -> PathBuf {
    let run = catalog.run(&[&["export", "--since", "10d", "--to", to], more].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    catalog.root().join(to)
}

/// What somebody says who has the bundle and a policy, and nothing else.
#[track_caller]
fn verify_bundle(code: i32, bundle: &Path, policy: &Path) -> Value {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
    command.current_dir(elsewhere.path()).env_clear();
    let command = command.args(["verify", "--json", "--bundle"]).arg(bundle);
    let run = process::run(command.arg("--policy").arg(policy));
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn example() -> (Sandbox, Catalog, PathBuf) {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Mail, Api::Tfc]);
    let policy = folder(&catalog).join("policy.txt");
    (sandbox, catalog, policy)
}

fn counts(verdict: &Value) -> Vec<(u64, u64, usize)> {
    let streams = verdict["streams"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_u64().unwrap();
    let counts = streams.map(|stream| {
        let whole = stream["whole_days"].as_array().unwrap().len();
        (number(&stream["proved"]), number(&stream["unproved"]), whole)
    });
    counts.collect()
}

#[test]
fn every_record_of_a_bundle_is_proved_to_who_has_the_public_key_alone() {
    let (_sandbox, catalog, policy) = example();
    let bundle = export(&catalog, "all", &[]);
    let verdict = verify_bundle(0, &bundle, &policy);
    assert_eq!(verdict["is_proved"], true, "{verdict}");
    for (proved, unproved, whole) in counts(&verdict) {
        assert_eq!((proved, unproved), (18, 0), "{verdict}");
        assert!((2..=4).contains(&whole), "{verdict}");
    }
    let manifest: Value = serde_json::from_slice(&fs::read(bundle.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["proofs"]["origin"], ORIGIN);
    assert_eq!(manifest["streams"][0]["proofs"]["proved"], 18, "{manifest}");
    let page = fs::read_to_string(bundle.join("about.html")).unwrap();
    assert!(
        page.contains("trailkeeper verify --bundle . --policy my.policy"),
        "{page}"
    );
    // The entries are in the log by the code of others too, and a whole day needs no hash.
    let vkey = verdict["key"].as_str().unwrap();
    let (_, size, root) = checkpoint(&fs::read(bundle.join("checkpoint")).unwrap(), vkey);
    let proofs = fs::read_to_string(bundle.join("tfc.proofs.jsonl")).unwrap();
    for line in proofs.lines() {
        let segment: Value = serde_json::from_str(line).unwrap();
        assert_eq!(segment["hashes"], serde_json::json!([]), "{segment}");
        let path = segment["path"].as_array().unwrap().iter();
        let path = path.map(|hash| Hash(STANDARD.decode(hash.as_str().unwrap()).unwrap().try_into().unwrap()));
        let entry = record_hash(segment["entry"].as_str().unwrap().as_bytes());
        let path: Vec<Hash> = path.collect();
        check_record(&path, size, root, segment["index"].as_u64().unwrap(), entry).unwrap();
    }
}

#[test]
fn a_selection_is_proved_too_also_of_days_that_are_packed() {
    let (_sandbox, catalog, policy) = example();
    let packed = catalog.run(&["pack", "--older-than", "4d"]);
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    let bundle = export(&catalog, "some", &["--id", "4-1", "--id", "5-0", "--id", "1-2"]);
    let verdict = verify_bundle(0, &bundle, &policy);
    assert_eq!(counts(&verdict), [(3, 0, 0); 2], "{verdict}");
    // Nothing was found is nothing to prove.
    let bundle = export(&catalog, "none", &["--id", "nobody"]);
    let verdict = verify_bundle(0, &bundle, &policy);
    assert_eq!(counts(&verdict), [(0, 0, 0); 2], "{verdict}");
}

#[test]
fn records_that_were_changed_removed_added_or_moved_are_refused() {
    let (_sandbox, catalog, policy) = example();
    let bundle = export(&catalog, "all", &[]);
    let records = bundle.join("tfc.ndjson");
    let content = fs::read_to_string(&records).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let changes = [
        content.replacen("\"4-1\"", "\"4-x\"", 1),
        joined(&lines[1..]),
        joined(&lines[..17]),
        joined(&swapped),
        format!("{content}{}\n", lines[0]),
        format!("{content}{{"),
        content[..content.len() - 1].to_owned(),
        String::new(),
    ];
    for changed in changes {
        assert_ne!(changed, content);
        fs::write(&records, &changed).unwrap();
        let verdict = verify_bundle(3, &bundle, &policy);
        assert!(
            verdict["streams"][0]["problem"].is_null() != verdict["streams"][1]["problem"].is_null(),
            "{verdict}"
        );
    }
    fs::write(&records, &content).unwrap();
    let proofs = bundle.join("tfc.proofs.jsonl");
    let proved = fs::read(&proofs).unwrap();
    for at in (0..proved.len()).step_by(53) {
        let mut changed = proved.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        fs::write(&proofs, changed).unwrap();
        verify_bundle(3, &bundle, &policy);
    }
    fs::write(&proofs, &proved).unwrap();
    verify_bundle(0, &bundle, &policy);
    // Proofs of another stream, of none, and the signature of another log.
    fs::rename(bundle.join("tfc.proofs.jsonl"), bundle.join("mail")).unwrap();
    fs::copy(bundle.join("yandex-mail.proofs.jsonl"), bundle.join("tfc.proofs.jsonl")).unwrap();
    fs::copy(bundle.join("yandex-mail.ndjson"), bundle.join("tfc.ndjson")).unwrap();
    let verdict = verify_bundle(3, &bundle, &policy);
    assert!(
        verdict.to_string().contains("it is of another stream, yandex-mail"),
        "{verdict}"
    );
    fs::remove_file(bundle.join("tfc.proofs.jsonl")).unwrap();
    let verdict = verify_bundle(3, &bundle, &policy);
    assert!(verdict.to_string().contains("its proofs are not there"), "{verdict}");
    let (_sandbox, _other, other) = example();
    let verdict = verify_bundle(3, &bundle, &other);
    assert!(
        verdict["problem"]
            .as_str()
            .unwrap()
            .contains("the checkpoint is not believed"),
        "{verdict}"
    );
}

#[test]
fn what_is_not_sealed_or_not_what_was_sealed_has_no_proof_and_the_bundle_says_so() {
    let (sandbox, catalog, policy) = example();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, newer(20), "new")]);
    catalog.collect(0, &[]);
    edit(&path(&catalog, Api::Mail, 4), |text| text.replace("4-1", "4-x"));
    let run = catalog.run(&["export", "--since", "10d", "--to", "all"]);
    assert!(
        run.stdout
            .contains("1 records have no proof: these lines are not sealed yet"),
        "{}",
        run.stdout
    );
    let verdict = verify_bundle(3, &catalog.root().join("all"), &policy);
    assert_eq!(
        counts(&verdict)
            .iter()
            .map(|(proved, unproved, _)| (*proved, *unproved))
            .collect::<Vec<_>>(),
        [(18, 1), (15, 3)]
    );
    assert!(
        verdict["streams"][1]["reasons"][0]
            .as_str()
            .unwrap()
            .ends_with("is not what was sealed"),
        "{verdict}"
    );
}

#[test]
fn a_bundle_has_proofs_where_the_archive_is_sealed_and_its_lines_are_exported() {
    let (_sandbox, mut catalog, policy) = example();
    let csv = export(&catalog, "csv", &["--format", "csv"]);
    assert!(!csv.join("checkpoint").exists());
    let verdict = verify_bundle(3, &csv, &policy);
    assert!(
        verdict["problem"].as_str().unwrap().contains("it has no proofs"),
        "{verdict}"
    );
    fs::write(folder(&catalog).join("entries.jsonl"), "none\n").unwrap();
    let run = catalog.run(&["export", "--since", "10d", "--to", "unsigned"]);
    assert_eq!(run.code, 0);
    assert!(
        run.stderr.contains("the bundle has no proofs: the log in "),
        "{}",
        run.stderr
    );
    for variable in ["EVIDENCE_FOLDER", "EVIDENCE_ORIGIN", "EVIDENCE_KEY_FILE"] {
        catalog.unset(variable);
    }
    let plain = export(&catalog, "plain", &[]);
    assert!(!plain.join("checkpoint").exists() && !plain.join("tfc.proofs.jsonl").exists());
}

/// A bundle in which each record of a stream, and its proof, is there twice.
fn doubled(catalog: &Catalog) -> PathBuf {
    let bundle = export(catalog, "doubled", &[]);
    for file in ["tfc.ndjson", "tfc.proofs.jsonl"] {
        edit(&bundle.join(file), |text| text.repeat(2));
    }
    bundle
}

#[test]
fn a_record_counts_once() {
    let (_sandbox, catalog, policy) = example();
    let verdict = verify_bundle(3, &doubled(&catalog), &policy);
    let problem = &verdict["streams"][0]["problem"];
    assert!(problem.as_str().unwrap().ends_with("are there twice"), "{verdict}");
}

#[test]
fn python_verifies_a_bundle_and_refuses_another_one() {
    let Some(python) = PythonPackage::CRYPTOGRAPHY.python("the proofs of a bundle in Python") else {
        return;
    };
    let (_sandbox, catalog, policy) = example();
    let text = fs::read_to_string(policy).unwrap();
    let vkey = text
        .lines()
        .find_map(|line| line.strip_prefix("log "))
        .unwrap()
        .to_owned();
    let run = |bundle: &Path| process::run(Command::new(&python).arg(SCRIPT).arg(bundle).arg(&vkey));
    for (to, more, expected) in [("all", &[][..], 18), ("some", &["--id", "4-1", "--id", "3-2"], 2)] {
        let bundle = export(&catalog, to, more);
        let good = run(&bundle);
        assert_eq!(good.code, 0, "{}", good.stderr);
        let streams = ["tfc", "yandex-mail"].map(|name| format!("{name}: {expected} records are proved, 0 are not\n"));
        assert_eq!(good.stdout, streams.concat());
        edit(&bundle.join("tfc.ndjson"), |text| text.replacen("4-1", "4-x", 1));
        assert_ne!(run(&bundle).code, 0);
    }
    let bundle = export(&catalog, "forged", &[]);
    edit(&bundle.join("tfc.ndjson"), |text| {
        format!("{{\"id\":\"forged\"}}\n{text}")
    });
    edit(&bundle.join("tfc.proofs.jsonl"), |text| {
        format!("{{\"unproved\":1}}\n{text}{{\"unproved\":-1}}\n")
    });
    let forged = run(&bundle);
    assert_ne!(forged.code, 0, "{}", forged.stdout);
    let doubled = doubled(&catalog);
    assert_ne!(run(&doubled).code, 0);
    edit(&path(&catalog, Api::Mail, 4), |text| text.replace("4-1", "4-x"));
    let in_part = run(&export(&catalog, "in-part", &[]));
    assert!(
        in_part.code == 1 && in_part.stdout.contains("15 records are proved, 3 are not"),
        "{}",
        in_part.stdout
    );
}

/// Leads each proof of a file of a bundle to a newer checkpoint: what a forger does who has the log, and would rather not show what
/// came late.
pub(crate) fn move_to_newest(bundle: &Path, proofs: &str, log: &Path) {
    fs::copy(log.join("checkpoint"), bundle.join("checkpoint")).unwrap();
    let entries = fs::read(log.join("entries.jsonl")).unwrap();
    let lines = entries.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (hashes, size) = Hashes::of(lines);
    edit(&bundle.join(proofs), |proofs| {
        let moved = proofs.lines().map(|line| {
            let mut proof: Value = serde_json::from_str(line).unwrap();
            // What has no proof is about no entry.
            let Some(index) = proof["index"].as_u64() else {
                return format!("{line}\n");
            };
            let path = prove_record(size, index, &hashes).unwrap();
            let path: Vec<_> = path.iter().map(|hash| STANDARD.encode(hash.0)).collect();
            proof["path"] = path.into();
            format!("{proof}\n")
        });
        moved.collect()
    });
}

#[test]
fn a_whole_day_is_whole_as_of_an_entry_and_the_log_shows_whether_that_is_the_newest() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let policy = folder(&catalog).join("policy.txt");
    let bundle = export(&catalog, "all", &[]);
    let log = folder(&catalog);
    let judge = |more: &[&str]| {
        let (bundle, policy) = (bundle.to_str().unwrap(), policy.to_str().unwrap());
        catalog.run(&[&["verify", "--bundle", bundle, "--policy", policy], more].concat())
    };
    let with_log = ["--evidence-folder", log.to_str().unwrap()];
    let run = judge(&with_log);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(!run.stdout.contains("whole as of"), "{}", run.stdout);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(4 * DAY + newest() + 30), "late")]);
    catalog.collect(0, &["--since", "6d"]);
    seal(&catalog, 0);
    assert_eq!(kinds(&catalog, "late").len(), 1);
    // It was right when it was made, and is still.
    assert_eq!(judge(&with_log).code, 0);
    move_to_newest(&bundle, "tfc.proofs.jsonl", &log);
    let run = judge(&[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let said = "whole days are whole as of the entries of their proofs, the oldest of which is entry ";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    let run = judge(&with_log);
    let day = name(&path(&catalog, Api::Tfc, 4));
    let said = format!("tfc: not the whole day: {day}: the proof is about its 3 lines as of entry ");
    assert!(
        run.code == 3 && run.stdout.contains(&said),
        "{}{}",
        run.stdout,
        run.stderr
    );
    let of_json: Value = serde_json::from_str(&judge(&[&with_log[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(
        of_json["streams"][0]["older_days"].as_array().unwrap().len(),
        1,
        "{of_json}"
    );
    let days = of_json["streams"][0]["whole_days"].as_array().unwrap();
    assert!(
        days.iter()
            .all(|whole| whole["file"] != day.as_str() && whole["sealed_at"].is_string())
    );
    // Another log says nothing of it.
    let other = sealed(&sandbox, &[Api::Tfc]);
    let run = judge(&["--evidence-folder", folder(&other).to_str().unwrap()]);
    assert!(
        run.code == 3 && run.stdout.contains("are not those of its checkpoint"),
        "{}{}",
        run.stdout,
        run.stderr
    );
}
