//! How the evidence stands: what waits for the key on another host, and for anchors.

use serde::Serialize;

use crate::config::{EVIDENCE_FOLDER, EvidenceSettings};
use crate::env::{ConfigErrors, Env};
use crate::evidence::folder::Folder;
use crate::evidence::policy::Policy;
use crate::evidence::standing::Standing;
use crate::fs::read_to_string;
use crate::output::printable::printable;

/// The evidence as JSON.
#[derive(Debug, Serialize)]
pub(super) struct EvidenceStatus {
    entries: u64,
    unsigned: u64,
    unstamped: Option<u64>,
    uncosigned: Vec<Uncosigned>,
    unsent: Option<u64>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Uncosigned {
    witness: String,
    entries: u64,
}

impl EvidenceStatus {
    /// Reads how it stands; `None` if nothing is sealed, or the settings of that are wrong, which is told where it is sealed.
    pub(super) fn read(env: &Env) -> Option<Self> {
        if !env.is_set(&EVIDENCE_FOLDER) {
            return None;
        }
        let settings = EvidenceSettings::read_required(env, &mut ConfigErrors::default())?;
        let mut problem = None;
        let policy = settings.witnesses.as_ref().and_then(|of| {
            let text = read_to_string(&of.policy).map_err(|error| error.to_string());
            let policy = text.and_then(|text| Policy::parse(&text).map_err(|error| error.to_string()));
            policy.map_err(|error| problem = Some(error)).ok()
        });
        let topic = settings.topic.as_ref().map(|topic| topic.topic.as_str());
        let standing = match Standing::read(&Folder::new(&settings.folder), policy.as_ref(), topic) {
            Ok(standing) => standing?,
            Err(error) => {
                problem = Some(error.to_string());
                Standing::default()
            }
        };
        let uncosigned = standing.uncosigned.into_iter();
        Some(Self {
            entries: standing.entries,
            unsigned: standing.unsigned,
            unstamped: settings.timestamps.as_ref().map(|_| standing.unstamped),
            uncosigned: uncosigned
                .map(|(witness, entries)| Uncosigned { witness, entries })
                .collect(),
            unsent: topic.map(|_| standing.unsent),
            problem,
        })
    }

    /// Says what waits, a line each.
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
        let problem = self
            .problem
            .iter()
            .map(|problem| format!("evidence: {}\n", printable(problem)));
        simple.chain(uncosigned).chain(problem).collect()
    }
}
