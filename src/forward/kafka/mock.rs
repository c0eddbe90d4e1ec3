//! A broker inside this process for the demo: the mock of librdkafka, which keeps a few megabytes of each topic in
//! memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::Offset;

use super::client::{FIRST_PARTITION, explain};

/// How long a consumer waits for the next message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The broker; dropping it ends it. It is not usable for exactly-once: it takes every commit and knows no abort.
pub(crate) struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// The broker could not be started or read; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("the demo's Kafka broker: {0}")]
pub(crate) struct MockError(String);

impl From<KafkaError> for MockError {
    fn from(error: KafkaError) -> Self {
        Self(explain(&error))
    }
}

impl MockKafka {
    /// Starts a broker on a free port of the loopback interface.
    ///
    /// # Errors
    /// If the broker cannot be started.
    pub(crate) fn start() -> Result<Self, MockError> {
        let cluster = MockCluster::new(1)?;
        Ok(Self { cluster })
    }

    /// Returns its address, for `KAFKA_SERVER`.
    #[must_use]
    pub(crate) fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Creates a topic with one partition.
    ///
    /// # Errors
    /// If the name is not valid.
    pub(crate) fn create_topic(&self, name: &str) -> Result<(), MockError> {
        Ok(self.cluster.create_topic(name, 1, 1)?)
    }

    /// Returns the values of all messages of these topics, read by a real consumer.
    ///
    /// # Errors
    /// If no message comes for ten seconds before the ends of the topics.
    pub(crate) fn consume(&self, topics: &[String]) -> Result<BTreeMap<String, Vec<Vec<u8>>>, MockError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("group.id", "demo")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut start = TopicPartitionList::new();
        for topic in topics {
            start.add_partition_offset(topic, FIRST_PARTITION, Offset::Beginning)?;
        }
        consumer.assign(&start)?;
        Ok(read_to_ends(&consumer, topics.len())?)
    }
}

fn read_to_ends(consumer: &BaseConsumer, partitions: usize) -> KafkaResult<BTreeMap<String, Vec<Vec<u8>>>> {
    let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut ended = 0;
    let mut last_message = Instant::now();
    while last_message.elapsed() < MESSAGE_TIMEOUT {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value = message.payload().unwrap_or_default().to_vec();
                values.entry(message.topic().to_owned()).or_default().push(value);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            // A broker that was asked too early answers later.
            Some(Err(error)) => tracing::debug!("the consumer of the demo: {error}"),
            None => continue,
        }
        if ended == partitions {
            return Ok(values);
        }
        last_message = Instant::now();
    }
    Err(KafkaError::NoMessageReceived)
}
