//! Tokens and passwords: from a variable, or from the file that `<NAME>_FILE` names; never shown.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::secrets::Secrets;
use super::{ConfigError, ConfigErrors, Env, Row, Secret};

/// More than any token has; keeps a wrong path (`/dev/zero`) from filling the memory.
const LARGEST_FILE: u64 = 64 << 10;

/// Checks a secret; the error says what is wrong without quoting it.
pub(crate) type Check = fn(&str) -> Result<(), &'static str>;

/// A secret of the settings that may change while the program runs, if it stands in a file.
#[derive(Debug)]
pub struct StandingSecret {
    /// The variable that it is a value of, directly or in a file.
    variable: String,
    /// All secrets of the run, this one among them.
    secrets: Arc<Secrets>,
    file: Option<SecretFile>,
}

/// The file that a secret was read from, to read it again.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    /// `<NAME>_FILE`.
    pub(crate) variable: String,
    path: String,
    check: Check,
}

impl StandingSecret {
    /// Creates one that stands in no file.
    #[cfg(test)]
    pub(crate) fn fixed(secret: &str) -> Self {
        let secrets = Arc::new(Secrets::default());
        secrets.note("TOKEN", secret.into());
        Self {
            variable: "TOKEN".to_owned(),
            secrets,
            file: None,
        }
    }

    /// Returns the secret as it was read last.
    pub(crate) fn current(&self) -> SecretString {
        self.secrets.newest(&self.variable).unwrap_or_default()
    }

    /// Returns the secrets of the run: whatever a service says, it may repeat any of them.
    pub(crate) fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Names in an advice the file of the secret instead of its variable, if it stands in one.
    pub(crate) fn named_in(&self, advice: &str) -> String {
        match &self.file {
            Some(file) => advice.replace(&self.variable, &file.variable),
            None => advice.to_owned(),
        }
    }

    /// Returns the file it stands in, if it does.
    pub(crate) fn file(&self) -> Option<&SecretFile> {
        self.file.as_ref()
    }

    /// Takes what came of reading the file again, and says so in the log; returns whether the secret is another now. Where the
    /// file holds no secret for a moment, the one that was read before stays.
    pub(crate) fn take(&self, read: Result<SecretString, ConfigError>) -> bool {
        match read {
            Ok(secret) => {
                let is_new = self.secrets.note(&self.variable, secret);
                if let Some(file) = self.file().filter(|_| is_new) {
                    tracing::info!("{} was read again: it holds another secret", file.variable);
                }
                is_new
            }
            Err(error) => {
                tracing::warn!("{error}; the one that was read before stays");
                false
            }
        }
    }
}

impl SecretFile {
    /// Reads the file, which must hold one secret and a newline at most; the error names the variable and shows no secret.
    pub(crate) fn read(&self) -> Result<SecretString, ConfigError> {
        let Self { variable, path, check } = self;
        let error = |problem| ConfigError {
            variable: variable.clone(),
            problem,
            is_of_all: false,
        };
        let content = read(path).map_err(|cause| {
            error(format!(
                "must name a text file that can be read, not {}: {cause}",
                shown(path)
            ))
        })?;
        let secret = content.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        check(secret).map_err(|problem| {
            error(format!(
                "must name a file with a usable token, but {} {problem}",
                shown(path)
            ))
        })?;
        Ok(SecretString::from(secret))
    }
}

impl Env {
    /// Returns whether a secret is set, directly or as a file.
    #[must_use]
    pub(crate) fn has_secret(&self, secret: &Secret) -> bool {
        self.is_set(secret) || secret.file().is_some_and(|file| self.is_name_set(&file))
    }

    /// Returns whether the variable of a secret, or that of its file, is set.
    pub(crate) fn has_secret_of(&self, row: &dyn Row) -> bool {
        self.is_name_set(&row.name()) || row.file().is_some_and(|file| self.is_name_set(&file))
    }

    /// Returns the secret, or the content of the file that `<NAME>_FILE` names, without the newline at its end.
    ///
    /// `None` if neither is set, or after an error: both are set, the file cannot be read, or the text is not valid for
    /// this secret.
    pub(crate) fn secret(&self, secret: &Secret, errors: &mut ConfigErrors) -> Option<SecretString> {
        let value = self.read_secret(secret, errors)?;
        self.secrets.note(&secret.name(), value.clone());
        Some(value)
    }

