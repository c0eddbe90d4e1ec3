//! The settings of forwarding to Kafka, read only when it is used.

mod properties;
mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::env::{ConfigErrors, Env, Row, Secrets, Setting, StandingSecret, is_loopback};
use crate::source::Kind;
use properties::protocol_problems;
pub(super) use variables::KAFKA_TRANSACTIONAL_ID;
use variables::{
    KAFKA_COMPRESSION, KAFKA_PARTITION_BY, KAFKA_SASL_PASSWORD, KAFKA_SASL_USERNAME, KAFKA_STRICT_JSON,
    KAFKA_TIMEOUT_SECONDS,
};
pub(crate) use variables::{
    KAFKA_PROPERTIES, KAFKA_SASL_MECHANISM, KAFKA_SERVER, KAFKA_SSL_CA_CERT, KAFKA_SSL_CLIENT_CERT,
    KAFKA_SSL_CLIENT_KEY,
};
pub(super) use variables::{KAFKA_TOPIC, PREFIX, ROWS, topic};

/// How to connect and write to Kafka.
#[derive(Clone)]
pub(crate) struct KafkaSettings {
    /// `host:port`, several with commas; `KAFKA_SERVER`.
    pub(crate) server: String,
    /// The topic of each stream; `<PREFIX>_KAFKA_TOPIC`, then `KAFKA_TOPIC`, then a default of its own.
    pub(crate) topics: BTreeMap<&'static str, String>,
    /// TLS, if any of its variables is set.
    pub(crate) tls: Option<Tls>,
    /// Authentication by SASL, if a mechanism is set.
    pub(crate) sasl: Option<Sasl>,
    /// `none`, `gzip`, `snappy` or `lz4`; `KAFKA_COMPRESSION`.
    pub(crate) compression: String,
    /// Which lines stay in order; `KAFKA_PARTITION_BY`.
    pub(crate) partition_by: PartitionBy,
    /// How long Kafka may confirm nothing before forwarding gives up; `KAFKA_TIMEOUT_SECONDS`.
    pub(crate) timeout: Duration,
    /// Lines and cursor are committed together under this id; `KAFKA_TRANSACTIONAL_ID`.
    pub(crate) transactional_id: Option<String>,
    /// Whether strict copies are sent; `KAFKA_STRICT_JSON`.
    pub(crate) strict_json: bool,
    /// Further properties of librdkafka; `KAFKA_PROPERTIES`. They may hold secrets.
    pub(crate) properties: Vec<(String, SecretString)>,
    /// The secrets of the run, which a broker may repeat.
    pub(crate) secrets: Arc<Secrets>,
}

impl KafkaSettings {
    /// Returns the topic of a stream.
    #[must_use]
    pub(crate) fn topic(&self, stream: &str) -> String {
        self.topics.get(stream).map_or(stream, String::as_str).to_owned()
    }
}

/// Files for TLS, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The authorities that the broker's certificate is checked against; by default those of the system.
    pub(crate) ca_cert: Option<PathBuf>,
    /// A client certificate and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// Authentication by SASL.
#[derive(Clone)]
pub(crate) struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub(crate) mechanism: String,
    pub(crate) username: String,
    /// The password; any characters.
    pub(crate) password: Arc<StandingSecret>,
}

/// Which lines of a stream keep their order in Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PartitionBy {
    /// All of them: they go to the first partition of the topic.
    #[default]
    Stream,
    /// Those with the same key: the topic's partitions share the lines.
    Key,
}

