//! The commands that show the program: `demo` and `sandbox`.

use std::fs;

use trailkeeper::sandbox::Api;

use super::support::{Catalog, streams};

#[test]
fn the_demo_collects_twice_repeats_nothing_and_shows_the_files() {
    let catalog = Catalog::bare();
    for _ in 0..2 {
        let run = catalog.run(&["demo", "--dir", "here"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stdout.matches("STREAM ").count(), 2, "{}", run.stdout);
        for (kind, _) in streams() {
            let folder = catalog.root().join("here").join(kind.name);
            let files: Vec<_> = fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            let day_files: Vec<_> = files.iter().filter(|path| path.is_file()).collect();
            assert!(day_files.len() > 5, "{files:?}");
            let last = run
                .stdout
                .lines()
                .filter(|line| line.starts_with(&format!("{} ", kind.name)) && !line.contains(" to kafka: "))
                .nth(1)
                .unwrap();
            let cells: Vec<&str> = last.split_whitespace().collect();
            assert_eq!(cells[1..3], ["complete", "0"], "{last}");
            let newest = day_files.iter().max().unwrap();
            let (name, text) = (
                newest.file_name().unwrap().to_str().unwrap(),
                fs::read_to_string(newest).unwrap(),
            );
            assert!(run.stdout.contains(name), "{name} is not in the tree: {}", run.stdout);
            let start: String = text.lines().next().unwrap().chars().take(60).collect();
            assert!(
                run.stdout.contains(&start),
                "a line of {name} is not shown: {}",
                run.stdout
            );
        }
        // In the day files of each stream, and again in its Kafka topic.
        assert_eq!(
            run.stdout.matches(" 0 of them twice").count(),
            2 * streams().len(),
            "{}",
            run.stdout
        );
    }
    let left: Vec<_> = fs::read_dir(catalog.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["here"], "nothing is written anywhere else");
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
