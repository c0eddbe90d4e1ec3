//! In which form records are exported.

use serde::Serialize;

use crate::output::csv::Csv;
use crate::search::repaired_cells;
use crate::source::{Kind, ReadRow};

/// The form of a file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// The lines as they stand in the day files.
    Ndjson,
    /// The columns.
    #[serde(rename = "csv")]
    Csv(#[serde(skip)] Csv),
    /// The columns and the line.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    /// The names of all of them.
    pub(crate) const NAMES: [&str; 3] = ["ndjson", "csv", "parquet"];

    /// Returns the format of this name.
    ///
    /// # Errors
    /// The program was built without it.
    pub(crate) fn of(name: &str) -> Result<Self, &'static str> {
        match name {
            "csv" => Ok(Self::Csv(Csv::Plain)),
            #[cfg(feature = "parquet")]
            "parquet" => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            "parquet" => Err(
                "this program was built without its feature `parquet`: take one that has it, such as that of a release, or ndjson or csv",
            ),
            _ => Ok(Self::Ndjson),
        }
    }

    /// Returns its name, which is also what the names of its files end with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv(_) => "csv",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }

    /// Appends what is made of a record to `text`; returns whether it is repaired.
    pub(super) fn render(self, kind: &Kind, line: &str, record: &ReadRow, text: &mut String) -> bool {
        match self {
            Self::Ndjson => {
                text.push_str(line);
                text.push('\n');
                false
            }
            Self::Csv(csv) => {
                let (cells, is_repaired) = repaired_cells(kind, line, record);
                csv.push_row(cells.iter().map(String::as_str), text);
                is_repaired
            }
            #[cfg(feature = "parquet")]
            Self::Parquet => super::parquet::push_row(kind, line, record, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_a_format_or_of_one_that_is_said_to_be_missing() {
        for name in Format::NAMES {
            match Format::of(name) {
                Ok(format) => assert_eq!(format.name(), name),
                Err(missing) => assert!(missing.contains(name) && cfg!(not(feature = "parquet"))),
            }
        }
    }
}
