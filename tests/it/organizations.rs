//! Several organizations on one machine: `--env-dir`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use trailkeeper::sandbox::{Action, Api, Sandbox, Step};

use super::follow::{http_get, served_address};
use super::support::{Catalog, PATIENCE, Process, Run, at, event, events, lines_by_file, serve, wait_until};

/// Organizations, each with services of its own, and the folder with their settings.
struct Installation {
    catalog: Catalog,
    services: BTreeMap<&'static str, Sandbox>,
}

/// The streams of each.
const APIS: [Api; 2] = [Api::Mail, Api::Tfc];

impl Installation {
    /// Organizations whose streams have as many records as is said.
    fn of(organizations: &[(&'static str, i64)]) -> Self {
        let catalog = Catalog::bare();
        let root = catalog.root().to_str().unwrap().to_owned();
        fs::create_dir(catalog.root().join("env")).unwrap();
        let mut installation = Self {
            catalog,
            services: BTreeMap::new(),
        };
        installation.write(
            "common",
            &format!(
                "RETRY_DELAY_SECONDS=0.001\nMAIL_LOG_CATALOG_LOCATION={root}/{{org}}/mail\nMAIL_LOG_FILE_BASE_NAME={{org}}_mail\n\
                 TFC_LOG_CATALOG_LOCATION={root}/{{org}}/tfc\nTFC_LOG_FILE_BASE_NAME=tfc\n"
            ),
        );
        for (name, count) in organizations {
            let service = serve(|options| {
                APIS.into_iter()
                    .fold(options, |options, api| options.give(api, events(api, *count, 600)))
            });
            for folder in ["mail", "tfc"] {
                fs::create_dir_all(installation.catalog.root().join(name).join(folder)).unwrap();
            }
            let variables = service
                .variables()
                .into_iter()
                .map(|(name, value)| format!("{name}={value}\n"));
            installation.write(name, &variables.collect::<String>());
            installation.services.insert(name, service);
        }
        installation
    }

    fn file(&self, name: &str) -> PathBuf {
        self.catalog.root().join("env").join(format!("{name}.env"))
    }

    /// Follows all of them, each second.
    fn follow(&self) -> Process {
        self.catalog
            .start(&["collect", "--follow", "--json", "--interval", "1s", "--env-dir", "env"])
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    fn add(&self, name: &str, text: &str) {
        let before = fs::read_to_string(self.file(name)).unwrap();
        self.write(name, &(before + text));
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--env-dir", "env"]).collect();
        self.catalog.run(&arguments)
    }

    #[track_caller]
    fn collect(&self, code: i32, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = ["collect", "--json"].iter().chain(arguments).copied().collect();
        let run = self.run(&arguments);
        assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Asserts that an organization has what its services have given, and nothing else.
    #[track_caller]
    fn assert_holds(&self, name: &str) {
        for (api, folder, base) in [
            (APIS[0], "mail", format!("{name}_mail")),
            (APIS[1], "tfc", "tfc".to_owned()),
        ] {
            let folder = self.catalog.root().join(name).join(folder);
            let expected: BTreeMap<_, _> = lines_by_file(api, &self.services[name].events(api))
                .into_iter()
                .map(|(file, lines)| {
                    let (_, rest) = file.split_at(file.len() - "_2025-06-09.log".len());
                    (format!("{base}{rest}"), lines)
                })
                .collect();
            let entries = fs::read_dir(&folder).unwrap().map(Result::unwrap);
            let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
            let found: BTreeMap<String, BTreeSet<String>> = files
                .map(|entry| {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    let lines = text.lines().map(str::to_owned).collect();
                    (entry.file_name().into_string().unwrap(), lines)
                })
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}

fn names(summary: &Value) -> Vec<&str> {
    let streams = summary["streams"].as_array().unwrap();
    streams
        .iter()
        .map(|stream| stream["stream"].as_str().unwrap())
        .collect()
}

#[test]
fn each_organization_is_collected_into_its_own_folders_and_named_everywhere() {
    let installation = Installation::of(&[("acme", 300), ("zeta", 200)]);
    let summary = installation.collect(0, &[]);
    assert_eq!(
        names(&summary),
        ["acme/yandex-mail", "acme/tfc", "zeta/yandex-mail", "zeta/tfc"]
    );
    assert_eq!(summary["streams"][3]["organization"], "zeta");
    for name in ["acme", "zeta"] {
        installation.assert_holds(name);
    }
    assert!(
        installation.catalog.app_log().contains("stream=acme/yandex-mail"),
        "{}",
        installation.catalog.app_log()
    );
    // The table has a line with what all have together.
    for api in APIS {
        installation.services["zeta"].add(api, vec![event(api, at(60), "new")]);
    }
    let run = installation.run(&["collect"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let total = run
        .stdout
        .lines()
        .find(|line| line.contains("4 streams of 2 organizations"))
        .unwrap();
    assert_eq!(total.split_whitespace().nth(6), Some("2"), "{total}");
    installation.assert_holds("zeta");
}

#[test]
fn two_that_share_a_folder_are_refused_whatever_is_asked_of_which() {
    let installation = Installation::of(&[("same", 10), ("twin", 10)]);
    let shared = installation.catalog.root().join("shared");
    fs::create_dir(&shared).unwrap();
    for twin in ["same", "twin"] {
        installation.add(twin, &format!("TFC_LOG_CATALOG_LOCATION={}\n", shared.display()));
    }
    for command in [
        &["collect"][..],
        &["status"],
        &["reconcile"],
        &["expire", "--older-than", "90d", "--yes"],
    ] {
        let run = installation.run(&[command, &["-q", "--org", "twin"]].concat());
        assert_eq!(run.code, 3, "{command:?}: {}", run.stderr);
        let expected = "as does same: put {org} into that";
        assert!(run.stderr.contains(expected), "{command:?}: {}", run.stderr);
    }
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
}

#[test]
fn an_organization_without_a_stream_that_is_asked_for_is_passed_over() {
    let installation = Installation::of(&[("acme", 10), ("zeta", 10)]);
    installation.add("acme", "TFC_LOG_CATALOG_LOCATION=\n");
    let summary = installation.collect(0, &["--stream", "tfc"]);
    assert_eq!(names(&summary), ["zeta/tfc"]);
    assert_eq!(installation.run(&["status", "--stream", "tfc"]).code, 0);
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_files_holds_up_nobody() {
    let installation = Installation::of(&[("acme", 10), ("zeta", 10)]);
    fs::remove_file(installation.file("acme")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(installation.file("acme"))
        .status();
    assert!(made.unwrap().success());
    let summary = installation.collect(3, &[]);
    assert_eq!(summary["failed_organizations"][0]["organization"], "acme");
    installation.assert_holds("zeta");
}

#[test]
fn only_the_organizations_that_are_asked_for_are_collected() {
    let installation = Installation::of(&[("acme", 30), ("beta", 30), ("zeta", 30)]);
    let summary = installation.collect(0, &["--org", "zeta,acme", "--stream", "tfc"]);
    assert_eq!(names(&summary), ["acme/tfc", "zeta/tfc"]);
    let run = installation.run(&["collect", "--org", "acme,nobody"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .contains("--org must name organizations, and env has no file nobody.env"),
        "{}",
        run.stderr
    );
    let run = installation.catalog.run(&["collect", "--org", "acme"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("--env-dir, which is not given"), "{}", run.stderr);
}

#[test]
fn what_is_wrong_with_one_fails_that_one_and_is_named() {
    let all = ["acme", "broken", "dead", "folder", "same", "twin", "zeta"];
    let installation = Installation::of(&all.map(|name| (name, 20)));
    installation.add("broken", "this is hunter2, no setting\n");
    installation.add("dead", "OAUTH_TOKEN_ARG=hunter2-dead\nTFC_ORG_TOKEN=hunter2-dead\n");
    fs::remove_dir_all(installation.catalog.root().join("folder")).unwrap();
    let shared = installation.catalog.root().join("shared");
    fs::create_dir(&shared).unwrap();
    for twin in ["same", "twin"] {
        let folder = shared.to_str().unwrap();
        installation.add(twin, &format!("TFC_LOG_CATALOG_LOCATION={folder}\n"));
    }
    installation.write("two words", "A=1\n");
    let summary = installation.collect(3, &[]);
    for name in ["acme", "zeta"] {
        installation.assert_holds(name);
    }
    let status: BTreeMap<_, _> = summary["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| (stream["stream"].as_str().unwrap(), stream["status"].as_str().unwrap()))
        .collect();
    let failed: Vec<_> = status
        .iter()
        .filter(|(_, status)| **status == "failed")
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(
        failed,
        ["dead/tfc", "dead/yandex-mail", "folder/tfc", "folder/yandex-mail"]
    );
    let problems: BTreeMap<_, _> = summary["failed_organizations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failed| {
            (
                failed["organization"].as_str().unwrap(),
                failed["error"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        problems.keys().copied().collect::<Vec<_>>(),
        ["broken", "same", "twin", "two words"]
    );
    assert!(
        problems["broken"].contains("broken.env line 9 must be NAME=value"),
        "{problems:?}"
    );
    assert!(
        problems["same"].contains("as does twin") && problems["twin"].contains("as does same"),
        "{problems:?}"
    );
    assert!(
        problems["two words"].contains("must be a name of letters"),
        "{problems:?}"
    );
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    let log = installation.catalog.app_log();
    assert!(log.contains("organization=twin"), "{log}");
    assert!(
        !log.contains("hunter2") && !summary.to_string().contains("hunter2"),
        "{log}"
    );
}

#[test]
fn a_credential_in_the_environment_would_be_that_of_all_and_is_refused() {
    let mut installation = Installation::of(&[("acme", 20)]);
    installation.catalog.set("OAUTH_TOKEN_ARG", "hunter2");
    installation.catalog.set("ORGANIZATION_ID_ARG", "7");
    installation.catalog.set("TFC_ORG_TOKEN_FILE", "/nowhere");
    let run = installation.run(&["collect", "-q"]);
    assert_eq!(run.code, 1);
    for name in ["OAUTH_TOKEN_ARG", "ORGANIZATION_ID_ARG", "TFC_ORG_TOKEN_FILE"] {
        let expected = format!("{name} must not be in the environment with --env-dir");
        assert!(run.stderr.contains(&expected), "{}", run.stderr);
    }
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    // A path with their names in it is that of each.
    for name in ["OAUTH_TOKEN_ARG", "ORGANIZATION_ID_ARG"] {
        installation.catalog.unset(name);
    }
    installation.catalog.set("TFC_ORG_TOKEN_FILE", "/nowhere/{org}");
    let own = fs::read_to_string(installation.file("acme")).unwrap();
    let without = own.lines().filter(|line| !line.starts_with("TFC_ORG_TOKEN"));
    installation.write("acme", &without.map(|line| format!("{line}\n")).collect::<String>());
    let run = installation.run(&["collect", "-q"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("TFC_ORG_TOKEN_FILE must name a text file") && run.stderr.contains("/nowhere/acme"));
    assert_eq!(
        fs::read_dir(installation.catalog.root().join("acme/tfc"))
            .unwrap()
            .count(),
        0
    );
    // A token of its own wins over the file.
    installation.write("acme", &own);
    assert_eq!(installation.run(&["collect", "-q"]).code, 0);
}

#[test]
fn a_wrong_value_of_all_is_told_once_with_its_file() {
    let installation = Installation::of(&[("acme", 20), ("zeta", 20)]);
    installation.add("common", "TFC_MAX_PAGES=often\n");
    for command in [&["collect", "-q"][..], &["check"], &["forward", "stdout"]] {
        let run = installation.run(command);
        let said = "env/common.env: TFC_MAX_PAGES must be a whole number";
        if command == ["collect", "-q"] {
            assert_eq!((run.code, run.stderr.matches(said).count()), (1, 1), "{}", run.stderr);
        }
        assert!(!run.stderr.contains("\\n"), "{command:?}: {}", run.stderr);
    }
    installation.write(
        "common",
        &fs::read_to_string(installation.file("common"))
            .unwrap()
            .replace("often", "5"),
    );
    installation.add("common", "KEEP_DAYS=many\n");
    installation.add("acme", "KEEP_DAYS=\n");
    let run = installation.run(&["collect", "-q"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    installation.add("zeta", "KEEP_DAYS=30\n");
    assert_eq!(installation.run(&["collect", "-q"]).code, 0);
    installation.add("common", "REQUEST_TIMOUT_SECONDS=5\n");
    for command in ["collect", "status"] {
        let run = installation.run(&[command]);
        let said = "in what all organizations have: REQUEST_TIMOUT_SECONDS is not a variable of this program";
        assert_eq!(run.stderr.matches(said).count(), 1, "{}", run.stderr);
    }
}

#[test]
fn the_line_of_totals_counts_who_is_not_collected() {
    let installation = Installation::of(&[("acme", 20), ("zeta", 20)]);
    installation.add("acme", "KEEP_DAYS=many\n");
    let run = installation.run(&["collect"]);
    assert_eq!(run.code, 3, "{}", run.stdout);
    let totals = run
        .stdout
        .lines()
        .find(|line| line.starts_with("2 streams of 1 organization "));
    assert!(
        totals.is_some_and(|line| line.contains("1 not collected")),
        "{}",
        run.stdout
    );
}

#[test]
fn a_name_that_is_that_of_no_organization_is_told_apart() {
    let installation = Installation::of(&[("acme", 5)]);
    for (name, said) in [
        ("common", "and common.env is what all of them have"),
        ("", "and has an empty name"),
        ("nobody", "and env has no file nobody.env"),
    ] {
        let run = installation.run(&["status", "--org", name]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    let run = installation.run(&["status"]);
    assert!(run.stdout.ends_with("\n1 organization\n"), "{}", run.stdout);
    installation.add("acme", "TFC_MAX_PAGE=5\n");
    let run = installation.run(&["status"]);
    assert!(
        run.stderr.contains("TFC_MAX_PAGE") && run.stderr.contains("organization=acme"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_for_the_program_stands_in_the_common_file_alone() {
    let installation = Installation::of(&[("acme", 20), ("zeta", 20)]);
    installation.add("acme", "APP_LOG_FILE=other.log\nHTTPS_PROXY=http://127.0.0.1:9\n");
    installation.add("common", "LOG_FORMAT=json\n");
    let summary = installation.collect(3, &[]);
    let error = summary["failed_organizations"][0]["error"].as_str().unwrap();
    for name in ["APP_LOG_FILE", "HTTPS_PROXY"] {
        assert!(
            error.contains(&format!("{name} is for all organizations: put it into common.env")),
            "{error}"
        );
    }
    installation.assert_holds("zeta");
    assert!(installation.catalog.app_log().contains("\"stream\":\"zeta/tfc\""));
    let installation = Installation::of(&[("acme", 20)]);
    installation.add("common", "LOG_FORMAT=yaml\n");
    assert_eq!(installation.run(&["collect", "-q"]).code, 1);
}

#[test]
fn every_command_is_done_for_each_of_them() {
    let installation = Installation::of(&[("acme", 30), ("zeta", 30)]);
    installation.collect(0, &[]);
    for command in [
        &["status"][..],
        &["coverage"],
        &["verify"],
        &["check"],
        &["reconcile"],
        &["hold", "list"],
        &["pack"],
        &["unpack"],
        &["expire", "--older-than", "3y", "--yes"],
    ] {
        let run = installation.run(&[command, &["--json"]].concat());
        assert_eq!(run.code, 0, "{command:?}: {}{}", run.stdout, run.stderr);
        let answers: Vec<Value> = run
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of: Vec<_> = answers
            .iter()
            .map(|answer| answer["organization"].as_str().unwrap())
            .collect();
        assert_eq!(of, ["acme", "zeta"], "{command:?}");
        assert_eq!(names(&answers[1]), ["zeta/yandex-mail", "zeta/tfc"], "{command:?}");
        let run = installation.run(command);
        assert_eq!(run.code, 0, "{command:?}: {}{}", run.stdout, run.stderr);
        let headings: Vec<_> = run
            .stdout
            .lines()
            .filter(|line| ["acme", "zeta"].contains(line))
            .collect();
        assert_eq!(headings, ["acme", "zeta"], "{command:?}: {}", run.stdout);
    }
    for (max_age, code, word) in [("2h", 0, "OK"), ("1s", 2, "CRITICAL")] {
        let run = installation.run(&["status", "--nagios", "--max-age", max_age]);
        assert_eq!(
            (run.code, run.stdout.split(':').next()),
            (code, Some(word)),
            "{}",
            run.stdout
        );
        assert!(
            run.stdout.contains("acme/tfc") && run.stdout.contains("zeta/yandex-mail"),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn records_that_are_printed_say_whose_they_are() {
    let installation = Installation::of(&[("acme", 30), ("zeta", 30)]);
    installation.collect(0, &[]);
    let found = installation.run(&["search", "--stream", "tfc", "--since", "30d"]);
    assert_eq!((found.code, found.stdout.lines().count()), (0, 60), "{}", found.stderr);
    let of = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["organization"].as_str().unwrap().to_owned()
    };
    for output in [
        found.stdout,
        installation
            .run(&["forward", "stdout", "--stream", "tfc", "--forward-from", "start"])
            .stdout,
    ] {
        let organizations: Vec<_> = output.lines().map(of).collect();
        assert_eq!(organizations.iter().filter(|name| *name == "acme").count(), 30);
        assert_eq!(organizations.iter().filter(|name| *name == "zeta").count(), 30);
    }
    let search = |form| {
        installation
            .run(&["search", "--stream", "tfc", "--since", "30d", form])
            .stdout
    };
    assert_eq!(search("--count"), "acme:30\nzeta:30\n");
    let csv = search("--csv");
    assert_eq!(csv.matches("time,stream,").count(), 1, "{csv}");
    assert_eq!(csv.matches(",zeta/tfc,").count(), 30, "{csv}");
    assert_eq!(search("--table").matches(" zeta/tfc").count(), 30);
    let nothing = installation.run(&["search", "--since", "30d", "--text", "nothing has this"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (1, ""), "{}", nothing.stderr);
}

#[test]
fn a_place_that_would_be_that_of_several_needs_their_names() {
    let installation = Installation::of(&[("acme", 30), ("zeta", 30)]);
    installation.collect(0, &[]);
    let run = installation.run(&["report", "--html", "page.html"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr
            .contains("--html is one place for 2 organizations: put {org} into it"),
        "{}",
        run.stderr
    );
    assert!(!installation.catalog.root().join("page.html").exists());
    assert_eq!(installation.run(&["report", "--html", "{org}.html"]).code, 0);
    let page = |name: &str| fs::read_to_string(installation.catalog.root().join(name)).unwrap();
    assert!(page("acme.html").contains("acme/yandex-mail") && !page("acme.html").contains("zeta/"));
    assert!(page("zeta.html").contains("zeta/yandex-mail"));
    assert_eq!(
        installation
            .run(&["report", "--html", "page.html", "--org", "acme"])
            .code,
        0
    );
    assert!(page("page.html").contains("acme/tfc"));
}

#[test]
fn one_whose_settings_are_wrong_fails_no_command_of_the_others() {
    let installation = Installation::of(&[("acme", 30), ("bad", 30), ("zeta", 30)]);
    installation.collect(0, &[]);
    installation.add("bad", "MAIL_LOG_FILE_BASE_NAME=a/b\n");
    let run = installation.run(&["status", "--json"]);
    assert_eq!(run.code, 3);
    let answers: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers[1]["error"]["organization"], "bad");
    assert_eq!(names(&answers[2]), ["zeta/yandex-mail", "zeta/tfc"]);
    assert!(run.stderr.contains("bad: the settings are invalid"), "{}", run.stderr);
    let text = installation.run(&["coverage"]);
    assert!(
        text.stdout.ends_with("3 organizations, 1 with problems: bad\n"),
        "{}",
        text.stdout
    );
    let plugin = installation.run(&["status", "--nagios"]);
    assert_eq!(plugin.code, 2, "{}", plugin.stdout);
    assert!(
        plugin.stdout.starts_with("CRITICAL: bad: the settings are invalid"),
        "{}",
        plugin.stdout
    );
}

#[test]
fn more_streams_than_are_collected_at_a_time_and_than_files_may_be_open_are_all_collected() {
    let mut installation = Installation::of(&[("acme", 5)]);
    let service = installation.services.remove("acme").unwrap();
    let text = fs::read_to_string(installation.file("acme")).unwrap();
    for number in 0..80 {
        let name = format!("o{number}");
        for folder in ["mail", "tfc"] {
            fs::create_dir_all(installation.catalog.root().join(&name).join(folder)).unwrap();
        }
        installation.write(&name, &text);
    }
    let run = installation
        .catalog
        .run_in_shell("ulimit -S -n 100", &["collect", "--json", "--env-dir", "env"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(names(&summary).len(), 162);
    let streams = summary["streams"].as_array().unwrap();
    assert!(streams.iter().all(|stream| stream["appended"] == 5), "{summary}");
    drop(service);
}

#[test]
fn a_run_that_is_followed_reads_the_folder_again_at_sighup() {
    let installation = Installation::of(&[("acme", 20), ("beta", 20), ("zeta", 20)]);
    let hidden = |name: &str| installation.catalog.root().join(format!("{name}.away"));
    fs::rename(installation.file("zeta"), hidden("zeta")).unwrap();
    let mut process = installation.follow();
    let named = |process: &mut Process, name: &str| {
        wait_until(name, PATIENCE, || {
            process
                .next_line()
                .unwrap()
                .contains(&format!("\"stream\":\"{name}/tfc\""))
        });
    };
    named(&mut process, "acme");
    named(&mut process, "beta");
    fs::rename(hidden("zeta"), installation.file("zeta")).unwrap();
    fs::rename(installation.file("beta"), hidden("beta")).unwrap();
    process.signal(Signal::HUP);
    named(&mut process, "zeta");
    installation.services["zeta"].add(Api::Tfc, vec![event(Api::Tfc, at(1), "new")]);
    installation.services["acme"].add(Api::Tfc, vec![event(Api::Tfc, at(1), "new")]);
    named(&mut process, "acme");
    named(&mut process, "zeta");
    named(&mut process, "zeta");
    // One that is wrong from the beginning is told, although nothing else has changed.
    installation.write("wrong", "A\n");
    process.signal(Signal::HUP);
    process.complaint_with("not collected: env/wrong.env line 1 must be NAME=value");
    // What is wrong now was right before, and goes on as it was.
    installation.add("acme", "TFC_MAX_PAGES=often\n");
    process.signal(Signal::HUP);
    installation.services["acme"].add(Api::Tfc, vec![event(Api::Tfc, at(0), "newest")]);
    process.complaint_with("stay as they were: TFC_MAX_PAGES must be a whole number");
    named(&mut process, "acme");
    named(&mut process, "acme");
    let log = installation.catalog.app_log();
    for said in [
        "removed: it is not collected any more organization=beta",
        "added: it is collected from now on organization=zeta",
    ] {
        assert!(log.contains(said), "{log}");
    }
    assert_eq!(process.terminate().code, 0);
    installation.assert_holds("zeta");
    installation.assert_holds("acme");
}

#[test]
fn a_folder_that_is_followed_is_looked_at_and_who_has_not_changed_goes_on_undisturbed() {
    let installation = Installation::of(&[("acme", 20), ("beta", 20), ("gone", 20), ("zeta", 20)]);
    let hang = Action::Wait(PATIENCE * 2);
    installation.services["acme"].step(Step::always(Api::Tfc, hang));
    let away = installation.catalog.root().join("zeta.away");
    fs::rename(installation.file("zeta"), &away).unwrap();
    let right = fs::read_to_string(installation.file("beta")).unwrap();
    let mut process = installation.follow();
    let named = |process: &mut Process, name: &str| {
        wait_until(name, PATIENCE, || {
            let line = process.next_line().unwrap();
            // What hangs would end if anything disturbed it.
            assert!(!line.contains("\"stream\":\"acme/tfc\""), "{line}");
            line.contains(&format!("\"stream\":\"{name}/tfc\""))
        });
    };
    named(&mut process, "beta");
    named(&mut process, "gone");
    fs::rename(&away, installation.file("zeta")).unwrap();
    fs::remove_file(installation.file("gone")).unwrap();
    named(&mut process, "zeta");
    // What is written by halves goes on as it was, which is said once, and is taken when it is whole.
    installation.write("beta", &right[..right.len() / 2]);
    process.complaint_with("stay as they were: ");
    named(&mut process, "beta");
    named(&mut process, "zeta");
    named(&mut process, "beta");
    installation.write("beta", &(right + "TFC_MAX_PAGES=7\n"));
    wait_until("the change is logged", PATIENCE, || {
        process.next_line().unwrap();
        installation
            .catalog
            .app_log()
            .contains("changed, and its streams start anew: TFC_MAX_PAGES organization=beta")
    });
    named(&mut process, "beta");
    assert_eq!(process.terminate().code, 0);
    let log = installation.catalog.app_log();
    assert_eq!(log.matches("stay as they were").count(), 1, "{log}");
    for said in [
        "added: it is collected from now on organization=zeta",
        "removed: it is not collected any more organization=gone",
    ] {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
    installation.assert_holds("zeta");
    installation.assert_holds("beta");
}

#[test]
fn what_all_organizations_have_is_changed_for_all() {
    let installation = Installation::of(&[("acme", 20), ("zeta", 20)]);
    let mut process = installation.follow();
    process.next_line().unwrap();
    installation.add("common", "MAX_PAGES=7\n");
    wait_until("the change is logged", PATIENCE, || {
        process.next_line().unwrap();
        let log = installation.catalog.app_log();
        let changed = |name| format!("changed, and its streams start anew: MAX_PAGES organization={name}");
        log.contains(&changed("acme")) && log.contains(&changed("zeta"))
    });
    assert_eq!(process.terminate().code, 0);
}

#[test]
fn an_organization_that_cannot_be_collected_is_not_healthy() {
    let installation = Installation::of(&[("acme", 20)]);
    installation.write("wrong", "A\n");
    let mut process = installation.catalog.start(&[
        "collect",
        "--follow",
        "--interval",
        "1s",
        "--json",
        "--metrics-listen",
        "127.0.0.1:0",
        "--env-dir",
        "env",
    ]);
    let address = served_address(&process.complaint_with("serving metrics at "));
    for _ in APIS {
        process.next_line().unwrap();
    }
    let answer = http_get(&address, "/healthz");
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"failed_organizations\":[\"wrong\"]"),
        "{answer}"
    );
    fs::remove_file(installation.file("wrong")).unwrap();
    wait_until("it is well", PATIENCE, || {
        process.next_line().unwrap();
        http_get(&address, "/healthz").starts_with("HTTP/1.1 200 ")
    });
    assert_eq!(process.terminate().code, 0);
}

#[test]
fn without_a_folder_of_settings_nothing_is_another() {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 30, 600)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("TFC_LOG_FILE_BASE_NAME", "{org}_tfc");
    let summary = catalog.collect_one(0, &[]);
    assert_eq!(
        (&summary["stream"], &summary["organization"]),
        (&"tfc".into(), &Value::Null)
    );
    let names: Vec<_> = catalog.day_files(Api::Tfc).into_keys().collect();
    assert!(names.iter().all(|name| name.starts_with("{org}_tfc_")), "{names:?}");
}

#[test]
fn the_folder_can_be_named_in_the_environment() {
    let mut installation = Installation::of(&[("acme", 30)]);
    installation.catalog.set("TRAILKEEPER_ENV_DIR", "env");
    let run = installation.catalog.run(&["collect", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    installation.assert_holds("acme");
    let run = installation.catalog.run(&["--org", "acme", "status", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("acme/tfc"), "{}", run.stdout);
}

#[test]
fn nothing_is_asked_for_one_whose_file_cannot_be_read() {
    let installation = Installation::of(&[("acme", 20), ("zeta", 20)]);
    let file = installation.file("acme");
    let mut settings = fs::read(&file).unwrap();
    settings.extend(b"# \xff\n");
    fs::write(&file, settings).unwrap();
    for command in [&["check"][..], &["check", "--org", "acme"]] {
        let run = installation.run(command);
        assert_eq!(run.code, 1, "{}", run.stdout);
        let asked: Vec<_> = run
            .stdout
            .lines()
            .filter(|line| line.starts_with("acme/") && line.contains(" ok "))
            .collect();
        assert_eq!(asked, Vec::<&str>::new(), "{}", run.stdout);
    }
}
