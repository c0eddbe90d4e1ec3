//! A member as the design of the fleet has it, in its simplest form, so that the storm can be tried: on one that does all right, and
//! on ones that do not.
//!
//! The service of an organization is a file to which lines are added. Its state is how many lines were taken.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use super::storm::Fleet;
use crate::kafka::broker::Broker;
use crate::support::random::random_of;

const STATE: &str = "fleet.state";
const AUDIT: &str = "audit";
const BUCKETS: i32 = 8;
const SESSION: Duration = Duration::from_secs(3);

/// What the process is told.
const VARIABLES: [&str; 3] = ["STAND_IN_BROKER", "STAND_IN_FOLDER", "STAND_IN_FAULT"];

/// What a member does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Its transactional ids are its own, so that nobody is fenced.
    OwnIds,
    /// The state has a transaction of its own, after that of the lines.
    StateLater,
    /// Or before it.
    StateEarlier,
}

impl Fault {
    const ALL: [Self; 4] = [Self::None, Self::OwnIds, Self::StateLater, Self::StateEarlier];
}

/// The fleet: its services, and how its members are.
pub(super) struct StandIns {
    folder: TempDir,
    address: String,
    fault: Fault,
}

impl StandIns {
    pub(super) fn new(broker: &Broker, organizations: usize, fault: Fault) -> Self {
        broker.ask(&format!("create {STATE} {BUCKETS}"));
        broker.ask(&format!("create {AUDIT} 3"));
        let folder = tempfile::tempdir().unwrap();
        for number in 0..organizations {
            fs::write(folder.path().join(format!("org{number:02}")), "").unwrap();
        }
        Self {
            folder,
            address: broker.address().to_owned(),
            fault,
        }
    }
}

