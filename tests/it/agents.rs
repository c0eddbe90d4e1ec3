//! Log agents, each with its sample and the real program, read an archive that grows while they and trailkeeper are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use trailkeeper::sandbox::Api;

use super::support::random::random;
use super::support::{Catalog, PATIENCE, Process, at, event, events, process, serve, tool, wait_until};

const DAY: i64 = 24 * 60 * 60;

/// The parser `json` as it comes with Fluent Bit.
const PARSERS: &str =
    "[PARSER]\n    Name json\n    Format json\n    Time_Key time\n    Time_Format %d/%b/%Y:%H:%M:%S %z\n";

/// A line that an agent passed on, with the place that it came from, if the agent names it.
struct Passed {
    place: Option<(String, u64)>,
    /// The id of its record, or all of it where it is no record.
    what: String,
}

/// An agent with its settings.
struct Agent {
    program: &'static str,
    arguments: Vec<String>,
    /// Where its output is.
    folder: PathBuf,
    read: fn(&str) -> Passed,
    /// Whether it passes on what it has parsed, with the place of the line.
    is_parsed: bool,
}

impl Agent {
    /// Writes the sample for the folders of this catalog; where the agent has its own files.
    fn settle(catalog: &Catalog, sample: &str, adjust: impl Fn(String, &Path) -> String) -> PathBuf {
        let folder = catalog.root().join("agent");
        fs::create_dir_all(folder.join("state")).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("samples/agents")
            .join(sample);
        let text = fs::read_to_string(path).unwrap();
        let text = text.replace("/var/log/audit-trails", catalog.root().to_str().unwrap());
        let out = folder.join("trailkeeper-all.log");
        let text = text.replace("/var/log/trailkeeper-all.log", out.to_str().unwrap());
        fs::write(folder.join(sample), adjust(text, &folder)).unwrap();
        folder
    }

