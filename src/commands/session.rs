//! What `collect` and `reconcile` need before the first request: settings, log, sinks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use tracing::Instrument;

use super::error::CommandError;
use super::evidence_standing::EvidenceStanding;
use super::member::{FailedMember, Member};
use super::organizations::{Organizations, Owned, warn_of_unknown};
use super::sealing;
use super::session_options::SessionOptions;
use crate::config::{LOG_FORMAT, LogSettings, StreamSettings};
use crate::env::{Changes, ConfigErrors, Env, Organization, Row, ServiceManager, Stamps};
use crate::metrics::EvidenceFigures;
use crate::output::logging::Log;
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::Summary;
use crate::run::{self, Job, RunOptions, StartError};

/// Everything that is ready before the first request.
pub(super) struct Session<'a> {
    options: SessionOptions<'a>,
    /// The one of the installation, or each of its organizations whose settings are right.
    pub(super) members: Vec<Member>,
    /// Organizations that cannot be collected, and why.
    pub(super) failed: Vec<FailedMember>,
    /// Organizations whose settings have become wrong and stay as they were, and why.
    kept: BTreeMap<String, String>,
    /// What was seen of the files of organizations, if there are several.
    seen: Option<Seen>,
    /// The program's own log.
    log_settings: LogSettings,
    /// The service manager that started the process, if it expects reports.
    pub(super) manager: Option<ServiceManager>,
    pub(super) progress: Progress,
    pub(super) with_colours: bool,
    pub(super) log: &'a Log,
    clock: fn() -> DateTime<Utc>,
}

/// The files of a folder as they were when they were read.
#[derive(Clone)]
struct Seen {
    stamps: Stamps,
    owned: Owned,
}

/// Why the settings are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Somebody has asked for it.
    Asked,
    /// The folder of organizations is looked at from time to time.
    Look,
}

/// What has changed of the settings.
#[derive(Debug)]
enum Change {
    Added,
    Removed,
    Changed(Changes),
}

impl<'a> Session<'a> {
    /// Reads the settings and starts the log.
    pub(super) fn start(
        options: SessionOptions<'a>,
        log: &'a Log,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, CommandError> {
        let read = Read::all(&options, &Owned::new(), clock())?;
        let progress = Progress::unless_quiet(options.verbosity.quiet);
        // For each organization in turn it was started before.
        if options.settings.organization().is_none() {
            log.start(read.log.options(options.verbosity, &progress, clock))?;
        }
        if read.seen.is_some() {
            warn_of_unknown(&read.env);
        }
        read.members.iter().for_each(Member::log_warnings);
        read.failed.iter().for_each(FailedMember::log);
        Ok(Self {
            options,
            members: read.members,
            failed: read.failed,
            kept: BTreeMap::new(),
            seen: read.seen,
            log_settings: read.log,
            manager: read.env.service_manager(),
            progress,
            with_colours: stdout_takes_colours(read.env.allows_colours()),
            log,
            clock,
        })
    }

    /// Returns whether the folder of organizations may have others than those that were read: a file has changed, or one that was
    /// wrong may be right now.
    pub(super) async fn has_other_files(&self) -> bool {
        let (Some(seen), Some(folder)) = (&self.seen, self.options.settings.dir()) else {
            return false;
        };
        if !self.failed.is_empty() || !self.kept.is_empty() {
            return true;
        }
        let now = (self.clock)();
        let look = tokio::task::spawn_blocking(move || Stamps::of(&folder, now)).await;
        !matches!(look, Ok(Ok(stamps)) if stamps.are_same_as(&seen.stamps))
    }

    /// Reads the settings again, and takes them if they are right; returns the names of the streams that are to begin anew, if
    /// anything has changed.
    pub(super) fn reload(&mut self, occasion: Occasion) -> Result<Option<BTreeSet<&'static str>>, CommandError> {
        // The file of an organization may go: so does the organization.
        for member in self.members.iter().filter(|member| member.organization.is_none()) {
            member.fingerprint.check_settings_file(&self.options.settings.load())?;
        }
        let mut read = Read::all(&self.options, &self.known(occasion), (self.clock)())?;
        read.take_unchanged(&self.members);
        let kept = read.keep_what_was_right(&self.members);
        for (name, problem) in &kept {
            if occasion == Occasion::Asked || self.kept.get(name) != Some(problem) {
                let text = "its settings could not be read again, and stay as they were";
                tracing::error!(organization = name, "{text}: {problem}");
            }
        }
        let is_new = |failed: &&FailedMember| !self.failed.contains(failed);
        read.failed.iter().filter(is_new).for_each(FailedMember::log);
        (self.kept, self.failed, self.seen) = (kept, read.failed.clone(), read.seen.clone());
        if read.log.file != self.log_settings.file {
            self.log.move_to(&read.log.file)?;
        }
        if read.log.format != self.log_settings.format {
            tracing::warn!("another LOG_FORMAT is taken when the program is started again");
        }
        let changes = read.changes_from(&self.members);
        changes
            .iter()
            .for_each(|(organization, change)| change.log(*organization));
        (self.members, self.log_settings) = (read.members, read.log);
        let has_changed = |member: &&Member| changes.contains_key(&member.organization);
        let changed: Vec<_> = self.members.iter().filter(has_changed).collect();
        changed.iter().for_each(|member| member.log_warnings());
        let streams = changed.iter().flat_map(|member| &member.config.streams);
        Ok((!changes.is_empty()).then(|| streams.map(StreamSettings::name).collect()))
    }

    /// Returns the organizations that need not be read again at a look: their files are as they were, and they were right.
    fn known(&self, occasion: Occasion) -> Owned {
        let (Some(seen), Some(folder), Occasion::Look) = (&self.seen, self.options.settings.dir(), occasion) else {
            return Owned::new();
        };
        let Ok(stamps) = Stamps::of(&folder, (self.clock)()) else {
            return Owned::new();
        };
        if !stamps.have_same_common(&seen.stamps) {
            return Owned::new();
        }
        let right = self.members.iter().filter_map(|member| member.organization);
        let known = right.filter(|organization| {
            let name = organization.name();
            !self.kept.contains_key(name) && stamps.has_same(&seen.stamps, name)
        });
        known
            .filter_map(|organization| Some((organization, seen.owned.get(&organization)?.clone())))
            .collect()
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
    /// Organizations that are known, and were not read.
    unchanged: Vec<Organization>,
    seen: Option<Seen>,
}

