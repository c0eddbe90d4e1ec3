//! Parquet: a column for each column of a record, and the line.
//!
//! Columns are text but for the time, and null where a record has nothing to say. A line that strict JSON parsers refuse is its strict
//! copy, since a lone surrogate is no text: so are its columns, and it is counted.
//!
//! The threads that search render a record as texts with their lengths; the one that writes puts them into columns.

use std::io;
use std::sync::Arc;

use ::parquet::basic::{Compression, GzipLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use ::parquet::schema::types::ColumnPath;

use super::hashing::HashedFile;
use crate::json::push_strict;
use crate::search::{HEADINGS, cells};
use crate::source::{ColumnReader, Kind, ReadRow};

/// The columns: those of a record in their order, then its line. The first two are never null.
const SCHEMA: &str = "message record {
    required int64 time (TIMESTAMP(MILLIS, true));
    required binary stream (STRING);
    optional binary event (STRING);
    optional binary user (STRING);
    optional binary address (STRING);
    optional binary object (STRING);
    optional binary id (STRING);
    optional binary failure (STRING);
    required binary line (STRING);
}";

/// How much text is held until it is written as a row group, in bytes.
const ROW_GROUP: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// Number of the digits of a length.
const DIGITS: usize = 8;

/// Renders a record: its milliseconds, its other columns, its line. Returns whether it was repaired.
pub(super) fn push_row(kind: &Kind, line: &str, record: &ReadRow, text: &mut String) -> bool {
    let mut copy = String::new();
    let is_repaired = push_strict(line, &mut copy);
    if is_repaired {
        // What is valid JSON stays so.
        let repaired = ColumnReader::new(kind).read(&copy);
        push_columns(kind, &copy, repaired.as_ref().unwrap_or(record), text);
    } else {
        push_columns(kind, line, record, text);
    }
    is_repaired
}

fn push_columns(kind: &Kind, line: &str, record: &ReadRow, text: &mut String) {
    push_text(&record.time.timestamp_millis().to_string(), text);
    let [_, others @ ..] = cells(kind, record);
    others.iter().for_each(|cell| push_text(cell, text));
    push_text(line, text);
}

fn push_text(cell: &str, text: &mut String) {
    text.push_str(&format!("{:0DIGITS$x}", cell.len()));
    text.push_str(cell);
}

/// Takes a text with its length off the front of what was rendered.
fn take_text<'a>(rendered: &mut &'a str) -> Option<&'a str> {
    let (digits, rest) = rendered.split_at_checked(DIGITS)?;
    let (cell, rest) = rest.split_at_checked(usize::from_str_radix(digits, 16).ok()?)?;
    *rendered = rest;
    Some(cell)
}

/// A file that is being written.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<HashedFile>,
    times: Vec<i64>,
    texts: [TextColumn; HEADINGS.len()],
    /// How many bytes the texts have.
    held: usize,
}

/// The texts of a column.
#[derive(Default)]
struct TextColumn {
    values: Vec<ByteArray>,
    /// For each record 1 if there is a value, 0 if it is null.
    levels: Vec<i16>,
}

