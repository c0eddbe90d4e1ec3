//! The list of metrics. A new one is a name and a row here.

/// The name of a metric inside the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    BuildInfo,
    Runs,
    Received,
    Duplicates,
    Rejected,
    Revised,
    Repaired,
    Appended,
    Requests,
    Retries,
    RequestDuration,
    LastRecord,
    Silence,
    SilenceThreshold,
    LastSuccess,
    LastRun,
    LastRunDuration,
    LastRunSuccess,
    ClockOffset,
    Gaps,
    GapGoing,
    RunAppended,
    Forwarded,
    ForwardedRepaired,
    ForwarderLagRecords,
    ForwarderLagSeconds,
    EvidenceWaiting,
    EvidenceRefuses,
    EvidenceSealed,
    FleetMember,
    FleetBuckets,
    FleetTakeovers,
    ArchiveFleetRun,
    ArchiveWaiting,
    ArchiveStrays,
    LogDroppedLines,
}

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn text(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric as it is exported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: Name,
    pub(super) text: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

const fn counter(name: Name, text: &'static str, help: &'static str) -> Family {
    let kind = Kind::Counter;
    Family { name, text, kind, help }
}

const fn gauge(name: Name, text: &'static str, help: &'static str) -> Family {
    let kind = Kind::Gauge;
    Family { name, text, kind, help }
}

/// Every metric, in the order of the export.
pub(super) const FAMILIES: &[Family] = &[
    gauge(Name::BuildInfo, "trailkeeper_build_info", "The version of the program."),
    counter(Name::Runs, "trailkeeper_runs_total", "Runs of a stream, by result."),
    counter(
        Name::Received,
        "trailkeeper_received_records_total",
        "Records that the service returned, repeated ones included.",
    ),
    counter(
        Name::Duplicates,
        "trailkeeper_duplicate_records_total",
        "Records that were in the archive already.",
    ),
    counter(
        Name::Rejected,
        "trailkeeper_rejected_records_total",
        "Records that no day file can hold and that were written to the rejected file.",
    ),
    counter(
        Name::Revised,
        "trailkeeper_revised_records_total",
        "Records of the archive that came with other fields and were written to the revised file.",
    ),
    counter(
        Name::Repaired,
        "trailkeeper_repaired_records_total",
        "Records that did not come as JSON in UTF-8 and were written to the rejected file as they came.",
    ),
    counter(
        Name::Appended,
        "trailkeeper_appended_records_total",
        "Records that were appended to the day files.",
    ),
    counter(
        Name::Requests,
        "trailkeeper_requests_total",
        "Requests to the service by HTTP status; none if no answer came.",
    ),
    counter(
        Name::Retries,
        "trailkeeper_retries_total",
        "Requests that repeated a failed one.",
    ),
    Family {
        name: Name::RequestDuration,
        text: "trailkeeper_request_duration_seconds",
        kind: Kind::Histogram,
        help: "How long a request took, to the last byte of its answer.",
    },
    gauge(
        Name::LastRecord,
        "trailkeeper_last_record_timestamp_seconds",
        "The time of the last record in the archive.",
    ),
    gauge(
        Name::Silence,
        "trailkeeper_silence_seconds",
        "How long the stream had no record when it was last asked in full.",
    ),
    gauge(
        Name::SilenceThreshold,
        "trailkeeper_silence_threshold_seconds",
        "From when on that is unusual for this hour of this weekday, by the stream's own past.",
    ),
    gauge(
        Name::LastSuccess,
        "trailkeeper_last_success_timestamp_seconds",
        "When the last complete run ended.",
    ),
    gauge(
        Name::LastRun,
        "trailkeeper_last_run_timestamp_seconds",
        "When the last run ended, complete or not.",
    ),
    gauge(
        Name::LastRunDuration,
        "trailkeeper_last_run_duration_seconds",
        "How long the last run took.",
    ),
    gauge(
        Name::LastRunSuccess,
        "trailkeeper_last_run_success",
        "Whether the last run was complete: 1, or 0.",
    ),
    gauge(
        Name::ClockOffset,
        "trailkeeper_clock_offset_seconds",
        "How far the service's clock was ahead of this machine's in the last run that could tell; negative if behind.",
    ),
    gauge(
        Name::Gaps,
        "trailkeeper_gaps",
        "Spans that no run has fetched completely, after the last one: open as long as the service has them, then gone.",
    ),
    gauge(
        Name::GapGoing,
        "trailkeeper_gap_going_timestamp_seconds",
        "When the service begins to drop the records of an open gap; none without one.",
    ),
    gauge(
        Name::RunAppended,
        "trailkeeper_run_appended_records",
        "Records that the run under way has appended so far; 0 between runs.",
    ),
    counter(
        Name::Forwarded,
        "trailkeeper_forwarded_records_total",
        "Records that a forwarder delivered.",
    ),
    counter(
        Name::ForwardedRepaired,
        "trailkeeper_forwarded_repaired_records_total",
        "Records that a forwarder delivered as repaired copies, since strict JSON parsers refuse them as they are.",
    ),
    gauge(
        Name::ForwarderLagRecords,
        "trailkeeper_forwarder_lag_records",
        "Records in the archive that wait for a forwarder.",
    ),
    gauge(
        Name::ForwarderLagSeconds,
        "trailkeeper_forwarder_lag_seconds",
        "How long the oldest record that waits for a forwarder has waited.",
    ),
    gauge(
        Name::EvidenceWaiting,
        "trailkeeper_evidence_waiting_entries",
        "Entries of the evidence that wait for a signature, a time stamp, a witness or Kafka, after the last seal.",
    ),
    gauge(
        Name::EvidenceRefuses,
        "trailkeeper_evidence_witness_refuses",
        "Whether a witness has seen more of the evidence than is here, or another history: 1, or 0.",
    ),
    gauge(
        Name::EvidenceSealed,
        "trailkeeper_evidence_last_seal_success",
        "Whether the last seal was whole: 1, or 0.",
    ),
    gauge(
        Name::FleetMember,
        "trailkeeper_fleet_member_info",
        "The name of this member of a fleet, and the version of its settings.",
    ),
    gauge(
        Name::FleetBuckets,
        "trailkeeper_fleet_buckets",
        "Buckets that this member of a fleet has.",
    ),
    counter(
        Name::FleetTakeovers,
        "trailkeeper_fleet_takeovers_total",
        "Buckets that this member of a fleet has taken over, by result; fenced: another one has taken it over since.",
    ),
    gauge(
        Name::ArchiveFleetRun,
        "trailkeeper_archive_fleet_run_timestamp_seconds",
        "When the run of the fleet began whose coverage the journal of a stream has: up to then everything is filed.",
    ),
    gauge(
        Name::ArchiveWaiting,
        "trailkeeper_archive_waiting_messages",
        "Offsets of a partition that are not filed yet, markers of transactions among them.",
    ),
    counter(
        Name::ArchiveStrays,
        "trailkeeper_archive_rejected_messages_total",
        "Messages that are no stream's, kept in the rejected file of this member of an archive.",
    ),
    counter(
        Name::LogDroppedLines,
        "trailkeeper_log_dropped_lines_total",
        "Lines missing in the program's log file because its disk did not keep up or did not take them.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_row_and_follows_the_conventions() {
        for (index, family) in FAMILIES.iter().enumerate() {
            assert_eq!(family.name as usize, index, "{}", family.text);
            assert!(family.text.starts_with("trailkeeper_"));
            assert_eq!(
                family.kind == Kind::Counter,
                family.text.ends_with("_total"),
                "{}",
                family.text
            );
            assert!(family.help.ends_with('.') && !family.help.contains(['\\', '\n']));
        }
        assert_eq!(FAMILIES.len(), Name::LogDroppedLines as usize + 1);
    }

    #[test]
    fn the_samples_use_metrics_that_exist() {
        let alerts = include_str!("../../samples/prometheus/alerts.yml");
        let dashboard = include_str!("../../samples/prometheus/grafana-dashboard.json");
        let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
        let texts = [alerts, dashboard]
            .into_iter()
            .flat_map(|text| text.split(|character| !is_part(character)));
        let asked: std::collections::BTreeSet<&str> = texts
            .filter(|word| word.starts_with("trailkeeper_"))
            .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
            .collect();
        let known: std::collections::BTreeSet<&str> = FAMILIES.iter().map(|family| family.text).collect();
        assert_eq!(asked.difference(&known).collect::<Vec<_>>(), [&""; 0]);
        assert!(asked.len() >= 12, "{asked:?}");
    }
}
