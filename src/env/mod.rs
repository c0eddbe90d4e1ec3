//! The environment and `.env`, read once into a value; only this folder reads either.
//!
//! Imports: output.
//!
//! The process's environment wins over the file. A variable set to nothing counts as not set, so a stream that `.env`
//! switches on can be switched off for one run: `PORT_LOG_CATALOG_LOCATION= trailkeeper`.
//!
//! Readers collect errors and go on, so that everything that is wrong is reported at once.

mod dotenv;
mod env_dir;
mod config_error;
mod fingerprint;
mod organization;
mod query;
mod secret;
mod secrets;
mod service_manager;
mod stamps;
mod statements;
pub(crate) mod system;
mod value;
mod variable;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

pub use config_error::{ConfigError, ConfigErrors};
use dotenv::{EnvFile, Location};
pub(crate) use env_dir::{EnvDir, Misnamed};
pub(crate) use fingerprint::{Changes, Fingerprint};
pub use organization::Organization;
pub(crate) use organization::PLACEHOLDER;
pub(crate) use query::Parameters;
pub use secret::StandingSecret;
pub(crate) use secret::{password, token};
pub(crate) use secrets::Secrets;
pub(crate) use service_manager::ServiceManager;
pub(crate) use stamps::Stamps;
use system::TRAILKEEPER_ENV_DIR;
pub(crate) use value::{
    InvalidValue, address, endpoint, file_mode, folder, is_loopback, one_of, seconds, text, whole_number, yes_or_no,
};
pub(crate) use variable::{DefaultValue, Row, Scope, Secret, Setting, Variable};

/// Returns the home folder of the user, for the `~` of an answer; `None` if it is not known.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// The folder of the settings of many organizations, which may be named in the environment alone.
pub(crate) fn env_dir() -> Option<PathBuf> {
    Env::load_process().optional(&TRAILKEEPER_ENV_DIR, &mut ConfigErrors::default())
}

/// Returns whether the environment names root certificates, by the variables that OpenSSL and what takes its place read.
#[expect(
    clippy::disallowed_methods,
    reason = "this folder reads the environment for all others"
)]
pub(crate) fn names_root_certificates() -> bool {
    let names = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
    names.iter().any(|name| std::env::var_os(name).is_some())
}

/// The variables of this run. `Debug` shows only their names.
#[derive(Clone, Default)]
pub struct Env {
    variables: Variables,
    errors: ConfigErrors,
    warnings: Vec<String>,
    /// Whether some of them are of a settings file.
    has_file: bool,
    /// Those of the settings file of an organization; `None` without one.
    own: Option<BTreeSet<String>>,
    /// The settings file of all organizations, if there is one.
    common: Option<Arc<Common>>,
    /// Whose they are, if the installation has several organizations.
    organization: Option<Organization>,
    /// Those that were read.
    secrets: Arc<Secrets>,
}

/// The settings file of all organizations.
#[derive(Debug)]
struct Common {
    path: PathBuf,
    /// The variables that are set in it.
    names: BTreeSet<String>,
}

type Variables = BTreeMap<String, Value>;

/// Every value is kept as a secret, since which ones are secret is only known when they are read.
#[derive(Clone)]
enum Value {
    Text(SecretString),
    /// Bytes that are not UTF-8.
    Unreadable,
}

