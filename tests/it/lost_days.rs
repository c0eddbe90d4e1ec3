//! Day files that were deleted, cut, replaced or compressed since a run wrote them, and archives that are gone.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step};

use super::support::{Catalog, at, base_name, event, now, serve, streams};

const DAY: i64 = 86_400;

/// How many seconds ago the newest record is: the three of a day are of one day, at whatever hour.
fn newest() -> i64 {
    let since_midnight = now().timestamp() % DAY;
    if since_midnight < 1_800 {
        since_midnight + 60
    } else {
        600
    }
}

/// Services with three records on each of the last days.
fn daily(days: i64) -> Sandbox {
    let records = |api| -> Vec<Event> {
        let three =
            |day: i64| (0..3).map(move |n| event(api, at(day * DAY + newest() + n * 300), &format!("{day}-{n}")));
        (0..days).flat_map(three).collect()
    };
    serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, records(api)))
    })
}

fn path(catalog: &Catalog, api: Api, days_ago: i64) -> PathBuf {
    let date = at(days_ago * DAY + newest()).date_naive();
    catalog.folder(api).join(format!("{}_{date}.log", base_name(api)))
}

fn shown(catalog: &Catalog, command: &str, code: i32) -> Value {
    let run = catalog.run(&[command, "--json"]);
    assert_eq!(run.code, code, "{command}: {}{}", run.stdout, run.stderr);
    run.summary().into_values().next().unwrap()
}

/// What `coverage` says of day files, by its names.
fn wrong_days(catalog: &Catalog) -> Vec<String> {
    let coverage = shown(catalog, "coverage", 0);
    let wrong = coverage["wrong_days"].as_array().unwrap().iter();
    wrong
        .map(|wrong| wrong["problem"].as_str().unwrap().to_owned())
        .collect()
}

/// Keeps the first line of a file.
fn cut(path: &PathBuf) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.split_inclusive('\n').next().unwrap()).unwrap();
}

#[test]
fn a_day_file_that_has_lost_records_is_named_everywhere_and_they_are_asked_for_again() {
    let damage = |path: &PathBuf, number| match number {
        0 => fs::remove_file(path).unwrap(),
        1 => cut(path),
        _ => fs::write(path, "").unwrap(),
    };
    for api in Api::ALL {
        let sandbox = daily(9);
        for (number, problem) in [(0, "missing"), (1, "shorter"), (2, "shorter")] {
            let catalog = Catalog::of(&sandbox, &[api]);
            catalog.collect_one(0, &[]);
            assert_eq!(wrong_days(&catalog), Vec::<String>::new());
            damage(&path(&catalog, api, 4), number);
            assert_eq!(wrong_days(&catalog), [problem]);
            let found = &shown(&catalog, "verify", 3)["findings"];
            let named = found
                .as_array()
                .unwrap()
                .iter()
                .any(|finding| finding["problem"] == problem);
            assert!(named, "{found}");
            let problems = shown(&catalog, "status", 0)["problems"].to_string();
            assert!(problems.contains("the day file is"), "{problems}");
            let run = catalog.collect_one(0, &[]);
            assert_ne!(run["appended"], 0, "{run}");
            assert!(
                run["warnings"][0].as_str().unwrap().contains(" has lost records"),
                "{run}"
            );
            catalog.assert_holds(api, &sandbox.events(api));
            assert_eq!(wrong_days(&catalog), Vec::<String>::new());
            shown(&catalog, "verify", 0);
            assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
        }
    }
}

