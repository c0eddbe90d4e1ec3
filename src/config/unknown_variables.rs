//! Variables that nothing reads, usually mistyped ones.

use strsim::osa_distance;

use super::variables::{has_our_prefix, names};
use crate::env::{ConfigErrors, Env};
use crate::source::Kind;

/// A name without one of our prefixes belongs to another program, unless a few edits make it one of our longer names.
const LARGEST_EDIT_DISTANCE: usize = 2;
const LONG_NAME: usize = 8;

/// A name with one of our prefixes is taken for a known one if at most one letter in this many differs, or only a short
/// word is missing.
const LETTERS_PER_EDIT: usize = 3;
const SHORT_WORD: usize = 4;

/// Adds an error for each variable that nothing reads, with the nearest known name, if there is one: every variable
/// with one of our prefixes, and any other that is an edit or two away from a known one.
pub(super) fn find(env: &Env, kinds: &[Kind], errors: &mut ConfigErrors) {
    let known = names(kinds);
    let counted: Vec<Known<'_>> = known.iter().map(|name| Known::of(name)).collect();
    for name in env.own_names().filter(|name| !known.contains(*name)) {
        let is_ours = has_our_prefix(name, kinds);
        if !is_ours && name.len() < LONG_NAME {
            continue;
        }
        let edit_distance = if is_ours {
            (name.len() / LETTERS_PER_EDIT).max(SHORT_WORD)
        } else {
            LARGEST_EDIT_DISTANCE
        };
        match nearest(name, &counted, edit_distance) {
            Some(meant) => errors.add(name, suggestion(meant)),
            None if is_ours => errors.add(
                name,
                "is not a variable of this program, so it changes nothing: remove it, unless another program reads it",
            ),
            _ => {}
        }
    }
}

fn suggestion(nearest: &str) -> String {
    format!("is not a variable of this program, so it changes nothing; did you mean {nearest}?")
}

/// A name that may have been meant.
struct Known<'a> {
    name: &'a str,
    length: usize,
    letters: Letters,
}

impl<'a> Known<'a> {
    fn of(name: &'a str) -> Self {
        Self {
            name,
            length: name.chars().count(),
            letters: count_letters(name),
        }
    }
}

/// Returns the known name with the fewest edits, if that is at most `edit_distance`.
fn nearest<'a>(name: &str, known: &[Known<'a>], edit_distance: usize) -> Option<&'a str> {
    // Most names differ in length or in their letters by more; the distance takes far longer.
    let counted = Known::of(name);
    let similar = known.iter().filter(|other| {
        counted.length.abs_diff(other.length) <= edit_distance
            && least_edits(&counted.letters, &other.letters) <= edit_distance
    });
    let distances = similar.map(|other| (other.name, osa_distance(name, other.name)));
    let (nearest, distance) = distances.min_by_key(|(_, distance)| *distance)?;
    (distance <= edit_distance).then_some(nearest)
}

/// How often each letter is in a name, other characters counted with one of them.
type Letters = [u8; 32];

fn count_letters(name: &str) -> Letters {
    let mut letters = Letters::default();
    for letter in name.chars() {
        let count = &mut letters[letter as usize % 32];
        *count = count.saturating_add(1);
    }
    letters
}

/// Returns how many edits there are at least between names of these letters: one takes a letter away, adds one, or both.
fn least_edits(one: &Letters, other: &Letters) -> usize {
    let beyond = |one: &Letters, other: &Letters| {
        let each = one.iter().zip(other);
        each.map(|(one, other)| usize::from(one.saturating_sub(*other))).sum()
    };
    usize::max(beyond(one, other), beyond(other, one))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::SOURCES;
    use crate::test_support::random::cases;

    fn found(names: &[&str]) -> Vec<String> {
        let mut errors = ConfigErrors::default();
        find(
            &Env::from_pairs(names.iter().map(|name| (*name, "x"))),
            SOURCES,
            &mut errors,
        );
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn known_variables_and_those_of_others_are_left_alone() {
        let known: Vec<String> = names(SOURCES).into_iter().collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        assert_eq!(found(&known), Vec::<String>::new());
        let others = [
            "PATH",
            "HOME",
            "TZ",
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "HTTP_PORT",
            "NO_COLOR",
            "TERM",
            "RUST_LOG",
            "FILE",
            "MAILTO",
            "EMAIL",
            "LOGNAME",
        ];
        assert_eq!(found(&others), Vec::<String>::new());
    }

    #[test]
    fn a_mistyped_variable_is_answered_with_the_nearest_known_one() {
        for (mistyped, meant) in [
            ("MAIL_LOG_CATALOGUE_LOCATION", "MAIL_LOG_CATALOG_LOCATION"),
            ("TFC_LOG_FILE_BASENAME", "TFC_LOG_FILE_BASE_NAME"),
            ("PORT_CLIENT_SECERT_FILE", "PORT_CLIENT_SECRET_FILE"),
            ("OAUTH_TOKEN", "OAUTH_TOKEN_ARG"),
            ("ORGANISATION_ID_ARG", "ORGANIZATION_ID_ARG"),
            ("MAX_PAGE", "MAX_PAGES"),
            ("KAFKA_SERVERS", "KAFKA_SERVER"),
            ("KAFKA_BROKER", "KAFKA_SERVER"),
            ("KAFKA_SASL_USER", "KAFKA_SASL_USERNAME"),
            ("KAFKA_SASL_PASSWORT_FILE", "KAFKA_SASL_PASSWORD_FILE"),
            ("KAFKA_SSL_CACERT", "KAFKA_SSL_CA_CERT"),
            ("KAFKA_TRANSACTION_ID", "KAFKA_TRANSACTIONAL_ID"),
            ("MAIL_KAFKA_TOPICS", "MAIL_KAFKA_TOPIC"),
            ("HTTP_FORWARD_URI", "HTTP_FORWARD_URL"),
            ("HTTP_FOWARD_TOKEN", "HTTP_FORWARD_TOKEN"),
        ] {
            let expected = format!("{mistyped} {}", suggestion(meant));
            assert_eq!(found(&[mistyped]), [expected]);
        }
    }

    #[test]
    fn an_unknown_variable_with_a_prefix_of_ours_is_named_where_nothing_is_near() {
        for prefix in ["TFC_", "YANDEX_", "KAFKA_", "HTTP_FORWARD_"] {
            let name = format!("{prefix}QUITE_ANOTHER_THING_ALTOGETHER");
            let expected = format!(
                "{name} is not a variable of this program, so it changes nothing: remove it, unless another program reads it"
            );
            assert_eq!(found(&[&name]), [expected]);
        }
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let mut errors = ConfigErrors::default();
        find(&Env::from_pairs([("MAIL_MAX_PAGE", "")]), SOURCES, &mut errors);
        assert!(errors.is_empty());
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn letters_say_no_more_edits_than_there_are(one in "[A-E_é]{0,12}", other in "[A-E_]{0,12}") {
            let least = least_edits(&count_letters(&one), &count_letters(&other));
            prop_assert!(least <= osa_distance(&one, &other), "{one} {other}");
            prop_assert!(least >= one.chars().count().abs_diff(other.chars().count()));
        }
    }
}
