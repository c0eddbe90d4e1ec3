//! The settings of forwarding to an HTTP listener, read only when it is used.

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::limits::{MAX_RETRIES, REQUEST_TIMEOUT_SECONDS, RETRY_DELAY_SECONDS};
use super::proxies;
use super::stdout::STRICT_JSON;
use crate::env::{
    ConfigErrors, DefaultValue, Env, InvalidValue, Row, Scope, Secret, Secrets, Setting, StandingSecret, Variable,
    endpoint, is_loopback, one_of, token, whole_number, yes_or_no,
};
use crate::http::{Authorities, Proxies};

/// The prefix of these variables; no others have it.
pub(super) const PREFIX: &str = "HTTP_FORWARD_";

/// The variables, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[
    &HTTP_FORWARD_URL,
    &HTTP_FORWARD_FORMAT,
    &HTTP_FORWARD_TOKEN,
    &HTTP_FORWARD_CA_CERT,
    &HTTP_FORWARD_BATCH,
    &HTTP_FORWARD_EXPECT_STATUS,
    &HTTP_FORWARD_EXPECT_CONTENT_TYPE,
    &HTTP_FORWARD_STRICT_JSON,
];

const HTTP_FORWARD_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_URL",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The address of the listener: Logstash's http input, Splunk's HTTP Event Collector \
              (`https://splunk.example.org:8088/services/collector/event`) ...",
    },
    parse: endpoint,
};

const HTTP_FORWARD_FORMAT: Setting<HttpFormat> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_FORMAT",
        scope: Scope::Program,
        default: DefaultValue::Text("array"),
        example: None,
        doc: "`array`: one JSON array per request. `ndjson`: an object in each line. `splunk-hec`: events for Splunk.",
    },
    parse: |text| {
        let formats = [
            ("array", HttpFormat::Array),
            ("ndjson", HttpFormat::Ndjson),
            ("splunk-hec", HttpFormat::SplunkHec),
        ];
        one_of(text, &formats)
    },
};

const HTTP_FORWARD_TOKEN: Secret = Secret {
    variable: Variable {
        name: "HTTP_FORWARD_TOKEN",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Sent as \"Authorization: Bearer ...\" (splunk-hec: \"Splunk ...\"), or as it is if it names a scheme itself; \
              only over `https://`, or to this machine.",
    },
    check: token,
};

pub(crate) const HTTP_FORWARD_CA_CERT: Setting<Authorities> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_CA_CERT",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/splunk-ca.pem"),
        doc: "The authorities that signed the listener's certificate, a PEM file; they are trusted instead of the system's. It needs \
              `https://`.",
    },
    parse: authorities,
};

/// Reads the file of authorities.
fn authorities(path: &str) -> Result<Authorities, InvalidValue> {
    let pem = fs::read(path)
        .map_err(|error| InvalidValue::must_shown(format!("be the path of a PEM file that can be read ({error})")))?;
    Authorities::from_pem(&pem)
        .map_err(|problem| InvalidValue::must_shown(format!("be the path of a PEM file with certificates ({problem})")))
}

const HTTP_FORWARD_BATCH: Setting<usize> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_BATCH",
        scope: Scope::Program,
        default: DefaultValue::Text("500"),
        example: None,
        doc: "How many lines one request holds; 1 to 100000. It is halved if the listener says that it is too much \
              (status 413).",
    },
    parse: |text| whole_number(text, 1..=100_000),
};

const HTTP_FORWARD_EXPECT_STATUS: Setting<Vec<u16>> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_EXPECT_STATUS",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("200,202"),
        doc: "The statuses that confirm lines, 200 to 299, with commas between them; any of these without it.",
    },
    parse: statuses,
};

const HTTP_FORWARD_EXPECT_CONTENT_TYPE: Setting<String> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_EXPECT_CONTENT_TYPE",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("application/json"),
        doc: "The content type that a confirming answer has; without it any but that of an HTML page, which is a proxy's or a \
              login's. splunk-hec has its own answers.",
    },
    parse: media_type,
};

/// Parses statuses of success.
fn statuses(text: &str) -> Result<Vec<u16>, InvalidValue> {
    let status = |part: &str| {
        part.trim()
            .parse::<u16>()
            .ok()
            .filter(|status| (200..=299).contains(status))
    };
    let statuses = text.split(',').map(status).collect::<Option<_>>();
    statuses.ok_or_else(|| InvalidValue::must("be statuses from 200 to 299, with commas between them"))
}

