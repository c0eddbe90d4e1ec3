//! Which partitions are a member's: the group shares out what nobody has begun with, and what somebody has begun with stays theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Archivist, RoundEnd, SETTLED};
use crate::forward::kafka::fleet::{Partition, Standing};
use crate::process::awake::Stopwatch;
use crate::process::host_name::host_name;

/// How often a member that has partitions asks who is in the group: with a broker that does not answer that takes seconds.
const ASKED_EVERY: Duration = Duration::from_secs(60);

impl Archivist {
    /// Finds which partitions are this member's, and begins to own those that nobody has begun with and the group has assigned to it.
    /// Returns whether there is nothing to wait for.
    pub(super) fn find_own(&mut self) -> Result<bool, RoundEnd> {
        let Some((assigned, stood)) = self.sharing.assigned() else {
            return Ok(false);
        };
        let all: Vec<Partition> = self
            .counts
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(move |partition| (topic.clone(), partition)))
            .collect();
        let standings = self.sharing.standings(all.iter().cloned()).map_err(RoundEnd::Kafka)?;
        let is_settled = stood >= SETTLED;
        self.own.clear();
        self.elsewhere.clear();
        let mut wanted = BTreeMap::new();
        for partition in all {
            let may_begin = is_settled && assigned.contains(&partition);
            match standings.get(&partition).map(Owner::of) {
                Some((Some(owner), offset)) if owner.member == self.note.member => {
                    self.own.insert(partition, offset);
                }
                Some((Some(owner), _)) => {
                    if may_begin && self.options.take_over {
                        wanted.insert(partition, None);
                    } else {
                        self.leave_to(partition, owner);
                    }
                }
                // Nobody has begun with it, or the group has forgotten that, as it does when it had no member for long.
                _ => match self.note.progress(&partition) {
                    Some(progress) => drop(wanted.insert(partition, Some(progress.next))),
                    None if may_begin => drop(wanted.insert(partition, None)),
                    None => drop(self.elsewhere.insert(partition, None)),
                },
            }
        }
        self.claim_all(wanted)?;
        self.note_present();
        Ok(is_settled)
    }

    /// Asks who is in the group: one that has nothing to do in each round, since somebody else has to do it, and others now and then.
    fn note_present(&mut self) {
        let is_time = self
            .asked_present
            .as_ref()
            .is_none_or(|asked| asked.awake() >= ASKED_EVERY);
        if self.elsewhere.values().any(Option::is_some) && (is_time || self.own.is_empty()) {
            self.asked_present = Some(Stopwatch::start());
            self.present = None;
            match self.sharing.present() {
                Ok(present) => self.present = Some(present),
                Err(problem) => tracing::debug!("who is in the group is not known: {problem}"),
            }
        }
    }

    /// Returns whether a member is in the group, or nobody knows.
    pub(super) fn is_present(&self, owner: &Owner) -> bool {
        self.present
            .as_ref()
            .is_none_or(|present| present.contains(&owner.member))
    }

    /// A partition is another member's.
    fn leave_to(&mut self, partition: Partition, owner: Owner) {
        if self.note.progress(&partition).is_some() {
            let (topic, number) = &partition;
            let host = &owner.host;
            tracing::error!(topic, number, host, "another member has taken the partition over");
            self.note.let_go(&partition);
        }
        self.elsewhere.insert(partition, Some(owner));
    }

    /// Says in the group that partitions are this member's, from these offsets on or from their beginning, and looks whether they are.
    fn claim_all(&mut self, wanted: BTreeMap<Partition, Option<i64>>) -> Result<(), RoundEnd> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut offsets = BTreeMap::new();
        for (partition, offset) in wanted {
            let offset = match offset {
                Some(offset) => offset,
                None => {
                    self.reader
                        .bounds(&partition.0, partition.1)
                        .map_err(RoundEnd::Kafka)?
                        .low
                }
            };
            offsets.insert(partition, offset);
        }
        let filed = offsets.iter().map(|(partition, offset)| (partition, *offset));
        if let Err(problem) = self.sharing.note_filed(filed, &self.signature()) {
            // The group shares out anew: in a while.
            tracing::debug!("partitions are not begun with yet: {problem}");
            return Ok(());
        }
        let standings = self.sharing.standings(offsets.into_keys()).map_err(RoundEnd::Kafka)?;
        for (partition, standing) in standings {
            match Owner::of(&standing) {
                (Some(owner), offset) if owner.member == self.note.member => {
                    self.own.insert(partition, offset);
                }
                _ => drop(self.elsewhere.insert(partition, None)),
            }
        }
        Ok(())
    }

    /// Returns what this member says with each offset.
    pub(super) fn signature(&self) -> String {
        let host = host_name().unwrap_or_else(|| "member".to_owned());
        format!("{} {host}", self.note.member)
    }
}

/// The member whose a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) member: String,
    pub(super) host: String,
}

impl Owner {
    /// Reads what a member has said with an offset; returns it, if it is a member's, and the offset.
    fn of(standing: &Standing) -> (Option<Self>, i64) {
        let is_id = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let said = standing.said.split_once(' ').filter(|(member, _)| is_id(member));
        let owner = said.map(|(member, host)| Self {
            member: member.to_owned(),
            host: host.to_owned(),
        });
        (owner, standing.offset)
    }
}
