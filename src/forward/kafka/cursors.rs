//! Where Kafka keeps the cursor of a stream: in the offsets that a consumer group without members has committed for a small
//! topic of the forwarder's own, which holds no message.
//!
//! A broker lets commit offsets only of a topic that the user may read. That the topic is not that of the records spares the
//! forwarder the right to read them. The positions are the metadata of the offsets; the offsets are 0, so that tools that
//! compare them with the end of the topic see that nothing waits.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Datelike;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Session, base_config, explain, is_authorization};
use super::ledger;
use crate::config::KafkaSettings;
use crate::forward::archive_id::ArchiveId;
use crate::forward::cursor::Origin;
use crate::forward::position::Positions;
use crate::forward::sink::SinkError;
use crate::process::awake::Stopwatch;

/// How many partitions the topic is made with: as many years fit, whatever their files.
const PARTITIONS: i32 = 10;

/// The longest wait for one answer, after which it is looked what else was said; the first one is shorter.
const LONGEST_SLICE: Duration = Duration::from_secs(4);
const FIRST_SLICE: Duration = Duration::from_millis(250);

/// How long a topic is waited for that a broker may make by itself, although it did not when it was asked to.
const MAKING: Duration = Duration::from_secs(5);

/// The years whose positions are committed.
#[derive(Clone, Copy)]
pub(super) enum Years<'a> {
    /// Those of no position too, so that nothing is left of what was committed before.
    All,
    These(&'a [i32]),
}

/// The cursor of a stream in Kafka.
pub(super) struct Cursors {
    /// The topic for which offsets are committed.
    topic: String,
    /// Its number of partitions. Each holds the years that give its number as remainder.
    partitions: i32,
    /// The consumer group that commits them.
    group: String,
    metadata: ConsumerGroupMetadata,
    /// The archive whose positions are committed.
    archive: ArchiveId,
}

/// What Kafka has of a cursor.
pub(super) struct Committed {
    /// Empty if there is none.
    pub(super) positions: Positions,
    /// Which archive has committed them.
    pub(super) origin: Origin,
}

impl Cursors {
    /// Reads the cursor of the stream with this transactional id, and makes the topic where there is none.
    ///
    /// # Errors
    /// If a right is missing, or the broker does not answer; the text says what to do.
    pub(super) fn read(
        settings: &KafkaSettings,
        id: &str,
        stream_id: &str,
        session: &Session,
        archive: ArchiveId,
    ) -> Result<(Self, Committed), SinkError> {
        let asker = Asker::new(settings, id, stream_id, session)?;
        let partitions = asker.partitions()?;
        let committed = asker.committed(partitions, Some(archive))?;
        let metadata = asker.consumer.group_metadata();
        let metadata = metadata.ok_or_else(|| asker.failed(RDKafkaErrorCode::Unknown))?;
        let cursors = Self {
            topic: asker.topic,
            partitions,
            group: asker.group,
            metadata,
            archive,
        };
        Ok((cursors, committed))
    }

    /// Reads the cursor of the stream with this transactional id, and makes nothing; `None` if there is no topic for it.
    ///
    /// # Errors
    /// As [`Cursors::read`].
    pub(super) fn look(
        settings: &KafkaSettings,
        id: &str,
        stream_id: &str,
        session: &Session,
        archive: Option<ArchiveId>,
    ) -> Result<Option<Committed>, SinkError> {
        let asker = Asker::new(settings, id, stream_id, session)?;
        let Some(partitions) = asker.known_partitions()? else {
            return Ok(None);
        };
        asker.committed(partitions, archive).map(Some)
    }

    /// Goes on for an archive, whose id may have been lost and made anew.
    pub(super) fn go_on(&mut self, archive: ArchiveId) {
        self.archive = archive;
    }

    /// Returns the group that commits it.
    pub(super) fn group(&self) -> &ConsumerGroupMetadata {
        &self.metadata
    }

    /// Returns the offsets to commit for the positions of these years.
    ///
    /// # Errors
    /// If they do not fit into the partitions.
    pub(super) fn offsets(&self, years: Years<'_>, positions: &Positions) -> Result<TopicPartitionList, SinkError> {
        let mut list = TopicPartitionList::new();
        let is_wanted = |partition: &i32| match years {
            Years::All => true,
            Years::These(years) => years.iter().any(|year| self.partition_of(*year) == *partition),
        };
        for partition in (0..self.partitions).filter(is_wanted) {
            let own = positions
                .iter()
                .filter(|(day, _)| self.partition_of(day.year()) == partition);
            let text = ledger::encode(self.archive, &own.collect()).ok_or_else(|| self.too_few_partitions())?;
            let mut entry = list.add_partition(&self.topic, partition);
            entry.set_metadata(text);
            let set = entry.set_offset(Offset::Offset(0));
            set.map_err(|error| SinkError::Refused(explain(&error)))?;
        }
        Ok(list)
    }

