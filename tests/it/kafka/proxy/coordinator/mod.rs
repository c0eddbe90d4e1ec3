//! The coordinator of consumer groups that stands before krafka's fake broker, whose own knows groups of one member only.
//!
//! It answers what members of a group ask of their coordinator, in the versions that librdkafka speaks; where they find it, and
//! the offsets that they commit, stays the broker's.

mod group;
mod member;
#[cfg(test)]
mod rules;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use krafka::testing::{ApiKey, FakeBroker};

use super::Handled;
use super::wire::{Head, Reader, Writer};
use group::{Group, Waiting};
use member::Joining;

/// How often is looked whose session is over.
const TICK: Duration = Duration::from_millis(10);

/// Why a member is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
enum Fault {
    IllegalGeneration = 22,
    InconsistentProtocol = 23,
    UnknownMember = 25,
    RebalanceInProgress = 27,
    MemberIdRequired = 79,
    FencedInstance = 82,
}

/// Fault or not, as a number.
fn code(outcome: Result<(), Fault>) -> i16 {
    outcome.err().map_or(0, |fault| fault as i16)
}

/// The groups of a broker, by name.
#[derive(Clone, Default)]
pub(crate) struct Coordinator(Arc<Mutex<Groups>>);

#[derive(Default)]
struct Groups {
    groups: BTreeMap<String, Group>,
    /// Nothing expires while the broker is down.
    is_down: bool,
}

impl Coordinator {
    /// One before this broker, which then offers the versions that are answered here.
    pub(super) fn before(broker: &FakeBroker) -> Self {
        // librdkafka leaves a group with version 1.
        broker.set_api_versions(ApiKey::LeaveGroup, 0, 3);
        // The version whose requests are rewritten.
        broker.set_api_versions(ApiKey::OffsetCommit, 7, 7);
        // The versions in which librdkafka asks who is in a group.
        broker.set_api_versions(ApiKey::ListGroups, 0, 0);
        broker.set_api_versions(ApiKey::DescribeGroups, 0, 0);
        Self::default()
    }

    /// Puts members out whose time is over, as long as there is a proxy that has it.
    pub(super) async fn tick(self) {
        let mut ticks = tokio::time::interval(TICK);
        while Arc::strong_count(&self.0) > 1 {
            ticks.tick().await;
            self.expire();
        }
    }

    fn expire(&self) {
        let (now, mut groups) = (Instant::now(), self.0.lock().unwrap());
        if !groups.is_down {
            groups.groups.values_mut().for_each(|group| group.expire(now));
        }
    }

    /// The broker goes down, with the coordinator, or is back: then all sessions begin anew.
    pub(crate) fn set_down(&self, is_down: bool) {
        let (now, mut groups) = (Instant::now(), self.0.lock().unwrap());
        groups.is_down = is_down;
        groups.groups.values_mut().for_each(|group| group.renew(now));
    }

