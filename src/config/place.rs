//! Where a stream keeps its day files: the folder and the two fixed parts of their names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::Location;
use chrono::TimeDelta;

use crate::env::{
    ConfigErrors, DefaultValue, Env, InvalidValue, Organization, Row, Scope, Setting, Variable, folder, whole_number,
};
use crate::source::Kind;

/// The variables that each stream has for itself, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[&LOG_CATALOG_LOCATION, &LOG_FILE_BASE_NAME];

/// Switches a stream on and names its folder.
pub(crate) const LOG_CATALOG_LOCATION: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "LOG_CATALOG_LOCATION",
        scope: Scope::EachStream,
        default: DefaultValue::None,
        example: Some("/var/log/audit-trails/mail"),
        doc: "The folder of the day files, which must exist; switches the stream on.",
    },
    parse: folder,
};

pub(crate) const LOG_FILE_BASE_NAME: Setting<String> = Setting {
    variable: Variable {
        name: "LOG_FILE_BASE_NAME",
        scope: Scope::EachStream,
        default: DefaultValue::None,
        example: Some("mail_audit"),
        doc: "The first part of the names of its day files.",
    },
    parse: base_name,
};

pub(super) const LOG_FILE_EXTENSION: Setting<String> = Setting {
    variable: Variable {
        name: "LOG_FILE_EXTENSION",
        scope: Scope::Program,
        default: DefaultValue::Text("log"),
        example: None,
        doc: "The last part of the names of all day files; not `gz` nor `zst`.",
    },
    parse: extension,
};

/// A retention that another program applies to the day files.
pub(super) const KEEP_DAYS: Setting<i64> = Setting {
    variable: Variable {
        name: "KEEP_DAYS",
        scope: Scope::Program,
        default: DefaultValue::Text("0"),
        example: None,
        doc: "After how many days another program, such as logrotate, may delete day files; 0 to 36500, 0 is never. A day file that \
              is missing before that is a gap: it is asked for again as long as the service has it.",
    },
    parse: |text| whole_number(text, 0..=36_500),
};

/// The longest part of a file name, so that the whole name stays below the 255 bytes of most file systems.
const LONGEST_PART: usize = 100;

/// A stream that is switched on, and the location of its day files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// Which kind of stream it is.
    pub(crate) kind: &'static Kind,
    /// Whose it is, if the installation has several organizations.
    pub(crate) organization: Option<Organization>,
    /// The folder of its day files, as configured, and their names.
    pub(crate) location: Location,
    /// After this time a day file may be missing; `KEEP_DAYS`.
    pub(crate) keep: Option<TimeDelta>,
}

/// Returns whether the stream is switched on.
pub(super) fn is_on(env: &Env, kind: &Kind) -> bool {
    env.is_set(&variable(env, kind, &LOG_CATALOG_LOCATION))
}

/// Returns the variable of a stream's place: its own, or the one of another collector if only that is set.
pub(super) fn variable<T>(env: &Env, kind: &Kind, setting: &Setting<T>) -> Setting<T> {
    let own = setting.of(kind.prefix);
    match kind.legacy_prefix.map(|prefix| setting.of(prefix)) {
        Some(legacy) if env.is_set(&legacy) && !env.is_set(&own) => legacy,
        _ => own,
    }
}

/// Returns the folder of a stream.
pub(super) fn catalog(env: &Env, kind: &Kind, errors: &mut ConfigErrors) -> Option<PathBuf> {
    env.required(&variable(env, kind, &LOG_CATALOG_LOCATION), errors)
}

impl StreamPlace {
    /// Reads where a stream is kept; `None` after an error. What is missing is required because the stream is switched
    /// on. Whether the folder is there is not asked here: a disk may be mounted later, and other streams have theirs.
    pub(super) fn read(env: &Env, kind: &'static Kind, errors: &mut ConfigErrors) -> Option<Self> {
        let mut own_errors = required_by(env, kind);
        let place = Self::read_parts(env, kind, &mut own_errors);
        errors.append(own_errors);
        place
    }

