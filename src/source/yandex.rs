//! What the audit logs of Yandex 360 have in common: the token and the organization.

use crate::env::{self, DefaultValue, Row, Scope, Secret, Setting, Variable};

/// The vendor's name in the documents.
pub(super) const VENDOR: &str = "Yandex 360";

/// The credentials; every log of the vendor needs both.
pub(super) const CREDENTIALS: &[&dyn Row] = &[&OAUTH_TOKEN_ARG, &ORGANIZATION_ID_ARG];

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
