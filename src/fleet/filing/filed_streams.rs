//! The streams whose day files a member writes: what came of each is filed, several catalogs at a time, and what became of it is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use chrono::{DateTime, Utc};

use super::day_writer::{self, Filed, FilingError, Load, Target};
use super::incoming::Incoming;
use super::known_streams::KnownStreams;
use super::member_note::MemberNote;
use super::report::StreamReport;
use crate::config::ArchiveStream;
use crate::coverage::{Covered, Entry};
use crate::fleet::bucket::bucket_of;
use crate::fleet::state::StreamState;
use crate::forward::kafka::fleet::Partition;
use crate::record::Reader;

/// What came is filed when there is so much of it, in bytes.
const ENOUGH: usize = 16 << 20;

/// In how many catalogs is written at a time.
const MOST_THREADS: usize = 8;

/// What came, by stream, and from which message of which partitions on.
#[derive(Debug, Default)]
pub(super) struct Loads {
    all: BTreeMap<String, (Load, BTreeMap<i32, i64>)>,
    bytes: usize,
}

/// What could not be filed, by stream: from which message of which partitions on.
pub(super) type NotFiled = BTreeMap<String, BTreeMap<i32, i64>>;

impl Loads {
    /// Adds something that came from a partition.
    pub(super) fn add(&mut self, name: &str, (partition, offset): (i32, i64), incoming: Incoming) {
        if !self.all.contains_key(name) {
            self.all.insert(name.to_owned(), Default::default());
        }
        if let Some((load, firsts)) = self.all.get_mut(name) {
            self.bytes += load.add(incoming);
            firsts.entry(partition).or_insert(offset);
        }
    }

    /// Returns whether it is time to file it.
    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= ENOUGH
    }

    /// Returns the streams of which something came and the state of the fleet says nothing.
    pub(super) fn without_state(&self, known: &KnownStreams) -> BTreeSet<String> {
        let names = self.all.keys().filter(|name| known.get(name).is_none());
        names.cloned().collect()
    }
}

/// A stream that is filed.
struct FiledStream {
    stream: ArchiveStream,
    /// The partition in which it is.
    home: Partition,
    reader: Reader,
    /// The last line of the fleet that was noted in the journal.
    claimed: Option<Entry>,
    /// Whether its catalog was found to be one of this fleet, or of nobody.
    is_checked: bool,
    report: StreamReport,
}

/// All that a member can file, by `ORGANIZATION/STREAM`.
pub(super) struct FiledStreams {
    fleet: String,
    all: BTreeMap<String, FiledStream>,
    clock: fn() -> DateTime<Utc>,
}

/// Returns the name of a stream in the state of its bucket.
fn name_of(stream: &ArchiveStream) -> String {
    let organization = stream.place.organization.map_or("", |organization| organization.name());
    format!("{organization}/{}", stream.place.kind.name)
}

impl FiledStreams {
    /// Nothing is filed yet; `counts` is how many partitions each topic has.
    pub(super) fn of(
        fleet: &str,
        streams: &[ArchiveStream],
        counts: &BTreeMap<String, i32>,
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        let all = streams.iter().map(|stream| {
            let count = counts.get(&stream.topic).copied().unwrap_or(1);
            let filed = FiledStream {
                home: (stream.topic.clone(), bucket_of(stream.place.name(), count)),
                reader: Reader::new(stream.place.kind.shape),
                claimed: None,
                is_checked: false,
                report: StreamReport {
                    organization: stream
                        .place
                        .organization
                        .map(|organization| organization.name().to_owned()),
                    stream: stream.place.name(),
                    ..StreamReport::default()
                },
                stream: stream.clone(),
            };
            (name_of(stream), filed)
        });
        Self {
            fleet: fleet.to_owned(),
            all: all.collect(),
            clock,
        }
    }

    /// Returns whether the settings have a stream.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Returns whether they are of organizations, which have names.
    pub(super) fn are_of_organizations(&self) -> bool {
        self.all.values().any(|filed| filed.stream.place.organization.is_some())
    }

    /// Returns the partition in which a stream is, if the settings have it.
    pub(super) fn home(&self, name: &str) -> Option<&Partition> {
        self.all.get(name).map(|filed| &filed.home)
    }