    /// Returns the place of a stream whose day files are in this folder, whatever their names are.
    pub(crate) fn of_files(kind: &'static Kind, folder: &Path) -> Self {
        Self {
            kind,
            organization: None,
            location: Location::of_state(folder),
            keep: None,
        }
    }

    /// Returns the place of a stream that has no day files: a fleet keeps its records in Kafka.
    pub(super) fn of_no_files(kind: &'static Kind, organization: Option<Organization>) -> Self {
        Self {
            organization,
            ..Self::of_files(kind, Path::new(""))
        }
    }

    /// Returns which day files are its own, as the end of a sentence.
    #[must_use]
    pub(crate) fn own_files(&self) -> String {
        let folder = real(self.location.folder());
        format!("keeps the files {}_* in {}", self.location.base(), folder.display())
    }

    /// Returns its name in all that is shown: `yandex-mail`, or `acme/yandex-mail` if an organization has it. What is written into
    /// an archive has the name of its kind, since an archive is the same however it was come by.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name_of(self.organization)
    }

    fn read_parts(env: &Env, kind: &'static Kind, errors: &mut ConfigErrors) -> Option<Self> {
        refuse_both(env, kind, &LOG_CATALOG_LOCATION, errors);
        refuse_both(env, kind, &LOG_FILE_BASE_NAME, errors);
        let base_variable = variable(env, kind, &LOG_FILE_BASE_NAME);
        let folder = catalog(env, kind, errors);
        let base = env.required(&base_variable, errors);
        let extension = env.or_default(&LOG_FILE_EXTENSION, errors);
        let keep_days = env.or_default(&KEEP_DAYS, errors);
        let keep = Some(TimeDelta::days(keep_days?)).filter(|keep| !keep.is_zero());
        match Location::new(folder?, &base?, &extension?) {
            Ok(location) => Some(Self {
                kind,
                organization: env.organization(),
                location,
                keep,
            }),
            Err(error) => {
                errors.add(base_variable.name(), format!("cannot be used: {error}"));
                None
            }
        }
    }

    /// Returns by what the base names must differ, as a part of a sentence, if two places have files of the same name,
    /// however their folders are written.
    fn needed_difference(&self, other: &Self) -> Option<&'static str> {
        let folder = |place: &Self| real(place.location.folder());
        let base = other.location.base();
        let difference = if self.location.base() == base {
            "because "
        } else if self.location.shares_state_with(base) {
            "by more than the name of a sink at its end, since that is a part of the names of locks and "
        } else {
            return None;
        };
        (folder(self) == folder(other)).then_some(difference)
    }
}

