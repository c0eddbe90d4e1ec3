//! `hold`: what is held, until when, and what the evidence says of it.

use std::fs;

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use super::pack::{self, shown};
use super::support::{Catalog, base_name, event, serve, streams};

fn sandbox() -> Sandbox {
    serve(|options| {
        let events = |api| vec![event(api, super::support::at(60), "one")];
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, events(api)))
    })
}

fn held(catalog: &Catalog, arguments: &[&str]) -> Value {
    let run = catalog.run(&[&["hold"], arguments, &["--json"]].concat());
    let shown: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    assert_eq!(shown["exit_code"], run.code, "{}", run.stderr);
    shown
}

fn holds_file(catalog: &Catalog, api: Api) -> std::path::PathBuf {
    let name = format!(".trailkeeper/{}.holds.jsonl", base_name(api));
    catalog.folder(api).join(name)
}

#[test]
fn a_case_is_held_in_every_stream_until_it_is_released_and_its_history_stays() {
    let sandbox = sandbox();
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    let days = ["--since", "2025-06-01", "--until", "2025-07-01"];
    let added = held(
        &catalog,
        &[&["add", "2026/17", "--note", "inquiry"], &days[..]].concat(),
    );
    for stream in added["streams"].as_array().unwrap() {
        assert_eq!(stream["changed"], 1);
        let hold = &stream["holds"][0];
        assert_eq!((&hold["case"], &hold["note"]), (&json!("2026/17"), &json!("inquiry")));
        assert_eq!(hold["since"], "2025-06-01T00:00:00Z");
    }
    let again = held(&catalog, &[&["add", "2026/17"], &days[..]].concat());
    assert_eq!(again["streams"][0]["changed"], 0, "the same span is held once");
    held(&catalog, &["add", "other", "--stream", "tfc"]);
    let text = catalog.run(&["hold", "list"]).stdout;
    assert_eq!(text.matches("2026/17").count(), 2, "{text}");
    assert_eq!(text.matches("other").count(), 1, "{text}");
    let released = held(&catalog, &["release", "2026/17"]);
    assert_eq!(released["streams"][0]["changed"], 1);
    let left = held(&catalog, &["list"]);
    assert_eq!(left["streams"][0]["holds"], json!([]));
    assert_eq!(left["streams"][1]["holds"][0]["case"], "other");
    let history = fs::read_to_string(holds_file(&catalog, Api::Mail)).unwrap();
    assert_eq!(history.lines().count(), 2, "{history}");
}

#[test]
fn what_is_mistyped_is_said() {
    let sandbox = sandbox();
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let unknown = catalog.run(&["hold", "release", "2026/71"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("nothing is held for the case 2026/71"),
        "{}",
        unknown.stderr
    );
    let empty = catalog.run(&["hold", "add", "a", "--since", "2026-01-02", "--until", "2026-01-01"]);
    assert_eq!(empty.code, 2, "{}", empty.stderr);
    assert_eq!(catalog.run(&["hold", "list"]).stdout, "nothing is held\n");
}

#[test]
fn a_holds_file_that_cannot_be_read_is_named_and_not_written_to() {
    let sandbox = sandbox();
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    held(&catalog, &["add", "one"]);
    for damaged in ["{}\n", ""] {
        fs::write(holds_file(&catalog, Api::Mail), damaged).unwrap();
        for arguments in [&["list"][..], &["add", "two"], &["release", "one"]] {
            let shown = held(&catalog, arguments);
            assert_eq!(shown["exit_code"], 3);
            let problem = shown["streams"][0]["problem"].as_str().unwrap();
            assert!(problem.contains("line 1 cannot be read"), "{problem}");
            assert!(shown["streams"][0]["holds"] == json!([]));
        }
        assert_eq!(fs::read_to_string(holds_file(&catalog, Api::Mail)).unwrap(), damaged);
        for (command, field, code) in [
            ("status", "problems", 0),
            ("check", "problems", 1),
            ("coverage", "holds_problem", 0),
            ("verify", "findings", 3),
        ] {
            let shown = shown(&catalog, code, &[command]);
            let told = shown["streams"][0][field].to_string();
            assert!(told.contains("so what is held is not known"), "{command}: {shown}");
        }
        assert_eq!(catalog.run(&["coverage", "--fail-on-gaps"]).code, 3);
    }
}

#[test]
fn what_is_held_is_shown_with_what_there_is() {
    let sandbox = sandbox();
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    held(&catalog, &["add", "2026/17", "--until", "2026-06-01"]);
    for command in ["status", "coverage"] {
        let stream = shown(&catalog, 0, &[command])["streams"][0].clone();
        assert_eq!(
            (&stream["held"][0]["case"], &stream["held"][0]["since"]),
            (&json!("2026/17"), &json!(null))
        );
        let text = catalog.run(&[command]).stdout;
        assert!(
            text.contains("held for the case 2026/17: everything before 2026-06-01T00:00:00Z"),
            "{text}"
        );
    }
}

#[test]
fn what_is_held_stays_when_the_files_get_another_base_name() {
    let sandbox = pack::sandbox(8);
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    held(&catalog, &["add", "2026/17"]);
    let (folder, old) = (catalog.folder(Api::Mail), base_name(Api::Mail));
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(date) = name.strip_prefix(&format!("{old}_")) {
            fs::rename(folder.join(&name), folder.join(format!("renamed_{date}"))).unwrap();
        }
    }
    catalog.set("MAIL_LOG_FILE_BASE_NAME", "renamed");
    catalog.collect(0, &[]);
    let left = shown(&catalog, 0, &["expire", "--older-than", "3d", "--yes"])["streams"][0].clone();
    assert_eq!(left["days"], json!([]), "{left}");
    assert!(
        left["left"][0]["reason"]
            .to_string()
            .contains("held for the case 2026/17"),
        "{left}"
    );
    // One that does not say whose it is may be anybody's.
    let path = folder.join(format!(".trailkeeper/{old}.holds.jsonl"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(r#""stream":"yandex-mail","#, "")).unwrap();
    let refused = shown(&catalog, 3, &["expire", "--older-than", "3d", "--yes"])["streams"][0].clone();
    assert!(
        refused["problem"].to_string().contains("does not say of which stream"),
        "{refused}"
    );
}

#[test]
fn holds_are_sealed_at_once_and_one_that_vanishes_is_found() {
    let sandbox = sandbox();
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    assert_eq!(
        catalog.run(&["hold", "add", "one"]).code,
        3,
        "there is no log yet, and it is said"
    );
    assert_eq!(
        held(&catalog, &["list"])["streams"][0]["holds"][0]["case"],
        "one",
        "it is held all the same"
    );
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    held(&catalog, &["add", "two"]);
    let path = holds_file(&catalog, Api::Mail);
    let entries = fs::read_to_string(root.join("evidence/entries.jsonl")).unwrap();
    let newest: Value =
        serde_json::from_str(entries.lines().rfind(|line| line.contains("holds.jsonl")).unwrap()).unwrap();
    assert_eq!((&newest["kind"], &newest["lines"]), (&json!("journal"), &json!(2)));
    assert_eq!(catalog.run(&["verify", "--evidence"]).code, 0);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    let verdict = catalog.run(&["verify", "--evidence"]);
    assert_eq!(verdict.code, 3, "{}", verdict.stdout);
    assert!(verdict.stdout.contains("holds.jsonl"), "{}", verdict.stdout);
}
