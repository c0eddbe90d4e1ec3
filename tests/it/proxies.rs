//! Proxies: each request goes through the one that is set, and one that cannot be used is no reason to do without.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use trailkeeper::sandbox::{Api, Sandbox};

use super::support::{Catalog, Run, at, event, serve};

/// A proxy that gives every request the same answer, and keeps what it was asked.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = exchange(stream, answer, &noted);
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn with_user(&self) -> String {
        format!("http://auditor:hunter2hunter2@{}", self.address)
    }

    /// The first line of each request.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter_map(|request| request.lines().next().map(str::to_owned))
            .collect()
    }
}

fn exchange(mut stream: TcpStream, answer: &[u8], noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let length = stream.read(&mut request)?;
    noted
        .lock()
        .unwrap()
        .push(String::from_utf8_lossy(&request[..length]).into_owned());
    stream.write_all(answer)
}

fn sandbox() -> Sandbox {
    serve(|options| options.give(Api::Tfc, vec![event(Api::Tfc, at(60), "a")]))
}

/// A stream whose service is on another host.
fn elsewhere(sandbox: &Sandbox) -> Catalog {
    Catalog::of(sandbox, &[Api::Tfc])
        .with("TFC_API_URL", "https://tfc.example.org")
        .with("MAX_RETRIES", 0)
}

const CONNECT: &str = "CONNECT tfc.example.org:443 HTTP/1.1";

fn error(run: &Run) -> String {
    run.summary()["tfc"]["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_and_no_request_goes_out_without_it() {
    let sandbox = sandbox();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY", "https_proxy"] {
        for value in [
            "http://[bad",
            "foo bar",
            "http://",
            "htp://user:hunter2hunter2@x:1",
            "socks5://x:1",
        ] {
            let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with(name, value);
            let run = catalog.run(&["collect", "--json"]);
            assert_eq!(run.code, 1, "{name}={value}: {}", run.stderr);
            assert!(
                run.stderr.contains(&format!("{name} must be the address of a proxy")),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
        }
    }
    assert_eq!(sandbox.request_count(Api::Tfc), 0);
}

#[test]
fn a_proxy_stands_in_the_environment_in_either_case_or_in_the_settings_file() {
    let sandbox = sandbox();
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        for in_file in [false, true] {
            let proxy = Proxy::answering(b"HTTP/1.1 403 Forbidden\r\n\r\n");
            let mut catalog = elsewhere(&sandbox).with(name, proxy.url());
            if in_file {
                fs::write(catalog.root().join(".env"), catalog.env_text()).unwrap();
                catalog.clear();
            }
            catalog.run(&["collect", "--json"]);
            assert!(
                proxy.asked().contains(&CONNECT.to_owned()),
                "{name}: {:?}",
                proxy.asked()
            );
        }
    }
}

#[test]
fn a_host_that_is_reached_without_a_proxy_is_named_in_every_form_that_is_read() {
    let sandbox = sandbox();
    let proxy = Proxy::answering(b"HTTP/1.1 503 Busy\r\n\r\n");
    let catalog = || elsewhere(&sandbox).with("HTTPS_PROXY", proxy.url());
    assert_eq!(catalog().run(&["collect", "--json"]).code, 3);
    let asked = proxy.asked().len();
    assert!(asked > 0);
    for (name, hosts) in [
        ("NO_PROXY", "elsewhere.example.com, tfc.example.org"),
        ("no_proxy", ".example.org"),
        ("NO_PROXY", "example.org"),
        ("NO_PROXY", "*"),
    ] {
        // There is no such host.
        let run = catalog().with(name, hosts).run(&["collect", "--json"]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(!error(&run).contains("proxy answered"), "{}", run.stderr);
    }
    assert_eq!(proxy.asked().len(), asked);
}

#[test]
fn a_proxy_that_does_not_connect_is_named_with_what_it_answers() {
    let sandbox = sandbox();
    for (answer, expected) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            "the proxy answered 407 to CONNECT: it asks for a user and a password, as in HTTPS_PROXY=http://user:password@",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            "the proxy answered 403 to CONNECT: it does not allow this host",
        ),
        (
            b"HTTP/1.1 502 Bad\r\n\r\n",
            "the proxy answered 502 to CONNECT: it could not reach this host",
        ),
        (
            b"HTTP/1.0 503 Busy\r\n\r\n",
            "the proxy answered 503 to CONNECT: it could not reach this host",
        ),
        (
            b"HTTP/1.1 418 Tea\r\n\r\n",
            "the proxy answered 418 to CONNECT: its own log has the reason",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "the proxy's answer to CONNECT is not HTTP: HTTPS_PROXY may be the address of",
        ),
        (b"", "the proxy refused to CONNECT to this host, without a reason"),
    ] {
        let proxy = Proxy::answering(answer);
        let run = elsewhere(&sandbox)
            .with("HTTPS_PROXY", proxy.url())
            .run(&["collect", "--json"]);
        let error = error(&run);
        assert!(error.contains(expected) && error.contains("any proxy"), "{error}");
        assert!(proxy.asked().len() <= 2, "{:?}", proxy.asked());
    }
}

#[test]
fn a_proxy_that_refuses_the_user_is_not_answered_that_it_asks_for_one() {
    let sandbox = sandbox();
    for (answer, expected) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            "the proxy answered 407 to CONNECT: it refused the user and the password of https_proxy",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy answered 403 to CONNECT"),
    ] {
        let proxy = Proxy::answering(answer);
        let run = elsewhere(&sandbox)
            .with("https_proxy", proxy.with_user())
            .run(&["collect", "--json", "-v"]);
        let error = error(&run);
        assert!(error.contains(expected), "{error}");
        assert!(!(run.stdout + &run.stderr).contains("hunter2"));
        let asked = proxy.asked.lock().unwrap();
        let header = "proxy-authorization: basic yxvkaxrvcjpodw50zxiyahvudgvymg==";
        assert!(
            asked.iter().all(|request| request.to_lowercase().contains(header)),
            "{asked:?}"
        );
    }
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named_by_its_variable() {
    let sandbox = sandbox();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = elsewhere(&sandbox)
        .with("HTTPS_PROXY", address)
        .run(&["collect", "--json"]);
    let error = error(&run);
    assert!(
        error.contains("the proxy of HTTPS_PROXY could not be reached"),
        "{error}"
    );
}

#[test]
fn this_machine_is_asked_without_a_proxy_since_only_here_a_secret_goes_unencrypted() {
    let sandbox = sandbox();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"] {
        let proxy = Proxy::answering(b"HTTP/1.1 403 Forbidden\r\n\r\n");
        let run = Catalog::of(&sandbox, &[Api::Tfc])
            .with(name, proxy.url())
            .run(&["collect"]);
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        assert_eq!(proxy.asked(), [""; 0], "{name}");
    }
}
