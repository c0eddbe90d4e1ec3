//! A loopback proxy between librdkafka and the fake broker, whose versions of `EndTxn` do not meet: version 1 goes in
//! and version 3 comes out, and the answer back. The layouts are those of <https://kafka.apache.org/protocol.html>.
//!
//! It sees what the hooks of the fake broker do not: what is in a request. By that it decides which ones are to be refused. The
//! requests of all connections get correlation ids of their own, by which the hooks know them again. What the fake broker cannot
//! answer, it answers itself: what members of a group ask of their coordinator, and how a topic is set.

mod configs;
mod coordinator;
mod wire;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use krafka::error::ErrorCode;
use krafka::testing::{ApiKey, FakeBroker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as Turns;

pub(super) use configs::Configs;
pub(super) use coordinator::Coordinator;
use wire::Reader;

/// The API key of `EndTxn`.
const END_TXN: i16 = 26;

/// The requests of a connection that have no answer yet, by the correlation id that they got here.
type Sent = Arc<Mutex<HashMap<i32, Request>>>;

struct Request {
    /// The correlation id of the client.
    correlation: [u8; 4],
    /// Whether the answer is to be rewritten too.
    is_rewritten: bool,
}

static NEXT_ID: AtomicI32 = AtomicI32::new(1);

/// Returns the error for a request, if it is to be refused: of its API key and its whole frame.
type Rule = Box<dyn Fn(i16, &[u8]) -> Option<ErrorCode> + Send>;

/// Decides which requests the broker refuses.
#[derive(Default)]
pub(super) struct Judge {
    /// Those that are always kept.
    standing: Vec<Rule>,
    rules: Vec<Rule>,
    /// By API key and correlation id.
    refused: HashMap<(i16, i32), ErrorCode>,
}

impl Judge {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn add_standing(&mut self, rule: Rule) {
        self.standing.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    fn look(&mut self, frame: &[u8]) {
        let api = int16(frame, 0);
        let mut rules = self.rules.iter().chain(&self.standing);
        if let Some(error) = rules.find_map(|rule| rule(api, frame)) {
            self.refused.insert((api, correlation_of(frame)), error);
        }
    }

    /// The verdict about a request, once.
    pub(super) fn take(&mut self, api: i16, correlation: i32) -> Option<ErrorCode> {
        self.refused.remove(&(api, correlation))
    }
}

fn correlation_of(frame: &[u8]) -> i32 {
    i32::from_be_bytes(frame[4..8].try_into().unwrap())
}

/// What stands ahead of the fake broker.
#[derive(Clone)]
pub(super) struct Ahead {
    pub(super) coordinator: Coordinator,
    pub(super) configs: Configs,
}

/// What was done with a request.
enum Handled {
    /// It is answered.
    Answered(Vec<u8>),
    /// The broker is to answer this.
    Passed(Vec<u8>),
}

impl Ahead {
    /// What this broker, which then offers the versions that are answered here, cannot do itself.
    pub(super) fn of(broker: &Arc<FakeBroker>) -> Self {
        let coordinator = Coordinator::before(broker);
        tokio::spawn(coordinator.clone().tick());
        Self {
            coordinator,
            configs: Configs::before(broker),
        }
    }

    async fn handle(&self, frame: Vec<u8>) -> Handled {
        let (head, reader) = Reader::of(&frame);
        Handled::Answered(match ApiKey::from_i16(head.api) {
            ApiKey::JoinGroup => self.coordinator.join(&head, reader).await,
            ApiKey::SyncGroup => self.coordinator.sync(&head, reader).await,
            ApiKey::Heartbeat => self.coordinator.beat(&head, reader),
            ApiKey::LeaveGroup => self.coordinator.leave(&head, reader),
            ApiKey::ListGroups => self.coordinator.list(&head),
            ApiKey::DescribeGroups => self.coordinator.describe_all(&head, reader),
            ApiKey::OffsetCommit => return self.coordinator.commit(&head, reader, &frame),
            ApiKey::DescribeConfigs => self.configs.describe(&head, reader),
            ApiKey::CreateTopics => {
                self.configs.note_creation(&head, reader);
                return Handled::Passed(frame);
            }
            _ => return Handled::Passed(frame),
        })
    }
}

/// The side of a connection that is written to; the answers of the broker and those from here take turns.
type Writer = Arc<Turns<OwnedWriteHalf>>;

/// Accepts connections for ever and joins each to a new one to `upstream`.
pub(super) async fn serve(
    listener: TcpListener,
    upstream: std::net::SocketAddr,
    judge: Arc<Mutex<Judge>>,
    ahead: Ahead,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (judge, ahead) = (judge.clone(), ahead.clone());
        tokio::spawn(async move {
            let Ok(broker) = TcpStream::connect(upstream).await else {
                return;
            };
            let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
            let (to_client, to_broker) = (Writer::new(to_client.into()), Writer::new(to_broker.into()));
            let sent = Sent::default();
            let requests = pump_requests(from_client, &to_broker, &to_client, &ahead, |frame| {
                let frame = rewrite_request(frame, &sent);
                judge.lock().unwrap().look(&frame);
                frame
            });
            let answers = pump_answers(from_broker, &to_client, &sent);
            // When one side goes, both do: a broker that drops a connection drops it for the client too.
            tokio::select! {
                _ = requests => {}
                _ = answers => {}
            }
        });
    }
}

/// Passes requests on, but for those that are answered here. As with Kafka, a connection's next request waits as long as its member
/// waits for others.
async fn pump_requests(
    mut from: OwnedReadHalf,
    to_broker: &Writer,
    to_client: &Writer,
    ahead: &Ahead,
    rewrite: impl Fn(Vec<u8>) -> Vec<u8>,
) -> io::Result<()> {
    loop {
        match ahead.handle(read_frame(&mut from).await?).await {
            Handled::Answered(answer) => write_frame(to_client, &answer).await?,
            Handled::Passed(frame) => write_frame(to_broker, &rewrite(frame)).await?,
        }
    }
}

async fn pump_answers(mut from: OwnedReadHalf, to_client: &Writer, sent: &Sent) -> io::Result<()> {
    loop {
        let frame = rewrite_answer(read_frame(&mut from).await?, sent);
        write_frame(to_client, &frame).await?;
    }
}

/// A frame is a length and as many bytes.
async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; from.read_u32().await? as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(to: &Writer, frame: &[u8]) -> io::Result<()> {
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend(frame);
    to.lock().await.write_all(&bytes).await
}

fn int16(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn rewrite_request(mut frame: Vec<u8>, sent: &Sent) -> Vec<u8> {
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let request = Request {
        correlation: frame[4..8].try_into().unwrap(),
        is_rewritten: int16(&frame, 0) == END_TXN && int16(&frame, 2) == 1,
    };
    let is_rewritten = request.is_rewritten;
    frame[4..8].copy_from_slice(&id.to_be_bytes());
    sent.lock().unwrap().insert(id, request);
    if !is_rewritten {
        return frame;
    }
    let client_end = 10 + usize::try_from(int16(&frame, 8)).unwrap_or(0);
    let id_length = int16(&frame, client_end) as usize;
    let (id, rest) = frame[client_end + 2..].split_at(id_length);
    let mut new = Vec::with_capacity(frame.len() + 4);
    new.extend(END_TXN.to_be_bytes());
    new.extend(3_i16.to_be_bytes());
    new.extend(&frame[4..client_end]);
    new.push(0); // No tagged fields in the header.
    assert!(id_length < 127, "a length of one byte");
    new.push(id_length as u8 + 1);
    new.extend(id);
    new.extend(rest);
    new.push(0); // Nor in the body.
    new
}

fn rewrite_answer(mut frame: Vec<u8>, sent: &Sent) -> Vec<u8> {
    let id = i32::from_be_bytes(frame[..4].try_into().unwrap());
    let request = sent.lock().unwrap().remove(&id).unwrap();
    frame[..4].copy_from_slice(&request.correlation);
    if !request.is_rewritten {
        return frame;
    }
    // Correlation id, tagged fields, throttle time, error code, tagged fields.
    let mut new = frame[..4].to_vec();
    new.extend(&frame[5..11]);
    new
}

/// The record batch of a `Produce` request, version 9 or later, for one partition.
pub(super) fn record_batch(frame: &[u8]) -> &[u8] {
    let mut rest = &frame[10 + int16(frame, 8).max(0) as usize + 1..];
    let id = varint(&mut rest).saturating_sub(1);
    rest = &rest[id + 6..]; // The acks and the time-out.
    varint(&mut rest);
    let topic = varint(&mut rest) - 1;
    rest = &rest[topic..];
    varint(&mut rest);
    rest = &rest[4..]; // The partition.
    let length = varint(&mut rest) - 1;
    &rest[..length]
}

/// The topics of a `TxnOffsetCommit` request, version 3 or later.
pub(super) fn topics_of_offsets(frame: &[u8]) -> Vec<String> {
    let mut rest = &frame[10 + int16(frame, 8).max(0) as usize + 1..];
    text(&mut rest); // The transactional id.
    text(&mut rest); // The group.
    rest = &rest[14..]; // The producer and its epoch, the generation.
    text(&mut rest); // The member.
    text(&mut rest); // Its instance.
    let topics = varint(&mut rest) - 1;
    let names = (0..topics).map(|_| {
        let name = text(&mut rest);
        for _ in 1..varint(&mut rest) {
            rest = &rest[16..]; // The partition, the offset, its epoch.
            text(&mut rest); // The metadata.
            rest = &rest[1..]; // No tagged fields.
        }
        rest = &rest[1..];
        name
    });
    names.collect()
}

fn text(bytes: &mut &[u8]) -> String {
    let length = varint(bytes).saturating_sub(1);
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    String::from_utf8_lossy(text).into_owned()
}

fn varint(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= usize::from(byte & 127) << shift;
        if *byte < 128 {
            break;
        }
    }
    number
}
