//! A member of an archive: it reads its partitions round by round, and files what came.
//!
//! A round: what the group knows of the partitions, and which are this member's; the state of the fleet, to its end; then how far each
//! partition is written and decided; then each to its end, in batches that are filed, noted on disk and told to the group. When all that
//! was written before that is decided and filed, what the state says of coverage is true of the day files.
//!
//! All of it is done by one thread, which polls for the group in between.

mod beginning;
mod owning;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::batch::{Batch, Held};
use super::filed_streams::FiledStreams;
use super::incoming::{Parts, of_aside, of_audit, stream_of};
use super::known_streams::KnownStreams;
use super::member_note::{BASE, MemberNote, NoteError};
use super::report::{ArchiveReport, ElsewhereReport, PartitionReport};
use super::strays::Strays;
use crate::archive::{Location, Lock, LockError};
use crate::config::{ArchiveSettings, ArchiveStream};
use crate::coverage::Entry;
use crate::forward::kafka::fleet::{Bounds, Partition, PartitionReader, ReadEnd, Sharing, SharingError, Taken, Topics};
use crate::process::awake::Stopwatch;
use crate::process::shutdown::Shutdown;
use beginning::gone;
use owning::Owner;

/// A member begins with a partition that nobody has begun with when it was assigned for so long: those that are started together share.
const SETTLED: Duration = Duration::from_secs(5);

/// How long the group is polled for at a time.
const TICK: Duration = Duration::from_millis(100);

/// A member that reads to the end and ends waits so long for what is not decided yet, and for what others may still begin with.
const UNDECIDED: Duration = Duration::from_secs(10);

/// What a member is told.
pub(crate) struct ArchivistOptions {
    pub(crate) settings: ArchiveSettings,
    pub(crate) streams: Vec<ArchiveStream>,
    /// Whether it ends when everything is filed.
    pub(crate) once: bool,
    /// Whether it takes over partitions that another member has written.
    pub(crate) take_over: bool,
    /// Whether it goes on where messages are gone before they were read.
    pub(crate) accept_missing: bool,
    /// Whether it reads all that Kafka still has once more.
    pub(crate) from_start: bool,
    /// The wait between two rounds.
    pub(crate) interval: Duration,
    /// Who is told after each round how it stands.
    pub(crate) told: Option<mpsc::UnboundedSender<ArchiveReport>>,
    /// Returns the current time.
    pub(crate) clock: fn() -> DateTime<Utc>,
}

/// Why a member cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Kafka cannot be used.
    #[error("{0}")]
    Kafka(String),
    /// Its folder cannot be used.
    #[error("{0}")]
    Folder(String),
    /// Another process is this member.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The group does not take it.
    #[error(transparent)]
    Sharing(#[from] SharingError),
}

impl ArchiveError {
    /// Returns whether another process is this member.
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::Lock(error) => error.is_held(),
            Self::Sharing(error) => matches!(error, SharingError::Twice(_)),
            Self::Kafka(_) | Self::Folder(_) => false,
        }
    }
}

impl From<NoteError> for ArchiveError {
    fn from(error: NoteError) -> Self {
        Self::Folder(error.to_string())
    }
}

/// Why a round has ended early.
enum RoundEnd {
    /// A shutdown was requested.
    Stopped,
    /// Kafka does not answer; it is tried again.
    Kafka(String),
    /// The member's folder cannot be written to, as when its disk is full; it is tried again.
    Folder(String),
    /// The member cannot go on.
    Fatal(ArchiveError),
}

impl From<SharingError> for RoundEnd {
    fn from(error: SharingError) -> Self {
        Self::Fatal(error.into())
    }
}

/// What came of a round.
struct Round {
    /// Whether the group has shared out the partitions, and this member has begun with those that it may begin with.
    is_settled: bool,
    /// Whether something may come of waiting: what is not decided, what nobody has begun with, who has ended without a word.
    is_open: bool,
}

/// What is done while it is waited for messages: the group is polled, and it is looked whether to stop.
struct Idle {
    sharing: Rc<Sharing>,
    shutdown: Shutdown,
    error: RefCell<Option<SharingError>>,
}

