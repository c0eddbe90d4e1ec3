//! The settings of `trailkeeper archive`: the group that shares the topics of a fleet, the folder of this member, and the streams whose
//! day files it writes.

use std::path::PathBuf;

use super::fleet::{FLEET_ID, FleetSettings};
use super::kafka::{KAFKA_TOPIC, PartitionBy, topic};
use super::limits::Limits;
use super::place::{self, StreamPlace};
use super::stream::FILE_MODE;
use crate::env::{ConfigErrors, DefaultValue, Env, InvalidValue, Row, Scope, Setting, Variable, folder};
use crate::source::Kind;

/// All of these variables, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[&ARCHIVE_FOLDER, &ARCHIVE_GROUP];

pub(crate) const ARCHIVE_FOLDER: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "ARCHIVE_FOLDER",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/var/log/audit-trails/archive"),
        doc: "The folder in which a member of the archive keeps who it is and how far it has come; it must exist, on the same disk as \
              the day files, and is copied with them.",
    },
    parse: folder,
};

pub(crate) const ARCHIVE_GROUP: Setting<String> = Setting {
    variable: Variable {
        name: "ARCHIVE_GROUP",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("trails.archive"),
        doc: "The consumer group, another one than `FLEET_ID`: members of one group share the topics, and each group gets all of them; without it, \
              `<FLEET_ID>.archive`.",
    },
    parse: group,
};

fn group(text: &str) -> Result<String, InvalidValue> {
    topic(text).map_err(|_| {
        InvalidValue::must_shown(
            "be the name of a consumer group: letters, digits, `.`, `_` and `-`, at most 249 of them",
        )
    })
}

/// What a member of an archive needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveSettings {
    pub(crate) fleet: FleetSettings,
    /// `ARCHIVE_GROUP`.
    pub(crate) group: String,
    /// `ARCHIVE_FOLDER`.
    pub(crate) folder: PathBuf,
}

impl ArchiveSettings {
    /// Reads them; `None` after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let mut own_errors = ConfigErrors::because("an archive of a fleet is asked for");
        let folder = env.required(&ARCHIVE_FOLDER, &mut own_errors);
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            let problem = format!(
                "must be a folder that is there, not `{}`: make it, on the disk of the day files",
                folder.display()
            );
            own_errors.add(ARCHIVE_FOLDER.variable.name, problem);
        }
        let is_named = env.is_set(&ARCHIVE_GROUP);
        let named = env.optional(&ARCHIVE_GROUP, &mut own_errors);
        if named.is_some() && named == env.optional(&FLEET_ID, &mut ConfigErrors::default()) {
            let problem = "must be another group than that of the fleet's own members, which FLEET_ID names";
            own_errors.add(ARCHIVE_GROUP.variable.name, problem);
        }
        errors.append(own_errors);
        let fleet = FleetSettings::read(env, errors)?;
        if fleet.kafka.partition_by == PartitionBy::Key {
            errors.add(
                "KAFKA_PARTITION_BY",
                "must be `stream` for an archive: else a stream is in all partitions of its topic, and several members would write its \
                 day files",
            );
            return None;
        }
        let group = if is_named {
            named?
        } else {
            format!("{}.archive", fleet.id)
        };
        Some(Self {
            group,
            folder: folder?,
            fleet,
        })
    }
}

/// A stream of a fleet whose day files are written here.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveStream {
    /// Where they are.
    pub(crate) place: StreamPlace,
    /// `<PREFIX>_KAFKA_TOPIC`.
    pub(crate) topic: String,
    /// The permission bits of new files.
    pub(crate) file_mode: u32,
    /// How far its service is asked by who collects it.
    pub(crate) limits: Limits,
}

/// Reads the streams of an organization, or of the installation, whose day files are kept here: those whose folder is set.
///
/// # Errors
/// Every error in their settings, including those of the settings file; none is on.
pub(crate) fn archive_streams(env: &Env, kinds: &'static [Kind]) -> Result<Vec<ArchiveStream>, ConfigErrors> {
    let mut errors = env.errors().clone();
    super::fleet::refuse_what_is_of_the_fleet(env, &mut errors);
    let on: Vec<_> = kinds.iter().filter(|kind| place::is_on(env, kind)).collect();
    if on.is_empty() && errors.is_empty() {
        super::none_is_on(kinds, &mut errors);
    }
    let streams: Vec<_> = on
        .iter()
        .map(|kind| ArchiveStream::read(env, kind, &mut errors))
        .collect();
    place::check_distinct(env, kinds, &on, &mut errors);
    match streams.into_iter().collect() {
        Some(streams) if errors.is_empty() => Ok(streams),
        _ => {
            // What is missing may have been mistyped.
            errors.append(super::unknown(env, kinds));
            Err(errors)
        }
    }
}

