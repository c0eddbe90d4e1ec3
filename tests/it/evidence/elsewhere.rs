//! A key on another host: nothing counts until that has signed, and it signs only what has grown out of what it signed before.

use super::*;
use crate::support::Run;
use crate::support::process;

/// The host that has the key.
struct Desk {
    place: Catalog,
    key: String,
}

impl Desk {
    fn new() -> Self {
        let place = Catalog::bare();
        let run = place.run(&["evidence", "keygen", "--json", "--name", ORIGIN, "--out", "log.key"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let made: Value = serde_json::from_str(&run.stdout).unwrap();
        let key = made["key"].as_str().unwrap().to_owned();
        Self { place, key }
    }

    fn sign(&self, request: &str, more: &[&str]) -> Run {
        let arguments = ["evidence", "sign", "--key", "log.key", "--state", "state"];
        let arguments = [&arguments[..], more].concat();
        process::run_with_input(&mut self.place.command(&arguments), request.into())
    }

    #[track_caller]
    fn signed(&self, request: &str, more: &[&str]) -> String {
        let run = self.sign(request, more);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
    }

    #[track_caller]
    fn refused(&self, request: &str, more: &[&str], why: &str) {
        let before = fs::read(self.place.root().join("state/last-checkpoint")).ok();
        let run = self.sign(request, more);
        assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert_eq!(fs::read(self.place.root().join("state/last-checkpoint")).ok(), before);
    }
}

/// A catalog whose log has begun, with the key at this desk.
fn begun(sandbox: &Sandbox, desk: &Desk) -> Catalog {
    let mut catalog = unsealed(sandbox, &[Api::Tfc]);
    catalog.unset("EVIDENCE_KEY_FILE");
    catalog.set("EVIDENCE_PUBLIC_KEY", &desk.key);
    let run = catalog.run(&["evidence", "keygen"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    catalog
}

#[track_caller]
fn request(catalog: &Catalog, more: &[&str]) -> String {
    let run = catalog.run(&[&["evidence", "request"], more].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.stdout
}

#[track_caller]
fn accept(catalog: &Catalog, code: i32, signed: &str) -> Run {
    let mut command = catalog.command(&["evidence", "accept", "--json"]);
    let run = process::run_with_input(&mut command, signed.into());
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    run
}

fn grow(sandbox: &Sandbox, catalog: &Catalog, id: &str) {
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), id)]);
    catalog.collect(0, &[]);
    seal(catalog, 0);
}

fn waiting(catalog: &Catalog) -> u64 {
    let verdict = verify(catalog, 0, &[]);
    assert_eq!(problems(&verdict), Vec::<String>::new());
    let waiting = verdict["waiting"].as_u64().unwrap();
    let says_so = verdict["remarks"]
        .to_string()
        .contains("wait for the key, which is on another host");
    assert_eq!(says_so, waiting > 0, "{verdict}");
    let status: Value = serde_json::from_str(&catalog.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["evidence"]["unsigned"], waiting, "{status}");
    waiting
}

#[test]
fn what_is_sealed_counts_once_the_host_of_the_key_has_signed_it() {
    let (sandbox, desk) = (daily(3), Desk::new());
    let catalog = begun(&sandbox, &desk);
    catalog.collect(0, &[]);
    let verdict = verify(&catalog, 3, &[]);
    assert!(problems(&verdict)[0].contains("nothing is signed yet"), "{verdict}");
    desk.refused(&request(&catalog, &[]), &[], "--first");
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &["--first"]));
    assert_eq!(waiting(&catalog), 0);
    // A request stays good while more is sealed: what waits is never taken back.
    grow(&sandbox, &catalog, "a");
    let asked = request(&catalog, &[]);
    let before = fs::read(folder(&catalog).join("entries.jsonl")).unwrap();
    assert!(waiting(&catalog) > 0);
    grow(&sandbox, &catalog, "b");
    assert!(
        fs::read(folder(&catalog).join("entries.jsonl"))
            .unwrap()
            .starts_with(&before)
    );
    accept(&catalog, 0, &desk.signed(&asked, &[]));
    assert!(waiting(&catalog) > 0);
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &[]));
    assert_eq!(waiting(&catalog), 0);
    // From a copy of the folder, and accepted from a file.
    grow(&sandbox, &catalog, "c");
    let log = folder(&catalog);
    let signed = desk.signed("", &["--log", log.to_str().unwrap()]);
    fs::write(catalog.root().join("signed"), signed).unwrap();
    let run = catalog.run(&["evidence", "accept", "signed"]);
    assert!(
        run.code == 0 && run.stdout.contains("0 wait for a signature"),
        "{}{}",
        run.stdout,
        run.stderr
    );
    assert_eq!(waiting(&catalog), 0);
    // Another author's program believes it.
    let known = signed_note::StandardVerifier::new(&desk.key).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(known)]);
    let note = fs::read(log.join("checkpoint")).unwrap();
    assert_eq!(
        signed_note::Note::from_bytes(&note)
            .unwrap()
            .verify(&known)
            .unwrap()
            .0
            .len(),
        1
    );
}

