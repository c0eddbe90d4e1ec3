//! `collect --follow`: runs that go on, what Prometheus and the service manager see of them, and how they end.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, PortLogin, Sandbox, Step, When};

use super::support::{Catalog, PATIENCE, Process, at, event, events, process, serve, side_by_side, tool, wait_for};

/// More rounds than any test asks for.
const MOST_ROUNDS: usize = 100;

/// Starts `collect --follow` with rounds of a second.
pub(super) fn start(catalog: &Catalog, arguments: &[&str]) -> Process {
    catalog.start(&[&["collect", "--follow", "--interval", "1s"], arguments].concat())
}

/// The rounds that it prints with `--json`, until one satisfies `is_wanted`.
pub(super) fn rounds_until(running: &mut Process, mut is_wanted: impl FnMut(&Value) -> bool) -> Vec<Value> {
    let mut rounds = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let Some(line) = running.next_line() else {
            panic!("it ended early, after {rounds:#?}")
        };
        let round: Value = serde_json::from_str(&line).unwrap();
        let is_last = is_wanted(&round);
        rounds.push(round);
        if is_last {
            return rounds;
        }
    }
    panic!("the round that is waited for is none of {rounds:#?}");
}

fn appended(rounds: &[Value], stream: &str) -> u64 {
    let of_stream = rounds.iter().filter(|round| round["stream"] == stream);
    of_stream.map(|round| round["appended"].as_u64().unwrap()).sum()
}

/// A value of the exposition, by its name with labels.
pub(super) fn figure(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Checks an exposition with promtool; says so where there is none.
pub(super) fn check_with_promtool(text: &str) {
    let Some(mut promtool) = tool("promtool", "prometheus") else {
        return;
    };
    let run = process::run_with_input(promtool.args(["check", "metrics"]), text.into());
    assert_eq!(
        (run.code, run.stderr.as_str(), run.stdout.as_str()),
        (0, "", ""),
        "{text}"
    );
}

pub(super) fn http_get(address: &str, path: &str) -> String {
    http("GET", address, path)
}

fn http(method: &str, address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// The address in the line that says what is served.
pub(super) fn served_address(line: &str) -> String {
    let behind = line.split("http://").nth(1).unwrap();
    behind.split('/').next().unwrap().to_owned()
}

fn two_streams(adjust: impl FnOnce(trailkeeper::sandbox::Options) -> trailkeeper::sandbox::Options) -> Sandbox {
    serve(|options| {
        let options = options.give(Api::Mail, events(Api::Mail, 5, 100));
        adjust(options.give(Api::Tfc, events(Api::Tfc, 7, 100)))
    })
}

#[test]
fn what_arrives_later_is_appended_by_a_later_round_and_sigterm_ends_it_well() {
    let sandbox = two_streams(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    let mut running = start(&catalog, &["--json"]);
    rounds_until(&mut running, |round| round["stream"] == "tfc");
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "later")]);
    let mut of_tfc = 7;
    let later = rounds_until(&mut running, |round| {
        of_tfc += if round["stream"] == "tfc" {
            round["appended"].as_u64().unwrap()
        } else {
            0
        };
        of_tfc == 8
    });
    assert_eq!(appended(&later, "tfc"), 1);
    assert_eq!(running.terminate().code, 0);
    for api in [Api::Mail, Api::Tfc] {
        catalog.assert_holds(api, &sandbox.events(api));
    }
    let log = catalog.app_log();
    let is_round_of_tfc = |line: &str| line.contains("INFO:\tcomplete appended=1 ") && line.ends_with(" stream=tfc");
    assert!(log.lines().any(is_round_of_tfc), "{log}");
}

#[test]
fn a_stream_that_hangs_or_fails_does_not_hold_up_the_others() {
    let hang = Action::Wait(PATIENCE * 2);
    let refuse = Action::Answer(Answer::json(401, "{}"));
    side_by_side([hang, refuse], |action| {
        let sandbox = two_streams(|options| options.step(Step::always(Api::Mail, action)));
        let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
        let mut running = start(&catalog, &["--json"]);
        let mut rounds_of_tfc = 0;
        rounds_until(&mut running, |round| {
            rounds_of_tfc += usize::from(round["stream"] == "tfc");
            rounds_of_tfc == 3
        });
        assert_eq!(running.terminate().code, 0);
        catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
    });
}

