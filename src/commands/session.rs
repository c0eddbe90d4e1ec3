//! What `collect` and `reconcile` need before the first request: settings, log, sinks.

use std::path::Path;

use chrono::{DateTime, Utc};
use tracing::Instrument;

use super::error::CommandError;
use super::evidence_standing::EvidenceStanding;
use super::member::{FailedMember, Member};
use super::organizations::Organizations;
use super::sealing;
use super::session_options::SessionOptions;
use crate::config::{LOG_FORMAT, LogSettings, StreamSettings};
use crate::env::{Changes, ConfigErrors, Env, Organization, Row, ServiceManager};
use crate::metrics::EvidenceFigures;
use crate::output::logging::Log;
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::Summary;
use crate::run::{self, Job, RunOptions, StartError};

/// What has changed of an organization that was not there before, or is not any more.
const ITS_FILE: &str = "its file";

/// Everything that is ready before the first request.
pub(super) struct Session<'a> {
    options: SessionOptions<'a>,
    /// The one of the installation, or each of its organizations whose settings are right.
    pub(super) members: Vec<Member>,
    /// Organizations that cannot be collected, and why.
    pub(super) failed: Vec<FailedMember>,
    /// The program's own log.
    log_settings: LogSettings,
    /// The service manager that started the process, if it expects reports.
    pub(super) manager: Option<ServiceManager>,
    pub(super) progress: Progress,
    pub(super) with_colours: bool,
    pub(super) log: &'a Log,
}

impl<'a> Session<'a> {
    /// Reads the settings and starts the log.
    pub(super) fn start(
        options: SessionOptions<'a>,
        log: &'a Log,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, CommandError> {
        let read = Read::all(&options)?;
        let progress = Progress::unless_quiet(options.verbosity.quiet);
        // For each organization in turn it was started before.
        if options.settings.organization.is_none() {
            log.start(read.log.options(options.verbosity, &progress, clock))?;
        }
        read.log_warnings();
        Ok(Self {
            options,
            members: read.members,
            failed: read.failed,
            log_settings: read.log,
            manager: read.env.service_manager(),
            progress,
            with_colours: stdout_takes_colours(read.env.allows_colours()),
            log,
        })
    }

    /// Reads the settings again, and takes them if they are right; returns what has changed.
    pub(super) fn reload(&mut self) -> Result<Changes, CommandError> {
        // The file of an organization may go: so does the organization.
        for member in self.members.iter().filter(|member| member.organization.is_none()) {
            member.fingerprint.check_settings_file(&self.options.settings.load())?;
        }
        let mut read = Read::all(&self.options)?;
        read.keep_what_was_right(&self.members);
        for failed in read.failed.iter().filter(|failed| !self.failed.contains(failed)) {
            tracing::error!(organization = failed.name, "not collected: {}", failed.problem);
        }
        self.failed.clone_from(&read.failed);
        if read.log.file != self.log_settings.file {
            self.log.move_to(&read.log.file)?;
        }
        if read.log.format != self.log_settings.format {
            tracing::warn!("another LOG_FORMAT is taken when the program is started again");
        }
        let changes = read.changes_from(&self.members).without(&LOG_FORMAT.name());
        if changes.is_empty() {
            return Ok(changes);
        }
        read.log_warnings();
        (self.members, self.failed, self.log_settings) = (read.members, read.failed, read.log);
        Ok(changes)
    }

    /// Returns the settings of all streams.
    pub(super) fn streams(&self) -> impl Iterator<Item = &StreamSettings> + Clone {
        self.members.iter().flat_map(|member| &member.config.streams)
    }

    /// Returns what is to be done for each stream, if it is kept up.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let members = self.members.iter();
        members
            .flat_map(|member| member.jobs(member.config.upkeep.clone()))
            .collect()
    }

    /// The same for a run of these options.
    async fn jobs_of(&self, run_options: RunOptions) -> Vec<Job> {
        let mut jobs = Vec::new();
        for member in &self.members {
            // To reconcile is to look again, and not the time to let go.
            let is_kept_up = !run_options.reconcile && member.may_expire(run_options.now).await;
            let upkeep = is_kept_up.then(|| member.config.upkeep.clone());
            jobs.extend(member.jobs(upkeep.unwrap_or_default()));
        }
        jobs
    }

    /// Seals what the streams hold at `now`, where the settings say so; returns what came of it for each member in turn.
    pub(super) async fn seal(&self, now: DateTime<Utc>) -> Vec<Exit> {
        let mut exits = Vec::new();
        for member in &self.members {
            let places = member.config.streams.iter().map(StreamSettings::place).collect();
            let sealing = sealing::seal(member.config.evidence.clone(), places, now);
            exits.push(sealing.instrument(member.span()).await);
        }
        exits
    }

    /// Returns how the evidence stands, of all members that have some; with what came of sealing it, for each member in turn.
    pub(super) fn evidence(&self, sealed: &[Exit]) -> Vec<EvidenceFigures> {
        let sealed = sealed.iter().map(Some).chain(std::iter::repeat(None));
        let members = self.members.iter().zip(sealed);
        let figures = members.filter_map(|(member, exit)| {
            let settings = member.config.evidence.as_ref()?;
            let standing = EvidenceStanding::read(settings);
            let figures = standing.map(|standing| standing.figures(member.organization));
            Some(EvidenceFigures {
                organization: member.organization.map(Organization::name),
                is_sealed: exit.map(|exit| *exit == Exit::Complete),
                ..figures.unwrap_or_default()
            })
        });
        figures.collect()
    }

    /// Runs once, until it is complete or a shutdown is requested.
    pub(super) async fn run(&self, run_options: RunOptions) -> Result<Summary, StartError> {
        let shutdown = signals::shutdown();
        let summary =
            run::run_and_forward(&self.jobs_of(run_options).await, run_options, &self.progress, &shutdown).await?;
        let failed = self.failed.iter().map(FailedMember::summary);
        Ok(summary.with_failed(failed.collect()))
    }
}

