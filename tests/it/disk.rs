//! Disks that are full, read-only or gone: the stream fails with the path in the message, and the next run completes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use trailkeeper::sandbox::{Action, Api, Event, Sandbox, Seen, Step, When};

use super::support::{Catalog, Run, at, event, process, serve};

/// Records of several days, 10 KB each day.
fn history(api: Api) -> Vec<Event> {
    (0..600)
        .map(|n| event(api, at(60 + n * 700), &format!("id-{n}")))
        .collect()
}

/// A service at whose request with this number something happens to the disk, once.
fn serve_with(api: Api, number: usize, happening: impl Fn() + Send + Sync + 'static) -> Sandbox {
    let is_over = AtomicBool::new(false);
    let picks = move |seen: &Seen| {
        if seen.number == number && !is_over.swap(true, Ordering::AcqRel) {
            happening();
        }
        false
    };
    serve(|options| {
        let step = Step::new(When::Picked(Arc::new(picks)), Action::Wait(Default::default()));
        options.give(api, history(api)).step(step)
    })
}

/// Asserts that a run failed with exit code 3 and a message with this path.
fn assert_failed(run: &Run, path: &Path) {
    assert_eq!(run.code, 3, "{}", run.stderr);
    let error = run.summary().into_values().next().unwrap()["error"].clone();
    assert!(error.as_str().unwrap().contains(path.to_str().unwrap()), "{error}");
    assert!(run.stderr.contains(path.to_str().unwrap()), "{}", run.stderr);
}

/// The lines of day files: different records, and others.
fn count_lines(files: &BTreeMap<String, Vec<u8>>) -> (usize, usize) {
    let lines = files.values().flat_map(|bytes| bytes.split(|byte| *byte == b'\n'));
    let (records, others): (Vec<_>, Vec<_>) = lines
        .filter(|line| !line.is_empty())
        .partition(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok());
    let distinct: BTreeSet<_> = records.iter().collect();
    assert_eq!(distinct.len(), records.len(), "a record is there twice");
    (records.len(), others.len())
}

/// Asserts that a run, the first one, says of the day files of the mail what is in them: whole lines.
fn assert_counts_what_is_on_disk(summary: &Value, catalog: &Catalog) {
    let files = catalog.day_files(Api::Mail);
    let whole = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let with_lines = files.iter().filter(|(_, bytes)| whole(bytes) > 0);
    let names: Vec<&String> = with_lines.map(|(name, _)| name).collect();
    let lines: usize = files.values().map(|bytes| whole(bytes)).sum();
    assert!(lines > 0, "nothing came to be");
    assert_eq!(summary["appended"], lines, "{summary}");
    assert_eq!(summary["files"], serde_json::to_value(names).unwrap());
    let status = catalog.run(&["status", "--json"]).summary()["yandex-mail"].clone();
    assert_eq!(summary["last_record"], status["last_record"], "{summary}\n{status}");
    // Where the journal could be written.
    if status["last_run"]["end"] == "failed" {
        assert_eq!(status["last_run"]["appended"], lines, "{status}");
    }
}

/// Mounts a small disk of its own on a folder; `None` where that is not allowed.
pub(super) struct Mount(PathBuf);

