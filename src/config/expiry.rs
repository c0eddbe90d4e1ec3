//! The setting of how old day files get before they are deleted.

use chrono::TimeDelta;

use crate::env::{ConfigErrors, DefaultValue, Env, Scope, Setting, Variable, whole_number};

/// Younger days are not closed: records come late, and gaps are filled.
const LEAST: i64 = 2;

/// The age at which this program deletes day files.
pub(crate) const EXPIRE_AFTER_DAYS: Setting<i64> = Setting {
    variable: Variable {
        name: "EXPIRE_AFTER_DAYS",
        scope: Scope::Program,
        default: DefaultValue::Text("0"),
        example: None,
        doc: "How many days after its end `trailkeeper expire` may delete a day, where `--older-than` does not say it; 0 to 36500, 0 \
              is never, and 1 counts as 2. Nothing else deletes a day.",
    },
    parse: |text| whole_number(text, 0..=36_500),
};

/// Reads it; `None` if nothing is to be deleted, or after an error.
pub(crate) fn expire_after(env: &Env, errors: &mut ConfigErrors) -> Option<TimeDelta> {
    let days = env.or_default(&EXPIRE_AFTER_DAYS, errors)?;
    (days > 0).then(|| TimeDelta::days(days.max(LEAST)))
}
