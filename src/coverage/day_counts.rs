//! How much the files of each day held when a run had written to them: a day that holds less has lost records.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::covered::Covered;
use crate::archive::{LineCounter, Listing, while_days_move};
use crate::fs::FileError;

/// What the files of a day held when a run had written to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Number of lines of the day file that hold a record: as many as that, or more.
    pub(crate) lines: u64,
    /// Its length in bytes.
    pub(crate) bytes: u64,
    /// Number of lines in the compressed file of the day, where they are not in the day file too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) compressed: u64,
}

impl Counted {
    /// Returns the number of lines of the day.
    pub(crate) fn all(self) -> u64 {
        self.lines + self.compressed
    }
}

/// Whether a number need not be written.
pub(super) fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// The counts of the day files, by day.
pub(crate) type Counts = BTreeMap<NaiveDate, Counted>;

/// How a day has lost records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    /// There is no file, compressed or not.
    Missing,
    /// It is shorter than it was.
    Shorter,
    /// A link, a folder or another thing is in its place.
    NotAFile,
    /// There is only the file that was beside the compressed one.
    CompressedMissing,
    /// The compressed file cannot be read to its end.
    CompressedDamaged,
    /// The compressed file is whole, and holds fewer lines.
    FewerRecords,
    /// A line of it was torn that had been whole.
    Torn,
}

impl Loss {
    /// Returns its name for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Shorter => "shorter",
            Self::NotAFile => "not-a-file",
            Self::CompressedMissing => "compressed-missing",
            Self::CompressedDamaged => "compressed-damaged",
            Self::FewerRecords => "fewer-records",
            Self::Torn => "torn",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the day file is missing",
            Self::Shorter => "the day file is shorter than it was",
            Self::NotAFile => "what is in the place of the day file is no regular file",
            Self::CompressedMissing => "the compressed day file is missing, and what is beside it holds fewer records",
            Self::CompressedDamaged => "the compressed day file is damaged or cut off",
            Self::FewerRecords => "the compressed day file holds fewer records than the day had",
            Self::Torn => "a line of the day file was torn after it had been whole",
        })
    }
}

/// A day whose file has lost records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostDay {
    pub(crate) loss: Loss,
    /// What it held.
    pub(crate) held: Counted,
    /// When that was noticed.
    pub(crate) noticed_at: DateTime<Utc>,
    /// What of the day was covered until then; none in lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) covered: Option<Covered>,
}

impl LostDay {
    pub(crate) fn new(loss: Loss, held: Counted, noticed_at: DateTime<Utc>) -> Self {
        Self {
            loss,
            held,
            noticed_at,
            covered: None,
        }
    }
}

/// Returns whether another program may have deleted the day file of a date by `now`, since it is older than `keep`.
pub(crate) fn may_be_deleted(date: NaiveDate, keep: Option<TimeDelta>, now: DateTime<Utc>) -> bool {
    keep.is_some_and(|keep| date < (now - keep).date_naive())
}

/// What there is of a day, compared with what it held.
#[derive(Debug)]
pub(super) enum Comparison {
    /// All of it, in these files.
    Whole(Counted),
    Lost(Loss),
    /// A file cannot be read, so that it is not known.
    Unknown(FileError),
}

/// Compares the files of days with what they held.
pub(super) struct Comparer<'a> {
    pub(super) listing: &'a Listing,
    pub(super) counter: &'a mut LineCounter,
}

