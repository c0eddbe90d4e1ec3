//! An ssh-agent that signs: the part of its protocol (draft-ietf-sshm-ssh-agent) that is needed, with bounds on sizes and times.
//!
//! A plain Ed25519 key signs the bytes that it is given, as signed notes want it. One of a security token (`sk-…`) signs its own
//! counter and flags with them, so no verifier of notes would take what it signs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::tree::sha256;

/// How long an agent may take to answer; it may ask a person first.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer; OpenSSH sends none that is longer.
#[cfg(unix)]
const LONGEST: u32 = 256 * 1024;

/// More keys than this are not looked at.
const MOST_KEYS: u32 = 2048;

/// The messages that are needed.
const LIST: u8 = 11;
const LISTED: u8 = 12;
const SIGN: u8 = 13;
const SIGNED: u8 = 14;

/// The type of keys that can sign notes, and what the types of those of security tokens begin with.
const ED25519: &[u8] = b"ssh-ed25519";
const TOKEN: &[u8] = b"sk-";

/// Why an agent does not sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("no ssh-agent: SSH_AUTH_SOCK is not set")]
    NoAgent,
    #[error("cannot talk to the ssh-agent at {path}: {cause}")]
    Io { path: String, cause: io::Error },
    #[cfg(unix)]
    #[error("the ssh-agent at {path} has not answered in time")]
    TooSlow { path: String },
    #[error("the ssh-agent gives an answer that is none")]
    Form,
    #[error(
        "the ssh-agent has {count} keys, and none of them is {fingerprint}: `ssh-add` adds it, `ssh-add -l` lists them"
    )]
    NotThere { fingerprint: String, count: u32 },
    #[error(
        "{fingerprint} is the key of a security token ({kind}): with what it is given it signs a counter and flags of the token, and no \
         verifier takes that for the signature of a checkpoint; make a plain one with `ssh-keygen -t ed25519`"
    )]
    Token { fingerprint: String, kind: String },
    #[error(
        "{fingerprint} is of the type {kind}, and only ssh-ed25519 keys sign checkpoints: `ssh-keygen -t ed25519` makes one"
    )]
    Kind { fingerprint: String, kind: String },
    #[error("the ssh-agent refuses to sign with {fingerprint}: is it locked, or did a person refuse?")]
    Refused { fingerprint: String },
}

/// A key in an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentKey {
    socket: PathBuf,
    fingerprint: String,
    /// The public key as agents write it.
    blob: Vec<u8>,
    pub(super) public: [u8; 32],
}

impl AgentKey {
    /// Finds the key with a fingerprint.
    ///
    /// # Errors
    /// If it is not there, is of another type, or the agent does not answer.
    pub(super) fn find(socket: Option<&Path>, fingerprint: &str) -> Result<Self, AgentError> {
        let socket = socket.ok_or(AgentError::NoAgent)?;
        let answer = exchange(socket, &[LIST], PATIENCE)?;
        let (blob, public) = key_of(&answer, fingerprint)?;
        Ok(Self {
            socket: socket.to_owned(),
            fingerprint: fingerprint.to_owned(),
            blob,
            public,
        })
    }

    /// Signs some bytes.
    ///
    /// # Errors
    /// If the agent refuses, or does not answer.
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], AgentError> {
        let flags = 0_u32.to_be_bytes();
        let request = [&[SIGN][..], &string(&self.blob), &string(bytes), &flags].concat();
        let answer = exchange(&self.socket, &request, PATIENCE)?;
        let Some((&SIGNED, content)) = answer.split_first() else {
            let fingerprint = self.fingerprint.clone();
            return Err(AgentError::Refused { fingerprint });
        };
        signature(content).ok_or(AgentError::Form)
    }
}

/// Finds a key in an answer that lists them.
fn key_of(answer: &[u8], fingerprint: &str) -> Result<(Vec<u8>, [u8; 32]), AgentError> {
    let mut reader = match answer.split_first() {
        Some((&LISTED, content)) => Reader(content),
        _ => return Err(AgentError::Form),
    };
    let count = reader
        .number()
        .filter(|count| *count <= MOST_KEYS)
        .ok_or(AgentError::Form)?;
    for _ in 0..count {
        let blob = reader.string().ok_or(AgentError::Form)?;
        let _comment = reader.string().ok_or(AgentError::Form)?;
        if format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(blob).0)) == fingerprint {
            return Ok((blob.to_owned(), public(blob, fingerprint)?));
        }
    }
    let fingerprint = fingerprint.to_owned();
    Err(AgentError::NotThere { fingerprint, count })
}

/// Returns the key in a blob: its type, and for this type the key.
fn public(blob: &[u8], fingerprint: &str) -> Result<[u8; 32], AgentError> {
    let mut reader = Reader(blob);
    let kind = reader.string().ok_or(AgentError::Form)?;
    if kind == ED25519 {
        let key = reader.string().filter(|_| reader.0.is_empty());
        return key.and_then(|key| key.try_into().ok()).ok_or(AgentError::Form);
    }
    let fingerprint = fingerprint.to_owned();
    let shown = kind.escape_ascii().to_string();
    Err(if kind.starts_with(TOKEN) {
        AgentError::Token {
            fingerprint,
            kind: shown,
        }
    } else {
        AgentError::Kind {
            fingerprint,
            kind: shown,
        }
    })
}

/// Returns the signature in an answer: a string with its type and itself.
fn signature(content: &[u8]) -> Option<[u8; 64]> {
    let mut reader = Reader(content);
    let mut inner = Reader(reader.string()?);
    let (kind, signature) = (inner.string()?, inner.string()?);
    let is_whole = kind == ED25519 && inner.0.is_empty() && reader.0.is_empty();
    signature.try_into().ok().filter(|_| is_whole)
}