impl Idle {
    fn look(&self) -> ControlFlow<()> {
        match self.sharing.poll(Duration::ZERO) {
            Err(error) => drop(self.error.borrow_mut().replace(error)),
            Ok(()) if self.shutdown.is_requested() => {}
            Ok(()) => return ControlFlow::Continue(()),
        }
        ControlFlow::Break(())
    }

    /// Returns what an end of reading means.
    fn end_of(self, read: Result<(), ReadEnd>) -> Result<(), RoundEnd> {
        match (self.error.into_inner(), read) {
            (Some(error), _) => Err(error.into()),
            (None, Ok(())) => Ok(()),
            (None, Err(ReadEnd::Stopped)) => Err(RoundEnd::Stopped),
            (None, Err(ReadEnd::Kafka(problem))) => Err(RoundEnd::Kafka(problem)),
        }
    }
}

/// A member.
pub(crate) struct Archivist {
    options: ArchivistOptions,
    location: Location,
    note: MemberNote,
    /// How many partitions each audit topic has.
    counts: BTreeMap<String, i32>,
    /// How many that of what is rejected has.
    aside_count: i32,
    reader: Rc<PartitionReader>,
    sharing: Rc<Sharing>,
    known: KnownStreams,
    streams: FiledStreams,
    shutdown: Shutdown,
    /// The partitions that are this member's, and up to where the group thinks they are filed.
    own: BTreeMap<Partition, i64>,
    /// The others, and the member whose they are.
    elsewhere: BTreeMap<Partition, Option<Owner>>,
    /// Who is in the group, if Kafka says so, and others have partitions.
    present: Option<BTreeSet<String>>,
    /// When that was asked.
    asked_present: Option<Stopwatch>,
    /// Up to where each partition was written when it was looked last.
    ends: BTreeMap<Partition, i64>,
    /// What could not be filed of each topic.
    held: BTreeMap<String, Held>,
    strays: Strays,
    /// Why a partition is not gone on with.
    stuck: BTreeMap<Partition, String>,
    /// The partitions that were begun anew, since all is to be read once more.
    begun_anew: BTreeSet<Partition>,
    /// Streams of which messages stood in other partitions than theirs.
    astray: BTreeSet<String>,
    /// Streams of which the state says nothing, although it was read again for them.
    stateless: BTreeSet<String>,
    problems: Vec<String>,
    /// What is to be known since the start.
    warnings: Vec<String>,
    /// Where the partitions of the topic of what is rejected begin.
    aside_lows: BTreeMap<i32, i64>,
    /// Whether the state was read again while records were.
    is_state_newer: bool,
    /// What was said last, so that it is not said in each round.
    said: BTreeSet<String>,
}

impl Archivist {
    /// Joins the group, and begins with nothing yet. It blocks.
    ///
    /// # Errors
    /// If its folder, Kafka or the group cannot be used.
    pub(crate) fn join(options: ArchivistOptions, shutdown: &Shutdown) -> Result<Self, ArchiveError> {
        let settings = &options.settings;
        let fleet = &settings.fleet;
        let location = Location::new(&settings.folder, BASE, "log");
        let location = location.map_err(|error| ArchiveError::Folder(error.to_string()))?;
        let lock = Arc::new(Lock::acquire_for_run(&location, "archive", (options.clock)())?);
        let note = MemberNote::read_or_begin(&location, &fleet.id, &settings.group)?;
        let topics: BTreeSet<String> = options.streams.iter().map(|stream| stream.topic.clone()).collect();
        let (counts, buckets, aside_count) = count_partitions(settings, &topics).map_err(ArchiveError::Kafka)?;
        let reader = || PartitionReader::new(&fleet.kafka, &settings.group).map_err(ArchiveError::Kafka);
        let sharing = Sharing::join(&fleet.kafka, (&settings.group, &note.member), &topics);
        Ok(Self {
            known: KnownStreams::of(Some(reader()?), (&fleet.state_topic, buckets)),
            streams: FiledStreams::of(&fleet.id, &options.streams, &counts, options.clock),
            reader: Rc::new(reader()?),
            sharing: Rc::new(sharing.map_err(ArchiveError::Kafka)?),
            location,
            strays: Strays::of(lock),
            note,
            counts,
            aside_count,
            options,
            shutdown: shutdown.clone(),
            own: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            present: None,
            asked_present: None,
            ends: BTreeMap::new(),
            held: BTreeMap::new(),
            stuck: BTreeMap::new(),
            begun_anew: BTreeSet::new(),
            astray: BTreeSet::new(),
            stateless: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            aside_lows: BTreeMap::new(),
            is_state_newer: false,
            said: BTreeSet::new(),
        })
    }

