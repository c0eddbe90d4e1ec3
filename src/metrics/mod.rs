//! What the program did, in the text format of Prometheus; and what serves it, with the health of the streams and a page.
//!
//! Imports: coverage, fs, http, output, run.
//!
//! Facts: <https://prometheus.io/docs/instrumenting/exposition_formats/> and `…/docs/practices/naming/`.

mod evidence_figures;
pub(crate) mod export;
mod family;
pub(crate) mod health;
pub(crate) mod page_cache;
pub(crate) mod serve;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::coverage::GapCounts;
use crate::http::request_stats::{Answer, BOUNDS, RequestStats};
use crate::run::summary::{StreamSummary, Times};
pub(crate) use evidence_figures::{Awaited, EvidenceFigures};
use family::{FAMILIES, Name};
use text::Labels;

/// All metrics, by name and labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    samples: BTreeMap<Key, f64>,
}

/// A sample. Samples of one name stay together, those of one histogram in the order of their bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: Name,
    labels: String,
    part: Part,
}

/// Which sample of its name and labels it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// The only one.
    Value,
    /// The bucket of a histogram with the bound at this index; the index after the last bound means no limit.
    Bucket(usize),
    /// The sum of a histogram.
    Sum,
    /// The number of observations of a histogram.
    Count,
}

/// How far a forwarder has got with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Forwarding {
    /// Records that it has delivered since the last update.
    pub(crate) delivered: u64,
    /// Those of them that it delivered as strict copies.
    pub(crate) repaired: u64,
    /// Records of the archive that wait for it, if that is known.
    pub(crate) lag_records: Option<u64>,
    /// How long the oldest of those has waited, in seconds.
    pub(crate) lag_seconds: f64,
}

/// What a member of an archive has filed of a stream since it was started, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Filed {
    pub(crate) appended: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) revised: u64,
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// When the run of the fleet began up to which everything is filed.
    pub(crate) fleet_run_at: Option<DateTime<Utc>>,
    /// Whether everything that came could be filed.
    pub(crate) is_complete: bool,
}

impl Metrics {
    /// Creates the metrics of streams that have not run yet. Counters start at 0, so that the first record counts as an
    /// increase.
    pub(crate) fn new(streams: impl IntoIterator<Item = &'static str>) -> Self {
        let mut metrics = Self::default();
        let version = Labels::of("version", env!("CARGO_PKG_VERSION"));
        metrics.set(Name::BuildInfo, version, 1.0);
        metrics.log_dropped(0);
        for stream in streams {
            let labels = || Labels::of_stream(stream);
            for result in ["complete", "failed"] {
                metrics.add(Name::Runs, labels().and("result", result), 0.0);
            }
            for name in [
                Name::Received,
                Name::Duplicates,
                Name::Rejected,
                Name::Revised,
                Name::Repaired,
                Name::Appended,
                Name::Retries,
            ] {
                metrics.add(name, labels(), 0.0);
            }
            metrics.observe(&labels(), &RequestStats::default());
            metrics.under_way(stream, 0);
        }
        metrics
    }

    /// Adds a run of a stream. A run that was shut down has records, but says nothing about the stream's health.
    pub(crate) fn run(&mut self, summary: &StreamSummary, times: Times) {
        self.count(summary);
        self.under_way(summary.name(), 0);
        self.forwarding(summary, times.ended);
        if let Some(gaps) = summary.gaps() {
            self.gaps(summary.name(), gaps);
        }
        if !summary.is_stopped() {
            self.end(summary, times);
        }
    }

    fn count(&mut self, summary: &StreamSummary) {
        let labels = || Labels::of_stream(summary.name());
        let records = summary.records();
        self.add(Name::Received, labels(), records.received as f64);
        self.add(Name::Duplicates, labels(), records.duplicates as f64);
        self.add(Name::Rejected, labels(), records.rejected as f64);
        self.add(Name::Revised, labels(), records.revised as f64);
        self.add(Name::Repaired, labels(), records.repaired as f64);
        self.add(Name::Appended, labels(), records.appended as f64);
        self.add(Name::Retries, labels(), summary.retries() as f64);
        self.observe(&labels(), summary.request_stats());
        if let Some(last) = summary.last_record() {
            self.set(Name::LastRecord, labels(), timestamp(last));
        }
        if let Some(silence) = summary.silence() {
            self.set(Name::Silence, labels(), silence.lasts.as_seconds_f64());
            self.set(Name::SilenceThreshold, labels(), silence.threshold().as_seconds_f64());
        }
        if let Some(offset) = summary.clock_offset_seconds() {
            self.set(Name::ClockOffset, labels(), offset as f64);
        }
    }

