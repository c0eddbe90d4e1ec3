//! Forwarding while collecting, to an HTTP listener and to standard output: the real binary, real sockets.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use trailkeeper::sandbox::Api;

use crate::follow::rounds_until;
use crate::kafka::broker::Broker;
use crate::support::{Catalog, PATIENCE, Process, event, events, serve};

/// A request as a listener got it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut lines = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        lines.next().map(|(_, value)| value)
    }
}

/// An HTTP listener that keeps what it is sent and answers each request with a status of its own.
pub(crate) struct Listener {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Listener {
    pub(crate) fn start(mut status: impl FnMut(&Request) -> u16 + Send + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/in?source=trail", socket.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        thread::spawn(move || {
            for stream in socket.incoming() {
                answer(stream.unwrap(), |request| {
                    let status = status(request);
                    if status == 200 {
                        kept.lock().unwrap().push(request.clone());
                    }
                    status
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads the next request of a connection; `None` at its end.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut request = Request::default();
    while !request.head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request.head).unwrap_or(0) == 0 {
            return None;
        }
    }
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

/// Answers one request of a connection, and closes it.
fn answer(stream: TcpStream, status: impl FnOnce(&Request) -> u16) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read_request(&mut reader) else {
        return;
    };
    let status = status(&request);
    let said = if status == 200 {
        r#"{"text":"Success","code":0}"#
    } else {
        "no, not so"
    };
    let length = said.len();
    let answer = format!("HTTP/1.1 {status} \r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{said}");
    let _ = reader.into_inner().write_all(answer.as_bytes());
}

/// A catalog with ten lines of one stream.
fn ten_lines() -> Catalog {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    catalog
}

fn forward(catalog: &Catalog, sink: &str, code: i32) -> Value {
    let run = catalog.run(&["forward", sink, "--json", "--forward-from", "start"]);
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    summary["streams"][0]["forward"][0].clone()
}

/// The rounds that `collect --follow --json` prints, as many as a test can need.
fn rounds(child: &mut Process) -> impl Iterator<Item = Value> {
    let lines = std::iter::from_fn(|| child.next_line()).take(100);
    lines.map(|line| serde_json::from_str(&line).unwrap())
}

fn texts(values: &Value) -> Vec<String> {
    values.as_array().unwrap().iter().map(Value::to_string).collect()
}

/// The lines of the catalog, as JSON values.
fn kept(catalog: &Catalog) -> Vec<String> {
    let lines = catalog.lines(Api::Tfc);
    lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string())
        .collect()
}

#[test]
fn an_array_in_each_request_holds_every_line_once() {
    let listener = Listener::start(|_| 200);
    let catalog = ten_lines()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_FORWARD_TOKEN", "invented")
        .with("HTTP_FORWARD_BATCH", 4);
    let expected = json!({"sink": "http", "sent": 10, "repaired": 0, "waiting": 0, "undelivered": 0, "error": null});
    assert_eq!(forward(&catalog, "http", 0), expected);
    let requests = listener.requests();
    assert!(requests[0].head.starts_with("POST /in?source=trail HTTP/1.1"));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("authorization"), Some("Bearer invented"));
    let arrays: Vec<_> = requests
        .iter()
        .map(|request| texts(&serde_json::from_str(&request.body).unwrap()))
        .collect();
    assert_eq!(arrays.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(arrays.concat(), kept(&catalog));
    assert_eq!(forward(&catalog, "http", 0)["sent"], 0);
}

#[test]
fn a_413_halves_the_batch_down_to_the_line_that_is_put_aside() {
    let lines = |request: &Request| request.body.lines().count();
    let listener = Listener::start(move |request| match (lines(request), request.body.contains("60-3\"")) {
        (3.., _) | (_, true) => 413,
        _ => 200,
    });
    let catalog = ten_lines()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_FORWARD_FORMAT", "ndjson");
    let summary = forward(&catalog, "http", 0);
    assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(9), &json!(1)));
    let sent: String = listener
        .requests()
        .iter()
        .map(|request| request.body.as_str())
        .collect();
    let mut expected = catalog.lines(Api::Tfc);
    let large = expected.iter().position(|line| line.contains("60-3\"")).unwrap();
    let large = expected.remove(large);
    assert_eq!(sent.lines().collect::<Vec<_>>(), expected);
    let path = catalog
        .folder(Api::Tfc)
        .join(".trailkeeper/tfc_audit.undelivered.jsonl");
    let note: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(note["record"], serde_json::from_str::<Value>(&large).unwrap());
    assert!(note["reason"].as_str().unwrap().contains("status 413"), "{note}");
}

