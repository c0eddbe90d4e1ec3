//! `expire`: what is deleted for its age is gone on purpose, and every command says so.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use super::forwarding::Listener;
use super::pack::{DAY, sandbox, shown};
use super::support::{Catalog, Session, at, base_name, event};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

fn expire(catalog: &Catalog, code: i32) -> Value {
    let shown = shown(catalog, code, &["expire", "--older-than", "3d", "--yes"]);
    shown["streams"][0].clone()
}

fn journal(catalog: &Catalog) -> String {
    let name = format!("{}.coverage.jsonl", base_name(Api::Mail));
    fs::read_to_string(catalog.folder(Api::Mail).join(".trailkeeper").join(name)).unwrap()
}

fn count(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

#[test]
fn what_is_deleted_for_its_age_stays_away_and_is_told_from_what_is_lost() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let folder = catalog.folder(Api::Mail);
    let all = names(&folder);
    let would = shown(&catalog, 0, &["expire", "--older-than", "3d", "--dry-run"]);
    let asked = catalog.run(&["expire", "--older-than", "3d"]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(catalog.run(&["expire", "--yes"]).code, 2, "nothing says how old");
    assert_eq!(names(&folder), all, "nothing was deleted");
    shown(&catalog, 0, &["pack", "--older-than", "4d"]);
    let deleted = expire(&catalog, 0);
    assert_eq!(count(&deleted["days"]), count(&would["streams"][0]["days"]));
    let left = all.len() - count(&deleted["days"]);
    assert!((3..6).contains(&left), "{deleted}");
    let coverage = shown(&catalog, 0, &["coverage"])["streams"][0].clone();
    assert_eq!(
        (count(&coverage["gaps"]), count(&coverage["wrong_days"])),
        (1, 0),
        "{coverage}"
    );
    assert!(
        coverage["remarks"].to_string().contains("deleted for their age"),
        "{coverage}"
    );
    assert_eq!(coverage["gaps"][0]["reaches_now"], true);
    let verify = shown(&catalog, 0, &["verify"])["streams"][0].clone();
    assert_eq!(verify["records"], 3 * left, "{verify}");
    for arguments in [
        &["collect"][..],
        &["collect", "--since", "8d"],
        &["reconcile", "--since", "8d"],
    ] {
        let run = shown(&catalog, 0, arguments)["streams"][0].clone();
        assert_eq!(run["appended"], 0, "{arguments:?}: {run}");
    }
    assert_eq!(
        names(&folder).iter().filter(|name| name.ends_with(".log")).count(),
        left
    );
    assert_eq!(shown(&catalog, 0, &["verify"])["streams"][0]["records"], 3 * left);
    let newest = names(&folder).into_iter().rfind(|name| name.ends_with(".log")).unwrap();
    fs::remove_file(folder.join(newest)).unwrap();
    let coverage = shown(&catalog, 0, &["coverage"])["streams"][0].clone();
    assert_eq!(
        coverage["wrong_days"][0]["problem"], "missing",
        "a lost one is told: {coverage}"
    );
}

#[test]
fn what_is_held_or_not_forwarded_stays() {
    let (sandbox, listener) = (sandbox(8), Listener::start(|_| 200));
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.set("HTTP_FORWARD_URL", &listener.address);
    catalog.collect(0, &[]);
    let forward = || {
        let sent = shown(&catalog, 0, &["forward", "http"]);
        sent["streams"][0]["forward"][0]["sent"].as_u64().unwrap()
    };
    shown(&catalog, 0, &["forward", "http", "--forward-from", "end"]);
    let held = at(6 * DAY + 600).date_naive().to_string();
    shown(
        &catalog,
        0,
        &[
            "hold",
            "add",
            "2026/17",
            "--since",
            &held,
            "--until",
            &at(5 * DAY + 600).date_naive().to_string(),
        ],
    );
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(7 * DAY + 700), "late")]);
    shown(&catalog, 0, &["reconcile", "--since", "9d"]);
    let left = expire(&catalog, 0);
    assert_eq!(count(&left["days"]), 0, "{left}");
    assert!(
        left["left"][0]["reason"]
            .to_string()
            .contains("not all forwarded to http"),
        "{left}"
    );
    assert_eq!(forward(), 1);
    let deleted = expire(&catalog, 0);
    assert!(count(&deleted["days"]) >= 2, "{deleted}");
    assert_eq!(
        deleted["left"],
        json!([{"date": held, "reason": "it is held for the case 2026/17"}])
    );
    assert_eq!(forward(), 0);
    sandbox.add(
        Api::Mail,
        vec![
            event(Api::Mail, at(6 * DAY + 700), "held"),
            event(Api::Mail, at(60), "new"),
        ],
    );
    shown(&catalog, 0, &["collect"]);
    assert_eq!(forward(), 1, "the cursor goes on");
    shown(&catalog, 0, &["hold", "release", "2026/17"]);
    assert_eq!(count(&expire(&catalog, 0)["days"]), 1);
    assert_eq!(forward(), 0);
    let holds = format!(".trailkeeper/{}.holds.jsonl", base_name(Api::Mail));
    fs::write(catalog.folder(Api::Mail).join(holds), "{").unwrap();
    let refused = expire(&catalog, 3);
    assert!(
        refused["problem"].to_string().contains("what is held is not known"),
        "{refused}"
    );
}

