//! Where settings come from, and what is said when they are wrong.

use std::fs;

use serde_json::Value;
use trailkeeper::sandbox::{Api, Options, PortLogin, Sandbox};

use super::support::{Catalog, Run, events, serve, streams};

fn sandbox(login: PortLogin) -> Sandbox {
    serve(|mut options: Options| {
        options.port_login = login;
        streams()
            .into_iter()
            .fold(options, |all, (_, api)| all.give(api, events(api, 3, 60)))
    })
}

fn assert_collects_everything(catalog: &Catalog, sandbox: &Sandbox, arguments: &[&str]) {
    catalog.collect(0, arguments);
    for (_, api) in streams() {
        catalog.assert_holds(api, &sandbox.events(api));
    }
}

#[test]
fn settings_are_read_from_dotenv_in_the_working_folder() {
    let sandbox = sandbox(PortLogin::Token);
    let mut catalog = Catalog::of(&sandbox, &Api::ALL);
    fs::write(catalog.root().join(".env"), catalog.env_text()).unwrap();
    catalog.clear();
    assert_collects_everything(&catalog, &sandbox, &[]);
}

#[test]
fn settings_are_read_from_the_file_that_was_asked_for_instead_of_dotenv() {
    let sandbox = sandbox(PortLogin::Token);
    let mut catalog = Catalog::of(&sandbox, &Api::ALL);
    fs::write(catalog.root().join("other.env"), catalog.env_text()).unwrap();
    fs::write(catalog.root().join(".env"), "MAX_PAGES=none\n").unwrap();
    catalog.clear();
    assert_collects_everything(&catalog, &sandbox, &["--env-file", "other.env"]);
}

#[test]
fn the_environment_of_the_process_wins_over_the_file() {
    let sandbox = sandbox(PortLogin::Token);
    let mut catalog = Catalog::of(&sandbox, &Api::ALL);
    let right = catalog.unset("TFC_ORG_TOKEN");
    let text = catalog.env_text() + "TFC_ORG_TOKEN=wrong\nMAX_PAGES=none\n";
    fs::write(catalog.root().join(".env"), text).unwrap();
    catalog.clear();
    catalog.set("TFC_ORG_TOKEN", right);
    catalog.set("MAX_PAGES", 7);
    assert_collects_everything(&catalog, &sandbox, &[]);
}

#[test]
fn every_secret_can_stand_in_a_file_of_its_own() {
    for login in [PortLogin::Token, PortLogin::Client] {
        let sandbox = sandbox(login);
        let mut catalog = Catalog::of(&sandbox, &Api::ALL);
        let given: Vec<String> = sandbox.variables().into_iter().map(|(name, _)| name).collect();
        for (kind, _) in streams() {
            assert!(kind.secrets().next().is_some());
            let secrets = kind.secrets().map(|row| row.name());
            for secret in &secrets.filter(|secret| given.contains(secret)).collect::<Vec<_>>() {
                if catalog.has(secret) {
                    let path = catalog.root().join(format!("{secret}.txt"));
                    fs::write(&path, catalog.unset(secret) + "\n").unwrap();
                    catalog.set(&format!("{secret}_FILE"), path.display());
                }
            }
        }
        assert_collects_everything(&catalog, &sandbox, &[]);
    }
}

#[test]
fn a_slash_at_the_end_of_a_folder_is_taken_off() {
    let sandbox = sandbox(PortLogin::Token);
    let mut catalog = Catalog::of(&sandbox, &Api::ALL);
    for ((kind, _), end) in streams().into_iter().zip(["/", "//", "///", "/"]) {
        let name = kind.variable("LOG_CATALOG_LOCATION");
        let folder = catalog.unset(&name);
        catalog.set(&name, folder + end);
    }
    assert_collects_everything(&catalog, &sandbox, &[]);
}

