//! A query: when, and what a record has to hold.

use std::net::IpAddr;
use std::ops::Range;

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use super::pattern::{Extent, Manner, Pattern, PatternError};
use crate::json::walk::{Pointer, scalars, text_of};
use crate::source::Row;

/// What is looked for. A record has to match all filters.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) times: Range<DateTime<Utc>>,
    pub(crate) filters: Vec<Filter>,
    /// Look for the records of the time that do not match.
    pub(crate) is_inverted: bool,
    pub(crate) ignores_case: bool,
}

/// Which value of a record a filter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Who did it: any of the names and ids that a record has for that.
    User,
    /// What happened: the word, or one of the words it is joined of.
    Event,
    /// What it was done to.
    Object,
    Id,
    /// Any value.
    Text,
    Pointer(Pointer),
}

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// A value of this field matches one of the patterns.
    Value { field: Field, patterns: Vec<Pattern> },
    /// The address lies in one of these networks.
    Address(Vec<IpNet>),
    /// The record says that it did not succeed.
    Failed,
}

impl Filter {
    /// Reads the patterns for a field.
    ///
    /// # Errors
    /// One is no pattern.
    pub(crate) fn of(field: Field, texts: &[String], manner: Manner) -> Result<Self, PatternError> {
        let extent = if field == Field::Text {
            Extent::Within
        } else {
            Extent::Whole
        };
        let patterns = texts.iter().map(|text| Pattern::parse(text, manner, extent));
        Ok(Self::Value {
            field,
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a record matches; `form` is its line.
    fn matches(&self, row: &Row, form: &str) -> bool {
        match self {
            Self::Failed => row.failure.is_some(),
            Self::Address(networks) => row.address.iter().any(|address| is_within(address, networks)),
            Self::Value { field, patterns } => {
                let is_sought = |value: &str| patterns.iter().any(|pattern| pattern.matches(value));
                match field {
                    Field::User => row.actor.iter().any(|value| is_sought(value)),
                    Field::Event => is_sought(&row.event()) || row.event.iter().any(|value| is_sought(value)),
                    Field::Object => row
                        .object
                        .iter()
                        .any(|values| is_sought(&values.join(" ")) || values.iter().any(|value| is_sought(value))),
                    Field::Id => row.id.as_deref().is_some_and(is_sought),
                    Field::Text => scalars(form).any(|value| is_sought(&text_of(value))),
                    Field::Pointer(pointer) => pointer.find(form).is_some_and(|value| is_sought(&text_of(value))),
                }
            }
        }
    }

    /// Returns texts of which every match holds one, but for their case if that is ignored; `None` if there are none.
    pub(super) fn needles(&self) -> Option<Vec<&str>> {
        let Self::Value { field, patterns } = self else {
            return None;
        };
        // What is joined of several values stands nowhere in a record, and neither does a structure with other white space.
        let splits = match field {
            Field::Event | Field::Object => Splits::AtSpaces,
            Field::Pointer(_) => Splits::AtStructure,
            Field::User | Field::Id | Field::Text => Splits::Never,
        };
        let needles: Vec<_> = patterns
            .iter()
            .map(|pattern| splits.longest(pattern.needle()))
            .collect();
        needles.iter().all(|needle| !needle.is_empty()).then_some(needles)
    }
}

/// Where a text that is compared can be made of several texts of a line.
enum Splits {
    Never,
    AtSpaces,
    AtStructure,
}

impl Splits {
    fn longest<'a>(&self, needle: &'a str) -> &'a str {
        let split = |character: char| match self {
            Self::Never => false,
            Self::AtSpaces => character == ' ',
            Self::AtStructure => matches!(character, ' ' | ',' | ':' | '"' | '\\' | '{' | '}' | '[' | ']'),
        };
        needle.split(split).max_by_key(|part| part.len()).unwrap_or_default()
    }
}

impl Query {
    /// Whether a record of this time matches; `form` is its line.
    pub(super) fn matches(&self, time: DateTime<Utc>, row: &Row, form: &str) -> bool {
        let is_match = || self.filters.iter().all(|filter| filter.matches(row, form));
        self.times.contains(&time) && is_match() != self.is_inverted
    }

    /// Returns texts of which a matching record has to hold one: the filter whose shortest text is the longest. `None` if any record
    /// can match.
    pub(super) fn needles(&self) -> Option<Vec<&str>> {
        if self.is_inverted {
            return None;
        }
        let all = self.filters.iter().filter_map(Filter::needles);
        all.max_by_key(|needles| needles.iter().map(|needle| needle.len()).min())
    }
}

/// Whether an address, or a network as some services write one, lies in one of these networks.
fn is_within(address: &str, networks: &[IpNet]) -> bool {
    let network = address.parse::<IpNet>().ok();
    let address = network.or_else(|| address.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(address) = address.map(canonical) else {
        return false;
    };
    networks.iter().any(|network| canonical(*network).contains(&address))
}

/// Returns an IPv4 network for one of IPv4 addresses that are mapped to IPv6 (RFC 4291, section 2.5.5.2).
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let length = mapped.prefix_len().checked_sub(96);
    let address = mapped.addr().to_ipv4_mapped();
    let plain = address
        .zip(length)
        .and_then(|(address, length)| IpNet::new(address.into(), length).ok());
    plain.unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_network_however_both_are_written() {
        let within = |address: &str, network: &str| {
            let network = network
                .parse::<IpNet>()
                .or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
            is_within(address, &[network.unwrap()])
        };
        for (address, network, expected) in [
            ("192.0.2.7", "192.0.2.0/24", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.3.7", "192.0.2.0/24", false),
            ("2001:db8::61", "2001:db8::/32", true),
            ("2001:0db8:0:0::61/128", "2001:db8::61", true),
            ("::ffff:192.0.2.7", "192.0.2.0/24", true),
            ("192.0.2.7", "::ffff:192.0.2.0/120", true),
            ("192.0.2.7", "::/0", false),
            ("unknown", "0.0.0.0/0", false),
            ("", "0.0.0.0/0", false),
        ] {
            assert_eq!(within(address, network), expected, "{address} {network}");
        }
    }
}
