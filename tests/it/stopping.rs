//! Runs that are ended from outside, and runs that meet another one.
#![cfg(unix)]

use std::time::Duration;

use rustix::process::Signal;
use trailkeeper::sandbox::{Action, Api, Event, Sandbox, Step};

use super::support::{Catalog, PATIENCE, at, event, serve, streams, wait_until};

/// Services that take a while for each of many answers, and one of them so long for its fifth that no run which asks for
/// it ends by itself.
fn slow(latency: Duration) -> Sandbox {
    serve(|mut options| {
        options.latency = latency;
        for (_, api) in streams() {
            let records: Vec<Event> = (0..1_000)
                .map(|n| event(api, at(600 + n * 1_000), &n.to_string()))
                .collect();
            options = options.give(api, records);
        }
        options[Api::Tfc].page_cap = Some(50);
        options.step(Step::at(Api::Tfc, 5, Action::Wait(Duration::from_secs(50))))
    })
}

/// Whether somebody waits for the answer that takes so long.
fn hangs(sandbox: &Sandbox) -> bool {
    sandbox.request_count(Api::Tfc) >= 5
}

#[test]
fn ctrl_c_and_sigterm_end_a_run_between_writes_and_the_next_one_completes_it() {
    for wish in [Signal::INT, Signal::TERM] {
        let sandbox = slow(Duration::from_millis(40));
        let catalog = Catalog::of(&sandbox, &Api::ALL)
            .with("MAX_PAGES", 2)
            .with("PORT_PAGE_LIMIT", 50);
        let child = catalog.start(&["--json"]);
        let what = "something is filed and one service does not answer";
        wait_until(what, PATIENCE, || {
            hangs(&sandbox) && streams().iter().any(|(_, api)| !catalog.day_files(*api).is_empty())
        });
        child.signal(wish);
        let run = child.end();
        assert_eq!(run.code, 3, "{}", run.stderr);
        let stopped = run
            .summary()
            .into_values()
            .filter(|stream| stream["status"] == "failed")
            .count();
        assert!(stopped > 0, "{}", run.stdout);
        for (kind, api) in streams() {
            for (name, bytes) in catalog.day_files(api) {
                assert_eq!(bytes.last(), Some(&b'\n'), "{name} ends within a line");
            }
            let appended = run.summary()[kind.name]["appended"].as_u64().unwrap();
            assert_eq!(
                catalog.lines(api).len() as u64,
                appended,
                "what was appended counts and stays"
            );
        }
        catalog.collect(0, &[]);
        for (_, api) in streams() {
            catalog.assert_holds(api, &sandbox.events(api));
        }
    }
}

#[test]
fn a_second_run_while_one_is_under_way_is_refused_with_the_pid_of_the_first() {
    let sandbox = slow(Duration::from_millis(150));
    let catalog = Catalog::of(&sandbox, &Api::ALL).with("MAX_PAGES", 2);
    let first = catalog.start(&[]);
    let what = "one service does not answer the first run";
    wait_until(what, PATIENCE, || hangs(&sandbox));
    let other =
        Catalog::of(&sandbox, &[Api::Disk]).with("DISK_LOG_CATALOG_LOCATION", catalog.folder(Api::Disk).display());
    for second in [&catalog, &other] {
        let run = second.run(&["--json"]);
        assert_eq!(run.code, 4, "{}", run.stderr);
        assert!(run.stdout.contains(r#""kind":"held""#), "{}", run.stdout);
        assert!(run.stderr.contains(&format!("pid {}", first.id())), "{}", run.stderr);
        assert!(!run.stderr.contains("collecting"), "{}", run.stderr);
    }
    assert_eq!(first.terminate().code, 3);
    catalog.collect(0, &["--stream", "tfc"]);
}

#[test]
fn a_run_of_other_streams_does_not_disturb() {
    let sandbox = slow(Duration::from_millis(150));
    let catalog = Catalog::of(&sandbox, &Api::ALL).with("MAX_PAGES", 2);
    let first = catalog.start(&["--stream", "yandex-mail"]);
    wait_until("the first run asks", PATIENCE, || sandbox.request_count(Api::Mail) > 0);
    catalog.collect(0, &["--stream", "port"]);
    assert_eq!(first.end().code, 0);
}
