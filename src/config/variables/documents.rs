//! The documents generated from the table: `.env.example` and `docs/settings.md`. A test compares the files with the
//! table; `UPDATE_GENERATED=1 cargo test --lib documents` rewrites them.

use std::fmt::Write as _;
use std::path::Path;

use super::super::place::{LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME};
use super::super::proxies::{ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY, REQUEST_METHOD};
use super::{SECTIONS, STREAMS, Section};
use crate::env::system::{
    CREDENTIALS_DIRECTORY, JOURNAL_STREAM, NO_COLOR, NOTIFY_SOCKET, SSH_AUTH_SOCK, TERM, TRAILKEEPER_ENV_DIR,
    WATCHDOG_PID, WATCHDOG_USEC,
};
use crate::env::{DefaultValue, Row, Scope};
use crate::source::{Kind, SOURCES};

/// The width of `.env.example`, if no word is longer.
const WIDTH: usize = 118;

/// Notes on all variables.
const NOTES: &[&str] = &[
    "The environment of the process wins over the file.",
    "A variable that is set to nothing counts as not set.",
    "A mistyped name is answered with the one that was meant.",
    "The file is read as python-dotenv 1.2.4 reads it, without its interpolation: `$` is always literal. Put a value in single \
     quotes if it begins with a quote, or holds a space and then `#`, which begins a comment: `TFC_ORG_TOKEN='abc #def'`",
    "Each secret can be in its own file instead: name the file with `<NAME>_FILE`, and leave `<NAME>` out.",
    "The addresses of the services (`..._API_URL`) can be those of another region, of a proxy or of the sandbox. They begin \
     with `https://`; `http://` is for loopback hosts only.",
    "Where the network has a proxy, `HTTPS_PROXY` and `NO_PROXY` can be set here, as in the environment.",
];

/// Variables that others set: on the page, but not in `.env`.
pub(super) const SYSTEM: Section = Section {
    title: "Variables of the system",
    intro: "Of these, only the proxies are for `.env` too; those of the environment win. A proxy that cannot be used is an error, \
            and no request is sent without it. Kafka is reached without one. On macOS and Windows, where neither of the two \
            names a proxy, that of the system is used.",
    prefix: None,
    rows: &[
        &HTTPS_PROXY,
        &HTTP_PROXY,
        &ALL_PROXY,
        &NO_PROXY,
        &REQUEST_METHOD,
        &NO_COLOR,
        &TERM,
        &TRAILKEEPER_ENV_DIR,
        &JOURNAL_STREAM,
        &NOTIFY_SOCKET,
        &WATCHDOG_PID,
        &WATCHDOG_USEC,
        &CREDENTIALS_DIRECTORY,
        &SSH_AUTH_SOCK,
    ],
};

/// Returns the streams of each vendor.
fn vendors() -> impl Iterator<Item = &'static [Kind]> {
    SOURCES.chunk_by(|one, next| one.vendor == next.vendor)
}

/// Returns the rows of the streams of one vendor, each once: the first of every stream, then the second ones.
fn rows(kinds: &[Kind], rows_of: fn(&Kind) -> &'static [&'static dyn Row]) -> Vec<&'static dyn Row> {
    let longest = kinds.iter().map(|kind| rows_of(kind).len()).max().unwrap_or(0);
    let mut rows: Vec<&'static dyn Row> = Vec::new();
    for row in (0..longest).flat_map(|index| kinds.iter().filter_map(move |kind| rows_of(kind).get(index))) {
        if rows.iter().all(|known| known.name() != row.name()) {
            rows.push(*row);
        }
    }
    rows
}

/// Returns an introduction with the prefixes of the streams: `MAIL_`, `DISK_` or `TFC_`.
fn intro(section: &Section) -> String {
    let prefixes: Vec<_> = SOURCES.iter().map(|kind| format!("`{}_`", kind.prefix)).collect();
    let (last, others) = prefixes.split_last().unwrap();
    let prefixes = format!("{} or {last}", others.join(", "));
    section.intro.replace("{prefixes}", &prefixes)
}

