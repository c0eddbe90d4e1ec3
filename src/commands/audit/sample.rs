//! Which hours are drawn, and of which days the files are needed for that.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

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

    /// Returns the hours of a stream that can be drawn: sealed, and if nothing else was said, not older than what the service keeps.
    fn span(&self, settings: &StreamSettings, log: &SealedLog) -> Option<Span> {
        let name = settings.kind.name;
        let of_stream = log.ledger.files.keys().filter(|file| file.stream == name);
        let first = of_stream.filter_map(|file| day_of_name(&file.file)).min()?;
        let kept = settings.kind.retention.oldest(self.now) + MARGIN;
        let from = self.since.unwrap_or(kept).max(first.and_time(NaiveTime::MIN).and_utc());
        let to = self.until.min(*log.ledger.sealed_at.get(name)?);
        Span::between(from, to)
    }
}

/// The hours that are drawn.
pub(super) struct Sample {
    /// The hours of each stream that can be drawn.
    pub(super) spans: BTreeMap<String, Span>,
    /// Those that are.
    pub(super) hours: BTreeMap<String, Vec<Hour>>,
    /// The days of each stream whose files can hold their records.
    pub(super) days: BTreeMap<String, BTreeSet<NaiveDate>>,
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
        Ok(Self { spans, hours, days })
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
