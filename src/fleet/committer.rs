//! The thread of a bucket that commits: what several streams have at the same time goes in one transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Span;

use super::message::of_refused;
use crate::forward::kafka::fleet::{BucketError, BucketProducer, Outgoing};

/// How many streams may wait with what they have.
const WAITING: usize = 64;

/// A transaction takes no more streams when it has so many bytes of records.
const ENOUGH: usize = 8 << 20;

/// What is committed together.
#[derive(Debug)]
struct Commit {
    records: Vec<Outgoing>,
    state: Vec<Outgoing>,
    now: DateTime<Utc>,
    /// Told how many of the records went aside, when all of it is committed. Not told if it is not known to be.
    done: oneshot::Sender<usize>,
}

/// Nothing can be committed any more: the bucket is gone, or about to be taken over anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BucketGone;

/// Commits in a bucket.
#[derive(Clone, Debug)]
pub(super) struct BucketClient(mpsc::Sender<Commit>);

impl BucketClient {
    /// Commits records and state in one transaction; returns how many of the records went aside, since the broker will never take them.
    pub(super) async fn commit(
        &self,
        records: Vec<Outgoing>,
        state: Vec<Outgoing>,
        now: DateTime<Utc>,
    ) -> Result<usize, BucketGone> {
        let (done, is_done) = oneshot::channel();
        let commit = Commit {
            records,
            state,
            now,
            done,
        };
        self.0.send(commit).await.map_err(|_| BucketGone)?;
        is_done.await.map_err(|_| BucketGone)
    }
}

/// Starts the thread; it ends when all clients are gone, or with an error.
pub(super) fn start(
    producer: BucketProducer,
    rejected_topic: Arc<str>,
) -> (BucketClient, JoinHandle<Result<(), BucketError>>) {
    let (sender, commits) = mpsc::channel(WAITING);
    let span = Span::current();
    let thread = spawn_blocking(move || span.in_scope(|| work(producer, &rejected_topic, commits)));
    (BucketClient(sender), thread)
}

fn work(
    mut producer: BucketProducer,
    rejected_topic: &Arc<str>,
    mut commits: mpsc::Receiver<Commit>,
) -> Result<(), BucketError> {
    while let Some(first) = commits.blocking_recv() {
        let (mut bytes, mut all) = (size(&first), vec![first]);
        while bytes < ENOUGH
            && let Ok(next) = commits.try_recv()
        {
            bytes += size(&next);
            all.push(next);
        }
        let now = all.iter().map(|commit| commit.now).max().unwrap_or_default();
        let (mut records, mut state, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for mut commit in all {
            let first = records.len();
            records.append(&mut commit.records);
            state.append(&mut commit.state);
            told.push((first..records.len(), commit.done));
        }
        let aside = |message: &Outgoing, reason: &str| of_refused(message, reason, rejected_topic);
        let refused = producer.commit(&records, &state, now, aside)?;
        for (own, done) in told {
            // Whoever does not wait for it has ended.
            let _ = done.send(refused.iter().filter(|number| own.contains(number)).count());
        }
    }
    Ok(())
}

fn size(commit: &Commit) -> usize {
    let payloads = commit.records.iter().filter_map(|record| record.payload.as_ref());
    payloads.map(Vec::len).sum()
}

/// A bucket in memory, for the tests of what commits.
#[cfg(test)]
pub(super) mod memory {
    use super::*;
    use crate::fleet::state::{BucketState, FleetState};

    /// What is committed so far, one transaction after the other.
    #[derive(Clone, Debug, Default)]
    pub(in crate::fleet) struct Committed {
        /// The records of each transaction.
        pub(in crate::fleet) records: Vec<Vec<Outgoing>>,
        /// All other messages, in their order.
        pub(in crate::fleet) others: Vec<Outgoing>,
    }

    impl Committed {
        /// Returns the keys of all records.
        pub(in crate::fleet) fn keys(&self) -> Vec<String> {
            let keys = self.records.iter().flatten().map(|record| record.key.clone());
            keys.map(|key| String::from_utf8(key).unwrap()).collect()
        }

        /// Returns the state as a member reads it that takes the bucket over.
        pub(in crate::fleet) fn state(&self, topic: &str) -> BucketState {
            let mut state = BucketState::default();
            let (key, value) = FleetState::new("trails", 1).message();
            state.take(&key, Some(&value));
            for message in self.others.iter().filter(|message| &*message.topic == topic) {
                state.take(&message.key, message.payload.as_deref());
            }
            state.check("trails", 1).unwrap();
            state
        }
    }

    /// Starts one that goes on from what is committed, and is gone after so many transactions.
    pub(in crate::fleet) fn start(before: Committed, transactions: usize) -> (BucketClient, JoinHandle<Committed>) {
        let (sender, mut commits) = mpsc::channel::<Commit>(WAITING);
        let task = tokio::spawn(async move {
            let mut committed = before;
            for _ in 0..transactions {
                let Some(commit) = commits.recv().await else { break };
                committed.records.push(commit.records);
                committed.others.extend(commit.state);
                let _ = commit.done.send(0);
            }
            committed
        });
        (BucketClient(sender), task)
    }
}
