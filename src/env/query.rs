//! `<PREFIX>_API_QUERY`: query parameters that the operator adds to each request of a stream.

use url::form_urlencoded;

use super::{ConfigErrors, Env, Row, Setting};

/// The query parameters of an API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    /// Those that the operator may set.
    pub(crate) allowed: &'static [&'static str],
    /// Those that only the program sets.
    pub(crate) reserved: &'static [&'static str],
}

impl Env {
    /// Reads `a=b&c=d`, percent-encoded as in a URL; the order stays, names may repeat.
    ///
    /// Empty if the variable is not set. `None` after an error: a parameter that the API does not know or that the
    /// program sets itself, one without a value, or bytes that are not UTF-8.
    pub(crate) fn query(
        &self,
        setting: &Setting<String>,
        parameters: Parameters,
        errors: &mut ConfigErrors,
    ) -> Option<Vec<(String, String)>> {
        if !self.is_set(setting) {
            return Some(Vec::new());
        }
        let text = self.optional(setting, errors)?;
        let mut pairs = Vec::new();
        let mut sound = true;
        for (parameter, value) in form_urlencoded::parse(text.as_bytes()) {
            match problem(&parameter, &value, parameters) {
                Some(problem) => {
                    errors.add(setting.name(), problem);
                    sound = false;
                }
                None => pairs.push((parameter.into_owned(), value.into_owned())),
            }
        }
        sound.then_some(pairs)
    }
}

fn problem(parameter: &str, value: &str, parameters: Parameters) -> Option<String> {
    let shown = parameter.escape_debug();
    if parameters.reserved.contains(&parameter) {
        return Some(format!("must not hold `{shown}`, which the program sets itself"));
    }
    if parameters.allowed.is_empty() {
        return Some(format!(
            "must not hold `{shown}`: this API has no parameters but those that the program sets itself"
        ));
    }
    if !parameters.allowed.contains(&parameter) {
        let known = parameters.allowed.join(", ");
        return Some(format!(
            "must not hold `{shown}`, which this API does not know; it knows {known}"
        ));
    }
    if value.is_empty() {
        return Some(format!("must give `{shown}` a value, as in `{shown}=…`"));
    }
    // The decoder replaces bytes that are not UTF-8 by U+FFFD.
    if value.contains('\u{fffd}') {
        return Some(format!("must give `{shown}` a value in percent-encoded UTF-8"));
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::variable::setting;
    use super::*;
    use crate::test_support::random::cases;

    const MAIL_API_QUERY: Setting<String> = setting("MAIL_API_QUERY", None, crate::env::text);

    const MAIL: Parameters = Parameters {
        allowed: &["types", "includeUids", "resources[]"],
        reserved: &["afterDate", "beforeDate", "pageSize", "pageToken"],
    };

    fn query(text: &str) -> (Option<Vec<(String, String)>>, String) {
        query_of(text, MAIL)
    }

    fn query_of(text: &str, parameters: Parameters) -> (Option<Vec<(String, String)>>, String) {
        let mut errors = ConfigErrors::default();
        let pairs = Env::from_pairs([("MAIL_API_QUERY", text)]).query(&MAIL_API_QUERY, parameters, &mut errors);
        (pairs, errors.to_string())
    }

    #[test]
    fn where_nothing_can_be_set_that_is_said() {
        let (_, errors) = query_of("a=b", Parameters { allowed: &[], ..MAIL });
        assert_eq!(
            errors,
            "MAIL_API_QUERY must not hold `a`: this API has no parameters but those that the program sets itself"
        );
    }

    #[test]
    fn parameters_keep_their_order_and_may_repeat() {
        let (pairs, errors) =
            query("types=mailbox_send&includeUids=1%2C2&types=message+receive&resources%5B%5D=entity");
        let expected = [
            ("types", "mailbox_send"),
            ("includeUids", "1,2"),
            ("types", "message receive"),
            ("resources[]", "entity"),
        ];
        assert_eq!(
            pairs,
            Some(
                expected
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .to_vec()
            )
        );
        assert_eq!(errors, "");
    }

    #[test]
    fn nothing_set_is_nothing_added() {
        assert_eq!(query(""), (Some(Vec::new()), String::new()));
    }

    #[test]
    fn every_parameter_that_cannot_be_taken_is_named() {
        let (pairs, errors) = query("types=a&pageSize=5&colour=red&includeUids&types=%FF");
        assert_eq!(pairs, None);
        assert_eq!(
            errors,
            "MAIL_API_QUERY must give `includeUids` a value, as in `includeUids=…`\n\
             MAIL_API_QUERY must give `types` a value in percent-encoded UTF-8\n\
             MAIL_API_QUERY must not hold `colour`, which this API does not know; it knows types, includeUids, resources[]\n\
             MAIL_API_QUERY must not hold `pageSize`, which the program sets itself"
        );
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_value_of_a_known_parameter_survives(values in prop::collection::vec("[^\u{0}-\u{1f}\u{7f}\u{fffd}]{1,9}", 1..5)) {
            let pairs: Vec<_> = values.into_iter().map(|value| ("types".to_owned(), value)).collect();
            let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert_eq!(query(&text), (Some(pairs), String::new()));
        }
    }
}
