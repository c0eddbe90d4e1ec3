//! What a member of an archive has done, and how it stands.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::process::exit::Exit;

/// How a member stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ArchiveReport {
    pub(crate) fleet: String,
    pub(crate) group: String,
    /// Which member it is.
    pub(crate) member: String,
    /// The partitions that are its own, in the order of their names.
    pub(crate) partitions: Vec<PartitionReport>,
    /// Those that other members write.
    pub(crate) elsewhere: Vec<ElsewhereReport>,
    /// How many there are that nobody has begun with.
    pub(crate) not_begun: usize,
    pub(crate) streams: Vec<StreamReport>,
    /// Streams that the topics have and the settings have not.
    pub(crate) unknown: Vec<String>,
    /// How many messages were kept since the start that are no stream's.
    pub(crate) rejected: u64,
    /// Why it could not go on, or not begin, with something that is not of one stream or partition.
    pub(crate) problems: Vec<String>,
    /// What is to be known since the start, and is no failure by itself.
    pub(crate) warnings: Vec<String>,
}

/// A partition that is the member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PartitionReport {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The first offset that is not filed.
    pub(crate) next: i64,
    /// How many offsets are behind that, as it was seen last.
    pub(crate) waiting: i64,
    /// Why it is not gone on with.
    pub(crate) problem: Option<String>,
}

/// A partition that is another member's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct ElsewhereReport {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The host of that member.
    pub(crate) host: String,
    /// Whether that is in the group now, or Kafka does not say.
    pub(crate) present: bool,
}

/// What was filed of a stream since the member was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StreamReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    /// Its name in all that is shown.
    pub(crate) stream: &'static str,
    pub(crate) appended: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) revised: u64,
    /// Of days that were deleted for their age.
    pub(crate) expired: u64,
    /// The time of the last record that came.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// When the run of the fleet began whose coverage its journal has, if that was noted since the start.
    pub(crate) fleet_run_at: Option<DateTime<Utc>>,
    /// Why something was not filed.
    pub(crate) problem: Option<String>,
    /// Whether that is because another process is at work in its catalog.
    #[serde(skip)]
    pub(crate) is_locked: bool,
    /// Whether its partition, or one of what is rejected, is not gone on with.
    #[serde(skip)]
    pub(crate) is_stuck: bool,
}

impl StreamReport {
    /// Returns whether everything that came of it could be filed.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.problem.is_none() && !self.is_stuck
    }
}

