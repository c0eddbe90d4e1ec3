//! `status`: how the streams stand, from the archive alone.

use std::fs;

use serde_json::{Value, json};
use trailkeeper::sandbox::{Action, Answer, Api, Sandbox, Step};

use super::support::{Catalog, PATIENCE, at, base_name, event, events, now, serve, streams, wait_until};

fn status(catalog: &Catalog, code: i32, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["status", "--json"].iter().chain(arguments).copied().collect();
    let run = catalog.run(&arguments);
    assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
    run.summary().into_values().next().unwrap()
}

/// A catalog of disk with three records of the last hour.
fn collected(sandbox: &Sandbox) -> Catalog {
    let catalog = Catalog::of(sandbox, &[Api::Disk]);
    catalog.collect_one(0, &[]);
    catalog
}

fn disk() -> Sandbox {
    serve(|options| options.give(Api::Disk, events(Api::Disk, 3, 1_800)))
}

#[test]
fn it_tells_what_was_collected_and_how_old_it_is() {
    let sandbox = disk();
    let catalog = collected(&sandbox);
    let status = status(&catalog, 0, &[]);
    let sizes: u64 = catalog
        .day_files(Api::Disk)
        .values()
        .map(|bytes| bytes.len() as u64)
        .sum();
    assert_eq!(status["state"], "ok");
    assert_eq!(status["problems"], Value::Array(Vec::new()));
    assert_eq!(
        (&status["records"]["all"], &status["bytes"]["all"]),
        (&3.into(), &sizes.into())
    );
    let age = status["age_seconds"].as_i64().unwrap();
    assert!((1_800..1_900).contains(&age), "{age}");
    let days = status["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(days.iter().map(|day| day["records"].as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(status["last_run"]["end"], "exhausted");
    assert_eq!(status["last_run"]["at"], status["last_complete"]);
    assert_eq!(status["running"], Value::Null);
}

#[test]
fn days_that_another_program_has_compressed_are_counted_and_what_cannot_be_counted_is_marked() {
    use std::io::Write;

    let newest = at(1_800).date_naive();
    let sandbox = serve(|options| {
        let three =
            |day: i64| (0..3).map(move |n| event(Api::Disk, at(1_800 + day * 86_400 + n), &format!("{day}-{n}")));
        options.give(Api::Disk, (0..4).flat_map(three).collect())
    });
    let catalog = collected(&sandbox);
    let path = |days| {
        let date = newest - chrono::Days::new(days);
        catalog
            .folder(Api::Disk)
            .join(format!("{}_{date}.log", base_name(Api::Disk)))
    };
    let gzip = |days: u64, keeps: bool| {
        let packed = format!("{}.gz", path(days).display());
        let mut encoder =
            flate2::write::GzEncoder::new(fs::File::create(&packed).unwrap(), flate2::Compression::default());
        encoder.write_all(&fs::read(path(days)).unwrap()).unwrap();
        encoder.finish().unwrap();
        if !keeps {
            fs::remove_file(path(days)).unwrap();
        }
        packed
    };
    let before = status(&catalog, 0, &[]);
    let oldest = gzip(3, false);
    gzip(2, false);
    gzip(1, true);
    let after = status(&catalog, 0, &[]);
    for field in [
        "records",
        "first_day",
        "last_day",
        "days_without_records",
        "days",
        "not_counted",
    ] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["files"], 5);
    fs::write(&oldest, "damaged").unwrap();
    let damaged = status(&catalog, 0, &[]);
    assert_eq!(damaged["records"]["all"], 9);
    assert_eq!(damaged["not_counted"].as_array().unwrap().len(), 1);
    assert_eq!(damaged["days_without_records"], Value::Array(Vec::new()));
    assert!(
        damaged["problems"].to_string().contains("damaged or cut off"),
        "{damaged}"
    );
    let text = catalog.run(&["status"]).stdout;
    assert!(text.contains(" 9+ ") && text.contains('?'), "{text}");
}

