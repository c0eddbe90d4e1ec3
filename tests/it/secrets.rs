//! Secrets and personal data: where tokens go, who can read what is written, what stands in the way of a file.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use trailkeeper::config::Config;
use trailkeeper::env::Env;
use trailkeeper::sandbox::{Action, Answer, Api, PortLogin, Sandbox, Step, When};
use trailkeeper::source::SOURCES;

use super::support::{Catalog, PATIENCE, Process, Run, base_name, event, events, now, process, serve, wait_until};

/// The tokens and secrets that a sandbox demands.
fn secrets(sandbox: &Sandbox) -> Vec<String> {
    let is_secret = |name: &str| ["TOKEN", "SECRET"].iter().any(|part| name.contains(part));
    let variables = sandbox.variables().into_iter();
    variables
        .filter(|(name, _)| is_secret(name))
        .map(|(_, value)| value)
        .collect()
}

fn service(login: PortLogin) -> Sandbox {
    serve(|mut options| {
        options.port_login = login;
        Api::ALL
            .into_iter()
            .fold(options, |options, api| options.give(api, events(api, 20, 60)))
    })
}

/// Asserts that none of these texts stands in what a run said or in any file that it wrote.
fn assert_untold(secrets: &[String], catalog: &Catalog, run: &Run) {
    let mut texts = vec![run.stdout.clone(), run.stderr.clone(), catalog.app_log()];
    let files = walkdir::WalkDir::new(catalog.root()).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    texts.extend(files.map(|entry| String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned()));
    for secret in secrets {
        let told = texts.iter().find(|text| text.contains(secret));
        assert!(told.is_none(), "{secret} is in: {}", told.unwrap());
    }
}

#[test]
fn no_redirect_is_followed_and_the_server_that_it_names_sees_nothing() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let target = format!("http://{}/elsewhere?with=query", other.local_addr().unwrap());
    for login in [PortLogin::Token, PortLogin::Client] {
        for status in [300, 301, 302, 303, 307, 308] {
            let sandbox = service(login);
            let redirect = Answer::json(status, "{}").with("Location", &target);
            let every_request = When::Picked(std::sync::Arc::new(|_| true));
            sandbox.step(Step::new(every_request, Action::Answer(redirect)));
            let catalog = Catalog::of(&sandbox, &Api::ALL);
            let failed = catalog.run(&["collect", "-v", "--json"]);
            assert_eq!(failed.code, 3, "{}", failed.stderr);
            for (stream, summary) in failed.summary() {
                let error = summary["error"].as_str().unwrap();
                assert!(error.contains("redirects are not followed"), "{stream}: {error}");
            }
            assert_untold(&secrets(&sandbox), &catalog, &failed);
        }
    }
    let nobody = other.accept().unwrap_err();
    assert_eq!(
        nobody.kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody followed a redirect"
    );
}

