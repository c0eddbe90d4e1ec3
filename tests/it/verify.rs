//! `verify`: what is wrong with day files, line by line.

use std::fs::{self, OpenOptions};
use std::io::Write;

use serde_json::Value;
use trailkeeper::sandbox::{Api, Sandbox};

use super::support::{Catalog, events, serve, streams};

fn filled() -> (Sandbox, Catalog) {
    let sandbox = serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, events(api, 5, 600)))
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    catalog.collect(0, &[]);
    (sandbox, catalog)
}

fn verify(catalog: &Catalog, code: i32, stream: &str) -> Value {
    let run = catalog.run(&["verify", "--json", "--stream", stream]);
    assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
    run.summary().into_values().next().unwrap()
}

/// The newest day file of a stream: its name and its path.
fn newest(catalog: &Catalog, api: Api) -> (String, std::path::PathBuf) {
    let name = catalog.day_files(api).into_keys().next_back().unwrap();
    let path = catalog.folder(api).join(&name);
    (name, path)
}

fn append(path: &std::path::Path, bytes: &[u8]) {
    OpenOptions::new()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[test]
fn what_the_program_wrote_is_sound() {
    let (_sandbox, catalog) = filled();
    let run = catalog.run(&["verify", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    for (name, stream) in run.summary() {
        assert_eq!((&stream["wrong"], &stream["records"]), (&0.into(), &5.into()), "{name}");
        assert_eq!(stream["findings"], Value::Array(Vec::new()));
    }
    let text = catalog.run(&["verify"]).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn each_fault_is_reported_with_its_file_and_line_and_makes_the_exit_code_3() {
    let (_sandbox, catalog) = filled();
    for (api, stream) in [(Api::Tfc, "tfc"), (Api::Mail, "yandex-mail")] {
        let (name, path) = newest(&catalog, api);
        let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        let lines = fs::read_to_string(&path).unwrap().lines().count() as u64;
        append(&path, format!("{first}\n\n{{\"half\": \n[1]\n").as_bytes());
        append(&path, b"\xff\n");
        append(
            &path,
            first
                .replace(&first[first.find("20").unwrap()..][..10], "2001-02-03")
                .as_bytes(),
        );
        let report = verify(&catalog, 3, stream);
        let found: Vec<(u64, &str)> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| (finding["line"].as_u64().unwrap(), finding["problem"].as_str().unwrap()))
            .collect();
        let expected = ["repeated", "blank", "not-json", "not-a-record", "not-utf8", "wrong-day"];
        let expected: Vec<(u64, &str)> = (lines + 1..).zip(expected).collect();
        assert_eq!(found, expected);
        assert_eq!(report["wrong"], 6);
        assert!(
            report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .all(|finding| finding["file"] == *name)
        );
        let text = catalog.run(&["verify", "--stream", stream]);
        assert_eq!(text.code, 3);
        let expected = format!("{name}:{}: the same record as in line 1\n", lines + 1);
        assert!(text.stdout.contains(&expected), "{}", text.stdout);
    }
}

#[test]
fn half_a_line_is_a_fault_until_a_run_seals_it() {
    let (sandbox, catalog) = filled();
    let (_, path) = newest(&catalog, Api::Port);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(verify(&catalog, 3, "port")["findings"][0]["problem"], "torn-line");
    catalog.collect(0, &["--stream", "port"]);
    let repaired = verify(&catalog, 0, "port");
    assert_eq!(
        (&repaired["repaired"], &repaired["wrong"], &repaired["records"]),
        (&1.into(), &0.into(), &5.into())
    );
    assert_eq!(repaired["findings"][0]["problem"], "repaired");
    assert_eq!(sandbox.events(Api::Port).len(), 5);
}

#[test]
fn a_last_line_that_lacks_its_newline_is_a_fault() {
    let (_sandbox, catalog) = filled();
    let (_, path) = newest(&catalog, Api::Port);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let report = verify(&catalog, 3, "port");
    assert_eq!(
        (&report["findings"][0]["problem"], &report["records"]),
        (&"no-newline".into(), &5.into())
    );
}

#[test]
fn records_that_came_late_are_counted_and_no_fault() {
    let (sandbox, catalog) = filled();
    sandbox.add(Api::Mail, events(Api::Mail, 3, 1_200));
    catalog.collect(0, &["--stream", "yandex-mail", "--since", "1h"]);
    let report = verify(&catalog, 0, "yandex-mail");
    assert_eq!(report["records"], 8);
    // Around midnight the older ones are in a file of their own.
    assert!(report["out_of_order"].as_u64() <= Some(3));
    if catalog.day_files(Api::Mail).len() == 1 {
        assert_eq!(report["out_of_order"], 3);
    }
}

#[cfg(unix)]
#[test]
fn a_file_with_a_second_name_is_a_warning_and_not_wrong() {
    let (_sandbox, catalog) = filled();
    let (name, path) = newest(&catalog, Api::Port);
    let other = catalog.root().join("other");
    fs::hard_link(&path, &other).unwrap();
    let report = verify(&catalog, 0, "port");
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["file"], &finding["problem"]),
        (&name.into(), &"several-names".into())
    );
    assert_eq!((&report["wrong"], &report["warnings"]), (&0.into(), &1.into()));
    let text = catalog.run(&["verify", "--stream", "port"]).stdout;
    assert!(text.contains("has other names (hard links)"), "{text}");
    fs::remove_file(&other).unwrap();
    assert_eq!(verify(&catalog, 0, "port")["findings"], Value::Array(Vec::new()));
}

#[test]
fn it_changes_nothing() {
    let (_sandbox, catalog) = filled();
    let before = catalog.tree();
    catalog.run(&["verify"]);
    catalog.assert_unchanged(&before);
}
