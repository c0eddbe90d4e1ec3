//! Signals that a service is sent besides those that end it: SIGHUP reads the settings again, others change nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use trailkeeper::sandbox::{Action, Api, Sandbox, Step};

use super::follow::rounds_until;
use super::support::{Catalog, PATIENCE, Process, at, event, events, serve, wait_for, wait_until};

fn two_streams() -> Sandbox {
    serve(|options| {
        let options = options.give(Api::Mail, events(Api::Mail, 5, 100));
        options.give(Api::Tfc, events(Api::Tfc, 7, 100))
    })
}

/// A catalog whose settings stand in a file, since nobody can change the environment of a process.
struct InFile {
    catalog: Catalog,
    path: PathBuf,
}

impl InFile {
    fn of(sandbox: &Sandbox, apis: &[Api]) -> Self {
        let mut catalog = Catalog::of(sandbox, apis);
        let path = catalog.root().join("settings.env");
        fs::write(&path, catalog.env_text()).unwrap();
        catalog.clear();
        Self { catalog, path }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    fn start(&self) -> Process {
        let path = self.path.to_str().unwrap();
        let arguments = ["collect", "--follow", "--interval", "1s", "--json", "--env-file", path];
        self.catalog.start(&arguments)
    }

    /// Waits until the log has a line with this text; the line.
    fn logged(&self, text: &str) -> String {
        wait_for(&format!("the log has {text:?}"), PATIENCE, || {
            let log = self.catalog.app_log();
            log.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }
}

fn is_of(stream: &str) -> impl FnMut(&Value) -> bool {
    move |round| round["stream"] == stream
}

#[test]
fn signals_for_users_end_nothing() {
    let sandbox = two_streams();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let mut running = super::follow::start(&catalog, &["--json"]);
    rounds_until(&mut running, is_of("tfc"));
    for signal in [Signal::USR1, Signal::USR2, Signal::HUP] {
        running.signal(signal);
        rounds_until(&mut running, is_of("tfc"));
        rounds_until(&mut running, is_of("tfc"));
    }
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn a_limit_of_the_size_of_files_is_an_error_like_a_full_disk() {
    let records: Vec<_> = (0..600)
        .map(|n| event(Api::Tfc, at(60 + n), &format!("id-{n}")))
        .collect();
    let sandbox = serve(|options| options.give(Api::Tfc, records));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    // In blocks of 512 bytes.
    let run = catalog.run_in_shell("ulimit -f 40", &["collect", "--json"]);
    assert_eq!(run.code, 3, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
    let error = run.summary()["tfc"]["error"].to_string();
    assert!(
        error.contains("File too large") && error.contains("tfc_audit_"),
        "{error}"
    );
    catalog.collect_one(0, &[]);
    // The torn line ends where the limit was, and is noted as rejected.
    let lines = catalog.lines(Api::Tfc);
    let records: BTreeSet<_> = lines
        .iter()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok())
        .collect();
    assert_eq!(records.len(), 600);
    assert_eq!(lines.len() - 600, catalog.rejected_lines(Api::Tfc).len());
}

#[test]
fn at_a_hangup_the_settings_are_read_again() {
    let sandbox = two_streams();
    let all = InFile::of(&sandbox, &[Api::Mail, Api::Tfc]);
    let with_both = all.text();
    let is_of_tfc = |line: &&str| !line.starts_with("TFC_LOG_CATALOG_LOCATION");
    let with_mail: String = with_both
        .lines()
        .filter(is_of_tfc)
        .map(|line| format!("{line}\n"))
        .collect();
    all.write(&with_mail);
    let mut running = all.start();
    let rounds = rounds_until(&mut running, is_of("yandex-mail"));
    assert!(rounds.iter().all(|round| round["stream"] != "tfc"));

    // A stream more.
    all.write(&with_both);
    running.signal(Signal::HUP);
    rounds_until(&mut running, is_of("tfc"));
    let said = all.logged("the settings were read again");
    assert!(said.contains("TFC_LOG_CATALOG_LOCATION"), "{said}");
    assert!(!said.contains("MAIL"), "{said}");

    // What is wrong is said, and what was right goes on.
    all.write(&with_both.replace("TFC_LOG_FILE_BASE_NAME='", "TFC_LOG_FILE_BASE_NAME='a/b"));
    running.signal(Signal::HUP);
    let said = all.logged("ERROR:\tthe settings could not be read again");
    assert!(said.contains("TFC_LOG_FILE_BASE_NAME"), "{said}");
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "later")]);
    rounds_until(&mut running, |round| round["stream"] == "tfc" && round["appended"] == 1);

    // A stream less.
    all.write(&with_mail);
    running.signal(Signal::HUP);
    wait_until("it says so", PATIENCE, || {
        all.catalog.app_log().matches("the settings were read again").count() == 2
    });
    assert_eq!(
        all.catalog
            .collect(0, &["--env-file", all.path.to_str().unwrap(), "--dry-run"])
            .len(),
        1
    );
    all.write(&with_both);
    let of_tfc = ["--stream", "tfc", "--env-file", all.path.to_str().unwrap()];
    wait_until("its catalog is free", PATIENCE, || {
        all.catalog.run(&[&["collect", "--json"], &of_tfc[..]].concat()).code == 0
    });
    assert_eq!(running.terminate().code, 0);
    for api in [Api::Mail, Api::Tfc] {
        all.catalog.assert_holds(api, &sandbox.events(api));
    }
}

#[test]
fn a_hangup_without_a_change_disturbs_nothing_and_says_so() {
    let sandbox = two_streams();
    let all = InFile::of(&sandbox, &[Api::Mail, Api::Tfc]);
    let mut running = all.start();
    rounds_until(&mut running, is_of("tfc"));
    running.signal(Signal::HUP);
    all.logged("INFO:\tthe settings were read again: nothing has changed");
    rounds_until(&mut running, is_of("tfc"));
    // What the end of the program stops is not looked at.
    let log = all.catalog.app_log();
    assert!(!log.contains("stopped"), "{log}");
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn at_a_hangup_a_new_log_file_and_a_new_token_are_taken() {
    let sandbox = two_streams();
    let all = InFile::of(&sandbox, &[Api::Tfc]);
    let token = all.catalog.root().join("token");
    let text = all.text();
    let line = text.lines().find(|line| line.starts_with("TFC_ORG_TOKEN=")).unwrap();
    let value = line.split('\'').nth(1).unwrap();
    fs::write(&token, value).unwrap();
    all.write(&text.replace(line, &format!("TFC_ORG_TOKEN_FILE={}", token.display())));
    let mut running = all.start();
    rounds_until(&mut running, is_of("tfc"));

    fs::write(&token, "another-invented-token").unwrap();
    running.signal(Signal::HUP);
    let said = all.logged("the settings were read again");
    assert!(said.contains("TFC_ORG_TOKEN_FILE"), "{said}");
    assert!(!said.contains("another-invented-token"), "{said}");
    rounds_until(&mut running, |round| !round["error"].is_null());
    fs::write(&token, value).unwrap();
    running.signal(Signal::HUP);
    rounds_until(&mut running, |round| round["error"].is_null());

    all.write(&(all.text() + "APP_LOG_FILE=other.log\n"));
    running.signal(Signal::HUP);
    let other = all.catalog.root().join("other.log");
    wait_until("the other log file has a round", PATIENCE, || {
        fs::read_to_string(&other).is_ok_and(|log| log.contains("INFO:\tcomplete"))
    });
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn a_log_file_that_was_renamed_is_begun_anew() {
    let sandbox = two_streams();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let mut running = super::follow::start(&catalog, &["--json"]);
    rounds_until(&mut running, is_of("tfc"));
    let [path, renamed] = ["get_audit_logs.log", "renamed.log"].map(|name| catalog.root().join(name));
    fs::rename(&path, &renamed).unwrap();
    wait_until("the log is begun anew", PATIENCE, || {
        fs::read_to_string(&path).is_ok_and(|log| log.contains("INFO:\tcomplete"))
    });
    let size = fs::metadata(&renamed).unwrap().len();
    rounds_until(&mut running, is_of("tfc"));
    assert_eq!(running.terminate().code, 0);
    assert_eq!(fs::metadata(&renamed).unwrap().len(), size);
}

/// Starts a program whose output nobody reads: the pipe is full.
fn unread(command: &mut Command, is_stdout: bool) -> (Process, std::io::PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let size = rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    writer.write_all(&vec![b'\n'; size]).unwrap();
    let command = if is_stdout {
        command.stdout(writer)
    } else {
        command.stderr(writer)
    };
    let process = Process::start(command);
    // The command would keep the pipe open.
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    (process, reader)
}

#[test]
fn a_stderr_that_nobody_reads_holds_nothing_up() {
    let sandbox = two_streams();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let follow = ["collect", "--follow", "--interval", "1s", "--json", "-v"];
    let (mut running, _unread) = unread(&mut catalog.command(&follow), false);
    let mut rounds = 0;
    rounds_until(&mut running, |_| {
        rounds += 1;
        rounds == 8
    });
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn a_stdout_that_nobody_reads_holds_up_neither_rounds_nor_the_end() {
    let sandbox = two_streams();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let (running, _unread) = unread(
        &mut catalog.command(&["collect", "--follow", "--interval", "1s", "--json"]),
        true,
    );
    wait_until("three rounds were made", PATIENCE, || {
        fs::read_to_string(catalog.root().join("get_audit_logs.log"))
            .is_ok_and(|log| log.matches("INFO:\tcomplete").count() >= 3)
    });
    let run = running.terminate();
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(catalog.app_log().contains("standard output"), "{}", catalog.app_log());
}

#[test]
fn what_was_said_before_the_end_is_read_however_late() {
    let sandbox = two_streams();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let mut command = catalog.command(&["collect", "-v"]);
    let (running, reader) = unread(&mut command, false);
    let (sender, late) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        sender.send(std::io::read_to_string(reader).unwrap())
    });
    assert_eq!(running.end().code, 0);
    drop(command);
    let (read, log) = (late.recv_timeout(PATIENCE).unwrap(), catalog.app_log());
    let read = read.trim_start();
    assert_eq!(read.lines().count(), log.lines().count(), "{read}\n{log}");
}

#[test]
fn a_log_file_that_cannot_be_taken_changes_nothing_and_is_named() {
    let sandbox = two_streams();
    let all = InFile::of(&sandbox, &[Api::Tfc]);
    let text = all.text();
    let mut running = all.start();
    rounds_until(&mut running, is_of("tfc"));
    let (day_file, _) = all.catalog.day_files(Api::Tfc).pop_last().unwrap();
    let day_file = all.catalog.folder(Api::Tfc).join(day_file);
    let held = fs::read(&day_file).unwrap();
    for other in ["/nonexistent/x.log", day_file.to_str().unwrap(), "settings.env"] {
        all.write(&format!("{text}APP_LOG_FILE='{other}'\n"));
        running.signal(Signal::HUP);
        wait_until(&format!("the log says that {other} cannot be taken"), PATIENCE, || {
            let log = all.catalog.app_log();
            log.matches("APP_LOG_FILE must ").count() > 0 && log.contains(&format!("`{other}`"))
                || log.contains("a day file")
        });
        rounds_until(&mut running, is_of("tfc"));
    }
    let log = all.catalog.app_log();
    assert!(!log.contains("APP_LOG_FILE changed"), "{log}");
    assert_eq!(fs::read(&day_file).unwrap(), held);
    let run = running.terminate();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("missing"), "{}", run.stderr);
}

#[test]
fn a_reload_tells_of_no_shutdown_and_another_form_of_the_log_of_no_new_start() {
    let sandbox = two_streams();
    let all = InFile::of(&sandbox, &[Api::Tfc]);
    let mut running = all.start();
    rounds_until(&mut running, is_of("tfc"));
    all.write(&(all.text() + "LOG_FORMAT=json\n"));
    running.signal(Signal::HUP);
    all.logged("another LOG_FORMAT is taken when the program is started again");
    all.logged("INFO:\tthe settings were read again: nothing has changed");
    assert_eq!(running.terminate().code, 0);
    let log = all.catalog.app_log();
    assert!(!log.contains("anew") && !log.contains("stopped by a shutdown"), "{log}");
}

#[test]
fn a_reader_of_the_summaries_that_goes_away_is_told_once() {
    let sandbox = two_streams();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = catalog.command(&["collect", "--follow", "--interval", "1s", "--json"]);
    let running = Process::start(command.stdout(writer));
    drop(command);
    drop(reader);
    wait_until("it is told", PATIENCE, || {
        fs::read_to_string(catalog.root().join("get_audit_logs.log"))
            .is_ok_and(|log| log.contains("the reader of standard output has gone away"))
    });
    let run = running.terminate();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr.matches("has gone away").count(), 1, "{}", run.stderr);
}

