//! How `search` shows what it finds: as lines, CSV, a table, a number or the names of files.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::PathBuf;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::env::Organization;
use crate::output::csv::Csv;
use crate::output::print::{PrintError, print_while_read};
use crate::output::printable::{printable, printable_json};
use crate::output::table::Colour;
use crate::process::exit::Exit;
use crate::search::{Found, HEADINGS, cells, repaired_cells};
use crate::source::{Kind, ReadRow};

/// The columns of a table.
const COLUMNS: [&str; 6] = ["TIME", "STREAM", "EVENT", "USER", "ADDRESS", "OBJECT"];

/// Which of them names the stream, as in CSV.
const STREAM: usize = 1;

/// The widths of the columns, in columns of a terminal.
type Widths = [usize; COLUMNS.len()];

/// How wide they are where there is room; the last one is as wide as its content up to this.
const WIDEST: Widths = [24, 12, 30, 26, 24, 100];

/// How many of them are always as wide.
const FIXED: usize = 2;

/// Less says nothing.
const NARROWEST: usize = 8;

/// How much of the name of an organization is shown.
const NAME: usize = 14;

/// What stands between two columns.
const BETWEEN: usize = 2;

/// Returns the widths for a terminal that is so wide, or for what is none.
pub(super) fn widths(terminal: Option<usize>) -> Widths {
    let mut widths = WIDEST;
    let Some(terminal) = terminal else { return widths };
    let taken: usize = WIDEST[..FIXED].iter().sum::<usize>() + BETWEEN * (COLUMNS.len() - 1);
    let room = terminal.saturating_sub(taken);
    // What the last column can do without, the others need not give.
    let (last, others) = (COLUMNS.len() - 1, &WIDEST[FIXED..COLUMNS.len() - 1]);
    let wanted: usize = others.iter().sum();
    let rest = room.saturating_sub(wanted).max(room / (COLUMNS.len() - FIXED));
    widths[last] = rest.clamp(NARROWEST, WIDEST[last]);
    let left = room.saturating_sub(widths[last]).min(wanted);
    for width in &mut widths[FIXED..last] {
        *width = (*width * left / wanted).max(NARROWEST);
    }
    widths
}

/// The same with room for the names of organizations before those of the streams.
pub(super) fn widths_of_many(terminal: Option<usize>) -> Widths {
    let mut widths = widths(terminal.map(|terminal| terminal.saturating_sub(NAME)));
    widths[STREAM] += NAME;
    widths
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The lines of the records, as they stand in the files.
    Lines {
        /// Nothing in them may control it.
        is_for_terminal: bool,
    },
    Csv {
        csv: Csv,
        is_for_terminal: bool,
    },
    Table {
        with_colours: bool,
        widths: Widths,
    },
    Count,
    Files,
    /// Only the exit code says something.
    Nothing,
}

impl Form {
    /// Returns what stands before all records.
    fn head(self) -> String {
        match self {
            Self::Csv { csv, .. } => csv.head(&HEADINGS),
            Self::Table { widths, .. } => table_line(&COLUMNS.map(str::to_owned), widths) + "\n",
            Self::Lines { .. } | Self::Count | Self::Files | Self::Nothing => String::new(),
        }
    }

    /// Appends a record to `text`; returns whether it is repaired.
    pub(super) fn render(
        self,
        (organization, kind): (Option<Organization>, &Kind),
        line: &str,
        record: &ReadRow,
        text: &mut String,
    ) -> bool {
        let mut is_repaired = false;
        let stream = || organization.map(|organization| organization.stream(kind.name).to_owned());
        match self {
            Self::Lines { is_for_terminal } => {
                let line = if is_for_terminal {
                    printable_json(line)
                } else {
                    Cow::Borrowed(line)
                };
                let named = organization.map(|organization| organization.named(&line));
                text.push_str(named.as_deref().unwrap_or(&line));
                text.push('\n');
            }
            Self::Csv { csv, is_for_terminal } => {
                let (mut cells, is_other) = repaired_cells(kind, line, record);
                is_repaired = is_other;
                cells[STREAM] = stream().unwrap_or(std::mem::take(&mut cells[STREAM]));
                let shown = cells.each_ref().map(|cell| {
                    if is_for_terminal {
                        printable(cell)
                    } else {
                        Cow::Borrowed(&**cell)
                    }
                });
                csv.push_row(shown.iter().map(|cell| &**cell), text);
            }
            Self::Table { with_colours, widths } => {
                let [time, kind, event, user, address, object, ..] = cells(kind, record);
                let stream = stream().unwrap_or(kind);
                let line = table_line(&[time, stream, event, user, address, object], widths);
                let is_failure = with_colours && record.row.failure.is_some();
                let line = if is_failure { Colour::Red.paint(&line) } else { line };
                text.push_str(&line);
                text.push('\n');
            }
            Self::Count | Self::Files | Self::Nothing => {}
        }
        is_repaired
    }
}

