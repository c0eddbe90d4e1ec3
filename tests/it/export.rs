//! `export`: the records of the reference, hashes that other programs confirm, and what is said of what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Event, Sandbox, samples};

use crate::search::{Archive, Query, gzip, of_samples, rows_of, start};
use crate::strict_json::DUCKDB;
use crate::support::process::run_with_input;
use crate::support::random::{many, random_of};
use crate::support::{Catalog, PATIENCE, Run, at, base_name, event, serve, succeed, wait_until};

const DAY: i64 = 86_400;

/// How many archives are drawn, with as many queries each.
const CASES: u32 = 6;

/// The folder of a bundle.
struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// Exports to a folder of this name, which must end with `code`.
    fn of(catalog: &Catalog, name: &str, code: i32, arguments: &[&str]) -> (Self, Run) {
        let path = catalog.root().join(name);
        let to = path.to_str().unwrap();
        let run = catalog.run(&[&["export", "--to", to], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}\n{}{}", run.stdout, run.stderr);
        (Self { path }, run)
    }

    fn manifest(&self) -> Value {
        serde_json::from_str(&self.text("manifest.json")).unwrap()
    }

    /// What the manifest says of a stream.
    fn part(&self, api: Api) -> Value {
        let manifest = self.manifest();
        let parts = manifest["streams"].as_array().unwrap();
        parts.iter().find(|part| part["stream"] == api.name()).unwrap().clone()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }

    /// Asserts that the hashes are those of the files and of what was read, by another program.
    fn assert_hashes(&self, catalog: &Catalog) {
        let checked = succeed(
            Command::new("sha256sum")
                .args(["--strict", "-c", "SHA256SUMS"])
                .current_dir(&self.path),
        );
        let files = fs::read_dir(&self.path).unwrap().count();
        assert_eq!(checked.stdout.lines().count(), files - 1, "all but the list itself");
        let manifest = self.manifest();
        let mut hashed = Vec::new();
        for file in manifest["files"].as_array().unwrap() {
            let path = self.path.join(file["name"].as_str().unwrap());
            assert_eq!(file["bytes"], fs::metadata(&path).unwrap().len());
            hashed.push(json!([path, file["bytes"], file["sha256"]]));
        }
        for part in manifest["streams"].as_array().unwrap() {
            let api = Api::ALL.into_iter().find(|api| part["stream"] == api.name()).unwrap();
            for source in part["sources"].as_array().unwrap() {
                let path = catalog.folder(api).join(source["file"].as_str().unwrap());
                hashed.push(json!([path, source["bytes"], source["sha256"]]));
            }
        }
        let input = json!(hashed).to_string().into_bytes();
        let run = run_with_input(Command::new("python3").args(["-c", WRONG_HASHES]), input);
        assert_eq!(run.stdout, "[]\n", "{}", run.stderr);
    }
}

/// Prints which files do not begin with so many bytes that have this hash.
const WRONG_HASHES: &str = "
import hashlib, json, sys
hash = lambda path, length: hashlib.sha256(open(path, 'rb').read()[:length]).hexdigest()
print([path for path, length, expected in json.load(sys.stdin) if hash(path, length) != expected])
";

#[test]
fn whatever_is_asked_for_the_bundle_has_the_records_of_the_reference_and_hashes_that_others_confirm() {
    for case in 0..u64::from(many(CASES)) {
        let random = &mut random_of(case);
        let archive = Archive::draw(random);
        let before = archive.catalog.tree();
        let folder = tempfile::tempdir().unwrap();
        for number in 0..4 {
            let query = Query::draw(random);
            if !query.is_plain() {
                continue;
            }
            let path = folder.path().join(number.to_string());
            let mut arguments: Vec<String> = query.arguments();
            if query.since.is_none() {
                arguments.push("--since=2000-01-01".to_owned());
            }
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let run = archive
                .catalog
                .run(&[&["export", "--to", path.to_str().unwrap()], &*arguments].concat());
            assert_eq!(run.code, 0, "{query:?}: {}", run.stderr);
            let (bundle, mut expected) = (Bundle { path }, BTreeMap::<_, Vec<_>>::new());
            for (stream, line) in archive.found(&query) {
                expected.entry(stream).or_default().push(line);
            }
            for api in [Api::Mail, Api::Tfc] {
                let expected = expected.remove(api.name()).unwrap_or_default();
                let text = bundle.text(&format!("{}.ndjson", api.name()));
                assert_eq!(text.lines().collect::<Vec<_>>(), expected, "case {case}: {query:?}");
                let part = bundle.part(api);
                assert_eq!(part["records"], expected.len());
                let days = part["days"].as_array().unwrap().iter();
                let of_days: u64 = days.map(|day| day["records"].as_u64().unwrap()).sum();
                assert_eq!(of_days as usize, expected.len());
            }
            bundle.assert_hashes(&archive.catalog);
        }
        archive.catalog.assert_unchanged(&before);
    }
}

