//! What the readme, the book and the page for contributors show is so: every command line is run, every flag is there. Their
//! links and words: [`book`].

mod book;
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use trailkeeper::sandbox::{Api, Sandbox};

use self::pages::Page;
use super::forwarding::Listener;
use super::kafka::broker::Broker;
use super::support::{Catalog, PATIENCE, Run, at, base_name, event, events, process, serve, tool, wait_until};

/// Lines that cannot be run here, and why.
const NOT_RUN: [(&str, &str); 28] = [
    (
        "trailkeeper copy --to file:///mnt/copies --dry-run",
        "the tests of copy run it, with folders of their own",
    ),
    ("trailkeeper copy --to s3://audit-copies/all", "like the one above"),
    ("trailkeeper copy --from s3://audit-copies/all", "like the one above"),
    (
        "cargo run --release -- demo",
        "it builds the program; the demo itself is run below",
    ),
    ("cargo test", "it is what runs this"),
    ("cargo test --test it -- readme::", "it is what runs this"),
    (
        "cargo test --test it -- readme:: verify:: showing::",
        "it is what runs this",
    ),
    (
        "cargo build --release",
        "it builds the program, as continuous integration does",
    ),
    (
        "cargo build --release --no-default-features",
        "it builds the program without TLS for Kafka and without Parquet",
    ),
    (
        "cargo bench --bench end_to_end",
        "it takes long, and says something on a quiet machine only",
    ),
    ("cargo bench --bench end_to_end -- cpu", "like the one above"),
    ("cargo bench --bench parts", "like the one above"),
    ("cargo bench --bench forward_kafka", "like the one above"),
    ("cargo bench --bench search", "like the one above"),
    ("cargo bench --bench pack", "like the one above"),
    ("cargo bench --bench forward_latency", "like the one above"),
    ("cargo bench --bench evidence", "like the one above"),
    ("cargo bench --bench instructions", "like the one above"),
    ("cargo bench --bench growth", "like the one above"),
    ("cargo bench --bench organizations", "like the one above"),
    (".ci/run", "it runs this"),
    ("mdbook build docs", "continuous integration does"),
    ("docker build -t trailkeeper .", "it needs a daemon and the network"),
    (
        "sudo install target/release/trailkeeper /usr/local/bin/",
        "it changes the machine",
    ),
    (
        "systemctl enable --now trailkeeper.service",
        "it changes the machine; tests/it/install.rs has the units read",
    ),
    ("systemctl enable --now trailkeeper-collect.timer", "like the one above"),
    ("trailkeeper init", "it asks on a terminal: tests/it/init.rs has one"),
    (
        "trailkeeper init --env-file /etc/trailkeeper/trailkeeper.env",
        "it asks on a terminal: tests/it/init.rs has one",
    ),
];

/// What is put in the place of what only another machine has.
const INSTEAD: [(&str, &str); 7] = [
    ("/var/lib/trailkeeper/metrics/", "./"),
    ("/usr/share/bash-completion/completions/", "./completions-"),
    ("/usr/local/share/man/man1", "./man"),
    ("/tmp/trailkeeper-demo", "./another-demo"),
    ("--metrics-listen 0.0.0.0:9464", "--metrics-listen 127.0.0.1:0"),
    ("trailkeeper sandbox", "trailkeeper sandbox --listen 127.0.0.1:0"),
    ("--id ae66e491-db59-457c-8445-9c908ee726ae", "--id 3600-0"),
];

/// Flags of other programs that the pages name.
const FLAGS_OF_OTHERS: [&str; 13] = [
    "--bench",
    "--example",
    "--compressed",
    "--features",
    "--lib",
    "--long",
    "--no-default-features",
    "--now",
    "--open",
    "--release",
    "--test",
    "--timings",
    "--ultra",
];

/// A command line as it is shown, and what is shown of its output.
#[derive(Debug, Default)]
struct Shown {
    line: String,
    output: String,
}

