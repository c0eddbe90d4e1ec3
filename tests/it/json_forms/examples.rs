//! Runs of every command over catalogs with gaps, failures and forwarders, so that each field is printed in each of its forms.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use trailkeeper::sandbox::{Action, Answer, Api, Event, Sandbox, Step};

use crate::evidence::bundles::move_to_newest;
use crate::follow;
use crate::forwarding::Listener;
use crate::kafka::broker::Broker;
use crate::support::{Catalog, PATIENCE, at, base_name, event, events, serve, wait_for, wait_until};

const DAY: i64 = 86_400;

/// What was printed, by section.
#[derive(Default)]
pub(super) struct Examples {
    pub(super) printed: BTreeMap<&'static str, Vec<Value>>,
}

/// Mail over some days with days between that have none, and disk without a record.
fn sandbox() -> Sandbox {
    let days = [1, 2, 5, 9].map(|day| event(Api::Mail, at(day * DAY), &day.to_string()));
    serve(|options| options.give(Api::Mail, days.to_vec()).give(Api::Disk, Vec::new()))
}

fn catalog(sandbox: &Sandbox, listener: &Listener) -> Catalog {
    Catalog::of(sandbox, &[Api::Mail, Api::Disk])
        .with("HTTP_FORWARD_URL", &listener.address)
        .with("MAX_RETRIES", 0)
}

/// The path of a state file of mail.
fn state(catalog: &Catalog, name: &str) -> PathBuf {
    let name = format!(".trailkeeper/{}.{name}", base_name(Api::Mail));
    catalog.folder(Api::Mail).join(name)
}

/// The paths of the files of mail, the oldest day first.
fn day_files(catalog: &Catalog) -> Vec<PathBuf> {
    let names = catalog.day_files(Api::Mail).into_keys();
    names.map(|name| catalog.folder(Api::Mail).join(name)).collect()
}

/// Puts a day file into the folder of mail that is dated in the future.
fn add_future_file(catalog: &Catalog) {
    let name = format!("{}_2999-01-01.log", base_name(Api::Mail));
    fs::write(catalog.folder(Api::Mail).join(name), "{}\n").unwrap();
}

/// What was printed, with the names of streams as they are without organizations.
fn without_organizations(mut printed: Value) -> Value {
    if let Some(streams) = printed.get_mut("streams").and_then(Value::as_array_mut) {
        streams
            .iter_mut()
            .for_each(|stream| *stream = without_organization(stream));
    }
    printed
}

fn without_organization(stream: &Value) -> Value {
    let mut stream = stream.clone();
    if let Some(organization) = stream["organization"].as_str().map(str::to_owned) {
        let name = stream["stream"].as_str().unwrap();
        let name = name.strip_prefix(&format!("{organization}/")).unwrap().to_owned();
        stream["stream"] = name.into();
    }
    stream
}

/// Puts a compressed file beside a day file, and damages it.
fn add_damaged(day_file: &Path) {
    fs::write(format!("{}.gz", day_file.display()), "damaged").unwrap();
}

/// The cursor of a version to come.
const NEWER_CURSOR: &str = "{\"version\":99}";

impl Examples {
    pub(super) fn of_all_commands() -> Self {
        let mut examples = Self::default();
        examples.forwarded_and_failed_runs();
        examples.rounds();
        examples.health();
        examples.late_records();
        examples.a_rhythm();
        examples.archives_that_lack_something();
        examples.archives_of_no_run();
        examples.a_run_under_way();
        examples.a_span_that_is_not_proved();
        examples.checks();
        examples.evidence();
        examples.audits();
        examples.bundles();
        examples.holds();
        examples.packing();
        examples.expiring();
        examples.copying();
        examples.organizations();
        examples.fleet();
        examples.errors();
        examples
    }

    /// Runs a command; what it prints belongs to the section of its name, or to that of errors.
    fn run(&mut self, catalog: &Catalog, arguments: &[&'static str]) {
        let run = catalog.run(&[arguments, &["--json"]].concat());
        let printed: Value = serde_json::from_str(&run.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}\n{}", run.stdout, run.stderr));
        assert_eq!(printed["exit_code"], run.code, "{arguments:?}");
        let is_error = printed.get("error").is_some();
        let section = match arguments {
            _ if is_error => "Errors",
            ["copy", "--from", ..] => "copy --from",
            ["fleet", "status", ..] => "fleet status",
            ["fleet", "adopt" | "release", ..] => "fleet adopt",
            ["verify", "--evidence", ..] => "verify --evidence",
            ["verify", "--proof", ..] => "verify --proof",
            ["verify", "--page", ..] => "verify --page",
            ["verify", "--bundle", ..] => "verify --bundle",
            [command, ..] => command,
            [] => unreachable!("a command has a name"),
        };
        self.printed
            .entry(section)
            .or_default()
            .push(without_organizations(printed));
    }

    /// Organizations, one of which has settings that are wrong.
    fn organizations(&mut self) {
        let sandbox = sandbox();
        let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
        let folder = catalog.root().join("organizations");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("acme.env"), catalog.env_text()).unwrap();
        fs::write(folder.join("wrong.env"), "A\n").unwrap();
        catalog.clear();
        self.run(&catalog, &["collect", "--env-dir", "organizations"]);
        self.follow(&catalog, &["--env-dir", "organizations"], |_| true);
        self.health_of(&catalog, &["--env-dir", "organizations"]);
        self.run(&catalog, &["status", "--env-dir", "organizations", "--org", "wrong"]);
    }

