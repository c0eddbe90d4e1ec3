//! The settings of a fleet: those of all its members, and the streams of each organization.

use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_readable_dir};
use crate::config::{self, FleetSettings, FleetStream, LogSettings, fleet_streams, settings_version};
use crate::env::{ConfigErrors, Env, Misnamed};
use crate::forward::kafka;
use crate::source::SOURCES;

/// What a member reads.
pub(super) struct FleetConfig {
    pub(super) fleet: FleetSettings,
    pub(super) log: LogSettings,
    pub(super) streams: Vec<FleetStream>,
    /// The version of all of it, in hexadecimal digits.
    pub(super) version: String,
    pub(super) warnings: Vec<String>,
    /// Organizations that cannot be collected, and why.
    pub(super) failed: Vec<(String, String)>,
}

/// Reads what all members have in common.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read_fleet(arguments: &SettingsArguments) -> Result<(FleetSettings, LogSettings, Env), CommandError> {
    check_readable_dir(arguments)?;
    let env = arguments.load();
    let mut errors = env.errors().clone();
    let read = read_common(&env, &mut errors);
    match read {
        Some((fleet, log)) if errors.is_empty() => Ok((fleet, log, env)),
        _ => {
            // What is missing may have been mistyped.
            errors.append(config::unknown(&env, SOURCES));
            Err(errors.into())
        }
    }
}

fn read_common(env: &Env, errors: &mut ConfigErrors) -> Option<(FleetSettings, LogSettings)> {
    let log = LogSettings::read(env, errors);
    let fleet = FleetSettings::read(env, errors);
    if let Some(fleet) = fleet.as_ref().filter(|_| errors.is_empty()) {
        kafka::check(&fleet.kafka, errors);
    }
    fleet.zip(log)
}

impl FleetConfig {
    /// Reads the settings of all organizations, or of the installation. An organization whose settings are wrong does not hold up others.
    ///
    /// # Errors
    /// All that is wrong with what all members have in common, or with an installation without organizations.
    pub(super) fn read(arguments: &SettingsArguments) -> Result<Self, CommandError> {
        let Some(folder) = check_readable_dir(arguments)? else {
            return Self::read_one(&arguments.load());
        };
        let env = arguments.load();
        let mut errors = env.errors().clone();
        let common = read_common(&env, &mut errors);
        let organizations = Organizations::find(arguments, &folder);
        let organizations = organizations.map_err(|of_folder| errors.append(of_folder)).ok();
        let of_each = organizations.as_ref().map(OfEach::read).unwrap_or_default();
        errors.append(of_each.of_all);
        match (common, organizations) {
            (Some((fleet, log)), Some(organizations)) if errors.is_empty() => {
                let mut read = Self::of(fleet, log);
                read.note_warnings(organizations.dir.shared());
                (read.streams, read.failed) = (of_each.streams, of_each.failed);
                read.version = format!("{:016x}", of_each.version);
                Ok(read)
            }
            _ => {
                // What is missing may have been mistyped; and what else would be told only when this is right.
                errors.append(config::unknown(&env, SOURCES));
                for (organization, problem) in of_each.failed {
                    errors.add(organization, format!("could not be collected: {problem}"));
                }
                Err(errors.into())
            }
        }
    }

    /// Reads those of an installation without organizations.
    fn read_one(env: &Env) -> Result<Self, CommandError> {
        let mut errors = ConfigErrors::default();
        let common = read_common(env, &mut errors);
        // With the errors of the settings file, and what may have been mistyped.
        match (common, fleet_streams(env, SOURCES)) {
            (Some((fleet, log)), Ok(streams)) if errors.is_empty() => {
                let mut read = Self::of(fleet, log);
                read.streams = streams;
                read.note_warnings(env);
                read.version = format!("{:016x}", settings_version(env, SOURCES));
                Ok(read)
            }
            (_, streams) => {
                errors.append(match streams {
                    Ok(_) => config::unknown(env, SOURCES),
                    Err(of_streams) => of_streams,
                });
                Err(errors.into())
            }
        }
    }

    fn of(fleet: FleetSettings, log: LogSettings) -> Self {
        Self {
            warnings: fleet.kafka.warning().map(str::to_owned).into_iter().collect(),
            fleet,
            log,
            streams: Vec::new(),
            version: String::new(),
            failed: Vec::new(),
        }
    }

    fn note_warnings(&mut self, env: &Env) {
        self.warnings.extend(env.warnings().iter().cloned());
        self.warnings
            .extend(config::unknown(env, SOURCES).iter().map(ToString::to_string));
        self.warnings.extend(config::exposed_forward_secrets(env));
    }

    /// Says what is to be known of them, and which organizations are not collected.
    pub(super) fn log_problems(&self) {
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for (organization, problem) in &self.failed {
            tracing::error!(organization, "not collected: {problem}");
        }
    }
}

/// What the settings of the organizations say.
#[derive(Default)]
struct OfEach {
    streams: Vec<FleetStream>,
    /// Those that cannot be collected, and why.
    failed: Vec<(String, String)>,
    /// What is wrong with values that all of them have.
    of_all: ConfigErrors,
    /// The version of all of it.
    version: u64,
}

impl OfEach {
    fn read(organizations: &Organizations) -> Self {
        let mut read = Self {
            version: settings_version(organizations.dir.shared(), SOURCES),
            ..Self::default()
        };
        for Misnamed { name, problem } in &organizations.misnamed {
            read.failed
                .push((name.clone(), format!("the name of its file {problem}")));
        }
        for (organization, env) in &organizations.all {
            let own = settings_version(env, SOURCES) ^ fleet_hash(organization.name());
            // In the order of their names.
            read.version = read.version.rotate_left(5) ^ own;
            match fleet_streams(env, SOURCES) {
                Ok(streams) => read.streams.extend(streams),
                Err(errors) => {
                    read.of_all.append(errors.of_all());
                    // What all have is told once.
                    let own = errors.iter().filter(|error| !error.is_of_all);
                    let problems: Vec<_> = own.map(ToString::to_string).collect();
                    if !problems.is_empty() {
                        read.failed.push((organization.name().to_owned(), problems.join("; ")));
                    }
                }
            }
        }
        read
    }
}

fn fleet_hash(name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(name.as_bytes())
}