#[test]
fn a_failing_stream_is_asked_again_and_recovers() {
    let sandbox = two_streams(|options| {
        let refuse = Action::Answer(Answer::json(403, "{}"));
        options.step(Step::at(Api::Mail, 1, refuse))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let mut running = start(&catalog, &["--json"]);
    let rounds = rounds_until(&mut running, |round| round["status"] == "complete");
    assert_eq!(rounds.len(), 2, "{rounds:#?}");
    assert_eq!(rounds[0]["status"], "failed");
    assert_eq!(appended(&rounds, "yandex-mail"), 5);
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn the_catalogs_stay_locked_between_rounds() {
    let sandbox = two_streams(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let mut running = catalog.start(&["--follow", "--interval", "1h", "--json"]);
    rounds_until(&mut running, |round| round["status"] == "complete");
    let second = catalog.run(&["collect"]);
    assert_eq!(second.code, 4, "{}", second.stderr);
    assert!(
        second.stderr.contains(&format!("pid {}", running.id())),
        "{}",
        second.stderr
    );
    assert_eq!(running.terminate().code, 0);
    assert_eq!(catalog.run(&["collect"]).code, 0);
}

#[test]
fn a_start_that_was_asked_for_counts_until_a_stream_was_complete_once() {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 3, 3600)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let mut running = start(&catalog, &["--json", "--since", "2h"]);
    let rounds = rounds_until(&mut running, |round| round["appended"] == 0);
    let from = |round: &Value| {
        round["from"]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    assert!((from(&rounds[0]) - at(7200)).num_seconds().abs() < 60, "{rounds:#?}");
    assert!((from(&rounds[1]) - at(3720)).num_seconds().abs() < 60, "{rounds:#?}");
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn the_figures_are_served_and_promtool_takes_them() {
    let sandbox = two_streams(|options| options.step(Step::always(Api::Mail, Action::Answer(Answer::json(401, "{}")))));
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    let mut running = start(&catalog, &["--json", "--metrics-listen", "127.0.0.1:0"]);
    let address = served_address(&running.complaint_with("serving metrics"));
    let mut seen = (false, false);
    rounds_until(&mut running, |round| {
        seen.0 |= round["stream"] == "tfc";
        seen.1 |= round["stream"] == "yandex-mail";
        seen == (true, true)
    });
    let answer = http_get(&address, "/metrics");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"),
        "{head}"
    );
    check_with_promtool(text);
    assert_eq!(
        figure(text, "trailkeeper_appended_records_total{stream=\"tfc\"}"),
        Some(7.0)
    );
    assert_eq!(
        figure(text, "trailkeeper_last_run_success{stream=\"yandex-mail\"}"),
        Some(0.0)
    );
    assert!(
        figure(
            text,
            "trailkeeper_requests_total{stream=\"yandex-mail\",status=\"401\"}"
        )
        .unwrap()
            >= 1.0
    );
    assert!(figure(text, "trailkeeper_request_duration_seconds_count{stream=\"tfc\"}").unwrap() >= 1.0);
    let last = sandbox.events(Api::Tfc).last().unwrap().time.timestamp() as f64;
    assert_eq!(
        figure(text, "trailkeeper_last_record_timestamp_seconds{stream=\"tfc\"}"),
        Some(last)
    );
    assert!(http_get(&address, "/other").starts_with("HTTP/1.1 404 "));
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn the_page_and_the_health_are_served_read_only_and_name_nobody() {
    let records = || {
        (1..8)
            .map(|n| event(Api::Mail, at(600 + n), &format!("n{n}")))
            .collect::<Vec<_>>()
    };
    let named = |mut event: trailkeeper::sandbox::Event| {
        event.text = event
            .text
            .replacen('{', r#"{"userLogin":"anna@example.org","clientIp":"192.0.2.77","#, 1);
        event
    };
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let when = When::Picked(Arc::new(move |seen| {
        seen.api == Some(Api::Tfc) && down.load(Ordering::SeqCst)
    }));
    let sandbox = serve(|options| {
        let options = options.give(Api::Mail, records().into_iter().map(named).collect());
        let options = options.give(Api::Tfc, events(Api::Tfc, 7, 60));
        options.step(Step::new(when, Action::Answer(Answer::json(401, "{}"))))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    let mut running = start(&catalog, &["--json", "--metrics-listen", "127.0.0.1:0"]);
    let address = served_address(&running.complaint_with("serving metrics"));
    let health = || http_get(&address, "/healthz");
    let answer = wait_for("the first run of tfc has failed", PATIENCE, || {
        Some(health()).filter(|answer| answer.contains("its last run was not complete"))
    });
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    is_down.store(false, Ordering::SeqCst);
    rounds_until(&mut running, |round| {
        round["stream"] == "tfc" && round["status"] == "complete"
    });
    let answer = wait_for("every stream is well", PATIENCE, || {
        Some(health()).filter(|answer| answer.starts_with("HTTP/1.1 200 "))
    });
    let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(json["healthy"], true, "{json}");
    assert_eq!(json["streams"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&json["streams"][0]["stream"], &json["streams"][0]["problem"]),
        (&"tfc".into(), &Value::Null)
    );
    let page = wait_for("the page is made", PATIENCE, || {
        Some(http_get(&address, "/")).filter(|answer| answer.starts_with("HTTP/1.1 200 "))
    });
    for text in [
        "text/html",
        "default-src 'none'",
        "no-store",
        "id=\"overview\"",
        "Event types",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for name in ["anna@example.org", "192.0.2.77", "<script"] {
        assert!(!page.contains(name), "{name}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        for path in ["/", "/healthz", "/metrics"] {
            let answer = http(method, &address, path);
            assert!(answer.starts_with("HTTP/1.1 405 "), "{method} {path}: {answer}");
        }
    }
    assert_eq!(running.terminate().code, 0);
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_is_collected() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sandbox = two_streams(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let run = catalog.run(&["--follow", "--metrics-listen", &address]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains(&address) && run.stderr.contains("--metrics-listen"),
        "{}",
        run.stderr
    );
    assert_eq!(sandbox.requests().len(), 0);
}

#[test]
fn counters_go_on_over_runs_and_a_failure_leaves_the_last_success() {
    let sandbox = two_streams(|options| options);
    let mut catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let collect = |catalog: &Catalog, code| {
        let run = catalog.run(&["collect", "--metrics-file", "trailkeeper.prom"]);
        assert_eq!(run.code, code, "{}", run.stderr);
        fs::read_to_string(catalog.root().join("trailkeeper.prom")).unwrap()
    };
    let first = collect(&catalog, 0);
    check_with_promtool(&first);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "later")]);
    let second = collect(&catalog, 0);
    assert_eq!(
        figure(&second, "trailkeeper_appended_records_total{stream=\"tfc\"}"),
        Some(8.0)
    );
    catalog.set("TFC_ORG_TOKEN", "wrong");
    let third = collect(&catalog, 3);
    check_with_promtool(&third);
    let success = "trailkeeper_last_success_timestamp_seconds{stream=\"tfc\"}";
    assert_eq!(figure(&third, success), figure(&second, success));
    assert!(figure(&second, success) > figure(&first, success));
    assert_eq!(
        figure(&third, "trailkeeper_runs_total{stream=\"tfc\",result=\"complete\"}"),
        Some(2.0)
    );
    assert_eq!(
        figure(&third, "trailkeeper_runs_total{stream=\"tfc\",result=\"failed\"}"),
        Some(1.0)
    );
}

#[test]
fn the_metrics_file_follows_a_run_that_takes_long_and_what_waits_for_a_sink() {
    let sandbox = serve(|options| {
        options
            .give(Api::Tfc, Vec::new())
            .give(Api::Disk, events(Api::Disk, 40, 600))
    });
    // One stream is done, and waits for a broker that is away; the other waits for its service.
    sandbox.step(Step::at(Api::Tfc, 1, Action::Wait(Duration::from_secs(600))));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc, Api::Disk])
        .with("KAFKA_SERVER", "127.0.0.1:9")
        .with("KAFKA_TIMEOUT_SECONDS", "3600");
    let arguments = [
        "collect",
        "--metrics-file",
        "trailkeeper.prom",
        "--forward-kafka",
        "--forward-from",
        "start",
    ];
    let mut run = catalog.start(&arguments);
    let path = catalog.root().join("trailkeeper.prom");
    let lag = "trailkeeper_forwarder_lag_records{stream=\"yandex-disk\",forwarder=\"kafka\"}";
    let what = "the file says that forty lines wait for the sink";
    let text = wait_for(what, PATIENCE, || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        (figure(&text, lag) == Some(40.0)).then_some(text)
    });
    run.assert_running();
    run.kill();
    check_with_promtool(&text);
    let oldest = figure(&text, &lag.replace("lag_records", "lag_seconds")).unwrap();
    assert!((600.0..6_000.0).contains(&oldest), "{oldest}");
    assert_eq!(
        figure(&text, "trailkeeper_run_appended_records{stream=\"tfc\"}"),
        Some(0.0)
    );
    assert_eq!(
        figure(&text, "trailkeeper_run_appended_records{stream=\"yandex-disk\"}"),
        Some(40.0)
    );
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_named_before_anything_is_collected() {
    let sandbox = two_streams(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let run = catalog.run(&["collect", "--metrics-file", "gone/trailkeeper.prom"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("gone/trailkeeper.prom"), "{}", run.stderr);
    assert_eq!(sandbox.requests().len(), 0);
}

#[cfg(unix)]
#[test]
fn the_service_manager_hears_that_it_is_ready_lives_and_ends() {
    use std::os::unix::net::UnixDatagram;

    let sandbox = two_streams(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let path = catalog.root().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let catalog = catalog
        .with("NOTIFY_SOCKET", path.display())
        .with("WATCHDOG_USEC", 200_000);
    let running = start(&catalog, &[]);
    let heard = |wanted: &str| {
        let mut buffer = [0; 4096];
        wait_for(&format!("{wanted} is heard"), PATIENCE, || {
            let length = manager
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            text.contains(wanted).then(|| text.to_owned())
        })
    };
    assert_eq!(heard("READY=1"), "READY=1\nSTATUS=following 1 streams");
    assert!(heard("STATUS=tfc").starts_with("STATUS=tfc +7 at "));
    heard("WATCHDOG=1");
    heard("WATCHDOG=1");
    assert_eq!(running.terminate().code, 0);
    heard("STOPPING=1");
}

/// Secrets that stand in files, by their variables, and the streams that they are for.
const IN_FILES: [(&str, Api, PortLogin); 4] = [
    ("TFC_ORG_TOKEN", Api::Tfc, PortLogin::Token),
    ("OAUTH_TOKEN_ARG", Api::Mail, PortLogin::Token),
    ("PORT_API_TOKEN", Api::Port, PortLogin::Token),
    ("PORT_CLIENT_SECRET", Api::Port, PortLogin::Client),
];

#[test]
fn a_token_file_that_changes_is_read_again_when_the_service_refuses_the_old_token() {
    for (name, api, login) in IN_FILES {
        let sandbox = serve(|mut options| {
            options.port_login = login;
            options.give(api, events(api, 5, 60))
        });
        let mut catalog = Catalog::of(&sandbox, &[api]);
        let (right, path) = (catalog.unset(name), catalog.root().join("secret"));
        fs::write(&path, "hunter2-hunter2\n").unwrap();
        catalog.set(&format!("{name}_FILE"), path.display());
        let mut running = start(&catalog, &["--json"]);
        let asked = |sandbox: &Sandbox| sandbox.requests().len();
        let failed = rounds_until(&mut running, |_| true);
        assert!(
            failed[0]["error"].as_str().unwrap().contains("401"),
            "{name}: {}",
            failed[0]
        );
        assert_eq!(asked(&sandbox), 1, "{name}: what has not changed is not tried again");
        // What is no token for a moment is not used, and not given up.
        fs::write(&path, "").unwrap();
        rounds_until(&mut running, |round| round["status"] == "failed");
        fs::write(&path, right + "\n").unwrap();
        let round = rounds_until(&mut running, |round| round["status"] == "complete")
            .pop()
            .unwrap();
        assert_eq!(round["appended"], 5, "{name}: {round}");
        let round = rounds_until(&mut running, |round| round["status"] == "complete")
            .pop()
            .unwrap();
        let minted = u64::from(login == PortLogin::Client);
        let (requests, pages) = (round["requests"].as_u64(), round["pages"].as_u64().unwrap());
        assert_eq!(
            requests,
            Some(pages + minted),
            "{name}: a later round is refused: {round}"
        );
        let run = running.terminate();
        assert_eq!(run.code, 0, "{}", run.stderr);
        let said = format!("{}{}", run.stderr, catalog.app_log());
        assert!(said.contains(&format!("{name}_FILE was read again")), "{name}: {said}");
        assert!(
            said.contains(&format!("{name}_FILE must name a file with a usable token")),
            "{name}: {said}"
        );
        assert!(!said.contains("hunter2"), "{name}: {said}");
    }
}

#[test]
fn on_a_loopback_address_only_names_of_this_machine_are_answered() {
    let sandbox = two_streams(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let mut running = start(&catalog, &["--json", "--metrics-listen", "127.0.0.1:0"]);
    let said = running.complaint_with("serving metrics at http://");
    let address = said
        .split("http://")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let port = address.rsplit(':').next().unwrap();
    let status = |lines: &str, target: &str| {
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for host in [
        address.clone(),
        format!("localhost:{port}"),
        "LocalHost".into(),
        "[::1]".into(),
        "127.0.0.2".into(),
    ] {
        assert_eq!(status(&format!("Host: {host}\r\n"), "/metrics"), "200", "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.evil.example",
        "",
    ] {
        assert_eq!(status(&format!("Host: {host}\r\n"), "/metrics"), "421", "{host}");
    }
    assert_eq!(status("Host: localhost\r\nHost: evil.example\r\n", "/metrics"), "421");
    assert_eq!(status("Host: localhost\r\n", "http://evil.example/metrics"), "421");
    assert_eq!(running.terminate().code, 0);
}