    /// Files round by round, until a shutdown, or until everything is filed if it was told so. It blocks.
    ///
    /// # Errors
    /// If the group, or its folder, cannot be used any more; or Kafka, where it is to end by itself.
    pub(crate) fn run(&mut self) -> Result<(), ArchiveError> {
        let (group, member) = (&self.options.settings.group, &self.note.member);
        tracing::info!(group, member, "joining the group of the archive");
        let once = self.options.once;
        let mut settled: Option<Stopwatch> = None;
        loop {
            match self.round() {
                Ok(round) if once && round.is_settled => {
                    let waited = settled.get_or_insert_with(Stopwatch::start).awake();
                    if !round.is_open || waited > UNDECIDED {
                        return Ok(());
                    }
                }
                Ok(_) => {}
                Err(RoundEnd::Stopped) => return Ok(()),
                Err(RoundEnd::Fatal(error)) => return Err(error),
                Err(RoundEnd::Kafka(problem)) if once => return Err(ArchiveError::Kafka(problem)),
                Err(RoundEnd::Folder(problem)) if once => return Err(ArchiveError::Folder(problem)),
                Err(RoundEnd::Kafka(problem) | RoundEnd::Folder(problem)) => {
                    self.complain(&problem);
                    self.problems = vec![problem];
                }
            }
            let pause = if once { TICK * 2 } else { self.options.interval };
            let waited = Stopwatch::start();
            while waited.awake() < pause {
                if self.shutdown.is_requested() {
                    return Ok(());
                }
                self.sharing.poll(TICK)?;
            }
        }
    }

    /// Says what is wrong, once for as long as it is.
    fn complain(&mut self, problem: &str) {
        if self.said.insert(problem.to_owned()) {
            tracing::error!("{problem}");
        }
    }

    /// Says everything that is to be said, once for as long as it is so, and how it stands.
    fn say(&mut self) {
        let report = self.report();
        let (problems, warnings) = (report.sentences(), report.warnings.clone());
        let notice = report.notice();
        let is_said =
            |said: &String| problems.contains(said) || warnings.contains(said) || notice.as_ref() == Some(said);
        self.said.retain(is_said);
        problems.iter().for_each(|problem| self.complain(problem));
        for warning in warnings {
            if !self.said.contains(&warning) {
                tracing::warn!("{warning}");
                self.said.insert(warning);
            }
        }
        if let Some(notice) = notice.filter(|notice| self.said.insert(notice.clone())) {
            tracing::info!("{notice}");
        }
        if let Some(told) = &self.options.told {
            // If nobody listens any more, the member is about to end.
            let _ = told.send(report);
        }
    }

    fn round(&mut self) -> Result<Round, RoundEnd> {
        self.sharing.poll(Duration::ZERO)?;
        self.problems.clear();
        self.stuck.clear();
        self.streams.forget_problems();
        let is_settled = self.find_own()?;
        let lows = self.lows_of_new()?;
        let idle = self.idle();
        let read = self.known.read_on(|| idle.look());
        idle.end_of(read)?;
        self.is_state_newer = false;
        self.streams.check(&self.known, &self.own);
        self.begin(&lows)?;
        self.note_origins()?;
        let bounds = self.bounds()?;
        self.ends = bounds
            .iter()
            .map(|(partition, bounds)| (partition.clone(), bounds.high))
            .collect();
        let aside_topic = self.aside_topic();
        let of_aside = bounds.iter().filter(|((topic, _), _)| *topic == aside_topic);
        self.aside_lows = of_aside
            .map(|((_, partition), bounds)| (*partition, bounds.low))
            .collect();
        let grown = self.note_grown();
        self.read_audit(&bounds)?;
        self.read_aside(&bounds)?;
        self.claim(&bounds, &grown)?;
        if is_settled || !self.own.is_empty() {
            self.say();
        }
        let is_decided = bounds.values().all(Bounds::is_decided);
        let not_begun = self.elsewhere.values().any(Option::is_none);
        // One that has ended is in the group for a while.
        let mut owners = self.elsewhere.values().flatten();
        let may_be_gone = self.own.is_empty() && owners.all(|owner| self.is_present(owner));
        Ok(Round {
            is_settled,
            is_open: !is_decided || self.is_state_newer || not_begun || may_be_gone,
        })
    }