impl Env {
    /// Reads the process's environment, and `.env` in the working folder or the given file.
    ///
    /// Errors in the file are in [`Env::errors`].
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this folder reads the environment for all others"
    )]
    pub(crate) fn load(env_file: Option<&Path>) -> Self {
        Self::assemble(std::env::vars_os(), &Location::new(env_file))
    }

    /// Reads the process's environment alone.
    #[expect(
        clippy::disallowed_methods,
        reason = "this folder reads the environment for all others"
    )]
    fn load_process() -> Self {
        Self {
            variables: variables_of(std::env::vars_os()),
            ..Self::default()
        }
    }

    /// Creates an environment of only these variables, for the demo and tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), Value::Text(value.into().into())));
        Self {
            variables: variables.collect(),
            ..Self::default()
        }
    }

    /// Reads a settings file alone, for tests: its variables, and what is wrong with it.
    #[must_use]
    pub fn read_file(path: &Path) -> (BTreeMap<String, SecretString>, ConfigErrors) {
        let mut errors = ConfigErrors::default();
        let file = dotenv::read(&Location::Named(path.to_owned()), &mut errors);
        (file.variables, errors)
    }

    fn assemble(process: impl Iterator<Item = (OsString, OsString)>, location: &Location) -> Self {
        let mut errors = ConfigErrors::default();
        let EnvFile {
            is_there,
            variables,
            warnings,
        } = dotenv::read(location, &mut errors);
        Self {
            variables: with(Value::all(variables), variables_of(process)),
            errors,
            warnings,
            has_file: is_there,
            ..Self::default()
        }
    }

    /// Returns the secrets that were read of it so far, and those that will be.
    pub(crate) fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Returns the organization whose settings they are, if the installation has several.
    #[must_use]
    pub(crate) fn organization(&self) -> Option<Organization> {
        self.organization
    }

    /// Returns what is wrong with the settings file itself.
    #[must_use]
    pub(crate) fn errors(&self) -> &ConfigErrors {
        &self.errors
    }

    /// Returns warnings: a file with tokens that everyone can read, a variable set twice.
    #[must_use]
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the names of all variables that are set to something, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| self.is_name_set(name))
    }

    /// Returns the names of those that a misspelling is looked for in: of an organization, those of its own file.
    pub(crate) fn own_names(&self) -> impl Iterator<Item = &str> {
        let is_own = |name: &&str| self.own.as_ref().is_none_or(|own| own.contains(*name));
        self.names().filter(is_own)
    }

    /// Returns a hash of these variables with their values, as far as they are set.
    #[must_use]
    pub(crate) fn digest_of(&self, names: &BTreeSet<String>) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for name in names.iter().filter(|name| self.is_name_set(name)) {
            let text = self.variables.get(name).and_then(Value::text).unwrap_or_default();
            hasher.update(name.as_bytes());
            hasher.update(b"=");
            hasher.update(text.as_bytes());
            hasher.update(b"\0");
        }
        hasher.digest()
    }

    /// Returns whether a variable is set to something.
    #[must_use]
    pub(crate) fn is_set(&self, row: &dyn Row) -> bool {
        self.is_name_set(&row.name())
    }

    /// Returns whether the value of a variable has the name of the organization in it.
    pub(crate) fn is_filled_in(&self, name: &str) -> bool {
        matches!(self.variables.get(name), Some(Value::Text(value)) if value.expose_secret().contains(PLACEHOLDER))
    }

    /// Returns whether a variable is set to this text.
    #[must_use]
    pub(crate) fn is(&self, row: &dyn Row, text: &str) -> bool {
        matches!(self.variables.get(&row.name()), Some(Value::Text(value)) if value.expose_secret() == text)
    }

    /// Reads an optional variable; `None` if it is not set, or after an error.
    pub(crate) fn optional<T>(&self, setting: &Setting<T>, errors: &mut ConfigErrors) -> Option<T> {
        let name = setting.name();
        let text = self.text(&name, errors)?;
        self.parsed(&name, &self.filled_in(text), setting.parse, errors)
    }

    /// Reads a required variable; `None` after an error.
    pub(crate) fn required<T>(&self, setting: &Setting<T>, errors: &mut ConfigErrors) -> Option<T> {
        if !self.is_set(setting) {
            errors.missing(&setting.name());
            return None;
        }
        self.optional(setting, errors)
    }

    /// Reads a variable that has a default; `None` after an error.
    pub(crate) fn or_default<T>(&self, setting: &Setting<T>, errors: &mut ConfigErrors) -> Option<T> {
        self.or_default_of(setting, "", errors)
    }

    /// Reads a variable that a stream can override: `MAIL_MAX_PAGES`, then `MAX_PAGES`, then its default.
    pub(crate) fn per_stream<T>(
        &self,
        setting: &Setting<T>,
        prefix: &'static str,
        errors: &mut ConfigErrors,
    ) -> Option<T> {
        let own = setting.of(prefix);
        let setting = if self.is_set(&own) { &own } else { setting };
        self.or_default_of(setting, prefix, errors)
    }

    fn or_default_of<T>(&self, setting: &Setting<T>, prefix: &str, errors: &mut ConfigErrors) -> Option<T> {
        if self.is_set(setting) {
            return self.optional(setting, errors);
        }
        let default = setting.variable.default_text(prefix);
        self.parsed(&setting.name(), &self.filled_in(&default), setting.parse, errors)
    }

    fn parsed<T>(
        &self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
        errors: &mut ConfigErrors,
    ) -> Option<T> {
        let add = |invalid: InvalidValue| match self.place_for_all(name) {
            Some(place) => errors.add_of_all(place, invalid.problem(text)),
            None => errors.add(name, invalid.problem(text)),
        };
        parse(text).map_err(add).ok()
    }

    /// Returns where a value stands that all organizations have as it is; `None` without organizations, and if it is their own or
    /// has their names in it.
    fn place_for_all(&self, name: &str) -> Option<String> {
        let own = self.own.as_ref()?;
        if own.contains(name) || !self.is_name_set(name) || self.is_filled_in(name) {
            return None;
        }
        Some(match &self.common {
            Some(common) if common.names.contains(name) => format!("{}: {name}", common.path.display()),
            _ => name.to_owned(),
        })
    }

    /// Returns the text of a value that may be shown, with the name of the organization where it asks for that.
    fn filled_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.organization {
            Some(organization) => Cow::Owned(organization.fill_in(text)),
            None => Cow::Borrowed(text),
        }
    }

    fn is_name_set(&self, name: &str) -> bool {
        match self.variables.get(name) {
            Some(value) => value.is_set(),
            None => false,
        }
    }

    /// Returns the text of a variable; `None` if it is not set, or after an error because it is not UTF-8.
    fn text(&self, name: &str, errors: &mut ConfigErrors) -> Option<&str> {
        match self.variables.get(name)? {
            Value::Text(text) => Some(text.expose_secret()).filter(|text| !text.is_empty()),
            Value::Unreadable => {
                errors.add(name, "must be UTF-8 text");
                None
            }
        }
    }
}