    fn read_secret(&self, secret: &Secret, errors: &mut ConfigErrors) -> Option<SecretString> {
        let (name, file_name) = (secret.name(), secret.file()?);
        match (self.is_name_set(&name), self.is_name_set(&file_name)) {
            (false, false) => None,
            (true, true) => {
                errors.add(name, format!("must not be set together with {file_name}"));
                None
            }
            (true, false) => self.secret_value(secret, errors),
            (false, true) => {
                let file = self.secret_file(secret, errors)?;
                let read = file.read();
                read.map_err(|error| errors.add(error.variable, error.problem)).ok()
            }
        }
    }

    /// Returns a secret that can be read again, if it stands in a file; see [`Env::secret`].
    pub(crate) fn standing_secret(&self, secret: &Secret, errors: &mut ConfigErrors) -> Option<StandingSecret> {
        self.secret(secret, errors)?;
        Some(StandingSecret {
            variable: secret.name(),
            secrets: Arc::clone(&self.secrets),
            // Its errors were reported just now.
            file: self.secret_file(secret, &mut ConfigErrors::default()),
        })
    }

    /// Returns a required secret that can be read again; see [`Env::standing_secret`].
    pub(crate) fn required_standing_secret(
        &self,
        secret: &Secret,
        errors: &mut ConfigErrors,
    ) -> Option<StandingSecret> {
        if !self.has_secret(secret) {
            errors.missing_secret(&secret.name());
            return None;
        }
        self.standing_secret(secret, errors)
    }

    /// Returns a warning if every user of the machine can read the file that `<NAME>_FILE` names.
    #[must_use]
    pub(crate) fn exposed_secret(&self, row: &dyn Row) -> Option<String> {
        let path = self.filled_in(self.text(&row.file()?, &mut ConfigErrors::default())?);
        let metadata = fs::metadata(&*path).ok()?;
        super::exposed(Path::new(&*path), super::permissions(&metadata))
    }

    fn secret_value(&self, secret: &Secret, errors: &mut ConfigErrors) -> Option<SecretString> {
        let name = secret.name();
        let text = self.text(&name, errors)?;
        if let Some(problem) = secret.problem(text) {
            errors.add(name, problem);
            return None;
        }
        Some(SecretString::from(text))
    }

    fn secret_file(&self, secret: &Secret, errors: &mut ConfigErrors) -> Option<SecretFile> {
        let variable = secret.file()?;
        let path = self.filled_in(self.text(&variable, errors)?);
        let path = self.parsed(&variable, &path, super::text, errors)?;
        Some(SecretFile {
            variable,
            path,
            check: secret.check,
        })
    }
}

/// Returns the path for a message, but hides what looks like the token itself instead of its file.
fn shown(path: &str) -> String {
    if path.len() > 20 && !path.contains(['/', '\\']) {
        return format!("a name of {} characters", path.chars().count());
    }
    format!("`{path}`")
}

fn read(path: &str) -> io::Result<Zeroizing<String>> {
    let mut content = Zeroizing::new(String::with_capacity(4096));
    File::open(path)?.take(LARGEST_FILE).read_to_string(&mut content)?;
    Ok(content)
}

/// Checks a token, which becomes the value of an HTTP header: visible ASCII characters and inner spaces (RFC 9110,
/// section 5.5).
///
/// # Errors
/// The text cannot be a header value.
pub(crate) fn token(secret: &str) -> Result<(), &'static str> {
    if secret.is_empty() {
        return Err("is empty");
    }
    if !secret.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err("holds a control character or one that is not ASCII");
    }
    if secret.starts_with(' ') || secret.ends_with(' ') {
        return Err("begins or ends with a space");
    }
    Ok(())
}

