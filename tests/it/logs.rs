//! What the program says of itself: on stderr, in its log file, and never a token.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, PortLogin, Sandbox, Step};

use super::support::{Catalog, Process, events, serve, streams};

/// Whether a line has the form `2023-10-01 12:00:00.123 INFO:` tab message, at one of these levels.
fn has_form(line: &str, levels: &[&str]) -> bool {
    let shape = b"dddd-dd-dd dd:dd:dd.ddd ";
    let bytes = line.as_bytes();
    let is_time = bytes.len() > shape.len()
        && bytes.iter().zip(shape).all(|(byte, shape)| {
            if *shape == b'd' {
                byte.is_ascii_digit()
            } else {
                byte == shape
            }
        });
    let level = is_time.then(|| line[shape.len()..].split_once(":\t")).flatten();
    level.is_some_and(|(level, message)| levels.contains(&level) && !message.is_empty())
}

#[test]
fn the_log_has_its_form_on_stderr_and_in_the_file() {
    let sandbox = serve(|options| {
        let options = streams()
            .into_iter()
            .fold(options, |all, (_, api)| all.give(api, events(api, 3, 60)));
        options.step(Step::at(Api::Tfc, 1, Action::Answer(Answer::html(503, "Unavailable"))))
    });
    for (arguments, levels) in [
        (&["collect"][..], &["ERROR", "WARNING", "INFO"][..]),
        (&["collect", "-v"], &["ERROR", "WARNING", "INFO", "DEBUG"]),
        (&["collect", "-q"], &["ERROR"]),
    ] {
        let catalog = Catalog::of(&sandbox, &Api::ALL);
        let run = catalog.run(arguments);
        assert_eq!(run.code, 0);
        for line in run.stderr.lines() {
            assert!(has_form(line, levels), "{arguments:?}: {line:?}");
        }
        let file = catalog.app_log();
        for line in file.lines() {
            assert!(has_form(line, &["ERROR", "WARNING", "INFO", "DEBUG"]), "{line:?}");
        }
        assert!(file.lines().any(|line| line.contains(" DEBUG:\t")), "{file}");
        // The file holds everything that stderr holds; each of them asks the clock for itself.
        let said = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line[line.find(['E', 'W', 'I', 'D']).unwrap()..].to_owned())
                .collect()
        };
        let in_file = said(&file);
        assert!(
            said(&run.stderr).iter().all(|line| in_file.contains(line)),
            "{}",
            run.stderr
        );
        assert_eq!(run.stderr.is_empty(), arguments.contains(&"-q"));
    }
}

