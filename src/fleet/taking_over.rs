//! A catalog that one machine has collected becomes the first state of its stream in a fleet, and is given back.
//!
//! The watermark, the coverage with its gaps, what was seen of the service, records from before the overlap, and the identities of all that may
//! be given again go into the state, in one transaction with the id of the bucket: a member that has it is fenced, and reads what is there
//! then. Before that the catalog is noted to be the fleet's, so that no run of one machine goes on from the same end. On the way back the
//! state says first that the stream is collected no more; then all that was committed is filed; then the note is taken away.

use chrono::{DateTime, TimeDelta, Utc};

use super::bucket::bucket_of;
use super::identities::{Identities, Pair, hour_of};
use super::state::{BucketState, KeptStream, Origin, StreamState, key_of_part};
use super::writer::reach_of;
use crate::archive::{Archive, Location, Lock, LockError, Recovery, days_that_can_hold};
use crate::config::{ArchiveSettings, ArchiveStream, FleetSettings};
use crate::coverage::{Counted, Counts, End, Entry, Fed, Standing, Sum, Wanted};
use crate::forward::kafka::fleet::{BucketProducer, Outgoing, PartitionReader, Topics, read_partitions};
use crate::fs::FileError;
use crate::process::shutdown::Shutdown;
use crate::record::Reader;

/// What the fleet goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adopted {
    pub(crate) records: u64,
    pub(crate) last_record: Option<DateTime<Utc>>,
    pub(crate) gaps: u64,
    /// Records that the service gave and that are not filed; they stay in the catalog.
    pub(crate) pending: u64,
    /// Whether that was done before.
    pub(crate) was_done: bool,
}

/// Why a catalog is not taken over, or not given back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeoverError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    /// It may not be; the text says why, and what to do.
    #[error("{0}")]
    Refused(String),
}

impl TakeoverError {
    /// Returns whether another process is at work in the catalog.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Lock(error) if error.is_held())
    }
}

/// The buckets of a fleet, for somebody who is no member.
pub(crate) struct Buckets<'a> {
    settings: &'a ArchiveSettings,
    buckets: i32,
    reader: PartitionReader,
    shutdown: &'a Shutdown,
    now: DateTime<Utc>,
}

/// A bucket, taken from its member for a moment.
struct Seized {
    producer: BucketProducer,
    bucket: i32,
    state: BucketState,
}

/// Returns the name of a stream in the state of its bucket.
fn name_of(stream: &ArchiveStream) -> String {
    let organization = stream.place.organization.map_or("", |organization| organization.name());
    format!("{organization}/{}", stream.place.kind.name)
}

impl<'a> Buckets<'a> {
    /// Looks at the topics of a fleet. It blocks.
    ///
    /// # Errors
    /// If it was not made, or Kafka cannot be asked; the text says why.
    pub(crate) fn of(
        settings: &'a ArchiveSettings,
        shutdown: &'a Shutdown,
        now: DateTime<Utc>,
    ) -> Result<Self, String> {
        let fleet = &settings.fleet;
        let topic = &fleet.state_topic;
        let buckets = Topics::new(&fleet.kafka)?.partitions(topic)?;
        let buckets =
            buckets.ok_or_else(|| format!("there is no topic `{topic}`: make it with `trailkeeper fleet init`"))?;
        Ok(Self {
            settings,
            buckets,
            reader: PartitionReader::new(&fleet.kafka, &settings.group)?,
            shutdown,
            now,
        })
    }

    fn fleet(&self) -> &FleetSettings {
        &self.settings.fleet
    }

    /// Makes the catalog of a stream the first state of the stream in the fleet. It blocks.
    ///
    /// # Errors
    /// If the catalog cannot be read, or the fleet has a state of the stream already.
    pub(crate) fn adopt(&self, stream: &ArchiveStream) -> Result<Adopted, TakeoverError> {
        let location = &stream.place.location;
        let _lock = Lock::acquire_between_runs(location, "fleet adopt", self.now)?;
        let fed = Fed::read(location)?;
        if let Some(other) = fed.as_ref().filter(|fed| fed.fleet != self.fleet().id) {
            return Err(TakeoverError::Refused(other.sentence()));
        }
        let kept = Kept::read(stream, self.now)?;
        let is_new = fed.is_none();
        let fed = match fed {
            Some(fed) => fed,
            None => Fed::begin(location, &self.fleet().id, self.now)?,
        };
        let adopted = self.put(stream, kept, &fed);
        if adopted.is_err() && is_new {
            // Nothing of it is in the fleet. If that is not known, it is noted again before anything else.
            if let Err(TakeoverError::Refused(_)) = &adopted {
                Fed::end(location)?;
            }
        }
        adopted
    }

