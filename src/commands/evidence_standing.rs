//! How the evidence stands by the settings, for `status` and the metrics: what waits for others, and what they refuse.

use super::witnesses::usable_policy;
use crate::config::EvidenceSettings;
use crate::env::Organization;
use crate::evidence::folder::Folder;
use crate::evidence::keeper::Keeper;
use crate::evidence::standing::{Others, Standing};
use crate::metrics::{Awaited, EvidenceFigures};

/// How it stands, as far as it can be read.
#[derive(Debug)]
pub(super) struct EvidenceStanding {
    pub(super) standing: Standing,
    /// What cannot be read or used: nothing is sealed until it can.
    pub(super) problem: Option<String>,
}

impl EvidenceStanding {
    /// Reads it; `None` if there is no log, and nobody has a key for one.
    pub(super) fn read(settings: &EvidenceSettings) -> Option<Self> {
        let policy = settings.witnesses.as_ref().map(usable_policy).transpose();
        let (policy, mut problem) = match policy {
            Ok(policy) => (policy, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let others = Others {
            timestamps: settings.timestamps.is_some(),
            policy: policy.as_ref(),
            topic: settings.topic.as_ref().map(|topic| topic.topic.as_str()),
        };
        let standing = match Standing::read(&Folder::new(&settings.folder), others) {
            Ok(standing) => standing,
            Err(error) => {
                problem = Some(error.to_string());
                None
            }
        };
        if problem.is_none() && settings.key.is_some() {
            problem = Keeper::new(settings).check().err().map(|error| error.to_string());
        }
        if standing.is_none() && problem.is_none() {
            return None;
        }
        let standing = standing.unwrap_or_default();
        Some(Self { standing, problem })
    }

    /// Returns its figures, for the log of an organization if there are several.
    pub(super) fn figures(self, organization: Option<Organization>) -> EvidenceFigures {
        let Standing {
            unsigned,
            unstamped,
            unsent,
            uncosigned,
            refused,
            ..
        } = self.standing;
        let refuses = uncosigned.iter().map(|(witness, _)| {
            let is_refused = refused.iter().any(|refusal| refusal.witness == *witness);
            (witness.clone(), is_refused)
        });
        let mut figures = EvidenceFigures {
            organization: organization.map(Organization::name),
            refuses: refuses.collect(),
            ..EvidenceFigures::default()
        };
        let mut wait = |awaited, entries| figures.waiting.push((awaited, entries));
        wait(Awaited::Signature, unsigned);
        unstamped
            .into_iter()
            .for_each(|entries| wait(Awaited::Timestamp, entries));
        unsent.into_iter().for_each(|entries| wait(Awaited::Kafka, entries));
        for (witness, entries) in uncosigned {
            wait(Awaited::Cosignature(witness), entries);
        }
        figures
    }
}
