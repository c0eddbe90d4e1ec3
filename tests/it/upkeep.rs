//! What `collect` does with old days at the end of a run: it packs and deletes them, as `pack` and `expire` would.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use super::follow::{rounds_until, start};
use super::forwarding::Listener;
use super::pack::{DAY, sandbox, shown};
use super::support::{Catalog, at, base_name};

/// A catalog whose runs pack and delete days of these ages.
fn catalog(sandbox: &Sandbox, pack_after: &str, expire_after: &str) -> Catalog {
    Catalog::of(sandbox, &[Api::Mail])
        .with("PACK_AFTER_DAYS", pack_after)
        .with("EXPIRE_AFTER_DAYS", expire_after)
}

fn day_file(catalog: &Catalog, day: i64) -> PathBuf {
    let name = format!("{}_{}.log", base_name(Api::Mail), at(day * DAY + 600).date_naive());
    catalog.folder(Api::Mail).join(name)
}

fn packed(plain: &Path) -> PathBuf {
    let name = plain.file_name().unwrap().to_string_lossy().into_owned() + ".zst";
    plain.with_file_name("packed").join(name)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn a_run_packs_and_deletes_old_days_and_leaves_what_the_commands_would_leave() {
    let sandbox = sandbox(10);
    let mut catalog = catalog(&sandbox, "0", "0");
    let plain = catalog.collect_one(0, &[]);
    assert_eq!(plain["upkeep"], Value::Null, "nothing is to be done: {plain}");
    let held = at(8 * DAY + 600).date_naive().to_string();
    let until = at(7 * DAY + 600).date_naive().to_string();
    shown(
        &catalog,
        0,
        &["hold", "add", "2026/17", "--since", &held, "--until", &until],
    );
    let would_expire = shown(&catalog, 0, &["expire", "--older-than", "6d", "--dry-run"]);
    let would_expire = would_expire["streams"][0]["days"].as_array().unwrap().len() as u64;
    assert!(would_expire >= 2, "{would_expire}");
    catalog.set("PACK_AFTER_DAYS", "3");
    catalog.set("EXPIRE_AFTER_DAYS", "6");
    assert_eq!(catalog.collect_one(0, &["--dry-run"])["upkeep"], Value::Null);
    let reconciled = catalog.run(&["reconcile", "--json"]);
    assert!(!reconciled.stdout.contains("upkeep"), "{}", reconciled.stdout);
    assert!(day_file(&catalog, 9).exists() && day_file(&catalog, 5).exists());
    let run = catalog.collect_one(0, &[]);
    let kept = &run["upkeep"];
    assert_eq!(
        (count(&kept["deleted"]), &kept["problems"]),
        (would_expire, &json!([])),
        "{run}"
    );
    assert!(count(&kept["packed"]) >= 3 && count(&kept["left"]) == 1, "{run}");
    assert!(!day_file(&catalog, 9).exists() && !packed(&day_file(&catalog, 9)).exists());
    assert!(packed(&day_file(&catalog, 8)).exists(), "it is held, and packed");
    assert!(packed(&day_file(&catalog, 5)).exists() && !day_file(&catalog, 5).exists());
    assert!(day_file(&catalog, 1).exists());
    let again = catalog.collect_one(0, &[]);
    assert_eq!(
        again["upkeep"],
        json!({"packed": 0, "deleted": 0, "left": 1, "problems": []})
    );
    assert_eq!(again["appended"], 0);
    let verify = &shown(&catalog, 0, &["verify"])["streams"][0];
    assert_eq!(verify["records"], 30 - 3 * would_expire, "{verify}");
    let text = catalog.with("EXPIRE_AFTER_DAYS", "4").run(&["collect"]);
    assert!(text.stdout.contains("days deleted for their age\n"), "{}", text.stdout);
}

#[test]
fn one_day_that_cannot_be_packed_is_told_and_holds_up_no_other() {
    let sandbox = sandbox(9);
    let mut catalog = catalog(&sandbox, "0", "0");
    catalog.collect(0, &[]);
    let (torn, blocked) = (day_file(&catalog, 7), day_file(&catalog, 6));
    let content = fs::read(&torn).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&torn).unwrap();
    file.write_all(b"{\"id\": \"torn").unwrap();
    // What is in the way of the packed file of another day.
    let name = packed(&blocked).file_name().unwrap().to_string_lossy().into_owned();
    fs::create_dir_all(packed(&blocked).with_file_name(name + ".unfinished")).unwrap();
    let would = shown(&catalog, 3, &["pack", "--older-than", "3d", "--dry-run"])["streams"][0].clone();
    let of = |shown: &Value| shown["failed"].as_array().unwrap().len();
    assert_eq!(of(&would), 1, "{would}");
    assert!(
        would["failed"][0]["reason"]
            .to_string()
            .contains("ends in a part of a line"),
        "{would}"
    );
    let days = would["days"].as_array().unwrap().len();
    let done = shown(&catalog, 3, &["pack", "--older-than", "3d"])["streams"][0].clone();
    assert_eq!((of(&done), &done["problem"]), (2, &Value::Null), "{done}");
    assert_eq!(
        done["days"].as_array().unwrap().len(),
        days - 1,
        "all but the one in whose way something is: {done}"
    );
    assert!(torn.exists() && blocked.exists());
    fs::write(&torn, content).unwrap();
    catalog.set("PACK_AFTER_DAYS", "3");
    let run = catalog.collect_one(3, &[]);
    assert_eq!(
        (&run["status"], &run["upkeep"]["packed"]),
        (&json!("complete"), &json!(1)),
        "{run}"
    );
    let problems = run["upkeep"]["problems"].as_array().unwrap();
    let names_it = |problem: &Value| {
        problem
            .to_string()
            .contains(&*blocked.file_name().unwrap().to_string_lossy())
    };
    assert!(problems.len() == 1 && problems.iter().all(names_it), "{run}");
    assert!(catalog.app_log().contains("cannot"), "{}", catalog.app_log());
}

