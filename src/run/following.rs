//! Which streams are followed: those that run, and those that begin when others have ended. The streams whose settings stay as they
//! are go on undisturbed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use super::follow::{FollowOptions, RunReport, Stream, first_locks};
use super::slots::Slots;
use super::{Job, StartError, addresses, hosts_of};
use crate::archive::Lock;
use crate::fetch::host::Hosts;
use crate::output::progress::Progress;
use crate::process::shutdown::{self, ShutdownTrigger};

/// How many reports can wait to be looked at, before the streams wait.
const REPORTS: usize = 64;

/// The streams that are followed, each in its own task.
#[derive(Debug)]
pub(crate) struct Following {
    options: FollowOptions,
    progress: Progress,
    hosts: Arc<Hosts>,
    slots: Arc<Slots>,
    /// What is to run.
    wanted: Vec<Job>,
    running: HashMap<Id, Running>,
    tasks: JoinSet<()>,
    step: Step,
    sender: mpsc::Sender<RunReport>,
    reports: mpsc::Receiver<RunReport>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    /// Ends it, after the write under way.
    stop: ShutdownTrigger,
    is_ending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What is wanted runs.
    Settled,
    /// Some streams are to end first: another may have their folders, or it is the same one with other settings.
    Changing,
    /// All are to end.
    Ending,
}

/// What has happened.
#[derive(Debug)]
pub(crate) enum News {
    /// A stream has made a run.
    Ran(Box<RunReport>),
    /// What was changed runs now, and nothing else does.
    Changed,
    /// The last stream has ended.
    Ended,
}

impl Following {
    /// Begins to collect these streams.
    ///
    /// # Errors
    /// Another run holds one of the catalogs, and is not waited for; then nothing is collected.
    pub(crate) fn start(jobs: Vec<Job>, options: FollowOptions, progress: &Progress) -> Result<Self, StartError> {
        let locks = first_locks(&jobs, &options)?;
        let (sender, reports) = mpsc::channel(REPORTS);
        let mut following = Self {
            options,
            progress: progress.clone(),
            hosts: hosts_of(jobs.iter().map(Job::settings)),
            slots: Arc::new(Slots::of(jobs.len())),
            wanted: jobs,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            step: Step::Settled,
            sender,
            reports,
        };
        for (job, lock) in following.wanted.clone().into_iter().zip(locks) {
            following.begin(job, lock.map(Arc::new));
        }
        Ok(following)
    }

    /// Goes on with these streams: those with these names begin anew, and those that are not among them end. The options are for
    /// streams that begin.
    pub(crate) fn go_on_with(&mut self, jobs: Vec<Job>, anew: &BTreeSet<&'static str>, options: FollowOptions) {
        let names: BTreeSet<_> = jobs.iter().map(|job| job.settings.name()).collect();
        for running in self.running.values_mut() {
            if anew.contains(running.name) || !names.contains(running.name) {
                running.end();
            }
        }
        (self.wanted, self.options) = (jobs, options);
        if self.step == Step::Settled {
            self.step = Step::Changing;
        }
    }

    /// Ends all streams, each after the write under way.
    pub(crate) fn end(&mut self) {
        self.step = Step::Ending;
        self.running.values_mut().for_each(Running::end);
    }

    /// Waits for what happens next. Given up while it waits, it loses nothing.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            match self.step {
                Step::Changing if !self.running.values().any(|running| running.is_ending) => {
                    self.settle();
                    return News::Changed;
                }
                Step::Ending if self.tasks.is_empty() => {
                    let last = self.reports.try_recv();
                    return last.map_or(News::Ended, |report| News::Ran(Box::new(report)));
                }
                _ => {}
            }
            tokio::select! {
                biased;
                Some(report) = self.reports.recv() => return News::Ran(Box::new(report)),
                Some(ended) = self.tasks.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        Err(error) => {
                            tracing::error!("a stream ended with an internal error: {error}; please report it");
                            error.id()
                        }
                    };
                    self.running.remove(&id);
                }
            }
        }
    }

    /// Begins what is wanted and does not run.
    fn settle(&mut self) {
        self.step = Step::Settled;
        self.hosts.go_on_with(addresses(self.wanted.iter().map(Job::settings)));
        self.slots.go_on_with(self.wanted.len());
        let running: BTreeSet<_> = self.running.values().map(|running| running.name).collect();
        for job in self.wanted.clone() {
            if !running.contains(job.settings.name()) {
                self.begin(job, None);
            }
        }
    }

    fn begin(&mut self, job: Job, lock: Option<Arc<Lock>>) {
        let name = job.settings.name();
        let (stop, stopped) = shutdown::channel();
        let stream = Stream {
            settings: job.settings,
            lock,
            options: self.options.clone(),
            hosts: Arc::clone(&self.hosts),
            slots: Arc::clone(&self.slots),
            targets: job.targets,
            upkeep: job.upkeep,
            progress: self.progress.clone(),
            shutdown: stopped,
        };
        // Adds the stream's name to each of its log lines; at the error level, so that `-q` keeps it.
        let span = tracing::error_span!("stream", stream = name);
        let task = self
            .tasks
            .spawn(stream.keep_collecting(self.sender.clone()).instrument(span));
        self.running.insert(
            task.id(),
            Running {
                name,
                stop,
                is_ending: false,
            },
        );
    }
}

impl Running {
    fn end(&mut self) {
        self.is_ending = true;
        self.stop.trigger();
    }
}
