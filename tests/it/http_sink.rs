//! What an HTTP listener answers, and what of it confirms lines: real sockets, connections that stay open.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use trailkeeper::sandbox::Api;

use crate::follow::rounds_until;
use crate::forwarding::{Request, read_request};
use crate::support::certificates::{chain_of, pem};
use crate::support::{Catalog, events, serve};

/// What a listener answers.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer {
        status,
        content_type: "application/json; charset=UTF-8",
        body: body.to_string(),
    }
}

fn success() -> Answer {
    json_answer(200, &json!({"text": "Success", "code": 0}))
}

/// A listener that keeps its connections open, and counts them.
struct Collector {
    address: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    fn start(answer: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self {
            address: format!("http://{}/services/collector/event", socket.local_addr().unwrap()),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (collector.connections.clone(), collector.requests.clone());
        let answer = Arc::new(Mutex::new(answer));
        thread::spawn(move || {
            for stream in socket.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, requests) = (answer.clone(), requests.clone());
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    converse(stream, |request| {
                        requests.lock().unwrap().push(request.clone());
                        answer.lock().unwrap()(request)
                    });
                });
            }
        });
        collector
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many lines each request held.
    fn sizes(&self) -> Vec<usize> {
        let requests = self.requests();
        requests.iter().map(|request| request.body.lines().count()).collect()
    }
}

/// Answers the requests of a connection until it ends. The head and the body come apart, as from most servers.
fn converse(stream: impl Read + Write, answer: impl FnMut(&Request) -> Answer) {
    converse_so_often(usize::MAX, stream, answer);
}

/// The same, as long as there are no more than so many.
fn converse_so_often(requests: usize, stream: impl Read + Write, mut answer: impl FnMut(&Request) -> Answer) {
    let mut reader = BufReader::new(stream);
    for _ in 0..requests {
        let Some(request) = read_request(&mut reader) else {
            return;
        };
        let Answer {
            status,
            content_type,
            body,
        } = answer(&request);
        let head = format!(
            "HTTP/1.1 {status} \r\nContent-Type: {content_type}\r\nLocation: /login\r\nContent-Length: {}\r\n\r\n",
            if status == 204 { 0 } else { body.len() }
        );
        let stream = reader.get_mut();
        let written = stream.write_all(head.as_bytes());
        if status == 204 || written.and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            continue;
        }
    }
}

/// A catalog with ten lines of one stream, for this listener.
fn ten_lines(collector: &Collector, format: &str) -> Catalog {
    some_lines(10, collector, format)
}

fn some_lines(count: i64, collector: &Collector, format: &str) -> Catalog {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, count, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    catalog
        .with("HTTP_FORWARD_URL", &collector.address)
        .with("HTTP_FORWARD_FORMAT", format)
        .with("HTTP_FORWARD_TOKEN", "invented")
        .with("RETRY_DELAY_SECONDS", "0.01")
}

fn forward(catalog: &Catalog, code: i32) -> Value {
    let run = catalog.run(&["forward", "http", "--json", "--forward-from", "start"]);
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    assert!(!run.stderr.contains("invented"), "{}", run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    summary["streams"][0]["forward"][0].clone()
}

#[test]
fn requests_of_a_run_share_a_connection() {
    for (format, padding) in [("ndjson", 0), ("array", 30_000), ("splunk-hec", 30_000)] {
        let collector = Collector::start(move |_| Answer {
            body: format!("{}{}", success().body, " ".repeat(padding)),
            ..success()
        });
        let catalog = some_lines(300, &collector, format).with("HTTP_FORWARD_BATCH", 1);
        assert_eq!(forward(&catalog, 0)["sent"], 300, "{format}");
        assert_eq!(
            (collector.requests().len(), collector.connections()),
            (300, 1),
            "{format}"
        );
    }
}

#[test]
fn a_long_body_of_a_success_is_not_read_to_its_end_and_confirms_all_the_same() {
    let collector = Collector::start(|_| Answer {
        content_type: "text/plain",
        body: "ok".repeat(4 << 20),
        ..success()
    });
    let catalog = ten_lines(&collector, "array").with("HTTP_FORWARD_BATCH", 4);
    assert_eq!(forward(&catalog, 0)["sent"], 10);
    assert_eq!(collector.requests().len(), 3);
}

/// Answers each request with these bytes, and then closes the connection, or leaves it open without a word more.
fn answering(bytes: &'static str, closes: bool) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/services/collector/event", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in socket.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            if read_request(&mut reader).is_some() {
                reader.get_mut().write_all(bytes.as_bytes()).unwrap();
            }
            open.extend((!closes).then_some(reader));
        }
    });
    address
}

