//! `init` on a terminal: a pseudo-terminal that a test types into.

#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use trailkeeper::sandbox::{Api, PortLogin, Sandbox};

use super::support::{Catalog, Session, events, serve};

/// The services, and a working folder whose environment only says where they are.
fn services() -> (Sandbox, Catalog) {
    let sandbox = serve(|mut options| {
        options.port_login = PortLogin::Client;
        options.give(Api::Tfc, events(Api::Tfc, 3, 100))
    });
    let mut catalog = Catalog::bare();
    for (name, value) in sandbox.variables() {
        if name.ends_with("_API_URL") {
            catalog.set(&name, value);
        }
    }
    (sandbox, catalog)
}

fn variable(sandbox: &Sandbox, name: &str) -> String {
    let variables = sandbox.variables();
    variables.into_iter().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn the_answers_become_private_settings_that_work() {
    let (sandbox, catalog) = services();
    let home = catalog.root().display().to_string();
    let mut catalog = catalog.with("HOME", home);
    let mut session = Session::start(&catalog, &["init", "--root", "no-systemd-here"]);
    let token = variable(&sandbox, "OAUTH_TOKEN_ARG");
    session.answers("Collect yandex-mail?", "y");
    session.answers(
        "OAuth token of an administrator",
        &format!("mistyped\u{15}{token}x\u{7f}"),
    );
    session.answers("Number of the organization", "mine");
    session.sees("ORGANIZATION_ID_ARG must be a whole number");
    // The token was right, and is not asked for again.
    session.answers("Number of the organization", &variable(&sandbox, "ORGANIZATION_ID_ARG"));
    session.answers("Folder for the day files", "logs/mail");
    session.answers("Create it?", "");
    session.answers("First part of the file names", "a/b");
    session.sees("It must be");
    session.answers("First part of the file names", "");
    // The credentials are those of the stream before.
    session.answers("Collect yandex-disk?", "yes");
    session.answers("Folder for the day files", "~/logs of disk");
    session.answers("Create it?", "y");
    session.answers("First part of the file names", "disk");
    session.answers("Collect yandex-audit?", "");
    session.answers("Collect port?", "n");
    session.answers("Collect tfc?", "y");
    session.answers("Organization token", &variable(&sandbox, "TFC_ORG_TOKEN"));
    session.answers("Address of the API", "");
    session.answers("Folder for the day files", "logs/mail");
    session.answers("First part of the file names", "tfc_audit");
    session.sees("Checking it:");
    session.sees("Next: trailkeeper collect --env-file .env");
    let (code, stdout, shown) = session.end();
    assert_eq!(code, 0, "{stdout}\n{shown}");
    for stream in ["yandex-mail", "yandex-disk", "tfc"] {
        assert!(stdout.contains(stream), "{stdout}");
    }
    for secret in [token, variable(&sandbox, "TFC_ORG_TOKEN")] {
        assert!(
            !shown.contains(&secret) && !stdout.contains(&secret),
            "a token was shown:\n{shown}"
        );
    }
    let path = catalog.root().join(".env");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    catalog.unset("HOME");
    assert_eq!(catalog.run(&["collect"]).code, 0);
    for folder in ["logs/mail", "logs of disk"] {
        assert!(fs::read_dir(catalog.root().join(folder)).unwrap().count() > 0);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_anything_is_asked() {
    let catalog = Catalog::bare();
    let (code, _, shown) = Session::start(&catalog, &["init", "--env-file", "nowhere/x.env"]).end();
    assert_eq!(code, 1);
    assert!(shown.contains("cannot write nowhere/x.env"), "{shown}");
    assert!(!shown.contains("Collect "), "{shown}");
}

/// Programs that note how they are called instead of changing the machine.
fn stand_ins(folder: &Path) -> String {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["install", "groupadd", "useradd", "chown", "systemctl"] {
        let path = bin.join(name);
        let log = folder.join("commands");
        let does = if name == "install" {
            "for last; do :; done; case $1 in -d) mkdir -p \"$last\";; esac"
        } else {
            ":"
        };
        let script = format!("#!/bin/sh\necho {name} \"$@\" >> '{}'\n{does}\n", log.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", bin.display())
}

#[test]
fn as_root_it_ends_with_a_service_whose_tokens_are_credentials() {
    let (sandbox, catalog) = services();
    let root = catalog.root().join("root");
    for folder in ["run/systemd/system", "etc/systemd/system"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let path = stand_ins(catalog.root());
    let catalog = catalog.with("PATH", path);
    let token = variable(&sandbox, "TFC_ORG_TOKEN");
    let mut session = Session::start(&catalog, &["init", "--root", root.to_str().unwrap()]);
    for stream in ["yandex-mail", "yandex-disk", "yandex-audit", "port"] {
        session.answers(&format!("Collect {stream}?"), "n");
    }
    session.answers("Collect tfc?", "y");
    session.answers("Organization token", &token);
    session.answers("Address of the API", &format!("{}/", sandbox.url()));
    session.answers("Folder for the day files", "tfc");
    session.answers("Create it?", "y");
    session.answers("First part of the file names", "");
    session.answers(
        "Install and start it as a systemd service, with a user of its own?",
        "y",
    );
    session.sees("The service runs");
    let (code, stdout, shown) = session.end();
    assert_eq!(code, 0, "{stdout}\n{shown}");

    let commands = fs::read_to_string(catalog.root().join("commands")).unwrap();
    let folder = catalog.root().join("tfc").display().to_string();
    let expected = [
        "groupadd --system trailkeeper".to_owned(),
        "useradd --system --gid=trailkeeper --home-dir=/var/lib/trailkeeper --shell=/usr/sbin/nologin trailkeeper"
            .to_owned(),
        format!("install -d -o trailkeeper -g trailkeeper -m 2750 {folder}"),
        format!("chown -R trailkeeper:trailkeeper {folder}"),
        "systemctl daemon-reload".to_owned(),
        "systemctl enable --now trailkeeper.service".to_owned(),
    ];
    let places: Vec<_> = expected
        .iter()
        .map(|line| commands.lines().position(|found| found == line))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{commands}");
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("etc/trailkeeper/tfc_org_token"), format!("{token}\n"));
    let settings = read("etc/trailkeeper/trailkeeper.env");
    assert!(
        settings.contains("TFC_LOG_CATALOG_LOCATION=") && !settings.contains(&token),
        "{settings}"
    );
    let unit = read("etc/systemd/system/trailkeeper.service");
    assert!(unit.contains("\nLoadCredential=tfc_org_token:"), "{unit}");
    assert!(
        unit.contains("\n#LoadCredential=oauth_token:") && !unit.contains(&token),
        "{unit}"
    );
    assert!(unit.contains(&format!("ReadWritePaths=\"{folder}\"")), "{unit}");
    for name in ["tfc_org_token", "trailkeeper.env"] {
        let mode = fs::metadata(root.join("etc/trailkeeper").join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!commands.contains(&token) && !shown.contains(&token), "{commands}");
}

#[test]
fn settings_that_are_there_are_never_overwritten() {
    let catalog = Catalog::bare();
    fs::write(catalog.root().join(".env"), "MINE=1\n").unwrap();
    let (code, _, shown) = Session::start(&catalog, &["init"]).end();
    assert_eq!(code, 1);
    assert!(shown.contains(".env exists already"), "{shown}");
    assert_eq!(fs::read_to_string(catalog.root().join(".env")).unwrap(), "MINE=1\n");
    std::os::unix::fs::symlink("nowhere", catalog.root().join("link.env")).unwrap();
    let (code, _, shown) = Session::start(&catalog, &["init", "--env-file", "link.env"]).end();
    assert_eq!(code, 1, "{shown}");
    assert!(!catalog.root().join("nowhere").exists());
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let catalog = Catalog::bare();
    let run = catalog.run(&["init"]);
    assert_eq!(run.code, 1);
    let expected = "init asks questions and needs a terminal";
    assert!(
        run.stderr.contains(expected) && run.stderr.contains(".env.example"),
        "{}",
        run.stderr
    );
    assert!(
        include_str!("../../docs/troubleshooting.md").contains(expected),
        "the manual has it in other words"
    );
    assert!(!catalog.root().join(".env").exists());
}

#[test]
fn ending_it_in_the_middle_of_a_token_leaves_no_file_and_the_echo_on() {
    let (_sandbox, catalog) = services();
    let mut session = Session::start(&catalog, &["init"]);
    session.answers("Collect yandex-mail?", "y");
    session.sees("OAuth token of an administrator");
    session.sees(": ");
    session.keyboard.write_all(b"half a tok\x03").unwrap();
    session.sees("nothing was written");
    let modes = rustix::termios::tcgetattr(&session.keyboard).unwrap().local_modes;
    assert!(modes.contains(rustix::termios::LocalModes::ECHO | rustix::termios::LocalModes::ICANON));
    let (code, _, shown) = session.end();
    assert_eq!(code, 1);
    assert!(!shown.contains("half a tok"), "{shown}");
    assert!(!catalog.root().join(".env").exists());
}

#[test]
fn choosing_no_stream_writes_nothing() {
    let catalog = Catalog::bare();
    let mut session = Session::start(&catalog, &["init"]);
    for stream in ["yandex-mail", "yandex-disk", "yandex-audit", "port", "tfc"] {
        session.answers(&format!("Collect {stream}?"), "n");
    }
    let (code, _, shown) = session.end();
    assert_eq!(code, 1);
    assert!(shown.contains("no stream was chosen"), "{shown}");
    assert!(!catalog.root().join(".env").exists());
}
