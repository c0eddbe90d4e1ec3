//! Checks a day file line by line.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};

use super::day_file::DayFile;
use super::lines::{Line, Lines};
use super::notes::Noted;
use super::takeover::Takeover;
use crate::fs::FileError;
use crate::output::progress::ReadProgress;
use crate::record::digests::Unhashed;
use crate::record::{Identified, IdentifyError, Reader};

/// Limit of the findings kept for one file; further ones are only counted, so that a foreign file does not fill the
/// memory.
pub(crate) const MOST_FINDINGS: usize = 1_000;

/// The content of a day file, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DayReport {
    /// Number of records, without those that are in the other file of the day too.
    pub(crate) records: u64,
    /// Number of records that the other file of the day holds too: one is compressed, and the other is not.
    pub(crate) in_both: u64,
    /// Number of lines, of whatever kind.
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Number of torn lines that were repaired and noted.
    pub(crate) repaired: u64,
    /// Number of records older than one before them: those that came late.
    pub(crate) out_of_order: u64,
    /// Number of records of other days, and of lines that repeat an earlier one, that another program has left.
    pub(crate) misplaced: u64,
    pub(crate) repeats: u64,
    /// Number of findings that are wrong, that is, all but the repaired lines.
    pub(crate) wrong: u64,
    /// Whether the file has other names (hard links), through which another program can write to it.
    pub(crate) has_other_names: bool,
    /// The first findings, in the order of the file.
    pub(crate) findings: Vec<Finding>,
}

/// A finding about one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Line number, from 1.
    pub(crate) line: u64,
    /// Offset of its first byte in the file.
    pub(crate) offset: u64,
    pub(crate) problem: Problem,
}

/// What can be found about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It is empty, or longer than any record.
    Blank,
    /// It is not UTF-8.
    NotUtf8 {
        /// Index of the first invalid byte in the line.
        byte: usize,
    },
    /// It is not a record.
    NotARecord(IdentifyError),
    /// It is a record of another day.
    WrongDay {
        /// The record's time.
        time: DateTime<Utc>,
    },
    /// The same record is in an earlier line.
    Repeated {
        /// The earlier line.
        first: u64,
    },
    /// It is the last line, a whole record without its newline.
    Unended,
    /// It is the last line, torn.
    TornLine,
    /// It is a torn line that was repaired and noted; its record came again.
    Repaired,
}

impl Problem {
    /// Returns its name for programs.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::NotUtf8 { .. } => "not-utf8",
            Self::NotARecord(IdentifyError::JsonError(_)) => "not-json",
            Self::NotARecord(IdentifyError::InvalidRecordError(_)) => "not-a-record",
            Self::WrongDay { .. } => "wrong-day",
            Self::Repeated { .. } => "repeated",
            Self::Unended => "no-newline",
            Self::TornLine => "torn-line",
            Self::Repaired => "repaired",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("not a record: the line is empty, or longer than any record"),
            Self::NotUtf8 { byte } => write!(f, "not a record: not UTF-8 at byte {byte}"),
            Self::NotARecord(error) => write!(f, "not a record: {error}"),
            Self::WrongDay { time } => write!(f, "a record of another day: {}", crate::output::table::rfc3339(*time)),
            Self::Repeated { first } => write!(f, "the same record as in line {first}"),
            Self::Unended => f.write_str("the last line has no newline; the next run adds it"),
            Self::TornLine => {
                f.write_str("the last line is torn; the next run terminates it and fetches the record again")
            }
            Self::Repaired => f.write_str("a torn line that a crash left, repaired and noted"),
        }
    }
}

