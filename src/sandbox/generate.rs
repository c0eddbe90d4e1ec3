//! Generates records from the sample pages and a seed: the same seed and clock give the same records.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Event;
use super::random::SplitMix;

/// What the records of a service are generated from.
pub(super) struct Recipe {
    /// The sample pages: the path in the repository, and the text.
    pub(super) pages: &'static [(&'static str, &'static str)],
    /// What to fill in for this key and value, if anything.
    pub(super) slot: fn(&str, &str) -> Option<Slot>,
    /// The precision of a time in microseconds; chosen by a random number below 64.
    pub(super) precision: fn(u64) -> i64,
}

/// How far inside the retention the oldest record is, so that the first collection still finds it.
const RETENTION_MARGIN: TimeDelta = TimeDelta::hours(1);

/// With this many records or more there is always a burst of dozens.
const BURST_FROM: usize = 100;

/// How late a record can appear after its own time.
const MAX_LATE_SECONDS: u64 = 45;

/// A sample page that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the sample page {file} cannot be read")]
pub struct SampleError {
    /// Its path in the repository.
    pub(crate) file: &'static str,
    /// What is wrong with it.
    pub(crate) source: serde_json::Error,
}

/// Makes the records of one service.
pub(super) struct Generator {
    templates: Vec<Template>,
    precision: fn(u64) -> i64,
    /// How far back the history goes.
    span: TimeDelta,
    /// Added to the numbers of the records, so that each seed and service has different ones.
    base: u64,
    random: SplitMix,
    arrivals: Option<Arrivals>,
    made: u64,
    /// The least length of a record, in bytes.
    record_bytes: usize,
}

impl Generator {
    /// Creates a generator whose records are spread over the retention; new ones, if any, appear after `now` with
    /// `mean` between them.
    pub(super) fn new(
        recipe: &Recipe,
        seed: u64,
        retention: TimeDelta,
        now: DateTime<Utc>,
        mean: Option<Duration>,
    ) -> Result<Self, SampleError> {
        let mut random = SplitMix::new(seed);
        let base = random.next();
        let arrivals = mean.map(|mean| Arrivals {
            mean: mean.max(Duration::from_millis(1)),
            due: now,
            burst: None,
        });
        let mut generator = Self {
            templates: templates(recipe)?.into_iter().map(|(template, _)| template).collect(),
            precision: recipe.precision,
            span: retention - RETENTION_MARGIN,
            base,
            random,
            arrivals,
            made: 0,
            record_bytes: 0,
        };
        generator.schedule();
        Ok(generator)
    }

    /// Sets the least length of a record, in bytes.
    pub(super) fn with_record_bytes(mut self, bytes: usize) -> Self {
        self.record_bytes = bytes;
        self
    }

