//! The rejected file: records that no day file can hold, records as they came before they were repaired, and torn lines
//! that a crash left. And the revised file: records that are archived ones, seen again with other fields.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};

use serde_json::Value;

use super::day_file::DayFile;
use super::day_forms::bytes_of_day;
use super::durable_appender::{DurableAppender, Incomplete, WriteError};
use super::lines::{Lines, TornLine};
use super::location::Location;
use super::state_file::StateFile;
use super::storage::STATE_FILE_MODE;
use crate::fs::{FileError, folder_of};
use crate::json::{Found, KeyPath, Scanner};
use crate::record::digests::Digests;
use crate::record::{Form, Rejected};

/// Name of the rejected file, after `<base>.`.
pub(crate) const REJECTED: &str = "rejected.jsonl";

/// Name of the revised file, after `<base>.`.
pub(crate) const REVISED: &str = "revised.jsonl";

/// The reason noted for a torn line.
const TORN_LINE: &str = "torn line, repaired";

/// How much of a torn line is noted, in bytes; all of it is in the day file.
const MAX_FRAGMENT: usize = 64 << 10;

/// How much is written at once, in bytes; a longer note is written alone.
const CHUNK_BYTES: usize = 256 << 10;

/// How much of the end of the notes is read for what may have been noted lately, in bytes.
const LATELY: usize = 1 << 20;

/// The file `.trailkeeper/<base>.rejected.jsonl` or `….revised.jsonl`, a JSON object in each line, in the order of noting.
/// The revised file has lines of the first kind only.
///
/// - `{"noted_at": "…Z", "reason": "…", "record": …}` for a record; one that is not JSON is a string, with the
///   escapes that [`crate::json`] defines for bytes
/// - `{"noted_at": "…Z", "reason": "…", "original": "…"}` for a record that is not UTF-8, as such a string; it was repaired
///   and is elsewhere
/// - `{"noted_at": "…Z", "reason": "…", "file": "mail_2025-06-09.log", "offset": 4711, "fragment": "…"}` for a torn line,
///   by where it stands in the content of its day
pub(super) struct NotesFile {
    file: StateFile,
    noted: Option<Noted>,
}

/// The content of the file.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    records: Digests,
    /// When these records were noted.
    times: Vec<Option<DateTime<Utc>>>,
    originals: Digests,
    fragments: HashMap<String, HashSet<u64>>,
}

impl Noted {
    /// Reads the notes of the rejected file, for a command that only reads.
    ///
    /// # Errors
    /// If the file cannot be read; a missing one is empty.
    pub(crate) fn rejected(location: &Location) -> Result<Self, FileError> {
        read(&location.state(REJECTED))
    }

    /// Reads the notes of the revised file, for a command that only reads.
    ///
    /// # Errors
    /// If the file cannot be read; a missing one is empty.
    pub(crate) fn revised(location: &Location) -> Result<Self, FileError> {
        read(&location.state(REVISED))
    }

    #[cfg(test)]
    pub(super) fn of_torn_lines(file: &str, offsets: &[u64]) -> Self {
        let offsets = offsets.iter().copied().collect();
        Self {
            fragments: HashMap::from([(file.to_owned(), offsets)]),
            ..Self::default()
        }
    }

    /// Returns the number of records, each counted once.
    pub(crate) fn records(&self) -> u64 {
        self.records.len() as u64
    }

    /// Returns whether a record with this content is noted.
    pub(crate) fn has(&self, content: u128) -> bool {
        self.records.contains(&content)
    }

    /// Returns when the records were noted, each once, in the order of the file; `None` where that cannot be read.
    pub(crate) fn times(&self) -> &[Option<DateTime<Utc>>] {
        &self.times
    }

    /// Returns how many torn lines were repaired in the files of a day; `file` is the name of the plain one.
    pub(crate) fn repaired_on_day(&self, file: &str) -> u64 {
        self.fragments.get(file).map_or(0, |offsets| offsets.len() as u64)
    }

