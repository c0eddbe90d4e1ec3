//! A catalog that the Python collector left is gone on with as if it were our own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use trailkeeper::env::{Env, Faults};
use trailkeeper::record::{Reader, Shape};
use trailkeeper::sandbox::{Api, samples};

use super::support::{Catalog, serve, streams};

const LEFT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/python-catalog");

fn shape(sandbox: &trailkeeper::sandbox::Sandbox, api: Api) -> Shape {
    let (kind, _) = streams().into_iter().find(|(_, of)| *of == api).unwrap();
    let source = (kind.configure)(&Env::from_pairs(sandbox.variables()), &mut Faults::default()).unwrap();
    source.shape()
}

#[test]
fn a_catalog_of_the_python_collector_goes_on_without_loss_or_repetition() {
    let sandbox = serve(|options| {
        let give = |options: trailkeeper::sandbox::Options, api| options.give(api, samples(api).unwrap());
        give(give(options, Api::Mail), Api::Disk)
    });
    let mut catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk]);
    let folder = catalog.folder(Api::Mail);
    // The Python collector kept both streams in one folder.
    catalog.set("DISK_LOG_CATALOG_LOCATION", folder.display());
    for entry in fs::read_dir(LEFT).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let left = catalog.day_files(Api::Mail);

    let first = catalog.collect(0, &[]);
    assert_ne!(
        (&first["yandex-mail"]["appended"], &first["yandex-disk"]["appended"]),
        (&0.into(), &0.into())
    );
    let after = catalog.day_files(Api::Mail);
    for (name, bytes) in &left {
        assert!(after[name].starts_with(bytes), "{name} was changed, not appended to");
        if Path::new(name).extension().is_some_and(|extension| extension != "log") || name.contains("06-31") {
            assert_eq!(after[name], *bytes, "{name} is a neighbour");
        }
    }
    let torn = &left["disk_audit_2025-06-09.log"];
    assert_ne!(torn.last(), Some(&b'\n'), "the sample ends with half a line");
    assert_eq!(
        after["disk_audit_2025-06-09.log"][torn.len()],
        b'\n',
        "which is sealed before anything is added"
    );

    for (api, base) in [(Api::Mail, "mail_audit_2"), (Api::Disk, "disk_audit_2")] {
        let mut reader = Reader::new(shape(&sandbox, api));
        let mut kept = BTreeSet::new();
        let mut skipped = 0;
        for (name, bytes) in &after {
            if !name.starts_with(base) || !name.ends_with(".log") || name.contains("06-31") {
                continue;
            }
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let Ok(record) = std::str::from_utf8(line)
                    .map_err(drop)
                    .and_then(|line| reader.read(line).map_err(drop))
                else {
                    skipped += 1;
                    continue;
                };
                assert!(
                    name.contains(&record.time.date_naive().to_string()),
                    "{name} holds a record of {}",
                    record.time
                );
                assert!(
                    kept.insert(record.identity.content),
                    "{name} holds a record twice: {}",
                    record.line
                );
            }
        }
        let given: BTreeSet<u128> = samples(api)
            .unwrap()
            .iter()
            .map(|event| reader.read(&event.text).unwrap().identity.content)
            .collect();
        assert_eq!(kept, given);
        assert_eq!(skipped, usize::from(api == Api::Disk), "the half line and nothing else");
    }
    let second = catalog.collect(0, &[]);
    assert_eq!(
        (&second["yandex-mail"]["appended"], &second["yandex-disk"]["appended"]),
        (&0.into(), &0.into())
    );
    assert_eq!(catalog.day_files(Api::Mail), after);
}
