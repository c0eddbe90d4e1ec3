//! Keys in a real ssh-agent: it signs for the log, and what it cannot sign with is named.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::*;
use crate::support::process::Process;
use crate::support::{PATIENCE, wait_until};
use crate::support::{process, succeed, tool};
use tempfile::TempDir;

/// An agent, which ends with this.
struct Agent {
    folder: TempDir,
    _process: Process,
}

impl Agent {
    fn start() -> Option<Self> {
        let mut command = tool("ssh-agent", "openssh-client")?;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let process = Process::start(command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()));
        wait_until("the agent listens", PATIENCE, || UnixStream::connect(&socket).is_ok());
        Some(Self {
            folder,
            _process: process,
        })
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Adds a new key of a type, and returns its fingerprint as `ssh-add -l` shows it.
    fn add(&self, kind: &str) -> String {
        let file = self.folder.path().join(format!("{kind}-{}", self.prints().len()));
        let make = ["-q", "-t", kind, "-N", "", "-C", "evidence", "-f"];
        succeed(Command::new("ssh-keygen").args(make).arg(&file));
        succeed(
            Command::new("ssh-add")
                .env("SSH_AUTH_SOCK", self.socket())
                .arg("-q")
                .arg(&file),
        );
        self.prints().pop().unwrap()
    }

    fn prints(&self) -> Vec<String> {
        let run = process::run(Command::new("ssh-add").env("SSH_AUTH_SOCK", self.socket()).arg("-l"));
        let words = run.stdout.lines().filter_map(|line| line.split(' ').nth(1));
        words
            .filter(|word| word.starts_with("SHA256:"))
            .map(str::to_owned)
            .collect()
    }

    fn remove_all(&self) {
        succeed(
            Command::new("ssh-add")
                .env("SSH_AUTH_SOCK", self.socket())
                .args(["-q", "-D"]),
        );
    }

    /// Adds the key of a security token that is not plugged in.
    fn add_token(&self) -> String {
        let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        let parts: [&[u8]; 4] = [b"sk-ssh-ed25519@openssh.com", &[7; 32], b"ssh:", b"handle"];
        let [kind, key, application, handle] = parts.map(string);
        let message = [
            &[17][..],
            &kind,
            &key,
            &application,
            &[1],
            &handle,
            &string(b""),
            &string(b"token"),
        ]
        .concat();
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(&string(&message)).unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0, 0, 0, 1, 6], "the agent takes the key");
        self.prints().pop().unwrap()
    }
}

/// A catalog whose key is this one of an agent.
fn with_agent(sandbox: &Sandbox, agent: &Agent, print: &str) -> Catalog {
    let mut catalog = unsealed(sandbox, &[Api::Tfc]);
    catalog.unset("EVIDENCE_KEY_FILE");
    catalog.set("EVIDENCE_KEY_AGENT", print);
    catalog.set("SSH_AUTH_SOCK", agent.socket().display());
    catalog
}