/// Checks every line of the files of a day, and returns the outcome for each: mostly there is one, and sometimes a compressed one
/// too. Memory grows with the number of records: about 32 bytes for each.
///
/// Torn lines that are `noted` are not wrong. A last line that grows while it is read is not torn. What another
/// program has left, by the `takeover`, is counted where it is misplaced or repeated, and is no finding.
pub(crate) fn verify_day(
    files: &[DayFile],
    reader: &mut Reader,
    noted: &Noted,
    takeover: Option<&Takeover>,
    progress: &ReadProgress,
) -> Vec<Result<DayReport, FileError>> {
    let mut contents = FirstLines::default();
    let outcomes = files.iter().map(|file| {
        let mut check = Check::new(file.date, std::mem::take(&mut contents));
        check.repaired = noted.repaired_in(file)?;
        check.left_to = takeover.map_or(Ok(0), |takeover| takeover.extent(file, files))?;
        check.file(file, reader, progress)?;
        contents = check.contents;
        Ok(check.report)
    });
    outcomes.collect()
}

/// Whether the file has grown since.
fn grew(file: &DayFile, bytes: u64) -> bool {
    file.length().is_ok_and(|length| length > bytes)
}

/// The line number at which each identity first appears.
type FirstLines = HashMap<u128, u64, Unhashed>;

/// How many lines are read before they are checked.
const AT_ONCE: usize = 256;

/// A line that was read.
struct ReadLine {
    number: u64,
    offset: u64,
    /// Where it ends, behind its newline if it has one.
    end: u64,
    ended: bool,
    read: Result<Identified, Problem>,
}

impl ReadLine {
    fn of(line: &Line<'_>, reader: &mut Reader) -> Self {
        Self {
            number: line.number,
            offset: line.offset,
            end: line.offset + line.bytes.len() as u64 + u64::from(line.ended),
            ended: line.ended,
            read: read(line, reader),
        }
    }
}

/// The check of a day file, up to the current line.
struct Check {
    date: NaiveDate,
    /// The offsets of torn lines that were repaired.
    repaired: HashSet<u64>,
    /// Up to which offset another program has left the content.
    left_to: u64,
    /// The records of the other file of the day, if that was read before.
    others: FirstLines,
    contents: FirstLines,
    newest: Option<DateTime<Utc>>,
    report: DayReport,
}

impl Check {
    fn new(date: NaiveDate, others: FirstLines) -> Self {
        Self {
            date,
            repaired: HashSet::new(),
            left_to: 0,
            others,
            contents: FirstLines::default(),
            newest: None,
            report: DayReport::default(),
        }
    }

    fn file(&mut self, file: &DayFile, reader: &mut Reader, progress: &ReadProgress) -> Result<(), FileError> {
        let mut part = progress.file(file.length()?, file.is_packed());
        self.report.has_other_names = !file.is_packed() && file.has_other_names()?;
        let mut lines = Lines::of(file.open()?);
        let mut read_lines = Vec::with_capacity(AT_ONCE);
        while let Some(line) = lines.next().map_err(|cause| file.unreadable(cause))? {
            read_lines.push(ReadLine::of(&line, reader));
            part.advance(line.bytes.len() as u64 + 1);
            if read_lines.len() == AT_ONCE {
                self.lines(&mut read_lines);
            }
        }
        self.lines(&mut read_lines);
        if self.ends_in_torn_line() && grew(file, self.report.bytes) {
            self.remove_last();
        }
        Ok(())
    }

    /// Checks these lines, and takes them out.
    ///
    /// Where a record may stand in the table of all before it is in no cache. Looked for one after the other, many are waited for at
    /// once; between two lines that are read each was waited for alone, a third of the time that all took.
    fn lines(&mut self, lines: &mut Vec<ReadLine>) {
        let contents = &mut self.contents;
        let first_of = |line: &ReadLine| {
            let record = line.read.as_ref().ok()?;
            first_of(contents, record.identity.content, line.number)
        };
        let firsts: Vec<Option<u64>> = lines.iter().map(first_of).collect();
        for (line, first) in lines.drain(..).zip(firsts) {
            self.line(&line, first);
        }
    }

