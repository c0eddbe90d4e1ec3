//! What is sealed, and when.

use std::fs::{self, OpenOptions};
use std::io::Write;

use trailkeeper::sandbox::Api;

use super::forger::{checkpoint, hex, root_of};
use super::*;
use crate::support::Process;

#[test]
fn a_run_seals_what_it_has_collected_and_others_find_the_same_hashes() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &Api::ALL);
    let verdict = verify(&catalog, 0, &[]);
    assert_eq!(problems(&verdict), Vec::<String>::new());
    assert_eq!(verdict["origin"], ORIGIN);
    let (mut open, mut closed) = (0, 0);
    for entry in entries(&catalog) {
        let kind = entry["kind"].as_str().unwrap();
        if kind == "key" {
            continue;
        }
        let stream = entry["stream"].as_str().unwrap();
        let (_, api) = streams().into_iter().find(|(kind, _)| kind.name == stream).unwrap();
        let file = entry["file"].as_str().unwrap();
        let catalog_folder = catalog.folder(api);
        let place = if kind == "journal" {
            catalog_folder.join(".trailkeeper")
        } else {
            catalog_folder
        };
        let content = fs::read(place.join(file)).unwrap();
        let content = &content[..entry["bytes"].as_u64().unwrap() as usize];
        assert_eq!(entry["root"], hex(root_of(content)), "{entry}");
        assert_eq!(
            entry["lines"],
            content.iter().filter(|byte| **byte == b'\n').count(),
            "{entry}"
        );
        if kind == "day" {
            assert_eq!(
                (entry["first"].is_string(), entry["last"].is_string()),
                (true, true),
                "{entry}"
            );
            assert_eq!(
                (
                    entry["covered"].as_array().unwrap().len(),
                    entry["gaps"].as_array().unwrap().len()
                ),
                (1, 0),
                "{entry}"
            );
        }
        open += i32::from(kind == "open");
        closed += i32::from(kind == "day");
    }
    // Of each stream the days that ended two days ago or earlier; midnight may come between.
    let streams = streams().len() as i32;
    assert!(closed >= 3 * streams && open >= 2 * streams, "{open} {closed}");
    let key = kinds(&catalog, "key").remove(0);
    let text = fs::read(folder(&catalog).join("checkpoint")).unwrap();
    let (origin, size, root) = checkpoint(&text, key["key"].as_str().unwrap());
    assert_eq!((origin.as_str(), size), (ORIGIN, entries(&catalog).len() as u64));
    assert_eq!(
        root,
        root_of(&fs::read(folder(&catalog).join("entries.jsonl")).unwrap())
    );
}

#[test]
fn nothing_is_added_if_nothing_is_new_and_no_day_file_is_touched() {
    let sandbox = daily(4);
    let catalog = sealed(&sandbox, &[Api::Tfc, Api::Mail]);
    seal(&catalog, 0);
    let size = entries(&catalog).len();
    let day_files = || [Api::Tfc, Api::Mail].map(|api| catalog.day_files(api));
    let files = day_files();
    let again = seal(&catalog, 0);
    assert_eq!(again["size"], size);
    let full = catalog.run(&["seal", "--full"]);
    assert_eq!(full.code, 0, "{}", full.stderr);
    assert_eq!(entries(&catalog).len(), size);
    assert_eq!(files, day_files());
}

#[test]
fn a_file_that_grows_is_sealed_again_when_the_time_has_come_and_by_hand_at_once() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let before = kinds(&catalog, "open").len();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, newer(10), "new-1")]);
    assert_eq!(catalog.collect_one(0, &[])["appended"], 1);
    assert_eq!(
        kinds(&catalog, "open").len(),
        before,
        "SEAL_EVERY_MINUTES have not passed"
    );
    let verdict = verify(&catalog, 0, &[]);
    let unsealed = verdict["streams"][0]["files"].as_array().unwrap().iter();
    let unsealed: u64 = unsealed
        .filter(|file| file["file"].as_str().unwrap().ends_with(".log"))
        .map(|file| file["unsealed_lines"].as_u64().unwrap())
        .sum();
    assert_eq!(unsealed, 1);
    seal(&catalog, 0);
    assert_eq!(kinds(&catalog, "open").len(), before + 1);
    let catalog = catalog.with("SEAL_EVERY_MINUTES", 0);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, newer(20), "new-2")]);
    catalog.collect_one(0, &[]);
    assert_eq!(kinds(&catalog, "open").len(), before + 2);
    verify(&catalog, 0, &[]);
}

