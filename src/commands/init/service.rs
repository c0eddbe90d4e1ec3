//! The answers as a systemd service: the program, its user, folders, credentials and unit, as the sample of the unit says.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::NaiveDate;
use zeroize::Zeroizing;

use super::CATALOGS;
use super::questions::{Answers, QUESTIONS, Setting};
use crate::archive::STATE_FOLDER;

/// The unit, which systemd's own manual explains.
const UNIT: &str = include_str!("../../../samples/systemd/trailkeeper.service");

const UNIT_PATH: &str = "etc/systemd/system/trailkeeper.service";
const SETTINGS: &str = "etc/trailkeeper";
const USER: &str = "trailkeeper";

/// Where systemd looks for a program that a unit names without its folder.
const PROGRAM_FOLDERS: [&str; 2] = ["/usr/local/bin", "/usr/bin"];

/// What the unit does not show to the service (`ProtectHome=`, `PrivateTmp=`).
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Why a service cannot be installed, or was not.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    #[error("{} is there already and is not overwritten", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{command}` failed: {problem}")]
    Command { command: String, problem: String },
    #[error("{} holds more than day files ({example}), and would belong to the service's user: give it a folder of its own", folder.display())]
    Shared { folder: PathBuf, example: String },
    #[error("cannot list {}: {source}", folder.display())]
    List { folder: PathBuf, source: io::Error },
}

/// What is installed, and where.
pub(super) struct Service<'a> {
    answers: &'a Answers,
    /// The folders of the day files.
    folders: &'a [PathBuf],
    /// The root of the system.
    root: &'a Path,
    /// The program that runs now.
    program: PathBuf,
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Run(Vec<String>),
    /// Write a file that is not there yet, readable by its owner alone or by everyone.
    Write {
        path: PathBuf,
        is_private: bool,
        text: Zeroizing<String>,
    },
}

impl<'a> Service<'a> {
    /// Returns what can be installed: as root, on a machine that systemd runs, where no such service is, and whose folders
    /// are in no home. Below another root who that is does not count.
    pub(super) fn possible(answers: &'a Answers, folders: &'a [PathBuf], root: &'a Path) -> Option<Self> {
        let is_allowed = root != Path::new("/") || is_root();
        let is_systemd = root.join("run/systemd/system").is_dir();
        let is_new = !root.join(UNIT_PATH).exists();
        let is_hidden = |folder: &PathBuf| HIDDEN.iter().any(|hidden| folder.starts_with(hidden));
        // Below another root the folders are not those of the service.
        let is_seen = |folder: &PathBuf| root != Path::new("/") || !is_hidden(folder);
        let program = std::env::current_exe().ok()?;
        (is_allowed && is_systemd && is_new && folders.iter().all(is_seen)).then_some(Self {
            answers,
            folders,
            root,
            program,
        })
    }

    /// Installs and starts it. The settings file that the answers were written to may be that of the service: then it is
    /// replaced by one without secrets.
    pub(super) fn install(&self, written: &Path) -> Result<(), ServiceError> {
        self.folders.iter().try_for_each(|folder| check_own(folder))?;
        let steps = self.steps();
        for step in &steps {
            if let Step::Write { path, .. } = step
                && path.exists()
                && !is_same(path, written)
            {
                return Err(ServiceError::Exists(path.clone()));
            }
        }
        steps.iter().try_for_each(Step::take)
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let bin = self.program.parent().unwrap_or(Path::new(""));
        if !PROGRAM_FOLDERS.iter().any(|folder| bin == Path::new(folder)) {
            let (from, to) = (
                shown(&self.program),
                shown(&self.root.join("usr/local/bin/trailkeeper")),
            );
            steps.push(run(["install", "-D", "-m", "0755", &from, &to]));
        }
        steps.extend(self.user());
        for folder in self.folders {
            let folder = shown(folder);
            // What was checked as root is the user's now.
            steps.push(run(["install", "-d", "-o", USER, "-g", USER, "-m", "2750", &folder]));
            steps.push(run(["chown", "-R", "trailkeeper:trailkeeper", &folder]));
        }
        steps.push(run(["install", "-d", "-m", "0755", &shown(&self.root.join(SETTINGS))]));
        steps.extend(self.files());
        steps.push(run(["systemctl", "daemon-reload"]));
        steps.push(run(["systemctl", "enable", "--now", "trailkeeper.service"]));
        steps
    }