#[test]
fn a_signature_that_was_lost_on_the_way_is_made_up_for() {
    let (sandbox, desk) = (daily(3), Desk::new());
    let catalog = begun(&sandbox, &desk);
    catalog.collect(0, &[]);
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &["--first"]));
    grow(&sandbox, &catalog, "a");
    let lost = desk.signed(&request(&catalog, &[]), &[]);
    let size = lost.lines().nth(1).unwrap();
    grow(&sandbox, &catalog, "b");
    desk.refused(
        &request(&catalog, &[]),
        &[],
        &format!("`evidence request --old {size}`"),
    );
    let next = desk.signed(&request(&catalog, &["--old", size]), &[]);
    accept(&catalog, 0, &next);
    // What comes late says nothing new, and takes nothing back.
    let now = fs::read(folder(&catalog).join("checkpoint")).unwrap();
    accept(&catalog, 0, &lost);
    assert_eq!(fs::read(folder(&catalog).join("checkpoint")).unwrap(), now);
    assert_eq!(waiting(&catalog), 0);
}

/// Copies what stands in a folder of files and one level of folders below.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            copy(&path, &to.join(name(&path)));
        } else {
            fs::copy(&path, to.join(name(&path))).unwrap();
        }
    }
}

#[test]
fn another_history_a_shorter_one_and_another_log_are_not_signed() {
    let (sandbox, desk) = (daily(3), Desk::new());
    let catalog = begun(&sandbox, &desk);
    catalog.collect(0, &[]);
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &["--first"]));
    let (log, backup) = (folder(&catalog), catalog.root().join("backup"));
    copy(&log, &backup);
    let shown = log.to_str().unwrap().to_owned();
    grow(&sandbox, &catalog, "a");
    let signed = desk.signed(&request(&catalog, &[]), &[]);
    accept(&catalog, 0, &signed);
    let size = signed.lines().nth(1).unwrap().to_owned();
    // A backup was restored.
    fs::remove_dir_all(&log).unwrap();
    copy(&backup, &log);
    desk.refused(&request(&catalog, &[]), &[], "the log has");
    desk.refused("", &["--log", &shown], "it was cut off, or is an old copy");
    let run = catalog.run(&["evidence", "request", "--old", &size]);
    assert!(
        run.code == 3 && run.stderr.contains("it was cut off, or is an old copy"),
        "{}",
        run.stderr
    );
    accept(&catalog, 3, &signed);
    // And added to: the same entries have other times by now.
    for id in ["b", "c"] {
        grow(&sandbox, &catalog, id);
    }
    desk.refused(
        &request(&catalog, &["--old", &size]),
        &[],
        "the log has another history",
    );
    desk.refused("", &["--log", &shown], "the log has another history");
    accept(&catalog, 3, &signed);
    desk.refused(
        "old 1\n\nanother.example\n1\nAAAA\n",
        &[],
        "it is not a request to sign",
    );
    let other = request(&catalog, &[]).replace(ORIGIN, "audit.example.org/other");
    desk.refused(&other, &[], "audit.example.org/other");
    desk.refused(
        &request(&catalog, &[]).replace("\n\n", "\n\nx"),
        &[],
        "nothing is signed",
    );
}

#[test]
fn what_is_not_by_the_key_is_not_accepted_and_nothing_that_waits_is_lost_by_a_crash() {
    let (sandbox, desk, stranger) = (daily(3), Desk::new(), Desk::new());
    let catalog = begun(&sandbox, &desk);
    catalog.collect(0, &[]);
    let asked = request(&catalog, &[]);
    let forged = stranger.signed(&asked, &["--first"]);
    for text in [forged.as_str(), "", &asked] {
        let run = accept(&catalog, 3, text);
        assert!(run.stderr.contains("the signature is not accepted"), "{}", run.stderr);
    }
    accept(&catalog, 0, &desk.signed(&asked, &["--first"]));
    grow(&sandbox, &catalog, "a");
    let entries = folder(&catalog).join("entries.jsonl");
    let before = fs::read(&entries).unwrap();
    // As a kill leaves it before it is noted that these wait.
    edit(&entries, |text| {
        format!("{text}{{\"v\":1,\"kind\":\"open\"}}\n{{\"v\":1")
    });
    seal(&catalog, 0);
    assert_eq!(fs::read(&entries).unwrap(), before);
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &[]));
    // What waits is not to be changed either.
    grow(&sandbox, &catalog, "b");
    edit(&entries, |text| {
        text.replacen("\"v\":1,\"kind\":\"open\"", "\"v\":1, \"kind\":\"open\"", 1)
    });
    let run = catalog.run(&["seal"]);
    assert!(
        run.code == 3 && run.stderr.contains("are not those that were signed"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_day_is_deleted_for_its_age_once_it_is_signed_that_it_goes() {
    let (sandbox, desk) = (daily(6), Desk::new());
    let mut catalog = begun(&sandbox, &desk);
    catalog.set("EXPIRE_AFTER_DAYS", "4");
    catalog.set("SEAL_AFTER_HOURS", "1");
    catalog.run(&["collect"]);
    let path = path(&catalog, Api::Tfc, 5);
    assert!(path.exists());
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &["--first"]));
    let run = catalog.run(&["expire", "--yes"]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    assert!(
        run.stdout.contains("waits for the signature"),
        "{}{}",
        run.stdout,
        run.stderr
    );
    assert!(path.exists());
    assert!(waiting(&catalog) > 0);
    accept(&catalog, 0, &desk.signed(&request(&catalog, &[]), &[]));
    let run = catalog.run(&["expire", "--yes"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(!path.exists());
    verify(&catalog, 0, &[]);
}