#[test]
fn a_page_whose_body_does_not_come_whole_is_a_page_all_the_same() {
    for (bytes, closes) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", false),
        ("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
            true,
        ),
    ] {
        let mut catalog = ten_lines(&Collector::start(|_| success()), "array");
        catalog.set("HTTP_FORWARD_URL", answering(bytes, closes));
        let summary = forward(&catalog, 3);
        assert_eq!(summary["waiting"], 10, "{bytes}");
        assert!(summary["error"].as_str().unwrap().contains("an HTML page"), "{summary}");
    }
}

#[test]
fn what_came_of_a_body_that_does_not_end_in_time_is_read() {
    let splunk = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"text\":\"Success\",\"code\":0}";
    let mut catalog = ten_lines(&Collector::start(|_| success()), "splunk-hec");
    catalog.set("HTTP_FORWARD_URL", answering(splunk, false));
    assert_eq!(forward(&catalog, 0)["sent"], 10);
}

/// Format, settings, answer, and what is said if it confirms nothing.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Answer,
    Option<&'static str>,
);

const PAGE: &str = "<html>Please log in</html>";
const EXPECT_JSON: &[(&str, &str)] = &[("HTTP_FORWARD_EXPECT_CONTENT_TYPE", "application/json")];
const EXPECT_PAGE: &[(&str, &str)] = &[("HTTP_FORWARD_EXPECT_CONTENT_TYPE", "text/html")];
const EXPECT_STATUS: &[(&str, &str)] = &[("HTTP_FORWARD_EXPECT_STATUS", "201, 202")];

fn answer(status: u16, content_type: &'static str, body: &str) -> Answer {
    Answer {
        status,
        content_type,
        body: body.to_owned(),
    }
}

fn assert_confirmed_or_not((format, settings, answer, refusal): Case) {
    let what = format!("{format} {settings:?} {answer:?}");
    let collector = Collector::start(move |_| answer.clone());
    let mut catalog = ten_lines(&collector, format);
    settings.iter().for_each(|(name, value)| catalog.set(name, value));
    let Some(refusal) = refusal else {
        assert_eq!(forward(&catalog, 0)["sent"], 10, "{what}");
        return;
    };
    let summary = forward(&catalog, 3);
    assert_eq!(
        (&summary["sent"], &summary["waiting"]),
        (&json!(0), &json!(10)),
        "{what}"
    );
    assert!(
        summary["error"].as_str().unwrap().contains(refusal),
        "{what}: {summary}"
    );
    assert_eq!(
        collector.requests().len(),
        1,
        "{what}: it is not sent again in the same run"
    );
}

