//! The key that signs checkpoints, and the file that holds it.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::note::{KeyKind, VerifierKey};
use crate::fs::{FileError, Private, create_private, read_private};

/// What the key file begins with, before the public key; the form is that of the notes of Go's checksum database, which other
/// tools read: `PRIVATE+KEY+<name>+<id>+<base64 of the type and the seed>`.
const PRIVATE: &str = "PRIVATE+KEY+";

/// Read limit of a key file; it holds one line.
const MAX_KEY_FILE: u64 = 4096;

/// A private key with the name of the log that it signs for.
pub(crate) struct Signer {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignerError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} does not hold a signing key: restore the file that `trailkeeper evidence keygen` wrote")]
    Form { path: String },
    #[error(
        "{path} holds a key for something else: that of a witness signs checkpoints of others, and nothing but these"
    )]
    OtherKind { path: String },
    #[error(
        "{path} is there already, and no key is written over another one: name a file of its own for each log, organization and \
         person; if it is the key of this log, whose folder is lost, restore that folder, or `trailkeeper evidence restart`"
    )]
    Taken { path: String },
    #[error("{path} can be read by others: chmod 600 {path}")]
    Exposed { path: String },
    #[error("the system has no random numbers for a key")]
    Random,
}

impl Signer {
    /// Makes a new key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn generate(name: &str) -> Result<Self, SignerError> {
        Self::generate_of(name, KeyKind::Note)
    }

    /// Makes a new key for a witness.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn generate_cosigner(name: &str) -> Result<Self, SignerError> {
        Self::generate_of(name, KeyKind::Cosignature)
    }

    fn generate_of(name: &str, kind: KeyKind) -> Result<Self, SignerError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(seed.as_mut())
            .map_err(|_| SignerError::Random)?;
        Self::of_seed(name, kind, seed).ok_or(SignerError::Random)
    }

    fn of_seed(name: &str, kind: KeyKind, seed: Zeroizing<[u8; 32]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self {
            verifier: VerifierKey::new(name, kind, public),
            pair,
            seed,
        })
    }

    /// Reads the key of a file, which signs notes.
    ///
    /// # Errors
    /// If it is missing, can be read by others, or holds no such key.
    pub(crate) fn read(path: &Path) -> Result<Self, SignerError> {
        Self::read_of(path, KeyKind::Note, Private::FromGroup)
    }

    /// Reads the key that systemd has put into a file for this process.
    ///
    /// # Errors
    /// If it is missing, can be read by others, or holds no such key.
    pub(super) fn read_credential(path: &Path) -> Result<Self, SignerError> {
        Self::read_of(path, KeyKind::Note, Private::FromOthers)
    }

    /// Reads the key of a witness.
    ///
    /// # Errors
    /// If it is missing, can be read by others, or holds no such key.
    pub(crate) fn read_cosigner(path: &Path) -> Result<Self, SignerError> {
        Self::read_of(path, KeyKind::Cosignature, Private::FromGroup)
    }

    fn read_of(path: &Path, kind: KeyKind, from: Private) -> Result<Self, SignerError> {
        let shown = || path.display().to_string();
        let (content, is_private) = read_private(path, MAX_KEY_FILE, from)?;
        let content = Zeroizing::new(content);
        if !is_private {
            return Err(SignerError::Exposed { path: shown() });
        }
        let text = std::str::from_utf8(&content).ok();
        let signer = text.and_then(|text| Self::parse(text.trim_end()));
        let signer = signer.ok_or_else(|| SignerError::Form { path: shown() })?;
        if signer.verifier.kind() == kind {
            Ok(signer)
        } else {
            Err(SignerError::OtherKind { path: shown() })
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PRIVATE)?.split('+');
        let name = parts.next()?;
        // What is behind it is base64, which may hold a `+` too.
        let (id, rest) = (parts.next()?, parts.collect::<Vec<_>>().join("+"));
        let bytes = Zeroizing::new(STANDARD.decode(rest).ok()?);
        let (byte, seed) = bytes.split_first()?;
        let kind = [KeyKind::Note, KeyKind::Cosignature]
            .into_iter()
            .find(|kind| kind.byte() == *byte)?;
        let signer = Self::of_seed(name, kind, Zeroizing::new(seed.try_into().ok()?))?;
        (signer.verifier.name_and_id() == format!("{name}+{id}")).then_some(signer)
    }

    /// Writes the key to a new file that its owner alone can read.
    ///
    /// # Errors
    /// If something is there already, or the system refuses.
    pub(crate) fn write(&self, path: &Path) -> Result<(), SignerError> {
        let bytes = Zeroizing::new([&[self.verifier.kind().byte()], &self.seed[..]].concat());
        let named = self.verifier.name_and_id();
        let text = Zeroizing::new(format!("{PRIVATE}{named}+{}\n", STANDARD.encode(&bytes)));
        create_private(path, text.as_bytes()).map_err(|error| {
            if !error.is_there() {
                return error.into();
            }
            let path = path.display().to_string();
            SignerError::Taken { path }
        })
    }

    /// Returns the same key for the log of another name.
    pub(super) fn named(self, name: &str) -> Self {
        Self {
            verifier: self.verifier.named(name),
            ..self
        }
    }

    /// Returns the public key.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Returns the line with the signature of a text.
    pub(super) fn sign(&self, text: &str) -> String {
        self.verifier.signature_line(self.pair.sign(text.as_bytes()).as_ref())
    }

    /// Returns the same for the log of another name.
    pub(super) fn sign_as(&self, name: &str, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        self.verifier.named(name).signature_line(signature.as_ref())
    }

    /// Returns the line that says that a witness has seen a text at this time.
    pub(super) fn cosign(&self, text: &str, at: DateTime<Utc>) -> String {
        let (signed, time) = VerifierKey::to_cosign(text, at);
        let signature = self.pair.sign(signed.as_bytes());
        self.verifier.signature_line(&[&time[..], signature.as_ref()].concat())
    }

    /// Returns a key that is the same for each name.
    #[cfg(test)]
    pub(super) fn sample(name: &str) -> Self {
        Self::of_seed(name, KeyKind::Note, Zeroizing::new([7; 32])).unwrap()
    }
}

/// The private key is not shown.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.verifier.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for _ in 0..20 {
            let signer = Signer::generate("example.org/audit").unwrap();
            signer.write(&path).unwrap();
            assert!(matches!(signer.write(&path), Err(SignerError::Taken { .. })));
            let read = Signer::read(&path).unwrap();
            assert_eq!(read.verifier(), signer.verifier());
            assert_eq!(read.sign("text\n"), signer.sign("text\n"));
            fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Signer::sample("example.org/audit").write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Signer::read(&path).unwrap_err();
        assert!(matches!(error, SignerError::Exposed { .. }), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_key_is_not_shown() {
        for text in ["", "PRIVATE+KEY+a", "PRIVATE+KEY+a+00000000+AQ==", "a+b+c"] {
            assert!(Signer::parse(text).is_none(), "{text}");
        }
        let signer = Signer::sample("example.org/audit");
        assert!(format!("{signer:?}").starts_with("Signer(\"example.org/audit+"));
    }
}
