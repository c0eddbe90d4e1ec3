//! Why brokers cannot be reached, and what to do: `check` and a forwarder that waits in vain say the same.

use rdkafka::types::RDKafkaErrorCode;
use secrecy::{ExposeSecret, SecretString};

use super::reports::ConnectionError;
use crate::config::KafkaSettings;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Login,
    /// TLS is set, and the handshake fails.
    Handshake,
    /// TLS is not set, and the port speaks TLS.
    TlsPort,
    /// The name of the host is not known.
    Name,
    Other,
}

impl Trouble {
    pub(super) fn of(settings: &KafkaSettings, error: &ConnectionError) -> Self {
        let ConnectionError { code, reason } = error;
        match code {
            RDKafkaErrorCode::Authentication => Self::Login,
            RDKafkaErrorCode::Resolve => Self::Name,
            // A failed handshake is sometimes reported as a transport error.
            RDKafkaErrorCode::SSL => Self::Handshake,
            _ if reason.contains("SSL routines") => Self::Handshake,
            _ if !has_tls(settings) && is_of_tls_port(reason) => Self::TlsPort,
            _ => Self::Other,
        }
    }
}

fn has_tls(settings: &KafkaSettings) -> bool {
    let is_tls =
        |(name, value): &(String, SecretString)| name == "security.protocol" && value.expose_secret().contains("ssl");
    settings.tls.is_some() || settings.properties.iter().any(is_tls)
}

/// Whether the connection was closed at its first request, or the client has taken a TLS alert for the length of an answer: the bytes
/// 21, 3, 3 or 1, 0.
fn is_of_tls_port(reason: &str) -> bool {
    let lengths = [0x1503_0300, 0x1503_0100].map(|length| format!("Invalid response size {length}"));
    is_closed_at_once(reason) || lengths.iter().any(|part| reason.contains(part))
}

fn is_closed_at_once(reason: &str) -> bool {
    reason.contains("Disconnected") && reason.contains("in state APIVERSION_QUERY")
}

/// Returns the error of the connection that a line of the client's log tells of, if it is told only there.
pub(super) fn of_log(line: &str) -> Option<ConnectionError> {
    is_closed_at_once(line).then(|| ConnectionError {
        code: RDKafkaErrorCode::BrokerTransportFailure,
        // It begins with the name of a thread.
        reason: line.split_once("]: ").map_or(line, |(_, reason)| reason).to_owned(),
    })
}

const LOGIN: &str = "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM";
const HANDSHAKE: &str = "check that KAFKA_SSL_CA_CERT holds the authority of the broker's certificate, and KAFKA_SSL_CLIENT_CERT a \
                         certificate that the broker trusts, if it asks for one";
const TLS_PORT: &str = "the port seems to want TLS: set KAFKA_SSL_CA_CERT, or KAFKA_PROPERTIES=security.protocol=ssl (or sasl_ssl) \
                        if the system trusts its certificate, or take another port";
const OTHER: &str = "check KAFKA_SERVER, that the broker runs, and that no firewall is in between; a broker that needs TLS or a \
                     password may close the connection without a reason";

/// Returns what to do, as the end of a sentence.
pub(super) fn advice(settings: &KafkaSettings, error: &ConnectionError) -> String {
    match Trouble::of(settings, error) {
        Trouble::Login => {
            let password = settings.sasl.as_ref().map(|sasl| &sasl.password);
            password.map_or_else(|| LOGIN.to_owned(), |password| password.named_in(LOGIN))
        }
        Trouble::Handshake => HANDSHAKE.to_owned(),
        Trouble::TlsPort => TLS_PORT.to_owned(),
        Trouble::Name => format!("check the names in KAFKA_SERVER ({})", settings.server),
        Trouble::Other => OTHER.to_owned(),
    }
}
