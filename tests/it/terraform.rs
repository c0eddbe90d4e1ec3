//! HCP Terraform: more pages than the cap, and pages that shift while they are read.

use std::collections::BTreeSet;
use std::fs;

use trailkeeper::sandbox::{Action, Answer, Api, Event, Options, Sandbox, Step};

use super::support::{Catalog, at, event, events, lines_by_file, serve, side_by_side};

/// Two thousand records of some hours, some of them of one time.
fn backlog() -> Vec<Event> {
    (0..2_000)
        .map(|n| event(Api::Tfc, at(600 + n / 3 * 15), &format!("old-{n}")))
        .collect()
}

fn feed(steps: Vec<(usize, Action)>) -> Sandbox {
    serve(|options| {
        let mut options = options.give(Api::Tfc, backlog());
        options[Api::Tfc].page_cap = Some(100);
        options[Api::Tfc].rate_limit = None;
        steps.into_iter().fold(options, |options, (request, action)| {
            options.step(Step::at(Api::Tfc, request, action))
        })
    })
}

fn arrivals(name: &str, count: usize) -> Vec<Event> {
    (0..count)
        .map(|n| event(Api::Tfc, at(20), &format!("{name}-{n}")))
        .collect()
}

fn lines(events: &[Event]) -> BTreeSet<String> {
    lines_by_file(Api::Tfc, events).into_values().flatten().collect()
}

#[test]
fn more_pages_than_the_cap_come_in_ranges_from_the_oldest_on() {
    for (cap, unsorted) in [(1, false), (2, true), (3, false), (19, false), (20, false), (21, true)] {
        let sandbox = serve(|options| {
            let mut options = options.give(Api::Tfc, backlog());
            options[Api::Tfc].page_cap = Some(100);
            options[Api::Tfc].rate_limit = None;
            options[Api::Tfc].unsorted = unsorted;
            options
        });
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_PAGES", cap);
        catalog.collect(0, &[]);
        catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
        let before = catalog.tree();
        catalog.collect(0, &[]);
        catalog.assert_nothing_added(&before);
    }
}

