//! The sandbox over real sockets, asked by a plain client.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::*;

fn noon() -> DateTime<Utc> {
    "2025-06-10T12:00:00Z".parse().unwrap()
}

fn options() -> Options {
    Options::empty(Arc::new(noon))
}

/// Records of an API, a minute apart, the last one a minute before noon.
fn minutes(api: Api, count: i64) -> Vec<Event> {
    (1..=count)
        .rev()
        .map(|age| Event::minimal(api, noon() - TimeDelta::minutes(age), format!("id-{age}")))
        .collect()
}

/// A client, and the header that each API wants.
struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    fn new(sandbox: &Sandbox) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: reqwest::Client::new(),
            url: sandbox.url(),
        }
    }

    fn request(&self, api: Api, query: &str) -> reqwest::RequestBuilder {
        let path = match api {
            Api::Mail => "/security/v1/org/1000001/audit_log/mail",
            Api::Disk => "/security/v1/org/1000001/audit_log/disk",
            Api::Port => "/v1/audit-log",
            Api::Tfc => "/api/v2/organization/audit-trail",
        };
        self.http.get(format!("{}{path}?{query}", self.url))
    }

    async fn text(&self, api: Api, query: &str) -> (u16, String) {
        let authorization = match api {
            Api::Mail | Api::Disk => format!("OAuth {}", yandex::OAUTH_TOKEN),
            Api::Port => format!("Bearer {}", port::API_TOKEN),
            Api::Tfc => format!("Bearer {}", terraform::ORGANIZATION_TOKEN),
        };
        let answer = self
            .request(api, query)
            .header("authorization", authorization)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn ok(&self, api: Api, query: &str) -> Value {
        let (status, text) = self.text(api, query).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test]
async fn every_api_gives_its_newest_record_first() {
    let options = Api::ALL
        .into_iter()
        .fold(options(), |options, api| options.give(api, minutes(api, 3)));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    for (api, list, id) in [
        (Api::Mail, "events", "uniqId"),
        (Api::Disk, "events", "uniqId"),
        (Api::Port, "audits", "identifier"),
        (Api::Tfc, "data", "id"),
    ] {
        let answer = client.ok(api, "").await;
        let ids: Vec<_> = answer[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| &record[id])
            .collect();
        assert_eq!(ids, ["id-1", "id-2", "id-3"], "{api:?}");
    }
}
