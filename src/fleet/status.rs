//! How a fleet stands, by its state in Kafka: what `fleet status` shows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::state::{BucketState, KeptStream, OwnerState, StreamState};
use crate::config::FleetSettings;
use crate::coverage::End;
use crate::forward::kafka::fleet::{Topics, read_partitions};
use crate::process::shutdown::Shutdown;
use crate::source::SOURCES;

/// Who has not said for so long that it has a bucket has it no more: three times as long as it takes at most.
const SILENT: TimeDelta = TimeDelta::seconds(180);

/// How a fleet stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FleetStatus {
    pub(crate) fleet: String,
    pub(crate) buckets: usize,
    pub(crate) members: Vec<MemberStatus>,
    /// Buckets of which no member says that it has them.
    pub(crate) unowned: Vec<usize>,
    /// Buckets that this version of the program cannot go on with, or that `fleet init` has not made.
    pub(crate) problems: Vec<BucketProblem>,
    pub(crate) streams: Vec<StreamStatus>,
}

/// A member that has said lately that it has buckets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MemberStatus {
    pub(crate) member: String,
    /// The version of the program.
    pub(crate) program: String,
    /// The version of its settings.
    pub(crate) config: String,
    pub(crate) buckets: usize,
    /// When it last said so.
    pub(crate) at: DateTime<Utc>,
}

/// What is wrong with a bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BucketProblem {
    pub(crate) bucket: usize,
    pub(crate) problem: String,
}

/// How a stream stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StreamStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    pub(crate) stream: String,
    pub(crate) bucket: usize,
    /// The member that has it.
    pub(crate) owner: Option<String>,
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// The last run that is noted: at least every ten minutes, and whenever something has changed.
    pub(crate) last_run: DateTime<Utc>,
    /// Why that was not complete.
    pub(crate) error: Option<String>,
    /// Gaps that can still be filled, and gaps that the service has dropped.
    pub(crate) open_gaps: u64,
    pub(crate) gone_gaps: u64,
    /// How many records were ever kept.
    pub(crate) records: u64,
    /// The version of the settings of that run.
    pub(crate) config: String,
    /// Whether the fleet collects it.
    pub(crate) state: Collecting,
}

/// Whether a fleet collects a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Collecting {
    /// It does.
    Collected,
    /// It has begun with the catalog of one machine, and no member has made a run of it since.
    Adopted,
    /// It was given back to one machine: the fleet collects it no more.
    Released,
}

impl FleetStatus {
    /// Reads how a fleet stands at `now`. It blocks.
    ///
    /// # Errors
    /// If Kafka cannot be asked; the text says why.
    pub(crate) fn read(fleet: &FleetSettings, shutdown: &Shutdown, now: DateTime<Utc>) -> Result<Self, String> {
        let topic = fleet.state_topic.as_str();
        let partitions = Topics::new(&fleet.kafka)?.partitions(topic)?;
        let Some(partitions) = partitions else {
            return Err(format!(
                "there is no topic `{topic}`: make it with `trailkeeper fleet init`"
            ));
        };
        let mut states = vec![BucketState::default(); usize::try_from(partitions).unwrap_or_default()];
        read_partitions(&fleet.kafka, &fleet.id, (topic, 0..partitions), shutdown, |message| {
            let state = usize::try_from(message.partition)
                .ok()
                .and_then(|number| states.get_mut(number));
            if let Some(state) = state {
                state.take(message.key, message.value);
            }
        })?;
        Ok(Self::of(&fleet.id, &states, now))
    }

    fn of(fleet: &str, states: &[BucketState], now: DateTime<Utc>) -> Self {
        let mut status = Self {
            fleet: fleet.to_owned(),
            buckets: states.len(),
            members: Vec::new(),
            unowned: Vec::new(),
            problems: Vec::new(),
            streams: Vec::new(),
        };
        let mut members: BTreeMap<String, MemberStatus> = BTreeMap::new();
        for (bucket, state) in states.iter().enumerate() {
            if let Err(error) = state.check(fleet, states.len() as i32) {
                let problem = error.to_string();
                status.problems.push(BucketProblem { bucket, problem });
            }
            let owner = state.owner.as_ref().filter(|owner| now - owner.at <= SILENT);
            match owner {
                Some(owner) => note_member(&mut members, owner),
                None => status.unowned.push(bucket),
            }
            let owner = owner.map(|owner| owner.member.as_str());
            let kept = state.streams.iter();
            let streams = kept.filter_map(|(name, kept)| stream_status((name, kept), (bucket, owner)));
            status.streams.extend(streams);
        }
        status.members = members.into_values().collect();
        let name = |stream: &StreamStatus| (stream.organization.clone(), stream.stream.clone());
        status.streams.sort_by_key(name);
        status
    }

    /// Returns whether something is wrong.
    pub(crate) fn has_problems(&self) -> bool {
        !self.unowned.is_empty()
            || !self.problems.is_empty()
            || self.streams.iter().any(|stream| stream.error.is_some())
    }

