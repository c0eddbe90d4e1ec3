//! The settings of a fleet, read only by `trailkeeper fleet`: its name, its topics, and which streams it collects.

use std::sync::Arc;

use super::kafka::{KAFKA_TOPIC, KafkaSettings, topic};
use super::place::StreamPlace;
use super::stream::StreamSettings;
use crate::env::{ConfigErrors, DefaultValue, Env, InvalidValue, Row, Scope, Setting, Variable, whole_number};
use crate::source::Kind;

/// The prefix of these variables; no others have it.
pub(super) const PREFIX: &str = "FLEET_";

/// The prefix of those of an archive of it; no others have it.
pub(super) const ARCHIVE_PREFIX: &str = "ARCHIVE_";

/// All of them, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[&FLEET_ID, &FLEET_STATE_TOPIC, &FLEET_REJECTED_TOPIC, &FLEET_BUCKETS];

/// Topics and transactional ids are named after it.
const LONGEST_ID: usize = 200;

pub(crate) const FLEET_ID: Setting<String> = Setting {
    variable: Variable {
        name: "FLEET_ID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("trails"),
        doc: "The name of the fleet: its consumer group, and the beginning of its transactional ids (`<id>.<bucket>`).",
    },
    parse: id,
};

pub(crate) const FLEET_STATE_TOPIC: Setting<String> = Setting {
    variable: Variable {
        name: "FLEET_STATE_TOPIC",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("trails.state"),
        doc: "The topic with the state of its streams; without it, `<FLEET_ID>.state`. `trailkeeper fleet init` makes it.",
    },
    parse: topic,
};

pub(crate) const FLEET_REJECTED_TOPIC: Setting<String> = Setting {
    variable: Variable {
        name: "FLEET_REJECTED_TOPIC",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("trails.rejected"),
        doc: "The topic for what no audit topic can hold, with the reason, and for records that came again with other fields; without \
              it, `<FLEET_ID>.rejected`. `trailkeeper fleet init` makes it.",
    },
    parse: topic,
};

pub(crate) const FLEET_BUCKETS: Setting<i32> = Setting {
    variable: Variable {
        name: "FLEET_BUCKETS",
        scope: Scope::Program,
        default: DefaultValue::Text("64"),
        example: None,
        doc: "In how many parts the organizations are shared out, 1 to 1024: the partitions with which `trailkeeper fleet init` makes \
              the topic of the state. Read by nothing else, and never changed afterwards.",
    },
    parse: |text| whole_number(text, 1..=1024),
};

/// What all members of a fleet have in common.
#[derive(Clone, Debug)]
pub(crate) struct FleetSettings {
    /// `FLEET_ID`.
    pub(crate) id: String,
    /// `FLEET_STATE_TOPIC`.
    pub(crate) state_topic: String,
    /// `FLEET_REJECTED_TOPIC`.
    pub(crate) rejected_topic: String,
    /// With how many partitions the topic of the state is made; `FLEET_BUCKETS`.
    pub(crate) buckets: i32,
    /// How Kafka is reached.
    pub(crate) kafka: Arc<KafkaSettings>,
}

impl FleetSettings {
    /// Reads them; `None` after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let mut own_errors = ConfigErrors::because("a fleet is asked for");
        let id = env.required(&FLEET_ID, &mut own_errors);
        let state_topic = own_topic(env, &FLEET_STATE_TOPIC, STATE, &mut own_errors);
        let rejected_topic = own_topic(env, &FLEET_REJECTED_TOPIC, REJECTED, &mut own_errors);
        if state_topic.is_some() && state_topic == rejected_topic {
            own_errors.add(
                "FLEET_REJECTED_TOPIC",
                "must be another topic than that of the state, of which Kafka keeps only what is newest",
            );
        }
        let buckets = env.or_default(&FLEET_BUCKETS, &mut own_errors);
        let kafka = KafkaSettings::read(env, &[], &mut own_errors);
        errors.append(own_errors);
        Some(Self {
            id: id?,
            state_topic: state_topic?,
            rejected_topic: rejected_topic?,
            buckets: buckets?,
            kafka: Arc::new(KafkaSettings {
                // Each bucket has an id of its own.
                transactional_id: None,
                ..kafka?
            }),
        })
    }
}