fn table_line(cells: &[String; COLUMNS.len()], widths: Widths) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let cell = clipped(&printable(cell), width);
        let padding = width.saturating_sub(cell.width()) + BETWEEN;
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Returns a text that is at most this many columns wide.
fn clipped(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |character: &char| match left.checked_sub(character.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Prints what is found, until there is enough.
pub(super) struct Printer {
    form: Form,
    /// How many records may still be shown; `None` if any number.
    left: Option<u64>,
    found: u64,
    /// How many of them are repaired.
    repaired: u64,
    /// The file that was named last.
    named: Option<PathBuf>,
    /// Whether a file could not be read.
    has_failed: bool,
    is_headed: bool,
    /// Whose records are counted, if there are several organizations.
    organization: Option<Organization>,
    outcome: Result<(), PrintError>,
}

impl Printer {
    pub(super) fn new(form: Form, limit: Option<u64>) -> Self {
        Self {
            form,
            left: if form == Form::Nothing { Some(1) } else { limit },
            found: 0,
            repaired: 0,
            named: None,
            has_failed: false,
            is_headed: false,
            organization: None,
            outcome: Ok(()),
        }
    }

    /// Says whose records they are, if there are several organizations.
    pub(super) fn of(self, organization: Option<Organization>) -> Self {
        Self { organization, ..self }
    }

    /// Prints no head: it stands before the records of another organization.
    pub(super) fn without_head(self) -> Self {
        Self {
            is_headed: true,
            ..self
        }
    }

    /// Says why something was not searched.
    pub(super) fn fail(&mut self, problem: &str) {
        tracing::error!("not searched: {problem}");
        self.has_failed = true;
    }

    /// Prints what was found; breaks if no more is to be looked for.
    pub(super) fn take(&mut self, found: &Found<'_>) -> ControlFlow<()> {
        let matches = match &found.result {
            Ok(matches) => matches,
            Err(error) => {
                self.fail(&error.to_string());
                return ControlFlow::Continue(());
            }
        };
        let count = self
            .left
            .map_or(matches.count(), |left| matches.count().min(left as usize));
        self.found += count as u64;
        self.repaired += matches.repaired(count);
        self.left = self.left.map(|left| left - count as u64);
        let is_read = match self.form {
            Form::Files if count > 0 && self.named.as_ref() != Some(&found.file.path) => {
                self.named = Some(found.file.path.clone());
                self.print(&format!("{}\n", found.file.path.display()))
            }
            Form::Lines { .. } | Form::Csv { .. } | Form::Table { .. } => self.print(matches.first(count)),
            Form::Files | Form::Count | Form::Nothing => true,
        };
        if is_read && self.left != Some(0) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    /// Prints a text, and the head before the first one. Returns whether somebody reads it.
    fn print(&mut self, text: &str) -> bool {
        let head = if std::mem::replace(&mut self.is_headed, true) {
            String::new()
        } else {
            self.form.head()
        };
        match print_while_read(&(head + text)) {
            Ok(is_read) => is_read,
            Err(error) => {
                self.outcome = Err(error);
                false
            }
        }
    }

    /// Prints what comes after all records, and returns how the search ended.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(super) fn end(mut self) -> Result<Exit, PrintError> {
        match self.form {
            Form::Count => {
                let whose = self.organization.map(|organization| format!("{organization}:"));
                self.print(&format!("{}{}\n", whose.unwrap_or_default(), self.found));
            }
            // Whoever reads it needs the names of the columns, be there rows or not.
            Form::Csv { .. } if !self.is_headed => drop(self.print("")),
            _ => {}
        }
        self.outcome?;
        if self.repaired > 0 {
            let repaired = self.repaired;
            tracing::warn!("in {repaired} of the records U+FFFD stands for half a character, which CSV cannot hold");
        }
        Ok(match (self.has_failed, self.found) {
            (true, _) => Exit::Usage,
            (false, 0) => Exit::Setup,
            (false, _) => Exit::Complete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_terminal_and_not_wider_than_it_has_to_be() {
        let line = |terminal| {
            let cells = COLUMNS.map(|_| "x".repeat(200));
            table_line(&cells, widths(Some(terminal))).width()
        };
        for terminal in 80..226 {
            let width = line(terminal);
            assert!(
                width <= terminal && width + COLUMNS.len() > terminal,
                "{terminal}: {width}"
            );
        }
        assert_eq!(widths(Some(400)), WIDEST);
        assert_eq!(widths(None), WIDEST);
        assert!(widths(Some(0)).iter().all(|width| *width >= NARROWEST));
    }

    #[test]
    fn a_wide_text_is_cut_where_its_column_ends() {
        assert_eq!(clipped("План", 4), "План");
        assert_eq!(clipped("Планы", 4), "Пла…");
        assert_eq!(clipped("日本語", 6), "日本語");
        assert_eq!(clipped("日本語x", 6), "日本…");
    }
}