impl ParquetFile {
    pub(super) fn begin(file: HashedFile) -> io::Result<Self> {
        let schema = parse_message_type(SCHEMA).map_err(failed)?;
        let line = ColumnPath::from("line");
        let properties = WriterProperties::builder()
            .set_created_by(concat!("trailkeeper ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::GZIP(GzipLevel::default()))
            // No two lines are equal.
            .set_column_dictionary_enabled(line, false)
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Self {
            writer,
            times: Vec::new(),
            texts: Default::default(),
            held: 0,
        })
    }

    pub(super) fn write(&mut self, mut rendered: &str) -> io::Result<()> {
        while !rendered.is_empty() {
            self.take_row(&mut rendered)
                .ok_or_else(|| io::Error::other("a record was not rendered as it should be"))?;
            if self.held >= ROW_GROUP {
                self.write_row_group()?;
            }
        }
        Ok(())
    }

    fn take_row(&mut self, rendered: &mut &str) -> Option<()> {
        self.times.push(take_text(rendered)?.parse().ok()?);
        for column in &mut self.texts {
            let cell = take_text(rendered)?;
            self.held += cell.len();
            column.push(cell);
        }
        Some(())
    }

    fn write_row_group(&mut self) -> io::Result<()> {
        let mut group = self.writer.next_row_group().map_err(failed)?;
        let last = self.texts.len() - 1;
        write_times(&self.times, &mut group).map_err(failed)?;
        for (index, column) in self.texts.iter_mut().enumerate() {
            let is_required = index == 0 || index == last;
            column.write(is_required, &mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        self.times.clear();
        self.held = 0;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<HashedFile> {
        if !self.times.is_empty() {
            self.write_row_group()?;
        }
        self.writer.into_inner().map_err(failed)
    }
}

impl TextColumn {
    fn push(&mut self, cell: &str) {
        self.levels.push(i16::from(!cell.is_empty()));
        if !cell.is_empty() {
            self.values.push(cell.as_bytes().to_vec().into());
        }
    }

    fn write(
        &mut self,
        is_required: bool,
        group: &mut SerializedRowGroupWriter<'_, HashedFile>,
    ) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("there are more texts than columns".to_owned()));
        };
        let levels = (!is_required).then_some(&*self.levels);
        column
            .typed::<ByteArrayType>()
            .write_batch(&self.values, levels, None)?;
        column.close()?;
        *self = Self::default();
        Ok(())
    }
}

fn write_times(times: &[i64], group: &mut SerializedRowGroupWriter<'_, HashedFile>) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("there is no column".to_owned()));
    };
    column.typed::<Int64Type>().write_batch(times, None, None)?;
    column.close()
}

/// What the system said of a write comes through as it was.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::RowAccessor;

    use super::*;
    use crate::source::SOURCES;

    /// A record of mail whose line has this many bytes more.
    fn line(number: usize, more: usize) -> String {
        let filler = "x".repeat(more);
        format!(
            "{{\"eventType\": \"e{number}\", \"date\": \"2025-06-09T10:00:00.123456Z\", \"userLogin\": \"half \\ud83d\", \"f\": \"{filler}\"}}"
        )
    }

    #[test]
    fn several_row_groups_hold_every_record_in_its_order_with_null_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let mut file = ParquetFile::begin(HashedFile::new(File::create(&path).unwrap())).unwrap();
        let (kind, lines) = (&SOURCES[0], 5);
        let mut reader = ColumnReader::new(kind);
        for number in 0..lines {
            let line = line(number, ROW_GROUP / 2);
            let (record, mut text) = (reader.read(&line).unwrap(), String::new());
            assert!(push_row(kind, &line, &record, &mut text), "it is repaired");
            file.write(&text).unwrap();
        }
        drop(file.finish().unwrap());
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 3);
        for (number, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            assert_eq!(row.get_timestamp_millis(0).unwrap(), 1_749_463_200_123);
            assert_eq!(row.get_string(1).unwrap(), kind.name);
            assert_eq!(row.get_string(2).unwrap(), &format!("e{number}"));
            assert_eq!(row.get_string(3).unwrap(), "half \u{fffd}");
            assert!(row.get_string(4).is_err(), "no address");
            let line = line(number, ROW_GROUP / 2).replace("\\ud83d", "\\ufffd");
            assert_eq!(*row.get_string(8).unwrap(), line);
        }
    }

    #[test]
    fn what_is_rendered_is_taken_as_it_was() {
        let mut text = String::new();
        for cell in ["", "é\u{0}\n", "00000001x"] {
            push_text(cell, &mut text);
        }
        let mut rest = &*text;
        for cell in ["", "é\u{0}\n", "00000001x"] {
            assert_eq!(take_text(&mut rest), Some(cell));
        }
        assert_eq!((rest, take_text(&mut "0000000")), ("", None));
    }
}