    fn put(&self, stream: &ArchiveStream, kept: Kept, fed: &Fed) -> Result<Adopted, TakeoverError> {
        let name = name_of(stream);
        let mut seized = self.seize(stream).map_err(TakeoverError::Refused)?;
        let before = seized.state.streams.remove(&name).unwrap_or_default();
        let mut adopted = kept.adopted(stream, self.now);
        match &before.state {
            Some(state) if state.origin.as_ref().is_some_and(|origin| origin.id == fed.id) && !state.is_released => {
                adopted.was_done = true;
                return Ok(adopted);
            }
            Some(state) if !state.is_released => {
                return Err(TakeoverError::Refused(format!(
                    "the fleet has collected it already, {} records so far, and goes on from there: what this catalog has can be no first \
                     state any more. Keep it as it is, and let `trailkeeper archive` write to an empty folder",
                    state.records
                )));
            }
            _ => {}
        }
        let origin = self.origin(stream, fed, &kept).map_err(TakeoverError::Refused)?;
        let messages = kept.messages(&name, before, origin);
        let messages = messages
            .into_iter()
            .map(|(key, payload)| self.message(seized.bucket, key, payload));
        let messages: Vec<_> = messages.collect();
        // Whether it is committed is not known after an error: the catalog stays the fleet's, until this is done again.
        let committed = seized.producer.commit(&[], &messages, self.now, |_, _| Vec::new());
        committed.map_err(|error| {
            TakeoverError::File(FileError::io(
                "take over",
                stream.place.location.folder(),
                std::io::Error::other(format!("{error}; do it again")),
            ))
        })?;
        Ok(adopted)
    }