    fn start(&self) -> Process {
        let mut command = Command::new(self.program);
        command.args(&self.arguments).current_dir(&self.folder);
        Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// What it has passed on so far, without a line that it still writes.
    fn passed(&self) -> Vec<Passed> {
        let mut passed = Vec::new();
        for entry in fs::read_dir(&self.folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("trailkeeper-all") {
                let bytes = fs::read(entry.path()).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
                passed.extend(whole.map(self.read));
            }
        }
        passed
    }
}

fn as_it_is(line: &str) -> Passed {
    let what = line.to_owned();
    Passed { place: None, what }
}

/// The line of an event of Filebeat or Fluent Bit; a record is known by its id.
fn parsed(event: &Value, place: (&Value, &Value), record: &Value, text: &Value) -> Passed {
    let file = Path::new(place.0.as_str().unwrap()).file_name().unwrap();
    let what = record["id"].as_str().or(text.as_str());
    let what = what.unwrap_or_else(|| panic!("neither a record nor a text: {event}"));
    Passed {
        place: Some((file.to_str().unwrap().to_owned(), place.1.as_u64().unwrap())),
        what: what.to_owned(),
    }
}

fn of_filebeat(line: &str) -> Passed {
    let event: Value = serde_json::from_str(line).unwrap();
    assert!(event["@metadata"]["_id"].is_string(), "{line}");
    let place = (&event["log"]["file"]["path"], &event["log"]["offset"]);
    parsed(&event, place, &event["audit"], &event["message"])
}

fn of_fluent_bit(line: &str) -> Passed {
    let event: Value = serde_json::from_str(line).unwrap();
    parsed(&event, (&event["file"], &event["offset"]), &event, &event["log"])
}

/// What the archive holds: each line, by its file and offset; those of a compressed file by where they were before.
fn archive(catalog: &Catalog, is_parsed: bool) -> BTreeMap<(String, u64), String> {
    let mut lines = BTreeMap::new();
    for (mut name, mut bytes) in catalog.day_files(Api::Tfc) {
        if let Some(plain) = name.strip_suffix(".gz") {
            let packed = std::mem::take(&mut bytes);
            std::io::copy(&mut MultiGzDecoder::new(&packed[..]), &mut bytes).unwrap();
            name = plain.to_owned();
        }
        if !name.ends_with(".log") {
            continue;
        }
        let mut offset = 0;
        for line in std::str::from_utf8(&bytes).unwrap().split_inclusive('\n') {
            let text = line.strip_suffix('\n').unwrap();
            let id = serde_json::from_str::<Value>(text).ok();
            let id = id.and_then(|record| record["id"].as_str().map(str::to_owned));
            let what = id.filter(|_| is_parsed).unwrap_or_else(|| text.to_owned());
            lines.insert((name.clone(), offset), what);
            offset += line.len() as u64;
        }
    }
    lines
}

/// Has an agent read an archive with late records and a new day, while it and trailkeeper are killed; then every line was passed on,
/// and once, when those that came again are dropped by their place, or by themselves. Nothing else is passed on, also when a file is
/// compressed.
fn reads_every_record_once(make: impl FnOnce(&Catalog) -> Option<Agent>) {
    let old = events(Api::Tfc, 400, DAY + 7_000);
    let sandbox = serve(|options| options.give(Api::Tfc, old));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let Some(agent) = make(&catalog) else { return };
    let mut random = random();
    catalog.collect(0, &[]);
    let mut process = agent.start();
    let (mut kills, mut days) = (0, 0);
    for round in 0..14 {
        // Not before the third round there is a file of today.
        let newest = if round < 3 {
            DAY + 3_000 - round * 100
        } else {
            2_000 - round * 100
        };
        let added = (0..random.i64(1..200)).map(|n| event(Api::Tfc, at(newest + n % 60), &format!("{round}-{n}")));
        sandbox.add(Api::Tfc, added.collect());
        let late = at(2 * DAY - round);
        sandbox.add(Api::Tfc, vec![event(Api::Tfc, late, &format!("late-{round}"))]);
        for command in ["collect", "reconcile"] {
            let arguments: &[&str] = match command {
                "reconcile" => &["reconcile", "--since", "3d"],
                _ => &["collect"],
            };
            let mut run = catalog.start(arguments);
            std::thread::sleep(Duration::from_millis(random.u64(0..400)));
            run.ended();
        }
        days = catalog.day_files(Api::Tfc).len().max(days);
        if random.bool() || round == 4 {
            process.assert_running();
            drop(process);
            process = agent.start();
            kills += 1;
        }
    }
    catalog.collect(0, &[]);
    assert_eq!(catalog.run(&["reconcile", "--since", "3d"]).code, 0);
    assert!(days >= 2 && kills > 0, "{days} day files, {kills} kills");
    compare(&catalog, &agent, kills);
    tidy(&catalog);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(5), "after it was compressed")]);
    catalog.collect(0, &[]);
    compare(&catalog, &agent, kills);
    drop(process);
}

/// What an administrator does to an archive: its oldest file is compressed, one is copied beside, and there are state files.
fn tidy(catalog: &Catalog) {
    let folder = catalog.folder(Api::Tfc);
    let (oldest, bytes) = catalog.day_files(Api::Tfc).into_iter().next().unwrap();
    let mut encoder = GzEncoder::new(
        fs::File::create(folder.join(oldest.clone() + ".gz")).unwrap(),
        Compression::none(),
    );
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(folder.join(&oldest)).unwrap();
    for other in [
        oldest.clone() + ".previous",
        ".trailkeeper/other.pending.jsonl".to_owned(),
    ] {
        fs::write(folder.join(other), "{\"id\": \"none of the agent's\"}\n").unwrap();
    }
}

fn compare(catalog: &Catalog, agent: &Agent, kills: usize) {
    let is_parsed = agent.is_parsed;
    let expected = archive(catalog, is_parsed);
    let wanted: BTreeSet<&String> = expected.values().collect();
    wait_until("every line of the archive is passed on", PATIENCE, || {
        let passed = agent.passed();
        let found: BTreeSet<&String> = passed.iter().map(|line| &line.what).collect();
        wanted.is_subset(&found)
    });
    let (mut places, passed) = (BTreeMap::new(), agent.passed());
    for line in &passed {
        match &line.place {
            None => assert!(wanted.contains(&line.what), "{} is not in the archive", line.what),
            Some(place) => {
                assert_eq!(Some(&line.what), expected.get(place), "{place:?}");
                places.insert(place.clone(), line.what.clone());
            }
        }
    }
    assert!(
        !is_parsed || places == expected,
        "{} of {} lines",
        places.len(),
        expected.len()
    );
    let again = passed.len() - expected.len();
    println!(
        "{}: {} lines, {kills} kills, {again} lines again",
        agent.program,
        expected.len()
    );
    // Where nothing names the place of a line, a kill must not have the whole archive sent again.
    assert!(
        is_parsed || again < expected.len(),
        "{again} of {} lines came again",
        expected.len()
    );
}

