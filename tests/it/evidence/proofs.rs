//! The proof of one line: written by `prove`, verified by `verify --proof`, by other people's code, and by a few lines of Python.

use std::fs;
use std::process::Command;

use super::forger::{assert_contains, checkpoint, hex};
use super::*;
use crate::support::{PythonPackage, process, succeed};
use tlog_tiles::tlog::{Hash, check_record, record_hash};

fn prove(catalog: &Catalog, arguments: &[&str]) -> String {
    let run = catalog.run(&[&["prove"], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout
}

fn example() -> (Sandbox, Catalog, PathBuf) {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &Api::ALL);
    let policy = folder(&catalog).join("policy.txt");
    (sandbox, catalog, policy)
}

fn verify_proof(catalog: &Catalog, proof: &str, policy: &Path) -> (i32, Value) {
    let file = catalog.root().join("event.tlog-proof");
    fs::write(&file, proof).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
    command
        .current_dir(elsewhere.path())
        .env_clear()
        .args(["verify", "--json", "--proof"]);
    let run = process::run(command.arg(file).arg("--policy").arg(policy));
    (run.code, serde_json::from_str(&run.stdout).unwrap())
}

#[test]
fn every_line_of_every_stream_can_be_proved_to_who_has_the_public_key_alone() {
    let (_sandbox, catalog, policy) = example();
    for (kind, api) in streams() {
        let day = path(&catalog, api, 4);
        let content = fs::read_to_string(&day).unwrap();
        for (number, line) in content.lines().enumerate() {
            let place = format!("{}:{}", name(&day), number + 1);
            let proof = prove(&catalog, &["--stream", kind.name, "--line", &place]);
            assert!(proof.len() < 4096 + 2 * line.len(), "{}", proof.len());
            let (code, shown) = verify_proof(&catalog, &proof, &policy);
            assert_eq!(code, 0, "{shown}");
            assert_eq!(
                (&shown["line"], &shown["line_number"]),
                (&line.into(), &(number + 1).into())
            );
            assert_eq!((&shown["file"], &shown["origin"]), (&name(&day).into(), &ORIGIN.into()));
        }
    }
}

#[test]
fn a_record_is_found_by_its_id_and_what_is_not_sealed_is_not_proved() {
    let (sandbox, catalog, policy) = example();
    for (kind, id) in [("tfc", "4-1"), ("port", "2-0"), ("yandex-mail", "5-2")] {
        let proof = prove(&catalog, &["--stream", kind, "--id", id]);
        let (code, shown) = verify_proof(&catalog, &proof, &policy);
        assert_eq!(code, 0, "{shown}");
        assert!(
            shown["line"].as_str().unwrap().contains(&format!("\"{id}\"")),
            "{shown}"
        );
    }
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, newer(20), "new")]);
    catalog.collect(0, &[]);
    let run = catalog.run(&["prove", "--stream", "tfc", "--id", "new"]);
    assert_eq!((run.code, run.stdout.as_str()), (3, ""));
    assert!(run.stderr.contains("is not sealed yet"), "{}", run.stderr);
    let run = catalog.run(&["prove", "--stream", "tfc", "--line", "tfc_audit.log"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    seal(&catalog, 0);
    prove(&catalog, &["--stream", "tfc", "--id", "new"]);
    edit(&path(&catalog, Api::Tfc, 4), |text| text.replace("4-0", "4-7"));
    let run = catalog.run(&["prove", "--stream", "tfc", "--id", "4-1"]);
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("is not what was sealed"), "{}", run.stderr);
}

/// What a proof holds, taken apart without the program's code.
struct Parts {
    index: u64,
    path: Vec<Hash>,
    checkpoint: String,
    number: u64,
    line_path: Vec<Hash>,
    entry: Vec<u8>,
    line: Vec<u8>,
}

fn take_apart(proof: &str) -> Parts {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    let (outer, checkpoint) = proof.split_once("\n\n").unwrap();
    let mut lines = outer.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let extra = STANDARD
        .decode(lines.next().unwrap().strip_prefix("extra ").unwrap())
        .unwrap();
    let index = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
    let parts: Vec<_> = extra.splitn(3, |byte| *byte == b'\n').collect();
    let inner: Value = serde_json::from_slice(parts[0]).unwrap();
    let hashes = inner["path"].as_array().unwrap().iter();
    Parts {
        index,
        path: lines.map(|line| Hash::parse_hash(line).unwrap()).collect(),
        checkpoint: checkpoint.to_owned(),
        number: inner["line"].as_u64().unwrap(),
        line_path: hashes
            .map(|hash| Hash::parse_hash(hash.as_str().unwrap()).unwrap())
            .collect(),
        entry: parts[1].to_owned(),
        line: parts[2].to_owned(),
    }
}