#[test]
fn a_record_that_comes_late_for_a_closed_day_is_no_fault() {
    for api in [Api::Tfc, Api::Mail, Api::Port] {
        let sandbox = daily(6);
        let catalog = sealed(&sandbox, &[api]);
        let late = at(4 * DAY + newest() + 50);
        sandbox.add(api, vec![event(api, late, "late")]);
        let run = catalog.run(&["reconcile", "--since", "6d", "--json"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        let late = kinds(&catalog, "late");
        assert_eq!((late.len(), &late[0]["lines"]), (1, &4.into()), "{late:?}");
        assert_eq!(late[0]["file"], name(&path(&catalog, api, 4)));
        verify(&catalog, 0, &[]);
    }
}

#[test]
fn a_day_with_a_gap_that_can_be_filled_is_not_closed() {
    use trailkeeper::sandbox::{Action, Answer, Step};

    let sandbox = daily(6);
    // The first collection fails somewhere in the middle.
    sandbox.step(Step::at(Api::Port, 3, Action::Answer(Answer::json(403, "{}"))));
    let catalog = unsealed(&sandbox, &[Api::Port])
        .with("PORT_PAGE_LIMIT", 20)
        .with("MAX_PAGES", 1);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog.run(&["collect"]);
    let closed_before = kinds(&catalog, "day").len();
    catalog.collect_one(0, &[]);
    assert!(kinds(&catalog, "day").len() >= 3, "{closed_before}");
    verify(&catalog, 0, &[]);
}

#[test]
fn lines_of_others_in_a_closed_day_and_whole_files_of_others_are_not_sealed_until_a_person_says_why() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc, Api::Mail]);
    let closed = path(&catalog, Api::Tfc, 4);
    let line = fs::read_to_string(&closed)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .replace("4-0", "forged");
    let foreign = path(&catalog, Api::Tfc, 20);
    let seal_fails = |expected: &str| {
        let sealed = seal(&catalog, 3);
        let streams = sealed["streams"].as_array().unwrap();
        let tfc = streams.iter().find(|stream| stream["stream"] == "tfc").unwrap();
        let problem = tfc["problems"][0].as_str().unwrap();
        assert!(problem.contains(expected), "{problem}");
        assert_eq!(tfc["entries"], 0);
    };
    writeln!(OpenOptions::new().append(true).open(&closed).unwrap(), "{line}").unwrap();
    seal_fails("holds lines that no run has noted that it wrote");
    let verdict = verify(&catalog, 3, &[]);
    assert!(
        problems(&verdict)[0].contains("these lines are in no entry"),
        "{verdict}"
    );
    acknowledge(&catalog, &name(&closed), 0);
    seal(&catalog, 0);
    let verdict = verify(&catalog, 3, &[]);
    assert_eq!(problems(&verdict), Vec::<String>::new());
    verify(&catalog, 0, &["--accept-broken"]);

    fs::write(&foreign, format!("{line}\n")).unwrap();
    seal_fails("holds lines that no run has noted that it wrote");
    let verdict = verify(&catalog, 3, &[]);
    assert!(
        problems(&verdict)[0].contains("its day is closed, and it is in no entry"),
        "{verdict}"
    );
    acknowledge(&catalog, foreign.to_str().unwrap(), 0);
    seal(&catalog, 0);
    verify(&catalog, 0, &["--accept-broken"]);
    // What is as it was sealed needs no excuse.
    acknowledge(&catalog, &name(&closed), 3);
    acknowledge(&catalog, "nothing.log", 3);
}