#[test]
fn a_key_in_an_agent_signs_the_log_and_hands_over_to_another_one() {
    let Some(agent) = Agent::start() else { return };
    agent.add("rsa");
    let (first, second) = (agent.add("ed25519"), agent.add("ed25519"));
    let sandbox = daily(3);
    let mut catalog = with_agent(&sandbox, &agent, &first);
    let made = catalog.run(&["evidence", "keygen"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stdout.contains("Use the key for nothing else"), "{}", made.stdout);
    catalog.collect(0, &[]);
    seal(&catalog, 0);
    // Another author's program believes the note.
    let policy = catalog.root().join("auditor.policy");
    fs::copy(folder(&catalog).join("policy.txt"), &policy).unwrap();
    let trusting = ["--policy", policy.to_str().unwrap()];
    assert_eq!(problems(&verify(&catalog, 0, &trusting)), Vec::<String>::new());
    let vkey: signed_note::StandardVerifier =
        signed_note::StandardVerifier::new(made.stdout.lines().next().unwrap()).unwrap();
    let note = fs::read(folder(&catalog).join("checkpoint")).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(vkey)]);
    let (signatures, _) = signed_note::Note::from_bytes(&note).unwrap().verify(&known).unwrap();
    assert_eq!(signatures.len(), 1);
    // There is no file to make the next key in.
    let refused = catalog.run(&["evidence", "rotate"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("--agent SHA256:"),
        "{}",
        refused.stderr
    );
    let same = catalog.run(&["evidence", "rotate", "--agent", &first]);
    assert!(
        same.code == 1 && same.stderr.contains("signs already"),
        "{}",
        same.stderr
    );
    for _ in 0..2 {
        // Once more is no harm, as after a kill.
        let run = catalog.run(&["evidence", "rotate", "--agent", &second]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    assert_eq!(kinds(&catalog, "key").len(), 2);
    let run = catalog.run(&["seal"]);
    assert!(
        run.code == 3 && run.stderr.contains("goes on with another key"),
        "{}",
        run.stderr
    );
    catalog.set("EVIDENCE_KEY_AGENT", &second);
    seal(&catalog, 0);
    assert_eq!(problems(&verify(&catalog, 0, &trusting)), Vec::<String>::new());
}

#[test]
fn a_key_in_a_file_hands_over_to_one_in_an_agent() {
    let Some(agent) = Agent::start() else { return };
    let print = agent.add("ed25519");
    let sandbox = daily(3);
    let mut catalog = sealed(&sandbox, &[Api::Tfc]);
    catalog.set("SSH_AUTH_SOCK", agent.socket().display());
    let run = catalog.run(&["evidence", "rotate", "--agent", &print]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains(&format!("EVIDENCE_KEY_AGENT={print}")),
        "{}",
        run.stdout
    );
    catalog.set("EVIDENCE_KEY_AGENT", &print);
    let both = catalog.run(&["seal"]);
    assert!(
        both.code == 1 && both.stderr.contains("must not be set beside EVIDENCE_KEY_FILE"),
        "{}",
        both.stderr
    );
    catalog.unset("EVIDENCE_KEY_FILE");
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect(0, &[]);
    seal(&catalog, 0);
    verify(&catalog, 0, &[]);
}

#[test]
fn what_an_agent_cannot_sign_with_is_named_and_nothing_is_written() {
    let Some(agent) = Agent::start() else { return };
    let sandbox = daily(2);
    let (plain, rsa, token) = (agent.add("ed25519"), agent.add("rsa"), agent.add_token());
    for (print, why) in [
        (&token, "is the key of a security token (sk-ssh-ed25519@openssh.com)"),
        (&rsa, "is of the type ssh-rsa, and only ssh-ed25519 keys sign"),
        (
            &"SHA256:1hw2Yq8oH1vWlBCkYDUnXRWUQHwMHhUFCDqiKrsMTGg".to_owned(),
            "the ssh-agent has 3 keys, and none of them is",
        ),
    ] {
        let catalog = with_agent(&sandbox, &agent, print);
        let run = catalog.run(&["evidence", "keygen"]);
        assert!(run.code == 1 && run.stderr.contains(why), "{}", run.stderr);
        assert!(!folder(&catalog).exists());
    }
    let mut catalog = with_agent(&sandbox, &agent, &plain);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    agent.remove_all();
    let before = entries(&catalog);
    let run = catalog.run(&["collect"]);
    assert!(
        run.code == 3 && run.stderr.contains("not sealed: the ssh-agent has 0 keys"),
        "{}",
        run.stderr
    );
    assert_eq!(entries(&catalog), before);
    catalog.set("SSH_AUTH_SOCK", "/nowhere/agent");
    let run = catalog.run(&["seal"]);
    assert!(
        run.code == 1 && run.stderr.contains("cannot talk to the ssh-agent at /nowhere/agent"),
        "{}",
        run.stderr
    );
    catalog.unset("SSH_AUTH_SOCK");
    let run = catalog.run(&["collect"]);
    assert!(run.code == 1 && run.stderr.contains("SSH_AUTH_SOCK"), "{}", run.stderr);
    // Who only reads needs no key.
    assert_eq!(catalog.run(&["evidence", "publish", "--to", "published"]).code, 0);
}