    /// Checks a line; `first` is an earlier one with the same record.
    fn line(&mut self, line: &ReadLine, first: Option<u64>) {
        self.report.lines += 1;
        self.report.bytes = line.end;
        let problem = match &line.read {
            Ok(record) => self.record(line, *record, first),
            Err(_) if self.repaired.contains(&line.offset) => Some(Problem::Repaired),
            Err(_) if !line.ended => Some(Problem::TornLine),
            Err(problem) => Some(problem.clone()),
        };
        if let Some(problem) = problem {
            self.note(line, problem);
        }
    }

    fn record(
        &mut self,
        line: &ReadLine,
        Identified { time, identity }: Identified,
        same_content: Option<u64>,
    ) -> Option<Problem> {
        if self.others.contains_key(&identity.content) {
            self.report.in_both += u64::from(same_content.is_none());
        } else {
            self.report.records += 1;
        }
        self.report.out_of_order += u64::from(self.newest.is_some_and(|newest| time < newest));
        self.newest = self.newest.max(Some(time));
        let (is_misplaced, was_left) = (time.date_naive() != self.date, line.offset < self.left_to);
        if was_left {
            self.report.misplaced += u64::from(is_misplaced);
            self.report.repeats += u64::from(same_content.is_some());
        } else if is_misplaced {
            return Some(Problem::WrongDay { time });
        } else if let Some(first) = same_content {
            return Some(Problem::Repeated { first });
        }
        (!line.ended).then_some(Problem::Unended)
    }

    fn note(&mut self, line: &ReadLine, problem: Problem) {
        match problem {
            Problem::Repaired => self.report.repaired += 1,
            _ => self.report.wrong += 1,
        }
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(Finding {
                line: line.number,
                offset: line.offset,
                problem,
            });
        }
    }

    fn ends_in_torn_line(&self) -> bool {
        let last = self.report.findings.last();
        last.is_some_and(|finding| matches!(finding.problem, Problem::TornLine | Problem::Unended))
    }

    fn remove_last(&mut self) {
        self.report.findings.pop();
        self.report.wrong -= 1;
    }
}

/// Returns the line where this hash first appeared; `None` if it is this one.
fn first_of(lines: &mut FirstLines, hash: u128, line: u64) -> Option<u64> {
    match lines.entry(hash) {
        Entry::Occupied(first) => Some(*first.get()),
        Entry::Vacant(here) => {
            here.insert(line);
            None
        }
    }
}

fn read(line: &Line<'_>, reader: &mut Reader) -> Result<Identified, Problem> {
    if line.bytes.is_empty() {
        return Err(Problem::Blank);
    }
    // Only the slower check says where the fault is.
    let text = simdutf8::basic::from_utf8(line.bytes).or_else(|_| str::from_utf8(line.bytes));
    let text = text.map_err(|error| Problem::NotUtf8 {
        byte: error.valid_up_to(),
    })?;
    reader.identify(text).map_err(Problem::NotARecord)
}

#[cfg(test)]
mod tests {
    use super::super::storage::Disk;
    use super::*;
    use crate::record::{ReadError, Record};
    use crate::test_support::random::cases;
    use crate::test_support::record::{SHAPE, line};
    use proptest::prelude::*;
    use std::fs;

    fn verify(text: &[u8], repaired: &[u64]) -> DayReport {
        let folder = tempfile::tempdir().unwrap();
        let file = DayFile::new(
            "2025-06-09".parse().unwrap(),
            folder.path().join("mail_2025-06-09.log"),
            std::sync::Arc::new(Disk),
        );
        fs::write(&file.path, text).unwrap();
        let noted = Noted::of_torn_lines(&file.name(), repaired);
        let outcomes = verify_day(&[file], &mut Reader::new(SHAPE), &noted, None, &ReadProgress::hidden());
        outcomes.into_iter().next().unwrap().unwrap()
    }

    fn record(id: &str, time: &str) -> String {
        line(id, &format!("2025-06-{time}Z"))
    }

    fn found(report: &DayReport) -> Vec<(u64, &'static str)> {
        report
            .findings
            .iter()
            .map(|finding| (finding.line, finding.problem.name()))
            .collect()
    }

