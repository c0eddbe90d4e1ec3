//! The lines of records; those of one page share a buffer, as long as most of it is in use.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// The one-line form of a record, without the newline.
///
/// The records of a page share a buffer, which lives as long as one of them: a buffer for each would cost more time
/// than writing the line. Who keeps lines calls [`hold`].
#[derive(Clone)]
pub struct Line {
    page: Arc<String>,
    range: Range<usize>,
}

impl Line {
    /// Returns the line in this range of a page's buffer; both ends must be character boundaries.
    pub(super) fn of(page: &Arc<String>, range: Range<usize>) -> Self {
        Self {
            page: Arc::clone(page),
            range,
        }
    }
}

/// Copies lines into a buffer of their own if they are less than half of what they hold, so that a few lines of a large
/// page do not hold all of it; lines of one page must come one after the other. Returns how many bytes they hold.
pub(crate) fn hold(lines: &mut [&mut Line]) -> usize {
    let buffers = lines.chunk_by(|one, next| Arc::ptr_eq(&one.page, &next.page));
    let held = buffers.map(|lines| lines[0].page.capacity()).sum();
    let length = lines.iter().map(|line| line.len()).sum();
    if held / 2 <= length {
        return held;
    }
    let mut buffer = String::with_capacity(length);
    lines.iter().for_each(|line| buffer.push_str(line));
    let (buffer, mut start) = (Arc::new(buffer), 0);
    for line in lines {
        let end = start + line.len();
        **line = Line::of(&buffer, start..end);
        start = end;
    }
    length
}

impl From<String> for Line {
    fn from(line: String) -> Self {
        let range = 0..line.len();
        Self::of(&Arc::new(line), range)
    }
}

impl Deref for Line {
    type Target = str;

    fn deref(&self) -> &str {
        &self.page[self.range.clone()]
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Line {}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Shows only the length: records are personal data.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_a_small_part_of_their_page_do_not_hold_it() {
        let page = Arc::new("0123456789".to_owned());
        let weak = Arc::downgrade(&page);
        let (mut one, mut other) = (Line::of(&page, 1..3), Line::of(&page, 8..9));
        drop(page);
        assert_eq!(hold(&mut [&mut one, &mut other]), 3);
        assert_eq!((&*one, &*other), ("12", "8"));
        assert_eq!(weak.strong_count(), 0);
        assert_eq!(hold(&mut [&mut one]), 3, "more than half");
        assert_eq!(hold(&mut []), 0);
    }

    #[test]
    fn lines_that_are_most_of_their_pages_stay_where_they_are() {
        let (first, second) = (Arc::new("0123456789".to_owned()), Arc::new("abc".to_owned()));
        let lines = [(&first, 0..4), (&first, 5..8), (&second, 0..2)];
        let mut lines = lines.map(|(page, range)| Line::of(page, range));
        assert_eq!(hold(&mut lines.each_mut()), first.capacity() + second.capacity());
        assert_eq!(Arc::strong_count(&first), 3);
    }
}