#[test]
fn it_needs_no_token_no_network_and_no_other_setting() {
    let sandbox = disk();
    let mut catalog = collected(&sandbox);
    drop(sandbox);
    catalog.clear();
    let folder = catalog.folder(Api::Disk);
    catalog.set("DISK_LOG_CATALOG_LOCATION", folder.to_str().unwrap());
    catalog.set("DISK_LOG_FILE_BASE_NAME", base_name(Api::Disk));
    assert_eq!(status(&catalog, 0, &[])["records"]["all"], 3);
}

#[test]
fn it_exits_with_3_where_a_stream_is_older_than_allowed() {
    let sandbox = disk();
    let catalog = collected(&sandbox);
    assert_eq!(status(&catalog, 0, &["--max-age", "2h"])["state"], "ok");
    assert_eq!(status(&catalog, 3, &["--max-age", "29m"])["state"], "late");
    assert_eq!(status(&catalog, 0, &[])["state"], "ok");
}

#[test]
fn it_exits_with_3_where_the_last_run_failed_until_one_ends_well() {
    let sandbox = disk();
    let catalog = collected(&sandbox).with("MAX_RETRIES", 0);
    sandbox.step(Step::at(
        Api::Disk,
        sandbox.request_count(Api::Disk) + 1,
        Action::Answer(Answer::json(503, "{}")),
    ));
    catalog.collect_one(3, &[]);
    let failed = status(&catalog, 3, &["--max-age", "2h"]);
    assert_eq!(
        (&failed["state"], &failed["last_run"]["end"]),
        (&"failed".into(), &"failed".into())
    );
    assert!(failed["problems"][0].as_str().unwrap().contains("503"), "{failed}");
    assert_ne!(failed["last_complete"], failed["last_run"]["at"]);
    assert_eq!(
        status(&catalog, 0, &[])["state"],
        "failed",
        "without --max-age it only tells"
    );
    catalog.collect_one(0, &[]);
    assert_eq!(status(&catalog, 0, &["--max-age", "2h"])["state"], "ok");
}

#[test]
fn a_run_that_is_under_way_is_named_and_one_that_was_killed_is_a_failure() {
    let sandbox = disk();
    let catalog = collected(&sandbox);
    let last = status(&catalog, 0, &[])["last_run"]["at"].as_str().unwrap()[..19].to_owned();
    // The lock holds whole seconds: the next run begins in another one.
    wait_until("another second has begun", PATIENCE, || {
        now().format("%Y-%m-%dT%H:%M:%S").to_string() != last
    });
    let wait = Action::Wait(std::time::Duration::from_secs(120));
    let number = sandbox.request_count(Api::Disk) + 1;
    sandbox.step(Step::at(Api::Disk, number, wait));
    let mut run = catalog.start(&[]);
    wait_until("the run asks", PATIENCE, || {
        run.assert_running();
        sandbox.request_count(Api::Disk) >= number
    });
    assert_eq!(status(&catalog, 0, &["--max-age", "2h"])["running"]["pid"], run.id());
    run.kill();
    let killed = status(&catalog, 3, &["--max-age", "2h"]);
    assert_eq!((&killed["state"], &killed["running"]), (&"failed".into(), &Value::Null));
    assert!(
        killed["problems"][0]
            .as_str()
            .unwrap()
            .contains("has not written how it ended"),
        "{killed}"
    );
}

#[test]
fn it_changes_no_file_but_its_own_counts_and_works_where_it_may_write_nothing() {
    let sandbox = disk();
    let catalog = collected(&sandbox);
    let before = catalog.tree();
    status(&catalog, 0, &[]);
    let name = format!("{}.lines.json", base_name(Api::Disk));
    let counts = catalog.folder(Api::Disk).join(".trailkeeper").join(name);
    fs::remove_file(&counts).unwrap();
    catalog.assert_unchanged(&before);
    fs::remove_dir_all(catalog.folder(Api::Disk).join(".trailkeeper")).unwrap();
    let status = status(&catalog, 0, &[]);
    assert_eq!(
        (&status["state"], &status["records"]["all"]),
        (&"new".into(), &3.into())
    );
}