impl KafkaSettings {
    /// Reads the settings for these streams; `None` after an error.
    pub(crate) fn read(env: &Env, kinds: &[&'static Kind], errors: &mut ConfigErrors) -> Option<Self> {
        let server = env.or_default(&KAFKA_SERVER, errors);
        let topic = |kind: &&'static Kind| Some((kind.name, env.per_stream(&KAFKA_TOPIC, kind.prefix, errors)?));
        let topics: Vec<_> = kinds.iter().map(topic).collect();
        let tls = read_tls(env, errors);
        let sasl = read_sasl(env, errors);
        let compression = env.or_default(&KAFKA_COMPRESSION, errors);
        let partition_by = env.or_default(&KAFKA_PARTITION_BY, errors);
        let timeout = env.or_default(&KAFKA_TIMEOUT_SECONDS, errors);
        let is_transactional = env.is_set(&KAFKA_TRANSACTIONAL_ID);
        let transactional_id = env.optional(&KAFKA_TRANSACTIONAL_ID, errors);
        let strict_json = env.or_default(&KAFKA_STRICT_JSON, errors);
        let properties = env.or_default(&KAFKA_PROPERTIES, errors);
        if is_transactional && transactional_id.is_none() {
            return None;
        }
        let (tls, sasl, properties) = (tls?, sasl?, properties?);
        for problem in protocol_problems(&properties, tls.is_some(), sasl.is_some()) {
            errors.add(KAFKA_PROPERTIES.name(), problem);
        }
        Some(Self {
            server: server?,
            topics: topics.into_iter().collect::<Option<_>>()?,
            tls,
            sasl,
            compression: compression?.to_owned(),
            partition_by: partition_by?,
            timeout: timeout?,
            transactional_id,
            strict_json: strict_json?,
            properties,
            secrets: Arc::clone(env.secrets()),
        })
    }

    /// Returns a warning, if there is one.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let is_plain = self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == "PLAIN");
        let has_protocol = self.properties.iter().any(|(name, _)| name == "security.protocol");
        let is_near = self.server.split(',').all(|address| {
            let url = Url::parse(&format!("http://{}", address.trim()));
            url.is_ok_and(|url| is_loopback(&url))
        });
        (is_plain && self.tls.is_none() && !has_protocol && !is_near).then_some(
            "KAFKA_SASL_MECHANISM is PLAIN without TLS: anyone on the network path can read the password; use SCRAM, or \
             TLS (KAFKA_SSL_CA_CERT, or KAFKA_PROPERTIES=security.protocol=sasl_ssl)",
        )
    }
}

fn read_tls(env: &Env, errors: &mut ConfigErrors) -> Option<Option<Tls>> {
    let files: [&Setting<PathBuf>; 3] = [&KAFKA_SSL_CA_CERT, &KAFKA_SSL_CLIENT_CERT, &KAFKA_SSL_CLIENT_KEY];
    let is_set = files.map(|file| env.is_set(file));
    let [ca_cert, cert, key] = files.map(|file| env.optional(file, errors));
    for (one, other) in [(1, 2), (2, 1)] {
        if is_set[one] && !is_set[other] {
            let because = ConfigErrors::because(format!("{} is set", files[one].name()));
            because.pass_missing(&files[other].name(), errors);
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

fn read_sasl(env: &Env, errors: &mut ConfigErrors) -> Option<Option<Sasl>> {
    if !env.is_set(&KAFKA_SASL_MECHANISM) {
        let mut because = ConfigErrors::because("a user or password for Kafka is set");
        if env.is_set(&KAFKA_SASL_USERNAME) || env.has_secret(&KAFKA_SASL_PASSWORD) {
            because.missing(&KAFKA_SASL_MECHANISM.name());
            errors.append(because);
            return None;
        }
        return Some(None);
    }
    let mut own_errors = ConfigErrors::because(format!("{} is set", KAFKA_SASL_MECHANISM.name()));
    let mechanism = env.optional(&KAFKA_SASL_MECHANISM, &mut own_errors);
    let username = env.required(&KAFKA_SASL_USERNAME, &mut own_errors);
    let password = env.required_standing_secret(&KAFKA_SASL_PASSWORD, &mut own_errors);
    errors.append(own_errors);
    Some(Some(Sasl {
        mechanism: mechanism?.to_owned(),
        username: username?,
        password: Arc::new(password?),
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
    fn every_error_is_named_at_once_and_no_secret_is_shown() {
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
        assert_eq!(sasl.password.current().expose_secret(), " pässwörd\t=,'\" ");
        assert!(!format!("{sasl:?}").contains("pässwörd"));
    }

    #[test]
    fn a_user_without_a_mechanism_is_an_error() {
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
