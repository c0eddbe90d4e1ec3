//! What stands in `samples/fleet/`: files for Compose and for Kubernetes, by their schemas, and what they say to the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::kafka::broker::Broker;
use crate::support::{Catalog, PythonPackage, succeed};

const PACKAGES: PythonPackage = PythonPackage {
    name: "kubernetes-validate (and compose-spec)",
    named_by: "PYTHON_WITH_KUBERNETES",
    import: "import kubernetes_validate, compose_spec",
};

/// Those that come with the commands.
const NOT_YET: [&str; 0] = [];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap()
}

/// What the files say to the program; `None` where they cannot be checked.
fn checked(test: &str) -> Option<Value> {
    let python = PACKAGES.python(test)?;
    let script = root("tests/it/fleet/check_samples.py");
    let run = succeed(Command::new(python).arg(script).arg(root("samples/fleet")));
    Some(serde_json::from_str(&run.stdout).unwrap())
}

/// The variables that a file of settings sets, also where it stands in another file.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_name = |name: &&str| {
        let mut letters = name.bytes();
        letters.all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == b'_')
    };
    let assignments = text.lines().filter_map(|line| line.trim_start().split_once('='));
    assignments.map(|(name, _)| name).filter(is_name).collect()
}

#[test]
fn the_samples_name_only_settings_that_exist() {
    let known = read(".env.example") + &read("docs/settings.md");
    let is_known = |name: &&str| {
        let of_stream = ["MAIL_", "TFC_"].iter().find_map(|prefix| name.strip_prefix(prefix));
        let names = [Some(*name), of_stream].into_iter().flatten();
        NOT_YET.contains(name) || names.map(|name| format!("`{name}`")).any(|name| known.contains(&name))
    };
    for path in ["samples/fleet/organizations/common.env", "samples/fleet/kubernetes.yml"] {
        let text = read(path);
        let named = variables(&text);
        assert!(named.contains("FLEET_ID") && named.len() > 5, "{path}: {named:?}");
        let unknown: Vec<_> = named.into_iter().filter(|name| !is_known(name)).collect();
        assert_eq!(unknown, [""; 0], "{path}");
    }
}

#[test]
fn every_organization_of_the_samples_has_its_tokens() {
    let entries = fs::read_dir(root("samples/fleet/organizations")).unwrap();
    let names = entries.map(|entry| {
        entry
            .unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    });
    let organizations: Vec<_> = names.filter(|name| name != "common").collect();
    assert_eq!(organizations.len(), 5);
    for organization in organizations {
        for service in ["yandex", "tfc"] {
            let token = read(&format!("samples/fleet/tokens/{organization}.{service}"));
            assert!(token.contains("sandbox"), "{organization}: {token}");
        }
    }
}

/// Without the schemas it says that it was not run; `.ci/run` sees to it that it is.
#[test]
fn kubernetes_and_compose_take_the_samples() {
    let Some(said) = checked("kubernetes_and_compose_take_the_samples") else {
        return;
    };
    let commands = said["commands"].as_array().unwrap();
    assert_eq!(commands.len(), 7, "{commands:?}");
}

#[test]
fn the_program_takes_what_the_samples_say_to_it() {
    let Some(said) = checked("the_program_takes_what_the_samples_say_to_it") else {
        return;
    };
    for command in said["commands"].as_array().unwrap() {
        let words = command.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let words: Vec<_> = words.chain(["--help"]).collect();
        let run = Catalog::bare().run(&words);
        assert_eq!(run.code, 0, "{words:?}: {}", run.stderr);
    }
    let broker = Broker::start();
    for topic in ["audit-mail", "audit-tfc"] {
        broker.ask(&format!("create {topic} 12"));
        broker.ask(&format!("config {topic} message.timestamp.type LogAppendTime"));
    }
    let catalog = Catalog::bare();
    let folder = catalog.root().join("organizations");
    fs::create_dir(&folder).unwrap();
    for (name, text) in said["settings"]["compose"].as_object().unwrap() {
        let tokens = root("samples/fleet/tokens").display().to_string();
        let text = text.as_str().unwrap().replace("/etc/trailkeeper/tokens", &tokens);
        let trails = catalog.root().display().to_string();
        let text = text.replace("/var/log/audit-trails", &trails);
        fs::write(folder.join(name), text.replace("kafka:9092", broker.address())).unwrap();
    }
    for command in [&["fleet", "init"][..], &["archive", "--once"]] {
        let run = catalog.run(&[command, &["--env-dir", "organizations"]].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
}

#[test]
fn a_folder_that_is_not_there_is_named_and_not_what_would_stand_in_it() {
    let catalog = Catalog::bare();
    for command in [
        &["fleet", "init"][..],
        &["fleet", "run"],
        &["fleet", "status"],
        &["archive"],
    ] {
        let run = catalog.run(&[command, &["--env-dir", "gone"]].concat());
        let says_so = run
            .stderr
            .contains("--env-dir must be a folder that can be read, not `gone`");
        assert!(run.code == 1 && says_so, "{command:?}: {} {}", run.code, run.stderr);
        assert!(!run.stderr.contains("FLEET_ID"), "{}", run.stderr);
    }
}