#[test]
fn what_the_service_has_forgotten_is_a_gap_until_it_is_accepted() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    // As if the records were older than what the service keeps.
    let (old, new) = (path(&catalog, Api::Tfc, 20), path(&catalog, Api::Tfc, 4));
    let journal = catalog
        .folder(Api::Tfc)
        .join(format!(".trailkeeper/{}.coverage.jsonl", base_name(Api::Tfc)));
    let day = |path: &PathBuf| {
        path.file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .rsplit('_')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut line: Value = serde_json::from_str(fs::read_to_string(&journal).unwrap().lines().last().unwrap()).unwrap();
    line["counts"] = serde_json::json!({ day(&old): {"lines": 3, "bytes": 300}, day(&new): {"lines": 3, "bytes": 30} });
    line["has_all_counts"] = true.into();
    line["asked_from"] = at(30 * DAY).to_rfc3339().into();
    line["covered"][0]["from"] = at(30 * DAY).to_rfc3339().into();
    fs::write(&journal, format!("{line}\n")).unwrap();
    for _ in 0..2 {
        assert_eq!(wrong_days(&catalog), ["missing"]);
        let gaps = &shown(&catalog, "coverage", 0)["gaps"];
        assert_eq!(gaps[0]["is_gone"], true, "{gaps}");
        shown(&catalog, "verify", 3);
        catalog.collect_one(0, &[]);
    }
    let accepted = catalog.run(&["coverage", "--accept-missing"]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    assert!(
        accepted.stderr.contains("accepted: the day file is missing"),
        "{}",
        accepted.stderr
    );
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    shown(&catalog, "verify", 0);
    catalog.collect_one(0, &[]);
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    let journal_before = fs::read(&journal).unwrap();
    let again = catalog.run(&["coverage", "--accept-missing"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let expected = "nothing to accept: no day file has lost records";
    assert!(again.stderr.contains(expected), "{}", again.stderr);
    assert_eq!(fs::read(&journal).unwrap(), journal_before);
}

/// Writes into the newest line of the journal that the files of these days, which are none of it yet, held three records each.
fn count_also(catalog: &Catalog, days: &[PathBuf]) {
    let journal = catalog
        .folder(Api::Tfc)
        .join(format!(".trailkeeper/{}.coverage.jsonl", base_name(Api::Tfc)));
    let text = fs::read_to_string(&journal).unwrap();
    let mut line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for path in days {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let day = stem.rsplit('_').next().unwrap();
        line["counts"][day] = serde_json::json!({"lines": 3, "bytes": 300});
    }
    fs::write(&journal, format!("{text}{line}\n")).unwrap();
}

#[test]
fn a_loss_is_told_in_each_run_however_many_day_files_there_are() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    let days: Vec<PathBuf> = (20..120).map(|ago| path(&catalog, Api::Tfc, ago)).collect();
    count_also(&catalog, &days);
    let told = |run: &Value| run["warnings"].to_string().contains("100 day files from ");
    let run = catalog.collect_one(0, &[]);
    assert!(told(&run), "{run}");
    // Some of each is back, so that only a comparison shows that the rest is not.
    days.iter().for_each(|path| fs::write(path, "{}\n").unwrap());
    for _ in 0..3 {
        let run = catalog.collect_one(0, &[]);
        assert!(told(&run), "{run}");
        assert_eq!(wrong_days(&catalog).len(), 100);
    }
}

#[test]
fn a_retention_that_is_declared_makes_no_gap_of_what_is_older() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("KEEP_DAYS", 5);
    catalog.collect_one(0, &[]);
    for days in [6, 7, 8] {
        fs::remove_file(path(&catalog, Api::Mail, days)).unwrap();
    }
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    shown(&catalog, "verify", 0);
    assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
    fs::remove_file(path(&catalog, Api::Mail, 3)).unwrap();
    assert_eq!(wrong_days(&catalog), ["missing"]);
    assert_eq!(catalog.collect_one(0, &[])["appended"], 3);
}

/// Compresses a day file as `gzip` does.
fn gzip(path: &PathBuf) {
    let packed = format!("{}.gz", path.display());
    let mut encoder = GzEncoder::new(fs::File::create(packed).unwrap(), Compression::default());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn day_files_that_another_program_has_compressed_are_read_and_no_gap() {
    for api in Api::ALL {
        let sandbox = daily(9);
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect_one(0, &[]);
        let requests = catalog.collect_one(0, &[])["requests"].clone();
        // Every night, all of them.
        (0..9).for_each(|days| gzip(&path(&catalog, api, days)));
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
        let verified = shown(&catalog, "verify", 0);
        assert_eq!(
            (&verified["files"], &verified["records"]),
            (&9.into(), &27.into()),
            "{verified}"
        );
        assert!(
            verified["remarks"][0]
                .as_str()
                .unwrap()
                .contains("compressed by another program"),
            "{verified}"
        );
        let run = catalog.collect_one(0, &[]);
        assert_eq!((&run["appended"], &run["requests"]), (&0.into(), &requests), "{run}");
        for range in [vec!["--since", "30d"], vec!["--since", "5d", "--until", "3d"]] {
            assert_eq!(catalog.collect_one(0, &range)["appended"], 0);
        }
        let names: Vec<_> = catalog.day_files(api).into_keys().collect();
        assert!(names.iter().all(|name| name.ends_with(".gz")), "{names:?}");
        // A late record of such a day is filed beside it.
        let late = event(api, at(4 * DAY + newest() + 100), "late");
        sandbox.add(api, vec![late]);
        assert_eq!(catalog.collect_one(0, &["--since", "6d"])["appended"], 1);
        let beside = fs::read_to_string(path(&catalog, api, 4)).unwrap();
        assert_eq!(beside.lines().count(), 1, "{beside}");
        shown(&catalog, "verify", 0);
    }
}

/// The compressed file of a day.
fn gz(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.gz", path.display()))
}

#[test]
fn a_compressed_day_file_that_is_lost_is_named_everywhere_and_asked_for_again() {
    let cut = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let shorten = |path: &PathBuf| {
        let plain = path.with_extension("");
        fs::write(&plain, "").unwrap();
        gzip(&plain);
    };
    for (has_late, problem) in [
        (true, "compressed-missing"),
        (true, "compressed-damaged"),
        (false, "compressed-damaged"),
        (true, "fewer-records"),
        (false, "fewer-records"),
        (false, "missing"),
    ] {
        let sandbox = daily(9);
        let api = Api::Port;
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect_one(0, &[]);
        let day = path(&catalog, api, 4);
        gzip(&day);
        if has_late {
            sandbox.add(api, vec![event(api, at(4 * DAY + newest() + 100), "late")]);
            assert_eq!(catalog.collect_one(0, &["--since", "6d"])["appended"], 1);
        }
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
        match problem {
            "compressed-damaged" => cut(&gz(&day)),
            "fewer-records" => shorten(&gz(&day)),
            _ => fs::remove_file(gz(&day)).unwrap(),
        }
        if problem == "fewer-records" && has_late {
            // What `shorten` leaves is not the file that was beside it.
            assert!(!day.exists());
        }
        assert_eq!(wrong_days(&catalog), [problem], "{has_late}");
        let findings = shown(&catalog, "verify", 3)["findings"].to_string();
        assert!(findings.contains(problem), "{findings}");
        let problems = shown(&catalog, "status", 0)["problems"].to_string();
        assert!(
            problems.contains("the compressed day file") || problem == "missing",
            "{problems}"
        );
        let before = fs::read(gz(&day)).ok();
        let run = catalog.collect_one(0, &[]);
        assert!(run["warnings"].to_string().contains("has lost records"), "{run}");
        assert!(run["appended"].as_u64() >= Some(3), "{problem}: {run}");
        assert_eq!(fs::read(gz(&day)).ok(), before, "it is left as it is");
        // All of the day is in the file that can be read, each record once.
        let lines = fs::read_to_string(&day).unwrap();
        assert_eq!(lines.lines().count(), 3 + usize::from(has_late), "{problem}: {lines}");
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
        let again = catalog.collect_one(0, &["--since", "6d"]);
        assert_eq!(
            (&again["appended"], &again["warnings"]),
            (&0.into(), &Value::Array(Vec::new()))
        );
        if problem == "compressed-damaged" {
            shown(&catalog, "verify", 3);
            fs::remove_file(gz(&day)).unwrap();
        }
        shown(&catalog, "verify", 0);
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    }
}

#[test]
fn a_damaged_compressed_file_is_named_until_it_is_accepted_where_the_service_has_no_more_of_its_day() {
    let sandbox = daily(9);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    let day = path(&catalog, api, 8);
    gzip(&day);
    fs::write(gz(&day), "damaged").unwrap();
    let next = sandbox.request_count(api) + 1;
    sandbox.step(Step::at(api, next, Action::DropOldest(api, 3)));
    for _ in 0..2 {
        let run = catalog.collect_one(0, &[]);
        assert_eq!(run["appended"], 0, "{run}");
        assert_eq!(wrong_days(&catalog), ["compressed-damaged"]);
    }
    let accepted = catalog.run(&["coverage", "--accept-missing"]);
    assert!(
        accepted.stderr.contains("accepted: the compressed day file is damaged"),
        "{}",
        accepted.stderr
    );
    for _ in 0..2 {
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
        assert_eq!(catalog.collect_one(0, &[])["warnings"], Value::Array(Vec::new()));
    }
    // It still cannot be read.
    shown(&catalog, "verify", 3);
}

#[test]
fn a_damaged_compressed_file_of_the_newest_day_is_a_loss_like_any_other() {
    for days in [9, 1] {
        let sandbox = daily(days);
        let api = Api::Port;
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect_one(0, &[]);
        let newest = path(&catalog, api, 0);
        gzip(&newest);
        let packed = fs::read(gz(&newest)).unwrap();
        let damaged = &packed[..packed.len() - 5];
        fs::write(gz(&newest), damaged).unwrap();
        sandbox.add(api, vec![event(api, at(60), "new")]);
        let run = catalog.collect_one(0, &[]);
        assert!(run["warnings"].to_string().contains("has lost records"), "{run}");
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
        assert_eq!(fs::read(gz(&newest)).unwrap(), damaged);
        fs::remove_file(gz(&newest)).unwrap();
        catalog.assert_holds(api, &sandbox.events(api));
        assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
    }
}

/// A catalog of Port whose program no mode stops but its own: no mode stops root, so root's test runs it as somebody else.
#[cfg(unix)]
struct Guarded(Catalog);

#[cfg(unix)]
impl Guarded {
    /// The user and group that own nothing.
    const NOBODY: u32 = 65_534;

    fn of(sandbox: &Sandbox) -> Self {
        let catalog = Catalog::of(sandbox, &[Api::Port]);
        if rustix::process::geteuid().is_root() {
            for path in [catalog.root(), &catalog.folder(Api::Port)] {
                std::os::unix::fs::chown(path, Some(Self::NOBODY), Some(Self::NOBODY)).unwrap();
            }
        }
        Self(catalog)
    }

    fn collect(&self, code: i32) -> Value {
        use std::os::unix::process::CommandExt;

        let mut command = self.0.command(&["collect", "--json"]);
        if rustix::process::geteuid().is_root() {
            command.uid(Self::NOBODY).gid(Self::NOBODY);
        }
        let run = super::support::process::run(&mut command);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        run.summary().into_values().next().unwrap()
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
fn assert_names_and_advises(text: &str, file: &Path) {
    assert!(text.contains(file.file_name().unwrap().to_str().unwrap()), "{text}");
    assert!(
        text.contains("give the user that runs this program the right"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_day_file_that_cannot_be_read_holds_up_no_other_day() {
    for (days, unreadable) in [(9, 0), (1, 0), (9, 5)] {
        let sandbox = daily(days);
        let guarded = Guarded::of(&sandbox);
        let catalog = &guarded.0;
        guarded.collect(0);
        let file = path(catalog, Api::Port, unreadable);
        let bytes = fs::read(&file).unwrap();
        set_mode(&file, 0o000);
        let lost = u64::from(days > 1);
        if lost > 0 {
            fs::remove_file(path(catalog, Api::Port, 4)).unwrap();
        }
        sandbox.add(Api::Port, vec![event(Api::Port, at(60), "new")]);
        for appended in [3 * lost + u64::from(unreadable > 0), 0] {
            let run = guarded.collect(3);
            assert_names_and_advises(run["error"].as_str().unwrap(), &file);
            // Near midnight the new record can be of a day of its own.
            let is_of_two_days = at(60).date_naive() != at(newest()).date_naive();
            assert!(is_of_two_days || run["appended"] == appended, "{run}");
            assert_ne!(run["requests"], 0);
        }
        set_mode(&file, 0o644);
        assert_eq!(fs::read(&file).unwrap(), bytes, "nothing was written to it");
        guarded.collect(0);
        catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
        assert_eq!(wrong_days(catalog), Vec::<String>::new());
    }
}

#[cfg(unix)]
#[test]
fn a_compressed_file_that_cannot_be_read_is_no_loss_and_said_to_be_unknown() {
    for days_ago in [0, 5] {
        let sandbox = daily(9);
        let guarded = Guarded::of(&sandbox);
        let catalog = &guarded.0;
        guarded.collect(0);
        let file = path(catalog, Api::Port, days_ago);
        let text = fs::read(&file).unwrap();
        gzip(&file);
        set_mode(&gz(&file), 0o000);
        // Whether an old one can be read, shows when something of its day comes.
        let run = guarded.collect(if days_ago == 0 { 3 } else { 0 });
        let warnings = run["warnings"].to_string();
        assert!(warnings.contains("not known whether records are lost of "), "{run}");
        assert_names_and_advises(&warnings, &gz(&file));
        assert_eq!(run["appended"], 0, "{run}");
        set_mode(&gz(&file), 0o644);
        assert_eq!(guarded.collect(0)["warnings"], Value::Array(Vec::new()));
        assert_eq!(wrong_days(catalog), Vec::<String>::new());
        fs::remove_file(gz(&file)).unwrap();
        fs::write(&file, text).unwrap();
        catalog.assert_holds(Api::Port, &sandbox.events(Api::Port));
    }
}

#[test]
fn why_day_files_are_not_counted_is_said_as_it_is() {
    let sandbox = daily(3);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    let journal = catalog
        .folder(api)
        .join(format!(".trailkeeper/{}.coverage.jsonl", base_name(api)));
    let said = || shown(&catalog, "coverage", 0)["remarks"].clone();
    assert_eq!(said(), Value::Array(Vec::new()));
    fs::write(path(&catalog, api, 9), "").unwrap();
    let whole = fs::read(&journal).unwrap();
    let garbage = b"{\"version\":0}\n".to_vec();
    for (text, why) in [
        (Some(whole), "since no run in the journal has written to them"),
        (Some(garbage), "the journal cannot be read"),
        (None, "there is no journal"),
    ] {
        match text {
            Some(text) => fs::write(&journal, text).unwrap(),
            None => fs::remove_file(&journal).unwrap(),
        }
        let said = said().to_string();
        assert!(said.contains("not counted") && said.contains(why), "{said}");
    }
    // What is lost is named as such, and not as never counted.
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    cut(&path(&catalog, api, 1));
    assert_eq!(wrong_days(&catalog), ["shorter"]);
    assert_eq!(shown(&catalog, "coverage", 0)["remarks"], Value::Array(Vec::new()));
}

#[test]
fn a_day_in_both_forms_is_counted_once_and_told() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Port]);
    catalog.collect_one(0, &[]);
    let day = path(&catalog, Api::Port, 4);
    let whole = fs::read(&day).unwrap();
    gzip(&day);
    fs::write(&day, &whole).unwrap();
    let verified = shown(&catalog, "verify", 0);
    assert_eq!(
        (&verified["records"], &verified["in_both"], &verified["files"]),
        (&27.into(), &3.into(), &10.into())
    );
    for command in ["verify", "coverage"] {
        let remarks = shown(&catalog, command, 0)["remarks"].to_string();
        assert!(remarks.contains("in both forms, plain and compressed: 20"), "{remarks}");
    }
    assert_eq!(shown(&catalog, "status", 0)["records"]["all"], 27);
    assert_eq!(catalog.collect_one(0, &["--since", "6d"])["appended"], 0);
    // Either of them is enough.
    fs::remove_file(&day).unwrap();
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    fs::write(&day, &whole).unwrap();
    fs::remove_file(gz(&day)).unwrap();
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
}

#[test]
fn a_torn_line_that_was_repaired_is_no_fault_in_a_compressed_file_either() {
    let sandbox = daily(3);
    let catalog = Catalog::of(&sandbox, &[Api::Port]);
    catalog.collect_one(0, &[]);
    let day = path(&catalog, Api::Port, 0);
    let whole = fs::read(&day).unwrap();
    fs::write(&day, &whole[..whole.len() - 9]).unwrap();
    catalog.collect_one(0, &[]);
    assert_eq!(shown(&catalog, "verify", 0)["repaired"], 1);
    gzip(&day);
    assert_eq!(shown(&catalog, "verify", 0)["repaired"], 1);
}

#[cfg(unix)]
#[test]
fn a_torn_day_file_that_may_not_be_written_to_holds_up_no_other_day() {
    let sandbox = daily(9);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    let day = path(&catalog, api, 4);
    let whole = fs::read(&day).unwrap();
    fs::write(&day, &whole[..whole.len() - 9]).unwrap();
    let other = catalog.root().join("other");
    fs::hard_link(&day, &other).unwrap();
    sandbox.add(api, vec![event(api, at(60), "new")]);
    let run = catalog.collect_one(3, &[]);
    let error = run["error"].as_str().unwrap();
    assert!(
        error.contains(day.to_str().unwrap()) && error.contains("several names"),
        "{error}"
    );
    assert_eq!(run["appended"], 1, "{run}");
    assert_eq!(fs::read(&day).unwrap().len(), whole.len() - 9);
    fs::remove_file(&other).unwrap();
    assert_eq!(catalog.collect_one(0, &[])["appended"], 1);
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    shown(&catalog, "verify", 0);
}

#[test]
fn a_compressed_day_file_in_another_form_is_no_loss() {
    let sandbox = daily(9);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    let day = path(&catalog, api, 4);
    let whole = fs::read(&day).unwrap();
    gzip(&day);
    sandbox.add(api, vec![event(api, at(4 * DAY + newest() + 100), "late")]);
    catalog.collect_one(0, &["--since", "6d"]);
    let late = fs::read(&day).unwrap();
    let no_loss = |what: &str| {
        assert_eq!(wrong_days(&catalog), Vec::<String>::new(), "{what}");
        assert_eq!(catalog.collect_one(0, &["--since", "6d"])["appended"], 0, "{what}");
    };
    // Both joined in one compressed file, and that taken apart again.
    fs::write(&day, [whole.clone(), late.clone()].concat()).unwrap();
    gzip(&day);
    no_loss("joined");
    fs::remove_file(gz(&day)).unwrap();
    fs::write(&day, [late, whole].concat()).unwrap();
    no_loss("taken apart");
    assert_eq!(fs::read_to_string(&day).unwrap().lines().count(), 4);
}

#[test]
fn an_archive_that_is_gone_ends_the_run_with_both_ways_on() {
    for api in Api::ALL {
        let sandbox = daily(9);
        let catalog = Catalog::of(&sandbox, &[api]);
        catalog.collect_one(0, &[]);
        (0..9).for_each(|days| fs::remove_file(path(&catalog, api, days)).unwrap());
        let requests = sandbox.request_count(api);
        let gone = catalog.collect_one(3, &[]);
        let error = gone["error"].as_str().unwrap();
        assert!(error.contains("restore") && error.contains("--start-over"), "{error}");
        assert_eq!(sandbox.request_count(api), requests);
        // Run after run: that it failed has not made it forget.
        catalog.collect_one(3, &[]);
        let again = catalog.collect_one(0, &["--start-over"]);
        assert_eq!(again["appended"], 27, "{again}");
        catalog.assert_holds(api, &sandbox.events(api));
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    }
}

#[test]
fn what_has_the_name_of_a_day_file_and_is_none_is_named() {
    let sandbox = daily(3);
    let catalog = Catalog::of(&sandbox, &[Api::Disk]);
    catalog.collect_one(0, &[]);
    fs::create_dir(path(&catalog, Api::Disk, 30)).unwrap();
    let future = path(&catalog, Api::Disk, -400);
    fs::write(&future, "").unwrap();
    assert_eq!(wrong_days(&catalog), ["not-a-file", "future"]);
    shown(&catalog, "verify", 3);
    let check = catalog.run(&["check"]);
    assert!(check.stdout.contains("dated in the future"), "{}", check.stdout);
    #[cfg(unix)]
    {
        let day = path(&catalog, Api::Disk, 1);
        let moved = catalog.root().join("moved");
        fs::rename(&day, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &day).unwrap();
        assert_eq!(wrong_days(&catalog), ["not-a-file", "not-a-file", "future"]);
        let failed = catalog.collect_one(3, &[]);
        assert!(failed["error"].as_str().unwrap().contains("link"), "{failed}");
    }
}

#[test]
fn a_journal_of_another_host_or_an_older_one_hides_nothing() {
    let sandbox = daily(9);
    let api = Api::Port;
    let journal = |catalog: &Catalog| {
        let name = format!(".trailkeeper/{}.coverage.jsonl", base_name(api));
        catalog.folder(api).join(name)
    };
    // The other host has all; this one was down for some days.
    let other = Catalog::of(&sandbox, &[api]);
    other.collect_one(0, &[]);
    let catalog = Catalog::of(&sandbox, &[api]).with("INITIAL_LOOKBACK_DAYS", 2);
    catalog.collect_one(0, &[]);
    fs::copy(journal(&other), journal(&catalog)).unwrap();
    catalog.collect_one(0, &[]);
    catalog.assert_holds(api, &sandbox.events(api));

    // One from before the last runs.
    let old = fs::read(journal(&catalog)).unwrap();
    sandbox.add(api, vec![event(api, at(60), "new")]);
    catalog.collect_one(0, &[]);
    fs::write(journal(&catalog), old).unwrap();
    catalog.collect_one(0, &[]);
    catalog.assert_holds(api, &sandbox.events(api));
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
}

#[test]
fn a_lost_day_is_named_until_it_holds_as_much_again_or_is_accepted() {
    let sandbox = daily(9);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    fs::remove_file(path(&catalog, api, 8)).unwrap();
    // The service has dropped two of the three records of that day.
    let next = sandbox.request_count(api) + 1;
    sandbox.step(Step::at(api, next, Action::DropOldest(api, 2)));
    for _ in 0..3 {
        let run = catalog.collect_one(0, &[]);
        assert!(run["warnings"].to_string().contains("has lost records"), "{run}");
        assert_eq!(wrong_days(&catalog).len(), 1);
        shown(&catalog, "verify", 3);
        assert_eq!(catalog.run(&["status", "--max-age", "7d"]).code, 3);
        assert_eq!(catalog.run(&["coverage", "--fail-on-gaps"]).code, 3);
    }
    // Runs with a filter do not hide it either.
    let catalog = catalog.with("PORT_API_QUERY", "status=SUCCESS");
    catalog.collect_one(0, &[]);
    let catalog = catalog.with("PORT_API_QUERY", "");
    catalog.collect_one(0, &[]);
    assert_eq!(wrong_days(&catalog).len(), 1);
    assert_eq!(catalog.run(&["coverage", "--accept-missing"]).code, 0);
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
    catalog.collect_one(0, &[]);
    shown(&catalog, "verify", 0);
    // What is left is guarded.
    fs::remove_file(path(&catalog, api, 8)).unwrap();
    assert_eq!(wrong_days(&catalog), ["missing"]);
}

#[test]
fn a_day_that_was_lost_while_runs_had_another_filter_is_asked_for_again_without_it() {
    let sandbox = daily(9);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]);
    catalog.collect_one(0, &[]);
    let catalog = catalog.with("PORT_API_QUERY", "status=FAILURE");
    fs::remove_file(path(&catalog, api, 4)).unwrap();
    (0..3).for_each(|_| drop(catalog.collect_one(0, &[])));
    let catalog = catalog.with("PORT_API_QUERY", "");
    assert_eq!(catalog.collect_one(0, &[])["appended"], 3);
    catalog.assert_holds(api, &sandbox.events(api));
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
}

#[test]
fn a_run_that_cannot_open_the_archive_forgets_nothing() {
    let sandbox = daily(9);
    let api = Api::Port;
    let catalog = Catalog::of(&sandbox, &[api]).with("INITIAL_LOOKBACK_DAYS", 3);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &["--since", "8d", "--until", "6d"]);
    let before = shown(&catalog, "coverage", 0);
    // A folder is in the place of the rejected file, which says what the torn lines of day files are.
    let rejected = catalog
        .folder(api)
        .join(format!(".trailkeeper/{}.rejected.jsonl", base_name(api)));
    fs::create_dir(&rejected).unwrap();
    catalog.collect_one(3, &[]);
    fs::remove_dir(&rejected).unwrap();
    let after = shown(&catalog, "coverage", 0);
    for field in ["covered", "known_from", "last_complete", "remarks", "wrong_days"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    catalog.collect_one(0, &[]);
    assert!(shown(&catalog, "coverage", 0)["covered"].as_array().unwrap().len() == 1);
}

#[test]
fn a_damaged_compressed_file_is_named_in_plain_words() {
    let sandbox = daily(3);
    for suffix in ["gz", "zst"] {
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        catalog.collect_one(0, &[]);
        let packed = path(&catalog, Api::Mail, 20).with_extension(format!("log.{suffix}"));
        fs::write(&packed, "not compressed at all").unwrap();
        let found = shown(&catalog, "verify", 3)["findings"].clone();
        let expected = format!(
            "cannot read {}: the compressed file is damaged or cut off; restore it from a copy",
            packed.canonicalize().unwrap().display()
        );
        assert_eq!(
            (&found[0]["problem"], &found[0]["text"]),
            (&"unreadable".into(), &expected.into())
        );
    }
}

#[test]
fn what_zstd_has_compressed_is_read_where_it_is_installed() {
    let sandbox = daily(3);
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    let file = path(&catalog, Api::Mail, 0);
    let Ok(status) = Command::new("zstd").args(["-q", "--rm"]).arg(&file).status() else {
        println!("SKIPPED: zstd is not installed");
        return;
    };
    assert!(status.success());
    assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
    assert_eq!(shown(&catalog, "verify", 0)["records"], 9);
}

#[test]
fn a_line_of_a_closed_day_that_was_whole_and_is_torn_or_another_is_a_loss_and_asked_for_again() {
    let sandbox = daily(9);
    // What is left of the file: torn, with an end of its own, blank, of other lines, and as long as it was.
    let changes: [fn(&str) -> Vec<u8>; 5] = [
        |text| text.as_bytes()[..text.len() - 40].to_vec(),
        |text| [&text.as_bytes()[..text.len() - 40], b"\n"].concat(),
        |text| {
            text.split_inclusive('\n')
                .take(2)
                .chain(["\n"])
                .collect::<String>()
                .into()
        },
        |text| "{}\n".repeat(text.lines().count()).into(),
        |text| vec![0; text.len()],
    ];
    for change in changes {
        let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
        catalog.collect_one(0, &[]);
        let file = path(&catalog, Api::Tfc, 4);
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, change(&before)).unwrap();
        catalog.collect_one(0, &[]);
        catalog.collect_one(0, &[]);
        let after = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for line in before.lines() {
            assert!(after.contains(line), "{line} is not filed again: {after}");
        }
        assert_eq!(wrong_days(&catalog), Vec::<String>::new(), "{after}");
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_just_after_the_repair_of_a_closed_day_does_not_hide_its_loss() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    let file = path(&catalog, Api::Tfc, 4);
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, &before[..before.len() - 40]).unwrap();
    // As the run leaves it that is killed then: noted, and ended with a newline.
    let offset = before[..before.len() - 1].rfind('\n').unwrap() + 1;
    let name = file.file_name().unwrap().to_str().unwrap();
    let rejected = catalog
        .folder(Api::Tfc)
        .join(format!(".trailkeeper/{}.rejected.jsonl", base_name(Api::Tfc)));
    let note = format!(
        "{{\"noted_at\": \"2026-01-01T00:00:00.000Z\", \"reason\": \"a crash left this line torn\", \"file\": \"{name}\", \
         \"offset\": {offset}, \"fragment\": \"x\"}}\n"
    );
    fs::write(rejected, note).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(b"\n")
        .unwrap();
    catalog.collect_one(0, &[]);
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.contains(before.lines().last().unwrap()), "{after}");
    assert_eq!(wrong_days(&catalog), Vec::<String>::new());
}