    /// Sets what is missing of a stream.
    fn gaps(&mut self, stream: &str, gaps: GapCounts) {
        let labels = || Labels::of_stream(stream);
        self.set(Name::Gaps, labels().and("state", "open"), gaps.open as f64);
        self.set(Name::Gaps, labels().and("state", "gone"), gaps.gone as f64);
        match gaps.going_at {
            Some(going_at) => self.set(Name::GapGoing, labels(), timestamp(going_at)),
            None => drop(self.samples.remove(&Key::new(Name::GapGoing, labels(), Part::Value))),
        }
    }

    /// Adds the forwarding of a run that ended now.
    fn forwarding(&mut self, summary: &StreamSummary, ended: DateTime<Utc>) {
        for forward in summary.forward() {
            let waited = forward.oldest_waiting().map(|oldest| seconds_between(oldest, ended));
            let forwarding = Forwarding {
                delivered: forward.sent(),
                repaired: forward.repaired(),
                lag_records: forward.waiting(),
                lag_seconds: waited.unwrap_or(0.0),
            };
            self.forwarded(summary.name(), forward.sink(), forwarding);
        }
    }

    fn end(&mut self, summary: &StreamSummary, times: Times) {
        let labels = || Labels::of_stream(summary.name());
        let is_complete = summary.error().is_none();
        let result = if is_complete { "complete" } else { "failed" };
        self.add(Name::Runs, labels().and("result", result), 1.0);
        self.set(Name::LastRun, labels(), timestamp(times.ended));
        self.set(
            Name::LastRunDuration,
            labels(),
            seconds_between(times.began, times.ended),
        );
        self.set(Name::LastRunSuccess, labels(), f64::from(u8::from(is_complete)));
        if is_complete {
            self.set(Name::LastSuccess, labels(), timestamp(times.ended));
        }
    }

    /// Sets how much the current run of a stream has appended so far; the end of the run counts it.
    pub(crate) fn under_way(&mut self, stream: &str, appended: u64) {
        self.set(Name::RunAppended, Labels::of_stream(stream), appended as f64);
    }

    /// Sets how far a forwarder has got.
    pub(crate) fn forwarded(&mut self, stream: &str, forwarder: &str, forwarding: Forwarding) {
        let labels = || Labels::of_stream(stream).and("forwarder", forwarder);
        self.add(Name::Forwarded, labels(), forwarding.delivered as f64);
        self.add(Name::ForwardedRepaired, labels(), forwarding.repaired as f64);
        // What is not known is left unchanged.
        if let Some(records) = forwarding.lag_records {
            self.lag(stream, forwarder, records, forwarding.lag_seconds);
        }
    }

    /// Sets how many records wait for a forwarder, and the age of the oldest in seconds.
    pub(crate) fn lag(&mut self, stream: &str, forwarder: &str, records: u64, seconds: f64) {
        let labels = || Labels::of_stream(stream).and("forwarder", forwarder);
        self.set(Name::ForwarderLagRecords, labels(), records as f64);
        self.set(Name::ForwarderLagSeconds, labels(), seconds);
    }

    /// Sets how the evidence stands, of all logs that there are.
    pub(crate) fn evidence(&mut self, logs: &[EvidenceFigures]) {
        let organization = |log: &EvidenceFigures| match log.organization {
            Some(name) => Labels::of("organization", name),
            None => Labels::none(),
        };
        let known: Vec<String> = logs.iter().map(|log| organization(log).into()).collect();
        self.samples.retain(|key, _| match key.name {
            Name::EvidenceWaiting | Name::EvidenceRefuses => false,
            Name::EvidenceSealed => known.contains(&key.labels),
            _ => true,
        });
        for log in logs {
            for (awaited, entries) in &log.waiting {
                let mut labels = organization(log).and("awaits", awaited.text());
                if let Awaited::Cosignature(witness) = awaited {
                    labels = labels.and("witness", witness);
                }
                self.set(Name::EvidenceWaiting, labels, *entries as f64);
            }
            for (witness, refuses) in &log.refuses {
                let labels = organization(log).and("witness", witness);
                self.set(Name::EvidenceRefuses, labels, f64::from(u8::from(*refuses)));
            }
            if let Some(is_sealed) = log.is_sealed {
                self.set(Name::EvidenceSealed, organization(log), f64::from(u8::from(is_sealed)));
            }
        }
    }