#[test]
fn a_success_confirms_unless_it_is_a_page_or_not_what_is_expected() {
    let json = r#"{"ok":true}"#;
    let cases: [Case; 17] = [
        ("array", &[], answer(200, "text/plain", "ok"), None),
        ("array", &[], answer(200, "", "<ok/>"), None),
        ("array", &[], answer(200, "", PAGE), Some("an HTML page")),
        (
            "ndjson",
            &[],
            answer(200, "", "\u{feff}\n<!DOCTYPE Html><p>"),
            Some("an HTML page"),
        ),
        ("array", &[], answer(200, "", ""), None),
        ("array", &[], answer(202, "", ""), None),
        ("array", &[], answer(204, "", ""), None),
        ("array", &[], answer(200, "text/html", ""), None),
        (
            "array",
            &[],
            answer(200, "text/html; charset=utf-8", PAGE),
            Some("an HTML page"),
        ),
        ("ndjson", &[], answer(203, "Text/HTML", PAGE), Some("an HTML page")),
        (
            "ndjson",
            &[],
            answer(302, "text/html", PAGE),
            Some("redirects are not followed"),
        ),
        (
            "array",
            EXPECT_JSON,
            answer(200, "application/json;charset=utf-8", json),
            None,
        ),
        (
            "array",
            EXPECT_JSON,
            answer(200, "text/plain", "ok"),
            Some("`text/plain`"),
        ),
        ("array", EXPECT_JSON, answer(200, "", ""), Some("EXPECT_CONTENT_TYPE")),
        (
            "array",
            EXPECT_STATUS,
            answer(200, "text/plain", "ok"),
            Some("status 200"),
        ),
        ("array", EXPECT_STATUS, answer(202, "", ""), None),
        ("array", EXPECT_PAGE, answer(200, "text/html", PAGE), None),
    ];
    cases.into_iter().for_each(assert_confirmed_or_not);
}

#[test]
fn for_splunk_only_its_own_answer_confirms() {
    let json = r#"{"ok":true}"#;
    let cases: [Case; 7] = [
        ("splunk-hec", &[], success(), None),
        ("splunk-hec", &[], answer(200, "text/html", PAGE), Some("an HTML page")),
        (
            "splunk-hec",
            EXPECT_PAGE,
            answer(200, "text/html", PAGE),
            Some("is not one of Splunk's"),
        ),
        (
            "splunk-hec",
            &[],
            answer(200, "application/json", json),
            Some("is not one of Splunk's"),
        ),
        ("splunk-hec", &[], answer(200, "", ""), Some("is not one of Splunk's")),
        ("splunk-hec", &[], answer(204, "", ""), Some("is not one of Splunk's")),
        ("splunk-hec", EXPECT_STATUS, success(), Some("status 200")),
    ];
    cases.into_iter().for_each(assert_confirmed_or_not);
}

#[test]
fn what_the_query_of_an_address_holds_is_in_no_error() {
    for body in [
        "no key hunter2/hunter2 here",
        "no key=hunter2%2Fhunter2&a=b here",
        "no hunter2%2Fhunter2 here",
    ] {
        let collector = Collector::start(move |_| answer(400, "text/plain", body));
        let mut catalog = ten_lines(&collector, "array");
        catalog.set(
            "HTTP_FORWARD_URL",
            format!("{}?key=hunter2%2Fhunter2&a=b", collector.address),
        );
        let summary = forward(&catalog, 3);
        let said = summary["error"].as_str().unwrap();
        assert!(
            said.contains("no [secret] here") || said.contains("no key [secret] here"),
            "{said}"
        );
    }
}

#[test]
fn wrong_expectations_are_named() {
    let mut catalog = Catalog::bare();
    catalog.set("HTTP_FORWARD_EXPECT_STATUS", "200,302");
    catalog.set("HTTP_FORWARD_EXPECT_CONTENT_TYPE", "json");
    let run = catalog.run(&["forward", "http"]);
    assert_eq!(run.code, 1);
    for fault in [
        "HTTP_FORWARD_EXPECT_STATUS must be statuses from 200 to 299",
        "HTTP_FORWARD_EXPECT_CONTENT_TYPE must be a content type",
    ] {
        assert!(run.stderr.contains(fault), "{}", run.stderr);
    }
}

