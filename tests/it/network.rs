//! Every fault of the network at every request of a walk: how often is asked again, after what waits, and what stays.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use trailkeeper::config::Config;
use trailkeeper::env::Env;
use trailkeeper::fetch::plan::WalkPlan;
use trailkeeper::fetch::walk::Walk;
use trailkeeper::fetch::{FetchError, Fetcher};
use trailkeeper::http::retry::RetryPolicy;
use trailkeeper::http::{Http, Proxies};
use trailkeeper::json;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step};
use trailkeeper::source::{
    Authorization, Envelope, Kind, PageInfo, PageParseError, PageRequest, Paging, SOURCES, Source,
};
use trailkeeper::window::Window;
use url::Url;

use super::support::{Catalog, at, event, now, run_inside, serve};

/// The first wait of the policy; with jitter a wait is up to one and a half times as long.
const DELAY: Duration = Duration::from_secs(2);

/// The time-out of a request, where none is meant to happen, and where one is.
const PATIENCE: Duration = Duration::from_secs(20);
const IMPATIENCE: Duration = Duration::from_millis(400);

/// However slow the machine is, as much is asked for at a time as can be: a slow answer must not change what is asked.
const NO_HURRY: Duration = Duration::from_secs(24 * 3600);

/// When the tests began: the records are the same ones in every walk.
static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(|| at(0));

/// What a walk has to do about a fault at one of its requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// PageRequest again after the usual wait.
    Wait,
    /// PageRequest again after this wait, which the server named.
    WaitFor(Duration),
    /// Take it as it is.
    Nothing,
    /// PageRequest for something else, without a wait.
    AskOtherwise,
}

/// A fault at one request.
#[derive(Clone)]
enum ConfigError {
    /// The sandbox does it.
    Scripted(Vec<Action>),
    /// The request goes to this address instead.
    Elsewhere(Url),
}

/// A source whose request with one number goes elsewhere.
struct Detour {
    source: Arc<dyn Source>,
    asked: AtomicUsize,
    number: usize,
    elsewhere: Option<Url>,
}

impl Source for Detour {
    fn kind(&self) -> &'static Kind {
        self.source.kind()
    }

    fn paging(&self) -> Paging {
        self.source.paging()
    }

    fn page_size(&self) -> u32 {
        self.source.page_size()
    }

    fn authorization(&self) -> &Authorization {
        self.source.authorization()
    }

    fn address(&self) -> &Url {
        self.source.address()
    }

    fn page_url(&self, request: &PageRequest) -> Url {
        let is_due = self.asked.fetch_add(1, Ordering::SeqCst) + 1 == self.number;
        let detour = self.elsewhere.clone().filter(|_| is_due);
        detour.unwrap_or_else(|| self.source.page_url(request))
    }

    fn list(&self) -> &'static str {
        self.source.list()
    }

    fn read_envelope(&self, request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError> {
        self.source.read_envelope(request, envelope)
    }

    fn error_message(&self, body: &str) -> Option<String> {
        self.source.error_message(body)
    }

    fn advice(&self, status: u16) -> &'static str {
        self.source.advice(status)
    }

    fn is_too_wide(&self, status: u16) -> bool {
        self.source.is_too_wide(status)
    }
}

/// What a walk came to.
struct Outcome {
    lines: BTreeSet<String>,
    received: u64,
    requests: u64,
    waits: Vec<Duration>,
    error: Option<FetchError>,
}

/// A service with some pages of records over ten hours, several of them of one time.
fn sandbox(api: Api) -> Sandbox {
    let time = |n: i64| *BEGUN - TimeDelta::seconds(100 + (n / 4) * 500);
    let events = (0..260).map(|n| event(api, time(n), &format!("id-{n}"))).collect();
    serve(|mut options| {
        options = options.give(api, events);
        options[api].rate_limit = None;
        if api == Api::Tfc {
            options[api].page_cap = Some(40);
        }
        options
    })
}

/// The source of a service, as the settings make it.
fn source(sandbox: &Sandbox, api: Api) -> Arc<dyn Source> {
    let catalog = Catalog::of(sandbox, &[api]).with("PORT_PAGE_LIMIT", 60);
    let config = Config::read(&Env::from_pairs(catalog.variables()), SOURCES, &[]).unwrap();
    config.streams[0].source.clone()
}

