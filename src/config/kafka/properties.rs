//! `KAFKA_PROPERTIES`: which properties of librdkafka can be set, which cannot, and why.

use secrecy::{ExposeSecret, SecretString};

use crate::env::InvalidValue;

/// Properties of librdkafka that cannot be set freely, and why.
const KEPT_PROPERTIES: &[(&[&str], &str)] = &[
    (
        &[
            "acks",
            "request.required.acks",
            "enable.idempotence",
            "enable.gapless.guarantee",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "message.send.max.retries",
            "retries",
            "queuing.strategy",
            "delivery.report.only.error",
            "isolation.level",
            "enable.auto.commit",
            "enable.auto.offset.store",
            "group.id",
            "transaction.timeout.ms",
            "auto.commit.enable",
            "enabled_events",
            "api.version.request",
            "broker.version.fallback",
            "test.mock.num.brokers",
            "test.mock.broker.rtt",
        ],
        "because the promise that no line is lost rests on it",
    ),
    (
        &["plugin.library.paths", "ssl.engine.location", "ssl.providers"],
        "because it loads code into this program",
    ),
    (
        &["message.timeout.ms", "delivery.timeout.ms"],
        "because KAFKA_TIMEOUT_SECONDS does",
    ),
    (
        &["bootstrap.servers", "metadata.broker.list"],
        "because KAFKA_SERVER does",
    ),
    (&["transactional.id"], "because KAFKA_TRANSACTIONAL_ID does"),
    (
        &["compression.codec", "compression.type"],
        "because KAFKA_COMPRESSION does",
    ),
    (&["partitioner"], "because KAFKA_PARTITION_BY does"),
    (
        &["sasl.mechanism", "sasl.mechanisms"],
        "because KAFKA_SASL_MECHANISM does",
    ),
    (&["sasl.username"], "because KAFKA_SASL_USERNAME does"),
    (&["sasl.password"], "because KAFKA_SASL_PASSWORD does"),
    (&["ssl.ca.location", "ssl.ca.pem"], "because KAFKA_SSL_CA_CERT does"),
    (
        &[
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.keystore.location",
        ],
        "because KAFKA_SSL_CLIENT_CERT does",
    ),
    (
        &["ssl.key.location", "ssl.key.pem"],
        "because KAFKA_SSL_CLIENT_KEY does",
    ),
];

/// Parses `key=value,key=value`; a part without a key continues the value before it, as in `debug=broker,topic`.
pub(super) fn properties(text: &str) -> Result<Vec<(String, SecretString)>, InvalidValue> {
    let mut properties: Vec<(String, String)> = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let is_key = |key: &str| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_'))
        };
        match (part.split_once('='), properties.last_mut()) {
            (Some((key, value)), _) if is_key(key.trim()) => {
                properties.push((key.trim().to_owned(), value.to_owned()));
            }
            (_, Some((_, value))) => *value = format!("{value},{part}"),
            _ => return Err(InvalidValue::must_hidden("be `key=value`, several with commas")),
        }
    }
    for (key, _) in &properties {
        if let Some((_, why)) = KEPT_PROPERTIES.iter().find(|(names, _)| names.contains(&key.as_str())) {
            return Err(InvalidValue::must_hidden(format!("not set `{key}`, {why}")));
        }
    }
    Ok(properties.into_iter().map(|(key, value)| (key, value.into())).collect())
}

/// Returns the errors of a protocol that would leave out TLS or the login although they are configured.
pub(super) fn protocol_problems(properties: &[(String, SecretString)], has_tls: bool, has_sasl: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let protocols = properties.iter().filter(|(name, _)| name == "security.protocol");
    for protocol in protocols.map(|(_, value)| value.expose_secret().to_lowercase()) {
        for (part, is_set, variables) in [("ssl", has_tls, "KAFKA_SSL_*"), ("sasl", has_sasl, "KAFKA_SASL_*")] {
            if is_set && !protocol.contains(part) {
                problems.push(format!(
                    "must not set `security.protocol` to one without {part}, because {variables} is set"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::tests::kafka;
    use super::*;

    #[test]
    fn properties_are_read_except_those_on_which_the_promises_rest() {
        let settings = kafka(&[("KAFKA_PROPERTIES", "linger.ms=50, debug=broker,topic,client.id=a=b")]).unwrap();
        let properties: Vec<_> = settings
            .properties
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose_secret()))
            .collect();
        assert_eq!(
            properties,
            [("linger.ms", "50"), ("debug", "broker,topic"), ("client.id", "a=b")]
        );
        for (names, _) in KEPT_PROPERTIES {
            for name in *names {
                let error = kafka(&[("KAFKA_PROPERTIES", &format!("linger.ms=5,{name}=hunter2"))]).unwrap_err();
                assert!(error.contains(&format!("must not set `{name}`, because ")), "{error}");
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
    }

    #[test]
    fn no_property_switches_off_a_login_that_is_set() {
        let login = [
            ("KAFKA_SASL_MECHANISM", "PLAIN"),
            ("KAFKA_SASL_USERNAME", "trailkeeper"),
            ("KAFKA_SASL_PASSWORD", "abc"),
        ];
        for (protocol, is_error) in [("SASL_SSL", false), ("ssl", true), ("plaintext", true)] {
            let properties = format!("security.protocol={protocol}");
            let result = kafka(&[&login[..], &[("KAFKA_PROPERTIES", properties.as_str())]].concat());
            assert_eq!(result.is_err(), is_error, "{protocol}");
        }
    }
}
