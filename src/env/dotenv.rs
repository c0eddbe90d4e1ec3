//! The `.env` file, read into a value; the environment of the process does not change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::config_error::ConfigErrors;
use super::statements::{Statement, statements};

/// More than any settings file needs; keeps a wrong path (`/dev/zero`) from filling the memory.
const LARGEST_FILE: u64 = 1 << 20;

/// The content of a settings file.
#[derive(Debug, Default)]
pub(super) struct EnvFile {
    /// Whether there was a file that could be read.
    pub(super) is_there: bool,
    pub(super) variables: BTreeMap<String, SecretString>,
    pub(super) warnings: Vec<String>,
}

/// Which file is read.
#[derive(Clone, Debug)]
pub(super) enum Location {
    /// `.env` in the working folder, if there is one.
    Usual(PathBuf),
    /// The given one, which must exist.
    Named(PathBuf),
    /// What all organizations of a folder have, if it is there.
    Common(PathBuf),
    /// That of an organization, which was there just now.
    OfOrganization(PathBuf),
}

impl Location {
    pub(super) fn new(named: Option<&Path>) -> Self {
        match named {
            Some(path) => Location::Named(path.to_owned()),
            None => Location::Usual(PathBuf::from(".env")),
        }
    }
}

/// Reads the file; a malformed line is an error that names its number but not its content.
pub(super) fn read(location: &Location, errors: &mut ConfigErrors) -> EnvFile {
    let (path, label) = match location {
        Location::Usual(path) => (path, ".env".to_owned()),
        Location::Named(path) => (path, "--env-file".to_owned()),
        Location::Common(path) | Location::OfOrganization(path) => (path, path.display().to_string()),
    };
    let is_of_folder = matches!(location, Location::Common(_) | Location::OfOrganization(_));
    match read_text(path, is_of_folder) {
        Ok((text, mode)) => {
            let mut file = parse(&text, path, errors);
            file.is_there = true;
            file.warnings.extend(super::exposed(path, mode));
            file
        }
        Err(error)
            if matches!(location, Location::Usual(_) | Location::Common(_))
                && error.kind() == io::ErrorKind::NotFound =>
        {
            EnvFile::default()
        }
        Err(error) => {
            errors.add(
                label,
                format!("must be a file that can be read, not `{}`: {error}", path.display()),
            );
            EnvFile::default()
        }
    }
}

/// Reads a text. A pipe is waited for where the user has named it, and not where it only stands among others.
fn read_text(path: &Path, has_to_be_a_file: bool) -> io::Result<(Zeroizing<String>, u32)> {
    if has_to_be_a_file && !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = super::permissions(&metadata);
    // With room for all of it no copy is left behind in memory where it grew.
    let length = metadata.len().min(LARGEST_FILE) as usize;
    let mut text = Zeroizing::new(String::with_capacity(length + 1));
    file.take(LARGEST_FILE).read_to_string(&mut text)?;
    Ok((text, mode))
}

fn parse(text: &str, path: &Path, errors: &mut ConfigErrors) -> EnvFile {
    let mut file = EnvFile::default();
    for Statement { line, setting } in statements(text) {
        let Some((name, value)) = setting else {
            errors.add(format!("{} line {line}", path.display()), EXPECTED);
            continue;
        };
        // Making the text itself a secret may move it and leave a copy behind.
        let value = SecretString::from(value.as_str());
        if file.variables.insert(name.clone(), value).is_some() {
            file.warnings
                .push(format!("{name} is set twice in {}; line {line} counts", path.display()));
        }
    }
    file
}

