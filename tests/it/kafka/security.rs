//! TLS and SASL reach librdkafka: listeners that look at the handshake and go no further.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};

use super::outbox::{DAYS, MODES, Outbox};
use crate::support::certificates::{chain_of, pem};
use crate::support::{PATIENCE, side_by_side};

/// The API keys of <https://kafka.apache.org/protocol.html#protocol_api_keys>.
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

fn outbox(server: &str) -> Outbox {
    let mut outbox = Outbox::without_broker()
        .with("KAFKA_SERVER", server)
        .with("KAFKA_TIMEOUT_SECONDS", "3");
    outbox.append(DAYS[0], 1, 10);
    outbox
}

/// Listens, and answers with what `look` saw in the first connection that it has something to say of.
fn listen(mut look: impl FnMut(TcpStream) -> Option<String> + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (seen, first) = channel();
    thread::spawn(move || seen.send(listener.incoming().find_map(|stream| look(stream.unwrap())).unwrap()));
    (address, first)
}

/// What the listener saw.
fn seen(first: &Receiver<String>) -> String {
    first
        .recv_timeout(PATIENCE)
        .expect("waited in vain until a client had something to say")
}

/// A listener that demands a client certificate; it tells the API key of the first request that comes through.
fn tls_listener() -> (String, Receiver<String>) {
    let mut roots = RootCertStore::empty();
    chain_of("ca.pem").into_iter().for_each(|root| roots.add(root).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            chain_of("server.pem"),
            PrivateKeyDer::from_pem_file(pem("server.key")).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    listen(move |mut stream| {
        let mut connection = ServerConnection::new(config.clone()).unwrap();
        let request = read_frame(&mut Stream::new(&mut connection, &mut stream))?;
        let subject = connection.peer_certificates()?.first()?.to_vec();
        let is_ours = subject == *chain_of("client.pem")[0];
        Some(format!("request {}, our client: {is_ours}", int16(&request, 0)))
    })
}

fn read_frame(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn write_frame(stream: &mut impl Write, request: &[u8], body: &[u8]) {
    let mut frame = (4 + body.len() as u32).to_be_bytes().to_vec();
    frame.extend(&request[4..8]); // The correlation id.
    frame.extend(body);
    stream.write_all(&frame).unwrap();
}

fn int16(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[test]
fn authorities_certificate_and_key_make_a_tls_connection() {
    let (address, first) = tls_listener();
    let outbox = outbox(&address)
        .with("KAFKA_SSL_CA_CERT", pem("ca.pem").to_str().unwrap())
        .with("KAFKA_SSL_CLIENT_CERT", pem("client.pem").to_str().unwrap())
        .with("KAFKA_SSL_CLIENT_KEY", pem("client.key").to_str().unwrap());
    let failed = outbox.forward(3);
    assert_eq!(failed["waiting"], 1);
    assert_eq!(seen(&first), format!("request {API_VERSIONS}, our client: true"));
}

#[test]
fn an_unknown_authority_is_told() {
    let (address, _) = tls_listener();
    let outbox = outbox(&address)
        .with("KAFKA_SSL_CA_CERT", pem("other-ca.pem").to_str().unwrap())
        // It is told at once: nobody would wait as long as this.
        .with("KAFKA_TIMEOUT_SECONDS", "3600");
    let error = outbox.forward(3)["error"].to_string();
    assert!(error.contains("certificate verify failed"), "{error}");
}

#[test]
fn a_tls_port_without_tls_in_the_settings_is_told_by_check_and_when_forwarding() {
    let (address, _listener) = tls_listener();
    let mut outbox = outbox(&address);
    let advice = "; the port seems to want TLS: set KAFKA_SSL_CA_CERT, or KAFKA_PROPERTIES=security.protocol=ssl";
    let run = outbox.catalog.run(&["check", "--forward-kafka", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let problem = json["forwarders"][0]["problems"][0].as_str().unwrap();
    assert!(problem.contains(advice), "{problem}");
    for id in MODES {
        outbox = outbox.with("KAFKA_TRANSACTIONAL_ID", id);
        let failed = outbox.forward(3);
        let error = failed["error"].as_str().unwrap();
        assert!(
            error.contains("acknowledged nothing for 3 s: ") && error.contains(advice),
            "{error}"
        );
    }
}

#[test]
fn check_tells_of_an_unknown_authority() {
    let (address, _) = tls_listener();
    let outbox = outbox(&address).with("KAFKA_SSL_CA_CERT", pem("other-ca.pem").to_str().unwrap());
    let run = outbox.catalog.run(&["check", "--forward-kafka", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let problem = json["forwarders"][0]["problems"][0].as_str().unwrap();
    for part in [
        "no TLS connection",
        "certificate verify failed",
        "check that KAFKA_SSL_CA_CERT",
    ] {
        assert!(problem.contains(part), "{problem}");
    }
    assert_eq!(run.code, 1);
}

#[test]
fn a_file_that_is_no_certificate_is_a_fault_of_the_settings() {
    let outbox = outbox("127.0.0.1:9").with("KAFKA_SSL_CA_CERT", pem("README.md").to_str().unwrap());
    let run = outbox.run(&[]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("KAFKA_SSL_CA_CERT"), "{}", run.stderr);
}

/// What a client says to a broker that wants SASL: the mechanism, and the first words of the exchange.
fn sasl_exchange(mut stream: TcpStream) -> Option<String> {
    let mut mechanism = String::new();
    // A login takes three or four requests.
    for _ in 0..100 {
        let request = read_frame(&mut stream)?;
        match int16(&request, 0) {
            API_VERSIONS => {
                // Version 0 of the answer, to any version of the request, with what a login needs.
                let mut body = 35_i16.to_be_bytes().to_vec();
                if int16(&request, 2) == 0 {
                    body = 0_i16.to_be_bytes().to_vec();
                }
                body.extend(3_i32.to_be_bytes());
                for (key, most) in [(API_VERSIONS, 0), (SASL_HANDSHAKE, 1), (SASL_AUTHENTICATE, 0_i16)] {
                    [key, 0, most]
                        .iter()
                        .for_each(|number| body.extend(number.to_be_bytes()));
                }
                write_frame(&mut stream, &request, &body);
            }
            SASL_HANDSHAKE => {
                mechanism = last_text(&request, 2);
                let mut body = vec![0, 0, 0, 0, 0, 1];
                body.extend((mechanism.len() as i16).to_be_bytes());
                body.extend(mechanism.as_bytes());
                write_frame(&mut stream, &request, &body);
            }
            SASL_AUTHENTICATE => {
                let words = last_text(&request, 4);
                let words = words.split(",r=").next().unwrap().replace('\0', "|");
                return Some(format!("{mechanism}: {words}"));
            }
            other => return Some(format!("request {other} without a login")),
        }
    }
    Some("a hundred requests without a login".into())
}

/// The text at the end of a request, behind a length of so many bytes.
fn last_text(request: &[u8], length_bytes: usize) -> String {
    let client_end = 10 + int16(request, 8) as usize;
    String::from_utf8(request[client_end + length_bytes..].to_vec()).unwrap()
}

#[test]
fn every_sasl_mechanism_user_and_password_reach_the_broker() {
    let cases = [
        ("PLAIN", "PLAIN: |trailkeeper|pässwörd"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256: n,,n=trailkeeper"),
        ("SCRAM-SHA-512", "SCRAM-SHA-512: n,,n=trailkeeper"),
    ];
    side_by_side(cases, |(mechanism, words)| {
        let (address, first) = listen(sasl_exchange);
        let outbox = outbox(&address)
            .with("KAFKA_SASL_MECHANISM", mechanism)
            .with("KAFKA_SASL_USERNAME", "trailkeeper")
            .with("KAFKA_SASL_PASSWORD", "pässwörd");
        outbox.forward(3);
        assert_eq!(seen(&first), words);
    });
}