#[test]
fn the_tables_fit_80_columns_and_have_no_colours_where_there_is_no_terminal() {
    let sandbox = serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| {
            options.give(
                api,
                (0..40)
                    .map(|day| event(api, at(day * 50_000 + 60), &day.to_string()))
                    .collect(),
            )
        })
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    catalog.collect(0, &[]);
    let short = catalog.run(&["status"]).stdout;
    let table = short.lines().filter(|line| !line.contains(": "));
    assert_eq!(table.count(), 1 + streams().len(), "one table: {short}");
    let run = catalog.run(&["status", "-v"]);
    assert!(run.stdout.starts_with(&format!("{}\n", short.lines().next().unwrap())));
    assert!(
        run.stdout
            .lines()
            .all(|line| line.chars().count() <= 80 || line.contains(": ")),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains('\u{1b}'), "{}", run.stdout);
    // Records somewhat more than half a day apart: whatever the hour, of each six days some hold two and the others one.
    let bars: Vec<_> = run.stdout.lines().filter(|line| line.contains('▄')).collect();
    assert_eq!(bars.len(), 2 * streams().len(), "{}", run.stdout);
    assert!(bars.iter().all(|bar| bar.contains('█')), "{}", run.stdout);
    assert!(streams().iter().all(|(kind, _)| run.stdout.contains(kind.name)));
}

#[test]
fn while_a_run_is_under_way_the_one_before_says_how_a_stream_stands() {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 7, 100)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("MAX_RETRIES", 0);
    catalog.collect_one(0, &[]);
    let first = sandbox.request_count(Api::Tfc);
    sandbox.step(Step::at(Api::Tfc, first + 1, Action::Answer(Answer::html(500, "no"))));
    catalog.collect_one(3, &[]);
    let second = sandbox.request_count(Api::Tfc);
    sandbox.step(Step::at(Api::Tfc, second + 1, Action::Wait(PATIENCE)));
    let running = catalog.start(&["collect"]);
    wait_until("the third run asks", PATIENCE, || {
        sandbox.request_count(Api::Tfc) > second
    });
    let during = catalog.run(&["status", "--json", "--max-age", "1d"]);
    assert_eq!(during.code, 3, "{}", during.stdout);
    let status = &during.summary()["tfc"];
    assert_eq!(status["state"], "failed", "{status}");
    assert!(status["problems"].to_string().contains("500"), "{status}");
    assert!(!status["running"].is_null(), "{status}");
    running.kill();
}

#[test]
fn a_stream_that_is_quiet_for_longer_than_it_ever_was_is_told_with_what_it_is_compared_with() {
    const HOUR: i64 = 3_600;
    let hourly = |from: i64| (from..40 * 24).map(|hour| event(Api::Mail, at(hour * HOUR + 60), &format!("{hour}")));
    let silence_of = |newest: i64| {
        let sandbox = serve(|options| options.give(Api::Mail, hourly(newest).collect::<Vec<_>>()));
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        catalog.collect(0, &["--since", "45d"]);
        let run = catalog.run(&["status", "--json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let status: Value = serde_json::from_str(&run.stdout).unwrap();
        let code = catalog.run(&["status", "--nagios"]).code;
        (status["streams"][0].clone(), code)
    };
    let (busy, code) = silence_of(0);
    assert_eq!(
        (&busy["silence"]["is_unusual"], &busy["problems"], code),
        (&json!(false), &json!([]), 0)
    );
    assert_eq!(busy["silence"]["weeks"], 5);
    let (quiet, code) = silence_of(9);
    assert_eq!((&quiet["silence"]["is_unusual"], code), (&json!(true), 1));
    let longest = quiet["silence"]["longest_seconds"].as_i64().unwrap();
    assert!(longest <= 3 * HOUR, "{longest}");
    let problem = quiet["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("no record for 9 h: in 5 weeks, on a "), "{problem}");
}