    /// Returns the times and numbers of `count` records up to `now`: more in recent days, often several with one time,
    /// sometimes dozens.
    pub(super) fn history(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, u64)> {
        let span = self.span.as_seconds_f64();
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            let age = span * self.random.fraction().powi(2);
            let time = self.rounded(now - TimeDelta::nanoseconds((age * 1e9) as i64));
            let is_due = records.is_empty() && count >= BURST_FROM;
            let size = if is_due { 24 } else { self.burst() };
            for _ in 0..size.min(count - records.len()) {
                records.push((time, self.number()));
            }
        }
        records
    }

    /// Returns the next record that is due by `now`, if there is one.
    pub(super) fn arrival(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, u64)> {
        let arrivals = self.arrivals.as_mut().filter(|arrivals| arrivals.due <= now)?;
        let due = arrivals.due;
        let (time, left) = match arrivals.burst.take() {
            Some(burst) => burst,
            None => {
                let late = if self.random.below(6) == 0 {
                    self.random.below(MAX_LATE_SECONDS * 1000)
                } else {
                    0
                };
                (self.rounded(due - TimeDelta::milliseconds(late as i64)), self.burst())
            }
        };
        if left > 1 {
            self.arrivals.as_mut()?.burst = Some((time, left - 1));
        } else {
            self.schedule();
        }
        Some((time, self.number()))
    }

    /// Returns the record with this number and time.
    pub(super) fn event(&self, time: DateTime<Utc>, number: u64) -> Event {
        let mut random = SplitMix::new(self.base.wrapping_add(number));
        // The first number is different for every record, so the ids made from it are unique.
        let unique = random.next();
        match self.templates.get(random.below(self.templates.len() as u64) as usize) {
            Some(template) => padded(template.fill(time, unique, &mut random), self.record_bytes),
            None => Event::new(time, unique.to_string(), "null"),
        }
    }

    /// Chooses when the next new record appears.
    fn schedule(&mut self) {
        let Some(arrivals) = &mut self.arrivals else { return };
        arrivals.due += arrivals.mean.mul_f64(0.25 + 1.5 * self.random.fraction());
    }

    /// Returns how many records get one time.
    fn burst(&mut self) -> usize {
        match self.random.below(512) {
            0 => 12 + self.random.below(48) as usize,
            1..=40 => 2 + self.random.below(4) as usize,
            _ => 1,
        }
    }

    /// Rounds a time to the precision that the service writes.
    fn rounded(&mut self, time: DateTime<Utc>) -> DateTime<Utc> {
        let micros = (self.precision)(self.random.below(64));
        let whole = time.timestamp_micros().div_euclid(micros) * micros;
        DateTime::from_timestamp_micros(whole).unwrap_or(time)
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

/// Pads a record to at least this many bytes, with words in a member of their own.
fn padded(mut event: Event, bytes: usize) -> Event {
    const START: &str = r#","padding":""#;
    const WORDS: &str = "the quick brown fox jumps over the lazy dog ";
    let missing = bytes.saturating_sub(event.text.len() + START.len() + 1);
    if missing > 0 && event.text.pop().is_some() {
        event.text.push_str(START);
        event.text.extend(WORDS.chars().cycle().take(missing));
        event.text.push_str("\"}");
    }
    event
}

/// The records that appear while the sandbox runs.
struct Arrivals {
    mean: Duration,
    due: DateTime<Utc>,
    /// The time of the current burst, and how many of its records are left.
    burst: Option<(DateTime<Utc>, usize)>,
}

/// Returns the records of the sample pages, in order, each with its own time and text.
pub(super) fn samples(recipe: &Recipe) -> Result<Vec<Event>, SampleError> {
    let templates = templates(recipe)?;
    let originals = templates
        .iter()
        .filter_map(|(template, record)| template.original(record.get()));
    Ok(originals.collect())
}

/// A sample page; each service names its list differently.
#[derive(Deserialize)]
struct SamplePage {
    #[serde(alias = "events", alias = "audits", alias = "data")]
    items: Vec<Box<RawValue>>,
}

/// Returns each sample record as a template, and its text.
fn templates(recipe: &Recipe) -> Result<Vec<(Template, Box<RawValue>)>, SampleError> {
    let mut templates = Vec::new();
    for (file, text) in recipe.pages {
        let page: SamplePage = serde_json::from_str(text).map_err(|source| SampleError { file, source })?;
        let records = page.items.into_iter();
        templates.extend(records.map(|record| (Template::new(recipe, record.get()), record)));
    }
    Ok(templates)
}

/// A sample record, split where values are filled in; the text between them never changes.
struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Slot { slot: Slot, sample: String },
}

/// What is filled in.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    /// The time, in this offset, written like this.
    Time(FixedOffset, Digits),
    /// A decimal number of 64 bits.
    Decimal,
    /// This prefix, and 16 letters and digits.
    Letters(&'static str),
    /// A UUID of version 4.
    Uuid,
}

/// How a time is written.
#[derive(Clone, Copy)]
pub(super) enum Digits {
    /// With as many fraction digits as it needs: none, three, six or nine.
    Needed,
    /// With three.
    Three,
    /// With this many where they are enough, else with six; always with a numeric offset, even for UTC.
    AtLeast(usize),
}

