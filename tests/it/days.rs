//! Which day file a record goes to, and what goes to none.

use std::fs;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde_json::Value;
use trailkeeper::sandbox::{Api, Event};

use super::support::{Catalog, at, base_name, event, now, run_inside, serve, streams};

/// Midnight UTC between the day before yesterday and yesterday.
fn midnight() -> DateTime<Utc> {
    (now().date_naive() - TimeDelta::days(1))
        .and_hms_opt(0, 0, 0)
        .unwrap()
        .and_utc()
}

#[test]
fn records_around_midnight_go_to_the_files_of_their_own_utc_days_and_the_overlap_repeats_nothing() {
    let around = |api| -> Vec<Event> {
        let offsets = [-3_600_000, -60_000, -1, 0, 1, 30_000, 60_000, 3_600_000];
        offsets
            .iter()
            .map(|ms| event(api, midnight() + TimeDelta::milliseconds(*ms), &format!("m{ms}")))
            .collect()
    };
    let sandbox = serve(|options| {
        streams()
            .into_iter()
            .fold(options, |all, (_, api)| all.give(api, around(api)))
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    // Each run begins two minutes before the last record, and so on the other side of midnight.
    for (seconds, held) in [(0, 4), (1, 5), (45, 6), (90, 7), (7200, 8)] {
        let until = (midnight() + TimeDelta::seconds(seconds)).to_rfc3339();
        catalog.collect(0, &["--until", &until]);
        for (kind, api) in streams() {
            let expected: Vec<Event> = sandbox.events(api).into_iter().take(held).collect();
            catalog.assert_holds(api, &expected);
            assert_eq!(catalog.day_files(api).len(), 2, "{}", kind.name);
        }
    }
}

#[test]
fn a_time_with_an_offset_is_filed_under_its_utc_day() {
    let sandbox = serve(|options| {
        let local = (midnight() - TimeDelta::minutes(30)).with_timezone(&chrono::FixedOffset::east_opt(7200).unwrap());
        let text = format!(r#"{{"identifier":"x","trigger":{{"at":"{}"}}}}"#, local.to_rfc3339());
        options.give(
            Api::Port,
            vec![Event::new(midnight() - TimeDelta::minutes(30), "x", text)],
        )
    });
    let catalog = Catalog::of(&sandbox, &[Api::Port]);
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
}

/// What a service gives as one of its records although it is none that can be filed.
fn odd(api: Api) -> Vec<Event> {
    let early = event(api, "1999-12-31T23:59:59.999Z".parse().unwrap(), "early").text;
    let far = event(api, at(-86_400 * 400), "far").text;
    let unreadable = event(api, at(60), "unreadable")
        .text
        .replace(&at(60).year().to_string(), "yesterday");
    let texts = [
        "null",
        "7",
        "\"text\"",
        "[]",
        "[{}]",
        "{}",
        r#"{"date":5,"trigger":{"at":null},"timestamp":{}}"#,
        &early,
        &far,
        &unreadable,
        r#"{"date":"../../etc/passwd","trigger":{"at":"../../x"},"timestamp":"../x"}"#,
    ];
    texts
        .iter()
        .enumerate()
        .map(|(n, text)| Event::new(at(60), format!("odd-{n}"), *text))
        .collect()
}

#[test]
fn what_cannot_be_filed_is_noted_once_with_its_reason_and_stops_nothing() {
    // As many as the odd ones, which would be another form if they were the most.
    let good = |api| (0..odd(api).len() as i64).map(move |n: i64| event(api, at(60), &format!("good-{n}")));
    let sandbox = serve(|options| {
        streams().into_iter().fold(options, |all, (_, api)| {
            all.give(api, good(api).chain(odd(api)).collect())
        })
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let first = catalog.run(&["--json"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let noted: Vec<Vec<Value>> = streams().iter().map(|(_, api)| catalog.rejected(*api)).collect();
    let second = catalog.run(&["--json"]);
    for ((kind, api), noted) in streams().into_iter().zip(noted) {
        let kept: Vec<Event> = sandbox
            .events(api)
            .into_iter()
            .filter(|event| !event.id.starts_with("odd"))
            .collect();
        catalog.assert_holds(api, &kept);
        assert_eq!(
            first.summary()[kind.name]["rejected"],
            odd(api).len(),
            "{}",
            first.stdout
        );
        assert_eq!(noted.len(), odd(api).len());
        for note in &noted {
            assert!(
                note["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
                "{note}"
            );
        }
        let records: Vec<&Value> = noted.iter().map(|note| &note["record"]).collect();
        assert!(
            records.contains(&&Value::Null) && records.contains(&&7.into()),
            "{records:?}"
        );
        let warned = first
            .stderr
            .lines()
            .any(|line| line.contains(" WARNING:\t") && line.contains(kind.name));
        assert!(warned, "{}", first.stderr);
        assert_eq!(
            second.summary()[kind.name]["rejected"],
            0,
            "noted once, however often it is fetched"
        );
        assert_eq!(catalog.rejected(api), noted);
    }
}

#[tokio::test]
async fn a_record_newer_than_the_run_is_left_for_the_next_one_and_is_not_rejected() {
    let begun = at(0);
    let ahead = begun + TimeDelta::seconds(120 + 60);
    // The services select it by another time than it shows, as one whose clocks differ would.
    let sandbox = serve(|options| {
        streams().into_iter().fold(options, |all, (_, api)| {
            let future = Event::new(at(30), "ahead", event(api, ahead, "ahead").text);
            all.give(api, vec![event(api, at(40), "past"), future])
        })
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    for (seconds, left, appended) in [(0, 1, 1), (30, 1, 0), (59, 1, 0), (60, 0, 1), (61, 0, 0)] {
        let now = begun + TimeDelta::seconds(seconds);
        let summary = run_inside(&catalog, now).await;
        for (kind, api) in streams() {
            let stream = &summary[kind.name];
            let counts = (&stream["rejected"], &stream["left_for_next_run"], &stream["appended"]);
            assert_eq!(
                counts,
                (&0.into(), &left.into(), &appended.into()),
                "after {seconds} s: {stream}"
            );
            // It is filed, and yet nothing is taken to be complete up to it.
            let last: DateTime<Utc> = stream["last_record"].as_str().unwrap().parse().unwrap();
            assert!(last <= now, "after {seconds} s: {stream}");
            let mut held = sandbox.events(api);
            held[1].time = ahead;
            held.truncate(if seconds < 60 { 1 } else { 2 });
            catalog.assert_holds(api, &held);
            assert_eq!(catalog.rejected(api), [Value::Null; 0]);
        }
    }
    for (_, api) in streams() {
        sandbox.add(api, vec![event(api, begun, "behind")]);
    }
    let summary = run_inside(&catalog, begun + TimeDelta::seconds(62)).await;
    for (kind, _) in streams() {
        assert_eq!(summary[kind.name]["appended"], 1, "{}", summary[kind.name]);
    }
}

#[tokio::test]
async fn a_record_more_than_a_day_ahead_is_rejected_once_and_filed_when_its_time_has_come() {
    let begun = at(0);
    let ahead = begun + TimeDelta::seconds(86_400 + 120 + 60);
    let sandbox = serve(|options| {
        let future = Event::new(at(30), "ahead", event(Api::Tfc, ahead, "ahead").text);
        options.give(Api::Tfc, vec![event(Api::Tfc, at(40), "past"), future])
    });
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let expected = [
        (0, 1, 0, 1),
        (59, 0, 0, 0),
        (60, 0, 1, 0),
        (86_400 + 59, 0, 1, 0),
        (86_400 + 60, 0, 0, 1),
    ];
    for (seconds, rejected, left, appended) in expected {
        let stream = &run_inside(&catalog, begun + TimeDelta::seconds(seconds)).await["tfc"];
        let counts = (&stream["rejected"], &stream["left_for_next_run"], &stream["appended"]);
        assert_eq!(
            counts,
            (&rejected.into(), &left.into(), &appended.into()),
            "after {seconds} s: {stream}"
        );
    }
}

#[test]
fn a_file_or_line_dated_in_the_future_does_not_hide_what_lies_before_it() {
    for (kind, api) in streams() {
        let sandbox = serve(|options| options.give(api, vec![event(api, at(400), "1"), event(api, at(300), "2")]));
        let catalog = Catalog::of(&sandbox, &[api]);
        let tomorrow = format!("{}_{}.log", base_name(api), now().date_naive() + TimeDelta::days(1));
        let line = event(api, now() + TimeDelta::days(1), "tomorrow").text + "\n";
        fs::write(catalog.folder(api).join(&tomorrow), &line).unwrap();
        let today = format!("{}_{}.log", base_name(api), at(350).date_naive());
        let ahead = event(api, now() + TimeDelta::minutes(30), "ahead").text + "\n";
        fs::write(catalog.folder(api).join(&today), &ahead).unwrap();
        let summary = catalog.collect_one(0, &[]);
        assert_eq!(summary["appended"], 2, "{}: {summary}", kind.name);
        let files = catalog.day_files(api);
        assert_eq!(files[&tomorrow], line.as_bytes());
        assert!(files[&today].starts_with(ahead.as_bytes()));
        assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
    }
}

#[test]
fn an_empty_newest_file_falls_back_to_the_one_before_and_a_broken_line_is_skipped_with_a_warning() {
    for (kind, api) in streams() {
        let sandbox = serve(|options| {
            options.give(
                api,
                vec![
                    event(api, at(86_400 * 3), "old"),
                    event(api, at(86_400 * 2), "2"),
                    event(api, at(300), "3"),
                ],
            )
        });
        let catalog = Catalog::of(&sandbox, &[api]);
        let file = |time: DateTime<Utc>| {
            catalog
                .folder(api)
                .join(format!("{}_{}.log", base_name(api), time.date_naive()))
        };
        let kept = event(api, at(86_400 * 2), "2").text;
        fs::write(file(at(86_400 * 2)), format!("{kept}\n{{\"broken\": \n")).unwrap();
        fs::write(file(at(300)), "").unwrap();
        let run = catalog.run(&["--json"]);
        let summary = &run.summary()[kind.name];
        // What is older than the first file was never there, and is not asked for; what it holds is, without a journal.
        assert_eq!(summary["appended"], 1, "{summary}");
        assert!(
            summary["warnings"][0].as_str().unwrap().contains("no journal"),
            "{summary}"
        );
        assert!(
            run.stderr
                .lines()
                .any(|line| line.contains(" WARNING:\t") && line.contains("skipped")),
            "{}",
            run.stderr
        );
    }
}
