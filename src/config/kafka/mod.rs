//! The settings of forwarding to Kafka. They are read only when that is asked for.

mod properties;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::env::{ConfigErrors, Env, InvalidValue, is_loopback, one_of, seconds, text};
use crate::source::Kind;
use properties::{check_protocol, properties};

/// The variables that are read here and hold no secret.
pub(super) const VARIABLES: [&str; 12] = [
    "KAFKA_COMPRESSION",
    "KAFKA_PARTITION_BY",
    "KAFKA_PROPERTIES",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SERVER",
    "KAFKA_SSL_CA_CERT",
    "KAFKA_SSL_CLIENT_CERT",
    "KAFKA_SSL_CLIENT_KEY",
    "KAFKA_TIMEOUT_SECONDS",
    "KAFKA_TOPIC",
    "KAFKA_TRANSACTIONAL_ID",
];

/// How they begin.
pub(super) const PREFIX: &str = "KAFKA_";

/// The secret that is read here.
pub(super) const SECRET: &str = "KAFKA_SASL_PASSWORD";

/// The variable of a stream that names its topic, after its prefix.
pub(super) const TOPIC: &str = "KAFKA_TOPIC";

/// How Kafka is reached and written to.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, several with commas; `KAFKA_SERVER`, `localhost:9092`.
    pub server: String,
    /// The topic of each stream; `<PREFIX>_KAFKA_TOPIC`, else `KAFKA_TOPIC`, else such as `mail-logs`.
    pub topics: BTreeMap<&'static str, String>,
    /// TLS, if any of its variables is set.
    pub tls: Option<Tls>,
    /// Authentication by SASL, if a mechanism is set.
    pub sasl: Option<Sasl>,
    /// `none`, `gzip`, `snappy` or `lz4`; `KAFKA_COMPRESSION`, `lz4`.
    pub compression: String,
    /// Which lines stay in order; `KAFKA_PARTITION_BY`, `stream`.
    pub partition_by: PartitionBy,
    /// How long Kafka may confirm nothing before forwarding gives up; `KAFKA_TIMEOUT_SECONDS`, 30.
    pub timeout: Duration,
    /// Lines and cursor are committed together under this id; `KAFKA_TRANSACTIONAL_ID`.
    pub transactional_id: Option<String>,
    /// Further properties of librdkafka; `KAFKA_PROPERTIES`. They may hold secrets.
    pub properties: Vec<(String, SecretString)>,
}

impl KafkaSettings {
    /// The topic of a stream.
    #[must_use]
    pub fn topic(&self, stream: &str) -> String {
        self.topics.get(stream).map_or(stream, String::as_str).to_owned()
    }
}

/// Files for TLS, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that the broker's certificate is checked against; those of the system without it.
    pub ca_cert: Option<PathBuf>,
    /// A client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Authentication by SASL.
#[derive(Clone)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// The password; any characters.
    pub password: SecretString,
}

/// Which lines of a stream keep their order in Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionBy {
    /// All of them: they go to the first partition of the topic.
    #[default]
    Stream,
    /// Those with the same key: the topic's partitions share the lines.
    Key,
}

impl KafkaSettings {
    /// Reads the settings for these streams; `None` after a fault.
    pub fn read(env: &Env, kinds: &[&'static Kind], errors: &mut ConfigErrors) -> Option<Self> {
        let server = env.or("KAFKA_SERVER", "localhost:9092", servers, errors);
        let topics = kinds.iter().map(|kind| Some((kind.name, topic_of(env, kind, errors)?)));
        let topics: Vec<_> = topics.collect();
        let tls = read_tls(env, errors);
        let sasl = read_sasl(env, errors);
        let compression = one_of(&["lz4", "none", "gzip", "snappy"]);
        let compression = env.or("KAFKA_COMPRESSION", "lz4", compression, errors);
        let partition_by = env.or("KAFKA_PARTITION_BY", "stream", one_of(&["stream", "key"]), errors);
        let timeout = env.or("KAFKA_TIMEOUT_SECONDS", "30", seconds(1.0..=3600.0), errors);
        let is_transactional = env.is_set("KAFKA_TRANSACTIONAL_ID");
        let transactional_id = env.optional("KAFKA_TRANSACTIONAL_ID", text, errors);
        let properties = env.or("KAFKA_PROPERTIES", "", properties, errors);
        if is_transactional && transactional_id.is_none() {
            return None;
        }
        let (tls, sasl, properties) = (tls?, sasl?, properties?);
        check_protocol(&properties, tls.is_some(), sasl.is_some(), errors);
        Some(Self {
            server: server?,
            topics: topics.into_iter().collect::<Option<_>>()?,
            tls,
            sasl,
            compression: compression?,
            partition_by: match partition_by?.as_str() {
                "key" => PartitionBy::Key,
                _ => PartitionBy::Stream,
            },
            timeout: timeout?,
            transactional_id,
            properties,
        })
    }

    /// What deserves a word but stops nothing.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        let is_plain = self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == "PLAIN");
        let has_protocol = self.properties.iter().any(|(name, _)| name == "security.protocol");
        let is_near = self.server.split(',').all(|address| {
            let url = Url::parse(&format!("http://{}", address.trim()));
            url.is_ok_and(|url| is_loopback(&url))
        });
        (is_plain && self.tls.is_none() && !has_protocol && !is_near).then_some(
            "KAFKA_SASL_MECHANISM is PLAIN without TLS: whoever is on the way to Kafka can read the password; use SCRAM, or \
             TLS (KAFKA_SSL_CA_CERT, or KAFKA_PROPERTIES=security.protocol=sasl_ssl)",
        )
    }
}

