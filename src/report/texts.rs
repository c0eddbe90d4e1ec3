//! How often each text occurs, in bounded memory.

use std::collections::HashMap;

/// How many different texts are counted; this bounds the memory, since records can hold anything.
const MAX_TEXTS: usize = 50_000;

/// How much of a text is kept, in bytes; more than is shown of it.
const MAX_BYTES: usize = 500;

/// How often each text occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    counts: HashMap<String, u64>,
    /// Records whose text came after the limit of different texts.
    uncounted: u64,
    /// Records without a text.
    none: u64,
}

impl Texts {
    pub(super) fn add(&mut self, text: Option<String>) {
        match text {
            Some(text) => self.add_many(cut(text), 1),
            None => self.none += 1,
        }
    }

    fn add_many(&mut self, text: String, times: u64) {
        if let Some(count) = self.counts.get_mut(&text) {
            *count += times;
        } else if self.counts.len() < MAX_TEXTS {
            self.counts.insert(text, times);
        } else {
            self.uncounted += times;
        }
    }

    /// Adds what others have counted.
    pub(super) fn merge(&mut self, others: Texts) {
        for (text, times) in others.counts {
            self.add_many(text, times);
        }
        self.uncounted += others.uncounted;
        self.none += others.none;
    }

    /// Keeps only the most frequent texts; the others are counted together.
    pub(super) fn keep_top(&mut self, most: usize) {
        if self.counts.len() <= most {
            return;
        }
        let (top, _) = self.top(most);
        let top: HashMap<_, _> = top.into_iter().map(|(text, count)| (text.to_owned(), count)).collect();
        self.uncounted += self.counts.values().sum::<u64>() - top.values().sum::<u64>();
        self.counts = top;
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

    /// Returns the number of records that have a text.
    pub(crate) fn records(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.uncounted
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_BYTES {
        let boundary = (0..=MAX_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(boundary.unwrap_or(0));
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(texts.records(), (MAX_TEXTS + 5 + 1) as u64);
    }

    #[test]
    fn what_is_kept_is_bounded_in_length_and_number_and_nothing_is_lost() {
        let mut texts = Texts::default();
        for text in ["a", "a", "a", "b", "b", "c"] {
            texts.add(Some(text.repeat(MAX_BYTES + 1)));
        }
        texts.add(Some("ж".repeat(MAX_BYTES)));
        texts.add(None);
        texts.keep_top(2);
        let (top, rest) = texts.top(9);
        let top: Vec<_> = top.iter().map(|(text, count)| (text.len(), *count)).collect();
        assert_eq!((top, rest), (vec![(MAX_BYTES, 3), (MAX_BYTES, 2)], 3));
    }

    #[test]
    fn merged_texts_are_those_that_were_counted_together() {
        let count = |texts: &[Option<&str>]| {
            let mut counted = Texts::default();
            texts.iter().for_each(|text| counted.add(text.map(str::to_owned)));
            counted
        };
        let mut merged = count(&[Some("a"), None, Some("b")]);
        merged.merge(count(&[Some("a"), None]));
        assert_eq!(merged, count(&[Some("a"), Some("a"), Some("b"), None, None]));
    }
}
