//! Runs that follow each other: the first, the second, and those that go on.

use trailkeeper::sandbox::{Api, Options, Records, Sandbox};

use super::support::{Catalog, at, event, events, now, serve, streams};

/// Generated records of all streams, and no new ones while the test runs.
fn generated(count: usize) -> Sandbox {
    let mut options = Options::new(std::sync::Arc::new(now));
    for api in Api::ALL {
        options[api].records = Records::Generated { count, arrivals: None };
    }
    Sandbox::start_on_thread(options).unwrap()
}

#[test]
fn a_first_run_files_every_record_and_a_second_one_adds_nothing() {
    let sandbox = generated(1_500);
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    let first = catalog.collect(0, &[]);
    let files = catalog.tree();
    let second = catalog.collect(0, &[]);
    assert_eq!(
        catalog.tree().keys().collect::<Vec<_>>(),
        files.keys().collect::<Vec<_>>()
    );
    for (kind, api) in streams() {
        catalog.assert_holds(api, &sandbox.events(api));
        let (first, second) = (&first[kind.name], &second[kind.name]);
        assert_eq!(
            (&first["appended"], &first["status"]),
            (&1_500.into(), &"complete".into()),
            "{first}"
        );
        assert_eq!(
            (&second["appended"], &second["duplicates"]),
            (&0.into(), &second["received"]),
            "{second}"
        );
        assert_eq!(first["last_record"], second["last_record"]);
        assert_ne!(second["received"], 0, "the overlap asks for the last record again");
        for (name, bytes) in catalog.day_files(api) {
            let path = catalog.folder(api).strip_prefix(catalog.root()).unwrap().join(name);
            assert_eq!(bytes, files[&path], "{}", path.display());
        }
    }
}

#[test]
fn a_run_goes_on_with_what_arrived_since_late_records_of_the_overlap_included() {
    let sandbox = serve(|options| {
        streams()
            .into_iter()
            .fold(options, |options, (_, api)| options.give(api, events(api, 300, 600)))
    });
    let catalog = Catalog::of(&sandbox, &Api::ALL);
    catalog.collect(0, &[]);
    let before: Vec<_> = streams().iter().map(|(_, api)| catalog.day_files(*api)).collect();
    for (_, api) in streams() {
        // The last record is 600 seconds old, so the overlap reaches back to 720.
        sandbox.add(
            api,
            vec![
                event(api, at(700), "late"),
                event(api, at(500), "new"),
                event(api, at(500), "burst"),
            ],
        );
    }
    let second = catalog.collect(0, &[]);
    for ((kind, api), before) in streams().into_iter().zip(before) {
        assert_eq!(second[kind.name]["appended"], 3, "{}", second[kind.name]);
        catalog.assert_holds(api, &sandbox.events(api));
        for (name, bytes) in before {
            assert!(
                catalog.day_files(api)[&name].starts_with(&bytes),
                "{name} was changed, not appended to"
            );
        }
    }
}

#[test]
fn without_a_command_it_collects() {
    let sandbox = serve(|options| options.give(Api::Disk, events(Api::Disk, 10, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Disk]);
    let run = catalog.run(&["--json"]);
    assert_eq!((run.code, &run.summary()["yandex-disk"]["appended"]), (0, &10.into()));
    catalog.assert_holds(Api::Disk, &sandbox.events(Api::Disk));
}