impl Mount {
    pub(super) fn tmpfs(folder: &Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder);
        process::try_run(&mut mount)
            .is_some_and(|run| run.code == 0)
            .then(|| Self(folder.to_owned()))
    }

    fn remount(folder: &Path, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(folder);
        assert_eq!(process::run(&mut mount).code, 0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        process::try_run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

#[test]
fn a_line_torn_by_a_limit_of_the_file_size_is_terminated_and_completed_by_the_next_run() {
    // The first line of the journal fits.
    for blocks in [2, 3, 8] {
        let sandbox = serve(|options| options.give(Api::Mail, history(Api::Mail)));
        let catalog = Catalog::of(&sandbox, &[Api::Mail]);
        // With SIGXFSZ ignored, a write past the limit is cut short and the next one fails: a disk that is full.
        let limit = format!("trap '' XFSZ; ulimit -f {blocks}");
        let failed = catalog.run_in_shell(&limit, &["collect", "--json"]);
        assert_failed(&failed, &catalog.folder(Api::Mail).join("mail_audit_"));
        let stream = &failed.summary()["yandex-mail"];
        let error = stream["error"].as_str().unwrap();
        let advice = "File too large (os error 27); a limit of the size of files is reached: raise that of the process (`ulimit -f`";
        assert!(
            error.contains(advice) && error.ends_with("; the next run completes the archive"),
            "{error}"
        );
        assert_counts_what_is_on_disk(stream, &catalog);
        let before = catalog.day_files(Api::Mail);
        assert!(
            before
                .values()
                .any(|bytes| bytes.last().is_some_and(|last| *last != b'\n')),
            "nothing was torn"
        );

        catalog.collect(0, &[]);
        let after = catalog.day_files(Api::Mail);
        assert!(before.iter().all(|(name, bytes)| after[name].starts_with(bytes)));
        let repaired = catalog.rejected(Api::Mail);
        assert_eq!(repaired.len(), 1, "{repaired:?}");
        assert_eq!(repaired[0]["reason"], "torn line, repaired");
        assert_eq!(count_lines(&after), (600, 1));
        assert_eq!(catalog.collect_one(0, &[])["appended"], 0);
    }
}

#[test]
fn a_full_disk_fails_the_stream_with_the_path_and_what_to_do_and_the_next_run_completes() {
    let sandbox = serve(|options| {
        [Api::Mail, Api::Disk]
            .into_iter()
            .fold(options, |options, api| options.give(api, history(api)))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Disk]);
    let folder = catalog.folder(Api::Mail);
    let Some(_mount) = Mount::tmpfs(&folder, "size=48k") else {
        println!("SKIPPED: mounting is not allowed here; the limit of the file size is tested above");
        return;
    };
    let metrics = catalog.root().join("trailkeeper.prom");
    let failed = catalog.run(&["collect", "--json", "--metrics-file", metrics.to_str().unwrap()]);
    assert_eq!(failed.code, 3, "{}", failed.stderr);
    let summary = failed.summary();
    let error = summary["yandex-mail"]["error"].as_str().unwrap();
    assert!(
        error.contains(folder.to_str().unwrap()) && error.contains("free some space"),
        "{error}"
    );
    assert_eq!(
        summary["yandex-disk"]["status"], "complete",
        "the other stream has a disk of its own"
    );
    let before = catalog.day_files(Api::Mail);
    assert_counts_what_is_on_disk(&summary["yandex-mail"], &catalog);
    let counted = &summary["yandex-mail"]["appended"];
    let counted = format!("trailkeeper_appended_records_total{{stream=\"yandex-mail\"}} {counted}\n");
    assert!(fs::read_to_string(metrics).unwrap().contains(&counted), "{counted}");
    assert_other_files_are_not_the_archive(&catalog, &folder);

    // The archive can be read, whatever cannot be written.
    let last_record = &summary["yandex-mail"]["last_record"];
    for options in ["size=48k", "ro"] {
        Mount::remount(&folder, options);
        let again = catalog.run(&["collect", "--json"]);
        let again = &again.summary()["yandex-mail"];
        assert_eq!(
            (&again["status"], &again["last_record"]),
            (&"failed".into(), last_record),
            "{again}"
        );
    }

    Mount::remount(&folder, "rw,size=4m");
    catalog.collect(0, &[]);
    let after = catalog.day_files(Api::Mail);
    assert!(before.iter().all(|(name, bytes)| after[name].starts_with(bytes)));
    assert_eq!(count_lines(&after), (600, catalog.rejected(Api::Mail).len()));
    catalog.assert_holds(Api::Disk, &sandbox.events(Api::Disk));
}

/// A page or metrics that do not fit on a full disk can be written again at any time: the next run has nothing to complete.
fn assert_other_files_are_not_the_archive(catalog: &Catalog, full: &Path) {
    let (page, metrics) = (full.join("page.html"), full.join("trailkeeper.prom"));
    for arguments in [
        ["report", "--html", page.to_str().unwrap()],
        ["collect", "--metrics-file", metrics.to_str().unwrap()],
    ] {
        let run = catalog.run(&arguments);
        let path = arguments[2];
        let message = run.stderr.lines().find(|line| line.contains(path)).unwrap();
        assert!(message.contains("free some space"), "{message}");
        assert!(!message.contains("the archive"), "{message}");
    }
}

#[test]
fn a_folder_that_vanishes_during_a_run_fails_the_stream_and_a_later_run_completes() {
    let (root, api) = (tempfile::tempdir().unwrap(), Api::Mail);
    let (folder, away) = (root.path().join("logs"), root.path().join("away"));
    fs::create_dir(&folder).unwrap();
    let (from, to) = (folder.clone(), away.clone());
    let sandbox = serve_with(api, 3, move || fs::rename(&from, &to).unwrap());
    let catalog = Catalog::of(&sandbox, &[api]).with("MAIL_LOG_CATALOG_LOCATION", folder.display());
    let failed = catalog.run(&["collect", "--json"]);
    assert_failed(&failed, &folder);
    assert!(
        failed.stderr.contains("check that the folder exists"),
        "{}",
        failed.stderr
    );
    assert!(!folder.exists(), "the program made the folder anew");

    let missing = catalog.run(&["collect", "--json"]);
    assert_failed(&missing, &folder);
    assert!(!folder.exists(), "the program made the folder anew");

    fs::rename(&away, &folder).unwrap();
    assert_eq!(catalog.collect_one(0, &[])["status"], "complete");
    assert_eq!(count_lines(&files_in(&folder)), (600, 0));
}

#[test]
fn a_folder_that_turns_read_only_during_a_run_fails_the_stream_and_a_later_run_completes() {
    let (root, api) = (tempfile::tempdir().unwrap(), Api::Disk);
    let folder = root.path().to_owned();
    let turned = folder.clone();
    let sandbox = serve_with(api, 3, move || set_mode(&turned, 0o555));
    let catalog = Catalog::of(&sandbox, &[api]).with("DISK_LOG_CATALOG_LOCATION", folder.display());
    // No mode stops root, so root's test runs the program as somebody else.
    let is_root = rustix::process::geteuid().is_root();
    let run = |arguments: &[&str]| {
        let mut command = catalog.command(arguments);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        process::run(&mut command)
    };
    if is_root {
        for path in [catalog.root(), &folder] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let failed = run(&["collect", "--json"]);
    assert_failed(&failed, &folder);
    assert!(
        failed.stderr.contains("give the user that runs this program the right"),
        "{}",
        failed.stderr
    );

    assert_failed(&run(&["collect", "--json"]), &folder);

    set_mode(&folder, 0o755);
    let completed = run(&["collect"]);
    assert_eq!(completed.code, 0, "{}", completed.stderr);
    assert_eq!(count_lines(&files_in(&folder)), (600, 0));
}

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// The files of a folder, by name.
fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
