//! The lock of a catalog when its file or the whole folder is replaced under a run: never two writers.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use trailkeeper::archive::{Location, Lock};
use trailkeeper::sandbox::{Action, Api, Sandbox, Step};

use super::follow::{rounds_until, start};
use super::support::{Catalog, PATIENCE, Process, at, base_name, event, events, now, serve, wait_until};

const API: Api = Api::Tfc;

/// How long an answer takes during which the folder is replaced.
const SLOW: Duration = Duration::from_secs(3);

fn service() -> (Sandbox, Catalog) {
    let sandbox = serve(|options| options.give(API, events(API, 7, 100)));
    let catalog = Catalog::of(&sandbox, &[API]);
    (sandbox, catalog)
}

/// Gives a new record, and waits until a run has asked for it and has to wait for the answer.
fn wait_for_a_slow_answer(sandbox: &Sandbox, id: &str) {
    sandbox.add(API, vec![event(API, at(20), id)]);
    let before = sandbox.request_count(API);
    sandbox.step(Step::at(API, before + 1, Action::Wait(SLOW)));
    wait_until("the slow request", PATIENCE, || sandbox.request_count(API) > before);
}

fn lock(catalog: &Catalog) -> Lock {
    let location = Location::new(catalog.folder(API), &base_name(API), "log").unwrap();
    Lock::acquire(&location, now()).unwrap()
}

fn remove_state(catalog: &Catalog) {
    fs::remove_dir_all(catalog.folder(API).join(".trailkeeper")).unwrap();
}

#[track_caller]
fn assert_lost(error: &Value) {
    let error = error.as_str().unwrap();
    for part in [
        "tfc_audit.lock",
        "is not the file that this run has locked",
        "nothing more is written",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

/// The next round that did not end well, or the next one that did.
fn next_round(running: &mut Process, status: &str) -> Value {
    rounds_until(running, |round| round["status"] == status).pop().unwrap()
}

#[test]
fn a_run_whose_lock_file_was_removed_writes_nothing_while_another_holds_the_new_one_and_then_goes_on() {
    let (sandbox, catalog) = service();
    let mut running = start(&catalog, &["--json"]);
    next_round(&mut running, "complete");
    let before = catalog.day_files(API);
    wait_for_a_slow_answer(&sandbox, "new");
    remove_state(&catalog);
    let other = lock(&catalog);
    assert_lost(&next_round(&mut running, "failed")["error"]);
    let held = next_round(&mut running, "failed");
    assert!(
        held["error"].as_str().unwrap().starts_with("another run (pid "),
        "{held}"
    );
    assert_eq!(catalog.day_files(API), before);
    let state: Vec<_> = fs::read_dir(catalog.folder(API).join(".trailkeeper"))
        .unwrap()
        .collect();
    assert_eq!(state.len(), 1, "nothing but the lock of the other: {state:?}");
    drop(other);
    next_round(&mut running, "complete");
    assert_eq!(running.terminate().code, 0);
    catalog.assert_holds(API, &sandbox.events(API));
}

#[test]
fn a_run_whose_folder_was_replaced_fails_and_the_next_one_goes_on_in_the_new_folder() {
    let (sandbox, catalog) = service();
    let mut running = start(&catalog, &["--json"]);
    next_round(&mut running, "complete");
    wait_for_a_slow_answer(&sandbox, "new");
    let (folder, away) = (catalog.folder(API), catalog.root().join("away"));
    fs::rename(&folder, &away).unwrap();
    fs::create_dir(&folder).unwrap();
    assert_lost(&next_round(&mut running, "failed")["error"]);
    let round = next_round(&mut running, "complete");
    assert_eq!(round["appended"], 8, "{round}");
    catalog.assert_holds(API, &sandbox.events(API));
    // It holds the lock of the new folder, and not that of the old one.
    assert_eq!(catalog.run(&["collect"]).code, 4);
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    drop(lock(&catalog));
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn between_rounds_the_lock_is_taken_again_without_a_failure() {
    let (sandbox, catalog) = service();
    let mut running = start(&catalog, &["--json"]);
    next_round(&mut running, "complete");
    remove_state(&catalog);
    let file = catalog.folder(API).join(".trailkeeper/tfc_audit.lock");
    wait_until("the new lock", PATIENCE, || file.exists());
    sandbox.add(API, vec![event(API, at(20), "new")]);
    let rounds = rounds_until(&mut running, |round| round["appended"] == 1);
    assert!(rounds.iter().all(|round| round["status"] == "complete"), "{rounds:#?}");
    assert_eq!(catalog.run(&["collect"]).code, 4);
    assert_eq!(running.terminate().code, 0);
    catalog.assert_holds(API, &sandbox.events(API));
}

#[test]
fn a_single_run_ends_with_an_error_that_says_what_happened() {
    let (sandbox, catalog) = service();
    sandbox.step(Step::at(API, 1, Action::Wait(SLOW)));
    let running = catalog.start(&["collect", "--json"]);
    wait_until("the slow request", PATIENCE, || sandbox.request_count(API) > 0);
    remove_state(&catalog);
    let run = running.end();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_lost(&run.summary()["tfc"]["error"]);
    assert!(catalog.day_files(API).is_empty());
    catalog.collect(0, &[]);
    catalog.assert_holds(API, &sandbox.events(API));
}

#[test]
fn base_names_whose_state_files_would_be_the_same_are_refused() {
    let sandbox = serve(|options| options);
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk]);
    let folder = catalog.folder(Api::Mail);
    catalog.set("DISK_LOG_CATALOG_LOCATION", folder.to_str().unwrap());
    for (mail, disk) in [("a", "a.http"), ("a.kafka", "a")] {
        catalog.set("MAIL_LOG_FILE_BASE_NAME", mail);
        catalog.set("DISK_LOG_FILE_BASE_NAME", disk);
        for arguments in [
            &["collect"][..],
            &["collect", "--stream", "yandex-mail"],
            &["forward", "stdout"],
        ] {
            let run = catalog.run(arguments);
            assert_eq!(run.code, 1, "{arguments:?}: {}", run.stderr);
            for name in ["MAIL_LOG_FILE_BASE_NAME", "DISK_LOG_FILE_BASE_NAME"] {
                assert!(run.stderr.contains(name), "{arguments:?}: {}", run.stderr);
            }
        }
    }
    catalog.set("MAIL_LOG_FILE_BASE_NAME", "a.mail");
    catalog.collect(0, &[]);
}

#[test]
fn a_run_whose_lock_is_held_says_so_as_json() {
    let (_sandbox, catalog) = service();
    let held = lock(&catalog);
    for command in ["collect", "reconcile"] {
        let run = catalog.run(&[command, "--json"]);
        let said: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{:?}", run.stdout));
        assert_eq!(
            (run.code, &said["exit_code"], &said["error"]["kind"]),
            (4, &4.into(), &"held".into())
        );
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("tfc: another run (pid "), "{message}");
        assert_eq!(catalog.run(&[command]).stdout, "");
    }
    drop(held);
}
