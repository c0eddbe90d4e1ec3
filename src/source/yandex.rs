//! What the audit logs of Yandex 360 have in common: who asks, and for which organization.

use crate::env::{self, DefaultValue, Row, Scope, Secret, Setting, Variable};

/// What the documents call the vendor.
pub(super) const VENDOR: &str = "Yandex 360";

/// Who asks; every log of the vendor needs both.
pub(super) const CREDENTIALS: &[&dyn Row] = &[&OAUTH_TOKEN_ARG, &ORGANIZATION_ID_ARG];

/// The token of an administrator.
pub(crate) const OAUTH_TOKEN_ARG: Secret = Secret {
    variable: Variable {
        name: "OAUTH_TOKEN_ARG",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The OAuth token of an administrator of the organization. Register an application at \
              https://oauth.yandex.ru/client/new with the scopes `ya360_security:audit_log_mail`, \
              `ya360_security:audit_log_disk` and `ya360_security:read_auditlog` (those of the streams that you use: mail, \
              disk, audit), then open `https://oauth.yandex.ru/authorize?response_type=token&client_id=<its ClientID>` as \
              the administrator.",
    },
    check: env::token,
};

/// The organization.
pub(crate) const ORGANIZATION_ID_ARG: Setting<u64> = Setting {
    variable: Variable {
        name: "ORGANIZATION_ID_ARG",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The number of the organization, as the administration page https://admin.yandex.ru shows it.",
    },
    parse: |text| env::whole_number(text, 1..=u64::MAX),
};