#[test]
fn what_a_killed_run_has_written_last_to_a_closed_day_is_sealed() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let closed = path(&catalog, Api::Tfc, 4);
    let line = fs::read_to_string(&closed)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .replace("4-0", "late");
    let append =
        |path: &Path, line: &str| writeln!(OpenOptions::new().append(true).open(path).unwrap(), "{line}").unwrap();
    append(&closed, &line);
    let journal = catalog
        .folder(Api::Tfc)
        .join(format!(".trailkeeper/{}.coverage.jsonl", base_name(Api::Tfc)));
    // As a run leaves it that is killed between the append and its note of it.
    let last = fs::read_to_string(&journal).unwrap().lines().last().unwrap().to_owned();
    let mut killed: Value = serde_json::from_str(&last).unwrap();
    killed["at"] = now().to_rfc3339().into();
    killed["end"] = "open".into();
    killed["asked"][0]["from"] = at(5 * DAY).to_rfc3339().into();
    killed["asked"][0]["covered_to"] = Value::Null;
    append(&journal, &killed.to_string());
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(4 * DAY + newest()), "late")]);
    catalog.collect_one(0, &[]);
    seal(&catalog, 0);
    assert_eq!(kinds(&catalog, "late")[0]["lines"], 4);
    verify(&catalog, 0, &[]);
}

pub(super) fn acknowledge(catalog: &Catalog, file: &str, code: i32) {
    let run = catalog.run(&["evidence", "acknowledge", file, "--reason", "seen by the owner"]);
    assert_eq!(run.code, code, "{file}: {}{}", run.stdout, run.stderr);
}

#[test]
fn a_stream_that_was_changed_holds_up_no_other() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc, Api::Mail]).with("SEAL_EVERY_MINUTES", 0);
    edit(&path(&catalog, Api::Tfc, 4), |text| text.replace("4-1", "9-9"));
    let size = entries(&catalog).len();
    sandbox.add(Api::Mail, vec![event(Api::Mail, at(20), "newer")]);
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("not sealed: "), "{}", run.stderr);
    assert!(run.stderr.contains("is not what was sealed"), "{}", run.stderr);
    let new = entries(&catalog).split_off(size);
    assert!(
        !new.is_empty() && new.iter().all(|entry| entry["stream"] == "yandex-mail"),
        "{new:?}"
    );
}

