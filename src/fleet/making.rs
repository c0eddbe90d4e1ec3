//! The topics of a fleet: how they are made, and what has to be true of them before a member begins.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::spawn_blocking;

use super::state::{BucketState, FleetState, StateError};
use crate::config::{FleetSettings, FleetStream};
use crate::forward::kafka::fleet::{BucketProducer, Outgoing, Topics, Wanted, read_partitions};
use crate::process::shutdown::Shutdown;

/// How the topic of the state is set. Only closed segments are compacted, so what was written since the last one was closed is what a new
/// owner reads; a simulation of 10 000 organizations takes a third of the buckets over in 16 s with segments of ten minutes, and in 37 s with
/// those of an hour.
const STATE_CONFIGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("segment.ms", "600000"),
    ("max.compaction.lag.ms", "1800000"),
];

/// The most partitions of the topic for what is rejected, of which there is little.
const MOST_REJECTED: i32 = 8;

const POLICY: &str = "cleanup.policy";
const TIMESTAMP: &str = "message.timestamp.type";
const RETENTION: &str = "retention.ms";

/// How the topics are.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckedTopics {
    /// How many partitions the topic of the state has.
    pub(crate) buckets: i32,
    /// How many each topic of records has.
    pub(crate) partitions: BTreeMap<String, i32>,
    /// What could not be checked, and what is to be known although it is right.
    pub(crate) warnings: Vec<String>,
}

/// How topics are made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MakingOptions {
    /// How many replicas they have; without it as many as the brokers make by default.
    pub(crate) replication: Option<i32>,
    /// How many of them have to be in sync; without it as the brokers have it by default.
    pub(crate) min_insync: Option<i32>,
}

/// What `fleet init` has found and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Which topics it has made.
    pub(crate) topics: Vec<String>,
    /// How many buckets it has begun.
    pub(crate) begun: usize,
    pub(crate) buckets: i32,
}

/// Makes what is missing of the topics of a fleet, and notes in each bucket how many there are.
///
/// # Errors
/// If a topic is there and is not as it has to be, or cannot be made; the text says why.
pub(crate) async fn make(
    fleet: &FleetSettings,
    options: MakingOptions,
    shutdown: &Shutdown,
    now: DateTime<Utc>,
) -> Result<Made, String> {
    let topics = Topics::new(&fleet.kafka)?;
    let (buckets, state) = (fleet.buckets, fleet.state_topic.as_str());
    if let Some(found) = tokio::task::block_in_place(|| topics.partitions(state))?.filter(|found| *found != buckets) {
        return Err(format!(
            "the topic `{state}` has {found} partitions, and FLEET_BUCKETS is {buckets}: an organization would have two owners; set \
             FLEET_BUCKETS={found}, or name another topic"
        ));
    }
    let insync = options.min_insync.map(|count| count.to_string());
    let insync = insync.as_deref().map(|count| ("min.insync.replicas", count));
    let state_configs: Vec<_> = STATE_CONFIGS.into_iter().chain(insync).collect();
    let wanted = [
        Wanted {
            name: state,
            partitions: buckets,
            configs: &state_configs,
        },
        Wanted {
            name: &fleet.rejected_topic,
            partitions: buckets.min(MOST_REJECTED),
            configs: insync.as_slice(),
        },
    ];
    let mut made = Vec::new();
    for wanted in &wanted {
        if topics.make(wanted, options.replication).await? {
            made.push(wanted.name.to_owned());
        }
    }
    check_state_policy(&topics.configs(&[state]).await, state)?;
    drop(topics);
    let (fleet, shutdown) = (fleet.clone(), shutdown.clone());
    let begun = spawn_blocking(move || begin_buckets(&fleet, &shutdown, now));
    let begun = begun.await.map_err(|error| error.to_string())??;
    Ok(Made {
        topics: made,
        begun,
        buckets,
    })
}

/// Notes in each bucket that does not say it yet how many there are, in one transaction; returns in how many.
fn begin_buckets(fleet: &FleetSettings, shutdown: &Shutdown, now: DateTime<Utc>) -> Result<usize, String> {
    let buckets = fleet.buckets;
    let mut states = vec![BucketState::default(); usize::try_from(buckets).unwrap_or_default()];
    read_partitions(
        &fleet.kafka,
        &fleet.id,
        (&fleet.state_topic, 0..buckets),
        shutdown,
        |message| {
            if let Some(state) = states.get_mut(message.partition as usize) {
                state.take(message.key, message.value);
            }
        },
    )?;
    let mut messages = Vec::new();
    for (bucket, state) in states.iter().enumerate() {
        match state.check(&fleet.id, buckets) {
            Ok(()) => {}
            Err(StateError::NotMade) => messages.push(begin_bucket(fleet, bucket as i32)),
            Err(error) => return Err(format!("bucket {bucket}: {error}")),
        }
    }
    if messages.is_empty() {
        return Ok(0);
    }
    let id = format!("{}.init", fleet.id);
    let producer = BucketProducer::begin(&fleet.kafka, id, &fleet.state_topic, shutdown, now);
    let committed = producer.and_then(|mut producer| producer.commit(&[], &messages, now, |_, _| Vec::new()));
    committed.map_err(|error| error.to_string())?;
    Ok(messages.len())
}

fn begin_bucket(fleet: &FleetSettings, bucket: i32) -> Outgoing {
    let (key, value) = FleetState::new(&fleet.id, fleet.buckets).message();
    Outgoing {
        topic: fleet.state_topic.as_str().into(),
        partition: Some(bucket),
        key,
        payload: Some(value),
        time: None,
        headers: Vec::new(),
    }
}

