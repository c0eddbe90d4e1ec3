//! The hours that can be drawn: of each stream, in the order of their names, those between two times.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::draw::draw;
use super::hour::Hour;
use crate::evidence::checkpoint::Checkpoint;

/// The hours of a stream that can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Hour,
    pub(crate) to: Hour,
}

impl Span {
    /// Returns the whole hours between two times; `None` if there is none.
    pub(crate) fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<Self> {
        let (from, to) = (Hour::not_before(from), Hour::of(to));
        (from < to).then_some(Self { from, to })
    }

    pub(crate) fn hours(self) -> u64 {
        self.to.since(self.from)
    }
}

/// Draws hours of these streams.
pub(crate) fn drawn(
    spans: &BTreeMap<String, Span>,
    checkpoint: &Checkpoint,
    nonce: &str,
    sample: u64,
) -> BTreeMap<String, Vec<Hour>> {
    let mut hours: BTreeMap<String, Vec<Hour>> = BTreeMap::new();
    for number in draw(checkpoint, nonce, population(spans), sample) {
        let mut rest = number;
        for (stream, span) in spans {
            if rest < span.hours() {
                hours.entry(stream.clone()).or_default().push(span.from.plus(rest));
                break;
            }
            rest -= span.hours();
        }
    }
    hours
}

/// Returns how many hours there are of all streams together.
pub(crate) fn population(spans: &BTreeMap<String, Span>) -> u64 {
    spans.values().map(|span| span.hours()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::sha256;

    #[test]
    fn numbers_count_the_hours_of_one_stream_after_the_other() {
        let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let span = |from, to| Span::between(at(from), at(to));
        let mail = span("2026-11-20T10:30:00Z", "2026-11-20T13:59:00Z").unwrap();
        assert_eq!(mail.hours(), 2);
        assert_eq!(span("2026-11-20T10:30:00Z", "2026-11-20T11:30:00Z"), None);
        let tfc = span("2026-11-20T00:00:00Z", "2026-11-20T03:00:00Z").unwrap();
        let spans = BTreeMap::from([("tfc".to_owned(), tfc), ("mail".to_owned(), mail)]);
        assert_eq!(population(&spans), 5);
        let checkpoint = Checkpoint {
            origin: "example.org/audit".to_owned(),
            size: 1,
            root: sha256(b""),
        };
        let all = drawn(&spans, &checkpoint, "", 5);
        assert_eq!(all["mail"], [mail.from, mail.from.plus(1)]);
        assert_eq!(all["tfc"], [tfc.from, tfc.from.plus(1), tfc.from.plus(2)]);
    }
}