#[test]
fn a_line_that_is_too_large_does_not_leave_the_requests_small() {
    let listener = Listener::start(|request| if request.body.contains("60-3\"") { 413 } else { 200 });
    let catalog = ten_lines()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_FORWARD_FORMAT", "ndjson")
        .with("HTTP_FORWARD_BATCH", 8);
    let summary = forward(&catalog, "http", 0);
    assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(9), &json!(1)));
    let requests = listener.requests();
    let sizes: Vec<_> = requests.iter().map(|request| request.body.lines().count()).collect();
    assert!(*sizes.last().unwrap() > 1, "{sizes:?}");
}

#[cfg(unix)]
#[test]
fn a_wish_to_stop_is_heard_between_the_attempts_of_a_request() {
    let (attempt, attempts) = std::sync::mpsc::channel();
    let listener = Listener::start(move |_| {
        attempt.send(()).unwrap();
        503
    });
    let catalog = ten_lines()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("RETRY_DELAY_SECONDS", 300);
    let child = catalog.start(&["forward", "http", "--json", "--forward-from", "start"]);
    attempts
        .recv_timeout(PATIENCE)
        .expect("waited in vain until a request was made");
    let run = child.terminate();
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = json!({
        "sink": "http", "sent": 0, "repaired": 0, "waiting": 10, "undelivered": 0,
        "error": "stopped on request before everything was sent",
    });
    assert_eq!(summary["streams"][0]["forward"][0], expected);
}

#[test]
fn a_listener_that_fails_is_tried_again_and_what_it_confirmed_is_not_sent_again() {
    let mut calls = 0;
    let listener = Listener::start(move |_| {
        calls += 1;
        match calls {
            1 | 3..=6 => 503,
            _ => 200,
        }
    });
    let catalog = ten_lines()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_FORWARD_BATCH", 6);
    // The first request comes through at its second try, the second one not at its fourth.
    let failed = forward(&catalog, "http", 3);
    assert_eq!((&failed["sent"], &failed["waiting"]), (&json!(6), &json!(4)));
    let error = failed["error"].as_str().unwrap();
    let address = listener.address.split('?').next().unwrap();
    assert_eq!(
        error,
        format!("{address} answered with status 503, \"no, not so\"; it may be in trouble")
    );
    assert_eq!(forward(&catalog, "http", 0)["sent"], 4);
    let arrays = listener
        .requests()
        .into_iter()
        .map(|request| texts(&serde_json::from_str(&request.body).unwrap()));
    assert_eq!(arrays.collect::<Vec<_>>().concat(), kept(&catalog));
}

#[test]
fn splunk_gets_events_with_the_time_of_the_record() {
    let listener = Listener::start(|_| 200);
    let catalog = ten_lines()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_FORWARD_FORMAT", "splunk-hec")
        .with("HTTP_FORWARD_TOKEN", "invented");
    forward(&catalog, "http", 0);
    let requests = listener.requests();
    assert_eq!(requests[0].header("authorization"), Some("Splunk invented"));
    let events: Vec<Value> = requests[0]
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        events
            .iter()
            .map(|event| event["event"].to_string())
            .collect::<Vec<_>>(),
        kept(&catalog)
    );
    let time: chrono::DateTime<chrono::Utc> = events[0]["event"]["timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        events[0]["time"].as_f64(),
        Some(time.timestamp_millis() as f64 / 1000.0)
    );
    assert_eq!(events[0]["sourcetype"], "trailkeeper:tfc");
}

