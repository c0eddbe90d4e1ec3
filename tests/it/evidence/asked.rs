//! Witnesses that are asked over HTTP: a stand-in that is written from C2SP `tlog-witness`, with another author's proofs and notes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::tlog::{Hash, check_tree};

use super::*;
use crate::support::{PATIENCE, Run, wait_until};

/// What the stand-in does instead of what the specification asks for.
#[derive(Clone, Debug)]
enum Whim {
    None,
    Answer(u16, &'static str),
    /// The cosignature of somebody else, and one of another text by the right key.
    Strangers,
    /// It never answers.
    Hang,
    /// It never answers from the request of this number on; before, it does as it should.
    HangAt(usize),
    /// It answers the requests up to this number as it should, and is away after that.
    OnlyAt(usize),
    /// Another history is a status 409, as version 1.0.0 has it of one of the same size; with the size or with a word.
    Conflicts {
        says_size: bool,
    },
}

/// What a witness knows.
struct State {
    /// The public key of the log.
    log: String,
    whim: Whim,
    /// The size and the root that it has cosigned last.
    last: Option<(u64, [u8; 32])>,
    /// The old size and the status of each request.
    requests: Vec<(String, u16)>,
}

struct Asked {
    key: Arc<Ed25519KeyPair>,
    address: String,
    state: Arc<Mutex<State>>,
}

const NAME: &str = "witness.example/w1";

fn key_id(public: &[u8]) -> Vec<u8> {
    let text = [NAME.as_bytes(), b"\n", &[4], public].concat();
    digest(&SHA256, &text).as_ref()[..4].to_vec()
}

/// The line with a cosignature of the text of a checkpoint.
fn cosignature(key: &Ed25519KeyPair, text: &str) -> String {
    let time = now().timestamp() as u64;
    let signature = key.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
    let public = key.public_key().as_ref();
    let bytes = [&key_id(public)[..], &time.to_be_bytes(), signature.as_ref()].concat();
    format!("\u{2014} {NAME} {}\n", STANDARD.encode(bytes))
}

fn root_of(text: &str) -> [u8; 32] {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

impl State {
    /// What the specification says of a request to add a checkpoint.
    fn judge(&mut self, key: &Ed25519KeyPair, body: &str) -> (u16, &'static str, String) {
        let plain = |status| (status, "text/plain", String::new());
        let (head, checkpoint) = body.split_once("\n\n").unwrap();
        let mut lines = head.split('\n');
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<_> = lines.map(|line| Hash(root_of(line))).collect();
        let known = StandardVerifier::new(&self.log).unwrap();
        let (origin, _) = self.log.split_once('+').unwrap();
        let note = Note::from_bytes(checkpoint.as_bytes()).unwrap();
        let text = std::str::from_utf8(note.text()).unwrap().to_owned();
        let three: Vec<_> = text.lines().collect();
        if three[0] != origin {
            return plain(404);
        }
        if note.verify(&VerifierList::new(vec![Box::new(known)])).is_err() {
            return plain(403);
        }
        let (size, root): (u64, _) = (three[1].parse().unwrap(), root_of(three[2]));
        if old > size {
            return plain(400);
        }
        let (last, last_root) = self.last.unwrap_or((0, [0; 32]));
        if old != last {
            return (409, "text/x.tlog.size", format!("{last}\n"));
        }
        let is_consistent = if old == 0 {
            proof.is_empty()
        } else if old == size {
            proof.is_empty() && root == last_root
        } else {
            check_tree(&proof, size, Hash(root), old, Hash(last_root)).is_ok()
        };
        if !is_consistent {
            return plain(422);
        }
        self.last = Some((size, root));
        (200, "text/plain", cosignature(key, &text))
    }

    fn answer(&mut self, key: &Ed25519KeyPair, body: &str) -> Option<(u16, &'static str, String)> {
        Some(match self.whim {
            Whim::None => self.judge(key, body),
            Whim::Answer(status, body) => (status, "text/plain", body.to_owned()),
            Whim::Hang => return None,
            Whim::HangAt(number) if self.requests.len() + 1 >= number => return None,
            Whim::OnlyAt(number) if self.requests.len() >= number => (503, "text/plain", String::new()),
            Whim::HangAt(_) | Whim::OnlyAt(_) => self.judge(key, body),
            Whim::Conflicts { says_size } => match self.judge(key, body) {
                (422, ..) if says_size => (409, "text/x.tlog.size", format!("{}\n", self.last.unwrap().0)),
                (422, ..) => (409, "text/plain", "old root hash did not match\n".to_owned()),
                other => other,
            },
            Whim::Strangers => {
                let (_, checkpoint) = body.split_once("\n\n").unwrap();
                let text = format!("{}\n", checkpoint.split("\n\n").next().unwrap());
                let other = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
                let lines = cosignature(&other, &text) + &cosignature(key, &text.replace('\n', "\nx"));
                (200, "text/plain", lines)
            }
        })
    }
}

impl Asked {
    fn start(log: &Catalog) -> Self {
        let policy = fs::read_to_string(folder(log).join("policy.txt")).unwrap();
        let line = policy.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
        let key = Arc::new(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/w1", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            log: line.to_owned(),
            whim: Whim::None,
            last: None,
            requests: Vec::new(),
        }));
        let (of_thread, signer) = (state.clone(), key.clone());
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                held.extend(serve_one(stream.unwrap(), &of_thread, &signer));
            }
        });
        Self { key, address, state }
    }

    /// The policy that names it, with its address, as the operator and the auditor have it.
    fn policy(&self, log: &Catalog, address: &str) -> String {
        let public = self.key.public_key().as_ref();
        let id: String = key_id(public).iter().map(|byte| format!("{byte:02x}")).collect();
        let key = STANDARD.encode([&[4], public].concat());
        let own = fs::read_to_string(folder(log).join("policy.txt")).unwrap();
        let own = own.replace("quorum none\n", "");
        let path = log.root().join("witness.policy");
        fs::write(
            &path,
            format!("{own}witness W1 {NAME}+{id}+{key} {address}\nquorum W1\n"),
        )
        .unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn whim(&self, whim: Whim) {
        self.state.lock().unwrap().whim = whim;
    }

    fn last(&self) -> u64 {
        self.state.lock().unwrap().last.map_or(0, |(size, _)| size)
    }

    /// The requests since this was asked last.
    fn requests(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

/// Answers one request; returns the connection if it is to stay open without an answer.
fn serve_one(mut stream: TcpStream, state: &Mutex<State>, key: &Ed25519KeyPair) -> Option<TcpStream> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).unwrap();
    assert!(head.starts_with("POST /w1/add-checkpoint HTTP/1.1\r\n"), "{head}");
    let body = String::from_utf8(body).unwrap();
    let mut state = state.lock().unwrap();
    let answer = state.answer(key, &body);
    let old = body.lines().next().unwrap().to_owned();
    state
        .requests
        .push((old, answer.as_ref().map_or(0, |(status, ..)| *status)));
    let Some((status, kind, body)) = answer else {
        return Some(stream);
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes());
    None
}

