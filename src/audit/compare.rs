//! The comparison of an hour: what the service gives now, and what the archive has, by the identity of the records.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::archived::{Archived, SealedRecord};
use super::hour::Hour;
use crate::record::Identified;

/// A record that the service gave when it was asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenRecord {
    pub(crate) record: Identified,
    pub(crate) id: Option<String>,
}

/// What the service gave of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenHour {
    pub(crate) records: Vec<GivenRecord>,
    /// Why it is not proved that this is all; `None` if it is.
    pub(crate) unproved: Option<String>,
}

/// In what the archive and the service differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DifferenceKind {
    /// Given, and not in the archive.
    Missing,
    /// In the archive, and not given.
    NotGiven,
    /// Both have a record with this id and time, with other fields.
    Changed,
    /// The same, and a run has noted what the service gives now.
    Revised,
    /// Given, and kept in the rejected file, since no day file can hold it.
    Rejected,
    /// Given, and in the archive behind what is sealed.
    NotSealed,
    /// Given, and of a time of which the archive says itself that it lacks something, such as one before its beginning.
    Gap,
    /// Given, and so new when the archive was sealed that a service may have filed it since.
    Late,
    /// In the archive, and older than what the service keeps.
    Retention,
    /// In the archive, and not given where it is not proved that everything was given.
    Unproved,
}

impl DifferenceKind {
    /// Returns whether it is to be expected of an archive that is complete and was not changed.
    pub(crate) fn is_explained(self) -> bool {
        !matches!(self, Self::Missing | Self::NotGiven | Self::Changed | Self::Gap)
    }

    /// Says it to people.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "given now, and not in the archive",
            Self::NotGiven => "in the archive, and not given now",
            Self::Changed => "given now with other fields than in the archive, which no run has noted",
            Self::Revised => "given now with other fields than in the archive, as a run has noted",
            Self::Rejected => "given now, and kept in the rejected file",
            Self::NotSealed => "given now, and in the archive behind what is sealed",
            Self::Gap => "given now, of a time of which the archive says that it lacks something",
            Self::Late => "given now, not in the archive, and so new then that it may have come late",
            Self::Retention => "in the archive, and older than what the service keeps",
            Self::Unproved => "in the archive, and not given, which proves nothing here",
        }
    }
}

/// A record in which the archive and the service differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) kind: DifferenceKind,
    pub(crate) record: Identified,
    /// The id that the service gave, if it was given.
    pub(crate) id: Option<String>,
    /// Where it stands in the archive, if it does.
    pub(crate) place: Option<(String, u64)>,
}

/// What an hour comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HourState {
    /// There is no difference that is not explained.
    Same,
    Different,
    /// The service did not prove that it gave everything: that nothing differs cannot be said.
    Unproved,
    /// The archive has deleted its day for its age: nothing can be compared.
    Expired,
}

/// An hour that was asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ComparedHour {
    pub(crate) hour: Hour,
    pub(crate) state: HourState,
    /// How many records the service gave, the archive has, and are the same.
    pub(crate) given: u64,
    pub(crate) archived: u64,
    pub(crate) same: u64,
    pub(crate) differences: Vec<Difference>,
    /// Why it is not proved, or that its day has expired.
    pub(crate) reason: Option<String>,
}

/// What differences are explained by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From when on a record may have come late.
    pub(crate) late_from: DateTime<Utc>,
    /// From when on the service keeps records.
    pub(crate) kept_from: DateTime<Utc>,
}

/// Compares an hour.
pub(crate) fn compare(hour: Hour, given: &GivenHour, archived: &Archived, bounds: Bounds) -> ComparedHour {
    let nothing = Vec::new();
    let sealed = archived.sealed.get(&hour).unwrap_or(&nothing);
    // Each once, wherever it stands.
    let sealed: BTreeMap<u128, &SealedRecord> =
        sealed.iter().map(|line| (line.record.identity.content, line)).collect();
    let records: BTreeMap<u128, &GivenRecord> = given
        .records
        .iter()
        .map(|given| (given.record.identity.content, given))
        .collect();
    let mut compared = ComparedHour {
        hour,
        state: HourState::Same,
        given: records.len() as u64,
        archived: sealed.len() as u64,
        same: records.keys().filter(|content| sealed.contains_key(content)).count() as u64,
        differences: Vec::new(),
        reason: given.unproved.clone(),
    };
    if let Some(reason) = archived.expired.get(&hour.date()) {
        compared.state = HourState::Expired;
        compared.reason = Some(reason.clone());
        return compared;
    }
    let comparison = Comparison {
        archived,
        bounds,
        is_proved: given.unproved.is_none(),
        only_sealed: sealed
            .iter()
            .filter(|(content, _)| !records.contains_key(content))
            .map(|(_, line)| *line)
            .collect(),
        only_given: records
            .iter()
            .filter(|(content, _)| !sealed.contains_key(content))
            .map(|(_, given)| *given)
            .collect(),
    };
    compared.differences = comparison.differences();
    compared.state = if !compared
        .differences
        .iter()
        .all(|difference| difference.kind.is_explained())
    {
        HourState::Different
    } else if given.unproved.is_some() {
        HourState::Unproved
    } else {
        HourState::Same
    };
    compared
}

