//! Records that strict JSON parsers refuse, on their way to a sink: the real binary, real sockets, and the parsers.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use crate::forwarding::Listener;
use crate::support::process::run_with_input;
use crate::support::{Catalog, PythonPackage, Run, at, event, serve, succeed, tool};

/// How many of the records need a copy, and how many are taken as they are.
const REFUSED: usize = 4;
const TAKEN: usize = 1;

pub(crate) const DUCKDB: PythonPackage = PythonPackage {
    name: "duckdb",
    named_by: "PYTHON_WITH_DUCKDB",
    import: "import duckdb",
};

/// A service whose records are JSON, but not what every parser takes.
fn hostile_service() -> Sandbox {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let (deep, nines) = (nested(200), "9".repeat(400));
    let fields = [
        r#""half":"\ud83d and \udcff","\ud800":"a key""#.to_owned(),
        format!(r#""huge":[1e400,-1.50E+999,{nines},1.7976931348623158e308]"#),
        format!(r#""deep":{deep}"#),
        format!(r#""all":[{deep},1e400,"\udbff"]"#),
        r#""fine":"\ud83d\ude00 \u0000 1e400 \\ud800","n":[1e308,1e-400,12345678901234567890123456789]"#.to_owned(),
    ];
    assert_eq!(fields.len(), REFUSED + TAKEN);
    let events = fields.iter().zip(60..).map(|(fields, age)| {
        let mut event = event(Api::Tfc, at(age), &format!("hostile-{age}"));
        event.text = format!("{}, {fields}}}", event.text.strip_suffix('}').unwrap());
        event
    });
    let events = events.collect();
    serve(|options| options.give(Api::Tfc, events))
}

/// A catalog with its records.
fn hostile() -> Catalog {
    let sandbox = hostile_service();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    assert_eq!(catalog.collect_one(0, &[])["appended"], REFUSED + TAKEN);
    catalog
}

fn is_taken(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// What standard output is sent.
fn to_stdout(catalog: &Catalog, arguments: &[&str]) -> Run {
    let run = catalog.run(&[&["forward", "stdout", "--since", "1d", "--json", "-q"], arguments].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    run
}

fn to_http(catalog: &Catalog) -> Value {
    let run = catalog.run(&["forward", "http", "--json", "--forward-from", "start"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    summary["streams"][0]["forward"][0].clone()
}

#[test]
fn standard_output_gets_copies_of_what_is_refused_and_all_else_as_it_is() {
    let mut catalog = hostile();
    let files = catalog.day_files(Api::Tfc);
    let lines = catalog.lines(Api::Tfc);
    let plain = to_stdout(&catalog, &[]);
    assert_eq!(plain.stdout.lines().collect::<Vec<_>>(), lines);
    assert_eq!(plain.stdout.lines().filter(|line| !is_taken(line)).count(), REFUSED);
    let summary: Value = serde_json::from_str(&plain.stderr).unwrap();
    assert_eq!(summary["streams"][0]["forward"][0]["repaired"], 0);

    let strict = to_stdout(&catalog, &["--strict-json"]);
    assert_eq!(strict.stdout.lines().count(), lines.len());
    for (sent, line) in strict.stdout.lines().zip(&lines) {
        assert!(is_taken(sent), "{sent}");
        assert_eq!(sent == line, is_taken(line), "{sent}");
    }
    let summary: Value = serde_json::from_str(&strict.stderr).unwrap();
    let forward = &summary["streams"][0]["forward"][0];
    assert_eq!(
        (&forward["sent"], &forward["repaired"]),
        (&json!(REFUSED + TAKEN), &json!(REFUSED))
    );
    catalog.set("STDOUT_FORWARD_STRICT_JSON", "yes");
    assert_eq!(to_stdout(&catalog, &[]).stdout, strict.stdout);
    assert_eq!(catalog.day_files(Api::Tfc), files);
}

#[test]
fn a_copy_says_what_the_record_said() {
    let strict = to_stdout(&hostile(), &["--strict-json"]);
    let records = strict
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let records: Vec<_> = records.collect();
    let of = |name: &str| {
        let mut found = records.iter().filter_map(|record| record.get(name));
        found.next().unwrap().clone()
    };
    assert_eq!(
        (of("half"), of("\u{fffd}")),
        (json!("\u{fffd} and \u{fffd}"), json!("a key"))
    );
    let nines = "9".repeat(400);
    assert_eq!(
        of("huge"),
        json!(["1e400", "-1.50E+999", nines, "1.7976931348623158e308"])
    );
    // The record is the first level.
    let mut inner = &of("deep");
    for _ in 0..99 {
        inner = &inner[0];
    }
    assert_eq!(*inner, json!("[".repeat(101) + &"]".repeat(101)));
}

/// Python's own parser takes more than others: its result must be text and numbers that can be written again.
const PYTHON: &str = r#"
import json, sys
for line in sys.stdin.buffer:
    json.dumps(json.loads(line), allow_nan=False, ensure_ascii=False).encode()
    print("taken")
"#;

#[test]
fn jq_and_python_take_every_message_and_would_not_without_the_copies() {
    let catalog = hostile();
    let sent = [&[][..], &["--strict-json"]].map(|arguments| to_stdout(&catalog, arguments).stdout);
    for (name, arguments) in [("jq", ["-c", "."]), ("python3", ["-c", PYTHON])] {
        for (is_strict, lines) in [false, true].into_iter().zip(&sent) {
            let Some(mut parser) = tool(name, name) else { continue };
            let run = run_with_input(parser.args(arguments), lines.clone().into_bytes());
            let is_whole = run.code == 0 && run.stdout.lines().count() == REFUSED + TAKEN;
            assert_eq!(is_whole, is_strict, "{name}: {}", run.stderr);
        }
    }
}

/// Prints how many records DuckDB reads from a file, as a table with a column for each field.
const COUNT: &str = r#"
import duckdb, sys
query = "select count(*) from (select * from read_json_auto(?, format = 'newline_delimited'))"
print(duckdb.execute(query, [sys.argv[1]]).fetchone()[0])
"#;

/// On a machine without the package it says that it was not run; `.ci/run` sees to it that it is.
#[test]
fn duckdb_takes_every_message_and_would_not_without_the_copies() {
    let test = "duckdb_takes_every_message_and_would_not_without_the_copies";
    let Some(python) = DUCKDB.python(test) else { return };
    let catalog = hostile();
    let path = catalog.root().join("sent.jsonl");
    let count = |arguments: &[&str]| {
        fs::write(&path, to_stdout(&catalog, arguments).stdout).unwrap();
        crate::support::process::run(Command::new(&python).args(["-c", COUNT]).arg(&path))
    };
    let refused = count(&[]);
    assert!(refused.stderr.contains("Malformed JSON"), "{}", refused.stderr);
    let taken = count(&["--strict-json"]);
    assert_eq!(taken.stdout.trim(), (REFUSED + TAKEN).to_string(), "{}", taken.stderr);
}

/// The program of the sample for Vector, in Vector's own language.
fn vector_program() -> String {
    let sample = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/samples/agents/vector.yaml")).unwrap();
    let (_, program) = sample.split_once("source: |\n").unwrap();
    program.split("\nsinks:").next().unwrap().to_owned()
}

#[test]
fn vectors_sample_takes_every_message_and_reroutes_what_it_would_refuse() {
    let Some(vrl) = tool(
        "vrl",
        "none; cargo install vrl --no-default-features --features cli,stdlib",
    ) else {
        return;
    };
    let (program, catalog) = (vector_program(), hostile());
    let files = ["program", "events"].map(|name| catalog.root().join(name));
    fs::write(&files[0], program).unwrap();
    let refused = |arguments: &[&str]| {
        let sent = to_stdout(&catalog, arguments).stdout;
        let events = sent
            .lines()
            .map(|line| json!({"message": line, "file": "a"}).to_string() + "\n");
        fs::write(&files[1], events.collect::<String>()).unwrap();
        let mut command = Command::new(vrl.get_program());
        let run = succeed(command.arg("-p").arg(&files[0]).arg("-i").arg(&files[1]).arg("-o"));
        (run.stdout + &run.stderr).matches("unable to parse json").count()
    };
    assert_eq!((refused(&[]), refused(&["--strict-json"])), (REFUSED, 0));
}

#[test]
fn a_listener_gets_copies_in_every_format() {
    for format in ["array", "ndjson", "splunk-hec"] {
        let listener = Listener::start(|_| 200);
        let catalog = hostile()
            .with("HTTP_FORWARD_URL", &listener.address)
            .with("HTTP_FORWARD_FORMAT", format)
            .with("HTTP_FORWARD_STRICT_JSON", "yes");
        let summary = to_http(&catalog);
        assert_eq!(
            (&summary["sent"], &summary["repaired"]),
            (&json!(REFUSED + TAKEN), &json!(REFUSED))
        );
        let body = &listener.requests()[0].body;
        match format {
            "array" => assert!(is_taken(body), "{body}"),
            _ => assert!(body.lines().all(is_taken), "{body}"),
        }
        let marked = body.matches(r#"","repaired":"true"},"event":"#).count();
        assert_eq!(marked, if format == "splunk-hec" { REFUSED } else { 0 });
    }
}

#[test]
fn of_a_copy_that_is_undelivered_the_line_is_kept_and_it_does_not_count() {
    let listener = Listener::start(|request| if request.body.contains("\"huge\"") { 413 } else { 200 });
    let catalog = hostile()
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("HTTP_FORWARD_STRICT_JSON", "yes");
    let summary = to_http(&catalog);
    let expected = [REFUSED + TAKEN - 1, REFUSED - 1, 1];
    assert_eq!(
        ["sent", "repaired", "undelivered"].map(|name| summary[name].clone()),
        expected.map(Value::from)
    );
    let path = catalog
        .folder(Api::Tfc)
        .join(".trailkeeper")
        .join(format!("{}.undelivered.jsonl", crate::support::base_name(Api::Tfc)));
    let undelivered = fs::read_to_string(path).unwrap();
    let lines = catalog.lines(Api::Tfc);
    let line = lines.iter().find(|line| line.contains("\"huge\"")).unwrap();
    assert!(undelivered.contains(line), "{undelivered}");
}

#[test]
fn collecting_sends_copies_too_and_counts_them_in_summary_and_metrics() {
    let listener = Listener::start(|_| 200);
    let sandbox = hostile_service();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("HTTP_FORWARD_URL", &listener.address);
    let arguments = "collect --forward-http --forward-from start --strict-json --metrics-file m.prom";
    let run = succeed(&mut catalog.command(&arguments.split(' ').collect::<Vec<_>>()));
    let said = format!(
        "tfc to http: {} sent ({REFUSED} as repaired copies), 0 waiting",
        REFUSED + TAKEN
    );
    assert!(run.stdout.contains(&said), "{}", run.stdout);
    let metrics = fs::read_to_string(catalog.root().join("m.prom")).unwrap();
    let labels = "{stream=\"tfc\",forwarder=\"http\"}";
    for (name, count) in [("forwarded", REFUSED + TAKEN), ("forwarded_repaired", REFUSED)] {
        let line = format!("trailkeeper_{name}_records_total{labels} {count}\n");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
    assert!(is_taken(&listener.requests()[0].body));
}