    /// The group and the user, where they are not there: either can be there without the other.
    fn user(&self) -> Vec<Step> {
        let is_in = |file: &str| {
            let names = fs::read_to_string(self.root.join(file)).unwrap_or_default();
            names.lines().any(|line| line.split(':').next() == Some(USER))
        };
        let mut steps = Vec::new();
        if !is_in("etc/group") {
            steps.push(run(["groupadd", "--system", USER]));
        }
        if !is_in("etc/passwd") {
            let (home, shell) = ("--home-dir=/var/lib/trailkeeper", "--shell=/usr/sbin/nologin");
            steps.push(run(["useradd", "--system", "--gid=trailkeeper", home, shell, USER]));
        }
        steps
    }

    /// The settings without secrets, a file for each secret, and the unit.
    fn files(&self) -> Vec<Step> {
        let (mut settings, mut files) = (Zeroizing::new(String::new()), Vec::new());
        let private = |name: &str, text| Step::Write {
            path: self.root.join(SETTINGS).join(name),
            is_private: true,
            text,
        };
        let mut credentials = Vec::new();
        for setting in self.answers.settings() {
            match credential(setting) {
                Some(name) => {
                    files.push(private(name, Zeroizing::new(setting.value.to_string() + "\n")));
                    credentials.push(name);
                }
                None => setting.write(&mut settings),
            }
        }
        files.push(private("trailkeeper.env", settings));
        files.push(Step::Write {
            path: self.root.join(UNIT_PATH),
            is_private: false,
            text: Zeroizing::new(unit(&credentials, self.folders)),
        });
        files
    }
}

impl Step {
    fn take(&self) -> Result<(), ServiceError> {
        match self {
            Step::Run(words) => execute(words),
            Step::Write { path, is_private, text } => {
                write(path, *is_private, text).map_err(|source| ServiceError::Write {
                    path: path.clone(),
                    source,
                })
            }
        }
    }
}

fn run<const N: usize>(words: [&str; N]) -> Step {
    Step::Run(words.map(str::to_owned).into())
}

fn execute(words: &[String]) -> Result<(), ServiceError> {
    let failed = |problem| ServiceError::Command {
        command: words.join(" "),
        problem,
    };
    let output = Command::new(&words[0]).args(&words[1..]).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Replaces the file as a whole, which was found to be none of another.
#[expect(
    clippy::disallowed_methods,
    reason = "the settings, credentials and unit of the service"
)]
fn write(path: &Path, is_private: bool, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_private { 0o600 } else { 0o644 });
    let _ = is_private;
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Returns the unit with the credentials that the service has, and with its folders.
fn unit(credentials: &[&str], folders: &[PathBuf]) -> String {
    let others = || folders.iter().filter(|folder| !folder.starts_with(CATALOGS));
    let mut unit = String::new();
    for line in UNIT.lines() {
        let bare = line.trim_start_matches('#');
        match credential_of(bare) {
            Some(name) if credentials.contains(&name) => unit.push_str(bare),
            Some(_) => unit.extend(["#", bare]),
            None => unit.push_str(line),
        }
        unit.push('\n');
        for key in ["RequiresMountsFor=", "ReadWritePaths="] {
            if line.starts_with(key) {
                others().for_each(|folder| unit.push_str(&format!("{key}{}\n", quoted(folder))));
            }
        }
    }
    unit
}

/// Returns the name of the credential that a line of the unit is about, without its comment sign.
fn credential_of(line: &str) -> Option<&str> {
    let loaded = line
        .strip_prefix("LoadCredential=")
        .and_then(|rest| rest.split(':').next());
    let named = line
        .strip_prefix("Environment=")
        .and_then(|rest| rest.split_once("=%d/"));
    loaded.or(named.map(|(_, name)| name))
}

