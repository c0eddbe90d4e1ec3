//! `search` against a slow reference: parse every record, filter, and compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, samples};

use crate::support::random::{many, random_of};
use crate::support::{Catalog, Run, base_name, event, process, serve};

/// How many archives are drawn, with as many queries each.
const CASES: u64 = 12;

/// An archive that nobody has collected, since searching asks no service.
pub(crate) struct Archive {
    pub(crate) catalog: Catalog,
    /// The records of each stream in the order of its files, with the line of each.
    records: BTreeMap<&'static str, Vec<(DateTime<Utc>, String)>>,
}

pub(crate) fn start() -> DateTime<Utc> {
    "2025-06-08T00:00:00Z".parse().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const WORDS: [&str; 9] = [
    "billing",
    "Billing",
    "plan",
    "a,b \"c\"",
    "день\n2",
    "x/y~z",
    "=1+1",
    "\\u0041",
    "A",
];

/// A text as another program can write it: some characters as escapes.
fn spelled(text: &str, random: &mut Rng) -> String {
    let mut spelled = String::from("\"");
    for character in text.chars() {
        let units: Vec<u16> = character.encode_utf16(&mut [0; 2]).to_vec();
        let has_to = matches!(character, '"' | '\\' | '\n');
        if has_to || random.u8(..) < 30 {
            units
                .iter()
                .for_each(|unit| spelled.push_str(&format!("\\u{unit:04X}")));
        } else if character == '/' && random.bool() {
            spelled.push_str("\\/");
        } else {
            spelled.push(character);
        }
    }
    spelled + "\""
}

/// A record of HCP Terraform or of mail with drawn values.
fn line(is_mail: bool, time: DateTime<Utc>, number: usize, random: &mut Rng) -> String {
    let word = |random: &mut Rng| spelled(WORDS[random.usize(..WORDS.len())], random);
    let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let (user, object, odd) = (word(random), word(random), word(random));
    let space = if random.bool() { " " } else { "" };
    let extra = match random.u8(..5) {
        0 => format!("[1,{{\"k\":{odd}}},null,1e400,18446744073709551616]"),
        1 => "null".to_owned(),
        2 => "{\"a/b\":{\"\":true}}".to_owned(),
        3 => "\"\\ud83d\"".to_owned(),
        _ => odd,
    };
    if is_mail {
        let address = ["192.0.2.7", "192.0.2.200", "2001:db8::61", "", "unknown"][random.usize(..5)];
        format!(
            "{{\"eventType\":{space}\"message_seen\",\"date\":\"{time}\",\"userLogin\":{user},\"subject\":{object},\"uniqId\":\"{number}\",\
             \"clientIp\":\"{address}\",\"extra\":{space}{extra}}}"
        )
    } else {
        let meta = match random.u8(..3) {
            0 => format!("{{\"workspace\":{object}}}"),
            1 => format!("{{\"workspace\":{{\"id\":\"ws-{number}\",\"name\":{space}{object}}}}}"),
            _ => "null".to_owned(),
        };
        format!(
            "{{\"id\":\"{number}\",\"timestamp\":\"{time}\",\"auth\":{{\"description\":{user}}},\"resource\":{{\"id\":\"r-{number}\",\
             \"type\":\"run\",{space}\"action\":\"apply\",\"meta\":{meta}}},\"extra\":{extra}}}"
        )
    }
}

/// Notes the torn lines of a day file as repaired, as a run does: they hold no record.
fn note_torn_lines(catalog: &Catalog, api: Api, name: &str, content: &str) {
    let mut notes = String::new();
    for (offset, _) in content.match_indices("{\"torn\": \"\n") {
        let note = json!({"noted_at": "2025-06-10T00:00:00Z", "reason": "torn line, repaired", "file": name, "offset": offset, "fragment": ""});
        notes += &format!("{note}\n");
    }
    let folder = catalog.folder(api).join(".trailkeeper");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{}.rejected.jsonl", base_name(api)));
    let before = fs::read_to_string(&path).unwrap_or_default();
    fs::write(path, before + &notes).unwrap();
}

impl Archive {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let sandbox = serve(|options| options);
        let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
        let mut records: BTreeMap<&'static str, Vec<_>> = BTreeMap::new();
        for api in [Api::Mail, Api::Tfc] {
            for day in 0..4 {
                let day = start() + TimeDelta::days(day);
                let mut content = String::new();
                for number in 0..random.usize(..40) {
                    if random.u8(..) < 10 {
                        content += "{\"torn\": \"\n";
                    }
                    let time = day + TimeDelta::milliseconds(random.i64(0..86_400_000));
                    let line = line(api == Api::Mail, time, number, random);
                    content += &format!("{line}\n");
                    records.entry(api.name()).or_default().push((time, line));
                }
                let name = format!("{}_{}.log", base_name(api), day.date_naive());
                let path = catalog.folder(api).join(&name);
                note_torn_lines(&catalog, api, &name, &content);
                match random.u8(..5) {
                    0 => fs::write(path.with_extension("log.gz"), gzip(content.as_bytes())).unwrap(),
                    // Both, as `gzip -k` leaves it: each record counts once.
                    1 => {
                        fs::write(path.with_extension("log.gz"), gzip(content.as_bytes())).unwrap();
                        fs::write(path, content + "{\"being\": \"appended").unwrap();
                    }
                    // What came late, of which some was compressed already: it is no copy, and each record counts once.
                    2 if content.lines().count() > 2 && !content.starts_with("{\"torn") => {
                        let lines: Vec<_> = content.split_inclusive('\n').collect();
                        let (packed, plain) = (random.usize(1..lines.len()), random.usize(1..lines.len()));
                        fs::write(path.with_extension("log.gz"), gzip(lines[..packed].concat().as_bytes())).unwrap();
                        let late = lines[plain.min(packed)..].concat();
                        note_torn_lines(&catalog, api, &name, &late);
                        fs::write(path, late).unwrap();
                    }
                    _ => fs::write(path, content + "{\"being\": \"appended").unwrap(),
                }
            }
        }
        Self { catalog, records }
    }

    /// What the reference finds, day by day and stream by stream.
    fn expected(&self, query: &Query) -> Vec<String> {
        self.found(query).into_iter().map(|(_, line)| line).collect()
    }

    /// The same with the stream of each line.
    pub(crate) fn found(&self, query: &Query) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (stream, records) in &self.records {
            for (time, line) in records {
                let value: Value = serde_json::from_str(&for_serde(line)).unwrap();
                let is_in_time =
                    query.since.is_none_or(|since| *time >= since) && query.until.is_none_or(|until| *time < until);
                if is_in_time && query.filters.iter().all(|filter| filter.matches(&value)) != query.invert {
                    found.push((time.date_naive(), *stream, line.clone()));
                }
            }
        }
        let order = |stream: &str| [Api::Mail, Api::Tfc].iter().position(|api| api.name() == stream);
        found.sort_by_key(|(day, stream, _)| (*day, order(stream)));
        found.into_iter().map(|(_, stream, line)| (stream, line)).collect()
    }
}