/// The command lines of the `sh` and `console` blocks of a page, in their order.
fn command_lines(page: &str) -> Vec<Shown> {
    let mut lines: Vec<Shown> = Vec::new();
    let mut block = None;
    for line in page.lines() {
        let text = line.trim_start();
        if let Some(kind) = text.strip_prefix("```") {
            block = block.is_none().then_some(kind);
            continue;
        }
        let command = match block {
            Some("sh") => Some(text),
            Some("console") => text.strip_prefix("$ "),
            _ => continue,
        };
        match command.map(|command| command.split(" #").next().unwrap_or_default().trim()) {
            Some("") => {}
            Some(command) => lines.push(Shown {
                line: command.to_owned(),
                output: String::new(),
            }),
            None => lines.last_mut().unwrap().output.push_str(&format!("{text}\n")),
        }
    }
    lines
}

/// Everything that the lines need, and runs them one after the other.
struct Newcomer {
    sandbox: Sandbox,
    catalog: Catalog,
    _broker: Broker,
    _listener: Listener,
    late: u32,
}

impl Newcomer {
    fn new() -> Self {
        let sandbox = serve(|options| {
            let all = Api::ALL.into_iter();
            all.fold(options, |options, api| options.give(api, events(api, 20, 3_600)))
        });
        let (broker, listener) = (Broker::start(), Listener::start(|_| 200));
        for topic in ["mail", "disk", "audit", "port", "tfc"] {
            broker.ask(&format!("create {topic}-logs 1"));
        }
        let catalog = Catalog::of(&sandbox, &Api::ALL)
            .with("KAFKA_SERVER", broker.address())
            .with("HTTP_FORWARD_URL", &listener.address)
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_KEY_FILE", "evidence.key")
            .with("PATH", "/usr/local/bin:/usr/bin:/bin");
        fs::create_dir(catalog.root().join("man")).unwrap();
        // The pages are read by who forwards from the first day on.
        for sink in ["kafka", "http", "stdout"] {
            let run = catalog.run(&["forward", sink]);
            assert_eq!(run.code, 0, "{}", run.stderr);
        }
        // Those about evidence by who has a log, and keeps a checkpoint of it.
        for line in ["evidence keygen", "collect", "seal"] {
            let run = catalog.run(&line.split(' ').collect::<Vec<_>>());
            assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        }
        for (there, here) in [("policy.txt", "auditor.policy"), ("checkpoint", "kept.checkpoint")] {
            fs::copy(catalog.root().join("evidence").join(there), catalog.root().join(here)).unwrap();
        }
        Self {
            sandbox,
            catalog,
            _broker: broker,
            _listener: listener,
            late: 0,
        }
    }

    /// Runs a line, which must end well.
    fn run(&mut self, shown: &Shown) {
        let mut line = shown.line.clone();
        for (there, here) in INSTEAD {
            line = line.replace(there, here);
        }
        if line.ends_with("--metrics-listen") {
            line.push_str(" 127.0.0.1:0");
        }
        if line.contains("trailkeeper reconcile") {
            self.let_a_record_be_late();
        }
        let is_endless = line.contains("--follow") || line.contains("trailkeeper sandbox");
        match (is_endless, line.split_once(['|', '>'])) {
            (true, _) => self.run_until_it_works(&line),
            (false, None) => {
                let run = self.catalog.run(&words(&line));
                assert_eq!(run.code, 0, "{line}\n{}{}", run.stdout, run.stderr);
                assert_shown(shown, &run);
            }
            (false, Some((_, other))) => self.run_in_a_shell(&line, other.split_whitespace().next().unwrap()),
        }
    }

    /// A record of disk that no run saw in time.
    fn let_a_record_be_late(&mut self) {
        self.late += 1;
        let late = event(
            Api::Disk,
            at(7_200 + i64::from(self.late)),
            &format!("late {}", self.late),
        );
        self.sandbox.add(Api::Disk, vec![late]);
    }

    fn run_in_a_shell(&self, line: &str, other: &str) {
        if line.contains('|') && tool(other, other).is_none() {
            return;
        }
        let mut shell = Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_trailkeeper");
        shell.args(["-c", &format!("set -e; trailkeeper() {{ {binary} \"$@\"; }}; {line}")]);
        let run = process::run(self.catalog.place(&mut shell));
        assert_eq!(run.code, 0, "{line}\n{}{}", run.stdout, run.stderr);
    }