/// Parses a content type without parameters.
fn media_type(text: &str) -> Result<String, InvalidValue> {
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b";,/".contains(&byte))
    };
    match text.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) => Ok(text.to_ascii_lowercase()),
        _ => Err(InvalidValue::must(
            "be a content type without parameters, such as `application/json`",
        )),
    }
}

const HTTP_FORWARD_STRICT_JSON: Setting<bool> = Setting {
    variable: Variable {
        name: "HTTP_FORWARD_STRICT_JSON",
        scope: Scope::Program,
        default: DefaultValue::Text("no"),
        example: None,
        doc: STRICT_JSON,
    },
    parse: yes_or_no,
};

/// How to write to an HTTP listener.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    /// `HTTP_FORWARD_URL`.
    pub(crate) url: Url,
    /// `HTTP_FORWARD_FORMAT`.
    pub(crate) format: HttpFormat,
    /// `HTTP_FORWARD_TOKEN`.
    pub(crate) token: Option<Arc<StandingSecret>>,
    /// Trusted instead of the system's; `HTTP_FORWARD_CA_CERT`.
    pub(crate) authorities: Option<Authorities>,
    /// How many lines one request holds; `HTTP_FORWARD_BATCH`.
    pub(crate) batch: usize,
    /// The statuses that confirm lines; `HTTP_FORWARD_EXPECT_STATUS`.
    pub(crate) expect_status: Option<Vec<u16>>,
    /// The content type of a confirming answer; `HTTP_FORWARD_EXPECT_CONTENT_TYPE`.
    pub(crate) expect_content_type: Option<String>,
    /// Whether strict copies are sent; `HTTP_FORWARD_STRICT_JSON`.
    pub(crate) strict_json: bool,
    /// How often a request is retried; `MAX_RETRIES`.
    pub(crate) max_retries: u32,
    /// The wait before the first retry; `RETRY_DELAY_SECONDS`.
    pub(crate) retry_delay: Duration,
    /// How long a request may take; `REQUEST_TIMEOUT_SECONDS`.
    pub(crate) timeout: Duration,
    /// Through which proxies.
    pub(crate) proxies: Proxies,
    /// Splunk's channel of this process, a GUID, which its acknowledgements belong to.
    pub(crate) channel: String,
    /// The secrets of the run, which its listener may repeat.
    pub(crate) secrets: Arc<Secrets>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpFormat {
    /// One JSON array, which Logstash's http input with its json codec splits into events.
    Array,
    /// A JSON object in each line.
    Ndjson,
    /// Events for Splunk's HTTP Event Collector.
    SplunkHec,
}

/// Returns whether there is a listener in the settings.
pub(crate) fn has_listener(env: &Env) -> bool {
    env.is_set(&HTTP_FORWARD_URL)
}

impl HttpSettings {
    /// Reads the settings; `None` after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let url = env.required(&HTTP_FORWARD_URL, errors);
        let format = env.or_default(&HTTP_FORWARD_FORMAT, errors);
        let batch = env.or_default(&HTTP_FORWARD_BATCH, errors);
        let authorities = env.optional(&HTTP_FORWARD_CA_CERT, errors);
        let expect_status = env.optional(&HTTP_FORWARD_EXPECT_STATUS, errors);
        let expect_content_type = env.optional(&HTTP_FORWARD_EXPECT_CONTENT_TYPE, errors);
        let strict_json = env.or_default(&HTTP_FORWARD_STRICT_JSON, errors);
        let has_token = env.has_secret(&HTTP_FORWARD_TOKEN);
        let token = env.standing_secret(&HTTP_FORWARD_TOKEN, errors);
        let max_retries = env.or_default(&MAX_RETRIES, errors);
        let retry_delay = env.or_default(&RETRY_DELAY_SECONDS, errors);
        let timeout = env.or_default(&REQUEST_TIMEOUT_SECONDS, errors);
        let proxies = proxies::read(env, errors);
        if has_token && token.is_none() {
            return None;
        }
        if token.is_some() && url.as_ref().is_some_and(is_in_clear) {
            let problem =
                "must begin with `https://` because HTTP_FORWARD_TOKEN is set (`http://` is for loopback hosts only)";
            errors.add(HTTP_FORWARD_URL.name(), problem);
            return None;
        }
        if env.is_set(&HTTP_FORWARD_CA_CERT) && url.as_ref().is_some_and(|url| url.scheme() == "http") {
            errors.add(
                HTTP_FORWARD_URL.name(),
                "must begin with `https://` because HTTP_FORWARD_CA_CERT is set",
            );
        }
        let format = format?;
        Some(Self {
            url: url?,
            format,
            token: token.map(Arc::new),
            authorities,
            batch: batch?,
            expect_status,
            expect_content_type,
            strict_json: strict_json?,
            max_retries: max_retries?,
            retry_delay: retry_delay?,
            timeout: timeout?,
            proxies,
            channel: channel(),
            secrets: Arc::clone(env.secrets()),
        })
    }

    /// Returns the value of the `Authorization` header with the token as it was read last.
    pub(crate) fn authorization(&self) -> Option<SecretString> {
        let token = self.token.as_ref()?.current();
        Some(self.format.authorization(&token))
    }

    /// Returns a warning, if there is one.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<&'static str> {
        is_in_clear(&self.url).then_some(
            "HTTP_FORWARD_URL begins with `http://`: anyone on the network path can read the records, which are personal \
             data; use `https://`",
        )
    }
}

