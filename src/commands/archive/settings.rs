//! The settings of an archive: those of the group, and the streams of each organization whose day files are kept here.

use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::each_organization::EachOrganization;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_readable_dir};
use crate::config::{self, ArchiveSettings, ArchiveStream, LogSettings, archive_streams};
use crate::env::{ConfigErrors, Env};
use crate::forward::kafka;
use crate::source::SOURCES;

/// What a member of an archive reads.
pub(in crate::commands) struct ArchiveConfig {
    pub(in crate::commands) settings: ArchiveSettings,
    pub(in crate::commands) log: LogSettings,
    pub(in crate::commands) streams: Vec<ArchiveStream>,
    warnings: Vec<String>,
    /// Organizations that cannot be filed, and why.
    pub(in crate::commands) failed: Vec<(String, String)>,
}

impl ArchiveConfig {
    /// Reads the settings of all organizations, or of the installation. An organization whose settings are wrong does not hold up others.
    ///
    /// # Errors
    /// All that is wrong with what all organizations have in common, or with an installation without organizations.
    pub(in crate::commands) fn read(arguments: &SettingsArguments) -> Result<Self, CommandError> {
        let folder = check_readable_dir(arguments)?;
        let env = arguments.load();
        let mut errors = env.errors().clone();
        let common = read_common(&env, &mut errors);
        let Some(folder) = folder else {
            return Ok(Self::read_one(&env, common, errors)?);
        };
        let organizations = Organizations::find(arguments, &folder);
        let organizations = organizations.map_err(|of_folder| errors.append(of_folder)).ok();
        let streams = |env: &Env| archive_streams(env, SOURCES);
        let read = |all| EachOrganization::read(all, &all.sharing, streams, &mut errors);
        let each = organizations.as_ref().map(read).unwrap_or_default();
        match (common, organizations) {
            (Some((settings, log)), Some(organizations)) if errors.is_empty() => {
                let mut read = Self::of(settings, log);
                read.warnings
                    .extend(config::forward_warnings(organizations.dir.shared(), SOURCES));
                (read.streams, read.failed) = (each.streams, each.failed);
                Ok(read)
            }
            _ => Err(each.all_wrong(&env, errors, "could not be filed")),
        }
    }

    fn read_one(
        env: &Env,
        common: Option<(ArchiveSettings, LogSettings)>,
        mut errors: ConfigErrors,
    ) -> Result<Self, ConfigErrors> {
        match (common, archive_streams(env, SOURCES)) {
            (Some((settings, log)), Ok(streams)) if errors.is_empty() => {
                let mut read = Self::of(settings, log);
                read.streams = streams;
                read.warnings.extend(config::forward_warnings(env, SOURCES));
                Ok(read)
            }
            (_, streams) => {
                // With the errors of the settings file, and what may have been mistyped.
                errors.append(match streams {
                    Ok(_) => config::unknown(env, SOURCES),
                    Err(of_streams) => of_streams,
                });
                Err(errors)
            }
        }
    }

    fn of(settings: ArchiveSettings, log: LogSettings) -> Self {
        Self {
            warnings: settings.fleet.kafka.warning().map(str::to_owned).into_iter().collect(),
            settings,
            log,
            streams: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Checks that there is something to file.
    ///
    /// # Errors
    /// If no stream is on, as where no organization can be filed.
    pub(in crate::commands) fn check_has_streams(&self) -> Result<(), CommandError> {
        if !self.streams.is_empty() {
            return Ok(());
        }
        let problem = "there is nothing to file: no organization has a stream that can be filed; what is wrong with each is said above";
        Err(CommandError::start(problem))
    }

    /// Says what is to be known of them, and which organizations are not filed.
    pub(in crate::commands) fn log_problems(&self) {
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        for (organization, problem) in &self.failed {
            tracing::error!(organization, "not filed: {problem}");
        }
    }
}

fn read_common(env: &Env, errors: &mut ConfigErrors) -> Option<(ArchiveSettings, LogSettings)> {
    let log = LogSettings::read(env, errors);
    let settings = ArchiveSettings::read(env, errors);
    if let Some(settings) = settings.as_ref().filter(|_| errors.is_empty()) {
        kafka::check(&settings.fleet.kafka, errors);
    }
    settings.zip(log)
}