#[test]
fn collecting_forwards_while_it_goes_on_and_a_broker_that_is_away_leaves_the_files_complete() {
    let broker = Broker::start();
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
    let mut catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.set("KAFKA_SERVER", broker.address());
    let arguments = ["collect", "--json", "--forward-kafka"];
    let first = catalog.collect_one(0, &arguments[2..]);
    let expected = json!([{"sink": "kafka", "sent": 10, "repaired": 0, "waiting": 0, "undelivered": 0, "error": null}]);
    assert_eq!(first["forward"], expected);
    broker.ask("crash");
    catalog.set("KAFKA_TIMEOUT_SECONDS", "1");
    let newer = serve(|options| options.give(Api::Tfc, vec![event(Api::Tfc, crate::support::at(5), "new")]));
    let mut catalog = catalog.pointing_at(&newer);
    let run = catalog.run(&arguments);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let summary = &run.summary()["tfc"];
    assert_eq!(
        (&summary["status"], &summary["appended"]),
        (&json!("complete"), &json!(1))
    );
    assert_eq!(summary["forward"][0]["waiting"], 1);
    broker.ask("restart");
    catalog.set("KAFKA_TIMEOUT_SECONDS", "20");
    assert_eq!(catalog.collect_one(0, &arguments[2..])["forward"][0]["sent"], 1);
    let held: Vec<_> = broker
        .all("tfc-logs")
        .into_iter()
        .map(|message| message.value)
        .collect();
    assert_eq!(held, catalog.lines(Api::Tfc));
}

#[cfg(unix)]
#[test]
fn a_program_that_keeps_collecting_forwards_in_each_round_what_the_last_one_could_not() {
    let mut calls = 0;
    let listener = Listener::start(move |_| {
        calls += 1;
        if calls == 1 { 503 } else { 200 }
    });
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("MAX_RETRIES", 0);
    let arguments = "collect --follow --interval 1s --json --forward-http --forward-from start";
    let mut child = catalog.start(&arguments.split(' ').collect::<Vec<_>>());
    // On a slow machine a round may have begun before it was known what came of the one before.
    let mut outcomes = rounds(&mut child).filter_map(|round| Some(round.get("forward")?[0].clone()));
    for (sent, waiting) in [(0, 10), (10, 0), (0, 0)] {
        let forward = outcomes.next().unwrap();
        assert_eq!((&forward["sent"], &forward["waiting"]), (&json!(sent), &json!(waiting)));
    }
    drop(outcomes);
    assert_eq!(child.terminate().code, 0);
    let arrays = listener
        .requests()
        .into_iter()
        .map(|request| texts(&serde_json::from_str(&request.body).unwrap()));
    assert_eq!(arrays.collect::<Vec<_>>().concat(), kept(&catalog));
}

#[cfg(unix)]
#[test]
fn rounds_do_not_wait_for_a_listener_that_does_not_answer() {
    // Nobody takes the connections; the system does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("HTTP_FORWARD_URL", format!("http://{}", silent.local_addr().unwrap()))
        .with("MAX_RETRIES", 0)
        // The services answer sooner than that.
        .with("REQUEST_TIMEOUT_SECONDS", 3600);
    let arguments = "collect --follow --interval 1s --json --forward-http --forward-from start";
    let mut child = catalog.start(&arguments.split(' ').collect::<Vec<_>>());
    let mut rounds = rounds(&mut child);
    let first = rounds.next().unwrap();
    assert_eq!((&first["appended"], first.get("forward")), (&json!(10), None));
    assert_eq!(rounds.next().unwrap()["appended"], 0);
    drop(rounds);
    assert_eq!(child.terminate().code, 0);
    let catalog = catalog.with("REQUEST_TIMEOUT_SECONDS", 1);
    assert_eq!(forward(&catalog, "http", 3)["waiting"], 10);
}