#[test]
fn csv_is_that_of_search_and_a_bundle_without_a_record_has_its_files_all_the_same() {
    let catalog = of_samples();
    let (bundle, _) = Bundle::of(&catalog, "csv", 0, &["--since", "2020-01-01", "--format", "csv"]);
    for api in Api::ALL {
        let searched = catalog.run(&["search", "--csv", "--stream", api.name()]).stdout;
        assert_eq!(bundle.text(&format!("{}.csv", api.name())), searched);
    }
    let excel = ["--since", "2020-01-01", "--format", "csv", "--bom", "--user", "nobody"];
    let (empty, run) = Bundle::of(&catalog, "excel", 0, &excel);
    assert_eq!(
        empty.text("port.csv"),
        "\u{feff}time,stream,event,user,address,object,id,failure\r\n"
    );
    assert!(run.stdout.contains(": 0 records"), "{}", run.stdout);
    let filters = &empty.manifest()["query"]["filters"];
    assert_eq!(*filters, json!([{"option": "user", "values": ["nobody"]}]));
    empty.assert_hashes(&catalog);
}

/// Two records that no strict parser takes.
fn with_odd_records() -> Catalog {
    let catalog = of_samples();
    let lines = "{\"id\": \"odd\", \"timestamp\": \"2025-06-01T10:00:00Z\", \"auth\": {\"description\": \"half \\ud83d\"}}\n\
                 {\"id\": \"large\", \"timestamp\": \"2025-06-01T11:00:00Z\", \"n\": 1e999}\n";
    fs::write(catalog.folder(Api::Tfc).join("tfc_audit_2025-06-01.log"), lines).unwrap();
    catalog
}

#[cfg(feature = "parquet")]
#[test]
fn half_a_character_is_replaced_in_parquet_counted_and_said() {
    let catalog = with_odd_records();
    let (bundle, run) = Bundle::of(&catalog, "odd", 0, &["--since", "2020-01-01", "--format", "parquet"]);
    let (lines, _) = Bundle::of(&catalog, "lines", 0, &["--since", "2020-01-01"]);
    for api in Api::ALL {
        let text = lines.text(&format!("{}.ndjson", api.name()));
        let repaired = text.lines().filter(|line| strict_copy(line).is_some()).count();
        assert_eq!(bundle.part(api)["repaired"], repaired);
        let said = format!("{}: {repaired} records were repaired", api.name());
        assert_eq!(run.stdout.contains(&said), repaired > 0, "{}", run.stdout);
        assert!(api != Api::Tfc || repaired > 1, "{repaired}");
    }
    let page = bundle.text("about.html");
    for word in [
        "half a character",
        "a number beyond 1e308 is a text of its digits",
        "<code>line</code>",
    ] {
        assert!(page.contains(word), "{word}");
    }
    bundle.assert_hashes(&catalog);
    // Elsewhere each line is as it was.
    assert!(lines.text("tfc.ndjson").contains("half \\ud83d"));
}

#[test]
fn half_a_character_in_a_column_is_replaced_in_csv_counted_and_said() {
    let catalog = with_odd_records();
    let (bundle, run) = Bundle::of(
        &catalog,
        "odd",
        0,
        &["--since", "2020-01-01", "--format", "csv", "--until", "2025-06-02"],
    );
    assert_eq!(bundle.part(Api::Tfc)["repaired"], 1);
    assert!(run.stdout.contains("tfc: 1 records were repaired"), "{}", run.stdout);
    assert_eq!(rows_of(&bundle.text("tfc.csv"))[1][3], "half \u{fffd}");
    let page = bundle.text("about.html");
    assert!(
        page.contains("1 record is not as the service gave it: a text held half a character"),
        "{page}"
    );
    // What is in no column needs no repair.
    let (lines, run) = Bundle::of(&catalog, "lines", 0, &["--since", "2020-01-01"]);
    assert_eq!(lines.part(Api::Tfc)["repaired"], 0);
    assert!(!run.stdout.contains("repaired"), "{}", run.stdout);
}

