//! What a record is on its way from a service into a line, and when two are the same.

use std::fs;

use serde_json::Value;
use trailkeeper::sandbox::{Api, Event};

use super::support::{Catalog, at, base_name, event, events, serve, streams};

/// Fields of a record, as a service may write them: what is kept digit for digit and letter for letter, and what is not.
const GIVEN: &str = concat!(
    r#""dec":1.10 ,  "big":1234567890123456789012345678901234567890,"huge":1e400,"zero":-0.0,"exp":1E+5,"#,
    "\t\"nested\" : { \"z\":[ ] ,\"a\":{ }},\n",
    r#""text":"\u00e9\/\u0441 \ud83d\ude00","half":"\ud83d","ctl":"\u0000\u001f\u007f\b\f\n\r\t\"\\","#,
    "\"raw\":\"é 😀\u{2028}\u{2029}\",\"again\":1,\"dup\":1,\"dup\":1.0",
);

/// The same as Python's `json.dumps(record, ensure_ascii=False)` writes it, but for the numbers, which stay as they are.
const KEPT: &str = concat!(
    r#""dec": 1.10, "big": 1234567890123456789012345678901234567890, "huge": 1e400, "zero": -0.0, "exp": 1E+5, "#,
    r#""nested": {"z": [], "a": {}}, "#,
    "\"text\": \"é/с 😀\", ",
    r#""half": "\ud83d", "ctl": "\u0000\u001f"#,
    "\u{7f}",
    r#"\b\f\n\r\t\"\\", "#,
    "\"raw\": \"é 😀\u{2028}\u{2029}\", \"again\": 1, \"dup\": 1, \"dup\": 1.0",
);

/// A record of the service with these fields at its end.
fn with_fields(api: Api, id: &str, fields: &str) -> Event {
    let mut event = event(api, at(60), id);
    event.text = format!("{}, {fields}}}", event.text.strip_suffix('}').unwrap());
    event
}

#[test]
fn a_record_is_kept_as_it_was_given_in_one_line_of_the_documented_form() {
    for (kind, api) in streams() {
        let sandbox = serve(|options| options.give(api, vec![with_fields(api, "1", GIVEN)]));
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect(0, &[]);
        let lines = catalog.lines(api);
        assert_eq!(lines.len(), 1, "{}", kind.name);
        assert!(
            lines[0].ends_with(&format!(", {KEPT}}}")),
            "{}: {}",
            kind.name,
            lines[0]
        );
        let before = catalog.tree();
        catalog.collect(0, &[]);
        catalog.assert_nothing_added(&before);
    }
}

#[test]
fn a_record_that_is_there_in_another_spelling_is_not_repeated() {
    for (kind, api) in streams() {
        let given = with_fields(api, "1", r#""a":{"x":1,"y":"é"},"b":2.50"#);
        let (start, _) = given.text.split_once(", \"a\"").unwrap();
        // Another order of keys, other escapes, another spacing, other digits for the same number.
        let there = format!(
            r#"{{"b" : 2.5,"a":{{ "y":"\u00e9","x":1.0}},{}}}"#,
            start.strip_prefix('{').unwrap()
        );
        let sandbox = serve(|options| options.give(api, vec![given.clone()]));
        let catalog = Catalog::of(&sandbox, &[api]);
        let name = format!("{}_{}.log", base_name(api), given.time.date_naive());
        fs::write(catalog.folder(api).join(&name), there + "\n").unwrap();
        let summary = catalog.collect_one(0, &[]);
        // Without a journal it is asked for with what is new, and again with all that the archive holds.
        assert_eq!(
            (&summary["appended"], &summary["duplicates"]),
            (&0.into(), &2.into()),
            "{}: {summary}",
            kind.name
        );
    }
}

#[test]
fn an_id_that_turns_out_not_to_be_unique_costs_no_record() {
    for (kind, api) in streams() {
        let twins = vec![with_fields(api, "same", "\"n\":1"), with_fields(api, "same", "\"n\":2")];
        let sandbox = serve(|options| options.give(api, twins));
        let catalog = Catalog::of(&sandbox, &[api]);
        let summary = catalog.collect_one(0, &[]);
        let (kept, noted) = (catalog.lines(api).len(), catalog.rejected(api).len());
        // Where the id alone says which record it is, the second one is put aside with the reason, not dropped.
        assert_eq!(kept + noted, 2, "{}: {summary}", kind.name);
        let before = catalog.tree();
        catalog.collect(0, &[]);
        catalog.assert_nothing_added(&before);
    }
}

#[test]
fn what_a_run_adds_stands_in_the_order_of_time() {
    for (kind, api) in streams() {
        let sandbox = serve(|options| {
            let events = (0..250)
                .map(|n| event(api, at(300 + n * 7), &format!("{n:03}")))
                .collect();
            let mut options = options.give(api, events);
            options[api].unsorted = true;
            options
        });
        let catalog = Catalog::of(&sandbox, &[api]).with("PORT_PAGE_LIMIT", 40);
        catalog.collect(0, &[]);
        catalog.assert_holds(api, &sandbox.events(api));
        let ids: Vec<String> = catalog.lines(api).iter().map(|line| number_in(line)).collect();
        assert!(ids.is_sorted_by(|one, next| one >= next), "{}: {ids:?}", kind.name);
    }
}

/// The id of one of the records above: the only string of three digits in it.
fn number_in(line: &str) -> String {
    let is_number = |part: &&str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    line.split('"').find(is_number).unwrap().to_owned()
}

#[test]
fn a_record_that_is_not_json_is_set_aside_once_as_it_came_and_the_others_are_filed() {
    let api = Api::Mail;
    let when = at(60);
    let broken = "{\"date\":\"2025-06-09T10:00:00Z\",\"uniqId\":NaN,\"subject\":\"tab\there \\x \"}";
    let others = events(api, 20, 30);
    let sandbox = serve(|options| {
        let given = others.iter().cloned().chain([Event::new(when, "broken", broken)]);
        options.give(api, given.collect())
    });
    let catalog = Catalog::of(&sandbox, &[api]);
    let first = catalog.collect_one(0, &[]);
    let second = catalog.collect_one(0, &["--since", "1h"]);
    let counts = |summary: &Value| {
        ["received", "appended", "duplicates", "rejected", "repaired"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(counts(&first), [21, 20, 0, 1, 1]);
    // Once with what is new, and once with the range.
    assert_eq!(counts(&second), [42, 0, 42, 0, 0]);
    catalog.assert_holds(api, &others);
    let notes = catalog.rejected(api);
    assert_eq!((notes.len(), &notes[0]["record"]), (1, &broken.into()));
    let reason = notes[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("not JSON: "), "{reason}");
    assert_eq!(catalog.run(&["verify"]).code, 0);
    for (catalog, expected) in [(Catalog::of(&sandbox, &[api]), true), (catalog, false)] {
        let run = catalog.run(&["collect"]);
        assert_eq!(
            run.stdout.contains("yandex-mail: 1 repaired: not JSON"),
            expected,
            "{}",
            run.stdout
        );
    }
}
