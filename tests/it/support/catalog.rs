//! A folder with a catalog for each stream, the settings for it, and runs of the real binary in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use trailkeeper::archive::STATE_FOLDER;
use trailkeeper::sandbox::{Api, Event, Sandbox};
use walkdir::WalkDir;

use super::process::{self, Process};
use super::{lines_by_file, streams};

/// What moves the clock of a process, for instance by faketime(1): it has to be one clock for the tests and the program.
const CLOCK: [&str; 3] = ["LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"];

/// A working folder with a catalog for each stream that is switched on.
pub(crate) struct Catalog {
    root: TempDir,
    variables: BTreeMap<String, String>,
}

/// What a run left behind.
pub(crate) struct Run {
    /// The exit code; -1 where a signal ended it.
    pub(crate) code: i32,
    /// Its stdout.
    pub(crate) stdout: String,
    /// Its stderr.
    pub(crate) stderr: String,
}

/// The base name of a stream's day files.
pub(crate) fn base_name(api: Api) -> String {
    format!("{}_audit", api.name().trim_start_matches("yandex-"))
}

impl Catalog {
    /// A working folder without settings.
    pub(crate) fn bare() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
        }
    }

    /// Catalogs for these streams of a sandbox, with retries that do not wait.
    pub(crate) fn of(sandbox: &Sandbox, apis: &[Api]) -> Self {
        let mut catalog = Self::bare();
        catalog.variables.extend(sandbox.variables());
        catalog.set("RETRY_DELAY_SECONDS", "0.001");
        for (kind, api) in streams().into_iter().filter(|(_, api)| apis.contains(api)) {
            let folder = catalog.folder(api);
            fs::create_dir(&folder).unwrap();
            catalog.set(&kind.variable("LOG_CATALOG_LOCATION"), folder.to_str().unwrap());
            catalog.set(&kind.variable("LOG_FILE_BASE_NAME"), base_name(api));
        }
        catalog
    }

    /// The same with a variable set.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a variable for the runs that follow.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.variables.insert(name.to_owned(), value.to_string());
    }

    /// Whether a variable is set.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Takes a variable away, and returns what it held.
    pub(crate) fn unset(&mut self, name: &str) -> String {
        self.variables.remove(name).unwrap()
    }

    /// All variables, for a run inside this process.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.variables.clone()
    }

    /// The same folders and settings for another sandbox, which takes the place of the one before: as if it were at the same
    /// address.
    pub(crate) fn pointing_at(mut self, sandbox: &Sandbox) -> Self {
        let before = self.variables["TFC_API_URL"].clone();
        for file in WalkDir::new(self.root()).into_iter().map(Result::unwrap) {
            let name = file.file_name().to_string_lossy();
            if name.ends_with(".coverage.jsonl") || name.ends_with(".pending.jsonl") && file.file_type().is_file() {
                let journal = fs::read_to_string(file.path()).unwrap();
                fs::write(file.path(), journal.replace(&before, &sandbox.url())).unwrap();
            }
        }
        self.variables.extend(sandbox.variables());
        self
    }

    /// All variables, as lines of an `.env`.
    pub(crate) fn env_text(&self) -> String {
        self.variables
            .iter()
            .map(|(name, value)| format!("{name}='{value}'\n"))
            .collect()
    }

    /// Takes all variables away.
    pub(crate) fn clear(&mut self) {
        self.variables.clear();
    }

    /// The working folder.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder of a stream.
    pub(crate) fn folder(&self, api: Api) -> PathBuf {
        self.root().join(base_name(api))
    }

    /// The log of the program itself.
    pub(crate) fn app_log(&self) -> String {
        fs::read_to_string(self.root().join("get_audit_logs.log")).unwrap()
    }

    /// Puts a command into the working folder, with nothing in its environment but the settings, and the clock of the test.
    pub(crate) fn place<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.current_dir(self.root()).env_clear().envs(&self.variables);
        for name in CLOCK {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// The program with nothing in its environment but the settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        self.place(command.args(arguments))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        process::run(&mut self.command(arguments))
    }

    /// Runs it to its end from a shell that does something first, such as setting a limit.
    pub(crate) fn run_in_shell(&self, first: &str, arguments: &[&str]) -> Run {
        let mut shell = Command::new("/bin/sh");
        shell
            .args([
                "-c",
                &format!("{first}; exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_trailkeeper"),
            ])
            .args(arguments);
        process::run(self.place(&mut shell))
    }

    /// Starts it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// Runs `collect` with these arguments, which has to end with `code`; the summary of each stream by its name.
    pub(crate) fn collect(&self, code: i32, arguments: &[&str]) -> BTreeMap<String, Value> {
        let arguments: Vec<&str> = ["collect", "--json"].iter().chain(arguments).copied().collect();
        let run = self.run(&arguments);
        assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
        run.summary()
    }

    /// The same for a catalog of one stream.
    pub(crate) fn collect_one(&self, code: i32, arguments: &[&str]) -> Value {
        let summary = self.collect(code, arguments);
        assert_eq!(summary.len(), 1, "{summary:?}");
        summary.into_values().next().unwrap()
    }

    /// The files of a stream's folder, its state folder left out, by name.
    pub(crate) fn day_files(&self, api: Api) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.folder(api)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                files.insert(
                    entry.file_name().into_string().unwrap(),
                    fs::read(entry.path()).unwrap(),
                );
            }
        }
        files
    }

    /// The lines of all day files of a stream, oldest file first.
    pub(crate) fn lines(&self, api: Api) -> Vec<String> {
        let files = self.day_files(api);
        files
            .values()
            .flat_map(|bytes| std::str::from_utf8(bytes).unwrap().lines())
            .map(str::to_owned)
            .collect()
    }

    /// The lines of the rejected file of a stream.
    pub(crate) fn rejected_lines(&self, api: Api) -> Vec<String> {
        self.notes(api, "rejected")
    }

    /// The lines of the revised file of a stream.
    pub(crate) fn revised_lines(&self, api: Api) -> Vec<String> {
        self.notes(api, "revised")
    }

    fn notes(&self, api: Api, what: &str) -> Vec<String> {
        let path = self
            .folder(api)
            .join(format!(".trailkeeper/{}.{what}.jsonl", base_name(api)));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The rejected records of a stream, as they were noted.
    pub(crate) fn rejected(&self, api: Api) -> Vec<Value> {
        parsed(&self.rejected_lines(api))
    }

    /// The revisions of a stream, as they were noted.
    pub(crate) fn revised(&self, api: Api) -> Vec<Value> {
        parsed(&self.revised_lines(api))
    }

    /// Asserts that the day files hold these records, each once, in the files of their days, in whole lines.
    pub(crate) fn assert_holds(&self, api: Api, events: &[Event]) {
        let mut found = BTreeMap::new();
        for (name, bytes) in self.day_files(api) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.ends_with('\n'), "{name} does not end with a whole line");
            let lines: Vec<&str> = text.lines().collect();
            let distinct: BTreeSet<String> = lines.iter().map(ToString::to_string).collect();
            assert_eq!(distinct.len(), lines.len(), "{name} holds a line twice");
            found.insert(name, distinct);
        }
        let expected = lines_by_file(api, events);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, lines) in &expected {
            let missing: Vec<_> = lines.difference(&found[name]).take(3).collect();
            let surplus: Vec<_> = found[name].difference(lines).take(3).collect();
            assert!(
                missing.is_empty() && surplus.is_empty(),
                "{name}: missing {missing:#?}, surplus {surplus:#?}"
            );
        }
    }

    /// Every file and folder below the working folder with its bytes; of the program's own log and of the state files
    /// that say who ran when, only that they are there.
    pub(crate) fn tree(&self) -> Tree {
        let mut files = BTreeMap::new();
        for entry in walkdir::WalkDir::new(self.root()).min_depth(1) {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(self.root()).unwrap().to_owned();
            let is_state = path.components().any(|part| part.as_os_str() == ".trailkeeper");
            let is_of_interest = entry.file_type().is_file() && (!is_state || holds_records(&path));
            if !path.starts_with("get_audit_logs.log") {
                let bytes = is_of_interest.then(|| fs::read(entry.path()).unwrap());
                files.insert(path, bytes.unwrap_or_default());
            }
        }
        Tree(files)
    }

    /// Asserts that nothing was changed, added or removed since.
    pub(crate) fn assert_unchanged(&self, before: &Tree) {
        self.assert_same(before, |_| true);
    }

    /// Asserts that no day file, rejected file or revised file was changed, added or removed since; what a run remembers of itself
    /// may be.
    pub(crate) fn assert_nothing_added(&self, before: &Tree) {
        self.assert_same(before, |path| {
            let is_state = path.components().any(|part| part.as_os_str() == STATE_FOLDER);
            !is_state || holds_records(path)
        });
    }

    fn assert_same(&self, before: &Tree, counts: impl Fn(&Path) -> bool) {
        let after = self.tree();
        let paths: BTreeSet<&PathBuf> = before.0.keys().chain(after.0.keys()).collect();
        let changed: Vec<_> = paths
            .into_iter()
            .filter(|path| counts(path) && before.0.get(*path) != after.0.get(*path))
            .collect();
        assert!(changed.is_empty(), "{changed:?}");
    }
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a state file holds records.
fn holds_records(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let endings = [".rejected.jsonl", ".revised.jsonl", ".pending.jsonl"];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Files with their bytes.
pub(crate) struct Tree(BTreeMap<PathBuf, Vec<u8>>);

impl Run {
    /// What stdout says with `--json`, by the name of the stream.
    pub(crate) fn summary(&self) -> BTreeMap<String, Value> {
        let summary: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.stderr));
        assert_eq!(summary["exit_code"], self.code);
        let streams = summary["streams"].as_array().unwrap();
        streams
            .iter()
            .map(|stream| (stream["stream"].as_str().unwrap().to_owned(), stream.clone()))
            .collect()
    }
}
