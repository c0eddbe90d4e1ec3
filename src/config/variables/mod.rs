//! The table of variables: all of them, in the order of the documents. A row is declared beside the code that reads it;
//! here the rows are collected, to find mistyped names and to write the documents.

#[cfg(test)]
mod documents;

use std::collections::BTreeSet;

use super::{archive, evidence, fleet, http, kafka, limits, log, object_storage, place, stdout, stream, upkeep};
use crate::env::{Env, Row, Scope};
use crate::source::Kind;

/// A part of the table, under its own heading.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "headings are for the documents, which a test makes")
)]
struct Section {
    title: &'static str,
    /// What holds for all of it; `{prefixes}` stands for those of the streams.
    intro: &'static str,
    /// The prefix of its variables, if only they have it.
    prefix: Option<&'static str>,
    rows: &'static [&'static dyn Row],
}

/// The section before the services.
const STREAMS: Section = Section {
    title: "Streams",
    intro: "A stream is on when its `..._LOG_CATALOG_LOCATION` is set; then its base name and its credentials are required. \
            Its files are named `<base name>_<YYYY-MM-DD>.<extension>`.",
    prefix: None,
    rows: place::ROWS,
};

/// The sections after the services.
const SECTIONS: &[Section] = &[
    Section {
        title: "Files",
        intro: "",
        prefix: None,
        rows: &[
            &place::LOG_FILE_EXTENSION,
            &stream::FILE_MODE,
            &place::KEEP_DAYS,
            &upkeep::PACK_AFTER_DAYS,
            &upkeep::EXPIRE_AFTER_DAYS,
        ],
    },
    Section {
        title: "The program's own log",
        intro: "",
        prefix: None,
        rows: log::ROWS,
    },
    Section {
        title: "Requests",
        intro: "Each of these can be set for one stream with its prefix, {prefixes}: `MAIL_MAX_PAGES=10`, \
                `TFC_REQUEST_TIMEOUT_SECONDS=120`.",
        prefix: None,
        rows: limits::ROWS,
    },
    Section {
        title: "Forwarding to Kafka (`--forward-kafka`, `trailkeeper forward kafka`)",
        intro: "",
        prefix: Some(kafka::PREFIX),
        rows: kafka::ROWS,
    },
    Section {
        title: "A fleet (`trailkeeper fleet`)",
        intro: "In a fleet a stream is on when its own topic (`..._KAFKA_TOPIC`) is set; folder and base name are not needed. \
                The variables of Kafka count as for forwarding, but for `KAFKA_TOPIC` without a prefix and \
                `KAFKA_TRANSACTIONAL_ID`.",
        prefix: Some(fleet::PREFIX),
        rows: fleet::ROWS,
    },
    Section {
        title: "An archive of a fleet (`trailkeeper archive`)",
        intro: "A stream is on when its folder is set, as for `collect`; then its own topic is required. Credentials of services are not \
                needed. The variables of a fleet and of Kafka count too.",
        prefix: Some(fleet::ARCHIVE_PREFIX),
        rows: archive::ROWS,
    },
    Section {
        title: "Forwarding to an HTTP listener (`--forward-http`, `trailkeeper forward http`)",
        intro: "`MAX_RETRIES`, `RETRY_DELAY_SECONDS` and `REQUEST_TIMEOUT_SECONDS`, without a prefix, count here too.",
        prefix: Some(http::PREFIX),
        rows: http::ROWS,
    },
    Section {
        title: "Forwarding to standard output (`trailkeeper forward stdout`)",
        intro: "",
        prefix: Some(stdout::PREFIX),
        rows: stdout::ROWS,
    },
    Section {
        title: "Evidence (`trailkeeper seal`)",
        intro: "",
        prefix: Some(evidence::PREFIX),
        rows: evidence::ROWS,
    },
    Section {
        title: "Copies in object storage (`trailkeeper copy`)",
        intro: "The usual variables of these services, which only `copy` reads. \
                `MAX_RETRIES`, `RETRY_DELAY_SECONDS` and `REQUEST_TIMEOUT_SECONDS`, without a prefix, count here too.",
        prefix: None,
        rows: object_storage::ROWS,
    },
];

/// Returns the names of all variables, including those for single streams and those that name the file of a secret.
pub(super) fn names(kinds: &[Kind]) -> BTreeSet<String> {
    rows(kinds).flat_map(|row| names_of(row, kinds)).collect()
}