    /// Returns whether a stream is in one of these partitions.
    pub(super) fn is_at_home(&self, name: &str, own: &BTreeMap<Partition, i64>) -> bool {
        self.all.get(name).is_some_and(|filed| own.contains_key(&filed.home))
    }

    /// Returns the streams that are in these partitions.
    pub(super) fn at_home(&self, own: &BTreeMap<Partition, i64>) -> BTreeSet<String> {
        let at_home = self.all.iter().filter(|(_, filed)| own.contains_key(&filed.home));
        at_home.map(|(name, _)| name.clone()).collect()
    }

    /// Reads a message with what reads the records of a stream; `None` if the settings do not have it.
    pub(super) fn read<T>(&mut self, name: &str, read: impl FnOnce(&mut Reader) -> T) -> Option<T> {
        Some(read(&mut self.all.get_mut(name)?.reader))
    }

    /// Returns what the catalog of a stream holds by its own journal, if the settings have it.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub(super) fn covered_here(&self, name: &str, state: &StreamState) -> Result<Covered, FilingError> {
        let Some(filed) = self.all.get(name) else {
            return Ok(Covered::default());
        };
        Ok(day_writer::covered_here(&filed.stream, state, (self.clock)())?)
    }

    /// Files what came; returns what could not be, which is noted with its stream.
    pub(super) fn file(&mut self, loads: Loads, known: &KnownStreams, note: &MemberNote) -> NotFiled {
        let now = (self.clock)();
        let (mut not_filed, mut stateless, mut work) = (NotFiled::new(), Vec::new(), Vec::new());
        for (name, (load, firsts)) in loads.all {
            match (known.get(&name), self.all.get(&name)) {
                (Some(state), Some(filed)) => {
                    let target = self.target(&name, filed, note, now);
                    work.push((name, load, firsts, state, target));
                }
                _ => {
                    let problem = match known.problem_with(&name) {
                        Some(problem) => problem.to_owned(),
                        None => "the state of the fleet says nothing of it, so it is not filed: is the topic of the state the one that \
                                 its members write to?"
                            .to_owned(),
                    };
                    not_filed.insert(name.clone(), firsts);
                    stateless.push((name, problem));
                }
            }
        }
        let done = in_threads(work, |(name, load, firsts, state, target)| {
            let (filed, result) = day_writer::file(target, state, load);
            (name, firsts, filed, result)
        });
        for (name, problem) in stateless {
            if let Some(filed) = self.all.get_mut(&name) {
                filed.report.problem = Some(problem);
            }
        }
        for (name, firsts, filed, result) in done {
            let Some(stream) = self.all.get_mut(&name) else {
                continue;
            };
            if result.is_err() {
                not_filed.insert(name, firsts);
            }
            stream.note(filed, result);
        }
        not_filed
    }

    fn target<'a>(&'a self, name: &str, filed: &'a FiledStream, note: &MemberNote, now: DateTime<Utc>) -> Target<'a> {
        Target {
            stream: &filed.stream,
            fleet: &self.fleet,
            claimed: note
                .progress(&filed.home)
                .and_then(|progress| progress.claimed.get(name).copied()),
            now,
        }
    }

    /// Looks at the catalogs of the streams in these partitions that were not looked at yet, or could not be written to: one that is not this
    /// fleet's is told at once, and not when the first record comes.
    pub(super) fn check(&mut self, known: &KnownStreams, own: &BTreeMap<Partition, i64>) {
        let fleet = self.fleet.as_str();
        let new = self.all.iter_mut().filter(|(_, filed)| !filed.is_checked);
        for (name, filed) in new.filter(|(_, filed)| own.contains_key(&filed.home)) {
            match day_writer::check(&filed.stream, fleet, known.get(name)) {
                Ok(()) => filed.is_checked = true,
                Err(error) => filed.note_problem(&error),
            }
        }
    }

    /// Returns whether the catalog of a stream was found to be another's.
    pub(super) fn is_refused(&self, name: &str) -> bool {
        self.all
            .get(name)
            .is_some_and(|filed| !filed.is_checked && filed.report.problem.is_some())
    }

    /// Notes in the journals what the fleet has covered, of the streams for which all of it is filed; returns whether there was something
    /// to note.
    pub(super) fn claim(
        &mut self,
        known: &KnownStreams,
        is_filed: impl Fn(&str, &Partition) -> bool,
        note: &mut MemberNote,
    ) -> bool {
        let now = (self.clock)();
        let news = self.all.iter().filter_map(|(name, filed)| {
            let is_whole = filed.report.problem.is_none() && is_filed(name, &filed.home);
            let state = known.get(name).filter(|_| is_whole)?;
            let excluded = note
                .progress(&filed.home)
                .and_then(|progress| progress.excluded.get(name));
            let target = self.target(name, filed, note, now);
            (filed.claimed.as_ref() != Some(&state.run)).then(|| (name.clone(), target, state, excluded))
        });
        let done = in_threads(news.collect(), |(name, target, state, excluded)| {
            let claimed = day_writer::claim(target, state, excluded);
            (name, state.run.clone(), claimed)
        });
        let has_news = !done.is_empty();
        for (name, run, claimed) in done {
            let Some(filed) = self.all.get_mut(&name) else { continue };
            match claimed {
                Ok(()) => {
                    if let Some(progress) = note.progress_mut(&filed.home) {
                        progress.claimed.insert(name, run.at);
                    }
                    filed.report.fleet_run_at = Some(run.at);
                    filed.claimed = Some(run);
                }
                Err(error) => filed.note_problem(&error),
            }
        }
        has_news
    }

    /// Returns the last run of the fleet whose coverage was noted since the start.
    pub(super) fn claimed(&self, name: &str) -> Option<&Entry> {
        self.all.get(name)?.claimed.as_ref()
    }

    /// Forgets what was wrong in the round before.
    pub(super) fn forget_problems(&mut self) {
        for filed in self.all.values_mut() {
            filed.report.problem = None;
            filed.report.is_locked = false;
        }
    }

    /// Returns how they stand that are in these partitions, or of which something was filed.
    pub(super) fn reports(
        &self,
        own: &BTreeMap<Partition, i64>,
        is_stuck: impl Fn(&Partition) -> bool,
    ) -> Vec<StreamReport> {
        let shown = self.all.values().filter(|filed| {
            let StreamReport {
                appended, duplicates, ..
            } = filed.report;
            own.contains_key(&filed.home) || appended + duplicates > 0
        });
        let reports = shown.map(|filed| StreamReport {
            is_stuck: is_stuck(&filed.home),
            ..filed.report.clone()
        });
        reports.collect()
    }
}

