//! Signed notes (C2SP `signed-note`): a text, and below it the signatures of keys that have names.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::tree::sha256;

/// What a key signs; a key of one kind is none of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// Notes, with plain Ed25519 signatures.
    Note,
    /// Checkpoints of others, with the time (C2SP `tlog-cosignature`).
    Cosignature,
}

impl KeyKind {
    /// Returns the byte of its type.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosignature => 4,
        }
    }

    fn is_of(self, byte: u8) -> bool {
        self.byte() == byte
    }
}

/// Returns what a witness signs for a text: that it has seen it at this time, in seconds since 1970.
fn cosigned_text(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// What a line with a signature begins with: an em dash and a space.
const SIGNATURE: &str = "\u{2014} ";

/// A note with more signatures is not read; verifiers have to take 16.
const MOST_SIGNATURES: usize = 64;

/// The public key of a signer, with its name: a `vkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: [u8; 32],
}

/// Something that is no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("it is not of the form <name>+<8 hexadecimal digits>+<base64>")]
    Form,
    #[error("its digits are not those of its name and key: it was mistyped")]
    Mistyped,
    #[error(
        "it is of another type: only plain Ed25519 keys are known, and of witnesses those for Ed25519 cosignatures"
    )]
    OtherType,
}

/// Returns whether a key can have this name: no spaces, no `+`, no control characters.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

impl VerifierKey {
    pub(super) fn new(name: &str, kind: KeyKind, key: [u8; 32]) -> Self {
        let name = name.to_owned();
        Self { name, kind, key }
    }

    /// Reads a key that signs notes: `<name>+<id>+<base64>`.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        Self::parse_of(text, KeyKind::Note)
    }

    /// Reads the key of a witness, in the same form.
    pub(crate) fn parse_cosigner(text: &str) -> Result<Self, KeyError> {
        Self::parse_of(text, KeyKind::Cosignature)
    }

    fn parse_of(text: &str, kind: KeyKind) -> Result<Self, KeyError> {
        let (rest, key) = text.split_once('+').ok_or(KeyError::Form).and_then(|(name, rest)| {
            let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
            Ok(((name, id), key))
        })?;
        let (name, id) = rest;
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let Some((_, key)) = bytes.split_first().filter(|(byte, _)| kind.is_of(**byte)) else {
            return Err(KeyError::OtherType);
        };
        let key = <[u8; 32]>::try_from(key).map_err(|_| KeyError::Form)?;
        let key = Self::new(name, kind, key);
        if !is_name(name) {
            return Err(KeyError::Form);
        }
        if id != hex(&key.id()) {
            return Err(KeyError::Mistyped);
        }
        Ok(key)
    }

    /// Returns the name, which for the key of a log is its origin.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what a person compares: the SHA-256 of the public key, as `ssh-keygen -l` shows those of others.
    pub(crate) fn fingerprint(&self) -> String {
        let text = STANDARD.encode(sha256(&self.key).0);
        format!("SHA256:{}", text.trim_end_matches('='))
    }

    /// Returns what every form of the key begins with: its name and its id.
    pub(super) fn name_and_id(&self) -> String {
        format!("{}+{}", self.name, hex(&self.id()))
    }

    /// Returns its name and id as a part of the name of a file: names of keys can hold what those cannot.
    pub(super) fn file_name(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
        let name = self.name_and_id();
        let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        // The id at the end tells long names apart.
        plain[plain.len().saturating_sub(100)..].to_owned()
    }

    /// Returns the same key under another name.
    pub(super) fn named(&self, name: &str) -> Self {
        Self::new(name, self.kind, self.key)
    }

    /// Returns what it signs.
    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    fn id(&self) -> [u8; 4] {
        let hash = sha256(&[self.name.as_bytes(), b"\n", &[self.kind.byte()], &self.key].concat());
        [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
    }

    /// Whether it is the same key, whatever its name.
    pub(super) fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        match self.kind {
            KeyKind::Note => self.has_signed_bytes(text, signature),
            KeyKind::Cosignature => self.time_of(text, signature).is_some(),
        }
    }

    /// Returns the time of a cosignature, if it is one of this text.
    fn time_of(&self, text: &str, signature: &[u8]) -> Option<DateTime<Utc>> {
        let (time, signature) = signature.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let at = DateTime::from_timestamp(i64::try_from(time).ok()?, 0)?;
        let is_signed = self.has_signed_bytes(&cosigned_text(text, time), signature);
        is_signed.then_some(at)
    }

    pub(super) fn has_signed_bytes(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }

    /// Returns what a witness signs to say that it has seen a text at this time, and what stands before the signature.
    pub(super) fn to_cosign(text: &str, at: DateTime<Utc>) -> (String, [u8; 8]) {
        let time = u64::try_from(at.timestamp()).unwrap_or(0);
        (cosigned_text(text, time), time.to_be_bytes())
    }

    /// Returns the line with a signature by this key.
    pub(super) fn signature_line(&self, signature: &[u8]) -> String {
        let bytes = [&self.id(), signature].concat();
        format!("{SIGNATURE}{} {}\n", self.name, STANDARD.encode(bytes))
    }
}

/// The key as a policy has it.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.byte()], &self.key[..]].concat();
        write!(f, "{}+{}", self.name_and_id(), STANDARD.encode(bytes))
    }
}

