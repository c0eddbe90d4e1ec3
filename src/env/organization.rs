//! The name of an organization, of which an installation can have many.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::InvalidValue;

/// In a value it stands for the name of the organization.
pub(crate) const PLACEHOLDER: &str = "{org}";

/// The longest name, in bytes: it is a part of names of files and topics.
const LONGEST: usize = 100;

/// The name of an organization. Two of the same name are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Organization(&'static str);

impl Organization {
    /// Takes a name: letters, digits, `.`, `_` and `-`, of which a letter or a digit is the first.
    ///
    /// # Errors
    /// It has others, or more than 100 bytes.
    pub(crate) fn new(name: &str) -> Result<Self, InvalidValue> {
        Self::check(name)?;
        Ok(Self(kept(name.to_owned())))
    }

    /// Checks that a name can be that of an organization, and keeps nothing of it.
    ///
    /// # Errors
    /// Those of [`Organization::new`].
    pub(super) fn check(name: &str) -> Result<(), InvalidValue> {
        let is_right = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !name.starts_with(char::is_alphanumeric) || !name.chars().all(is_right) {
            return Err(InvalidValue::must_shown(
                "be a name of letters, digits, `.`, `_` and `-` that begins with a letter or a digit",
            ));
        }
        if name.len() > LONGEST {
            return Err(InvalidValue::must_shown(format!("be at most {LONGEST} bytes long")));
        }
        Ok(())
    }

    /// Returns the name.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// Returns the name of one of its streams: `acme/yandex-mail`.
    #[must_use]
    pub(crate) fn stream(self, kind: &str) -> &'static str {
        kept(format!("{}/{kind}", self.0))
    }

    /// Returns a JSON object on one line with the name as its first member; anything else as it is.
    #[must_use]
    pub(crate) fn named(self, line: &str) -> Cow<'_, str> {
        let Some(members) = line.strip_prefix('{') else {
            return Cow::Borrowed(line);
        };
        let separator = if members.trim_start().starts_with('}') { "" } else { "," };
        // No character of a name has to be escaped.
        Cow::Owned(format!("{{\"organization\":\"{self}\"{separator}{members}"))
    }

    /// Returns a text with the name in each place that asks for it with `{org}`.
    #[must_use]
    pub(crate) fn fill_in(self, text: &str) -> String {
        text.replace(PLACEHOLDER, self.0)
    }
}

impl fmt::Display for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Keeps a name for as long as the process lives. There are as many as organizations and their streams.
fn kept(name: String) -> &'static str {
    let mut names = names();
    if let Some(known) = names.get(name.as_str()) {
        return known;
    }
    let name: &'static str = name.leak();
    names.insert(name);
    name
}

fn names() -> MutexGuard<'static, BTreeSet<&'static str>> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    // A panic while it was held cannot leave it half changed.
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let (one, other) = (Organization::new("acme").unwrap(), Organization::new("acme").unwrap());
        assert!(std::ptr::eq(one.name(), other.name()));
        assert!(std::ptr::eq(one.stream("tfc"), other.stream("tfc")));
        assert_eq!(one.stream("tfc"), "acme/tfc");
    }

    #[test]
    fn a_name_is_a_part_of_the_names_of_files_and_topics() {
        for good in ["acme", "acme.eu", "a-1_b", "7", "ромашка"] {
            assert_eq!(Organization::new(good).unwrap().name(), good);
        }
        for bad in [
            "",
            ".acme",
            "-x",
            "..",
            "a/b",
            "a,b",
            "a b",
            "a\nb",
            "{org}",
            &"x".repeat(101),
        ] {
            assert!(Organization::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_is_the_first_member_of_an_object() {
        let acme = Organization::new("acme").unwrap();
        assert_eq!(acme.named("{\"a\": 1}"), "{\"organization\":\"acme\",\"a\": 1}");
        assert_eq!(acme.named("{ }"), "{\"organization\":\"acme\" }");
        assert_eq!(acme.named("[1]"), "[1]");
    }

    #[test]
    fn it_stands_wherever_it_is_asked_for() {
        let acme = Organization::new("acme").unwrap();
        assert_eq!(acme.fill_in("/srv/{org}/{org}_mail"), "/srv/acme/acme_mail");
        assert_eq!(acme.fill_in("/srv/{Org}"), "/srv/{Org}");
    }
}
