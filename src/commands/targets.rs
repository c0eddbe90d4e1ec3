//! The targets of forwarding, from the arguments and the settings.

use chrono::{DateTime, Utc};

use super::arguments::sinks::Sinks;
use crate::config::{self, HttpSettings, KafkaSettings, StdoutSettings};
use crate::env::{ConfigErrors, Env};
use crate::forward::{Target, Targets, kafka};
use crate::source::SOURCES;

/// Returns what `collect` forwards to. Adds errors in the settings to `errors`.
pub(super) fn targets(env: &Env, sinks: Sinks, now: DateTime<Utc>, errors: &mut ConfigErrors) -> Targets {
    let mut list = Vec::new();
    if sinks.kafka {
        list.extend(kafka_target(env, "--forward-kafka is given", errors));
    }
    if sinks.http {
        list.extend(http_target(env, "--forward-http is given", errors));
    }
    Targets {
        list,
        start: sinks.from.map(|from| from.resolve(now)),
        replay: None,
        strict_json: sinks.strict_json,
        ..Targets::default()
    }
}

/// Reads the settings of Kafka; `because` says why they are required.
pub(super) fn kafka_target(env: &Env, because: &str, errors: &mut ConfigErrors) -> Option<Target> {
    let kinds: Vec<_> = SOURCES.iter().collect();
    let mut own_errors = ConfigErrors::because(because);
    let settings = KafkaSettings::read(env, &kinds, &mut own_errors);
    if let Some(settings) = settings.as_ref().filter(|_| own_errors.is_empty()) {
        kafka::check(settings, &mut own_errors);
    }
    errors.append(own_errors);
    settings.map(Target::Kafka)
}

/// Reads the settings of the HTTP listener; `because` says why they are required.
pub(super) fn http_target(env: &Env, because: &str, errors: &mut ConfigErrors) -> Option<Target> {
    let mut own_errors = ConfigErrors::because(because);
    let settings = HttpSettings::read(env, &mut own_errors);
    errors.append(own_errors);
    settings.map(Target::Http)
}

/// Reads the settings of standard output.
pub(super) fn stdout_target(env: &Env, errors: &mut ConfigErrors) -> Option<Target> {
    StdoutSettings::read(env, errors).map(Target::Stdout)
}

/// Returns warnings about the settings of the targets.
pub(super) fn warnings(targets: &Targets, env: &Env) -> Vec<String> {
    let mut warnings: Vec<_> = targets
        .list
        .iter()
        .filter_map(Target::warning)
        .map(str::to_owned)
        .collect();
    if !targets.is_empty() {
        warnings.extend(config::exposed_forward_secrets(env));
    }
    warnings
}