impl ArchiveStream {
    fn read(env: &Env, kind: &'static Kind, errors: &mut ConfigErrors) -> Option<Self> {
        let place = StreamPlace::read(env, kind, errors);
        let mut own_errors = place::required_by(env, kind);
        let topic_variable = KAFKA_TOPIC.of(kind.prefix);
        let topic = env.required(&topic_variable, &mut own_errors);
        if let Some(topic) = &topic {
            super::fleet::refuse_own_topic(env, (&topic_variable.name(), topic), &mut own_errors);
        }
        let file_mode = env.or_default(&FILE_MODE, &mut own_errors);
        let limits = Limits::read(env, kind, &mut own_errors);
        errors.append(own_errors);
        Some(Self {
            place: place?,
            topic: topic?,
            file_mode: file_mode?,
            limits: limits?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    const WHOLE: [(&str, &str); 4] = [
        ("TFC_LOG_CATALOG_LOCATION", "/var/log/tfc"),
        ("TFC_LOG_FILE_BASE_NAME", "tfc"),
        ("TFC_KAFKA_TOPIC", "tfc-audit"),
        ("MAIL_KAFKA_TOPIC", "mail-audit"),
    ];

    fn settings(pairs: &[(&str, &str)]) -> Result<ArchiveSettings, String> {
        let mut errors = ConfigErrors::default();
        let read = ArchiveSettings::read(&Env::from_pairs(pairs.iter().copied()), &mut errors);
        read.filter(|_| errors.is_empty()).ok_or_else(|| errors.to_string())
    }

    #[test]
    fn a_stream_is_on_where_its_folder_is_set_and_needs_a_topic_and_no_token() {
        let env = |pairs: &[(&'static str, &'static str)]| Env::from_pairs(pairs.iter().copied());
        let streams = archive_streams(&env(&WHOLE), SOURCES).unwrap();
        let shown: Vec<_> = streams
            .iter()
            .map(|stream| (stream.place.name(), stream.topic.as_str()))
            .collect();
        assert_eq!(shown, [("tfc", "tfc-audit")]);
        let errors = archive_streams(&env(&WHOLE[..1]), SOURCES).unwrap_err().to_string();
        for missing in ["TFC_KAFKA_TOPIC is required", "TFC_LOG_FILE_BASE_NAME is required"] {
            assert!(errors.contains(missing), "{errors}");
        }
        let errors = archive_streams(&env(&WHOLE[2..]), SOURCES).unwrap_err().to_string();
        assert!(errors.contains("TFC_LOG_CATALOG_LOCATION"), "{errors}");
    }

    #[test]
    fn the_group_is_named_after_the_fleet_and_everything_wrong_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let whole = [
            ("FLEET_ID", "trails"),
            ("ARCHIVE_FOLDER", folder.path().to_str().unwrap()),
        ];
        let read = settings(&whole).unwrap();
        assert_eq!(read.group, "trails.archive");
        let named = [whole[0], whole[1], ("ARCHIVE_GROUP", "second")];
        assert_eq!(settings(&named).unwrap().group, "second");
        let errors = settings(&[("ARCHIVE_GROUP", "a group"), ("KAFKA_SERVER", "nowhere")]).unwrap_err();
        for name in [
            "ARCHIVE_FOLDER is required",
            "ARCHIVE_GROUP must",
            "FLEET_ID is",
            "KAFKA_SERVER must",
        ] {
            assert!(errors.contains(name), "{name}: {errors}");
        }
        let errors = settings(&[whole[0], ("ARCHIVE_FOLDER", "/gone"), ("ARCHIVE_GROUP", "trails")]).unwrap_err();
        for wrong in [
            "ARCHIVE_FOLDER must be a folder that is there, not `/gone`",
            "ARCHIVE_GROUP must be another group than that of the fleet's own members",
        ] {
            assert!(errors.contains(wrong), "{errors}");
        }
        let errors = settings(&[whole[0], whole[1], ("KAFKA_PARTITION_BY", "key")]).unwrap_err();
        assert!(errors.starts_with("KAFKA_PARTITION_BY must be `stream`"), "{errors}");
    }
}