/// Returns the text of `.env.example`.
fn example_settings() -> String {
    let mut text = comment(
        "Settings of trailkeeper. Copy this file to .env in the working folder, or pass its path with --env-file, make it \
         private (chmod 600 .env), and uncomment the lines that you need.",
    );
    text += "#\n";
    for note in NOTES {
        text += &wrapped(note, "# - ", "#   ");
    }
    text += &wrapped(
        "A commented-out line with a value shows the default, or an example if \"for example\" is above it.",
        "# - ",
        "#   ",
    );
    text += &format!("#\n{}", comment(STREAMS.intro));
    for kinds in vendors() {
        text += &example_of_vendor(kinds);
    }
    for section in SECTIONS {
        text += &heading(section.title);
        text += &comment(&intro(section));
        for row in section.rows {
            text += &example_of_row(*row);
        }
    }
    text
}

fn heading(title: &str) -> String {
    format!("\n\n{:-<112}\n", format!("# ---- {} ", title.replace('`', "")))
}

fn example_of_vendor(kinds: &[Kind]) -> String {
    let mut text = heading(kinds[0].vendor);
    for row in rows(kinds, |kind| kind.credentials) {
        text += &example_of_row(row);
    }
    for kind in kinds {
        let about = format!("{}: {}", kind.name, kind.about);
        let about = comment(&format!(
            "{about} Its folder and the first part of its file names, for example:"
        ));
        text += &format!("\n{about}");
        text += &example_of_place(kind, kind.prefix);
        if let Some(prefix) = kind.legacy_prefix {
            text += "\n# The same two, under the names of another collector; set one of each pair; for example:\n";
            text += &example_of_place(kind, prefix);
        }
    }
    for row in rows(kinds, |kind| kind.variables) {
        text += &example_of_row(row);
    }
    text
}

/// Returns where a stream of the samples keeps its files: the folders are those of the systemd units.
fn example_of_place(kind: &Kind, prefix: &'static str) -> String {
    let folder = LOG_CATALOG_LOCATION.of(prefix).name();
    let base = LOG_FILE_BASE_NAME.of(prefix).name();
    let (catalog, example) = (kind.prefix.to_lowercase(), kind.example);
    format!("#{folder}=/var/log/audit-trails/{catalog}\n#{base}={example}_audit\n")
}

/// Returns what a variable does, and the line that sets it.
fn example_of_row(row: &dyn Row) -> String {
    let variable = row.variable();
    let mut text = format!("\n{}", comment(variable.doc));
    let value = match variable.default {
        DefaultValue::Text(default) => default,
        DefaultValue::None => "",
        DefaultValue::OfStream(default) => {
            for kind in SOURCES {
                let _ = writeln!(text, "#{}={}", kind.variable(variable.name), default(kind.prefix));
            }
            ""
        }
    };
    if variable.example.is_some() {
        text += "# For example:\n";
    }
    let _ = writeln!(text, "#{}={}", row.name(), variable.example.unwrap_or(value));
    if let Some(file) = row.file() {
        let _ = writeln!(text, "#{file}=");
    }
    text
}

/// Returns a paragraph of `.env.example`.
fn comment(text: &str) -> String {
    wrapped(text, "# ", "# ")
}

