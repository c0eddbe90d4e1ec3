//! The commands that show the program: `demo` and `sandbox`.

use std::collections::BTreeSet;
use std::fs;

use trailkeeper::sandbox::Api;

use super::support::{Catalog, streams};

/// The cells of a stream's line in the table of the demo.
fn cells<'a>(stdout: &'a str, stream: &str) -> Vec<&'a str> {
    let line = stdout.lines().find(|line| line.starts_with(&format!("{stream} ")));
    line.unwrap_or_else(|| panic!("{stream} is not in {stdout}"))
        .split_whitespace()
        .collect()
}

#[test]
fn the_demo_fits_on_half_a_screen_repeats_nothing_and_its_next_commands_work() {
    let catalog = Catalog::bare();
    for round in 0..2 {
        let run = catalog.run(&["demo", "--dir", "here"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let lines: Vec<_> = run.stdout.lines().collect();
        assert!(lines.len() <= 27, "{} lines: {}", lines.len(), run.stdout);
        for line in lines.iter().filter(|line| !line.contains("--env-file")) {
            assert!(line.chars().count() <= 88, "{line}");
        }
        assert!(!run.stdout.contains("rejected"), "{}", run.stdout);
        for (kind, api) in streams() {
            let folder = catalog.root().join("here").join(kind.name);
            let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let day_files: Vec<_> = files.filter(|path| path.is_file()).collect();
            let texts = day_files.iter().map(|path| fs::read_to_string(path).unwrap());
            let kept = texts.map(|text| text.lines().count()).sum::<usize>().to_string();
            let files = day_files.len().to_string();
            let cells = cells(&run.stdout, kind.name);
            assert_eq!(cells[1], "complete");
            // The services have the same records each time.
            assert_eq!(cells[2], if round > 0 { "0" } else { "1000" }, "{api:?}: {cells:?}");
            assert_eq!(cells[3], "0", "{api:?}: {cells:?}");
            assert_eq!(cells[4..], [&*files, &*kept, "0", &*kept, "0"], "{api:?}");
        }
        let next = lines.iter().filter_map(|line| line.trim().strip_prefix("trailkeeper "));
        let with_settings: Vec<Vec<&str>> = next
            .filter(|command| command.contains("--env-file"))
            .map(|command| command.split_whitespace().collect())
            .collect();
        assert_eq!(with_settings.len(), 2, "{}", run.stdout);
        for command in with_settings {
            let run = catalog.run(&command);
            assert_eq!(run.code, 0, "{command:?}: {}", run.stderr);
        }
    }
    let left = fs::read_dir(catalog.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: BTreeSet<_> = left.collect();
    assert_eq!(
        left,
        ["demo.html".into(), "here".into()].into(),
        "nothing else is written"
    );
}

#[test]
fn a_demo_that_cannot_have_begun_when_its_folder_says_begins_now() {
    let catalog = Catalog::bare();
    let folder = catalog.root().join("here");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("demo.begun"), "-262143-01-01T00:00:01Z").unwrap();
    let run = catalog.run(&["demo", "--dir", "here"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let begun = fs::read_to_string(folder.join("demo.begun")).unwrap();
    assert!(begun.starts_with("20"), "{begun}");
}

#[cfg(unix)]
#[test]
fn the_sandbox_serves_what_it_prints_until_it_is_told_to_stop() {
    let mut catalog = Catalog::bare();
    let mut sandbox = catalog.start(&["sandbox", "--listen", "127.0.0.1:0", "--records", "50", "--seed", "3"]);
    let text = sandbox.lines_to("# and create the folders:").join("\n");
    // As somebody would who reads it: the text is the settings file, and its last line a command.
    fs::write(catalog.root().join(".env"), &text).unwrap();
    for folder in text.trim_end().rsplit("mkdir -p ").next().unwrap().split(' ') {
        fs::create_dir(catalog.root().join(folder)).unwrap();
    }
    catalog.clear();
    for (name, stream) in catalog.collect(0, &[]) {
        assert!(stream["appended"].as_u64().unwrap() >= 50, "{name}: {stream}");
    }
    assert_eq!(sandbox.terminate().code, 0);
    assert_eq!(streams().len(), Api::ALL.len());
}