/// What Parquet has in the place of a line that strict parsers refuse.
fn strict_copy(line: &str) -> Option<String> {
    let mut copy = String::new();
    trailkeeper::json::push_strict(line, &mut copy).then_some(copy)
}

/// Prints the rows of a Parquet file in the form of the CSV, and in the last column its line.
const ROWS: &str = r#"
import duckdb, json, sys
query = """select strftime(time at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'), stream, event, "user", address, object, id, failure, line
           from read_parquet(?, file_row_number = true) order by file_row_number"""
rows = duckdb.execute(query, [sys.argv[1]]).fetchall()
types = [row[1] for row in duckdb.execute("describe select time, line from read_parquet(?)", [sys.argv[1]]).fetchall()]
print(json.dumps({"rows": [[cell or "" for cell in row] for row in rows], "types": types}))
"#;

/// On a machine without the package it says that it was not run; `.ci/run` sees to it that it is.
#[cfg(feature = "parquet")]
#[test]
fn duckdb_reads_from_parquet_what_is_in_the_csv_and_the_lines() {
    let test = "duckdb_reads_from_parquet_what_is_in_the_csv_and_the_lines";
    let Some(python) = DUCKDB.python(test) else { return };
    let catalog = of_samples();
    let all = ["--since", "2020-01-01", "--format"];
    let (parquet, _) = Bundle::of(&catalog, "parquet", 0, &[&all[..], &["parquet"]].concat());
    let (csv, _) = Bundle::of(&catalog, "csv", 0, &[&all[..], &["csv"]].concat());
    let (lines, _) = Bundle::of(&catalog, "lines", 0, &[&all[..], &["ndjson"]].concat());
    for api in Api::ALL {
        let path = parquet.path.join(format!("{}.parquet", api.name()));
        let run = succeed(Command::new(&python).args(["-c", ROWS]).arg(path));
        let read: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(read["types"], json!(["TIMESTAMP WITH TIME ZONE", "VARCHAR"]));
        let mut expected = rows_of(&csv.text(&format!("{}.csv", api.name()))).split_off(1);
        let text = lines.text(&format!("{}.ndjson", api.name()));
        let rows: Vec<Vec<String>> = serde_json::from_value(read["rows"].clone()).unwrap();
        for ((expected, row), line) in expected.iter_mut().zip(&rows).zip(text.lines()) {
            if let Some(copy) = strict_copy(line) {
                // Its columns are those of the copy.
                assert_eq!(*row.last().unwrap(), copy);
                expected.clone_from(row);
            } else {
                expected.push(line.to_owned());
            }
        }
        assert_eq!(rows, expected, "{api:?}");
    }
}

/// An archive of mail with a record for each of some days, but for two of them that no run asked for.
fn with_a_gap() -> Catalog {
    let records: Vec<Event> = (1..12)
        .map(|day| event(Api::Mail, at(day * DAY), &day.to_string()))
        .collect();
    let sandbox = serve(|options| options.give(Api::Mail, records));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("INITIAL_LOOKBACK_DAYS", 3);
    catalog.collect_one(0, &[]);
    catalog.collect_one(0, &["--since", "10d", "--until", "6d"]);
    catalog
}