    /// Notes what the fleet has covered of each stream whose messages are all filed that were written before the state was read: those of
    /// its partition, and of the topic of what is rejected.
    fn claim(&mut self, bounds: &BTreeMap<Partition, Bounds>, grown: &BTreeSet<String>) -> Result<(), RoundEnd> {
        if self.is_state_newer {
            return Ok(());
        }
        let is_whole =
            |(partition, bounds): (&Partition, &Bounds)| bounds.is_decided() && !self.stuck.contains_key(partition);
        let aside_topic = self.aside_topic();
        let (mut open, mut is_aside_open) = (BTreeSet::new(), false);
        for (partition, _) in bounds.iter().filter(|entry| !is_whole(*entry)) {
            is_aside_open |= partition.0 == aside_topic;
            open.insert(partition.clone());
        }
        let held: BTreeSet<String> = self.held.values().flat_map(Held::streams).cloned().collect();
        let (own, astray) = (&self.own, &self.astray);
        let is_filed = |name: &str, home: &Partition| {
            own.contains_key(home)
                && !is_aside_open
                && !held.contains(name)
                && !grown.contains(&home.0)
                && !open.contains(home)
                // A stream that stands in several partitions is whole when all are.
                && (open.is_empty() || !astray.contains(name))
        };
        if self.streams.claim(&self.known, is_filed, &mut self.note) {
            self.store()?;
        }
        Ok(())
    }

    fn idle(&self) -> Idle {
        Idle {
            sharing: Rc::clone(&self.sharing),
            shutdown: self.shutdown.clone(),
            error: RefCell::new(None),
        }
    }

    fn aside_topic(&self) -> String {
        self.options.settings.fleet.rejected_topic.clone()
    }

    fn store(&self) -> Result<(), RoundEnd> {
        let stored = self.note.store(&self.location);
        stored.map_err(|error| RoundEnd::Folder(error.to_string()))
    }

    /// Returns how far the partitions that are read are written and decided.
    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, RoundEnd> {
        let of_aside = (0..self.aside_count).map(|partition| (self.aside_topic(), partition));
        let asked = self
            .own
            .keys()
            .cloned()
            .chain(of_aside.filter(|_| !self.own.is_empty()));
        let bounds = |partition: Partition| {
            let bounds = self.reader.bounds(&partition.0, partition.1).map_err(RoundEnd::Kafka)?;
            Ok((partition, bounds))
        };
        asked.map(bounds).collect()
    }

    /// Notes which topics have more partitions than when this member began; returns them.
    fn note_grown(&mut self) -> BTreeSet<String> {
        let grown = self.note.grown(&self.counts);
        let problems = grown.iter().map(|(topic, count, noted)| {
            format!(
                "the topic `{topic}` has {count} partitions, and had {noted} when this archive began: its streams are in others by now, of \
                 which other members may have the rest, so none of them is called complete any more; begin another archive, with another \
                 ARCHIVE_GROUP and empty folders"
            )
        });
        self.problems.extend(problems);
        grown.iter().map(|(topic, ..)| (*topic).to_owned()).collect()
    }

    /// Reads the audit topics.
    fn read_audit(&mut self, bounds: &BTreeMap<Partition, Bounds>) -> Result<(), RoundEnd> {
        let topics: Vec<String> = self.counts.keys().cloned().collect();
        for topic in topics {
            let mut starts = BTreeMap::new();
            let own: Vec<_> = self.own.iter().filter(|((found, _), _)| *found == topic).collect();
            let own: Vec<(Partition, i64)> = own
                .into_iter()
                .map(|(partition, offset)| (partition.clone(), *offset))
                .collect();
            for (partition, committed) in own {
                let Some(bounds) = bounds.get(&partition) else { continue };
                if let Some(start) = self.start_of(&partition, committed, bounds)? {
                    starts.insert(partition.1, start);
                }
            }
            self.read_topic((&topic, None), &starts, bounds)?;
        }
        Ok(())
    }