    fn partition_of(&self, year: i32) -> i32 {
        year.rem_euclid(self.partitions)
    }

    fn too_few_partitions(&self) -> SinkError {
        let Self { topic, partitions, .. } = self;
        SinkError::Refused(format!(
            "the cursor does not fit into the {partitions} partitions of the topic `{topic}`, one for each year of day files: \
             give it more (kafka-topics --alter --topic {topic} --partitions {})",
            PARTITIONS.max(partitions + 1)
        ))
    }

    /// Returns the error for a commit of the cursor that was refused for a missing right on its group or topic.
    pub(super) fn refused(&self, server: &str, code: RDKafkaErrorCode) -> Option<SinkError> {
        let advice = advice(code, &self.topic, &self.group)?;
        let Self { topic, group, .. } = self;
        Some(SinkError::Refused(format!(
            "Kafka at {server} did not take the cursor, offsets of the consumer group `{group}` for the topic `{topic}`: \
             {code}{advice}"
        )))
    }
}

/// Returns what to do about a missing right on the cursor's group or topic, as the end of a sentence.
fn advice(code: RDKafkaErrorCode, topic: &str, group: &str) -> Option<String> {
    match code {
        RDKafkaErrorCode::GroupAuthorizationFailed => Some(format!(
            "; grant the user the right Read on the consumer group `{group}`"
        )),
        RDKafkaErrorCode::TopicAuthorizationFailed => Some(format!(
            "; grant the user the right Read on the topic `{topic}`, which is for the cursor and holds no record"
        )),
        _ => None,
    }
}

/// Asks for what is committed.
struct Asker<'a> {
    settings: &'a KafkaSettings,
    session: &'a Session,
    topic: String,
    group: String,
    consumer: BaseConsumer,
}

impl<'a> Asker<'a> {
    fn new(settings: &'a KafkaSettings, id: &str, stream_id: &str, session: &'a Session) -> Result<Self, SinkError> {
        let mut config = base_config(settings);
        config
            .set("group.id", stream_id)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false");
        let consumer = config
            .create()
            .map_err(|error| SinkError::Refused(format!("the Kafka client cannot be set up: {}", explain(&error))))?;
        Ok(Self {
            settings,
            session,
            topic: format!("{id}.cursors"),
            group: stream_id.to_owned(),
            consumer,
        })
    }

    fn failed(&self, code: RDKafkaErrorCode) -> SinkError {
        let (server, Self { topic, group, .. }) = (&self.settings.server, self);
        SinkError::Refused(format!(
            "cannot read the cursor from Kafka at {server}, the offsets of the consumer group `{group}` for the topic `{topic}`: \
             {code}{}",
            advice(code, topic, group).unwrap_or_default()
        ))
    }