/// Walks over everything, with a fault at the request with this number.
async fn walk(api: Api, number: usize, error: Option<&ConfigError>, timeout: Duration) -> (Outcome, Vec<Event>) {
    let sandbox = sandbox(api);
    let mut detour = Detour {
        source: source(&sandbox, api),
        asked: AtomicUsize::new(0),
        number,
        elsewhere: None,
    };
    match error {
        Some(ConfigError::Scripted(actions)) => {
            for action in actions {
                sandbox.step(Step::at(api, number, action.clone()));
            }
        }
        Some(ConfigError::Elsewhere(url)) => detour.elsewhere = Some(url.clone()),
        None => {}
    }
    let outcome = walk_over(Arc::new(detour), timeout).await;
    let events = sandbox.events(api);
    sandbox.stop().await;
    (outcome, events)
}

async fn walk_over(source: Arc<dyn Source>, timeout: Duration) -> Outcome {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let noted = waits.clone();
    let policy = RetryPolicy {
        max_retries: 3,
        delay: DELAY,
    };
    let fetcher = Fetcher::new(
        source,
        Http::to([], &Proxies::default()).unwrap().with_timeout(timeout),
        policy,
    )
    .with_pause(Arc::new(move |wait| {
        noted.lock().unwrap().push(wait);
        Box::pin(std::future::ready(()))
    }));
    let now = now();
    let plan = WalkPlan {
        window: Window::new(*BEGUN - TimeDelta::hours(10), now),
        read_to: None,
        files_beyond: false,
        now,
        grace: TimeDelta::minutes(2),
        max_pages: 2,
        concurrency: 1,
        time_to_disk: NO_HURRY,
    };
    let mut walk = Walk::new(&fetcher, plan);
    let (mut lines, mut received) = (BTreeSet::new(), 0);
    let walked = async {
        loop {
            match walk.next_range().await {
                Ok(Some(range)) => {
                    received += range.received;
                    lines.extend(range.records.iter().map(|record| record.line.to_string()));
                }
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    };
    // No walk takes as long as ten requests that time out.
    let error = tokio::time::timeout(PATIENCE * 10, walked).await;
    let error = error.expect("the walk does not end");
    let waits = waits.lock().unwrap().clone();
    Outcome {
        lines,
        received,
        requests: fetcher.request_counts().requests,
        waits,
        error,
    }
}

fn lines_of(events: &[Event]) -> BTreeSet<String> {
    let line = |event: &Event| {
        let mut line = String::new();
        json::scan(&event.text, &[], &mut line).unwrap();
        line
    };
    events.iter().map(line).collect()
}

/// A server that gives each connection these bytes and closes it.
fn raw_server(answer: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|stream| give(stream, &answer));
        }
    });
    url.parse().unwrap()
}

fn give(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request)?;
    stream.write_all(answer)
}

/// An address at which nobody listens.
fn nobody() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap()
}

/// So many zero bytes, compressed by hand: a literal and then copies of 258 bytes, in the fixed code (RFC 1951, 3.2.6).
fn gzip_bomb(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.low_first(0b011, 3);
    // The literal 0 is 00110000.
    bits.high_first(0b0011_0000, 8);
    for _ in 0..length / 258 {
        // Length 258 is code 285, 11000101, and distance 1 is 00000.
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    bits.high_first(0, 7);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    gzip.extend(bits.bytes());
    gzip.extend([0; 8]);
    gzip
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn low_first(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).map(|bit| value >> bit & 1 == 1));
    }

    fn high_first(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .map(|(place, bit)| u8::from(*bit) << place)
                .sum()
        };
        self.0.chunks(8).map(byte).collect()
    }
}

fn answer(header: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{header}\r\n").into_bytes();
    answer.extend(body);
    answer
}