/// How the names of the topics of the fleet itself end, unless they are set.
const STATE: &str = "state";
const REJECTED: &str = "rejected";

/// Reads the name of a topic of the fleet itself; `None` after an error, or without a name for the fleet.
fn own_topic(env: &Env, setting: &Setting<String>, end: &str, errors: &mut ConfigErrors) -> Option<String> {
    if env.is_set(setting) {
        return env.optional(setting, errors);
    }
    // It is named where it is required.
    let id = env.optional(&FLEET_ID, &mut ConfigErrors::default())?;
    Some(format!("{id}.{end}"))
}

/// Adds an error if the topic of a stream, from this variable, is one of the fleet itself: its records would be taken for what is
/// there, or removed when something newer comes.
pub(super) fn refuse_own_topic(env: &Env, (name, topic): (&str, &str), errors: &mut ConfigErrors) {
    for (setting, end) in [(&FLEET_STATE_TOPIC, STATE), (&FLEET_REJECTED_TOPIC, REJECTED)] {
        let own = own_topic(env, setting, end, &mut ConfigErrors::default());
        if own.as_deref() == Some(topic) {
            let problem = format!(
                "must be another topic than `{topic}`, which is that of {}",
                setting.name()
            );
            errors.add(name, problem);
        }
    }
}

/// A stream that a fleet collects, and its topic.
#[derive(Clone, Debug)]
pub(crate) struct FleetStream {
    pub(crate) settings: Arc<StreamSettings>,
    /// `<PREFIX>_KAFKA_TOPIC`.
    pub(crate) topic: String,
}

/// Reads the streams of an organization, or of the installation: those whose own topic is set.
///
/// # Errors
/// Every error in their settings, including those of the settings file; none is on.
pub(crate) fn fleet_streams(env: &Env, kinds: &'static [Kind]) -> Result<Vec<FleetStream>, ConfigErrors> {
    let mut errors = env.errors().clone();
    refuse_what_is_of_the_fleet(env, &mut errors);
    let on: Vec<_> = kinds
        .iter()
        .filter(|kind| env.is_set(&KAFKA_TOPIC.of(kind.prefix)))
        .collect();
    if on.is_empty() && errors.is_empty() {
        let topics = kinds.iter().map(|kind| KAFKA_TOPIC.of(kind.prefix).name());
        let topics: Vec<_> = topics.collect();
        errors.add(
            topics.join(" or "),
            "is required because each switches its stream on in a fleet and none is set",
        );
    }
    let mut streams = Vec::new();
    for kind in on {
        let own_topic = KAFKA_TOPIC.of(kind.prefix);
        let mut own_errors = ConfigErrors::because(format!("{} is set", own_topic.name()));
        let place = StreamPlace::of_no_files(kind, env.organization());
        let settings = StreamSettings::read_beside(env, Some(place), kind, &mut own_errors);
        let topic = env.optional(&own_topic, &mut own_errors);
        if let Some(topic) = &topic {
            refuse_own_topic(env, (&own_topic.name(), topic), &mut own_errors);
        }
        errors.append(own_errors);
        if let (Some(settings), Some(topic)) = (settings, topic) {
            streams.push(FleetStream {
                settings: Arc::new(settings),
                topic,
            });
        }
    }
    if errors.is_empty() {
        Ok(streams)
    } else {
        // What is missing may have been mistyped.
        errors.append(super::unknown(env, kinds));
        Err(errors)
    }
}

/// Adds an error for each variable in the settings of an organization that says how the fleet, or its archive, as a whole works.
pub(super) fn refuse_what_is_of_the_fleet(env: &Env, errors: &mut ConfigErrors) {
    if env.organization().is_none() {
        return;
    }
    let is_of_all = |name: &&str| {
        name.starts_with(PREFIX)
            || name.starts_with(ARCHIVE_PREFIX)
            || name.starts_with(super::kafka::PREFIX) && *name != KAFKA_TOPIC.variable.name
    };
    for name in env.own_names().filter(is_of_all) {
        errors.add(name, "is for the fleet as a whole: put it into common.env");
    }
}