#[test]
fn other_peoples_code_verifies_both_parts_of_a_proof() {
    let (_sandbox, catalog, policy) = example();
    let text = fs::read_to_string(policy).unwrap();
    let vkey = text.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    let proof = take_apart(&prove(&catalog, &["--stream", "yandex-mail", "--id", "4-1"]));
    let (origin, size, root) = checkpoint(proof.checkpoint.as_bytes(), vkey);
    assert_eq!(origin, ORIGIN);
    assert_contains(&proof.path, (size, root), proof.index, &proof.entry);
    let entry: Value = serde_json::from_slice(&proof.entry).unwrap();
    let lines = entry["lines"].as_u64().unwrap();
    let digits = entry["root"].as_str().unwrap();
    let day = (0..32).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap());
    let day = Hash(day.collect::<Vec<_>>().try_into().unwrap());
    assert_eq!(hex(day), digits);
    check_record(&proof.line_path, lines, day, proof.number - 1, record_hash(&proof.line)).unwrap();
}

#[test]
fn a_few_lines_of_python_verify_a_proof_and_refuse_another_one() {
    let Some(python) = PythonPackage::CRYPTOGRAPHY.python("the proof in Python") else {
        return;
    };
    let (_sandbox, catalog, policy) = example();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/evidence/verify_proof.py");
    let code = fs::read_to_string(&script).unwrap();
    let counted = code
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .count();
    assert!(counted <= 40, "{counted} lines");
    let proof = prove(&catalog, &["--stream", "port", "--id", "3-2"]);
    let file = catalog.root().join("event.tlog-proof");
    let text = fs::read_to_string(policy).unwrap();
    let vkey = text
        .lines()
        .find_map(|line| line.strip_prefix("log "))
        .unwrap()
        .to_owned();
    let run = |proof: &str, vkey: &str| {
        fs::write(&file, proof).unwrap();
        process::run(Command::new(&python).arg(&script).arg(&file).arg(vkey))
    };
    let good = run(&proof, &vkey);
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert!(good.stdout.contains("\"3-2\""), "{}", good.stdout);
    let other = sealed(&daily(2), &[Api::Tfc]);
    let other = fs::read_to_string(folder(&other).join("policy.txt")).unwrap();
    let other = other
        .lines()
        .find_map(|line| line.strip_prefix("log "))
        .unwrap()
        .to_owned();
    assert_ne!(run(&proof, &other).code, 0);
    let bytes = proof.as_bytes();
    for at in (30..bytes.len()).step_by(37) {
        let mut changed = bytes.to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8_lossy(&changed).into_owned();
        let refused = run(&changed, &vkey);
        assert!(
            refused.code != 0 || refused.stdout == good.stdout,
            "{at}: {}",
            refused.stdout
        );
    }
}

#[test]
fn the_shell_checks_a_closed_day() {
    let (_sandbox, catalog, _) = example();
    let day = kinds(&catalog, "day")
        .into_iter()
        .find(|entry| entry["stream"] == "tfc")
        .unwrap();
    let file = catalog.folder(Api::Tfc).join(day["file"].as_str().unwrap());
    let script = format!("head -c {} '{}' | sha256sum", day["bytes"], file.display());
    let run = succeed(Command::new("sh").arg("-c").arg(script));
    assert_eq!(run.stdout.split(' ').next().unwrap(), day["sha256"].as_str().unwrap());
}

#[test]
fn a_file_that_was_acknowledged_as_broken_proves_nothing() {
    let (_sandbox, catalog, policy) = example();
    let proof = prove(&catalog, &["--stream", "tfc", "--id", "4-1"]);
    edit(&path(&catalog, Api::Tfc, 4), |text| text.replace("4-1", "4-9"));
    let file = name(&path(&catalog, Api::Tfc, 4));
    let run = catalog.run(&["evidence", "acknowledge", &file, "--reason", "somebody edited it"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = catalog.run(&["prove", "--stream", "tfc", "--id", "4-9"]);
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("somebody edited it"), "{}", run.stderr);
    // What was proved before stays so.
    assert_eq!(verify_proof(&catalog, &proof, &policy).0, 0);
}
