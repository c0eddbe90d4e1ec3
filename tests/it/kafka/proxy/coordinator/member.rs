//! A member of a group, and what it waits for.

use std::time::{Duration, Instant};

use tokio::sync::oneshot::Sender;

use super::Fault;

/// What a member says of itself when it joins.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    /// The `group.instance.id` of a static member.
    pub(super) instance: Option<String>,
    /// How long it stays in the group without a heartbeat.
    pub(super) session: Duration,
    /// How long the others wait for it to join again.
    pub(super) rebalance: Duration,
    /// The assignors that it knows, the one that it likes best first, with what it tells each.
    pub(super) protocols: Vec<(String, Vec<u8>)>,
}

/// What a member learns when all have joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) member: String,
    /// For the leader, who assigns: each member with its instance and what it told the assignor.
    pub(super) members: Vec<(String, Option<String>, Vec<u8>)>,
}

/// To the member that waits for the others to join.
pub(super) type JoinSender = Sender<Result<Joined, Fault>>;

/// To the member that waits for what the leader assigns to it.
pub(super) type SyncSender = Sender<Result<Vec<u8>, Fault>>;

/// A member of a group.
pub(super) struct Member {
    pub(super) joining: Joining,
    /// What the leader gave it.
    pub(super) assignment: Vec<u8>,
    /// When its session began anew.
    pub(super) seen: Instant,
    pub(super) join: Option<JoinSender>,
    pub(super) sync: Option<SyncSender>,
}

impl Member {
    pub(super) fn new(joining: Joining, join: JoinSender, now: Instant) -> Self {
        Self {
            joining,
            assignment: Vec::new(),
            seen: now,
            join: Some(join),
            sync: None,
        }
    }

    /// What it tells this assignor; `None` if it does not know it.
    pub(super) fn told(&self, protocol: &str) -> Option<&[u8]> {
        let mut protocols = self.joining.protocols.iter();
        let found = protocols.find(|(name, _)| name == protocol);
        found.map(|(_, told)| told.as_slice())
    }

    /// Whether its session is over: it is not as long as the member waits for an answer, as with Kafka.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.join.is_none() && self.sync.is_none() && now.duration_since(self.seen) >= self.joining.session
    }

    /// Tells what it waits for that there is nothing to wait for.
    pub(super) fn refuse(&mut self, fault: Fault) {
        if let Some(join) = self.join.take() {
            let _ = join.send(Err(fault));
        }
        self.refuse_sync(fault);
    }

    pub(super) fn refuse_sync(&mut self, fault: Fault) {
        if let Some(sync) = self.sync.take() {
            let _ = sync.send(Err(fault));
        }
    }
}