const EXPECTED: &str =
    "must be NAME=value; a value that begins with a quote ends with it, and only a comment may follow";

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;

    fn parse_text(text: &str) -> (Vec<(String, String)>, Vec<String>, Vec<String>) {
        let mut errors = ConfigErrors::default();
        let file = parse(text, Path::new(".env"), &mut errors);
        let variables = file
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        (
            variables.collect(),
            errors.iter().map(|error| error.variable.clone()).collect(),
            file.warnings,
        )
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_quotes_exports_and_windows_line_ends_are_understood() {
        let (variables, errors, warnings) = parse_text(
            "\u{feff}# a comment\r\n\r\nA=1\r\nexport B='x # $y'\r\nC=\"two words\" # said\r\nD=\nE=Общая\nF=last ",
        );
        let expected = [
            ("A", "1"),
            ("B", "x # $y"),
            ("C", "two words"),
            ("D", ""),
            ("E", "Общая"),
            ("F", "last"),
        ];
        assert_eq!(variables, expected.map(|(name, value)| pair(name, value)));
        assert!(errors.is_empty() && warnings.is_empty(), "{errors:?} {warnings:?}");
    }

    #[test]
    fn dollar_signs_are_literal_however_a_value_is_quoted() {
        let (variables, errors, warnings) = parse_text("A=y0_ab$cd\nB=\"${A}\"\nC='$A'\nD=$A # said\n");
        let expected = [("A", "y0_ab$cd"), ("B", "${A}"), ("C", "$A"), ("D", "$A")];
        assert_eq!(variables, expected.map(|(name, value)| pair(name, value)));
        assert!(errors.is_empty() && warnings.is_empty(), "{errors:?} {warnings:?}");
    }

    #[test]
    fn each_broken_line_is_named_by_its_number_and_the_others_are_read() {
        let (variables, errors, _) =
            parse_text("A=1\n\n# note\nhunter2\nB='x' y hunter2\nC='a\nb' hunter2\nD=4\nhunter2\n");
        assert_eq!(variables, [pair("A", "1"), pair("D", "4")]);
        assert_eq!(errors, [".env line 4", ".env line 5", ".env line 6", ".env line 9"]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_by_the_line_that_opens_it() {
        let (variables, errors, _) = parse_text("A=1\nB='open\nC=3\n\n");
        assert_eq!(variables, [pair("A", "1"), pair("C", "3")]);
        assert_eq!(errors, [".env line 2"]);
    }

    #[test]
    fn no_error_shows_what_the_line_holds() {
        let mut errors = ConfigErrors::default();
        parse(
            "TOKEN='hunter2' hunter2\nhunter2\n'hunter2\n",
            Path::new(".env"),
            &mut errors,
        );
        assert_eq!(errors.iter().count(), 3);
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }

    #[test]
    fn the_last_of_two_values_counts_and_is_warned_about() {
        let (variables, errors, warnings) = parse_text("A=1\nA=2\n");
        assert_eq!(variables, [pair("A", "2")]);
        assert_eq!(warnings, ["A is set twice in .env; line 2 counts"]);
        assert!(errors.is_empty());
    }

    #[test]
    fn only_a_named_file_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent.env");
        let mut errors = ConfigErrors::default();
        read(&Location::Usual(path.clone()), &mut errors);
        assert!(errors.is_empty());
        read(&Location::Named(path.clone()), &mut errors);
        let expected = format!(
            "--env-file must be a file that can be read, not `{}`: No such file",
            path.display()
        );
        assert!(errors.to_string().starts_with(&expected), "{errors}");
    }

    #[test]
    fn a_file_that_is_no_text_or_a_folder_is_an_error_wherever_it_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("binary");
        fs::write(&binary, b"A=\xff\xfe\n").unwrap();
        for path in [binary, folder.path().to_owned()] {
            let mut errors = ConfigErrors::default();
            read(&Location::Usual(path), &mut errors);
            assert!(
                errors.to_string().starts_with(".env must be a file that can be read"),
                "{errors}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everyone_can_read_is_warned_about() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, "A=1\n").unwrap();
        for (mode, warnings) in [(0o644, 1), (0o640, 0), (0o600, 0), (0o604, 1)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let file = read(&Location::Usual(path.clone()), &mut ConfigErrors::default());
            assert_eq!(file.warnings.len(), warnings, "{mode:o}");
            assert!(file.warnings.iter().all(|warning| warning.contains("chmod 600")));
        }
    }
}