#[test]
fn a_torn_line_that_the_service_has_no_more_stays_a_loss_until_it_is_accepted() {
    let sandbox = daily(9);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &[]);
    let file = path(&catalog, Api::Tfc, 4);
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, &before[..before.len() - 40]).unwrap();
    let forgetful = serve(|options| options.give(Api::Tfc, vec![event(Api::Tfc, at(900), "new")]));
    let catalog = catalog.pointing_at(&forgetful);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &[]);
    assert_eq!(wrong_days(&catalog), ["shorter"]);
    let warnings = catalog.collect_one(0, &[])["warnings"].to_string();
    assert!(warnings.contains("--accept-missing"), "{warnings}");
    for _ in ["there is something to accept", "there is nothing"] {
        assert_eq!(catalog.run(&["coverage", "--accept-missing"]).code, 0);
        assert_eq!(wrong_days(&catalog), Vec::<String>::new());
        let status = shown(&catalog, "status", 0);
        assert_eq!(
            (&status["state"], &status["problems"]),
            (&"ok".into(), &Value::Array(Vec::new())),
            "{status}"
        );
    }
}

#[test]
fn who_accepts_losses_is_not_taken_for_a_run() {
    let catalog = Catalog::of(&daily(1), &[Api::Tfc]);
    assert_eq!(catalog.run(&["coverage", "--accept-missing"]).code, 0);
    let status = shown(&catalog, "status", 0);
    assert_eq!(
        (&status["state"], &status["problems"]),
        (&"new".into(), &Value::Array(Vec::new())),
        "{status}"
    );
}

