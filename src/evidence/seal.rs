//! Seals the archive: each file that has grown gets an entry, the entries are signed. Day files are only read.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::entry::{Content, Entry, FileId, Says};
use super::hasher::Hashed;
use super::ledger::{History, Ledger, Sealed};
use super::material::Material;
use super::notes::Notes;
use super::tree::{Hash, Tree};
use crate::archive::{EXPIRED, FileStamp, HOLDS, LineCounter, Listing, Location, REJECTED, REVISED, while_files_move};
use crate::config::StreamPlace;
use crate::coverage::{Covered, Gap, JOURNAL, Journal, PREVIOUS_JOURNAL, Standing, Wanted, day_span};
use crate::fs::FileError;
use crate::record::Reader;
use crate::window::Window;

/// The files of the state folder that are sealed: completeness rests on them, and what may be deleted, and was.
const STATE_FILES: [&str; 6] = [PREVIOUS_JOURNAL, JOURNAL, REJECTED, REVISED, HOLDS, EXPIRED];

/// How to seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealOptions {
    pub(crate) now: DateTime<Utc>,
    /// How long after its end a day is closed.
    pub(crate) after: TimeDelta,
    /// How much time has to pass until what has grown gets another entry.
    pub(crate) every: TimeDelta,
    /// Whether files are read that were not written to since the last seal.
    pub(crate) full: bool,
}

/// What sealing a stream came to.
#[derive(Debug, Default)]
pub(crate) struct StreamSeal {
    pub(crate) entries: Vec<Entry>,
    /// Why nothing of it is sealed.
    pub(crate) problems: Vec<String>,
}

/// What is wrong with a file.
enum Fault {
    /// It cannot be read.
    File(FileError),
    /// It is not what was sealed.
    Problem(String),
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl<'a> From<&'a Fault> for Option<&'a FileError> {
    fn from(fault: &'a Fault) -> Self {
        match fault {
            Fault::File(error) => Some(error),
            Fault::Problem(_) => None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Problem(problem) => f.write_str(problem),
        }
    }
}

/// What a file is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The day file of a date; closed by now, or not.
    Day { date: NaiveDate, is_over: bool },
    /// A file of the state folder.
    State { closed_to: Option<NaiveDate> },
}

/// Seals one stream.
struct Sealing<'a> {
    place: &'a StreamPlace,
    standing: Standing,
    ledger: &'a Ledger,
    notes: &'a mut Notes,
    options: SealOptions,
    /// Whether nothing of the stream was ever sealed: then it is taken as it is found.
    is_first: bool,
    counter: LineCounter,
    seal: StreamSeal,
}

/// Reads what of a stream has grown since the ledger was written; if anything in it is not what was sealed, nothing of it is.
pub(super) fn seal_stream(place: &StreamPlace, ledger: &Ledger, notes: &mut Notes, options: SealOptions) -> StreamSeal {
    let standing = Standing::read(
        &place.location,
        Wanted::Stream(place.kind.name),
        place.keep,
        options.now,
    );
    let standing = match standing {
        Ok(standing) => standing,
        Err(error) => return StreamSeal::failed(error.to_string()),
    };
    let mut sealing = Sealing {
        place,
        standing,
        ledger,
        notes,
        options,
        is_first: !ledger.sealed_at.contains_key(place.kind.name),
        counter: LineCounter::of(&place.location),
        seal: StreamSeal::default(),
    };
    sealing.days();
    sealing.state_files();
    let mut seal = sealing.seal;
    if !seal.problems.is_empty() {
        seal.entries.clear();
    }
    seal
}

impl StreamSeal {
    fn failed(problem: String) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }
}

