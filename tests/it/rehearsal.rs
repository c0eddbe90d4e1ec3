//! `sandbox --fault`: each fault as an operator meets it, from the command line of the one to the summary of the other.

use std::fs;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::support::{Catalog, at};

/// Collects once from a sandbox with these faults; the exit code and the summary of mail.
fn rehearse(faults: &[&str], settings: &str) -> (i32, Value) {
    let mut catalog = Catalog::bare();
    let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
    let sandbox = ["sandbox", "--listen", "127.0.0.1:0", "--records", "2000", "--still"];
    let arguments: Vec<&str> = sandbox.into_iter().chain(faults).collect();
    let mut sandbox = catalog.start(&arguments);
    let text = sandbox.lines_to("# and create the folders:").join("\n");
    fs::write(
        catalog.root().join(".env"),
        text + "\nRETRY_DELAY_SECONDS=0.001\n" + settings,
    )
    .unwrap();
    fs::create_dir(catalog.root().join("yandex-mail")).unwrap();
    catalog.clear();
    let run = catalog.run(&["collect", "--stream", "yandex-mail", "--json"]);
    let summary = run.summary().remove("yandex-mail");
    sandbox.kill();
    (run.code, summary.unwrap_or_else(|| panic!("{}", run.stderr)))
}

#[test]
fn what_passes_costs_retries_and_no_record() {
    for (fault, settings) in [
        ("unavailable", ""),
        ("rate-limit=10", ""),
        ("slow=9", "REQUEST_TIMEOUT_SECONDS=2"),
        ("no-answer", ""),
        ("broken-json", ""),
        ("empty", ""),
    ] {
        let (code, mail) = rehearse(&[fault], settings);
        assert_eq!((code, &mail["appended"]), (0, &2_000.into()), "{fault}: {mail:#}");
        assert!(mail["retries"].as_u64() > Some(0), "{fault}: {mail:#}");
    }
}

#[test]
fn a_replica_that_lags_hides_what_is_new_and_one_of_several_costs_no_record() {
    let (code, mail) = rehearse(&["lagging-replica=1"], "");
    let last: DateTime<Utc> = mail["last_record"].as_str().unwrap().parse().unwrap();
    assert!(
        code == 0 && mail["appended"].as_u64() < Some(2_000) && last < at(600),
        "{mail:#}"
    );
    let (code, mail) = rehearse(&["lagging-replica=3"], "");
    assert_eq!((code, &mail["appended"]), (0, &2_000.into()), "{mail:#}");
}

#[test]
fn a_token_that_ends_fails_the_run_and_a_clock_that_is_wrong_is_told() {
    let (code, mail) = rehearse(&["expired-token=5"], "");
    assert_eq!((code, &mail["requests"]), (3, &6.into()), "{mail:#}");
    assert!(mail["error"].as_str().unwrap().contains("answered 401"), "{mail:#}");
    let (code, mail) = rehearse(&["wrong-clock=7200"], "");
    assert_eq!(code, 0);
    let offset = mail["clock_offset_seconds"].as_i64().unwrap();
    assert!((7_190..7_210).contains(&offset), "{mail:#}");
    assert!(
        mail["warnings"][0].as_str().unwrap().contains("behind the service's"),
        "{mail:#}"
    );
}

#[test]
fn faults_can_be_given_to_one_stream_and_together() {
    let (code, mail) = rehearse(&["expired-token=0@tfc"], "");
    assert_eq!((code, &mail["retries"]), (0, &0.into()), "{mail:#}");
    // Of three requests under way at once, every third answer may be that of the same one each time.
    let (code, mail) = rehearse(&["unavailable@yandex-mail", "wrong-clock=600"], "MAX_RETRIES=20");
    assert_eq!(code, 0, "{mail:#}");
    assert!(mail["retries"].as_u64() > Some(0) && mail["clock_offset_seconds"].as_i64() > Some(500));
}

#[test]
fn the_help_lists_the_faults_and_a_wrong_name_is_answered_with_them() {
    let catalog = Catalog::bare();
    let help = catalog.run(&["sandbox", "--help"]).stdout;
    let wrong = catalog.run(&["sandbox", "--fault", "unavailible"]);
    assert_eq!(wrong.code, 2);
    for name in [
        "unavailable",
        "rate-limit",
        "lagging-replica",
        "wrong-clock",
        "expired-token",
    ] {
        assert!(help.contains(&format!("{name}[=")), "{name}: {help}");
        assert!(wrong.stderr.contains(name), "{name}: {}", wrong.stderr);
    }
}
