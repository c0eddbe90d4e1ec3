//! Witnesses: they sign what has grown out of what they signed before, and nothing else; and verifiers ask for as many as they want.

use std::process::Command;

use super::*;
use crate::support::{Run, process};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, Verifier, VerifierList};

/// Somebody with a key of his own, on another machine.
struct Witness {
    desk: Catalog,
    key: String,
}

impl Witness {
    fn new(name: &str, log: &Catalog) -> Self {
        let desk = Catalog::bare();
        let run = desk.run(&[
            "evidence",
            "keygen",
            "--witness",
            "--json",
            "--name",
            name,
            "--out",
            "witness.key",
        ]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let made: Value = serde_json::from_str(&run.stdout).unwrap();
        fs::copy(folder(log).join("policy.txt"), desk.root().join("log.policy")).unwrap();
        let key = made["key"].as_str().unwrap().to_owned();
        Self { desk, key }
    }

    fn cosign(&self, log: &Path, more: &[&str]) -> Run {
        let arguments = [
            "evidence",
            "cosign",
            "--policy",
            "log.policy",
            "--key",
            "witness.key",
            "--state",
            "state",
            "--log",
        ];
        self.desk
            .run(&[&arguments[..], &[log.to_str().unwrap()], more].concat())
    }

    /// Signs, and gives the operator what it has signed.
    fn anchor(&self, log: &Catalog, name: &str, more: &[&str]) {
        let run = self.cosign(&folder(log), more);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let anchors = folder(log).join("anchors");
        fs::create_dir_all(&anchors).unwrap();
        fs::write(anchors.join(format!("{name}.cosig")), run.stdout).unwrap();
    }

    fn state(&self) -> String {
        fs::read_to_string(self.desk.root().join("state/last-checkpoint")).unwrap()
    }
}

/// A policy that asks for these witnesses too.
fn policy(log: &Catalog, name: &str, lines: &[String]) -> String {
    let own = fs::read_to_string(folder(log).join("policy.txt")).unwrap();
    let own = own.replace("quorum none\n", "");
    let path = log.root().join(name);
    fs::write(&path, format!("{own}{}\n", lines.join("\n"))).unwrap();
    path.to_str().unwrap().to_owned()
}

fn grow(sandbox: &Sandbox, catalog: &Catalog, id: &str) {
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), id)]);
    catalog.collect(0, &[]);
    seal(catalog, 0);
}

/// The cosignature of the specification, in the frame of other people's notes.
struct Cosigner {
    name: String,
    id: u32,
    key: Vec<u8>,
}

impl Cosigner {
    fn of(vkey: &str) -> Self {
        let [name, id, key] = &vkey.splitn(3, '+').collect::<Vec<_>>()[..] else {
            panic!("{vkey}")
        };
        let key = STANDARD.decode(key).unwrap();
        assert_eq!((key[0], key.len()), (4, 33));
        Self {
            name: (*name).to_owned(),
            id: u32::from_str_radix(id, 16).unwrap(),
            key: key[1..].to_vec(),
        }
    }
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let time = u64::from_be_bytes(signature[..8].try_into().unwrap());
        let signed = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &self.key);
        (now().timestamp() as u64).abs_diff(time) < 600 && key.verify(&signed, &signature[8..]).is_ok()
    }
}