#[test]
fn the_extension_and_the_log_file_are_where_they_were_asked_for() {
    let sandbox = sandbox(PortLogin::Token);
    let catalog = Catalog::of(&sandbox, &[Api::Disk])
        .with("LOG_FILE_EXTENSION", "jsonl")
        .with("APP_LOG_FILE", "program.txt");
    catalog.collect(0, &[]);
    let names: Vec<String> = catalog.day_files(Api::Disk).into_keys().collect();
    assert!(
        !names.is_empty() && names.iter().all(|name| name.ends_with(".jsonl")),
        "{names:?}"
    );
    assert!(catalog.root().join("program.txt").exists() && !catalog.root().join("get_audit_logs.log").exists());
}

#[test]
fn extra_query_parameters_are_sent_with_every_request() {
    let sandbox = sandbox(PortLogin::Token);
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Port])
        .with("MAIL_API_QUERY", "types=mailbox_send&types=message_receive")
        .with(
            "PORT_API_QUERY",
            "resources=entity&status=FAILURE&includes=identifier,trigger",
        );
    catalog.collect(0, &[]);
    for seen in sandbox.requests() {
        let expected = match seen.api {
            Some(Api::Mail) => "&types=mailbox_send&types=message_receive",
            _ => "&resources=entity&status=FAILURE&includes=identifier%2Ctrigger",
        };
        assert!(seen.path_and_query.contains(expected), "{}", seen.path_and_query);
    }
}

/// A value that no output may show.
const SECRET: &str = "hunter2-hunter2-hunter2";

/// What a fault changes: variables and their values; no value takes the variable away.
type Change = (&'static str, Option<&'static str>);

