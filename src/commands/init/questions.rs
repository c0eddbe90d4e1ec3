//! The settings that `init` asks for, and the `.env` built from the answers.

use zeroize::Zeroizing;

use crate::env::{ConfigErrors, DefaultValue, Env, Row};
use crate::source::{
    Kind, OAUTH_TOKEN_ARG, ORGANIZATION_ID_ARG, PORT_API_URL, PORT_CLIENT_ID, PORT_CLIENT_SECRET, TFC_API_URL,
    TFC_ORG_TOKEN,
};

/// A setting that some stream requires, or that people often have to change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// Its row; an empty answer means the default, and without one an answer is required.
    pub(super) row: &'static dyn Row,
    /// The question.
    pub(super) text: &'static str,
    /// Where to find the answer, for the question and the file.
    pub(super) help: &'static str,
}

/// Every question, in order. A stream is asked those whose variable it reads.
pub(super) const QUESTIONS: &[Question] = &[
    Question {
        row: &OAUTH_TOKEN_ARG,
        text: "OAuth token of an administrator",
        help: "https://oauth.yandex.ru; the scopes are in .env.example",
    },
    Question {
        row: &ORGANIZATION_ID_ARG,
        text: "Number of the organization",
        help: "https://admin.yandex.ru shows it",
    },
    Question {
        row: &PORT_CLIENT_ID,
        text: "Client ID",
        help: "Port, \"...\", Credentials",
    },
    Question {
        row: &PORT_CLIENT_SECRET,
        text: "Client secret",
        help: "Port, \"...\", Credentials",
    },
    Question {
        row: &PORT_API_URL,
        text: "Address of the API",
        help: "https://api.us.getport.io for the US region",
    },
    Question {
        row: &TFC_ORG_TOKEN,
        text: "Organization token or audit trails token",
        help: "HCP Terraform, Organization settings, API tokens; tokens of users and teams are refused",
    },
    Question {
        row: &TFC_API_URL,
        text: "Address of the API",
        help: "https://app.eu.terraform.io for the EU region",
    },
];

/// A setting with its value, which may be a secret.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) variable: String,
    pub(super) value: Zeroizing<String>,
    /// What stands above it in the file.
    comment: Option<String>,
}

/// The answers so far, in the order of the file.
#[derive(Clone, Default)]
pub(super) struct Answers {
    settings: Vec<Setting>,
}

impl Question {
    /// Returns whether a stream needs the answer.
    pub(super) fn is_for(&self, kind: &Kind) -> bool {
        kind.rows().any(|row| row.name() == self.row.name())
    }

    /// Returns whether the answer is a secret, which is not shown.
    pub(super) fn is_secret(&self) -> bool {
        self.row.file().is_some()
    }

    /// Returns the meaning of an empty answer; `None` if an answer is required.
    pub(super) fn default(&self) -> Option<&'static str> {
        match self.row.variable().default {
            DefaultValue::Text(text) => Some(text),
            DefaultValue::None | DefaultValue::OfStream(_) => None,
        }
    }
}

impl Answers {
    /// Returns whether a variable has a value already: streams of one service share their credentials.
    pub(super) fn has(&self, variable: &str) -> bool {
        self.settings.iter().any(|setting| setting.variable == variable)
    }

    pub(super) fn set(&mut self, variable: impl Into<String>, value: Zeroizing<String>) {
        self.settings.push(Setting {
            variable: variable.into(),
            value,
            comment: None,
        });
    }

    /// The same below a comment.
    pub(super) fn set_below(&mut self, comment: String, variable: impl Into<String>, value: Zeroizing<String>) {
        self.settings.push(Setting {
            variable: variable.into(),
            value,
            comment: Some(comment),
        });
    }

    /// Removes a setting.
    pub(super) fn take_back(&mut self, variable: &str) {
        self.settings.retain(|setting| setting.variable != variable);
    }

    /// Returns the settings.
    pub(super) fn settings(&self) -> &[Setting] {
        &self.settings
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// Returns what is wrong with the answers for the source of this stream.
    pub(super) fn errors(&self, kind: &Kind) -> ConfigErrors {
        let pairs = self
            .settings
            .iter()
            .map(|setting| (&*setting.variable, &**setting.value));
        let mut errors = ConfigErrors::default();
        // The source itself is not needed here.
        drop((kind.configure)(&Env::from_pairs(pairs), &mut errors));
        errors
    }

    /// Returns the text of the file.
    pub(super) fn env_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(4096));
        text.push_str(
            "# Settings of trailkeeper, written by `trailkeeper init`. .env.example explains all settings.\n\
             # This file holds tokens: keep it private (chmod 600).\n",
        );
        self.settings.iter().for_each(|setting| setting.write(&mut text));
        text
    }
}

