//! The records of a page: a list, read element by element, whatever one of them is like.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Form, IdentifyError, Identity, Line, Reader, Record, Rejected, time_of};
use crate::json::{Element, JsonError, List, ListError, Scanner, push_bytes};

/// How many bytes of lines and originals are taken of one page. The largest answer, 64 MiB, has no longer line form.
pub(super) const MOST_BYTES: usize = 96 << 20;

/// How many records are taken of one page: one of 256 bytes each in the largest answer.
const MOST_RECORDS: usize = 1 << 18;

/// Why there is an original beside a record.
const REPAIRED: &str = "not UTF-8: the record was filed with U+FFFD in the place of what is broken";

/// What becomes of a record that is not JSON and whose end cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The list cannot be read: it may come whole when it is asked for again.
    Refuse,
    /// It is set aside as it came, with all that is before the next record.
    SetAside,
}

/// The records of a list, and what else has to be kept of it.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// In the order of the list.
    pub(crate) records: Vec<Result<Record, Rejected>>,
    /// The records that were repaired, as they came.
    pub(crate) originals: Vec<Rejected>,
    /// The place of the first one that is not JSON, from 0.
    pub(crate) first_not_json: Option<usize>,
}

/// Why the records of a list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListedError {
    /// The list ends too early.
    CutOff(JsonError),
    /// Where the record at this place, from 0, ends cannot be told.
    Broken { index: usize, problem: JsonError },
    /// It has more than this of these.
    TooLarge { limit: usize, unit: &'static str },
}

/// A record, as long as the buffer of its line grows.
struct Entry {
    line: Range<usize>,
    content: u128,
    checked: Result<(DateTime<Utc>, Identity), IdentifyError>,
}

impl Reader {
    /// Reads the rest of a list; the lines of its records share a buffer.
    ///
    /// An element that is not UTF-8 is read with U+FFFD in the place of what is broken, and one that is not JSON is
    /// rejected; both are kept as they came, see [`Form`].
    ///
    /// # Errors
    ///
    /// The list cannot be read up to its end, or holds more than is taken of one page.
    pub(crate) fn read_list(&mut self, list: &mut List<'_>, broken: Broken) -> Result<Listed, ListedError> {
        self.line.clear();
        // The form has a few more spaces than what services send.
        self.line.reserve(list.body_length() + list.body_length() / 8);
        let (mut entries, mut originals) = (Vec::new(), Vec::new());
        let read = self.read_entries(list, broken, &mut entries, &mut originals);
        let mut page = std::mem::take(&mut self.line);
        read?;
        if page.len() < page.capacity() / 4 * 3 {
            page.shrink_to_fit();
        }
        let page = Arc::new(page);
        let is_not_json = |entry: &Entry| matches!(entry.checked, Err(IdentifyError::JsonError(_)));
        Ok(Listed {
            first_not_json: entries.iter().position(is_not_json),
            records: entries.into_iter().map(|entry| entry.into_record(&page)).collect(),
            originals: originals
                .into_iter()
                .map(|original| into_original(original, &page))
                .collect(),
        })
    }

    fn read_entries(
        &mut self,
        list: &mut List<'_>,
        broken: Broken,
        entries: &mut Vec<Entry>,
        originals: &mut Vec<(Range<usize>, u128)>,
    ) -> Result<(), ListedError> {
        loop {
            self.start = self.line.len();
            let element = match list.next(&mut self.scanner, &mut self.line) {
                Err(ListError::BrokenElement(malformed)) if broken == Broken::SetAside => self
                    .pass_broken(list, malformed)
                    .ok_or(ListError::BrokenElement(malformed)),
                read => read,
            };
            let element = element.map_err(|error| ListedError::of(error, entries.len()))?;
            let original = match element {
                None => return Ok(()),
                Some(Element::Json(content)) => {
                    entries.push(self.entry(content));
                    None
                }
                Some(Element::Repaired(content, bytes)) => {
                    entries.push(self.entry(content));
                    Some(self.keep(bytes)?)
                }
                Some(Element::NotJson(malformed, bytes)) => {
                    let (line, content) = self.keep(bytes)?;
                    let checked = Err(malformed.into());
                    entries.push(Entry { line, content, checked });
                    None
                }
            };
            originals.extend(original);
            if entries.len() > MOST_RECORDS {
                return Err(ListedError::TooLarge {
                    limit: MOST_RECORDS,
                    unit: "records",
                });
            }
            if self.line.len() > MOST_BYTES {
                return Err(TOO_MANY_BYTES);
            }
        }
    }

    /// Passes an element whose end cannot be told, up to the next one that is a record, or to the end of the list.
    #[cold]
    fn pass_broken<'a>(&mut self, list: &mut List<'a>, malformed: JsonError) -> Option<Option<Element<'a>>> {
        let Self {
            scanner,
            line,
            shape,
            start,
            ..
        } = self;
        line.truncate(*start);
        let is_record = |scanner: &Scanner, line: &str| time_of(shape, scanner, line, *start).is_ok();
        let bytes = list.pass_broken(scanner, line, is_record);
        bytes.map(|bytes| Some(Element::NotJson(malformed, bytes)))
    }

    /// Returns the record that was just scanned.
    fn entry(&self, content: u128) -> Entry {
        let checked = self.time().map(|time| (time, self.identity(content)));
        Entry {
            line: self.start..self.line.len(),
            content,
            checked: checked.map_err(IdentifyError::from),
        }
    }

    /// Keeps an element as it came; returns where that is, and its hash.
    fn keep(&mut self, bytes: &[u8]) -> Result<(Range<usize>, u128), ListedError> {
        let start = self.line.len();
        let content = push_bytes(bytes, &mut self.line, MOST_BYTES).ok_or(TOO_MANY_BYTES)?;
        Ok((start..self.line.len(), content))
    }
}

const TOO_MANY_BYTES: ListedError = ListedError::TooLarge {
    limit: MOST_BYTES,
    unit: "bytes of records",
};

impl ListedError {
    fn of(error: ListError, index: usize) -> Self {
        match error {
            ListError::CutOff(problem) => Self::CutOff(problem),
            ListError::BrokenElement(problem) => Self::Broken { index, problem },
        }
    }
}

impl Entry {
    fn into_record(self, page: &Arc<String>) -> Result<Record, Rejected> {
        let line = Line::of(page, self.line);
        let (error, form) = match self.checked {
            Ok((time, identity)) => {
                return Ok(Record {
                    time,
                    identity,
                    line,
                    is_superseded: false,
                });
            }
            Err(error @ IdentifyError::JsonError(_)) => (error, Form::Bytes),
            Err(error @ IdentifyError::InvalidRecordError(_)) => (error, Form::Record),
        };
        Err(Rejected {
            reason: error.to_string(),
            content: self.content,
            line,
            form,
        })
    }
}

fn into_original((line, content): (Range<usize>, u128), page: &Arc<String>) -> Rejected {
    Rejected {
        reason: REPAIRED.to_owned(),
        content,
        line: Line::of(page, line),
        form: Form::Original,
    }
}
