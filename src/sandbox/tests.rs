//! The sandbox over real sockets, asked by a plain client.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use super::*;
use crate::test_support::bound::{PATIENCE, at_most, in_time};

fn noon() -> DateTime<Utc> {
    "2025-06-10T12:00:00Z".parse().unwrap()
}

fn options() -> Options {
    Options::empty(Arc::new(noon))
}

/// A clock that a test sets, in seconds after noon.
fn settable_clock() -> (Arc<AtomicI64>, Clock) {
    let seconds = Arc::new(AtomicI64::new(0));
    let read = Arc::clone(&seconds);
    (
        seconds,
        Arc::new(move || noon() + TimeDelta::seconds(read.load(Ordering::SeqCst))),
    )
}

/// Returns a time as in a query.
fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn minutes_ago(minutes: i64) -> String {
    stamp(noon() - TimeDelta::minutes(minutes))
}

/// Returns records of an API, a minute apart, the last one a minute before noon.
fn minutes(api: Api, count: i64) -> Vec<Event> {
    (1..=count)
        .rev()
        .map(|age| Event::minimal(api, noon() - TimeDelta::minutes(age), format!("id-{age}")))
        .collect()
}

/// Returns where an API puts its records, and the id of one.
fn names(api: Api) -> (&'static str, &'static str) {
    match api {
        Api::Mail | Api::Disk => ("events", "/uniqId"),
        Api::Audit => ("items", "/event/idempotency_id"),
        Api::Port => ("audits", "/identifier"),
        Api::Tfc => ("data", "/id"),
    }
}

/// Returns the query that a service requires, to which more can be added.
fn required(api: Api) -> &'static str {
    match api {
        Api::Audit => "started_at=2000-01-01T00:00:00Z&ended_at=2100-01-01T00:00:00Z&count=100&",
        Api::Mail | Api::Disk | Api::Port | Api::Tfc => "",
    }
}

/// Returns the ids in an answer, in order.
fn ids(api: Api, answer: &Value) -> Vec<String> {
    let (list, id) = names(api);
    answer[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record.pointer(id).and_then(Value::as_str).unwrap_or("none").to_owned())
        .collect()
}

/// Returns the ids that [`minutes`] gives the records of these ages.
fn aged(ages: impl IntoIterator<Item = i64>) -> Vec<String> {
    ages.into_iter().map(|age| format!("id-{age}")).collect()
}

