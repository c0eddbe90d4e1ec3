//! The terminal that progress is drawn on: what is drawn gathers until it is whole, and goes the way of all lines on stderr.

use std::io;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};

use crate::output::stderr;

/// The width that is assumed where the terminal does not tell its own.
const USUAL_WIDTH: u16 = 80;

/// Returns where progress is drawn: on stderr if it is a terminal that can move its cursor, otherwise nowhere.
pub(super) fn draw_target() -> ProgressDrawTarget {
    // indicatif checks whether stderr is a terminal, and not a dumb one.
    if ProgressDrawTarget::stderr().is_hidden() {
        return ProgressDrawTarget::hidden();
    }
    ProgressDrawTarget::term_like(Box::<Screen>::default())
}

/// The terminal. The control sequences are those of ECMA-48.
#[derive(Debug, Default)]
struct Screen {
    drawing: Mutex<String>,
}

impl Screen {
    fn draw(&self, text: &str) -> io::Result<()> {
        self.drawing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(text);
        Ok(())
    }

    fn move_cursor(&self, by: usize, direction: char) -> io::Result<()> {
        if by == 0 {
            return Ok(());
        }
        self.draw(&format!("\x1b[{by}{direction}"))
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        width().unwrap_or(USUAL_WIDTH)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.move_cursor(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.move_cursor(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.move_cursor(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.move_cursor(columns, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text)?;
        self.draw("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawing.lock().unwrap_or_else(PoisonError::into_inner));
        if !drawn.is_empty() {
            stderr::write(drawn);
        }
        Ok(())
    }
}

#[cfg(unix)]
fn width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(size.ws_col).filter(|width| *width > 0)
}

#[cfg(not(unix))]
fn width() -> Option<u16> {
    None
}