#[test]
fn a_run_without_forwarding_says_nothing_of_it() {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 1, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    assert_eq!(catalog.collect_one(0, &[]).get("forward"), None);
}

#[test]
fn standard_output_gets_the_lines_and_a_reader_that_leaves_is_no_failure() {
    let catalog = ten_lines();
    let mut command = catalog.command(&["forward", "stdout", "--forward-from", "start"]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let left = Process::of(child, &command).end();
    assert_eq!(left.code, 0, "{}", left.stderr);
    let run = catalog.run(&["forward", "stdout", "--forward-from", "start"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), catalog.lines(Api::Tfc));
    assert_eq!(catalog.run(&["forward", "stdout"]).stdout, "");
}

#[test]
fn forwarding_needs_no_token_of_a_service_and_names_every_fault_of_its_own() {
    let mut catalog = ten_lines();
    let token = ["TFC_ORG_TOKEN", "TFC_API_URL"];
    token.iter().for_each(|name| drop(catalog.unset(name)));
    assert_eq!(catalog.run(&["forward", "stdout", "--forward-from", "end"]).code, 0);
    catalog.set("HTTP_FORWARD_FORMAT", "xml");
    let run = catalog.run(&["forward", "http"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .contains("HTTP_FORWARD_URL is required because the lines are to go there"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("HTTP_FORWARD_FORMAT must be one of array, ndjson, splunk-hec, not `xml`")
    );
}

#[test]
fn a_token_file_that_changes_is_read_again_when_the_listener_refuses_the_old_token() {
    for refusal in [401, 403] {
        let listener = Listener::start(move |request| {
            if request.header("authorization") == Some("Bearer right-right") {
                200
            } else {
                refusal
            }
        });
        let mut catalog = ten_lines();
        let token = catalog.root().join("token");
        fs::write(&token, "hunter2-hunter2\n").unwrap();
        catalog.set("HTTP_FORWARD_URL", &listener.address);
        catalog.set("HTTP_FORWARD_TOKEN_FILE", token.display());
        let sink = ["--json", "--forward-http", "--forward-from", "start"];
        let mut running = crate::follow::start(&catalog, &sink);
        let waiting = |round: &Value| round["forward"][0]["waiting"].as_u64();
        rounds_until(&mut running, |round| waiting(round) == Some(10));
        assert!(listener.requests().is_empty());
        fs::write(&token, "right-right\n").unwrap();
        rounds_until(&mut running, |round| waiting(round) == Some(0));
        let run = running.terminate();
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(
            run.stderr.contains("HTTP_FORWARD_TOKEN_FILE was read again"),
            "{}",
            run.stderr
        );
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    }
}

#[test]
fn that_a_cursor_is_there_already_is_said_once_and_not_at_every_round() {
    let listener = Listener::start(|_| 200);
    let catalog = ten_lines().with("HTTP_FORWARD_URL", &listener.address);
    forward(&catalog, "http", 0);
    let mut running = crate::follow::start(&catalog, &["--json", "--forward-http", "--forward-from", "start"]);
    for _ in 0..4 {
        rounds_until(&mut running, |_| true);
    }
    let run = running.terminate();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        run.stderr.matches("--forward-from is ignored").count(),
        1,
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_service_that_is_stopped_while_its_listener_takes_nothing_ends_without_an_error() {
    let (attempt, attempts) = std::sync::mpsc::channel();
    let listener = Listener::start(move |_| {
        attempt.send(()).unwrap();
        503
    });
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 3, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("RETRY_DELAY_SECONDS", 300);
    let child = catalog.start(&["collect", "--follow", "-q", "--forward-http"]);
    attempts
        .recv_timeout(PATIENCE)
        .expect("waited in vain until a request was made");
    let run = child.terminate();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}
