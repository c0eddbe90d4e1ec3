//! Settings → the streams of this run, or all errors in them at once.
//!
//! Imports: archive, env, http, output, source.
//!
//! A stream is on if `<PREFIX>_LOG_CATALOG_LOCATION` is set; then the rest of its variables is required.

mod archive;
mod evidence;
mod evidence_key;
mod fleet;
mod http;
mod kafka;
mod limits;
mod log;
mod object_storage;
mod own;
mod unknown_variables;
mod upkeep;
mod place;
mod proxies;
mod stdout;
mod stream;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::env::{ConfigErrors, Env, Row};
use crate::source::{Kind, ORGANIZATION_ID_ARG, PORT_CLIENT_ID};
pub(crate) use archive::{ArchiveSettings, ArchiveStream, archive_streams};
pub(crate) use evidence::{
    EVIDENCE_FOLDER, EVIDENCE_WITNESS_POLICY, EvidenceSettings, EvidenceTopic, TimestampService, WitnessSettings,
    evidence_folder,
};
pub(crate) use evidence_key::{EVIDENCE_KEY_FILE, EVIDENCE_PUBLIC_KEY, KeySource};
pub(crate) use fleet::{FleetSettings, FleetStream, fleet_streams};
pub(crate) use http::{HTTP_FORWARD_CA_CERT, HttpFormat, HttpSettings, has_listener};
pub(crate) use kafka::{
    KAFKA_PROPERTIES, KAFKA_SASL_MECHANISM, KAFKA_SERVER, KAFKA_SSL_CA_CERT, KAFKA_SSL_CLIENT_CERT,
    KAFKA_SSL_CLIENT_KEY,
};
pub(crate) use kafka::{KafkaSettings, PartitionBy};
pub(crate) use limits::Limits;
pub(crate) use log::{APP_LOG_FILE, LOG_FORMAT, LogSettings};
pub(crate) use object_storage::ObjectStorageSettings;
pub(crate) use own::owned;
pub use place::StreamPlace;
pub(crate) use place::{LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME};
pub(crate) use proxies::read as read_proxies;
pub(crate) use stdout::StdoutSettings;
pub(crate) use stream::StreamSettings;
pub(crate) use upkeep::{EXPIRE_AFTER_DAYS, UpkeepSettings, expire_after};
pub(crate) use variables::settings_version;

/// The settings of one run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The streams, at least one, in the order of the list of sources.
    pub streams: Vec<StreamSettings>,
    /// The program's own log.
    pub(crate) log: LogSettings,
    /// Where runs are sealed, if they are.
    pub(crate) evidence: Option<EvidenceSettings>,
    /// What runs do with old days.
    pub(crate) upkeep: UpkeepSettings,
    /// Warnings, such as a file with tokens that everyone can read.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Reads the settings of the chosen streams: those with these names, or all that are switched on if there are none.
    ///
    /// Other streams may be set wrongly, as long as they do not share files with a chosen one.
    ///
    /// # Errors
    /// Every error in the settings of the chosen streams, including those of the settings file.
    pub fn read(env: &Env, kinds: &'static [Kind], streams: &[String]) -> Result<Self, ConfigErrors> {
        let mut errors = env.errors().clone();
        let chosen = chosen(env, kinds, streams, &mut errors);
        let mut streams = Vec::new();
        for kind in &chosen {
            streams.extend(StreamSettings::read(env, kind, &mut errors));
        }
        place::check_distinct(env, kinds, &chosen, &mut errors);
        let log = LogSettings::read(env, &mut errors);
        let evidence = EvidenceSettings::read(env, &mut errors);
        let upkeep = UpkeepSettings::read(env, evidence.as_ref(), &mut errors);
        for stream in &mut streams {
            stream.is_sealed = evidence.is_some();
        }
        if let Some(evidence) = &evidence {
            evidence.check_outside(streams.iter().map(|stream| stream.location.folder()), &mut errors);
        }
        let is_day_file = |log: &&LogSettings| streams.iter().any(|stream| stream.location.is_day_file(&log.file));
        if log.as_ref().filter(is_day_file).is_some() {
            errors.add(APP_LOG_FILE.name(), "must not be a day file: name another file");
        }
        match log {
            Some(log) if errors.is_empty() && streams.len() == chosen.len() => Ok(Self {
                streams,
                log,
                evidence,
                upkeep,
                warnings: warnings(env, kinds, &chosen),
            }),
            _ => {
                // What is missing may have been mistyped.
                errors.append(unknown(env, kinds));
                Err(errors)
            }
        }
    }
}

