//! What a member of an archive has done, and how it stands.

use std::collections::BTreeMap;

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
    /// Why it could not go on, or not begin, with something that is not of one stream or partition.
    pub(crate) problems: Vec<String>,
}

/// A partition that is the member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PartitionReport {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The first offset that is not filed.
    pub(crate) next: i64,
    /// Why it is not gone on with.
    pub(crate) problem: Option<String>,
}

/// A partition that is another member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ElsewhereReport {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The host of that member.
    pub(crate) host: String,
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
}

impl ArchiveReport {
    /// Returns the exit code for how it stands.
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
            || self.partitions.iter().any(|partition| partition.problem.is_some());
        let own = if is_wrong { Exit::StreamFailed } else { Exit::Complete };
        of_streams.fold(own, Exit::max)
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
