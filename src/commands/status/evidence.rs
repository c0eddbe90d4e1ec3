//! How the evidence stands: what waits for the key on another host, and for anchors, and who refuses it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::commands::evidence_standing::EvidenceStanding;
use crate::config::{EVIDENCE_FOLDER, EvidenceSettings};
use crate::env::{ConfigErrors, Env, Organization};
use crate::output::printable::printable;
use crate::output::table::to_the_second;

/// The evidence as JSON.
#[derive(Debug, Serialize)]
pub(super) struct EvidenceStatus {
    #[serde(skip)]
    organization: Option<Organization>,
    entries: u64,
    unsigned: u64,
    unstamped: Option<u64>,
    uncosigned: Vec<Uncosigned>,
    unsent: Option<u64>,
    refused: Vec<Refused>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Uncosigned {
    witness: String,
    entries: u64,
}

#[derive(Debug, Serialize)]
struct Refused {
    witness: String,
    problem: String,
    since: DateTime<Utc>,
}

impl EvidenceStatus {
    /// Reads how it stands; `None` if nothing is sealed, or the settings of that are wrong, which is told where it is sealed.
    pub(super) fn read(env: &Env) -> Option<Self> {
        if !env.is_set(&EVIDENCE_FOLDER) {
            return None;
        }
        let settings = EvidenceSettings::read_required(env, &mut ConfigErrors::default())?;
        let EvidenceStanding { standing, problem } = EvidenceStanding::read(&settings)?;
        let uncosigned = standing.uncosigned.into_iter();
        let refused = standing.refused.into_iter().map(|refusal| Refused {
            witness: refusal.witness,
            problem: refusal.problem,
            since: refusal.since,
        });
        Some(Self {
            organization: env.organization(),
            entries: standing.entries,
            unsigned: standing.unsigned,
            unstamped: standing.unstamped,
            uncosigned: uncosigned
                .map(|(witness, entries)| Uncosigned { witness, entries })
                .collect(),
            unsent: standing.unsent,
            refused: refused.collect(),
            problem,
        })
    }

    /// Says what must not be: a witness that has seen another history, and what keeps everything from being sealed.
    pub(super) fn alarms(&self) -> impl Iterator<Item = String> {
        let of = self.organization.map_or_else(String::new, |name| format!("{name}/"));
        let refused = self.refused.iter().map(|refused| {
            let (witness, problem) = (printable(&refused.witness), printable(&refused.problem));
            let since = to_the_second(refused.since);
            format!("the witness {witness} refuses the log since {since}: {problem}")
        });
        let problem = self.problem.iter().map(|problem| printable(problem).into_owned());
        refused.chain(problem).map(move |text| format!("{of}evidence: {text}"))
    }

    /// Says what waits, and what must not be, a line each.
    pub(super) fn notes(&self) -> String {
        let waiting =
            |entries: u64, what: String| (entries > 0).then(|| format!("evidence: {entries} entries {what}\n"));
        let simple = [
            (self.unsigned, "wait for the key on another host"),
            (self.unstamped.unwrap_or(0), "wait for a time stamp"),
            (self.unsent.unwrap_or(0), "wait to be sent to Kafka"),
        ];
        let simple = simple
            .into_iter()
            .filter_map(|(entries, what)| waiting(entries, what.to_owned()));
        let uncosigned = self.uncosigned.iter().filter_map(|Uncosigned { witness, entries }| {
            waiting(*entries, format!("wait for a cosignature by {}", printable(witness)))
        });
        let alarms = self.alarms().map(|alarm| alarm + "\n");
        simple.chain(uncosigned).chain(alarms).collect()
    }
}
