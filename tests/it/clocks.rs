//! Clocks that are apart: this machine's and a service's.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Options, Sandbox, Step};

use super::support::{Catalog, at, base_name, event, now, serve as serve_now, streams};

/// The service's clock is so far ahead of this machine's.
fn service_now(ahead: TimeDelta) -> DateTime<Utc> {
    DateTime::from_timestamp(now().timestamp(), 0).unwrap() + ahead
}

/// So many records a minute apart, the newest a minute before the service's own now.
fn events(api: Api, count: i64, ahead: TimeDelta) -> Vec<Event> {
    let time = |n| service_now(ahead) - TimeDelta::minutes(1 + n);
    (0..count)
        .map(|n| Event::minimal(api, time(n), format!("{n}")))
        .collect()
}

/// All services, with a clock that is so far ahead and 150 records each.
fn serve(ahead: TimeDelta) -> Sandbox {
    let options = Options::empty(Arc::new(move || now() + ahead));
    let options = Api::ALL
        .into_iter()
        .fold(options, |options, api| options.give(api, events(api, 150, ahead)));
    Sandbox::start_on_thread(options).unwrap()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

fn journal_path(catalog: &Catalog, api: Api) -> PathBuf {
    let name = format!(".trailkeeper/{}.coverage.jsonl", base_name(api));
    catalog.folder(api).join(name)
}

/// The newest line of the journal.
fn journal(catalog: &Catalog, api: Api) -> Value {
    let text = std::fs::read_to_string(journal_path(catalog, api)).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn whatever_the_clocks_say_every_record_is_filed_and_no_time_is_claimed_that_has_not_come() {
    for seconds in [-400 * 86_400, -90_000, -900, 900, 90_000, 400 * 86_400_i64] {
        let ahead = TimeDelta::seconds(seconds);
        let sandbox = serve(ahead);
        let catalog = Catalog::of(&sandbox, &Api::ALL);
        for expected in [150, 151] {
            for (name, stream) in catalog.collect(0, &[]) {
                let api = streams().into_iter().find(|(kind, _)| kind.name == name).unwrap().1;
                assert_eq!(stream["rejected"], 0, "{seconds}: {stream}");
                let offset = stream["clock_offset_seconds"].as_i64().unwrap();
                assert!((offset - seconds).abs() < 30, "{seconds}: {stream}");
                let warning = stream["warnings"][0].as_str().unwrap();
                let way = if seconds > 0 {
                    "behind the service's"
                } else {
                    "ahead of the service's"
                };
                assert!(warning.contains(way) && warning.contains("NTP"), "{warning}");
                catalog.assert_holds(api, &sandbox.events(api));
                assert_eq!(sandbox.events(api).len(), expected);
                // Neither clock has come further.
                let claimed = journal(&catalog, api)["covered"].as_array().unwrap().clone();
                let least = service_now(ahead).min(now()) + TimeDelta::seconds(2);
                let written = journal(&catalog, api)["asked"][0]["covered_to"].as_str().unwrap().len();
                assert!(written <= "2026-11-20T10:00:00.000Z".len(), "whole milliseconds");
                assert!(
                    claimed.iter().all(|span| time(&span["to"]) <= least),
                    "{seconds}: {claimed:?}"
                );
            }
            for api in Api::ALL {
                sandbox.add(api, vec![Event::minimal(api, service_now(ahead), "new")]);
            }
        }
    }
}

#[test]
fn clocks_that_are_not_apart_cost_no_request_and_no_word() {
    let sandbox = serve(TimeDelta::seconds(60));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc, Api::Mail]);
    let run = catalog.run(&["collect", "--json"]);
    for (name, stream) in run.summary() {
        assert_eq!(stream["warnings"], Value::Array(Vec::new()), "{name}");
        assert!(
            (50..=60).contains(&stream["clock_offset_seconds"].as_i64().unwrap()),
            "{stream}"
        );
    }
    assert!(!run.stderr.contains("WARNING"), "{}", run.stderr);
    assert_eq!(run.summary()["tfc"]["requests"], 1);
    let entry = journal(&catalog, Api::Tfc);
    assert_eq!(entry["asked"][0]["covered_to"], entry["asked"][0]["to"]);
}

