//! Where results go: what cannot be written ends with an exit code and a word.

use std::fs::OpenOptions;
use std::process::Stdio;

use trailkeeper::sandbox::Api;

use super::support::{Catalog, at, event, serve};

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
