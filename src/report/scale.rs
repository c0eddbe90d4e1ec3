//! Shades for numbers of records: classes that each hold about as many of them, so that one great number does not make the
//! others look alike.

use maud::{Markup, html};

use super::html::grouped;

/// Number of shades, without the one for no records.
pub(super) const SHADES: usize = 5;

/// The shades: the greatest number of records for each, lightest first.
pub(super) struct Scale {
    bounds: Vec<u64>,
}

impl Scale {
    /// Returns shades for these numbers.
    pub(super) fn of(numbers: impl Iterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = numbers.filter(|records| *records > 0).collect();
        counts.sort_unstable();
        let mut bounds: Vec<u64> = (1..=SHADES)
            .filter_map(|shade| counts.get((counts.len() * shade).div_ceil(SHADES).checked_sub(1)?))
            .copied()
            .collect();
        bounds.dedup();
        Self { bounds }
    }

    /// Returns the shade of a number: 0 for none, `SHADES` for the greatest.
    pub(super) fn shade(&self, records: u64) -> usize {
        if records == 0 {
            return 0;
        }
        let below = self.bounds.partition_point(|bound| *bound < records);
        // With fewer shades than usual the darkest are used.
        (below + 1 + SHADES - self.bounds.len()).min(SHADES)
    }

    /// Returns the legend of the shades.
    pub(super) fn legend(&self) -> Markup {
        let from = std::iter::once(1).chain(self.bounds.iter().map(|bound| bound + 1));
        html! {
            p.legend {
                span { span.swatch.s0 {} "none" }
                @for (from, to) in from.zip(&self.bounds) {
                    span {
                        span.swatch.{ "s" (self.shade(*to)) } {}
                        @if from == *to { (grouped(from)) } @else { (grouped(from)) "–" (grouped(*to)) }
                    }
                }
                span { "records" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shades(counts: &[u64]) -> Vec<usize> {
        let scale = Scale::of(counts.iter().copied());
        counts.iter().map(|records| scale.shade(*records)).collect()
    }

    #[test]
    fn more_records_are_darker() {
        assert_eq!(shades(&[0, 1, 2, 3, 4, 5]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(shades(&[1_000_000, 1, 0, 2, 2, 3, 4]), [5, 2, 0, 2, 2, 3, 4]);
    }

    #[test]
    fn few_different_numbers_use_the_darkest_shades() {
        assert_eq!(shades(&[7, 0, 7, 7]), [5, 0, 5, 5]);
        assert_eq!(shades(&[]), [0; 0]);
        assert_eq!(shades(&[0, 0]), [0, 0]);
    }

    #[test]
    fn the_legend_has_each_class_with_its_bounds() {
        let legend = Scale::of([1, 2, 30, 400, 1_500].into_iter()).legend().into_string();
        for class in [">none<", ">1<", ">2<", ">3–30<", ">31–400<", ">401–1\u{202f}500<"] {
            assert!(legend.contains(class), "{class}: {legend}");
        }
    }
}