    /// A fleet while it has a member and after that, and what another fleet says of it.
    fn fleet(&mut self) {
        let (sandbox, broker) = (sandbox(), Broker::start());
        broker.ask("create mail 1");
        broker.ask("config mail message.timestamp.type LogAppendTime");
        let mut catalog = Catalog::of(&sandbox, &[])
            .with("FLEET_ID", "trails")
            .with("FLEET_BUCKETS", "2")
            .with("KAFKA_SERVER", broker.address())
            .with("MAIL_KAFKA_TOPIC", "mail")
            .with("TFC_KAFKA_TOPIC", "mail")
            .with("TFC_API_URL", "http://127.0.0.1:9/")
            .with("TFC_MAX_RETRIES", "0");
        assert_eq!(catalog.run(&["fleet", "init"]).code, 0);
        let member = catalog.start(&["fleet", "run", "--interval", "1s"]);
        let status = || {
            let run = catalog.run(&["fleet", "status", "--json"]);
            serde_json::from_str::<Value>(&run.stdout).unwrap()
        };
        wait_until("both streams have made a run", PATIENCE, || {
            status()["streams"].as_array().is_some_and(|streams| streams.len() == 2)
        });
        self.run(&catalog, &["fleet", "status"]);
        assert_eq!(member.terminate().code, 0);
        self.run(&catalog, &["fleet", "status"]);
        self.archives(&mut catalog, &broker);
        catalog.set("FLEET_ID", "others");
        catalog.set("FLEET_STATE_TOPIC", "trails.state");
        self.run(&catalog, &["fleet", "status"]);
    }

    /// Archives of that fleet: one that lacks a stream, one that has it, another disk, and topics that have changed.
    fn archives(&mut self, catalog: &mut Catalog, broker: &Broker) {
        for folder in ["member", "other", "mail", "port"] {
            fs::create_dir(catalog.root().join(folder)).unwrap();
        }
        catalog.set("ARCHIVE_FOLDER", "member");
        catalog.set("PORT_KAFKA_TOPIC", "mail");
        let switch_on = |catalog: &mut Catalog, prefix: &str, folder: &str| {
            catalog.set(&format!("{prefix}_LOG_CATALOG_LOCATION"), folder);
            catalog.set(&format!("{prefix}_LOG_FILE_BASE_NAME"), folder);
        };
        switch_on(catalog, "PORT", "port");
        self.run(catalog, &["archive", "--once"]);
        switch_on(catalog, "MAIL", "mail");
        self.run(catalog, &["archive", "--once"]);
        catalog.set("ARCHIVE_FOLDER", "other");
        self.run(catalog, &["archive", "--once"]);
        catalog.set("ARCHIVE_FOLDER", "member");
        fs::remove_dir_all(catalog.root().join("mail")).unwrap();
        self.run(catalog, &["archive", "--once", "--from-start"]);
        self.run(catalog, &["fleet", "adopt"]);
        broker.ask("expire mail");
        broker.ask("grow mail 2");
        self.run(catalog, &["archive", "--once"]);
        let folder = catalog.root().join("archived");
        fs::create_dir(&folder).unwrap();
        for name in ["of-acme", "third"] {
            fs::create_dir(catalog.root().join(name)).unwrap();
        }
        let of_acme = "PORT_LOG_CATALOG_LOCATION=of-acme\nPORT_LOG_FILE_BASE_NAME=port\nPORT_KAFKA_TOPIC=mail\n";
        fs::write(folder.join("acme.env"), of_acme).unwrap();
        fs::write(folder.join("wrong.env"), "A\n").unwrap();
        let before = catalog.variables();
        for name in before
            .keys()
            .filter(|name| !["KAFKA_SERVER", "FLEET_ID"].contains(&name.as_str()))
        {
            catalog.unset(name);
        }
        catalog.set("ARCHIVE_GROUP", "second");
        catalog.set("ARCHIVE_FOLDER", "third");
        self.run(catalog, &["archive", "--once", "--env-dir", "archived"]);
        self.run(catalog, &["fleet", "adopt", "--env-dir", "archived"]);
        before.into_iter().for_each(|(name, value)| catalog.set(&name, value));
    }

