//! The recipes and the queries that the book shows print what it shows.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use trailkeeper::sandbox::Api;

use crate::search::gzip;
use crate::strict_json::DUCKDB;
use crate::support::process::run_with_input;
use crate::support::{Catalog, base_name, process, serve, tool};

/// Where the pages say that the archive is.
const FOLDERS: &str = "/var/log/audit-trails/";

/// The records, each with its stream.
const RECORDS: &str = include_str!("recipes.jsonl");

fn archive() -> Catalog {
    let sandbox = serve(|options| options);
    let streams = [Api::Port, Api::Mail, Api::Audit, Api::Tfc];
    let catalog = Catalog::of(&sandbox, &streams).with("PATH", "/usr/local/bin:/usr/bin:/bin");
    for line in RECORDS.lines() {
        let day = ["2025-06-09", "2025-06-10"]
            .into_iter()
            .find(|day| line.contains(day))
            .unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let api = streams.into_iter().find(|api| line["stream"] == api.name()).unwrap();
        let path = catalog.folder(api).join(format!("{}_{day}.log", base_name(api)));
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{before}{}\n", line["record"])).unwrap();
    }
    // A day in both forms, as `gzip -k` leaves it and with one more that came late: each record counts once.
    let day = catalog.folder(Api::Tfc).join("tfc_audit_2025-06-09.log");
    let lines = fs::read_to_string(&day).unwrap();
    let compressed: String = lines.split_inclusive('\n').take(2).collect();
    fs::write(day.with_extension("log.gz"), gzip(compressed.as_bytes())).unwrap();
    catalog
}

/// A block of code of a page.
struct Block {
    kind: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let parts = text.split("```").skip(1).step_by(2);
    let blocks = parts.map(|part| {
        let (kind, text) = part.split_once('\n').unwrap();
        Block {
            kind: kind.to_owned(),
            text: text.to_owned(),
        }
    });
    blocks.collect()
}

#[test]
fn every_recipe_prints_what_the_page_shows() {
    if tool("jq", "jq").is_none() {
        return;
    }
    let catalog = archive();
    let before = catalog.tree();
    let recipes: Vec<_> = blocks("recipes.md")
        .into_iter()
        .filter(|block| block.kind == "console recipe")
        .collect();
    assert!(recipes.len() >= 10, "{}", recipes.len());
    for Block { text, .. } in recipes {
        let is_of_command = |line: &&str| line.starts_with("$ ") || line.starts_with("> ");
        let command: Vec<_> = text.lines().filter(is_of_command).map(|line| &line[2..]).collect();
        let expected: String = text
            .lines()
            .filter(|line| !is_of_command(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let binary = env!("CARGO_BIN_EXE_trailkeeper");
        let script = format!("set -e; trailkeeper() {{ {binary} \"$@\"; }}\n{}", command.join("\n"));
        let run = process::run(catalog.place(Command::new("sh").args(["-c", &script])));
        assert_eq!(run.code, 0, "{text}\n{}", run.stderr);
        assert_eq!(run.stdout.replace("\r\n", "\n"), expected, "{text}");
    }
    catalog.assert_unchanged(&before);
}

/// Runs queries in one database, and prints their columns and rows.
const RUN: &str = "
import duckdb, json, sys
database = duckdb.connect()
database.execute(\"set timezone = 'UTC'\")
answers = []
for query in json.load(sys.stdin):
    answer = database.execute(query)
    columns = [column[0] for column in answer.description]
    answers.append([columns] + [['' if cell is None else str(cell) for cell in row] for row in answer.fetchall()])
print(json.dumps(answers))
";

/// On a machine without the package it says that it was not run; `.ci/run` sees to it that it is.
#[cfg(feature = "parquet")]
#[test]
fn duckdb_answers_every_query_of_the_book_as_the_page_shows() {
    let Some(python) = DUCKDB.python("duckdb_answers_every_query_of_the_book_as_the_page_shows") else {
        return;
    };
    let catalog = archive();
    let blocks = blocks("sql.md");
    let export = blocks
        .iter()
        .find(|block| block.text.starts_with("trailkeeper export"))
        .unwrap();
    let arguments: Vec<_> = export.text.split_whitespace().skip(1).collect();
    assert_eq!(catalog.run(&arguments).code, 0);
    let is_query = |block: &Block| block.kind == "sql";
    let queries: Vec<_> = blocks
        .iter()
        .filter(|block| is_query(block))
        .map(|block| block.text.clone())
        .collect();
    assert!(queries.len() >= 5, "{}", queries.len());
    // The folder of a stream is named after its files here.
    let folders = [
        ("port/", Api::Port),
        ("audit/", Api::Audit),
        ("mail/", Api::Mail),
        ("tfc/", Api::Tfc),
    ];
    let here = |query: &String| {
        folders.iter().fold(query.clone(), |query, (name, api)| {
            let of_page = query.replace(
                &format!("{FOLDERS}{name}"),
                &format!("{}/", catalog.folder(*api).display()),
            );
            // The page has the name of the samples of settings.
            of_page.replace("/yandex_audit_", &format!("/{}_", base_name(Api::Audit)))
        })
    };
    let input = json!(queries.iter().map(here).collect::<Vec<_>>())
        .to_string()
        .into_bytes();
    let mut command = Command::new(python);
    let run = run_with_input(command.args(["-c", RUN]).current_dir(catalog.root()), input);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let answers: Vec<Vec<Vec<String>>> = serde_json::from_str(&run.stdout).unwrap();
    let shown = blocks
        .iter()
        .zip(blocks.iter().skip(1))
        .filter(|(query, _)| is_query(query));
    for ((query, shown), answer) in shown.zip(answers) {
        assert_eq!(shown.kind, "text");
        let rows = shown
            .text
            .lines()
            .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect());
        assert_eq!(answer, rows.collect::<Vec<Vec<String>>>(), "{}", query.text);
    }
}