/// Each fault that can be in the settings, and the variable that has to be named.
const FAULTS: &[(&str, &[Change])] = &[
    ("OAUTH_TOKEN_ARG", &[("OAUTH_TOKEN_ARG", None)]),
    ("OAUTH_TOKEN_ARG", &[("OAUTH_TOKEN_ARG", Some(""))]),
    (
        "OAUTH_TOKEN_ARG",
        &[("OAUTH_TOKEN_ARG", Some("hunter2-hunter2-hunter2\u{7}"))],
    ),
    (
        "OAUTH_TOKEN_ARG",
        &[("OAUTH_TOKEN_ARG", Some("hunter2-hunter2-hunter2-ü"))],
    ),
    ("OAUTH_TOKEN_ARG", &[("OAUTH_TOKEN_ARG_FILE", Some("token.txt"))]),
    (
        "OAUTH_TOKEN_ARG_FILE",
        &[("OAUTH_TOKEN_ARG", None), ("OAUTH_TOKEN_ARG_FILE", Some("absent.txt"))],
    ),
    (
        "OAUTH_TOKEN_ARG_FILE",
        &[("OAUTH_TOKEN_ARG", None), ("OAUTH_TOKEN_ARG_FILE", Some("empty.txt"))],
    ),
    (
        "OAUTH_TOKEN_ARG_FILE",
        &[("OAUTH_TOKEN_ARG", None), ("OAUTH_TOKEN_ARG_FILE", Some(SECRET))],
    ),
    ("ORGANIZATION_ID_ARG", &[("ORGANIZATION_ID_ARG", None)]),
    ("ORGANIZATION_ID_ARG", &[("ORGANIZATION_ID_ARG", Some("example.org"))]),
    ("ORGANIZATION_ID_ARG", &[("ORGANIZATION_ID_ARG", Some("-1"))]),
    ("ORGANIZATION_ID_ARG", &[("ORGANIZATION_ID_ARG", Some("1.5"))]),
    // The token in the wrong place.
    ("ORGANIZATION_ID_ARG", &[("ORGANIZATION_ID_ARG", Some(SECRET))]),
    ("MAX_PAGES", &[("MAX_PAGES", Some(SECRET))]),
    ("MAIL_LOG_FILE_BASE_NAME", &[("MAIL_LOG_FILE_BASE_NAME", None)]),
    (
        "DISK_LOG_FILE_BASE_NAME",
        &[("DISK_LOG_FILE_BASE_NAME", Some("../disk"))],
    ),
    ("PORT_LOG_FILE_BASE_NAME", &[("PORT_LOG_FILE_BASE_NAME", Some("a\\b"))]),
    ("TFC_LOG_FILE_BASE_NAME", &[("TFC_LOG_FILE_BASE_NAME", Some(".."))]),
    ("PORT_API_TOKEN", &[("PORT_API_TOKEN", None)]),
    (
        "PORT_API_TOKEN",
        &[("PORT_CLIENT_ID", Some("id")), ("PORT_CLIENT_SECRET", Some(SECRET))],
    ),
    (
        "PORT_CLIENT_SECRET",
        &[("PORT_API_TOKEN", None), ("PORT_CLIENT_ID", Some("id"))],
    ),
    (
        "PORT_CLIENT_ID",
        &[("PORT_API_TOKEN", None), ("PORT_CLIENT_SECRET", Some(SECRET))],
    ),
    ("PORT_PAGE_LIMIT", &[("PORT_PAGE_LIMIT", Some("0"))]),
    ("PORT_PAGE_LIMIT", &[("PORT_PAGE_LIMIT", Some("many"))]),
    ("TFC_ORG_TOKEN", &[("TFC_ORG_TOKEN", None)]),
    ("YANDEX_API_URL", &[("YANDEX_API_URL", Some("http://api.example.org"))]),
    (
        "YANDEX_API_URL",
        &[("YANDEX_API_URL", Some("http://127.0.0.1.example.org"))],
    ),
    ("PORT_API_URL", &[("PORT_API_URL", Some("ftp://127.0.0.1"))]),
    ("PORT_API_URL", &[("PORT_API_URL", Some("api.example.org"))]),
    (
        "TFC_API_URL",
        &[("TFC_API_URL", Some("https://user:hunter2-hunter2-hunter2@example.org"))],
    ),
    (
        "TFC_API_URL",
        &[(
            "TFC_API_URL",
            Some("https://example.org/?token=hunter2-hunter2-hunter2"),
        )],
    ),
    ("LOG_FILE_EXTENSION", &[("LOG_FILE_EXTENSION", Some("a/b"))]),
    ("MAX_PAGES", &[("MAX_PAGES", Some("0"))]),
    ("OVERLAP_MINUTES", &[("OVERLAP_MINUTES", Some("-1"))]),
    ("MAX_RETRIES", &[("MAX_RETRIES", Some("many"))]),
    ("RETRY_DELAY_SECONDS", &[("RETRY_DELAY_SECONDS", Some("2s"))]),
    ("REQUEST_TIMEOUT_SECONDS", &[("REQUEST_TIMEOUT_SECONDS", Some("0"))]),
    ("REQUEST_TIMEOUT_SECONDS", &[("REQUEST_TIMEOUT_SECONDS", Some("NaN"))]),
    ("INITIAL_LOOKBACK_DAYS", &[("INITIAL_LOOKBACK_DAYS", Some("0"))]),
    ("MAIL_MAX_PAGES", &[("MAIL_MAX_PAGES", Some("no"))]),
    ("DISK_OVERLAP_MINUTES", &[("DISK_OVERLAP_MINUTES", Some("no"))]),
    ("PORT_MAX_RETRIES", &[("PORT_MAX_RETRIES", Some("no"))]),
    (
        "TFC_INITIAL_LOOKBACK_DAYS",
        &[("TFC_INITIAL_LOOKBACK_DAYS", Some("no"))],
    ),
    ("MAIL_API_QUERY", &[("MAIL_API_QUERY", Some("colour=red"))]),
    ("MAIL_API_QUERY", &[("MAIL_API_QUERY", Some("pageSize=5"))]),
    ("DISK_API_QUERY", &[("DISK_API_QUERY", Some("types=fs-rm"))]),
    ("DISK_API_QUERY", &[("DISK_API_QUERY", Some("afterDate=2025-06-09"))]),
    ("PORT_API_QUERY", &[("PORT_API_QUERY", Some("limit=5"))]),
    (
        "PORT_API_QUERY",
        &[("PORT_API_QUERY", Some("includes=action&includes=diff"))],
    ),
    (
        "PORT_API_QUERY",
        &[("PORT_API_QUERY", Some("includes%5B%5D=identifier"))],
    ),
    ("TFC_API_QUERY", &[("TFC_API_QUERY", Some("since=2025-06-09"))]),
    ("TFC_API_QUERY", &[("TFC_API_QUERY", Some("x=y"))]),
    ("APP_LOG_FILE", &[("APP_LOG_FILE", Some("absent/program.log"))]),
];