/// A fault by name, and what is to be done about it.
type Row = (&'static str, ConfigError, Expected);

/// The sandbox gives this answer.
fn given(answer: Answer) -> ConfigError {
    ConfigError::Scripted(vec![Action::Answer(answer)])
}

/// Every fault that is over at once.
fn errors() -> Vec<Row> {
    [broken_answers(), odd_answers(), busy_servers()].concat()
}

/// Answers that are none: asked for again.
fn broken_answers() -> Vec<Row> {
    let scripted = |action| ConfigError::Scripted(vec![action]);
    let raw = |header: &str, body: &[u8]| ConfigError::Elsewhere(raw_server(answer(header, body)));
    let ssh = raw_server(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    let errors = [
        ("refused", ConfigError::Elsewhere(nobody())),
        ("closed before the answer", scripted(Action::Close)),
        ("cut inside the body", scripted(Action::CutBody(30))),
        ("an empty body", scripted(Action::Truncate(0))),
        ("half a body that counts as whole", scripted(Action::Truncate(40))),
        ("HTML with status 200", given(Answer::html(200, "Sign in"))),
        ("broken JSON", given(Answer::json(200, "{]"))),
        ("another JSON", given(Answer::json(200, "{}"))),
        ("a body that is not UTF-8", raw("content-length: 3\r\n", b"\"\xff\"")),
        ("no HTTP at all", ConfigError::Elsewhere(ssh)),
        (
            "an answer without a length that ends early",
            raw("", b"{\"events\":[{\"da"),
        ),
        (
            "a promise of five gigabytes",
            raw("content-length: 5000000000\r\n", b"{"),
        ),
        (
            "a lie about compression",
            raw("content-encoding: gzip\r\ncontent-length: 2\r\n", b"{}"),
        ),
    ];
    errors.map(|(name, error)| (name, error, Expected::Wait)).to_vec()
}

fn odd_answers() -> Vec<Row> {
    let bomb = gzip_bomb(70 << 20);
    let header = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", bomb.len());
    let bomb = ConfigError::Elsewhere(raw_server(answer(&header, &bomb)));
    let kind = ConfigError::Scripted(vec![Action::ContentType("text/html".into())]);
    vec![
        ("a compressed body of 70 MiB", bomb, Expected::AskOtherwise),
        ("another content type", kind, Expected::Nothing),
    ]
}

/// Servers that say how long to wait.
fn busy_servers() -> Vec<Row> {
    let busy = |name: &str, value: &str| given(Answer::json(429, "{}").with(name, value));
    let dated = Answer::json(503, "{}")
        .with("Date", "Thu, 01 Jan 1981 00:00:00 GMT")
        .with("Retry-After", "Thu, 01 Jan 1981 00:00:25 GMT");
    let errors = [
        ("seconds", busy("Retry-After", "7"), 7_000),
        ("a fraction of seconds", busy("X-RateLimit-Reset", "1.203"), 1_203),
        ("a day", busy("Retry-After", "86400"), 300_000),
        ("a time in the year 1981", given(dated), 25_000),
    ];
    let wait = |millis| Expected::WaitFor(Duration::from_millis(millis));
    errors.map(|(name, error, millis)| (name, error, wait(millis))).to_vec()
}

/// Every fault at every request of this service.
async fn check_all(api: Api) {
    let (usual, events) = walk(api, 0, None, PATIENCE).await;
    let expected_lines = lines_of(&events);
    assert_eq!((&usual.error, &usual.lines), (&None, &expected_lines));
    assert!(usual.requests > 3, "{} requests are not a walk", usual.requests);
    for (name, error, expected) in errors() {
        let last = usual.requests as usize;
        // To unpack 64 MiB takes a second: once in the beginning and once in the end.
        let is_slow = expected == Expected::AskOtherwise;
        for number in (1..=last).filter(|number| !is_slow || [1, last].contains(number)) {
            let (outcome, _) = walk(api, number, Some(&error), PATIENCE).await;
            let context = format!("{api:?}: {name} at request {number} of {}", usual.requests);
            assert_eq!(outcome.error, None, "{context}");
            assert!(
                outcome.lines == expected_lines,
                "{context}: {} lines",
                outcome.lines.len()
            );
            check_request_counts(&outcome, &usual, expected, &context);
        }
    }
}

fn check_request_counts(outcome: &Outcome, usual: &Outcome, expected: Expected, context: &str) {
    let waits = outcome.waits.iter().map(Duration::as_millis).collect::<Vec<_>>();
    match expected {
        // Nothing is left out of an empty answer by cutting it.
        Expected::Wait if waits.is_empty() && context.contains("body") => {
            assert_eq!(outcome.requests, usual.requests, "{context}");
        }
        Expected::Wait => {
            assert!(matches!(waits[..], [2_000..=3_000]), "{context}: {waits:?}");
            assert_eq!(outcome.requests, usual.requests + 1, "{context}");
            assert_eq!(outcome.received, usual.received, "{context}");
        }
        Expected::WaitFor(wait) => {
            assert_eq!(outcome.waits, [wait], "{context}");
            assert_eq!(outcome.requests, usual.requests + 1, "{context}");
        }
        Expected::Nothing => {
            assert_eq!((outcome.requests, waits), (usual.requests, vec![]), "{context}");
        }
        Expected::AskOtherwise => {
            assert!(outcome.requests > usual.requests, "{context}");
            assert_eq!(waits, [], "{context}");
        }
    }
}

#[tokio::test]
async fn every_fault_at_every_request_of_a_walk_by_tokens_is_got_over() {
    check_all(Api::Mail).await;
}

#[tokio::test]
async fn every_fault_at_every_request_of_a_walk_without_an_order_is_got_over() {
    check_all(Api::Audit).await;
}

#[tokio::test]
async fn every_fault_at_every_request_of_a_walk_by_bounds_is_got_over() {
    check_all(Api::Port).await;
}

#[tokio::test]
async fn every_fault_at_every_request_of_a_walk_by_numbers_is_got_over() {
    check_all(Api::Tfc).await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_or_drips_is_asked_for_again_at_every_request() {
    for api in [Api::Disk, Api::Port, Api::Tfc] {
        let (usual, events) = walk(api, 0, None, PATIENCE).await;
        let expected_lines = lines_of(&events);
        let slow = ConfigError::Scripted(vec![Action::Wait(IMPATIENCE * 4)]);
        let drip = ConfigError::Scripted(vec![Action::Drip(1, Duration::from_millis(40))]);
        // A time-out that is waited for in earnest: not at every request, but at the first ones and the last.
        for (error, number) in [(&slow, 1), (&drip, 2), (&slow, usual.requests as usize)] {
            let (outcome, _) = walk(api, number, Some(error), IMPATIENCE).await;
            let context = format!("{api:?}: request {number}");
            assert_eq!(outcome.error, None, "{context}");
            assert!(outcome.lines == expected_lines, "{context}");
            // A machine under load may let other requests time out too; none may be given up.
            assert!(!outcome.waits.is_empty(), "{context}");
            assert_eq!(
                outcome.requests,
                usual.requests + outcome.waits.len() as u64,
                "{context}"
            );
        }
    }
}

/// A service that fails from one request on, at each request of a walk, with each kind of failure that lasts.
#[tokio::test]
async fn a_fault_that_lasts_ends_the_walk_after_the_policys_waits_and_what_was_complete_stays_without_a_hole() {
    for api in [Api::Mail, Api::Port, Api::Tfc] {
        let (usual, events) = walk(api, 0, None, PATIENCE).await;
        for number in 1..=usual.requests as usize {
            for (action, retries) in [
                (Action::Close, 3),
                (Action::Truncate(30), 3),
                (Action::Answer(Answer::json(500, "{}")), 3),
                (Action::Answer(Answer::json(403, "{}")), 0),
                (
                    Action::Answer(Answer::json(302, "{}").with("Location", "http://127.0.0.1:9/")),
                    0,
                ),
            ] {
                let sandbox = sandbox(api);
                let from_then_on = trailkeeper::sandbox::When::Requests(api, number..=usize::MAX);
                sandbox.step(Step::new(from_then_on, action.clone()));
                let outcome = walk_over(source(&sandbox, api), PATIENCE).await;
                let context = format!("{api:?}: {action:?} from request {number} on");
                assert!(outcome.error.is_some(), "{context}");
                let waits: Vec<_> = outcome.waits.iter().map(Duration::as_millis).collect();
                match retries {
                    0 => assert_eq!(waits, [], "{context}"),
                    _ => assert!(
                        matches!(waits[..], [2_000..=3_000, 4_000..=6_000, 8_000..=12_000]),
                        "{waits:?}"
                    ),
                }
                // An empty answer is too short to be cut.
                let uncut = if matches!(action, Action::Truncate(_)) { 3 } else { 0 };
                let fewest = number as u64 + retries;
                assert!(
                    (fewest..=fewest + uncut).contains(&outcome.requests),
                    "{context}: {}",
                    outcome.requests
                );
                assert_no_hole(&outcome, &events, &context);
                sandbox.stop().await;
            }
        }
    }
}

/// Everything that is older than the newest record which was handed out was handed out too.
fn assert_no_hole(outcome: &Outcome, events: &[Event], context: &str) {
    let handed_out = |event: &&Event| outcome.lines.is_superset(&lines_of(std::slice::from_ref(*event)));
    let newest = events.iter().filter(handed_out).map(|event| event.time).max();
    let missing = events
        .iter()
        .find(|event| Some(event.time) < newest && !handed_out(event));
    assert_eq!(missing, None, "{context}");
}

/// With the true timer on a clock that stands still until everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_is_asked_four_times_in_fourteen_to_twenty_one_seconds() {
    let sandbox = sandbox(Api::Mail);
    let refused = Detour {
        source: source(&sandbox, Api::Mail),
        asked: AtomicUsize::new(0),
        number: 1,
        elsewhere: Some(nobody()),
    };
    let policy = RetryPolicy {
        max_retries: 3,
        delay: DELAY,
    };
    // The first address is the only one: it is asked for without end.
    let fetcher = Fetcher::new(
        Arc::new(Always(refused)),
        Http::to([], &Proxies::default()).unwrap().with_timeout(PATIENCE),
        policy,
    );
    let now = now();
    let plan = WalkPlan {
        window: Window::new(now - TimeDelta::hours(1), now),
        read_to: None,
        files_beyond: false,
        now,
        grace: TimeDelta::zero(),
        max_pages: 2,
        concurrency: 1,
        time_to_disk: NO_HURRY,
    };
    let begun = tokio::time::Instant::now();
    let error = Walk::new(&fetcher, plan).next_range().await.unwrap_err();
    let waited = begun.elapsed().as_secs();
    assert!((14..=21).contains(&waited), "{waited}");
    assert_eq!(
        (fetcher.request_counts().requests, fetcher.request_counts().retries),
        (4, 3)
    );
    assert!(
        error.to_string().contains("could not be reached in 4 attempts"),
        "{error}"
    );
}

/// A source whose every request goes elsewhere.
struct Always(Detour);

impl Source for Always {
    fn kind(&self) -> &'static Kind {
        self.0.kind()
    }

    fn paging(&self) -> Paging {
        self.0.paging()
    }

    fn page_size(&self) -> u32 {
        self.0.page_size()
    }

    fn authorization(&self) -> &Authorization {
        self.0.authorization()
    }

    fn address(&self) -> &Url {
        self.0.address()
    }

    fn page_url(&self, request: &PageRequest) -> Url {
        self.0.elsewhere.clone().unwrap_or_else(|| self.0.page_url(request))
    }

    fn list(&self) -> &'static str {
        self.0.list()
    }

    fn read_envelope(&self, request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError> {
        self.0.read_envelope(request, envelope)
    }

    fn error_message(&self, body: &str) -> Option<String> {
        self.0.error_message(body)
    }

    fn advice(&self, status: u16) -> &'static str {
        self.0.advice(status)
    }
}

