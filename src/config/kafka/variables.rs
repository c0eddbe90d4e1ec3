//! The variables of Kafka, and what their values must be like.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::PartitionBy;
use super::properties;
use crate::config::stdout::STRICT_JSON;
use crate::env::{
    DefaultValue, InvalidValue, Row, Scope, Secret, Setting, Variable, one_of, password, seconds, text, yes_or_no,
};

/// The prefix of these variables; no others have it.
pub(in crate::config) const PREFIX: &str = "KAFKA_";

/// All of them, in the order of the documents.
pub(in crate::config) const ROWS: &[&dyn Row] = &[
    &KAFKA_SERVER,
    &KAFKA_TOPIC,
    &KAFKA_PARTITION_BY,
    &KAFKA_SSL_CA_CERT,
    &KAFKA_SSL_CLIENT_CERT,
    &KAFKA_SSL_CLIENT_KEY,
    &KAFKA_SASL_MECHANISM,
    &KAFKA_SASL_USERNAME,
    &KAFKA_SASL_PASSWORD,
    &KAFKA_COMPRESSION,
    &KAFKA_TIMEOUT_SECONDS,
    &KAFKA_TRANSACTIONAL_ID,
    &KAFKA_STRICT_JSON,
    &KAFKA_PROPERTIES,
];

pub(crate) const KAFKA_SERVER: Setting<String> = Setting {
    variable: Variable {
        name: "KAFKA_SERVER",
        scope: Scope::Program,
        default: DefaultValue::Text("localhost:9092"),
        example: None,
        doc: "The brokers that are asked first: `host:port`, several with commas.",
    },
    parse: servers,
};

pub(crate) const KAFKA_TOPIC: Setting<String> = Setting {
    variable: Variable {
        name: "KAFKA_TOPIC",
        scope: Scope::AllStreams,
        default: DefaultValue::OfStream(|prefix| format!("{}-logs", prefix.to_lowercase())),
        example: Some("trails"),
        doc: "The topic of each stream, with its prefix; without a prefix, one topic for all streams that have none of their own.",
    },
    parse: topic,
};

pub(crate) const KAFKA_PARTITION_BY: Setting<PartitionBy> = Setting {
    variable: Variable {
        name: "KAFKA_PARTITION_BY",
        scope: Scope::Program,
        default: DefaultValue::Text("stream"),
        example: None,
        doc: "`stream`: all lines of a stream stay in order, in the first partition of the topic. `key`: they are spread over the \
              partitions by the id of the record.",
    },
    parse: |text| one_of(text, &[("stream", PartitionBy::Stream), ("key", PartitionBy::Key)]),
};

pub(crate) const KAFKA_SSL_CA_CERT: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "KAFKA_SSL_CA_CERT",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/kafka-ca.pem"),
        doc: "TLS: the authorities that signed the broker's certificate, a PEM file. For a broker whose certificate the system \
              trusts, set `KAFKA_PROPERTIES=security.protocol=ssl` (or `sasl_ssl`) instead.",
    },
    parse: pem_file,
};

pub(crate) const KAFKA_SSL_CLIENT_CERT: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "KAFKA_SSL_CLIENT_CERT",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/kafka-client.pem"),
        doc: "TLS: a client certificate if the broker asks for one, a PEM file.",
    },
    parse: pem_file,
};

pub(crate) const KAFKA_SSL_CLIENT_KEY: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "KAFKA_SSL_CLIENT_KEY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/kafka-client.key"),
        doc: "The key of the client certificate, a PEM file.",
    },
    parse: pem_file,
};

pub(crate) const KAFKA_SASL_MECHANISM: Setting<&'static str> = Setting {
    variable: Variable {
        name: "KAFKA_SASL_MECHANISM",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("SCRAM-SHA-512"),
        doc: "How to log in: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. The user and the password are required with it.",
    },
    parse: |text| {
        one_of(
            text,
            &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(|word| (word, word)),
        )
    },
};

