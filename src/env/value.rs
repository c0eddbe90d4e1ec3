//! How the text of a variable is parsed, and what is wrong with it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::{Host, Url};

/// An invalid text: what it must be, and how much of it may be shown.
///
/// Values get mixed up, such as a token in the place of a number, so a text that is too long for what was expected is
/// not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidValue {
    must: String,
    shown: usize,
}

/// The most characters shown of a text that should have been a number.
const SHORT: usize = 20;
/// The most characters shown of a path or an address.
const LONG: usize = 400;

impl InvalidValue {
    /// The text must … (`be a whole number`), and is shown if it is short enough to be a mistyped number or word.
    #[must_use]
    pub(crate) fn must(expectation: impl Into<String>) -> Self {
        Self {
            must: expectation.into(),
            shown: SHORT,
        }
    }

    /// The same for a text that cannot be a secret, such as a path; it is shown whole.
    #[must_use]
    pub(crate) fn must_shown(expectation: impl Into<String>) -> Self {
        Self {
            must: expectation.into(),
            shown: LONG,
        }
    }

    /// The same for a text that may hold a secret; it is never shown.
    #[must_use]
    pub(crate) fn must_hidden(expectation: impl Into<String>) -> Self {
        Self {
            must: expectation.into(),
            shown: 0,
        }
    }

    /// Returns the end of a sentence that begins with the variable: ``must be a whole number, not `abc` ``.
    pub(crate) fn problem(&self, text: &str) -> String {
        let must = &self.must;
        match text.chars().count() {
            _ if self.shown == 0 => format!("must {must}"),
            length if length > self.shown => format!("must {must}, not a text of {length} characters"),
            _ => format!("must {must}, not `{}`", text.escape_debug()),
        }
    }
}

/// Accepts any text without control characters.
///
/// # Errors
/// A control character, such as a newline.
pub(crate) fn text(text: &str) -> Result<String, InvalidValue> {
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::must("be text without control characters"));
    }
    Ok(text.to_owned())
}

/// Parses a whole number in a range.
///
/// # Errors
/// Anything else.
pub(crate) fn whole_number<N>(text: &str, range: RangeInclusive<N>) -> Result<N, InvalidValue>
where
    N: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| InvalidValue::must(format!("be a whole number from {} to {}", range.start(), range.end())))
}

/// Parses a number of seconds in a range, with or without a fraction.
///
/// # Errors
/// Anything else.
pub(crate) fn seconds(text: &str, range: RangeInclusive<f64>) -> Result<Duration, InvalidValue> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| {
            InvalidValue::must(format!(
                "be a number of seconds from {} to {}, such as `0.5`",
                range.start(),
                range.end()
            ))
        })
}

/// Returns the value of one of these words, in any case.
///
/// # Errors
/// Another word.
pub(crate) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, InvalidValue> {
    let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        InvalidValue::must(format!("be one of {}", words.join(", ")))
    })
}

/// Parses `yes` or `no`, in any case.
///
/// # Errors
/// Anything else.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, InvalidValue> {
    one_of(text, &[("yes", true), ("no", false)])
}

/// Parses the base address of a service; removes the slash at the end of its path.
///
/// # Errors
/// Anything but `https://` (`http://` for loopback hosts), and user information, a query or a fragment, which are not
/// shown because they may hold a secret.
pub(crate) fn address(text: &str) -> Result<Url, InvalidValue> {
    let mut url = Url::parse(text).map_err(|_| InvalidValue::must("be a URL such as `https://api.example.org`"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidValue::must_hidden("be a URL without a user name and password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidValue::must_hidden(
            "be a URL without a query (`?…`) and fragment (`#…`)",
        ));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(InvalidValue::must_shown(
                "begin with `https://` (`http://` is for loopback hosts only)",
            ));
        }
        _ => return Err(InvalidValue::must("be a URL such as `https://api.example.org`")),
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Parses the address that something is sent to: `https://` or `http://`, with or without a query.
///
/// # Errors
/// Anything else, and user information, which is not shown because it may hold a secret.
pub(crate) fn endpoint(text: &str) -> Result<Url, InvalidValue> {
    let expected = || InvalidValue::must_hidden("be a URL such as `https://logstash.example.org:8080`");
    let url = Url::parse(text).map_err(|_| expected())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidValue::must_hidden("be a URL without a user name and password"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.fragment().is_some() {
        return Err(expected());
    }
    Ok(url)
}

/// Returns whether a URL stays on this machine.
#[must_use]
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(host)) => host.is_loopback(),
        Some(Host::Ipv6(host)) => host.is_loopback(),
        Some(Host::Domain(host)) => host == "localhost",
        None => false,
    }
}

/// Parses the path of a folder; removes `/` at the end, and on Windows `\`. Does not check whether it exists.
///
/// # Errors
/// A control character in it.
pub(crate) fn folder(text: &str) -> Result<PathBuf, InvalidValue> {
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::must_shown("be a path without control characters"));
    }
    let trimmed = text.trim_end_matches(std::path::is_separator);
    Ok(PathBuf::from(if trimmed.is_empty() { "/" } else { trimmed }))
}

