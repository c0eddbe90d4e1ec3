//! Removes secrets from the texts of others.

use secrecy::{ExposeSecret, SecretString};

/// What takes the place of a secret.
const REMOVED: &str = "[secret]";

/// Returns the token of a header, without its scheme.
pub(crate) fn bare(header: &SecretString) -> &str {
    let header = header.expose_secret();
    header.split_once(' ').map_or(header, |(_, token)| token)
}

/// A secret with fewer bytes is a mistake or a trial: it is removed only where it stands alone, because it may be a part of
/// any word.
const SHORTEST: usize = 8;

/// Removes secrets from a text that may repeat any of them, with or without a scheme.
pub(crate) fn without_any(text: &str, secrets: &[SecretString]) -> String {
    let mut all: Vec<&str> = secrets
        .iter()
        .flat_map(|secret| [secret.expose_secret(), bare(secret)])
        .collect();
    // One may hold another.
    all.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    all.iter()
        .fold(text.to_owned(), |text, secret| without(&text, secret.trim()))
}

/// Removes a secret from a text that may repeat it.
pub(crate) fn without(text: &str, secret: &str) -> String {
    match secret.len() {
        0 => text.to_owned(),
        1..SHORTEST => without_word(text, secret),
        _ => text.replace(secret, REMOVED),
    }
}

fn without_word(text: &str, word: &str) -> String {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let (mut shown, mut rest) = (String::with_capacity(text.len()), 0);
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        if text[..at].ends_with(is_part) || text[end..].starts_with(is_part) {
            continue;
        }
        shown.push_str(&text[rest..at]);
        shown.push_str(REMOVED);
        rest = end;
    }
    shown + &text[rest..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_removed_wherever_it_stands() {
        for (text, expected) in [
            ("token hunter2-hunter2 is bad", "token [secret] is bad"),
            ("xhunter2-hunter2x hunter2-hunter2", "x[secret]x [secret]"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(without(text, "hunter2-hunter2"), expected);
        }
        assert_eq!(without("nothing to hide", ""), "nothing to hide");
    }

    #[test]
    fn all_secrets_are_removed_with_or_without_their_scheme() {
        let secrets = ["hunter2-hunter2", "Bearer swordfish", "hunter2-hunter2-and-more"].map(SecretString::from);
        let text = "hunter2-hunter2-and-more, hunter2-hunter2, swordfish, Bearer swordfish";
        assert_eq!(without_any(text, &secrets), "[secret], [secret], [secret], [secret]");
    }

    #[test]
    fn a_secret_that_is_too_short_to_be_one_blanks_no_letters_of_words() {
        let text = "the token e is not valid: 'e', \"e\", e.";
        assert_eq!(
            without(text, "e"),
            "the token [secret] is not valid: '[secret]', \"[secret]\", [secret]."
        );
        assert_eq!(without("test tests test", "test"), "[secret] tests [secret]");
        assert_eq!(without("été té", "té"), "été [secret]");
        assert_eq!(without("a_b b", "b"), "a_b [secret]");
        assert_eq!(without("--", "-"), "[secret][secret]");
    }
}
