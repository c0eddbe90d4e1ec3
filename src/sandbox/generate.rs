//! Records made from the sample pages and a seed: the same seed and clock give the same records.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::feed::Event;
use super::options::Api;

/// The sample pages of each service: the path in the repository, and the text.
const SAMPLES: [(Api, &str, &str); 6] = [
    (
        Api::Mail,
        "samples/yandex-mail/page.json",
        include_str!("../../samples/yandex-mail/page.json"),
    ),
    (
        Api::Mail,
        "samples/yandex-mail/last-page.json",
        include_str!("../../samples/yandex-mail/last-page.json"),
    ),
    (
        Api::Disk,
        "samples/yandex-disk/page.json",
        include_str!("../../samples/yandex-disk/page.json"),
    ),
    (
        Api::Disk,
        "samples/yandex-disk/last-page.json",
        include_str!("../../samples/yandex-disk/last-page.json"),
    ),
    (
        Api::Port,
        "samples/port/page.json",
        include_str!("../../samples/port/page.json"),
    ),
    (
        Api::Tfc,
        "samples/tfc/page.json",
        include_str!("../../samples/tfc/page.json"),
    ),
];

/// How far from the end of retention the oldest record is, so that the first collection still meets it.
const EDGE: TimeDelta = TimeDelta::hours(1);

/// From this many records on there is a burst of dozens in any case.
const ENOUGH_FOR_A_BURST: usize = 100;

/// The latest that a record appears after its own time.
const LATEST_SECONDS: u64 = 45;

/// A sample page that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("the sample page {file} cannot be read")]
pub struct BadSample {
    /// Its path in the repository.
    pub file: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// Makes the records of one service.
pub(super) struct Generator {
    api: Api,
    templates: Vec<Template>,
    /// Where the numbers of the records start, so that each seed and service has its own.
    base: u64,
    random: SplitMix,
    arrivals: Option<Arrivals>,
    made: u64,
}

impl Generator {
    /// A generator whose new records, if any, appear after `now` with `mean` between them.
    pub(super) fn new(api: Api, seed: u64, now: DateTime<Utc>, mean: Option<Duration>) -> Result<Self, BadSample> {
        let templates = sample_records(api)?
            .iter()
            .map(|record| Template::new(api, record.get()))
            .collect();
        let mut random = SplitMix::new(seed.wrapping_mul(Api::ALL.len() as u64).wrapping_add(api as u64));
        let base = random.next();
        let arrivals = mean.map(|mean| Arrivals {
            mean: mean.max(Duration::from_millis(1)),
            due: now,
            burst: None,
        });
        let mut generator = Self {
            api,
            templates,
            base,
            random,
            arrivals,
            made: 0,
        };
        generator.schedule();
        Ok(generator)
    }

    /// The times and numbers of `count` records up to `now`: more of them in recent days, often several of one
    /// millisecond, now and then dozens.
    pub(super) fn history(&mut self, count: usize, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, u64)> {
        let span = (self.api.retention() - EDGE).as_seconds_f64();
        let mut records = Vec::with_capacity(count);
        while records.len() < count {
            let age = span * self.random.fraction().powi(2);
            let time = self.rounded(now - TimeDelta::nanoseconds((age * 1e9) as i64));
            let is_due = records.is_empty() && count >= ENOUGH_FOR_A_BURST;
            let size = if is_due { 24 } else { self.burst() };
            for _ in 0..size.min(count - records.len()) {
                records.push((time, self.number()));
            }
        }
        records
    }

