//! Kinds of streams for the tests of the settings, with the variables of the real ones and sources that do nothing.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::env::{Env, Faults, address, whole_number};
use crate::record::{Sameness, Shape};
use crate::source::{Ask, Authorization, BadPage, Kind, Page, Paging, Source};

/// The four kinds of issue "Collect", without their services.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "yandex-mail",
        prefix: "MAIL",
        lookback_days: 184,
        variables: &["ORGANIZATION_ID_ARG", "YANDEX_API_URL"],
        secrets: &["OAUTH_TOKEN_ARG"],
        configure: yandex,
    },
    Kind {
        name: "yandex-disk",
        prefix: "DISK",
        lookback_days: 184,
        variables: &["ORGANIZATION_ID_ARG", "YANDEX_API_URL"],
        secrets: &["OAUTH_TOKEN_ARG"],
        configure: yandex,
    },
    Kind {
        name: "port",
        prefix: "PORT",
        lookback_days: 365,
        variables: &["PORT_API_URL", "PORT_PAGE_LIMIT", "PORT_CLIENT_ID"],
        secrets: &["PORT_API_TOKEN", "PORT_CLIENT_SECRET"],
        configure: |env, faults| Idle::shared(env.required_secret("PORT_API_TOKEN", faults)),
    },
    Kind {
        name: "tfc",
        prefix: "TFC",
        lookback_days: 14,
        variables: &["TFC_API_URL"],
        secrets: &["TFC_ORG_TOKEN"],
        configure: |env, faults| {
            env.or("TFC_API_URL", "https://app.terraform.io", address, faults);
            Idle::shared(env.required_secret("TFC_ORG_TOKEN", faults))
        },
    },
];

fn yandex(env: &Env, faults: &mut Faults) -> Option<Arc<dyn Source>> {
    env.required("ORGANIZATION_ID_ARG", whole_number(1..=u64::MAX), faults);
    Idle::shared(env.required_secret("OAUTH_TOKEN_ARG", faults))
}

/// A source that is never asked.
struct Idle(Authorization);

impl Idle {
    fn shared(token: Option<SecretString>) -> Option<Arc<dyn Source>> {
        Some(Arc::new(Self(Authorization::Fixed(token?))))
    }
}

impl Source for Idle {
    fn shape(&self) -> Shape {
        Shape {
            time: &["date"],
            id: &["uniqId"],
            sameness: Sameness::Content,
        }
    }

    fn paging(&self) -> Paging {
        Paging::Bounded
    }

    fn authorization(&self) -> &Authorization {
        &self.0
    }

    fn page_url(&self, _ask: &Ask) -> Url {
        unreachable!("the tests of the settings ask no service")
    }

    fn read_page<'a>(&self, _body: &'a str) -> Result<Page<'a>, BadPage> {
        unreachable!("the tests of the settings ask no service")
    }

    fn error_message(&self, _body: &str) -> Option<String> {
        None
    }

    fn advice(&self, _status: u16) -> &'static str {
        ""
    }
}