    /// Returns from where on a partition is read: where its day files end, or the group says; from further back, where a stream was passed
    /// over that the settings have by now.
    fn start_of(&mut self, partition: &Partition, committed: i64, bounds: &Bounds) -> Result<Option<i64>, RoundEnd> {
        let Some(progress) = self.note.progress(partition).cloned() else {
            return Ok(None);
        };
        if self.options.from_start && self.begun_anew.insert(partition.clone()) {
            self.accept_missing(partition, (bounds.low, bounds.low))?;
            self.note.aside_for.clear();
            return Ok(Some(bounds.low));
        }
        let mut start = progress.next.min(committed);
        let known = progress.skipped.iter().filter(|(name, _)| self.streams.has(name));
        let back: Vec<_> = known.map(|(name, offset)| (name.clone(), *offset)).collect();
        for (name, offset) in back {
            start = start.min(offset);
            if let Some(progress) = self.note.progress_mut(partition) {
                progress.skipped.remove(&name);
                progress.next = progress.next.min(offset);
            }
        }
        if let Some(gone) = gone(start, bounds) {
            if !self.options.accept_missing {
                self.stuck.insert(partition.clone(), gone);
                return Ok(None);
            }
            tracing::warn!(topic = partition.0, partition = partition.1, "{gone}");
            self.accept_missing(partition, (bounds.low, i64::MAX))?;
            start = bounds.low;
        }
        Ok(Some(start))
    }

    /// Reads the topic of what is rejected: all of it, since a stream can be in any of its partitions.
    fn read_aside(&mut self, bounds: &BTreeMap<Partition, Bounds>) -> Result<(), RoundEnd> {
        let topic = self.aside_topic();
        let at_home = self.streams.at_home(&self.own);
        let is_new = !at_home.is_subset(&self.note.aside_for);
        let mut starts = BTreeMap::new();
        for (partition, bounds) in bounds.iter().filter(|((found, _), _)| *found == topic) {
            let noted = self.note.aside.get(&partition.1).copied().filter(|_| !is_new);
            let mut start = noted.unwrap_or(bounds.low);
            if let Some(gone) = gone(start, bounds) {
                if !self.options.accept_missing {
                    self.stuck.insert(partition.clone(), gone);
                    continue;
                }
                tracing::warn!(topic, partition = partition.1, "{gone}");
                let own: Vec<_> = self.own.keys().cloned().collect();
                for own in own {
                    let next = self.note.progress(&own).map_or(0, |progress| progress.next);
                    self.accept_missing(&own, (next, i64::MAX))?;
                }
                start = bounds.low;
            }
            starts.insert(partition.1, start);
        }
        let is_all = starts.len() as i32 == self.aside_count;
        self.read_topic((&topic, Some(Parts::default())), &starts, bounds)?;
        let is_held = self
            .held
            .get(&topic)
            .is_some_and(|held| held.streams().next().is_some());
        if is_new && is_all && !is_held {
            self.note.aside_for = at_home;
            self.store()?;
        }
        Ok(())
    }

    /// Reads partitions of a topic to their ends, and files what came.
    fn read_topic(
        &mut self,
        (topic, parts): (&str, Option<Parts>),
        starts: &BTreeMap<i32, i64>,
        bounds: &BTreeMap<Partition, Bounds>,
    ) -> Result<(), RoundEnd> {
        let before = self.held.remove(topic).unwrap_or_default();
        let mut batch = Batch::of(topic, starts, parts, before);
        let (reader, idle) = (Rc::clone(&self.reader), self.idle());
        let mut failed = None;
        let read = reader.read_to_end(
            topic,
            starts,
            || idle.look(),
            |message| match self.take(&mut batch, &message) {
                Ok(()) => ControlFlow::Continue(()),
                Err(end) => {
                    failed = Some(end);
                    ControlFlow::Break(())
                }
            },
        );
        if let Some(end) = failed {
            return Err(end);
        }
        let ended = idle.end_of(read);
        if ended.is_ok() {
            // What is behind the last message is no message: markers of transactions, and what was aborted.
            for partition in starts.keys() {
                let bounds = bounds.get(&(topic.to_owned(), *partition));
                batch.note_read(*partition, bounds.map_or(0, |bounds| bounds.stable));
            }
        }
        // Also after an error: what was read is there.
        let flushed = self.flush(&mut batch);
        self.held.insert(topic.to_owned(), batch.into_held());
        ended.and(flushed)
    }