    /// Returns the offsets of repaired torn lines in this file, compressed or not. They are noted by where they stand in the content
    /// of the day.
    ///
    /// # Errors
    /// If the day has such lines, and one that this program has packed, which cannot be read.
    pub(crate) fn repaired_in(&self, file: &DayFile) -> Result<HashSet<u64>, FileError> {
        let name = file.plain().name();
        let Some(offsets) = self.fragments.get(&name) else {
            return Ok(HashSet::new());
        };
        let bytes = bytes_of_day(file)?;
        let of_file = offsets.iter().filter(|offset| bytes.contains(offset));
        Ok(of_file.map(|offset| offset - bytes.start).collect())
    }
}

/// How many records were noted that were not noted before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewlyNoted {
    /// Those that the file has instead of a day file.
    pub(crate) records: u64,
    /// Those that did not come as JSON in UTF-8, whether a day file has them or not.
    pub(crate) repaired: u64,
}

impl NewlyNoted {
    fn add(&mut self, form: Form) {
        self.records += u64::from(form != Form::Original);
        self.repaired += u64::from(form != Form::Record);
    }
}

impl NotesFile {
    pub(super) fn rejected(location: &Location) -> Self {
        Self::named(REJECTED, location)
    }

    pub(super) fn revised(location: &Location) -> Self {
        Self::named(REVISED, location)
    }

    fn named(what: &str, location: &Location) -> Self {
        Self {
            file: location.state(what),
            noted: None,
        }
    }

    /// Returns whether the content was read.
    #[cfg(test)]
    pub(super) fn is_read(&self) -> bool {
        self.noted.is_some()
    }

    /// Checks that the file can be opened, if there is one.
    pub(super) fn look(&self) -> Result<(), FileError> {
        self.file.open().map(|_| ())
    }

    /// Returns the content of the file, which is read once.
    pub(super) fn noted(&mut self, appender: &mut DurableAppender) -> Result<&mut Noted, FileError> {
        let noted = match self.noted.take() {
            Some(noted) => noted,
            None => self.read_synced(appender)?,
        };
        Ok(self.noted.insert(noted))
    }

    /// Reads the notes and syncs them first, since decisions depend on them.
    fn read_synced(&self, appender: &mut DurableAppender) -> Result<Noted, FileError> {
        if !self.is_synced(appender)? {
            return Ok(Noted::default());
        }
        read(&self.file)
    }

    /// Syncs the notes; returns whether there are any.
    fn is_synced(&self, appender: &mut DurableAppender) -> Result<bool, FileError> {
        if self.file.open()?.is_none() {
            return Ok(false);
        }
        appender.sync_existing(self.file.path())?;
        appender.sync_folder(folder_of(self.file.path()))?;
        Ok(true)
    }

    /// Returns whether all of these records are among those that were noted last: what a service gives again and again is rejected
    /// again and again, and all that was ever rejected need not be read for that.
    fn has_lately_noted(&self, appender: &mut DurableAppender, records: &[Rejected]) -> Result<bool, FileError> {
        if self.noted.is_some() || !self.is_synced(appender)? {
            return Ok(false);
        }
        let (mut scanner, mut form) = (Scanner::new(&WANTED), String::new());
        let (mut left, mut read): (Vec<_>, _) = (records.iter().collect(), 0);
        self.file.newest_line(|line| {
            let mut noted = Noted::default();
            noted.add_line(line, &mut scanner, &mut form);
            left.retain(|record| !noted.of_form(record.form).contains(&record.content));
            read += line.len();
            (left.is_empty() || read > LATELY).then_some(())
        })?;
        Ok(left.is_empty())
    }

    /// Notes the records that are not noted yet, by content; returns how many, also after an error.
    pub(super) fn note(
        &mut self,
        appender: &mut DurableAppender,
        records: &[Rejected],
        now: DateTime<Utc>,
    ) -> Result<NewlyNoted, Incomplete<NewlyNoted>> {
        if records.is_empty() || self.has_lately_noted(appender, records)? {
            return Ok(NewlyNoted::default());
        }
        let noted = self.noted(appender)?;
        let mut seen = Noted::default();
        let is_fresh = |record: &&Rejected| {
            let of_form = (noted.of_form(record.form), seen.of_form(record.form));
            !of_form.0.contains(&record.content) && of_form.1.insert(record.content)
        };
        let fresh: Vec<&Rejected> = records.iter().filter(is_fresh).collect();
        let mut newly_noted = NewlyNoted::default();
        if fresh.is_empty() {
            return Ok(newly_noted);
        }
        if let Err(Incomplete { cause, .. }) = appender.append(self.file.path(), STATE_FILE_MODE, chunks(&fresh, now)) {
            let mut noted = read(&self.file).unwrap_or_default();
            let there = fresh
                .into_iter()
                .filter(|record| noted.of_form(record.form).contains(&record.content));
            there.for_each(|record| newly_noted.add(record.form));
            let done = newly_noted;
            return Err(Incomplete { done, cause });
        }
        let noted = self.noted(appender)?;
        for record in fresh {
            noted.of_form(record.form).insert(record.content);
            newly_noted.add(record.form);
        }
        Ok(newly_noted)
    }