/// A log that has begun, and a witness that it asks.
fn witnessed(sandbox: &Sandbox) -> (Catalog, Asked, String) {
    let mut catalog = unsealed(sandbox, &[Api::Tfc]);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    let witness = Asked::start(&catalog);
    let policy = witness.policy(&catalog, &witness.address);
    catalog.set("EVIDENCE_WITNESS_POLICY", &policy);
    (catalog, witness, policy)
}

fn grow(sandbox: &Sandbox, id: &str) {
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), id)]);
}

#[track_caller]
fn collect(catalog: &Catalog, code: i32) -> Run {
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    run
}

fn size(catalog: &Catalog) -> u64 {
    entries(catalog).len() as u64
}

#[test]
fn each_new_checkpoint_is_cosigned_by_the_witness_that_is_asked() {
    let sandbox = daily(3);
    let (mut catalog, witness, policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    assert_eq!(witness.last(), size(&catalog));
    // First the one of `keygen`, which nobody had asked about, then the one of the seal.
    assert_eq!(
        witness.requests(),
        [("old 0".to_owned(), 200), ("old 1".to_owned(), 200)]
    );
    let verdict = verify(&catalog, 0, &["--policy", &policy]);
    assert_eq!(verdict["anchors"][1]["witness"], NAME, "{verdict}");
    assert_eq!(verdict["anchored_size"], size(&catalog));
    let before = size(&catalog);
    grow(&sandbox, "a");
    collect(&catalog, 0);
    assert!(size(&catalog) > before);
    assert_eq!(witness.last(), size(&catalog));
    assert_eq!(
        verify(&catalog, 0, &["--policy", &policy])["anchored_size"],
        size(&catalog)
    );
    // What the host has forgotten of the witness it tells itself.
    fs::remove_dir_all(folder(&catalog).join("anchors")).unwrap();
    witness.requests();
    seal(&catalog, 0);
    let expected = [("old 0".to_owned(), 409), (format!("old {}", size(&catalog)), 200)];
    assert_eq!(witness.requests()[..2], expected);
    assert_eq!(
        verify(&catalog, 0, &["--policy", &policy])["anchored_size"],
        size(&catalog)
    );
    // A key that follows is signed for by both.
    let run = catalog.run(&["evidence", "rotate"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_witness_that_gives_no_cosignature_is_a_warning_and_is_made_up_for() {
    let sandbox = daily(3);
    let (mut catalog, witness, policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    let whims = [
        (Whim::Answer(503, "later"), "status 503"),
        (
            Whim::Answer(404, ""),
            "it does not know this log, or is no witness (status 404)",
        ),
        (
            Whim::Answer(403, ""),
            "it does not know the key of this log (status 403)",
        ),
        (Whim::Answer(422, ""), "status 422"),
        (Whim::Answer(409, "<html>"), "status 409, without the size"),
        (
            Whim::Answer(409, "0\n"),
            "status 409, although it was asked from the 0 entries",
        ),
        (Whim::Answer(200, "<html>hello</html>"), "has no cosignature"),
        (Whim::Answer(200, ""), "has no cosignature"),
        (Whim::Strangers, "has no cosignature"),
    ];
    for (whim, problem) in whims {
        grow(&sandbox, &format!("{whim:?}"));
        witness.whim(whim);
        let run = collect(&catalog, 0);
        let warning = format!("no cosignature from {NAME}, the next seal asks again: ");
        assert!(
            run.stderr.contains(&warning) && run.stderr.contains(problem),
            "{problem}: {}",
            run.stderr
        );
        // It is asked once in a run that gets nothing.
        assert_eq!(witness.requests().len(), 1, "{problem}");
        verify(&catalog, 3, &["--policy", &policy]);
    }
    witness.whim(Whim::None);
    let nowhere = witness.policy(&catalog, "http://127.0.0.1:9/w1");
    grow(&sandbox, "nowhere");
    let run = collect(&catalog, 0);
    assert!(run.stderr.contains("no cosignature from"), "{}", run.stderr);
    verify(&catalog, 3, &["--policy", &nowhere]);
    witness.policy(&catalog, &witness.address);
    seal(&catalog, 0);
    assert_eq!(witness.last(), size(&catalog));
    verify(&catalog, 0, &["--policy", &policy]);
}

#[test]
fn nothing_is_sealed_where_a_witness_has_seen_more_or_another_history() {
    let sandbox = daily(3);
    let (mut catalog, witness, _policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    let log = folder(&catalog);
    let kept = ["entries.jsonl", "checkpoint"].map(|name| (name, fs::read(log.join(name)).unwrap()));
    grow(&sandbox, "a");
    collect(&catalog, 0);
    let seen = witness.last();
    let restore = || {
        // Without what the witness gave: it is what a backup does not hold.
        for folder in ["anchors", "checkpoints"] {
            fs::remove_dir_all(log.join(folder)).unwrap();
        }
        fs::create_dir(log.join("checkpoints")).unwrap();
        for (name, content) in &kept {
            fs::write(log.join(name), content).unwrap();
        }
        let size = entries(&catalog).len();
        fs::copy(log.join("checkpoint"), log.join(format!("checkpoints/{size}"))).unwrap();
    };
    restore();
    let older = size(&catalog);
    grow(&sandbox, "b");
    let run = collect(&catalog, 3);
    let problem = format!(
        "the witness {NAME} has seen another history: it has cosigned {seen} entries, and the log has {older}; nothing is signed"
    );
    assert!(run.stderr.contains(&problem), "{}", run.stderr);
    for arguments in [
        &["seal"][..],
        &["evidence", "rotate"],
        &["evidence", "acknowledge", "tfc_audit_2026-01-01.log", "--reason", "x"],
        &["expire", "--older-than", "3d", "--yes"],
    ] {
        let run = catalog.run(arguments);
        assert!(
            run.code == 3 && run.stderr.contains(&problem),
            "{arguments:?}: {} {}",
            run.code,
            run.stderr
        );
    }
    assert_eq!(size(&catalog), older);
    // A second history as long as the first one, which was made while nobody asked.
    let policy = catalog.root().join("witness.policy");
    catalog.unset("EVIDENCE_WITNESS_POLICY");
    for round in 0..20 {
        if size(&catalog) <= seen {
            grow(&sandbox, &format!("other {round}"));
            collect(&catalog, 0);
        }
    }
    catalog.set("EVIDENCE_WITNESS_POLICY", policy.display());
    let longer = size(&catalog);
    grow(&sandbox, "c");
    let run = collect(&catalog, 3);
    assert!(
        run.stderr
            .contains(&format!("the first {seen} entries are not those that it has cosigned")),
        "{}",
        run.stderr
    );
    assert_eq!((size(&catalog), witness.last()), (longer, seen));
}

#[test]
fn a_policy_that_names_nobody_to_ask_is_an_error() {
    let sandbox = daily(2);
    let (mut catalog, witness, policy) = witnessed(&sandbox);
    let table = [
        (witness.policy(&catalog, ""), "names no witness with an address"),
        (
            witness.policy(&catalog, "w1.example"),
            "the address of witness.example/w1 is no URL",
        ),
        ("/nowhere.policy".to_owned(), "/nowhere.policy"),
    ];
    for (index, (path, problem)) in table.into_iter().enumerate() {
        let address = ["", "w1.example", ""][index];
        witness.policy(&catalog, address);
        catalog.set("EVIDENCE_WITNESS_POLICY", &path);
        let run = catalog.run(&["seal"]);
        assert!(
            run.code == 1
                && run.stderr.contains("EVIDENCE_WITNESS_POLICY cannot be used")
                && run.stderr.contains(problem),
            "{} {}",
            run.code,
            run.stderr
        );
        let run = collect(&catalog, 3);
        assert!(
            run.stderr.contains("not sealed: EVIDENCE_WITNESS_POLICY"),
            "{}",
            run.stderr
        );
    }
    witness.policy(&catalog, &witness.address);
    catalog.set("EVIDENCE_WITNESS_POLICY", &policy);
    seal(&catalog, 0);
}

/// Ends a command while it waits for the witness, before anything is added.
#[cfg(unix)]
#[track_caller]
fn ended(catalog: &Catalog, witness: &Asked, arguments: &[&str], signal: rustix::process::Signal) -> Run {
    witness.requests();
    let mut process = catalog.start(arguments);
    wait_until("the witness is asked", PATIENCE, || {
        process.assert_running();
        !witness.requests().is_empty()
    });
    process.signal(signal);
    process.end()
}

#[cfg(unix)]
#[test]
fn a_command_that_is_ended_while_a_witness_is_asked_adds_nothing() {
    use rustix::process::Signal;

    let sandbox = daily(5);
    let (mut catalog, witness, _policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    grow(&sandbox, "a");
    let log = || ["entries.jsonl", "checkpoint"].map(|name| fs::read(folder(&catalog).join(name)).unwrap());
    let (before, sealed) = (log(), size(&catalog));
    witness.whim(Whim::Hang);
    // What was collected is kept, and sealed by the next run.
    let run = ended(&catalog, &witness, &["collect"], Signal::INT);
    assert!(
        run.code == 3 && run.stderr.contains("not sealed: interrupted"),
        "{} {}",
        run.code,
        run.stderr
    );
    assert_eq!(log(), before);
    let run = ended(&catalog, &witness, &["hold", "add", "case"], Signal::INT);
    assert!(
        run.code == 3 && run.stderr.contains("not sealed: interrupted"),
        "{} {}",
        run.code,
        run.stderr
    );
    assert_eq!(catalog.run(&["hold", "list"]).stdout.matches("case").count(), 1);
    assert_eq!(log(), before);
    let days = catalog.day_files(Api::Tfc);
    for arguments in [
        &["seal"][..],
        &["evidence", "rotate"],
        &["evidence", "acknowledge", "tfc_audit_2026-01-01.log", "--reason", "x"],
        &["expire", "--older-than", "2d", "--yes"],
    ] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let run = ended(&catalog, &witness, arguments, signal);
            // `seal` ends by itself; of the others the signal does, and -1 stands for what shells show as the same code.
            let code = if arguments == ["seal"] { code } else { -1 };
            assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
            assert_eq!(run.stdout, "", "{arguments:?}");
            assert_eq!((log(), catalog.day_files(Api::Tfc)), (before.clone(), days.clone()));
        }
    }
    witness.whim(Whim::None);
    seal(&catalog, 0);
    assert!(size(&catalog) > sealed);
    assert_eq!(witness.last(), size(&catalog));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_waiting_for_a_witness_for_what_is_sealed() {
    let sandbox = daily(2);
    let (mut catalog, witness, policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    grow(&sandbox, "a");
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let before = size(&catalog);
    grow(&sandbox, "b");
    witness.whim(Whim::HangAt(2));
    witness.requests();
    let mut process = catalog.start(&["collect"]);
    wait_until("the witness is asked about what is new", PATIENCE, || {
        process.assert_running();
        witness.state.lock().unwrap().requests.len() == 2
    });
    process.signal(rustix::process::Signal::INT);
    let run = process.end();
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("not waited for what others say"), "{}", run.stderr);
    assert!(size(&catalog) > before);
    witness.whim(Whim::None);
    seal(&catalog, 0);
    verify(&catalog, 0, &["--policy", &policy]);
    assert_eq!(witness.last(), size(&catalog));
}

#[test]
fn a_witness_that_holds_as_many_other_entries_refuses_by_whatever_status() {
    let sandbox = daily(2);
    let (mut catalog, witness, _policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    let own = witness.state.lock().unwrap().last;
    let (known, _) = own.unwrap();
    let refused = |catalog: &Catalog| {
        let run = catalog.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&run.stdout).unwrap();
        status["evidence"]["refused"].as_array().unwrap().len()
    };
    let conflicts = [true, false].map(|says_size| Whim::Conflicts { says_size });
    // Of the same size, then of a checkpoint that the witness has not seen yet.
    for round in 0..2 {
        for whim in [Whim::None].into_iter().chain(conflicts.clone()) {
            witness.state.lock().unwrap().last = Some((known, [9; 32]));
            witness.whim(whim.clone());
            let before = size(&catalog);
            grow(&sandbox, &format!("{round} {whim:?}"));
            let run = collect(&catalog, 3);
            assert!(
                run.stderr
                    .contains(&format!("the witness {NAME} has seen another history: "))
                    && run.stderr.contains(&format!("{known} entries")),
                "{whim:?}: {}",
                run.stderr
            );
            assert_eq!((size(&catalog), refused(&catalog)), (before, 1), "{whim:?}");
            assert_eq!(catalog.run(&["status", "--nagios"]).code, 2);
        }
        witness.state.lock().unwrap().last = own;
        witness.whim(Whim::None);
        if round == 0 {
            // It cosigns what it knows, and is away when more is sealed.
            witness.whim(Whim::OnlyAt(1));
            witness.requests();
            collect(&catalog, 0);
            assert!(size(&catalog) > known);
        } else {
            collect(&catalog, 0);
        }
        assert_eq!(refused(&catalog), 0);
    }
    // What is no answer of a witness, and one that has lost what it knew, say nothing of the log.
    for (body, problem) in [
        ("<html>", "status 409, without the size"),
        ("0\n", "status 409, although it was asked from the 0 entries"),
    ] {
        witness.whim(Whim::Answer(409, body));
        let run = collect(&catalog, 0);
        assert!(run.stderr.contains(problem), "{body}: {}", run.stderr);
        assert_eq!(refused(&catalog), 0, "{body}");
    }
}

#[test]
fn status_says_how_many_entries_wait_and_for_whom() {
    let sandbox = daily(2);
    let (mut catalog, witness, _policy) = witnessed(&sandbox);
    let waiting = |catalog: &Catalog| {
        let run = catalog.run(&["status", "--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        serde_json::from_str::<Value>(&run.stdout).unwrap()["evidence"].clone()
    };
    witness.whim(Whim::Answer(503, ""));
    collect(&catalog, 0);
    let all = size(&catalog);
    let standing = waiting(&catalog);
    assert_eq!(
        (standing["entries"].as_u64(), standing["unsigned"].as_u64()),
        (Some(all), Some(0))
    );
    assert_eq!(standing["uncosigned"][0]["witness"], NAME);
    assert_eq!(standing["uncosigned"][0]["entries"], all);
    assert!(
        standing["unstamped"].is_null() && standing["unsent"].is_null(),
        "{standing}"
    );
    catalog.set("EVIDENCE_TSA_URL", "http://127.0.0.1:9/");
    catalog.set("EVIDENCE_KAFKA_TOPIC", "checkpoints");
    let text = catalog.run(&["status"]).stdout;
    for what in [
        "wait for a time stamp".to_owned(),
        "wait to be sent to Kafka".to_owned(),
        format!("wait for a cosignature by {NAME}"),
    ] {
        assert!(text.contains(&format!("evidence: {all} entries {what}\n")), "{text}");
    }
    catalog.unset("EVIDENCE_TSA_URL");
    catalog.unset("EVIDENCE_KAFKA_TOPIC");
    witness.whim(Whim::None);
    seal(&catalog, 0);
    assert_eq!(waiting(&catalog)["uncosigned"][0]["entries"], 0);
    let text = catalog.run(&["status"]).stdout;
    assert!(!text.contains("evidence:"), "{text}");
}

/// The sample of a metric in the file, if it is there.
fn sample(file: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.to_owned())
}

#[test]
fn a_witness_that_refuses_is_an_alarm_until_it_cosigns_again() {
    let sandbox = daily(2);
    let (catalog, witness, _policy) = witnessed(&sandbox);
    let file = catalog.root().join("trailkeeper.prom");
    let run = |code| {
        let run = catalog.run(&["collect", "--metrics-file", file.to_str().unwrap()]);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    };
    let standing = || {
        let run = catalog.run(&["status", "--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        serde_json::from_str::<Value>(&run.stdout).unwrap()["evidence"].clone()
    };
    let refuses = format!("trailkeeper_evidence_witness_refuses{{witness=\"{NAME}\"}}");
    let waits = format!("trailkeeper_evidence_waiting_entries{{awaits=\"cosignature\",witness=\"{NAME}\"}}");
    let success = "trailkeeper_evidence_last_seal_success";
    run(0);
    assert_eq!(standing()["refused"].as_array().unwrap().len(), 0);
    assert_eq!(catalog.run(&["status", "--nagios"]).code, 0);
    assert_eq!(sample(&file, &refuses).as_deref(), Some("0"));
    assert_eq!(sample(&file, &waits).as_deref(), Some("0"));
    assert_eq!(sample(&file, success).as_deref(), Some("1"));
    witness.whim(Whim::Answer(409, "999\n"));
    run(3);
    let refused = standing()["refused"].clone();
    assert_eq!(refused[0]["witness"], NAME, "{refused}");
    let since = refused[0]["since"].as_str().unwrap().to_owned();
    let problem = refused[0]["problem"].as_str().unwrap();
    assert!(
        problem.starts_with("it has cosigned 999 entries, and the log has "),
        "{problem}"
    );
    // One that is down afterwards takes nothing back.
    witness.whim(Whim::Answer(503, ""));
    run(0);
    assert_eq!(standing()["refused"][0]["since"], since);
    let said = format!("the witness {NAME} refuses the log since ");
    let text = catalog.run(&["status"]).stdout;
    assert!(text.contains(&format!("evidence: {said}")), "{text}");
    let late = catalog.run(&["status", "--max-age", "30d", "-q"]);
    assert!(
        late.code == 3 && late.stderr.contains(&said),
        "{} {}",
        late.code,
        late.stderr
    );
    let plugin = catalog.run(&["status", "--nagios"]);
    assert!(
        plugin.code == 2 && plugin.stdout.starts_with(&format!("CRITICAL: evidence: {said}")),
        "{} {}",
        plugin.code,
        plugin.stdout
    );
    assert_eq!(sample(&file, &refuses).as_deref(), Some("1"));
    witness.whim(Whim::None);
    run(0);
    assert_eq!(standing()["refused"].as_array().unwrap().len(), 0);
    assert_eq!(catalog.run(&["status", "--nagios"]).code, 0);
    assert_eq!(sample(&file, &refuses).as_deref(), Some("0"));
    assert_eq!(sample(&file, success).as_deref(), Some("1"));
}

#[test]
fn a_policy_of_witnesses_that_cannot_be_used_is_an_alarm() {
    let sandbox = daily(2);
    let (catalog, witness, policy) = witnessed(&sandbox);
    let file = catalog.root().join("trailkeeper.prom");
    let own = fs::read_to_string(folder(&catalog).join("policy.txt")).unwrap();
    witness.policy(&catalog, "http://w1.example/");
    let in_clear = fs::read_to_string(&policy).unwrap();
    let unusable = [
        ("lag\n".to_owned(), "it is not a line of a policy"),
        (own, "names no witness with an address"),
        (in_clear, "the address of witness.example/w1 must begin with `https://`"),
    ];
    for (text, problem) in unusable {
        fs::write(&policy, text).unwrap();
        let run = catalog.run(&["collect", "--metrics-file", file.to_str().unwrap()]);
        assert!(
            run.code == 3 && run.stderr.contains(problem),
            "{problem}: {}",
            run.stderr
        );
        let success = sample(&file, "trailkeeper_evidence_last_seal_success");
        assert_eq!(success.as_deref(), Some("0"));
        let plugin = catalog.run(&["status", "--nagios"]);
        assert!(plugin.code == 2 && plugin.stdout.contains(problem), "{}", plugin.stdout);
    }
}

#[test]
fn a_witness_is_asked_by_hand_by_who_has_only_what_was_published() {
    let sandbox = daily(3);
    let (mut catalog, witness, policy) = witnessed(&sandbox);
    catalog.unset("EVIDENCE_WITNESS_POLICY");
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    let published = catalog.root().join("published");
    let publish = || {
        let run = catalog.run(&["evidence", "publish", "--to", published.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    };
    publish();
    let desk = Catalog::bare();
    let cosign = |log: &Path, url: &str| {
        let log = log.to_str().unwrap();
        desk.run(&["evidence", "cosign", "--log", log, "--policy", &policy, "--url", url])
    };
    let run = cosign(&published, &witness.address);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!((witness.last(), witness.requests().len()), (size(&catalog), 1));
    // What it gives counts for whoever verifies.
    let kept = catalog.root().join("w1.cosig");
    fs::write(&kept, &run.stdout).unwrap();
    let kept = kept.to_str().unwrap();
    let verdict = verify(&catalog, 0, &["--policy", &policy, "--checkpoint", kept]);
    assert_eq!(verdict["anchored_size"], size(&catalog), "{verdict}");
    // It is asked from where it is, although nothing of that is known here.
    let before = size(&catalog);
    let older = catalog.root().join("older");
    fs::rename(&published, &older).unwrap();
    grow(&sandbox, "a");
    collect(&catalog, 0);
    publish();
    let run = cosign(&published, &witness.address);
    assert_eq!((run.code, witness.last()), (0, size(&catalog)), "{}", run.stderr);
    let expected = [("old 0".to_owned(), 409), (format!("old {before}"), 200)];
    assert_eq!(witness.requests(), expected);
    let refusals = [
        (&older, Whim::None, "has seen another history: it has cosigned"),
        (&published, Whim::Strangers, "has none by a witness of the policy"),
        (&published, Whim::Answer(503, ""), "gives no cosignature: "),
        (
            &published,
            Whim::Answer(409, "<html>"),
            "is this the address of a witness?",
        ),
    ];
    for (log, whim, problem) in refusals {
        witness.whim(whim);
        let run = cosign(log, &witness.address);
        assert!(
            run.code == 3 && run.stderr.contains(problem),
            "{} {}",
            run.code,
            run.stderr
        );
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn only_what_the_witness_gives_now_is_a_cosignature_when_it_is_asked_by_hand() {
    let sandbox = daily(2);
    let (mut catalog, witness, policy) = witnessed(&sandbox);
    catalog.unset("EVIDENCE_WITNESS_POLICY");
    collect(&catalog, 0);
    let published = catalog.root().join("published");
    let run = catalog.run(&["evidence", "publish", "--to", published.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let out = catalog.root().join("w1.cosig");
    let cosign = || {
        let [log, out] = [&published, &out].map(|path| path.to_str().unwrap());
        let what = [
            "--log",
            log,
            "--policy",
            &policy,
            "--url",
            &witness.address,
            "--out",
            out,
        ];
        catalog.run(&[&["evidence", "cosign"][..], &what].concat())
    };
    assert_eq!(cosign().code, 0);
    // The checkpoint of the copy carries what the witness has given before.
    fs::rename(&out, published.join("checkpoint")).unwrap();
    for whim in [Whim::Answer(200, ""), Whim::Answer(200, "\n"), Whim::Strangers] {
        witness.whim(whim.clone());
        let run = cosign();
        assert!(
            run.code == 3 && run.stderr.contains("has none by a witness of the policy"),
            "{whim:?}: {} {}",
            run.code,
            run.stderr
        );
        assert!(!out.exists(), "{whim:?}");
    }
    witness.whim(Whim::None);
    let run = cosign();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let note = fs::read_to_string(&out).unwrap();
    assert_eq!(note.matches(&format!("\u{2014} {NAME} ")).count(), 1, "{note}");
    let checkpoint = ["--policy", &policy, "--checkpoint", out.to_str().unwrap()];
    assert_eq!(verify(&catalog, 0, &checkpoint)["anchored_size"], size(&catalog));
}

#[test]
fn a_witness_that_is_asked_by_hand_has_a_key_in_the_policy_and_an_address_that_nobody_can_forge() {
    let sandbox = daily(2);
    let (catalog, witness, policy) = witnessed(&sandbox);
    let of_log = folder(&catalog).join("policy.txt");
    let cosign = |policy: &str, url: &str| {
        let log = folder(&catalog).display().to_string();
        catalog.run(&["evidence", "cosign", "--log", &log, "--policy", policy, "--url", url])
    };
    let run = cosign(of_log.to_str().unwrap(), &witness.address);
    assert!(
        run.code == 3 && run.stderr.contains("has no line `witness`"),
        "{} {}",
        run.code,
        run.stderr
    );
    let run = cosign(&policy, "http://w1.example/");
    assert!(
        run.code == 2 && run.stderr.contains("--url must begin with"),
        "{} {}",
        run.code,
        run.stderr
    );
}

#[test]
fn a_witness_that_has_lost_what_it_knew_is_told() {
    let sandbox = daily(2);
    let (mut catalog, witness, _policy) = witnessed(&sandbox);
    catalog.set("SEAL_EVERY_MINUTES", "0");
    collect(&catalog, 0);
    let known = size(&catalog);
    witness.state.lock().unwrap().last = None;
    let run = collect(&catalog, 0);
    let warning = format!("has cosigned {known} entries, and says that it was 0: it has lost what it knew");
    assert!(run.stderr.contains(&warning), "{}", run.stderr);
}