/// A sandbox is there, so that a request would be seen; every token is [`SECRET`].
fn faulty(sandbox: &Sandbox) -> Catalog {
    let mut catalog = Catalog::of(sandbox, &Api::ALL);
    for name in ["OAUTH_TOKEN_ARG", "PORT_API_TOKEN", "TFC_ORG_TOKEN"] {
        catalog.set(name, SECRET);
    }
    fs::write(catalog.root().join("token.txt"), SECRET).unwrap();
    fs::write(catalog.root().join("empty.txt"), "").unwrap();
    catalog
}

fn change(catalog: &mut Catalog, changes: &[Change]) {
    for (name, value) in changes {
        match value {
            Some(value) => catalog.set(name, value),
            None => drop(catalog.unset(name)),
        }
    }
}

/// Asserts that a run did not begin, and that it says so of these variables.
fn assert_refused(run: &Run, names: &[&str]) {
    assert_eq!(run.stdout, "", "{names:?}");
    assert_named(run, names);
}

/// Asserts that stderr alone names these variables, and no secret.
fn assert_named(run: &Run, names: &[&str]) {
    assert_eq!(run.code, 1, "{names:?}: {}", run.stderr);
    for name in names {
        let is_named = run
            .stderr
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| word == *name)
            || (name.contains(' ') && run.stderr.contains(name));
        assert!(is_named, "{name} is not named: {}", run.stderr);
    }
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

/// Asserts that `--json` says the same on one line of stdout.
fn assert_named_as_json(run: &Run, names: &[&str]) {
    assert_named(run, names);
    assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&said["exit_code"], &said["error"]["kind"]),
        (&1.into(), &"settings".into())
    );
    let problems = said["error"]["problems"].as_array().unwrap();
    for name in names {
        let is_named = |problem: &Value| problem["variable"] == *name && problem["problem"].as_str().is_some();
        assert!(problems.iter().any(is_named), "{name}: {said}");
    }
}

#[test]
fn each_fault_in_the_settings_is_named_and_nothing_is_collected_and_no_secret_is_shown() {
    let sandbox = sandbox(PortLogin::Token);
    for (name, changes) in FAULTS {
        let mut catalog = faulty(&sandbox);
        change(&mut catalog, changes);
        let before = catalog.tree();
        assert_named_as_json(&catalog.run(&["--json"]), &[name]);
        catalog.assert_unchanged(&before);
        assert!(!catalog.root().join("get_audit_logs.log").exists(), "{name}");
    }
    assert_eq!(sandbox.requests(), Vec::new());
}

/// Every command that has `--json` and does not list faults in its own result, as `check` does.
const WITH_JSON: [&[&str]; 8] = [
    &["collect"],
    &["collect", "--follow"],
    &["reconcile"],
    &["forward", "http"],
    &["status"],
    &["coverage"],
    &["verify"],
    &["report", "--html", "report.html"],
];

#[test]
fn every_command_with_json_says_as_json_what_is_wrong_with_the_settings() {
    for command in WITH_JSON {
        let catalog = Catalog::bare();
        fs::write(catalog.root().join(".env"), format!("'{SECRET}' {SECRET}\n")).unwrap();
        let run = catalog.run(&[command, &["--json"]].concat());
        assert_named_as_json(&run, &[".env line 1"]);
        assert_eq!(catalog.run(command).stdout, "");
    }
}

#[test]
fn where_stdout_is_for_lines_the_error_is_json_on_stderr() {
    let run = Catalog::bare().run(&["forward", "stdout", "--json"]);
    assert_refused(&run, &["MAIL_LOG_CATALOG_LOCATION"]);
    let said: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&said["exit_code"], &said["error"]["kind"]),
        (&1.into(), &"settings".into())
    );
}