#[test]
fn rsyslog_passes_on_every_line_over_kills() {
    reads_every_record_once(|catalog| {
        tool("rsyslogd", "rsyslog")?;
        let folder = Agent::settle(catalog, "rsyslog.conf", |text, folder| {
            format!("global(workDirectory=\"{}\")\n{text}", folder.join("state").display())
        });
        let arguments = ["-n", "-f", "rsyslog.conf", "-i", "state/pid"];
        Some(Agent {
            program: "rsyslogd",
            arguments: arguments
                .map(|word| word.replace("state/", &format!("{}/state/", folder.display())))
                .into(),
            folder,
            read: as_it_is,
            is_parsed: false,
        })
    });
}

#[test]
fn syslog_ng_passes_on_every_line_over_kills() {
    reads_every_record_once(|catalog| {
        tool("syslog-ng", "syslog-ng-core")?;
        let folder = Agent::settle(catalog, "syslog-ng.conf", |text, _| format!("@version: 3.35\n{text}"));
        let arguments = "-F --no-caps -f syslog-ng.conf -R state/persist -c state/ctl -p state/pid";
        Some(Agent {
            program: "syslog-ng",
            arguments: arguments.split(' ').map(str::to_owned).collect(),
            folder,
            read: as_it_is,
            is_parsed: false,
        })
    });
}

#[test]
fn fluent_bit_passes_on_every_record_over_kills() {
    reads_every_record_once(|catalog| {
        tool("fluent-bit", "none; from its makers, or built from source")?;
        let folder = Agent::settle(catalog, "fluent-bit.conf", |text, folder| {
            let text = text.replace("/var/lib/fluent-bit/", &format!("{}/state/", folder.display()));
            text.replace("/var/lib/fluent-bit\n", &format!("{}\n", folder.display()))
        });
        fs::write(folder.join("parsers.conf"), PARSERS).unwrap();
        Some(Agent {
            program: "fluent-bit",
            arguments: vec!["-c".to_owned(), "fluent-bit.conf".to_owned()],
            folder,
            read: of_fluent_bit,
            is_parsed: true,
        })
    });
}

#[test]
fn filebeat_passes_on_every_record_over_kills() {
    reads_every_record_once(|catalog| {
        tool("filebeat", "none; from its makers")?;
        let folder = Agent::settle(catalog, "filebeat.yml", |text, folder| {
            let out = format!(
                "output.file:\n  path: {}\n  filename: trailkeeper-all\n",
                folder.display()
            );
            format!("{}\n{out}  rotate_every_kb: 1000000\n", for_this_filebeat(text))
        });
        let state = folder.join("state").display().to_string();
        let config = folder.join("filebeat.yml").display().to_string();
        let arguments = ["run", "-c", &config, "--path.data", &state, "--strict.perms=false"];
        Some(Agent {
            program: "filebeat",
            arguments: arguments.map(str::to_owned).into(),
            folder,
            read: of_filebeat,
            is_parsed: true,
        })
    });
}

/// The sample as it says to change it for a Filebeat before 8.10.
fn for_this_filebeat(text: String) -> String {
    let version = process::run(Command::new("filebeat").arg("version")).stdout;
    let numbers = version
        .split("version ")
        .nth(1)
        .unwrap()
        .split('.')
        .map(str::parse::<u32>);
    let numbers: Vec<u32> = numbers.map_while(Result::ok).collect();
    if numbers[..2] >= [8, 10][..] {
        return text;
    }
    let keys = [
        "prospector.scanner.fingerprint:",
        "enabled: true",
        "offset: 0",
        "length: 256",
        "file_identity.fingerprint: ~",
    ];
    let kept = text.lines().filter(|line| !keys.contains(&line.trim()));
    kept.collect::<Vec<_>>().join("\n")
}