#[test]
fn a_compressed_day_is_what_it_was() {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let path = path(&catalog, Api::Tfc, 4);
    let packed = format!("{}.gz", path.display());
    let mut encoder = GzEncoder::new(fs::File::create(packed).unwrap(), Compression::default());
    encoder.write_all(&fs::read(&path).unwrap()).unwrap();
    encoder.finish().unwrap();
    verify(&catalog, 0, &[]);
    fs::remove_file(&path).unwrap();
    verify(&catalog, 0, &[]);
    seal(&catalog, 0);
    // And what comes late is sealed behind it.
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(4 * DAY + newest() + 50), "late")]);
    let run = catalog.run(&["reconcile", "--since", "6d"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(kinds(&catalog, "late")[0]["lines"], 4);
    verify(&catalog, 0, &[]);
}

#[test]
fn two_sealers_at_once_are_told_apart_by_the_lock() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let lock = fs::File::options()
        .write(true)
        .open(folder(&catalog).join(".trailkeeper/evidence.lock"))
        .unwrap();
    lock.lock().unwrap();
    let run = catalog.run(&["seal"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    drop(lock);
    let many: Vec<Process> = (0..4).map(|_| catalog.start(&["seal"])).collect();
    let codes: Vec<i32> = many.into_iter().map(|process| process.end().code).collect();
    assert!(
        codes.iter().all(|code| [0, 4].contains(code)) && codes.contains(&0),
        "{codes:?}"
    );
    verify(&catalog, 0, &[]);
}

#[test]
fn following_seals_too() {
    let sandbox = daily(3);
    let catalog = unsealed(&sandbox, &[Api::Tfc]);
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    let process = catalog.start(&["collect", "--follow", "--interval", "1s"]);
    crate::support::wait_until("the log has entries", crate::support::PATIENCE, || {
        entries(&catalog).len() > 3
    });
    assert_eq!(process.terminate().code, 0);
    verify(&catalog, 0, &[]);
}

#[test]
fn the_page_says_what_is_sealed() {
    let sandbox = daily(6);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    let page = |catalog: &Catalog| {
        let run = catalog.run(&["report", "--html", "-", "-q"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
    };
    let days = [5, 0].map(|days| at(days * DAY + newest()).date_naive());
    let expected = format!("<dt>Sealed days</dt><dd>{} to {}</dd>", days[0], days[1]);
    let text = page(&catalog);
    assert!(
        text.contains("<h3>Evidence</h3>") && text.contains(&expected),
        "{expected}"
    );
    assert!(text.contains("<dt>Acknowledged as broken</dt><dd>0</dd>"));
    let mut catalog = catalog;
    catalog.unset("EVIDENCE_FOLDER");
    catalog.unset("EVIDENCE_ORIGIN");
    assert!(!page(&catalog).contains("<h3>Evidence</h3>"));
}

#[test]
fn a_file_whose_earlier_lines_were_changed_is_found_when_it_grows() {
    let sandbox = daily(3);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    seal(&catalog, 0);
    let newest = path(&catalog, Api::Tfc, 0);
    edit(&newest, |text| text.replacen("0-1", "0-1-and-more", 1));
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.run(&["collect"]);
    let sealed = seal(&catalog, 3);
    let problem = sealed["streams"][0]["problems"][0].as_str().unwrap();
    assert!(problem.contains("is not what was sealed"), "{problem}");
}

#[test]
fn an_entry_by_a_clock_that_was_ahead_holds_up_no_seal() {
    let sandbox = daily(2);
    let catalog = sealed(&sandbox, &[Api::Tfc]);
    // As a seal of tomorrow would have written it.
    let tomorrow = (now() + chrono::TimeDelta::days(1)).to_rfc3339();
    let text = fs::read_to_string(folder(&catalog).join("entries.jsonl")).unwrap();
    let changed: Vec<String> = text
        .lines()
        .map(|line| {
            let mut entry: Value = serde_json::from_str(line).unwrap();
            entry["at"] = tomorrow.as_str().into();
            format!("{entry}\n")
        })
        .collect();
    fs::write(folder(&catalog).join("entries.jsonl"), changed.concat()).unwrap();
    fs::remove_dir_all(folder(&catalog).join("checkpoints")).unwrap();
    fs::create_dir(folder(&catalog).join("checkpoints")).unwrap();
    super::forger::sign(&folder(&catalog), &key_file(&catalog), ORIGIN);
    let size = entries(&catalog).len();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), "new")]);
    catalog.collect_one(0, &[]);
    assert!(entries(&catalog).len() > size);
    let verdict = verify(&catalog, 0, &[]);
    assert!(
        verdict["remarks"][0].as_str().unwrap().contains("the clock"),
        "{verdict}"
    );
    verify(&catalog, 3, &["--at", &tomorrow]);
}

#[test]
fn a_stream_whose_files_have_another_name_now_is_sealed_all_the_same() {
    let sandbox = daily(6);
    let mut catalog = sealed(&sandbox, &[Api::Tfc]);
    catalog.set("TFC_LOG_FILE_BASE_NAME", "tfc_renamed");
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    seal(&catalog, 0);
    verify(&catalog, 0, &[]);
    edit(&path(&catalog, Api::Tfc, 4), |text| text.replace("4-1", "4-9"));
    seal(&catalog, 3);
    let verdict = verify(&catalog, 3, &[]);
    assert_eq!(problems(&verdict).len(), 1, "{verdict}");
}

#[test]
fn a_stream_that_is_switched_off_is_verified_where_its_folder_is_named() {
    let sandbox = daily(3);
    let mut catalog = sealed(&sandbox, &[Api::Tfc, Api::Mail]);
    let folder = catalog.folder(Api::Tfc);
    catalog.unset("TFC_LOG_CATALOG_LOCATION");
    let verdict = verify(&catalog, 3, &[]);
    assert!(problems(&verdict)[0].contains("name them with --files"), "{verdict}");
    let named = format!("tfc={}", folder.display());
    verify(&catalog, 0, &["--files", &named]);
    let run = catalog.run(&["verify", "--evidence", "--files", "yandex-mail=."]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}
