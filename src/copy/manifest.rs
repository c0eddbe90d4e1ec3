//! The manifest of a copy: what it holds, file by file, and of which parts each is made. It is written last, so that a copy without
//! one is none; it is never changed. A JSON object in each line; the last one has the hash of all lines before.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::fs::sha256;

/// Version of the lines.
const VERSION: u32 = 1;

/// The folder of the manifests.
pub(super) const FOLDER: &str = "manifests";

/// The section of the evidence folder; those of streams have their names.
pub(crate) const EVIDENCE: &str = "evidence";

/// What a copy holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) number: u64,
    pub(super) at: DateTime<Utc>,
    /// By stream; the evidence is one more.
    pub(super) sections: BTreeMap<String, Section>,
}

/// The files of a stream, or of the evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) base: String,
    pub(super) extension: String,
    /// By their paths in the folder, with `/` between the parts.
    pub(super) files: BTreeMap<String, CopiedFile>,
}

/// A file that is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopiedFile {
    pub(super) bytes: u64,
    /// Of all of it, as it is stored.
    pub(super) sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<u32>,
    /// Of a compressed day file: what it holds, unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Unpacked>,
    pub(super) parts: Vec<Part>,
}

/// The content of a compressed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unpacked {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Copy {
        v: u32,
        number: u64,
        at: DateTime<Utc>,
        program: String,
    },
    Section {
        section: String,
        base: String,
        extension: String,
    },
    File {
        section: String,
        file: String,
        #[serde(flatten)]
        copied: CopiedFile,
    },
    End {
        files: u64,
        sha256: String,
    },
}

/// A manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("line {line} cannot be read: {cause}")]
    Line { line: usize, cause: serde_json::Error },
    #[error("it is of version {0}, and this program knows {VERSION}")]
    Newer(u32),
    #[error("it is not whole, or was changed")]
    Damaged,
    #[error("it names {0:?}, which is not the name of a file of an archive")]
    Name(String),
}

impl Manifest {
    /// Returns the name of the object of the manifest with this number.
    pub(super) fn object(number: u64) -> String {
        format!("{FOLDER}/{number:010}.jsonl")
    }

    /// Returns the number of a manifest by the name of its object.
    pub(super) fn number_of(object: &str) -> Option<u64> {
        let name = object.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".jsonl")?;
        name.parse().ok()
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = Vec::new();
        let mut add = |line: &Line| {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
            Ok::<_, serde_json::Error>(())
        };
        add(&Line::Copy {
            v: VERSION,
            number: self.number,
            at: self.at,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        let mut files = 0;
        for (name, section) in &self.sections {
            add(&Line::Section {
                section: name.clone(),
                base: section.base.clone(),
                extension: section.extension.clone(),
            })?;
            for (file, copied) in &section.files {
                files += 1;
                add(&Line::File {
                    section: name.clone(),
                    file: file.clone(),
                    copied: copied.clone(),
                })?;
            }
        }
        let sha256 = sha256(&text).digits();
        serde_json::to_writer(&mut text, &Line::End { files, sha256 })?;
        text.push(b'\n');
        Ok(text)
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let (mut manifest, mut files, mut start, mut is_whole) = (Self::default(), 0, 0, false);
        for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if is_whole {
                return Err(ManifestError::Damaged);
            }
            let parsed = serde_json::from_slice(line);
            let parsed = parsed.map_err(|cause| ManifestError::Line {
                line: number + 1,
                cause,
            })?;
            match parsed {
                Line::Copy { v, .. } if v != VERSION => return Err(ManifestError::Newer(v)),
                Line::End {
                    files: all,
                    sha256: hash,
                } => {
                    is_whole = all == files && sha256(&text[..start]).digits() == hash;
                }
                line => files += manifest.take(line)?,
            }
            start += line.len();
        }
        if is_whole && text.ends_with(b"\n") {
            Ok(manifest)
        } else {
            Err(ManifestError::Damaged)
        }
    }

    /// Takes a line; returns how many files it names.
    fn take(&mut self, line: Line) -> Result<u64, ManifestError> {
        match line {
            Line::Copy { number, at, .. } => (self.number, self.at) = (number, at),
            Line::Section {
                section,
                base,
                extension,
            } => {
                let files = BTreeMap::new();
                let of = Section { base, extension, files };
                self.sections.insert(section, of);
            }
            Line::File { section, file, copied } => {
                if !is_inside(&file) {
                    return Err(ManifestError::Name(file));
                }
                let section = self.sections.get_mut(&section).ok_or(ManifestError::Damaged)?;
                let mut end = 0;
                for part in &copied.parts {
                    if part.offset != end {
                        return Err(ManifestError::Damaged);
                    }
                    end = part.end();
                }
                if end != copied.bytes {
                    return Err(ManifestError::Damaged);
                }
                section.files.insert(file, copied);
                return Ok(1);
            }
            Line::End { .. } => {}
        }
        Ok(0)
    }
}

/// Whether a path leads nowhere but into the folder that it is below.
fn is_inside(file: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_odd = |character: char| character.is_control() || character == '\\';
    file.split('/').all(is_part) && !file.contains(is_odd) && !(cfg!(windows) && file.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(file: &str) -> Manifest {
        let part = |offset, bytes| Part {
            offset,
            bytes,
            sha256: "00".repeat(32),
        };
        let copied = CopiedFile {
            bytes: 5,
            sha256: "11".repeat(32),
            mode: Some(0o640),
            content: None,
            parts: vec![part(0, 3), part(3, 2)],
        };
        let section = Section {
            base: "mail".to_owned(),
            extension: "log".to_owned(),
            files: [(file.to_owned(), copied)].into(),
        };
        Manifest {
            number: 7,
            at: "2026-11-20T10:00:00Z".parse().unwrap(),
            sections: [("yandex-mail".to_owned(), section)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_every_change_is_noticed() {
        let manifest = manifest("packed/mail_2026-01-01.log.zst");
        let text = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(Manifest::parse(&changed).is_err(), "byte {at}");
            assert!(Manifest::parse(&text[..at]).is_err(), "cut at {at}");
        }
        assert!(Manifest::parse(&[&text[..], b"{}\n"].concat()).is_err());
        assert_eq!(Manifest::number_of(&Manifest::object(12)), Some(12));
        assert_eq!(Manifest::number_of("manifests/x.jsonl"), None);
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused() {
        for file in ["../x", "/etc/passwd", "a//b", "a/../b", "a\\b", ".", "", "a/", "a\nb"] {
            let text = manifest(file).to_bytes().unwrap();
            assert!(
                matches!(Manifest::parse(&text), Err(ManifestError::Name(_))),
                "{file:?}"
            );
        }
    }
}
