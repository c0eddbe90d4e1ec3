//! `status --nagios`: one line and the exit codes of a monitoring plugin, whatever is wrong.

use std::fs;

use trailkeeper::sandbox::{Action, Answer, Api, Sandbox, Step};

use super::forwarding::Listener;
use super::support::{Catalog, events, serve};

/// What a plugin says: the word at the start, the text, and the figures behind the bar.
struct Said {
    word: String,
    text: String,
    figures: Vec<Figure>,
}

/// `label=value[unit];warning;critical;least`
#[derive(Debug, PartialEq)]
struct Figure {
    label: String,
    value: String,
    unit: String,
    warning: String,
    critical: String,
}

/// Runs the plugin, which has to end with this code and to print one line, and nothing on stderr.
#[track_caller]
fn nagios(catalog: &Catalog, code: i32, arguments: &[&str]) -> Said {
    let run = catalog.run(&[&["status", "--nagios"], arguments].concat());
    assert_eq!((run.code, run.stderr.as_str()), (code, ""), "{}", run.stdout);
    let line = run.stdout.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    let (said, figures) = line.split_once(" | ").unwrap_or((line, ""));
    assert!(!said.contains('|') && !figures.contains('|'), "{line}");
    let (word, text) = said.split_once(": ").unwrap();
    let expected = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::try_from(code).unwrap()];
    assert_eq!(word, expected, "{line}");
    Said {
        word: word.to_owned(),
        text: text.to_owned(),
        figures: figures.split_whitespace().map(figure).collect(),
    }
}

fn figure(text: &str) -> Figure {
    let (label, values) = text.split_once('=').unwrap();
    assert!(!label.contains(['\'', ' ']), "{text}");
    let mut values = values.split(';');
    let value = values.next().unwrap();
    let digits = value.trim_end_matches(|character: char| character.is_ascii_lowercase());
    assert!(digits == "U" || digits.parse::<u64>().is_ok(), "{text}");
    let mut next = || values.next().unwrap_or_default().to_owned();
    Figure {
        label: label.to_owned(),
        value: digits.to_owned(),
        unit: value[digits.len()..].to_owned(),
        warning: next(),
        critical: next(),
    }
}

impl Said {
    #[track_caller]
    fn figure(&self, label: &str) -> &Figure {
        let found = self.figures.iter().find(|figure| figure.label == label);
        found.unwrap_or_else(|| panic!("no {label} in {:?}", self.figures))
    }
}

fn disk_and_port() -> Sandbox {
    serve(|options| {
        let options = options.give(Api::Disk, events(Api::Disk, 3, 1_800));
        options.give(Api::Port, events(Api::Port, 2, 7_200))
    })
}

#[test]
fn all_is_well_and_the_figures_have_their_limits() {
    let sandbox = disk_and_port();
    let listener = Listener::start(|_| 200);
    let catalog = Catalog::of(&sandbox, &[Api::Disk, Api::Port]).with("HTTP_FORWARD_URL", &listener.address);
    catalog.collect(0, &["--forward-http"]);
    let said = nagios(&catalog, 0, &["--max-age", "3h"]);
    assert_eq!(said.text, "yandex-disk 30m, port 2h since the last record");
    let age = said.figure("yandex-disk_age");
    assert!((1_800..1_900).contains(&age.value.parse::<i64>().unwrap()), "{age:?}");
    assert_eq!((age.unit.as_str(), age.critical.as_str()), ("s", "10800"));
    assert_eq!(said.figure("yandex-disk_records").value, "3");
    assert_eq!(said.figure("port_http_waiting").value, "0");
    let problems = said.figure("port_problems");
    assert_eq!((problems.value.as_str(), problems.warning.as_str()), ("0", "0"));
    assert_eq!(
        nagios(&catalog, 0, &["--stream", "port"]).figure("port_age").critical,
        ""
    );
    assert_eq!(
        nagios(&catalog, 0, &["-q"]).word,
        "OK",
        "the line is what was asked for"
    );
}

#[test]
fn what_status_exits_with_3_for_is_critical_and_all_else_that_is_wrong_a_warning() {
    let sandbox = disk_and_port();
    let catalog = Catalog::of(&sandbox, &[Api::Disk, Api::Port])
        .with("MAX_RETRIES", 0)
        .with("INITIAL_LOOKBACK_DAYS", 5);
    let new = nagios(&catalog, 1, &[]);
    assert!(new.text.starts_with("yandex-disk new"), "{}", new.text);
    assert_eq!(new.figure("port_age").value, "U");
    catalog.collect(0, &[]);
    let late = nagios(&catalog, 2, &["--max-age", "1h"]).text;
    assert!(late.starts_with("port late: its last record is of "), "{late}");
    assert!(late.ends_with("Z, and --max-age allows 60m"), "{late}");
    // A pipe in what a service says begins no figures.
    let answer = Answer::json(503, r#"{"message":"one | two"}"#);
    sandbox.step(Step::at(
        Api::Disk,
        sandbox.request_count(Api::Disk) + 1,
        Action::Answer(answer),
    ));
    catalog.collect(3, &[]);
    let failed = nagios(&catalog, 2, &["--max-age", "9h"]).text;
    assert!(
        failed.starts_with("yandex-disk failed: the run of ") && failed.contains("503"),
        "{failed}"
    );
    catalog.collect(0, &[]);
    catalog.collect(0, &["--since", "30d", "--until", "28d", "--stream", "port"]);
    assert_eq!(nagios(&catalog, 0, &["--stream", "yandex-disk"]).word, "OK");
    let gap = nagios(&catalog, 1, &["--max-age", "9h"]);
    assert!(gap.text.starts_with("port: no run has fetched "), "{}", gap.text);
    assert_ne!(gap.figure("port_problems").value, "0");
    fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
    let gone = nagios(&catalog, 2, &[]).text;
    assert!(
        gone.starts_with("yandex-disk failed: "),
        "the worst comes first: {gone}"
    );
}

#[test]
fn whatever_keeps_it_from_knowing_is_unknown_wrong_usage_too() {
    let sandbox = disk_and_port();
    let mut catalog = Catalog::of(&sandbox, &[Api::Disk]);
    for (arguments, text) in [
        (&["--max-age", "-5m"][..], "cannot be negative"),
        (&["--max-age"], "a value is required"),
        (&["--json"], "cannot be used with"),
        (&["--loud"], "unexpected argument '--loud'"),
        (&["--stream", "gitlab"], "gitlab"),
        (&["--env-file", "absent.env"], "absent.env"),
    ] {
        let said = nagios(&catalog, 3, arguments);
        assert!(
            said.text.contains(text) && said.figures.is_empty(),
            "{arguments:?}: {}",
            said.text
        );
    }
    catalog.unset("DISK_LOG_FILE_BASE_NAME");
    catalog.set("OVERLAP_MINUTES", "x");
    let settings = nagios(&catalog, 3, &[]).text;
    assert!(
        settings.contains("the settings are invalid: DISK_LOG_FILE_BASE_NAME is required"),
        "{settings}"
    );
    // Monitoring calls it so by mistake, and reads no other code.
    let other = catalog.run(&["collect", "--nagios"]);
    assert!(
        other.code == 3 && other.stdout.starts_with("UNKNOWN: "),
        "{}",
        other.stdout
    );
    let help = catalog.run(&["status", "--nagios", "--help"]);
    assert!(help.code == 0 && help.stdout.contains("--max-age"), "{}", help.stdout);
}