    /// Makes a call until it succeeds; looks in between at what the broker says only to those who poll.
    fn ask<T>(&self, make: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T, SinkError> {
        let begun = Stopwatch::start();
        let mut slice = FIRST_SLICE;
        loop {
            let code = match make(slice) {
                Ok(answer) => return Ok(answer),
                Err(error) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
            };
            let is_silence = matches!(
                code,
                RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::WaitingForCoordinator
            );
            while let Some(polled) = self.consumer.poll(Duration::ZERO) {
                let code = polled.err().and_then(|error| error.rdkafka_error_code());
                if let Some(code) = code.filter(|code| is_authorization(*code)) {
                    return Err(self.failed(code));
                }
            }
            if self.session.reports.should_give_up(&begun) {
                return Err(self.session.refused(None));
            }
            if !is_silence && !is_passing(code) {
                return Err(self.failed(code));
            }
            slice = (slice * 2).min(LONGEST_SLICE);
        }
    }

    /// Returns the number of partitions of the topic, which it makes if it is not there.
    fn partitions(&self) -> Result<i32, SinkError> {
        if let Some(partitions) = self.known_partitions()? {
            return Ok(partitions);
        }
        let refusal = self.create().err();
        // A broker that makes topics by itself does so when a producer asks for one.
        let producer = self.session.producer.client();
        let begun = Stopwatch::start();
        loop {
            if let Some(partitions) = self.find(|slice| producer.fetch_metadata(Some(&self.topic), slice))? {
                return Ok(partitions);
            }
            let is_hopeless = match &refusal {
                Some(Refusal { is_forbidden, .. }) => *is_forbidden || begun.awake() >= MAKING,
                None => false,
            };
            if is_hopeless || self.session.reports.should_give_up(&begun) {
                return Err(self.missing(refusal));
            }
            self.session.reports.wait_a_moment();
        }
    }

    /// Returns the number of partitions; `None` if there is no topic yet. A consumer does not make one.
    fn known_partitions(&self) -> Result<Option<i32>, SinkError> {
        self.find(|slice| self.consumer.fetch_metadata(Some(&self.topic), slice))
    }

    /// Returns the number of partitions; `None` if there is no such topic.
    fn find(
        &self,
        fetch: impl Fn(Duration) -> Result<rdkafka::metadata::Metadata, KafkaError>,
    ) -> Result<Option<i32>, SinkError> {
        let metadata = self.ask(fetch)?;
        let found = metadata.topics().iter().find(|found| found.name() == self.topic);
        let code = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
        match code {
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => {
                let count = found.map_or(0, |found| found.partitions().len());
                Ok(i32::try_from(count).ok().filter(|count| *count > 0))
            }
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
            Some(code) => Err(self.failed(code)),
        }
    }

    /// Makes the topic, with as many replicas as the broker has by default.
    fn create(&self) -> Result<(), Refusal> {
        let admin: AdminClient<DefaultClientContext> = base_config(self.settings).create().map_err(Refusal::of)?;
        let topic = NewTopic::new(&self.topic, PARTITIONS, TopicReplication::Fixed(-1));
        let timeout = self.settings.timeout;
        let options = AdminOptions::new()
            .operation_timeout(Some(timeout))
            .request_timeout(Some(timeout));
        let created = tokio::runtime::Handle::current().block_on(admin.create_topics([&topic], &options));
        match created.map_err(Refusal::of)?.pop() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(Refusal {
                reason: code.to_string(),
                is_forbidden: is_authorization(code),
            }),
            _ => Ok(()),
        }
    }

    fn missing(&self, refusal: Option<Refusal>) -> SinkError {
        let (server, topic) = (&self.settings.server, &self.topic);
        let refusal = refusal.map_or_else(String::new, |refusal| format!(" ({})", refusal.reason));
        SinkError::Refused(format!(
            "Kafka at {server} has no topic `{topic}` for the cursor, and it could not be made{refusal}; create it \
             (kafka-topics --create --topic {topic} --partitions {PARTITIONS}), or grant the user the right Create on it"
        ))
    }

    /// Reads what is committed, for an archive with this id.
    fn committed(&self, partitions: i32, archive: Option<ArchiveId>) -> Result<Committed, SinkError> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(&self.topic, 0, partitions - 1);
        let committed = self.ask(|slice| self.consumer.committed_offsets(wanted.clone(), slice))?;
        let (mut positions, mut archives) = (Positions::default(), BTreeSet::new());
        for entry in committed.elements() {
            if let Err(error) = entry.error() {
                return Err(self.failed(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)));
            }
            if !matches!(entry.offset(), Offset::Offset(_)) {
                continue;
            }
            match ledger::decode(entry.metadata()) {
                Some((archive, read)) => {
                    positions.update(&read);
                    archives.extend(archive);
                }
                None => tracing::warn!(
                    group = self.group,
                    topic = self.topic,
                    "the metadata of this offset is not a cursor of this program: ignoring and replacing it"
                ),
            }
        }
        let origin = match archive {
            Some(archive) if !archives.is_empty() && archives.iter().all(|found| *found == archive) => Origin::This,
            Some(_) if !archives.is_empty() => Origin::Another,
            _ => Origin::Unknown,
        };
        Ok(Committed { positions, origin })
    }
}

/// Why the topic was not made.
struct Refusal {
    reason: String,
    /// Whether the user lacks the right, so that the broker does not make it by itself either.
    is_forbidden: bool,
}

impl Refusal {
    fn of(error: KafkaError) -> Self {
        Self {
            reason: explain(&error),
            is_forbidden: error.rdkafka_error_code().is_some_and(is_authorization),
        }
    }
}

/// Whether the same call may succeed soon.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::UnstableOffsetCommit
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NetworkException
    )
}