impl Fleet for StandIns {
    fn member(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["fleet::stand_in::member", "--exact", "--ignored", "--nocapture"]);
        let folder = self.folder.path().to_str().unwrap().to_owned();
        let values = [self.address.clone(), folder, format!("{:?}", self.fault)];
        command.envs(VARIABLES.into_iter().zip(values));
        command
    }

    fn session(&self) -> Duration {
        SESSION
    }

    fn organizations(&self) -> Vec<String> {
        names(self.folder.path())
    }

    fn topics(&self) -> Vec<String> {
        vec![AUDIT.to_owned()]
    }

    fn give(&mut self, organization: &str, id: &str, _seconds_ago: i64) -> String {
        let file = OpenOptions::new()
            .append(true)
            .open(self.folder.path().join(organization));
        file.unwrap().write_all(format!("{id}\n").as_bytes()).unwrap();
        id.to_owned()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A bucket that a member has.
struct Bucket {
    producer: ThreadedProducer<DefaultProducerContext>,
    /// How many lines of each organization were taken.
    taken: BTreeMap<String, usize>,
}

/// The process of a member.
struct Stand {
    address: String,
    folder: PathBuf,
    fault: Fault,
    buckets: BTreeMap<i32, Bucket>,
    random: Rng,
}

/// Not a test: a member of [`StandIns`]. It ends when it is killed, or asked to.
#[test]
#[ignore = "a member of the fleet of other tests, which start it themselves"]
#[expect(clippy::disallowed_methods, reason = "what the test says to its process")]
fn member() {
    let [address, folder, fault] = VARIABLES.map(|name| std::env::var(name).unwrap());
    let fault = Fault::ALL.into_iter().find(|known| format!("{known:?}") == fault);
    let mut stand = Stand {
        address,
        folder: folder.into(),
        fault: fault.unwrap(),
        buckets: BTreeMap::new(),
        random: random_of(std::process::id().into()),
    };
    let consumer = stand.consumer();
    consumer.subscribe(&[STATE]).unwrap();
    // Longer than any test.
    let end = Instant::now() + Duration::from_secs(3_600);
    while Instant::now() < end {
        let _ = consumer.poll(Duration::from_millis(20));
        let assigned = consumer.assignment().unwrap();
        let assigned: Vec<_> = assigned.elements().iter().map(|bucket| bucket.partition()).collect();
        stand.buckets.retain(|bucket, _| assigned.contains(bucket));
        for bucket in assigned {
            if let Err(error) = stand.serve(bucket) {
                writeln!(stderr(), "bucket {bucket}: {error}").unwrap();
                stand.buckets.remove(&bucket);
            }
        }
    }
}

impl Stand {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config.set("reconnect.backoff.max.ms", "200");
        config
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", "fleet");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("session.timeout.ms", SESSION.as_millis().to_string());
        config.set("heartbeat.interval.ms", "300");
        config.set("enable.auto.commit", "false");
        config.create().unwrap()
    }

    /// Takes a bucket over, if it is new, and what its services have.
    fn serve(&mut self, number: i32) -> KafkaResult<()> {
        if !self.buckets.contains_key(&number) {
            let bucket = self.take_over(number)?;
            self.buckets.insert(number, bucket);
        }
        let of_bucket = names(&self.folder).into_iter().zip(0..);
        let of_bucket = of_bucket.filter(|(_, place)| place % BUCKETS == number);
        for (organization, _) in of_bucket.collect::<Vec<_>>() {
            self.collect(number, &organization)?;
        }
        Ok(())
    }

    /// The fence first, then the state.
    fn take_over(&self, number: i32) -> KafkaResult<Bucket> {
        let mut config = self.config();
        let id = match self.fault {
            Fault::OwnIds => format!("fleet.{number}.{}", std::process::id()),
            _ => format!("fleet.{number}"),
        };
        config.set("transactional.id", id);
        let producer: ThreadedProducer<_> = config.create()?;
        producer.init_transactions(Duration::from_secs(10))?;
        let taken = self.state(number)?;
        Ok(Bucket { producer, taken })
    }

    /// Reads a bucket's state to its end.
    fn state(&self, number: i32) -> KafkaResult<BTreeMap<String, usize>> {
        let mut config = self.config();
        config.set("group.id", "none").set("enable.partition.eof", "true");
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        let mut partition = TopicPartitionList::new();
        partition.add_partition_offset(STATE, number, Offset::Beginning)?;
        consumer.assign(&partition)?;
        let mut taken = BTreeMap::new();
        loop {
            match consumer.poll(Duration::from_secs(10)) {
                Some(Ok(message)) => {
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                    taken.insert(text(message.key()), text(message.payload()).parse().unwrap());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(taken),
                Some(Err(error)) => return Err(error),
                None => return Err(KafkaError::Canceled),
            }
        }
    }

    /// One transaction of lines and state.
    fn collect(&mut self, number: i32, organization: &str) -> KafkaResult<()> {
        let text = fs::read_to_string(self.folder.join(organization)).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let bucket = self.buckets.get_mut(&number).unwrap();
        let taken = bucket.taken.get(organization).copied().unwrap_or(0);
        let lines: Vec<_> = whole.lines().skip(taken).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let state = (taken + lines.len()).to_string();
        let state = BaseRecord::to(STATE)
            .partition(number)
            .key(organization)
            .payload(state.as_str());
        let lines = lines
            .iter()
            .map(|line| BaseRecord::to(AUDIT).key(organization).payload(*line));
        let parts: Vec<Vec<BaseRecord<'_, str, str>>> = match self.fault {
            Fault::None | Fault::OwnIds => vec![lines.chain([state]).collect()],
            Fault::StateLater => vec![lines.collect(), vec![state]],
            Fault::StateEarlier => vec![vec![state], lines.collect()],
        };
        for part in parts {
            // So that blows fall into it.
            let longest = if self.fault == Fault::None { 60 } else { 400 };
            commit(
                &bucket.producer,
                part,
                Duration::from_millis(self.random.u64(0..longest)),
            )?;
        }
        bucket
            .taken
            .insert(organization.to_owned(), taken + whole.lines().skip(taken).count());
        Ok(())
    }
}

fn commit(
    producer: &ThreadedProducer<DefaultProducerContext>,
    records: Vec<BaseRecord<'_, str, str>>,
    pause: Duration,
) -> KafkaResult<()> {
    let patience = Duration::from_secs(10);
    producer.begin_transaction()?;
    for record in records {
        producer.send(record).map_err(|(error, _)| error)?;
    }
    thread::sleep(pause);
    for _ in 0..20 {
        match producer.commit_transaction(patience) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            outcome => return outcome,
        }
    }
    Err(KafkaError::Canceled)
}
