//! The lines of records; those of one page share a buffer.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// The one-line form of a record, without the newline.
///
/// The records of a page share a buffer, which lives as long as one of them: a buffer for each would cost more time
/// than writing the line.
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