pub(crate) const KAFKA_SASL_USERNAME: Setting<String> = Setting {
    variable: Variable {
        name: "KAFKA_SASL_USERNAME",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The user who logs in.",
    },
    parse: text,
};

pub(crate) const KAFKA_SASL_PASSWORD: Secret = Secret {
    variable: Variable {
        name: "KAFKA_SASL_PASSWORD",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The password of the user; any characters.",
    },
    check: password,
};

pub(crate) const KAFKA_COMPRESSION: Setting<&'static str> = Setting {
    variable: Variable {
        name: "KAFKA_COMPRESSION",
        scope: Scope::Program,
        default: DefaultValue::Text("lz4"),
        example: None,
        doc: "How lines are compressed: `lz4`, `gzip`, `snappy` or `none`.",
    },
    parse: |text| one_of(text, &["lz4", "none", "gzip", "snappy"].map(|word| (word, word))),
};

pub(crate) const KAFKA_TIMEOUT_SECONDS: Setting<Duration> = Setting {
    variable: Variable {
        name: "KAFKA_TIMEOUT_SECONDS",
        scope: Scope::Program,
        default: DefaultValue::Text("30"),
        example: None,
        doc: "How many seconds Kafka may confirm nothing before forwarding gives up until the next run; 1 to 3600. A wrong \
              password or certificate is reported at once.",
    },
    parse: |text| seconds(text, 1.0..=3600.0),
};

pub(crate) const KAFKA_TRANSACTIONAL_ID: Setting<String> = Setting {
    variable: Variable {
        name: "KAFKA_TRANSACTIONAL_ID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("trailkeeper-logserver1"),
        doc: "Exactly once: lines and cursor are committed in one transaction, and consumers with \
              `isolation.level=read_committed` see every line once. Use a different id for each archive; the cursor \
              is kept in the topic `<id>.cursors`.",
    },
    parse: transactional_id,
};

pub(crate) const KAFKA_STRICT_JSON: Setting<bool> = Setting {
    variable: Variable {
        name: "KAFKA_STRICT_JSON",
        scope: Scope::Program,
        default: DefaultValue::Text("no"),
        example: None,
        doc: STRICT_JSON,
    },
    parse: yes_or_no,
};

pub(crate) const KAFKA_PROPERTIES: Setting<Vec<(String, SecretString)>> = Setting {
    variable: Variable {
        name: "KAFKA_PROPERTIES",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("linger.ms=50,client.id=trailkeeper"),
        doc: "Any other property of librdkafka (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md), \
              except those that trailkeeper must control.",
    },
    parse: properties::properties,
};

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

/// Parses a topic name: <https://kafka.apache.org/documentation/#brokerconfigs_auto.create.topics.enable>,
/// `Topic.java`.
pub(in crate::config) fn topic(text: &str) -> Result<String, InvalidValue> {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    if text.chars().all(is_legal) && (1..=249).contains(&text.len()) && !matches!(text, "." | "..") {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::must_shown(
            "be the name of a topic: letters, digits, `.`, `_` and `-`, at most 249 of them",
        ))
    }
}

/// The topic of its cursors is named after it.
fn transactional_id(text: &str) -> Result<String, InvalidValue> {
    topic(text).ok().filter(|id| id.len() <= 240).ok_or_else(|| {
        InvalidValue::must_shown(
            "be of letters, digits, `.`, `_` and `-`, at most 240 of them, for a topic is named after it",
        )
    })
}

fn pem_file(text: &str) -> Result<PathBuf, InvalidValue> {
    match File::open(text).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(PathBuf::from(text)),
        Ok(_) => Err(InvalidValue::must_shown("be the path of a PEM file")),
        Err(error) => Err(InvalidValue::must_shown(format!(
            "be the path of a PEM file that can be read ({error})"
        ))),
    }
}
