//! A folder with the settings of many organizations: `NAME.env` of each, over `common.env`, over the environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dotenv::{self, EnvFile, Location};
use super::{Common, ConfigErrors, Env, Organization, Value, Variables, with};

/// The file of what all organizations have; no organization can have its name.
pub(super) const COMMON: &str = "common";

/// How the name of a variable ends whose value stands in a file.
const SECRET_FILE: &str = "_FILE";

/// How the names of the files end.
const EXTENSION: &str = "env";

/// The folder, and what is below the settings of each organization.
#[derive(Clone)]
pub(crate) struct EnvDir {
    folder: PathBuf,
    /// The environment of the process alone.
    process: Variables,
    /// `common.env` over it, with what is wrong with the file.
    shared: Env,
}

/// A file of the folder whose name is that of no organization, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misnamed {
    /// The name of the file, without what follows its last dot.
    pub(crate) name: String,
    pub(crate) problem: String,
}

impl EnvDir {
    /// Reads the environment of the process and `common.env`.
    #[must_use]
    pub(crate) fn new(folder: &Path) -> Self {
        Self::over(Env::load_process().variables, folder)
    }

    fn over(process: Variables, folder: &Path) -> Self {
        let mut errors = ConfigErrors::default();
        let path = file(folder, COMMON);
        let EnvFile {
            variables, warnings, ..
        } = dotenv::read(&Location::Common(path.clone()), &mut errors);
        let names = variables.keys().cloned().collect();
        let shared = Env {
            common: Some(Arc::new(Common { path, names })),
            variables: with(process.clone(), Value::all(variables)),
            errors,
            warnings,
            ..Env::default()
        };
        Self {
            folder: folder.to_owned(),
            process,
            shared,
        }
    }

    /// Returns the environment of the process alone.
    pub(crate) fn process(&self) -> Env {
        Env {
            variables: self.process.clone(),
            ..Env::default()
        }
    }

    /// Returns what all organizations have: what the program as a whole is told.
    pub(crate) fn shared(&self) -> &Env {
        &self.shared
    }

    /// Lists the organizations in the order of their names, and the files that are of none for their names.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn organizations(&self) -> Result<Vec<Result<Organization, Misnamed>>, ConfigErrors> {
        let unreadable = |error: std::io::Error| {
            let mut errors = ConfigErrors::default();
            let folder = self.folder.display();
            errors.add(
                "--env-dir",
                format!("must be a folder that can be read, not `{folder}`: {error}"),
            );
            errors
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            names.extend(stem(&entry.map_err(unreadable)?.path()));
        }
        names.sort_unstable();
        let organizations = names.into_iter().map(|name| {
            Organization::new(&name).map_err(|invalid| Misnamed {
                problem: invalid.problem(&name),
                // Others print it.
                name: name.escape_debug().to_string(),
            })
        });
        Ok(organizations.collect())
    }

    /// Returns whether an organization of this name can have a file in such a folder.
    pub(crate) fn can_have(organization: &str) -> bool {
        organization != COMMON && Organization::check(organization).is_ok()
    }

    /// Reads the settings of an organization.
    pub(crate) fn read(&self, organization: Organization) -> Env {
        let mut errors = ConfigErrors::default();
        let own = Location::OfOrganization(file(&self.folder, organization.name()));
        let EnvFile {
            is_there,
            variables,
            warnings,
        } = dotenv::read(&own, &mut errors);
        Env {
            own: Some(variables.keys().cloned().collect()),
            variables: with_own(self.shared.variables.clone(), Value::all(variables)),
            common: self.shared.common.clone(),
            errors,
            warnings,
            has_file: is_there,
            organization: Some(organization),
            ..Env::default()
        }
    }
}

/// Returns what an organization has: its own variables win, and a secret wins over the file of one and the other way round.
fn with_own(mut below: Variables, own: Variables) -> Variables {
    for name in own.iter().filter(|(_, value)| value.is_set()).map(|(name, _)| name) {
        let other = match name.strip_suffix(SECRET_FILE) {
            Some(secret) => secret.to_owned(),
            None => format!("{name}{SECRET_FILE}"),
        };
        below.remove(&other);
    }
    with(below, own)
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}

/// Returns what `NAME.env` is the file of; `None` for other files, hidden ones, and `common.env`.
fn stem(path: &Path) -> Option<String> {
    settings_of(path).filter(|name| name != COMMON)
}