impl Setting {
    /// Writes it as it stands in a file.
    pub(super) fn write(&self, text: &mut String) {
        if let Some(comment) = &self.comment {
            text.push_str("\n# ");
            text.push_str(comment);
            text.push('\n');
        }
        text.push_str(&self.variable);
        text.push('=');
        push_quoted(&self.value, text);
        text.push('\n');
    }
}

/// Quotes a value for the file: in single quotes, or in double quotes if it has a single one, or a backslash, which begins
/// an escape in either.
fn push_quoted(value: &str, text: &mut String) {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' | b':' | b'@' | b'+' | b',');
    if !value.is_empty() && value.bytes().all(is_plain) {
        text.push_str(value);
        return;
    }
    let quote = if value.contains(['\'', '\\']) { '"' } else { '\'' };
    text.push(quote);
    for character in value.chars() {
        if quote == '"' && matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push(quote);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::env::{self, Setting, Variable};
    use crate::source::SOURCES;
    use crate::test_support::random::cases;

    fn answered(pairs: &[(&str, &str)]) -> Answers {
        let mut answers = Answers::default();
        for (variable, value) in pairs {
            answers.set(*variable, Zeroizing::new((*value).to_owned()));
        }
        answers
    }

    /// Returns the value of a variable in the file built from these answers.
    fn read_back(answers: &Answers, name: &'static str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        fs::write(&path, &*answers.env_text()).unwrap();
        let env = Env::load(Some(&path));
        assert!(env.errors().is_empty(), "{}", env.errors());
        let setting = Setting {
            variable: Variable {
                name,
                ..*PORT_API_URL.variable()
            },
            parse: |text| Ok(text.to_owned()),
        };
        env.optional(&setting, &mut ConfigErrors::default())
    }

    #[test]
    fn every_stream_is_asked_all_that_it_requires() {
        for kind in SOURCES {
            let mut answers = Answers::default();
            for question in QUESTIONS.iter().filter(|question| question.is_for(kind)) {
                let value = question.default().unwrap_or("1000001");
                answers.set(question.row.name(), Zeroizing::new(value.to_owned()));
            }
            assert!(!answers.is_empty(), "{}: no question is for it", kind.name);
            let errors = answers.errors(kind);
            assert!(errors.is_empty(), "{}: {errors}", kind.name);
        }
    }

    #[test]
    fn every_question_is_for_some_stream() {
        for question in QUESTIONS {
            assert!(SOURCES.iter().any(|kind| question.is_for(kind)), "{question:?}");
        }
    }

    #[test]
    fn an_answer_that_no_source_takes_is_an_error_that_does_not_show_a_secret() {
        let answers = answered(&[("OAUTH_TOKEN_ARG", "hunter2\u{7}"), ("ORGANIZATION_ID_ARG", "mine")]);
        let errors = answers.errors(&SOURCES[0]).to_string();
        assert!(
            errors.contains("ORGANIZATION_ID_ARG must be a whole number"),
            "{errors}"
        );
        assert!(
            errors.contains("OAUTH_TOKEN_ARG") && !errors.contains("hunter2"),
            "{errors}"
        );
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut answers = answered(&[("A", "1")]);
        let before = answers.env_text();
        answers.set_below("a comment".into(), "B", Zeroizing::new("2".to_owned()));
        answers.take_back("B");
        assert_eq!(*answers.env_text(), *before);
    }

    #[test]
    fn comments_stand_before_their_settings() {
        let mut answers = answered(&[("A", "1")]);
        answers.set_below("what B is".into(), "B", Zeroizing::new("two words".to_owned()));
        assert!(answers.env_text().ends_with("\nA=1\n\n# what B is\nB='two words'\n"));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn every_value_is_read_back_as_it_was_given(value in "[ -~]{1,20}|\\PC{1,12}|[$'\"\\\\#a ]{1,12}") {
            // The white space around names and values is trimmed where they are typed.
            prop_assume!(env::text(&value).is_ok());
            let answers = answered(&[("TFC_ORG_TOKEN", &value), ("AFTER", "1")]);
            prop_assert_eq!(read_back(&answers, "TFC_ORG_TOKEN"), Some(value));
            prop_assert_eq!(read_back(&answers, "AFTER"), Some("1".to_owned()));
        }
    }
}