    /// Runs what ends at a signal only, until it has done something.
    fn run_until_it_works(&self, line: &str) {
        let journal = || {
            let name = format!(".trailkeeper/{}.coverage.jsonl", base_name(Api::Tfc));
            fs::read_to_string(self.catalog.folder(Api::Tfc).join(name)).map_or(0, |text| text.lines().count())
        };
        let before = journal();
        let mut running = self.catalog.start(&words(line));
        if line.contains("trailkeeper sandbox") {
            running.lines_to("TFC_ORG_TOKEN=");
        } else {
            wait_until(&format!("`{line}` has collected something"), PATIENCE, || {
                running.assert_running();
                // What it asks for, and how it ended.
                journal() >= before + 2
            });
        }
        let run = running.terminate();
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().skip(1).collect()
}

/// Asserts that the headings and JSON keys that are shown are those of the program.
fn assert_shown(shown: &Shown, run: &Run) {
    let keys = keys(&run.stdout);
    for key in self::keys(&shown.output) {
        assert!(keys.contains(&key), "{}: no key {key} in\n{}", shown.line, run.stdout);
    }
    let headings = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| line.starts_with("STREAM "));
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let found = headings(&run.stdout);
    for heading in headings(&shown.output) {
        assert!(
            found.contains(&heading),
            "{}: no `{heading}` in\n{}",
            shown.line,
            run.stdout
        );
    }
}

/// What stands before a colon in quotes.
fn keys(text: &str) -> BTreeSet<String> {
    let parts = text.split("\":");
    let keys = parts.filter_map(|part| part.rsplit_once('"').map(|(_, key)| key.to_owned()));
    keys.filter(|key| {
        key.chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
    })
    .filter(|key| !key.is_empty())
    .collect()
}

#[test]
fn every_command_line_that_the_pages_show_runs_or_has_a_reason_not_to() {
    let mut newcomer = Newcomer::new();
    let mut unused: BTreeMap<_, _> = NOT_RUN.into_iter().collect();
    let mut ran = 0;
    for shown in Page::all().iter().flat_map(|page| command_lines(&page.text)) {
        if NOT_RUN.iter().any(|(line, _)| *line == shown.line) {
            unused.remove(shown.line.as_str());
            continue;
        }
        assert!(
            shown.line.starts_with("trailkeeper"),
            "`{}` is new: give a reason why it is not run",
            shown.line
        );
        newcomer.run(&shown);
        ran += 1;
    }
    assert!(unused.is_empty(), "no page shows these any more: {unused:?}");
    assert!(ran >= 30, "{ran}");
}

fn help(arguments: &[&str]) -> String {
    Catalog::bare().run(arguments).stdout
}

/// The commands, as the program lists them.
fn commands() -> Vec<String> {
    let text = help(&["--help"]);
    let list = text.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_flag_that_the_pages_name_exists() {
    let mut known = help(&["--help"]);
    for command in commands() {
        known.push_str(&help(&[&command, "--help"]));
    }
    let flags = |text: &str| -> BTreeSet<String> {
        let is_part = |character: char| character.is_ascii_lowercase() || character == '-';
        let words = text.split(|character| !is_part(character));
        let flags = words.filter(|word| word.starts_with("--") && word.len() > 3 && !word.starts_with("---"));
        flags.map(ToOwned::to_owned).collect()
    };
    let known = flags(&known);
    assert!(known.len() > 20, "{known:?}");
    for page in Page::all() {
        for flag in flags(&page.text) {
            let is_known = known.contains(&flag) || FLAGS_OF_OTHERS.contains(&flag.as_str());
            assert!(is_known, "{} names {flag}, which nothing has", page.name);
        }
    }
}

#[test]
fn every_command_has_a_heading() {
    let headings: Vec<_> = Page::all().iter().flat_map(Page::headings).collect();
    for command in commands() {
        let name = format!("`trailkeeper {command}`");
        assert!(
            headings.iter().any(|heading| heading.contains(&name)),
            "no heading for {name}"
        );
    }
}
