//! What a fleet needs of Kafka: its group, its topics, the state in a partition, and transactions of messages of several topics; and its
//! archive: a group of its own, and what is read of the topics.

mod group;
mod logged;
mod outgoing;
mod producer;
mod reader;
mod reading;
mod sharing;
mod topics;

pub(crate) use group::{Group, GroupEvent};
pub(crate) use outgoing::Outgoing;
pub(crate) use producer::{BucketError, BucketProducer};
pub(crate) use reader::read_partitions;
pub(crate) use reading::{Bounds, PartitionReader, ReadEnd, Taken};
pub(crate) use sharing::{Partition, Sharing, SharingError, Standing};
pub(crate) use topics::{Topics, Wanted};
