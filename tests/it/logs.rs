//! What the program says of itself: on stderr, in its log file, and never a token.

use std::fs;

use trailkeeper::sandbox::{Action, Answer, Api, PortLogin, Step};

use super::support::{Catalog, events, serve, streams};

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