#[test]
fn a_service_that_repeats_the_secrets_it_was_sent_is_quoted_without_them() {
    for login in [PortLogin::Token, PortLogin::Client] {
        for status in [200, 400, 401, 429] {
            let sandbox = service(login);
            let secrets = secrets(&sandbox);
            let said = format!("no good: {}", secrets.join(" or "));
            let body = format!(
                r#"{{"ok":false,"message":"{said}","error":"{said}","errors":[{{"title":"{said}"}}],"code":7}}"#
            );
            let every_request = When::Picked(std::sync::Arc::new(|_| true));
            sandbox.step(Step::new(every_request, Action::Answer(Answer::json(status, body))));
            let catalog = Catalog::of(&sandbox, &Api::ALL);
            let failed = catalog.run(&["collect", "-v"]);
            assert_eq!(failed.code, 3, "{}", failed.stderr);
            assert!(failed.stderr.contains("no good") || status == 200, "{}", failed.stderr);
            // Those of other streams too: how they have come to the service is another matter.
            assert_untold(&secrets, &catalog, &failed);
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_and_folders_have_their_modes_whatever_the_umask_says() {
    let bad = trailkeeper::sandbox::Event::new(now(), "bad", r#"{"uniqId":"1","date":"never"}"#);
    for umask in ["000", "022", "077", "777"] {
        for file_mode in [None, Some("0600"), Some("0664")] {
            let sandbox = service(PortLogin::Token);
            sandbox.add(Api::Mail, vec![bad.clone()]);
            let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
            if let Some(mode) = file_mode {
                catalog.set("FILE_MODE", mode);
            }
            let run = catalog.run_in_shell(&format!("umask {umask}"), &["collect", "-q"]);
            assert_eq!(run.code, 0, "{}", run.stderr);
            let expected = file_mode.map_or(0o640, |mode| u32::from_str_radix(mode, 8).unwrap());
            let folder = catalog.folder(Api::Mail);
            let state = folder.join(".trailkeeper");
            for name in catalog.day_files(Api::Mail).into_keys() {
                assert_eq!(mode(&folder.join(&name)), expected, "{name}, umask {umask}");
            }
            assert_eq!(mode(&state), 0o750, "umask {umask}");
            let names: Vec<_> = fs::read_dir(&state)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            for ending in [".lock", ".rejected.jsonl", ".coverage.jsonl"] {
                let path = names.iter().find(|path| path.to_str().unwrap().ends_with(ending));
                assert_eq!(mode(path.unwrap()), 0o640, "{ending}, umask {umask}");
            }
        }
    }
}

#[test]
fn files_with_tokens_that_everyone_can_read_are_warned_about_and_private_ones_are_not() {
    let sandbox = service(PortLogin::Token);
    for (open, expected) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
        let mut catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        let token = catalog.unset("TFC_ORG_TOKEN");
        let (secret, settings) = (catalog.root().join("token"), catalog.root().join(".env"));
        fs::write(&secret, token).unwrap();
        catalog.set("TFC_ORG_TOKEN_FILE", secret.display());
        fs::write(&settings, catalog.env_text()).unwrap();
        catalog.clear();
        for path in [&secret, &settings] {
            fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
        }
        let run = catalog.run(&["collect"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        for name in [".env", "token"] {
            let warning = format!("{name} can be read by every user of this machine");
            assert_eq!(
                run.stderr.contains(&warning),
                expected,
                "{open:o} {name}: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_secret_of_a_sink_that_everyone_can_read_is_warned_about() {
    let sandbox = service(PortLogin::Token);
    let mut catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let secret = catalog.root().join("token");
    fs::write(&secret, "invented").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    catalog.set("HTTP_FORWARD_URL", "http://127.0.0.1:9");
    catalog.set("HTTP_FORWARD_TOKEN_FILE", secret.display());
    for arguments in [&["forward", "http"][..], &["collect", "--forward-http"]] {
        let run = catalog.run(arguments);
        let warning = "token can be read by every user of this machine";
        assert!(run.stderr.contains(warning), "{}", run.stderr);
    }
}

#[test]
fn whatever_stands_in_the_place_of_a_day_file_is_refused_by_name_and_left_alone() {
    let api = Api::Disk;
    for what in ["symbolic link", "hard link", "pipe", "folder"] {
        let sandbox = serve(|options| options.give(api, vec![event(api, now(), "today"), event(api, now(), "too")]));
        let catalog = Catalog::of(&sandbox, &[api]);
        let day = sandbox.events(api)[0].time.date_naive();
        let path = catalog.folder(api).join(format!("{}_{day}.log", base_name(api)));
        let target = catalog.root().join("target");
        fs::write(&target, "untouched\n").unwrap();
        match what {
            "symbolic link" => symlink(&target, &path).unwrap(),
            "hard link" => fs::hard_link(&target, &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => assert_eq!(process::run(Command::new("mkfifo").arg(&path)).code, 0),
        }
        let failed = catalog.run(&["collect", "--json"]);
        assert_eq!(failed.code, 3, "{what}: {}", failed.stderr);
        let error = failed.summary()["yandex-disk"]["error"].as_str().unwrap().to_owned();
        assert!(error.contains(path.to_str().unwrap()), "{what}: {error}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched\n", "{what}");
        match what {
            "folder" => fs::remove_dir(&path).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        catalog.collect(0, &[]);
        catalog.assert_holds(api, &sandbox.events(api));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_running_process_shows_no_token_and_leaves_no_core() {
    let sandbox = serve(|options| {
        let slow = Action::Wait(Duration::from_secs(60));
        options
            .give(Api::Tfc, events(Api::Tfc, 5, 60))
            .step(Step::at(Api::Tfc, 1, slow))
    });
    let mut catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let secrets = secrets(&sandbox);
    fs::write(catalog.root().join(".env"), catalog.env_text()).unwrap();
    catalog.clear();
    let mut command = catalog.command(&["collect", "-q"]);
    // Who is root may look at everything; whom the files of a process belong to shows all the same in whose hands it is.
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        for path in [
            catalog.root().to_owned(),
            catalog.folder(Api::Tfc),
            catalog.root().join(".env"),
        ] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut run = Process::start(&mut command);
    wait_until("the run asks", PATIENCE, || {
        run.assert_running();
        sandbox.request_count(Api::Tfc) > 0
    });
    let proc = Path::new("/proc").join(run.id().to_string());
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"],
        "{core}"
    );
    assert_eq!(
        fs::metadata(proc.join("environ")).unwrap().uid(),
        0,
        "other processes of the user can look inside"
    );
    for name in ["cmdline", "environ"] {
        let text = fs::read(proc.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{name}");
    }
}

/// The user and group that own nothing.
#[cfg(target_os = "linux")]
const NOBODY: u32 = 65_534;

#[test]
fn no_value_of_the_program_shows_a_secret_when_it_is_printed_for_debugging() {
    for login in [PortLogin::Token, PortLogin::Client] {
        let sandbox = service(login);
        let catalog = Catalog::of(&sandbox, &Api::ALL);
        let env = Env::from_pairs(catalog.variables());
        let config = Config::read(&env, SOURCES, &[]).unwrap();
        let mut shown = format!("{env:?} {config:?} {config:#?}");
        for stream in &config.streams {
            shown.push_str(&format!("{:?}", stream.source.authorization()));
        }
        for secret in secrets(&sandbox) {
            assert!(!shown.contains(&secret), "{shown}");
        }
    }
}

#[test]
fn an_advice_names_the_file_of_a_token_where_it_stands_in_one() {
    for login in [PortLogin::Token, PortLogin::Client] {
        let sandbox = service(login);
        let refused = Answer::json(401, "{}");
        let every_request = When::Picked(std::sync::Arc::new(|_| true));
        sandbox.step(Step::new(every_request, Action::Answer(refused)));
        let mut catalog = Catalog::of(&sandbox, &Api::ALL);
        let variables = sandbox.variables().into_iter().map(|(name, _)| name);
        let secrets: Vec<_> = variables
            .filter(|name| ["TOKEN", "SECRET"].iter().any(|part| name.contains(part)))
            .collect();
        for name in &secrets {
            let path = catalog.root().join(name);
            // As Windows editors write it.
            fs::write(&path, format!("\u{feff}{}\r\n", catalog.unset(name))).unwrap();
            catalog.set(&format!("{name}_FILE"), path.to_str().unwrap());
        }
        let failed = catalog.run(&["collect", "--json"]);
        let errors: String = failed
            .summary()
            .into_values()
            .map(|summary| summary["error"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(errors.matches("answered 401").count(), Api::ALL.len(), "{errors}");
        for name in &secrets {
            let in_file = format!("{name}_FILE");
            assert!(errors.contains(&in_file), "{in_file}: {errors}");
            assert_eq!(
                errors.matches(name).count(),
                errors.matches(&in_file).count(),
                "{errors}"
            );
        }
    }
}
