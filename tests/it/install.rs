//! What a package or an administrator installs: each file is read by the program that it is written for, where that is
//! installed here.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use trailkeeper::json;
use trailkeeper::sandbox::{Api, samples};

use super::support::{Catalog, PATIENCE, Process, at, event, events, serve, streams, succeed, tool, wait_for};

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(path)
}

fn read_sample(path: &str) -> String {
    fs::read_to_string(sample(path)).unwrap()
}

#[test]
fn systemd_takes_the_units() {
    let Some(mut systemd_analyze) = tool("systemd-analyze", "systemd") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for name in [
        "trailkeeper.service",
        "trailkeeper-collect.service",
        "trailkeeper-collect.timer",
        "trailkeeper-organizations.service",
    ] {
        // It looks whether the program of a unit is there.
        let start = concat!("ExecStart=", env!("CARGO_BIN_EXE_trailkeeper"), " ");
        let unit = read_sample(&format!("systemd/{name}")).replace("ExecStart=trailkeeper ", start);
        units.push(folder.path().join(name));
        fs::write(units.last().unwrap(), unit).unwrap();
    }
    let run = succeed(systemd_analyze.args(["verify", "--man=no"]).args(&units));
    // What it does not know it only mentions. Units of the machine itself are none of ours. Two keys came with systemd 254.
    let is_new = |line: &&str| !line.contains("'RestartSteps'") && !line.contains("'RestartMaxDelaySec'");
    let about_ours = run.stderr.lines().filter(|line| line.contains("trailkeeper"));
    let about_ours: Vec<_> = about_ours.filter(is_new).collect();
    assert!(about_ours.is_empty(), "{about_ours:#?}");
}

#[test]
fn the_service_comes_back_unless_it_is_used_wrongly_and_a_run_that_waits_is_no_failure() {
    let lines = |name: &str| -> BTreeSet<String> {
        let unit = read_sample(&format!("systemd/{name}"));
        unit.lines().map(str::to_owned).collect()
    };
    let (service, once) = (lines("trailkeeper.service"), lines("trailkeeper-collect.service"));
    assert!(service.contains("Restart=on-failure") && service.contains("RestartPreventExitStatus=2"));
    assert!(once.contains("SuccessExitStatus=4"));
    for unit in [service, once] {
        assert!(unit.contains("RequiresMountsFor=/var/log/audit-trails"));
    }
}

