//! The members of a group and their generations, by the rules of Apache Kafka's classic coordinator: who joins waits until all
//! have joined again, the leader assigns, and a member without heartbeats is out after its session time-out.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Fault;
use super::member::{JoinSender, Joined, Joining, Member, SyncSender};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Empty,
    /// The members join again.
    Preparing,
    /// All have joined, and wait for what the leader assigns.
    Completing,
    Stable,
}

/// A group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) members: BTreeMap<String, Member>,
    /// Ids that were given out, whose owners have not joined yet, and until when they may.
    pending: BTreeMap<String, Instant>,
    /// When those that have not joined again are out.
    join_by: Option<Instant>,
    next: u64,
}

impl Group {
    /// A member joins, with the id that it has, or none; the answer may have to wait for others.
    pub(super) fn join(&mut self, client: &str, id: &str, joining: Joining, now: Instant) -> Waiting<Joined> {
        let (sender, answer) = oneshot::channel();
        if let Err((fault, member)) = self.try_join(client, id, joining, sender, now) {
            return Waiting::Refused(fault, member);
        }
        Waiting::For(answer)
    }

    /// The fault, and the id of the member that it is about.
    fn try_join(
        &mut self,
        client: &str,
        id: &str,
        joining: Joining,
        join: JoinSender,
        now: Instant,
    ) -> Result<(), (Fault, String)> {
        let refuse = |fault| Err((fault, id.to_owned()));
        if !self.members.is_empty() && !self.has_common_protocol_with(&joining) {
            return refuse(Fault::InconsistentProtocol);
        }
        let standing = joining
            .instance
            .as_deref()
            .and_then(|instance| self.of_instance(instance));
        match (id.is_empty(), standing) {
            (true, Some(before)) => self.replace(client, &before, joining, join, now),
            (true, None) if joining.instance.is_some() => {
                let id = self.new_id(client, joining.instance.as_deref());
                self.add(id, joining, join, now);
            }
            (true, None) => {
                let id = self.new_id(client, None);
                self.pending.insert(id.clone(), now + joining.session);
                return Err((Fault::MemberIdRequired, id));
            }
            (false, Some(standing)) if standing != id => return refuse(Fault::FencedInstance),
            (false, _) if self.pending.remove(id).is_some() => self.add(id.to_owned(), joining, join, now),
            (false, _) if self.members.contains_key(id) => self.join_again(id, joining, join, now),
            (false, _) => return refuse(Fault::UnknownMember),
        }
        self.complete_join(now);
        Ok(())
    }

    fn has_common_protocol_with(&self, joining: &Joining) -> bool {
        let mut names = joining.protocols.iter().map(|(name, _)| name);
        names.any(|name| self.members.values().all(|member| member.told(name).is_some()))
    }

    /// The id of a static member.
    fn of_instance(&self, instance: &str) -> Option<String> {
        let mut members = self.members.iter();
        let found = members.find(|(_, member)| member.joining.instance.as_deref() == Some(instance));
        found.map(|(id, _)| id.clone())
    }

    fn new_id(&mut self, client: &str, instance: Option<&str>) -> String {
        self.next += 1;
        format!("{}-{:04}", instance.unwrap_or(client), self.next)
    }

    fn add(&mut self, id: String, joining: Joining, join: JoinSender, now: Instant) {
        if self.leader.is_empty() {
            self.leader.clone_from(&id);
        }
        self.members.insert(id, Member::new(joining, join, now));
        self.prepare(now);
    }

    /// A static member is back under a new id: the old one is fenced, and nothing is shared out anew.
    fn replace(&mut self, client: &str, before: &str, joining: Joining, join: JoinSender, now: Instant) {
        let mut old = self.members.remove(before).unwrap();
        old.refuse(Fault::FencedInstance);
        let id = self.new_id(client, joining.instance.as_deref());
        let leader = self.leader.clone();
        if leader == before {
            self.leader.clone_from(&id);
        }
        let mut member = Member::new(joining, join, now);
        member.assignment = old.assignment;
        self.members.insert(id.clone(), member);
        if self.state != State::Stable || self.chosen_protocol() != self.protocol {
            self.prepare(now);
            return;
        }
        // With the leader of before, so that one that was it only asks for what it had.
        let joined = Joined {
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader,
            member: id.clone(),
            members: Vec::new(),
        };
        self.tell_joined(&id, joined, now);
    }

    fn join_again(&mut self, id: &str, joining: Joining, join: JoinSender, now: Instant) {
        let member = self.members.get_mut(id).unwrap();
        let is_same = member.joining.protocols == joining.protocols;
        member.joining = joining;
        member.join = Some(join);
        member.seen = now;
        let is_told = match self.state {
            State::Completing => is_same,
            State::Stable => is_same && self.leader != id,
            State::Preparing | State::Empty => false,
        };
        if is_told {
            // It has lost the answer.
            let joined = self.joined(id);
            self.tell_joined(id, joined, now);
        } else {
            self.prepare(now);
        }
    }

    /// All are to join again.
    pub(super) fn prepare(&mut self, now: Instant) {
        if self.members.is_empty() {
            (self.state, self.join_by) = (State::Empty, None);
            self.leader.clear();
            return;
        }
        if self.state == State::Preparing {
            return;
        }
        for member in self.members.values_mut() {
            member.refuse_sync(Fault::RebalanceInProgress);
            if self.state == State::Completing {
                member.assignment.clear();
            }
        }
        self.state = State::Preparing;
        let longest = self.members.values().map(|member| member.joining.rebalance).max();
        self.join_by = longest.map(|longest| now + longest);
    }

