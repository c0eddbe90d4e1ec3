//! Records of one UTC day, on their way into its file.

use chrono::NaiveDate;

use crate::record::Record;

/// Records of one UTC day, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    date: NaiveDate,
    records: Vec<Record>,
}

impl Batch {
    /// Records in any order by their days, oldest day first; those of one time stay as they came.
    pub fn by_day(mut records: Vec<Record>) -> impl Iterator<Item = Self> {
        // Times are moved about, not whole records.
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

    /// The same with those records alone that `keep` gives back.
    pub(super) fn filter(self, keep: impl FnMut(Record) -> Option<Record>) -> Self {
        Self {
            records: self.records.into_iter().filter_map(keep).collect(),
            ..self
        }
    }

    /// The day.
    pub(crate) fn date(&self) -> NaiveDate {
        self.date
    }

    /// The records, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}
