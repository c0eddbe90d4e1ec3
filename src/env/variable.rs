//! A row of the table of variables. What reads the environment takes rows and no names, so a variable that has no row
//! cannot be read.

use std::fmt;

use super::secret::Check;
use super::value::InvalidValue;

/// What is known of a variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name, without the prefix of a stream.
    pub(crate) name: &'static str,
    /// For what it can be set.
    pub(crate) scope: Scope,
    /// What it is where it is not set.
    pub(crate) default: DefaultValue,
    /// A value to show where there is no default.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) example: Option<&'static str>,
    /// What it does, for `.env.example` and the settings page: sentences, with code in backticks.
    #[cfg_attr(not(test), expect(dead_code, reason = "read where a test makes the documents"))]
    pub(crate) doc: &'static str,
}

/// For what a variable can be set.
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

/// What a variable is where it is not set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DefaultValue {
    /// Nothing: it is required, or what it does is off.
    None,
    /// This text.
    Text(&'static str),
    /// For each stream its own, by the prefix of the stream.
    OfStream(fn(&str) -> String),
}

/// A row of the table: a [`Setting`] or a [`Secret`].
pub trait Row: fmt::Debug + Sync {
    /// What is known of it.
    fn variable(&self) -> &Variable;

    /// What is wrong with a value, as the end of a sentence that begins with the variable; `None` if it can be taken.
    fn problem(&self, text: &str) -> Option<String>;

    /// The variable that can name a file with the value instead, for secrets: `<NAME>_FILE`.
    fn file(&self) -> Option<String> {
        None
    }

    /// The whole name.
    fn name(&self) -> String {
        self.variable().to_string()
    }
}

/// A variable whose value may be shown.
pub(crate) struct Setting<T> {
    /// What is known of it.
    pub(crate) variable: Variable,
    /// Makes a value of the text.
    pub(crate) parse: fn(&str) -> Result<T, InvalidValue>,
}

/// A variable that holds a token or a password; it can be given as `<NAME>_FILE` too.
pub(crate) struct Secret {
    /// What is known of it.
    pub(crate) variable: Variable,
    /// What the text must be like.
    pub(crate) check: Check,
}

impl Variable {
    /// What the variable is where it is not set, for the stream with this prefix.
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
    /// The same variable for the stream with this prefix alone.
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

/// A row for tests of what reads rows.
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
