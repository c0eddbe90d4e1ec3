//! Comma-separated values (RFC 4180).

/// By these Excel takes what was text for a formula, see <https://owasp.org/www-community/attacks/CSV_Injection>.
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝'];

/// For whom they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Csv {
    /// As they are.
    Plain,
    /// With a byte-order mark, by which Excel knows UTF-8, and with formulas made texts.
    ForExcel,
}

impl Csv {
    /// Returns the first row, and what stands before it.
    pub(crate) fn head(self, headings: &[&str]) -> String {
        let mark = if self == Self::ForExcel { "\u{feff}" } else { "" };
        format!("{mark}{}\r\n", headings.join(","))
    }

    /// Appends a row.
    pub(crate) fn push_row<'a>(self, cells: impl IntoIterator<Item = &'a str>, text: &mut String) {
        for (index, cell) in cells.into_iter().enumerate() {
            text.push_str(if index > 0 { "," } else { "" });
            self.push_cell(cell, text);
        }
        text.push_str("\r\n");
    }

    fn push_cell(self, cell: &str, text: &mut String) {
        let is_formula = self == Self::ForExcel && cell.starts_with(FORMULA_STARTS);
        let is_quoted = is_formula || cell.contains(['"', ',', '\r', '\n']);
        if !is_quoted {
            return text.push_str(cell);
        }
        text.push('"');
        if is_formula {
            text.push('\'');
        }
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_rfc_4180_asks_for_it() {
        let row = |csv: Csv, cells: &[&str]| {
            let mut text = String::new();
            csv.push_row(cells.iter().copied(), &mut text);
            text.trim_end_matches("\r\n").to_owned()
        };
        for (cell, expected) in [
            ("plain text", "plain text"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "=1+1"),
        ] {
            assert_eq!(row(Csv::Plain, &[cell]), expected);
        }
        assert_eq!(row(Csv::ForExcel, &["=1+1", "1-1"]), "\"'=1+1\",1-1");
        assert_eq!(Csv::ForExcel.head(&["a", "b"]), "\u{feff}a,b\r\n");
    }
}