/// Returns the version of these settings: a hash of all variables that are read, but for secrets and what may hold one. Members of a
/// fleet have the same, or are told apart by it.
pub(crate) fn settings_version(env: &Env, kinds: &[Kind]) -> u64 {
    env.digest_of(&names_without_secrets(kinds))
}

/// Returns the names of all variables but those that hold a secret, or may hold one.
fn names_without_secrets(kinds: &[Kind]) -> BTreeSet<String> {
    let holds_none = |row: &&dyn Row| row.file().is_none() && row.name() != super::KAFKA_PROPERTIES.name();
    rows(kinds)
        .filter(holds_none)
        .flat_map(|row| names_of(row, kinds))
        .collect()
}

/// Returns the names of the variables that name the files of secrets.
pub(super) fn secret_files(kinds: &[Kind]) -> impl Iterator<Item = String> {
    rows(kinds).filter_map(Row::file)
}

/// Returns the rows of the table; one that streams share comes with each of them.
fn rows(kinds: &[Kind]) -> impl Iterator<Item = &'static dyn Row> {
    let of_services = kinds.iter().flat_map(Kind::rows);
    let others = SECTIONS.iter().flat_map(|section| section.rows);
    STREAMS.rows.iter().copied().chain(of_services).chain(others.copied())
}

/// Returns the names of one row.
fn names_of(row: &dyn Row, kinds: &[Kind]) -> Vec<String> {
    let with = |prefix: &str| format!("{prefix}_{}", row.name());
    let own = kinds.iter().map(|kind| with(kind.prefix));
    match row.variable().scope {
        Scope::Program | Scope::Stream(_) => [row.name()].into_iter().chain(row.file()).collect(),
        Scope::AllStreams => [row.name()].into_iter().chain(own).collect(),
        Scope::EachStream => own
            .chain(kinds.iter().filter_map(|kind| kind.legacy_prefix).map(with))
            .collect(),
    }
}