/// Returns the names of the variables that name a file for its content: of secrets, of certificates.
pub(crate) fn content_files(kinds: &[Kind]) -> BTreeSet<String> {
    let certificates = [&KAFKA_SSL_CA_CERT, &KAFKA_SSL_CLIENT_CERT, &KAFKA_SSL_CLIENT_KEY];
    let certificates = certificates
        .into_iter()
        .map(Row::name)
        .chain([HTTP_FORWARD_CA_CERT.name()]);
    variables::secret_files(kinds).chain(certificates).collect()
}

/// Reads only where the chosen streams are kept: their tokens may be missing.
///
/// # Errors
/// Every error in these settings, including those of the settings file.
pub(crate) fn places(env: &Env, kinds: &'static [Kind], streams: &[String]) -> Result<Vec<StreamPlace>, ConfigErrors> {
    let mut errors = env.errors().clone();
    let chosen = chosen(env, kinds, streams, &mut errors);
    let places = chosen.iter().map(|kind| StreamPlace::read(env, kind, &mut errors));
    let places: Vec<_> = places.collect();
    place::check_distinct(env, kinds, &chosen, &mut errors);
    match places.into_iter().collect() {
        Some(places) if errors.is_empty() => Ok(places),
        _ => {
            errors.append(unknown(env, kinds));
            Err(errors)
        }
    }
}

/// Reads the settings of streams whose archives are in these places, whatever the settings say of that.
///
/// # Errors
/// Every error in these settings, including those of the settings file.
pub(crate) fn streams_at(env: &Env, places: Vec<StreamPlace>) -> Result<Vec<StreamSettings>, ConfigErrors> {
    let mut errors = env.errors().clone();
    let read = places
        .into_iter()
        .map(|place| StreamSettings::read_at(env, place, &mut errors));
    let streams: Vec<_> = read.collect();
    match streams.into_iter().collect() {
        Some(streams) if errors.is_empty() => Ok(streams),
        _ => Err(errors),
    }
}

/// Returns the folders of all streams that are switched on, whatever else is wrong with their settings.
pub(crate) fn catalogs(env: &Env, kinds: &'static [Kind]) -> Vec<PathBuf> {
    let mut errors = ConfigErrors::default();
    let folders = chosen(env, kinds, &[], &mut errors).into_iter();
    let folders = folders.map(|kind| place::catalog(env, kind, &mut errors));
    folders.flatten().collect()
}

/// Returns an error for each variable that looks like ours but is read by nothing, with the nearest known name.
pub(crate) fn unknown(env: &Env, kinds: &[Kind]) -> ConfigErrors {
    let mut errors = ConfigErrors::default();
    unknown_variables::find(env, kinds, &mut errors);
    errors
}

/// Reads the settings of each chosen stream by itself, so that errors in one do not hide the others.
pub(crate) fn each(
    env: &Env,
    kinds: &'static [Kind],
    streams: &[String],
) -> Vec<(&'static Kind, Result<StreamSettings, ConfigErrors>)> {
    let chosen = chosen(env, kinds, streams, &mut ConfigErrors::default());
    let read = |kind: &'static Kind| {
        let mut errors = ConfigErrors::default();
        let settings = StreamSettings::read(env, kind, &mut errors);
        (kind, settings.filter(|_| errors.is_empty()).ok_or(errors))
    };
    chosen.into_iter().map(read).collect()
}

