//! Counts what the day files of a stream hold, in one pass.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};

use crate::archive::Location;
use crate::fs::FileError;
use crate::json::{Found, KeyPath, Scanner};
use crate::source::Kind;

/// How many different texts are counted; this bounds the memory, since records can hold anything.
const MAX_TEXTS: usize = 50_000;

/// The classes of delays: how much newer a record before it is. The last class is unbounded.
const DELAYS: [(TimeDelta, &str); 6] = [
    (TimeDelta::minutes(1), "up to a minute"),
    (TimeDelta::minutes(10), "up to 10 minutes"),
    (TimeDelta::hours(1), "up to an hour"),
    (TimeDelta::hours(6), "up to 6 hours"),
    (TimeDelta::days(1), "up to a day"),
    (TimeDelta::MAX, "longer"),
];

/// The counts of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Number of records in each day file, also of empty ones.
    pub(crate) days: BTreeMap<NaiveDate, u64>,
    /// Number of records in each hour of the day, UTC.
    pub(crate) hours: [u64; 24],
    /// How often each event type occurs.
    pub(crate) events: Texts,
    /// How often each actor occurs.
    pub(crate) actors: Texts,
    /// The times of the first and the last record.
    pub(crate) span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Number of lines that are not records.
    pub(crate) unreadable: u64,
    delays: [u64; DELAYS.len()],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    counts: HashMap<String, u64>,
    /// Records whose text came after the limit of different texts.
    uncounted: u64,
    /// Records without a text.
    none: u64,
}

/// Records after newer ones in their day file, by delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    /// The delay, in words.
    pub(crate) label: &'static str,
    pub(crate) records: u64,
}

impl Survey {
    /// Reads all day files of a stream.
    ///
    /// # Errors
    /// If the folder or a day file cannot be read.
    pub(crate) fn read(kind: &Kind, location: &Location) -> Result<Self, FileError> {
        let mut survey = Self::default();
        let mut reader = Reader::new(kind);
        for file in location.day_files()? {
            let mut records = 0;
            let mut newest = None;
            let mut others = 0;
            let not_text = file.lines(|line| match reader.read(line) {
                Some(read) => {
                    records += 1;
                    survey.add(read, &mut newest);
                }
                None => others += 1,
            })?;
            survey.unreadable += not_text + others;
            survey.days.insert(file.date, records);
        }
        Ok(survey)
    }

    fn add(&mut self, read: Read, newest: &mut Option<DateTime<Utc>>) {
        let time = read.time;
        self.hours[time.hour() as usize] += 1;
        self.events.add(read.event);
        self.actors.add(read.actor);
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
        if let Some(newest) = newest.filter(|newest| *newest > time) {
            let class = DELAYS.iter().position(|(most, _)| newest - time <= *most);
            self.delays[class.unwrap_or(DELAYS.len() - 1)] += 1;
        }
        *newest = (*newest).max(Some(time));
    }

    /// Returns the number of records.
    pub(crate) fn records(&self) -> u64 {
        self.days.values().sum()
    }

    /// Returns the first and the last day with records.
    pub(crate) fn range(&self) -> Option<(NaiveDate, NaiveDate)> {
        let mut days = self
            .days
            .iter()
            .filter(|(_, records)| **records > 0)
            .map(|(date, _)| *date);
        let first = days.next()?;
        Some((first, days.next_back().unwrap_or(first)))
    }

    /// Returns every day between those two, with its number of records.
    pub(crate) fn every_day(&self) -> Vec<(NaiveDate, u64)> {
        let Some((first, last)) = self.range() else {
            return Vec::new();
        };
        let days = first.iter_days().take_while(|date| *date <= last);
        days.map(|date| (date, self.days.get(&date).copied().unwrap_or(0)))
            .collect()
    }