#[test]
fn splunk_that_is_busy_is_asked_again_whatever_its_status() {
    for status in [503, 200] {
        let mut calls = 0;
        let collector = Collector::start(move |_| {
            calls += 1;
            if calls == 1 {
                json_answer(status, &json!({"text": "Server is busy", "code": 9}))
            } else {
                success()
            }
        });
        let catalog = ten_lines(&collector, "splunk-hec");
        assert_eq!(forward(&catalog, 0)["sent"], 10);
        assert_eq!(collector.sizes(), [10, 10]);
    }
}

#[test]
fn a_token_that_splunk_does_not_take_is_named_with_its_words() {
    for (status, code, text) in [
        (403, 4, "Invalid token"),
        (403, 1, "Token disabled"),
        (401, 3, "Invalid authorization"),
        (200, 4, "Invalid token"),
    ] {
        let collector = Collector::start(move |_| json_answer(status, &json!({"text": text, "code": code})));
        let catalog = ten_lines(&collector, "splunk-hec");
        let error = forward(&catalog, 3)["error"].to_string();
        assert!(error.contains(text) && error.contains("HTTP_FORWARD_TOKEN"), "{error}");
        assert_eq!(collector.requests().len(), 1);
    }
}

#[test]
fn an_event_that_splunk_does_not_take_is_undelivered_and_the_others_are_not() {
    for (status, code) in [(400, 6), (400, 12), (400, 13), (200, 6)] {
        let is_bad = |line: &str| line.contains("60-3\"") || line.contains("60-7\"");
        let collector = Collector::start(move |request| match request.body.lines().position(is_bad) {
            Some(number) => {
                let answer = json!({"text": "Invalid data format", "code": code, "invalid-event-number": number});
                json_answer(status, &answer)
            }
            None => success(),
        });
        let catalog = ten_lines(&collector, "splunk-hec");
        let summary = forward(&catalog, 0);
        assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(8), &json!(2)));
        let path = catalog
            .folder(Api::Tfc)
            .join(".trailkeeper/tfc_audit.undelivered.jsonl");
        let notes = fs::read_to_string(path).unwrap();
        assert_eq!(notes.lines().filter(|note| is_bad(note)).count(), 2, "{notes}");
        assert!(notes.contains(&format!("Invalid data format (code {code})")), "{notes}");
        let taken = collector
            .requests()
            .into_iter()
            .filter(|request| !request.body.lines().any(is_bad));
        assert_eq!(taken.map(|request| request.body.lines().count()).sum::<usize>(), 8);
    }
}

/// A Splunk with indexer acknowledgement: the request of this number gets the answer of `acks` to the n-th question.
fn acknowledging(mut acks: impl FnMut(usize, &[u64]) -> Value + Send + 'static) -> Collector {
    let (mut promised, mut asked) = (0, 0);
    Collector::start(move |request| {
        if !request.head.starts_with("POST /services/collector/ack?channel=") {
            let answer = json!({"text": "Success", "code": 0, "ackId": promised});
            promised += 1;
            return json_answer(200, &answer);
        }
        asked += 1;
        let wanted: Value = serde_json::from_str(&request.body).unwrap();
        let wanted: Vec<u64> = serde_json::from_value(wanted["acks"].clone()).unwrap();
        json_answer(200, &json!({"acks": acks(asked, &wanted)}))
    })
}

fn all(wanted: &[u64], has_come: impl Fn(u64) -> bool) -> Value {
    wanted.iter().map(|id| (id.to_string(), json!(has_come(*id)))).collect()
}

fn is_question(request: &Request) -> bool {
    request.head.contains("/ack?channel=")
}