/// Parses an answer, without what a parsed value cannot hold.
fn parse(text: &str) -> Value {
    serde_json::from_str(&text.replace(r#"\ud83d""#, r#"""#).replace("1e400", "0")).unwrap()
}

/// Returns the text between the brackets of the list in an answer.
fn list_text(answer: &str) -> &str {
    let start = answer.find('[').unwrap() + 1;
    let end = answer
        .find(r#"],"nextPageToken""#)
        .or(answer.find(r#"],"iteration_key""#))
        .or(answer.find(r#"],"pagination""#))
        .unwrap_or(answer.len() - 2);
    &answer[start..end]
}

/// Returns the texts of these events as in one answer.
fn joined<'a>(newest_first: impl IntoIterator<Item = &'a Event>) -> String {
    newest_first
        .into_iter()
        .map(|event| event.text.as_str())
        .collect::<Vec<_>>()
        .join(",")
}

/// A client, and the header for each API.
struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    fn new(sandbox: &Sandbox) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: client(),
            url: sandbox.url(),
        }
    }

    fn request(&self, api: Api, query: &str) -> reqwest::RequestBuilder {
        let path = match api {
            Api::Mail => "/security/v1/org/1000001/audit_log/mail",
            Api::Disk => "/security/v1/org/1000001/audit_log/disk",
            Api::Audit => "/v1/auditlog/organizations/1000001/events",
            Api::Port => "/v1/audit-log",
            Api::Tfc => "/api/v2/organization/audit-trail",
        };
        self.http.get(format!("{}{path}?{}{query}", self.url, required(api)))
    }

    async fn send(&self, api: Api, query: &str) -> reqwest::Result<reqwest::Response> {
        let authorization = match api {
            Api::Mail | Api::Disk | Api::Audit => format!("OAuth {}", yandex::OAUTH_TOKEN),
            Api::Port => format!("Bearer {}", port::API_TOKEN),
            Api::Tfc => format!("Bearer {}", terraform::ORGANIZATION_TOKEN),
        };
        self.request(api, query)
            .header("authorization", authorization)
            .send()
            .await
    }

    async fn text(&self, api: Api, query: &str) -> (u16, String) {
        let answer = self.send(api, query).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn ids(&self, api: Api, query: &str) -> Vec<String> {
        ids(api, &self.ok(api, query).await)
    }

    async fn mint(&self, secret: &str) -> (u16, Value) {
        let body = format!(r#"{{"clientId":"{}","clientSecret":"{secret}"}}"#, port::CLIENT_ID);
        let answer = self
            .http
            .post(format!("{}/v1/auth/access_token", self.url))
            .body(body)
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
        )
    }

    async fn status_with_port_token(&self, token: &str) -> u16 {
        let request = self
            .request(Api::Port, "")
            .header("authorization", format!("Bearer {token}"));
        request.send().await.unwrap().status().as_u16()
    }

    async fn ok(&self, api: Api, query: &str) -> Value {
        let (status, text) = self.text(api, query).await;
        assert_eq!(status, 200, "{text}");
        parse(&text)
    }
}

#[tokio::test]
async fn every_api_gives_its_newest_record_first() {
    let options = Api::ALL
        .into_iter()
        .fold(options(), |options, api| options.give(api, minutes(api, 3)));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    for api in Api::ALL {
        assert_eq!(client.ids(api, "").await, aged([1, 2, 3]), "{api:?}");
    }
}

#[tokio::test]
async fn a_walk_over_the_tokens_of_yandex_gives_the_text_of_every_record_once() {
    let sandbox = Sandbox::start(Options::new(Arc::new(noon)).records(530)).await.unwrap();
    let client = Client::new(&sandbox);
    for (api, second) in [(Api::Mail, "100_0"), (Api::Disk, "100")] {
        let (mut token, mut texts, mut tokens) = (String::new(), Vec::new(), Vec::new());
        let mut round = at_most(1_000);
        loop {
            round();
            let (_, text) = client.text(api, &format!("pageSize=100&pageToken={token}")).await;
            texts.push(list_text(&text).to_owned());
            let page = parse(&text);
            token = page["nextPageToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
            tokens.push(token.clone());
        }
        assert_eq!((tokens.len(), tokens[0].as_str()), (5, second));
        assert_eq!(texts.join(","), joined(sandbox.events(api).iter().rev()));
    }
}

#[tokio::test]
async fn the_pages_of_terraform_give_the_text_of_every_record_once() {
    let sandbox = Sandbox::start(Options::new(Arc::new(noon)).records(250)).await.unwrap();
    let client = Client::new(&sandbox);
    let mut texts = Vec::new();
    for number in 1..=3 {
        let (_, text) = client
            .text(Api::Tfc, &format!("page%5Bnumber%5D={number}&page%5Bsize%5D=100"))
            .await;
        texts.push(list_text(&text).to_owned());
        let page = parse(&text);
        assert_eq!(page["pagination"]["total_pages"], 3);
        assert_eq!(page["pagination"]["total_count"], 250);
        assert_eq!(page["pagination"]["current_page"], number);
        assert_eq!(
            page["pagination"]["next_page"].as_i64(),
            (number < 3).then_some(number + 1)
        );
        assert_eq!(
            page["pagination"]["prev_page"].as_i64(),
            (number > 1).then(|| number - 1)
        );
    }
    assert_eq!(texts.join(","), joined(sandbox.events(Api::Tfc).iter().rev()));
}

#[tokio::test]
async fn port_silently_leaves_the_oldest_records_out_of_an_answer() {
    let sandbox = Sandbox::start(options().give(Api::Port, minutes(Api::Port, 30)))
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    let (status, text) = client.text(Api::Port, "limit=10").await;
    assert_eq!(status, 200);
    assert_eq!(
        text,
        format!(
            r#"{{"ok":true,"audits":[{}]}}"#,
            joined(sandbox.events(Api::Port)[20..].iter().rev())
        )
    );
    assert_eq!(
        client.ids(Api::Port, &format!("limit=10&to={}", minutes_ago(10))).await,
        aged(10..20)
    );
}

#[tokio::test]
async fn the_cap_of_the_service_limits_the_page_that_is_asked_for() {
    let mut options = options();
    for api in [Api::Port, Api::Tfc] {
        options = options.give(api, minutes(api, 30));
        options[api].page_cap = Some(7);
    }
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(client.ids(Api::Port, "limit=20").await, aged(1..8));
    assert_eq!(client.ids(Api::Tfc, "page%5Bsize%5D=20").await, aged(1..8));
}

#[tokio::test]
async fn bounds_are_included_as_the_options_say() {
    for (includes_from, includes_to) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut options = options();
        for api in [Api::Mail, Api::Port] {
            options = options.give(api, minutes(api, 5));
            (options[api].includes_from, options[api].includes_to) = (includes_from, includes_to);
        }
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = Client::new(&sandbox);
        let expected = aged(if includes_to { 2 } else { 3 }..if includes_from { 5 } else { 4 });
        for (api, from, to) in [(Api::Mail, "afterDate", "beforeDate"), (Api::Port, "from", "to")] {
            let query = format!("{from}={}&{to}={}", minutes_ago(4), minutes_ago(2));
            assert_eq!(client.ids(api, &query).await, expected, "{api:?}");
        }
    }
}

#[tokio::test]
async fn since_is_exclusive_unless_told_otherwise() {
    let mut options = options().give(Api::Tfc, minutes(Api::Tfc, 5));
    let query = format!("since={}", minutes_ago(3));
    let exclusive = Sandbox::start(options.clone()).await.unwrap();
    assert_eq!(Client::new(&exclusive).ids(Api::Tfc, &query).await, aged(1..3));
    options[Api::Tfc].includes_from = true;
    let inclusive = Sandbox::start(options).await.unwrap();
    assert_eq!(Client::new(&inclusive).ids(Api::Tfc, &query).await, aged(1..4));
}

#[tokio::test]
async fn times_are_read_with_offsets_and_up_to_six_fraction_digits() {
    let sandbox = Sandbox::start(options().give(Api::Mail, minutes(Api::Mail, 5)))
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    for time in [
        "2025-06-10T11:58:00Z",
        "2025-06-10T14:58:00.0%2B03:00",
        "2025-06-10T11:58:00.000000Z",
    ] {
        assert_eq!(
            client.ids(Api::Mail, &format!("afterDate={time}")).await,
            aged([1, 2]),
            "{time}"
        );
    }
    for time in [
        "2025-06-10T11:58:00.0000000Z",
        "2025-06-10T14:58:00+03:00",
        "2025-06-10",
        "yesterday",
    ] {
        assert_eq!(
            client.text(Api::Mail, &format!("afterDate={time}")).await.0,
            400,
            "{time}"
        );
    }
}

#[tokio::test]
async fn an_empty_window_of_yandex_is_answered_like_the_sample() {
    let mut options = options();
    options[Api::Disk].null_events = true;
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    let empty = include_str!("../../samples/yandex-mail/empty.json");
    assert_eq!(client.text(Api::Mail, "").await, (200, empty.to_owned()));
    let null = include_str!("../../samples/yandex-disk/null-events.json");
    assert_eq!(client.text(Api::Disk, "").await, (200, null.to_owned()));
}

#[tokio::test]
async fn a_walk_can_end_without_a_token_or_with_one_more_page() {
    for last_page in [LastPage::NoToken, LastPage::TokenThenEmpty] {
        let mut options = options().give(Api::Mail, minutes(Api::Mail, 2));
        options[Api::Mail].last_page = last_page;
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = Client::new(&sandbox);
        let page = client.ok(Api::Mail, "").await;
        let end = client.ok(Api::Mail, "pageToken=2_0").await;
        assert_eq!(
            page.get("nextPageToken").is_some(),
            last_page == LastPage::TokenThenEmpty
        );
        assert_eq!(
            end.get("nextPageToken").and_then(Value::as_str),
            (last_page != LastPage::NoToken).then_some("")
        );
        assert!(ids(Api::Mail, &end).is_empty());
    }
}

#[tokio::test]
async fn empty_pages_can_stand_between_the_others() {
    let mut options = options().give(Api::Disk, minutes(Api::Disk, 3));
    options[Api::Disk].empty_pages = true;
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    let (mut token, mut sizes) = (String::new(), Vec::new());
    let mut round = at_most(1_000);
    while sizes.is_empty() || !token.is_empty() {
        round();
        let page = client.ok(Api::Disk, &format!("pageSize=1&pageToken={token}")).await;
        sizes.push(ids(Api::Disk, &page).len());
        token = page["nextPageToken"].as_str().unwrap().to_owned();
    }
    assert_eq!(sizes, [1, 0, 1, 0, 1]);
}

#[tokio::test]
async fn the_records_of_a_page_can_be_shuffled() {
    let mut options = options();
    for api in Api::ALL {
        options = options.give(api, minutes(api, 20));
        options[api].unsorted = true;
    }
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    for (api, query) in [
        (Api::Mail, "pageSize=10"),
        (Api::Port, "limit=10"),
        (Api::Tfc, "page%5Bsize%5D=10"),
    ] {
        let ids = client.ids(api, query).await;
        assert_ne!(ids, aged(1..11));
        assert_eq!(
            ids.into_iter().collect::<HashSet<_>>(),
            aged(1..11).into_iter().collect()
        );
    }
}

#[tokio::test]
async fn yandex_refuses_what_it_does_not_know() {
    let mut options = options().give(Api::Mail, minutes(Api::Mail, 5));
    options[Api::Mail].deepest_offset = Some(2);
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(client.text(Api::Mail, "pageSize=2&pageToken=2_0").await.0, 200);
    for query in [
        "pageSize=101",
        "pageSize=0",
        "pageToken=x",
        "pageToken=3_0",
        "limit=5",
        "beforeDate=now",
    ] {
        let (status, text) = client.text(Api::Mail, query).await;
        assert_eq!(status, 400, "{query}");
        assert!(text.starts_with(r#"{"code":3,"message":""#), "{text}");
    }
    assert_eq!(client.text(Api::Disk, "types=fs-rm").await.0, 400);
}

#[tokio::test]
async fn a_wrong_token_or_organization_gets_the_error_body_of_its_vendor() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let client = Client::new(&sandbox);
    for (api, sample) in [
        (
            Api::Mail,
            include_str!("../../samples/yandex-mail/error-unauthorized.json"),
        ),
        (
            Api::Disk,
            include_str!("../../samples/yandex-disk/error-unauthorized.json"),
        ),
        (
            Api::Audit,
            include_str!("../../samples/yandex-audit/error-unauthorized.json"),
        ),
        (Api::Port, include_str!("../../samples/port/error-unauthorized.json")),
        (Api::Tfc, include_str!("../../samples/tfc/error-unauthorized.json")),
    ] {
        for request in [
            client.request(api, ""),
            client.request(api, "").header("authorization", "OAuth wrong"),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401);
            assert_eq!(answer.text().await.unwrap(), sample);
        }
    }
    for (path, sample) in [
        (
            "security/v1/org/7/audit_log/mail",
            include_str!("../../samples/yandex-mail/error-not-found.json"),
        ),
        (
            "v1/auditlog/organizations/7/events",
            include_str!("../../samples/yandex-audit/error-not-found.json"),
        ),
    ] {
        let request = client
            .http
            .get(format!("{}/{path}", sandbox.url()))
            .header("authorization", format!("OAuth {}", yandex::OAUTH_TOKEN));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.text().await.unwrap(), sample);
    }
}

#[tokio::test]
async fn each_organization_has_records_of_its_own_for_its_own_token() {
    let sandbox = Sandbox::start(Options::new(Arc::new(noon)).still(20)).await.unwrap();
    let client = Client::new(&sandbox);
    let ask = async |token: &str, organization: u64| {
        let path = format!("security/v1/org/{organization}/audit_log/mail");
        let request = client
            .http
            .get(format!("{}/{path}", sandbox.url()))
            .header("authorization", format!("OAuth {}{token}", yandex::OAUTH_TOKEN));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (first, seventh) = (ask("", 1_000_001).await, ask("~7", 1_000_008).await);
    assert_eq!((first.0, seventh.0), (200, 200));
    assert_eq!(ids(Api::Mail, &parse(&seventh.1)).len(), 20);
    assert_ne!(first.1, seventh.1);
    assert_eq!(ask("~7", 1_000_008).await, seventh);
    for (token, organization) in [("~7", 1_000_001), ("", 1_000_008), ("~8", 1_000_008)] {
        assert_eq!(ask(token, organization).await.0, 404);
    }
    let of_feed = client.request(Api::Tfc, "").header("authorization", "Bearer wrong~7");
    assert_eq!(of_feed.send().await.unwrap().status(), 401);
}

/// Returns the ids of every page of the unified log, walked by its keys.
async fn walk_unified_log(client: &Client, size: usize) -> Vec<Vec<String>> {
    let query = format!("started_at=2025-01-01T00:00:00Z&ended_at=2025-06-10T12:00:00Z&count={size}");
    let (mut key, mut pages) = (String::new(), Vec::new());
    let mut round = at_most(1_000);
    loop {
        round();
        let url = format!("{}/v1/auditlog/organizations/1000001/events?{query}{key}", client.url);
        let authorization = format!("OAuth {}", yandex::OAUTH_TOKEN);
        let request = client.http.get(url).header("authorization", authorization);
        let page = parse(&request.send().await.unwrap().text().await.unwrap());
        pages.push(ids(Api::Audit, &page));
        match page["iteration_key"].as_str() {
            Some(next) if !next.is_empty() => {
                let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                key = format!("&iteration_key={encoded}");
            }
            _ => return pages,
        }
    }
}

#[tokio::test]
async fn the_unified_log_comes_in_any_order_with_every_record_once() {
    for sequence in [Sequence::NewestFirst, Sequence::OldestFirst, Sequence::Shuffled] {
        for last_page in [
            LastPage::NullToken,
            LastPage::EmptyToken,
            LastPage::NoToken,
            LastPage::TokenThenEmpty,
        ] {
            let mut options = options().give(Api::Audit, minutes(Api::Audit, 45));
            options[Api::Audit].sequence = sequence;
            options[Api::Audit].last_page = last_page;
            options[Api::Audit].empty_pages = last_page == LastPage::NoToken;
            let sandbox = Sandbox::start(options).await.unwrap();
            let walked = walk_unified_log(&Client::new(&sandbox), 10).await.concat();
            match sequence {
                Sequence::NewestFirst => assert_eq!(walked, aged(1..46)),
                Sequence::OldestFirst => assert_eq!(walked, aged((1..46).rev())),
                Sequence::Shuffled => assert!(walked[..10].iter().any(|id| !aged(1..25).contains(id))),
            }
            let distinct: HashSet<_> = walked.iter().cloned().collect();
            assert_eq!((walked.len(), distinct), (45, aged(1..46).into_iter().collect()));
        }
    }
}

#[tokio::test]
async fn the_unified_log_refuses_what_it_does_not_know_and_what_is_missing() {
    let sandbox = Sandbox::start(options().give(Api::Audit, minutes(Api::Audit, 5)))
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(client.text(Api::Audit, "types=a").await.0, 200);
    let unencoded = "iteration_key=2+/=";
    for query in ["limit=5", "iteration_key=x", unencoded, "include_uids=1&exclude_uids=2"] {
        assert_eq!(client.text(Api::Audit, query).await.0, 400, "{query}");
    }
    let sample = include_str!("../../samples/yandex-audit/error-invalid.json");
    let all = [
        "started_at=2025-01-01T00:00:00Z",
        "ended_at=2025-06-10T12:00:00Z",
        "count=100",
    ];
    for missing in 0..all.len() {
        let query: Vec<_> = (0..all.len())
            .filter(|index| *index != missing)
            .map(|index| all[index])
            .collect();
        let url = format!(
            "{}/v1/auditlog/organizations/1000001/events?{}",
            client.url,
            query.join("&")
        );
        let authorization = format!("OAuth {}", yandex::OAUTH_TOKEN);
        let answer = client
            .http
            .get(url)
            .header("authorization", authorization)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400);
        let text = answer.text().await.unwrap();
        assert!(missing < 2 || text == sample, "{text}");
    }
}

#[tokio::test]
async fn the_filters_of_the_unified_log_keep_and_drop_records() {
    let sandbox = Sandbox::start(options().give(Api::Audit, samples(Api::Audit).unwrap()))
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    for (query, count) in [
        ("types=id_cookie.set,messenger_chat.created", 2),
        ("include_uids=1130000000000002,1130000000000003", 6),
        ("exclude_uids=1130000000000001,0", 6),
        ("ip=192.0.2.9", 1),
        ("service=Api", 1),
        ("service=Api&ip=192.0.2.9", 0),
    ] {
        assert_eq!(client.ids(Api::Audit, query).await.len(), count, "{query}");
    }
}

#[tokio::test]
async fn the_filters_of_yandex_keep_and_drop_records() {
    let sandbox = Sandbox::start(Options::new(Arc::new(noon)).records(300)).await.unwrap();
    let client = Client::new(&sandbox);
    let kinds = client.ok(Api::Mail, "types=mailbox_send&types=message_copy").await;
    let uids = client
        .ok(Api::Disk, "includeUids=1130000000000001&includeUids=1130000000000002")
        .await;
    let others = client.ok(Api::Disk, "excludeUids=1130000000000001").await;
    let values = |answer: &Value, key: &str| -> HashSet<String> {
        answer["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event[key].as_str().unwrap().to_owned())
            .collect()
    };
    let set = |items: [&str; 2]| items.map(str::to_owned).into_iter().collect::<HashSet<_>>();
    assert_eq!(values(&kinds, "eventType"), set(["mailbox_send", "message_copy"]));
    assert_eq!(values(&uids, "userUid"), set(["1130000000000001", "1130000000000002"]));
    assert_eq!(
        values(&others, "userUid"),
        set(["1130000000000002", "1130000000000003"])
    );
}

#[tokio::test]
async fn port_filters_and_restricts_its_records() {
    let sandbox = Sandbox::start(options().give(Api::Port, samples(Api::Port).unwrap()))
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(client.ids(Api::Port, "action=DELETE").await, ["event_GH2680QIOEzwwNZ9"]);
    assert_eq!(
        client.ids(Api::Port, "entity=legacy&resources%5B%5D=entity").await,
        ["event_GH2680QIOEzwwNZ9"]
    );
    assert_eq!(client.ids(Api::Port, "resources=run&status=FAILURE").await, ["none"]);
    assert_eq!(client.ids(Api::Port, "action=DELETE&status=FAILURE").await, [""; 0]);
    let (_, restricted) = client
        .text(
            Api::Port,
            "action=TIMER_EXPIRED&includes%5B%5D=trigger&includes%5B%5D=action",
        )
        .await;
    let expected = r#"{"action":"TIMER_EXPIRED","trigger":{"at":"2025-06-09T14:00:00.000+02:00","by":{"orgId":"org_1"},"origin":"API"}}"#;
    assert_eq!(list_text(&restricted), expected);
    assert_eq!(client.text(Api::Port, "page=2").await.0, 400);
}

#[tokio::test]
async fn windows_that_are_too_wide_time_out() {
    let mut options = options()
        .give(Api::Port, minutes(Api::Port, 5))
        .give(Api::Mail, minutes(Api::Mail, 5));
    options[Api::Port].widest_window = Some(TimeDelta::minutes(3));
    options[Api::Mail].widest_window = Some(TimeDelta::minutes(3));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(
        client.ids(Api::Port, &format!("from={}", minutes_ago(3))).await,
        aged(1..4)
    );
    let timed_out = (504, include_str!("../../samples/port/error-504.html").to_owned());
    assert_eq!(
        client.text(Api::Port, &format!("from={}", minutes_ago(4))).await,
        timed_out
    );
    assert_eq!(client.text(Api::Port, "").await, timed_out);
    assert_eq!(
        client.text(Api::Mail, &format!("afterDate={}", minutes_ago(4))).await.0,
        504
    );
}

#[tokio::test]
async fn a_minted_port_token_stays_the_same_until_it_ends() {
    let (seconds, clock) = settable_clock();
    let sandbox = Sandbox::start(Options::empty(clock)).await.unwrap();
    let client = Client::new(&sandbox);
    let (status, first) = client.mint(port::CLIENT_SECRET).await;
    assert_eq!(status, 200);
    assert_eq!(
        first,
        serde_json::from_str::<Value>(include_str!("../../samples/port/token.json")).unwrap()
    );
    assert_eq!(client.status_with_port_token("sandbox-minted-1").await, 200);

    seconds.store(10_000, Ordering::SeqCst);
    let (_, again) = client.mint(port::CLIENT_SECRET).await;
    assert_eq!(
        (&again["accessToken"], &again["expiresIn"]),
        (&first["accessToken"], &Value::from(800))
    );

    seconds.store(10_800, Ordering::SeqCst);
    assert_eq!(client.status_with_port_token("sandbox-minted-1").await, 401);
    let (_, second) = client.mint(port::CLIENT_SECRET).await;
    assert_eq!(
        (&second["accessToken"], &second["expiresIn"]),
        (&"sandbox-minted-2".into(), &10_800.into())
    );
    assert_eq!(client.status_with_port_token("sandbox-minted-2").await, 200);
}

#[tokio::test]
async fn a_port_token_can_be_refused_or_end_early() {
    let options = options().step(Step::at(Api::Port, 1, Action::EndPortToken));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    let (status, refusal) = client.mint("wrong").await;
    assert_eq!(status, 401);
    let sample: Value = serde_json::from_str(include_str!("../../samples/port/error-bad-login.json")).unwrap();
    assert_eq!(refusal, sample);
    client.mint(port::CLIENT_SECRET).await;
    assert_eq!(client.status_with_port_token("sandbox-minted-1").await, 401);
    client.mint(port::CLIENT_SECRET).await;
    assert_eq!(client.status_with_port_token("sandbox-minted-2").await, 200);
    assert_eq!(client.status_with_port_token(port::API_TOKEN).await, 200);
}

#[tokio::test]
async fn terraform_ignores_a_plain_page_and_answers_after_the_last_one() {
    let sandbox = Sandbox::start(options().give(Api::Tfc, minutes(Api::Tfc, 38)))
        .await
        .unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(client.ids(Api::Tfc, "page=2&page%5Bsize%5D=5").await, aged(1..6));
    let (_, behind) = client.text(Api::Tfc, "page%5Bnumber%5D=9&page%5Bsize%5D=5").await;
    assert_eq!(behind, include_str!("../../samples/tfc/behind-the-last-page.json"));
    assert_eq!(
        client.text(Api::Tfc, "since=2999-01-01T00:00:00Z").await.1,
        include_str!("../../samples/tfc/empty.json")
    );
    assert_eq!(client.text(Api::Tfc, "since=never").await.0, 400);
}

#[tokio::test]
async fn brackets_that_are_not_percent_encoded_are_refused() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(sandbox.addr()).await.unwrap();
    let token = terraform::ORGANIZATION_TOKEN;
    let head = format!(
        "GET /api/v2/organization/audit-trail?page[number]=2 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    assert!(exchange(&mut socket, &head).await.starts_with("HTTP/1.1 400"));
}

/// Sends a request over a socket and reads the start of the answer.
async fn exchange(socket: &mut tokio::net::TcpStream, request: &str) -> String {
    let exchanged = async {
        let mut sent = 0;
        while sent < request.len() {
            socket.writable().await.unwrap();
            sent += socket.try_write(&request.as_bytes()[sent..]).unwrap_or(0);
        }
        let mut buffer = [0; 512];
        loop {
            socket.readable().await.unwrap();
            if let Ok(length) = socket.try_read(&mut buffer) {
                return String::from_utf8_lossy(&buffer[..length]).into_owned();
            }
        }
    };
    in_time("an answer", exchanged).await
}

#[tokio::test]
async fn retention_drops_records_at_the_far_end_as_time_goes_by() {
    let (seconds, clock) = settable_clock();
    let mut options = Options::empty(clock);
    for api in Api::ALL {
        options = options.give(api, minutes(api, 5));
        options[api].retention = Some(TimeDelta::minutes(4));
    }
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    for api in Api::ALL {
        seconds.store(0, Ordering::SeqCst);
        assert_eq!(client.ids(api, "").await, aged(1..5), "{api:?}");
        seconds.store(121, Ordering::SeqCst);
        assert_eq!(client.ids(api, "").await, aged(1..2), "{api:?}");
    }
    assert_eq!(client.ok(Api::Tfc, "").await["pagination"]["total_count"], 1);
}

#[tokio::test]
async fn more_requests_than_the_limit_are_answered_with_429() {
    let mut options = options();
    for api in Api::ALL {
        options[api].rate_limit = Some(1);
    }
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    for api in Api::ALL {
        let mut round = at_most(1_000);
        let answer = loop {
            round();
            let answer = client.send(api, "").await.unwrap();
            if answer.status() != 200 {
                break answer;
            }
        };
        assert_eq!(answer.status(), 429);
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (after, reset) = (header("retry-after"), header("x-ratelimit-reset"));
        match api {
            Api::Mail | Api::Disk | Api::Audit => assert_eq!((after.as_deref(), reset), (Some("1"), None)),
            Api::Port => assert_eq!(reset, Some((noon().timestamp() + 1).to_string())),
            Api::Tfc => {
                let reset = reset.unwrap();
                assert!(
                    reset.contains('.') && (0.0..=1.0).contains(&reset.parse::<f64>().unwrap()),
                    "{reset}"
                );
            }
        }
        if api == Api::Tfc {
            let sample = include_str!("../../samples/tfc/error-too-many-requests.json");
            assert_eq!(answer.text().await.unwrap(), sample);
        }
    }
}

#[tokio::test]
async fn records_that_arrive_and_leave_during_a_walk_shift_the_pages() {
    let late = Event::minimal(Api::Mail, noon() - TimeDelta::seconds(90), "late");
    let newest = Event::minimal(Api::Tfc, noon(), "newest");
    let options = options()
        .give(Api::Mail, minutes(Api::Mail, 6))
        .give(Api::Tfc, minutes(Api::Tfc, 6))
        .step(Step::at(Api::Mail, 2, Action::Add(Api::Mail, vec![late])))
        .step(Step::at(Api::Tfc, 2, Action::Add(Api::Tfc, vec![newest])))
        .step(Step::at(Api::Tfc, 2, Action::DropOldest(Api::Tfc, 3)));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    assert_eq!(client.ids(Api::Mail, "pageSize=3").await, aged([1, 2, 3]));
    assert_eq!(client.ids(Api::Mail, "pageSize=3&pageToken=3_0").await, aged([3, 4, 5]));
    assert_eq!(client.ids(Api::Mail, "pageSize=3").await, ["id-1", "late", "id-2"]);
    assert_eq!(
        client.ok(Api::Tfc, "page%5Bsize%5D=3").await["pagination"]["total_pages"],
        2
    );
    assert_eq!(
        client.ids(Api::Tfc, "page%5Bsize%5D=3&page%5Bnumber%5D=2").await,
        aged([3])
    );
}

#[tokio::test]
async fn the_script_gives_other_answers_at_the_requests_it_names() {
    let busy = Answer::json(503, "{}").with("Retry-After", 7);
    let options = options()
        .give(Api::Mail, minutes(Api::Mail, 1))
        .step(Step::new(When::Requests(Api::Mail, 1..=2), Action::Answer(busy)))
        .step(Step::at(Api::Mail, 3, Action::ContentType("text/plain".into())))
        .step(Step::at(Api::Mail, 4, Action::Truncate(12)))
        .step(Step::new(
            When::Mints(1..=1),
            Action::Answer(Answer::html(502, "Bad Gateway")),
        ))
        .step(Step::new(
            When::Picked(Arc::new(|seen| seen.path_and_query.contains("types="))),
            Action::Answer(Answer::json(403, "no")),
        ));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    for _ in 0..2 {
        let answer = client.send(Api::Mail, "").await.unwrap();
        assert_eq!(
            (
                answer.status().as_u16(),
                answer.headers()["retry-after"].to_str().unwrap()
            ),
            (503, "7")
        );
    }
    assert_eq!(
        client.send(Api::Mail, "").await.unwrap().headers()["content-type"],
        "text/plain"
    );
    assert_eq!(client.text(Api::Mail, "").await, (200, r#"{"events":[{"#.to_owned()));
    assert_eq!(
        client.text(Api::Mail, "types=mailbox_send").await,
        (403, "no".to_owned())
    );
    assert_eq!(client.ids(Api::Mail, "").await, aged([1]));
    let answer = client
        .http
        .post(format!("{}/v1/auth/access_token", sandbox.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 502);
    assert_eq!(client.mint(port::CLIENT_SECRET).await.0, 200);
}

#[tokio::test]
async fn a_connection_can_be_closed_before_the_answer_and_inside_it() {
    let options = options()
        .give(Api::Mail, minutes(Api::Mail, 50))
        .step(Step::at(Api::Mail, 1, Action::Close))
        .step(Step::at(Api::Mail, 2, Action::CutBody(100)))
        .step(Step::at(Api::Mail, 3, Action::Drip(1000, Duration::from_millis(1))))
        .step(Step::at(Api::Mail, 4, Action::Wait(Duration::from_millis(1))));
    let sandbox = Sandbox::start(options).await.unwrap();
    let client = Client::new(&sandbox);
    assert!(client.send(Api::Mail, "").await.unwrap_err().is_request());
    let mut cut = client.send(Api::Mail, "").await.unwrap();
    assert!(cut.content_length().unwrap() > 100);
    assert_eq!(cut.chunk().await.unwrap().unwrap().len(), 100);
    assert!(cut.chunk().await.is_err());
    assert_eq!(client.ids(Api::Mail, "").await, aged(1..51));
    assert_eq!(client.ids(Api::Mail, "").await, aged(1..51));
    assert_eq!(sandbox.request_count(Api::Mail), 4);
}

#[tokio::test]
async fn the_log_of_requests_holds_what_was_asked() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let client = Client::new(&sandbox);
    client.text(Api::Port, "limit=5").await;
    client.mint(port::CLIENT_SECRET).await;
    client
        .http
        .get(format!("{}/elsewhere", sandbox.url()))
        .send()
        .await
        .unwrap();
    let seen: Vec<_> = sandbox
        .requests()
        .into_iter()
        .map(|seen| {
            (
                seen.api,
                seen.is_mint,
                seen.number,
                seen.path_and_query,
                seen.authorization_present,
                seen.at,
            )
        })
        .collect();
    let expected = [
        (
            Some(Api::Port),
            false,
            1,
            "/v1/audit-log?limit=5".to_owned(),
            true,
            noon(),
        ),
        (
            Some(Api::Port),
            true,
            1,
            "/v1/auth/access_token".to_owned(),
            false,
            noon(),
        ),
        (None, false, 1, "/elsewhere".to_owned(), false, noon()),
    ];
    assert_eq!(seen, expected);
    assert_eq!(sandbox.request_count(Api::Port), 1);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_records_and_another_seed_others() {
    let events = async |seed| {
        let options = Options {
            seed,
            ..Options::new(Arc::new(noon)).records(200)
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        Api::ALL.map(|api| sandbox.events(api))
    };
    let (first, again, other) = (events(1).await, events(1).await, events(2).await);
    assert_eq!(first, again);
    for (first, other) in first.iter().flatten().zip(other.iter().flatten()) {
        assert_ne!(first, other);
    }
}

#[tokio::test]
async fn generated_records_are_spread_over_the_retention_with_bursts_and_unique_ids() {
    let sandbox = Sandbox::start(Options::new(Arc::new(noon)).records(3000))
        .await
        .unwrap();
    for api in Api::ALL {
        let events = sandbox.events(api);
        assert_eq!(events.len(), 3000);
        assert_eq!(events.iter().map(|event| &event.id).collect::<HashSet<_>>().len(), 3000);
        assert!(
            events
                .iter()
                .all(|event| event.time <= noon() && event.time > noon() - api.retention())
        );
        assert!(events[0].time < noon() - api.retention() * 9 / 10);
        let recent = events
            .iter()
            .filter(|event| event.time > noon() - api.retention() / 4)
            .count();
        assert!((1300..1700).contains(&recent), "{recent}");
        let burst = events
            .chunk_by(|a, b| a.time == b.time)
            .map(<[Event]>::len)
            .max()
            .unwrap();
        assert!(burst >= 12, "{burst}");
        for event in &events {
            let record = parse(&event.text);
            let time = match api {
                Api::Mail | Api::Disk => &record["date"],
                Api::Audit => &record["event"]["occurred_at"],
                Api::Port => &record["trigger"]["at"],
                Api::Tfc => &record["timestamp"],
            };
            assert_eq!(
                DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap(),
                event.time
            );
            assert!(event.text.contains(&event.id) && !event.text.contains('\n'));
        }
    }
}

#[tokio::test]
async fn generated_records_hold_the_oddities_of_the_samples() {
    let sandbox = Sandbox::start(Options::new(Arc::new(noon)).records(500)).await.unwrap();
    for (api, oddities) in [
        (
            Api::Mail,
            &[r"\ud83d", r"\/", r"\u0000", r#"\"quoted\""#, "План", r"\ud83d\ude00"][..],
        ),
        (Api::Disk, &["папка \"", r"\/disk\/", r"\n.jpg", r"\u2028"]),
        (
            Api::Audit,
            &[
                "+00:00\"",
                "+03:00\"",
                "+05:30\"",
                r"\ud83d",
                r"p\/2",
                r"\u0000",
                "1e400",
                "18446744073709551616",
                "佐藤",
            ],
        ),
        (
            Api::Port,
            &[
                "+02:00\"",
                "1.10",
                "1e400",
                "1234567890123456789012345678901234567890",
                "blueprintIdentifier",
            ],
        ),
        (
            Api::Tfc,
            &[
                r#""meta":null"#,
                r#""workspace":"b"#,
                r#""workspace":{"#,
                r#""request":{"id":null}"#,
            ],
        ),
    ] {
        let all = joined(&sandbox.events(api));
        for oddity in oddities {
            assert!(all.contains(oddity), "{api:?} {oddity}");
        }
    }
    let zero_fraction = |event: &Event| {
        event
            .text
            .contains(&event.time.to_rfc3339_opts(SecondsFormat::Secs, true))
    };
    assert!(sandbox.events(Api::Mail).iter().any(zero_fraction));
    let digits = |event: &Event| {
        let time = event.text.split(r#""occurred_at":""#).nth(1).unwrap();
        let (_, rest) = time.split_at("2025-06-10T00:00:00".len());
        let fraction = rest.strip_prefix('.').unwrap_or_default();
        fraction.bytes().take_while(u8::is_ascii_digit).count()
    };
    let written: HashSet<_> = sandbox.events(Api::Audit).iter().map(digits).collect();
    assert_eq!(written, (0..=6).collect());
    assert!(
        sandbox
            .events(Api::Mail)
            .iter()
            .any(|event| event.id.parse::<u64>().unwrap() > i64::MAX as u64)
    );
}

#[tokio::test]
async fn new_records_appear_as_time_goes_by() {
    let (seconds, clock) = settable_clock();
    let sandbox = Sandbox::start(Options::new(clock).records(10)).await.unwrap();
    let before = Api::ALL.map(|api| sandbox.events(api));
    assert!(before.iter().all(|events| events.len() == 10));
    seconds.store(600, Ordering::SeqCst);
    for (api, before) in Api::ALL.into_iter().zip(before) {
        let after = sandbox.events(api);
        assert!((75..400).contains(&after.len()), "{}", after.len());
        assert!(before.iter().all(|event| after.contains(event)));
        assert!(after.is_sorted_by_key(|event| event.time));
        assert!(after.iter().all(|event| event.time <= noon() + TimeDelta::seconds(600)));
    }
}

#[tokio::test]
async fn a_running_sandbox_can_be_given_records_and_steps() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let client = Client::new(&sandbox);
    sandbox.add(Api::Tfc, minutes(Api::Tfc, 4));
    assert_eq!(client.ids(Api::Tfc, "").await, aged(1..5));
    sandbox.drop_oldest(Api::Tfc, 1);
    assert_eq!(client.ids(Api::Tfc, "").await, aged(1..4));
    sandbox.step(Step::always(Api::Tfc, Action::Answer(Answer::json(500, "{}"))));
    assert_eq!(client.text(Api::Tfc, "").await.0, 500);
}

#[tokio::test]
async fn a_stopped_sandbox_leaves_its_port_free() {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let listen = sandbox.addr();
    let taken = Sandbox::start(Options { listen, ..options() }).await;
    assert!(matches!(taken, Err(StartError::Listen { listen: address, .. }) if address == listen));
    sandbox.stop().await;
    Sandbox::start(Options { listen, ..options() }).await.unwrap();
}

#[test]
fn a_sandbox_can_run_without_the_runtime_of_its_caller() {
    let sandbox = Sandbox::start_on_thread(options().give(Api::Mail, minutes(Api::Mail, 2))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(Client::new(&sandbox).ids(Api::Mail, "")), aged([1, 2]));
}

#[tokio::test]
async fn its_variables_name_every_address_and_credential() {
    let mut options = options();
    let names = |sandbox: &Sandbox| {
        sandbox
            .variables()
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let sandbox = Sandbox::start(options.clone()).await.unwrap();
    let common = "YANDEX_API_URL OAUTH_TOKEN_ARG ORGANIZATION_ID_ARG YANDEX_CLOUD_API_URL PORT_API_URL";
    assert_eq!(
        names(&sandbox),
        format!("{common} PORT_API_TOKEN TFC_API_URL TFC_ORG_TOKEN")
    );
    assert_eq!(sandbox.variables()[0].1, format!("http://{}", sandbox.addr()));
    options.port_login = PortLogin::Client;
    let sandbox = Sandbox::start(options).await.unwrap();
    assert_eq!(
        names(&sandbox),
        format!("{common} PORT_CLIENT_ID PORT_CLIENT_SECRET TFC_API_URL TFC_ORG_TOKEN")
    );
}

/// Returns the path of a sample.
fn sample(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("samples")
        .join(name)
}

#[test]
fn the_sample_pages_hold_every_documented_event_type() {
    let kinds = |api: Api, key: &str| {
        let all = joined(&samples(api).unwrap());
        let marker = format!(r#""{key}":""#);
        all.split(&marker)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect::<HashSet<_>>()
    };
    let expected = |text: &str| text.split(' ').map(str::to_owned).collect::<HashSet<_>>();
    let mail = "mailbox_send message_receive message_seen message_unseen message_forward message_purge message_trash \
                message_spam message_unspam message_move message_copy message_answer";
    let disk = "fs-copy fs-mkdir fs-move fs-set-public fs-store fs-trash-append fs-trash-drop fs-trash-drop-all fs-rm \
                share-activate-invite share-change-rights share-change-invite-rights share-create-group share-invite-user";
    assert_eq!(kinds(Api::Mail, "eventType"), expected(mail));
    assert_eq!(kinds(Api::Disk, "eventType"), expected(disk));
    let audit = kinds(Api::Audit, "type");
    for family in ["id_", "telemost_", "messenger_", "ya360_b2bplatform_", "disk_"] {
        assert!(audit.iter().any(|kind| kind.starts_with(family)), "{family}");
    }
    assert!(kinds(Api::Port, "action").is_superset(&expected("CREATE UPDATE DELETE TIMER_EXPIRED")));
}

#[test]
fn sample_events_have_the_time_and_id_of_their_text() {
    let mail = samples(Api::Mail).unwrap();
    assert_eq!(mail.len(), 13);
    assert_eq!(mail[1].id, "9223372036854775809");
    assert_eq!(
        mail[7].time,
        "2025-06-08T23:59:59.999999999Z".parse::<DateTime<Utc>>().unwrap()
    );
    let port = samples(Api::Port).unwrap();
    assert_eq!(port[4].time, "2022-12-01T14:50:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(samples(Api::Tfc).unwrap()[4].id, "ae66e491-db59-457c-8445-9c908ee72605");
    for api in Api::ALL {
        assert!(
            samples(api)
                .unwrap()
                .is_sorted_by(|newer, older| newer.time >= older.time || api == Api::Mail)
        );
    }
}

#[test]
fn the_lines_of_the_python_catalog_are_records_of_the_sample_pages() {
    for (api, file, whole, torn) in [
        (Api::Mail, "mail_audit_2025-06-08.log", 6, false),
        (Api::Mail, "mail_audit_2025-06-09.log", 3, false),
        (Api::Disk, "disk_audit_2025-06-08.log", 7, false),
        (Api::Disk, "disk_audit_2025-06-09.log", 2, true),
    ] {
        let bytes = std::fs::read(sample("python-catalog").join(file)).unwrap();
        let lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        let records: Vec<Value> = samples(api)
            .unwrap()
            .iter()
            .filter_map(|event| serde_json::from_str(&event.text).ok())
            .collect();
        for line in &lines[..whole] {
            assert!(records.contains(&serde_json::from_slice(line).unwrap()), "{file}");
            assert!(line.ends_with(b"}\n"));
        }
        assert_eq!(lines.len(), whole + usize::from(torn), "{file}");
        assert_eq!(bytes.ends_with(b"\n"), !torn, "{file}");
    }
}

#[test]
fn every_sample_answer_is_json_that_the_readme_names() {
    let readme = std::fs::read_to_string(sample("README.md")).unwrap();
    for folder in Api::ALL.map(Api::name).into_iter().chain(["python-catalog"]) {
        for entry in std::fs::read_dir(sample(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(readme.contains(&format!("`{name}`")), "{name}");
            if name.ends_with(".json") {
                let text = std::fs::read_to_string(&path).unwrap();
                serde_json::from_str::<&serde_json::value::RawValue>(text.trim()).unwrap();
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client of its own, so that nothing of the collector tests the sandbox"
)]
fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

#[tokio::test]
async fn short_records_are_padded_with_words() {
    let options = Options {
        record_bytes: 700,
        ..Options::new(Arc::new(noon)).still(200)
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let events = sandbox.events(Api::Mail);
    assert!(events.iter().all(|event| event.text.len() >= 700));
    let padded: Vec<_> = events.iter().filter(|event| event.text.len() == 700).collect();
    assert!(!padded.is_empty());
    for event in padded {
        let json::Fields(fields) = serde_json::from_str(&event.text).unwrap();
        let (name, words) = fields.last().unwrap();
        assert_eq!(name, "padding");
        assert!(words.get().starts_with("\"the quick brown fox"), "{words}");
    }
}