    #[test]
    fn a_sound_file_has_nothing_to_report_but_its_size() {
        let text = record("a", "09T00:00:00") + &record("b", "09T23:59:59");
        let expected = DayReport {
            records: 2,
            lines: 2,
            bytes: text.len() as u64,
            ..DayReport::default()
        };
        assert_eq!(verify(text.as_bytes(), &[]), expected);
        assert_eq!(verify(b"", &[]), DayReport::default());
    }

    #[test]
    fn a_record_is_found_again_however_many_lines_are_between() {
        let near = |number: usize| record(&number.to_string(), "09T00:00:00");
        let mut lines: Vec<String> = (1..=3 * AT_ONCE).map(near).collect();
        (lines[AT_ONCE + 9], lines[AT_ONCE + 11]) = (near(AT_ONCE + 9), "odd\n".to_owned());
        lines.extend([near(1), near(3 * AT_ONCE)]);
        let report = verify(lines.concat().as_bytes(), &[]);
        let (within, odd, far) = (AT_ONCE as u64 + 10, AT_ONCE as u64 + 12, 3 * AT_ONCE as u64 + 1);
        let expected = [
            (within, "repeated"),
            (odd, "not-json"),
            (far, "repeated"),
            (far + 1, "repeated"),
        ];
        assert_eq!(found(&report), expected);
        assert_eq!(report.findings[2].problem, Problem::Repeated { first: 1 });
        assert_eq!((report.lines, report.bytes), (far + 1, lines.concat().len() as u64));
    }

    #[test]
    fn each_kind_of_damage_is_named_with_its_line() {
        let same = record("a", "09T00:00:00");
        let mut text = same.clone().into_bytes();
        text.extend(b"\n{\"id\": \xff\"}\n{\"id\": \"x\"\n[]\n");
        text.extend(record("b", "10T00:00:00").bytes());
        text.extend(same.replace(':', " :").replace("00 :00 :00", "00:00:00").bytes());
        text.extend(record("a", "09T00:00:01").bytes());
        text.extend(b"{\"id\": \"c");
        let report = verify(&text, &[]);
        let expected = [
            (2, "blank"),
            (3, "not-utf8"),
            (4, "not-json"),
            (5, "not-a-record"),
            (6, "wrong-day"),
            (7, "repeated"),
            (9, "torn-line"),
        ];
        assert_eq!(found(&report), expected);
        assert_eq!((report.wrong, report.records), (7, 4));
        assert_eq!(report.findings[5].problem, Problem::Repeated { first: 1 });
        assert_eq!(report.findings[1].problem, Problem::NotUtf8 { byte: 7 });
    }

    #[test]
    fn a_last_line_without_its_newline_is_whole_or_torn() {
        let text = record("a", "09T00:00:00");
        let report = verify(text.trim_end().as_bytes(), &[]);
        assert_eq!((found(&report), report.records), (vec![(1, "no-newline")], 1));
    }

    #[test]
    fn a_repaired_torn_line_is_listed_and_not_wrong() {
        let text = format!("{}{{\"id\"\n{}", record("a", "09T00:00:00"), record("b", "09T00:00:01"));
        let offset = text.find("{\"id\"\n").unwrap() as u64;
        let report = verify(text.as_bytes(), &[offset]);
        assert_eq!(
            (found(&report), report.repaired, report.wrong),
            (vec![(2, "repaired")], 1, 0)
        );
        assert_eq!(verify(text.as_bytes(), &[offset + 1]).wrong, 1);
    }

    #[test]
    fn records_that_came_late_are_counted_and_not_wrong() {
        let times = ["10:00:00", "09:00:00", "09:30:00", "10:00:00"];
        let lines: Vec<_> = times
            .iter()
            .enumerate()
            .map(|(n, time)| record(&n.to_string(), &format!("09T{time}")))
            .collect();
        let report = verify(lines.concat().as_bytes(), &[]);
        assert_eq!((report.out_of_order, report.wrong), (2, 0));
    }