impl FiledStream {
    fn note(&mut self, filed: Filed, result: Result<(), FilingError>) {
        let report = &mut self.report;
        report.appended += filed.appended;
        report.duplicates += filed.duplicates();
        report.rejected += filed.rejected;
        report.revised += filed.revised;
        report.expired += filed.expired;
        report.last_record = report.last_record.max(filed.last_record);
        if filed.appended + filed.rejected + filed.revised > 0 {
            tracing::info!(
                stream = self.stream.place.name(),
                appended = filed.appended,
                duplicates = filed.duplicates(),
                rejected = filed.rejected,
                revised = filed.revised,
                "filed"
            );
        }
        if let Err(error) = result {
            self.note_problem(&error);
        }
    }

    fn note_problem(&mut self, error: &FilingError) {
        self.report.is_locked = error.is_held();
        self.report.problem = Some(error.to_string());
    }
}

/// Does work in a few threads; returns what came of it, in no order.
fn in_threads<W: Send, D: Send>(work: Vec<W>, act: impl Fn(W) -> D + Sync) -> Vec<D> {
    let count = work.len().min(MOST_THREADS);
    if count < 2 {
        return work.into_iter().map(act).collect();
    }
    let mut shares: Vec<Vec<W>> = (0..count).map(|_| Vec::new()).collect();
    for (number, one) in work.into_iter().enumerate() {
        shares[number % count].push(one);
    }
    let act = &act;
    let span = tracing::Span::current();
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| {
                let span = span.clone();
                scope.spawn(move || span.in_scope(|| share.into_iter().map(act).collect::<Vec<_>>()))
            })
            .collect();
        // A panic was logged; what it was to file is not noted as filed, and comes again.
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}