impl Sealing<'_> {
    fn id(&self, file: String) -> FileId {
        FileId {
            stream: self.place.kind.name.to_owned(),
            file,
        }
    }

    fn note_problem(&mut self, sealed: Result<(), Fault>) {
        if let Err(fault) = sealed {
            self.seal.problems.push(fault.to_string());
        }
    }

    /// Seals the days that have a file, and finds those whose file is gone.
    fn days(&mut self) {
        let mut names = BTreeSet::new();
        let gaps = self.open_gaps();
        for date in self.standing.listing.dates() {
            let Some(name) = self.place.location.day_name(date) else {
                continue;
            };
            let is_over = self.is_over(date, &gaps);
            // One whose deletion was interrupted in the middle; a whole one is sealed again.
            if self.is_expired(&name) && self.standing.sum.is_expired(date) {
                names.insert(name);
                continue;
            }
            let sealed = self.day(self.id(name.clone()), Purpose::Day { date, is_over });
            self.note_problem(sealed);
            names.insert(name);
        }
        let known = self
            .ledger
            .files
            .iter()
            .filter(|(file, _)| file.stream == self.place.kind.name);
        let gone = known.filter(|(file, history)| !names.contains(&file.file) && history.is_missed());
        let gone = gone.filter(|(file, _)| !self.is_state_file(&file.file));
        let gone: Vec<_> = gone.map(|(file, _)| file.file.clone()).collect();
        for file in gone {
            if self.other_name(&file) {
                continue;
            }
            self.note_problem(Err(Fault::Problem(format!(
                "{file} was sealed and is gone: restore it from a copy, or say why it is gone with `trailkeeper evidence acknowledge \
                 {file} --reason TEXT`"
            ))));
        }
    }

    /// Seals a file that another base name or extension has named, if it is there.
    fn other_name(&mut self, file: &str) -> bool {
        let id = self.id(file.to_owned());
        let Some(location) = Location::of_day_file(self.place.location.folder(), file) else {
            let state = self.place.location.state_named(file);
            let is_there = matches!(state.stamp(), Ok(Some(_)));
            if is_there {
                let sealed = self.file(&id, &Material::State(state), Purpose::State { closed_to: None });
                self.note_problem(sealed);
            }
            return is_there;
        };
        let day = location.day_of(file).zip(location.listing().ok());
        let Some((date, listing)) = day.filter(|(date, listing)| listing.has(*date)) else {
            return false;
        };
        let sealed = self.day_of(&listing, date, &id, Purpose::Day { date, is_over: true });
        self.note_problem(sealed);
        true
    }

    /// Returns whether the log says that a file is deleted for its age.
    fn is_expired(&self, name: &str) -> bool {
        let history = self.ledger.files.get(&self.id(name.to_owned()));
        history.is_some_and(|history| history.expired.is_some())
    }

    fn is_state_file(&self, name: &str) -> bool {
        STATE_FILES.iter().any(|what| self.state_name(what) == name)
    }

    fn state_name(&self, what: &str) -> String {
        format!("{}.{what}", self.place.location.base())
    }

    /// Returns the gaps that can still be closed.
    fn open_gaps(&self) -> Vec<Window> {
        let gaps = self.standing.sum.gaps(self.place.kind.retention, self.options.now);
        gaps.iter().filter(|gap| !gap.is_gone).map(Gap::span).collect()
    }

    /// Returns whether a day is over, and nothing of it is still to be fetched.
    fn is_over(&self, date: NaiveDate, gaps: &[Window]) -> bool {
        let day = day_span(date);
        let has_gap = gaps.iter().any(|gap| gap.from < day.to && day.from < gap.to);
        day.to + self.options.after <= self.options.now && !has_gap
    }

    /// Seals a day. Another program may be compressing its file, so that what was listed is no longer there.
    fn day(&mut self, id: FileId, purpose: Purpose) -> Result<(), Fault> {
        let Purpose::Day { date, .. } = purpose else {
            return Ok(());
        };
        let mut listing = self.standing.listing.clone();
        let sealed = while_files_move(|| {
            let sealed = self.day_of(&listing, date, &id, purpose);
            if let Err(Fault::File(error)) = &sealed
                && error.is_missing()
            {
                listing = self.place.location.listing()?.into();
            }
            sealed
        });
        self.standing.listing = listing;
        sealed
    }

    fn day_of(&mut self, listing: &Listing, date: NaiveDate, id: &FileId, purpose: Purpose) -> Result<(), Fault> {
        let material = Material::of_day(listing, date, &mut self.counter)?.map_err(Fault::Problem)?;
        self.file(id, &material, purpose)
    }

    /// Seals the files of the state folder: the journal that was put aside before the one that took its place.
    fn state_files(&mut self) {
        for what in STATE_FILES {
            let id = self.id(self.state_name(what));
            let closed_to = (what == JOURNAL).then(|| (self.options.now - self.options.after).date_naive());
            let material = Material::State(self.place.location.state(what));
            let sealed = self.file(&id, &material, Purpose::State { closed_to });
            self.note_problem(sealed);
        }
    }

    /// Seals a file, if it has grown or is closed by now.
    fn file(&mut self, id: &FileId, material: &Material, purpose: Purpose) -> Result<(), Fault> {
        let history = self.ledger.files.get(id);
        let subject = Subject {
            id,
            purpose,
            sealed: history.and_then(History::newest),
            is_closed: history.is_some_and(|history| history.is_closed),
            is_expired: history.is_some_and(|history| history.expired.is_some()),
            has_other_form: history
                .is_some_and(|history| history.is_closed && history.is_packed != material.is_packed()),
            is_packed: material.is_packed(),
        };
        let stamps = material.stamps()?;
        let Some(hashed) = self.read(&subject, material, &stamps)? else {
            return Ok(());
        };
        let content = hashed.content();
        let says = self.says(&subject, material, &hashed)?;
        if says.is_some() {
            material.sync()?;
        }
        if says.is_some() || subject.content() == Some(content) {
            let may_grow = !subject.is_closed && !matches!(says, Some(Says::Day { .. }));
            let can_grow = may_grow && material.is_plain();
            let end = if can_grow {
                material.hash_before(content.bytes)?
            } else {
                None
            };
            let grown = end.map(|end| (&hashed.tree, end));
            self.notes.note(id.clone(), stamps, content, grown);
        }
        let now = self.options.now;
        self.seal.entries.extend(says.map(|says| Entry::new(says, now)));
        Ok(())
    }

    /// Reads what was written to a file since it was sealed, or all of it; nothing if nothing was, or there is none.
    fn read(&self, subject: &Subject<'_>, material: &Material, stamps: &[FileStamp]) -> Result<Option<Hashed>, Fault> {
        let Some(sealed) = subject.content() else {
            let is_there = !stamps.is_empty();
            return Ok(is_there
                .then(|| material.hash(Tree::default(), 0, &[], |_| {}))
                .transpose()?);
        };
        let note = self.notes.of(subject.id, sealed).filter(|_| !self.options.full);
        if !subject.is_closing() {
            if !subject.has_other_form && note.is_some_and(|note| note.is_unchanged(stamps)) {
                return Ok(None);
            }
            let grown = note.filter(|_| material.is_plain());
            if let Some((tree, end)) = grown.and_then(|note| note.tree_of_grown(stamps))
                && material.hash_before(sealed.bytes)? == Some(end)
            {
                return Ok(Some(material.hash(tree, sealed.bytes, &[], |_| {})?));
            }
        }
        let hashed = material.hash(Tree::default(), 0, &[sealed.lines], |_| {})?;
        let is_as_sealed = hashed.marks.first() == Some(&sealed);
        if is_as_sealed || subject.is_journal() && self.has_put_a_journal_aside()? {
            return Ok(Some(hashed));
        }
        Err(changed(subject.id, sealed, &hashed))
    }

    /// Returns whether the journal that was sealed last is the one before the present one by now.
    fn has_put_a_journal_aside(&self) -> Result<bool, FileError> {
        let history = self.ledger.files.get(&self.id(self.state_name(JOURNAL)));
        let Some(sealed) = history.and_then(History::newest) else {
            return Ok(false);
        };
        let previous = Material::State(self.place.location.state(PREVIOUS_JOURNAL));
        let hashed = previous.hash(Tree::default(), 0, &[sealed.content.lines], |_| {})?;
        Ok(hashed.marks.first() == Some(&sealed.content))
    }

    /// Returns what is to be said of a file, if anything.
    fn says(&self, subject: &Subject<'_>, material: &Material, hashed: &Hashed) -> Result<Option<Says>, Fault> {
        let (file, content) = (subject.id.clone(), hashed.content());
        let has_grown = subject.content().is_none_or(|sealed| sealed.lines < content.lines);
        // An entry that is dated in the future was written by a clock that was ahead.
        let now = self.options.now;
        let is_due = subject
            .sealed
            .is_none_or(|sealed| sealed.at + self.options.every <= now || now < sealed.at);
        let sha256 = hashed.sha256;
        Ok(match subject.purpose {
            Purpose::State { closed_to } if subject.content() != Some(content) && is_due => Some(Says::Journal {
                file,
                content,
                closed_to,
            }),
            Purpose::State { .. } => None,
            Purpose::Day { .. } if subject.is_closed && hashed.torn > 0 => {
                return Err(Fault::Problem(format!(
                    "{} is of a closed day and ends in a part of a line: the next run of collect repairs it",
                    file.file
                )));
            }
            Purpose::Day { date, .. } if subject.is_closed && has_grown => {
                self.check_appended(date, material, hashed)?;
                Some(Says::Late { file, content, sha256 })
            }
            Purpose::Day { .. } if subject.has_other_form => Some(Says::Packed {
                file,
                content,
                is_packed: subject.is_packed,
            }),
            Purpose::Day { date, .. } if subject.is_closing() && hashed.torn == 0 => {
                if subject.sealed.is_none() {
                    self.check_appended(date, material, hashed)?;
                }
                Some(self.day_says(file, date, material, (content, sha256))?)
            }
            Purpose::Day { .. } if !subject.is_closed && has_grown && is_due => Some(Says::Open { file, content }),
            Purpose::Day { .. } => None,
        })
    }

    fn day_says(
        &self,
        file: FileId,
        date: NaiveDate,
        material: &Material,
        (content, sha256): (Content, Hash),
    ) -> Result<Says, FileError> {
        let mut reader = Reader::new(self.place.kind.shape);
        let (first, last) = material.ends()?;
        let mut time = |line: Option<Vec<u8>>| {
            let line = line?;
            let text = std::str::from_utf8(&line).ok()?;
            reader.identify(text).ok().map(|record| record.time)
        };
        let day = day_span(date);
        let gaps = self.standing.sum.gaps(self.place.kind.retention, self.options.now);
        let gaps: Vec<_> = gaps.iter().map(Gap::span).collect();
        Ok(Says::Day {
            file,
            content,
            sha256,
            first: time(first),
            last: time(last),
            covered: self.standing.sum.covered.within(day).spans().to_vec(),
            gaps: Covered::from(gaps).within(day).spans().to_vec(),
        })
    }

    /// Returns whether a run was killed since the stream was sealed last, or is still at work, that was to write to a day: what it
    /// wrote last is not counted.
    fn may_be_of_a_killed_run(&self, date: NaiveDate) -> Result<bool, FileError> {
        let Some(sealed_at) = self.ledger.sealed_at.get(self.place.kind.name) else {
            return Ok(true);
        };
        let unfinished = Journal::of(&self.place.location).unfinished_spans(*sealed_at)?;
        let day = day_span(date);
        Ok(unfinished.iter().any(|span| span.from < day.to && day.from < span.to))
    }

    /// Checks that what a closed day has more than was sealed was appended by this program, as the journal of its runs says.
    fn check_appended(&self, date: NaiveDate, material: &Material, hashed: &Hashed) -> Result<(), Fault> {
        if self.is_first {
            return Ok(());
        }
        let counted = self.standing.counts.get(&date).copied().unwrap_or_default();
        let plain = material.plain_bytes()?;
        if plain <= counted.bytes && (plain > 0 || hashed.tree.size() <= counted.all()) {
            return Ok(());
        }
        if self.may_be_of_a_killed_run(date)? {
            return Ok(());
        }
        let name = self.place.location.day_name(date).unwrap_or_default();
        Err(Fault::Problem(format!(
            "{name} is of a closed day and holds lines that no run has noted that it wrote: find out who did; `trailkeeper evidence \
             acknowledge {name} --reason TEXT` takes the file as it is, and says so for ever"
        )))
    }
}

