//! What the settings were, without their values: to say what has changed when they are read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::{ConfigErrors, Env, Value};

/// More than any file has that a variable names for its content: a token, certificates.
const LARGEST_FILE: u64 = 1 << 20;

/// The variables of a run and the content of files that they name, as hashes.
#[derive(Clone)]
pub(crate) struct Fingerprint {
    variables: BTreeMap<String, u64>,
    /// By the variable that names the file; one that cannot be read has no hash.
    files: BTreeMap<String, Option<u64>>,
    has_settings_file: bool,
}

/// The variables that have changed, by name; those whose file has changed are marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(Vec<String>);

impl Env {
    /// Returns the fingerprint of all variables, and of the files that some of them name.
    pub(crate) fn fingerprint(&self, files: &BTreeSet<String>) -> Fingerprint {
        Fingerprint::new(self, files)
    }
}

impl Fingerprint {
    fn new(env: &Env, files: &BTreeSet<String>) -> Self {
        let variables = env.names().map(|name| (name.to_owned(), hash(env, name)));
        let of_file = |name: &String| {
            let path = env.filled_in(env.variables.get(name)?.text()?);
            Some((
                name.clone(),
                content(Path::new(&*path)).map(|content| hasher().hash_one(&*content)),
            ))
        };
        Self {
            variables: variables.collect(),
            files: files.iter().filter_map(of_file).collect(),
            has_settings_file: env.has_file,
        }
    }

    /// Checks that these variables are not those that are left where the settings file is gone.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn check_settings_file(&self, env: &Env) -> Result<(), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        // One that was named is an error already.
        if self.has_settings_file && !env.has_file && env.errors.is_empty() {
            errors.add(".env", "is gone, and settings were read from it: put it back");
            return Err(errors);
        }
        Ok(())
    }

    /// Returns what has changed since an older one.
    pub(crate) fn changes_from(&self, older: &Self) -> Changes {
        let names: BTreeSet<_> = self.variables.keys().chain(older.variables.keys()).collect();
        let changed = names.into_iter().filter_map(|name| {
            if self.variables.get(name) != older.variables.get(name) {
                return Some(name.clone());
            }
            (self.files.get(name) != older.files.get(name)).then(|| format!("the file of {name}"))
        });
        Changes(changed.collect())
    }
}

impl Changes {
    /// Returns them without a variable that takes no effect.
    pub(crate) fn without(mut self, variable: &str) -> Self {
        self.0.retain(|changed| changed != variable);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As in `MAIL_MAX_PAGES, the file of TFC_ORG_TOKEN_FILE`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.expose_secret()),
            Value::Unreadable => None,
        }
    }
}

/// The key of all hashes of this process, which nobody outside can know.
fn hasher() -> &'static RandomState {
    static HASHER: OnceLock<RandomState> = OnceLock::new();
    HASHER.get_or_init(RandomState::new)
}

fn hash(env: &Env, name: &str) -> u64 {
    hasher().hash_one(env.variables.get(name).and_then(Value::text))
}

fn content(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)
        .ok()?
        .take(LARGEST_FILE)
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_has_changed_is_named_and_no_value_is() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let path = token.to_str().unwrap();
        let files = BTreeSet::from(["T_FILE".to_owned(), "UNSET_FILE".to_owned()]);
        let before = Env::from_pairs([("A", "same"), ("B", "old"), ("C", "gone"), ("T_FILE", path)]);
        let mut fingerprint = before.fingerprint(&files);
        let mut changes = |env: &Env| {
            let newer = env.fingerprint(&files);
            let changes = newer.changes_from(&fingerprint);
            fingerprint = newer;
            changes
        };
        let after = Env::from_pairs([("A", "same"), ("B", "new"), ("D", "more"), ("T_FILE", path)]);
        assert_eq!(changes(&after).to_string(), "B, C, D");
        assert!(changes(&after).is_empty());
        for content in ["one", "two"] {
            fs::write(&token, content).unwrap();
            assert_eq!(changes(&after).to_string(), "the file of T_FILE");
        }
        assert!(changes(&after).is_empty());
    }
}