fn topic_of(env: &Env, kind: &Kind, errors: &mut ConfigErrors) -> Option<String> {
    let default = format!("{}-logs", kind.prefix.to_lowercase());
    env.per_stream(kind.prefix, TOPIC, &default, topic, errors)
}

fn servers(text: &str) -> Result<String, InvalidValue> {
    let is_address = |address: &str| {
        let address = address.trim();
        let port = address.rsplit_once(':').map_or("", |(_, port)| port);
        !address.is_empty() && !address.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok()
    };
    if text.split(',').all(is_address) {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::must_shown(
            "be `host:port`, several with commas, such as `kafka1.example.org:9092,kafka2.example.org:9092`",
        ))
    }
}

/// A legal topic name: <https://kafka.apache.org/documentation/#brokerconfigs_auto.create.topics.enable>, `Topic.java`.
fn topic(text: &str) -> Result<String, InvalidValue> {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    if text.chars().all(is_legal) && (1..=249).contains(&text.len()) && !matches!(text, "." | "..") {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::must_shown(
            "be the name of a topic: letters, digits, `.`, `_` and `-`, at most 249 of them",
        ))
    }
}

fn read_tls(env: &Env, errors: &mut ConfigErrors) -> Option<Option<Tls>> {
    let names = ["KAFKA_SSL_CA_CERT", "KAFKA_SSL_CLIENT_CERT", "KAFKA_SSL_CLIENT_KEY"];
    let is_set = names.map(|name| env.is_set(name));
    let [ca_cert, cert, key] = names.map(|name| env.optional(name, readable_file, errors));
    for (one, other) in [(1, 2), (2, 1)] {
        if is_set[one] && !is_set[other] {
            ConfigErrors::because(format!("{} is set", names[one])).pass_missing(names[other], errors);
        }
    }
    if is_set == [false; 3] {
        return Some(None);
    }
    let is_read = [ca_cert.is_some(), cert.is_some(), key.is_some()];
    (is_read == is_set && is_set[1] == is_set[2]).then(|| {
        Some(Tls {
            ca_cert,
            client: cert.zip(key),
        })
    })
}

fn readable_file(text: &str) -> Result<PathBuf, InvalidValue> {
    match File::open(text).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(PathBuf::from(text)),
        Ok(_) => Err(InvalidValue::must_shown("be the path of a PEM file")),
        Err(error) => Err(InvalidValue::must_shown(format!(
            "be the path of a PEM file that can be read ({error})"
        ))),
    }
}

