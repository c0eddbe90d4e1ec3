//! The settings of evidence: where the log is, what it is called, which key signs it, and how often.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use url::Url;

use super::evidence_key::{EVIDENCE_KEY_AGENT, EVIDENCE_KEY_FILE, EVIDENCE_PUBLIC_KEY, KeySource};
use super::kafka::{self, KafkaSettings};
use super::proxies;
use crate::env::{
    ConfigErrors, DefaultValue, Env, InvalidValue, Row, Scope, Setting, Variable, endpoint, folder, text, whole_number,
};
use crate::http::Proxies;

/// The prefix of most of these variables; no others have it.
pub(super) const PREFIX: &str = "EVIDENCE_";

/// The variables, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[
    &EVIDENCE_FOLDER,
    &EVIDENCE_ORIGIN,
    &EVIDENCE_KEY_FILE,
    &EVIDENCE_KEY_AGENT,
    &EVIDENCE_PUBLIC_KEY,
    &SEAL_EVERY_MINUTES,
    &SEAL_AFTER_HOURS,
    &EVIDENCE_TSA_URL,
    &EVIDENCE_WITNESS_POLICY,
    &EVIDENCE_KAFKA_TOPIC,
];

pub(crate) const EVIDENCE_FOLDER: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "EVIDENCE_FOLDER",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/var/lib/trailkeeper/evidence"),
        doc: "The folder of the log that proves what the day files held; not inside a catalog. With `EVIDENCE_ORIGIN` it switches \
              sealing on.",
    },
    parse: folder,
};

pub(crate) const EVIDENCE_ORIGIN: Setting<String> = Setting {
    variable: Variable {
        name: "EVIDENCE_ORIGIN",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("audit.example.org/trails"),
        doc: "The name of the log: like a web address without `https://`, one for each organization. It never changes.",
    },
    parse: origin,
};

const SEAL_EVERY_MINUTES: Setting<i64> = Setting {
    variable: Variable {
        name: "SEAL_EVERY_MINUTES",
        scope: Scope::Program,
        default: DefaultValue::Text("60"),
        example: None,
        doc: "How often a file that grows is sealed at the end of a run, in minutes; 0 to 1440, 0 is after every run.",
    },
    parse: |text| whole_number(text, 0..=1_440),
};

const SEAL_AFTER_HOURS: Setting<i64> = Setting {
    variable: Variable {
        name: "SEAL_AFTER_HOURS",
        scope: Scope::Program,
        default: DefaultValue::Text("48"),
        example: None,
        doc: "How many hours after its end a day is closed, once no gap of it can be filled any more; 0 to 720. Records that come \
              later are sealed as late ones.",
    },
    parse: |text| whole_number(text, 0..=720),
};

const EVIDENCE_TSA_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "EVIDENCE_TSA_URL",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("https://tsa.example.org/"),
        doc: "The address of a service for time stamps (RFC 3161), which is asked for one of each new checkpoint.",
    },
    parse: endpoint,
};

pub(crate) const EVIDENCE_WITNESS_POLICY: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "EVIDENCE_WITNESS_POLICY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/witnesses.policy"),
        doc: "A policy (C2SP tlog-policy) that names witnesses with their addresses, in lines `witness NAME KEY https://...`: each new \
              checkpoint is sent to them to be cosigned (C2SP tlog-witness), and nothing is sealed that is not what they have seen.",
    },
    parse: folder,
};

const EVIDENCE_KAFKA_TOPIC: Setting<String> = Setting {
    variable: Variable {
        name: "EVIDENCE_KAFKA_TOPIC",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("trails-checkpoints"),
        doc: "The Kafka topic to which each new checkpoint is sent, as it is signed, with the name of the log as its key; the other settings \
              of Kafka are those of forwarding.",
    },
    parse: kafka::topic,
};

/// The topic to which checkpoints are sent, and the brokers.
#[derive(Clone, Debug)]
pub(crate) struct EvidenceTopic {
    pub(crate) topic: String,
    pub(crate) kafka: KafkaSettings,
}

/// By its name and the brokers.
impl PartialEq for EvidenceTopic {
    fn eq(&self, other: &Self) -> bool {
        (&self.topic, &self.kafka.server) == (&other.topic, &other.kafka.server)
    }
}

impl Eq for EvidenceTopic {}

/// The witnesses that are asked, and the way to them.
#[derive(Clone, Debug)]
pub(crate) struct WitnessSettings {
    /// The file that names them.
    pub(crate) policy: PathBuf,
    pub(crate) proxies: Proxies,
}

/// By the file: the way to them is that of all services.
impl PartialEq for WitnessSettings {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy
    }
}

impl Eq for WitnessSettings {}

/// A service for time stamps, and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct TimestampService {
    pub(crate) url: Url,
    pub(crate) proxies: Proxies,
}