/// Returns whether no secret of a service is set, as on a machine that only forwards what others have collected.
pub(crate) fn has_no_token(env: &Env, kinds: &'static [Kind]) -> bool {
    let mut secrets = kinds.iter().flat_map(Kind::secrets);
    !secrets.any(|row| env.has_secret_of(row))
}

fn warnings(env: &Env, kinds: &[Kind], chosen: &[&Kind]) -> Vec<String> {
    let mut warnings = env.warnings().to_vec();
    warnings.extend(unknown(env, kinds).iter().map(ToString::to_string));
    let secrets = chosen.iter().flat_map(|kind| kind.secrets());
    // Streams of one vendor share their token.
    let secrets: BTreeMap<_, _> = secrets.map(|row| (row.name(), row)).collect();
    warnings.extend(secrets.into_values().filter_map(|row| env.exposed_secret(row)));
    warnings
}

/// Returns warnings about files with the secrets of sinks that every user of this machine can read.
pub(crate) fn exposed_forward_secrets(env: &Env) -> impl Iterator<Item = String> {
    let rows = http::ROWS.iter().chain(kafka::ROWS);
    rows.filter_map(|row| env.exposed_secret(*row))
}

/// Returns the warnings about the settings of a program that forwards: those of the settings file, unknown variables, and exposed
/// secrets of sinks.
pub(crate) fn forward_warnings(env: &Env, kinds: &[Kind]) -> Vec<String> {
    let mut warnings = env.warnings().to_vec();
    warnings.extend(unknown(env, kinds).iter().map(ToString::to_string));
    warnings.extend(exposed_forward_secrets(env));
    warnings
}

/// Adds an error for each credential and each id of one organization that is set where all of them would have it; not for the path
/// of a file that has their name in it.
pub(crate) fn refuse_what_is_of_one(process: &Env, kinds: &'static [Kind], errors: &mut ConfigErrors) {
    let ids: [&dyn Row; 2] = [&ORGANIZATION_ID_ARG, &PORT_CLIENT_ID];
    let secrets = kinds.iter().flat_map(Kind::secrets);
    let names = secrets
        .chain(ids)
        .flat_map(|row| [Some(row.name()), row.file()])
        .flatten();
    let names: BTreeSet<_> = names.collect();
    let is_of_one = |name: &&str| names.contains(*name) && !process.is_filled_in(name);
    for name in process.names().filter(is_of_one) {
        errors.add(
            name,
            "must not be in the environment with --env-dir: it would be that of every organization; put it into the file of its own",
        );
    }
}

/// Adds an error for each variable in the settings of an organization that is for the program as a whole.
pub(crate) fn refuse_what_is_of_all(env: &Env, errors: &mut ConfigErrors) {
    if env.organization().is_none() {
        return;
    }
    let rows = log::ROWS.iter().copied().chain(proxies::ROWS.iter().copied());
    let names: BTreeSet<_> = rows
        .flat_map(|row| [row.name(), row.name().to_ascii_lowercase()])
        .collect();
    for name in env.own_names().filter(|name| names.contains(*name)) {
        errors.add(name, "is for all organizations: put it into common.env");
    }
}

