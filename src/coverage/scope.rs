//! What a stream is asked for and from whom: what was covered in one scope says nothing of another.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::source::Source;

/// What a stream is asked for and from whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// Name of the stream.
    pub(crate) stream: String,
    /// The organization, where the address names one; elsewhere the token alone decides.
    pub(crate) organization: Option<String>,
    /// Scheme, host and port of the service.
    pub(crate) address: String,
    /// The operator's query parameters, in order of their names; `None` for everything.
    pub(crate) filter: Option<String>,
}

/// Whose lines of a journal count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// Those of this scope.
    Scope(&'a Scope),
    /// Those of the newest scope of this stream: a command that reads only the archive knows no more.
    Stream(&'a str),
}

impl Wanted<'_> {
    /// Returns the name of the stream.
    pub(super) fn stream(&self) -> &str {
        match self {
            Self::Scope(scope) => &scope.stream,
            Self::Stream(stream) => stream,
        }
    }

    /// Says in what a scope differs from what is wanted; `None` if it does not.
    pub(super) fn difference(self, scope: &Scope) -> Option<&'static str> {
        match self {
            Self::Scope(wanted) => wanted.difference(scope),
            Self::Stream(stream) => (scope.stream != stream).then_some("another stream"),
        }
    }
}

impl Scope {
    /// Returns the scope of a source.
    pub(crate) fn of(source: &dyn Source) -> Self {
        Self {
            stream: source.kind().name.to_owned(),
            organization: source.organization().map(str::to_owned),
            address: source.address().origin().ascii_serialization(),
            filter: filter(source.filter()),
        }
    }

    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self {
            stream: "tfc".into(),
            organization: None,
            address: "https://app.terraform.io".into(),
            filter: None,
        }
    }

    /// Says in what it differs from another one; `None` if it does not.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let differences = [
            (self.stream != other.stream, "another stream"),
            (self.organization != other.organization, "another organization"),
            (self.address != other.address, "another address"),
            (self.filter != other.filter, "another filter"),
        ];
        differences
            .into_iter()
            .find_map(|(differs, what)| differs.then_some(what))
    }
}

/// `tfc of https://app.terraform.io`, without the values of the filter: they can be names of users.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, address, .. } = self;
        write!(f, "{stream} of {address}")?;
        if let Some(organization) = &self.organization {
            write!(f, ", organization {organization}")?;
        }
        if self.filter.is_some() {
            f.write_str(", filtered")?;
        }
        Ok(())
    }
}

fn filter(query: &[(String, String)]) -> Option<String> {
    let mut sorted: Vec<_> = query.iter().collect();
    sorted.sort();
    let text = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(sorted)
        .finish();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = query.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        owned.collect()
    }

    #[test]
    fn the_order_of_the_parameters_makes_no_other_filter() {
        assert_eq!(filter(&[]), None);
        let one = filter(&pairs(&[("types", "a b"), ("includeUids", "1")]));
        assert_eq!(one.as_deref(), Some("includeUids=1&types=a+b"));
        assert_eq!(one, filter(&pairs(&[("includeUids", "1"), ("types", "a b")])));
    }

    #[test]
    fn a_difference_is_named() {
        let one = Scope::sample();
        assert_eq!(one.difference(&one), None);
        let other = |change: fn(&mut Scope)| {
            let mut other = one.clone();
            change(&mut other);
            one.difference(&other)
        };
        assert_eq!(other(|scope| scope.filter = Some("a=b".into())), Some("another filter"));
        assert_eq!(other(|scope| scope.address.push('x')), Some("another address"));
        assert_eq!(
            other(|scope| scope.organization = Some("1".into())),
            Some("another organization")
        );
        assert_eq!(other(|scope| scope.stream.push('x')), Some("another stream"));
    }
}