/// By its address: the way to it is that of all services.
impl PartialEq for TimestampService {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for TimestampService {}

/// Where and how the archive is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EvidenceSettings {
    /// The folder of the log; `EVIDENCE_FOLDER`.
    pub(crate) folder: PathBuf,
    /// Its name; `EVIDENCE_ORIGIN`.
    pub(crate) origin: String,
    /// Where the key is; `EVIDENCE_KEY_FILE`, `EVIDENCE_KEY_AGENT`, `EVIDENCE_PUBLIC_KEY`.
    pub(crate) key: Option<KeySource>,
    /// Where systemd has put credentials for this process, and where an ssh-agent listens.
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) ssh_agent: Option<PathBuf>,
    /// How often a file that grows is sealed; `SEAL_EVERY_MINUTES`.
    pub(crate) every: TimeDelta,
    /// How long after its end a day is closed; `SEAL_AFTER_HOURS`.
    pub(crate) after: TimeDelta,
    /// What stamps checkpoints with the time; `EVIDENCE_TSA_URL`.
    pub(crate) timestamps: Option<TimestampService>,
    /// Who cosigns checkpoints when asked; `EVIDENCE_WITNESS_POLICY`.
    pub(crate) witnesses: Option<WitnessSettings>,
    /// Where checkpoints are sent to; `EVIDENCE_KAFKA_TOPIC`.
    pub(crate) topic: Option<EvidenceTopic>,
}

impl EvidenceSettings {
    /// Reads the settings; `None` if sealing is off, or after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        if !env.is_set(&EVIDENCE_FOLDER) && !env.is_set(&EVIDENCE_ORIGIN) {
            return None;
        }
        let mut own_errors = ConfigErrors::because("sealing is switched on by EVIDENCE_FOLDER and EVIDENCE_ORIGIN");
        let settings = Self::read_required(env, &mut own_errors);
        match settings.as_ref().map(|settings| &settings.key) {
            Some(Some(key)) => key.check_way(env, &mut own_errors),
            Some(None) if own_errors.is_empty() => own_errors.missing(&EVIDENCE_KEY_FILE.name()),
            _ => {}
        }
        let is_whole = own_errors.is_empty();
        errors.append(own_errors);
        settings.filter(|_| is_whole)
    }

    /// Checks that the folder of the log is not that of a catalog, nor inside one, where agents and runs look for files.
    pub(crate) fn check_outside<'a>(&self, catalogs: impl Iterator<Item = &'a Path>, errors: &mut ConfigErrors) {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        // The folder itself may not be there yet.
        let parent = self
            .folder
            .parent()
            .filter(|parent| *parent != Path::new(""))
            .unwrap_or(Path::new("."));
        let (folder, parent) = (real(&self.folder), real(parent));
        for catalog in catalogs {
            let real = real(catalog);
            if folder.starts_with(&real) || parent.starts_with(&real) {
                let problem = format!(
                    "must not be inside the catalog {}: name a folder of its own",
                    catalog.display()
                );
                errors.add(EVIDENCE_FOLDER.name(), problem);
            }
        }
    }

    /// Reads the settings for a command that is about nothing else; `None` after an error.
    pub(crate) fn read_required(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let folder = env.required(&EVIDENCE_FOLDER, errors);
        let origin = env.required(&EVIDENCE_ORIGIN, errors);
        let key = KeySource::read(env, errors);
        let every = env.or_default(&SEAL_EVERY_MINUTES, errors);
        let after = env.or_default(&SEAL_AFTER_HOURS, errors);
        let url = env.optional(&EVIDENCE_TSA_URL, errors);
        let policy = env.optional(&EVIDENCE_WITNESS_POLICY, errors);
        let topic = read_topic(env, errors);
        let proxies = proxies::read(env, errors);
        let witnesses = policy.map(|policy| WitnessSettings {
            policy,
            proxies: proxies.clone(),
        });
        let timestamps = url.map(|url| TimestampService { url, proxies });
        Some(Self {
            folder: folder?,
            origin: origin?,
            key,
            credentials: env.credentials_folder(),
            ssh_agent: env.ssh_agent(),
            every: TimeDelta::minutes(every?),
            after: TimeDelta::hours(after?),
            timestamps,
            witnesses,
            topic,
        })
    }
}

/// Reads to which topic checkpoints are sent; `None` if to none, or after an error.
fn read_topic(env: &Env, errors: &mut ConfigErrors) -> Option<EvidenceTopic> {
    if !env.is_set(&EVIDENCE_KAFKA_TOPIC) {
        return None;
    }
    let topic = env.optional(&EVIDENCE_KAFKA_TOPIC, errors);
    let kafka = KafkaSettings::read(env, &[], errors);
    Some(EvidenceTopic {
        topic: topic?,
        kafka: kafka?,
    })
}

/// Reads the folder of the log alone; `None` if there is none, or after an error.
pub(crate) fn evidence_folder(env: &Env, errors: &mut ConfigErrors) -> Option<PathBuf> {
    env.optional(&EVIDENCE_FOLDER, errors)
}

fn origin(value: &str) -> Result<String, InvalidValue> {
    let name = text(value)?;
    let is_odd = |c: char| c.is_whitespace() || c == '+';
    if name.is_empty() || name.contains(is_odd) || name.contains("://") {
        return Err(InvalidValue::must_shown(
            "be a name like `audit.example.org/trails`, without spaces, `+` and `https://`",
        ));
    }
    Ok(name)
}