impl Value {
    fn is_set(&self) -> bool {
        match self {
            Self::Text(text) => !text.expose_secret().is_empty(),
            Self::Unreadable => true,
        }
    }

    fn all(variables: BTreeMap<String, SecretString>) -> Variables {
        let variables = variables.into_iter();
        variables.map(|(name, value)| (name, Value::Text(value))).collect()
    }
}

fn variables_of(process: impl Iterator<Item = (OsString, OsString)>) -> Variables {
    let variables = process.map(|(name, value)| {
        let value = value.into_string();
        let value = value.map_or(Value::Unreadable, |value| Value::Text(value.into()));
        (name.to_string_lossy().into_owned(), value)
    });
    variables.collect()
}

/// Returns variables, of which those above win.
fn with(mut below: Variables, above: Variables) -> Variables {
    below.retain(|name, _| other_case(name).is_none_or(|other| !above.contains_key(&other)));
    below.extend(above);
    below
}

/// Returns the other name of a variable that is written in either case: those of proxies are.
fn other_case(name: &str) -> Option<String> {
    match name {
        "HTTPS_PROXY" | "HTTP_PROXY" | "ALL_PROXY" | "NO_PROXY" => Some(name.to_ascii_lowercase()),
        "https_proxy" | "http_proxy" | "all_proxy" | "no_proxy" => Some(name.to_ascii_uppercase()),
        _ => None,
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("names", &self.variables.keys())
            .finish_non_exhaustive()
    }
}

/// Returns a warning if a file that may hold tokens can be read by every user of the machine.
fn exposed(path: &Path, mode: u32) -> Option<String> {
    let path = path.display();
    (mode & 0o004 != 0).then(|| {
        format!(
            "{path} can be read by every user of this machine and may hold tokens; make it private: chmod 600 {path}"
        )
    })
}