#[test]
fn a_page_that_is_cut_and_counts_what_is_left_of_it_is_not_believed() {
    let feed = events(Api::Tfc, 120, 3_600);
    // The second request is for 99 records behind the first 99.
    let cut: Vec<&str> = feed[99..102].iter().map(|event| event.text.as_str()).collect();
    let pagination = r#"{"current_page":2,"prev_page":1,"next_page":null,"total_pages":2,"total_count":102}"#;
    let body = format!(r#"{{"data":[{}],"pagination":{pagination}}}"#, cut.join(","));
    // One of the next answers, that to the request for the count among them, may be too large.
    for too_large in [None, Some(3), Some(4), Some(5)] {
        let sandbox = serve(|options| {
            let mut options = options.give(Api::Tfc, feed.clone());
            options[Api::Tfc].page_cap = Some(100);
            let options = options.step(Step::at(Api::Tfc, 2, Action::Answer(Answer::json(200, body.clone()))));
            let large = |number| {
                Step::at(
                    Api::Tfc,
                    number,
                    Action::Answer(Answer::json(200, " ".repeat(65 << 20))),
                )
            };
            too_large.map(large).into_iter().fold(options, Options::step)
        });
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        catalog.collect(0, &[]);
        catalog.assert_holds(Api::Tfc, &feed);
    }
}

#[test]
fn small_pages_that_all_end_with_the_last_record_are_read_to_their_end() {
    for (page, count) in [(3, 60), (5, 120), (6, 180)] {
        let feed = events(Api::Tfc, count, 3_600);
        let sandbox = serve(|options| {
            let mut options = options.give(Api::Tfc, feed.clone());
            options[Api::Tfc].page_cap = Some(page);
            options[Api::Tfc].rate_limit = None;
            options
        });
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_PAGES", 19);
        catalog.collect(0, &[]);
        catalog.assert_holds(Api::Tfc, &feed);
    }
}

#[test]
fn pages_that_shift_while_they_are_read_cost_no_record() {
    let sizes = [1, 99, 100, 101, 250];
    let cases = [1, 2, 3, 7]
        .into_iter()
        .flat_map(|rhythm| sizes.map(|size| (rhythm, size)));
    side_by_side(cases, |(rhythm, size)| {
        let arriving = |n| Action::Add(Api::Tfc, arrivals(&format!("{rhythm}-{size}-{n}"), size));
        let sandbox = feed((1..6).map(|n| (n * rhythm, arriving(n))).collect());
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_PAGES", 2);
        // What arrives behind the page that shows it is the next run's, and so on while something arrives.
        for _ in 0..3 {
            catalog.collect(0, &[]);
        }
        catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
    });
}

#[test]
fn what_retention_takes_away_during_a_walk_costs_no_other_record() {
    for (rhythm, count) in [(1, 30), (2, 100), (3, 150), (5, 400)] {
        let mut steps: Vec<_> = (1..5)
            .map(|n| (n * rhythm, Action::DropOldest(Api::Tfc, count)))
            .collect();
        steps.push((4, Action::Add(Api::Tfc, arrivals("new", 130))));
        let sandbox = feed(steps);
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_PAGES", 3);
        catalog.collect(0, &[]);
        catalog.collect(0, &[]);
        let held = catalog.lines(Api::Tfc);
        let distinct: BTreeSet<String> = held.iter().cloned().collect();
        assert_eq!(distinct.len(), held.len(), "a record is there twice");
        let missing: Vec<_> = lines(&sandbox.events(Api::Tfc))
            .difference(&distinct)
            .take(3)
            .cloned()
            .collect();
        assert!(missing.is_empty(), "{rhythm} {count}: {missing:#?}");
        let ever: Vec<Event> = backlog().into_iter().chain(arrivals("new", 130)).collect();
        assert!(distinct.len() <= ever.len());
    }
}

#[test]
fn a_failure_in_the_middle_leaves_no_hole_behind_the_newest_record() {
    for failing in 2..30 {
        let sandbox = feed(Vec::new());
        let refusal = Action::Answer(trailkeeper::sandbox::Answer::html(403, "Forbidden"));
        sandbox.step(Step::at(Api::Tfc, failing, refusal));
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_PAGES", 2);
        let first = catalog.run(&["--json"]);
        if first.code == 0 {
            assert!(failing > 20, "a walk over 20 pages has more than {failing} requests");
            return;
        }
        let held = catalog.lines(Api::Tfc);
        let all = sandbox.events(Api::Tfc);
        // Times are whole at the edge of what is held: records of one time can stand on two pages.
        let expected: Vec<_> = all.iter().take(held.len()).collect();
        let newest = expected.last().map(|event| event.time);
        let must: Vec<Event> = all.iter().filter(|event| Some(event.time) < newest).cloned().collect();
        let held: BTreeSet<String> = held.into_iter().collect();
        assert!(lines(&must).is_subset(&held), "request {failing}: a hole");
        catalog.collect(0, &[]);
        catalog.assert_holds(Api::Tfc, &all);
    }
}

#[test]
fn a_rate_limit_with_a_reset_in_fractions_of_a_second_is_waited_for() {
    let sandbox = serve(|options| {
        let mut options = options.give(Api::Tfc, backlog());
        options[Api::Tfc].page_cap = Some(100);
        options[Api::Tfc].rate_limit = Some(15);
        options
    });
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("MAX_PAGES", 2)
        .with("MAX_RETRIES", 1);
    let summary = catalog.collect_one(0, &[]);
    catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
    assert_ne!(summary["retries"], 0);
}

#[test]
fn what_comes_late_while_a_gap_is_read_is_kept() {
    let sandbox = feed(Vec::new());
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    // Without it nothing is known to be covered, so that all of it is read again after what is new.
    fs::remove_dir_all(catalog.folder(Api::Tfc).join(".trailkeeper")).unwrap();
    sandbox.add(Api::Tfc, arrivals("new", 1));
    let asked = sandbox.request_count(Api::Tfc);
    let late = vec![event(Api::Tfc, at(400), "late")];
    // The first request is for what is new; it is no longer asked for by the run after.
    sandbox.step(Step::at(Api::Tfc, asked + 2, Action::Add(Api::Tfc, late)));
    catalog.collect(0, &[]);
    assert!(sandbox.request_count(Api::Tfc) > asked + 2, "no gap was read");
    catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
}

#[test]
fn the_count_is_compared_too_where_a_run_goes_on_from_the_last_record() {
    let sandbox = feed(Vec::new());
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    let (newest, lacking) = (event(Api::Tfc, at(20), "newest"), event(Api::Tfc, at(300), "lacking"));
    // The page of a replica that lacks one, with the count of another; the run after does not ask for its time.
    let known = sandbox
        .events(Api::Tfc)
        .into_iter()
        .filter(|event| event.time >= at(750));
    let mut page = vec![newest.clone()];
    page.extend(known);
    page.sort_by_key(|event| std::cmp::Reverse(event.time));
    let count = page.len() + 1;
    let page: Vec<String> = page.into_iter().map(|event| event.text).collect();
    let body = format!(
        r#"{{"data":[{}],"pagination":{{"current_page":1,"next_page":null,"prev_page":null,"total_pages":1,"total_count":{count}}}}}"#,
        page.join(",")
    );
    sandbox.add(Api::Tfc, vec![newest, lacking]);
    let asked = sandbox.request_count(Api::Tfc);
    sandbox.step(Step::at(Api::Tfc, asked + 1, Action::Answer(Answer::json(200, body))));
    catalog.collect(0, &[]);
    catalog.assert_holds(Api::Tfc, &sandbox.events(Api::Tfc));
}

#[test]
fn a_broken_record_that_swallows_its_neighbor_is_not_told_as_one_that_was_not_given() {
    let good = |id: &str| event(Api::Tfc, at(600), id).text;
    // Its quotes are not escaped, so that where it ends is a guess.
    let broken = |id: &str| good("unescaped").replace("unescaped", id);
    let records = [
        broken(r#"Answer(404, "")"#),
        broken(r#"Answer(503, "later")"#),
        broken(r#"Answer(403, "")"#),
        good("next"),
        good("last"),
    ];
    let body = format!(
        r#"{{"data":[{}],"pagination":{{"current_page":1,"next_page":null,"prev_page":null,"total_pages":1,"total_count":5}}}}"#,
        records.join(",")
    );
    let sandbox = serve(|options| options.step(Step::always(Api::Tfc, Action::Answer(Answer::json(200, body)))));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    for _ in 0..2 {
        catalog.collect(0, &[]);
    }
    let rejected = catalog.rejected_lines(Api::Tfc).concat();
    assert_eq!(
        catalog.lines(Api::Tfc).len() + rejected.matches("timestamp").count(),
        5,
        "{rejected}"
    );
}