/// The settings as they were read.
struct Read {
    /// Those of the program as a whole.
    env: Env,
    log: LogSettings,
    members: Vec<Member>,
    failed: Vec<FailedMember>,
}

impl Read {
    /// Reads those of the installation, or of each organization.
    ///
    /// # Errors
    /// All that is wrong with what the program has to know; of organizations, what all of them have, and that there is none.
    fn all(options: &SessionOptions<'_>) -> Result<Self, ConfigErrors> {
        match (options.settings.organization, options.settings.dir()) {
            (None, Some(folder)) => Self::organizations(options, &folder),
            _ => Self::one(options),
        }
    }

    fn one(options: &SessionOptions<'_>) -> Result<Self, ConfigErrors> {
        let env = options.settings.load();
        let member = Member::read(&env, options)?;
        let mut errors = ConfigErrors::default();
        match LogSettings::read(&env, &mut errors) {
            Some(log) => Ok(Self {
                env,
                log,
                members: vec![member],
                failed: Vec::new(),
            }),
            None => Err(errors),
        }
    }

    fn organizations(options: &SessionOptions<'_>, folder: &Path) -> Result<Self, ConfigErrors> {
        let Organizations {
            dir,
            all,
            misnamed,
            sharing,
        } = Organizations::find(options.settings, folder)?;
        let mut errors = ConfigErrors::default();
        let log = LogSettings::read(dir.shared(), &mut errors);
        let Some(log) = log.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let (mut members, mut failed) = (
            Vec::new(),
            misnamed.into_iter().map(FailedMember::from).collect::<Vec<_>>(),
        );
        for organization in all {
            if let Some(problem) = sharing.get(&organization) {
                failed.push(FailedMember::sharing(organization, problem));
                continue;
            }
            match Member::read(&dir.read(organization), options) {
                Ok(member) => members.push(member),
                Err(errors) => failed.push(FailedMember::new(organization.name(), &errors)),
            }
        }
        Ok(Self {
            env: dir.shared().clone(),
            log,
            members,
            failed,
        })
    }

    /// Organizations whose settings were right and are not any more go on with those that were.
    fn keep_what_was_right(&mut self, members: &[Member]) {
        let was_right = |failed: &FailedMember| {
            let named = |member: &&Member| {
                member
                    .organization
                    .is_some_and(|organization| organization.name() == failed.name)
            };
            members.iter().find(named)
        };
        for failed in std::mem::take(&mut self.failed) {
            match was_right(&failed) {
                Some(member) => {
                    let FailedMember { name, problem } = failed;
                    tracing::error!(
                        organization = name,
                        "its settings could not be read again, and stay as they were: {problem}"
                    );
                    self.members.push(member.clone());
                }
                None => self.failed.push(failed),
            }
        }
        self.members.sort_by_key(|member| member.organization);
    }

    /// Returns what is another setting than these members have, by name.
    fn changes_from(&self, members: &[Member]) -> Changes {
        let mut changes = Changes::default();
        for member in &self.members {
            let before = members.iter().find(|before| before.organization == member.organization);
            let changed = match before {
                Some(before) => member.fingerprint.changes_from(&before.fingerprint),
                None => Changes::of(ITS_FILE),
            };
            changes.add(member.organization, changed);
        }
        let is_gone = |before: &&Member| {
            !self
                .members
                .iter()
                .any(|member| member.organization == before.organization)
        };
        for before in members.iter().filter(is_gone) {
            changes.add(before.organization, Changes::of(ITS_FILE));
        }
        changes
    }

    fn log_warnings(&self) {
        for member in &self.members {
            member
                .span()
                .in_scope(|| member.warnings.iter().for_each(|warning| tracing::warn!("{warning}")));
        }
        for failed in &self.failed {
            tracing::error!(organization = failed.name, "not collected: {}", failed.problem);
        }
    }
}