/// A note whose signatures are not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Its text, with the newline at its end.
    pub(crate) text: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// Why a note is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoteError {
    #[error("it is not a signed note")]
    Form,
    #[error("no key that is trusted has signed it: it is signed by {0}")]
    UnknownKey(String),
    #[error("the signature by {0} is not of this text")]
    WrongSignature(String),
}

impl Note {
    /// Reads a note: its text, an empty line, its signatures.
    pub(crate) fn parse(note: &str) -> Result<Self, NoteError> {
        let has_controls = note.chars().any(|c| c < ' ' && c != '\n');
        let end = note.rfind("\n\n").filter(|_| !has_controls).ok_or(NoteError::Form)?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
        let signatures: Vec<_> = lines
            .split('\n')
            .map(Signature::parse)
            .collect::<Option<_>>()
            .ok_or(NoteError::Form)?;
        if signatures.len() > MOST_SIGNATURES {
            return Err(NoteError::Form);
        }
        let text = text.to_owned();
        Ok(Self { text, signatures })
    }

    /// Returns when a witness has cosigned the text, if it has.
    pub(super) fn cosigned_at(&self, key: &VerifierKey) -> Option<DateTime<Utc>> {
        let mut own = self.signatures.iter().filter(|signature| signature.is_by(key));
        own.find_map(|signature| key.time_of(&self.text, &signature.signature))
    }

    /// Returns the line with the cosignature of a witness, if it has cosigned the text.
    pub(super) fn cosignature_line(&self, key: &VerifierKey) -> Option<String> {
        let mut own = self.signatures.iter().filter(|signature| signature.is_by(key));
        let signature = own.find(|signature| key.time_of(&self.text, &signature.signature).is_some())?;
        Some(key.signature_line(&signature.signature))
    }

    /// Returns the note with one signature line more, in place of those that the same key has given before.
    pub(super) fn with_line_of(&self, key: &VerifierKey, line: &str) -> String {
        let others = self.signatures.iter().filter(|signature| !signature.is_by(key));
        let others: String = others.map(Signature::line).collect();
        format!("{}\n{others}{line}", self.text)
    }

    /// Returns the signature lines, each with the name and the id of its key, as they can stand below the text.
    pub(super) fn signature_lines(&self) -> impl Iterator<Item = String> {
        self.signatures.iter().map(Signature::line)
    }

    /// Returns those of some keys that have signed the text.
    ///
    /// # Errors
    /// If none has, or one of them has signed another text.
    pub(crate) fn signers<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<&'a VerifierKey>, NoteError> {
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| signature.is_by(key));
            let Some(key) = known.next() else { continue };
            if !key.has_signed(&self.text, &signature.signature) {
                return Err(NoteError::WrongSignature(key.name.clone()));
            }
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        if signers.is_empty() {
            let names: Vec<_> = self
                .signatures
                .iter()
                .map(|signature| signature.name.as_str())
                .collect();
            return Err(NoteError::UnknownKey(names.join(", ")));
        }
        Ok(signers)
    }
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
        let bytes = STANDARD.decode(base64).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        (is_name(name) && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: *id,
            signature: signature.to_owned(),
        })
    }

    /// Returns it as a line.
    fn line(&self) -> String {
        let bytes = [&self.id[..], &self.signature].concat();
        format!("{SIGNATURE}{} {}\n", self.name, STANDARD.encode(bytes))
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id()
    }
}

/// Returns bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;

    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_example_of_the_specification_is_believed() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("example.com/foo", KEY));
        let note = Note::parse(NOTE).unwrap();
        assert_eq!(note.text, "This is an example message.\n");
        assert_eq!(note.signers(std::slice::from_ref(&key)).unwrap(), [&key]);
    }

    #[test]
    fn a_note_that_was_changed_or_is_of_another_key_is_not_believed() {
        let key = [VerifierKey::parse(KEY).unwrap()];
        let changed = Note::parse(&NOTE.replace("example message", "Example message")).unwrap();
        assert_eq!(
            changed.signers(&key),
            Err(NoteError::WrongSignature("example.com/foo".to_owned()))
        );
        let renamed = Note::parse(&NOTE.replace("example.com/foo", "example.com/bar")).unwrap();
        assert_eq!(
            renamed.signers(&key),
            Err(NoteError::UnknownKey("example.com/bar".to_owned()))
        );
        assert!(Note::parse(NOTE).unwrap().signers(&[]).is_err());
    }

    #[test]
    fn what_is_no_note_and_what_is_no_key_is_refused() {
        for text in [
            "",
            "text\n",
            "text\n\n",
            "text\n\nx\n",
            "te\rxt\n\n\u{2014} a AAAAAAA=\n",
            "text\n\n\u{2014} a AAAA\n",
        ] {
            assert_eq!(Note::parse(text), Err(NoteError::Form), "{text:?}");
        }
        let table = [
            ("example.com/foo", KeyError::Form),
            ("example.com/foo+530d903a+!", KeyError::Form),
            (
                "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                KeyError::Mistyped,
            ),
            (
                "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                KeyError::OtherType,
            ),
        ];
        for (text, error) in table {
            assert_eq!(VerifierKey::parse(text), Err(error), "{text}");
        }
    }
}