    /// Says which member of a fleet this is, by what settings, and that it has no bucket yet.
    pub(crate) fn fleet_member(&mut self, member: &str, config: &str) {
        let labels = Labels::of("member", member).and("config", config);
        self.set(Name::FleetMember, labels, 1.0);
        self.fleet_buckets(0);
        for result in ["complete", "fenced", "failed"] {
            self.add(Name::FleetTakeovers, Labels::of("result", result), 0.0);
        }
    }

    /// Sets how many buckets a member of a fleet has.
    pub(crate) fn fleet_buckets(&mut self, buckets: usize) {
        self.set(Name::FleetBuckets, Labels::none(), buckets as f64);
    }

    /// Counts a bucket that was taken over, or that could not be, or not be kept.
    pub(crate) fn fleet_takeover(&mut self, result: &str) {
        self.add(Name::FleetTakeovers, Labels::of("result", result), 1.0);
    }

    /// Sets what a member of an archive has filed of a stream, after a round that ended now.
    pub(crate) fn filed(&mut self, stream: &str, filed: &Filed, now: DateTime<Utc>) {
        let labels = || Labels::of_stream(stream);
        for (name, count) in [
            (Name::Appended, filed.appended),
            (Name::Duplicates, filed.duplicates),
            (Name::Rejected, filed.rejected),
            (Name::Revised, filed.revised),
        ] {
            self.set(name, labels(), count as f64);
        }
        if let Some(last) = filed.last_record {
            self.set(Name::LastRecord, labels(), timestamp(last));
        }
        if let Some(at) = filed.fleet_run_at {
            self.set(Name::ArchiveFleetRun, labels(), timestamp(at));
        }
        self.set(Name::LastRun, labels(), timestamp(now));
        self.set(Name::LastRunSuccess, labels(), f64::from(u8::from(filed.is_complete)));
        if filed.is_complete {
            self.set(Name::LastSuccess, labels(), timestamp(now));
        }
    }

    /// Sets how many messages wait in each partition of a member of an archive, of topic and number.
    pub(crate) fn archive_lag<'a>(&mut self, partitions: impl Iterator<Item = (&'a str, i32, i64)>) {
        self.samples.retain(|key, _| key.name != Name::ArchiveWaiting);
        for (topic, partition, waiting) in partitions {
            let labels = Labels::of("topic", topic).and("partition", &partition.to_string());
            self.set(Name::ArchiveWaiting, labels, waiting as f64);
        }
    }

    /// Sets how many messages a member of an archive has kept that are no stream's.
    pub(crate) fn archive_strays(&mut self, count: u64) {
        self.set(Name::ArchiveStrays, Labels::none(), count as f64);
    }

    /// Adds lines missing in the log file of the program.
    pub(crate) fn log_dropped(&mut self, lines: u64) {
        self.add(Name::LogDroppedLines, Labels::none(), lines as f64);
    }

    /// Continues the metrics of an earlier process, so that counters grow over runs that a timer starts, and the last
    /// success outlives a failure. With `only`, metrics of other streams are dropped.
    ///
    /// Lines that are not metrics of this program are ignored.
    pub(crate) fn resume(&mut self, text: &str, only: Option<&[&str]>) {
        let is_wanted = |labels: &str| {
            only.is_none_or(|streams| {
                let mut streams = streams.iter().map(|stream| Labels::of_stream(stream));
                !labels.starts_with("stream=") || streams.any(|stream| labels.starts_with(stream.as_str()))
            })
        };
        for (key, value) in text.lines().filter_map(text::read) {
            if key.name != Name::BuildInfo && is_wanted(&key.labels) {
                self.samples.insert(key, value);
            }
        }
    }

    /// Returns the text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        for family in FAMILIES {
            let of_family = self.samples.iter().filter(|(key, _)| key.name == family.name);
            text::write(&mut out, family, of_family);
        }
        out
    }

    fn observe(&mut self, labels: &Labels, request_stats: &RequestStats) {
        for (answer, count) in &request_stats.answers {
            let status = match answer {
                Answer::Status(status) => status.to_string(),
                Answer::Nothing => "none".to_owned(),
            };
            self.add(Name::Requests, labels.clone().and("status", &status), *count as f64);
        }
        let mut so_far = 0;
        for (class, count) in request_stats.times.iter().enumerate() {
            so_far += count;
            self.add_part(
                Name::RequestDuration,
                labels.clone(),
                Part::Bucket(class),
                so_far as f64,
            );
        }
        self.add_part(Name::RequestDuration, labels.clone(), Part::Sum, request_stats.seconds);
        self.add_part(Name::RequestDuration, labels.clone(), Part::Count, so_far as f64);
    }

    fn set(&mut self, name: Name, labels: Labels, value: f64) {
        let key = Key::new(name, labels, Part::Value);
        self.samples.insert(key, value);
    }

    fn add(&mut self, name: Name, labels: Labels, value: f64) {
        self.add_part(name, labels, Part::Value, value);
    }

    fn add_part(&mut self, name: Name, labels: Labels, part: Part, value: f64) {
        *self.samples.entry(Key::new(name, labels, part)).or_default() += value;
    }
}