#[test]
fn what_is_missing_is_named_in_the_manifest_on_the_page_and_on_standard_error() {
    let catalog = with_a_gap();
    let before = catalog.tree();
    let outside = tempfile::tempdir().unwrap();
    let to = |name: &str| outside.path().join(name);
    let export = |name: &str, code: i32, arguments: &[&str]| {
        let path = to(name);
        Bundle::of(&catalog, path.to_str().unwrap(), code, arguments)
    };
    let (whole, run) = export("whole", 0, &["--since", "2d"]);
    let part = whole.part(Api::Mail);
    assert_eq!((&part["is_complete"], &part["records"]), (&json!(true), &json!(1)));
    let kinds = |bundle: &Bundle| -> Vec<String> {
        let part = bundle.part(Api::Mail);
        let gaps = part["gaps"].as_array().unwrap();
        gaps.iter()
            .map(|gap| gap["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds(&whole), ["since-last-run"]);
    assert!(!run.stderr.contains("not complete"), "{}", run.stderr);
    assert!(run.stdout.contains("yes"), "{}", run.stdout);
    export("whole-too", 0, &["--since", "2d", "--fail-on-gaps"]);

    let (lacking, run) = export("lacking", 0, &["--since", "20d"]);
    assert_eq!(kinds(&lacking), ["never-asked", "open", "since-last-run"]);
    assert_eq!(lacking.manifest()["is_complete"], false);
    assert!(run.stderr.contains("not complete: a gap from"), "{}", run.stderr);
    assert!(
        run.stderr.contains("the service was never asked for it"),
        "{}",
        run.stderr
    );
    let page = lacking.text("about.html");
    assert!(page.contains("Not complete") && page.contains("the service was never asked for it"));
    assert!(!page.contains("<script") && !page.contains("src="));
    let (_, run) = export("quiet", 0, &["--since", "20d", "-q"]);
    assert_eq!((&*run.stdout, &*run.stderr), ("", ""), "nothing failed");
    let (_, run) = export("quiet-failing", 3, &["--since", "20d", "-q", "--fail-on-gaps"]);
    assert!(
        run.stderr.contains("ERROR") && run.stderr.contains("a gap from"),
        "{}",
        run.stderr
    );
    let (_, run) = export("failing", 3, &["--since", "20d", "--fail-on-gaps", "--json"]);
    let shown: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&shown["exit_code"], &shown["is_complete"]), (&json!(3), &json!(false)));
    assert!(
        to("failing").join("manifest.json").exists(),
        "it is written all the same"
    );

    // A part of the time that is covered is complete; each end of a gap is that of the time that was asked for.
    let (_, _) = export("between", 0, &["--since", "9d", "--until", "7d", "--fail-on-gaps"]);
    let (gap, _) = export("gap", 3, &["--since", "5d", "--until", "4d", "--fail-on-gaps"]);
    let part = gap.part(Api::Mail);
    let query = &gap.manifest()["query"];
    assert_eq!(
        (&part["gaps"][0]["from"], &part["gaps"][0]["to"]),
        (&query["since"], &query["until"])
    );
    catalog.assert_unchanged(&before);
}

#[test]
fn days_that_lost_records_or_may_have_been_deleted_are_not_complete() {
    let records: Vec<Event> = (1..9)
        .map(|day| event(Api::Mail, at(day * DAY), &day.to_string()))
        .collect();
    let sandbox = serve(|options| options.give(Api::Mail, records));
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    let lost = catalog.day_files(Api::Mail).into_keys().nth(1).unwrap();
    fs::remove_file(catalog.folder(Api::Mail).join(&lost)).unwrap();
    let (bundle, _) = Bundle::of(&catalog, "lost", 3, &["--since", "10d", "--fail-on-gaps"]);
    let part = bundle.part(Api::Mail);
    assert_eq!(part["wrong_days"][0]["problem"], "missing");
    assert!(lost.contains(part["wrong_days"][0]["date"].as_str().unwrap()));
    catalog.set("KEEP_DAYS", 3);
    let (bundle, _) = Bundle::of(&catalog, "deleted", 3, &["--since", "10d", "--fail-on-gaps"]);
    let part = bundle.part(Api::Mail);
    let gaps = part["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["kind"] == "may-be-deleted"), "{part}");
    Bundle::of(&catalog, "kept", 0, &["--since", "2d", "--fail-on-gaps"]);
}

/// An archive of eight days of mail, with three records each.
fn of_eight_days() -> (Sandbox, Catalog) {
    let records = (1..9).flat_map(|day| (0..3).map(move |n| (day, n)));
    let records: Vec<Event> = records
        .map(|(day, n)| event(Api::Mail, at(day * DAY + n), &format!("{day}-{n}")))
        .collect();
    let sandbox = serve(|options| options.give(Api::Mail, records));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    (sandbox, catalog)
}

#[test]
fn a_loss_that_was_accepted_stays_one_until_the_records_are_back() {
    let (_sandbox, catalog) = of_eight_days();
    let days: Vec<String> = catalog.day_files(Api::Mail).into_keys().collect();
    let [missing, cut] = [1, 3].map(|day| catalog.folder(Api::Mail).join(&days[day]));
    let whole = fs::read(&missing).unwrap();
    fs::remove_file(&missing).unwrap();
    let first_line = fs::read_to_string(&cut).unwrap().lines().next().unwrap().to_owned() + "\n";
    fs::write(&cut, &first_line).unwrap();
    Bundle::of(&catalog, "lost", 3, &["--since", "10d", "--fail-on-gaps"]);
    catalog.run(&["coverage", "--accept-missing"]);
    let (bundle, run) = Bundle::of(&catalog, "accepted", 0, &["--since", "10d", "--fail-on-gaps"]);
    let part = bundle.part(Api::Mail);
    assert_eq!(
        (&bundle.manifest()["is_complete"], &part["is_complete"]),
        (&json!(false), &json!(false))
    );
    let wrong = part["wrong_days"].as_array().unwrap();
    let problems: Vec<_> = wrong.iter().map(|day| (&day["problem"], &day["is_accepted"])).collect();
    let accepted = json!(true);
    assert_eq!(
        problems,
        [(&json!("missing"), &accepted), (&json!("shorter"), &accepted)]
    );
    assert_eq!(run.stderr.matches("; accepted").count(), 2, "{}", run.stderr);
    // What is lost of it after that was not accepted.
    fs::write(&cut, " ".repeat(first_line.len() - 1) + "\n").unwrap();
    Bundle::of(&catalog, "blank", 3, &["--since", "10d", "--fail-on-gaps"]);
    // What it had before the first loss is what counts.
    fs::write(&cut, "").unwrap();
    catalog.run(&["coverage", "--accept-missing"]);
    fs::write(&cut, &first_line).unwrap();
    let (bundle, _) = Bundle::of(&catalog, "twice", 0, &["--since", "10d", "--fail-on-gaps"]);
    assert_eq!(bundle.part(Api::Mail)["wrong_days"].as_array().unwrap().len(), 2);
    fs::write(&missing, whole).unwrap();
    let (bundle, _) = Bundle::of(&catalog, "back", 0, &["--since", "10d", "--fail-on-gaps"]);
    assert_eq!(bundle.part(Api::Mail)["wrong_days"].as_array().unwrap().len(), 1);
}

#[test]
fn a_day_with_fewer_lines_than_were_written_is_not_complete_however_long_its_file_is() {
    let (_sandbox, catalog) = of_eight_days();
    let days: Vec<String> = catalog.day_files(Api::Mail).into_keys().collect();
    let path = catalog.folder(Api::Mail).join(&days[2]);
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let third = second + whole[second..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let zeros = [&whole[..second + 5], &vec![0; whole.len() - second - 5][..]].concat();
    let blank = [
        &whole[..second],
        &vec![b' '; third - second - 1][..],
        b"\n",
        &whole[third..],
    ]
    .concat();
    let newlines = [&whole[..second], &whole[third..], &vec![b'\n'; third - second][..]].concat();
    for (number, damaged) in [zeros, blank, newlines].into_iter().enumerate() {
        assert_eq!(damaged.len(), whole.len());
        fs::write(&path, damaged).unwrap();
        for filter in [&[][..], &["--user", "nobody"]] {
            let to = format!("out-{number}-{}", filter.len());
            let arguments = [&["--since", "10d", "--fail-on-gaps"], filter].concat();
            let (bundle, _) = Bundle::of(&catalog, &to, 3, &arguments);
            let part = bundle.part(Api::Mail);
            assert_eq!(part["is_complete"], false);
            let is_told = part["wrong_days"][0]["problem"] == "fewer-lines" || part["not_records"] != 0;
            assert!(is_told, "{part}");
        }
    }
    fs::write(&path, whole).unwrap();
    Bundle::of(&catalog, "whole", 0, &["--since", "10d", "--fail-on-gaps"]);
}

#[test]
fn a_record_that_no_filter_was_applied_to_makes_a_bundle_not_complete_if_it_may_be_of_that_time() {
    let good = event(Api::Mail, at(7_200), "good");
    let bad = Event::new(at(7_100), "bad", r#"{"uniqId":"bad","user":"somebody"}"#);
    let sandbox = serve(|options| options.give(Api::Mail, vec![good, bad]));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    let (bundle, run) = Bundle::of(
        &catalog,
        "out",
        3,
        &["--since", "1d", "--user", "somebody", "--fail-on-gaps"],
    );
    let part = bundle.part(Api::Mail);
    assert_eq!(
        (&part["rejected_of_that_time"], &part["is_complete"]),
        (&json!(1), &json!(false))
    );
    assert!(run.stderr.contains("no filter was applied"), "{}", run.stderr);
    let (bundle, _) = Bundle::of(&catalog, "before", 0, &["--since", "400d", "--until", "300d"]);
    assert_eq!(bundle.part(Api::Mail)["rejected_of_that_time"], 0);
}

#[test]
fn what_cannot_be_read_is_named_and_everything_else_is_exported() {
    let catalog = of_samples();
    let whole = gzip(b"{}\n");
    let path = catalog.folder(Api::Tfc).join("tfc_audit_2024-01-01.log.gz");
    fs::write(path, &whole[..whole.len() - 5]).unwrap();
    fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
    let (bundle, run) = Bundle::of(&catalog, "out", 3, &["--since", "2020-01-01"]);
    for (api, word) in [(Api::Tfc, "damaged or cut off"), (Api::Disk, "cannot list")] {
        let not_read = &bundle.part(api)["not_read"];
        assert!(not_read.to_string().contains(word), "{not_read}");
        assert!(run.stderr.contains(word), "{}", run.stderr);
    }
    assert_eq!(bundle.part(Api::Tfc)["records"], samples(Api::Tfc).unwrap().len());
    assert_eq!(bundle.part(Api::Port)["not_read"], json!([]));
    let not_read = bundle.part(Api::Disk)["not_read"].as_array().unwrap().len();
    assert_eq!(
        (not_read, run.stderr.matches("cannot list").count()),
        (1, 1),
        "{}",
        run.stderr
    );
    bundle.assert_hashes(&catalog);
}

#[test]
fn a_bundle_without_lines_that_are_no_records_is_not_complete() {
    let records = (1..9).map(|day| event(Api::Mail, at(day * DAY), &day.to_string()));
    let sandbox = serve(|options| options.give(Api::Mail, records.collect()));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]);
    catalog.collect_one(0, &[]);
    Bundle::of(&catalog, "whole", 0, &["--since", "10d", "--fail-on-gaps"]);
    let days: Vec<_> = catalog.day_files(Api::Mail).into_iter().collect();
    // As long as it was, with all its lines: nothing but their content is wrong. The newer day is damaged first.
    for (name, content) in days[2..4].iter().rev() {
        let end = content.len() - 1;
        let damaged = [&b"x".repeat(end)[..], b"\n"].concat();
        fs::write(catalog.folder(Api::Mail).join(name), damaged).unwrap();
    }
    // Whatever is asked for: who knows what stood there.
    let (bundle, run) = Bundle::of(&catalog, "damaged", 3, &["--since", "10d", "--user", "nobody"]);
    let part = bundle.part(Api::Mail);
    assert_eq!(
        (&part["is_complete"], &part["not_records"]),
        (&json!(false), &json!(2)),
        "{part}"
    );
    let not_read: Vec<String> = serde_json::from_value(part["not_read"].clone()).unwrap();
    let told = |name: &str| format!("{name}: the line at byte 0 is no record; trailkeeper verify names them");
    assert!(
        not_read[0].ends_with(&told(&days[2].0)) && not_read[1].ends_with(&told(&days[3].0)),
        "{not_read:?}"
    );
    assert_eq!(not_read.len(), 2);
    let page = bundle.text("about.html");
    assert!(
        page.contains("Lines that are no records") && page.contains(&not_read[0]),
        "{page}"
    );
    assert!(run.stderr.contains(&not_read[1]), "{}", run.stderr);
    bundle.assert_hashes(&catalog);
    Bundle::of(&catalog, "behind", 0, &["--since", "4d", "--fail-on-gaps"]);
}

#[test]
fn the_page_says_what_was_asked_for_and_what_is_to_be_known() {
    let catalog = of_samples();
    let page = |name: &str, filters: &[&str]| {
        let (bundle, run) = Bundle::of(
            &catalog,
            name,
            0,
            &[&["--since", "2020-01-01", "--stream", "tfc"], filters].concat(),
        );
        (bundle.text("about.html"), run)
    };
    let (all, run) = page("all", &[]);
    assert!(all.contains("All records of these streams and this time were asked for."));
    // A remark, on the page and on the terminal.
    let remark = "not counted: 2 days from 2025-06-08 to 2025-06-09, since there is no journal; whether records are lost of them is not known";
    assert!(
        all.contains(remark) && run.stdout.contains(&format!("tfc: {remark}")),
        "{}{all}",
        run.stdout
    );
    let (some, _) = page("some", &["--user", "a", "--user", "b", "--ignore-case"]);
    assert!(some.contains("Only records that match all of these were asked for") && some.contains("a or b"));
    assert!(some.contains("Upper and lower case are the same."));
    assert!(!some.contains("NOT match"));
    let (others, _) = page("others", &["--user", "a", "--invert"]);
    assert!(
        others.contains("Only the records of this time that do NOT match were asked for"),
        "{others}"
    );
    assert!(!others.contains(">invert<"), "{others}");
}

#[test]
fn nobodys_files_are_overwritten_and_nothing_is_written_into_an_archive() {
    let catalog = of_samples();
    let refused = |to: &str, code: i32, arguments: &[&str], word: &str| {
        let run = catalog.run(&[&["export", "--since", "2020-01-01", "--to", to], arguments].concat());
        assert_eq!(run.code, code, "{to}: {}", run.stderr);
        assert!(run.stderr.contains(word), "{to}: {}", run.stderr);
    };
    let root = catalog.root();
    fs::create_dir(root.join("full")).unwrap();
    fs::write(root.join("full/letter.txt"), "kept").unwrap();
    fs::write(root.join("file"), "kept").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join("full"), root.join("link")).unwrap();
    let inside = format!("{}/new", base_name(Api::Tfc));
    let before = catalog.tree();
    refused("full", 1, &[], "it holds letter.txt: name a new or an empty folder");
    refused("file", 1, &[], "is not a folder");
    refused("absent/new", 1, &[], "absent");
    refused(&inside, 1, &[], "the folder of a stream; name a folder elsewhere");
    refused(
        &inside,
        1,
        &["--stream", "port"],
        "the folder of a stream; name a folder elsewhere",
    );
    #[cfg(unix)]
    refused(
        "link",
        1,
        &[],
        "link is a symbolic link, which is not followed here: name the folder",
    );
    refused("new", 2, &["--bom"], "--format csv");
    refused("new", 2, &["--until", "2019-01-01"], "must be before --until");
    refused("new", 2, &["--format", "xlsx"], "possible values: ndjson, csv, parquet");
    refused("new", 2, &["--regex", "--user", "("], "--user");
    catalog.assert_unchanged(&before);
    fs::create_dir(root.join("empty")).unwrap();
    Bundle::of(&catalog, "empty", 0, &["--since", "2020-01-01"]);
}

#[cfg(unix)]
#[test]
fn nobody_but_their_owner_can_read_the_files_and_a_folder_that_was_there_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;

    let catalog = of_samples();
    let there = catalog.root().join("there");
    fs::create_dir(&there).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, expected) in [("new", 0o700), ("there", 0o755)] {
        let (bundle, _) = Bundle::of(&catalog, name, 0, &["--since", "2020-01-01"]);
        assert_eq!(mode(&bundle.path), expected);
        for entry in fs::read_dir(&bundle.path).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }
}

