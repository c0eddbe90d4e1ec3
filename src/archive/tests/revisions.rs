//! The same event, seen again with other fields: kept once beside the day files, and no event is lost or filed twice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::test_support::random::cases;

const DAY: &str = "2025-06-09";

/// A record of ten o'clock with this id and these further fields.
fn with(id: &str, fields: &str) -> Record {
    let json = format!(r#"{{"id": "{id}", "timestamp": "2025-06-09T10:00:00Z", {fields}}}"#);
    Record::read(&json, &SHAPE).unwrap()
}

/// How many records of a run were filed, known, and noted as revisions.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    filed: u64,
    duplicates: u64,
    revisions: u64,
    newly_noted: u64,
}

impl Ran {
    fn of(filed: u64, duplicates: u64, revisions: u64, newly_noted: u64) -> Self {
        Self {
            filed,
            duplicates,
            revisions,
            newly_noted,
        }
    }
}

impl Catalog {
    /// A run in which the service gives these records, range by range.
    fn run_with<const N: usize>(&self, ranges: [Vec<Record>; N]) -> Ran {
        let mut archive = self.open();
        let mut ran = Ran::of(0, 0, 0, 0);
        for records in ranges {
            let deduplicated = archive.deduplicate_all(records).unwrap();
            ran.duplicates += deduplicated.duplicates;
            ran.revisions += deduplicated.revisions.len() as u64;
            ran.newly_noted += archive.note_revisions(&deduplicated.revisions, now()).unwrap().records;
            ran.filed += archive.append_all(deduplicated.new).unwrap().records;
        }
        ran
    }

    fn revised_notes(&self) -> String {
        fs::read_to_string(self.location.state_file("revised.jsonl")).unwrap_or_default()
    }
}

