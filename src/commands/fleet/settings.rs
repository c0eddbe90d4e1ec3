//! The settings of a fleet: those of all its members, and the streams of each organization.

use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_dir, check_readable_dir};
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
        let Some(folder) = check_dir(arguments)? else {
            return Self::read_one(&arguments.load());
        };
        let (fleet, log, _) = read_fleet(arguments)?;
        let mut read = Self::of(fleet, log);
        let version = read.read_organizations(Organizations::find(arguments, &folder)?)?;
        read.version = format!("{version:016x}");
        Ok(read)
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

    fn read_organizations(&mut self, organizations: Organizations) -> Result<u64, ConfigErrors> {
        let shared = organizations.dir.shared();
        self.note_warnings(shared);
        let mut version = settings_version(shared, SOURCES);
        for Misnamed { name, problem } in organizations.misnamed {
            self.failed.push((name, format!("the name of its file {problem}")));
        }
        let mut of_all = ConfigErrors::default();
        for (organization, env) in organizations.all {
            let own = settings_version(&env, SOURCES) ^ fleet_hash(organization.name());
            // In the order of their names.
            version = version.rotate_left(5) ^ own;
            match fleet_streams(&env, SOURCES) {
                Ok(streams) => self.streams.extend(streams),
                Err(errors) => {
                    of_all.append(errors.of_all());
                    let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
                    self.failed.push((organization.name().to_owned(), problems.join("; ")));
                }
            }
        }
        if of_all.is_empty() { Ok(version) } else { Err(of_all) }
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

fn fleet_hash(name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(name.as_bytes())
}
