//! A row of the table of variables. Code that reads the environment takes rows instead of names, so a variable without
//! a row cannot be read.

use std::fmt;

use super::secret::Check;
use super::value::InvalidValue;

/// What is known about a variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name, without the prefix of a stream.
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    pub(crate) default: DefaultValue,
    /// A value to show if there is no default.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) example: Option<&'static str>,
    /// What it does, for `.env.example` and the settings page: sentences, with code in backticks.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) doc: &'static str,
}

/// What a variable can be set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For the program: `FILE_MODE`.
    Program,
    /// For all streams, or with its prefix for one: `MAX_PAGES`, `MAIL_MAX_PAGES`.
    AllStreams,
    /// For one stream, with its prefix: `MAIL_LOG_CATALOG_LOCATION`.
    EachStream,
    /// For the stream with this prefix; see [`Setting::of`].
    Stream(&'static str),
}

/// The value of a variable that is not set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DefaultValue {
    /// None: it is required, or what it does is off.
    None,
    /// This text.
    Text(&'static str),
    /// One for each stream, by its prefix.
    OfStream(fn(&str) -> String),
}

/// A row of the table: a [`Setting`] or a [`Secret`].
pub trait Row: fmt::Debug + Sync {
    /// Returns what is known about it.
    fn variable(&self) -> &Variable;

    /// Returns what is wrong with a value, as the end of a sentence that begins with the variable; `None` if it is
    /// valid.
    fn problem(&self, text: &str) -> Option<String>;

    /// Returns the variable that can name a file with the value instead, for secrets: `<NAME>_FILE`.
    fn file(&self) -> Option<String> {
        None
    }

    /// Returns the whole name.
    fn name(&self) -> String {
        self.variable().to_string()
    }
}

/// A variable whose value may be shown.
pub(crate) struct Setting<T> {
    pub(crate) variable: Variable,
    /// Parses the text.
    pub(crate) parse: fn(&str) -> Result<T, InvalidValue>,
}

/// A variable that holds a token or a password; it can be set as `<NAME>_FILE` too.
pub(crate) struct Secret {
    pub(crate) variable: Variable,
    /// Checks the text.
    pub(crate) check: Check,
}

impl Variable {
    /// Returns the default, for the stream with this prefix.
    pub(super) fn default_text(&self, prefix: &str) -> String {
        match self.default {
            DefaultValue::None => String::new(),
            DefaultValue::Text(text) => text.to_owned(),
            DefaultValue::OfStream(text) => text(prefix),
        }
    }
}

/// The whole name.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Scope::Stream(prefix) = self.scope {
            write!(f, "{prefix}_")?;
        }
        f.write_str(self.name)
    }
}

impl<T> Setting<T> {
    /// Returns the same variable, for the stream with this prefix only.
    #[must_use]
    pub(crate) fn of(&self, prefix: &'static str) -> Self {
        Self {
            variable: Variable {
                scope: Scope::Stream(prefix),
                ..self.variable
            },
            parse: self.parse,
        }
    }

    /// Returns the same variable under another name.
    #[must_use]
    pub(crate) fn named(&self, name: &'static str) -> Self {
        Self {
            variable: Variable { name, ..self.variable },
            parse: self.parse,
        }
    }
}

impl<T> Row for Setting<T> {
    fn variable(&self) -> &Variable {
        &self.variable
    }

    fn problem(&self, text: &str) -> Option<String> {
        (self.parse)(text).err().map(|invalid| invalid.problem(text))
    }
}

impl Row for Secret {
    fn variable(&self) -> &Variable {
        &self.variable
    }

    fn problem(&self, text: &str) -> Option<String> {
        let problem = (self.check)(text).err()?;
        Some(format!("must be usable as a token, but {problem}"))
    }

    fn file(&self) -> Option<String> {
        Some(format!("{}_FILE", self.variable))
    }
}

impl<T> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting({})", self.variable)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.variable)
    }
}

/// Returns a row for tests.
#[cfg(test)]
pub(super) const fn setting<T>(
    name: &'static str,
    default: Option<&'static str>,
    parse: fn(&str) -> Result<T, InvalidValue>,
) -> Setting<T> {
    let default = match default {
        Some(text) => DefaultValue::Text(text),
        None => DefaultValue::None,
    };
    Setting {
        variable: Variable {
            name,
            scope: Scope::Program,
            default,
            example: None,
            doc: "",
        },
        parse,
    }
}
