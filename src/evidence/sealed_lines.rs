//! The records of some times in the files of a day, each with the number of its line, which says whether it is sealed.

use std::ops::{ControlFlow, Range};

use chrono::{DateTime, NaiveDate, Utc};

use super::material::Material;
use crate::archive::{LineCounter, Location, while_files_move};
use crate::fs::FileError;
use crate::record::{Identified, Reader, Shape};

/// A record in the file of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedLine {
    /// The number of its line, from 1.
    pub(crate) number: u64,
    pub(crate) record: Identified,
}

/// Reads the records of these times in the files of a day. Lines that are no records are passed over: `verify` names them.
///
/// # Errors
/// If a file cannot be read, or its forms are not the same.
pub(crate) fn records_of_day(
    location: &Location,
    date: NaiveDate,
    shape: Shape,
    times: &[Range<DateTime<Utc>>],
) -> Result<Vec<SealedLine>, String> {
    let read = while_files_move(|| {
        let listing = location.listing()?;
        match Material::of_day(&listing, date, &mut LineCounter::of(location))? {
            Ok(material) => records_of(&material, shape, times).map(Ok),
            Err(problem) => Ok(Err(problem)),
        }
    });
    read.map_err(|error: FileError| error.to_string())?
}

fn records_of(material: &Material, shape: Shape, times: &[Range<DateTime<Utc>>]) -> Result<Vec<SealedLine>, FileError> {
    let (mut reader, mut number, mut found) = (Reader::new(shape), 0, Vec::new());
    material.lines(|line| {
        number += 1;
        let text = std::str::from_utf8(line).ok();
        if let Some(record) = text.and_then(|text| reader.identify(text).ok())
            && times.iter().any(|times| times.contains(&record.time))
        {
            found.push(SealedLine { number, record });
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
