//! A file of the records of one stream, in any format.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::format::Format;
use super::hashing::HashedFile;
#[cfg(feature = "parquet")]
use super::parquet::ParquetFile;
use crate::search::HEADINGS;

/// A file that is being written.
pub(super) enum RecordFile {
    Text(Box<BufWriter<HashedFile>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<ParquetFile>),
}

impl RecordFile {
    /// Begins a file.
    pub(super) fn begin(format: Format, file: File) -> io::Result<Self> {
        let mut text = BufWriter::new(HashedFile::new(file));
        match format {
            Format::Ndjson => {}
            Format::Csv(csv) => text.write_all(csv.head(&HEADINGS).as_bytes())?,
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                let file = text.into_inner().map_err(io::IntoInnerError::into_error)?;
                return Ok(Self::Parquet(Box::new(ParquetFile::begin(file)?)));
            }
        }
        Ok(Self::Text(Box::new(text)))
    }

    /// Writes records as their format has rendered them.
    pub(super) fn write(&mut self, rendered: &str) -> io::Result<()> {
        match self {
            Self::Text(file) => file.write_all(rendered.as_bytes()),
            #[cfg(feature = "parquet")]
            Self::Parquet(file) => file.write(rendered),
        }
    }

    /// Ends the file, syncs it, and returns its length and hash.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        let file = match self {
            Self::Text(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?,
            #[cfg(feature = "parquet")]
            Self::Parquet(file) => file.finish()?,
        };
        file.finish()
    }
}