#[test]
fn check_lists_the_faults_in_its_own_form() {
    let catalog = Catalog::bare();
    fs::write(catalog.root().join(".env"), format!("'{SECRET}' {SECRET}\n")).unwrap();
    let run = catalog.run(&["check", "--json"]);
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &said["exit_code"]), (1, &1.into()));
    let problems = said["problems"].to_string();
    assert!(
        problems.contains(".env line 1 must be") && !problems.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn wrong_usage_that_shows_only_when_a_command_begins_is_said_as_json_too() {
    for command in [
        &["collect", "--since", "2h", "--until", "3h"][..],
        &["reconcile", "--since", "0s"],
    ] {
        let run = Catalog::bare().run(&[command, &["--json"]].concat());
        let said: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(
            (run.code, &said["exit_code"], &said["error"]["kind"]),
            (2, &2.into(), &"usage".into())
        );
        assert!(
            run.stderr.contains(said["error"]["message"].as_str().unwrap()),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn all_faults_are_named_together() {
    let sandbox = sandbox(PortLogin::Token);
    let mut catalog = faulty(&sandbox);
    let changes = [
        ("OAUTH_TOKEN_ARG", None),
        ("ORGANIZATION_ID_ARG", Some("x")),
        ("DISK_LOG_CATALOG_LOCATION", Some("/nowhere")),
        ("PORT_API_TOKEN", None),
        ("TFC_LOG_FILE_BASE_NAME", None),
        ("TFC_API_URL", Some("http://example.org")),
        ("MAX_PAGES", Some("0")),
        ("MAIL_API_QUERY", Some("pageToken=1")),
    ];
    change(&mut catalog, &changes);
    assert_refused(&catalog.run(&[]), &changes.map(|(name, _)| name));
    assert_eq!(sandbox.requests(), Vec::new());
}

#[test]
fn two_streams_with_the_same_folder_and_base_name_are_refused() {
    let sandbox = sandbox(PortLogin::Token);
    let mut catalog = faulty(&sandbox);
    let folder = catalog.unset("MAIL_LOG_CATALOG_LOCATION");
    catalog.set("MAIL_LOG_CATALOG_LOCATION", &folder);
    catalog.set("DISK_LOG_CATALOG_LOCATION", folder + "/.");
    catalog.set("DISK_LOG_FILE_BASE_NAME", "mail_audit");
    assert_refused(
        &catalog.run(&[]),
        &["DISK_LOG_FILE_BASE_NAME", "MAIL_LOG_FILE_BASE_NAME"],
    );
}

#[test]
fn without_any_stream_the_variables_that_switch_one_on_are_named() {
    let names: Vec<String> = streams()
        .iter()
        .map(|(kind, _)| kind.variable("LOG_CATALOG_LOCATION"))
        .collect();
    assert_refused(
        &Catalog::bare().run(&[]),
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

#[test]
fn a_settings_file_that_is_broken_or_missing_is_a_fault() {
    let catalog = Catalog::bare();
    fs::write(
        catalog.root().join(".env"),
        format!("MAX_PAGES=20\n{SECRET} {SECRET}\n"),
    )
    .unwrap();
    let run = catalog.run(&[]);
    assert_refused(&run, &[]);
    assert!(run.stderr.contains(".env line 2"), "{}", run.stderr);
    let run = catalog.run(&["--env-file", "absent.env"]);
    assert_refused(&run, &[]);
    assert!(
        run.stderr.contains("--env-file") && run.stderr.contains("absent.env"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_stream_that_is_asked_for_but_not_set_is_a_fault() {
    let sandbox = sandbox(PortLogin::Token);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    assert_refused(&catalog.run(&["--stream", "tfc"]), &["TFC_LOG_CATALOG_LOCATION"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_to_is_a_fault() {
    use std::os::unix::fs::PermissionsExt;

    if rustix::process::geteuid().is_root() {
        return; // Permission bits do not bind root.
    }
    let sandbox = sandbox(PortLogin::Token);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    fs::set_permissions(catalog.folder(Api::Mail), fs::Permissions::from_mode(0o555)).unwrap();
    assert_refused(&catalog.run(&[]), &["MAIL_LOG_CATALOG_LOCATION"]);
    fs::set_permissions(catalog.folder(Api::Mail), fs::Permissions::from_mode(0o755)).unwrap();
}
