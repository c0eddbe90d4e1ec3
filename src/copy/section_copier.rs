//! Decides for each file of a stream, or of the evidence, what is copied of it: what a copy holds is never given up for something
//! worse.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use chrono::NaiveDate;

use super::file_copier::{Begun, FileCopier, FileCopy, hash_some, unpacked};
use super::manifest::{CopiedFile, Section, Unpacked};
use super::snapshot::{Snapshot, Taken};
use crate::archive::day_of_name;
use crate::coverage::{FED, JOURNAL, PENDING, PREVIOUS_JOURNAL};
use crate::evidence::folder::{CHECKPOINT, ENTRIES, LOST};
use crate::forward::ARCHIVE_ID;
use crate::fs::{FileError, Sha256};

/// What the names of day files end with that are compressed.
const COMPRESSED: [&str; 2] = [".zst", ".gz"];

/// What a section came to.
#[derive(Default)]
pub(super) struct SectionCopy {
    /// As the next manifest has it.
    pub(super) section: Section,
    /// What was copied or is as it was copied.
    pub(super) files: Vec<FileCopy>,
    /// What is as an earlier copy has it, and why.
    pub(super) problems: Vec<String>,
}

/// Copies a section. `is_expired` tells which days were deleted on purpose.
pub(super) struct SectionCopier<'a> {
    pub(super) files: FileCopier<'a>,
    pub(super) snapshot: &'a Snapshot,
    /// What the last copy has.
    pub(super) before: Option<&'a Section>,
    pub(super) is_expired: &'a dyn Fn(NaiveDate) -> bool,
}