/// What only one side of an hour has.
struct Comparison<'a> {
    archived: &'a Archived,
    bounds: Bounds,
    is_proved: bool,
    only_sealed: Vec<&'a SealedRecord>,
    only_given: Vec<&'a GivenRecord>,
}

impl Comparison<'_> {
    fn differences(&self) -> Vec<Difference> {
        let mut paired = BTreeSet::new();
        let given = self.only_given.iter().map(|given| self.of_given(given, &mut paired));
        let mut differences: Vec<_> = given.collect();
        let alone = self
            .only_sealed
            .iter()
            .enumerate()
            .filter(|(index, _)| !paired.contains(index));
        differences.extend(alone.map(|(_, line)| self.of_sealed(line)));
        differences.sort_by_key(|difference| (difference.kind, difference.record.time));
        differences
    }

    /// Says why a record is given and not in the archive. Where that has another one with its id and time, they are a pair.
    fn of_given(&self, given: &GivenRecord, paired: &mut BTreeSet<usize>) -> Difference {
        let Identified { time, identity } = given.record;
        let is_pair = |line: &SealedRecord| {
            identity.has_id() && line.record.time == time && line.record.identity.mark == identity.mark
        };
        let mut lines = self.only_sealed.iter().enumerate();
        let pair = lines.find(|(index, line)| !paired.contains(index) && is_pair(line));
        let kind = match pair {
            _ if self.archived.unsealed.contains(&identity.content) => DifferenceKind::NotSealed,
            Some(_) if self.archived.revised.has(identity.content) => DifferenceKind::Revised,
            Some(_) => DifferenceKind::Changed,
            None if self.archived.rejected.has(identity.content) => DifferenceKind::Rejected,
            None if self.is_lacking(time) => DifferenceKind::Gap,
            None if time >= self.bounds.late_from => DifferenceKind::Late,
            None => DifferenceKind::Missing,
        };
        let is_of_a_pair = matches!(kind, DifferenceKind::Revised | DifferenceKind::Changed);
        let pair = pair.filter(|_| is_of_a_pair);
        paired.extend(pair.map(|(index, _)| index));
        Difference {
            kind,
            record: given.record,
            id: given.id.clone(),
            place: pair.map(|(_, line)| (line.file.clone(), line.line)),
        }
    }

    /// Returns whether the journal says that not everything was fetched of this time.
    fn is_lacking(&self, time: DateTime<Utc>) -> bool {
        let spans = self.archived.covered.as_ref().map(|covered| covered.spans());
        spans.is_some_and(|spans| !spans.iter().any(|span| span.from <= time && time <= span.to))
    }

    fn of_sealed(&self, line: &SealedRecord) -> Difference {
        let kind = if line.record.time < self.bounds.kept_from {
            DifferenceKind::Retention
        } else if self.is_proved {
            DifferenceKind::NotGiven
        } else {
            DifferenceKind::Unproved
        };
        Difference {
            kind,
            record: line.record,
            id: None,
            place: Some((line.file.clone(), line.line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Covered;
    use crate::record::Identity;
    use crate::window::Window;

    fn at(minute: u32) -> DateTime<Utc> {
        format!("2026-11-20T10:{minute:02}:00Z").parse().unwrap()
    }

    fn record(minute: u32, content: u128) -> Identified {
        let mark = 1_000 + u128::from(minute);
        Identified {
            time: at(minute),
            identity: Identity { content, mark },
        }
    }

    fn given(records: &[Identified]) -> GivenHour {
        let records = records.iter().map(|record| GivenRecord {
            record: *record,
            id: Some(record.identity.content.to_string()),
        });
        GivenHour {
            records: records.collect(),
            unproved: None,
        }
    }

    fn archived(records: &[Identified]) -> Archived {
        let lines = records.iter().zip(1..).map(|(record, line)| SealedRecord {
            record: *record,
            file: "tfc_2026-11-20.log".to_owned(),
            line,
        });
        let mut covered = Covered::default();
        covered.add(Window::new(at(0), at(50)));
        Archived {
            sealed: BTreeMap::from([(Hour::of(at(0)), lines.collect())]),
            covered: Some(covered),
            ..Archived::default()
        }
    }

    fn bounds() -> Bounds {
        Bounds {
            late_from: at(40),
            kept_from: at(2),
        }
    }

    fn kinds(compared: &ComparedHour) -> Vec<DifferenceKind> {
        compared.differences.iter().map(|difference| difference.kind).collect()
    }

    fn compared(given: &GivenHour, archived: &Archived) -> ComparedHour {
        compare(Hour::of(at(0)), given, archived, bounds())
    }

    #[test]
    fn the_same_records_are_no_difference_in_whatever_order_and_however_often() {
        let records = [record(5, 1), record(6, 2), record(5, 3)];
        let found = compared(
            &given(&[records[2], records[0], records[1], records[0]]),
            &archived(&[records[0], records[1], records[1], records[2]]),
        );
        assert_eq!(
            (found.state, found.given, found.archived, found.same),
            (HourState::Same, 3, 3, 3)
        );
        assert_eq!(kinds(&found), []);
    }

    #[test]
    fn differences_are_named_in_both_directions() {
        let found = compared(
            &given(&[record(5, 1), record(6, 2)]),
            &archived(&[record(5, 1), record(7, 3)]),
        );
        assert_eq!(kinds(&found), [DifferenceKind::Missing, DifferenceKind::NotGiven]);
        assert_eq!(found.state, HourState::Different);
        assert_eq!(found.differences[0].id.as_deref(), Some("2"));
        assert_eq!(found.differences[1].place, Some(("tfc_2026-11-20.log".to_owned(), 2)));
    }

    #[test]
    fn what_a_complete_archive_may_lack_or_have_more_is_told_apart() {
        let lacking = |minute| compared(&given(&[record(minute, 1)]), &archived(&[]));
        assert_eq!(kinds(&lacking(39)), [DifferenceKind::Missing]);
        assert_eq!(kinds(&lacking(40)), [DifferenceKind::Late]);
        assert_eq!(kinds(&lacking(51)), [DifferenceKind::Gap]);
        assert_eq!(
            (lacking(40).state, lacking(51).state),
            (HourState::Same, HourState::Different)
        );
        let more = |minute| compared(&given(&[]), &archived(&[record(minute, 1)]));
        assert_eq!(kinds(&more(1)), [DifferenceKind::Retention]);
        assert_eq!(kinds(&more(2)), [DifferenceKind::NotGiven]);
        let mut unsealed = archived(&[]);
        unsealed.unsealed.insert(1);
        assert_eq!(
            kinds(&compared(&given(&[record(5, 1)]), &unsealed)),
            [DifferenceKind::NotSealed]
        );
    }

    #[test]
    fn other_fields_of_the_same_record_are_one_difference_and_twins_are_none() {
        let found = compared(&given(&[record(5, 2)]), &archived(&[record(5, 1)]));
        assert_eq!(kinds(&found), [DifferenceKind::Changed]);
        assert_eq!(found.state, HourState::Different);
        // An id alone makes no two records the same.
        let twins = [record(5, 1), record(5, 2)];
        assert_eq!(
            kinds(&compared(&given(&twins), &archived(&twins[..1]))),
            [DifferenceKind::Missing]
        );
        let other = [record(5, 3), record(5, 4)];
        assert_eq!(
            kinds(&compared(&given(&other), &archived(&twins))),
            [DifferenceKind::Changed; 2]
        );
    }

    #[test]
    fn of_an_hour_that_is_not_proved_nothing_is_said_to_be_the_same_or_not_given() {
        let unproved = GivenHour {
            unproved: Some("no answer".to_owned()),
            ..given(&[])
        };
        let found = compared(&unproved, &archived(&[record(5, 1)]));
        assert_eq!(
            (found.state, kinds(&found)),
            (HourState::Unproved, vec![DifferenceKind::Unproved])
        );
        let unproved = GivenHour {
            unproved: Some("no answer".to_owned()),
            ..given(&[record(6, 2)])
        };
        let found = compared(&unproved, &archived(&[]));
        assert_eq!(
            (found.state, kinds(&found)),
            (HourState::Different, vec![DifferenceKind::Missing])
        );
    }

    #[test]
    fn an_hour_of_an_expired_day_is_not_compared() {
        let mut expired = archived(&[]);
        expired
            .expired
            .insert(at(0).date_naive(), "older than 90 days".to_owned());
        let found = compared(&given(&[record(5, 1)]), &expired);
        assert_eq!((found.state, kinds(&found)), (HourState::Expired, vec![]));
    }
}