/// Returns whose settings a file has, [`COMMON`] among them; `None` for other files and hidden ones.
pub(super) fn settings_of(path: &Path) -> Option<String> {
    let is_ours = path.extension().is_some_and(|extension| extension == EXTENSION);
    let name = path.file_stem()?.to_string_lossy();
    (is_ours && !name.starts_with('.') && !path.is_dir()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::variable::setting;
    use super::*;
    use crate::env::text;

    fn dir(process: &[(&str, &str)], files: &[(&str, &str)]) -> (tempfile::TempDir, EnvDir) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let dir = EnvDir::over(Env::from_pairs(process.iter().copied()).variables, folder.path());
        (folder, dir)
    }

    fn value(env: &Env, name: &'static str) -> Option<String> {
        env.optional(&setting(name, None, text), &mut ConfigErrors::default())
    }

    #[test]
    fn each_file_is_an_organization_and_its_settings_win() {
        let process = [("A", "process"), ("B", "process"), ("C", "process")];
        let files = [
            ("common.env", "A=common\nB=common\n"),
            ("acme.env", "A=acme\n"),
            ("zeta.env", "B=\n"),
        ];
        let (_folder, dir) = dir(&process, &files);
        let organizations: Vec<_> = dir.organizations().unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(
            organizations.iter().map(|one| one.name()).collect::<Vec<_>>(),
            ["acme", "zeta"]
        );
        let values = |env: &Env| ["A", "B", "C"].map(|name| value(env, name).unwrap_or_default());
        assert_eq!(values(&dir.read(organizations[0])), ["acme", "common", "process"]);
        // What is set to nothing is not set.
        assert_eq!(values(&dir.read(organizations[1])), ["common", "", "process"]);
        assert_eq!(values(dir.shared()), ["common", "common", "process"]);
        assert_eq!(values(&dir.process()), ["process"; 3]);
    }

    #[test]
    fn a_secret_of_its_own_wins_over_the_file_of_all_and_the_other_way_round() {
        let files = [
            ("common.env", "T_FILE=/all/{org}\nU=all\n"),
            ("acme.env", "T=own\nU_FILE=/own\n"),
            ("zeta.env", "T=\n"),
        ];
        let (_folder, dir) = dir(&[], &files);
        let values = |name| {
            let env = dir.read(Organization::new(name).unwrap());
            ["T", "T_FILE", "U", "U_FILE"].map(|name| value(&env, name).unwrap_or_default())
        };
        assert_eq!(values("acme"), ["own", "", "", "/own"]);
        assert_eq!(values("zeta"), ["", "/all/zeta", "all", ""]);
    }

    #[test]
    fn a_wrong_value_that_all_have_is_known_as_such() {
        let files = [("common.env", "A=x\nB=x\nC={org}\n"), ("acme.env", "B=x\n")];
        let (folder, dir) = dir(&[("D", "x")], &files);
        let env = dir.read(Organization::new("acme").unwrap());
        let mut errors = ConfigErrors::default();
        for name in ["A", "B", "C", "D"] {
            let number = setting(name, None, |text| crate::env::whole_number(text, 1..=9_u8));
            assert_eq!(env.optional(&number, &mut errors), None);
        }
        let of_all: Vec<_> = errors.of_all().iter().map(|error| error.variable.clone()).collect();
        let common = folder.path().join("common.env");
        assert_eq!(of_all, [format!("{}: A", common.display()), "D".to_owned()]);
    }

    #[test]
    fn the_name_of_the_organization_stands_in_values() {
        let (_folder, dir) = dir(
            &[],
            &[("common.env", "A=/srv/{org}/mail\n"), ("acme.env", "B='{org}_mail'\n")],
        );
        let acme = Organization::new("acme").unwrap();
        let env = dir.read(acme);
        assert_eq!(value(&env, "A").as_deref(), Some("/srv/acme/mail"));
        assert_eq!(value(&env, "B").as_deref(), Some("acme_mail"));
        // Without an organization it is text as any other.
        assert_eq!(value(dir.shared(), "A").as_deref(), Some("/srv/{org}/mail"));
    }

    #[test]
    fn files_of_others_are_passed_over_and_a_name_that_cannot_be_one_is_told() {
        let files = [
            "acme.env",
            ".hidden.env",
            "acme.env~",
            "notes.txt",
            "two words.env",
            "common.env",
        ];
        let (folder, dir) = dir(&[], &files.map(|name| (name, "A=1\n")));
        fs::create_dir(folder.path().join("folder.env")).unwrap();
        let listed = dir.organizations().unwrap();
        let [Ok(acme), Err(misnamed)] = &listed[..] else {
            panic!("{listed:?}")
        };
        assert_eq!((acme.name(), misnamed.name.as_str()), ("acme", "two words"));
        assert!(
            misnamed.problem.starts_with("must be a name of letters"),
            "{}",
            misnamed.problem
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_is_its_own() {
        let files = [
            ("common.env", "A=1\n"),
            ("acme.env", "hunter2 hunter2\n"),
            ("zeta.env", "B=1\n"),
        ];
        let (folder, dir) = dir(&[], &files);
        let errors = |name: &str| dir.read(Organization::new(name).unwrap()).errors().to_string();
        let acme = errors("acme");
        assert!(
            acme.contains("acme.env line 1 must be NAME=value") && !acme.contains("hunter2"),
            "{acme}"
        );
        assert_eq!(errors("zeta"), "");
        assert!(errors("gone").contains("gone.env must be a file that can be read"));
        let names = dir.read(Organization::new("zeta").unwrap());
        assert_eq!(names.own_names().collect::<Vec<_>>(), ["B"]);
        fs::remove_dir_all(folder.path()).unwrap();
        let gone = dir.organizations().unwrap_err().to_string();
        assert!(
            gone.starts_with("--env-dir must be a folder that can be read"),
            "{gone}"
        );
    }
}