/// A catalog that is sealed.
fn sealed(sandbox: &Sandbox) -> Catalog {
    let mut catalog = Catalog::of(sandbox, &[Api::Mail]);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    catalog
}

#[test]
fn an_archive_that_is_sealed_loses_nothing_where_the_evidence_is_out_of_reach() {
    let sandbox = sandbox(8);
    let mut catalog = sealed(&sandbox);
    let all = names(&catalog.folder(Api::Mail));
    let (folder, away) = (catalog.root().join("evidence"), catalog.root().join("away"));
    fs::rename(&folder, &away).unwrap();
    let refused = expire(&catalog, 3);
    assert!(
        refused["problem"]
            .to_string()
            .contains("there is no log in the evidence folder"),
        "{refused}"
    );
    fs::rename(&away, &folder).unwrap();
    let names_of_evidence = ["EVIDENCE_FOLDER", "EVIDENCE_ORIGIN", "EVIDENCE_KEY_FILE"];
    let set = names_of_evidence.map(|name| catalog.unset(name));
    let refused = expire(&catalog, 3);
    assert!(
        refused["problem"]
            .to_string()
            .contains("says that this archive is sealed"),
        "{refused}"
    );
    assert_eq!(names(&catalog.folder(Api::Mail)), all);
    let arguments = ["expire", "--older-than", "3d", "--yes", "--unsealed"];
    assert!(count(&shown(&catalog, 0, &arguments)["streams"][0]["days"]) > 0);
    expire(&catalog, 0);
    for (name, value) in names_of_evidence.into_iter().zip(set) {
        catalog.set(name, value);
    }
    assert_eq!(catalog.run(&arguments).code, 2);
}

#[test]
fn a_line_that_is_yet_to_come_is_told_by_each_run_until_it_is_taken_back() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    expire(&catalog, 0);
    let mut line: Value = serde_json::from_str(journal(&catalog).lines().last().unwrap()).unwrap();
    let ahead = at(-30 * DAY).date_naive().to_string() + "T00:00:00Z";
    let today = at(0).date_naive();
    line["expired_days"][0]["to"] = json!(ahead);
    let path = catalog.folder(Api::Mail).join(".trailkeeper");
    let path = path.join(format!("{}.coverage.jsonl", base_name(Api::Mail)));
    fs::write(&path, journal(&catalog) + &line.to_string() + "\n").unwrap();
    let run = catalog.collect_one(3, &[]);
    assert!(run["error"].to_string().contains("--take-back"), "{run}");
    for (command, field) in [("coverage", "doubt"), ("status", "problems")] {
        let told = shown(&catalog, 0, &[command])["streams"][0][field].to_string();
        assert!(told.contains("which is to come"), "{command}: {told}");
    }
    assert!(expire(&catalog, 3)["problem"].to_string().contains("which is to come"));
    let back = shown(&catalog, 0, &["expire", "--take-back", &today.to_string()])["streams"][0].clone();
    assert!(back["taken_back"].as_u64().unwrap() >= 29, "{back}");
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(30), "new")]);
    assert_eq!(catalog.collect_one(0, &[])["appended"], 1);
    assert_eq!(shown(&catalog, 0, &["coverage"])["streams"][0]["doubt"], Value::Null);
}

