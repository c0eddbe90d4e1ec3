//! What an audit has come to; `docs/json.md` says what its fields are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::sample::Sample;
use crate::audit::compare::{ComparedHour, Difference, DifferenceKind, HourState};
use crate::commands::verify::Basis;
use crate::config::StreamSettings;
use crate::coverage::Scope;
use crate::evidence::sealed_log::SealedLog;
use crate::evidence::verify::Verdict;
use crate::process::exit::Exit;

/// What an audit has come to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) origin: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) root: Option<String>,
    pub(super) key: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) policy: String,
    pub(super) is_operators_policy: bool,
    pub(super) nonce: String,
    pub(super) asked_at: DateTime<Utc>,
    pub(super) population: u64,
    pub(super) sample: u64,
    pub(super) same: u64,
    pub(super) different: u64,
    pub(super) unproved: u64,
    pub(super) expired: u64,
    pub(super) streams: Vec<StreamOutcome>,
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
    exit_code: u8,
}

/// What is known of a stream.
#[derive(Debug, Default, Serialize)]
pub(super) struct StreamOutcome {
    pub(super) stream: String,
    /// Between which times its hours were drawn; `None` if it has none.
    pub(super) from: Option<DateTime<Utc>>,
    pub(super) to: Option<DateTime<Utc>>,
    pub(super) population: u64,
    /// What the service is asked for, and where: its address, the organization, and the filter.
    pub(super) address: String,
    pub(super) organization_id: Option<String>,
    pub(super) filter: Option<String>,
    /// For how long before the last seal records may have come late; `RECONCILE_HOURS`.
    pub(super) reconcile_hours: i64,
    pub(super) requests: u64,
    /// Records that came, that no day file can hold, and that the archive has not kept.
    pub(super) rejected_not_kept: u64,
    pub(super) remarks: Vec<String>,
    pub(super) hours: Vec<HourOutcome>,
}

impl StreamOutcome {
    /// Notes what the service is asked for: with another filter, another archive would be right.
    fn note_settings(&mut self, settings: &StreamSettings) {
        let scope = Scope::of(settings.source.as_ref());
        self.address = scope.address;
        self.organization_id = scope.organization;
        self.filter = scope.filter;
        self.reconcile_hours = settings.limits.reconcile_reach.num_hours();
    }
}

/// What an hour comes to.
#[derive(Debug, Serialize)]
pub(super) struct HourOutcome {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) state: HourState,
    pub(super) given: u64,
    pub(super) archived: u64,
    pub(super) same: u64,
    pub(super) reason: Option<String>,
    pub(super) differences: Vec<DifferenceOutcome>,
}

/// A record in which both sides differ.
#[derive(Debug, Serialize)]
pub(super) struct DifferenceOutcome {
    pub(super) kind: DifferenceKind,
    pub(super) is_explained: bool,
    pub(super) time: DateTime<Utc>,
    pub(super) id: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u64>,
}

impl Outcome {
    pub(super) fn begin(basis: &Basis, nonce: &str, now: DateTime<Utc>) -> Self {
        Self {
            policy: basis.path.display().to_string(),
            is_operators_policy: basis.is_operators,
            nonce: nonce.to_owned(),
            asked_at: now,
            ..Self::default()
        }
    }

    /// Notes that nothing was compared, and why.
    pub(super) fn refused(mut self, problems: Vec<String>) -> Self {
        self.problems.extend(problems);
        self.ended()
    }

    /// Notes how it ends: an audit that has compared nothing is none.
    pub(super) fn ended(mut self) -> Self {
        if self.problems.is_empty() && self.same + self.different == 0 {
            let problem = match (self.expired, self.unproved) {
                (1.., 0) => "all drawn hours have expired: nothing was compared",
                _ => "no hour was compared",
            };
            self.problems.push(problem.to_owned());
        }
        self.exit_code = self.exit() as u8;
        self
    }

    pub(super) fn note_sample(&mut self, log: &SealedLog, sample: &Sample, settings: &[&StreamSettings]) {
        let checkpoint = &log.checkpoint;
        self.origin = Some(checkpoint.origin.clone());
        self.size = Some(checkpoint.size);
        self.root = Some(STANDARD.encode(checkpoint.root.0));
        self.population = sample.population();
        self.sample = sample.hours.values().map(|hours| hours.len() as u64).sum();
        let streams = sample.days.keys().map(|stream| {
            let span = sample.spans.get(stream);
            StreamOutcome {
                stream: stream.clone(),
                from: span.map(|span| span.from.begin()),
                to: span.map(|span| span.to.begin()),
                population: span.map_or(0, |span| span.hours()),
                ..StreamOutcome::default()
            }
        });
        self.streams = streams.collect();
        for stream in &mut self.streams {
            if let Some(settings) = settings.iter().find(|settings| settings.kind.name == stream.stream) {
                stream.note_settings(settings);
            }
        }
    }

    pub(super) fn note_verdict(&mut self, verdict: &Verdict) {
        let key = verdict.checkpoint.as_ref().map(|(_, key)| key);
        self.key = key.map(ToString::to_string);
        self.fingerprint = key.map(|key| key.fingerprint());
        self.remarks.clone_from(&verdict.remarks);
    }

    /// Notes what the hours of a stream come to, and what else `known` has of it.
    pub(super) fn note_hours(&mut self, stream: &str, hours: &[ComparedHour], known: StreamOutcome) {
        for hour in hours {
            *match hour.state {
                HourState::Same => &mut self.same,
                HourState::Different => &mut self.different,
                HourState::Unproved => &mut self.unproved,
                HourState::Expired => &mut self.expired,
            } += 1;
        }
        if let Some(outcome) = self.streams.iter_mut().find(|outcome| outcome.stream == stream) {
            outcome.requests = known.requests;
            outcome.rejected_not_kept = known.rejected_not_kept;
            outcome.remarks = known.remarks;
            outcome.hours = hours.iter().map(HourOutcome::of).collect();
        }
        if known.rejected_not_kept > 0 {
            let count = known.rejected_not_kept;
            self.problems.push(format!(
                "{stream}: {count} records came that no day file can hold, and that are not kept beside them"
            ));
        }
    }

    pub(super) fn exit(&self) -> Exit {
        if self.problems.is_empty() && self.different == 0 && self.unproved == 0 {
            Exit::Complete
        } else {
            Exit::StreamFailed
        }
    }

    /// Returns everything that is wrong, a sentence each.
    pub(super) fn all_problems(&self) -> Vec<String> {
        let counts = [
            (self.different, "drawn hours differ"),
            (self.unproved, "drawn hours were not proved by the service"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts = counts.map(|(count, what)| format!("{count} {what}"));
        self.problems.iter().cloned().chain(counts).collect()
    }
}

impl HourOutcome {
    fn of(compared: &ComparedHour) -> Self {
        Self {
            from: compared.hour.begin(),
            to: compared.hour.end(),
            state: compared.state,
            given: compared.given,
            archived: compared.archived,
            same: compared.same,
            reason: compared.reason.clone(),
            differences: compared.differences.iter().map(DifferenceOutcome::of).collect(),
        }
    }
}

impl DifferenceOutcome {
    fn of(difference: &Difference) -> Self {
        Self {
            kind: difference.kind,
            is_explained: difference.kind.is_explained(),
            time: difference.record.time,
            id: difference.id.clone(),
            file: difference.place.as_ref().map(|(file, _)| file.clone()),
            line: difference.place.as_ref().map(|(_, line)| *line),
        }
    }
}