    /// The next generation begins when all have joined, or the time for it is over.
    fn complete_join(&mut self, now: Instant) {
        if self.state != State::Preparing {
            return;
        }
        let is_late = self.join_by.is_some_and(|by| now >= by);
        if is_late {
            let is_kept = |member: &Member| member.join.is_some() || member.joining.instance.is_some();
            self.members.retain(|_, member| is_kept(member));
        }
        let have_all_joined = self.pending.is_empty() && self.members.values().all(|member| member.join.is_some());
        if !have_all_joined && !is_late {
            return;
        }
        if self.members.is_empty() {
            return self.prepare(now);
        }
        self.generation += 1;
        self.protocol = self.chosen_protocol();
        let is_there = |id: &String| self.members.get(id).is_some_and(|member| member.join.is_some());
        if !is_there(&self.leader) {
            let first = self.members.keys().find(|id| is_there(id));
            self.leader = first.cloned().unwrap_or_default();
        }
        (self.state, self.join_by) = (State::Completing, None);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            self.tell_joined(&id, joined, now);
        }
    }

    /// What most members like best of that which all know.
    fn chosen_protocol(&self) -> String {
        let is_known = |name: &&String| self.members.values().all(|member| member.told(name).is_some());
        let mut votes = BTreeMap::<&String, usize>::new();
        for member in self.members.values() {
            let mut names = member.joining.protocols.iter().map(|(name, _)| name);
            *votes.entry(names.find(is_known).unwrap()).or_default() += 1;
        }
        let winner = votes.into_iter().max_by_key(|(_, votes)| *votes);
        winner.map(|(name, _)| name.clone()).unwrap()
    }

    fn joined(&self, id: &str) -> Joined {
        let told = |(id, member): (&String, &Member)| {
            let told = member.told(&self.protocol).unwrap_or_default().to_vec();
            (id.clone(), member.joining.instance.clone(), told)
        };
        let members = if self.leader == id {
            self.members.iter().map(told).collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member: id.to_owned(),
            members,
        }
    }

    /// Its session begins with the answer.
    fn tell_joined(&mut self, id: &str, joined: Joined, now: Instant) {
        let member = self.members.get_mut(id).unwrap();
        member.seen = now;
        if let Some(join) = member.join.take() {
            let _ = join.send(Ok(joined));
        }
    }

    /// Whether this is a member, in the generation in which it believes to be.
    pub(super) fn check(&self, id: &str, instance: Option<&str>, generation: i32) -> Result<(), Fault> {
        let standing = instance.and_then(|instance| self.of_instance(instance));
        if standing.is_some_and(|standing| standing != id) {
            return Err(Fault::FencedInstance);
        }
        if !self.members.contains_key(id) {
            return Err(Fault::UnknownMember);
        }
        if generation != self.generation {
            return Err(Fault::IllegalGeneration);
        }
        Ok(())
    }

    /// A member asks what it has; the leader says what each has.
    pub(super) fn sync(&mut self, id: &str, assignments: Vec<(String, Vec<u8>)>, now: Instant) -> Waiting<Vec<u8>> {
        let (sender, answer) = oneshot::channel();
        let is_leader = self.leader == id;
        let member = self.members.get_mut(id).unwrap();
        member.seen = now;
        match self.state {
            State::Completing => {
                member.sync = Some(sender);
                if is_leader {
                    self.assign(assignments, now);
                }
            }
            State::Stable => {
                let _ = sender.send(Ok(member.assignment.clone()));
            }
            State::Preparing | State::Empty => return Waiting::Refused(Fault::RebalanceInProgress, id.to_owned()),
        }
        Waiting::For(answer)
    }

    fn assign(&mut self, assignments: Vec<(String, Vec<u8>)>, now: Instant) {
        let mut assignments: BTreeMap<_, _> = assignments.into_iter().collect();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            if let Some(sync) = member.sync.take() {
                let sync: SyncSender = sync;
                member.seen = now;
                let _ = sync.send(Ok(member.assignment.clone()));
            }
        }
        self.state = State::Stable;
    }

    /// A member lives.
    pub(super) fn beat(&mut self, id: &str, now: Instant) -> Result<(), Fault> {
        self.members.get_mut(id).unwrap().seen = now;
        match self.state {
            State::Preparing => Err(Fault::RebalanceInProgress),
            State::Empty | State::Completing | State::Stable => Ok(()),
        }
    }

    /// A member goes.
    pub(super) fn leave(&mut self, id: &str, instance: Option<&str>, now: Instant) -> Result<(), Fault> {
        // A static one may be named by its instance alone.
        let standing = instance.and_then(|instance| self.of_instance(instance));
        let id = if id.is_empty() {
            standing.unwrap_or_default()
        } else {
            id.to_owned()
        };
        if self.pending.remove(&id).is_none() {
            let mut member = self.members.remove(&id).ok_or(Fault::UnknownMember)?;
            member.refuse(Fault::UnknownMember);
            self.prepare(now);
        }
        self.complete_join(now);
        Ok(())
    }

    /// Puts those out whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.pending.retain(|_, until| *until > now);
        let before = self.members.len();
        self.members.retain(|_, member| !member.is_expired(now));
        if self.members.len() < before {
            self.prepare(now);
        }
        self.complete_join(now);
    }

    /// All sessions begin anew, as when another broker has taken the group over.
    pub(super) fn renew(&mut self, now: Instant) {
        self.members.values_mut().for_each(|member| member.seen = now);
    }
}

/// An answer that may have to wait for other members.
pub(super) enum Waiting<T> {
    For(oneshot::Receiver<Result<T, Fault>>),
    /// With the id of the member that it is about.
    Refused(Fault, String),
}
