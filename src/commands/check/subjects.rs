//! What `check` checks: streams with all of their settings, or, on a machine that only forwards, with those of their day files.

use crate::archive::Location;
use crate::commands::evidence_standing::EvidenceStanding;
use crate::config::{self, Config, LogSettings, StreamPlace, StreamSettings};
use crate::env::{ConfigErrors, Env};
use crate::source::{Kind, SOURCES};

/// A stream, as far as it is set.
pub(super) enum Subject {
    Collected(Box<StreamSettings>),
    /// Nothing of its service is set.
    Forwarded(StreamPlace),
}

/// A stream with its settings, or with the errors in them.
pub(super) type SubjectOrErrors = (&'static Kind, Result<Subject, ConfigErrors>);

/// The streams, and what their settings have in common.
pub(super) struct Subjects {
    pub(super) streams: Vec<SubjectOrErrors>,
    /// `None` after an error in the settings.
    pub(super) log: Option<LogSettings>,
    /// The errors that do not concern one stream alone.
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Subject {
    pub(super) fn location(&self) -> &Location {
        match self {
            Self::Collected(settings) => &settings.location,
            Self::Forwarded(place) => &place.location,
        }
    }
}

impl Subjects {
    /// Reads the settings as `collect` would.
    pub(super) fn collected(env: &Env, wanted: &[String]) -> Self {
        let config = Config::read(env, SOURCES, wanted);
        let streams = config::each(env, SOURCES, wanted);
        let mut problems = problems_of_all(&config, &streams);
        let evidence = config.as_ref().ok().and_then(|config| config.evidence.as_ref());
        let standing = evidence.and_then(EvidenceStanding::read);
        problems.extend(
            standing
                .and_then(|standing| standing.problem)
                .map(|problem| format!("evidence: {problem}")),
        );
        let streams = streams.into_iter().map(|(kind, settings)| {
            let settings = settings.map(|settings| Subject::Collected(Box::new(settings)));
            (kind, settings.and_then(|subject| unless_others(env, subject)))
        });
        let streams = streams.collect();
        let (log, warnings) = config.map_or_else(|_| (None, Vec::new()), |config| (Some(config.log), config.warnings));
        Self {
            streams,
            log,
            problems,
            warnings,
        }
    }

    /// Reads the settings as `forward` would.
    pub(super) fn forwarded(env: &Env, wanted: &[String]) -> Self {
        let mut errors = ConfigErrors::default();
        let log = LogSettings::read(env, &mut errors);
        let places = config::places(env, SOURCES, wanted);
        let places = places.unwrap_or_else(|others| {
            errors.append(others);
            Vec::new()
        });
        let unknown = config::unknown(env, SOURCES);
        Self {
            streams: places
                .into_iter()
                .map(|place| (place.kind, Ok(Subject::Forwarded(place))))
                .collect(),
            log: log.filter(|_| errors.is_empty()),
            problems: errors.iter().map(ToString::to_string).collect(),
            warnings: env
                .warnings()
                .iter()
                .cloned()
                .chain(unknown.iter().map(ToString::to_string))
                .collect(),
        }
    }
}

/// Returns a stream of an organization, unless its file cannot be read: with what all of them have alone, its token could go to the
/// address of others.
fn unless_others(env: &Env, subject: Subject) -> Result<Subject, ConfigErrors> {
    let errors = env.errors();
    if env.organization().is_some() && !errors.is_empty() {
        return Err(errors.clone());
    }
    Ok(subject)
}

/// Returns the errors in the settings that do not concern one stream alone.
fn problems_of_all(
    config: &Result<Config, ConfigErrors>,
    streams: &[(&'static Kind, Result<StreamSettings, ConfigErrors>)],
) -> Vec<String> {
    let of_streams: Vec<_> = streams
        .iter()
        .filter_map(|(_, settings)| settings.as_ref().err())
        .collect();
    let is_known = |problem: &String| {
        let mut all = of_streams.iter().flat_map(|errors| errors.iter());
        all.any(|error| error.to_string() == *problem)
    };
    let errors = config.as_ref().err();
    let problems = errors.into_iter().flat_map(ConfigErrors::iter).map(ToString::to_string);
    problems.filter(|problem| !is_known(problem)).collect()
}