    /// Copies of archives with and without evidence, and what comes back.
    fn copying(&mut self) {
        let sandbox = sandbox();
        for is_sealed in [false, true] {
            let mut catalog = Catalog::of(&sandbox, &[Api::Mail]);
            let folder = catalog.root().join("copies");
            fs::create_dir(&folder).unwrap();
            if is_sealed {
                catalog.set("EVIDENCE_FOLDER", "evidence");
                catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
                catalog.set("EVIDENCE_KEY_FILE", "evidence.key");
                assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
            }
            let url: &'static str = Box::leak(format!("file://{}", folder.display()).into_boxed_str());
            self.run(&catalog, &["copy", "--to", url, "--dry-run"]);
            catalog.collect(0, &["--since", "12d"]);
            self.run(&catalog, &["copy", "--to", url]);
            let gone = day_files(&catalog).remove(0);
            let text = fs::read(&gone).unwrap();
            fs::remove_file(&gone).unwrap();
            self.run(&catalog, &["copy", "--to", url]);
            fs::write(&gone, text).unwrap();
            if is_sealed {
                let entries = catalog.root().join("evidence/entries.jsonl");
                let text = fs::read(&entries).unwrap();
                fs::write(&entries, &text[1..]).unwrap();
                self.run(&catalog, &["copy", "--to", url]);
            }
            let other = Catalog::of(&sandbox, &[Api::Mail]);
            let other = if is_sealed {
                other.with("EVIDENCE_FOLDER", "evidence")
            } else {
                other
            };
            self.run(&other, &["copy", "--from", url]);
        }
    }

    /// A stream that has a record a day for five weeks.
    fn a_rhythm(&mut self) {
        let daily = (0..35).map(|day| event(Api::Mail, at(day * 86_400 + 60), &format!("{day}")));
        let sandbox = serve(|options| options.give(Api::Mail, daily.collect::<Vec<_>>()));
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        self.run(&catalog, &["collect", "--since", "40d"]);
        self.run(&catalog, &["status"]);
    }

    /// The commands that read an archive alone.
    fn read(&mut self, catalog: &Catalog) {
        self.run(catalog, &["status", "--max-age", "7d"]);
        self.run(catalog, &["coverage"]);
        self.run(catalog, &["verify"]);
        self.run(catalog, &["report", "--html", "page.html"]);
        self.export(catalog);
    }

    /// What `export` prints, and its manifest.
    fn export(&mut self, catalog: &Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out");
        let arguments = ["export", "--since", "20d", "--event=*", "--json", "--to"];
        let run = catalog.run(&[&arguments[..], &[to.to_str().unwrap()]].concat());
        let printed: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(printed["exit_code"], run.code, "{}", run.stderr);
        let manifest = serde_json::from_slice(&fs::read(to.join("manifest.json")).unwrap()).unwrap();
        for (section, shown) in [("export", printed), ("manifest.json", manifest)] {
            self.printed.entry(section).or_default().push(shown);
        }
    }

    /// A log that waits for others.
    fn waiting(&mut self, sandbox: &Sandbox) {
        let waiting = Catalog::of(sandbox, &[Api::Mail])
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_KEY_FILE", "evidence.key")
            .with("EVIDENCE_TSA_URL", "http://127.0.0.1:9/")
            .with("EVIDENCE_KAFKA_TOPIC", "checkpoints")
            .with("EVIDENCE_WITNESS_POLICY", "w.policy");
        assert_eq!(waiting.run(&["evidence", "keygen"]).code, 0);
        self.run(&waiting, &["status"]);
        let own = fs::read_to_string(waiting.root().join("evidence/policy.txt")).unwrap();
        let witness =
            "witness W1 w1.example+b2eb5230+BAIBAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f http://127.0.0.1:9/\n";
        fs::write(waiting.root().join("w.policy"), witness.to_owned() + &own).unwrap();
        self.run(&waiting, &["status"]);
        let refusals = waiting.root().join("evidence/refusals");
        fs::create_dir(&refusals).unwrap();
        let refusal = r#"{"witness":"w1.example","problem":"it has cosigned more","since":"2026-11-20T10:00:00Z"}"#;
        fs::write(refusals.join("w1.example+b2eb5230.json"), refusal).unwrap();
        self.run(&waiting, &["status"]);
    }