/// A service whose first answer is an error, and a catalog for it.
fn with_a_warning() -> (Sandbox, Catalog) {
    let sandbox = serve(|options| {
        let options = options.give(Api::Tfc, events(Api::Tfc, 3, 60));
        options.step(Step::at(Api::Tfc, 1, Action::Answer(Answer::html(503, "Unavailable"))))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    (sandbox, catalog)
}

#[test]
fn as_json_each_line_is_an_object_on_stderr_and_in_the_file() {
    let (_sandbox, catalog) = with_a_warning();
    let catalog = catalog.with("LOG_FORMAT", "json");
    // The second run goes on in the same file.
    let runs = [catalog.run(&["collect", "-v"]), catalog.run(&["collect"])];
    let file = catalog.app_log();
    for run in &runs {
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.lines().count() > 1);
    }
    for line in file.lines().chain(runs.iter().flat_map(|run| run.stderr.lines())) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(line["logger"], "trailkeeper");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(["ERROR", "WARNING", "INFO", "DEBUG"].contains(&line["level"].as_str().unwrap()));
        assert!(!line["message"].as_str().unwrap().is_empty());
    }
    let complete = file
        .lines()
        .find(|line| line.contains(r#""message":"complete""#))
        .unwrap();
    let complete: Value = serde_json::from_str(complete).unwrap();
    assert_eq!((&complete["appended"], &complete["stream"]), (&3.into(), &"tfc".into()));
    assert!(
        file.contains(r#""level":"WARNING""#) && file.contains(r#""level":"DEBUG""#),
        "{file}"
    );
    let status = catalog.run(&["status", "--stream", "tfc"]);
    assert_eq!(status.code, 0, "{}", status.stderr);
}

#[test]
#[cfg(unix)]
fn in_the_journal_lines_have_a_priority_and_no_time_of_their_own() {
    use std::os::unix::fs::MetadataExt;

    let (_sandbox, catalog) = with_a_warning();
    let path = catalog.root().join("journal");
    let journal = fs::File::create(&path).unwrap();
    let found = journal.metadata().unwrap();
    let stream = format!("{}:{}", found.dev(), found.ino());
    let mut catalog = catalog.with("JOURNAL_STREAM", stream);
    let mut command = catalog.command(&["collect", "-v"]);
    assert_eq!(Process::start(command.stderr(journal)).end().code, 0);
    let lines = fs::read_to_string(&path).unwrap();
    let priority = |line: &str| line.strip_prefix('<').and_then(|line| line.get(..2)).map(str::to_owned);
    let priorities: BTreeSet<_> = lines
        .lines()
        .map(|line| priority(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    assert_eq!(priorities, ["4>", "6>", "7>"].map(str::to_owned).into());
    assert!(lines.contains("<6>complete appended=3 "), "{lines}");
    for line in catalog.app_log().lines() {
        assert!(
            has_form(line, &["WARNING", "INFO", "DEBUG"]),
            "the file has its own form: {line}"
        );
    }

    // A stderr that was redirected is not the journal, whatever a variable says.
    for other in ["1:1", "", "x"] {
        catalog.set("JOURNAL_STREAM", other);
        let run = catalog.run(&["collect"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(
            run.stderr.lines().all(|line| has_form(line, &["INFO"])),
            "{}",
            run.stderr
        );
    }
}

#[test]
#[cfg(unix)]
fn errors_before_the_log_begins_have_its_form() {
    use std::os::unix::fs::MetadataExt;

    let mut catalog = Catalog::bare();
    catalog.set("LOG_FORMAT", "json");
    for arguments in [&["collect"][..], &["status"], &["forward", "kafka"]] {
        let run = catalog.run(arguments);
        assert_eq!(run.code, 1);
        let lines: Vec<Value> = run
            .stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (lines.len(), &lines[0]["level"]),
            (1, &"ERROR".into()),
            "{}",
            run.stderr
        );
        assert!(
            lines[0]["message"]
                .as_str()
                .unwrap()
                .contains("MAIL_LOG_CATALOG_LOCATION")
        );
    }
    catalog.unset("LOG_FORMAT");
    let journal = fs::File::create(catalog.root().join("journal")).unwrap();
    let found = journal.metadata().unwrap();
    catalog.set("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino()));
    assert_eq!(
        Process::start(catalog.command(&["collect"]).stderr(journal)).end().code,
        1
    );
    let lines = fs::read_to_string(catalog.root().join("journal")).unwrap();
    assert!(
        lines.lines().count() > 1 && lines.lines().all(|line| line.starts_with("<3>")),
        "{lines}"
    );
}

#[test]
fn an_error_names_its_stream_even_when_only_errors_are_logged() {
    let refuse = Step::always(Api::Mail, Action::Answer(Answer::json(401, "{}")));
    let sandbox = serve(|options| options.step(refuse));
    let run = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]).run(&["collect", "-q"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let errors: Vec<_> = run.stderr.lines().filter(|line| line.contains("401")).collect();
    assert!(!errors.is_empty(), "{}", run.stderr);
    assert!(errors.iter().all(|line| line.contains("yandex-mail")), "{}", run.stderr);
}

#[test]
fn the_log_file_is_rotated_at_one_mebibyte_with_five_backups() {
    let sandbox = serve(|options| options.give(Api::Disk, events(Api::Disk, 3, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Disk]);
    let path = |number: usize| match number {
        0 => catalog.root().join("get_audit_logs.log"),
        _ => catalog.root().join(format!("get_audit_logs.log.{number}")),
    };
    for number in 0..=5 {
        let size = if number == 0 { (1 << 20) - 10 } else { 100 };
        fs::write(path(number), format!("{number}\n").repeat(size / 2)).unwrap();
    }
    catalog.collect(0, &[]);
    assert!(fs::metadata(path(0)).unwrap().len() < 100_000, "it begins anew");
    for number in 1..=5 {
        let content = fs::read_to_string(path(number)).unwrap();
        assert!(
            content.starts_with(&format!("{}\n", number - 1)),
            "{number} is not what {} was",
            number - 1
        );
        assert!(content.len() <= 1 << 20);
    }
    assert!(!path(6).exists());
}

#[test]
fn no_token_is_in_any_output_or_file_whatever_happens() {
    for login in [PortLogin::Token, PortLogin::Client] {
        for answer in [
            None,
            Some(Answer::html(401, "No")),
            Some(Answer::json(200, "{}")),
            Some(Answer::html(500, "Oops")),
        ] {
            let sandbox = serve(|mut options| {
                options.port_login = login;
                let options = streams()
                    .into_iter()
                    .fold(options, |all, (_, api)| all.give(api, events(api, 3, 60)));
                streams().into_iter().fold(options, |options, (_, api)| match &answer {
                    Some(answer) => options.step(Step::always(api, Action::Answer(answer.clone()))),
                    None => options,
                })
            });
            let catalog = Catalog::of(&sandbox, &Api::ALL);
            let run = catalog.run(&["-v"]);
            assert_eq!(run.code, if answer.is_some() { 3 } else { 0 });
            let secrets: Vec<String> = sandbox
                .variables()
                .into_iter()
                .filter(|(name, _)| {
                    streams()
                        .iter()
                        .any(|(kind, _)| kind.secrets().any(|row| row.name() == *name))
                })
                .map(|(_, value)| value)
                .chain(["sandbox-minted".to_owned()])
                .collect();
            assert!(secrets.len() >= 4);
            let mut outputs = vec![run.stdout, run.stderr, catalog.app_log()];
            for entry in walkdir::WalkDir::new(catalog.root()).into_iter().map(Result::unwrap) {
                if entry.file_type().is_file() {
                    outputs.push(String::from_utf8(fs::read(entry.path()).unwrap()).unwrap());
                }
            }
            for (secret, output) in secrets
                .iter()
                .flat_map(|secret| outputs.iter().map(move |output| (secret, output)))
            {
                assert!(!output.contains(secret), "{secret} in {output}");
            }
        }
    }
}
