//! A catalog that the Python collector left is gone on with as if it were our own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use trailkeeper::record::{Reader, Shape};
use trailkeeper::sandbox::{Api, Sandbox, samples};

use super::support::{Catalog, serve, streams};

const LEFT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/python-catalog");

/// The Python collector kept both streams in one folder.
const LOGS: [Api; 2] = [Api::Mail, Api::Disk];

type Files = BTreeMap<String, Vec<u8>>;

fn shape(api: Api) -> Shape {
    let (kind, _) = streams().into_iter().find(|(_, of)| *of == api).unwrap();
    kind.shape
}

/// Where the sample records of a service are kept: the content of each, and how many lines are no record. One of them stands in
/// the compressed file of the day after its own.
fn kept(files: &Files, base: &str, reader: &mut Reader) -> (BTreeSet<u128>, usize) {
    let (mut kept, mut skipped) = (BTreeSet::new(), 0);
    let is_compressed = |name: &str| name.strip_suffix(".gz").is_some_and(|name| is_day_file(name, base));
    for (name, bytes) in files {
        let mut bytes = bytes.clone();
        if is_compressed(name) {
            let packed = std::mem::take(&mut bytes);
            MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        } else if !is_day_file(name, base) {
            continue;
        }
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let text = std::str::from_utf8(line).ok();
            let Some(record) = text.and_then(|text| reader.read(text).ok()) else {
                skipped += 1;
                continue;
            };
            let day = record.time.date_naive().to_string();
            assert!(
                name.contains(&day) || is_compressed(name),
                "{name} holds a record of {day}"
            );
            assert!(
                kept.insert(record.identity.content),
                "{name} holds a record twice: {}",
                record.line
            );
        }
    }
    (kept, skipped)
}

fn is_day_file(name: &str, base: &str) -> bool {
    name.starts_with(&format!("{base}_2025-06-")) && name.ends_with(".log") && !name.contains("06-31")
}

/// The folder as the Python collector left it, for both streams.
fn left_behind(sandbox: &Sandbox) -> Catalog {
    let mut catalog = Catalog::of(sandbox, &LOGS);
    let folder = catalog.folder(Api::Mail);
    catalog.set("DISK_LOG_CATALOG_LOCATION", folder.display());
    for entry in fs::read_dir(LEFT).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    catalog
}

fn sandbox() -> Sandbox {
    serve(|options| {
        LOGS.into_iter()
            .fold(options, |all, api| all.give(api, samples(api).unwrap()))
    })
}

#[test]
fn a_catalog_of_the_python_collector_goes_on_without_loss_or_repetition() {
    let sandbox = sandbox();
    let catalog = left_behind(&sandbox);
    let first = catalog.collect(0, &[]);
    let after = catalog.day_files(Api::Mail);
    for (api, base, torn) in [(Api::Mail, "mail_audit", 0), (Api::Disk, "disk_audit", 1)] {
        let mut reader = Reader::new(shape(api));
        let given = samples(api).unwrap();
        let given = given
            .iter()
            .map(|event| reader.read(&event.text).unwrap().identity.content)
            .collect();
        assert_eq!(kept(&after, base, &mut reader), (given, torn), "{base}");
    }
    let second = catalog.collect(0, &[]);
    for name in ["yandex-mail", "yandex-disk"] {
        assert_ne!(first[name]["appended"], 0, "{name}");
        assert_eq!(second[name]["appended"], 0, "{name}");
    }
    assert_eq!(catalog.day_files(Api::Mail), after);
}

#[test]
fn what_the_python_collector_wrote_is_only_added_to_and_its_torn_line_is_terminated_first() {
    let sandbox = sandbox();
    let catalog = left_behind(&sandbox);
    let left = catalog.day_files(Api::Mail);
    catalog.collect(0, &[]);
    let after = catalog.day_files(Api::Mail);
    for (name, bytes) in &left {
        assert!(after[name].starts_with(bytes), "{name} was changed, not appended to");
        if !is_day_file(name, "mail_audit") && !is_day_file(name, "disk_audit") {
            assert_eq!(after[name], *bytes, "{name} is a neighbour");
        }
    }
    let torn = "disk_audit_2025-06-09.log";
    assert_ne!(left[torn].last(), Some(&b'\n'), "the sample ends with a torn line");
    assert_eq!(after[torn][left[torn].len()], b'\n');
    assert!(after[torn].len() > left[torn].len() + 1);
}