#[test]
fn what_follows_packs_and_deletes_between_its_rounds_and_is_named_as_the_holder() {
    let sandbox = sandbox(9);
    let catalog = catalog(&sandbox, "3", "6");
    let mut running = start(&catalog, &["--json"]);
    let rounds = rounds_until(&mut running, |round| round["upkeep"] != Value::Null);
    let kept = &rounds.last().unwrap()["upkeep"];
    assert!(count(&kept["packed"]) >= 2 && count(&kept["deleted"]) >= 2, "{kept}");
    for command in ["pack", "unpack", "expire"] {
        let arguments: &[&str] = if command == "expire" {
            &["expire", "--yes"]
        } else {
            &[command]
        };
        let refused = shown(&catalog, 4, arguments);
        let problem = refused["streams"][0]["problem"].as_str().unwrap();
        assert!(
            problem.starts_with("`trailkeeper collect --follow` (pid "),
            "{command}: {problem}"
        );
    }
    rounds_until(&mut running, |round| round["status"] == "complete");
    assert_eq!(running.terminate().code, 0);
    shown(&catalog, 0, &["verify"]);
    assert_eq!(shown(&catalog, 0, &["coverage"])["streams"][0]["wrong_days"], json!([]));
}

#[test]
fn nothing_is_deleted_that_a_sink_has_not_or_that_is_not_sealed() {
    let (sandbox, refusing) = (sandbox(9), Listener::start(|_| 503));
    let mut catalog = catalog(&sandbox, "3", "6").with("MAX_RETRIES", "0");
    catalog.set("HTTP_FORWARD_URL", &refusing.address);
    let run = catalog.collect_one(3, &["--forward-http"]);
    assert_eq!(
        (&run["upkeep"]["packed"], &run["upkeep"]["deleted"]),
        (&json!(0), &json!(0)),
        "{run}"
    );
    assert!(count(&run["upkeep"]["left"]) >= 2, "{run}");
    let taking = Listener::start(|_| 200);
    catalog.set("HTTP_FORWARD_URL", &taking.address);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    let run = catalog.collect_one(0, &["--forward-http", "--forward-from", "start"]);
    assert!(count(&run["upkeep"]["packed"]) >= 4, "{run}");
    assert_eq!(
        run["upkeep"]["deleted"], 0,
        "nothing is sealed before the first run ends: {run}"
    );
    let run = catalog.collect_one(0, &["--forward-http"]);
    assert!(count(&run["upkeep"]["deleted"]) >= 2, "{run}");
    let entries = fs::read_to_string(root.join("evidence/entries.jsonl")).unwrap();
    let expired = entries.lines().filter(|line| line.contains("\"kind\":\"expired\""));
    assert_eq!(expired.count() as u64, count(&run["upkeep"]["deleted"]));
    shown(&catalog, 0, &["verify", "--evidence"]);
}

#[test]
fn all_that_is_wrong_with_the_arguments_and_the_settings_is_told_together() {
    let sandbox = sandbox(1);
    let catalog = catalog(&sandbox, "often", "seldom");
    let folder = catalog.root().join("full");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "").unwrap();
    let folder = folder.to_str().unwrap();
    let backward = ["--since", "2026-02-01", "--until", "2026-01-01", "--to", folder];
    for (arguments, code, parts) in [
        (
            &["pack", "--older-than", "1d"][..],
            2,
            &["--older-than must be at least 2d"][..],
        ),
        (&["pack", "--older-than", "-3d"], 2, &["an age cannot be negative"]),
        (&["expire", "--older-than", "-3d"], 2, &["an age cannot be negative"]),
        (
            &["expire", "--older-than", "1d"],
            1,
            &[
                "--older-than must be at least 2d",
                "EXPIRE_AFTER_DAYS must be a whole number",
            ],
        ),
        (
            &[&["unpack"][..], &backward].concat(),
            1,
            &["--since must be before --until", "--to cannot be used", "is not empty"],
        ),
        (
            &["collect"],
            1,
            &["PACK_AFTER_DAYS must be a whole number", "EXPIRE_AFTER_DAYS must be"],
        ),
    ] {
        let run = catalog.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        for part in parts {
            assert!(
                run.stderr.contains(part),
                "{arguments:?} lacks {part:?}: {}",
                run.stderr
            );
        }
    }
}