/// An archive that takes a while to read.
fn large() -> Catalog {
    let catalog = of_samples();
    let folder = catalog.folder(Api::Tfc);
    let line = fs::read_to_string(folder.join("tfc_audit_2025-06-09.log")).unwrap();
    let many = line.repeat(40_000_000_usize.div_ceil(line.len()));
    for day in 0..4 {
        let date = (start() - TimeDelta::days(10 + day)).date_naive();
        fs::write(folder.join(format!("tfc_audit_{date}.log")), &many).unwrap();
    }
    catalog
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[cfg(unix)]
#[test]
fn an_export_that_is_ended_leaves_nothing_and_one_that_is_killed_is_seen_to_be_unfinished() {
    let catalog = large();
    let to = catalog.root().join("out");
    let start = || {
        let process = catalog.start(&[
            "export",
            "--since",
            "2020-01-01",
            "--to",
            to.to_str().unwrap(),
            "--json",
        ]);
        wait_until("a record is written", PATIENCE, || {
            fs::metadata(to.join("tfc.ndjson.unfinished")).is_ok_and(|file| file.len() > 0)
        });
        process
    };
    let run = start().terminate();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr
            .contains("the export was interrupted, and nothing is left of it"),
        "{}",
        run.stderr
    );
    let error: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&error["error"]["kind"], &error["exit_code"]),
        (&json!("interrupted"), &json!(3))
    );
    assert!(!to.exists());
    start().kill();
    let left = names(&to);
    assert!(left.iter().all(|name| name.ends_with(".unfinished")), "{left:?}");
    let again = catalog.run(&["export", "--since", "2020-01-01", "--to", to.to_str().unwrap()]);
    assert_eq!(again.code, 1);
    assert!(
        again.stderr.contains(".unfinished: name a new or an empty folder"),
        "{}",
        again.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_leaves_nothing() {
    let catalog = large();
    let arguments = ["export", "--since", "2020-01-01", "--to", "out"];
    let run = catalog.run_in_shell("ulimit -f 2000", &arguments);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("cannot write to out/tfc.ndjson"), "{}", run.stderr);
    assert!(!catalog.root().join("out").exists());
}

