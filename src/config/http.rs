//! The settings of forwarding to an HTTP listener. They are read only when that is asked for.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::env::{ConfigErrors, Env, endpoint, is_loopback, one_of, seconds, whole_number};

/// The variables that are read here and hold no secret.
pub(super) const VARIABLES: [&str; 3] = ["HTTP_FORWARD_BATCH", "HTTP_FORWARD_FORMAT", "HTTP_FORWARD_URL"];

/// How they begin.
pub(super) const PREFIX: &str = "HTTP_FORWARD_";

/// The secret that is read here.
pub(super) const SECRET: &str = "HTTP_FORWARD_TOKEN";

/// How an HTTP listener is written to.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `HTTP_FORWARD_URL`.
    pub url: Url,
    /// `HTTP_FORWARD_FORMAT`, `array`.
    pub format: HttpFormat,
    /// The value of the `Authorization` header; from `HTTP_FORWARD_TOKEN`.
    pub authorization: Option<SecretString>,
    /// How many lines one request holds; `HTTP_FORWARD_BATCH`, 500.
    pub batch: usize,
    /// How often a request is tried again; `MAX_RETRIES`, 3.
    pub max_retries: u32,
    /// The first wait before it is; `RETRY_DELAY_SECONDS`, 2.
    pub retry_delay: Duration,
    /// How long a request may take; `REQUEST_TIMEOUT_SECONDS`, 60.
    pub timeout: Duration,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFormat {
    /// One JSON array, which Logstash's http input with its json codec splits into events.
    Array,
    /// A JSON object in each line.
    Ndjson,
    /// Events for the HTTP Event Collector of Splunk.
    SplunkHec,
}

impl HttpSettings {
    /// Reads the settings; `None` after a fault.
    pub fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let url = env.required("HTTP_FORWARD_URL", endpoint, errors);
        let format = one_of(&["array", "ndjson", "splunk-hec"]);
        let format = env.or("HTTP_FORWARD_FORMAT", "array", format, errors);
        let batch = env.or("HTTP_FORWARD_BATCH", "500", whole_number(1..=100_000), errors);
        let has_token = env.has_secret("HTTP_FORWARD_TOKEN");
        let token = env.secret("HTTP_FORWARD_TOKEN", errors);
        let max_retries = env.or("MAX_RETRIES", "3", whole_number(0..=100), errors);
        let retry_delay = env.or("RETRY_DELAY_SECONDS", "2", seconds(0.0..=300.0), errors);
        let timeout = env.or("REQUEST_TIMEOUT_SECONDS", "60", seconds(0.1..=3600.0), errors);
        if has_token && token.is_none() {
            return None;
        }
        if token.is_some() && url.as_ref().is_some_and(is_in_clear) {
            let problem =
                "must begin with `https://` because HTTP_FORWARD_TOKEN is set (`http://` is for loopback hosts only)";
            errors.add("HTTP_FORWARD_URL", problem);
            return None;
        }
        let format = match format?.as_str() {
            "ndjson" => HttpFormat::Ndjson,
            "splunk-hec" => HttpFormat::SplunkHec,
            _ => HttpFormat::Array,
        };
        Some(Self {
            url: url?,
            format,
            authorization: token.map(|token| format.authorization(&token)),
            batch: batch?,
            max_retries: max_retries?,
            retry_delay: retry_delay?,
            timeout: timeout?,
        })
    }

    /// What deserves a word but stops nothing.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        is_in_clear(&self.url).then_some(
            "HTTP_FORWARD_URL begins with `http://`: whoever is on the way to it can read the records, which are personal \
             data; use `https://`",
        )
    }
}

/// Whether everybody on the way could read what is sent there.
fn is_in_clear(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

impl HttpFormat {
    /// The header for a token: with the scheme that the listener expects, unless the token names one itself.
    fn authorization(self, token: &SecretString) -> SecretString {
        let text = token.expose_secret();
        let scheme = match self {
            HttpFormat::SplunkHec => "Splunk",
            HttpFormat::Array | HttpFormat::Ndjson => "Bearer",
        };
        match text.contains(' ') {
            true => token.clone(),
            false => format!("{scheme} {text}").into(),
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
        assert!(settings.authorization.is_none());
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
            assert_eq!(settings.authorization.as_ref().unwrap().expose_secret(), expected);
            assert!(!format!("{settings:?}").contains("abc"));
        }
    }
}