/// A file, and what the log says of it.
struct Subject<'a> {
    id: &'a FileId,
    purpose: Purpose,
    sealed: Option<Sealed>,
    is_closed: bool,
    /// Whether the log says that it is deleted for its age.
    is_expired: bool,
    /// Whether it is closed, and stored in another form than the log says.
    has_other_form: bool,
    /// Whether this program has packed it.
    is_packed: bool,
}

impl Subject<'_> {
    fn content(&self) -> Option<Content> {
        self.sealed.map(|sealed| sealed.content)
    }

    fn is_closing(&self) -> bool {
        matches!(self.purpose, Purpose::Day { is_over: true, .. }) && (!self.is_closed || self.is_expired)
    }

    fn is_journal(&self) -> bool {
        let is_one = |what: &str| self.id.file.ends_with(&format!(".{what}"));
        matches!(self.purpose, Purpose::State { .. }) && [JOURNAL, PREVIOUS_JOURNAL].into_iter().any(is_one)
    }
}

/// Says that a file is not what was sealed.
fn changed(id: &FileId, sealed: Content, hashed: &Hashed) -> Fault {
    let FileId { file, .. } = id;
    let how = match hashed.tree.size() {
        lines if lines < sealed.lines => format!("has {lines} lines, and had {} when it was sealed", sealed.lines),
        _ => format!("is not what was sealed: its first {} lines are others", sealed.lines),
    };
    Fault::Problem(format!(
        "{file} {how}: `trailkeeper verify --evidence` says where; restore it from a copy, or say what happened with `trailkeeper \
         evidence acknowledge {file} --reason TEXT`"
    ))
}
