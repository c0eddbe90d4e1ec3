//! Copies in object storage, against moto: a bucket with versions and Object Lock, faults, and a service without conditions.

use std::fs;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use super::super::pack::sandbox;
use super::super::support::{Catalog, Process, PythonPackage, at, event};
use super::{copy, elsewhere, files, sent, shown};

const MOTO: PythonPackage = PythonPackage {
    name: "moto[server]",
    named_by: "PYTHON_WITH_MOTO",
    import: "import moto.server, boto3",
};

const SECRET: &str = "swordfish-swordfish";

/// A bucket in a process of its own.
struct Bucket {
    process: Process,
    stdin: ChildStdin,
    address: String,
}

impl Bucket {
    fn start(test: &str) -> Option<Self> {
        let mut python = Command::new(MOTO.python(test)?);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/copy/bucket.py");
        let mut process = Process::start(python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = process.stdin().unwrap();
        let address = process.next_line().unwrap();
        Some(Self {
            process,
            stdin,
            address,
        })
    }

    fn ask(&mut self, what: &str) -> Value {
        writeln!(self.stdin, "{what}").unwrap();
        serde_json::from_str(&self.process.next_line().unwrap()).unwrap()
    }
}

fn with_bucket(catalog: Catalog, bucket: &Bucket) -> Catalog {
    catalog
        .with("AWS_ENDPOINT_URL", &bucket.address)
        .with("AWS_ACCESS_KEY_ID", "AKIATEST")
        .with("AWS_SECRET_ACCESS_KEY", SECRET)
}

fn catalog(sandbox: &Sandbox, bucket: &Bucket) -> Catalog {
    with_bucket(Catalog::of(sandbox, &[Api::Mail]), bucket)
}

const URL: &str = "s3://copies/deep/place";

#[test]
fn a_locked_bucket_takes_each_object_once_and_gives_the_archive_back() {
    let Some(mut bucket) = Bucket::start("copying to a locked bucket") else {
        return;
    };
    let url = "s3://copies/all";
    let sandbox = sandbox(6);
    let catalog = catalog(&sandbox, &bucket);
    catalog.collect(0, &[]);
    shown(&catalog, 0, &["pack", "--older-than", "3d"]);
    let first = copy(&catalog, 0, url);
    assert_eq!(sent(&first), first["streams"][0]["bytes"].as_u64().unwrap());
    assert_eq!(sent(&copy(&catalog, 0, url)), 0);
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    catalog.collect(0, &[]);
    assert_eq!(copy(&catalog, 0, url)["copy"], 2);
    let told = bucket.ask("tell");
    let objects = told["objects"].as_array().unwrap();
    assert!(objects.len() > 10, "{told}");
    for object in objects {
        assert_eq!(object["versions"], 1, "{object}");
        assert_eq!(object["locked"], true, "{object}");
    }
    assert_eq!(told["conditional_puts"], told["puts"]);
    assert_eq!(told["sha256_puts"], told["puts"]);
    assert_eq!(told["deletes"], 0);
    let other = with_bucket(elsewhere(&sandbox, &[Api::Mail]), &bucket);
    shown(&other, 0, &["copy", "--from", url]);
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
}

#[test]
fn a_bucket_with_faults_is_asked_again_and_one_that_has_only_those_is_told_without_the_secret() {
    let Some(mut bucket) = Bucket::start("copying to a bucket with faults") else {
        return;
    };
    let url = "s3://copies/all";
    let sandbox = sandbox(5);
    let catalog = catalog(&sandbox, &bucket).with("MAX_RETRIES", 5);
    catalog.collect(0, &[]);
    assert_eq!(bucket.ask("fail every 3"), json!("ok"));
    assert_eq!(copy(&catalog, 0, url)["copy"], 1);
    bucket.ask("fail every 1");
    let run = catalog.run(&["copy", "--to", url, "-v"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("cannot list") && run.stderr.contains("503"),
        "{}",
        run.stderr
    );
    let log = fs::read_to_string(catalog.root().join("get_audit_logs.log")).unwrap_or_default();
    for text in [&run.stderr, &run.stdout, &log] {
        assert!(!text.contains(SECRET), "{text}");
    }
    bucket.ask("fail every 0");
    // What it gives back is compared with what it was given.
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(1), "new")]);
    catalog.collect(0, &[]);
    bucket.ask("lie");
    let run = catalog.run(&["copy", "--to", url]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("other bytes"), "{}", run.stderr);
}

#[test]
fn a_service_that_knows_no_conditions_is_looked_at_first() {
    let Some(mut bucket) = Bucket::start("copying to a service without conditional writing") else {
        return;
    };
    let sandbox = sandbox(4);
    let catalog = catalog(&sandbox, &bucket);
    catalog.collect(0, &[]);
    bucket.ask("refuse conditions");
    assert_eq!(copy(&catalog, 0, URL)["copy"], 1);
    let other = with_bucket(elsewhere(&sandbox, &[Api::Mail]), &bucket);
    shown(&other, 0, &["copy", "--from", URL]);
    assert_eq!(files(&other.folder(Api::Mail)), files(&catalog.folder(Api::Mail)));
}