    /// Returns the periods without records between days with some: the first day, the last day, and the number of days.
    pub(crate) fn quiet(&self) -> Vec<(NaiveDate, NaiveDate, usize)> {
        let days = self.every_day();
        let stretches = days.chunk_by(|one, next| (one.1 == 0) == (next.1 == 0));
        let quiet = stretches.filter(|stretch| stretch[0].1 == 0);
        quiet
            .map(|stretch| (stretch[0].0, stretch[stretch.len() - 1].0, stretch.len()))
            .collect()
    }

    /// Returns the number of records after newer ones in their file, which surely came later than those.
    pub(crate) fn delays(&self) -> Vec<Delay> {
        let classes = DELAYS.iter().zip(self.delays);
        classes.map(|((_, label), records)| Delay { label, records }).collect()
    }
}

impl Texts {
    fn add(&mut self, text: Option<String>) {
        let Some(text) = text else {
            self.none += 1;
            return;
        };
        if let Some(count) = self.counts.get_mut(&text) {
            *count += 1;
        } else if self.counts.len() < MAX_TEXTS {
            self.counts.insert(text, 1);
        } else {
            self.uncounted += 1;
        }
    }

    /// Returns the most frequent texts, and how many records have another one or none.
    pub(crate) fn top(&self, most: usize) -> (Vec<(&str, u64)>, u64) {
        let mut top: Vec<_> = self
            .counts
            .iter()
            .map(|(text, count)| (text.as_str(), *count))
            .collect();
        top.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        let rest = top.iter().skip(most).map(|(_, count)| count).sum::<u64>();
        top.truncate(most);
        (top, rest + self.uncounted + self.none)
    }

    /// Returns the number of different texts, up to the limit.
    pub(crate) fn different(&self) -> usize {
        self.counts.len()
    }
}

/// What is read of a line.
struct Read {
    time: DateTime<Utc>,
    event: Option<String>,
    actor: Option<String>,
}

/// Reads the lines of one kind of stream.
struct Reader {
    scanner: Scanner,
    form: String,
    events: usize,
    actors: usize,
}

impl Reader {
    fn new(kind: &Kind) -> Self {
        let paths: Vec<KeyPath> = [kind.shape.time]
            .into_iter()
            .chain(kind.event.iter().copied())
            .chain(kind.actor.iter().copied())
            .collect();
        Self {
            scanner: Scanner::new(&paths),
            form: String::new(),
            events: kind.event.len(),
            actors: kind.actor.len(),
        }
    }

    /// Reads a line; `None` if it is not a record.
    fn read(&mut self, line: &str) -> Option<Read> {
        self.form.clear();
        self.scanner.scan(line, &mut self.form).ok()?;
        let time = DateTime::parse_from_rfc3339(&self.text(0)?).ok()?.to_utc();
        let events: Vec<_> = (1..=self.events).filter_map(|path| self.text(path)).collect();
        let event = (!events.is_empty()).then(|| events.join(" "));
        let actor = (1 + self.events..=self.events + self.actors).find_map(|path| self.text(path));
        Some(Read { time, event, actor })
    }