/// What serde does not read as this program does stands for itself: numbers beyond its own, and half a character.
fn for_serde(line: &str) -> String {
    line.replace("1e400", "\"1e400\"")
        .replace("18446744073709551616", "\"18446744073709551616\"")
        .replace("\"\\ud83d\"", "\"\\\\ud83d\"")
}

#[derive(Debug)]
enum Filter {
    User(Vec<String>),
    Object(Vec<String>),
    Id(Vec<String>),
    Event(Vec<String>),
    Text(Vec<String>),
    Where(&'static str, Vec<String>),
    Network(IpAddr, u32),
}

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    filters: Vec<Filter>,
    invert: bool,
}

/// Whether a text is what a pattern describes, character by character.
fn is_like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|from| is_like(rest, &text[from..])),
        ['?', rest @ ..] => !text.is_empty() && is_like(rest, &text[1..]),
        ['\\', escaped @ ('*' | '?' | '\\'), rest @ ..] => text.first() == Some(escaped) && is_like(rest, &text[1..]),
        [first, rest @ ..] => text.first() == Some(first) && is_like(rest, &text[1..]),
    }
}

fn like(patterns: &[String], text: &str) -> bool {
    let characters = |text: &str| text.chars().collect::<Vec<_>>();
    patterns
        .iter()
        .any(|pattern| is_like(&characters(pattern), &characters(text)))
}

