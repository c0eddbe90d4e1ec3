//! A member of an archive: it reads its partitions round by round, and files what came.
//!
//! A round: what the group knows of the partitions, and which are this member's; the state of the fleet, to its end; then how far each
//! partition is written and decided; then each to its end, in batches that are filed, noted on disk and told to the group. When all that
//! was written before that is decided and filed, what the state says of coverage is true of the day files.
//!
//! All of it is done by one thread, which polls for the group in between.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::filed_streams::{FiledStreams, Loads};
use super::incoming::{Incoming, Parts, of_aside, of_audit, stream_of};
use super::known_streams::KnownStreams;
use super::member_note::{BASE, MemberNote, NoteError, Progress};
use super::report::{ArchiveReport, ElsewhereReport, PartitionReport};
use crate::archive::{Location, Lock, LockError};
use crate::config::{ArchiveSettings, ArchiveStream};
use crate::coverage::{Covered, Entry};
use crate::fleet::bucket::bucket_of;
use crate::fleet::state::StreamState;
use crate::forward::kafka::fleet::{
    Bounds, Partition, PartitionReader, ReadEnd, Sharing, SharingError, Standing, Taken, Topics,
};
use crate::process::awake::Stopwatch;
use crate::process::host_name::host_name;
use crate::process::shutdown::Shutdown;

/// A member begins with a partition that nobody has begun with when it was assigned for so long: those that are started together share.
const SETTLED: Duration = Duration::from_secs(5);

/// How long the group is polled for at a time.
const TICK: Duration = Duration::from_millis(100);

/// A member that reads to the end and ends waits so long for what is not decided yet.
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
    /// Whether all that was written before is filed.
    is_proved: bool,
    /// Whether something stands in the way, which no waiting mends.
    is_stuck: bool,
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

/// What was read of a topic, and is not filed yet.
struct Batch {
    topic: String,
    loads: Loads,
    /// Up to where each partition is read, and up to where it is filed.
    next: BTreeMap<i32, i64>,
    filed: BTreeMap<i32, i64>,
    /// What is set aside, in parts; `None` in an audit topic.
    parts: Option<Parts>,
    /// Partitions of which something could not be filed in this round.
    stuck: BTreeSet<i32>,
}

impl Batch {
    fn of(topic: &str, starts: &BTreeMap<i32, i64>, parts: Option<Parts>) -> Self {
        Self {
            topic: topic.to_owned(),
            loads: Loads::default(),
            next: starts.clone(),
            filed: starts.clone(),
            parts,
            stuck: BTreeSet::new(),
        }
    }

    /// Notes that what was read is filed, but for these partitions; returns up to where the others are, where that is further.
    fn note_filed(&mut self, stuck: BTreeSet<i32>) -> BTreeMap<i32, i64> {
        self.stuck.extend(stuck);
        let mut news = BTreeMap::new();
        for (partition, next) in &self.next {
            if self.stuck.contains(partition) {
                continue;
            }
            let open = self.parts.as_ref().and_then(|parts| parts.first_of(*partition));
            let next = open.map_or(*next, |open| open.min(*next));
            if self.filed.insert(*partition, next) != Some(next) {
                news.insert(*partition, next);
            }
        }
        news
    }
}

