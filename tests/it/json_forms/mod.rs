//! The JSON forms of `docs/json.md`: every command is run, and what it prints is compared with the page, in both directions.

mod document;
mod examples;
mod observed;

use std::collections::BTreeSet;

use super::support::Catalog;
use document::{Field, Missing, Section};
use examples::Examples;
use observed::{Observed, Seen};

/// The sections that are not of a command with `--json` alone.
const OTHER_SECTIONS: [&str; 13] = [
    "fleet status",
    "fleet adopt",
    "Errors",
    "copy --from",
    "collect --follow",
    "/healthz",
    "manifest.json",
    "evidence",
    "hold",
    "verify --evidence",
    "verify --proof",
    "verify --page",
    "verify --bundle",
];

/// What differs between a section and what was printed.
fn differences(section: &Section, observed: &Observed) -> Vec<String> {
    let known: BTreeSet<&str> = section.fields.iter().map(|field| field.path.as_str()).collect();
    let undocumented = observed.fields.keys().filter(|path| !known.contains(path.as_str()));
    let undocumented = undocumented.map(|path| format!("{path} is printed, and not documented"));
    let nothing = Seen::default();
    let documented = section.fields.iter().flat_map(|field| {
        let seen = observed.fields.get(&field.path).unwrap_or(&nothing);
        wrong_with(field, seen)
    });
    let all = undocumented.chain(documented);
    all.map(|difference| format!("{}: {difference}", section.name))
        .collect()
}

/// What is wrong with a documented field.
fn wrong_with(field: &Field, seen: &Seen) -> Vec<String> {
    let Field {
        path, kind, missing, ..
    } = field;
    let mut wrong = Vec::new();
    if seen.values.is_empty() {
        wrong.push(format!("{path} is documented, and never printed"));
    }
    let misfit = seen.values.iter().find(|value| !field.fits(value));
    wrong.extend(misfit.map(|value| format!("{path} is no {kind}: {value}")));
    if let Some(narrower) = field.narrower_kind(&seen.values) {
        wrong.push(format!("{path} is always a {narrower}, and documented as {kind}"));
    }
    for (state, is_seen) in [(Missing::Null, seen.is_null), (Missing::Absent, seen.is_absent)] {
        match (*missing == state, is_seen) {
            (true, false) => wrong.push(format!("{path} is never {state:?}")),
            (false, true) => wrong.push(format!("{path} is {state:?}, and the page does not say when")),
            _ => {}
        }
    }
    wrong
}

#[test]
fn what_every_command_prints_is_what_the_page_says_and_nothing_else() {
    let examples = Examples::of_all_commands();
    let sections = document::sections();
    let printed: BTreeSet<_> = examples.printed.keys().copied().collect();
    let documented: BTreeSet<_> = sections.iter().map(|section| section.name.as_str()).collect();
    assert_eq!(printed, documented);
    let mut found = Vec::new();
    for section in &sections {
        let mut observed = Observed::default();
        for value in &examples.printed[section.name.as_str()] {
            observed.add(value, section);
        }
        found.extend(differences(section, &observed));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_command_with_json_has_a_section() {
    let help = |arguments: &[&str]| Catalog::bare().run(arguments).stdout;
    let text = help(&["--help"]);
    let list = text.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let commands = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    // What `search` prints is records, as the services gave them.
    let commands = commands
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|command| *command != "search");
    let with_json: BTreeSet<_> = commands
        .filter(|command| {
            let text = help(&[command, "--help"]);
            text.lines().any(|line| line.trim_start().starts_with("--json"))
        })
        .map(str::to_owned)
        .collect();
    let sections = document::sections().into_iter().map(|section| section.name);
    let documented: BTreeSet<_> = sections
        .filter(|name| !OTHER_SECTIONS.contains(&name.as_str()))
        .collect();
    assert_eq!(with_json, documented);
}

#[test]
fn a_difference_in_either_direction_is_found() {
    let page = "## `x`\n\n| field | type | meaning | when null or absent |\n|---|---|---|---|\n\
                | `a` | integer | | |\n| `b[].c` | word | `one` | |\n| `d` | string | | null: x |\n| `e` | time | | absent: x |\n";
    let section = document::parse(page).remove(0);
    let check = |printed: &[&str]| {
        let mut observed = Observed::default();
        for text in printed {
            observed.add(&serde_json::from_str(text).unwrap(), &section);
        }
        differences(&section, &observed)
    };
    let time = "2025-06-09T10:00:00Z";
    let whole = format!(r#"{{"a":1,"b":[{{"c":"one"}}],"d":"x","e":"{time}"}}"#);
    let without = r#"{"a":1,"b":[],"d":null}"#;
    assert_eq!(check(&[&whole, without]), ["x: b[] is printed, and not documented"]);
    for (printed, expected) in [
        (&[whole.as_str()][..], "x: d is never Null"),
        (&[&whole], "x: e is never Absent"),
        (&[without], "x: e is documented, and never printed"),
        (&[r#"{"a":null}"#], "x: a is Null, and the page does not say when"),
        (&["{}"], "x: a is Absent, and the page does not say when"),
        (&[r#"{"a":"1"}"#], "x: a is no integer: \"1\""),
        (&[r#"{"b":[{"c":"two"}]}"#], "x: b[].c is no word: \"two\""),
        (
            &[r#"{"d":"2025-06-09"}"#],
            "x: d is always a date, and documented as string",
        ),
        (
            &[r#"{"e":"2025-06-09T10:00:00+01:00"}"#],
            "x: e is no time: \"2025-06-09T10:00:00+01:00\"",
        ),
        (&[r#"{"f":[]}"#], "x: f[] is printed, and not documented"),
    ] {
        let found = check(printed);
        assert!(
            found.iter().any(|difference| difference == expected),
            "{expected} is not in {found:?}"
        );
    }
}