    /// Returns in what members differ from each other: their program, or their settings.
    pub(crate) fn differences(&self) -> Vec<&'static str> {
        let differ = |of: fn(&MemberStatus) -> &str| self.members.windows(2).any(|pair| of(&pair[0]) != of(&pair[1]));
        let program = differ(|member| &member.program).then_some("the members are of different versions");
        let config = differ(|member| &member.config).then_some("the members have different settings");
        program.into_iter().chain(config).collect()
    }
}

fn note_member(members: &mut BTreeMap<String, MemberStatus>, owner: &OwnerState) {
    let noted = members.entry(owner.member.clone()).or_insert_with(|| MemberStatus {
        member: owner.member.clone(),
        program: owner.program.clone(),
        config: owner.config.clone(),
        buckets: 0,
        at: owner.at,
    });
    noted.buckets += 1;
    noted.at = noted.at.max(owner.at);
}

fn stream_status((name, kept): (&str, &KeptStream), (bucket, owner): (usize, Option<&str>)) -> Option<StreamStatus> {
    // What has identities alone was never committed as a whole, or was taken out.
    let state: &StreamState = kept.state.as_ref()?;
    let (organization, stream) = name.split_once('/')?;
    let kind = SOURCES.iter().find(|kind| kind.name == stream);
    let gaps = kind.map(|kind| state.run.gap_counts(kind.retention));
    Some(StreamStatus {
        organization: (!organization.is_empty()).then(|| organization.to_owned()),
        stream: stream.to_owned(),
        bucket,
        owner: owner.map(str::to_owned),
        last_record: state.last_record,
        last_run: state.run.at,
        // What the fleet collects no more is not its to mend.
        error: state
            .run
            .error
            .clone()
            .filter(|_| state.run.end == End::Failed && !state.is_released),
        open_gaps: gaps.map_or(0, |gaps| gaps.open),
        gone_gaps: gaps.map_or(0, |gaps| gaps.gone),
        records: state.records,
        config: state.config.clone(),
        state: match state {
            StreamState { is_released: true, .. } => Collecting::Released,
            // A member that makes a run notes by which settings.
            StreamState { config, .. } if config.is_empty() => Collecting::Adopted,
            _ => Collecting::Collected,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Scope;
    use crate::fleet::state::FleetState;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn states(now: DateTime<Utc>) -> Vec<BucketState> {
        let mut states = vec![BucketState::default(); 3];
        for state in &mut states {
            let (key, value) = FleetState::new("trails", 3).message();
            state.take(&key, Some(&value));
        }
        for (number, (member, config, seconds)) in [("one", "a", 10), ("two", "b", 181)].into_iter().enumerate() {
            let (key, value) = OwnerState::new(member, config, now, now - TimeDelta::seconds(seconds)).message();
            states[number].take(&key, Some(&value));
        }
        states
    }

    #[test]
    fn who_is_silent_for_long_has_its_buckets_no_more() {
        let now = at("2025-06-09T10:11:12Z");
        let status = FleetStatus::of("trails", &states(now), now);
        assert_eq!((status.unowned.clone(), status.problems.len()), (vec![1, 2], 0));
        let members: Vec<_> = status
            .members
            .iter()
            .map(|member| (&*member.member, member.buckets))
            .collect();
        assert_eq!(members, [("one", 1)]);
        assert!(status.has_problems() && status.differences().is_empty());
        let earlier = now - TimeDelta::seconds(60);
        let status = FleetStatus::of("trails", &states(now), earlier);
        assert_eq!(status.differences(), ["the members have different settings"]);
    }

    #[test]
    fn streams_are_shown_with_their_owner_and_what_a_newer_version_wrote_is_a_problem() {
        let now = at("2025-06-09T10:11:12Z");
        let mut states = states(now);
        let mut stream = StreamState::new(Scope::sample(), now);
        stream.run.end = End::Failed;
        stream.run.error = Some("refused".to_owned());
        let (key, value) = stream.message("acme/tfc");
        states[0].take(&key, Some(&value));
        states[2].take(b"stream:zeta/tfc", Some(br#"{"version": 9}"#));
        let status = FleetStatus::of("trails", &states, now);
        let [acme] = status.streams.as_slice() else {
            panic!("{status:?}")
        };
        assert_eq!(
            (
                acme.organization.as_deref(),
                acme.owner.as_deref(),
                acme.error.as_deref()
            ),
            (Some("acme"), Some("one"), Some("refused"))
        );
        assert_eq!(acme.state, Collecting::Adopted);
        stream.is_released = true;
        let (key, value) = stream.message("acme/tfc");
        states[0].take(&key, Some(&value));
        let released = FleetStatus::of("trails", &states, now).streams[0].clone();
        assert_eq!((released.state, released.error), (Collecting::Released, None));
        stream.is_released = false;
        stream.config = "5d0c".to_owned();
        let (key, value) = stream.message("acme/tfc");
        states[0].take(&key, Some(&value));
        assert_eq!(
            FleetStatus::of("trails", &states, now).streams[0].state,
            Collecting::Collected
        );
        assert_eq!(status.problems.len(), 1);
        assert!(status.problems[0].problem.contains("newer version"), "{status:?}");
    }
}