/// Returns the channel of this process, also after the settings were read again: a random GUID (RFC 9562, section 5.4).
fn channel() -> String {
    static CHANNEL: OnceLock<String> = OnceLock::new();
    let random = || {
        let bits = fastrand::u128(..) & !(0xf << 76 | 0x3 << 62) | 4 << 76 | 2 << 62;
        let digits = format!("{bits:032x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        parts.join("-")
    };
    CHANNEL.get_or_init(random).clone()
}

/// Returns whether records would be sent unencrypted to another host.
fn is_in_clear(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

impl HttpFormat {
    /// Returns the header for a token: with the scheme that the listener expects, unless the token names one itself.
    fn authorization(self, token: &SecretString) -> SecretString {
        let text = token.expose_secret();
        let scheme = match self {
            HttpFormat::SplunkHec => "Splunk",
            HttpFormat::Array | HttpFormat::Ndjson => "Bearer",
        };
        if text.contains(' ') {
            token.clone()
        } else {
            format!("{scheme} {text}").into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(pairs: &[(&str, &str)]) -> Result<HttpSettings, String> {
        let mut errors = ConfigErrors::because("--forward-http is given");
        let settings = HttpSettings::read(&Env::from_pairs(pairs.iter().copied()), &mut errors);
        match settings {
            Some(settings) if errors.is_empty() => Ok(settings),
            _ => Err(errors.to_string()),
        }
    }

    #[test]
    fn an_http_listener_needs_an_address() {
        assert_eq!(
            http(&[]).unwrap_err(),
            "HTTP_FORWARD_URL is required because --forward-http is given"
        );
        let settings = http(&[("HTTP_FORWARD_URL", "http://logstash.example.org:8080/audit?a=b")]).unwrap();
        assert_eq!(settings.url.as_str(), "http://logstash.example.org:8080/audit?a=b");
        assert_eq!((settings.format, settings.batch), (HttpFormat::Array, 500));
        assert!(settings.authorization().is_none());
    }

    #[test]
    fn a_token_goes_over_no_open_line_and_records_only_with_a_warning() {
        for (url, is_open) in [
            ("http://logstash.example.org:8080", true),
            ("http://192.0.2.7", true),
            ("https://logstash.example.org", false),
            ("http://localhost:8080", false),
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
        ] {
            let settings = http(&[("HTTP_FORWARD_URL", url)]).unwrap();
            assert_eq!(settings.warning().is_some(), is_open, "{url}");
            let with_token = http(&[("HTTP_FORWARD_URL", url), ("HTTP_FORWARD_TOKEN", "abc")]);
            assert_eq!(
                with_token.err(),
                is_open.then(|| {
                    "HTTP_FORWARD_URL must begin with `https://` because HTTP_FORWARD_TOKEN is set (`http://` is for \
                     loopback hosts only)"
                        .to_owned()
                })
            );
        }
    }

    #[test]
    fn a_token_is_sent_in_the_scheme_of_the_listener_unless_it_names_one() {
        for (format, token, expected) in [
            ("array", "abc", "Bearer abc"),
            ("ndjson", "Basic abc", "Basic abc"),
            ("splunk-hec", "abc", "Splunk abc"),
        ] {
            let settings = http(&[
                ("HTTP_FORWARD_URL", "https://example.org"),
                ("HTTP_FORWARD_FORMAT", format),
                ("HTTP_FORWARD_TOKEN", token),
            ])
            .unwrap();
            assert_eq!(settings.authorization().as_ref().unwrap().expose_secret(), expected);
            assert!(!format!("{settings:?}").contains("abc"));
        }
    }
}