#[test]
fn who_answers_no_has_deleted_nothing_and_days_that_stay_for_one_reason_are_one_line() {
    let sandbox = sandbox(8);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let all = names(&catalog.folder(Api::Mail));
    let mut session = Session::start(&catalog, &["expire", "--older-than", "3d"]);
    session.answers("Delete them for good?", "n");
    let (code, stdout, shown_there) = session.end();
    assert!(
        code == 0 && stdout.contains("nothing was deleted"),
        "{stdout}{shown_there}"
    );
    assert_eq!(names(&catalog.folder(Api::Mail)), all);
    shown(&catalog, 0, &["hold", "add", "2026/17"]);
    let text = catalog.run(&["expire", "--older-than", "3d", "--yes"]).stdout;
    let lines: Vec<_> = text.lines().filter(|line| line.contains("left: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(" days from "), "{text}");
}

/// Another program has named its files by local time, east of Greenwich.
#[test]
fn a_record_of_a_held_day_stays_in_whatever_file_another_program_left_it() {
    let (sandbox, catalog_of) = (sandbox(8), |sandbox: &Sandbox| Catalog::of(sandbox, &[Api::Mail]));
    let catalog = catalog_of(&sandbox);
    let day = |day: i64| at(day * DAY + 600).date_naive();
    let path = catalog
        .folder(Api::Mail)
        .join(format!("{}_{}.log", base_name(Api::Mail), day(7)));
    let line = |at, id| event(Api::Mail, at, id).text + "\n";
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(
        &path,
        line(at(7 * DAY + 600), "7-0") + &line(at(6 * DAY + 700), "by local time"),
    )
    .unwrap();
    catalog.collect(0, &[]);
    shown(
        &catalog,
        0,
        &[
            "hold",
            "add",
            "x",
            "--since",
            &day(6).to_string(),
            "--until",
            &day(5).to_string(),
        ],
    );
    let shown = expire(&catalog, 0);
    assert!(path.exists(), "{shown}");
    let left = shown["left"].as_array().unwrap();
    let of_day = |left: &&Value| left["date"] == day(7).to_string();
    let reason = left.iter().find(of_day).unwrap()["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        format!("it holds records of {}, which is held for the case x", day(6))
    );
}

/// `prove --id` of a record of a deleted day says how many days were deleted, and why.
fn assert_prove_by_id_says_what_is_gone(catalog: &Catalog, record: &str, days: usize) {
    let id = record.split('"').nth(3).unwrap();
    let by_id = catalog.run(&["prove", "--stream", "yandex-mail", "--id", id]);
    let told = format!("{days} days were, the last one, ");
    assert!(by_id.code == 3 && by_id.stderr.contains(&told), "{}", by_id.stderr);
    assert!(
        by_id.stderr.contains("it ended more than 3 days ago"),
        "{}",
        by_id.stderr
    );
}

#[test]
fn the_evidence_says_what_was_deleted_and_only_what_is_sealed_goes() {
    let sandbox = sandbox(8);
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    catalog.set("EXPIRE_AFTER_DAYS", "3");
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    let (entries, kept) = (root.join("evidence/entries.jsonl"), root.join("entries.kept"));
    catalog.collect(0, &[]);
    let sealed = fs::read_to_string(&entries).unwrap();
    let days: Vec<_> = names(&catalog.folder(Api::Mail));
    let prove = |code: i32| {
        let proof = root.join("event.tlog-proof");
        let line = format!("{}:1", days[0]);
        let run = catalog.run(&[
            "prove",
            "--stream",
            "yandex-mail",
            "--line",
            &line,
            "--out",
            proof.to_str().unwrap(),
        ]);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        run.stderr
    };
    prove(0);
    // One that was changed is not what was sealed.
    let path = catalog.folder(Api::Mail).join(&days[0]);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("7-0", "7-9")).unwrap();
    let refused = shown(&catalog, 3, &["expire", "--yes"])["streams"][0].clone();
    assert!(
        refused["problem"].to_string().contains("is not what was sealed"),
        "{refused}"
    );
    assert_eq!(names(&catalog.folder(Api::Mail)), days, "nothing was deleted");
    let says_so = journal(&catalog).contains("it ended more than 3 days ago");
    assert!(!says_so, "nothing says that it was");
    fs::write(&path, &text).unwrap();
    let deleted = shown(&catalog, 0, &["expire", "--yes"])["streams"][0].clone();
    assert!(count(&deleted["days"]) >= 3, "{deleted}");
    let after = fs::read_to_string(&entries).unwrap();
    assert!(after.starts_with(&sealed));
    let expired = after
        .lines()
        .filter(|line| line.contains("\"kind\":\"expired\""))
        .count();
    assert_eq!(expired, count(&deleted["days"]));
    fs::write(kept, &after).unwrap();
    let verdict = shown(&catalog, 0, &["verify", "--evidence"]);
    let file = &verdict["streams"][0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["file"] == days[0].as_str());
    let reason = file.unwrap()["expired"]["reason"].as_str().unwrap();
    assert_eq!(reason, "it ended more than 3 days ago");
    assert!(prove(3).contains("was deleted for its age on "));
    assert_prove_by_id_says_what_is_gone(&catalog, &text, count(&deleted["days"]));
    shown(&catalog, 0, &["seal", "--full"]);
    shown(&catalog, 0, &["verify", "--evidence"]);
    // A file that is gone and that no entry lets expire is missed.
    let closed = names(&catalog.folder(Api::Mail))[0].clone();
    fs::remove_file(catalog.folder(Api::Mail).join(closed)).unwrap();
    shown(&catalog, 3, &["verify", "--evidence"]);
}
