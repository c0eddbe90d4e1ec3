//! The statements of a settings file, as python-dotenv tells them apart with `interpolate=False`: the files of Python
//! collectors have to mean the same here. No crate reads them so; above all, dollar signs are literal.

use zeroize::Zeroizing;

/// One statement; comments and empty lines are none.
pub(super) struct Statement {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// What it says; `None` if it cannot be read, or has no `=`.
    pub(super) setting: Option<(String, Zeroizing<String>)>,
}

/// Returns the statements of a text.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let text = with_newlines(without_marks(text));
    let mut all = Vec::new();
    let mut reader = Reader {
        text: &text,
        at: 0,
        line: 1,
    };
    while let Some(statement) = reader.statement() {
        all.push(statement);
    }
    all
}

/// Takes away the byte order mark that Python's `utf-8-sig` skips, and a second one, which python-dotenv skips.
fn without_marks(text: &str) -> &str {
    let once = text.strip_prefix('\u{feff}').unwrap_or(text);
    once.strip_prefix('\u{feff}').unwrap_or(once)
}

/// Turns all line ends into newlines, as a file that Python opens as text has them.
fn with_newlines(text: &str) -> Zeroizing<String> {
    // With its full size, so that no copy is left behind.
    let mut all = Zeroizing::new(String::with_capacity(text.len()));
    for (index, line) in text.split("\r\n").enumerate() {
        if index > 0 {
            all.push('\n');
        }
        all.extend(
            line.chars()
                .map(|character| if character == '\r' { '\n' } else { character }),
        );
    }
    all
}

/// What a line that can be read says.
enum Binding<'a> {
    Comment,
    /// A name alone, which sets nothing.
    NoValue,
    Value(&'a str, Zeroizing<String>),
}

/// A statement that python-dotenv does not read either; the rest of its line is skipped.
struct Unreadable;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Reads up to the end of the next statement; `None` at the end of the text.
    fn statement(&mut self) -> Option<Statement> {
        loop {
            self.take_while(is_space);
            let line = self.line;
            self.peek()?;
            let setting = match self.binding() {
                Ok(Binding::Comment) => continue,
                Ok(Binding::Value(name, value)) => Some((name.to_owned(), value)),
                Ok(Binding::NoValue) => None,
                Err(Unreadable) => {
                    self.take_while(|character| character != '\n');
                    self.eat('\n');
                    None
                }
            };
            return Some(Statement { line, setting });
        }
    }

    fn binding(&mut self) -> Result<Binding<'a>, Unreadable> {
        self.skip_export();
        let name = match self.peek() {
            Some('#') => None,
            Some('\'') => Some(self.quoted_name()?),
            _ => Some(self.name()?),
        };
        self.take_while(is_blank);
        let binding = match name {
            None => Binding::Comment,
            Some(name) if self.eat('=') => Binding::Value(name, self.value()?),
            Some(_) => Binding::NoValue,
        };
        self.end()?;
        Ok(binding)
    }

    /// Skips the word of shells, if a name can follow it.
    fn skip_export(&mut self) {
        if let Some(rest) = self.rest().strip_prefix("export")
            && rest.starts_with(is_blank)
        {
            self.take("export".len());
            self.take_while(is_blank);
        }
    }

    fn name(&mut self) -> Result<&'a str, Unreadable> {
        let name = self.take_while(|character| !is_space(character) && !matches!(character, '=' | '#'));
        if name.is_empty() { Err(Unreadable) } else { Ok(name) }
    }

    fn quoted_name(&mut self) -> Result<&'a str, Unreadable> {
        let length = self.rest()[1..].find('\'').filter(|&length| length > 0);
        let name = self.take(length.ok_or(Unreadable)? + 2);
        Ok(&name[1..name.len() - 1])
    }

    fn value(&mut self) -> Result<Zeroizing<String>, Unreadable> {
        let is_apart = !self.take_while(is_blank).is_empty();
        match self.peek() {
            Some('#') if is_apart => Ok(Zeroizing::default()),
            Some(quote @ ('\'' | '"')) => self.quoted_value(quote),
            _ => Ok(self.plain_value()),
        }
    }

    /// Reads up to a comment, before which there is a space, or to the end of the line.
    fn plain_value(&mut self) -> Zeroizing<String> {
        let line = self.take_while(|character| character != '\n');
        let mut signs = line.match_indices('#').map(|(at, _)| at);
        let comment = signs.find(|&at| line[..at].ends_with(is_space));
        let value = &line[..comment.unwrap_or(line.len())];
        Zeroizing::new(value.trim_end_matches(is_space).to_owned())
    }

    /// Reads up to the closing quote, on whatever line that is.
    fn quoted_value(&mut self, quote: char) -> Result<Zeroizing<String>, Unreadable> {
        let inside = &self.rest()[1..];
        let length = closing(inside, quote).ok_or(Unreadable)?;
        self.take(length + 2);
        Ok(unescaped(&inside[..length], quote))
    }

    /// Skips a comment and the end of the line; nothing else may stand there.
    fn end(&mut self) -> Result<(), Unreadable> {
        self.take_while(is_blank);
        if self.peek() == Some('#') {
            self.take_while(|character| character != '\n');
        }
        if self.eat('\n') || self.peek().is_none() {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, expected: char) -> bool {
        let is_there = self.peek() == Some(expected);
        if is_there {
            self.take(expected.len_utf8());
        }
        is_there
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        self.take(rest.find(|character| !wanted(character)).unwrap_or(rest.len()))
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        self.line += taken.matches('\n').count();
        taken
    }
}

/// Returns where the closing quote stands; a backslash takes the character behind it along.
fn closing(inside: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    inside
        .char_indices()
        .find(|&(_, character)| {
            let is_end = !is_escaped && character == quote;
            is_escaped = !is_escaped && character == '\\';
            is_end
        })
        .map(|(at, _)| at)
}

/// Returns what stood in the quotes; a backslash that begins no escape is one.
fn unescaped(inside: &str, quote: char) -> Zeroizing<String> {
    // With its full size, so that no copy is left behind.
    let mut value = Zeroizing::new(String::with_capacity(inside.len()));
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        let Some(next) = characters.next() else { break };
        if let Some(meant) = escaped(next, quote) {
            value.push(meant);
        } else {
            value.extend(['\\', next]);
        }
    }
    value
}

/// Returns what a character behind a backslash stands for.
fn escaped(character: char, quote: char) -> Option<char> {
    match (character, quote) {
        ('\\' | '\'', _) | ('"', '"') => Some(character),
        ('a', '"') => Some('\u{7}'),
        ('b', '"') => Some('\u{8}'),
        ('f', '"') => Some('\u{c}'),
        ('n', '"') => Some('\n'),
        ('r', '"') => Some('\r'),
        ('t', '"') => Some('\t'),
        ('v', '"') => Some('\u{b}'),
        _ => None,
    }
}

/// What Python takes for white space: four separators more than Unicode's property names.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

/// White space within a line.
fn is_blank(character: char) -> bool {
    is_space(character) && character != '\n'
}