/// Returns the permission bits of a file; none on systems without them.
fn permissions(metadata: &Metadata) -> u32 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.permissions().mode() & 0o777
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::variable::setting;
    use super::*;

    fn assembled(process: &[(&str, &str)], file: &str) -> Env {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, file).unwrap();
        let process = process
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Env::assemble(process, &Location::Usual(path))
    }

    const MAX_PAGES: Setting<u32> = Setting {
        variable: Variable {
            scope: Scope::AllStreams,
            ..setting("MAX_PAGES", Some("20"), text).variable
        },
        parse: |text| whole_number(text, 1..=1000),
    };

    fn max_pages(env: &Env) -> (Option<u32>, String) {
        let mut errors = ConfigErrors::default();
        let number = env.per_stream(&MAX_PAGES, "MAIL", &mut errors);
        (number, errors.to_string())
    }

    #[test]
    fn the_environment_of_the_process_wins_over_the_file() {
        let env = assembled(&[("MAX_PAGES", "5")], "MAX_PAGES=6\nOVERLAP_MINUTES=7\n");
        assert_eq!(max_pages(&env), (Some(5), String::new()));
        assert_eq!(
            env.or_default(
                &setting("OVERLAP_MINUTES", Some("2"), |text| whole_number(text, 0..=10_u8)),
                &mut ConfigErrors::default()
            ),
            Some(7)
        );
    }

    #[test]
    fn a_variable_set_to_nothing_counts_as_not_set_and_hides_the_file() {
        let env = assembled(&[("MAX_PAGES", "")], "MAX_PAGES=6\n");
        assert!(!env.is_set(&MAX_PAGES));
        assert_eq!(max_pages(&env), (Some(20), String::new()));
    }

    #[test]
    fn a_proxy_of_the_process_wins_over_that_of_the_file_in_either_case() {
        let env = assembled(
            &[("https_proxy", "")],
            "HTTPS_PROXY=http://proxy\nHTTP_PROXY=http://proxy\n",
        );
        assert_eq!(env.names().collect::<Vec<_>>(), ["HTTP_PROXY"]);
        let env = assembled(&[("NO_PROXY", "a"), ("no_proxy", "b")], "no_proxy=c\n");
        assert_eq!(env.names().collect::<Vec<_>>(), ["NO_PROXY", "no_proxy"]);
    }

    #[test]
    fn a_stream_overrides_what_all_streams_have() {
        assert_eq!(max_pages(&Env::default()), (Some(20), String::new()));
        assert_eq!(
            max_pages(&Env::from_pairs([("MAX_PAGES", "3")])),
            (Some(3), String::new())
        );
        assert_eq!(
            max_pages(&Env::from_pairs([("MAX_PAGES", "3"), ("MAIL_MAX_PAGES", "4")])),
            (Some(4), String::new())
        );
        assert_eq!(
            max_pages(&Env::from_pairs([("MAX_PAGES", "3"), ("MAIL_MAX_PAGES", "")])),
            (Some(3), String::new())
        );
    }

    #[test]
    fn the_variable_that_is_wrong_is_the_one_that_is_named() {
        let expected = "must be a whole number from 1 to 1000, not `abc`";
        assert_eq!(
            max_pages(&Env::from_pairs([("MAX_PAGES", "abc")])),
            (None, format!("MAX_PAGES {expected}"))
        );
        assert_eq!(
            max_pages(&Env::from_pairs([("MAIL_MAX_PAGES", "abc")])),
            (None, format!("MAIL_MAX_PAGES {expected}"))
        );
    }

    #[test]
    fn every_error_is_collected() {
        let env = Env::from_pairs([("RETRY_DELAY_SECONDS", "-1"), ("YANDEX_API_URL", "http://example.org")]);
        let mut errors = ConfigErrors::because("MAIL_LOG_CATALOG_LOCATION is set");
        let organization = setting("ORGANIZATION_ID_ARG", None, |text| whole_number(text, 1..=u64::MAX));
        assert_eq!(env.required(&organization, &mut errors), None);
        let delay = setting("RETRY_DELAY_SECONDS", Some("2"), |text| seconds(text, 0.0..=300.0));
        assert_eq!(env.or_default(&delay, &mut errors), None);
        let url = setting("YANDEX_API_URL", Some("https://api360.yandex.net"), address);
        assert_eq!(env.or_default(&url, &mut errors), None);
        assert_eq!(env.optional(&setting("APP_LOG_FILE", None, text), &mut errors), None);
        assert_eq!(
            errors.to_string(),
            "ORGANIZATION_ID_ARG is required because MAIL_LOG_CATALOG_LOCATION is set\n\
             RETRY_DELAY_SECONDS must be a number of seconds from 0 to 300, such as `0.5`, not `-1`\n\
             YANDEX_API_URL must begin with `https://` (`http://` is for loopback hosts only), not `http://example.org`"
        );
    }

    #[test]
    fn a_broken_settings_file_is_among_the_errors() {
        let env = assembled(&[], "A=1\nhunter2 hunter2\n");
        let errors = env.errors().to_string();
        assert!(errors.contains(".env line 2 must be NAME=value"), "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
        let absent = Env::assemble(
            std::iter::empty(),
            &Location::Named(PathBuf::from("/nowhere/absent.env")),
        );
        assert!(
            absent
                .errors()
                .to_string()
                .starts_with("--env-file must be a file that can be read")
        );
    }

    #[test]
    fn debug_shows_names_but_no_value() {
        let env = assembled(&[("OAUTH_TOKEN_ARG", "hunter2")], "TFC_ORG_TOKEN=hunter2\n");
        let shown = format!("{env:?} {env:#?}");
        assert!(
            shown.contains("OAUTH_TOKEN_ARG") && shown.contains("TFC_ORG_TOKEN"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_text_is_an_error_where_it_is_read() {
        use std::os::unix::ffi::OsStringExt;

        let process = [(OsString::from("MAX_PAGES"), OsString::from_vec(vec![0xff]))];
        let env = Env::assemble(process.into_iter(), &Location::Usual(PathBuf::from("/nowhere/.env")));
        assert!(env.errors().is_empty());
        assert_eq!(max_pages(&env), (None, "MAX_PAGES must be UTF-8 text".to_owned()));
    }
}