#[test]
fn what_is_appended_while_it_is_read_is_not_in_it() {
    let catalog = of_samples();
    let folder = catalog.folder(Api::Mail);
    let record = json!({"eventType": "x", "date": "2025-06-01T10:00:00Z", "userLogin": "a"});
    let path = folder.join("mail_audit_2025-06-01.log");
    fs::write(&path, format!("{record}\n{{\"eventType\": \"to")).unwrap();
    let (bundle, _) = Bundle::of(&catalog, "out", 0, &["--since", "2020-01-01", "--until", "2025-06-02"]);
    let part = bundle.part(Api::Mail);
    let source = &part["sources"][0];
    assert_eq!(
        (&part["records"], &source["bytes"]),
        (&json!(1), &json!(record.to_string().len() + 1))
    );
    bundle.assert_hashes(&catalog);
}

#[test]
fn a_file_that_is_being_appended_to_is_exported_up_to_a_whole_line_and_its_hash_is_of_that() {
    let catalog = of_samples();
    let path = catalog.folder(Api::Mail).join("mail_audit_2025-06-01.log");
    let mut file = fs::File::create(&path).unwrap();
    let is_over = AtomicBool::new(false);
    let append = || {
        for number in 0..100_000 {
            let record = json!({"eventType": "x", "date": "2025-06-01T10:00:00Z", "uniqId": number.to_string()});
            let line = format!("{record}\n");
            let (one, other) = line.split_at(number % line.len());
            for part in [one, other] {
                file.write_all(part.as_bytes()).unwrap();
            }
            if is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(append);
        for name in ["one", "two", "three"] {
            let arguments = [
                "--since",
                "2025-06-01",
                "--until",
                "2025-06-02",
                "--stream",
                "yandex-mail",
            ];
            let (bundle, _) = Bundle::of(&catalog, name, 0, &arguments);
            bundle.assert_hashes(&catalog);
            for (number, line) in bundle.text("yandex-mail.ndjson").lines().enumerate() {
                let record: Value = serde_json::from_str(line).unwrap();
                assert_eq!(record["uniqId"], number.to_string());
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_default_end_is_now() {
    let catalog = of_samples();
    let (before, (bundle, _)) = (Utc::now(), Bundle::of(&catalog, "out", 0, &["--since", "2020-01-01"]));
    let until = &bundle.manifest()["query"]["until"];
    let until: chrono::DateTime<Utc> = until.as_str().unwrap().parse().unwrap();
    assert!(before - TimeDelta::milliseconds(1) <= until && until <= Utc::now());
}

#[test]
fn time_that_no_run_has_asked_for_is_not_complete() {
    let records = (0..40).map(|n| event(Api::Tfc, at(60 + n * 600), &n.to_string()));
    let sandbox = serve(|options| options.give(Api::Tfc, records.collect()));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect_one(0, &["--until", "3h"]);
    for (name, times) in [
        // It ends where a run was told to end, and not where one began.
        ("since", &["--since", "5h"][..]),
        ("past", &["--since", "2h", "--until", "1h"]),
        ("now", &["--since", "2h"]),
        ("over", &["--since", "4h", "--until", "1h"]),
        ("future", &["--since", "2999-01-01", "--until", "2999-01-02"]),
    ] {
        let (bundle, _) = Bundle::of(&catalog, name, 3, &[times, &["--fail-on-gaps"]].concat());
        let part = bundle.part(Api::Tfc);
        assert_eq!(part["is_complete"], false, "{name}: {part}");
        assert_ne!(part["gaps"], json!([]), "{name}");
    }
    catalog.collect_one(0, &[]);
    let (bundle, _) = Bundle::of(&catalog, "all", 0, &["--since", "4h", "--fail-on-gaps"]);
    assert_eq!(bundle.part(Api::Tfc)["is_complete"], true);
    let (bundle, _) = Bundle::of(
        &catalog,
        "ahead",
        3,
        &["--since", "4h", "--until", "2999-01-01", "--fail-on-gaps"],
    );
    assert_eq!(bundle.part(Api::Tfc)["is_complete"], false);
}