impl Digits {
    fn write(self, time: DateTime<FixedOffset>) -> String {
        let count = match self {
            Digits::Needed => return time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            Digits::Three => return time.to_rfc3339_opts(SecondsFormat::Millis, true),
            Digits::AtLeast(count) => count.min(6),
        };
        let micros = format!("{:06}", time.timestamp_subsec_micros());
        let (digits, rest) = micros.split_at(count);
        let digits = if rest.bytes().all(|digit| digit == b'0') {
            digits
        } else {
            &micros
        };
        let point = if digits.is_empty() { "" } else { "." };
        format!(
            "{}{point}{digits}{}",
            time.format("%Y-%m-%dT%H:%M:%S"),
            time.format("%:z")
        )
    }
}

impl Template {
    fn new(recipe: &Recipe, record: &str) -> Self {
        let mut parts = Vec::new();
        let mut done = 0;
        let mut at = 0;
        while let Some(key) = next_string(record, at) {
            at = key.end + 1;
            if !record[at..].starts_with(":\"") {
                continue;
            }
            let Some(value) = next_string(record, at) else { break };
            at = value.end + 1;
            let sample = &record[value.clone()];
            if let Some(slot) = (recipe.slot)(&record[key], sample) {
                parts.push(Part::Text(record[done..value.start].to_owned()));
                parts.push(Part::Slot {
                    slot,
                    sample: sample.to_owned(),
                });
                done = value.end;
            }
        }
        parts.push(Part::Text(record[done..].to_owned()));
        Self { parts }
    }

    fn fill(&self, time: DateTime<Utc>, unique: u64, random: &mut SplitMix) -> Event {
        let mut id = None;
        let mut text = String::with_capacity(1024);
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Slot {
                    slot: Slot::Time(offset, digits),
                    ..
                } => {
                    text.push_str(&digits.write(time.with_timezone(offset)));
                }
                Part::Slot { slot, .. } => {
                    let value = slot.id(if id.is_none() { unique } else { random.next() }, random);
                    text.push_str(&value);
                    id.get_or_insert(value);
                }
            }
        }
        Event::new(time, id.unwrap_or_default(), text)
    }

    /// Returns the sample itself; `None` without a time.
    fn original(&self, text: &str) -> Option<Event> {
        let mut slots = self.parts.iter().filter_map(|part| match part {
            Part::Slot { slot, sample } => Some((slot, sample)),
            Part::Text(_) => None,
        });
        let (_, time) = slots.clone().find(|(slot, _)| matches!(slot, Slot::Time(..)))?;
        let id = slots
            .find(|(slot, _)| !matches!(slot, Slot::Time(..)))
            .map(|(_, id)| id.clone());
        Some(Event::new(
            DateTime::parse_from_rfc3339(time).ok()?.to_utc(),
            id.unwrap_or_default(),
            text,
        ))
    }
}

impl Slot {
    fn id(self, unique: u64, random: &mut SplitMix) -> String {
        match self {
            Slot::Time(..) | Slot::Decimal => unique.to_string(),
            Slot::Letters(start) => format!("{start}{}{}", letters(unique, 11), letters(random.next(), 5)),
            Slot::Uuid => {
                let (high, low) = (unique, random.next());
                format!(
                    "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                    high >> 32,
                    (high >> 16) & 0xffff,
                    high & 0xfff,
                    (low >> 48) & 0x3fff | 0x8000,
                    low & 0xffff_ffff_ffff
                )
            }
        }
    }
}

/// Returns a time slot with the offset of the sample; `None` if the sample is not a time.
pub(super) fn time_like(sample: &str, digits: Digits) -> Option<Slot> {
    let sample = DateTime::parse_from_rfc3339(sample).ok()?;
    Some(Slot::Time(*sample.offset(), digits))
}

/// Returns the range of the first JSON string at or after `from`, which must be outside of strings.
fn next_string(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let start = from + text[from..].find('"')? + 1;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(start..at),
            _ => {}
        }
    }
    None
}

/// Writes a number in base 62, lowest digit first; 11 digits hold all 64 bits.
fn letters(mut number: u64, count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from(ALPHABET[(number % 62) as usize]));
        number /= 62;
    }
    text
}