fn id(text: &str) -> Result<String, InvalidValue> {
    topic(text).ok().filter(|id| id.len() <= LONGEST_ID).ok_or_else(|| {
        InvalidValue::must_shown(
            "be of letters, digits, `.`, `_` and `-`, at most 200 of them, for topics are named after it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    fn fleet(pairs: &[(&str, &str)]) -> Result<FleetSettings, String> {
        let mut errors = ConfigErrors::default();
        let settings = FleetSettings::read(&Env::from_pairs(pairs.iter().copied()), &mut errors);
        match settings {
            Some(settings) if errors.is_empty() => Ok(settings),
            _ => Err(errors.to_string()),
        }
    }

    fn streams(pairs: &[(&str, &str)]) -> Result<Vec<FleetStream>, String> {
        fleet_streams(&Env::from_pairs(pairs.iter().copied()), SOURCES).map_err(|errors| errors.to_string())
    }

    #[test]
    fn topics_are_named_after_the_fleet_unless_they_have_names() {
        let settings = fleet(&[("FLEET_ID", "trails")]).unwrap();
        assert_eq!(
            (
                settings.state_topic.as_str(),
                settings.rejected_topic.as_str(),
                settings.buckets
            ),
            ("trails.state", "trails.rejected", 64)
        );
        let settings = fleet(&[
            ("FLEET_ID", "trails"),
            ("FLEET_STATE_TOPIC", "kept"),
            ("FLEET_BUCKETS", "8"),
        ])
        .unwrap();
        assert_eq!((settings.state_topic.as_str(), settings.buckets), ("kept", 8));
    }

    #[test]
    fn every_error_is_named_at_once() {
        let errors = fleet(&[
            ("FLEET_STATE_TOPIC", "a topic"),
            ("FLEET_BUCKETS", "0"),
            ("KAFKA_SERVER", "nowhere"),
        ])
        .unwrap_err();
        let names = [
            "FLEET_BUCKETS must be",
            "FLEET_ID is required because a fleet is asked for",
            "FLEET_STATE_TOPIC must be",
            "KAFKA_SERVER must be",
        ];
        let lines: Vec<_> = errors.lines().collect();
        assert!(
            lines.len() == names.len() && lines.iter().zip(names).all(|(line, name)| line.starts_with(name)),
            "{errors}"
        );
        let errors = fleet(&[("FLEET_ID", &"x".repeat(201))]).unwrap_err();
        assert!(errors.starts_with("FLEET_ID must be of letters"), "{errors}");
    }

    #[test]
    fn the_topics_of_the_fleet_itself_are_no_others() {
        let errors = fleet(&[("FLEET_ID", "trails"), ("FLEET_REJECTED_TOPIC", "trails.state")]).unwrap_err();
        assert!(
            errors.starts_with("FLEET_REJECTED_TOPIC must be another topic than that of the state"),
            "{errors}"
        );
        for topic in ["trails.state", "refused"] {
            let pairs = [
                ("FLEET_ID", "trails"),
                ("FLEET_REJECTED_TOPIC", "refused"),
                ("TFC_ORG_TOKEN", "invented"),
                ("TFC_KAFKA_TOPIC", topic),
            ];
            let errors = streams(&pairs).unwrap_err();
            assert!(
                errors.starts_with(&format!("TFC_KAFKA_TOPIC must be another topic than `{topic}`")),
                "{errors}"
            );
        }
    }

    #[test]
    fn a_stream_is_on_where_its_own_topic_is_set_and_needs_no_folder() {
        let pairs = [
            ("TFC_KAFKA_TOPIC", "tfc"),
            ("TFC_ORG_TOKEN", "invented"),
            ("KAFKA_TOPIC", "all"),
        ];
        let read = streams(&pairs).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|stream| (stream.settings.kind.name, stream.topic.as_str()))
            .collect();
        assert_eq!(read, [("tfc", "tfc")]);
        let errors = streams(&[("KAFKA_TOPIC", "all")]).unwrap_err();
        assert!(
            errors.contains("TFC_KAFKA_TOPIC") && errors.contains("switches its stream on in a fleet"),
            "{errors}"
        );
        let errors = streams(&[("TFC_KAFKA_TOPIC", "tfc")]).unwrap_err();
        assert_eq!(
            errors,
            "TFC_ORG_TOKEN (or TFC_ORG_TOKEN_FILE) is required because TFC_KAFKA_TOPIC is set"
        );
    }
}