    fn take(&mut self, batch: &mut Batch, message: &Taken<'_>) -> Result<(), RoundEnd> {
        batch.note_read(message.partition, message.offset + 1);
        match stream_of(message, self.streams.are_of_organizations()) {
            Ok((name, value)) => self.take_of_stream(batch, message, (&name, value)),
            Err(stray) => self.strays.take(&batch.topic, message, &stray),
        }
        if batch.loads.is_enough() || self.strays.is_enough() {
            self.flush(batch)
        } else {
            Ok(())
        }
    }

    /// Adds what is to be filed of a message.
    fn take_of_stream(&mut self, batch: &mut Batch, message: &Taken<'_>, (name, value): (&str, &[u8])) {
        let place = (message.partition, message.offset);
        if batch.parts.is_none() {
            return self.take_record(batch, place, (name, value));
        }
        if !self.streams.is_at_home(name, &self.own) || batch.passes_over(name, place) {
            return;
        }
        if self.streams.is_refused(name) {
            return batch.hold(name, place);
        }
        let whole = batch.parts.as_mut().and_then(|parts| parts.take(name, value, message));
        let Some((first, whole)) = whole else { return };
        if let Some(Some(incoming)) = self.streams.read(name, |reader| of_aside(&whole, reader)) {
            batch.add(name, (message.partition, first), incoming);
        }
    }

    fn take_record(&mut self, batch: &mut Batch, place: (i32, i64), (name, value): (&str, &[u8])) {
        let partition = (batch.topic.clone(), place.0);
        let Some(home) = self.streams.home(name) else {
            if let Some(progress) = self.note.progress_mut(&partition) {
                progress.skipped.entry(name.to_owned()).or_insert(place.1);
            }
            return;
        };
        if *home != partition && !self.astray.contains(name) {
            self.astray.insert(name.to_owned());
        }
        if batch.passes_over(name, place) {
            return;
        }
        if self.streams.is_refused(name) {
            return batch.hold(name, place);
        }
        if let Some(incoming) = self.streams.read(name, |reader| of_audit(value, reader)) {
            batch.add(name, place, incoming);
        }
    }

    /// Files what came, notes on disk how far that is, and tells the group.
    fn flush(&mut self, batch: &mut Batch) -> Result<(), RoundEnd> {
        let loads = std::mem::take(&mut batch.loads);
        let stateless = loads.without_state(&self.known);
        if !stateless.is_subset(&self.stateless) {
            // The first records of a stream came after the state was read; it was written before them.
            let idle = self.idle();
            let read = self.known.read_on(|| idle.look());
            self.is_state_newer = true;
            idle.end_of(read)?;
            self.stateless.extend(loads.without_state(&self.known));
        }
        let kept = self.strays.keep((self.options.clock)());
        kept.map_err(|error| RoundEnd::Folder(error.to_string()))?;
        let not_filed = self.streams.file(loads, &self.known, &self.note);
        let news = batch.note_filed(not_filed);
        if news.is_empty() {
            return Ok(());
        }
        if batch.parts.is_some() {
            self.note.aside.extend(news);
            return self.store();
        }
        let news: BTreeMap<Partition, i64> = news
            .into_iter()
            .map(|(partition, next)| ((batch.topic.clone(), partition), next))
            .collect();
        for (partition, next) in &news {
            if let Some(progress) = self.note.progress_mut(partition) {
                progress.next = *next;
            }
        }
        self.store()?;
        let filed = news.iter().map(|(partition, next)| (partition, *next));
        match self.sharing.note_filed(filed, &self.signature()) {
            Ok(()) => self.own.extend(news),
            // What is noted on disk counts; the group is told again in the next round.
            Err(problem) => tracing::debug!("{problem}"),
        }
        Ok(())
    }

