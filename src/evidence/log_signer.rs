//! Who signs a log: a key in a file, one that an ssh-agent holds, or one on another host.

use std::path::Path;

use super::agent::{AgentError, AgentKey};
use super::checkpoint::Checkpoint;
use super::note::{KeyError, KeyKind, VerifierKey};
use super::signer::{Signer, SignerError};
use crate::config::{EVIDENCE_PUBLIC_KEY, EvidenceSettings, KeySource};
use crate::env::Row;

/// The key of a log, wherever it is.
#[derive(Debug)]
pub(crate) enum LogSigner {
    /// It was read from a file.
    Held(Signer),
    /// An agent signs with it.
    Agent { key: AgentKey, verifier: VerifierKey },
    /// It is on another host, which signs later.
    Elsewhere(VerifierKey),
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error("the public key of the log, in {name}, cannot be used: {0}", name = EVIDENCE_PUBLIC_KEY.name())]
    PublicKey(#[from] KeyError),
    #[error("the ssh-agent has signed something else: nothing is signed")]
    Other,
    #[error(
        "the key is the credential {0} of systemd, and CREDENTIALS_DIRECTORY is not set: only the service itself can sign"
    )]
    NoCredentials(String),
}

impl LogSigner {
    /// Reads the key that the settings name, for the log of this name.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(super) fn of(settings: &EvidenceSettings, source: &KeySource, name: &str) -> Result<Self, SigningError> {
        match source {
            KeySource::File(path) => Ok(Self::Held(Signer::read(path)?.named(name))),
            KeySource::Credential(credential) => {
                let folder = settings.credentials.as_ref();
                let folder = folder.ok_or_else(|| SigningError::NoCredentials(credential.clone()))?;
                Ok(Self::Held(
                    Signer::read_credential(&folder.join(credential))?.named(name),
                ))
            }
            KeySource::Agent(fingerprint) => Self::in_agent(settings.ssh_agent.as_deref(), fingerprint, name),
            KeySource::Elsewhere(key) => Ok(Self::Elsewhere(VerifierKey::parse(key)?.named(name))),
        }
    }

    /// Finds the key with a fingerprint in an agent, for the log of this name.
    ///
    /// # Errors
    /// If it is not there, or cannot sign.
    pub(super) fn in_agent(socket: Option<&Path>, fingerprint: &str, name: &str) -> Result<Self, SigningError> {
        let key = AgentKey::find(socket, fingerprint)?;
        let verifier = VerifierKey::new(name, KeyKind::Note, key.public);
        Ok(Self::Agent { key, verifier })
    }

    /// Returns the public key.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        match self {
            Self::Held(signer) => signer.verifier(),
            Self::Agent { verifier, .. } | Self::Elsewhere(verifier) => verifier,
        }
    }

    /// Returns the line with the signature of a text; `None` if it comes later.
    ///
    /// # Errors
    /// If an agent refuses, or has signed something else.
    fn sign(&self, text: &str) -> Result<Option<String>, SigningError> {
        match self {
            Self::Held(signer) => Ok(Some(signer.sign(text))),
            Self::Elsewhere(_) => Ok(None),
            Self::Agent { key, verifier } => {
                let signature = key.sign(text.as_bytes())?;
                let is_right = verifier.has_signed_bytes(text, &signature);
                is_right
                    .then(|| Some(verifier.signature_line(&signature)))
                    .ok_or(SigningError::Other)
            }
        }
    }
}

/// Returns a checkpoint with the signatures of these signers; `None` if one of them signs later.
///
/// # Errors
/// If one of them does not sign.
pub(super) fn signed(checkpoint: &Checkpoint, signers: &[&LogSigner]) -> Result<Option<String>, SigningError> {
    let text = checkpoint.text();
    let signatures = signers.iter().map(|signer| signer.sign(&text));
    let signatures: Option<String> = signatures.collect::<Result<_, _>>()?;
    Ok(signatures.map(|signatures| format!("{text}\n{signatures}")))
}
