//! `audit`: hours that nobody could prepare are asked for again, on another machine, and compared with what was sealed.

use std::collections::BTreeSet;
use std::time::Duration;

use trailkeeper::sandbox::{Action, Answer, Step};

use super::super::support::{PATIENCE, Run, process, tool, wait_until};
use super::*;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/evidence/draw_hours.py");

/// An auditor: another working folder, with a token, the policy, and no settings of the collector.
struct Auditor {
    desk: Catalog,
    archive: Vec<String>,
}

impl Auditor {
    fn of(sandbox: &Sandbox, catalog: &Catalog, apis: &[Api]) -> Self {
        let desk = Catalog::of(sandbox, &[]).with("MAX_RETRIES", 0);
        fs::copy(folder(catalog).join("policy.txt"), desk.root().join("auditor.policy")).unwrap();
        let mut archive = vec!["--evidence-folder".to_owned(), folder(catalog).display().to_string()];
        for api in apis {
            let named = format!("{}={}", api.name(), catalog.folder(*api).display());
            archive.extend(["--files".to_owned(), named]);
        }
        Self { desk, archive }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let archive = self.archive.iter().map(String::as_str);
        let all: Vec<_> = ["audit", "--policy", "auditor.policy"]
            .into_iter()
            .chain(archive)
            .chain(arguments.iter().copied())
            .collect();
        self.desk.run(&all)
    }

    /// What it says of all hours that can be drawn.
    #[track_caller]
    fn all(&self, code: i32, arguments: &[&str]) -> Value {
        let run = self.run(&[&["--json", "--sample", "1000000"], arguments].concat());
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }
}

