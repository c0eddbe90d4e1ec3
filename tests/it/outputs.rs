//! Where results go: what cannot be written ends with an exit code and a word.

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use trailkeeper::sandbox::Api;

use super::support::{Catalog, at, base_name, event, serve};

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
        let mut command = catalog.command(arguments);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command
            .stdout(Stdio::from(full))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("cannot write to standard output: No space left"),
            "{arguments:?}: {stderr}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    let sandbox = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(90), "m")]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = catalog.command(&["collect", "--json"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(unix)]
#[test]
fn a_path_of_something_else_is_not_replaced_whatever_is_to_be_written_there() {
    let sandbox = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(90), "m")]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
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
        let mut command = catalog.command(&["collect"]);
        let output = command.env("APP_LOG_FILE", path).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
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
    let device = fs::metadata("/dev/null").unwrap();
    let mut command = catalog.command(&["collect"]);
    assert_eq!(
        command.env("APP_LOG_FILE", "/dev/null").status().unwrap().code(),
        Some(0)
    );
    assert!(!device.is_file() && !fs::metadata("/dev/null").unwrap().is_file());
}
