//! Folders that are missing, or are none: the trouble of one stream is not the others'.

use std::fs;

use serde_json::Value;
use trailkeeper::sandbox::{Api, Sandbox};

use super::support::{Catalog, PATIENCE, Run, at, base_name, event, serve, wait_until};

fn sandbox() -> Sandbox {
    serve(|options| {
        let of = |api, name: &str| vec![event(api, at(90), name)];
        options
            .give(Api::Mail, of(Api::Mail, "m"))
            .give(Api::Tfc, of(Api::Tfc, "t"))
    })
}

/// What a command says in JSON of the stream with this name.
fn said(run: &Run, stream: &str) -> Value {
    let whole: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}\n{}", run.stdout, run.stderr));
    let mut streams = whole["streams"].as_array().unwrap().iter();
    streams.find(|one| one["stream"] == stream).unwrap().clone()
}

/// Puts something in the way of one stream.
type Trouble = fn(&Catalog);

const TROUBLES: [(&str, Trouble); 4] = [
    ("the folder is missing", |catalog| {
        fs::remove_dir(catalog.folder(Api::Tfc)).unwrap()
    }),
    ("the folder is a file", |catalog| {
        fs::remove_dir(catalog.folder(Api::Tfc)).unwrap();
        fs::write(catalog.folder(Api::Tfc), "").unwrap();
    }),
    ("the state folder is a file", |catalog| {
        fs::write(catalog.folder(Api::Tfc).join(".trailkeeper"), "").unwrap();
    }),
    ("the lock is a folder", |catalog| {
        let state = catalog.folder(Api::Tfc).join(".trailkeeper");
        fs::create_dir_all(state.join(format!("{}.lock", base_name(Api::Tfc)))).unwrap();
    }),
];

#[test]
fn a_stream_whose_folder_cannot_be_used_fails_and_the_others_are_collected() {
    for (trouble, make) in TROUBLES {
        let sandbox = sandbox();
        let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
        make(&catalog);
        let run = catalog.run(&["collect", "--json"]);
        assert_eq!(run.code, 3, "{trouble}: {}", run.stderr);
        let (mail, tfc) = (said(&run, "yandex-mail"), said(&run, "tfc"));
        assert_eq!(
            (&mail["status"], &mail["appended"]),
            (&"complete".into(), &1.into()),
            "{trouble}"
        );
        assert_eq!(tfc["status"], "failed", "{trouble}");
        let folder = catalog.folder(Api::Tfc).display().to_string();
        assert!(tfc["error"].as_str().unwrap().contains(&folder), "{trouble}: {tfc}");
        assert_eq!(catalog.lines(Api::Mail).len(), 1, "{trouble}");
    }
}

#[test]
fn commands_that_read_show_the_streams_that_can_be_read() {
    let sandbox = sandbox();
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    catalog.collect(0, &[]);
    fs::remove_dir_all(catalog.folder(Api::Tfc)).unwrap();
    let page = catalog.root().join("page.html");
    let (page, folder) = (page.to_str().unwrap(), catalog.folder(Api::Tfc).display().to_string());
    for arguments in [
        &["status", "--json"][..],
        &["coverage", "--json"],
        &["verify", "--json"],
        &["report", "--html", page, "--json"],
        &["collect", "--dry-run", "--json"],
    ] {
        let run = catalog.run(arguments);
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
        let (mail, tfc) = (said(&run, "yandex-mail").to_string(), said(&run, "tfc").to_string());
        assert!(tfc.contains(&folder), "{arguments:?}: {tfc}");
        assert!(!mail.contains("cannot"), "{arguments:?}: {mail}");
        let text: Vec<&str> = arguments
            .iter()
            .copied()
            .filter(|argument| *argument != "--json")
            .collect();
        let run = catalog.run(&text);
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
    }
    assert!(fs::read_to_string(page).unwrap().contains("yandex-mail"));
    let forwarded = catalog.run(&["forward", "stdout", "--forward-from", "start"]);
    assert_eq!(
        (forwarded.code, forwarded.stdout.lines().count()),
        (3, 1),
        "{}",
        forwarded.stderr
    );
}

#[test]
fn a_folder_that_comes_later_is_used_by_a_run_that_goes_on() {
    let sandbox = sandbox();
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    fs::remove_dir(catalog.folder(Api::Tfc)).unwrap();
    let follow = catalog.start(&["collect", "--follow", "--interval", "1s"]);
    wait_until("the mail is there", PATIENCE, || catalog.lines(Api::Mail).len() == 1);
    fs::create_dir(catalog.folder(Api::Tfc)).unwrap();
    wait_until("the folder is used", PATIENCE, || catalog.lines(Api::Tfc).len() == 1);
    assert_eq!(follow.terminate().code, 0);
}
