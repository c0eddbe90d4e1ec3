//! Where results go: what cannot be written ends with an exit code and a word.

use std::fs;
use std::process::Command;

use trailkeeper::sandbox::{Api, Sandbox};

use super::support::{Catalog, at, base_name, event, events, process, serve};

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_ends_with_an_exit_code_and_a_word_in_every_command() {
    let sandbox = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(90), "m")]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    for arguments in [
        &["collect", "--json"][..],
        &["collect"],
        &["reconcile", "--since", "1h"],
        &["check"],
        &["status"],
        &["status", "--json"],
        &["coverage"],
        &["verify"],
        &["report", "--html", "page.html", "--json"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["collect", "--help"],
        &["--version"],
    ] {
        let run = catalog.run_in_shell("exec > /dev/full", arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {}", run.stderr);
        assert!(
            run.stderr.contains("cannot write to standard output: No space left"),
            "{arguments:?}: {}",
            run.stderr
        );
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    let sandbox = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(90), "m")]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let mut shell = Command::new("/bin/sh");
    let pipeline = "{ \"$0\" collect --json; echo \"ended with $?\" >&2; } | true";
    shell.args(["-c", pipeline, env!("CARGO_BIN_EXE_trailkeeper")]);
    let run = process::run(catalog.place(&mut shell));
    assert!(run.stderr.contains("ended with 0"), "{}", run.stderr);
}

#[cfg(unix)]
#[test]
fn a_path_of_something_else_is_not_replaced_whatever_is_to_be_written_there() {
    let sandbox = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(90), "m")]));
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect(0, &[]);
    let folder = catalog.folder(Api::Mail);
    let day_file = folder.join(catalog.day_files(Api::Mail).into_keys().next().unwrap());
    let journal = folder.join(format!(".trailkeeper/{}.coverage.jsonl", base_name(Api::Mail)));
    let link = catalog.root().join("link");
    std::os::unix::fs::symlink(&day_file, &link).unwrap();
    let before = fs::read(&day_file).unwrap();
    for path in [&day_file, &journal, &link] {
        let path = path.to_str().unwrap();
        for arguments in [&["report", "--html", path][..], &["collect", "--metrics-file", path]] {
            let run = catalog.run(arguments);
            assert_eq!(run.code, 1, "{arguments:?}: {}", run.stderr);
            assert!(run.stderr.contains(path), "{arguments:?}: {}", run.stderr);
        }
        catalog.set("APP_LOG_FILE", path);
        let run = catalog.run(&["collect"]);
        assert_eq!(run.code, 1, "{path}: {}", run.stderr);
        catalog.unset("APP_LOG_FILE");
    }
    assert_eq!(fs::read(&day_file).unwrap(), before);
    // Pages and figures of before are replaced, and `-` is standard output.
    for _ in 0..2 {
        assert_eq!(catalog.run(&["report", "--html", "page.html"]).code, 0);
        assert_eq!(catalog.run(&["collect", "--metrics-file", "figures.prom"]).code, 0);
    }
    let page = catalog.run(&["report", "--html", "-"]).stdout;
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"),
        "{page}"
    );
    catalog.set("APP_LOG_FILE", "/dev/null");
    assert_eq!(catalog.run(&["collect"]).code, 0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

/// A stream of which seven records are collected.
fn collected() -> (Sandbox, Catalog) {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 7, 100)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    (sandbox, catalog)
}

#[test]
fn a_stdout_that_is_closed_takes_no_line_and_moves_no_cursor() {
    let (_sandbox, catalog) = collected();
    let closed = catalog.run_in_shell("exec >&-", &["forward", "stdout", "--forward-from", "start"]);
    assert_eq!(closed.code, 1, "{}", closed.stderr);
    assert!(closed.stderr.contains("standard output is closed"), "{}", closed.stderr);
    let open = catalog.run(&["forward", "stdout", "--forward-from", "start"]);
    assert_eq!((open.code, open.stdout.lines().count()), (0, 7), "{}", open.stderr);
    // A file that takes everything is a wish.
    let null = catalog.run_in_shell("exec >/dev/null", &["forward", "stdout"]);
    assert_eq!(null.code, 0, "{}", null.stderr);
}

#[test]
fn an_output_that_cannot_be_written_is_told_once() {
    let (_sandbox, catalog) = collected();
    for command in ["status", "collect", "verify"] {
        let run = catalog.run_in_shell("exec >/dev/full", &[command, "--json", "-q"]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{command}: {}", run.stderr);
    }
}

#[test]
fn nothing_but_a_run_writes_what_has_the_name_of_a_day_file() {
    let (_sandbox, mut catalog) = collected();
    let before = catalog.day_files(Api::Tfc);
    let path = catalog
        .folder(Api::Tfc)
        .join(format!("{}_2027-01-01.log", base_name(Api::Tfc)));
    let name = path.to_str().unwrap().to_owned();
    for arguments in [&["report", "--html", &name][..], &["collect", "--metrics-file", &name]] {
        let run = catalog.run(arguments);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.contains("a day file"), "{}", run.stderr);
    }
    let run = catalog.run(&["collect", "--metrics-file", "-"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("name a file"), "{}", run.stderr);
    catalog.set("APP_LOG_FILE", &name);
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("APP_LOG_FILE must not be a day file"),
        "{}",
        run.stderr
    );
    assert_eq!(catalog.day_files(Api::Tfc), before);
}

#[test]
fn a_log_is_not_rotated_over_what_is_none_of_its_own() {
    let (_sandbox, catalog) = collected();
    let log = catalog.root().join("get_audit_logs.log");
    fs::write(&log, "2026-01-01 00:00:00.000 INFO:\tlong\n".repeat(40_000)).unwrap();
    let foreign = catalog.root().join("get_audit_logs.log.5");
    fs::write(&foreign, "somebody's\n").unwrap();
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("get_audit_logs.log.5` holds something else"),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "somebody's\n");
    assert!(!catalog.root().join("get_audit_logs.log.1").exists());
}
