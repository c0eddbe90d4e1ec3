//! The covered spans of time, and the gaps between them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// Disjoint spans, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Window>", into = "Vec<Window>")]
pub(crate) struct Covered {
    spans: Vec<Window>,
}

impl Covered {
    /// Adds a span and merges it with those that it touches. A span that ends before it begins adds nothing.
    pub(crate) fn add(&mut self, span: Window) {
        if span.from > span.to {
            return;
        }
        let first = self.spans.partition_point(|earlier| earlier.to < span.from);
        let end = self.spans.partition_point(|later| later.from <= span.to);
        let touched = &self.spans[first..end];
        let joined = Window {
            from: touched.first().map_or(span.from, |oldest| oldest.from.min(span.from)),
            to: touched.last().map_or(span.to, |newest| newest.to.max(span.to)),
        };
        self.spans.splice(first..end, [joined]);
    }

    /// Takes out a span; its ends stay.
    pub(crate) fn remove(&mut self, span: Window) {
        let parts = self.spans.iter().flat_map(|whole| {
            let (from, to) = (whole.from.max(span.to), whole.to.min(span.from));
            let is_apart = whole.to <= span.from || span.to <= whole.from;
            let kept = if is_apart {
                [Some(*whole), None]
            } else {
                [
                    (whole.from < to).then_some(Window { to, ..*whole }),
                    (from < whole.to).then_some(Window { from, ..*whole }),
                ]
            };
            kept.into_iter().flatten()
        });
        self.spans = parts.collect();
    }

    /// Returns what of it lies in a span.
    pub(crate) fn within(&self, span: Window) -> Self {
        let inside = self.spans.iter().map(|whole| Window {
            from: whole.from.max(span.from),
            to: whole.to.min(span.to),
        });
        Self {
            spans: inside.filter(|part| part.from < part.to).collect(),
        }
    }

    /// Cuts a span into what lies in it and what does not.
    pub(super) fn cut(&self, span: Window) -> Vec<Window> {
        let inside = self.within(span);
        let mut outside = Self::from(vec![span]);
        inside.spans.iter().for_each(|part| outside.remove(*part));
        [inside.spans, outside.spans].concat()
    }

    /// Returns whether all of a span lies in it.
    pub(super) fn holds(&self, span: Window) -> bool {
        self.spans.iter().any(|whole| whole.holds(span))
    }

    /// Returns up to when all from a time on lies in it, if anything does.
    pub(crate) fn covers_to(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut spans = self.spans.iter();
        let around = spans.find(|whole| whole.from <= from && from < whole.to);
        around.map(|whole| whole.to)
    }

    /// Takes out what lies after a time.
    pub(crate) fn end_at(&mut self, time: DateTime<Utc>) {
        self.spans.retain(|span| span.from <= time);
        if let Some(last) = self.spans.last_mut() {
            last.to = last.to.min(time);
        }
    }

    /// Returns the spans, oldest first.
    #[must_use]
    pub(crate) fn spans(&self) -> &[Window] {
        &self.spans
    }

    /// Returns the gaps between `since` and `until`, oldest first: before, between and after the spans. Without `since`,
    /// they begin with the first span.
    #[must_use]
    pub(crate) fn gaps(&self, since: Option<DateTime<Utc>>, until: DateTime<Utc>) -> Vec<Window> {
        let ends = since.into_iter().chain(self.spans.iter().map(|span| span.to));
        let skipped = usize::from(since.is_none());
        let starts = self.spans.iter().skip(skipped).map(|span| span.from).chain([until]);
        ends.zip(starts)
            .map(|(from, to)| Window {
                from,
                to: to.min(until),
            })
            .filter(|gap| gap.from < gap.to)
            .collect()
    }
}

impl From<Vec<Window>> for Covered {
    fn from(spans: Vec<Window>) -> Self {
        let mut covered = Self::default();
        spans.into_iter().for_each(|span| covered.add(span));
        covered
    }
}