impl SectionCopier<'_> {
    /// Copies all that is new.
    ///
    /// # Errors
    /// If a file cannot be read; as if it were missing, if its day was packed or unpacked meanwhile.
    pub(super) fn copy(&self, base: &str, extension: &str) -> Result<SectionCopy, FileError> {
        let mut copy = SectionCopy {
            section: Section {
                base: base.to_owned(),
                extension: extension.to_owned(),
                files: BTreeMap::new(),
            },
            ..SectionCopy::default()
        };
        if let Some(problem) = self.is_another()? {
            copy.problems.push(problem);
            copy.section = self.before.cloned().unwrap_or_default();
            return Ok(copy);
        }
        self.copy_days(&mut copy)?;
        self.copy_others(&mut copy)?;
        Ok(copy)
    }

    fn copied(&self, name: &str) -> Option<&CopiedFile> {
        self.before?.files.get(name)
    }

    fn taken_like(&self, end: &str) -> Option<(&String, &Taken)> {
        self.snapshot.iter().find(|(name, _)| name.ends_with(end))
    }

    /// Says why this is not the archive that was copied, or an older state of it.
    fn is_another(&self) -> Result<Option<String>, FileError> {
        let id = self.taken_like(&format!(".{ARCHIVE_ID}"));
        let other = id.filter(|(name, taken)| {
            let copied = self.copied(name).map(|copied| copied.sha256.as_str());
            let own = taken.read.as_deref().map(|read| crate::fs::sha256(read).digits());
            copied.is_some() && copied != own.as_deref()
        });
        if let Some((name, _)) = other {
            return Ok(Some(format!(
                "{name} is not that of the copied archive: this is another one; copy it to another place"
            )));
        }
        for what in [ENTRIES, JOURNAL] {
            let end = if what == ENTRIES {
                ENTRIES.to_owned()
            } else {
                format!(".{JOURNAL}")
            };
            let copied = self.before.and_then(|before| {
                let mut files = before.files.iter();
                files.find(|(name, _)| is_the_file(name, &end))
            });
            let Some((name, copied)) = copied else { continue };
            let Some(taken) = self.snapshot.get(name) else {
                return Ok(Some(format!(
                    "{name} is missing, which the copy has: nothing is copied. If the copy is of another archive, copy this one to \
                     another place; if it was lost here, `copy --from` into an empty folder brings it back"
                )));
            };
            if self.goes_on(taken, copied)? {
                continue;
            }
            return Ok(Some(format!(
                "{name} does not go on where the copied one ends: this is another archive, or an older state of the copied one; nothing \
                 is copied of it. Copy another archive to another place; of this one the copy has the newer state, which `copy --from` \
                 restores into an empty folder"
            )));
        }
        Ok(None)
    }

    /// Whether a journal or a log goes on where the copied one ends. A journal that has become long is put aside, as is a log that
    /// was lost.
    fn goes_on(&self, taken: &Taken, copied: &CopiedFile) -> Result<bool, FileError> {
        if FileCopier::begun(taken, Some(copied))?.is_some() {
            return Ok(true);
        }
        let (journal, log) = (format!(".{PREVIOUS_JOURNAL}"), format!("/{ENTRIES}"));
        let aside = self
            .snapshot
            .iter()
            .filter(|(name, _)| name.ends_with(&journal) || name.ends_with(&log));
        let piece = Unpacked {
            bytes: copied.bytes,
            sha256: copied.sha256.clone(),
        };
        for (_, aside) in aside {
            if begins_with(aside, &piece)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn copy_others(&self, copy: &mut SectionCopy) -> Result<(), FileError> {
        for (name, taken) in self.snapshot.iter().filter(|(_, taken)| taken.file.date.is_none()) {
            let copied = self.copied(name);
            let begun = FileCopier::begun(taken, copied)?;
            self.take(copy, taken, begun, copied, None)?;
        }
        let before = self.before.into_iter().flat_map(|before| &before.files);
        for (name, copied) in before.filter(|(name, _)| day_of_copied(name).is_none()) {
            if !self.snapshot.contains_key(name) && !self.may_go(name) {
                let problem = format!("{name} is missing, which the copy has: the copy keeps it");
                copy.problems.push(problem);
                copy.section.files.insert(name.clone(), copied.clone());
            }
        }
        Ok(())
    }

    /// Whether a file goes by itself.
    fn may_go(&self, name: &str) -> bool {
        let is_replaced = name.ends_with(&format!(".{PENDING}"))
            || name.ends_with(&format!(".{FED}"))
            || name.ends_with(".previous.json");
        // What was left of a lost log stands in a folder of its own.
        let is_aside = || self.snapshot.keys().any(|name| name.starts_with(LOST));
        is_replaced || name.starts_with(CHECKPOINT) && is_aside()
    }

    fn copy_days(&self, copy: &mut SectionCopy) -> Result<(), FileError> {
        let mut days: BTreeMap<NaiveDate, (Vec<&Taken>, BTreeMap<&str, &CopiedFile>)> = BTreeMap::new();
        for taken in self.snapshot.values() {
            if let Some(date) = taken.file.date {
                days.entry(date).or_default().0.push(taken);
            }
        }
        for (name, copied) in self.before.into_iter().flat_map(|before| &before.files) {
            if let Some(date) = day_of_copied(name) {
                days.entry(date).or_default().1.insert(name, copied);
            }
        }
        for (date, (taken, copied)) in days {
            if taken.is_empty() && (self.is_expired)(date) {
                continue;
            }
            if let Some(problem) = self.copy_day(date, &taken, &copied, copy)? {
                copy.problems.push(problem);
                let copied = copied
                    .into_iter()
                    .map(|(name, copied)| (name.to_owned(), copied.clone()));
                copy.section.files.extend(copied);
            }
        }
        Ok(())
    }

    /// Copies what is new of a day; says why not, if its files do not hold what was copied of it.
    fn copy_day(
        &self,
        date: NaiveDate,
        taken: &[&Taken],
        copied: &BTreeMap<&str, &CopiedFile>,
        copy: &mut SectionCopy,
    ) -> Result<Option<String>, FileError> {
        if taken.is_empty() {
            return Ok(Some(format!(
                "{date} is missing, and was not deleted by `expire`: the copy keeps it"
            )));
        }
        let (mut begun, mut names) = (Vec::new(), copied.keys().copied().collect::<BTreeSet<_>>());
        for taken in taken {
            let copied = copied.get(taken.file.name.as_str()).copied();
            let of_file = FileCopier::begun(taken, copied)?;
            if of_file.is_some() {
                names.remove(taken.file.name.as_str());
            }
            begun.push(of_file);
        }
        let contents = match contents_of(taken, &begun, copied) {
            Err(error) if !error.is_missing() => return Ok(Some(format!("{error}; it is not copied"))),
            contents => contents?,
        };
        if !names.is_empty() && !holds(taken, &pieces(copied))? {
            return Ok(Some(format!(
                "{date} does not begin with what was copied of it: the copy keeps that, and nothing is copied of this day"
            )));
        }
        for ((taken, begun), content) in taken.iter().zip(begun).zip(contents) {
            let copied = copied.get(taken.file.name.as_str()).copied();
            self.take(copy, taken, begun, copied, content)?;
        }
        Ok(None)
    }

    fn take(
        &self,
        copy: &mut SectionCopy,
        taken: &Taken,
        begun: Option<Begun>,
        copied: Option<&CopiedFile>,
        content: Option<Unpacked>,
    ) -> Result<(), FileError> {
        let mut file = self.files.copy(taken, begun, copied)?;
        file.copied.content = content.or(file.copied.content);
        copy.section.files.insert(taken.file.name.clone(), file.copied.clone());
        copy.files.push(file);
        Ok(())
    }
}

/// Whether it is the file whose name ends so, in the folder where it belongs.
fn is_the_file(name: &str, end: &str) -> bool {
    name == end || end.starts_with('.') && name.ends_with(end)
}

/// Returns the day of a copied file, in whatever form it is; `None` if it is no day file.
fn day_of_copied(name: &str) -> Option<NaiveDate> {
    let name = name.strip_prefix("packed/").unwrap_or(name);
    let plain = COMPRESSED.iter().find_map(|end| name.strip_suffix(end));
    day_of_name(plain.unwrap_or(name)).filter(|_| !name.contains('/'))
}

/// Reads what the compressed files of a day hold, but for those that are as they were copied.
fn contents_of(
    taken: &[&Taken],
    begun: &[Option<Begun>],
    copied: &BTreeMap<&str, &CopiedFile>,
) -> Result<Vec<Option<Unpacked>>, FileError> {
    let files = taken.iter().zip(begun);
    let content = |(taken, begun): (&&Taken, &Option<Begun>)| {
        let is_known = begun.is_some() && copied.contains_key(taken.file.name.as_str());
        (taken.file.is_compressed() && !is_known)
            .then(|| unpacked(taken))
            .transpose()
    };
    files.map(content).collect()
}

/// Returns what was copied of a day, in the order in which it was written: what is compressed goes before what came later.
fn pieces(copied: &BTreeMap<&str, &CopiedFile>) -> Vec<Unpacked> {
    let compressed = copied.values().filter_map(|copied| copied.content.clone());
    let plain = copied.values().filter(|copied| copied.content.is_none());
    let plain = plain.map(|copied| Unpacked {
        bytes: copied.bytes,
        sha256: copied.sha256.clone(),
    });
    compressed.chain(plain).collect()
}

/// Returns whether the files of a day hold all of these.
fn holds(taken: &[&Taken], pieces: &[Unpacked]) -> Result<bool, FileError> {
    let (compressed, plain): (Vec<_>, Vec<_>) = taken.iter().partition(|taken| taken.file.is_compressed());
    let mut all: Box<dyn Read> = Box::new(std::io::empty());
    for taken in compressed.into_iter().chain(plain) {
        all = Box::new(all.chain(content(taken)?));
    }
    let mut is_in_a_row = true;
    for piece in pieces {
        let unreadable = |cause| taken[0].file.unreadable(cause);
        is_in_a_row = is_in_a_row && is_next(&mut all, piece).map_err(unreadable)?;
    }
    if is_in_a_row {
        return Ok(true);
    }
    for piece in pieces {
        let mut found = false;
        for taken in taken {
            found = found || begins_with(taken, piece)?;
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn begins_with(taken: &Taken, piece: &Unpacked) -> Result<bool, FileError> {
    is_next(&mut content(taken)?, piece).map_err(|cause| taken.file.unreadable(cause))
}

fn is_next(source: &mut dyn Read, piece: &Unpacked) -> std::io::Result<bool> {
    let mut hash = Sha256::new();
    let bytes = hash_some(source, piece.bytes, &mut hash)?;
    Ok(bytes == piece.bytes && hash.finish().digits() == piece.sha256)
}

/// Opens what a file holds, unpacked, to the end of its last whole line.
fn content(taken: &Taken) -> Result<Box<dyn Read>, FileError> {
    let content = taken.file.content()?;
    Ok(if taken.file.is_compressed() {
        Box::new(content)
    } else {
        Box::new(content.take(taken.end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_day_file_is_known_in_all_its_forms() {
        let day = |name: &str| day_of_copied(name).map(|date| date.to_string());
        for name in ["a_2026-01-02.log", "packed/a_2026-01-02.log.zst", "a_2026-01-02.log.gz"] {
            assert_eq!(day(name).as_deref(), Some("2026-01-02"), "{name}");
        }
        for name in [
            ".trailkeeper/a.coverage.jsonl",
            "checkpoints/2026",
            ".trailkeeper/a_2026-01-02.log",
        ] {
            assert_eq!(day(name), None, "{name}");
        }
    }
}