/// A member.
pub(crate) struct Archivist {
    options: ArchivistOptions,
    location: Location,
    _lock: Lock,
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
    /// The others, and the host of the member whose they are.
    elsewhere: BTreeMap<Partition, Option<String>>,
    /// Why a partition is not gone on with.
    stuck: BTreeMap<Partition, String>,
    /// The partitions that were begun anew, since all is to be read once more.
    begun_anew: BTreeSet<Partition>,
    problems: Vec<String>,
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
        let lock = Lock::acquire_for_run(&location, "archive", (options.clock)())?;
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
            _lock: lock,
            note,
            counts,
            aside_count,
            options,
            shutdown: shutdown.clone(),
            own: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            stuck: BTreeMap::new(),
            begun_anew: BTreeSet::new(),
            problems: Vec::new(),
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
                    if round.is_proved || round.is_stuck || waited > UNDECIDED {
                        return Ok(());
                    }
                }
                Ok(_) => {}
                Err(RoundEnd::Stopped) => return Ok(()),
                Err(RoundEnd::Fatal(error)) => return Err(error),
                Err(RoundEnd::Kafka(problem)) if once => return Err(ArchiveError::Kafka(problem)),
                Err(RoundEnd::Kafka(problem)) => {
                    self.say(&problem);
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
    fn say(&mut self, problem: &str) {
        if self.said.insert(problem.to_owned()) {
            tracing::error!("{problem}");
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
        self.begin(&lows)?;
        self.note_origins()?;
        let bounds = self.bounds()?;
        let aside_topic = self.aside_topic();
        let of_aside = bounds.iter().filter(|((topic, _), _)| *topic == aside_topic);
        self.aside_lows = of_aside
            .map(|((_, partition), bounds)| (*partition, bounds.low))
            .collect();
        let has_grown = self.note_grown();
        self.read_audit(&bounds)?;
        self.read_aside(&bounds)?;
        let is_decided = bounds.values().all(|bounds| bounds.stable >= bounds.high);
        let is_proved = is_decided && self.stuck.is_empty() && !has_grown && !self.is_state_newer;
        if is_proved && self.streams.claim(&self.known, &self.own, &mut self.note) {
            self.store()?;
        }
        let problems = self.report().sentences();
        self.said.retain(|said| problems.contains(said));
        problems.iter().for_each(|problem| self.say(problem));
        Ok(Round {
            is_settled,
            is_proved,
            is_stuck: !self.stuck.is_empty() || has_grown,
        })
    }

    fn idle(&self) -> Idle {
        Idle {
            sharing: Rc::clone(&self.sharing),
            shutdown: self.shutdown.clone(),
            error: RefCell::new(None),
        }
    }

    /// Finds which partitions are this member's, and begins to own those that nobody has begun with and the group has assigned to it.
    /// Returns whether there is nothing to wait for.
    fn find_own(&mut self) -> Result<bool, RoundEnd> {
        let Some((assigned, stood)) = self.sharing.assigned() else {
            return Ok(false);
        };
        let all: Vec<Partition> = self
            .counts
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(move |partition| (topic.clone(), partition)))
            .collect();
        let standings = self.sharing.standings(all.iter().cloned()).map_err(RoundEnd::Kafka)?;
        let is_settled = stood >= SETTLED;
        self.own.clear();
        self.elsewhere.clear();
        let mut wanted = BTreeMap::new();
        for partition in all {
            let may_begin = is_settled && assigned.contains(&partition);
            match standings.get(&partition).map(Owned::by) {
                Some((Some((member, _)), offset)) if member == self.note.member => {
                    self.own.insert(partition, offset);
                }
                Some((Some((_, host)), _)) => {
                    if may_begin && self.options.take_over {
                        wanted.insert(partition, None);
                    } else {
                        self.leave_to(partition, host);
                    }
                }
                // Nobody has begun with it, or the group has forgotten that, as it does when it had no member for long.
                _ => match self.note.progress(&partition) {
                    Some(progress) => drop(wanted.insert(partition, Some(progress.next))),
                    None if may_begin => drop(wanted.insert(partition, None)),
                    None => drop(self.elsewhere.insert(partition, None)),
                },
            }
        }
        self.claim_all(wanted)?;
        Ok(is_settled)
    }

    /// A partition is another member's.
    fn leave_to(&mut self, partition: Partition, host: String) {
        if self.note.progress(&partition).is_some() {
            let (topic, number) = &partition;
            tracing::error!(topic, number, host, "another member has taken the partition over");
            self.note.let_go(&partition);
        }
        self.elsewhere.insert(partition, Some(host));
    }

    /// Says in the group that partitions are this member's, from these offsets on or from their beginning, and looks whether they are.
    fn claim_all(&mut self, wanted: BTreeMap<Partition, Option<i64>>) -> Result<(), RoundEnd> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut offsets = BTreeMap::new();
        for (partition, offset) in wanted {
            let offset = match offset {
                Some(offset) => offset,
                None => {
                    self.reader
                        .bounds(&partition.0, partition.1)
                        .map_err(RoundEnd::Kafka)?
                        .low
                }
            };
            offsets.insert(partition, offset);
        }
        let filed = offsets.iter().map(|(partition, offset)| (partition, *offset));
        if let Err(problem) = self.sharing.note_filed(filed, &self.signature()) {
            // The group shares out anew: in a while.
            tracing::debug!("partitions are not begun with yet: {problem}");
            return Ok(());
        }
        let standings = self.sharing.standings(offsets.into_keys()).map_err(RoundEnd::Kafka)?;
        for (partition, standing) in standings {
            match Owned::by(&standing) {
                (Some((member, _)), offset) if member == self.note.member => {
                    self.own.insert(partition, offset);
                }
                _ => drop(self.elsewhere.insert(partition, None)),
            }
        }
        Ok(())
    }

    /// Returns what this member says with each offset.
    fn signature(&self) -> String {
        let host = host_name().unwrap_or_else(|| "member".to_owned());
        format!("{} {host}", self.note.member)
    }

    fn is_new(&self, partition: &Partition) -> bool {
        self.note.progress(partition).is_none()
    }

    /// Returns where the partitions begin with which this member begins, and the topic of what is rejected with them: before the state is
    /// read, so that what is gone by then is in it.
    fn lows_of_new(&self) -> Result<BTreeMap<Partition, i64>, RoundEnd> {
        let new: Vec<_> = self
            .own
            .keys()
            .filter(|partition| self.is_new(partition))
            .cloned()
            .collect();
        let of_aside = (0..self.aside_count).map(|partition| (self.aside_topic(), partition));
        let asked = new.iter().cloned().chain(of_aside.filter(|_| !new.is_empty()));
        let low = |partition: Partition| {
            let bounds = self.reader.bounds(&partition.0, partition.1).map_err(RoundEnd::Kafka)?;
            Ok((partition, bounds.low))
        };
        asked.map(low).collect()
    }

    fn aside_topic(&self) -> String {
        self.options.settings.fleet.rejected_topic.clone()
    }

    /// Begins with partitions that are new. What was covered before, and whose lines may be gone from Kafka, is never called complete.
    fn begin(&mut self, lows: &BTreeMap<Partition, i64>) -> Result<(), RoundEnd> {
        let aside_topic = self.aside_topic();
        let of_aside = |(partition, _): &(&Partition, &i64)| partition.0 == aside_topic;
        let aside: BTreeMap<i32, i64> = lows
            .iter()
            .filter(of_aside)
            .map(|((_, partition), low)| (*partition, *low))
            .collect();
        let new = lows.iter().filter(|entry| !of_aside(entry));
        for (partition, low) in new {
            let mut progress = Progress {
                next: *low,
                ..Progress::default()
            };
            self.exclude(partition, (*low, &aside), &mut progress.excluded)?;
            tracing::info!(topic = partition.0, partition = partition.1, from = low, "begun with");
            self.note.begin(partition, progress);
        }
        if lows.is_empty() { Ok(()) } else { self.store() }
    }

    /// Adds to what is never called complete of the streams of a partition what the fleet has covered by now, and their catalogs do not hold:
    /// nothing, if all messages of a stream are there from these offsets on.
    fn exclude(
        &self,
        partition: &Partition,
        (low, aside): (i64, &BTreeMap<i32, i64>),
        excluded: &mut BTreeMap<String, Covered>,
    ) -> Result<(), RoundEnd> {
        let count = self.counts.get(&partition.0).copied().unwrap_or(1);
        for (name, state) in self.known.all() {
            if bucket_of(name.trim_start_matches('/'), count) != partition.1 {
                continue;
            }
            let begun = state.origin.as_ref();
            let is_whole = low <= begun.map_or(0, |origin| origin.offset)
                && aside.iter().all(|(partition, low)| {
                    let begun = begun.and_then(|origin| origin.aside.get(*partition as usize));
                    low <= begun.unwrap_or(&0)
                });
            if !is_whole {
                let missing = self.not_here(name, state, &state.run.sum.covered)?;
                let all = excluded.entry(name.clone()).or_default();
                missing.spans().iter().for_each(|span| all.add(*span));
            }
        }
        excluded.retain(|_, covered| !covered.spans().is_empty());
        Ok(())
    }

    /// Returns what of these spans the catalog of a stream does not hold, by its own journal.
    fn not_here(&self, name: &str, state: &StreamState, spans: &Covered) -> Result<Covered, RoundEnd> {
        let here = self.streams.covered_here(name, state);
        let here = here.map_err(|error| RoundEnd::Fatal(ArchiveError::Folder(error.to_string())))?;
        let mut missing = spans.clone();
        here.spans().iter().for_each(|span| missing.remove(*span));
        Ok(missing)
    }

    /// Notes which streams the fleet has from the catalog of one machine: what that had covered is in no message, so it is complete only in
    /// that catalog.
    fn note_origins(&mut self) -> Result<(), RoundEnd> {
        let mut news = Vec::new();
        for (name, state) in self.known.all() {
            let Some(origin) = &state.origin else { continue };
            let Some(home) = self.streams.home(name).filter(|home| self.own.contains_key(*home)) else {
                continue;
            };
            let noted = self.note.progress(home).and_then(|progress| progress.origins.get(name));
            if noted != Some(&origin.id) {
                let missing = self.not_here(name, state, &origin.covered)?;
                news.push((home.clone(), name.clone(), origin.id.clone(), missing));
            }
        }
        let has_news = !news.is_empty();
        for (home, name, id, missing) in news {
            let Some(progress) = self.note.progress_mut(&home) else {
                continue;
            };
            let all = progress.excluded.entry(name.clone()).or_default();
            missing.spans().iter().for_each(|span| all.add(*span));
            progress.origins.insert(name, id);
        }
        if has_news { self.store() } else { Ok(()) }
    }

    fn store(&self) -> Result<(), RoundEnd> {
        let stored = self.note.store(&self.location);
        stored.map_err(|error| RoundEnd::Fatal(ArchiveError::Folder(error.to_string())))
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

    /// Notes which topics have more partitions than when this member began; returns whether some have.
    fn note_grown(&mut self) -> bool {
        let grown = self.note.grown(&self.counts);
        let problems = grown.iter().map(|(topic, count, noted)| {
            format!(
                "the topic `{topic}` has {count} partitions, and had {noted} when this archive began: streams are in others by now, of which \
                 other members may have the rest, so nothing is called complete any more; begin another archive, with another \
                 ARCHIVE_GROUP and empty folders"
            )
        });
        let problems: Vec<_> = problems.collect();
        let has_grown = !problems.is_empty();
        self.problems.extend(problems);
        has_grown
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
            self.read_topic(Batch::of(&topic, &starts, None), &starts, bounds)?;
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

    /// Goes on from here, although what was before may be gone: what the fleet has covered by now, and is not known to be here, is never
    /// called complete. From the very beginning of the topics nothing can be missing.
    fn accept_missing(&mut self, partition: &Partition, (from, low): (i64, i64)) -> Result<(), RoundEnd> {
        let Some(mut progress) = self.note.progress(partition).cloned() else {
            return Ok(());
        };
        let aside = self.aside_lows.clone();
        self.exclude(partition, (low, &aside), &mut progress.excluded)?;
        progress.claimed.clear();
        progress.next = from;
        self.note.begin(partition, progress);
        self.store()
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
        self.read_topic(Batch::of(&topic, &starts, Some(Parts::default())), &starts, bounds)?;
        let is_read = is_all && !self.stuck.keys().any(|(found, _)| *found == topic);
        if is_new && is_read {
            self.note.aside_for = at_home;
            self.store()?;
        }
        Ok(())
    }

    /// Reads partitions of a topic to their ends, and files what came.
    fn read_topic(
        &mut self,
        mut batch: Batch,
        starts: &BTreeMap<i32, i64>,
        bounds: &BTreeMap<Partition, Bounds>,
    ) -> Result<(), RoundEnd> {
        let (reader, idle, topic) = (Rc::clone(&self.reader), self.idle(), batch.topic.clone());
        let mut failed = None;
        let read = reader.read_to_end(
            &topic,
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
            for (partition, next) in &mut batch.next {
                let stable = bounds
                    .get(&(topic.clone(), *partition))
                    .map_or(0, |bounds| bounds.stable);
                *next = stable.max(*next);
            }
        }
        // Also after an error: what was read is there.
        let flushed = self.flush(&mut batch);
        for partition in batch.stuck {
            let problem = "something of it could not be filed".to_owned();
            self.stuck.insert((topic.clone(), partition), problem);
        }
        ended.and(flushed)
    }

    fn take(&mut self, batch: &mut Batch, message: &Taken<'_>) -> Result<(), RoundEnd> {
        if batch.stuck.contains(&message.partition) {
            return Ok(());
        }
        batch.next.insert(message.partition, message.offset + 1);
        if let Some((name, incoming)) = self.incoming(batch, message) {
            batch.loads.add(&name, message.partition, incoming);
        }
        if batch.loads.is_enough() {
            self.flush(batch)
        } else {
            Ok(())
        }
    }

    /// Returns what is to be filed of a message.
    fn incoming(&mut self, batch: &mut Batch, message: &Taken<'_>) -> Option<(String, Incoming)> {
        let Some(name) = stream_of(message) else {
            self.problems.push(format!(
                "the message {} of `{}`, partition {}, says of no stream: it is not of a fleet, and is passed over",
                message.offset, batch.topic, message.partition
            ));
            return None;
        };
        if let Some(parts) = &mut batch.parts {
            if !self.streams.is_at_home(&name, &self.own) {
                return None;
            }
            let whole = parts.take(message)?;
            let incoming = self.streams.read(&name, |reader| of_aside(&whole, reader))?;
            return Some((name, incoming));
        }
        if !self.streams.has(&name) {
            let partition = (batch.topic.clone(), message.partition);
            if let Some(progress) = self.note.progress_mut(&partition) {
                progress.skipped.entry(name.clone()).or_insert(message.offset);
            }
            return None;
        }
        let incoming = self.streams.read(&name, |reader| of_audit(message, reader))?;
        Some((name, incoming))
    }

    /// Files what came, notes on disk how far that is, and tells the group.
    fn flush(&mut self, batch: &mut Batch) -> Result<(), RoundEnd> {
        let loads = std::mem::take(&mut batch.loads);
        if loads.lacks_state(&self.known) {
            // The first records of a stream came after the state was read; it was written before them.
            let idle = self.idle();
            let read = self.known.read_on(|| idle.look());
            self.is_state_newer = true;
            idle.end_of(read)?;
        }
        let stuck = self.streams.file(loads, &self.known, &self.note);
        let news = batch.note_filed(stuck);
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
        let partitions = self.own.keys().map(|partition| PartitionReport {
            topic: partition.0.clone(),
            partition: partition.1,
            next: self.note.progress(partition).map_or(0, |progress| progress.next),
            problem: self.stuck.get(partition).cloned(),
        });
        let elsewhere = self.elsewhere.iter().filter_map(|((topic, partition), host)| {
            Some(ElsewhereReport {
                topic: topic.clone(),
                partition: *partition,
                host: host.clone()?,
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
        ArchiveReport {
            fleet: self.note.fleet.clone(),
            group: self.note.group.clone(),
            member: self.note.member.clone(),
            partitions: partitions.collect(),
            elsewhere: elsewhere.collect(),
            not_begun: self.elsewhere.values().filter(|host| host.is_none()).count(),
            streams: self.streams.reports(&self.own),
            unknown: unknown.into_iter().collect(),
            problems: self.problems.iter().cloned().chain(aside).collect(),
        }
    }
}

/// Reads what a member says with an offset.
struct Owned;

impl Owned {
    /// Returns the member and its host, if it is one's, and the offset.
    fn by(standing: &Standing) -> (Option<(String, String)>, i64) {
        let is_id = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let said = standing.said.split_once(' ').filter(|(member, _)| is_id(member));
        let said = said.map(|(member, host)| (member.to_owned(), host.to_owned()));
        (said, standing.offset)
    }
}

/// Says that messages are gone before they were read, if it is so.
fn gone(start: i64, bounds: &Bounds) -> Option<String> {
    let advice =
        "restore what other archives have of them, and go on with --accept-missing: what they covered is a gap then";
    if start < bounds.low {
        let (first, last) = (start, bounds.low - 1);
        return Some(format!(
            "its messages {first} to {last} are gone from Kafka before they were read; {advice}"
        ));
    }
    (start > bounds.high).then(|| {
        format!(
            "it ends at {}, and was read up to {start}: the topic was made anew, and what it held is gone; {advice}",
            bounds.high
        )
    })
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