/// Wraps a text without its backticks; returns nothing for an empty one.
fn wrapped(text: &str, first: &str, next: &str) -> String {
    let plain = text.replace('`', "");
    let mut lines: Vec<String> = Vec::new();
    for word in plain.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => *line = format!("{line} {word}"),
            Some(_) => lines.push(format!("{next}{word}")),
            None => lines.push(format!("{first}{word}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Returns the text of `docs/settings.md`.
fn settings_page() -> String {
    let mut text = "# Settings\n\n\
        <!-- Generated from the table in src/config/variables: UPDATE_GENERATED=1 cargo test --lib documents -->\n\n\
        Settings are variables of the environment, or of `.env` in the working folder, or of the file that `--env-file`\n\
        names. `.env.example` has them all, to be copied, and [`trailkeeper init`](commands/init.md) writes the usual ones.\n\n"
        .to_owned();
    for note in NOTES {
        let _ = writeln!(text, "- {note}");
    }
    text += &page_of_section(STREAMS.title, STREAMS.intro, STREAMS.rows);
    text += "\n| stream | prefix | what it keeps |\n|---|---|---|\n";
    for kind in SOURCES {
        let _ = writeln!(text, "| `{}` | `{}_` | {} |", kind.name, kind.prefix, kind.about);
    }
    for kind in SOURCES {
        if let Some(prefix) = kind.legacy_prefix {
            let _ = writeln!(
                text,
                "\nThe names with `{prefix}_` are those that another collector gave to the ones with `{}_`; set one of each \
                 pair.",
                kind.prefix
            );
        }
    }
    for kinds in vendors() {
        let rows: Vec<_> = [rows(kinds, |kind| kind.credentials), rows(kinds, |kind| kind.variables)].concat();
        text += &page_of_section(kinds[0].vendor, "", &rows);
    }
    for section in SECTIONS.iter().chain([&SYSTEM]) {
        text += &page_of_section(section.title, &intro(section), section.rows);
    }
    text
}

fn page_of_section(title: &str, intro: &str, rows: &[&dyn Row]) -> String {
    let mut text = format!("\n## {title}\n\n");
    if !intro.is_empty() {
        let _ = writeln!(text, "{intro}\n");
    }
    text += "| variable | default | what it does |\n|---|---|---|\n";
    for row in rows {
        let names: Vec<_> = page_names(*row).iter().map(|name| format!("`{name}`")).collect();
        let variable = row.variable();
        let example = variable.example.map(|example| format!(" For example `{example}`."));
        let doc = format!("{}{}", variable.doc, example.unwrap_or_default());
        let cells = [
            names.join("<br>"),
            page_default(variable.default),
            doc.replace('|', "\\|"),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// Returns the names under which a variable is set; the introduction explains the limits of single streams.
fn page_names(row: &dyn Row) -> Vec<String> {
    match row.variable().scope {
        Scope::EachStream => super::names_of(row, SOURCES),
        _ => [row.name()].into_iter().chain(row.file()).collect(),
    }
}

fn page_default(default: DefaultValue) -> String {
    match default {
        DefaultValue::None => String::new(),
        DefaultValue::Text(text) => format!("`{text}`"),
        DefaultValue::OfStream(of_stream) => {
            let same = SOURCES.chunk_by(|one, next| of_stream(one.prefix) == of_stream(next.prefix));
            let values = same.map(|kinds| {
                let prefixes: Vec<_> = kinds.iter().map(|kind| format!("`{}_`", kind.prefix)).collect();
                format!("{}: `{}`", prefixes.join(", "), of_stream(kinds[0].prefix))
            });
            values.collect::<Vec<_>>().join("<br>")
        }
    }
}

/// Asserts that a file of the repository holds this text, or rewrites it.
#[expect(
    clippy::disallowed_methods,
    reason = "whether files are written is asked of the environment of the test"
)]
fn assert_up_to_date(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found
        .lines()
        .zip(expected.lines())
        .find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{name} differs from the table of variables; UPDATE_GENERATED=1 cargo test --lib documents rewrites it \
         anew. First difference: {differs:?}"
    );
}

#[test]
fn the_example_settings_are_made_of_the_table() {
    assert_up_to_date(".env.example", &example_settings());
}

#[test]
fn the_settings_page_is_made_of_the_table() {
    assert_up_to_date("docs/settings.md", &settings_page());
}