fn texts_of<'a>(value: &'a Value, pointers: &[&str]) -> Vec<&'a str> {
    let found = pointers.iter().filter_map(|pointer| value.pointer(pointer)?.as_str());
    found.filter(|text| !text.is_empty()).collect()
}

fn scalars(value: &Value) -> Vec<String> {
    match value {
        Value::Array(elements) => elements.iter().flat_map(scalars).collect(),
        Value::Object(members) => members.values().flat_map(scalars).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

impl Filter {
    fn draw(random: &mut Rng) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        for _ in 0..random.usize(1..3) {
            let word = WORDS[random.usize(..WORDS.len())].replace('\\', "\\\\");
            patterns.push(match random.u8(..4) {
                0 => format!(
                    "*{}*",
                    word.chars().next().filter(|first| *first != '\\').unwrap_or('u')
                ),
                1 => word.replace('l', "?"),
                _ => word,
            });
        }
        match random.u8(..9) {
            0 => Self::User(patterns),
            1 => Self::Object(patterns),
            2 => Self::Id(vec![random.u8(..40).to_string()]),
            3 => Self::Event(vec![
                ["run apply", "apply", "message_seen", "run *"][random.usize(..4)].to_owned(),
            ]),
            4 => Self::Where("/extra", patterns),
            5 => Self::Where("/extra/a~1b/", vec!["true".to_owned()]),
            6 => Self::Where("/extra/1/k", patterns),
            7 => Self::Network("192.0.2.0".parse().unwrap(), [24, 25][random.usize(..2)]),
            _ => Self::Text(patterns),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let option = |name: &str, patterns: &[String]| patterns.iter().map(|text| format!("--{name}={text}")).collect();
        match self {
            Self::User(patterns) => option("user", patterns),
            Self::Object(patterns) => option("object", patterns),
            Self::Id(patterns) => option("id", patterns),
            Self::Event(patterns) => option("event", patterns),
            Self::Text(patterns) => option("text", patterns),
            Self::Where(pointer, patterns) => option(&format!("where={pointer}"), patterns),
            Self::Network(address, length) => vec![format!("--ip={address}/{length}")],
        }
    }

    fn matches(&self, value: &Value) -> bool {
        let joined = |pointers: &[&str]| texts_of(value, pointers).join(" ");
        match self {
            Self::User(patterns) => texts_of(value, &["/userLogin", "/auth/description"])
                .iter()
                .any(|text| like(patterns, text)),
            Self::Object(patterns) => {
                let pointers = [
                    "/subject",
                    "/resource/meta/workspace",
                    "/resource/meta/workspace/name",
                    "/resource/id",
                    "/resource/meta/workspace/id",
                ];
                texts_of(value, &pointers).iter().any(|text| like(patterns, text))
            }
            Self::Id(patterns) => texts_of(value, &["/uniqId", "/id"])
                .iter()
                .any(|text| like(patterns, text)),
            Self::Event(patterns) => {
                let words = ["/eventType", "/resource/type", "/resource/action"];
                like(patterns, &joined(&words)) || texts_of(value, &words).iter().any(|text| like(patterns, text))
            }
            Self::Text(patterns) => {
                let within: Vec<_> = patterns.iter().map(|pattern| format!("*{pattern}*")).collect();
                scalars(value).iter().any(|text| like(&within, text))
            }
            Self::Where(pointer, patterns) => value.pointer(pointer).is_some_and(|found| match found {
                Value::String(text) => like(patterns, text),
                other => like(patterns, &other.to_string()),
            }),
            Self::Network(network, length) => {
                let address = value["clientIp"].as_str().and_then(|text| text.parse().ok());
                let (Some(IpAddr::V4(address)), IpAddr::V4(network)) = (address, network) else {
                    return false;
                };
                address.to_bits() >> (32 - length) == network.to_bits() >> (32 - length)
            }
        }
    }
}

impl Query {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let time = |random: &mut Rng| {
            let is_said = random.bool();
            is_said.then(|| start() + TimeDelta::milliseconds(random.i64(0..4 * 86_400_000)))
        };
        let (mut since, mut until) = (time(random), time(random));
        if since >= until && until.is_some() {
            (since, until) = (until, since);
        }
        Self {
            since,
            until: until.filter(|until| since != Some(*until)),
            filters: (0..random.usize(..3)).map(|_| Filter::draw(random)).collect(),
            invert: random.u8(..) < 40,
        }
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let time = |name: &str, time: Option<DateTime<Utc>>| time.map(|time| format!("--{name}={}", time.to_rfc3339()));
        let mut arguments: Vec<String> = time("since", self.since)
            .into_iter()
            .chain(time("until", self.until))
            .collect();
        // Those of one field are alternatives, so that of each field only the first filter is asked.
        arguments.extend(self.filters.iter().flat_map(Filter::arguments));
        arguments.extend(self.invert.then(|| "--invert".to_owned()));
        arguments
    }

    /// Filters of one field would be alternatives.
    pub(crate) fn is_plain(&self) -> bool {
        let fields: Vec<_> = self
            .filters
            .iter()
            .map(|filter| filter.arguments()[0].clone())
            .collect();
        let name = |text: &str| {
            text.split('=')
                .take(if text.contains("where") { 2 } else { 1 })
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        fields
            .iter()
            .enumerate()
            .all(|(index, field)| fields[..index].iter().all(|other| name(other) != name(field)))
    }
}

fn search(catalog: &Catalog, arguments: &[String]) -> Run {
    let arguments: Vec<&str> = ["search"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .collect();
    catalog.run(&arguments)
}

#[test]
fn whatever_is_asked_for_the_records_of_the_reference_are_found_in_its_order() {
    for case in 0..many(CASES as u32) as u64 {
        let random = &mut random_of(case);
        let archive = Archive::draw(random);
        let before = archive.catalog.tree();
        for _ in 0..12 {
            let query = Query::draw(random);
            if !query.is_plain() {
                continue;
            }
            let expected = archive.expected(&query);
            let run = search(&archive.catalog, &query.arguments());
            assert_eq!(run.code, i32::from(expected.is_empty()), "{query:?}: {}", run.stderr);
            let found: Vec<_> = run.stdout.lines().collect();
            assert_eq!(found, expected, "case {case}: {query:?}");
            let newest_first = search(
                &archive.catalog,
                &[query.arguments(), vec!["--newest-first".to_owned()]].concat(),
            );
            let reversed: Vec<_> = newest_first.stdout.lines().rev().collect();
            assert_eq!(reversed.len(), expected.len());
            let mut sorted = [reversed, found.clone()];
            sorted.iter_mut().for_each(|lines| lines.sort_unstable());
            assert_eq!(sorted[0], sorted[1], "case {case}: {query:?}");
            let count = search(
                &archive.catalog,
                &[query.arguments(), vec!["--count".to_owned()]].concat(),
            );
            assert_eq!(count.stdout, format!("{}\n", expected.len()));
            let limited = search(
                &archive.catalog,
                &[query.arguments(), vec!["--limit=3".to_owned()]].concat(),
            );
            assert_eq!(limited.stdout.lines().collect::<Vec<_>>(), found[..found.len().min(3)]);
        }
        archive.catalog.assert_unchanged(&before);
    }
}

/// An archive with the samples of all services.
pub(crate) fn of_samples() -> Catalog {
    let sandbox = serve(|options| options);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    for api in Api::ALL {
        for event in samples(api).unwrap() {
            let name = format!("{}_{}.log", base_name(api), event.time.date_naive());
            let mut line = String::new();
            trailkeeper::json::scan(&event.text, &[], &mut line).unwrap();
            let path = catalog.folder(api).join(name);
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, format!("{before}{line}\n")).unwrap();
        }
    }
    catalog
}

/// The rows of CSV as Python's csv module reads them.
pub(crate) fn rows_of(csv: &str) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("found.csv");
    fs::write(&path, csv).unwrap();
    let script = "import csv, json, sys; file = open(sys.argv[1], encoding='utf-8-sig', newline=''); \
                  print(json.dumps(list(csv.reader(file))))";
    let run = process::run(Command::new("python3").args(["-c", script]).arg(path));
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn every_stream_has_its_columns_in_csv() {
    let catalog = of_samples();
    let run = catalog.run(&["search", "--csv"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let rows = rows_of(&run.stdout);
    assert_eq!(
        rows[0],
        ["time", "stream", "event", "user", "address", "object", "id", "failure"]
    );
    assert_eq!(rows.len(), 1 + catalog.run(&["search"]).stdout.lines().count());
    for api in Api::ALL {
        let of_stream: Vec<_> = rows.iter().filter(|row| row[1] == api.name()).collect();
        let has = |column: usize| of_stream.iter().any(|row| !row[column].is_empty());
        let has_address = !matches!(api, Api::Port | Api::Tfc);
        assert_eq!(
            [2, 3, 4, 5, 6].map(has),
            [true, true, has_address, true, true],
            "{api:?}"
        );
    }
    let excel = catalog.run(&["search", "--csv", "--bom"]).stdout;
    assert!(excel.starts_with('\u{feff}'));
    assert_eq!(rows_of(&excel), rows);
}

#[test]
fn an_entity_is_found_under_each_name_of_its_context_and_a_workspace_flat_or_nested() {
    let catalog = of_samples();
    let audit = samples(Api::Audit).unwrap();
    let of_network = audit.iter().filter(|event| event.text.contains("\"2001:db8:")).count();
    for (arguments, count) in [
        (&["--stream", "port", "--object", "service billing"][..], 2),
        (&["--stream", "port", "--object", "service legacy"], 1),
        (&["--stream", "port", "--object", "r_3bKq9c1d2e3f4g5h"], 1),
        (&["--stream", "tfc", "--object", "billing-prod"], 2),
        (&["--stream", "tfc", "--object", "ws-1"], 1),
        (&["--object", "billing*"], 4),
        (&["--object", "BILLING", "--ignore-case", "--stream", "port"], 2),
        (&["--regex", "--object", "^(billing|legacy)$"], 3),
        (&["--user", "auth0|1", "--user", "dev"], 4),
        (&["--where", "/trigger/origin=UI", "--event", "entity DELETE"], 1),
        (&["--stream", "yandex-audit", "--event", "*login*", "--failed"], 1),
        (&["--stream", "port", "--failed"], 1),
        (&["--ip", "2001:db8::/32", "--stream", "yandex-audit"], of_network),
    ] {
        let run = catalog.run(&[&["search", "--count"], arguments].concat());
        assert_eq!(
            (run.code, run.stdout.trim()),
            (0, &*count.to_string()),
            "{arguments:?}: {}",
            run.stderr
        );
    }
}

#[test]
fn the_exit_code_tells_found_from_nothing_found_and_from_everything_else() {
    let catalog = of_samples();
    let code = |arguments: &[&str]| catalog.run(&[&["search"], arguments].concat()).code;
    assert_eq!(code(&["-q"]), 0);
    assert_eq!(code(&["-q", "--user", "nobody"]), 1);
    for wrong in [
        &["--regex", "--text", "a("][..],
        &["--where", "trigger=1"],
        &["--ip", "1.2.3"],
        &["--csv", "--count"],
        &["--limit", "0"],
        &["--since", "2d", "--until", "3d"],
        &["--event", ""],
        &["--text="],
        &["--regex", "--user", ""],
        &["--env-file", "/nowhere/.env"],
    ] {
        assert_eq!(code(wrong), 2, "{wrong:?}");
    }
    let folder = catalog.folder(Api::Tfc);
    let (path, whole) = (folder.join("tfc_audit_2020-01-01.log.gz"), gzip(b"{}\n"));
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let run = catalog.run(&["search", "--stream", "tfc"]);
    assert_eq!(run.code, 2, "{}", run.stdout);
    assert!(run.stderr.contains("the compressed file is damaged"), "{}", run.stderr);
    assert_eq!(
        run.stdout.lines().count(),
        samples(Api::Tfc).unwrap().len(),
        "all others are found"
    );
    assert_eq!(
        code(&["--stream", "tfc", "--since", "2021-01-01"]),
        0,
        "a file of another time is not opened"
    );
    // With a late file beside it as well, and with a folder that is gone: all others are searched.
    let late = fs::read(folder.join("tfc_audit_2025-06-09.log")).unwrap();
    fs::write(folder.join("tfc_audit_2020-01-01.log"), late).unwrap();
    let late = catalog.run(&["search", "--stream", "tfc", "--until", "2026-01-01"]);
    assert_eq!(late.code, 2, "{}", late.stdout);
    assert!(
        late.stderr.contains("the compressed file is damaged"),
        "{}",
        late.stderr
    );
    fs::remove_dir_all(folder).unwrap();
    let rest = catalog.run(&["search", "--json", "--stream", "tfc", "--stream", "port"]);
    assert_eq!(
        (rest.code, rest.stdout.lines().count()),
        (2, samples(Api::Port).unwrap().len())
    );
    let error = catalog.run(&["search", "--json", "--regex", "--text", "("]).stderr;
    let error: Value = error.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap();
    assert_eq!(error["exit_code"], 2);
    let nothing = catalog.run(&["search", "--csv", "--user", "nobody", "--stream", "port"]);
    assert_eq!(
        (nothing.code, nothing.stdout.lines().count()),
        (1, 1),
        "{}",
        nothing.stdout
    );
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_enough_ends_the_search_quietly() {
    let catalog = of_samples();
    let line = fs::read_to_string(catalog.folder(Api::Tfc).join("tfc_audit_2025-06-09.log")).unwrap();
    let many = line.repeat(200_000_usize.div_ceil(line.lines().count()));
    fs::write(catalog.folder(Api::Tfc).join("tfc_audit_2025-06-07.log"), many).unwrap();
    let mut shell = Command::new("/bin/sh");
    let pipeline = "{ \"$0\" search --stream tfc; echo \"ended with $?\" >&2; } | head -n 1";
    shell.args(["-c", pipeline, env!("CARGO_BIN_EXE_trailkeeper")]);
    let run = process::run(catalog.place(&mut shell));
    assert_eq!(run.stderr, "ended with 0\n");
    assert_eq!(run.stdout.lines().count(), 1);
}

#[test]
fn a_table_is_for_people_and_names_no_record_that_could_turn_the_terminal() {
    let catalog = of_samples();
    let path = catalog.folder(Api::Mail).join("mail_audit_2025-06-01.log");
    let record = json!({"eventType": "x", "date": "2025-06-01T10:00:00Z", "userLogin": "日本 \u{1b}[2J", "subject": "s".repeat(300)});
    fs::write(path, format!("{record}\n")).unwrap();
    let run = catalog.run(&["search", "--table", "--stream", "yandex-mail", "--until", "2025-06-02"]);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.stdout);
    assert!(
        lines[0].starts_with("TIME ") && lines[0].ends_with(" OBJECT"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].contains(r"日本 \u{1b}[2J") && lines[1].ends_with('…'),
        "{}",
        lines[1]
    );
    assert!(!run.stdout.contains('\u{1b}'));
}

#[test]
fn records_that_another_program_left_in_the_files_of_other_days_are_found() {
    let sandbox = serve(|options| options);
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let time = Utc::now() - TimeDelta::days(5);
    let line = event(Api::Tfc, time, "moved").text;
    let name = format!("tfc_audit_{}.log", (time + TimeDelta::days(3)).date_naive());
    fs::write(catalog.folder(Api::Tfc).join(name), line + "\n").unwrap();
    let day = time.date_naive();
    let (since, until) = (day.to_string(), day.succ_opt().unwrap().to_string());
    let arguments = ["search", "--count", "--since", &since, "--until", &until];
    assert_eq!(catalog.run(&arguments).stdout, "1\n", "before the first run");
    catalog.collect(0, &[]);
    assert_eq!(catalog.run(&arguments).stdout, "1\n", "after it");
}

/// A day file of HCP Terraform.
fn tfc_day(catalog: &Catalog, day: &str) -> PathBuf {
    catalog.folder(Api::Tfc).join(format!("tfc_audit_{day}.log"))
}

/// Records of one day, each with its number as its id.
fn numbered(count: usize) -> Vec<String> {
    let record = |number| {
        json!({"id": format!("n{number}"), "timestamp": "2025-06-01T10:00:00Z", "type": "Resource"}).to_string()
    };
    (0..count).map(record).collect()
}

#[test]
fn a_line_that_is_no_record_is_told_but_for_one_that_is_known_to_hold_none() {
    let catalog = of_samples();
    let path = tfc_day(&catalog, "2025-06-01");
    let mut lines = numbered(6);
    lines[1] = "\0".repeat(lines[1].len());
    lines[3] = lines[3].replace("timestamp", "timestomp");
    let first = lines[0].len() + 1;
    let third = lines[..3].iter().map(|line| line.len() + 1).sum::<usize>();
    let content = lines.join("\n") + "\n\n";
    fs::write(&path, &content).unwrap();
    let run = |arguments: &[&str]| {
        let all = ["search", "--stream", "tfc", "--until", "2025-06-02", "--json"];
        let run = catalog.run(&[&all, arguments].concat());
        (run.code, run.stdout.lines().count(), run.stderr)
    };
    let told =
        format!("2025-06-01.log: 2 lines are no records, the first at byte {first}; trailkeeper verify names them");
    let (code, found, stderr) = run(&[]);
    assert_eq!((code, found, stderr.matches(&told).count()), (2, 4, 1), "{stderr}");
    let (code, found, stderr) = run(&["--id", "n0", "--invert"]);
    assert_eq!((code, found, stderr.matches(&told).count()), (2, 3, 1), "{stderr}");
    // Lines without the bytes of a match are not parsed.
    assert_eq!(run(&["--id", "n2"]), (0, 1, String::new()));
    let (code, found, stderr) = run(&["--id", "n3"]);
    assert_eq!((code, found), (2, 0));
    let told = format!("the line at byte {third} is no record");
    assert!(stderr.contains(&told), "{stderr}");

    // A torn line that a run has repaired came again; the other one is still told.
    let state = path.with_file_name(".trailkeeper");
    fs::create_dir_all(&state).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let note = json!({"noted_at": "2025-06-02T00:00:00Z", "reason": "torn line, repaired", "file": name, "offset": first, "fragment": "x"});
    fs::write(state.join("tfc_audit.rejected.jsonl"), format!("{note}\n")).unwrap();
    for is_packed in [false, true] {
        if is_packed {
            fs::write(path.with_extension("log.gz"), gzip(content.as_bytes())).unwrap();
            fs::remove_file(&path).unwrap();
        }
        let (code, found, stderr) = run(&[]);
        assert_eq!((code, found, stderr.matches(&told).count()), (2, 4, 1), "{stderr}");
        assert!(!stderr.contains("lines are"), "{stderr}");
    }
}

#[test]
fn a_last_record_without_its_newline_is_found_and_half_of_one_is_no_matter() {
    let catalog = of_samples();
    let path = tfc_day(&catalog, "2025-06-01");
    let content = numbered(3).join("\n");
    let count = || {
        let run = catalog.run(&["search", "--stream", "tfc", "--until", "2025-06-02", "--count"]);
        (run.code, run.stdout, run.stderr)
    };
    fs::write(&path, &content).unwrap();
    assert_eq!(count(), (0, "3\n".to_owned(), String::new()));
    fs::write(&path, &content[..content.len() - 9]).unwrap();
    assert_eq!(count(), (0, "2\n".to_owned(), String::new()));
    fs::write(path.with_extension("log.gz"), gzip(content.as_bytes())).unwrap();
    fs::remove_file(path).unwrap();
    assert_eq!(count(), (0, "3\n".to_owned(), String::new()));
}

/// A plain file beside a compressed one is a copy of it only if one has nothing that the other lacks.
#[test]
fn every_record_of_a_day_in_two_files_is_found_once_whichever_lines_both_begin_with() {
    let catalog = of_samples();
    let path = tfc_day(&catalog, "2025-06-01");
    let lines: Vec<String> = numbered(30).iter().map(|line| format!("{line}\n")).collect();
    let own = lines[6].replace("n6", "own");
    assert_ne!(own, lines[6]);
    fs::write(path.with_extension("log.gz"), gzip(lines.concat().as_bytes())).unwrap();
    let changed = [&lines[..6], std::slice::from_ref(&own), &lines[7..]].concat().concat();
    let with_more = lines.concat() + &own;
    for (plain, expected) in [
        (lines[0].clone() + &own, 31),
        (changed, 31),
        (with_more, 31),
        (lines.concat(), 30),
        (lines[..4].concat(), 30),
        (lines[3].clone() + &own, 31),
    ] {
        fs::write(&path, &plain).unwrap();
        for more in [&[][..], &["--newest-first"]] {
            let run = catalog.run(&[&["search", "--stream", "tfc", "--until", "2025-06-02"], more].concat());
            assert_eq!((run.code, &*run.stderr), (0, ""));
            let found: Vec<&str> = run.stdout.lines().collect();
            let distinct: BTreeSet<&str> = found.iter().copied().collect();
            assert_eq!((found.len(), distinct.len()), (expected, expected), "{plain}");
            assert_eq!(found.contains(&own.trim_end()), expected == 31);
        }
    }
}

/// Searches two large days, and runs a command of the shell with the path of the second one as `$1` when the first record was found.
#[cfg(unix)]
fn searched_while(command: &str) -> (Run, usize) {
    let catalog = of_samples();
    let lines = numbered(120_000).join("\n") + "\n";
    let later = tfc_day(&catalog, "2025-06-02");
    fs::write(tfc_day(&catalog, "2025-06-01"), &lines).unwrap();
    fs::write(&later, lines.replace("2025-06-01T", "2025-06-02T")).unwrap();
    let mut shell = Command::new("/bin/sh");
    let search = "\"$0\" search --stream tfc --until 2025-06-03; echo \"ended with $?\" >&2";
    let pipeline = format!("{{ {search}; }} | {{ head -c 1000 > /dev/null; {command}; wc -l; }}");
    shell
        .args(["-c", &pipeline, env!("CARGO_BIN_EXE_trailkeeper")])
        .arg(later);
    let run = process::run(catalog.place(&mut shell));
    let found = run.stdout.trim().parse().unwrap();
    (run, found)
}

#[cfg(unix)]
#[test]
fn a_file_that_loses_bytes_while_it_is_read_is_told_once_and_one_that_is_compressed_is_read_all_the_same() {
    let (run, found) = searched_while(": > \"$1\"");
    assert!(found < 200_000, "{found}");
    let told = "2025-06-02.log: it has become shorter while it was read, so that records are missing";
    assert_eq!(run.stderr.matches(told).count(), 1, "{}", run.stderr);
    assert!(run.stderr.ends_with("ended with 2\n"), "{}", run.stderr);
    // What head has taken is not counted.
    let (run, found) = searched_while("gzip \"$1\"");
    assert_eq!((&*run.stderr, found > 239_000), ("ended with 0\n", true), "{found}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_told_only_if_its_day_is_asked_for() {
    let catalog = of_samples();
    std::os::unix::fs::symlink("/nowhere", tfc_day(&catalog, "2025-05-01")).unwrap();
    let search = |since| {
        catalog.run(&[
            "search",
            "--stream",
            "tfc",
            "-q",
            "--since",
            since,
            "--until",
            "2025-07-01",
        ])
    };
    let asked = search("2025-05-01");
    assert_eq!(asked.code, 2);
    assert!(
        asked.stderr.contains("2025-05-01.log is not a regular file"),
        "{}",
        asked.stderr
    );
    let other = search("2025-05-02");
    assert_eq!((other.code, &*other.stderr), (0, ""));
}

#[test]
fn half_a_character_is_replaced_in_csv_and_counted() {
    let catalog = of_samples();
    let line = "{\"id\": \"odd\", \"timestamp\": \"2025-06-01T10:00:00Z\", \"auth\": {\"description\": \"half \\ud83d x\\ty\"}, \"n\": 1e999}\n";
    let fine = line.replace("\\ud83d", "\\ud83d\\ude00");
    fs::write(tfc_day(&catalog, "2025-06-01"), format!("{line}{fine}")).unwrap();
    let run = catalog.run(&["search", "--stream", "tfc", "--until", "2025-06-02", "--csv"]);
    let rows = rows_of(&run.stdout);
    assert_eq!(
        [&*rows[1][3], &*rows[2][3]],
        ["half \u{fffd} x\ty", "half \u{1f600} x\ty"]
    );
    assert!(
        run.stderr
            .contains("in 1 of the records U+FFFD stands for half a character"),
        "{}",
        run.stderr
    );
    assert_eq!(run.code, 0);
}
