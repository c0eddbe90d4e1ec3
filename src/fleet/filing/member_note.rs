//! What a member of an archive keeps on its disk: who it is, and up to where it has filed each partition that is its own.
//!
//! `ARCHIVE_FOLDER/.trailkeeper/archive.member.json`, replaced after what was read is synced, and before the group is told:
//!
//! ```json
//! {"version":1,"member":"5d0c…","fleet":"trails","group":"trails.archive","counts":{"mail-audit":24},
//!  "partitions":{"mail-audit:3":{"next":4711,"skipped":{},"excluded":{},"claimed":{"acme/yandex-mail":"2026-11-20T10:00:00Z"},
//!  "origins":{}}},
//!  "aside":{"0":12},"aside_for":["acme/yandex-mail"]}
//! ```
//!
//! - `member`: made once; the group knows partitions by it. A folder that is copied is the same member on another disk.
//! - `counts`: how many partitions each topic had when this began. With more, streams are in others.
//! - `next`: the first offset that is not filed; `skipped`: streams that the settings do not have, and where their first message is;
//!   `excluded`: of streams that were collected before the member began with the partition what was covered by then, since their lines may
//!   be gone from Kafka. It is never called complete. `claimed`: of which run of the fleet the journal of a stream has the end: one that
//!   knows less is that of another disk, or an older copy. `origins`: of which catalogs of one machine it is known that the fleet has begun
//!   with them, so that what they had covered is among what is excluded.
//! - `aside`: up to where the topic of what is rejected is read, for the streams of `aside_for`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::archive::Location;
use crate::coverage::Covered;
use crate::forward::kafka::fleet::Partition;
use crate::fs::FileError;

/// The beginning of the names in the folder of a member.
pub(super) const BASE: &str = "archive";

/// Name of the note, after `archive.`.
const FILE: &str = "member.json";

/// Version of the note.
const VERSION: u32 = 1;

/// What a member keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberNote {
    version: u32,
    pub(super) member: String,
    pub(super) fleet: String,
    pub(super) group: String,
    pub(super) counts: BTreeMap<String, i32>,
    partitions: BTreeMap<String, Progress>,
    pub(super) aside: BTreeMap<i32, i64>,
    pub(super) aside_for: BTreeSet<String>,
}

/// How far a partition is filed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) next: i64,
    pub(super) skipped: BTreeMap<String, i64>,
    pub(super) excluded: BTreeMap<String, Covered>,
    pub(super) claimed: BTreeMap<String, DateTime<Utc>>,
    pub(super) origins: BTreeMap<String, String>,
}

/// A folder cannot be that of a member.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoteError {
    #[error(transparent)]
    File(#[from] FileError),
    /// It is that of another archive.
    #[error(
        "ARCHIVE_FOLDER is that of the group `{group}` of the fleet `{fleet}`: each archive needs a folder, and day files, of its own"
    )]
    OfOther {
        /// Its fleet.
        fleet: String,
        /// Its group.
        group: String,
    },
}

impl MemberNote {
    /// Reads the note of a member of this group of a fleet, or begins with one. The folder has to be locked.
    ///
    /// # Errors
    /// If it cannot be read or written, or is that of another archive.
    pub(super) fn read_or_begin(location: &Location, fleet: &str, group: &str) -> Result<Self, NoteError> {
        let file = location.state(FILE);
        let Some(content) = file.read()? else {
            let note = Self {
                version: VERSION,
                member: format!("{:016x}", fastrand::u64(..)),
                fleet: fleet.to_owned(),
                group: group.to_owned(),
                counts: BTreeMap::new(),
                partitions: BTreeMap::new(),
                aside: BTreeMap::new(),
                aside_for: BTreeSet::new(),
            };
            note.store(location)?;
            return Ok(note);
        };
        let read = serde_json::from_slice(&content).ok();
        let note: Self = read.filter(|note: &Self| note.version == VERSION).ok_or_else(|| {
            let damaged = "it is damaged, or of a newer version; without it nobody knows which partitions are this member's: restore it \
                           from a copy";
            FileError::io("read", file.path(), io::Error::new(io::ErrorKind::InvalidData, damaged))
        })?;
        if note.fleet != fleet || note.group != group {
            let Self { fleet, group, .. } = note;
            return Err(NoteError::OfOther { fleet, group });
        }
        Ok(note)
    }

    /// Stores it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn store(&self, location: &Location) -> Result<(), FileError> {
        let file = location.state(FILE);
        let content = serde_json::to_vec(self).map_err(|error| FileError::io("write to", file.path(), error.into()))?;
        file.replace(&content)
    }

    /// Returns how far a partition is filed; `None` if this member has never begun with it.
    pub(super) fn progress(&self, partition: &Partition) -> Option<&Progress> {
        self.partitions.get(&name_of(partition))
    }

    /// Returns the same, to be changed.
    pub(super) fn progress_mut(&mut self, partition: &Partition) -> Option<&mut Progress> {
        self.partitions.get_mut(&name_of(partition))
    }

    /// Begins with a partition, or anew.
    pub(super) fn begin(&mut self, partition: &Partition, progress: Progress) {
        self.partitions.insert(name_of(partition), progress);
    }

    /// Lets go of a partition that is another member's by now.
    pub(super) fn let_go(&mut self, partition: &Partition) {
        self.partitions.remove(&name_of(partition));
    }

    /// Returns the topics that have another number of partitions than when this began with them; notes how many they have where it has
    /// not.
    pub(super) fn grown<'a>(&mut self, counts: &'a BTreeMap<String, i32>) -> Vec<(&'a str, i32, i32)> {
        let noted = counts
            .iter()
            .map(|(topic, count)| (topic, *count, *self.counts.entry(topic.clone()).or_insert(*count)));
        let grown = noted.filter(|(_, count, noted)| count != noted);
        grown
            .map(|(topic, count, noted)| (topic.as_str(), count, noted))
            .collect()
    }
}

fn name_of((topic, partition): &Partition) -> String {
    format!("{topic}:{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Catalog;

    #[test]
    fn a_member_is_the_same_as_long_as_its_folder_is_and_that_is_of_one_archive() {
        let catalog = Catalog::with_state_folder();
        let read = |group| MemberNote::read_or_begin(&catalog.location, "trails", group);
        let mut note = read("one").unwrap();
        let partition = ("mail-audit".to_owned(), 3);
        note.begin(
            &partition,
            Progress {
                next: 7,
                ..Progress::default()
            },
        );
        note.store(&catalog.location).unwrap();
        let mut again = read("one").unwrap();
        assert_eq!(again, note);
        assert_eq!(again.progress(&partition).unwrap().next, 7);
        again.let_go(&partition);
        assert_eq!(again.progress(&partition), None);
        let error = read("two").unwrap_err().to_string();
        assert!(error.contains("that of the group `one`"), "{error}");
        std::fs::write(catalog.location.state_file(FILE), "{").unwrap();
        assert!(read("one").unwrap_err().to_string().contains("it is damaged"));
    }

    #[test]
    fn a_topic_that_has_got_more_partitions_is_told() {
        let catalog = Catalog::with_state_folder();
        let mut note = MemberNote::read_or_begin(&catalog.location, "trails", "one").unwrap();
        let counts = |count| BTreeMap::from([("mail".to_owned(), count)]);
        assert_eq!(note.grown(&counts(2)), []);
        assert_eq!(note.grown(&counts(3)), [("mail", 3, 2)]);
    }
}
