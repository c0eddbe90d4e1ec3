//! Consumers that are not librdkafka, or not ours, and read whole topics as a reader with `read_committed` does.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use krafka::consumer::{Consumer, IsolationLevel};
use krafka::error::KrafkaError;
use tokio::time::timeout;

use super::broker::Message;
use super::kills::PACKAGE;
use crate::support::{PATIENCE, succeed};

/// What krafka's own client, which has nothing of librdkafka in it, reads of a topic to its end, by partition and offset.
pub(crate) fn read_committed(address: &str, topic: &str) -> Vec<Message> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let read = async { timeout(PATIENCE, read_to_end(address, topic)).await };
    let read = runtime.unwrap().block_on(read);
    let read = read.unwrap_or_else(|_| panic!("{topic} cannot be read to its end: is a transaction left open?"));
    read.unwrap()
}

async fn read_to_end(address: &str, topic: &str) -> Result<Vec<Message>, KrafkaError> {
    let kafka = krafka::Kafka::builder(address).connect().await?;
    let consumer = kafka.consumer_without_group();
    let consumer = consumer.isolation_level(IsolationLevel::ReadCommitted).build().await?;
    let metadata = consumer.fetch_metadata(Some(topic)).await?;
    let Some(found) = metadata.topics.first() else {
        return Ok(Vec::new());
    };
    let partitions: Vec<_> = found.partitions.keys().copied().collect();
    consumer.assign(topic, partitions.clone()).await?;
    let mut messages = Vec::new();
    for partition in partitions {
        let (begin, end) = consumer.fetch_watermarks(topic, partition).await?;
        consumer.seek(topic, partition, begin).await?;
        read_partition(&consumer, topic, partition, end, &mut messages).await?;
    }
    messages.sort_by_key(|(place, _)| *place);
    Ok(messages.into_iter().map(|(_, message)| message).collect())
}

type Placed = ((i32, i64), Message);

/// Reads on until a partition is read to this offset; what comes of others is taken as well.
async fn read_partition(
    consumer: &Consumer,
    topic: &str,
    partition: i32,
    end: i64,
    messages: &mut Vec<Placed>,
) -> Result<(), KrafkaError> {
    while consumer
        .position(topic, partition)
        .await
        .is_none_or(|position| position < end)
    {
        for record in consumer.poll(Duration::from_millis(50)).await? {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = record.headers.iter();
            let message = Message {
                partition: record.partition,
                key: text(&record.key.unwrap_or_default()),
                value: text(&record.value.unwrap_or_default()),
                timestamp: record.timestamp,
                headers: headers
                    .map(|(name, value)| (name.to_string(), text(value.as_deref().unwrap_or_default())))
                    .collect(),
            };
            messages.push(((record.partition, record.offset), message));
        }
    }
    Ok(())
}

/// The same with the consumer of PyPI's confluent-kafka; `None` where that is not installed.
pub(crate) fn read_with_python(test: &str, address: &str, topic: &str) -> Option<Vec<Message>> {
    let python = PACKAGE.python(test)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kafka/read.py");
    let run = succeed(Command::new(python).arg(script).args([address, topic]));
    let lines = run.stdout.lines();
    Some(lines.map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

    use super::super::broker::Broker;
    use super::*;

    /// Sends ten records to both partitions in a transaction, which is left open.
    fn begin(broker: &Broker, id: &str, name: &str) -> ThreadedProducer<DefaultProducerContext> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker.address())
            .set("transactional.id", id);
        let producer: ThreadedProducer<_> = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for number in 0..10 {
            let (key, value) = (format!("key-{number}"), format!("{name}-{number}"));
            let record = BaseRecord::to("audit").partition(number % 2).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        producer
    }

    fn values(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.value.as_str()).collect()
    }

    #[test]
    fn what_was_aborted_is_read_by_nobody_and_what_is_behind_an_open_transaction_not_yet() {
        let test = "what_was_aborted_is_read_by_nobody_and_what_is_behind_an_open_transaction_not_yet";
        let broker = Broker::start();
        broker.ask("create audit 2");
        let check = |expected: &[&str]| {
            let names = expected
                .iter()
                .map(|name| (0..10).map(move |number| format!("{name}-{number}")));
            let mut expected: Vec<_> = names.flatten().collect();
            // First those with even numbers.
            expected.sort_by_key(|value| value.as_bytes().last().unwrap() % 2);
            let read = read_committed(broker.address(), "audit");
            assert_eq!(values(&read), expected);
            assert_eq!(values(&broker.committed("audit")), expected);
            if let Some(read) = read_with_python(test, broker.address(), "audit") {
                assert_eq!(values(&read), expected);
            }
        };
        check(&[]);
        begin(&broker, "first", "one").commit_transaction(PATIENCE).unwrap();
        check(&["one"]);
        begin(&broker, "second", "two").abort_transaction(PATIENCE).unwrap();
        check(&["one"]);
        let open = begin(&broker, "third", "three");
        begin(&broker, "first", "four").commit_transaction(PATIENCE).unwrap();
        check(&["one"]);
        open.abort_transaction(PATIENCE).unwrap();
        check(&["one", "four"]);
        assert_eq!(broker.all("audit").len(), 40);
    }
}