/// Returns where a folder is, however it is written; as it is written if it is not there.
pub(super) fn real(folder: &Path) -> PathBuf {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Adds an error if a variable is set under both of its names: it would be unclear which one counts.
fn refuse_both<T>(env: &Env, kind: &Kind, setting: &Setting<T>, errors: &mut ConfigErrors) {
    let own = setting.of(kind.prefix);
    if let Some(legacy) = kind.legacy_prefix.map(|prefix| setting.of(prefix))
        && env.is_set(&legacy)
        && env.is_set(&own)
    {
        errors.add(
            own.name(),
            format!("must not be set together with {}, which means the same", legacy.name()),
        );
    }
}

/// Adds an error for each chosen stream that shares its files with another stream that is switched on.
pub(super) fn check_distinct(env: &Env, kinds: &'static [Kind], chosen: &[&Kind], errors: &mut ConfigErrors) {
    // Errors in the place of a chosen stream were reported when its settings were read.
    let quiet = |kind| StreamPlace::read(env, kind, &mut ConfigErrors::default());
    let places: Vec<_> = kinds.iter().filter_map(|kind| Some((kind, quiet(kind)?))).collect();
    for (index, (kind, place)) in places.iter().enumerate() {
        for (earlier, other) in &places[..index] {
            let concerned = chosen
                .iter()
                .any(|chosen| chosen.name == kind.name || chosen.name == earlier.name);
            if let Some(difference) = place.needed_difference(other).filter(|_| concerned) {
                let (folder, other) = (
                    place.location.folder().display(),
                    variable(env, earlier, &LOG_FILE_BASE_NAME).name(),
                );
                let problem =
                    format!("must differ from {other} {difference}both streams keep their files in `{folder}`");
                errors.add(variable(env, kind, &LOG_FILE_BASE_NAME).name(), problem);
            }
        }
    }
}

/// Creates the list of errors for settings that a stream needs because it is switched on.
pub(super) fn required_by(env: &Env, kind: &Kind) -> ConfigErrors {
    ConfigErrors::because(format!("{} is set", variable(env, kind, &LOG_CATALOG_LOCATION).name()))
}

fn base_name(text: &str) -> Result<String, InvalidValue> {
    if text == "." || text == ".." {
        return Err(InvalidValue::must_shown("be a file name"));
    }
    file_name_part(text)
}

fn extension(text: &str) -> Result<String, InvalidValue> {
    let text = text.trim_start_matches('.');
    if text.is_empty() {
        return Err(InvalidValue::must_shown("be a file name extension such as `log`"));
    }
    // What is compressed is told by the end of its name, and is not written to.
    if ["gz", "zst"].iter().any(|end| text.rsplit('.').next() == Some(*end)) {
        return Err(InvalidValue::must_shown(
            "not end with `gz` or `zst`: that is how files are named that another program has compressed",
        ));
    }
    file_name_part(text)
}

fn file_name_part(text: &str) -> Result<String, InvalidValue> {
    if text.contains(['/', '\\']) {
        return Err(InvalidValue::must_shown("be part of a file name, without `/` and `\\`"));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::must_shown(
            "be part of a file name, without control characters",
        ));
    }
    if text.len() > LONGEST_PART {
        return Err(InvalidValue::must(format!("be at most {LONGEST_PART} bytes long")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::source::SOURCES;
    use crate::test_support::random::cases;

    #[test]
    fn a_base_name_is_one_part_of_a_file_name() {
        for good in ["mail_audit", "mail.audit", "почта", ".hidden", "a b", "..."] {
            assert_eq!(base_name(good), Ok(good.to_owned()));
        }
        for bad in [".", "..", "a/b", "a\\b", "../x", "a\nb", "a\0b", &"x".repeat(101)] {
            assert!(base_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_extension_loses_its_dot() {
        for (text, expected) in [
            ("log", "log"),
            (".log", "log"),
            ("..log", "log"),
            ("json.log", "json.log"),
            ("gz.log", "gz.log"),
            ("tgz", "tgz"),
        ] {
            assert_eq!(extension(text), Ok(expected.to_owned()));
        }
        for bad in [
            ".",
            "..",
            "./log",
            "a/b",
            "log\\",
            "l\tog",
            "gz",
            ".zst",
            "log.gz",
            "a.log.zst",
        ] {
            assert!(extension(bad).is_err(), "{bad}");
        }
    }

    fn conflicts(mail: (&Path, &str), disk: (&Path, &str), chosen: &[&Kind]) -> String {
        let env = Env::from_pairs([
            ("MAIL_LOG_CATALOG_LOCATION", mail.0.to_str().unwrap()),
            ("MAIL_LOG_FILE_BASE_NAME", mail.1),
            ("DISK_LOG_CATALOG_LOCATION", disk.0.to_str().unwrap()),
            ("DISK_LOG_FILE_BASE_NAME", disk.1),
        ]);
        let mut errors = ConfigErrors::default();
        check_distinct(&env, SOURCES, chosen, &mut errors);
        errors.to_string()
    }

    #[test]
    fn two_streams_never_share_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        let roundabout = two.join("../one/.");
        let (mail, disk, port) = (&SOURCES[0], &SOURCES[1], &SOURCES[2]);
        let expected = format!(
            "DISK_LOG_FILE_BASE_NAME must differ from MAIL_LOG_FILE_BASE_NAME because both streams keep their files in `{}`",
            roundabout.display()
        );
        for chosen in [&[mail, disk][..], &[mail], &[disk]] {
            assert_eq!(conflicts((&one, "audit"), (&roundabout, "audit"), chosen), expected);
        }
        let sink = conflicts((&one, "audit"), (&roundabout, "audit.http"), &[mail]);
        assert!(
            sink.starts_with("DISK_LOG_FILE_BASE_NAME must differ from MAIL_LOG_FILE_BASE_NAME by more than"),
            "{sink}"
        );
        let missing = folder.path().join("missing");
        let of_no_folder = conflicts((&missing, "audit"), (&missing, "audit"), &[mail]);
        assert!(of_no_folder.contains("must differ"), "{of_no_folder}");
        assert_eq!(conflicts((&one, "audit"), (&two, "audit.http"), &[mail, disk]), "");
        assert_eq!(conflicts((&one, "audit"), (&one, "audit.mail"), &[mail, disk]), "");
        assert_eq!(conflicts((&one, "audit"), (&one, "audit"), &[port]), "");
        assert_eq!(conflicts((&one, "audit"), (&two, "audit"), &[mail, disk]), "");
        assert_eq!(conflicts((&one, "mail"), (&one, "disk"), &[mail, disk]), "");
    }

    #[test]
    fn a_place_can_go_by_the_names_of_another_collector_but_not_by_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let kind = SOURCES.iter().find(|kind| kind.legacy_prefix == Some("NEW")).unwrap();
        let read = |pairs: &[(&str, &str)]| {
            let mut errors = ConfigErrors::because("it is tested");
            let place = StreamPlace::read_parts(&Env::from_pairs(pairs.iter().copied()), kind, &mut errors);
            (place.map(|place| place.location.base().to_owned()), errors.to_string())
        };
        let legacy = [
            ("NEW_LOG_CATALOG_LOCATION", path),
            ("NEW_LOG_FILE_BASE_NAME", "all_audit"),
        ];
        assert!(is_on(&Env::from_pairs(legacy), kind));
        assert_eq!(read(&legacy), (Some("all_audit".into()), String::new()));
        let mixed = [
            ("NEW_LOG_CATALOG_LOCATION", path),
            ("AUDIT_LOG_FILE_BASE_NAME", "audit"),
        ];
        assert_eq!(read(&mixed), (Some("audit".into()), String::new()));
        let (_, errors) = read(&[("NEW_LOG_CATALOG_LOCATION", "/nowhere")]);
        assert_eq!(errors, "AUDIT_LOG_FILE_BASE_NAME is required because it is tested");
        let both = [legacy[0], legacy[1], ("AUDIT_LOG_CATALOG_LOCATION", path), mixed[1]];
        assert_eq!(
            read(&both).1,
            "AUDIT_LOG_CATALOG_LOCATION must not be set together with NEW_LOG_CATALOG_LOCATION, which means the same\n\
             AUDIT_LOG_FILE_BASE_NAME must not be set together with NEW_LOG_FILE_BASE_NAME, which means the same"
        );
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn an_accepted_name_never_leaves_its_folder(text in "[a./\\\\]{1,6}|\\PC{1,10}") {
            for name in [base_name(&text), extension(&text)].into_iter().flatten() {
                let path = Path::new("/catalog").join(format!("{name}_2025-06-09.{name}"));
                prop_assert_eq!(path.parent(), Some(Path::new("/catalog")));
                prop_assert!(Location::new("/catalog", &name, &name).is_ok());
            }
        }
    }
}