    /// Returns where a catalog was taken over: what comes later can be told by that.
    fn origin(&self, stream: &ArchiveStream, fed: &Fed, kept: &Kept) -> Result<Origin, String> {
        let topics = Topics::new(&self.fleet().kafka)?;
        let high = |topic: &str, partition: i32| self.reader.bounds(topic, partition).map(|bounds| bounds.high);
        let count = |topic: &str| {
            let count = topics.partitions(topic)?;
            count.ok_or_else(|| format!("there is no topic `{topic}`: make it first"))
        };
        let home = bucket_of(stream.place.name(), count(&stream.topic)?);
        let aside = &self.fleet().rejected_topic;
        Ok(Origin {
            id: fed.id.clone(),
            covered: kept.entry.sum.covered.clone(),
            offset: high(&stream.topic, home)?,
            aside: (0..count(aside)?)
                .map(|partition| high(aside, partition))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Says in the fleet that a stream is collected there no more; returns its last state. It blocks.
    ///
    /// # Errors
    /// If the fleet does not have it, or Kafka cannot be used; the text says why.
    pub(crate) fn release(&self, stream: &ArchiveStream) -> Result<(String, StreamState), String> {
        let name = name_of(stream);
        let mut seized = self.seize(stream)?;
        let state = seized.state.streams.remove(&name).and_then(|kept| kept.state);
        let mut state = state.ok_or("the fleet has no state of it: it was never collected there")?;
        if !state.is_released {
            state.is_released = true;
            let (key, value) = state.message(&name);
            let message = self.message(seized.bucket, key, Some(value));
            let committed = seized.producer.commit(&[], &[message], self.now, |_, _| Vec::new());
            committed.map_err(|error| error.to_string())?;
        }
        Ok((name, state))
    }

    /// Fences the member that has the bucket of a stream, and reads what it has committed. The member takes it over again.
    fn seize(&self, stream: &ArchiveStream) -> Result<Seized, String> {
        let fleet = self.fleet();
        let organization = stream.place.organization.map_or("", |organization| organization.name());
        let bucket = bucket_of(organization, self.buckets);
        let id = format!("{}.{bucket}", fleet.id);
        let producer = BucketProducer::begin(&fleet.kafka, id, &fleet.state_topic, self.shutdown, self.now);
        let producer = producer.map_err(|error| error.to_string())?;
        let mut state = BucketState::default();
        let partitions = (fleet.state_topic.as_str(), [bucket]);
        read_partitions(&fleet.kafka, &fleet.id, partitions, self.shutdown, |message| {
            state.take(message.key, message.value);
        })?;
        state
            .check(&fleet.id, self.buckets)
            .map_err(|error| error.to_string())?;
        Ok(Seized {
            producer,
            bucket,
            state,
        })
    }

    fn message(&self, bucket: i32, key: Vec<u8>, payload: Option<Vec<u8>>) -> Outgoing {
        Outgoing {
            topic: self.fleet().state_topic.as_str().into(),
            partition: Some(bucket),
            key,
            payload,
            time: None,
            headers: Vec::new(),
        }
    }
}

/// Gives a catalog back to one machine: everything that the fleet has kept of it has to be filed.
///
/// # Errors
/// If it cannot be written to.
pub(crate) fn give_back(location: &Location, now: DateTime<Utc>) -> Result<(), TakeoverError> {
    let _lock = Lock::acquire_between_runs(location, "fleet release", now)?;
    Ok(Fed::end(location)?)
}

/// Returns whether a catalog belongs to a fleet.
///
/// # Errors
/// If that cannot be read.
pub(crate) fn belongs_to(location: &Location, fleet: &str) -> Result<bool, FileError> {
    Ok(Fed::read(location)?.is_some_and(|fed| fed.fleet == fleet))
}

/// What a catalog holds that a fleet needs to know.
struct Kept {
    entry: Entry,
    recovery: Recovery,
    identities: Identities,
    records: u64,
    pending: u64,
}

impl Kept {
    fn read(stream: &ArchiveStream, now: DateTime<Utc>) -> Result<Self, TakeoverError> {
        let place = &stream.place;
        let standing = Standing::read(&place.location, Wanted::Stream(place.kind.name), place.keep, now)?;
        if let Some(gone) = standing.gone(&place.location, place.keep, now) {
            return Err(TakeoverError::Refused(gone.to_string()));
        }
        let Some(newest) = &standing.newest else {
            return Err(TakeoverError::Refused(
                "no run has begun its journal, so nothing is known of it that a fleet could go on from: collect it once, or let the fleet \
                 begin anew"
                    .to_owned(),
            ));
        };
        let entry = entry_of(newest, &standing.sum);
        let overlap = TimeDelta::seconds(entry.overlap_seconds).max(stream.limits.overlap);
        let mut archive = Archive::dry_run(place.location.clone(), place.kind.shape);
        let recovery = archive.recover(now, overlap)?;
        if let Some((date, cause)) = archive.unusable().first_key_value() {
            return Err(TakeoverError::Refused(format!(
                "the day file of {date} cannot be used: {cause}"
            )));
        }
        let entry = Entry {
            last_record: recovery.last,
            ..entry
        };
        let reach = reach_of(&stream.limits, place.kind.retention, &entry, now);
        Ok(Self {
            identities: identities_of(stream, &standing, reach)?,
            records: standing.counts.values().copied().map(Counted::all).sum(),
            pending: standing.pending,
            entry,
            recovery,
        })
    }

    fn adopted(&self, stream: &ArchiveStream, now: DateTime<Utc>) -> Adopted {
        let gaps = self.entry.sum.gaps(stream.place.kind.retention, now);
        Adopted {
            records: self.records,
            last_record: self.recovery.last,
            gaps: gaps.iter().filter(|gap| gap.to < now).count() as u64,
            pending: self.pending,
            was_done: false,
        }
    }

    /// Returns the messages of the state, and those that take out what was there before.
    fn messages(mut self, name: &str, before: KeptStream, origin: Origin) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut old = before.identities;
        old.forget_before(i64::MAX);
        let parts = old.take_changes().into_iter().chain(self.identities.take_changes());
        let mut messages: Vec<_> = parts.map(|(place, value)| (key_of_part(name, place), value)).collect();
        let mut state = StreamState::new(self.entry.scope.clone(), self.entry.at);
        state.last_record = self.recovery.last;
        state.below = self.recovery.below;
        state.records = self.records;
        state.origin = Some(origin);
        state.run = self.entry;
        let (key, value) = state.message(name);
        messages.push((key, Some(value)));
        messages
    }
}

/// Returns the last line of a journal as that of a run of the fleet: without what is of the files alone.
fn entry_of(newest: &Entry, sum: &Sum) -> Entry {
    let sum = Sum {
        lost: Default::default(),
        accepted_losses: Default::default(),
        expired_days: Default::default(),
        expiring_days: Default::default(),
        is_sealed: false,
        ..sum.clone()
    };
    Entry {
        end: match newest.end {
            End::Open => End::Stopped,
            end => end,
        },
        counts: Counts::new(),
        has_all_counts: false,
        filing: Default::default(),
        expiring: Vec::new(),
        sum,
        ..newest.clone()
    }
}

/// Reads the identities of the records from this hour on.
fn identities_of(stream: &ArchiveStream, standing: &Standing, reach: i64) -> Result<Identities, FileError> {
    let (location, mut identities) = (&stream.place.location, Identities::default());
    let from = DateTime::from_timestamp(reach.saturating_mul(3_600), 0).unwrap_or(DateTime::UNIX_EPOCH);
    let times = from..DateTime::<Utc>::MAX_UTC;
    let mut reader = Reader::new(stream.place.kind.shape);
    for date in days_that_can_hold(location, &standing.listing, &times)? {
        for file in standing.listing.files_of(date) {
            file.lines(|line| {
                if let Ok(identified) = reader.identify(line)
                    && hour_of(identified.time) >= reach
                {
                    let pair = Pair {
                        moment: identified.moment(),
                        content: identified.identity.content,
                    };
                    identities.add(identified.time, pair);
                }
            })?;
        }
    }
    Ok(identities)
}
