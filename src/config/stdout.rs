//! The settings of forwarding to standard output, read only when it is used; and what the settings for strict JSON, one for
//! each sink, have in common.

use crate::env::{ConfigErrors, DefaultValue, Env, Row, Scope, Setting, Variable, yes_or_no};

/// The prefix of these variables; no others have it.
pub(super) const PREFIX: &str = "STDOUT_FORWARD_";

/// The variables, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[&STDOUT_FORWARD_STRICT_JSON];

/// What it does, for the documents.
pub(super) const STRICT_JSON: &str = "`yes`: a record that strict JSON parsers (jq, Vector, DuckDB) refuse is sent as a \
     copy that they take, as with `--strict-json`. `no`: every record is sent as it is in the day file.";

const STDOUT_FORWARD_STRICT_JSON: Setting<bool> = Setting {
    variable: Variable {
        name: "STDOUT_FORWARD_STRICT_JSON",
        scope: Scope::Program,
        default: DefaultValue::Text("no"),
        example: None,
        doc: STRICT_JSON,
    },
    parse: yes_or_no,
};

/// How to write to standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StdoutSettings {
    /// Whether strict copies are sent; `STDOUT_FORWARD_STRICT_JSON`.
    pub(crate) strict_json: bool,
}

impl StdoutSettings {
    /// Reads the settings; `None` after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let strict_json = env.or_default(&STDOUT_FORWARD_STRICT_JSON, errors)?;
        Some(Self { strict_json })
    }
}
