//! Which hours are drawn, and of which days the files are needed for that.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{Arguments, Subject};
use crate::archive::day_of_name;
use crate::audit::archived::AuditedStream;
use crate::audit::hour::Hour;
use crate::audit::population::{Span, drawn, population};
use crate::commands::arguments::range::range;
use crate::commands::error::CommandError;
use crate::config::StreamSettings;
use crate::evidence::sealed_log::SealedLog;
use crate::evidence::stream_files::StreamFiles;

/// What a service drops while it is asked is not drawn.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// Between which times the hours are drawn, as far as it was said.
pub(super) struct Times {
    since: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
}

impl Times {
    pub(super) fn of(arguments: &Arguments, now: DateTime<Utc>) -> Result<Self, CommandError> {
        let since = arguments.since.map(|time| time.resolve(now));
        let until = arguments.until.map_or(now, |time| time.resolve(now).min(now));
        if let Some(since) = since {
            range(since, until)?;
        }
        Ok(Self { since, until, now })
    }

    /// Returns the hours of a stream that can be drawn: before the last seal, and if nothing else was said, not older than what the
    /// service keeps. With which day the log begins is its operator's word, and leaves none of them out.
    fn span(&self, settings: &StreamSettings, log: &SealedLog) -> Option<Span> {
        let name = settings.kind.name;
        let kept = settings.kind.retention.oldest(self.now) + MARGIN;
        let from = self.since.unwrap_or(kept);
        let to = self.until.min(*log.ledger.sealed_at.get(name)?);
        Span::between(from, to)
    }
}

/// Returns the first day of a stream that the log names.
fn first_day(stream: &str, log: &SealedLog) -> Option<NaiveDate> {
    let of_stream = log.ledger.files.keys().filter(|file| file.stream == stream);
    of_stream.filter_map(|file| day_of_name(&file.file)).min()
}

/// The hours that are drawn.
pub(super) struct Sample {
    /// The hours of each stream that can be drawn.
    pub(super) spans: BTreeMap<String, Span>,
    /// Those that are.
    pub(super) hours: BTreeMap<String, Vec<Hour>>,
    /// The days of each stream whose files can hold their records.
    pub(super) days: BTreeMap<String, BTreeSet<NaiveDate>>,
    /// Of each stream how many of them are before the first day that the log names, and that day.
    early: BTreeMap<String, (usize, NaiveDate)>,
}

impl Sample {
    pub(super) fn draw(
        subject: &Subject,
        log: &SealedLog,
        nonce: &str,
        sample: NonZeroU64,
        times: &Times,
    ) -> Result<Self, CommandError> {
        let spans = subject.streams.iter().filter_map(|(settings, _)| {
            let span = times.span(settings, log)?;
            Some((settings.kind.name.to_owned(), span))
        });
        let spans: BTreeMap<_, _> = spans.collect();
        let hours = drawn(&spans, &log.checkpoint, nonce, sample.get());
        let mut days = BTreeMap::new();
        for (settings, files) in &subject.streams {
            let hours = hours.get(settings.kind.name).map_or(&[][..], Vec::as_slice);
            days.insert(files.stream.clone(), audited(settings, files, log).days(hours)?);
        }
        let early = hours.iter().filter_map(|(stream, hours)| {
            let first = first_day(stream, log)?;
            let early = hours.iter().filter(|hour| hour.date() < first).count();
            (early > 0).then(|| (stream.clone(), (early, first)))
        });
        Ok(Self {
            early: early.collect(),
            spans,
            hours,
            days,
        })
    }

    /// Returns what could not be drawn, a sentence each: of an archive without a stream, that is what is to be asked about.
    pub(super) fn problems(&self) -> Vec<String> {
        let of_none = self.days.keys().filter(|stream| !self.spans.contains_key(*stream));
        let no_hour =
            |stream: &String| format!("{stream}: there is no hour to draw: no whole one is sealed in this time");
        of_none.map(no_hour).collect()
    }

    /// Returns what is to be known of the hours, a sentence each.
    pub(super) fn remarks(&self) -> Vec<String> {
        let early = self.early.iter().map(|(stream, (hours, first))| {
            format!("{stream}: the log begins with the file of {first}, and {hours} of the drawn hours are before that")
        });
        early.collect()
    }

    /// Returns how many hours could be drawn.
    pub(super) fn population(&self) -> u64 {
        population(&self.spans)
    }

    /// Returns how long the files are that are read.
    pub(super) fn bytes(&self, subject: &Subject) -> u64 {
        let files = subject.streams.iter().flat_map(|(_, files)| {
            let names = crate::fs::list(&files.folder).unwrap_or_default();
            let days = &self.days[&files.stream];
            let is_read = |name: &str| day_of_name(name).is_some_and(|date| days.contains(&date));
            let names = names.into_iter().filter(move |name| name.to_str().is_some_and(is_read));
            let lengths = names.filter_map(|name| files.folder.join(name).metadata().ok());
            lengths.map(|metadata| metadata.len()).collect::<Vec<_>>()
        });
        files.sum()
    }
}

/// Returns a stream of the subject, as its archive is looked into.
pub(super) fn audited<'a>(settings: &StreamSettings, files: &'a StreamFiles, log: &'a SealedLog) -> AuditedStream<'a> {
    AuditedStream {
        kind: settings.kind,
        files,
        ledger: &log.ledger,
        keep: settings.keep,
    }
}