#[test]
fn the_cursor_waits_for_what_splunk_promises_to_acknowledge() {
    let collector = acknowledging(|asked, wanted| match asked {
        1 => all(wanted, |_| false),
        2 => all(wanted, |id| id != 1),
        _ => all(wanted, |_| true),
    });
    let catalog = ten_lines(&collector, "splunk-hec").with("HTTP_FORWARD_BATCH", 4);
    assert_eq!(forward(&catalog, 0)["sent"], 10);
    let (questions, events): (Vec<_>, Vec<_>) = collector.requests().into_iter().partition(is_question);
    assert_eq!(events.len(), 3, "all are in flight before the first question");
    let asked: Vec<_> = questions.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(asked, [r#"{"acks":[0,1,2]}"#, r#"{"acks":[0,1,2]}"#, r#"{"acks":[1]}"#]);
    let channel = events[0].header("x-splunk-request-channel").unwrap();
    assert_eq!(
        channel.split('-').map(str::len).collect::<Vec<_>>(),
        [8, 4, 4, 4, 12],
        "{channel}"
    );
    for request in events.iter().chain(&questions) {
        assert_eq!(request.header("x-splunk-request-channel"), Some(channel));
        assert_eq!(request.header("authorization"), Some("Splunk invented"));
        assert!(!is_question(request) || request.head.contains(channel));
    }
    assert_eq!(forward(&catalog, 0)["sent"], 0);
}

#[test]
fn lines_that_splunk_does_not_acknowledge_are_sent_again_by_the_next_run() {
    let collector = acknowledging(|_, wanted| all(wanted, |id| id != 1));
    let catalog = ten_lines(&collector, "splunk-hec")
        .with("HTTP_FORWARD_BATCH", 4)
        .with("REQUEST_TIMEOUT_SECONDS", 1);
    let summary = forward(&catalog, 3);
    assert_eq!(
        (&summary["sent"], &summary["waiting"]),
        (&json!(4), &json!(6)),
        "{summary}"
    );
    let error = summary["error"].as_str().unwrap();
    assert!(error.contains("has not acknowledged them in 1 s"), "{error}");
    assert_eq!(forward(&catalog, 0)["sent"], 6, "with other numbers");
}

#[test]
fn a_question_that_splunk_refuses_moves_no_cursor() {
    let collector = Collector::start(|request| {
        if is_question(request) {
            json_answer(400, &json!({"text": "ACK is disabled", "code": 14}))
        } else {
            json_answer(200, &json!({"text": "Success", "code": 0, "ackId": 0}))
        }
    });
    let catalog = ten_lines(&collector, "splunk-hec");
    let summary = forward(&catalog, 3);
    assert_eq!((&summary["sent"], &summary["waiting"]), (&json!(0), &json!(10)));
    assert!(summary["error"].to_string().contains("ACK is disabled"), "{summary}");
}

#[test]
fn a_channel_that_does_not_arrive_is_told_with_what_to_do() {
    let collector = Collector::start(|_| json_answer(400, &json!({"text": "Data channel is missing", "code": 10})));
    let error = forward(&ten_lines(&collector, "splunk-hec"), 3)["error"].to_string();
    assert!(
        error.contains("Data channel is missing") && error.contains("indexer acknowledgement"),
        "{error}"
    );
}

/// What a listener is told of its connections: how each of them shook hands.
type Handshakes = Arc<Mutex<Vec<HandshakeKind>>>;

/// A listener whose certificate `ca.pem` has signed, and that closes a connection after so many requests; its address.
fn tls_listener(requests: usize, handshakes: &Handshakes) -> String {
    let handshakes = Arc::clone(handshakes);
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain_of("server.pem"),
            PrivateKeyDer::from_pem_file(pem("server.key")).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}/in", socket.local_addr().unwrap());
    thread::spawn(move || {
        for stream in socket.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            converse_so_often(requests, &mut stream, |_| success());
            handshakes.lock().unwrap().extend(stream.conn.handshake_kind());
            stream.conn.send_close_notify();
            // The client may be gone.
            let _ = stream.flush();
        }
    });
    address
}