/// Reads what agents write.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

/// Returns bytes with their length before them.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// Sends a message, and returns the answer.
#[cfg(unix)]
fn exchange(socket: &Path, message: &[u8], patience: Duration) -> Result<Vec<u8>, AgentError> {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    let path = || socket.display().to_string();
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AgentError::TooSlow { path: path() },
        _ => AgentError::Io { path: path(), cause },
    };
    let end = Instant::now() + patience;
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_write_timeout(Some(patience)).map_err(failed)?;
    stream.write_all(&string(message)).map_err(failed)?;
    let mut length = [0; 4];
    read_until(&mut stream, &mut length, end).map_err(failed)?;
    let length = u32::from_be_bytes(length);
    if !(1..=LONGEST).contains(&length) {
        return Err(AgentError::Form);
    }
    let mut answer = vec![0; length as usize];
    read_until(&mut stream, &mut answer, end).map_err(failed)?;
    Ok(answer)
}

/// Reads as much as there is room for, until a moment.
#[cfg(unix)]
fn read_until(
    stream: &mut std::os::unix::net::UnixStream,
    mut room: &mut [u8],
    end: std::time::Instant,
) -> io::Result<()> {
    use std::io::Read;

    while !room.is_empty() {
        let left = end.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => room = &mut room[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Elsewhere agents listen at other things than sockets.
#[cfg(not(unix))]
fn exchange(socket: &Path, _: &[u8], _: Duration) -> Result<Vec<u8>, AgentError> {
    let cause = io::ErrorKind::Unsupported.into();
    Err(AgentError::Io {
        path: socket.display().to_string(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(blobs: &[Vec<u8>]) -> Vec<u8> {
        let keys = blobs
            .iter()
            .flat_map(|blob| [string(blob), string(b"a comment")].concat());
        let count = (blobs.len() as u32).to_be_bytes();
        [&[LISTED][..], &count, &keys.collect::<Vec<_>>()].concat()
    }

    fn blob(kind: &[u8], key: &[u8]) -> Vec<u8> {
        [string(kind), string(key)].concat()
    }

    fn fingerprint(blob: &[u8]) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(blob).0))
    }

    #[test]
    fn a_plain_key_is_found_by_its_fingerprint_and_any_other_type_is_named() {
        let plain = blob(ED25519, &[7; 32]);
        let token = blob(b"sk-ssh-ed25519@openssh.com", &[7; 32]);
        let rsa = blob(b"ssh-rsa", &[7; 257]);
        let all = listing(&[rsa.clone(), token.clone(), plain.clone()]);
        let found = key_of(&all, &fingerprint(&plain)).unwrap();
        assert_eq!(found, (plain.clone(), [7; 32]));
        let error = key_of(&all, &fingerprint(&token)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a security token (sk-ssh-ed25519@openssh.com)"),
            "{error}"
        );
        let error = key_of(&all, &fingerprint(&rsa)).unwrap_err();
        assert!(
            matches!(&error, AgentError::Kind { kind, .. } if kind == "ssh-rsa"),
            "{error}"
        );
        let error = key_of(&listing(&[rsa]), &fingerprint(&plain)).unwrap_err();
        assert!(matches!(error, AgentError::NotThere { count: 1, .. }), "{error}");
        for end in 0..all.len() {
            assert!(key_of(&all[..end], &fingerprint(&plain)).is_err(), "{end}");
        }
        let many = [&[LISTED][..], &u32::MAX.to_be_bytes()].concat();
        assert!(matches!(key_of(&many, &fingerprint(&plain)), Err(AgentError::Form)));
        let odd = blob(ED25519, &[7; 31]);
        assert!(matches!(
            key_of(&listing(std::slice::from_ref(&odd)), &fingerprint(&odd)),
            Err(AgentError::Form)
        ));
    }

    #[test]
    fn a_signature_is_of_the_type_of_the_key_and_nothing_stands_behind_it() {
        let good = string(&blob(ED25519, &[9; 64]));
        assert_eq!(signature(&good), Some([9; 64]));
        assert_eq!(signature(&[good.clone(), vec![0]].concat()), None);
        assert_eq!(signature(&string(&blob(b"ssh-rsa", &[9; 64]))), None);
        assert_eq!(signature(&string(&blob(ED25519, &[9; 63]))), None);
        for end in 0..good.len() {
            assert_eq!(signature(&good[..end]), None, "{end}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_agent_that_hangs_or_answers_without_end_is_left() {
        use std::io::{Read, Write};
        use std::os::unix::net::UnixListener;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        let answers: [Option<&[u8]>; 4] = [None, Some(b"\0\0"), Some(&[0xff; 64]), Some(&[0; 4])];
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 5]).unwrap();
                stream.write_all(answer.unwrap_or_default()).unwrap();
                open.push(stream);
            }
            // The first ones stay open, and say nothing more.
            let _ = listener.accept();
        });
        let ask = || exchange(&path, &[LIST], Duration::from_millis(50)).unwrap_err();
        assert!(matches!(ask(), AgentError::TooSlow { .. }));
        assert!(matches!(ask(), AgentError::TooSlow { .. }));
        assert!(matches!(ask(), AgentError::Form));
        assert!(matches!(ask(), AgentError::Form));
        let gone = exchange(&folder.path().join("none"), &[LIST], PATIENCE).unwrap_err();
        assert!(matches!(gone, AgentError::Io { .. }), "{gone}");
    }
}
