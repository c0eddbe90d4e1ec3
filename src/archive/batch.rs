//! The records of one UTC day, to be written to its file.

use chrono::NaiveDate;

use crate::record::Record;

/// The records of one UTC day, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    date: NaiveDate,
    records: Vec<Record>,
}

impl Batch {
    /// Groups records by day, oldest day first. Records with the same time keep their order.
    pub fn by_day(mut records: Vec<Record>) -> impl Iterator<Item = Self> {
        // Sorts cached times, so that whole records are not moved more than once.
        records.sort_by_cached_key(|record| record.time);
        let mut rest = records.into_iter();
        std::iter::from_fn(move || {
            let date = rest.as_slice().first()?.time.date_naive();
            let count = rest
                .as_slice()
                .partition_point(|record| record.time.date_naive() <= date);
            let records = rest.by_ref().take(count).collect();
            Some(Self { date, records })
        })
    }

    /// Keeps the records that `keep` returns.
    pub(super) fn filter(self, keep: impl FnMut(Record) -> Option<Record>) -> Self {
        Self {
            records: self.records.into_iter().filter_map(keep).collect(),
            ..self
        }
    }

    pub(crate) fn date(&self) -> NaiveDate {
        self.date
    }

    /// The records, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}