impl Comparer<'_> {
    /// Compares a day with what it held. No file is read that is as long as it was, or was counted since it was compressed.
    pub(super) fn compare(&mut self, date: NaiveDate, held: Counted) -> Comparison {
        self.look_again(date, held, false).unwrap_or_else(Comparison::Unknown)
    }

    /// Compares a day that has lost records with what it held: it is whole again if a file is there that holds as many, whatever
    /// its length, since what was lost may have been filed again behind what is left.
    pub(super) fn compare_lost(&mut self, date: NaiveDate, held: Counted) -> Comparison {
        self.look_again(date, held, true).unwrap_or_else(Comparison::Unknown)
    }

    /// Looks at a day, and anew if something seems to be lost and the day was only packed or unpacked since it was listed.
    fn look_again(&mut self, date: NaiveDate, held: Counted, is_lost: bool) -> Result<Comparison, FileError> {
        let looked = self.look(date, held, is_lost);
        if matches!(looked, Ok(Comparison::Whole(_))) || !self.listing.has_moved(date) {
            return looked;
        }
        let location = self.counter.location().clone();
        let mut listing = location.listing()?;
        while_days_move(&location, &mut listing, |listing| {
            let mut comparer = Comparer {
                listing,
                counter: self.counter,
            };
            comparer.look(date, held, is_lost)
        })
    }

    fn look(&mut self, date: NaiveDate, held: Counted, is_lost: bool) -> Result<Comparison, FileError> {
        let plain = self.listing.days.get(date);
        let length = plain.as_ref().and_then(|file| file.length().ok());
        let is_as_long = length.unwrap_or(0) >= held.bytes;
        if is_as_long && held.compressed == 0 && !is_lost {
            return Ok(Comparison::Whole(held));
        }
        let compressed = match self.listing.packed.get(&date).map(|file| self.counter.count(file)) {
            Some(Err(error)) if !error.is_damaged() => return Err(error),
            counted => counted,
        };
        // A damaged file counts for nothing: it is not read when records are filed.
        let lines = compressed
            .as_ref()
            .map_or(0, |counted| counted.as_ref().map_or(0, |counted| counted.lines));
        if is_as_long && lines >= held.compressed && !is_lost {
            return Ok(Comparison::Whole(held));
        }
        if lines >= held.all() {
            return Ok(Comparison::Whole(Counted {
                compressed: held.all(),
                ..Counted::default()
            }));
        }
        if let Some(plain) = plain.filter(|_| (is_lost || is_as_long) && length.is_some()) {
            let counted = self.counter.count(&plain)?;
            let compressed = held.compressed.min(lines);
            if counted.lines + compressed >= held.all() {
                return Ok(Comparison::Whole(Counted {
                    lines: counted.lines,
                    bytes: counted.bytes,
                    compressed,
                }));
            }
        }
        Ok(Comparison::Lost(match compressed {
            Some(Err(_)) => Loss::CompressedDamaged,
            Some(Ok(_)) => Loss::FewerRecords,
            None => self.loss_of_plain(date, length.map(|_| is_as_long)),
        }))
    }

    /// Returns how a day without a compressed file has lost records; `is_as_long` is `None` if it has no file at all.
    fn loss_of_plain(&self, date: NaiveDate, is_as_long: Option<bool>) -> Loss {
        match is_as_long {
            _ if self.listing.odd.contains_key(&date) => Loss::NotAFile,
            Some(true) => Loss::CompressedMissing,
            Some(false) => Loss::Shorter,
            None => Loss::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::archive::{Lock, Packer};
    use crate::test_support::Catalog;

    const DAY: &str = "2025-06-09";

    #[test]
    fn a_day_that_is_packed_after_it_was_listed_has_lost_nothing() {
        for late in [None, Some("late\n")] {
            let catalog = Catalog::with_state_folder();
            catalog.write(DAY, &lines(5));
            let listing = catalog.location.listing().unwrap();
            let date = DAY.parse().unwrap();
            let lock = Lock::acquire(&catalog.location, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
            Packer::under(lock)
                .pack(&listing.days.get(date).unwrap(), None)
                .unwrap();
            late.into_iter().for_each(|late| catalog.write(DAY, late));
            let mut counter = LineCounter::of(&catalog.location);
            let mut comparer = Comparer {
                listing: &listing,
                counter: &mut counter,
            };
            let compared = comparer.compare(date, counted([5, 0]));
            assert!(
                matches!(&compared, Comparison::Whole(held) if held.all() == 5),
                "{compared:?}"
            );
        }
    }

    fn lines(count: usize) -> String {
        "line\n".repeat(count)
    }

    /// What is said of a day with these files, which held so much.
    fn compared(
        plain: Option<usize>,
        compressed: Option<usize>,
        is_cut: bool,
        held: [u64; 2],
    ) -> Result<Counted, Loss> {
        let catalog = Catalog::new();
        if let Some(plain) = plain {
            catalog.write(DAY, &lines(plain));
        }
        if let Some(compressed) = compressed {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(lines(compressed).as_bytes()).unwrap();
            let mut bytes = encoder.finish().unwrap();
            bytes.truncate(bytes.len() - usize::from(is_cut));
            fs::write(catalog.path(DAY).with_extension("log.gz"), bytes).unwrap();
        }
        let listing = catalog.location.listing().unwrap();
        let mut counter = LineCounter::of(&catalog.location);
        let mut comparer = Comparer {
            listing: &listing,
            counter: &mut counter,
        };
        match comparer.compare(DAY.parse().unwrap(), counted(held)) {
            Comparison::Whole(counted) => Ok(counted),
            Comparison::Lost(loss) => Err(loss),
            Comparison::Unknown(error) => panic!("{error}"),
        }
    }

    fn counted([lines, compressed]: [u64; 2]) -> Counted {
        Counted {
            lines,
            bytes: lines * 5,
            compressed,
        }
    }

    #[test]
    fn a_day_is_whole_as_long_as_its_files_hold_what_it_held() {
        for (plain, compressed, held, now) in [
            (Some(3), None, [3, 0], [3, 0]),
            (Some(9), None, [3, 0], [3, 0]),
            // It was compressed, and then more came.
            (None, Some(3), [3, 0], [0, 3]),
            (None, Some(3), [0, 3], [0, 3]),
            (Some(1), Some(3), [1, 3], [1, 3]),
            // Joined, and taken apart again; or kept in both forms.
            (None, Some(4), [1, 3], [0, 4]),
            (Some(4), None, [1, 3], [4, 0]),
            (Some(3), Some(3), [3, 0], [3, 0]),
            (Some(1), Some(3), [3, 0], [0, 3]),
        ] {
            let found = compared(plain, compressed, false, held);
            assert_eq!(found, Ok(counted(now)), "{plain:?} {compressed:?} {held:?}");
        }
    }

    #[test]
    fn a_loss_says_which_file_is_to_blame() {
        for (plain, compressed, is_cut, held, loss) in [
            (None, None, false, [3, 0], Loss::Missing),
            (None, None, false, [0, 3], Loss::Missing),
            (Some(2), None, false, [3, 0], Loss::Shorter),
            (Some(0), None, false, [1, 3], Loss::Shorter),
            (Some(1), None, false, [1, 3], Loss::CompressedMissing),
            (Some(3), None, false, [1, 3], Loss::CompressedMissing),
            (None, Some(3), true, [3, 0], Loss::CompressedDamaged),
            (Some(1), Some(3), true, [1, 3], Loss::CompressedDamaged),
            (None, Some(2), false, [3, 0], Loss::FewerRecords),
            (Some(1), Some(2), false, [1, 3], Loss::FewerRecords),
        ] {
            let found = compared(plain, compressed, is_cut, held);
            assert_eq!(found, Err(loss), "{plain:?} {compressed:?} {held:?}");
        }
        // A damaged one beside a day file that holds all is nobody's loss.
        assert_eq!(compared(Some(3), Some(3), true, [3, 0]), Ok(counted([3, 0])));
        assert_eq!(compared(Some(4), Some(3), true, [1, 3]), Ok(counted([4, 0])));
    }
}