/// A run of the library at a time of its own. If that is long before all records and the service's `Date`, which stood still since the
/// run before, tells no other, a feed without bounds is said to be in the future.
async fn run_at(catalog: &Catalog, now: DateTime<Utc>, is_long_ago: bool) {
    for (stream, summary) in run_inside(catalog, now).await {
        match summary["error"].as_str() {
            Some(error) if is_long_ago => assert!(error.contains("its time is in the future"), "{stream}: {error}"),
            error => assert_eq!(error, None, "{stream}"),
        }
    }
}

#[tokio::test]
async fn a_clock_that_jumps_back_and_forth_costs_no_record_and_repeats_none() {
    let apis = [Api::Mail, Api::Port, Api::Tfc];
    let sandbox = serve(|options| {
        apis.into_iter().fold(options, |options, api| {
            options.give(
                api,
                (0..200).map(|n| event(api, at(60 + n * 600), &n.to_string())).collect(),
            )
        })
    });
    let catalog = Catalog::of(&sandbox, &apis).with("RECONCILE_EVERY_HOURS", 6);
    let (true_time, hour) = (now(), TimeDelta::hours(1));
    for (step, jump) in [-20, 0, -30, 48, -400, 1, 0].into_iter().enumerate() {
        run_at(&catalog, true_time + hour * jump, jump == -400).await;
        for api in apis {
            sandbox.add(api, vec![event(api, at(30), &format!("new-{step}"))]);
        }
    }
    // The records of the last step, and nothing else.
    run_at(&catalog, now(), false).await;
    for api in apis {
        catalog.assert_holds(api, &sandbox.events(api));
    }
}

#[test]
fn a_machine_without_root_certificates_is_told_what_to_install() {
    let sandbox = serve(|options| options.give(Api::Tfc, Vec::new()));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    fs::write(catalog.root().join("none.pem"), "").unwrap();
    let file = catalog.root().join("none.pem").display().to_string();
    let catalog = catalog.with("SSL_CERT_FILE", file).with("SSL_CERT_DIR", "/nowhere");
    // Nothing is encrypted, so none is needed.
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let catalog = catalog.with("TFC_API_URL", "https://127.0.0.1:1");
    for command in ["collect", "check"] {
        let run = catalog.run(&[command]);
        let told = format!("{}{}", run.stdout, run.stderr);
        assert_ne!(run.code, 0, "{told}");
        assert!(
            told.contains("install them (in Debian the package ca-certificates)"),
            "{told}"
        );
    }
}