/// Returns the name of the credential for a setting that is a secret.
fn credential(setting: &Setting) -> Option<&'static str> {
    let is_secret = |question: &&super::Question| question.is_secret() && question.row.name() == setting.variable;
    QUESTIONS.iter().find(is_secret)?;
    let beginning = format!("Environment={}_FILE=%d/", setting.variable);
    UNIT.lines()
        .find_map(|line| line.trim_start_matches('#').strip_prefix(&beginning))
}

/// A path as a unit has it: in quotes, without specifiers.
fn quoted(path: &Path) -> String {
    let text = shown(path).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Checks that a folder holds nothing but day files and their state: all of it is to belong to the service's user.
fn check_own(folder: &Path) -> Result<(), ServiceError> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let names: Vec<_> = match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(|source| ServiceError::List {
            folder: folder.to_owned(),
            source,
        })?,
    };
    let is_own = |name: &OsString| name == STATE_FOLDER || is_like_a_day_file(&name.to_string_lossy());
    match names.iter().find(|name| !is_own(name)) {
        None => Ok(()),
        Some(other) => Err(ServiceError::Shared {
            folder: folder.to_owned(),
            example: other.to_string_lossy().into_owned(),
        }),
    }
}

/// Returns whether a name has a date before its first dot, as `mail_audit_2026-01-05.log.gz` has.
fn is_like_a_day_file(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    stem.rsplit_once('_')
        .is_some_and(|(_, date)| date.parse::<NaiveDate>().is_ok())
}

pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_has_the_credentials_that_there_are_and_may_write_to_the_folders() {
        let folders = [
            PathBuf::from("/var/log/audit-trails/tfc"),
            PathBuf::from("/srv/50% \"logs\""),
        ];
        let unit = unit(&["tfc_org_token"], &folders);
        let lines: Vec<_> = unit.lines().collect();
        for line in [
            "LoadCredential=tfc_org_token:/etc/trailkeeper/tfc_org_token",
            "Environment=TFC_ORG_TOKEN_FILE=%d/tfc_org_token",
            "#LoadCredential=oauth_token:/etc/trailkeeper/oauth_token",
            "#Environment=OAUTH_TOKEN_ARG_FILE=%d/oauth_token",
            "ReadWritePaths=/var/log/audit-trails",
            "ReadWritePaths=\"/srv/50%% \\\"logs\\\"\"",
            "RequiresMountsFor=\"/srv/50%% \\\"logs\\\"\"",
        ] {
            assert!(lines.contains(&line), "{line} is not in {unit}");
        }
        assert_eq!(lines.len(), UNIT.lines().count() + 2);
    }

    #[test]
    fn a_user_and_a_group_are_made_where_either_is_missing() {
        for (users, groups, expected) in [
            ("", "", &["groupadd", "useradd"][..]),
            (
                "trailkeeper:x:998:4::/nonexistent:/bin/sh\n",
                "adm:x:4:\n",
                &["groupadd"],
            ),
            (
                "trailkeepers:x:998:4::/:/bin/sh\n",
                "trailkeeper:x:998:\n",
                &["useradd"],
            ),
            ("trailkeeper:x:998:998::/:/bin/sh\n", "trailkeeper:x:998:\n", &[]),
        ] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("etc")).unwrap();
            fs::write(root.path().join("etc/passwd"), users).unwrap();
            fs::write(root.path().join("etc/group"), groups).unwrap();
            let service = Service {
                answers: &Answers::default(),
                folders: &[],
                root: root.path(),
                program: PathBuf::new(),
            };
            let named = |step: &Step| match step {
                Step::Run(words) => words[0].clone(),
                Step::Write { path, .. } => shown(path),
            };
            let steps: Vec<_> = service.user().iter().map(named).collect();
            assert_eq!(steps, expected, "{users}{groups}");
        }
    }

    #[test]
    fn every_secret_that_is_asked_for_has_a_credential_in_the_unit() {
        for question in QUESTIONS.iter().filter(|question| question.is_secret()) {
            let mut answers = Answers::default();
            answers.set(question.row.name(), Zeroizing::new("invented".to_owned()));
            assert!(credential(&answers.settings()[0]).is_some(), "{}", question.row.name());
        }
    }
}