    /// Archives that are sealed, changed, and acknowledged; keys; and proofs.
    fn evidence(&mut self) {
        let sandbox = sandbox();
        let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk])
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_KEY_FILE", "evidence.key");
        self.run(&catalog, &["seal"]);
        self.waiting(&sandbox);
        self.run(&catalog, &["evidence", "keygen"]);
        self.run(&catalog, &["status"]);
        self.run(&catalog, &["evidence", "publish", "--to", "published"]);
        self.run(&catalog, &["verify", "--evidence"]);
        self.run(&catalog, &["collect"]);
        self.run(&catalog, &["seal"]);
        self.run(&catalog, &["verify", "--evidence"]);
        self.witnessed(&catalog);
        self.signed_elsewhere();
        let proof = catalog.run(&[
            "prove",
            "--stream",
            "yandex-mail",
            "--id",
            "9",
            "--out",
            "event.tlog-proof",
        ]);
        assert_eq!(proof.code, 0, "{}", proof.stderr);
        let verify_proof = [
            "verify",
            "--proof",
            "event.tlog-proof",
            "--policy",
            "evidence/policy.txt",
        ];
        self.run(&catalog, &verify_proof);
        fs::write(catalog.root().join("event.tlog-proof"), "none").unwrap();
        self.run(&catalog, &verify_proof);
        let oldest = day_files(&catalog).remove(0);
        fs::copy(&oldest, catalog.root().join("mail.copy")).unwrap();
        fs::write(&oldest, "{}\n").unwrap();
        fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
        self.run(&catalog, &["seal"]);
        self.run(&catalog, &["verify", "--evidence", "--at", "2999-01-01"]);
        fs::remove_file(&day_files(&catalog)[1]).unwrap();
        self.run(&catalog, &["verify", "--evidence"]);
        // A file of the state folder has a name that does not change.
        let noted = state(&catalog, "coverage.jsonl");
        let content = fs::read(&noted).unwrap();
        fs::write(&noted, "{}\n").unwrap();
        self.run(
            &catalog,
            &[
                "evidence",
                "acknowledge",
                "mail_audit.coverage.jsonl",
                "--reason",
                "changed",
            ],
        );
        fs::write(&noted, content).unwrap();
        self.run(&catalog, &["verify", "--evidence"]);
        fs::write(catalog.root().join("evidence/entries.jsonl"), "").unwrap();
        self.run(&catalog, &["verify", "--evidence"]);
        fs::write(catalog.root().join("evidence/checkpoint"), "").unwrap();
        self.run(&catalog, &["verify", "--evidence"]);
        self.run(&catalog, &["evidence", "restart", "--reason", "lost"]);
        self.run(&catalog, &["verify", "--evidence"]);
    }

    /// A log whose key is on another host.
    fn signed_elsewhere(&mut self) {
        let desk = Catalog::bare();
        let name = ["--name", "audit.example.org/trails", "--out", "log.key", "--json"];
        let made = desk.run(&[&["evidence", "keygen"], &name[..]].concat());
        let key: Value = serde_json::from_str(&made.stdout).unwrap();
        let desk = desk
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_PUBLIC_KEY", key["key"].as_str().unwrap());
        self.run(&desk, &["evidence", "keygen"]);
        let sign = [
            "--key", "log.key", "--state", "state", "--log", "evidence", "--out", "signed",
        ];
        let signed = desk.run(&[&["evidence", "sign", "--first"], &sign[..]].concat());
        assert_eq!(signed.code, 0, "{}", signed.stderr);
        self.run(&desk, &["evidence", "accept", "signed"]);
    }

    /// A log that a witness has cosigned, and a policy that asks for it.
    fn witnessed(&mut self, catalog: &Catalog) {
        let name = ["--name", "w1.example", "--out", "witness.key"];
        let made = catalog.run(&[&["evidence", "keygen", "--witness"], &name[..]].concat());
        let key = made.stdout.lines().next().unwrap();
        let log = [
            "--log",
            "evidence",
            "--policy",
            "evidence/policy.txt",
            "--key",
            "witness.key",
        ];
        let cosign = catalog.run(&[&["evidence", "cosign", "--first", "--state", "witness"], &log[..]].concat());
        assert_eq!(cosign.code, 0, "{}", cosign.stderr);
        fs::create_dir(catalog.root().join("evidence/anchors")).unwrap();
        fs::write(catalog.root().join("evidence/anchors/1.w1.cosig"), cosign.stdout).unwrap();
        let checkpoint = fs::read(catalog.root().join("evidence/checkpoints/1")).unwrap();
        fs::write(catalog.root().join("evidence/anchors/1.tsr"), timestamp(&checkpoint)).unwrap();
        let place = "{\"topic\":\"checkpoints\",\"partition\":0,\"offset\":3}\n";
        fs::write(catalog.root().join("evidence/anchors/1.kafka"), place).unwrap();
        let own = fs::read_to_string(catalog.root().join("evidence/policy.txt")).unwrap();
        let own = own.replace("quorum none", &format!("witness W1 {key}\nquorum W1"));
        fs::write(catalog.root().join("w1.policy"), own).unwrap();
        self.run(catalog, &["verify", "--evidence", "--policy", "w1.policy"]);
    }

    /// A bundle with proofs, of an archive whose newest lines are not sealed, and that bundle changed.
    fn bundles(&mut self) {
        let sandbox = sandbox();
        let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk])
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_KEY_FILE", "evidence.key");
        self.run(&catalog, &["evidence", "keygen"]);
        self.run(&catalog, &["collect"]);
        sandbox.add(Api::Mail, vec![event(Api::Mail, at(DAY), "new")]);
        self.run(&catalog, &["reconcile"]);
        self.export(&catalog);
        let exported = catalog.run(&["export", "--since", "20d", "--to", "bundle"]);
        assert_eq!(exported.code, 0, "{}", exported.stderr);
        let verify_bundle = ["verify", "--bundle", "bundle", "--policy", "evidence/policy.txt"];
        self.run(&catalog, &verify_bundle);
        // A day as of an entry that is not the newest any more.
        sandbox.add(Api::Mail, vec![event(Api::Mail, at(5 * DAY + 60), "late")]);
        self.run(&catalog, &["reconcile", "--since", "9d"]);
        self.run(&catalog, &["seal"]);
        let log = catalog.root().join("evidence");
        for stream in ["yandex-mail", "yandex-disk"] {
            move_to_newest(&catalog.root().join("bundle"), &format!("{stream}.proofs.jsonl"), &log);
        }
        self.run(
            &catalog,
            &[&verify_bundle[..], &["--evidence-folder", "evidence"]].concat(),
        );
        fs::write(catalog.root().join("bundle/yandex-mail.ndjson"), "{}\n").unwrap();
        self.run(&catalog, &verify_bundle);
        fs::write(catalog.root().join("bundle/checkpoint"), "none").unwrap();
        self.run(&catalog, &verify_bundle);
    }

    /// Hours that are asked for again: of archives that are the same, lack something, were changed, or have no log.
    fn audits(&mut self) {
        let sandbox = sandbox();
        let mut catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk])
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_KEY_FILE", "evidence.key")
            .with("MAX_RETRIES", 0);
        let all = ["audit", "--sample", "100000", "--nonce", "dice-4-2-6"];
        self.run(&catalog, &all);
        self.run(&catalog, &["evidence", "keygen"]);
        self.run(&catalog, &["collect"]);
        sandbox.add(Api::Mail, vec![event(Api::Mail, at(5 * DAY + 60), "left out")]);
        let day = &day_files(&catalog)[1];
        let content = fs::read(day).unwrap();
        fs::write(day, "{}\n").unwrap();
        self.run(&catalog, &all);
        fs::write(day, content).unwrap();
        self.run(&catalog, &[&all[..], &["--policy", "evidence/policy.txt"]].concat());
        self.run(&catalog, &[&all[..], &["--since", "30m"]].concat());
        let filtered = Catalog::of(&sandbox, &[Api::Disk, Api::Tfc])
            .with("EVIDENCE_FOLDER", "evidence")
            .with("EVIDENCE_ORIGIN", "audit.example.org/trails")
            .with("EVIDENCE_KEY_FILE", "evidence.key")
            .with("DISK_API_QUERY", "excludeUids=1130000000000001");
        assert_eq!(filtered.run(&["evidence", "keygen"]).code, 0);
        filtered.run(&["collect"]);
        self.run(&filtered, &all);
        let key = catalog.run(&["evidence", "keygen", "--name", "jane", "--out", "auditor.key"]);
        let key = key.stdout.lines().next().unwrap().to_owned();
        catalog.run(&["audit", "--sample", "3", "--key", "auditor.key", "--out", "audit.page"]);
        let verify_page: [&'static str; 5] = ["verify", "--page", "audit.page", "--signer", key.leak()];
        self.run(&catalog, &verify_page);
        fs::write(catalog.root().join("audit.page"), "none").unwrap();
        self.run(&catalog, &verify_page);
        self.run(&catalog, &["expire", "--older-than", "6d", "--yes"]);
        sandbox.add(Api::Mail, vec![Event::new(at(50), "odd", "[\"no object\"]")]);
        self.run(&catalog, &all);
        let entries = catalog.root().join("evidence/entries.jsonl");
        let signed = fs::read_to_string(&entries).unwrap();
        fs::write(&entries, format!("{signed}none\n")).unwrap();
        fs::remove_dir_all(catalog.folder(Api::Mail).join(".trailkeeper")).unwrap();
        self.run(&catalog, &all);
        sandbox.step(Step::always(Api::Mail, Action::Answer(Answer::json(500, "{}"))));
        self.run(&catalog, &all);
        catalog.set("EVIDENCE_FOLDER", "elsewhere");
        self.run(&catalog, &all);
    }

    /// Days that are packed and unpacked, that are left, and that cannot be packed.
    fn packing(&mut self) {
        let (sandbox, listener) = (sandbox(), Listener::start(|_| 200));
        let mut catalog = catalog(&sandbox, &listener);
        self.run(&catalog, &["collect"]);
        let (name, content) = catalog.day_files(Api::Mail).pop_first().unwrap();
        let oldest = catalog.folder(Api::Mail).join(&name);
        fs::write(&oldest, [&content[..], b"torn"].concat()).unwrap();
        self.run(&catalog, &["pack", "--older-than", "2d", "--dry-run"]);
        fs::write(&oldest, &content).unwrap();
        let packed = catalog.folder(Api::Mail).join(format!("packed/{name}.zst"));
        let in_the_way = packed.with_extension("zst.unfinished");
        fs::create_dir_all(&in_the_way).unwrap();
        catalog.set("PACK_AFTER_DAYS", "2");
        self.run(&catalog, &["collect"]);
        self.follow(&catalog, &[], |round| round["upkeep"]["problems"][0].is_string());
        catalog.unset("PACK_AFTER_DAYS");
        fs::remove_dir(in_the_way).unwrap();
        self.run(&catalog, &["pack", "--older-than", "2d"]);
        let whole = fs::read(&packed).unwrap();
        fs::write(&packed, &whole[1..]).unwrap();
        self.run(&catalog, &["unpack"]);
        fs::write(&packed, whole).unwrap();
        fs::write(state(&catalog, "http.lock"), "").unwrap();
        self.run(&catalog, &["pack", "--older-than", "2d"]);
        fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
        self.run(&catalog, &["pack", "--older-than", "2d"]);
        self.run(&catalog, &["unpack"]);
    }

    /// Days that are deleted for their age, that are left, and that the evidence names.
    fn expiring(&mut self) {
        let (sandbox, listener) = (sandbox(), Listener::start(|_| 200));
        let mut catalog = catalog(&sandbox, &listener);
        let root = catalog.root().to_owned();
        catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
        catalog.set("EVIDENCE_ORIGIN", "audit.example.org/trails");
        catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
        self.run(&catalog, &["evidence", "keygen"]);
        self.run(&catalog, &["collect"]);
        self.run(&catalog, &["hold", "add", "one"]);
        self.run(&catalog, &["expire", "--older-than", "2d", "--dry-run"]);
        self.run(&catalog, &["hold", "release", "one"]);
        self.run(&catalog, &["expire", "--older-than", "2d", "--yes"]);
        self.run(&catalog, &["verify", "--evidence"]);
        fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
        self.run(&catalog, &["expire", "--older-than", "2d", "--yes"]);
    }

    /// Holds, and a file of them that cannot be read.
    fn holds(&mut self) {
        let catalog = Catalog::of(&sandbox(), &[Api::Mail]);
        self.run(&catalog, &["hold", "add", "one"]);
        let span = ["--since", "2026-01-01", "--until", "2026-02-01", "--note", "inquiry"];
        self.run(&catalog, &[&["hold", "add", "two"], &span[..]].concat());
        for command in ["status", "coverage"] {
            self.run(&catalog, &[command]);
        }
        self.run(&catalog, &["hold", "list"]);
        self.run(&catalog, &["hold", "release", "one"]);
        fs::write(state(&catalog, "holds.jsonl"), "{}\n").unwrap();
        self.run(&catalog, &["hold", "list"]);
        self.run(&catalog, &["coverage"]);
    }

    /// Runs that forward, or cannot, that warn, and that fail before they ask for anything.
    fn forwarded_and_failed_runs(&mut self) {
        let (sandbox, listener) = (sandbox(), Listener::start(|_| 200));
        let mut catalog = catalog(&sandbox, &listener);
        self.run(&catalog, &["collect", "--dry-run"]);
        self.run(&catalog, &["collect", "--forward-http", "--forward-from", "start"]);
        self.run(&catalog, &["forward", "http"]);
        self.read(&catalog);
        let refusing = Listener::start(|_| 400);
        catalog.set("HTTP_FORWARD_URL", &refusing.address);
        catalog.set("HTTP_TIMEOUT_SECONDS", 1);
        sandbox.add(Api::Mail, vec![event(Api::Mail, at(60), "new")]);
        self.run(&catalog, &["collect", "--forward-http"]);
        self.run(&catalog, &["forward", "http"]);
        self.read(&catalog);
        fs::write(state(&catalog, "http.json"), "{").unwrap();
        self.run(&catalog, &["status"]);
        fs::write(state(&catalog, "http.json"), NEWER_CURSOR).unwrap();
        self.run(&catalog, &["status"]);
        self.run(&catalog, &["forward", "http"]);
        self.run(&catalog, &["collect", "--forward-http"]);
        add_future_file(&catalog);
        fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
        self.run(&catalog, &["collect"]);
        self.run(&catalog, &["reconcile", "--dry-run"]);
        self.run(&catalog, &["reconcile"]);
        self.read(&catalog);
    }

    /// What `--follow` prints, with and without forwarding.
    fn rounds(&mut self) {
        let (sandbox, listener, refusing) = (sandbox(), Listener::start(|_| 200), Listener::start(|_| 400));
        let mut catalog = catalog(&sandbox, &listener).with("HTTP_TIMEOUT_SECONDS", 1);
        add_future_file(&catalog);
        let forwarding = ["--forward-http", "--forward-from", "start"];
        self.follow(&catalog, &forwarding, |round| {
            round["forward"][0]["sent"].as_u64() > Some(0)
        });
        catalog.set("HTTP_FORWARD_URL", &refusing.address);
        sandbox.add(Api::Mail, vec![event(Api::Mail, at(60), "new")]);
        self.follow(&catalog, &forwarding, |round| round["forward"][0]["error"].is_string());
        fs::write(state(&catalog, "http.json"), NEWER_CURSOR).unwrap();
        self.follow(&catalog, &forwarding, |round| {
            round["forward"][0]["error"].is_string() && round["forward"][0]["waiting"].is_null()
        });
        fs::remove_dir_all(catalog.folder(Api::Disk)).unwrap();
        self.follow(&catalog, &[], |round| round["error"].is_string());
    }

    /// The health of a stream that is well, and of one whose first run waits for its service.
    fn health(&mut self) {
        let sandbox = sandbox();
        sandbox.step(Step::always(Api::Disk, Action::Wait(PATIENCE)));
        let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk]);
        self.health_of(&catalog, &[]);
    }

    /// The health of what is followed, once mail is well.
    fn health_of(&mut self, catalog: &Catalog, arguments: &[&str]) {
        let mut running = follow::start(
            catalog,
            &[&["--json", "--metrics-listen", "127.0.0.1:0"], arguments].concat(),
        );
        let address = follow::served_address(&running.complaint_with("serving metrics"));
        let health = wait_for("mail is healthy", PATIENCE, || {
            let answer = follow::http_get(&address, "/healthz");
            let (_, health) = answer.split_once("\r\n\r\n").unwrap();
            let health: Value = serde_json::from_str(&health.replace("acme/", "")).unwrap();
            (health["streams"].to_string().contains(r#""healthy":true"#)).then_some(health)
        });
        running.kill();
        self.printed.entry("/healthz").or_default().push(health);
    }

    /// Follows until a round is printed that is wanted.
    fn follow(&mut self, catalog: &Catalog, arguments: &[&str], is_wanted: fn(&Value) -> bool) {
        let mut running = follow::start(catalog, &[&["--json"], arguments].concat());
        let rounds = follow::rounds_until(&mut running, is_wanted);
        running.kill();
        let rounds = rounds.into_iter().map(|round| without_organization(&round));
        self.printed.entry("collect --follow").or_default().extend(rounds);
    }

    /// Records that came late, one of them by more than the longest class.
    fn late_records(&mut self) {
        let sandbox = sandbox();
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        self.run(&catalog, &["collect"]);
        let late = [2, 12].map(|days| event(Api::Mail, at(days * DAY + 60), &format!("late-{days}")));
        sandbox.add(Api::Mail, late.to_vec());
        self.run(&catalog, &["reconcile", "--since", "20d"]);
        self.run(&catalog, &["reconcile"]);
    }

    /// Day files that were deleted, damaged and compressed, lines that are wrong, and then no day file and no folder.
    fn archives_that_lack_something(&mut self) {
        let (sandbox, listener) = (sandbox(), Listener::start(|_| 400));
        sandbox.add(Api::Mail, vec![Event::new(at(50), "odd", "[\"no object\"]")]);
        let catalog = catalog(&sandbox, &listener);
        self.run(&catalog, &["collect"]);
        self.run(&catalog, &["forward", "http", "--forward-from", "start"]);
        let [_, deleted, compressed, changed] = &day_files(&catalog)[..] else {
            panic!("four days")
        };
        fs::remove_file(deleted).unwrap();
        add_damaged(compressed);
        fs::write(changed, "not a record\n").unwrap();
        self.read(&catalog);
        fs::remove_file(state(&catalog, "coverage.jsonl")).unwrap();
        self.read(&catalog);
        self.run(&catalog, &["collect"]);
        day_files(&catalog)
            .iter()
            .for_each(|file| fs::remove_file(file).unwrap());
        self.run(&catalog, &["collect"]);
        self.read(&catalog);
        fs::remove_dir_all(catalog.folder(Api::Mail)).unwrap();
        self.read(&catalog);
    }

    /// Folders that no run has written to.
    fn archives_of_no_run(&mut self) {
        self.read(&Catalog::of(&sandbox(), &[Api::Mail]));
    }

    fn a_run_under_way(&mut self) {
        let sandbox = sandbox();
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        sandbox.step(Step::at(Api::Mail, 1, Action::Wait(Duration::from_secs(600))));
        let mut run = catalog.start(&["collect"]);
        wait_until("the run asks", PATIENCE, || {
            run.assert_running();
            sandbox.request_count(Api::Mail) >= 1
        });
        self.run(&catalog, &["status"]);
        // Another run cannot begin.
        self.run(&catalog, &["collect"]);
        run.kill();
    }

    fn a_span_that_is_not_proved(&mut self) {
        let sandbox = sandbox();
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        self.run(&catalog, &["collect"]);
        let journal = state(&catalog, "coverage.jsonl");
        let text = fs::read_to_string(&journal).unwrap();
        let mut line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        line["unproved"] = json!([{
            "from": at(3 * DAY), "to": at(2 * DAY), "reason": "the answers contradict each other", "asked_at": at(60), "repeats": 0
        }]);
        fs::write(&journal, format!("{line}\n")).unwrap();
        self.run(&catalog, &["coverage"]);
        self.export(&catalog);
    }

    /// Services and brokers that work and that do not.
    fn checks(&mut self) {
        let (sandbox, broker) = (sandbox(), Broker::start());
        sandbox.add(Api::Mail, events(Api::Mail, 1, 600));
        broker.ask("no-auto-create");
        broker.ask("create mail-logs 1");
        let mut catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk])
            .with("KAFKA_SERVER", broker.address())
            .with("KAFKA_TIMEOUT_SECONDS", 10)
            .with("MAX_RETRIES", 0);
        self.run(&catalog, &["check", "--forward-kafka"]);
        self.run(&catalog, &["collect"]);
        catalog.set("KAFKA_TRANSACTIONAL_ID", "examples");
        self.run(&catalog, &["collect", "--forward-kafka", "--forward-from", "start"]);
        self.run(&catalog, &["check", "--forward-kafka"]);
        catalog.unset("KAFKA_TRANSACTIONAL_ID");
        add_damaged(&day_files(&catalog)[0]);
        sandbox.step(Step::always(Api::Mail, Action::Answer(Answer::json(401, "{}"))));
        catalog.set("KAFKA_SERVER", "127.0.0.1:9");
        catalog.unset("DISK_LOG_FILE_BASE_NAME");
        self.run(&catalog, &["check", "--forward-kafka"]);
        catalog.set("KAFKA_PROPERTIES", "no property");
        drop(sandbox);
        self.run(&catalog, &["check", "--forward-kafka"]);
    }

    fn errors(&mut self) {
        let catalog = Catalog::bare().with("MAIL_LOG_CATALOG_LOCATION", "absent");
        self.run(&catalog, &["status"]);
        self.run(
            &Catalog::of(&sandbox(), &[Api::Mail]),
            &["collect", "--since", "1h", "--until", "2h"],
        );
        self.run(
            &Catalog::of(&sandbox(), &[Api::Mail]),
            &["collect", "--metrics-file", "absent/figures.prom"],
        );
    }
}

/// A time stamp, as far as it is read.
fn timestamp(content: &[u8]) -> Vec<u8> {
    let der = |kind: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let length: &[u8] = if content.len() < 0x80 { &[] } else { &[0x81] };
        [&[kind], length, &[content.len() as u8], &content[..]].concat()
    };
    let hash = ring::digest::digest(&ring::digest::SHA256, content);
    let (one, any) = (der(2, &[&[1]]), der(6, &[&[0x2a]]));
    let sha256 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    let imprint = der(0x30, &[&der(0x30, &[&der(6, &[&sha256])]), &der(4, &[hash.as_ref()])]);
    let said = der(0x30, &[&one, &any, &imprint, &one, &der(0x18, &[b"20261128023100Z"])]);
    let kind = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
    let said = der(0x30, &[&der(6, &[&kind]), &der(0xa0, &[&der(4, &[&said])])]);
    let signed = der(0xa0, &[&der(0x30, &[&one, &der(0x31, &[]), &said])]);
    let status = der(0x30, &[&der(2, &[&[0]])]);
    der(0x30, &[&status, &der(0x30, &[&any, &signed])])
}