impl From<Covered> for Vec<Window> {
    fn from(covered: Covered) -> Self {
        covered.spans
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + minute * 60, 0).unwrap()
    }

    fn span(from: i64, to: i64) -> Window {
        Window {
            from: at(from),
            to: at(to),
        }
    }

    #[test]
    fn spans_that_touch_become_one() {
        let covered = Covered::from(vec![span(5, 6), span(0, 1), span(3, 4), span(1, 2), span(2, 5)]);
        assert_eq!(covered.spans(), [span(0, 6)]);
        assert_eq!(covered.gaps(None, at(9)), [span(6, 9)]);
        assert_eq!(covered.gaps(None, at(6)), []);
        assert_eq!(covered.gaps(None, at(3)), []);
    }

    #[test]
    fn without_any_span_all_is_a_gap_that_was_asked_for() {
        assert_eq!(Covered::default().gaps(None, at(9)), []);
        assert_eq!(Covered::default().gaps(Some(at(2)), at(9)), [span(2, 9)]);
    }

    #[test]
    fn gaps_begin_where_the_asking_began() {
        let covered = Covered::from(vec![span(3, 5)]);
        assert_eq!(covered.gaps(Some(at(1)), at(9)), [span(1, 3), span(5, 9)]);
        assert_eq!(covered.gaps(Some(at(3)), at(5)), []);
    }

    #[test]
    fn what_is_taken_out_is_a_gap() {
        let without = |from, to| {
            let mut covered = Covered::from(vec![span(0, 4), span(6, 9)]);
            covered.remove(span(from, to));
            covered.spans
        };
        assert_eq!(without(1, 2), [span(0, 1), span(2, 4), span(6, 9)]);
        assert_eq!(without(0, 7), [span(7, 9)]);
        assert_eq!(without(4, 6), [span(0, 4), span(6, 9)]);
        assert_eq!(without(-1, 20), []);
        let mut covered = Covered::from(vec![span(0, 4), span(6, 9)]);
        covered.end_at(at(7));
        assert_eq!(covered.spans, [span(0, 4), span(6, 7)]);
        covered.end_at(at(5));
        assert_eq!(covered.spans, [span(0, 4)]);
    }

    #[test]
    fn the_json_form_is_a_list_of_spans_and_is_put_in_order_when_read() {
        let covered = Covered::from(vec![span(0, 1), span(3, 4)]);
        let json = serde_json::to_string(&covered).unwrap();
        let expected = r#"[{"from":"2023-11-14T22:13:20Z","to":"2023-11-14T22:14:20Z"},{"from":"2023-11-14T22:16:20Z","to":"2023-11-14T22:17:20Z"}]"#;
        assert_eq!(json, expected);
        let turned = r#"[{"from":"2023-11-14T22:16:20Z","to":"2023-11-14T22:17:20Z"},{"from":"2023-11-14T22:13:20Z","to":"2023-11-14T22:14:20Z"}]"#;
        assert_eq!(serde_json::from_str::<Covered>(turned).unwrap(), covered);
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// The model: for each of a few minutes, whether it is covered.
        #[test]
        fn a_minute_is_covered_or_in_a_gap_as_the_spans_that_were_added_say(
            spans in prop::collection::vec((0_i64..40, -2_i64..8), 0..12),
            until in 0_i64..50,
        ) {
            let mut covered = Covered::default();
            let mut model = [false; 64];
            for (from, length) in spans {
                covered.add(span(from, from + length));
                (from..from + length).for_each(|minute| model[minute as usize] = true);
            }
            let holds = |list: &[Window], minute| list.iter().any(|one| one.from <= at(minute) && at(minute + 1) <= one.to);
            let first = covered.spans().first().map(|oldest| oldest.from);
            for minute in 0..60 {
                let is_covered = holds(covered.spans(), minute);
                prop_assert_eq!(is_covered, model[minute as usize]);
                let is_gap = !is_covered && minute < until && first.is_some_and(|first| first <= at(minute));
                prop_assert_eq!(holds(&covered.gaps(None, at(until)), minute), is_gap);
            }
            let apart = covered.spans().windows(2).all(|pair| pair[0].to < pair[1].from);
            prop_assert!(apart, "{:?}", covered);
        }

        #[test]
        fn the_order_in_which_spans_are_added_does_not_matter(
            spans in prop::collection::vec((0_i64..40, 0_i64..8), 0..12).prop_shuffle(),
        ) {
            let spans: Vec<Window> = spans.into_iter().map(|(from, length)| span(from, from + length)).collect();
            let mut sorted = spans.clone();
            sorted.sort_by_key(|span| span.from);
            prop_assert_eq!(Covered::from(spans), Covered::from(sorted));
        }
    }
}
