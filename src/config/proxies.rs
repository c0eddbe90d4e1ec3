//! The proxies that requests to services and HTTP listeners go through.

use crate::env::{ConfigErrors, DefaultValue, Env, InvalidValue, Row, Scope, Setting, Variable, text};
use crate::http::{Proxies, Proxy, ProxyAddress};

/// The variables of proxies, which all requests go through.
pub(super) const ROWS: &[&dyn Row] = &[&HTTPS_PROXY, &HTTP_PROXY, &ALL_PROXY, &NO_PROXY];

pub(super) const HTTPS_PROXY: Setting<ProxyAddress> = Setting {
    variable: Variable {
        name: "HTTPS_PROXY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("http://proxy.example.org:3128"),
        doc: "The proxy for addresses with `https://`: `http://` or `https://`, a host, and a port, as in \
              `http://user:password@proxy.example.org:3128`. It also counts as `https_proxy`.",
    },
    parse: proxy,
};

pub(super) const HTTP_PROXY: Setting<ProxyAddress> = Setting {
    variable: Variable {
        name: "HTTP_PROXY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("http://proxy.example.org:3128"),
        doc: "The same for addresses with `http://`, but never for this machine, or `http_proxy`.",
    },
    parse: proxy,
};

pub(super) const ALL_PROXY: Setting<ProxyAddress> = Setting {
    variable: Variable {
        name: "ALL_PROXY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("http://proxy.example.org:3128"),
        doc: "The proxy where neither of the two is set, or `all_proxy`.",
    },
    parse: proxy,
};

pub(super) const NO_PROXY: Setting<String> = Setting {
    variable: Variable {
        name: "NO_PROXY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("localhost,127.0.0.0/8,.example.org"),
        doc: "The hosts that are reached without a proxy, with commas between them: a name, which counts for all names below it \
              too, an address, a network such as `10.0.0.0/8`, or `*`. Also `no_proxy`.",
    },
    parse: text,
};

/// Set by a web server that starts a program for a request.
pub(super) const REQUEST_METHOD: Setting<String> = Setting {
    variable: Variable {
        name: "REQUEST_METHOD",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Set by a web server: then `HTTP_PROXY` is not read, which whoever sends the request can set; `http_proxy` is.",
    },
    parse: text,
};

fn proxy(text: &str) -> Result<ProxyAddress, InvalidValue> {
    // The address may hold a password.
    ProxyAddress::parse(text).map_err(|error| InvalidValue::must_hidden(error.to_string()))
}

/// Reads the proxies. One that cannot be used is an error: without it requests would go out directly.
pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Proxies {
    let except = first(&[NO_PROXY, NO_PROXY.named("no_proxy")], env, errors);
    let mut proxy = |rows: &[Setting<ProxyAddress>]| {
        let (variable, address) = first(rows, env, errors)?;
        if let Some(password) = address.password() {
            env.secrets().note(&variable, password);
        }
        Some(Proxy { variable, address })
    };
    let https = proxy(&[HTTPS_PROXY, HTTPS_PROXY.named("https_proxy")]);
    let http = if env.is_set(&REQUEST_METHOD) {
        proxy(&[HTTP_PROXY.named("http_proxy")])
    } else {
        proxy(&[HTTP_PROXY, HTTP_PROXY.named("http_proxy")])
    };
    let all = if https.is_some() && http.is_some() {
        None
    } else {
        proxy(&[ALL_PROXY, ALL_PROXY.named("all_proxy")])
    };
    Proxies {
        http: http.or_else(|| all.clone()),
        https: https.or(all),
        except: except.map(|(_, hosts)| hosts).unwrap_or_default(),
    }
}

/// Reads the first of these variables that is set, and returns its name too.
fn first<T>(rows: &[Setting<T>], env: &Env, errors: &mut ConfigErrors) -> Option<(String, T)> {
    let row = rows.iter().find(|row| env.is_set(*row))?;
    Some((row.name(), env.optional(row, errors)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> ([String; 2], String) {
        let mut errors = ConfigErrors::default();
        let proxies = read(&Env::from_pairs(pairs.iter().copied()), &mut errors);
        let name = |proxy: Option<Proxy>| proxy.map(|proxy| proxy.variable).unwrap_or_default();
        ([name(proxies.https), name(proxies.http)], errors.to_string())
    }

    #[test]
    fn each_scheme_has_its_proxy_and_all_is_for_the_rest() {
        let one = "http://proxy:1";
        for (names, expected) in [
            (&[][..], ["", ""]),
            (&["HTTPS_PROXY", "https_proxy"], ["HTTPS_PROXY", ""]),
            (&["https_proxy", "http_proxy"], ["https_proxy", "http_proxy"]),
            (&["HTTPS_PROXY", "ALL_PROXY"], ["HTTPS_PROXY", "ALL_PROXY"]),
            (&["all_proxy"], ["all_proxy", "all_proxy"]),
            (&["REQUEST_METHOD", "HTTP_PROXY", "HTTPS_PROXY"], ["HTTPS_PROXY", ""]),
            (&["REQUEST_METHOD", "HTTP_PROXY", "http_proxy"], ["", "http_proxy"]),
        ] {
            let pairs: Vec<_> = names.iter().map(|name| (*name, one)).collect();
            assert_eq!(
                proxies(&pairs),
                (expected.map(str::to_owned), String::new()),
                "{names:?}"
            );
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_that_does_not_show_it() {
        for name in [
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            let (_, errors) = proxies(&[(name, "htp://user:hunter2@proxy:1")]);
            let expected = format!("{name} must be the address of a proxy, such as `http://proxy.example.org:3128`");
            assert_eq!(errors, expected);
        }
        let (_, errors) = proxies(&[("NO_PROXY", "a\u{1}b")]);
        assert!(
            errors.starts_with("NO_PROXY must be text without control characters"),
            "{errors}"
        );
    }

    #[test]
    fn what_is_not_read_may_be_anything() {
        let pairs = [
            ("HTTPS_PROXY", "http://proxy:1"),
            ("HTTP_PROXY", "http://proxy:1"),
            ("ALL_PROXY", "socks5://proxy:1080"),
            ("https_proxy", "htp://x"),
        ];
        assert_eq!(proxies(&pairs).1, "");
    }
}
