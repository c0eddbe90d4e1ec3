//! The settings of a fleet: those of all its members, and the streams of each organization.

use std::collections::BTreeMap;

use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::each_organization::EachOrganization;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_readable_dir};
use crate::config::{self, FleetSettings, FleetStream, LogSettings, fleet_streams, settings_version};
use crate::env::{ConfigErrors, Env};
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
        // Its day files are in Kafka: none share a folder.
        let streams = |env: &Env| fleet_streams(env, SOURCES);
        let read = |all| EachOrganization::read(all, &BTreeMap::new(), streams, &mut errors);
        let each = organizations.as_ref().map(read).unwrap_or_default();
        match (common, organizations) {
            (Some((fleet, log)), Some(organizations)) if errors.is_empty() => {
                let mut read = Self::of(fleet, log);
                read.warnings
                    .extend(config::forward_warnings(organizations.dir.shared(), SOURCES));
                (read.streams, read.failed) = (each.streams, each.failed);
                read.version = format!("{:016x}", version_of(&organizations));
                Ok(read)
            }
            _ => Err(each.all_wrong(&env, errors, "could not be collected")),
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
                read.warnings.extend(config::forward_warnings(env, SOURCES));
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

    /// Says what is to be known of them, and which organizations are not collected.
    pub(super) fn log_problems(&self) {
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for (organization, problem) in &self.failed {
            tracing::error!(organization, "not collected: {problem}");
        }
    }
}

/// Returns the version of the settings of all organizations.
fn version_of(organizations: &Organizations) -> u64 {
    let of_all = settings_version(organizations.dir.shared(), SOURCES);
    // In the order of their names.
    organizations.all.iter().fold(of_all, |version, (organization, env)| {
        version.rotate_left(5) ^ settings_version(env, SOURCES) ^ fleet_hash(organization.name())
    })
}

fn fleet_hash(name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(name.as_bytes())
}