fn read_sasl(env: &Env, errors: &mut ConfigErrors) -> Option<Option<Sasl>> {
    let mechanism = "KAFKA_SASL_MECHANISM";
    if !env.is_set(mechanism) {
        let mut because = ConfigErrors::because("a user or password for Kafka is set");
        if env.is_set("KAFKA_SASL_USERNAME") || env.has_secret("KAFKA_SASL_PASSWORD") {
            because.missing(mechanism);
            errors.append(because);
            return None;
        }
        return Some(None);
    }
    let mut own_errors = ConfigErrors::because(format!("{mechanism} is set"));
    let known = one_of(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    let mechanism = env.optional(mechanism, known, &mut own_errors);
    let username = env.required("KAFKA_SASL_USERNAME", text, &mut own_errors);
    let password = env.required_password("KAFKA_SASL_PASSWORD", &mut own_errors);
    errors.append(own_errors);
    Some(Some(Sasl {
        mechanism: mechanism?,
        username: username?,
        password: password?,
    }))
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("server", &self.server)
            .field("topics", &self.topics)
            .field("transactional_id", &self.transactional_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::source::SOURCES;

    pub(super) fn kafka(pairs: &[(&str, &str)]) -> Result<KafkaSettings, String> {
        let mut errors = ConfigErrors::because("--forward-kafka is given");
        let kinds: Vec<_> = SOURCES.iter().collect();
        let settings = KafkaSettings::read(&Env::from_pairs(pairs.iter().copied()), &kinds, &mut errors);
        match settings {
            Some(settings) if errors.is_empty() => Ok(settings),
            _ => Err(errors.to_string()),
        }
    }

    #[test]
    fn kafka_needs_no_variable_at_all() {
        let settings = kafka(&[]).unwrap();
        assert_eq!(
            (settings.server.as_str(), settings.compression.as_str()),
            ("localhost:9092", "lz4")
        );
        assert_eq!(settings.timeout, Duration::from_secs(30));
        assert_eq!(settings.topics["yandex-mail"], "mail-logs");
        assert_eq!(settings.topics["yandex-disk"], "disk-logs");
        assert_eq!(settings.topics["port"], "port-logs");
        assert_eq!(settings.topics["yandex-audit"], "audit-logs");
        assert_eq!(settings.topics["tfc"], "tfc-logs");
        assert!(settings.tls.is_none() && settings.sasl.is_none() && settings.properties.is_empty());
    }

    #[test]
    fn one_topic_serves_all_streams_but_those_with_their_own() {
        let settings = kafka(&[("KAFKA_TOPIC", "audit"), ("PORT_KAFKA_TOPIC", "port.audit")]).unwrap();
        assert_eq!(settings.topics["tfc"], "audit");
        assert_eq!(settings.topics["port"], "port.audit");
    }

    #[test]
    fn every_fault_is_named_at_once_and_no_secret_is_shown() {
        let errors = kafka(&[
            ("KAFKA_SERVER", "kafka.example.org"),
            ("TFC_KAFKA_TOPIC", "a topic"),
            ("KAFKA_SSL_CLIENT_CERT", "/nowhere/cert.pem"),
            ("KAFKA_SASL_MECHANISM", "GSSAPI"),
            ("KAFKA_COMPRESSION", "rar"),
            ("KAFKA_PARTITION_BY", "user"),
            ("KAFKA_TIMEOUT_SECONDS", "0"),
            ("KAFKA_PROPERTIES", "hunter2"),
        ])
        .unwrap_err();
        let expected = [
            "KAFKA_COMPRESSION must be one of lz4, none, gzip, snappy, not `rar`",
            "KAFKA_PARTITION_BY must be one of stream, key, not `user`",
            "KAFKA_PROPERTIES must be `key=value`, several with commas",
            "KAFKA_SASL_MECHANISM must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, not `GSSAPI`",
            "KAFKA_SASL_PASSWORD (or KAFKA_SASL_PASSWORD_FILE) is required because KAFKA_SASL_MECHANISM is set",
            "KAFKA_SASL_USERNAME is required because KAFKA_SASL_MECHANISM is set",
            "KAFKA_SERVER must be `host:port`, several with commas, such as \
             `kafka1.example.org:9092,kafka2.example.org:9092`, not `kafka.example.org`",
            "KAFKA_SSL_CLIENT_CERT must be the path of a PEM file that can be read (No such file or directory (os error \
             2)), not `/nowhere/cert.pem`",
            "KAFKA_SSL_CLIENT_KEY is required because KAFKA_SSL_CLIENT_CERT is set",
            "KAFKA_TIMEOUT_SECONDS must be a number of seconds from 1 to 3600, such as `0.5`, not `0`",
            "TFC_KAFKA_TOPIC must be the name of a topic: letters, digits, `.`, `_` and `-`, at most 249 of them, not `a \
             topic`",
        ];
        assert_eq!(errors.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_password_may_hold_any_characters_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, " pässwörd\t=,'\" \n").unwrap();
        let pairs = [
            ("KAFKA_SASL_MECHANISM", "scram-sha-512"),
            ("KAFKA_SASL_USERNAME", "trailkeeper"),
            ("KAFKA_SASL_PASSWORD_FILE", path.to_str().unwrap()),
        ];
        let settings = kafka(&pairs).unwrap();
        assert!(!format!("{settings:?}").contains("pässwörd"));
        let sasl = settings.sasl.unwrap();
        assert_eq!(sasl.mechanism, "SCRAM-SHA-512");
        assert_eq!(sasl.password.expose_secret(), " pässwörd\t=,'\" ");
        assert!(!format!("{sasl:?}").contains("pässwörd"));
    }

    #[test]
    fn a_user_without_a_mechanism_is_a_fault() {
        assert_eq!(
            kafka(&[("KAFKA_SASL_USERNAME", "trailkeeper")]).unwrap_err(),
            "KAFKA_SASL_MECHANISM is required because a user or password for Kafka is set"
        );
    }

    #[test]
    fn a_password_in_the_clear_is_warned_about() {
        for (server, mechanism, properties, is_open) in [
            ("kafka.example.org:9092", "PLAIN", "", true),
            ("localhost:9092,kafka.example.org:9092", "PLAIN", "", true),
            ("kafka.example.org:9092", "SCRAM-SHA-256", "", false),
            ("kafka.example.org:9092", "PLAIN", "security.protocol=sasl_ssl", false),
            ("localhost:9092,127.0.0.1:9093,[::1]:9094", "PLAIN", "", false),
        ] {
            let settings = kafka(&[
                ("KAFKA_SERVER", server),
                ("KAFKA_SASL_MECHANISM", mechanism),
                ("KAFKA_SASL_USERNAME", "trailkeeper"),
                ("KAFKA_SASL_PASSWORD", "abc"),
                ("KAFKA_PROPERTIES", properties),
            ]);
            assert_eq!(
                settings.unwrap().warning().is_some(),
                is_open,
                "{server} {mechanism} {properties}"
            );
        }
    }
}
