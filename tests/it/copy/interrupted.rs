//! Copies and restorings that are killed, and disks that are full: the next one goes on, and nobody takes a part for the whole.

use std::fs;
use std::time::Duration;

use trailkeeper::sandbox::{Api, Event, Options};

use super::super::support::random::{many, random};
use super::super::support::{Catalog, Process, at, event, serve};
use super::{DAY, copy, elsewhere, files, shown, store};

/// How often each is killed.
const KILLS: u32 = 12;

/// Enough for several parts of a second of work.
fn events() -> Vec<Event> {
    let of_day = |day: i64| {
        (0..40).map(move |n| {
            let mut event = event(Api::Mail, at(day * DAY + 600 + n), &format!("{day}-{n}"));
            let filler = "x".repeat(2_000);
            event.text = event.text.replacen('{', &format!(r#"{{"filler":"{filler}","#), 1);
            event
        })
    };
    (0..60).flat_map(of_day).collect()
}

fn kill_after(mut run: Process, delay: Duration) -> Option<i32> {
    std::thread::sleep(delay);
    run.ended()
}

#[test]
fn killed_at_random_moments_a_copy_and_a_restoring_go_on_and_end_whole() {
    let mut random = random();
    let sandbox = serve(|options| options.give(Api::Mail, events()));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (folder, url) = store(&catalog);
    for _ in 0..many(KILLS) {
        kill_after(
            catalog.start(&["copy", "--to", &url, "-q"]),
            Duration::from_millis(random.u64(1..400)),
        );
        // What a killed copy was about to write has a name of its own.
        let written = files(&folder).into_keys().filter(|name| !name.ends_with(".new"));
        let manifests = written.filter(|name| name.contains("manifests/")).count();
        assert!(manifests <= 1, "nothing is new after a whole copy");
    }
    assert_eq!(copy(&catalog, 0, &url)["copy"], 1);
    let names = files(&folder).into_keys().filter(|name| !name.ends_with(".new"));
    let objects = names.count() as u64;
    let again = copy(&catalog, 0, &url);
    assert_eq!(
        objects,
        again["streams"][0]["files"].as_u64().unwrap() + 1,
        "one part for each"
    );
    let other = elsewhere(&sandbox, &[Api::Mail]);
    for _ in 0..many(KILLS) {
        let code = kill_after(
            other.start(&["copy", "--from", &url, "-q"]),
            Duration::from_millis(random.u64(1..300)),
        );
        let is_whole = code == Some(0);
        let collect = other.run(&["pack", "-q"]).code;
        let is_begun = fs::read_dir(other.folder(Api::Mail)).unwrap().count() > 0;
        assert!(collect == 0 || !is_whole, "it is whole and cannot be used");
        if is_whole {
            break;
        }
        assert!(
            !is_begun || is_marked(&other) == (collect != 0),
            "a part is taken for the whole"
        );
    }
    if is_marked(&other) || fs::read_dir(other.folder(Api::Mail)).unwrap().count() == 0 {
        shown(&other, 0, &["copy", "--from", &url]);
    }
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
    assert_eq!(other.collect_one(0, &[])["appended"], 0);
}

fn is_marked(catalog: &Catalog) -> bool {
    let names = fs::read_dir(catalog.folder(Api::Mail).join(".trailkeeper"));
    let mut names = names.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().ends_with(".restoring"))
}

#[test]
fn a_disk_that_is_full_ends_a_copy_and_a_restoring_and_room_lets_them_go_on() {
    let sandbox = serve(|options| options.give(Api::Mail, events()));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let (folder, url) = store(&catalog);
    // No file may be longer than this, in blocks of 512 bytes: each day is.
    let full = "ulimit -f 40";
    let run = catalog.run_in_shell(full, &["copy", "--to", &url, "--json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(!folder.join("manifests").exists(), "there is no copy");
    assert_eq!(copy(&catalog, 0, &url)["copy"], 1);
    let other = elsewhere(&sandbox, &[Api::Mail]);
    let run = other.run_in_shell(full, &["copy", "--from", &url, "--json"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(is_marked(&other));
    assert_eq!(
        other.run(&["collect", "-q"]).code,
        3,
        "a part is not taken for the whole"
    );
    shown(&other, 0, &["copy", "--from", &url]);
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
}

#[test]
fn a_copy_beside_a_collector_that_never_rests_is_one_of_a_moment() {
    let sandbox = serve(|options| options.give(Api::Mail, events()));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("MAX_PAGES", 2);
    let (_, url) = store(&catalog);
    let mut collecting = catalog.start(&["collect", "-q"]);
    let mut copies = 0;
    while collecting.ended().is_none() {
        let run = catalog.run(&["copy", "--to", &url, "--json"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        copies += 1;
        let has_copy = !run.stdout.contains("\"copy\":null");
        if has_copy && copies % 2 == 1 {
            let other = elsewhere(&sandbox, &[Api::Mail]);
            shown(&other, 0, &["copy", "--from", &url]);
            other.collect(0, &[]);
            other.assert_holds(Api::Mail, &sandbox.events(Api::Mail));
        }
    }
    copy(&catalog, 0, &url);
}

#[test]
fn a_restoring_that_was_killed_when_all_was_there_goes_on_although_a_stream_is_in_use_again() {
    let apis = [Api::Mail, Api::Port];
    let all = |options: Options| {
        apis.into_iter()
            .fold(options, |options, api| options.give(api, some_of(api)))
    };
    let sandbox = serve(all);
    let catalog = Catalog::of(&sandbox, &apis);
    catalog.collect(0, &[]);
    let (_, url) = store(&catalog);
    copy(&catalog, 0, &url);
    let other = elsewhere(&sandbox, &apis);
    shown(&other, 0, &["copy", "--from", &url]);
    // As it is when it was killed before the last of the marks was gone: one stream is whole, and goes on.
    let mark = other.folder(Api::Port).join(".trailkeeper/port_audit.restoring");
    fs::write(&mark, format!(r#"{{"from":"{url}","copy":1,"is_whole":true}}"#)).unwrap();
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    assert_eq!(other.run(&["collect", "-q", "--stream", "yandex-mail"]).code, 0);
    shown(&other, 0, &["copy", "--from", &url]);
    assert!(!mark.exists());
    assert_eq!(other.run(&["collect", "-q"]).code, 0);
    assert_eq!(other.run(&["verify", "-q"]).code, 0);
    // Where nothing says that all was there, a folder in use is refused.
    fs::write(&mark, format!(r#"{{"from":"{url}","copy":1}}"#)).unwrap();
    assert_eq!(other.run(&["copy", "--from", &url]).code, 1);
}

fn some_of(api: Api) -> Vec<Event> {
    (0..5).map(|n| event(api, at(n * DAY + 600), &n.to_string())).collect()
}

#[test]
fn a_restoring_that_did_not_end_is_named_by_status_and_verify() {
    let sandbox = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(600), "a")]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    assert_eq!(catalog.run(&["status", "--nagios"]).code, 0);
    let mark = catalog.folder(Api::Mail).join(".trailkeeper/mail_audit.restoring");
    fs::write(&mark, "{}").unwrap();
    let said = "says that a copy is restored here and not whole yet: `trailkeeper copy --from` goes on with it";
    for (arguments, code) in [(&["status"][..], 0), (&["status", "--nagios"], 2), (&["verify"], 3)] {
        let run = catalog.run(arguments);
        assert!(
            run.code == code && run.stdout.contains(said),
            "{arguments:?}: {} {}{}",
            run.code,
            run.stdout,
            run.stderr
        );
    }
    let verified: serde_json::Value = serde_json::from_str(&catalog.run(&["verify", "--json"]).stdout).unwrap();
    assert_eq!(
        verified["streams"][0]["findings"][0]["problem"], "not-restored",
        "{verified}"
    );
    fs::remove_file(&mark).unwrap();
    assert_eq!(catalog.run(&["verify"]).code, 0);
}
