//! Secrets taken out of the texts that others wrote.

use secrecy::{ExposeSecret, SecretString};

/// The token in a header, without its scheme.
pub(crate) fn bare(header: &SecretString) -> &str {
    let header = header.expose_secret();
    header.split_once(' ').map_or(header, |(_, token)| token)
}

/// A text without a secret that it may repeat.
pub(crate) fn without(text: &str, secret: &str) -> String {
    match secret {
        "" => text.to_owned(),
        secret => text.replace(secret, "[secret]"),
    }
}
