//! Time stamps (RFC 3161): OpenSSL answers, and OpenSSL verifies what is kept.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;
use crate::support::{process, succeed, tool};
use tempfile::TempDir;

const CONFIG: &str = "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\nsigner_digest = sha256\n\
                      default_policy = 1.2.3.4.1\ndigests = sha256\n";

/// A service for time stamps, which hands on what it was asked.
struct Service {
    folder: TempDir,
    address: String,
    asked: Receiver<Vec<u8>>,
}

impl Service {
    /// Answers with what `answer` makes of OpenSSL's answer.
    fn start(answer: fn(Vec<u8>) -> (u16, Vec<u8>)) -> Option<Self> {
        let openssl = || tool("openssl", "openssl");
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let request = "req -x509 -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.pem -days 2 -subj /CN=tsa.example.org -addext \
                       extendedKeyUsage=critical,timeStamping";
        succeed(openssl()?.current_dir(&root).args(request.split(' ')));
        fs::write(root.join("config"), CONFIG).unwrap();
        fs::write(root.join("serial"), "01\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/stamp", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (head, query) = read_request(&mut stream);
                assert!(head.contains("application/timestamp-query"), "{head}");
                fs::write(root.join("query"), &query).unwrap();
                let reply = "ts -reply -config config -queryfile query -out reply";
                succeed(Command::new("openssl").current_dir(&root).args(reply.split(' ')));
                let (status, body) = answer(fs::read(root.join("reply")).unwrap());
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                if sender.send(query).is_err() {
                    return;
                }
            }
        });
        Some(Self { folder, address, asked })
    }
}

fn read_request(stream: &mut impl Read) -> (String, Vec<u8>) {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

/// What OpenSSL says of the newest time stamp.
fn openssl_verifies(catalog: &Catalog, service: &Service, size: u64) -> bool {
    let run = process::run(Command::new("openssl").current_dir(folder(catalog)).args([
        "ts",
        "-verify",
        "-data",
        &format!("checkpoints/{size}"),
        "-in",
        &format!("anchors/{size}.tsr"),
        "-CAfile",
        service.folder.path().join("tsa.pem").to_str().unwrap(),
    ]));
    run.code == 0 && run.stdout.contains("Verification: OK")
}

fn stamped(catalog: &Catalog) -> Vec<u64> {
    let verdict = verify(catalog, 0, &[]);
    verdict["timestamps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stamp| {
            let at: DateTime<Utc> = stamp["at"].as_str().unwrap().parse().unwrap();
            assert!((now() - at).num_seconds().abs() < 600, "{stamp}");
            stamp["size"].as_u64().unwrap()
        })
        .collect()
}

#[test]
fn each_new_checkpoint_gets_a_time_stamp_that_openssl_verifies() {
    let Some(service) = Service::start(|reply| (200, reply)) else {
        return;
    };
    let sandbox = daily(3);
    let mut catalog = unsealed(&sandbox, &[Api::Tfc]);
    catalog.set("EVIDENCE_TSA_URL", &service.address);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    let [size] = stamped(&catalog)[..] else {
        panic!("one time stamp")
    };
    assert_eq!(size, entries(&catalog).len() as u64);
    assert!(openssl_verifies(&catalog, &service, size));
    let shown = catalog.run(&["verify", "--evidence"]).stdout;
    assert!(
        shown.contains(&format!(
            "not checked here: openssl ts -verify -data checkpoints/{size} -in anchors/{size}.tsr"
        )),
        "{shown}"
    );
    assert_eq!(service.asked.try_iter().count(), 1);
    // Nothing is new: nothing is asked.
    seal(&catalog, 0);
    let after = stamped(&catalog);
    assert_eq!(service.asked.try_iter().count(), after.len() - 1);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect(0, &[]);
    seal(&catalog, 0);
    let newest = *stamped(&catalog).last().unwrap();
    assert!(newest > size && openssl_verifies(&catalog, &service, newest));
    // It is of this checkpoint and no other.
    let anchors = folder(&catalog).join("anchors");
    fs::copy(
        anchors.join(format!("{size}.tsr")),
        anchors.join(format!("{newest}.tsr")),
    )
    .unwrap();
    assert!(!openssl_verifies(&catalog, &service, newest));
    assert_eq!(stamped(&catalog), [size]);
    let _before = service.asked.try_iter().count();
    // So it is asked for again, as is one that is broken.
    let kept = anchors.join(format!("{newest}.tsr"));
    for junk in [None, Some("junk")] {
        junk.inspect(|junk| fs::write(&kept, junk).unwrap());
        assert_eq!(stamped(&catalog), [size]);
        seal(&catalog, 0);
        assert_eq!(service.asked.try_iter().count(), 1);
        assert_eq!(stamped(&catalog), [size, newest]);
        assert!(openssl_verifies(&catalog, &service, newest));
    }
}

/// What a service makes of a good reply: the status and the body of its answer.
type Answer = fn(Vec<u8>) -> (u16, Vec<u8>);

#[test]
fn a_time_stamp_that_cannot_be_had_is_a_warning_and_is_made_up_for() {
    let answers: [Answer; 4] = [
        |_| (503, b"later".to_vec()),
        |_| (200, b"<html>hello</html>".to_vec()),
        |_| (200, vec![0x30, 5, 0x30, 3, 2, 1, 2]),
        |mut reply| {
            let at = reply
                .windows(4)
                .position(|bytes| bytes == [0x05, 0x00, 0x04, 0x20])
                .unwrap();
            reply[at + 4] ^= 1;
            (200, reply)
        },
    ];
    let sandbox = daily(3);
    let mut catalog = unsealed(&sandbox, &[Api::Tfc]);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.collect(0, &[]);
    for answer in answers {
        let Some(service) = Service::start(answer) else { return };
        catalog.set("EVIDENCE_TSA_URL", &service.address);
        let run = catalog.run(&["seal"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(
            run.stderr
                .contains("no time stamp from 127.0.0.1, the next seal asks again: "),
            "{}",
            run.stderr
        );
        assert_eq!(stamped(&catalog), [0; 0]);
    }
    catalog.set("EVIDENCE_TSA_URL", "http://127.0.0.1:9/");
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("no time stamp from 127.0.0.1"), "{}", run.stderr);
    let Some(service) = Service::start(|reply| (200, reply)) else {
        return;
    };
    catalog.set("EVIDENCE_TSA_URL", &service.address);
    seal(&catalog, 0);
    let [size] = stamped(&catalog)[..] else {
        panic!("one time stamp")
    };
    assert!(openssl_verifies(&catalog, &service, size));
}
