//! Entries of the log: a line of JSON each, which is a leaf of its tree as it stands.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::note::hex;
use super::tree::Hash;
use crate::window::{Window, floor_to_millisecond};

/// Version of the lines.
const VERSION: u32 = 1;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    v: u32,
    #[serde(flatten)]
    pub(crate) says: Says,
    /// When it was written, by the clock of this machine.
    pub(crate) at: DateTime<Utc>,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Says {
    /// From here on this key signs: the first entry, and each rotation.
    Key { key: String },
    /// An earlier log was lost, and this one is begun instead.
    Restart {
        reason: String,
        /// The last checkpoint of the lost log, as it was found.
        lost: Option<String>,
    },
    /// The lines of a day file that may still grow.
    Open {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
    },
    /// A day is closed: this is all of it.
    Day {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
        /// The SHA-256 of these bytes, as `sha256sum` shows it.
        sha256: Hash,
        /// The times of the records in the first and the last line; `null` if they cannot be read.
        first: Option<DateTime<Utc>>,
        last: Option<DateTime<Utc>>,
        /// Which spans of the day were fetched completely, and which were not, by the coverage journal.
        covered: Vec<Window>,
        gaps: Vec<Window>,
    },
    /// Records came late for a closed day: its file is longer now.
    Late {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
        sha256: Hash,
    },
    /// The coverage journal, the rejected or the revised records, or the holds of a stream, in its state folder.
    Journal {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
        /// All days before this one that had a file then have an entry; the journal of the coverage says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closed_to: Option<NaiveDate>,
    },
    /// The file of a closed day is stored in another form, and holds what was sealed.
    Packed {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
        /// Whether this program has packed it; else it is plain again.
        is_packed: bool,
    },
    /// A file is about to be deleted for its age: it held what was sealed.
    Expired {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
        reason: String,
    },
    /// A person has acknowledged that a file is not what was sealed: this is what it holds now.
    Broken {
        #[serde(flatten)]
        file: FileId,
        #[serde(flatten)]
        content: Content,
        was: Content,
        reason: String,
    },
}

/// A file that entries are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileId {
    pub(crate) stream: String,
    /// Its name, without what says that it is compressed.
    pub(crate) file: String,
}

/// The content of a file, up to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// The root of the tree over these lines.
    pub(crate) root: Hash,
}

impl Entry {
    pub(crate) fn new(says: Says, at: DateTime<Utc>) -> Self {
        Self {
            v: VERSION,
            says,
            at: floor_to_millisecond(at),
        }
    }

    /// Returns the line, without its newline.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub(crate) fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub(crate) fn read(line: &[u8]) -> Result<Self, String> {
        let entry: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if entry.v == VERSION {
            Ok(entry)
        } else {
            Err(format!(
                "it is of version {}, and this program knows {VERSION}: update it",
                entry.v
            ))
        }
    }
}

impl Says {
    /// Returns the file that it is about, and what that holds.
    pub(crate) fn content(&self) -> Option<(&FileId, Content)> {
        match self {
            Self::Key { .. } | Self::Restart { .. } => None,
            Self::Open { file, content }
            | Self::Day { file, content, .. }
            | Self::Late { file, content, .. }
            | Self::Journal { file, content, .. }
            | Self::Packed { file, content, .. }
            | Self::Expired { file, content, .. }
            | Self::Broken { file, content, .. } => Some((file, *content)),
        }
    }
}

/// In hexadecimal digits.
impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a hash has 64 hexadecimal digits in lower case"))
    }
}

impl Hash {
    /// Reads 64 hexadecimal digits in lower case, their only form.
    fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let bytes: Vec<u8> = text
            .as_bytes()
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
                _ => None,
            })
            .collect::<Option<_>>()?;
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::sha256;
    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    fn file() -> FileId {
        FileId {
            stream: "yandex-mail".to_owned(),
            file: "mail_audit_2026-11-18.log".to_owned(),
        }
    }

    fn content() -> Content {
        Content {
            lines: 2,
            bytes: 10,
            root: sha256(b"root"),
        }
    }

    #[test]
    fn an_entry_is_a_flat_object_and_is_read_as_it_was_written() {
        let (file, content, sha256) = (file(), content(), sha256(b"content"));
        let table = [
            Says::Key {
                key: "a+b+c".to_owned(),
            },
            Says::Open {
                file: file.clone(),
                content,
            },
            Says::Late {
                file: file.clone(),
                content,
                sha256,
            },
            Says::Journal {
                file: file.clone(),
                content,
                closed_to: None,
            },
            Says::Restart {
                reason: "a disk was lost".to_owned(),
                lost: None,
            },
            Says::Day {
                file: file.clone(),
                content,
                sha256,
                first: Some(at()),
                last: None,
                covered: vec![Window::new(at(), at())],
                gaps: Vec::new(),
            },
            Says::Broken {
                file,
                content,
                was: content,
                reason: "restored".to_owned(),
            },
        ];
        for says in table {
            let entry = Entry::new(says, at());
            let line = entry.to_line().unwrap();
            assert_eq!(Entry::read(line.as_bytes()), Ok(entry), "{line}");
        }
        let entry = Entry::new(
            Says::Open {
                file: self::file(),
                content,
            },
            at(),
        );
        let hash = "4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2";
        assert_eq!(
            entry.to_line().unwrap(),
            format!(
                "{{\"v\":1,\"kind\":\"open\",\"stream\":\"yandex-mail\",\"file\":\"mail_audit_2026-11-18.log\",\"lines\":2,\
                 \"bytes\":10,\"root\":\"{hash}\",\"at\":\"2026-11-20T10:00:00Z\"}}"
            )
        );
    }

    #[test]
    fn what_is_no_entry_of_this_version_is_refused() {
        let line = Entry::new(Says::Key { key: "a".to_owned() }, at()).to_line().unwrap();
        assert!(
            Entry::read(line.replace("\"v\":1", "\"v\":2").as_bytes())
                .unwrap_err()
                .contains("version 2")
        );
        assert!(Entry::read(line.replace("\"key\":\"a\"", "\"k\":1").as_bytes()).is_err());
        assert!(Entry::read(line.replace("kind\":\"key", "kind\":\"kee").as_bytes()).is_err());
        assert_eq!(Hash::parse(&"AB".repeat(32)), None);
        assert_eq!(Hash::parse(&"ab".repeat(31)), None);
        assert_eq!(Hash::parse(&"ab".repeat(32)).map(|hash| hash.0), Some([0xab; 32]));
    }
}