    /// The names of all groups.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().groups.keys().cloned().collect()
    }

    /// Has all members of a group join again.
    pub(crate) fn rebalance(&self, group: &str) {
        let mut groups = self.0.lock().unwrap();
        groups.groups.get_mut(group).unwrap().prepare(Instant::now());
    }

    /// The state of a group, its generation, its protocol, and the ids of its members, of static ones with their instance.
    pub(crate) fn describe(&self, group: &str) -> String {
        let groups = self.0.lock().unwrap();
        let Some(group) = groups.groups.get(group) else {
            return "None 0".to_owned();
        };
        let mut text = format!("{:?} {} {}", group.state, group.generation, group.protocol);
        for (id, member) in &group.members {
            let instance = member.joining.instance.as_deref().unwrap_or_default();
            write!(text, " {id}={instance}").unwrap();
        }
        text
    }

    fn with<T>(&self, group: String, act: impl FnOnce(&mut Group) -> T) -> T {
        act(self.0.lock().unwrap().groups.entry(group).or_default())
    }

    pub(super) async fn join(&self, head: &Head, mut reader: Reader<'_>) -> Vec<u8> {
        assert_eq!(head.version, 5, "JoinGroup");
        let group = reader.string();
        let (session, rebalance) = (duration(reader.int32()), duration(reader.int32()));
        let (id, instance) = (reader.string(), reader.nullable());
        reader.string(); // `consumer`.
        let joining = Joining {
            instance,
            session,
            rebalance,
            protocols: reader.array(|reader| (reader.string(), reader.bytes())),
        };
        let waiting = self.with(group, |group| group.join(&head.client, &id, joining, Instant::now()));
        match answer(waiting).await {
            Err((fault, member)) => Writer::answer(head)
                .int16(fault as i16)
                .int32(-1)
                .string("")
                .string("")
                .string(member.as_deref().unwrap_or(&id))
                .int32(0)
                .end(),
            Ok(joined) => Writer::answer(head)
                .int16(0)
                .int32(joined.generation)
                .string(&joined.protocol)
                .string(&joined.leader)
                .string(&joined.member)
                .array(&joined.members, |writer, (id, instance, told)| {
                    writer.string(id).nullable(instance.as_deref()).bytes(told)
                })
                .end(),
        }
    }

    pub(super) async fn sync(&self, head: &Head, mut reader: Reader<'_>) -> Vec<u8> {
        assert_eq!(head.version, 3, "SyncGroup");
        let (group, generation) = (reader.string(), reader.int32());
        let (id, instance) = (reader.string(), reader.nullable());
        let assignments = reader.array(|reader| (reader.string(), reader.bytes()));
        let waiting = self.with(group, |group| match group.check(&id, instance.as_deref(), generation) {
            Err(fault) => Waiting::Refused(fault, id),
            Ok(()) => group.sync(&id, assignments, Instant::now()),
        });
        match answer(waiting).await {
            Err((fault, _)) => Writer::answer(head).int16(fault as i16).bytes(&[]).end(),
            Ok(assignment) => Writer::answer(head).int16(0).bytes(&assignment).end(),
        }
    }

    pub(super) fn beat(&self, head: &Head, mut reader: Reader<'_>) -> Vec<u8> {
        assert_eq!(head.version, 3, "Heartbeat");
        let (group, generation) = (reader.string(), reader.int32());
        let (id, instance) = (reader.string(), reader.nullable());
        let outcome = self.with(group, |group| {
            group.check(&id, instance.as_deref(), generation)?;
            group.beat(&id, Instant::now())
        });
        Writer::answer(head).int16(code(outcome)).end()
    }

    pub(super) fn leave(&self, head: &Head, mut reader: Reader<'_>) -> Vec<u8> {
        let group = reader.string();
        let leave = |id: &str, instance: Option<&str>| {
            let outcome = self.with(group.clone(), |group| group.leave(id, instance, Instant::now()));
            code(outcome)
        };
        match head.version {
            0 => Writer::bare(head).int16(leave(&reader.string(), None)).end(),
            1 | 2 => Writer::answer(head).int16(leave(&reader.string(), None)).end(),
            _ => {
                let members = reader.array(|reader| (reader.string(), reader.nullable()));
                Writer::answer(head)
                    .int16(0)
                    .array(&members, |writer, (id, instance)| {
                        let outcome = leave(id, instance.as_deref());
                        writer.string(id).nullable(instance.as_deref()).int16(outcome)
                    })
                    .end()
            }
        }
    }

    /// The names of all groups.
    pub(super) fn list(&self, head: &Head) -> Vec<u8> {
        Writer::bare(head)
            .int16(0)
            .array(&self.names(), |writer, name| writer.string(name).string("consumer"))
            .end()
    }

    /// Who is in these groups.
    pub(super) fn describe_all(&self, head: &Head, mut reader: Reader<'_>) -> Vec<u8> {
        let names = reader.array(Reader::string);
        let answer = Writer::bare(head).array(&names, |writer, name| {
            let groups = self.0.lock().unwrap();
            let members = groups.groups.get(name).map(|group| group.members.iter().collect());
            let members: Vec<_> = members.unwrap_or_default();
            writer
                .int16(0)
                .string(name)
                .string("Stable")
                .string("consumer")
                .string("")
                .array(&members, |writer, (id, member)| {
                    writer
                        .string(id)
                        .string("")
                        .string("")
                        .bytes(&[])
                        .bytes(&member.assignment)
                })
        });
        answer.end()
    }

    /// The broker keeps offsets, and knows no members: whether one may commit is decided here.
    pub(super) fn commit(&self, head: &Head, mut reader: Reader<'_>, frame: &[u8]) -> Handled {
        assert_eq!(head.version, 7, "OffsetCommit");
        let head_length = frame.len() - reader.rest().len();
        let (group, generation) = (reader.string(), reader.int32());
        let (id, instance) = (reader.string(), reader.nullable());
        let outcome = if generation < 0 {
            Ok(())
        } else {
            self.with(group.clone(), |group| group.check(&id, instance.as_deref(), generation))
        };
        if outcome.is_ok() {
            let without_member = Writer::default()
                .raw(&frame[..head_length])
                .string(&group)
                .int32(-1)
                .string("")
                .nullable(None)
                .raw(reader.rest());
            return Handled::Passed(without_member.end());
        }
        let topics = reader.array(|reader| {
            let topic = reader.string();
            let partitions = reader.array(|reader| {
                let partition = reader.int32();
                // The offset, its epoch, the metadata.
                let _ = (reader.int32(), reader.int32(), reader.int32(), reader.nullable());
                partition
            });
            (topic, partitions)
        });
        let refused = Writer::answer(head).array(&topics, |writer, (topic, partitions)| {
            let writer = writer.string(topic);
            writer.array(partitions, |writer, partition| {
                writer.int32(*partition).int16(code(outcome))
            })
        });
        Handled::Answered(refused.end())
    }
}

fn duration(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap())
}

/// Waits for what others decide; a fault comes with the id of the member, where there is a new one.
async fn answer<T>(waiting: Waiting<T>) -> Result<T, (Fault, Option<String>)> {
    match waiting {
        Waiting::Refused(fault, member) => Err((fault, Some(member))),
        // One whose answer nobody has any more has joined again on another connection.
        Waiting::For(answer) => answer
            .await
            .unwrap_or(Err(Fault::UnknownMember))
            .map_err(|fault| (fault, None)),
    }
}