/// Checks the topics of a fleet.
///
/// # Errors
/// All that is wrong with them.
pub(crate) async fn check_topics(fleet: &FleetSettings, streams: &[FleetStream]) -> Result<CheckedTopics, String> {
    let topics = Topics::new(&fleet.kafka)?;
    let state = fleet.state_topic.as_str();
    let audit: BTreeSet<&str> = streams.iter().map(|stream| stream.topic.as_str()).collect();
    let (mut checked, mut problems) = (CheckedTopics::default(), Vec::new());
    match tokio::task::block_in_place(|| topics.partitions(state))? {
        Some(buckets) => checked.buckets = buckets,
        None => {
            return Err(format!(
                "there is no topic `{state}`: make it with `trailkeeper fleet init`"
            ));
        }
    }
    for topic in audit.iter().copied().chain([fleet.rejected_topic.as_str()]) {
        let advice = if topic == fleet.rejected_topic {
            "make it with `trailkeeper fleet init`"
        } else {
            "make it, with as many partitions as consumers shall share it out to"
        };
        match tokio::task::block_in_place(|| topics.partitions(topic)) {
            Ok(Some(partitions)) => drop(checked.partitions.insert(topic.to_owned(), partitions)),
            Ok(None) => problems.push(format!("there is no topic `{topic}`: {advice}")),
            Err(problem) => problems.push(problem),
        }
    }
    let all: Vec<_> = audit.iter().copied().chain([state]).collect();
    let configs = topics.configs(&all).await;
    problems.extend(check_state_policy(&configs, state).err());
    for topic in &audit {
        let Some(config) = configs.get(*topic) else { continue };
        let of_topic = streams.iter().filter(|stream| stream.topic == **topic);
        let reach = of_topic.map(reach_of).max().unwrap_or_default();
        problems.extend(audit_problems(topic, config, reach));
    }
    let unread: Vec<_> = all
        .iter()
        .filter(|topic| !configs.contains_key(**topic))
        .copied()
        .collect();
    if !unread.is_empty() {
        checked.warnings.push(format!(
            "how these topics are set could not be read, and so not be checked: {}; grant the user the right DescribeConfigs on them",
            unread.join(", ")
        ));
    }
    if problems.is_empty() {
        Ok(checked)
    } else {
        Err(problems.join("; "))
    }
}

fn check_state_policy(configs: &BTreeMap<String, BTreeMap<String, String>>, topic: &str) -> Result<(), String> {
    match configs.get(topic).and_then(|config| config.get(POLICY)) {
        Some(policy) if policy != "compact" => Err(format!(
            "the topic `{topic}` has the {POLICY} `{policy}`, and the state would be lost or grow for ever: set it to `compact`"
        )),
        _ => Ok(()),
    }
}

/// Returns how old the records of a stream can be when they come.
fn reach_of(stream: &FleetStream) -> TimeDelta {
    let limits = &stream.settings.limits;
    let reconciled = limits.reconcile_every.map(|_| limits.reconcile_reach);
    limits.initial_lookback.max(reconciled.unwrap_or_default()) + limits.overlap
}

/// Returns what is wrong with a topic of records, which can be so old when they come.
fn audit_problems(topic: &str, config: &BTreeMap<String, String>, reach: TimeDelta) -> Vec<String> {
    let value = |name: &str| config.get(name).map(String::as_str);
    let mut problems = Vec::new();
    if value(POLICY).is_some_and(|policy| policy.contains("compact")) {
        problems.push(format!(
            "the topic `{topic}` is compacted, so records of one id would take each other's place: set its {POLICY} to `delete`"
        ));
    }
    let is_of_record = value(TIMESTAMP).is_some_and(|kind| kind != "LogAppendTime");
    let retention = value(RETENTION)
        .and_then(|text| text.parse::<i64>().ok())
        .filter(|kept| *kept >= 0);
    if let Some(kept) = retention.filter(|kept| is_of_record && *kept <= reach.num_milliseconds()) {
        let hours = |milliseconds: i64| milliseconds as f64 / 3_600_000.0;
        problems.push(format!(
            "the topic `{topic}` keeps messages for {:.1} hours by the time of the record, and records can be {:.1} hours old when they \
             come, so they would vanish before they are read: set its {TIMESTAMP} to `LogAppendTime`, or its {RETENTION} to more",
            hours(kept),
            hours(reach.num_milliseconds())
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.collect()
    }

    #[test]
    fn records_do_not_vanish_before_they_are_read() {
        let day = TimeDelta::hours(24);
        for (pairs, expected) in [
            (
                &[(TIMESTAMP, "CreateTime"), (RETENTION, "604800000"), (POLICY, "delete")][..],
                0,
            ),
            (&[(TIMESTAMP, "CreateTime"), (RETENTION, "-1")], 0),
            (&[(TIMESTAMP, "LogAppendTime"), (RETENTION, "1000")], 0),
            (&[(TIMESTAMP, "CreateTime"), (RETENTION, "86400000")], 1),
            (
                &[
                    (TIMESTAMP, "CreateTime"),
                    (RETENTION, "1000"),
                    (POLICY, "compact,delete"),
                ],
                2,
            ),
            (&[], 0),
        ] {
            let problems = audit_problems("tfc", &config(pairs), day);
            assert_eq!(problems.len(), expected, "{problems:?}");
        }
    }

    #[test]
    fn a_topic_of_the_state_that_is_not_compacted_is_refused() {
        let configs = |policy| BTreeMap::from([("state".to_owned(), config(&[(POLICY, policy)]))]);
        assert!(check_state_policy(&configs("compact"), "state").is_ok());
        assert!(check_state_policy(&BTreeMap::new(), "state").is_ok());
        for wrong in ["delete", "compact,delete"] {
            assert!(check_state_policy(&configs(wrong), "state").is_err());
        }
    }
}