/// Parses the permission bits of a file in octal: `0640`; the owner must be able to read and write.
///
/// # Errors
/// Not octal, not permission bits, or a mode with which the program could not work.
pub(crate) fn file_mode(text: &str) -> Result<u32, InvalidValue> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| InvalidValue::must("be an octal file mode from 0600 to 0777 that lets the owner read and write"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    #[test]
    fn whole_numbers_keep_to_their_range() {
        let parse = |text| whole_number(text, 1..=100_u32);
        assert_eq!(parse("1"), Ok(1));
        assert_eq!(parse("100"), Ok(100));
        for bad in [
            "0",
            "101",
            "-1",
            "1.0",
            "abc",
            " 1",
            "1 ",
            "0x10",
            "99999999999999999999",
        ] {
            let problem = parse(bad).unwrap_err().problem(bad);
            assert_eq!(problem, format!("must be a whole number from 1 to 100, not `{bad}`"));
        }
    }

    #[test]
    fn a_token_in_the_place_of_a_number_is_not_shown() {
        let token = "y0_AgAAAAAinventedinventedinvented";
        let problem = whole_number(token, 1..=u64::MAX).unwrap_err().problem(token);
        assert_eq!(
            problem,
            "must be a whole number from 1 to 18446744073709551615, not a text of 34 characters"
        );
    }

    #[test]
    fn control_characters_in_a_shown_value_are_escaped() {
        let problem = whole_number("\u{1b}[2J", 1..=2_u8).unwrap_err().problem("\u{1b}[2J");
        assert_eq!(problem, "must be a whole number from 1 to 2, not `\\u{1b}[2J`");
    }

    #[test]
    fn seconds_may_have_fractions() {
        let parse = |text| seconds(text, 0.0..=300.0);
        assert_eq!(parse("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["-1", "301", "NaN", "inf", "two", "1,5", "1e400"] {
            let problem = parse(bad).unwrap_err().problem(bad);
            assert_eq!(
                problem,
                format!("must be a number of seconds from 0 to 300, such as `0.5`, not `{bad}`")
            );
        }
    }

    #[test]
    fn addresses_are_https_or_loopback_and_lose_the_slash_at_the_end() {
        for (text, expected) in [
            ("https://api360.yandex.net", "https://api360.yandex.net/"),
            ("https://api.getport.io/v1/", "https://api.getport.io/v1"),
            ("https://api.getport.io/v1//", "https://api.getport.io/v1"),
            ("https://192.0.2.1:8443", "https://192.0.2.1:8443/"),
            ("http://127.0.0.1:8360", "http://127.0.0.1:8360/"),
            ("http://127.9.8.7/a", "http://127.9.8.7/a"),
            ("http://[::1]:8360", "http://[::1]:8360/"),
            ("http://localhost:8360/", "http://localhost:8360/"),
        ] {
            assert_eq!(address(text).map(|url| url.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for bad in [
            "",
            "api.example.org",
            "ftp://api.example.org",
            "http://api.example.org",
            "http://192.0.2.1",
            "http://[2001:db8::1]",
            "http://localhost.example.org",
            "http://[::ffff:192.0.2.1]",
            "https://",
            "https://api.example.org?a=b",
            "https://api.example.org#a",
            "https://user@api.example.org",
            "mailto:a@example.org",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_a_secret_in_an_address_is_never_shown() {
        for bad in [
            "https://user:hunter2@example.org",
            "https://example.org/?k=hunter2",
            "https://example.org/#hunter2",
        ] {
            let problem = address(bad).unwrap_err().problem(bad);
            assert!(
                problem.starts_with("must be a URL without") && !problem.contains("hunter2"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_folder_loses_its_separators_at_the_end_but_the_root_stays() {
        for (text, expected) in [
            ("/var/log/audit-trails", "/var/log/audit-trails"),
            ("/var/log/audit-trails/", "/var/log/audit-trails"),
            ("/var/log/audit-trails//", "/var/log/audit-trails"),
            ("/", "/"),
            ("//", "/"),
            ("/srv/Общая папка ", "/srv/Общая папка "),
        ] {
            assert_eq!(folder(text), Ok(PathBuf::from(expected)));
        }
        assert!(folder("/var/\nlog").is_err());
        // Elsewhere it is a character like any other.
        let expected = if cfg!(windows) { "logs" } else { "logs\\" };
        assert_eq!(folder("logs\\"), Ok(PathBuf::from(expected)));
    }

    #[test]
    fn file_modes_are_octal() {
        for (text, mode) in [("0640", 0o640), ("640", 0o640), ("0o600", 0o600), ("0777", 0o777)] {
            assert_eq!(file_mode(text), Ok(mode));
        }
        for bad in ["", "0440", "1640", "0888", "rw-r-----", "0o", "-640"] {
            assert!(file_mode(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_hidden_refusal_never_shows_the_text(text in "[^ ]{3,40}") {
            let problem = InvalidValue::must_hidden("be other").problem(&text);
            prop_assert_eq!(problem, "must be other");
        }

        #[test]
        fn every_number_in_the_range_is_taken(number in any::<u32>()) {
            prop_assert_eq!(whole_number(&number.to_string(), 0..=u32::MAX), Ok(number));
        }

        #[test]
        fn an_accepted_address_never_goes_unencrypted_to_another_host(text in "https?://[a-z0-9.:\\[\\]@]{1,20}") {
            if let Ok(url) = address(&text) {
                prop_assert!(url.scheme() == "https" || is_loopback(&url));
            }
        }
    }
}