impl ArchiveReport {
    /// Returns the exit code for how it stands at the end.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        let failed = self.streams.iter().filter(|stream| stream.problem.is_some());
        let of_streams = failed.map(|stream| {
            if stream.is_locked {
                Exit::Locked
            } else {
                Exit::StreamFailed
            }
        });
        let is_wrong = !self.problems.is_empty()
            || !self.unknown.is_empty()
            || self.not_begun > 0
            || self.why_idle().is_some()
            || self.partitions.iter().any(|partition| partition.problem.is_some());
        let own = if is_wrong { Exit::StreamFailed } else { Exit::Complete };
        of_streams.fold(own, Exit::max)
    }

    /// Returns whether something came that no day file can hold.
    #[must_use]
    pub(crate) fn has_rejected(&self) -> bool {
        self.rejected > 0 || self.streams.iter().any(|stream| stream.rejected > 0)
    }

    /// Says why a member has nothing to do although what is to be done is done by nobody.
    #[must_use]
    pub(crate) fn why_idle(&self) -> Option<String> {
        let absent: BTreeSet<_> = self.elsewhere.iter().filter(|one| !one.present).collect();
        if !self.partitions.is_empty() || absent.is_empty() {
            return None;
        }
        let (count, group) = (absent.len(), &self.group);
        let hosts: BTreeSet<_> = absent.iter().map(|one| one.host.as_str()).collect();
        let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
        Some(format!(
            "no partition is this member's, and {count} are filed by nobody: another member has begun with them on {hosts}, which is not in the \
             group `{group}`. Start it there, or move its day files and its ARCHIVE_FOLDER here; if its disk is lost for good, run this \
             one with --take-over once"
        ))
    }

    /// Says that a member has nothing to do since others do all of it.
    #[must_use]
    pub(crate) fn notice(&self) -> Option<String> {
        let is_idle = self.partitions.is_empty() && self.not_begun == 0 && self.why_idle().is_none();
        let hosts = self.hosts().into_keys().collect::<Vec<_>>().join(", ");
        (is_idle && !hosts.is_empty())
            .then(|| format!("no partition is this member's: {hosts} files all of them, and what nobody has begun with would be its own"))
    }

    /// Says that partitions wait for somebody who begins with them.
    #[must_use]
    pub(crate) fn not_begun(&self) -> Option<String> {
        let (count, group) = (self.not_begun, &self.group);
        (count > 0).then(|| {
            format!(
                "nobody has begun with {count} partitions, which the group `{group}` has assigned to other members, or not yet: run it again"
            )
        })
    }

    /// Returns everything that is wrong, in sentences.
    #[must_use]
    pub(crate) fn sentences(&self) -> Vec<String> {
        let of_partitions = self.partitions.iter().filter_map(|partition| {
            let problem = partition.problem.as_ref()?;
            Some(format!(
                "{}, partition {}: {problem}",
                partition.topic, partition.partition
            ))
        });
        let of_streams = self
            .streams
            .iter()
            .filter_map(|stream| Some(format!("{}: {}", stream.stream, stream.problem.as_ref()?)));
        let unknown = self.unknown.iter().map(|name| {
            format!(
                "{}: its records are in the topics, and the settings do not have it: they are read again when they do",
                name
            )
        });
        let problems = self.problems.iter().cloned();
        problems.chain(of_partitions).chain(of_streams).chain(unknown).collect()
    }

    /// Returns how many partitions each host has that are not this member's.
    #[must_use]
    pub(crate) fn hosts(&self) -> BTreeMap<&str, usize> {
        let mut hosts = BTreeMap::new();
        for partition in &self.elsewhere {
            *hosts.entry(partition.host.as_str()).or_default() += 1;
        }
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(present: bool) -> ElsewhereReport {
        ElsewhereReport {
            topic: "audit".to_owned(),
            partition: 0,
            host: "log1".to_owned(),
            present,
        }
    }

    #[test]
    fn a_stream_is_complete_when_nothing_stands_in_its_way() {
        let stream = StreamReport::default();
        assert!(stream.is_complete());
        let stuck = StreamReport {
            is_stuck: true,
            ..stream.clone()
        };
        let failed = StreamReport {
            problem: Some("full".to_owned()),
            ..stream
        };
        assert!(!stuck.is_complete() && !failed.is_complete());
    }

    #[test]
    fn who_has_nothing_to_do_fails_only_where_nobody_does_it() {
        let idle = |present| ArchiveReport {
            elsewhere: vec![elsewhere(present)],
            ..ArchiveReport::default()
        };
        assert_eq!((idle(true).exit(), idle(true).why_idle()), (Exit::Complete, None));
        assert!(idle(true).notice().unwrap().contains("log1 files all of them"));
        assert_eq!((idle(false).exit(), idle(false).notice()), (Exit::StreamFailed, None));
        assert!(idle(false).why_idle().unwrap().contains("--take-over"));
        let mut busy = idle(false);
        busy.partitions.push(PartitionReport {
            topic: "audit".to_owned(),
            partition: 1,
            next: 0,
            waiting: 0,
            problem: None,
        });
        // Others are not its business.
        assert_eq!(
            (busy.exit(), busy.why_idle(), busy.notice()),
            (Exit::Complete, None, None)
        );
        busy.not_begun = 2;
        assert_eq!(busy.exit(), Exit::StreamFailed);
        assert!(busy.not_begun().unwrap().contains("nobody has begun with 2 partitions"));
    }
}