    /// Returns the text or number at a path; `None` for anything else, and for an empty text.
    fn text(&self, path: usize) -> Option<String> {
        let Found { range, .. } = self.scanner.found(path)?;
        let written = &self.form[range.clone()];
        let is_number = written.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if is_number {
            return Some(written.to_owned());
        }
        let inner = written.strip_prefix('"')?.strip_suffix('"')?;
        if inner.is_empty() {
            return None;
        }
        // A lone surrogate stays as written: no `String` can hold it.
        Some(serde_json::from_str(written).unwrap_or_else(|_| inner.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::SOURCES;

    fn survey(files: &[(&str, &str)]) -> Survey {
        let folder = tempfile::tempdir().unwrap();
        for (date, text) in files {
            fs::write(folder.path().join(format!("mail_{date}.log")), text).unwrap();
        }
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        Survey::read(&SOURCES[0], &location).unwrap()
    }

    fn mail(time: &str, event: &str, user: &str) -> String {
        format!("{{\"eventType\": \"{event}\", \"date\": \"{time}\", \"userLogin\": \"{user}\"}}\n")
    }

    #[test]
    fn every_stream_has_an_event_type_and_an_actor() {
        use crate::sandbox::{Api, samples};

        for (kind, api) in SOURCES.iter().zip(Api::ALL) {
            let mut reader = Reader::new(kind);
            let events = samples(api).unwrap();
            assert!(!events.is_empty());
            let read: Vec<_> = events.iter().filter_map(|event| reader.read(&event.text)).collect();
            assert!(read.len() * 10 >= events.len() * 9, "{}", kind.name);
            assert!(read.iter().all(|read| read.event.is_some()), "{}", kind.name);
            assert!(
                read.iter().filter(|read| read.actor.is_some()).count() * 2 > read.len(),
                "{}",
                kind.name
            );
        }
    }

    #[test]
    fn records_are_counted_by_day_hour_event_and_user() {
        let day = [
            mail("2025-06-09T10:00:00Z", "message_receive", "a"),
            mail("2025-06-09T10:30:00Z", "message_receive", "b"),
            mail("2025-06-09T23:59:59Z", "mailbox_send", "a"),
        ];
        let survey = survey(&[
            ("2025-06-09", &day.concat()),
            ("2025-06-10", ""),
            ("2025-06-13", &mail("2025-06-13T10:00:00Z", "mailbox_send", "a")),
        ]);
        assert_eq!(survey.records(), 4);
        assert_eq!((survey.hours[10], survey.hours[23]), (3, 1));
        assert_eq!(
            survey.events.top(9),
            (vec![("mailbox_send", 2), ("message_receive", 2)], 0)
        );
        assert_eq!(survey.actors.top(1), (vec![("a", 3)], 1));
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(survey.range(), Some((date("2025-06-09"), date("2025-06-13"))));
        assert_eq!(survey.quiet(), [(date("2025-06-10"), date("2025-06-12"), 3)]);
        let counts: Vec<_> = survey.every_day().into_iter().map(|(_, records)| records).collect();
        assert_eq!(counts, [3, 0, 0, 0, 1]);
    }

    #[test]
    fn lines_that_are_not_records_count_but_torn_lines_do_not() {
        let text = mail("2025-06-09T10:00:00Z", "x", "a") + "{\"half\": \"a line\n[]\n{}\n{\"being\": \"writ";
        let survey = survey(&[("2025-06-09", &text)]);
        assert_eq!((survey.records(), survey.unreadable), (1, 3));
    }

    #[test]
    fn a_record_after_a_newer_one_came_later_than_that() {
        let times = ["10:00:00", "10:00:30", "10:00:00", "09:00:31", "03:00:00", "10:00:31"];
        let lines = times.map(|time| mail(&format!("2025-06-09T{time}Z"), "x", "a"));
        let delays: Vec<_> = survey(&[("2025-06-09", &lines.concat())]).delays();
        let records: Vec<_> = delays.iter().map(|delay| delay.records).collect();
        assert_eq!(records, [1, 0, 1, 0, 1, 0]);
    }

    #[test]
    fn an_empty_archive_can_be_surveyed() {
        let survey = survey(&[]);
        assert_eq!(survey, Survey::default());
        assert_eq!(
            (survey.range(), survey.every_day(), survey.quiet()),
            (None, vec![], vec![])
        );
    }

    #[test]
    fn texts_beyond_the_bound_are_counted_together() {
        let mut texts = Texts::default();
        for n in 0..MAX_TEXTS + 5 {
            texts.add(Some(n.to_string()));
        }
        texts.add(None);
        texts.add(Some("7".to_owned()));
        let (top, rest) = texts.top(1);
        assert_eq!(top, [("7", 2)]);
        assert_eq!(rest, (MAX_TEXTS - 1 + 5 + 1) as u64);
    }
}