#[test]
fn a_revision_is_noted_once_with_its_reason_and_not_filed() {
    let catalog = Catalog::with_state_folder();
    let (before, after) = (with("a", r#""user": "old""#), with("a", r#""user": "new""#));
    assert_eq!(catalog.run_with([vec![before]]), Ran::of(1, 0, 0, 0));
    let text = catalog.text(DAY);
    assert_eq!(catalog.run_with([vec![after.clone()]]), Ran::of(0, 0, 1, 1));
    assert_eq!(catalog.run_with([vec![after.clone()]]), Ran::of(0, 0, 1, 0));
    assert_eq!(catalog.text(DAY), text);
    let expected = format!(
        "{{\"noted_at\": \"2026-01-01T00:00:00.000Z\", \"reason\": \"same id and time as an archived record, with other fields\", \"record\": {}}}\n",
        after.line
    );
    assert_eq!(catalog.revised_notes(), expected);
    assert_eq!(catalog.rejected_notes(), "");
    assert_eq!(Noted::revised(&catalog.location).unwrap().records(), 1);
}

#[test]
fn a_dry_run_finds_the_same_and_notes_nothing() {
    let catalog = Catalog::with_state_folder();
    catalog.run_with([vec![with("a", r#""n": 1"#)]]);
    let mut archive = catalog.dry_run();
    for _ in 0..2 {
        let deduplicated = archive
            .deduplicate_all(vec![with("a", r#""n": 2"#), with("b", r#""n": 2"#)])
            .unwrap();
        assert_eq!(deduplicated.revisions.len(), 1);
        archive.note_revisions(&deduplicated.revisions, now()).unwrap();
        archive.append_all(deduplicated.new).unwrap();
        archive.known.forget_before(chrono::NaiveDate::MAX);
    }
    assert_eq!(catalog.revised_notes(), "");
}

#[test]
fn another_time_or_no_id_makes_a_new_event() {
    let catalog = Catalog::with_state_folder();
    let no_id = |n: u8| {
        let json = format!(r#"{{"timestamp": "2025-06-09T10:00:00Z", "n": {n}}}"#);
        Record::read(&json, &SHAPE).unwrap()
    };
    catalog.run_with([vec![record("a", "2025-06-09T10:00:00Z"), no_id(1)]]);
    let came = vec![record("a", "2025-06-09T10:00:00.001Z"), no_id(2)];
    assert_eq!(catalog.run_with([came]), Ran::of(2, 0, 0, 0));
}

#[test]
fn a_field_that_is_added_to_all_records_files_none_of_them_again() {
    let catalog = Catalog::with_state_folder();
    let all = |more: &str| -> Vec<Record> {
        // Every other event shares its id with two more.
        let of = |n: u32| {
            let id = if n.is_multiple_of(2) {
                n.to_string()
            } else {
                (n / 6).to_string() + "x"
            };
            with(&id, &format!(r#""n": {n}{more}"#))
        };
        (0..600).map(of).collect()
    };
    assert_eq!(catalog.run_with([all("")]), Ran::of(600, 0, 0, 0));
    let added = r#", "added": {"one": null, "two": []}"#;
    assert_eq!(catalog.run_with([all(added)]), Ran::of(0, 0, 600, 600));
    // With a new event among those of one id.
    let mut came = all(added);
    came.push(with("1x", r#""n": 700, "added": {"one": 1, "two": []}"#));
    assert_eq!(catalog.run_with([came]), Ran::of(1, 0, 600, 0));
}

#[test]
fn ids_that_are_not_unique_cost_no_event() {
    let events = || {
        [1, 2, 3]
            .map(|n| with("a", &format!(r#""n": {n}, "user": "old""#)))
            .to_vec()
    };
    // All at once; then also one of them renamed.
    let catalog = Catalog::with_state_folder();
    assert_eq!(catalog.run_with([events()]), Ran::of(3, 0, 0, 0));
    assert_eq!(catalog.run_with([events()]), Ran::of(0, 3, 0, 0));
    let mut renamed = events();
    renamed[1] = with("a", r#""n": 2, "user": "new""#);
    assert_eq!(catalog.run_with([renamed]), Ran::of(0, 2, 1, 1));
    // The third one later, with the first two.
    let catalog = Catalog::with_state_folder();
    assert_eq!(catalog.run_with([events()[..2].to_vec()]), Ran::of(2, 0, 0, 0));
    assert_eq!(catalog.run_with([events()]), Ran::of(1, 2, 0, 0));
    // The third one later, while one of the first two is renamed.
    let catalog = Catalog::with_state_folder();
    catalog.run_with([events()[..2].to_vec()]);
    let third = with("a", r#""n": 3, "user": "else""#);
    let came = vec![with("a", r#""n": 1, "user": "new""#), events()[1].clone(), third];
    assert_eq!(catalog.run_with([came]), Ran::of(1, 1, 1, 1));
    // All of them renamed at once, by what they had in common.
    let catalog = Catalog::with_state_folder();
    catalog.run_with([events()]);
    let renamed = [3, 1, 2].map(|n| with("a", &format!(r#""n": {n}, "user": "new""#)));
    assert_eq!(catalog.run_with([renamed.to_vec()]), Ran::of(0, 0, 3, 3));
}

#[test]
fn what_cannot_be_told_apart_is_filed() {
    let catalog = Catalog::with_state_folder();
    catalog.run_with([vec![with("a", r#""n": 1"#)]]);
    // One of the two may be the first one, changed: filed twice rather than never.
    let came = || vec![with("a", r#""n": 2"#), with("a", r#""n": 3"#)];
    assert_eq!(catalog.run_with([came()]), Ran::of(2, 0, 0, 0));
    // The first one is an older version by now. It makes no revision of another event.
    let mut more = came();
    more.push(with("a", r#""n": 4, "more": true"#));
    assert_eq!(catalog.run_with([more]), Ran::of(1, 2, 0, 0));
}

#[test]
fn more_records_of_one_id_and_time_than_are_compared_are_filed() {
    let catalog = Catalog::with_state_folder();
    let many = |user: &str| -> Vec<Record> {
        (0..300)
            .map(|n| with("a", &format!(r#""n": {n}, "user": "{user}""#)))
            .collect()
    };
    assert_eq!(catalog.run_with([many("old")]), Ran::of(300, 0, 0, 0));
    assert_eq!(catalog.run_with([many("new")]), Ran::of(300, 0, 0, 0));
    assert_eq!(catalog.run_with([many("new")]), Ran::of(0, 300, 0, 0));
}

#[test]
fn what_a_later_range_brings_of_a_moment_is_no_revision_of_what_an_earlier_one_brought() {
    let (first, second, third) = (with("a", r#""n": 1"#), with("a", r#""n": 2"#), with("a", r#""n": 3"#));
    // A range holds nothing that an earlier one of the same run had, and so it cannot show that that is still there.
    let catalog = Catalog::with_state_folder();
    let ran = catalog.run_with([vec![first.clone()], vec![second.clone()]]);
    assert_eq!(ran, Ran::of(2, 0, 0, 0));
    let catalog = Catalog::with_state_folder();
    catalog.run_with([vec![first.clone()]]);
    assert_eq!(
        catalog.run_with([vec![first.clone()], vec![second.clone()]]),
        Ran::of(1, 1, 0, 0)
    );
    // A revision that comes again with a later range stays one.
    let catalog = Catalog::with_state_folder();
    catalog.run_with([vec![first.clone()]]);
    assert_eq!(
        catalog.run_with([vec![second.clone()], vec![second.clone()]]),
        Ran::of(0, 0, 2, 1)
    );
    // Nor is anything a revision of what was revised by an earlier range.
    let catalog = Catalog::with_state_folder();
    catalog.run_with([vec![first]]);
    assert_eq!(catalog.run_with([vec![second], vec![third]]), Ran::of(1, 0, 1, 1));
}

#[test]
fn a_revision_that_finds_no_partner_any_more_is_filed() {
    let catalog = Catalog::with_state_folder();
    catalog.run_with([vec![with("a", r#""n": 1"#)]]);
    let other = with("a", r#""n": 2"#);
    assert_eq!(catalog.run_with([vec![other.clone()]]), Ran::of(0, 0, 1, 1));
    // The service gives both: they are two events.
    let both = vec![with("a", r#""n": 1"#), other];
    assert_eq!(catalog.run_with([both]), Ran::of(1, 1, 0, 0));
}

#[test]
fn lines_around_that_are_no_records_change_nothing() {
    let lines = [
        b"\xff\n\n{\"id\": \"a\"\n".to_vec(),
        b"{\"id\": \"a\", \"timestamp\": \"2025-06-09T10:00:00Z\", \"n\": \"\\ud83d\"}\n".to_vec(),
        b"torn".to_vec(),
    ];
    let catalog = Catalog::with_state_folder();
    fs::write(catalog.path(DAY), lines.concat()).unwrap();
    assert_eq!(catalog.run_with([vec![with("a", r#""n": 1"#)]]), Ran::of(0, 0, 1, 1));
}

/// An event of the model: which group it belongs to, what tells it from the others there, and how often it was renamed.
#[derive(Clone, Debug)]
struct ModelEvent {
    group: u8,
    number: usize,
    name: u32,
}

impl ModelEvent {
    /// Three values tell events of a group apart; a name is one value.
    fn line(&self) -> String {
        let Self { group, number, name } = self;
        format!(
            r#"{{"id": "{group}", "timestamp": "2025-06-09T1{group}:00:00Z", "n": {number}, "to": "to-{number}", "subject": "about {number}", "user": "{name}"}}"#
        )
    }
}

/// What happens between two runs.
#[derive(Clone, Debug)]
enum Change {
    /// An event of this group, of which there are few, appears.
    Appears(u8),
    /// This event is renamed.
    Renamed(usize),
    /// All are.
    AllRenamed,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0_u8..4).prop_map(Change::Appears),
        3 => any::<usize>().prop_map(Change::Renamed),
        1 => Just(Change::AllRenamed),
    ]
}

#[derive(Default)]
struct Model {
    events: Vec<ModelEvent>,
    /// Every version that the service has given.
    given: BTreeSet<String>,
}

impl Model {
    fn change(&mut self, change: &Change) {
        let count = self.events.len();
        match change {
            Change::Appears(group) => self.events.push(ModelEvent {
                group: *group,
                number: count,
                name: 0,
            }),
            Change::Renamed(place) if count > 0 => self.events[place % count].name += 1,
            Change::Renamed(_) => {}
            Change::AllRenamed => self.events.iter_mut().for_each(|event| event.name += 1),
        }
    }

    fn run(&mut self, catalog: &Catalog, shift: usize) {
        let mut lines: Vec<String> = self.events.iter().map(ModelEvent::line).collect();
        self.given.extend(lines.iter().cloned());
        let middle = shift % lines.len().max(1);
        lines.rotate_left(middle);
        let records = lines.iter().map(|line| Record::read(line, &SHAPE).unwrap());
        catalog.run_with([records.collect()]);
    }

    /// Checks the day file and the revised file.
    fn check(&self, catalog: &Catalog) -> Result<(), TestCaseError> {
        let text = fs::read_to_string(catalog.path(DAY)).unwrap_or_default();
        let filed: Vec<&str> = text.lines().collect();
        let notes = catalog.revised_notes();
        for version in &self.given {
            prop_assert!(
                filed.contains(&version.as_str()) || notes.contains(version.as_str()),
                "lost: {version}"
            );
        }
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for line in &filed {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            *counts.entry(record["n"].as_u64().unwrap()).or_default() += 1;
        }
        for number in 0..self.events.len() as u64 {
            // Names differ in one value and events in three, so that no group is ambiguous.
            prop_assert_eq!(counts.get(&number), Some(&1), "event {}", number);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn every_event_is_filed_once_and_every_version_of_it_kept(
        runs in prop::collection::vec((prop::collection::vec(change(), 0..6), any::<usize>()), 1..8),
    ) {
        let catalog = Catalog::with_state_folder();
        let mut model = Model::default();
        for (changes, shift) in &runs {
            changes.iter().for_each(|change| model.change(change));
            model.run(&catalog, *shift);
            model.check(&catalog)?;
        }
    }

    #[test]
    fn in_groups_that_are_ambiguous_no_version_is_lost_and_what_is_filed_once_stays_so(
        runs in prop::collection::vec(prop::collection::vec((0_u8..3, 0_u8..3, 0_u8..3), 1..8), 1..6),
    ) {
        let catalog = Catalog::with_state_folder();
        for values in &runs {
            let records = || values.iter().map(|(id, one, other)| with(&id.to_string(), &format!(r#""a": {one}, "b": {other}"#)));
            catalog.run_with([records().collect()]);
            let kept = catalog.text(DAY) + &catalog.revised_notes();
            for record in records() {
                prop_assert!(kept.contains(&*record.line));
            }
            let text = catalog.text(DAY);
            let lines: Vec<_> = text.lines().collect();
            prop_assert_eq!(lines.len(), lines.iter().collect::<BTreeSet<_>>().len());
            let again = catalog.run_with([records().collect()]);
            prop_assert_eq!((again.filed, again.newly_noted), (0, 0));
        }
    }
}