#[test]
fn a_single_run_ends_cleanly_with_its_terminal_unless_it_was_to_survive_it() {
    for (first, code) in [(":", 3), ("trap '' HUP", 0)] {
        let sandbox = serve(|options| {
            let options = options.give(Api::Tfc, events(Api::Tfc, 7, 100));
            options.step(Step::at(Api::Tfc, 1, Action::Wait(Duration::from_secs(2))))
        });
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        let mut shell = Command::new("/bin/sh");
        shell
            .args([
                "-c",
                &format!("{first}; exec \"$0\" collect"),
                env!("CARGO_BIN_EXE_trailkeeper"),
            ])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let running = Process::start(catalog.place(&mut shell));
        wait_until("it asks", PATIENCE, || sandbox.request_count(Api::Tfc) > 0);
        running.signal(Signal::HUP);
        let run = running.end();
        assert_eq!(run.code, code, "{first}: {}", run.stderr);
        assert_eq!(
            run.stderr.contains("shutting down"),
            code == 3,
            "{first}: {}",
            run.stderr
        );
    }
}

#[test]
fn at_a_hangup_without_the_settings_file_that_is_what_is_said() {
    let sandbox = two_streams();
    let mut catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let path = catalog.root().join(".env");
    fs::write(&path, catalog.env_text()).unwrap();
    catalog.clear();
    let mut running = catalog.start(&["collect", "--follow", "--interval", "1s", "--json"]);
    rounds_until(&mut running, |round| round["stream"] == "tfc");
    fs::remove_file(&path).unwrap();
    running.signal(Signal::HUP);
    let said = running.complaint_with("the settings could not be read again");
    assert!(said.contains(".env is gone") && !said.contains("is required"), "{said}");
    rounds_until(&mut running, |round| round["stream"] == "tfc");
    assert_eq!(running.terminate().code, 0);
}
