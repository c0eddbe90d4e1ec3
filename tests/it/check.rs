//! `check`: each way in which the settings, a service or the clock can be wrong has its own advice.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use trailkeeper::archive::{Location, Lock};
use trailkeeper::sandbox::{Action, Answer, Api, Sandbox, Step};
use walkdir::WalkDir;

use super::support::{Catalog, Run, base_name, events, now, process, serve, streams};

fn services() -> Sandbox {
    serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, events(api, 5, 600)))
    })
}

fn check(catalog: &Catalog, code: i32, stream: &str) -> Value {
    let run = catalog.run(&["check", "--json", "--stream", stream]);
    assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
    run.summary().into_values().next().unwrap()
}

fn only_problem(check: &Value) -> String {
    assert_eq!(check["state"], "failed");
    let [problem] = &check["problems"].as_array().unwrap()[..] else {
        panic!("{check}")
    };
    problem.as_str().unwrap().to_owned()
}

#[test]
fn where_everything_works_it_says_so_with_one_request_of_one_record_each() {
    let sandbox = services();
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let before = catalog.tree();
    let run = catalog.run(&["check", "--json"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    for (kind, api) in streams() {
        let check = &run.summary()[kind.name];
        assert_eq!(
            (&check["state"], &check["records"]),
            (&"ok".into(), &1.into()),
            "{check}"
        );
        let newest: DateTime<Utc> = check["newest_record"].as_str().unwrap().parse().unwrap();
        assert_eq!(newest, newest_of(&sandbox, api));
        assert_eq!(check["clock_skew_seconds"], 0);
        assert_eq!(
            (&check["last_record"], &check["newest_file"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(sandbox.request_count(api), 1, "{}", kind.name);
    }
    catalog.assert_unchanged(&before);
    catalog.collect(0, &[]);
    let again = check_of(&catalog.run(&["check", "--json"]), "tfc");
    assert!(
        again["newest_file"].as_str().unwrap().starts_with(&base_name(Api::Tfc)),
        "{again}"
    );
    assert_eq!(again["last_record"], again["newest_record"]);
    let text = catalog.run(&["check"]).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

fn newest_of(sandbox: &Sandbox, api: Api) -> DateTime<Utc> {
    sandbox.events(api).iter().map(|event| event.time).max().unwrap()
}

fn check_of(run: &Run, stream: &str) -> Value {
    run.summary()[stream].clone()
}

#[test]
fn a_wrong_token_and_a_wrong_organization_each_have_their_advice() {
    let sandbox = services();
    for (stream, api, variable, value, advice) in [
        (
            "yandex-mail",
            Api::Mail,
            "OAUTH_TOKEN_ARG",
            "y0_wrong",
            "check that OAUTH_TOKEN_ARG holds a valid token",
        ),
        ("port", Api::Port, "PORT_API_TOKEN", "wrong", "check PORT_API_TOKEN"),
        (
            "tfc",
            Api::Tfc,
            "TFC_ORG_TOKEN",
            "wrong",
            "check that TFC_ORG_TOKEN holds a valid organization or audit-trails token",
        ),
        (
            "yandex-mail",
            Api::Mail,
            "ORGANIZATION_ID_ARG",
            "42",
            "check ORGANIZATION_ID_ARG",
        ),
    ] {
        let catalog = Catalog::of(&sandbox, &[api]).with(variable, value);
        let problem = only_problem(&check(&catalog, 1, stream));
        assert!(problem.contains(advice), "{problem}");
        assert!(
            !problem.contains("wrong") || variable == "ORGANIZATION_ID_ARG" || !problem.contains(value),
            "{problem}"
        );
    }
}

#[test]
fn a_missing_scope_and_a_tariff_without_audit_logs_each_have_their_advice() {
    for (status, body, advice) in [
        (
            403,
            r#"{"code":7,"message":"no permission","details":[]}"#,
            "ya360_security:audit_log_disk",
        ),
        (
            400,
            r#"{"code":3,"message":"feature is not active","details":[]}"#,
            "tariff has audit logs",
        ),
    ] {
        let sandbox = services();
        sandbox.step(Step::always(Api::Disk, Action::Answer(Answer::json(status, body))));
        let catalog = Catalog::of(&sandbox, &[Api::Disk]);
        let problem = only_problem(&check(&catalog, 1, "yandex-disk"));
        assert!(
            problem.contains(advice) && problem.contains(&format!("answered {status}")),
            "{problem}"
        );
    }
    let sandbox = services();
    sandbox.step(Step::always(
        Api::Tfc,
        Action::Answer(Answer::json(
            404,
            r#"{"errors":[{"status":"404","title":"not found"}]}"#,
        )),
    ));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let problem = only_problem(&check(&catalog, 1, "tfc"));
    assert!(
        problem.contains("plan has audit trails") && problem.contains("\"not found\""),
        "{problem}"
    );
}

#[test]
fn a_host_that_cannot_be_reached_is_said_to_be_so_once_and_at_once() {
    let sandbox = services();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let catalog = Catalog::of(&sandbox, &[Api::Port]).with("PORT_API_URL", format!("http://{closed}"));
    let check = check(&catalog, 1, "port");
    let problem = only_problem(&check);
    assert!(
        problem.contains("could not be reached") && problem.contains("check the address, the network and any proxy"),
        "{problem}"
    );
    assert!(!problem.contains("attempts"), "{problem}");
    assert_eq!(
        (&check["records"], &check["clock_skew_seconds"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn records_that_cannot_be_filed_are_a_problem_before_the_first_run() {
    let sandbox = services();
    let body =
        r#"{"events":[{"eventType":"message_receive","date":"09.06.2025 10:00","uniqId":"1"}],"nextPageToken":""}"#;
    sandbox.step(Step::always(
        Api::Mail,
        Action::Answer(Answer::json(200, body.to_owned())),
    ));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let problem = only_problem(&check(&catalog, 1, "yandex-mail"));
    assert!(problem.contains("what it gives cannot be filed"), "{problem}");
}

#[test]
fn a_clock_that_differs_by_more_than_the_overlap_is_a_problem_and_a_little_is_shown() {
    for (ahead, code) in [(-600, 1), (-60, 0), (60, 0), (600, 1)] {
        let sandbox = services();
        let server = now() - TimeDelta::seconds(ahead);
        let date = server.format("%a, %d %b %Y %H:%M:%S GMT");
        let answer = Answer::json(200, r#"{"ok":true,"audits":[]}"#).with("date", date);
        sandbox.step(Step::always(Api::Port, Action::Answer(answer)));
        let catalog = Catalog::of(&sandbox, &[Api::Port]);
        let check = check(&catalog, code, "port");
        let skew = check["clock_skew_seconds"].as_i64().unwrap();
        assert!((skew - ahead).abs() < 30, "{skew} for {ahead}");
        if code == 1 {
            assert!(only_problem(&check).contains("set the clock"), "{check}");
        }
    }
}

#[test]
fn a_stream_that_is_set_wrongly_does_not_hide_how_the_others_fare() {
    let sandbox = services();
    let mut catalog = Catalog::of(&sandbox, &[Api::Port, Api::Tfc]);
    catalog.set("TFC_MAX_PAGES", "many");
    let run = catalog.run(&["check", "--json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(check_of(&run, "port")["state"], "ok");
    let tfc = check_of(&run, "tfc");
    let problems: Vec<&str> = tfc["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(
        problems[0].contains("TFC_MAX_PAGES must be a whole number"),
        "{problems:?}"
    );
    let whole: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(whole["problems"], Value::Array(Vec::new()));
}

#[test]
fn what_a_run_could_not_do_in_a_folder_is_a_problem_of_its_stream() {
    let sandbox = services();
    for trouble in ["no folder", "a state folder that is a file", "a lock that is a folder"] {
        let catalog = Catalog::of(&sandbox, &[Api::Port, Api::Tfc]);
        let folder = catalog.folder(Api::Tfc);
        match trouble {
            "no folder" => fs::remove_dir(&folder).unwrap(),
            "a state folder that is a file" => fs::write(folder.join(".trailkeeper"), "").unwrap(),
            _ => fs::create_dir_all(folder.join(format!(".trailkeeper/{}.check.lock/x", base_name(Api::Tfc)))).unwrap(),
        }
        let run = catalog.run(&["check", "--json"]);
        assert_eq!(run.code, 1, "{trouble}: {}", run.stderr);
        assert_eq!(
            check_of(&run, "port")["problems"],
            Value::Array(Vec::new()),
            "{trouble}"
        );
        let problems = check_of(&run, "tfc")["problems"].to_string();
        assert!(problems.contains(folder.to_str().unwrap()), "{trouble}: {problems}");
    }
}

/// The state files of the stream `tfc`, but for those that are only positions and are made anew.
const STATE_FILES: [&str; 17] = [
    "lock",
    "coverage.jsonl",
    "coverage.previous.jsonl",
    "rejected.jsonl",
    "revised.jsonl",
    "expired.jsonl",
    "undelivered.jsonl",
    "archive-id",
    "kafka.lock",
    "kafka.json",
    "kafka.previous.json",
    "http.lock",
    "http.json",
    "http.previous.json",
    "stdout.lock",
    "stdout.json",
    "stdout.previous.json",
];

fn state_file(catalog: &Catalog, what: &str) -> PathBuf {
    catalog
        .folder(Api::Tfc)
        .join(format!(".trailkeeper/{}.{what}", base_name(Api::Tfc)))
}

#[test]
fn a_folder_in_the_place_of_any_file_that_a_run_uses_is_a_problem_said_once() {
    for what in STATE_FILES {
        // One of its own: the services allow only so many requests a second.
        let sandbox = services();
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        let path = state_file(&catalog, what);
        fs::create_dir_all(&path).unwrap();
        let problem = only_problem(&check(&catalog, 1, "tfc"));
        let expected = format!("{} is not a regular file; only regular files", path.display());
        assert!(
            problem.starts_with(&expected) && problem.ends_with(": move it away"),
            "{problem}"
        );
        assert_eq!(catalog.run(&["check", "-q"]).code, 1, "{what}");
    }
    let sandbox = services();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    fs::write(catalog.folder(Api::Tfc).join(".trailkeeper"), "").unwrap();
    let problem = only_problem(&check(&catalog, 1, "tfc"));
    assert!(problem.contains(".trailkeeper is not a folder"), "{problem}");
}

#[test]
fn a_file_that_a_run_uses_and_another_user_owns_is_a_problem_with_advice() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can give files to others, and run programs as others");
        return;
    }
    let sandbox = services();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    let paths = STATE_FILES.map(|what| state_file(&catalog, what));
    // An empty one says nothing, and a run does without.
    paths
        .iter()
        .filter(|path| !path.exists())
        .for_each(|path| fs::write(path, "").unwrap());
    // An empty cursor is a damaged one.
    for sink in ["kafka", "http", "stdout"] {
        let cursor = format!(r#"{{"version":2,"stream":"tfc","sink":"{sink}","days":{{}}}}"#);
        fs::write(state_file(&catalog, &format!("{sink}.json")), cursor).unwrap();
    }
    for entry in WalkDir::new(catalog.root()).into_iter().map(Result::unwrap) {
        chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let check = || {
        let mut command = catalog.command(&["check", "--json"]);
        process::run(command.uid(NOBODY).gid(NOBODY))
    };
    assert_eq!(check().code, 0, "{}", check().stdout);
    let before = catalog.tree();
    for path in paths.into_iter().chain([newest_day_file(&catalog)]) {
        chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let run = check();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        assert_eq!(run.code, 1, "{}: {}{}", path.display(), run.stdout, run.stderr);
        let problems = check_of(&run, "tfc")["problems"].to_string();
        let expected = format!(
            "cannot open {}: Permission denied (os error 13); give the user that runs this program the right",
            path.display()
        );
        assert!(problems.contains(&expected), "{problems}");
    }
    catalog.assert_unchanged(&before);
}

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

fn newest_day_file(catalog: &Catalog) -> PathBuf {
    let newest = catalog.day_files(Api::Tfc).into_keys().next_back().unwrap();
    catalog.folder(Api::Tfc).join(newest)
}

#[test]
fn a_newest_day_file_or_journal_that_is_immutable_is_a_problem_with_advice() {
    let sandbox = services();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    for path in [newest_day_file(&catalog), state_file(&catalog, "coverage.jsonl")] {
        let chattr = |flag: &str| process::try_run(Command::new("chattr").arg(flag).arg(&path));
        if chattr("+i").is_none_or(|run| run.code != 0) {
            println!("SKIPPED: no file can be made immutable here");
            return;
        }
        let check = catalog.run(&["check", "--json"]);
        assert_eq!(chattr("-i").unwrap().code, 0);
        assert_eq!(check.code, 1, "{}", check.stdout);
        let problem = only_problem(&check_of(&check, "tfc"));
        assert!(
            problem.contains(path.to_str().unwrap()) && problem.contains("chattr -i"),
            "{problem}"
        );
    }
    assert_eq!(catalog.run(&["check"]).code, 0);
}

#[test]
fn a_check_leaves_nothing_and_disturbs_no_run() {
    let sandbox = services();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    let before = catalog.tree();
    assert_eq!(catalog.run(&["check"]).code, 0);
    let location = Location::new(catalog.folder(Api::Tfc), &base_name(Api::Tfc), "log").unwrap();
    let held = Lock::acquire(&location, now()).unwrap();
    assert_eq!(catalog.run(&["check"]).code, 0, "a lock that is held is no fault");
    drop(held);
    catalog.assert_unchanged(&before);
    assert_eq!(catalog.run(&["status", "--max-age", "10000d"]).code, 0);
}

#[test]
fn without_any_stream_it_names_the_variables_that_switch_one_on() {
    let run = Catalog::bare().run(&["check"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("MAIL_LOG_CATALOG_LOCATION or "), "{}", run.stdout);
}

#[test]
fn a_mistyped_variable_is_pointed_out_with_the_name_that_was_meant() {
    let sandbox = services();
    let hint = "MAIL_LOG_CATALOGUE_LOCATION is not a variable of this program, so it changes nothing; did you mean \
                MAIL_LOG_CATALOG_LOCATION?";
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.set("MAIL_LOG_CATALOGUE_LOCATION", "/tmp");
    for command in [
        &["check"][..],
        &["collect"],
        &["status"],
        &["coverage"],
        &["verify"],
        &["report", "--html", "report.html"],
        &["forward", "stdout", "--forward-from", "end"],
    ] {
        let run = catalog.run(command);
        assert_eq!(run.code, 0);
        assert!(
            run.stderr.contains("WARNING:") && run.stderr.contains(hint),
            "{}",
            run.stderr
        );
    }
    catalog.unset("MAIL_LOG_CATALOG_LOCATION");
    for command in ["collect", "status", "verify", "coverage"] {
        let run = catalog.run(&[command]);
        assert_eq!(run.code, 1);
        assert!(run.stderr.contains(hint), "{}", run.stderr);
    }
    let run = catalog.run(&["check"]);
    assert!(run.code == 1 && run.stdout.contains(hint), "{}", run.stdout);
}

#[test]
fn a_mistyped_variable_of_a_sink_is_pointed_out_beside_what_is_missing() {
    let sandbox = services();
    let catalog = Catalog::of(&sandbox, &[Api::Mail])
        .with("KAFKA_SASL_MECHANISM", "PLAIN")
        .with("KAFKA_SASL_PASSWORD", "invented")
        .with("KAFKA_SASL_USER", "trailkeeper")
        .with("HTTP_FORWARD_ULR", "https://example.org");
    for arguments in [
        &["collect", "--forward-kafka"][..],
        &["collect", "--forward-http"],
        &["forward", "kafka"],
        &["forward", "http"],
    ] {
        let run = catalog.run(arguments);
        assert_eq!(run.code, 1);
        for hint in [
            "KAFKA_SASL_USER is not a variable of this program, so it changes nothing; did you mean KAFKA_SASL_USERNAME?",
            "HTTP_FORWARD_ULR is not a variable of this program, so it changes nothing; did you mean HTTP_FORWARD_URL?",
        ] {
            assert!(run.stderr.contains(hint), "{arguments:?}: {}", run.stderr);
        }
    }
}
