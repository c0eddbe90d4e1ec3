//! The book and the pages beside it: every page is in its place, every link, path and message is one that there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::pages::{BOOK, Page, root};

/// More is for the book.
const MOST_LINES_OF_THE_README: usize = 200;

/// Pages that are no part of the book, besides the readme and that for contributors.
const OTHERS: [&str; 3] = ["SECURITY.md", "CHANGELOG.md", "samples/README.md"];

/// What the names of files of the repository begin with, where a page names them without a link.
const PLACES: [&str; 8] = [
    "src/",
    "tests/",
    "samples/",
    "docs/",
    "benches/",
    "fuzz/",
    ".ci/",
    ".env.example",
];

/// Messages of other programs and of the system.
const OF_OTHERS: [&str; 2] = ["No space left on device", "surrogate pair escape"];

/// Fewer characters may be anything.
const SHORTEST_MESSAGE: usize = 8;

fn pages() -> impl Iterator<Item = Page> {
    Page::all().into_iter().chain(OTHERS.map(Page::read))
}

#[test]
fn the_readme_has_room_for_the_beginning_only() {
    let lines = Page::read("README.md").text.lines().count();
    assert!(lines <= MOST_LINES_OF_THE_README, "{lines}");
}

#[test]
fn every_link_leads_somewhere_and_those_of_the_book_stay_in_it() {
    let mut count = 0;
    for page in pages() {
        for link in page.links().iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = page.target(file);
            assert!(root().join(&path).exists(), "{}: no file {link}", page.name);
            // A built book has nothing else.
            let stays = !page.is_of_the_book() || path.starts_with(BOOK);
            assert!(stays, "{}: {link} leads out of the book; name the path", page.name);
            let has_heading = || Page::read(path.to_str().unwrap()).anchors().contains(anchor);
            assert!(
                anchor.is_empty() || has_heading(),
                "{}: no heading for {link}",
                page.name
            );
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let summary = Page::read("docs/SUMMARY.md");
    let mut listed: Vec<_> = summary.links().iter().map(|link| name(&summary.target(link))).collect();
    listed.sort();
    let mut found: Vec<_> = Page::of_the_book().into_iter().map(|page| page.name).collect();
    found.retain(|name| *name != summary.name);
    found.sort();
    assert_eq!(listed, found);
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let mut count = 0;
    for page in pages() {
        for code in page.code() {
            let is_path = PLACES.iter().any(|place| code.starts_with(place)) || is_page_at_the_root(&code);
            if is_path && !code.contains(['…', '*', ' ']) {
                assert!(root().join(&code).exists(), "{} names {code}", page.name);
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count}");
}

/// `SECURITY.md`, and not `docs/json.md`.
fn is_page_at_the_root(code: &str) -> bool {
    let stem = code.strip_suffix(".md").unwrap_or_default();
    !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[test]
fn there_is_one_layout_of_folders() {
    let samples = WalkDir::new(root().join("samples")).into_iter();
    let samples = samples
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file());
    let mut texts: Vec<_> = pages().map(|page| (page.name, page.text)).collect();
    for path in samples.chain([root().join(".env.example"), root().join("Dockerfile")]) {
        let bytes = fs::read(&path).unwrap();
        texts.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    let mut count = 0;
    for (name, text) in texts {
        for rest in text.split("/var/log/").skip(1) {
            let is_ours = ["audit-trails", "trailkeeper"]
                .iter()
                .any(|folder| rest.starts_with(folder));
            assert!(is_ours, "{name}: /var/log/{}", rest.lines().next().unwrap_or_default());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_messages_under_troubleshooting_are_those_of_the_program() {
    let source = source();
    let mut seen = BTreeSet::new();
    for row in Page::read("docs/troubleshooting.md").text.lines() {
        let Some(symptom) = row.strip_prefix("| ").and_then(|row| row.split(" | ").next()) else {
            continue;
        };
        let messages = symptom.split('`').skip(1).step_by(2);
        for part in messages.flat_map(|message| message.split('…')).map(str::trim) {
            let is_of_others = OF_OTHERS.iter().any(|message| part.contains(message));
            if part.len() < SHORTEST_MESSAGE || !part.contains(' ') || is_of_others {
                continue;
            }
            assert!(source.contains(part), "no message has {part:?}");
            seen.insert(part.to_owned());
        }
    }
    assert!(seen.len() > 60, "{seen:?}");
}

/// All sources, with their strings on one line each and without backticks, as the page has them.
fn source() -> String {
    let mut source = String::new();
    for entry in WalkDir::new(root().join("src")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let lines: String = source
        .split("\\\n")
        .enumerate()
        .map(|(index, line)| if index == 0 { line } else { line.trim_start() })
        .collect();
    lines.replace("\\\"", "\"").replace('`', "")
}
