//! The settings of one organization of a session, or of the installation if it has only one.

use chrono::{DateTime, Utc};

use super::session_options::SessionOptions;
use super::{sealing, targets};
use crate::config::{self, Config, UpkeepSettings};
use crate::env::{ConfigErrors, Env, Fingerprint, Misnamed, Organization};
use crate::forward::Targets;
use crate::run::Job;
use crate::run::summary::FailedOrganization;
use crate::source::SOURCES;

/// Everything that is read for it.
#[derive(Clone)]
pub(super) struct Member {
    /// Whose settings they are, if there are several organizations.
    pub(super) organization: Option<Organization>,
    /// Of the settings as they were read.
    pub(super) fingerprint: Fingerprint,
    pub(super) config: Config,
    /// Where appended lines are forwarded to.
    pub(super) targets: Targets,
    /// Warnings about the settings.
    pub(super) warnings: Vec<String>,
}

/// An organization whose settings are wrong, and what is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailedMember {
    pub(super) name: String,
    pub(super) problem: String,
}

impl Member {
    /// Reads the settings of the streams and of the sinks, or returns all errors in them.
    pub(super) fn read(env: &Env, options: &SessionOptions<'_>) -> Result<Self, ConfigErrors> {
        // What is missing may stand in the line that cannot be read.
        if env.organization().is_some() && !env.errors().is_empty() {
            return Err(env.errors().clone());
        }
        let mut errors = ConfigErrors::default();
        config::refuse_what_is_of_all(env, &mut errors);
        let targets = targets::targets(env, options.sinks, options.run_options.now, &mut errors);
        match Config::read(env, SOURCES, options.streams) {
            Ok(config) if errors.is_empty() => Ok(Self {
                organization: env.organization(),
                fingerprint: env.fingerprint(&config::content_files(SOURCES)),
                warnings: config
                    .warnings
                    .iter()
                    .cloned()
                    .chain(targets::warnings(&targets, env))
                    .collect(),
                config,
                targets,
            }),
            result => {
                errors.append(result.err().unwrap_or_default());
                // What is missing may have been mistyped.
                errors.append(config::unknown(env, SOURCES));
                Err(errors)
            }
        }
    }

    /// Returns what is to be done for each of its streams.
    pub(super) fn jobs(&self, upkeep: UpkeepSettings) -> Vec<Job> {
        Job::all(&self.config.streams, &self.targets, &upkeep)
    }

    /// Returns whether what is deleted for its age can be noted in the evidence: not so where a witness has seen another history, which
    /// the seal at the end of the run says, or the asking was interrupted.
    pub(super) async fn may_expire(&self, now: DateTime<Utc>) -> bool {
        match (&self.config.evidence, self.config.upkeep.expire_after) {
            (Some(evidence), Some(_)) => sealing::ask_until_ended(evidence, now).await.is_ok(),
            _ => true,
        }
    }

    /// Says what is to be known of its settings although they are right.
    pub(super) fn log_warnings(&self) {
        self.span()
            .in_scope(|| self.warnings.iter().for_each(|warning| tracing::warn!("{warning}")));
    }

    /// Returns the span that names it in log lines; none without organizations.
    pub(super) fn span(&self) -> tracing::Span {
        match self.organization {
            Some(organization) => tracing::error_span!("organization", %organization),
            None => tracing::Span::none(),
        }
    }
}

impl FailedMember {
    pub(super) fn new(name: &str, errors: &ConfigErrors) -> Self {
        let problems = errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        Self {
            name: name.to_owned(),
            problem: problems.join("; "),
        }
    }

    /// One that shares with another what only one can have.
    pub(super) fn sharing(organization: Organization, problem: &str) -> Self {
        Self {
            name: organization.name().to_owned(),
            problem: problem.to_owned(),
        }
    }

    /// Says why it is not collected.
    pub(super) fn log(&self) {
        tracing::error!(organization = self.name, "not collected: {}", self.problem);
    }

    /// Returns it as a part of the summary.
    pub(super) fn summary(&self) -> FailedOrganization {
        FailedOrganization {
            organization: self.name.clone(),
            error: self.problem.clone(),
        }
    }
}

impl From<Misnamed> for FailedMember {
    fn from(misnamed: Misnamed) -> Self {
        let Misnamed { name, problem } = misnamed;
        Self {
            name,
            problem: format!("the name of its file {problem}"),
        }
    }
}
