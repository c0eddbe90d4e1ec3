//! What a run was given and has not filed: it is kept as pending, and filed with the range that completes its time.

use tokio::sync::mpsc;

use super::{Writer, guarded};
use crate::archive::Batch;
use crate::fetch::LeftOver;
use crate::fetch::walk::CompletedRange;
use crate::record::digests::Digests;
use crate::record::{Record, Rejected};
use crate::run::collected::CollectError;
use crate::run::steps::Step;

/// Says that lines of the pending file cannot be read.
pub(super) fn damaged_warning(lines: usize) -> Option<String> {
    (lines > 0).then(|| {
        format!("{lines} lines of the pending file cannot be read: they are in the rejected file, as they were; the others count")
    })
}

impl Writer {
    /// Adds to a range the pending records of its time that it lacks, before the others: they were given first. What it has
    /// with other fields by now is an older version.
    pub(super) fn add_pending(&mut self, range: &mut CompletedRange) {
        let Some(from) = self.asked().map(|asked| asked.from) else {
            return;
        };
        let deleted_to = self.deleted_to;
        let is_due =
            |time| from <= time && time <= range.done_to && deleted_to.is_none_or(|deleted_to| deleted_to < time);
        let mut due = self.pending.take(is_due);
        if due.is_empty() {
            return;
        }
        let held: Digests = range.records.iter().map(|record| record.identity.content).collect();
        due.retain(|record| !held.contains(&record.identity.content));
        if !due.is_empty()
            && let Some(asked) = self.asked()
        {
            // What lacks records that were given before may lack others.
            asked.has_lapsed = true;
        }
        let moments: Digests = range.records.iter().map(Record::moment).collect();
        for record in &mut due {
            record.is_superseded = moments.contains(&record.moment());
        }
        range.received += due.len() as u64;
        due.append(&mut range.records);
        range.records = due;
    }

    /// Keeps the records of a range of which not all was filed.
    pub(super) fn keep_unfiled(&mut self, mut given: Vec<Record>, is_filed: bool) {
        if is_filed {
            let Some(asked) = self.asked().filter(|asked| !asked.skipped.is_empty()) else {
                return;
            };
            let skipped = asked.skipped.clone();
            given.retain(|record| skipped.contains(&record.time.date_naive()));
        }
        self.pending.keep(given, self.now);
    }

    /// Keeps the ranges that nobody will file, until there are no more.
    pub(super) fn keep_the_rest(&mut self, steps: &mut mpsc::Receiver<Step>) {
        steps.close();
        while let Some(step) = steps.blocking_recv() {
            if let Step::File(range) = step {
                self.pending.keep(range.records, self.now);
            }
        }
    }

    /// Keeps what the run leaves over for the next ones, and files what is pending and no run asks for any more.
    pub(super) fn settle(&mut self, left_over: LeftOver) {
        let LeftOver {
            records,
            rejected,
            originals,
        } = left_over;
        self.pending.keep(records, self.now);
        let before = self.counted_as_new();
        let noted = guarded("noting what was given", || self.reject_all([rejected, originals]));
        let filed = guarded("filing what is pending", || self.file_what_nobody_asks_for());
        self.collected.received += self.counted_as_new() - before;
        // Whatever became of that.
        let written = guarded("writing the pending file", || {
            self.journal.write_pending(&mut self.pending)
        });
        let written = written.map(|warnings| {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            self.collected.warnings.extend(warnings);
        });
        for error in [noted, filed, written].into_iter().filter_map(Result::err) {
            tracing::error!("{error}");
            // An earlier failure hides it from the summary.
            self.collected.warnings.push(error.to_string());
            self.collected.failure.get_or_insert(error);
        }
    }

    fn reject_all(&mut self, rejected: [Vec<Rejected>; 2]) -> Result<(), CollectError> {
        let mut rejected = rejected.iter().filter(|rejected| !rejected.is_empty());
        rejected.try_for_each(|rejected| self.reject(rejected))
    }

    /// Returns how many records were taken that no run has taken before.
    fn counted_as_new(&self) -> u64 {
        self.collected.appended + self.collected.rejected + self.collected.revised + self.collected.expired
    }

    /// Files the pending records whose time is filed or will never be asked for, as those that come late. What cannot be filed
    /// stays pending.
    fn file_what_nobody_asks_for(&mut self) -> Result<(), CollectError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let awaits = self.journal.awaits(&self.collected);
        let due = self.pending.take(|time| !awaits(time));
        if due.is_empty() {
            return Ok(());
        }
        let days = due.iter().map(|record| record.time.date_naive()).collect();
        if let Err(error) = self.journal.begin_filing(&self.collected, days) {
            self.pending.keep(due, self.now);
            return Err(error);
        }
        let mut filed = Ok(());
        for batch in Batch::by_day(due) {
            let given = batch.records().to_vec();
            let error = self.file_day(batch).err();
            self.appended.notify();
            if let Some(error) = error {
                self.pending.keep(given, self.now);
                filed = filed.and(Err(error));
            }
        }
        filed
    }
}