#[test]
fn both_services_are_hardened_alike() {
    let hardening = |name: &str| -> BTreeSet<String> {
        let unit = read_sample(&format!("systemd/{name}"));
        let start = unit.find("ReadWritePaths=").unwrap();
        let lines = unit[start..].lines().take_while(|line| !line.starts_with('['));
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let service = hardening("trailkeeper.service");
    assert_eq!(service, hardening("trailkeeper-collect.service"));
    assert!(service.contains("ProtectSystem=strict") && service.len() > 25);
}

#[test]
fn the_commands_in_the_files_are_ones_that_the_program_knows() {
    let catalog = Catalog::bare();
    for (file, start) in [
        ("systemd/trailkeeper.service", "ExecStart=trailkeeper "),
        ("systemd/trailkeeper-collect.service", "ExecStart=trailkeeper "),
        ("cron/trailkeeper", "run.lock trailkeeper "),
        ("windows/trailkeeper-task.xml", "<Arguments>"),
    ] {
        let text = read_sample(file);
        let arguments = text
            .split(start)
            .nth(1)
            .unwrap()
            .split(['\n', '<', '>'])
            .next()
            .unwrap();
        let arguments: Vec<&str> = arguments.split_whitespace().chain(["--help"]).collect();
        let run = catalog.run(&arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{file}: {arguments:?}");
    }
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    let Some(mut promtool) = tool("promtool", "prometheus") else {
        return;
    };
    succeed(promtool.args(["check", "rules"]).arg(sample("prometheus/alerts.yml")));
    let mut promtool = tool("promtool", "prometheus").unwrap();
    succeed(
        promtool
            .args(["test", "rules"])
            .arg(sample("prometheus/alerts_test.yml")),
    );
}

#[test]
fn the_dashboard_asks_prometheus_in_its_own_language() {
    let dashboard: Value = serde_json::from_str(&read_sample("prometheus/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (number, target) in targets.enumerate() {
        let asked = target["expr"].as_str().unwrap();
        let asked = asked.replace("$__rate_interval", "5m").replace("$stream", ".*");
        rules.push_str(&format!(
            "  - record: panel:{number}\n    expr: {}\n",
            Value::from(asked)
        ));
    }
    assert!(rules.lines().count() > 20, "{rules}");
    let Some(mut promtool) = tool("promtool", "prometheus") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dashboard.yml");
    fs::write(&path, rules).unwrap();
    succeed(promtool.args(["check", "rules"]).arg(&path));
}

#[test]
fn filebeat_tells_every_day_file_from_every_other_by_its_first_bytes() {
    let config = read_sample("agents/filebeat.yml");
    let length: usize = config
        .split(" length: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let at = |record: &Value, path: &[&str]| path.iter().fold(record.clone(), |value, key| value[key].clone());
    for (kind, api) in streams() {
        for event in samples(api).unwrap() {
            let mut line = String::new();
            json::scan(&event.text, &[], &mut line).unwrap();
            let start = &line.as_bytes()[..length.min(line.len())];
            let Ok(record) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let said = [kind.shape.time, kind.shape.id].map(|path| at(&record, path));
            let is_told = said
                .iter()
                .filter_map(Value::as_str)
                .any(|text| !text.is_empty() && start.windows(text.len()).any(|part| part == text.as_bytes()));
            assert!(is_told, "{}: {line}", kind.name);
        }
    }
}

#[test]
fn no_agent_drops_a_line_that_it_cannot_parse_without_a_word() {
    let vector = read_sample("agents/vector.yaml");
    for setting in [
        "drop_on_error: true",
        "reroute_dropped: true",
        "inputs: [audit_records.dropped]",
        "codec: text",
    ] {
        assert!(vector.contains(setting), "{setting}");
    }
    // Filebeat drops an event of whose fields it cannot compute the fingerprint, such as objects; the place of a line has one.
    let filebeat = read_sample("agents/filebeat.yml");
    let places = [
        "- fingerprint:\n          fields: [\"log.file.path\", \"log.offset\"]",
        "- decode_json_fields:",
        "add_error_key: true",
    ];
    let places = places.map(|text| filebeat.find(text).expect(text));
    assert!(places.is_sorted(), "{places:?}");
    // Wazuh's agent drops what it cannot parse itself; Fluent Bit passes it on, and rsyslog parses nothing.
    let wazuh = read_sample("agents/wazuh.xml");
    let (_, config) = wazuh.split_once("-->").unwrap();
    assert!(config.contains("<log_format>syslog</log_format>"), "{config}");
}

/// Waits until a file holds as many lines as `wanted`.
fn lines_when_complete(path: &Path, wanted: usize) -> Vec<String> {
    wait_for(&format!("rsyslog has written {wanted} lines"), PATIENCE, || {
        let text = fs::read_to_string(path).unwrap_or_default();
        (text.lines().count() >= wanted).then(|| text.lines().map(str::to_owned).collect())
    })
}

#[test]
fn rsyslog_reads_a_growing_archive_without_losing_or_changing_a_line() {
    let Some(mut rsyslogd) = tool("rsyslogd", "rsyslog") else {
        return;
    };
    let long = format!("\"padding\":\"{}\",", "ж".repeat(30_000));
    let mut odd = event(Api::Tfc, at(50), "odd");
    odd.text = odd
        .text
        .replacen('{', &format!("{{{long}\"tabs\":\"\\t\\u001b\\\\\","), 1);
    let mut given = events(Api::Tfc, 300, 100);
    given.push(odd);
    let sandbox = serve(|options| options.give(Api::Tfc, given));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let (state, out) = (catalog.root().join("rsyslog"), catalog.root().join("all.log"));
    fs::create_dir(&state).unwrap();
    let config = read_sample("agents/rsyslog.conf")
        .replace("/var/log/audit-trails", catalog.root().to_str().unwrap())
        .replace("/var/log/trailkeeper-all.log", out.to_str().unwrap());
    let path = catalog.root().join("rsyslog.conf");
    fs::write(
        &path,
        format!("global(workDirectory=\"{}\")\n{config}", state.display()),
    )
    .unwrap();
    catalog.collect(0, &[]);
    rsyslogd.args(["-n", "-f"]).arg(&path).arg("-i").arg(state.join("pid"));
    let _rsyslogd = Process::start(rsyslogd.stdout(Stdio::null()).stderr(Stdio::null()));
    assert_eq!(lines_when_complete(&out, 301).len(), 301, "what was there at the start");

    for n in 0..20 {
        sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(40 - n), &format!("grown {n}"))]);
        catalog.collect(0, &[]);
    }
    // A crash in the middle of a write, and the run that repairs it.
    let torn = catalog
        .folder(Api::Tfc)
        .join(catalog.day_files(Api::Tfc).into_keys().next_back().unwrap());
    fs::OpenOptions::new()
        .append(true)
        .open(torn)
        .unwrap()
        .write_all(b"{\"id\": \"to")
        .unwrap();
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(5), "after the crash")]);
    catalog.collect(0, &[]);

    let mut expected: Vec<String> = catalog
        .day_files(Api::Tfc)
        .values()
        .flat_map(|bytes| {
            String::from_utf8(bytes.clone())
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let mut read = lines_when_complete(&out, expected.len());
    expected.sort();
    read.sort();
    assert_eq!(expected.len(), 301 + 20 + 1 + 1);
    assert!(read == expected, "{} lines instead of {}", read.len(), expected.len());
}

#[test]
fn every_shell_takes_its_completions() {
    let catalog = Catalog::bare();
    for (shell, check) in [
        ("bash", Some("bash")),
        ("zsh", Some("zsh")),
        ("fish", None),
        ("powershell", None),
    ] {
        let run = catalog.run(&["completions", shell]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("metrics-file"), "{shell}");
        // PowerShell's completions know no values.
        assert!(run.stdout.contains("yandex-mail") || shell == "powershell", "{shell}");
        if let Some(mut shell) = check.and_then(|shell| tool(shell, shell)) {
            let path = catalog.root().join("completions");
            fs::write(&path, &run.stdout).unwrap();
            succeed(shell.arg("-n").arg(path));
        }
    }
    assert_eq!(catalog.run(&["completions", "cmd"]).code, 2);
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let catalog = Catalog::bare();
    let run = catalog.run(&["man"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.starts_with(".ie") && run.stdout.contains(".TH trailkeeper 1"),
        "{}",
        run.stdout
    );
    let pages = catalog.root().join("man");
    fs::create_dir(&pages).unwrap();
    assert_eq!(catalog.run(&["man", "--dir", "man"]).code, 0);
    let help = catalog.run(&["--help"]).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // A long description goes on in lines that are set in further.
    let lines = commands.lines().filter(|line| !line.starts_with("   "));
    let names: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 8, "{names:?}");
    for command in names {
        let page = fs::read_to_string(pages.join(format!("trailkeeper-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{command}");
    }
    let refused = catalog.run(&["man", "--dir", "gone"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("gone"), "{}", refused.stderr);
}

#[test]
fn what_the_debian_package_takes_from_the_repository_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let metadata = manifest.split("[package.metadata.deb]").nth(1).unwrap();
    let assets: Vec<&str> = metadata
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next())
        .collect();
    assert!(assets.len() > 8, "{assets:?}");
    for asset in assets.iter().filter(|asset| !asset.starts_with("target/")) {
        let folder = asset.strip_suffix("/*").unwrap_or(asset);
        assert!(root.join(folder).exists(), "{asset}");
    }
}

#[test]
fn the_image_runs_as_nobody_in_particular_and_builds_what_is_locked() {
    let file = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let dockerfile = file("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.contains("\nUSER nonroot"), "{last_stage}");
    assert!(dockerfile.contains("cargo build --locked --release"), "{dockerfile}");
    // The folders of the settings are there, since the image has no shell to make them with.
    for folder in ["mail", "disk", "audit", "port", "tfc"] {
        assert!(dockerfile.contains(&format!("/out/audit-trails/{folder}")), "{folder}");
    }
    // Cargo refuses a manifest whose targets are not there.
    assert!(file("Cargo.toml").contains("\n[[bench]]\n"));
    for folder in ["src", "samples", "benches"] {
        assert!(dockerfile.contains(&format!("\nCOPY {folder} {folder}\n")), "{folder}");
        assert!(file(".dockerignore").contains(&format!("\n!{folder}\n")), "{folder}");
    }
}

/// `gcr.io/distroless/cc` has the C library and that of the compiler; other machines may have as little.
#[cfg(target_os = "linux")]
#[test]
fn the_program_needs_no_library_that_the_image_lacks() {
    const IN_THE_IMAGE: [&str; 9] = [
        "linux-vdso.so",
        "ld-linux",
        "libc.so",
        "libm.so",
        "libgcc_s.so",
        "libpthread.so",
        "libdl.so",
        "librt.so",
        "ld64.so",
    ];
    let Some(mut ldd) = tool("ldd", "libc-bin") else { return };
    let run = succeed(ldd.arg(env!("CARGO_BIN_EXE_trailkeeper")));
    for line in run.stdout.lines() {
        assert!(IN_THE_IMAGE.iter().any(|name| line.contains(name)), "{line}");
    }
}
