//! The lines of records: those of one page stand in one buffer.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// The one-line form of a record, without the newline.
///
/// A page's records share a buffer, which lives as long as one of them: a buffer for each would cost more time than making
/// the line does.
#[derive(Clone)]
pub struct Line {
    page: Arc<String>,
    range: Range<usize>,
}

impl Line {
    /// The part of a page's lines that this range covers; both ends must stand between characters.
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

/// Shows how long it is: records are personal data.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