/// Returns whether a name has the prefix of a stream (`MAIL_`), a service (`YANDEX_`) or a sink (`KAFKA_`).
pub(super) fn has_our_prefix(name: &str, kinds: &[Kind]) -> bool {
    let first_word = |name: &str| name.split_once('_').map(|(word, _)| word.to_owned());
    let Some(word) = first_word(name) else {
        return false;
    };
    let mut of_sinks = SECTIONS.iter().filter_map(|section| section.prefix);
    let mut of_services = kinds.iter().flat_map(Kind::rows);
    of_sinks.any(|ours| name.starts_with(ours))
        || kinds.iter().any(|kind| kind.prefix == word)
        || of_services.any(|row| first_word(&row.name()).as_ref() == Some(&word))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::documents::SYSTEM;
    use super::*;
    use crate::env::DefaultValue;
    use crate::source::SOURCES;

    fn table() -> impl Iterator<Item = &'static dyn Row> {
        rows(SOURCES).chain(SYSTEM.rows.iter().copied())
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// Returns each `NAME=value` at the start of a line, commented out or not.
    fn assignments(example: &str) -> impl Iterator<Item = (&str, &str)> {
        example.lines().filter_map(|line| {
            let (name, value) = line.trim_start_matches('#').split_once('=')?;
            name.bytes()
                .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
                .then_some((name, value))
        })
    }

    #[test]
    fn the_example_settings_explain_every_variable_and_no_other() {
        let example = fs::read_to_string(root().join(".env.example")).unwrap();
        let explained: BTreeSet<_> = assignments(&example).map(|(name, _)| name.to_owned()).collect();
        let known = names(SOURCES);
        let unknown: Vec<_> = explained.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        // The limits of single streams are explained by their pattern.
        let limits = limits::ROWS.iter().map(|row| row.name());
        let by_pattern: BTreeSet<_> = limits
            .flat_map(|limit| SOURCES.iter().map(move |kind| kind.variable(&limit)))
            .collect();
        let missing: Vec<_> = known
            .difference(&explained)
            .filter(|name| !by_pattern.contains(*name))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_settings_page_names_every_variable() {
        let page = fs::read_to_string(root().join("docs/settings.md")).unwrap();
        for row in table() {
            let mut names = names_of(row, SOURCES);
            if row.variable().scope == Scope::AllStreams {
                names = vec![row.name()];
            }
            for name in names {
                assert!(page.contains(&format!("`{name}`")), "{name}");
            }
        }
    }

    #[test]
    fn every_default_and_every_example_is_a_value_that_is_taken() {
        for row in table() {
            let variable = row.variable();
            let values: Vec<String> = match variable.default {
                DefaultValue::Text(text) => vec![text.to_owned()],
                DefaultValue::OfStream(of) => SOURCES.iter().map(|kind| of(kind.prefix)).collect(),
                DefaultValue::None => Vec::new(),
            };
            // The files of the examples do not exist.
            let example = variable.example.filter(|example| !example.starts_with("/etc/"));
            for value in values.into_iter().chain(example.map(str::to_owned)) {
                assert_eq!(row.problem(&value), None, "{row:?}");
            }
        }
    }

    #[test]
    fn what_a_variable_may_be_is_what_its_text_says() {
        for row in table() {
            let doc = row.variable().doc;
            let problem = row.problem("no such value").unwrap_or_default();
            if let Some((_, range)) = problem.split_once(" from ") {
                let range: Vec<_> = range.split([' ', ',']).take(3).collect();
                let is_any = range[2] == u64::MAX.to_string() || range[2] == u32::MAX.to_string();
                assert!(is_any || doc.contains(&range.join(" ")), "{row:?}: {range:?}");
            }
            if let Some((_, words)) = problem.split_once("must be one of ") {
                let (words, _) = words.split_once(", not ").unwrap();
                for word in words.split(", ") {
                    assert!(doc.contains(&format!("`{word}`")), "{row:?}: {word}");
                }
            }
        }
    }

    #[test]
    fn every_variable_is_declared_once_and_explained() {
        let rows: Vec<_> = table().map(|row| row.name()).collect();
        let names: BTreeSet<_> = rows.iter().collect();
        for row in table() {
            assert!(row.variable().doc.len() > 5, "{row:?}");
        }
        // Streams of one vendor share rows.
        let shared = ["OAUTH_TOKEN_ARG", "ORGANIZATION_ID_ARG", "YANDEX_API_URL"];
        for name in names {
            let times = rows.iter().filter(|row| *row == name).count();
            assert!(times == 1 || shared.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn every_row_that_is_declared_stands_in_the_table() {
        let names: BTreeSet<_> = table().map(|row| row.variable().name.to_owned()).collect();
        let mut declared = BTreeSet::new();
        for folder in ["src/env", "src/source", "src/config", "src/commands", "src/forward"] {
            for entry in walkdir::WalkDir::new(root().join(folder))
                .into_iter()
                .map(Result::unwrap)
            {
                if entry.file_type().is_file() {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    let (code, _) = text.split_once("#[cfg(test)]\nmod tests").unwrap_or((&text, ""));
                    declared.extend(declared_in(code));
                }
            }
        }
        assert_eq!(declared, names);
    }

    #[test]
    fn the_version_changes_with_what_is_set_and_not_with_secrets() {
        let version = |pairs: &[(&str, &str)]| settings_version(&Env::from_pairs(pairs.iter().copied()), SOURCES);
        let one = version(&[("TFC_KAFKA_TOPIC", "tfc"), ("TFC_ORG_TOKEN", "invented")]);
        assert_eq!(
            one,
            version(&[("TFC_ORG_TOKEN", "another"), ("TFC_KAFKA_TOPIC", "tfc")])
        );
        assert_eq!(one, version(&[("TFC_KAFKA_TOPIC", "tfc"), ("HOME", "/root")]));
        assert_eq!(
            one,
            version(&[("TFC_KAFKA_TOPIC", "tfc"), ("KAFKA_PROPERTIES", "sasl.password=x")])
        );
        assert_ne!(one, version(&[("TFC_KAFKA_TOPIC", "tfc2")]));
        assert_ne!(one, version(&[("TFC_KAFKA_TOPIC", "tfc"), ("TFC_MAX_PAGES", "3")]));
    }

    /// Returns the names of the rows in a file: `name: "MAX_PAGES"`.
    fn declared_in(code: &str) -> impl Iterator<Item = String> {
        let quoted = code.split("name: \"").skip(1).filter_map(|rest| rest.split_once('"'));
        let names = quoted.map(|(name, _)| name);
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        names.filter(move |name| is_name(name)).map(str::to_owned)
    }
}