#[test]
fn what_was_never_fetched_of_a_lost_day_is_not_accepted_with_it() {
    let sandbox = daily(12);
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]).with("MAIL_INITIAL_LOOKBACK_DAYS", 4);
    catalog.collect_one(0, &[]);
    let oldest = path(&catalog, Api::Mail, 4);
    // The rest of that day, and days before it, were asked for in vain.
    let refused = serve(|options| options.step(Step::always(Api::Mail, Action::Answer(Answer::json(500, "{}")))));
    catalog = catalog.pointing_at(&refused).with("MAX_RETRIES", 0);
    catalog.collect_one(3, &["--since", "10d"]);
    let _ = fs::remove_file(&oldest);
    catalog = catalog.pointing_at(&sandbox);
    assert_eq!(catalog.run(&["coverage", "--accept-missing"]).code, 0);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &[]);
    assert!(
        path(&catalog, Api::Mail, 7).exists(),
        "days before it are still asked for"
    );
}

#[test]
fn where_a_retention_deletes_the_last_day_file_nothing_of_it_is_filed_again() {
    let quiet = serve(|options| options.give(Api::Mail, vec![event(Api::Mail, at(10 * DAY), "old")]));
    let catalog = Catalog::of(&quiet, &[Api::Mail])
        .with("KEEP_DAYS", 7)
        .with("MAIL_INITIAL_LOOKBACK_DAYS", 20);
    catalog.collect_one(0, &[]);
    for (name, _) in catalog.day_files(Api::Mail) {
        fs::remove_file(catalog.folder(Api::Mail).join(name)).unwrap();
    }
    for _ in 0..3 {
        let run = catalog.collect_one(0, &[]);
        assert_eq!(
            (&run["appended"], &run["warnings"]),
            (&0.into(), &Value::Array(Vec::new())),
            "{run}"
        );
    }
    assert_eq!(catalog.day_files(Api::Mail).len(), 0);
}

#[test]
fn without_a_filter_what_runs_with_it_asked_for_is_asked_for_again() {
    let sandbox = daily(12);
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]).with("MAIL_INITIAL_LOOKBACK_DAYS", 14);
    catalog.set("MAIL_API_QUERY", "excludeUids=1");
    catalog.collect_one(0, &["--since", "14d"]);
    // Only the newest days match, as far as the files tell.
    for days_ago in 4..12 {
        let _ = fs::remove_file(path(&catalog, Api::Mail, days_ago));
    }
    catalog.run(&["coverage", "--accept-missing"]);
    catalog.unset("MAIL_API_QUERY");
    catalog.collect_one(0, &[]);
    assert!(
        path(&catalog, Api::Mail, 9).exists(),
        "what is before the first day file is asked for too"
    );
}