impl Read {
    /// Reads those of the installation, or of each organization.
    ///
    /// # Errors
    /// All that is wrong with what the program has to know; of organizations, what all of them have, and that there is none.
    fn all(options: &SessionOptions<'_>, known: &Owned, now: DateTime<Utc>) -> Result<Self, ConfigErrors> {
        match (options.settings.organization(), options.settings.dir()) {
            (None, Some(folder)) => Self::organizations(options, &folder, known, now),
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
                unchanged: Vec::new(),
                seen: None,
            }),
            None => Err(errors),
        }
    }

    fn organizations(
        options: &SessionOptions<'_>,
        folder: &Path,
        known: &Owned,
        now: DateTime<Utc>,
    ) -> Result<Self, ConfigErrors> {
        // Before anything is read: what changes meanwhile is seen at the next look.
        let stamps = Stamps::of(folder, now).ok();
        let Organizations {
            dir,
            all,
            mut unchanged,
            misnamed,
            sharing,
            owned,
        } = Organizations::find_others(options.settings, folder, known)?;
        let mut errors = ConfigErrors::default();
        let log = LogSettings::read(dir.shared(), &mut errors);
        let Some(log) = log.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let (mut members, mut failed) = (
            Vec::new(),
            misnamed.into_iter().map(FailedMember::from).collect::<Vec<_>>(),
        );
        let asked_for = all.iter().map(|(organization, _)| organization).chain(&unchanged);
        let shares = asked_for.filter_map(|one| Some(FailedMember::sharing(*one, sharing.get(one)?)));
        failed.extend(shares);
        unchanged.retain(|organization| !sharing.contains_key(organization));
        let alone = all
            .into_iter()
            .filter(|(organization, _)| !sharing.contains_key(organization));
        for (organization, env) in alone {
            match Member::read(&env, options) {
                Ok(member) => members.push(member),
                Err(wrong) => {
                    errors.append(wrong.of_all());
                    failed.push(FailedMember::new(organization.name(), &wrong));
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            env: dir.shared().clone(),
            log,
            members,
            failed,
            unchanged,
            seen: stamps.map(|stamps| Seen { stamps, owned }),
        })
    }

    /// Takes the members that need not be read again.
    fn take_unchanged(&mut self, members: &[Member]) {
        let unchanged = std::mem::take(&mut self.unchanged);
        let is_unchanged = |member: &&Member| member.organization.is_some_and(|one| unchanged.contains(&one));
        self.members.extend(members.iter().filter(is_unchanged).cloned());
        self.members.sort_by_key(|member| member.organization);
    }

    /// Organizations whose settings were right and are not any more go on with those that were; returns them, and what is wrong.
    fn keep_what_was_right(&mut self, members: &[Member]) -> BTreeMap<String, String> {
        let before: BTreeMap<_, _> = members
            .iter()
            .filter_map(|member| Some((member.organization?.name(), member)))
            .collect();
        let mut kept = BTreeMap::new();
        for failed in std::mem::take(&mut self.failed) {
            match before.get(failed.name.as_str()) {
                Some(member) => {
                    self.members.push(Member::clone(member));
                    kept.insert(failed.name, failed.problem);
                }
                None => self.failed.push(failed),
            }
        }
        self.members.sort_by_key(|member| member.organization);
        kept
    }

    /// Returns of whom something is another than these members have.
    fn changes_from(&self, members: &[Member]) -> BTreeMap<Option<Organization>, Change> {
        let before: BTreeMap<_, _> = members.iter().map(|member| (member.organization, member)).collect();
        let mut changes = BTreeMap::new();
        for member in &self.members {
            let change = match before.get(&member.organization) {
                Some(before) => {
                    let changes = member.fingerprint.changes_from(&before.fingerprint);
                    Change::Changed(changes.without(&LOG_FORMAT.name()))
                }
                None => Change::Added,
            };
            changes.insert(member.organization, change);
        }
        changes.retain(|_, change| !matches!(change, Change::Changed(changes) if changes.is_empty()));
        let now: BTreeSet<_> = self.members.iter().map(|member| member.organization).collect();
        let gone = before.into_keys().filter(|before| !now.contains(before));
        changes.extend(gone.map(|gone| (gone, Change::Removed)));
        changes
    }
}

impl Change {
    /// Says whose settings are others; without organizations, those of the installation.
    fn log(&self, organization: Option<Organization>) {
        let Some(organization) = organization else {
            if let Self::Changed(changes) = self {
                tracing::info!("the settings were read again, and the streams start anew with them: {changes} changed");
            }
            return;
        };
        match self {
            Self::Added => tracing::info!(%organization, "added: it is collected from now on"),
            Self::Removed => tracing::info!(%organization, "removed: it is not collected any more"),
            Self::Changed(changes) => tracing::info!(%organization, "changed, and its streams start anew: {changes}"),
        }
    }
}
