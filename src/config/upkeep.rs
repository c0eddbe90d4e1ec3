//! The settings of what is done with day files as they get old: after how long they are packed, and deleted.

use chrono::TimeDelta;

use super::evidence::EvidenceSettings;
use crate::env::{ConfigErrors, DefaultValue, Env, Scope, Setting, Variable, whole_number};

/// Younger days are not closed: records come late, and gaps are filled.
const LEAST: i64 = 2;

/// The age at which runs pack day files.
pub(super) const PACK_AFTER_DAYS: Setting<i64> = Setting {
    variable: Variable {
        name: "PACK_AFTER_DAYS",
        scope: Scope::Program,
        default: DefaultValue::Text("0"),
        example: None,
        doc: "How many days after its end `collect` packs a day at the end of a run, as `trailkeeper pack` does; 0 to 36500, 0 is never, \
              and 1 counts as 2.",
    },
    parse: |text| whole_number(text, 0..=36_500),
};

/// The age at which runs, and `expire`, delete day files.
pub(crate) const EXPIRE_AFTER_DAYS: Setting<i64> = Setting {
    variable: Variable {
        name: "EXPIRE_AFTER_DAYS",
        scope: Scope::Program,
        default: DefaultValue::Text("0"),
        example: None,
        doc: "How many days after its end `collect` deletes a day at the end of a run, without asking, and `trailkeeper expire` may, \
              where `--older-than` does not say it; 0 to 36500, 0 is never, and 1 counts as 2. Nothing else deletes a day.",
    },
    parse: |text| whole_number(text, 0..=36_500),
};

/// What is done with days as they get old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpkeepSettings {
    /// The age at which they are packed; `PACK_AFTER_DAYS`.
    pub(crate) pack_after: Option<TimeDelta>,
    /// The age at which they are deleted; `EXPIRE_AFTER_DAYS`.
    pub(crate) expire_after: Option<TimeDelta>,
    /// Where they have to be sealed before they are deleted.
    pub(crate) evidence: Option<EvidenceSettings>,
}

impl UpkeepSettings {
    /// Reads the settings, for an archive that is sealed there.
    pub(super) fn read(env: &Env, evidence: Option<&EvidenceSettings>, errors: &mut ConfigErrors) -> Self {
        Self {
            pack_after: age(env, &PACK_AFTER_DAYS, errors),
            expire_after: expire_after(env, errors),
            evidence: evidence.cloned(),
        }
    }
}

/// Reads after how long days are deleted; `None` if they are not, or after an error.
pub(crate) fn expire_after(env: &Env, errors: &mut ConfigErrors) -> Option<TimeDelta> {
    age(env, &EXPIRE_AFTER_DAYS, errors)
}

fn age(env: &Env, setting: &Setting<i64>, errors: &mut ConfigErrors) -> Option<TimeDelta> {
    let days = env.or_default(setting, errors)?;
    (days > 0).then(|| TimeDelta::days(days.max(LEAST)))
}
