//! What a fleet needs of Kafka: its group, its topics, the state in a partition, and transactions of messages of several topics.

mod group;
mod outgoing;
mod producer;
mod reader;
mod topics;

pub(crate) use group::{Group, GroupEvent};
pub(crate) use outgoing::Outgoing;
pub(crate) use producer::{BucketError, BucketProducer};
pub(crate) use reader::read_partitions;
pub(crate) use topics::{Topics, Wanted};