/// Returns the kinds that were asked for and are switched on, or all that are switched on.
fn chosen(env: &Env, kinds: &'static [Kind], wanted: &[String], errors: &mut ConfigErrors) -> Vec<&'static Kind> {
    let on = kinds.iter().filter(|kind| place::is_on(env, kind));
    if wanted.is_empty() {
        let on: Vec<_> = on.collect();
        // A settings file that could not be read is the cause, so it is the only error.
        if on.is_empty() && env.errors().is_empty() {
            none_is_on(kinds, errors);
        }
        return on;
    }
    for name in wanted {
        match kinds.iter().find(|kind| kind.name == name) {
            Some(kind) if place::is_on(env, kind) => {}
            // Another organization may have it.
            Some(_) if env.organization().is_some() => {}
            Some(kind) => {
                let mut missing = ConfigErrors::because(format!("--stream {name} asks for this stream"));
                missing.missing(&LOG_CATALOG_LOCATION.of(kind.prefix).name());
                errors.append(missing);
            }
            None => errors.add(
                "--stream",
                format!("must name known streams, not `{}`", name.escape_debug()),
            ),
        }
    }
    on.filter(|kind| wanted.iter().any(|name| name == kind.name)).collect()
}

fn none_is_on(kinds: &[Kind], errors: &mut ConfigErrors) {
    let folders = kinds.iter().map(|kind| LOG_CATALOG_LOCATION.of(kind.prefix).name());
    let names: Vec<_> = folders.collect();
    errors.add(
        names.join(" or "),
        "is required because each switches its stream on and none is set; `trailkeeper init` asks for the settings, and \
         `trailkeeper demo` needs none",
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::source::SOURCES;

    fn read(pairs: &[(&str, &str)], wanted: &[&str]) -> Result<Config, String> {
        let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        Config::read(&Env::from_pairs(pairs.iter().copied()), SOURCES, &wanted).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_stream_is_on_when_its_folder_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let config = read(
            &[
                ("TFC_LOG_CATALOG_LOCATION", &format!("{path}/")),
                ("TFC_LOG_FILE_BASE_NAME", "tfc_audit"),
                ("TFC_ORG_TOKEN", "invented"),
                ("LOG_FILE_EXTENSION", ".jsonl"),
                ("FILE_MODE", "0600"),
                ("TFC_MAX_PAGES", "5"),
            ],
            &[],
        )
        .unwrap();
        let [stream] = config.streams.as_slice() else {
            panic!("{config:?}")
        };
        assert_eq!(stream.kind.name, "tfc");
        assert_eq!(stream.location.folder(), folder.path());
        assert_eq!(
            (stream.location.base(), stream.location.extension()),
            ("tfc_audit", "jsonl")
        );
        assert_eq!((stream.file_mode, stream.limits.max_pages), (0o600, 5));
        assert_eq!(config.log.file, Path::new("get_audit_logs.log"));
    }

    #[test]
    fn without_a_stream_the_variables_that_switch_one_on_are_named() {
        let errors = read(&[], &[]).unwrap_err();
        for kind in SOURCES {
            assert!(
                errors.contains(&LOG_CATALOG_LOCATION.of(kind.prefix).name()),
                "{errors}"
            );
        }
        assert!(errors.starts_with("MAIL_LOG_CATALOG_LOCATION or DISK_LOG_CATALOG_LOCATION or "));
        assert!(errors.contains(
            "_LOG_CATALOG_LOCATION is required because each switches its stream on and none is set; `trailkeeper init`"
        ));
    }

    #[test]
    fn every_error_of_every_stream_is_reported_at_once_and_no_secret_is_shown() {
        let errors = read(
            &[
                ("MAIL_LOG_CATALOG_LOCATION", "/nowhere/mail"),
                ("MAIL_MAX_PAGES", "abc"),
                ("ORGANIZATION_ID_ARG", "my organization"),
                ("DISK_LOG_CATALOG_LOCATION", "/nowhere/disk"),
                ("DISK_LOG_FILE_BASE_NAME", "a/b"),
                ("TFC_LOG_CATALOG_LOCATION", "/"),
                ("TFC_LOG_FILE_BASE_NAME", "tfc"),
                ("TFC_ORG_TOKEN", "hunter2\n"),
                ("TFC_API_URL", "https://hunter2@app.terraform.io"),
                ("APP_LOG_FILE", "a\u{1b}b"),
                ("FILE_MODE", "0444"),
            ],
            &[],
        )
        .unwrap_err();
        let expected = [
            "APP_LOG_FILE must be text without control characters, not `a\\u{1b}b`",
            "DISK_LOG_FILE_BASE_NAME must be part of a file name, without `/` and `\\`, not `a/b`",
            "FILE_MODE must be an octal file mode from 0600 to 0777 that lets the owner read and write, not `0444`",
            "MAIL_LOG_FILE_BASE_NAME is required because MAIL_LOG_CATALOG_LOCATION is set",
            "MAIL_MAX_PAGES must be a whole number from 1 to 1000, not `abc`",
            "OAUTH_TOKEN_ARG (or OAUTH_TOKEN_ARG_FILE) is required because DISK_LOG_CATALOG_LOCATION is set",
            "OAUTH_TOKEN_ARG (or OAUTH_TOKEN_ARG_FILE) is required because MAIL_LOG_CATALOG_LOCATION is set",
            "ORGANIZATION_ID_ARG must be a whole number from 1 to 18446744073709551615, not `my organization`",
            "TFC_API_URL must be a URL without a user name and password",
            "TFC_ORG_TOKEN must be usable as a token, but holds a control character or one that is not ASCII",
        ];
        assert_eq!(errors.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn where_a_stream_is_kept_is_read_without_its_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let mut env = vec![
            ("TFC_LOG_CATALOG_LOCATION", folder.path().to_str().unwrap()),
            ("TFC_LOG_FILE_BASE_NAME", "tfc"),
            ("TFC_MAX_PAGES", "often"),
        ];
        let read = |env: &[_]| places(&Env::from_pairs(env.iter().copied()), SOURCES, &[]);
        let [place] = &read(&env).unwrap()[..] else {
            panic!("one stream is on")
        };
        assert_eq!(
            (place.kind.name, place.location.base(), place.location.extension()),
            ("tfc", "tfc", "log")
        );
        assert_eq!(place.location.folder(), folder.path());
        env.push(("PORT_LOG_CATALOG_LOCATION", "/nowhere"));
        let errors = read(&env).unwrap_err().to_string();
        assert_eq!(
            errors,
            "PORT_LOG_FILE_BASE_NAME is required because PORT_LOG_CATALOG_LOCATION is set"
        );
    }

    #[test]
    fn a_stream_that_is_not_chosen_may_be_set_wrongly() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [
            ("TFC_LOG_CATALOG_LOCATION", folder.path().to_str().unwrap()),
            ("TFC_LOG_FILE_BASE_NAME", "tfc"),
            ("TFC_ORG_TOKEN", "invented"),
            ("MAIL_LOG_CATALOG_LOCATION", "/nowhere"),
        ];
        assert_eq!(read(&pairs, &["tfc"]).unwrap().streams.len(), 1);
        assert!(read(&pairs, &[]).is_err());
    }

    #[test]
    fn a_chosen_stream_must_be_switched_on() {
        assert_eq!(
            read(&[], &["port", "yandex-mail"]).unwrap_err(),
            "MAIL_LOG_CATALOG_LOCATION is required because --stream yandex-mail asks for this stream\n\
             PORT_LOG_CATALOG_LOCATION is required because --stream port asks for this stream"
        );
        assert_eq!(
            read(&[], &["gitlab"]).unwrap_err(),
            "--stream must name known streams, not `gitlab`"
        );
    }

    #[test]
    fn two_streams_with_the_same_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let pairs = [
            ("OAUTH_TOKEN_ARG", "invented"),
            ("ORGANIZATION_ID_ARG", "1000001"),
            ("MAIL_LOG_CATALOG_LOCATION", path),
            ("MAIL_LOG_FILE_BASE_NAME", "audit"),
            ("DISK_LOG_CATALOG_LOCATION", path),
            ("DISK_LOG_FILE_BASE_NAME", "audit"),
        ];
        for wanted in [&["yandex-mail"][..], &[]] {
            let errors = read(&pairs, wanted).unwrap_err();
            assert!(
                errors.starts_with("DISK_LOG_FILE_BASE_NAME must differ from MAIL_LOG_FILE_BASE_NAME"),
                "{errors}"
            );
        }
    }

    #[test]
    fn a_settings_file_that_cannot_be_read_is_the_only_error() {
        let env = Env::load(Some(Path::new("/nowhere/settings.env")));
        let errors = Config::read(&env, SOURCES, &[]).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| error.variable.as_str()).collect::<Vec<_>>(),
            ["--env-file"]
        );
    }
}