/// Checks a password that goes into no header: any characters but NUL.
///
/// # Errors
/// It is empty or has a NUL character.
pub(crate) fn password(password: &str) -> Result<(), &'static str> {
    match password {
        "" => Err("is empty"),
        _ if password.contains('\0') => Err("holds a NUL character"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::super::{DefaultValue, Scope, Variable};
    use super::*;
    use crate::test_support::random::cases;

    const PORT_API_TOKEN: Secret = Secret {
        variable: Variable {
            name: "PORT_API_TOKEN",
            scope: Scope::Program,
            default: DefaultValue::None,
            example: None,
            doc: "",
        },
        check: token,
    };

    fn read_secret(pairs: &[(&str, &str)]) -> (Option<String>, String) {
        let mut errors = ConfigErrors::because("PORT_LOG_CATALOG_LOCATION is set");
        let secret = Env::from_pairs(pairs.iter().copied()).required_standing_secret(&PORT_API_TOKEN, &mut errors);
        (
            secret.map(|secret| secret.current().expose_secret().to_owned()),
            errors.to_string(),
        )
    }

    #[test]
    fn a_secret_stands_in_its_variable() {
        assert_eq!(
            read_secret(&[("PORT_API_TOKEN", "Bearer abc")]),
            (Some("Bearer abc".to_owned()), String::new())
        );
    }

    #[test]
    fn a_secret_stands_in_a_file_and_loses_the_newline_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in ["abc", "abc\n", "abc\r\n", "abc\n\n", "\u{feff}abc\r\n"] {
            fs::write(&path, content).unwrap();
            let pairs = [("PORT_API_TOKEN_FILE", path.to_str().unwrap())];
            assert_eq!(read_secret(&pairs), (Some("abc".to_owned()), String::new()));
        }
    }

    #[test]
    fn a_secret_that_is_set_nowhere_is_an_error_that_names_both_variables() {
        let expected = "PORT_API_TOKEN (or PORT_API_TOKEN_FILE) is required because PORT_LOG_CATALOG_LOCATION is set";
        assert_eq!(read_secret(&[("PORT_API_TOKEN", "")]), (None, expected.to_owned()));
    }

    #[test]
    fn a_secret_that_is_set_twice_is_an_error() {
        let (secret, errors) = read_secret(&[("PORT_API_TOKEN", "hunter2"), ("PORT_API_TOKEN_FILE", "/run/token")]);
        assert_eq!(secret, None);
        assert_eq!(
            errors,
            "PORT_API_TOKEN must not be set together with PORT_API_TOKEN_FILE"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        for path in [absent.as_path(), folder.path()] {
            let (secret, errors) = read_secret(&[("PORT_API_TOKEN_FILE", path.to_str().unwrap())]);
            assert_eq!(secret, None);
            let expected = format!(
                "PORT_API_TOKEN_FILE must name a text file that can be read, not `{}`: ",
                path.display()
            );
            assert!(errors.starts_with(&expected), "{errors}");
        }
    }

    #[test]
    fn a_token_in_the_place_of_its_file_is_not_shown() {
        let (_, errors) = read_secret(&[("PORT_API_TOKEN_FILE", "hunter2hunter2hunter2hunter2")]);
        assert!(
            errors.contains("not a name of 28 characters: No such file") && !errors.contains("hunter2"),
            "{errors}"
        );
    }

    #[test]
    fn a_file_without_a_usable_text_is_an_error_that_does_not_show_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for content in [
            "",
            "\n",
            "hunter2\nhunter2\n",
            "hunter2\u{1b}[2J",
            "hunter2é",
            "\u{feff}",
            "hunter2\u{feff}",
        ] {
            fs::write(&path, content).unwrap();
            let (secret, errors) = read_secret(&[("PORT_API_TOKEN_FILE", path.to_str().unwrap())]);
            assert_eq!(secret, None);
            assert!(errors.starts_with("PORT_API_TOKEN_FILE must name a file with a usable token, but `/"));
            assert!(!errors.contains("hunter2"), "{errors}");
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn an_accepted_secret_is_always_a_header_value(text in "\\PC{0,8}|[ -~]{1,12}|(?s:.{1,8})") {
            let (secret, errors) = read_secret(&[("PORT_API_TOKEN", &text)]);
            match secret {
                Some(secret) => {
                    prop_assert_eq!(&secret, &text);
                    let value = axum::http::HeaderValue::from_str(&secret);
                    prop_assert!(value.is_ok_and(|value| value.to_str().is_ok()));
                    prop_assert!(errors.is_empty());
                }
                None => prop_assert!(text.len() < 6 || !errors.contains(&text)),
            }
        }
    }
}
