//! What the settings of each organization say, where one whose settings are wrong does not hold up others.

use std::collections::BTreeMap;

use super::error::CommandError;
use super::organizations::Organizations;
use crate::config;
use crate::env::{ConfigErrors, Env, Misnamed, Organization};
use crate::source::SOURCES;

/// The streams of organizations.
pub(super) struct EachOrganization<S> {
    pub(super) streams: Vec<S>,
    /// Those whose settings are wrong, and why.
    pub(super) failed: Vec<(String, String)>,
}

impl<S> Default for EachOrganization<S> {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            failed: Vec::new(),
        }
    }
}

impl<S> EachOrganization<S> {
    /// Reads the streams of each, but of those of which it is known what is wrong; adds what is wrong with values that all of them
    /// have to `errors`.
    pub(super) fn read(
        organizations: &Organizations,
        wrong: &BTreeMap<Organization, String>,
        streams: impl Fn(&Env) -> Result<Vec<S>, ConfigErrors>,
        errors: &mut ConfigErrors,
    ) -> Self {
        let mut read = Self::default();
        for Misnamed { name, problem } in &organizations.misnamed {
            read.failed
                .push((name.clone(), format!("the name of its file {problem}")));
        }
        for (organization, env) in &organizations.all {
            let name = organization.name();
            if let Some(problem) = wrong.get(organization) {
                read.failed.push((name.to_owned(), problem.clone()));
                continue;
            }
            match streams(env) {
                Ok(streams) => read.streams.extend(streams),
                Err(wrong) => {
                    errors.append(wrong.of_all());
                    read.fail(name, &wrong);
                }
            }
        }
        read
    }

    /// Notes what is wrong with one; what all have is told once, of all.
    fn fail(&mut self, name: &str, errors: &ConfigErrors) {
        let own = errors.iter().filter(|error| !error.is_of_all);
        let problems: Vec<_> = own.map(ToString::to_string).collect();
        if !problems.is_empty() {
            self.failed.push((name.to_owned(), problems.join("; ")));
        }
    }

    /// Returns all that is wrong where nothing can begin, with what is wrong with each: all else would be told only when this is
    /// right.
    pub(super) fn all_wrong(self, env: &Env, mut errors: ConfigErrors, could_not: &str) -> CommandError {
        // What is missing may have been mistyped.
        errors.append(config::unknown(env, SOURCES));
        for (organization, problem) in self.failed {
            errors.add(organization, format!("{could_not}: {problem}"));
        }
        errors.into()
    }
}
