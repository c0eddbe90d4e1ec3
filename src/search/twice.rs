//! Leaves out what was found twice, where a day has two files that can hold the same records.

use std::collections::HashSet;
use std::path::PathBuf;

use chrono::NaiveDate;

use super::matches::Matches;
use crate::archive::DayFile;

/// The records that were found in the one file of a day which has two.
#[derive(Default)]
pub(super) struct Twice {
    /// The file that was searched last.
    last: Option<(NaiveDate, PathBuf)>,
    /// What identifies the records of it, and those of the file before it if that is of the same day.
    own: HashSet<u128>,
    others: HashSet<u128>,
}

impl Twice {
    /// Leaves out what was found in the other file of the day already.
    pub(super) fn once(&mut self, file: &DayFile, matches: Matches) -> Matches {
        let DayFile { date, path, .. } = file;
        let is_same = self.last.as_ref().is_some_and(|(_, last)| last == path);
        if !is_same {
            let is_same_day = self
                .last
                .as_ref()
                .is_some_and(|(last, other)| last == date && other.parent() == path.parent());
            let before = std::mem::take(&mut self.own);
            self.others = if is_same_day { before } else { HashSet::new() };
            self.last = Some((*date, path.clone()));
        }
        self.own.extend(matches.contents());
        matches.without(&self.others)
    }
}