    /// Returns whether the fleet has ever collected a stream.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.known.get(name).is_some()
    }

    /// Returns the last run of the fleet whose coverage was noted since the start.
    pub(crate) fn claimed(&self, name: &str) -> Option<&Entry> {
        self.streams.claimed(name)
    }

    /// Returns how it stands.
    pub(crate) fn report(&self) -> ArchiveReport {
        let partitions = self.own.keys().map(|partition| {
            let next = self.note.progress(partition).map_or(0, |progress| progress.next);
            let end = self.ends.get(partition).copied().unwrap_or(next);
            PartitionReport {
                topic: partition.0.clone(),
                partition: partition.1,
                next,
                waiting: (end - next).max(0),
                problem: self.stuck.get(partition).cloned().or_else(|| self.held_back(partition)),
            }
        });
        let elsewhere = self.elsewhere.iter().filter_map(|((topic, partition), owner)| {
            let owner = owner.as_ref()?;
            Some(ElsewhereReport {
                topic: topic.clone(),
                partition: *partition,
                host: owner.host.clone(),
                present: self.is_present(owner),
            })
        });
        let own = self.own.keys().filter_map(|partition| self.note.progress(partition));
        let skipped = own.flat_map(|progress| progress.skipped.keys().cloned());
        let is_released = |name: &String| self.known.get(name).is_some_and(|state| state.is_released);
        let unknown = skipped.filter(|name| !self.streams.has(name) && !is_released(name));
        let unknown: BTreeSet<String> = unknown.map(|name| name.trim_start_matches('/').to_owned()).collect();
        let aside = self
            .stuck
            .iter()
            .filter(|(partition, _)| !self.own.contains_key(*partition));
        let aside = aside.map(|((topic, partition), problem)| format!("{topic}, partition {partition}: {problem}"));
        let aside_topic = self.aside_topic();
        let mut report = ArchiveReport {
            fleet: self.note.fleet.clone(),
            group: self.note.group.clone(),
            member: self.note.member.clone(),
            partitions: partitions.collect(),
            elsewhere: elsewhere.collect(),
            not_begun: self.elsewhere.values().filter(|owner| owner.is_none()).count(),
            streams: self.streams.reports(&self.own, |home| {
                self.stuck.contains_key(home) || self.stuck.keys().any(|(topic, _)| *topic == aside_topic)
            }),
            unknown: unknown.into_iter().collect(),
            rejected: self.strays.count(),
            problems: self.problems.iter().cloned().chain(aside).collect(),
            warnings: self.warnings.iter().cloned().chain(self.strays.sentences()).collect(),
        };
        report.warnings.extend(report.why_idle());
        report
    }

    /// Says which streams hold a partition back.
    fn held_back(&self, partition: &Partition) -> Option<String> {
        let held = self.held.get(&partition.0)?.streams_of(partition.1);
        let names: Vec<_> = held.map(|name| name.trim_start_matches('/')).collect();
        (!names.is_empty()).then(|| format!("what came of {} could not be filed", names.join(", ")))
    }
}

/// Returns how many partitions each of these topics has, that of the state, and that of what is rejected.
fn count_partitions(
    settings: &ArchiveSettings,
    topics: &BTreeSet<String>,
) -> Result<(BTreeMap<String, i32>, i32, i32), String> {
    let fleet = &settings.fleet;
    let asked = Topics::new(&fleet.kafka)?;
    let (mut counts, mut problems) = (BTreeMap::new(), Vec::new());
    let of_fleet = [&fleet.state_topic, &fleet.rejected_topic];
    for topic in topics.iter().chain(of_fleet) {
        match asked.partitions(topic)? {
            Some(count) => drop(counts.insert(topic.clone(), count)),
            None => problems.push(format!(
                "there is no topic `{topic}`: make the fleet first, with `trailkeeper fleet init` and its audit topics"
            )),
        }
    }
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    let [buckets, aside_count] = of_fleet.map(|topic| counts.remove(topic).unwrap_or_default());
    Ok((counts, buckets, aside_count))
}
