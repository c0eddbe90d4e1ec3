//! What records have to hold, for the commands that look for some.

use std::net::IpAddr;
use std::ops::Range;

use chrono::{DateTime, Utc};
use clap::Args;
use ipnet::IpNet;

use crate::search::{AskedFilter, Field, Filter, Manner, Pointer, Query};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    /// Who did it: any of the names and ids that a record has for that
    ///
    /// This option and those that follow can be repeated, and then one of the values is enough; all options have to match. A
    /// value is the whole text; `*` stands for any characters, `?` for one, and a backslash takes the meaning from these and from another backslash.
    #[arg(long, value_name = "TEXT", value_parser = text)]
    user: Vec<String>,

    /// What happened
    #[arg(long, value_name = "TEXT", value_parser = text)]
    event: Vec<String>,

    /// The network address that it came from, or its network: 192.0.2.7, 2001:db8::/32
    #[arg(long, value_name = "CIDR", value_parser = network)]
    ip: Vec<IpNet>,

    /// What it was done to: subject or message id of a mail, path, entity or its blueprint, workspace, …
    #[arg(long, value_name = "TEXT", value_parser = text)]
    object: Vec<String>,

    /// The id that the service gave the record
    #[arg(long, value_name = "TEXT", value_parser = text)]
    id: Vec<String>,

    /// A part of any value, wherever it stands
    #[arg(long, value_name = "TEXT", value_parser = text)]
    text: Vec<String>,

    /// The value at a JSON pointer (RFC 6901), as in /trigger/origin=UI; those of one pointer are alternatives
    #[arg(long = "where", value_name = "POINTER=VALUE", value_parser = pointer_and_value)]
    places: Vec<(String, String)>,

    /// Values are regular expressions, which match anywhere in a text
    #[arg(long)]
    regex: bool,

    /// Upper and lower case are the same
    #[arg(short, long)]
    ignore_case: bool,

    /// Only what failed, by the word that the record has for how it ended
    #[arg(long)]
    failed: bool,

    /// The records of the time that do not match
    #[arg(long)]
    invert: bool,
}

/// No value is empty, so that a filter that asks for one can only be a mistake, such as a variable of a script that is not set.
fn text(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        Err("expected a text, not an empty one; `*` stands for any characters")
    } else {
        Ok(text.to_owned())
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    network.ok_or_else(|| "expected an address or a network, such as 192.0.2.7 or 2001:db8::/32".to_owned())
}

/// Splits at the first `=` behind the pointer; a key with one cannot be named.
fn pointer_and_value(text: &str) -> Result<(String, String), String> {
    let (pointer, value) = text
        .split_once('=')
        .ok_or("expected a JSON pointer and a value, as in /trigger/origin=UI")?;
    pointer.parse::<Pointer>().map_err(|error| error.to_string())?;
    Ok((pointer.to_owned(), value.to_owned()))
}

impl Filters {
    /// Returns the query for records of these times.
    ///
    /// # Errors
    /// A value is no pattern.
    pub(crate) fn query(&self, times: Range<DateTime<Utc>>) -> Result<Query, String> {
        Ok(Query {
            times,
            filters: self.filters()?,
            is_inverted: self.invert,
            ignores_case: self.ignore_case,
        })
    }

    /// Returns the filters as they were asked for, without the dashes of their options.
    pub(crate) fn asked(&self) -> Vec<AskedFilter> {
        let flag = |is_given: &bool| if *is_given { vec!["true".to_owned()] } else { Vec::new() };
        let networks = self.ip.iter().map(ToString::to_string).collect();
        let places = self.places.iter().map(|(pointer, value)| format!("{pointer}={value}"));
        let asked = [
            ("user", self.user.clone()),
            ("event", self.event.clone()),
            ("ip", networks),
            ("object", self.object.clone()),
            ("id", self.id.clone()),
            ("text", self.text.clone()),
            ("where", places.collect()),
            ("regex", flag(&self.regex)),
            ("ignore-case", flag(&self.ignore_case)),
            ("failed", flag(&self.failed)),
            ("invert", flag(&self.invert)),
        ];
        let asked = asked.into_iter().filter(|(_, values)| !values.is_empty());
        asked.map(|(option, values)| AskedFilter { option, values }).collect()
    }

    fn filters(&self) -> Result<Vec<Filter>, String> {
        let manner = Manner {
            is_regex: self.regex,
            ignores_case: self.ignore_case,
        };
        let texts = [
            ("--user", Field::User, &self.user),
            ("--event", Field::Event, &self.event),
            ("--object", Field::Object, &self.object),
            ("--id", Field::Id, &self.id),
            ("--text", Field::Text, &self.text),
        ];
        let mut filters = Vec::new();
        for (option, field, texts) in texts.into_iter().filter(|(.., texts)| !texts.is_empty()) {
            filters.push(filter(option, field, texts, manner)?);
        }
        let mut pointers: Vec<&str> = self.places.iter().map(|(pointer, _)| pointer.as_str()).collect();
        pointers.sort_unstable();
        pointers.dedup();
        for pointer in pointers {
            let places = self.places.iter().filter(|(at, _)| at == pointer);
            let values: Vec<_> = places.map(|(_, value)| value.clone()).collect();
            let pointer: Pointer = pointer.parse().map_err(|error| format!("--where: {error}"))?;
            filters.push(filter("--where", Field::Pointer(pointer), &values, manner)?);
        }
        if self.failed {
            filters.push(Filter::Failed);
        }
        if !self.ip.is_empty() {
            filters.push(Filter::Address(self.ip.clone()));
        }
        Ok(filters)
    }
}

fn filter(option: &str, field: Field, texts: &[String], manner: Manner) -> Result<Filter, String> {
    Filter::of(field, texts, manner).map_err(|error| format!("{option}: {error}"))
}