    /// Notes a torn line of a day file, unless it is noted already.
    pub(super) fn note_torn_line(
        &mut self,
        appender: &mut DurableAppender,
        file: &DayFile,
        torn: &TornLine,
        now: DateTime<Utc>,
    ) -> Result<(), WriteError> {
        let offset = bytes_of_day(file)?.start + torn.offset;
        let file = &file.name();
        let fragments = &self.noted(appender)?.fragments;
        if fragments.get(file).is_some_and(|offsets| offsets.contains(&offset)) {
            return Ok(());
        }
        let shown = &torn.bytes[..torn.bytes.len().min(MAX_FRAGMENT)];
        let line = format!(
            "{{\"noted_at\": {}, \"reason\": {}, \"file\": {}, \"offset\": {}, \"fragment\": {}}}\n",
            quoted(&timestamp(now)),
            quoted(TORN_LINE),
            quoted(file),
            offset,
            quoted(&String::from_utf8_lossy(shown)),
        );
        appender.append(self.file.path(), STATE_FILE_MODE, [line])?;
        self.noted(appender)?
            .fragments
            .entry(file.to_owned())
            .or_default()
            .insert(offset);
        Ok(())
    }
}

/// Joins notes into chunks of lines.
fn chunks<'a>(records: &'a [&'a Rejected], now: DateTime<Utc>) -> impl Iterator<Item = String> + 'a {
    let mut rest = records.iter();
    std::iter::from_fn(move || {
        let mut lines = String::new();
        while lines.len() < CHUNK_BYTES
            && let Some(record) = rest.next()
        {
            push_note(&mut lines, record, now);
        }
        (!lines.is_empty()).then_some(lines)
    })
}

fn push_note(lines: &mut String, record: &Rejected, now: DateTime<Utc>) {
    let key = match record.form {
        Form::Record | Form::Bytes => "record",
        Form::Original => "original",
    };
    let (noted_at, reason) = (quoted(&timestamp(now)), quoted(&record.reason));
    lines.push_str(&format!(
        "{{\"noted_at\": {noted_at}, \"reason\": {reason}, \"{key}\": "
    ));
    lines.push_str(&record.line);
    lines.push_str("}\n");
}

/// The keys by which a note is recognized.
const WANTED: [KeyPath; 5] = [&["record"], &["original"], &["file"], &["offset"], &["noted_at"]];

/// Reads the notes and skips lines that are not notes, such as torn ones.
fn read(file: &StateFile) -> Result<Noted, FileError> {
    let mut noted = Noted::default();
    let Some(open) = file.open()? else { return Ok(noted) };
    let mut scanner = Scanner::new(&WANTED);
    let mut form = String::new();
    let mut lines = Lines::of(open);
    while let Some(line) = lines
        .next()
        .map_err(|cause| FileError::io("read", file.path(), cause))?
    {
        if let Ok(text) = std::str::from_utf8(line.bytes) {
            noted.add_line(text, &mut scanner, &mut form);
        }
    }
    Ok(noted)
}

impl Noted {
    /// Returns what is noted of this form.
    fn of_form(&mut self, form: Form) -> &mut Digests {
        match form {
            Form::Record | Form::Bytes => &mut self.records,
            Form::Original => &mut self.originals,
        }
    }

    /// Adds what a line notes, if it does; `form` is a buffer.
    fn add_line(&mut self, text: &str, scanner: &mut Scanner, form: &mut String) {
        form.clear();
        if scanner.scan(text, form).is_ok() {
            self.add([0, 1, 2, 3, 4].map(|wanted| scanner.found(wanted)), form);
        }
    }

    fn add(&mut self, [record, original, file, offset, noted_at]: [Option<&Found>; 5], form: &str) {
        if let Some(record) = record {
            if self.records.insert(record.hash(form)) {
                let time = noted_at.map(|time| &form[time.range.clone()]);
                let time: Option<DateTime<Utc>> = time.and_then(|time| serde_json::from_str(time).ok());
                self.times.push(time);
            }
        } else if let Some(original) = original {
            self.originals.insert(original.hash(form));
        } else if let (Some(file), Some(offset)) = (file, offset)
            && let (Ok(file), Ok(offset)) = (
                serde_json::from_str(&form[file.range.clone()]),
                form[offset.range.clone()].parse(),
            )
        {
            self.fragments.entry(file).or_default().insert(offset);
        }
    }
}

fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns a text as a JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::storage::Disk;
    use super::*;
    use crate::json;
    use crate::test_support::Catalog;

    impl Catalog {
        fn newly_noted(&self, records: &[Rejected]) -> NewlyNoted {
            let mut file = NotesFile::rejected(&self.location);
            file.note(&mut appender(), records, now()).unwrap()
        }

        fn note_rejected(&self, records: &[Rejected]) -> u64 {
            let noted = self.newly_noted(records);
            assert_eq!(noted.repaired, 0);
            noted.records
        }
    }

    fn appender() -> DurableAppender {
        DurableAppender::new(Arc::new(Disk))
    }

    fn now() -> DateTime<Utc> {
        "2026-03-04T05:06:07.089Z".parse().unwrap()
    }

    fn rejected(json: &str, reason: &str) -> Rejected {
        let mut form = String::new();
        let content = json::scan(json, &[], &mut form).unwrap().content;
        Rejected {
            reason: reason.to_owned(),
            content,
            line: form.into(),
            form: Form::Record,
        }
    }

    #[test]
    fn a_rejected_record_is_noted_once_with_its_reason() {
        let catalog = Catalog::with_state_folder();
        let record = rejected(r#"{"b":1.0, "a":"\u00e9\ud83d"}"#, "no \"time\"\nat all");
        assert_eq!(catalog.note_rejected(std::slice::from_ref(&record)), 1);
        let expected = r#"{"noted_at": "2026-03-04T05:06:07.089Z", "reason": "no \"time\"\nat all", "record": {"b": 1.0, "a": "é\ud83d"}}"#;
        assert_eq!(catalog.rejected_notes(), format!("{expected}\n"));
        let the_same_value = rejected(r#"{"a":"é\uD83D","b":1}"#, "another reason");
        assert_eq!(catalog.note_rejected(&[record, the_same_value]), 0);
        assert_eq!(catalog.rejected_notes(), format!("{expected}\n"));
    }

    #[test]
    fn what_did_not_come_as_json_is_noted_once_and_an_original_is_no_rejected_record() {
        let catalog = Catalog::with_state_folder();
        let of = |json, form| Rejected {
            form,
            ..rejected(json, "r")
        };
        let text = r#""{\"a\": \udcff}""#;
        let records = [
            of(text, Form::Bytes),
            of(text, Form::Original),
            of(text, Form::Original),
            of("{}", Form::Record),
        ];
        let (records_noted, repaired) = (2, 2);
        let expected = NewlyNoted {
            records: records_noted,
            repaired,
        };
        assert_eq!(catalog.newly_noted(&records), expected);
        assert_eq!(catalog.newly_noted(&records), NewlyNoted::default());
        let notes = catalog.rejected_notes();
        assert_eq!(notes.lines().count(), 3);
        assert!(
            notes.contains(r#""reason": "r", "original": "{\"a\": \udcff}"}"#),
            "{notes}"
        );
        assert_eq!(Noted::rejected(&catalog.location).unwrap().records(), 2);
    }

    #[test]
    fn many_notes_are_written_in_parts() {
        let records: Vec<Rejected> = (0..9_000).map(|n| rejected(&n.to_string(), "r")).collect();
        let records: Vec<&Rejected> = records.iter().collect();
        let chunks: Vec<String> = chunks(&records, now()).collect();
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.ends_with('\n')));
        assert_eq!(chunks.concat().lines().count(), 9_000);
    }

    #[test]
    fn any_json_value_is_found_again_by_another_run() {
        let catalog = Catalog::with_state_folder();
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let values = [
            "null",
            "\"x\"",
            "1e400",
            "[]",
            "{}",
            "false",
            "{\"record\":1}",
            "{\"a\":1,\"a\":2}",
            &deep,
        ];
        let records: Vec<Rejected> = values.iter().map(|json| rejected(json, "odd")).collect();
        assert_eq!(catalog.note_rejected(&records), 9);
        assert_eq!(catalog.note_rejected(&records), 0);
        assert_eq!(catalog.rejected_notes().lines().count(), 9);
    }

    #[test]
    fn what_repeats_inside_one_batch_is_noted_once() {
        let catalog = Catalog::with_state_folder();
        assert_eq!(
            catalog.note_rejected(&[rejected("1", "a"), rejected("1.0", "b"), rejected("2", "c")]),
            2
        );
        assert_eq!(catalog.rejected_notes().lines().count(), 2);
    }

    #[test]
    fn a_torn_line_is_noted_once_for_its_place_in_the_day() {
        let catalog = Catalog::with_state_folder();
        let file = |date: &str| catalog.location.file_of(date.parse().unwrap()).unwrap();
        let torn = TornLine {
            offset: 4711,
            bytes: b"{\"a\": \"\xff\x00".to_vec(),
        };
        for _ in 0..2 {
            NotesFile::rejected(&catalog.location)
                .note_torn_line(&mut appender(), &file("2025-06-09"), &torn, now())
                .unwrap();
        }
        let expected = r#"{"noted_at": "2026-03-04T05:06:07.089Z", "reason": "torn line, repaired", "file": "mail_2025-06-09.log", "offset": 4711, "fragment": "{\"a\": \"�\u0000"}"#;
        assert_eq!(catalog.rejected_notes(), format!("{expected}\n"));
        let repaired = |file: &DayFile| Noted::rejected(&catalog.location).unwrap().repaired_in(file).unwrap();
        let (day, other) = (file("2025-06-09"), file("2025-06-10"));
        assert_eq!((repaired(&day), repaired(&other)), ([4711].into(), HashSet::new()));
        // It goes on where a packed file ends.
        catalog.write_packed_by_us("2025-06-09", &["one\n", "two\n"]);
        catalog.write("2025-06-09", "three\n{");
        assert_eq!(
            (repaired(&day), repaired(&day.packed_by_us())),
            ([4703].into(), HashSet::new())
        );
        let torn = TornLine {
            offset: 6,
            bytes: b"{".to_vec(),
        };
        NotesFile::rejected(&catalog.location)
            .note_torn_line(&mut appender(), &day, &torn, now())
            .unwrap();
        assert_eq!(repaired(&day), [6, 4703].into());
        assert!(catalog.rejected_notes().contains(r#""offset": 14, "fragment": "{""#));
    }

    #[test]
    fn a_long_torn_line_is_noted_in_part() {
        let catalog = Catalog::with_state_folder();
        let torn = TornLine {
            offset: 0,
            bytes: vec![b'x'; 10 * MAX_FRAGMENT],
        };
        NotesFile::rejected(&catalog.location)
            .note_torn_line(
                &mut appender(),
                &catalog.location.file_of("2025-06-09".parse().unwrap()).unwrap(),
                &torn,
                now(),
            )
            .unwrap();
        assert!(catalog.rejected_notes().len() < 2 * MAX_FRAGMENT);
    }

    #[test]
    fn a_torn_note_is_terminated_and_written_again() {
        let catalog = Catalog::with_state_folder();
        let (first, second) = (rejected("{\"a\": 1}", "r"), rejected("{\"a\": 2}", "r"));
        catalog.note_rejected(std::slice::from_ref(&first));
        let whole = catalog.rejected_notes();
        catalog.note_rejected(std::slice::from_ref(&second));
        let both = catalog.rejected_notes();
        for cut in whole.len() + 1..both.len() - 1 {
            fs::write(catalog.location.state_file("rejected.jsonl"), &both[..cut]).unwrap();
            assert_eq!(catalog.note_rejected(&[first.clone(), second.clone()]), 1);
            assert_eq!(
                catalog.rejected_notes(),
                format!("{}\n{}", &both[..cut], &both[whole.len()..])
            );
        }
    }
}