/// The catalog for such a listener, with a copy of these authorities.
fn trusting(authorities: &str) -> Catalog {
    let mut catalog = ten_lines(&Collector::start(|_| success()), "array");
    let path = catalog.root().join("ca.pem");
    fs::copy(pem(authorities), &path).unwrap();
    catalog.set("HTTP_FORWARD_URL", tls_listener(usize::MAX, &Handshakes::default()));
    catalog.set("HTTP_FORWARD_CA_CERT", path.display());
    catalog.set("MAX_RETRIES", 0);
    catalog
}

#[test]
fn a_listener_is_trusted_for_the_authorities_in_the_file_alone() {
    let mut catalog = trusting("ca.pem");
    assert_eq!(forward(&catalog, 0)["sent"], 10);
    catalog = trusting("other-ca.pem");
    let error = forward(&catalog, 3)["error"].to_string();
    assert!(error.contains("certificate"), "{error}");
    catalog.unset("HTTP_FORWARD_CA_CERT");
    assert_eq!(forward(&catalog, 3)["sent"], 0, "the system does not know it");
}

#[test]
fn a_connection_that_follows_another_resumes_its_session() {
    let handshakes = Handshakes::default();
    let mut catalog = trusting("ca.pem");
    catalog.set("HTTP_FORWARD_URL", tls_listener(2, &handshakes));
    catalog.set("HTTP_FORWARD_BATCH", 1);
    // Where the listener closes a connection while a request is on its way.
    catalog.set("MAX_RETRIES", 5);
    assert_eq!(forward(&catalog, 0)["sent"], 10);
    let handshakes = handshakes.lock().unwrap();
    let full = handshakes.iter().filter(|kind| **kind != HandshakeKind::Resumed);
    assert!(handshakes.len() >= 4 && full.count() == 1, "{handshakes:?}");
}

#[test]
fn a_file_without_authorities_is_named_by_every_command_that_needs_it() {
    let mut catalog = trusting("ca.pem");
    let path = catalog.root().join("ca.pem");
    let of_a_key = fs::read(pem("server.key")).unwrap();
    let damaged = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec();
    for content in [Vec::new(), b"no certificate".to_vec(), of_a_key, damaged] {
        fs::write(&path, content).unwrap();
        for command in [&["forward", "http"][..], &["check"], &["collect", "--forward-http"]] {
            let run = catalog.run(command);
            assert_eq!(run.code, 1, "{command:?} {}", run.stderr);
            let fault = "HTTP_FORWARD_CA_CERT must be the path of a PEM file with certificates";
            assert!((run.stdout + &run.stderr).contains(fault), "{command:?}");
        }
    }
    fs::remove_file(&path).unwrap();
    let run = catalog.run(&["check"]);
    assert!(
        run.code == 1 && run.stdout.contains("PEM file that can be read"),
        "{}",
        run.stdout
    );
    fs::copy(pem("ca.pem"), &path).unwrap();
    catalog.set("HTTP_FORWARD_URL", "http://127.0.0.1:9");
    let run = catalog.run(&["forward", "http"]);
    let fault = "HTTP_FORWARD_URL must begin with `https://` because HTTP_FORWARD_CA_CERT is set";
    assert!(run.code == 1 && run.stderr.contains(fault), "{}", run.stderr);
}

#[cfg(unix)]
#[test]
fn the_authorities_are_read_again_when_the_settings_are() {
    let catalog = trusting("other-ca.pem");
    let mut running = crate::follow::start(&catalog, &["--json", "--forward-http", "--forward-from", "start"]);
    let waiting = |round: &Value| round["forward"][0]["waiting"].as_u64();
    rounds_until(&mut running, |round| waiting(round) == Some(10));
    fs::copy(pem("ca.pem"), catalog.root().join("ca.pem")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    rounds_until(&mut running, |round| waiting(round) == Some(0));
    let run = running.terminate();
    assert!(run.stderr.contains("HTTP_FORWARD_CA_CERT"), "{}", run.stderr);
}