impl Key {
    fn new(name: Name, labels: Labels, part: Part) -> Self {
        Self {
            name,
            labels: labels.into(),
            part,
        }
    }
}

impl Part {
    /// Returns the bound of a bucket as in its label.
    fn bound(index: usize) -> String {
        BOUNDS.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string)
    }
}

/// Seconds since 1970, to the millisecond.
fn timestamp(time: DateTime<Utc>) -> f64 {
    time.timestamp_millis() as f64 / 1000.0
}

fn seconds_between(began: DateTime<Utc>, ended: DateTime<Utc>) -> f64 {
    (ended - began).num_milliseconds().max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{CollectError, Collected};

    fn times() -> Times {
        Times {
            began: "2025-06-09T10:00:00Z".parse().unwrap(),
            ended: "2025-06-09T10:00:01.500Z".parse().unwrap(),
        }
    }

    fn summary(failure: Option<CollectError>) -> StreamSummary {
        StreamSummary::new("tfc", collected(failure))
    }

    fn collected(failure: Option<CollectError>) -> Collected {
        let mut collected = Collected {
            received: 14,
            duplicates: 3,
            rejected: 1,
            revised: 4,
            repaired: 2,
            appended: 6,
            last_record: Some("2025-06-09T09:59:00.250Z".parse().unwrap()),
            clock_offset: Some(chrono::TimeDelta::seconds(-600)),
            failure,
            ..Collected::default()
        };
        collected.request_counts.retries = 2;
        collected.request_stats.answers = BTreeMap::from([(Answer::Status(200), 4), (Answer::Nothing, 1)]);
        collected.request_stats.times[2] = 4;
        collected.request_stats.times[BOUNDS.len()] = 1;
        collected.request_stats.seconds = 61.5;
        collected
    }

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics.render().lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn has(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }

    #[test]
    fn a_stream_that_did_not_run_yet_has_counters_at_zero_and_no_times() {
        let metrics = Metrics::new(["tfc"]);
        has(&metrics, "trailkeeper_appended_records_total{stream=\"tfc\"} 0");
        has(&metrics, "trailkeeper_runs_total{stream=\"tfc\",result=\"failed\"} 0");
        assert!(!metrics.render().contains("timestamp"), "{}", metrics.render());
    }

    #[test]
    fn a_run_is_counted_and_its_times_are_kept() {
        let mut metrics = Metrics::new(["tfc"]);
        metrics.run(&summary(None), times());
        metrics.run(&summary(None), times());
        for line in [
            "trailkeeper_appended_records_total{stream=\"tfc\"} 12",
            "trailkeeper_duplicate_records_total{stream=\"tfc\"} 6",
            "trailkeeper_rejected_records_total{stream=\"tfc\"} 2",
            "trailkeeper_revised_records_total{stream=\"tfc\"} 8",
            "trailkeeper_repaired_records_total{stream=\"tfc\"} 4",
            "trailkeeper_received_records_total{stream=\"tfc\"} 28",
            "trailkeeper_retries_total{stream=\"tfc\"} 4",
            "trailkeeper_requests_total{stream=\"tfc\",status=\"200\"} 8",
            "trailkeeper_requests_total{stream=\"tfc\",status=\"none\"} 2",
            "trailkeeper_request_duration_seconds_bucket{stream=\"tfc\",le=\"0.1\"} 0",
            "trailkeeper_request_duration_seconds_bucket{stream=\"tfc\",le=\"0.25\"} 8",
            "trailkeeper_request_duration_seconds_bucket{stream=\"tfc\",le=\"60\"} 8",
            "trailkeeper_request_duration_seconds_bucket{stream=\"tfc\",le=\"+Inf\"} 10",
            "trailkeeper_request_duration_seconds_sum{stream=\"tfc\"} 123",
            "trailkeeper_request_duration_seconds_count{stream=\"tfc\"} 10",
            "trailkeeper_last_record_timestamp_seconds{stream=\"tfc\"} 1749463140.25",
            "trailkeeper_clock_offset_seconds{stream=\"tfc\"} -600",
            "trailkeeper_last_success_timestamp_seconds{stream=\"tfc\"} 1749463201.5",
            "trailkeeper_last_run_duration_seconds{stream=\"tfc\"} 1.5",
            "trailkeeper_last_run_success{stream=\"tfc\"} 1",
        ] {
            has(&metrics, line);
        }
    }

    #[test]
    fn what_a_run_under_way_has_appended_is_shown_until_it_ends() {
        let mut metrics = Metrics::new(["tfc"]);
        metrics.under_way("tfc", 5);
        has(&metrics, "trailkeeper_run_appended_records{stream=\"tfc\"} 5");
        has(&metrics, "trailkeeper_appended_records_total{stream=\"tfc\"} 0");
        metrics.run(&summary(None), times());
        has(&metrics, "trailkeeper_run_appended_records{stream=\"tfc\"} 0");
    }

    #[test]
    fn gaps_are_shown_with_the_time_at_which_the_first_begins_to_go_as_long_as_there_is_one() {
        let mut metrics = Metrics::new(["tfc"]);
        metrics.run(&summary(None), times());
        assert!(!metrics.render().contains("trailkeeper_gap"), "it is not known");
        let with = |gaps| {
            let collected = Collected {
                gaps: Some(gaps),
                ..collected(None)
            };
            StreamSummary::new("tfc", collected)
        };
        let open = GapCounts {
            open: 2,
            gone: 1,
            going_at: Some("2025-06-20T10:00:00Z".parse().unwrap()),
        };
        metrics.run(&with(open), times());
        has(&metrics, "trailkeeper_gaps{stream=\"tfc\",state=\"open\"} 2");
        has(&metrics, "trailkeeper_gaps{stream=\"tfc\",state=\"gone\"} 1");
        has(
            &metrics,
            "trailkeeper_gap_going_timestamp_seconds{stream=\"tfc\"} 1750413600",
        );
        metrics.run(&with(GapCounts::default()), times());
        has(&metrics, "trailkeeper_gaps{stream=\"tfc\",state=\"open\"} 0");
        assert!(!metrics.render().contains("trailkeeper_gap_going_timestamp"));
    }

    #[test]
    fn a_failed_run_leaves_the_last_success_alone() {
        let mut metrics = Metrics::new(["tfc"]);
        metrics.run(&summary(None), times());
        let later = Times {
            began: "2025-06-09T11:00:00Z".parse().unwrap(),
            ended: "2025-06-09T11:00:00Z".parse().unwrap(),
        };
        metrics.run(&summary(Some(CollectError::Internal("x".into()))), later);
        has(
            &metrics,
            "trailkeeper_last_success_timestamp_seconds{stream=\"tfc\"} 1749463201.5",
        );
        has(
            &metrics,
            "trailkeeper_last_run_timestamp_seconds{stream=\"tfc\"} 1749466800",
        );
        has(&metrics, "trailkeeper_last_run_success{stream=\"tfc\"} 0");
        has(&metrics, "trailkeeper_runs_total{stream=\"tfc\",result=\"failed\"} 1");
    }

    #[test]
    fn a_run_that_was_shut_down_is_neither_complete_nor_failed() {
        let mut metrics = Metrics::new(["tfc"]);
        metrics.run(&summary(Some(CollectError::Stopped)), times());
        has(&metrics, "trailkeeper_appended_records_total{stream=\"tfc\"} 6");
        has(&metrics, "trailkeeper_runs_total{stream=\"tfc\",result=\"failed\"} 0");
        assert!(!metrics.render().contains("last_run"), "{}", metrics.render());
    }

    #[test]
    fn the_buckets_of_a_histogram_stand_in_the_order_of_their_bounds() {
        let bounds: Vec<_> = lines(&Metrics::new(["tfc"]))
            .iter()
            .filter_map(|line| Some(line.split_once("le=\"")?.1.split_once('"')?.0.to_owned()))
            .collect();
        let expected = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf"];
        assert_eq!(bounds, expected);
    }

    #[test]
    fn what_was_rendered_is_read_back() {
        let mut metrics = Metrics::new(["tfc", "port"]);
        metrics.run(&summary(None), times());
        metrics.log_dropped(2);
        has(&metrics, "trailkeeper_log_dropped_lines_total 2");
        metrics.forwarded(
            "tfc",
            "kafka \"a\\b\"\n}",
            Forwarding {
                delivered: 5,
                repaired: 2,
                lag_records: Some(2),
                lag_seconds: 0.5,
            },
        );
        let mut resumed = Metrics::new(["tfc", "port"]);
        resumed.resume(&metrics.render(), None);
        assert_eq!(resumed, metrics);
        resumed.run(&summary(None), times());
        has(&resumed, "trailkeeper_appended_records_total{stream=\"tfc\"} 12");
    }

    #[test]
    fn metrics_of_removed_streams_are_dropped() {
        let mut metrics = Metrics::new(["tfc", "port"]);
        metrics.run(&summary(None), times());
        metrics.under_way("tfc", 7);
        metrics.log_dropped(3);
        let mut resumed = Metrics::new(["port"]);
        resumed.resume(&metrics.render(), Some(&["port"]));
        let mut expected = Metrics::new(["port"]);
        expected.log_dropped(3);
        assert_eq!(resumed, expected, "what is of no stream stays");
    }

    #[test]
    fn an_archive_shows_what_it_has_filed_and_what_waits() {
        let mut metrics = Metrics::new([]);
        let now = "2025-06-09T10:00:00Z".parse().unwrap();
        let filed = Filed {
            appended: 7,
            rejected: 1,
            fleet_run_at: Some(now),
            is_complete: true,
            ..Filed::default()
        };
        metrics.filed("tfc", &filed, now);
        metrics.archive_lag([("audit", 0, 3), ("audit", 1, 0)].into_iter());
        metrics.archive_lag([("audit", 1, 5)].into_iter());
        metrics.archive_strays(2);
        has(&metrics, "trailkeeper_appended_records_total{stream=\"tfc\"} 7");
        has(&metrics, "trailkeeper_rejected_records_total{stream=\"tfc\"} 1");
        has(&metrics, "trailkeeper_last_run_success{stream=\"tfc\"} 1");
        has(
            &metrics,
            "trailkeeper_archive_fleet_run_timestamp_seconds{stream=\"tfc\"} 1749463200",
        );
        has(
            &metrics,
            "trailkeeper_archive_waiting_messages{topic=\"audit\",partition=\"1\"} 5",
        );
        has(&metrics, "trailkeeper_archive_rejected_messages_total 2");
        let waiting = metrics
            .render()
            .matches("trailkeeper_archive_waiting_messages{")
            .count();
        assert_eq!(waiting, 1, "what is another member's by now is not shown");
    }

    #[test]
    fn a_foreign_file_changes_nothing() {
        let mut metrics = Metrics::new(["tfc"]);
        metrics.resume(
            "# HELP x y\nnode_load1 0.5\ntrailkeeper_unknown{a=\"b\"} 1\ntrailkeeper_appended_records_total{ 7\n\
             trailkeeper_appended_records_total{stream=\"tfc\"} many\ntrailkeeper_appended_records_total{stream=\"tfc\"} NaN\n\0\n",
            None,
        );
        assert_eq!(metrics, Metrics::new(["tfc"]));
    }
}