    #[test]
    fn findings_are_limited_and_counted() {
        let report = verify("junk\n".repeat(MOST_FINDINGS + 5).as_bytes(), &[]);
        assert_eq!(
            (report.findings.len(), report.wrong),
            (MOST_FINDINGS, MOST_FINDINGS as u64 + 5)
        );
    }

    #[test]
    fn a_line_that_grows_while_it_is_read_is_no_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = DayFile::new(
            "2025-06-09".parse().unwrap(),
            folder.path().join("mail_2025-06-09.log"),
            std::sync::Arc::new(Disk),
        );
        fs::write(&file.path, "{\"id\": 1").unwrap();
        assert!(!grew(&file, 8));
        assert!(grew(&file, 7));
    }

    /// What is wrong with a file, found the slow way: each line read by itself and compared with all before it.
    fn found_slowly(text: &[u8]) -> (u64, Vec<(u64, &'static str)>) {
        let (mut seen, mut wrong, mut records) = (Vec::new(), Vec::new(), 0);
        for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            let (line, ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            let read = str::from_utf8(line).map(|text| Record::read(text, &SHAPE));
            let problem = match read {
                Ok(Ok(record)) => {
                    records += 1;
                    let repeats = seen.contains(&record.identity.content);
                    seen.push(record.identity.content);
                    let is_misplaced = record.time.date_naive().to_string() != "2025-06-09";
                    let problems = [
                        (is_misplaced, "wrong-day"),
                        (repeats, "repeated"),
                        (!ended, "no-newline"),
                    ];
                    problems.into_iter().find(|(is_so, _)| *is_so).map(|(_, name)| name)
                }
                _ if !ended => Some("torn-line"),
                _ if line.is_empty() => Some("blank"),
                Err(_) => Some("not-utf8"),
                Ok(Err(ReadError::JsonError(_))) => Some("not-json"),
                Ok(Err(ReadError::Rejected(_))) => Some("not-a-record"),
            };
            wrong.extend(problem.map(|problem| (number, problem)));
        }
        (records, wrong)
    }

    /// Lines of few records, so that some are there twice; one of them has its keys in another order.
    fn some_lines() -> impl Strategy<Value = Vec<u8>> {
        let own =
            (0..6_u8, 8..11_u8).prop_map(|(id, day)| line(&id.to_string(), &format!("2025-06-{day:02}T00:00:00Z")));
        let nested = (0..3_u8, "[ -~é\\\\\"]{0,40}").prop_map(|(id, text)| {
            let text = serde_json::to_string(&text).unwrap();
            let time = "2025-06-09T10:00:00.5Z";
            match id {
                0 => format!("{{\"timestamp\": \"{time}\", \"id\": \"{id}\", \"a\": [{{\"b\": {text}}}]}}\n"),
                _ => format!("{{\"a\":[{{\"b\":{text}}}],\"id\":\"{id}\",\"timestamp\":\"{time}\"}}\n"),
            }
        });
        let lines = prop::collection::vec(prop_oneof![own, nested], 0..20);
        lines.prop_map(|lines| lines.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn what_is_found_is_what_a_slow_reader_finds(
            mut text in some_lines(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..6),
            kept in 0..60_usize,
        ) {
            for (place, byte, what) in changes {
                if text.is_empty() {
                    break;
                }
                let at = place.index(text.len());
                match what {
                    0 => text[at] = byte,
                    1 => drop(text.remove(at)),
                    2 => text.insert(at, b"\n{}[]\",:\\0 "[usize::from(byte) % 11]),
                    _ => text[at] ^= 1 << (byte % 8),
                }
            }
            // Mostly it ends as it was written.
            if kept < 20 {
                text.truncate(text.len().saturating_sub(kept));
            }
            let report = verify(&text, &[]);
            prop_assert_eq!((report.records, found(&report)), found_slowly(&text));
            prop_assert_eq!(report.bytes, text.len() as u64);
        }
    }
}
