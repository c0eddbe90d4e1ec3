//! What is wrong with the settings: every error at once, by the name of its variable, never with a secret's value.

use std::collections::BTreeSet;
use std::fmt;

/// One error, as a sentence: the variable and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// The variable, or what else was set wrongly (`--env-file`, `.env line 3`).
    pub(crate) variable: String,
    /// The rest of the sentence: `is required because …` or `must be …, not …`.
    pub(crate) problem: String,
    /// Whether it is one of all organizations, since none of them has set the variable itself.
    pub(crate) is_of_all: bool,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.problem)
    }
}

/// Errors sorted by variable, each once, and the reason why the variables are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    list: BTreeSet<ConfigError>,
    because: Option<String>,
}

impl ConfigErrors {
    /// Creates an empty list; missing variables are required for this reason: `MAIL_LOG_CATALOG_LOCATION is set`.
    #[must_use]
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self {
            list: BTreeSet::new(),
            because: Some(reason.into()),
        }
    }

    /// Adds an error; `problem` is the rest of the sentence that `variable` begins.
    pub(crate) fn add(&mut self, variable: impl Into<String>, problem: impl Into<String>) {
        self.list.insert(ConfigError {
            variable: variable.into(),
            problem: problem.into(),
            is_of_all: false,
        });
    }

    /// Adds an error of a value that all organizations have.
    pub(crate) fn add_of_all(&mut self, variable: impl Into<String>, problem: impl Into<String>) {
        self.list.insert(ConfigError {
            variable: variable.into(),
            problem: problem.into(),
            is_of_all: true,
        });
    }

    /// Returns those of values that all organizations have.
    pub(crate) fn of_all(&self) -> Self {
        Self {
            list: self.list.iter().filter(|error| error.is_of_all).cloned().collect(),
            because: None,
        }
    }

    /// Adds that a variable is required but not set.
    pub(crate) fn missing(&mut self, variable: &str) {
        let problem = self.required();
        self.add(variable, problem);
    }

    /// Adds that a secret is required but set neither directly nor as a file.
    pub(crate) fn missing_secret(&mut self, variable: &str) {
        let problem = format!("(or {variable}_FILE) {}", self.required());
        self.add(variable, problem);
    }

    /// Adds to `others` that a variable is required for this list's reason.
    pub(crate) fn pass_missing(mut self, variable: &str, others: &mut ConfigErrors) {
        self.missing(variable);
        others.append(self);
    }

    /// Adds the errors of another list.
    pub(crate) fn append(&mut self, others: ConfigErrors) {
        self.list.extend(others.list);
    }

    /// Returns whether there are no errors.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the errors, sorted by variable.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.list.iter()
    }

    fn required(&self) -> String {
        match &self.because {
            Some(reason) => format!("is required because {reason}"),
            None => "is required".to_owned(),
        }
    }
}

impl fmt::Display for ConfigErrors {
    /// One error per line, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_printed_together_sorted_and_once() {
        let mut errors = ConfigErrors::because("TFC_LOG_CATALOG_LOCATION is set");
        errors.missing("TFC_LOG_FILE_BASE_NAME");
        errors.missing_secret("TFC_ORG_TOKEN");
        let mut all = ConfigErrors::default();
        all.append(errors.clone());
        all.append(errors);
        all.add("MAX_PAGES", "must be a whole number");
        assert_eq!(
            all.to_string(),
            "MAX_PAGES must be a whole number\n\
             TFC_LOG_FILE_BASE_NAME is required because TFC_LOG_CATALOG_LOCATION is set\n\
             TFC_ORG_TOKEN (or TFC_ORG_TOKEN_FILE) is required because TFC_LOG_CATALOG_LOCATION is set"
        );
    }

    #[test]
    fn a_variable_can_be_required_without_a_reason() {
        let mut errors = ConfigErrors::default();
        assert!(errors.is_empty());
        errors.missing("X");
        assert_eq!(
            errors.iter().map(ConfigError::to_string).collect::<Vec<_>>(),
            ["X is required"]
        );
    }
}