/// HCP Terraform with answers that tell no time.
fn timeless() -> Sandbox {
    let body = r#"{"data":[],"pagination":{"next_page":null,"total_pages":1}}"#;
    let kept = Answer::json(200, body)
        .with("date", "Mon, 09 Jun 2025 10:00:00 GMT")
        .with("age", 7);
    let options = Options::empty(Arc::new(now)).step(Step::always(Api::Tfc, Action::Answer(kept)));
    Sandbox::start_on_thread(options).unwrap()
}

#[test]
fn a_date_that_a_cache_kept_is_no_clock() {
    let sandbox = timeless();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let stream = &catalog.collect(0, &[])["tfc"];
    assert_eq!(stream["clock_offset_seconds"], Value::Null, "{stream}");
    assert_eq!(stream["warnings"], Value::Array(Vec::new()), "{stream}");
    let entry = journal(&catalog, Api::Tfc);
    assert_eq!(entry["asked"][0]["covered_to"], entry["asked"][0]["to"]);
}

/// Has the journal say that all is covered up to tomorrow.
fn claim_tomorrow(catalog: &Catalog, api: Api) {
    let (mut entry, tomorrow) = (journal(catalog, api), now() + TimeDelta::days(1));
    let covered = entry["covered"].as_array_mut().unwrap();
    covered.last_mut().unwrap()["to"] = tomorrow.to_rfc3339().into();
    std::fs::write(journal_path(catalog, api), format!("{entry}\n")).unwrap();
}

#[test]
fn what_a_clock_that_was_ahead_has_claimed_is_read_as_if_nobody_had() {
    let sandbox = serve_now(|options| options.give(Api::Mail, vec![event(Api::Mail, at(3_600), "one")]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    let requests = || catalog.collect_one(0, &[])["requests"].as_u64().unwrap();
    let of_runs: Vec<u64> = (0..5).map(|_| requests()).collect();
    let usual = of_runs[4];
    claim_tomorrow(&catalog, Api::Mail);
    let after_the_claim = requests();
    assert!(after_the_claim > 2 * usual, "{after_the_claim}, {usual}");
}

#[test]
fn a_clock_that_was_set_back_is_told_although_the_service_tells_no_time() {
    let sandbox = timeless();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    claim_tomorrow(&catalog, Api::Tfc);
    for _ in 0..2 {
        let run = catalog.run(&["collect", "--json"]);
        let warning = run.summary()["tfc"]["warnings"][0].as_str().unwrap().to_owned();
        assert!(warning.contains("was set back"), "{warning}");
        assert!(run.stderr.contains("was set back"), "{}", run.stderr);
        let entry = journal(&catalog, Api::Tfc);
        assert!(time(&entry["asked"][0]["covered_to"]) <= now());
        let claimed = entry["covered"].as_array().unwrap().last().unwrap();
        assert!(
            time(&claimed["to"]) <= now(),
            "what was claimed too early is taken back"
        );
    }
    let table = catalog.run(&["collect"]).stdout;
    assert!(table.contains("\ntfc: earlier runs have covered time up to"), "{table}");
}

#[test]
fn a_date_that_stands_still_from_one_run_to_the_next_is_no_clock() {
    let body = r#"{"data":[],"pagination":{"next_page":null,"total_pages":1}}"#;
    let same = Answer::json(200, body).with("date", "Mon, 09 Jun 2025 10:00:00 GMT");
    let options = Options::empty(Arc::new(now)).step(Step::always(Api::Tfc, Action::Answer(same)));
    let sandbox = Sandbox::start_on_thread(options).unwrap();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    // The first run cannot know.
    assert!(catalog.collect(0, &[])["tfc"]["clock_offset_seconds"].as_i64() < Some(-86_400));
    for _ in 0..2 {
        let mut entry = journal(&catalog, Api::Tfc);
        entry["at"] = (time(&entry["at"]) - TimeDelta::minutes(1)).to_rfc3339().into();
        std::fs::write(journal_path(&catalog, Api::Tfc), format!("{entry}\n")).unwrap();
        let stream = &catalog.collect(0, &[])["tfc"];
        assert_eq!(stream["clock_offset_seconds"], Value::Null, "{stream}");
        assert_eq!(stream["warnings"], Value::Array(Vec::new()), "{stream}");
        // An empty feed is looked at three times, and the clock costs no further request.
        assert_eq!(stream["requests"], 3, "{stream}");
        let entry = journal(&catalog, Api::Tfc);
        assert_eq!(entry["asked"][0]["covered_to"], entry["asked"][0]["to"]);
    }
}
