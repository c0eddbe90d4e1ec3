//! The settings of a fleet: those of all its members, and the streams of each organization.

use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_dir};
use crate::config::{self, FleetSettings, FleetStream, LogSettings, fleet_streams, fleet_version};
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
pub(super) fn read_fleet(arguments: &SettingsArguments) -> Result<(FleetSettings, LogSettings, Env), CommandError> {
    check_dir(arguments)?;
    let env = arguments.load();
    let mut errors = env.errors().clone();
    let log = LogSettings::read(&env, &mut errors);
    let fleet = FleetSettings::read(&env, &mut errors);
    if let Some(fleet) = fleet.as_ref().filter(|_| errors.is_empty()) {
        kafka::check(&fleet.kafka, &mut errors);
    }
    match (fleet, log) {
        (Some(fleet), Some(log)) if errors.is_empty() => Ok((fleet, log, env)),
        _ => {
            // What is missing may have been mistyped.
            errors.append(config::unknown(&env, SOURCES));
            Err(errors.into())
        }
    }
}

impl FleetConfig {
    /// Reads the settings of all organizations, or of the installation. An organization whose settings are wrong does not hold up others.
    ///
    /// # Errors
    /// All that is wrong with what all members have in common, or with an installation without organizations.
    pub(super) fn read(arguments: &SettingsArguments) -> Result<Self, CommandError> {
        let (fleet, log, env) = read_fleet(arguments)?;
        let mut read = Self {
            warnings: fleet.kafka.warning().map(str::to_owned).into_iter().collect(),
            fleet,
            log,
            streams: Vec::new(),
            version: String::new(),
            failed: Vec::new(),
        };
        let version = match arguments.dir() {
            None => {
                read.streams = fleet_streams(&env, SOURCES)?;
                read.note_warnings(&env);
                fleet_version(&env, SOURCES)
            }
            Some(folder) => read.read_organizations(Organizations::find(arguments, &folder)?)?,
        };
        read.version = format!("{version:016x}");
        Ok(read)
    }

    fn read_organizations(&mut self, organizations: Organizations) -> Result<u64, ConfigErrors> {
        let shared = organizations.dir.shared();
        self.note_warnings(shared);
        let mut version = fleet_version(shared, SOURCES);
        for Misnamed { name, problem } in organizations.misnamed {
            self.failed.push((name, format!("the name of its file {problem}")));
        }
        let mut of_all = ConfigErrors::default();
        for (organization, env) in organizations.all {
            let own = fleet_version(&env, SOURCES) ^ fleet_hash(organization.name());
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
