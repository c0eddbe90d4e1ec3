//! Removes secrets from the texts of others.

use secrecy::{ExposeSecret, SecretString};

/// Returns the token of a header, without its scheme.
pub(crate) fn bare(header: &SecretString) -> &str {
    let header = header.expose_secret();
    header.split_once(' ').map_or(header, |(_, token)| token)
}

/// Removes a secret from a text that may repeat it.
pub(crate) fn without(text: &str, secret: &str) -> String {
    match secret {
        "" => text.to_owned(),
        secret => text.replace(secret, "[secret]"),
    }
}