/// The kinds of the differences, one of each in the order of the hours.
fn differences(audit: &Value) -> Vec<String> {
    let hours = audit["streams"].as_array().unwrap().iter();
    let hours = hours.flat_map(|stream| stream["hours"].as_array().unwrap());
    let all = hours.flat_map(|hour| hour["differences"].as_array().unwrap());
    all.map(|difference| difference["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_archive_that_has_everything_is_the_same_and_nothing_is_written_to_it() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &Api::ALL);
    let auditor = Auditor::of(&sandbox, &catalog, &Api::ALL);
    let before = catalog.tree();
    let audit = auditor.all(0, &[]);
    assert_eq!(audit["same"], audit["sample"], "{audit}");
    assert_eq!(differences(&audit), Vec::<String>::new());
    for stream in audit["streams"].as_array().unwrap() {
        let hours = stream["hours"].as_array().unwrap();
        let given: u64 = hours.iter().map(|hour| hour["given"].as_u64().unwrap()).sum();
        // Those of the hour that is not over are not drawn.
        assert!((12..=18).contains(&given), "{stream}");
        assert!(hours.len() > 100, "{stream}");
    }
    catalog.assert_unchanged(&before);
    let written: Vec<_> = fs::read_dir(auditor.desk.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(written, ["auditor.policy"], "no log either");
}

#[test]
fn differences_are_named_in_both_directions_and_those_that_are_to_be_expected_are_told_apart() {
    let sandbox = daily(6);
    // Somebody leaves a line out and puts another one in before anything is sealed.
    let catalog = unsealed(&sandbox, &[Api::Mail]);
    // There is no key yet.
    catalog.collect(3, &[]);
    let day = path(&catalog, Api::Mail, 4);
    edit(&day, |text| text.replacen("\"4-1\"", "\"4-x\"", 1));
    let run = catalog.run(&["evidence", "keygen"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    seal(&catalog, 0);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let audit = auditor.all(3, &[]);
    assert_eq!(differences(&audit), ["missing", "not-given"], "{audit}");
    let page = auditor.run(&["--sample", "1000000"]).stdout;
    assert!(page.contains(" id 4-1: given now, and not in the archive\n"), "{page}");
    let place = format!(" {} line 2: in the archive, and not given now\n", name(&day));
    assert!(page.contains(&place), "{page}");
    // A record that came late may be collected yet.
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(newest() + DAY / 2), "late")]);
    let audit = auditor.all(3, &[]);
    let found: BTreeSet<_> = differences(&audit).into_iter().collect();
    assert_eq!(
        found,
        ["late", "missing", "not-given"].map(str::to_owned).into(),
        "{audit}"
    );
    catalog.collect_one(0, &["--since", "3d"]);
    // It is there by now, and sealed in an hour.
    let audit = auditor.all(3, &[]);
    let found: BTreeSet<_> = differences(&audit).into_iter().collect();
    assert_eq!(
        found,
        ["missing", "not-given", "not-sealed"].map(str::to_owned).into(),
        "{audit}"
    );
    seal(&catalog, 0);
    let audit = auditor.all(3, &[]);
    assert_eq!(differences(&audit), ["missing", "not-given"], "{audit}");
}

#[test]
fn what_the_archive_says_it_lacks_and_revisions_that_a_run_has_noted_are_explained() {
    let sandbox = daily(6);
    let catalog = unsealed(&sandbox, &[Api::Mail]);
    catalog.run(&["evidence", "keygen"]);
    let from = at(5 * DAY).to_rfc3339();
    let until = at(3 * DAY).to_rfc3339();
    catalog.collect(0, &["--since", &from, "--until", &until]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let all = ["--since", "6d"];
    let audit = auditor.all(3, &all);
    let found: BTreeSet<_> = differences(&audit).into_iter().collect();
    assert!(found.is_subset(&["gap", "late"].map(str::to_owned).into()), "{audit}");
    assert!(found.contains("gap"), "{audit}");
    // The service has renamed somebody since: no run has noted it yet.
    catalog.collect(0, &["--since", "6d"]);
    seal(&catalog, 0);
    let renamed = sandbox.events(Api::Mail).into_iter().map(|event| {
        let text = event.text.replacen('{', r#"{"user": "new", "#, 1);
        Event::new(event.time, event.id, text)
    });
    let renamed: Vec<_> = renamed.collect();
    let after = serve(|options| options.give(Api::Mail, renamed));
    let catalog = catalog.pointing_at(&after);
    let journal = catalog.folder(Api::Mail).join(".trailkeeper/mail_audit.coverage.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replace(&after.url(), &sandbox.url())).unwrap();
    let auditor = Auditor::of(&after, &catalog, &[Api::Mail]);
    let audit = auditor.all(3, &["--since", "4d"]);
    assert!(differences(&audit).iter().all(|kind| kind == "changed"), "{audit}");
    assert!(audit["different"].as_u64().unwrap() > 0);
    // A run notes it.
    let reconciled = catalog.run(&["reconcile", "--since", "6d"]);
    assert_eq!(reconciled.code, 0, "{}", reconciled.stderr);
    let audit = auditor.all(0, &["--since", "4d"]);
    let found: BTreeSet<_> = differences(&audit).into_iter().collect();
    assert_eq!(found, ["revised".to_owned()].into(), "{audit}");
}

#[test]
fn an_hour_that_the_service_does_not_prove_is_not_called_the_same() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Mail, Api::Tfc]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail, Api::Tfc]);
    sandbox.step(Step::always(Api::Mail, Action::Answer(Answer::json(500, "{}"))));
    let audit = auditor.all(3, &[]);
    assert_eq!(audit["different"], 0, "{audit}");
    let [tfc, mail] = &audit["streams"].as_array().unwrap()[..] else {
        panic!("{audit}")
    };
    let states = |stream: &Value| -> BTreeSet<String> {
        let hours = stream["hours"].as_array().unwrap().iter();
        hours.map(|hour| hour["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(tfc), ["same".to_owned()].into());
    assert_eq!(states(mail), ["unproved".to_owned()].into());
    assert!(differences(&audit).iter().all(|kind| kind == "unproved"), "{audit}");
    let page = auditor.run(&["--sample", "1000000"]).stdout;
    assert!(page.contains("  not proved: http"), "{page}");
    assert!(page.contains(" were not proved by the service"), "{page}");
}

#[test]
fn what_was_changed_after_it_was_sealed_is_refused_before_anything_is_asked() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let asked = sandbox.request_count(Api::Mail);
    edit(&path(&catalog, Api::Mail, 2), |text| text.replacen("2-1", "2-x", 1));
    let audit = auditor.all(3, &[]);
    assert!(
        audit["problems"][0]
            .as_str()
            .unwrap()
            .contains("is not what was sealed"),
        "{audit}"
    );
    assert_eq!(audit["streams"][0]["hours"], serde_json::json!([]));
    // Only the files of drawn hours are read.
    let audit = auditor.all(0, &["--since", &at(DAY + newest()).to_rfc3339()]);
    assert_eq!(audit["problems"], serde_json::json!([]));
    let after = sandbox.request_count(Api::Mail);
    fs::write(folder(&catalog).join("checkpoint"), "none").unwrap();
    auditor.all(3, &[]);
    assert_eq!(sandbox.request_count(Api::Mail), after);
    assert!(after > asked);
}

#[test]
fn an_audit_runs_beside_a_collector_and_does_not_hinder_it() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let before = sandbox.request_count(Api::Mail);
    sandbox.step(Step::at(Api::Mail, before + 1, Action::Wait(Duration::from_secs(600))));
    let mut collecting = catalog.start(&["collect"]);
    wait_until("the run asks", PATIENCE, || {
        collecting.assert_running();
        sandbox.request_count(Api::Mail) > before
    });
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let audit = auditor.all(0, &[]);
    assert_eq!(audit["same"], audit["sample"], "{audit}");
    collecting.assert_running();
    collecting.kill();
}

#[test]
fn days_that_have_expired_are_said_to_be_so_and_not_compared() {
    let sandbox = daily(8);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let expired = catalog.run(&["expire", "--older-than", "4d", "--yes"]);
    assert_eq!(expired.code, 0, "{}", expired.stderr);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let audit = auditor.all(0, &[]);
    assert!(audit["expired"].as_u64().unwrap() >= 48, "{audit}");
    assert_eq!(differences(&audit), Vec::<String>::new());
}

/// The only problem of an audit, which does not pass for one.
#[track_caller]
fn problem(audit: &Value) -> &str {
    let problems = audit["problems"].as_array().unwrap();
    assert_eq!((problems.len(), &audit["exit_code"]), (1, &Value::from(3)), "{audit}");
    problems[0].as_str().unwrap()
}

#[test]
fn an_audit_that_has_compared_nothing_or_not_what_was_asked_is_none() {
    let sandbox = daily(8);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let none = auditor.all(3, &["--since", "30m"]);
    assert!(problem(&none).contains("there is no hour to draw"), "{none}");
    let with_another = Auditor::of(&sandbox, &catalog, &[Api::Mail, Api::Disk]);
    fs::create_dir_all(catalog.folder(Api::Disk)).unwrap();
    let audit = with_another.all(3, &[]);
    assert!(
        problem(&audit).contains("yandex-disk: there is no hour to draw"),
        "{audit}"
    );
    let expired = catalog.run(&["expire", "--older-than", "4d", "--yes"]);
    assert_eq!(expired.code, 0, "{}", expired.stderr);
    let expired = auditor.all(3, &["--since", "7d", "--until", "6d"]);
    assert!(problem(&expired).contains("nothing was compared"), "{expired}");
}

#[test]
fn a_beginning_that_the_archive_lacks_is_drawn_without_asking_for_it() {
    let sandbox = daily(8);
    let catalog = unsealed(&sandbox, &[Api::Mail]).with("INITIAL_LOOKBACK_DAYS", 3);
    let run = catalog.run(&["evidence", "keygen"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    catalog.collect(0, &[]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    // The archive says itself that it has not asked for what is before.
    let audit = auditor.all(3, &[]);
    let found = differences(&audit);
    assert!(found.len() >= 9 && found.iter().all(|kind| kind == "gap"), "{found:?}");
    let remark = audit["remarks"][0].as_str().unwrap();
    assert!(
        remark.contains("the log begins with the file of ") && remark.ends_with(" of the drawn hours are before that"),
        "{audit}"
    );
    let audit = auditor.all(0, &["--since", "2d"]);
    assert_eq!(audit["same"], audit["sample"], "{audit}");
    // The first days are taken away before there is a log: the journal says that they were there.
    let whole = unsealed(&sandbox, &[Api::Mail]);
    whole.collect(3, &[]);
    for day in 5..8 {
        fs::remove_file(path(&whole, Api::Mail, day)).unwrap();
    }
    let run = whole.run(&["evidence", "keygen"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    whole.run(&["seal"]);
    let auditor = Auditor::of(&sandbox, &whole, &[Api::Mail]);
    let found = differences(&auditor.all(3, &[]));
    assert!(found.len() >= 9, "{found:?}");
}

#[test]
fn evidence_that_a_person_has_acknowledged_as_broken_is_no_audit_unless_it_is_accepted() {
    let sandbox = daily(5);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let day = path(&catalog, Api::Mail, 3);
    edit(&day, |text| text.replacen("\"3-1\"", "\"3-x\"", 1));
    let run = catalog.run(&["evidence", "acknowledge", &name(&day), "--reason", "a disk"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let audit = auditor.all(3, &[]);
    assert!(problem(&audit).contains("acknowledged"), "{audit}");
    let page = auditor.run(&["--sample", "1000000"]).stdout;
    assert!(
        page.ends_with("verdict: not audited, for the reasons above\n"),
        "{page}"
    );
    let audit = auditor.all(3, &["--accept-broken"]);
    assert_eq!(differences(&audit), ["missing", "not-given"], "{audit}");
}

#[test]
fn lines_that_were_deleted_before_anything_was_sealed_are_a_difference() {
    let sandbox = daily(6);
    let catalog = unsealed(&sandbox, &[Api::Mail]);
    // There is no key yet.
    catalog.collect(3, &[]);
    edit(&path(&catalog, Api::Mail, 4), |text| {
        let (first, _) = text.split_once('\n').unwrap();
        format!("{first}\n")
    });
    let run = catalog.run(&["evidence", "keygen"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    seal(&catalog, 0);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let audit = auditor.all(3, &[]);
    let found: BTreeSet<_> = differences(&audit).into_iter().collect();
    assert_eq!(
        found,
        BTreeSet::from(["gap".to_owned()]),
        "the day file is known to have lost some: {audit}"
    );
    assert!(audit["different"].as_u64().unwrap() > 0, "{audit}");
}

#[test]
fn copies_of_the_day_files_and_the_evidence_are_enough() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Mail]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail]);
    let state = catalog.folder(Api::Mail).join(".trailkeeper");
    fs::rename(&state, catalog.root().join("state")).unwrap();
    let audit = auditor.all(0, &[]);
    assert_eq!(audit["same"], audit["sample"], "{audit}");
    let remark = audit["streams"][0]["remarks"][0].as_str().unwrap();
    assert!(remark.contains("the state folder is not there"), "{audit}");
}

#[test]
fn the_page_is_signed_by_the_auditor_and_no_character_of_it_can_be_changed() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Tfc]);
    let desk = &auditor.desk;
    let made = desk.run(&[
        "evidence",
        "keygen",
        "--name",
        "jane.auditor.example",
        "--out",
        "auditor.key",
        "--json",
    ]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let key: Value = serde_json::from_str(&made.stdout).unwrap();
    let key = key["key"].as_str().unwrap();
    let run = auditor.run(&[
        "--sample",
        "5",
        "--nonce",
        "dice 4 2 6",
        "--key",
        "auditor.key",
        "--out",
        "audit.page",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let page = fs::read_to_string(desk.root().join("audit.page")).unwrap();
    assert_eq!(run.stdout, page);
    assert!(page.lines().all(|line| line.chars().count() <= 140), "{page}");
    // Others verify it with what they have.
    let verifier = signed_note::StandardVerifier::new(key).unwrap();
    let note = signed_note::Note::from_bytes(page.as_bytes()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let (signatures, _) = note.verify(&known).unwrap();
    assert_eq!(signatures.len(), 1);
    let verify = |code: i32, page: &str, key: &str| {
        fs::write(desk.root().join("audit.page"), page).unwrap();
        let run = desk.run(&["verify", "--page", "audit.page", "--signer", key]);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        run.stdout
    };
    assert!(verify(0, &page, key).ends_with(&format!(
        "\nsigned by jane.auditor.example ({})\n",
        fingerprint(&made.stdout)
    )));
    verify(
        3,
        &page.replacen("5 hours are the same", "6 hours are the same", 1),
        key,
    );
    let other = desk.run(&[
        "evidence",
        "keygen",
        "--name",
        "john.auditor.example",
        "--out",
        "other.key",
        "--json",
    ]);
    let other: Value = serde_json::from_str(&other.stdout).unwrap();
    verify(3, &page, other["key"].as_str().unwrap());
    // The operator does not sign an audit of his own archive with the key of the log.
    let run = auditor.run(&["--sample", "5", "--key", key_file(&catalog).to_str().unwrap()]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    // What a mistyped path names is not replaced.
    let run = auditor.run(&["--sample", "5", "--out", "auditor.key"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
}

fn fingerprint(made: &str) -> String {
    let made: Value = serde_json::from_str(made).unwrap();
    made["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn a_stranger_draws_the_same_hours_from_what_stands_on_the_page() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Mail, Api::Tfc]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Mail, Api::Tfc]);
    for nonce in [&["--nonce", "dice 4 2 6 \u{e9}"][..], &["--nonce", "x"], &[]] {
        let run = auditor.run(&[&["--sample", "20", "--out", "audit.page"], nonce].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let rows = run.stdout.lines().filter(|line| line.contains(" same "));
        let hours: Vec<_> = rows
            .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(hours.len(), 20, "{}", run.stdout);
        let Some(mut python) = tool("python3", "python3") else {
            return;
        };
        let drawn = process::run(python.arg(SCRIPT).arg(auditor.desk.root().join("audit.page")));
        assert_eq!(drawn.code, 0, "{}", drawn.stderr);
        assert_eq!(drawn.stdout.lines().collect::<Vec<_>>(), hours);
    }
}

#[test]
fn where_the_settings_of_the_collector_are_known_they_say_where_everything_is() {
    let sandbox = daily(4);
    let mut catalog = sealed(&sandbox, &[Api::Mail]);
    let run = catalog.run(&["audit", "--sample", "10", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let audit: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(audit["is_operators_policy"], true, "{audit}");
    assert_eq!((&audit["sample"], &audit["same"]), (&10.into(), &10.into()));
    assert!(audit["nonce"].as_str().unwrap().len() >= 32);
    catalog.unset("OAUTH_TOKEN_ARG");
    let run = catalog.run(&["audit", "--sample", "10"]);
    assert!(
        run.code == 1 && run.stderr.contains("OAUTH_TOKEN_ARG"),
        "{}",
        run.stderr
    );
    for wrong in [
        &["audit"][..],
        &["audit", "--sample", "0"],
        &["audit", "--sample", "3", "--nonce", "a\nb"],
    ] {
        assert_eq!(
            catalog.run(wrong).code,
            if wrong.len() == 5 { 1 } else { 2 },
            "{wrong:?}"
        );
    }
}

#[test]
fn the_page_says_whom_it_asked_and_for_what() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let mut auditor = Auditor::of(&sandbox, &catalog, &[Api::Tfc]);
    auditor.desk.set("RECONCILE_HOURS", "17");
    let audit = auditor.all(0, &[]);
    let stream = &audit["streams"][0];
    let address = stream["address"].as_str().unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{stream}");
    assert_eq!(stream["reconcile_hours"], 17);
    let page = auditor.run(&["--sample", "1"]).stdout;
    let line = format!("asked      {address}, no filter; late records are looked for 17 hours back\n");
    assert!(page.contains(&line), "{page}");
}

#[test]
fn a_stream_of_the_log_is_left_out_only_where_that_is_asked_for() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Mail, Api::Tfc]);
    let auditor = Auditor::of(&sandbox, &catalog, &[Api::Tfc]);
    let audit = auditor.all(3, &[]);
    assert!(
        audit.to_string().contains("it is not said where its files are"),
        "{audit}"
    );
    let audit = auditor.all(0, &["--stream", "tfc"]);
    assert_eq!(audit["same"], audit["sample"], "{audit}");
}
