//! The settings of an archive: those of the group, and the streams of each organization whose day files are kept here.

use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_readable_dir};
use crate::config::{self, ArchiveSettings, ArchiveStream, LogSettings, archive_streams};
use crate::env::{ConfigErrors, Env, Misnamed};
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
        let Some((settings, log)) = common.filter(|_| errors.is_empty()) else {
            // What is missing may have been mistyped.
            errors.append(config::unknown(&env, SOURCES));
            return Err(errors.into());
        };
        let mut read = Self::of(settings, log);
        read.read_organizations(Organizations::find(arguments, &folder)?)?;
        Ok(read)
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
                read.note_warnings(env);
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

    fn read_organizations(&mut self, organizations: Organizations) -> Result<(), ConfigErrors> {
        self.note_warnings(organizations.dir.shared());
        for Misnamed { name, problem } in organizations.misnamed {
            self.failed.push((name, format!("the name of its file {problem}")));
        }
        let mut of_all = ConfigErrors::default();
        for (organization, env) in organizations.all {
            if let Some(problem) = organizations.sharing.get(&organization) {
                self.failed.push((organization.name().to_owned(), problem.clone()));
                continue;
            }
            match archive_streams(&env, SOURCES) {
                Ok(streams) => self.streams.extend(streams),
                Err(errors) => {
                    of_all.append(errors.of_all());
                    let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
                    self.failed.push((organization.name().to_owned(), problems.join("; ")));
                }
            }
        }
        if of_all.is_empty() { Ok(()) } else { Err(of_all) }
    }

    fn note_warnings(&mut self, env: &Env) {
        self.warnings.extend(env.warnings().iter().cloned());
        self.warnings
            .extend(config::unknown(env, SOURCES).iter().map(ToString::to_string));
        self.warnings.extend(config::exposed_forward_secrets(env));
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
