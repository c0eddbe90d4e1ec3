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

    /// Returns the spans, oldest first.
    #[must_use]
    pub(crate) fn spans(&self) -> &[Window] {
        &self.spans
    }

    /// Returns the gaps between the spans, and between the last one and `until`, oldest first.
    #[must_use]
    pub(crate) fn gaps(&self, until: DateTime<Utc>) -> Vec<Window> {
        let ends = self.spans.iter().map(|span| span.to);
        let starts = self.spans.iter().skip(1).map(|span| span.from).chain([until]);
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
        assert_eq!(covered.gaps(at(9)), [span(6, 9)]);
        assert_eq!(covered.gaps(at(6)), []);
        assert_eq!(covered.gaps(at(3)), []);
    }

    #[test]
    fn without_any_span_nothing_is_a_gap() {
        assert_eq!(Covered::default().gaps(at(9)), []);
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
                prop_assert_eq!(holds(&covered.gaps(at(until)), minute), is_gap);
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