    /// The next record that has appeared by `now`, if there is one.
    pub(super) fn arrival(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, u64)> {
        let arrivals = self.arrivals.as_mut().filter(|arrivals| arrivals.due <= now)?;
        let due = arrivals.due;
        let (time, left) = match arrivals.burst.take() {
            Some(burst) => burst,
            None => {
                let late = if self.random.below(6) == 0 {
                    self.random.below(LATEST_SECONDS * 1000)
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

    /// The record with this number, as it was at this time.
    pub(super) fn event(&self, time: DateTime<Utc>, number: u64) -> Event {
        let mut random = SplitMix::new(self.base.wrapping_add(number));
        // The first number drawn is another one for every record, so the ids made from it are unique.
        let unique = random.next();
        match self.templates.get(random.below(self.templates.len() as u64) as usize) {
            Some(template) => template.fill(time, unique, &mut random),
            None => Event::minimal(self.api, time, unique.to_string()),
        }
    }

    /// Decides when the next new record appears.
    fn schedule(&mut self) {
        let Some(arrivals) = &mut self.arrivals else { return };
        arrivals.due += arrivals.mean.mul_f64(0.25 + 1.5 * self.random.fraction());
    }

    /// How many records have one time.
    fn burst(&mut self) -> usize {
        match self.random.below(512) {
            0 => 12 + self.random.below(48) as usize,
            1..=40 => 2 + self.random.below(4) as usize,
            _ => 1,
        }
    }

    /// A time with the precision that the service writes: seconds for disk, else milliseconds, in mail now and then
    /// microseconds.
    fn rounded(&mut self, time: DateTime<Utc>) -> DateTime<Utc> {
        let micros = match (self.api, self.random.below(64)) {
            (Api::Disk, _) | (Api::Mail, 0..=3) => 1_000_000,
            (Api::Mail, 4) => 1,
            _ => 1_000,
        };
        let whole = time.timestamp_micros().div_euclid(micros) * micros;
        DateTime::from_timestamp_micros(whole).unwrap_or(time)
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

/// The records that appear while the sandbox runs.
struct Arrivals {
    mean: Duration,
    due: DateTime<Utc>,
    /// The time of the burst under way, and how many records are left of it.
    burst: Option<(DateTime<Utc>, usize)>,
}

/// The records of the sample pages of a service as events, newest first, each with its own time and text.
///
/// # Errors
///
/// When a page is not JSON of the right shape.
pub fn samples(api: Api) -> Result<Vec<Event>, BadSample> {
    let records = sample_records(api)?;
    Ok(records
        .iter()
        .filter_map(|record| Template::new(api, record.get()).original(record.get()))
        .collect())
}

/// A sample page: each service has another name for its list.
#[derive(Deserialize)]
struct SamplePage {
    #[serde(alias = "audits", alias = "data")]
    events: Vec<Box<RawValue>>,
}

fn sample_records(api: Api) -> Result<Vec<Box<RawValue>>, BadSample> {
    let mut records = Vec::new();
    for (_, file, text) in SAMPLES.into_iter().filter(|(of, ..)| *of == api) {
        let page: SamplePage = serde_json::from_str(text).map_err(|source| BadSample { file, source })?;
        records.extend(page.events);
    }
    Ok(records)
}

/// A sample record, cut where something is filled in; what stands between is never changed.
struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Slot { slot: Slot, sample: String },
}

/// What is filled in.
#[derive(Clone, Copy)]
enum Slot {
    /// The time, in this offset, written like this.
    Time(FixedOffset, SecondsFormat),
    /// A decimal number of 64 bits.
    Decimal,
    /// This, and 16 letters and digits.
    Letters(&'static str),
    /// A UUID of version 4.
    Uuid,
}

impl Template {
    fn new(api: Api, record: &str) -> Self {
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
            if let Some(slot) = slot(api, &record[key], sample) {
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
                    text.push_str(&time.with_timezone(offset).to_rfc3339_opts(*digits, true));
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

    /// The sample itself; `None` without a time.
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

/// What stands in the value of this key, if that is something to fill in.
fn slot(api: Api, key: &str, value: &str) -> Option<Slot> {
    let digits = if api == Api::Tfc || value.contains('.') {
        SecondsFormat::Millis
    } else {
        SecondsFormat::AutoSi
    };
    match (api, key) {
        (Api::Mail | Api::Disk, "date") => Some(Slot::Time(offset(value)?, SecondsFormat::AutoSi)),
        (Api::Port, "at") | (Api::Tfc, "timestamp") => Some(Slot::Time(offset(value)?, digits)),
        (Api::Mail | Api::Disk, "uniqId") => Some(Slot::Decimal),
        (Api::Port, "identifier") if value.starts_with("event_") => Some(Slot::Letters("event_")),
        (Api::Port, "runId") => Some(Slot::Letters("r_")),
        (Api::Tfc, "id") if value.len() == 36 => Some(Slot::Uuid),
        _ => None,
    }
}

/// The offset from UTC that a time is written in.
fn offset(time: &str) -> Option<FixedOffset> {
    Some(*DateTime::parse_from_rfc3339(time).ok()?.offset())
}

/// The inside of the first JSON string at or after a place that is outside of strings.
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

/// A number as letters and digits, the lowest first; 11 of them hold all 64 bits.
fn letters(mut number: u64, count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from(ALPHABET[(number % 62) as usize]));
        number /= 62;
    }
    text
}

/// A small generator of numbers that look random: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number; another one for every state.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0 when there is none.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from 0 to just below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