#[test]
fn a_witness_signs_what_has_grown_out_of_what_it_signed_before() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let witness = Witness::new("w1.example", &catalog);
    let refused = witness.cosign(&folder(&catalog), &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (3, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("--first"), "{}", refused.stderr);
    let first = witness.cosign(&folder(&catalog), &["--first"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let known = VerifierList::new(vec![Box::new(Cosigner::of(&witness.key))]);
    let (signatures, _) = Note::from_bytes(first.stdout.as_bytes())
        .unwrap()
        .verify(&known)
        .unwrap();
    assert_eq!(signatures.len(), 1);
    assert_eq!(witness.state(), first.stdout);
    assert_eq!(witness.cosign(&folder(&catalog), &["--first"]).code, 1);
    for round in ["a", "b"] {
        grow(&sandbox, &catalog, round);
        // From what was published, too.
        catalog.run(&["evidence", "publish", "--to", "published"]);
        let run = witness.cosign(&catalog.root().join("published"), &["--out", "cosigned"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(
            fs::read_to_string(witness.desk.root().join("cosigned")).unwrap(),
            witness.state()
        );
    }
    // The same once more is no harm.
    assert_eq!(witness.cosign(&folder(&catalog), &[]).code, 0);
}

#[test]
fn a_witness_refuses_what_is_older_of_another_history_or_of_another_log() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let backup = catalog.root().join("backup");
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for name in ["entries.jsonl", "checkpoint"] {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    };
    copy(&folder(&catalog), &backup);
    grow(&sandbox, &catalog, "a");
    let witness = Witness::new("w1.example", &catalog);
    assert_eq!(witness.cosign(&folder(&catalog), &["--first"]).code, 0);
    let state = witness.state();
    let refuses = |log: &Path, sentence: &str| {
        let refused = witness.cosign(log, &[]);
        assert_eq!((refused.code, refused.stdout.as_str()), (3, ""), "{}", refused.stderr);
        assert!(refused.stderr.contains(sentence), "{sentence}: {}", refused.stderr);
        assert_eq!(witness.state(), state);
    };
    refuses(&backup, "it was cut off, or is an old copy");
    // The backup takes the place of the log, which goes on in another way.
    let lost = catalog.root().join("lost");
    fs::rename(folder(&catalog), &lost).unwrap();
    fs::create_dir(folder(&catalog)).unwrap();
    copy(&backup, &folder(&catalog));
    let signed = fs::read_to_string(lost.join("entries.jsonl")).unwrap().lines().count();
    for round in 0..20 {
        if entries(&catalog).len() <= signed {
            grow(&sandbox, &catalog, &format!("other {round}"));
        }
    }
    refuses(&folder(&catalog), "the log has another history");
    edit(&lost.join("entries.jsonl"), |text| {
        text.replacen("\"lines\":3", "\"lines\":4", 1)
    });
    refuses(&lost, "are not those of its checkpoint");
    let other = sealed(&sandbox, &[Api::Tfc]);
    refuses(&folder(&other), "no key that is trusted has signed it");
    refuses(&catalog.root().join("nowhere"), "holds no log");
    fs::copy(
        folder(&other).join("policy.txt"),
        witness.desk.root().join("log.policy"),
    )
    .unwrap();
    refuses(&folder(&other), "nothing is signed: ");
}

#[test]
fn a_verifier_asks_for_as_many_witnesses_as_his_policy_says_and_sees_who_saw_what_and_when() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let witnesses = ["w1.example", "w2.example"].map(|name| Witness::new(name, &catalog));
    let lines: Vec<_> = (1..)
        .zip(&witnesses)
        .map(|(n, witness)| format!("witness W{n} {}", witness.key))
        .collect();
    let with = |last: &[&str]| [lines.clone(), last.iter().map(ToString::to_string).collect()].concat();
    let one = policy(&catalog, "one.policy", &with(&["quorum W1"]));
    let both = policy(&catalog, "both.policy", &with(&["group G all W1 W2", "quorum G"]));
    let verdict = verify(&catalog, 3, &["--policy", &one]);
    assert!(
        problems(&verdict)[0].contains("no checkpoint has the cosignatures that the policy asks for"),
        "{verdict}"
    );
    witnesses[0].anchor(&catalog, "1.w1", &["--first"]);
    let verdict = verify(&catalog, 0, &["--policy", &one]);
    assert_eq!(verdict["anchors"][0]["witness"], "w1.example", "{verdict}");
    assert_eq!(verdict["anchored_size"], verdict["size"]);
    assert_eq!(verdict["anchors"][0]["key"], witnesses[0].key.as_str());
    verify(&catalog, 3, &["--policy", &both]);
    witnesses[1].anchor(&catalog, "1.w2", &["--first"]);
    verify(&catalog, 0, &["--policy", &both]);
    // What came since is not cosigned yet.
    let anchored = verdict["anchored_size"].as_u64().unwrap();
    grow(&sandbox, &catalog, "new");
    let verdict = verify(&catalog, 0, &["--policy", &both]);
    assert_eq!(verdict["anchored_size"], anchored);
    assert!(
        verdict["remarks"].to_string().contains("is not cosigned yet"),
        "{verdict}"
    );
    let tomorrow = (now() + chrono::TimeDelta::days(1)).to_rfc3339();
    let verdict = verify(&catalog, 3, &["--policy", &both, "--at", &tomorrow]);
    assert!(
        problems(&verdict)
            .iter()
            .any(|problem| problem.contains("cosignatures that the policy asks for is of")),
        "{verdict}"
    );
    let shown = catalog.run(&["verify", "--evidence", "--policy", &both]).stdout;
    assert!(
        shown.contains(&format!("cosigned by w2.example: {anchored} entries, at ")),
        "{shown}"
    );
    // What the witness itself gives counts like what the operator has kept.
    fs::remove_dir_all(folder(&catalog).join("anchors")).unwrap();
    verify(&catalog, 3, &["--policy", &one]);
    let kept = witnesses[0].desk.root().join("state/last-checkpoint");
    verify(&catalog, 0, &["--policy", &one, "--checkpoint", kept.to_str().unwrap()]);
    // Another text under the same signature is nobody's.
    let anchors = folder(&catalog).join("anchors");
    fs::create_dir(&anchors).unwrap();
    let changed = witnesses[0]
        .state()
        .replacen(&format!("\n{anchored}\n"), &format!("\n{}\n", anchored - 1), 1);
    fs::write(anchors.join("1.w1.cosig"), changed).unwrap();
    verify(&catalog, 3, &["--policy", &one]);
}

#[test]
fn a_witness_that_has_seen_another_history_gives_it_away() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let backup = catalog.root().join("backup");
    fs::create_dir(&backup).unwrap();
    for name in ["entries.jsonl", "checkpoint"] {
        fs::copy(folder(&catalog).join(name), backup.join(name)).unwrap();
    }
    grow(&sandbox, &catalog, "a");
    let witness = Witness::new("w1.example", &catalog);
    witness.anchor(&catalog, "1.w1", &["--first"]);
    let anchors = catalog.root().join("anchors");
    fs::rename(folder(&catalog).join("anchors"), &anchors).unwrap();
    fs::remove_dir_all(folder(&catalog)).unwrap();
    fs::rename(&backup, folder(&catalog)).unwrap();
    let own = catalog.root().join("own.policy");
    fs::copy(witness.desk.root().join("log.policy"), &own).unwrap();
    fs::copy(&own, folder(&catalog).join("policy.txt")).unwrap();
    for id in ["b", "c"] {
        grow(&sandbox, &catalog, id);
    }
    let lines = [format!("witness W1 {}", witness.key), "quorum none".to_owned()];
    let asked = policy(&catalog, "asked.policy", &lines);
    verify(&catalog, 0, &["--policy", &asked]);
    fs::rename(&anchors, folder(&catalog).join("anchors")).unwrap();
    let verdict = verify(&catalog, 3, &["--policy", &asked]);
    assert!(
        problems(&verdict)[0].starts_with("w1.example has seen another history (anchors/1.w1.cosig)"),
        "{verdict}"
    );
}

#[test]
fn proofs_carry_what_the_witnesses_have_signed() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let witness = Witness::new("w1.example", &catalog);
    let asked = policy(
        &catalog,
        "asked.policy",
        &[format!("witness W1 {}", witness.key), "quorum W1".to_owned()],
    );
    let verify_proof = |code: i32| {
        let run = catalog.run(&["prove", "--stream", "tfc", "--id", "2-1", "--out", "event.tlog-proof"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let run = catalog.run(&["verify", "--proof", "event.tlog-proof", "--policy", &asked]);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        run.stdout
    };
    assert!(verify_proof(3).contains("has not the cosignatures that the policy asks for, those of W1"));
    witness.anchor(&catalog, "1.w1", &["--first"]);
    verify_proof(0);
    let run = catalog.run(&["export", "--since", "10d", "--to", "bundle"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        catalog.run(&["verify", "--bundle", "bundle", "--policy", &asked]).code,
        0
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
    let bundle = catalog.root().join("bundle/checkpoint");
    edit(&bundle, |text| {
        text.lines().take(5).map(|line| format!("{line}\n")).collect()
    });
    let run = process::run(
        command
            .current_dir(catalog.root())
            .args(["verify", "--bundle", "bundle", "--policy", &asked]),
    );
    assert_eq!(run.code, 3, "{}", run.stdout);
}

#[test]
fn a_key_of_a_witness_signs_no_log_and_no_page_and_the_other_way_round() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let witness = Witness::new("w1.example", &catalog);
    fs::copy(
        witness.desk.root().join("witness.key"),
        catalog.root().join("witness.key"),
    )
    .unwrap();
    let run = catalog.run(&["audit", "--sample", "1", "--key", "witness.key"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("holds a key for something else"), "{}", run.stderr);
    fs::copy(key_file(&catalog), witness.desk.root().join("witness.key")).unwrap();
    let run = witness.cosign(&folder(&catalog), &["--first"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let wrong = policy(
        &catalog,
        "wrong.policy",
        &[format!("log {}", witness.key), "quorum none".to_owned()],
    );
    verify(&catalog, 1, &["--policy", &wrong]);
}

#[test]
fn a_log_that_is_older_than_what_a_witness_has_signed_is_not_added_to() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let witness = Witness::new("w1.example", &catalog);
    let log = folder(&catalog);
    let kept = ["entries.jsonl", "checkpoint"].map(|name| (name, fs::read(log.join(name)).unwrap()));
    grow(&sandbox, &catalog, "a");
    witness.anchor(&catalog, "w1", &["--first"]);
    let newest = fs::read(log.join("checkpoint")).unwrap();
    // A backup of the folder was restored; what the witness gave is put beside it again.
    for (name, content) in &kept {
        fs::write(log.join(name), content).unwrap();
    }
    for checkpoint in fs::read_dir(log.join("checkpoints")).unwrap() {
        fs::remove_file(checkpoint.unwrap().path()).unwrap();
    }
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(10), "b")]);
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("anchors/w1.cosig has") && run.stderr.contains("a second history"),
        "{}",
        run.stderr
    );
    for (name, content) in &kept {
        assert_eq!(fs::read(log.join(name)).unwrap(), *content, "{name}");
    }
    // What is no checkpoint of this log is in nobody's way.
    fs::rename(log.join("anchors/w1.cosig"), catalog.root().join("w1")).unwrap();
    fs::write(log.join("anchors/junk.cosig"), "junk").unwrap();
    let other = String::from_utf8(newest).unwrap().replace(ORIGIN, "other.example");
    fs::write(log.join("anchors/other.cosig"), other).unwrap();
    seal(&catalog, 0);
}
