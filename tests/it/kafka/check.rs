//! `check --forward-kafka`: what can be wrong between us and a topic, each with its own advice, and without a line sent.

use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Sandbox};

use super::broker::Broker;
use super::outbox::{DAYS, ID, Outbox};
use crate::support::{Catalog, Run, events, serve};

fn service() -> Sandbox {
    serve(|options| options.give(Api::Tfc, events(Api::Tfc, 3, 600)))
}

/// A stream that works, and a broker that knows its topic alone.
fn working() -> (Sandbox, Broker, Catalog) {
    let (sandbox, broker) = (service(), Broker::start());
    broker.ask("no-auto-create");
    broker.ask("create tfc-logs 3");
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("KAFKA_SERVER", broker.address())
        .with("KAFKA_TIMEOUT_SECONDS", "10");
    (sandbox, broker, catalog)
}

fn check(catalog: &Catalog, code: i32) -> Value {
    let run = catalog.run(&["check", "--forward-kafka", "--json"]);
    assert_eq!(run.code, code, "stdout: {}\nstderr: {}", run.stdout, run.stderr);
    assert_eq!(run.summary()["tfc"]["state"], "ok", "{}", run.stdout);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    let [kafka] = &json["forwarders"].as_array().unwrap()[..] else {
        panic!("{json}")
    };
    assert_eq!(kafka["state"] == "ok", code == 0, "{kafka}");
    kafka.clone()
}

/// The only problem of the broker.
fn problem(catalog: &Catalog) -> String {
    let kafka = check(catalog, 1);
    let [problem] = &kafka["problems"].as_array().unwrap()[..] else {
        panic!("{kafka}")
    };
    problem.as_str().unwrap().to_owned()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

#[test]
fn where_lines_would_be_taken_it_says_so_and_sends_none() {
    let (_sandbox, broker, catalog) = working();
    let kafka = check(&catalog, 0);
    assert_eq!(
        (&kafka["sink"], &kafka["brokers"], &kafka["server"]),
        (&"kafka".into(), &1.into(), &broker.address().into())
    );
    let topic = &kafka["topics"][0];
    assert_eq!((&topic["stream"], &topic["topic"]), (&"tfc".into(), &"tfc-logs".into()));
    assert_eq!(
        (&topic["state"], &topic["partitions"], &topic["problem"]),
        (&"ok".into(), &3.into(), &Value::Null)
    );
    says(kafka["notice"].as_str().unwrap(), &["only the first line shows"]);
    assert_eq!(broker.all("tfc-logs").len(), 0);
    let text = catalog.run(&["check", "--forward-kafka"]).stdout;
    says(&text, &["Kafka at ", "TOPIC", "tfc-logs"]);
    assert_eq!(broker.all("tfc-logs").len(), 0);
}

#[test]
fn without_the_flag_no_broker_is_asked() {
    let sandbox = service();
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("KAFKA_SERVER", "127.0.0.1:9");
    let run: Run = catalog.run(&["check", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("\"forwarders\":[]"), "{}", run.stdout);
}

#[test]
fn a_topic_that_is_not_there_is_named_and_not_made() {
    let (_sandbox, broker, catalog) = working();
    let catalog = catalog.with("TFC_KAFKA_TOPIC", "terraform");
    let kafka = check(&catalog, 1);
    let problem = kafka["topics"][0]["problem"].as_str().unwrap();
    says(
        problem,
        &["there is no topic `terraform`", "create it, or check KAFKA_TOPIC"],
    );
    let eager = Broker::start();
    let catalog = catalog.with("KAFKA_SERVER", eager.address());
    check(&catalog, 1);
    assert_eq!(
        eager.ask("topics"),
        [""; 0],
        "a broker that would make it was not made to"
    );
    drop(broker);
}

#[test]
fn a_broker_that_cannot_be_reached_has_its_advice() {
    let (_sandbox, broker, catalog) = working();
    drop(broker);
    let problem = problem(&catalog);
    says(
        &problem,
        &["cannot be reached", "Connection refused", "check KAFKA_SERVER"],
    );
}

#[test]
fn a_host_that_is_not_known_has_its_advice() {
    let (_sandbox, _broker, catalog) = working();
    let catalog = catalog.with("KAFKA_SERVER", "kafka.invalid:9092");
    let problem = problem(&catalog);
    says(
        &problem,
        &["kafka.invalid:9092", "is not known", "check the names in KAFKA_SERVER"],
    );
}

#[test]
fn a_wrong_password_has_its_advice_and_is_not_shown() {
    let (_sandbox, broker, catalog) = working();
    broker.ask("require-sasl trailkeeper right");
    let catalog = catalog
        .with("KAFKA_SASL_MECHANISM", "PLAIN")
        .with("KAFKA_SASL_USERNAME", "trailkeeper")
        .with("KAFKA_SASL_PASSWORD", "hunter2");
    let problem = problem(&catalog);
    says(
        &problem,
        &["refuses the user", "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"],
    );
    assert!(!problem.contains("hunter2") && !catalog.app_log().contains("hunter2"));
    let mut in_file = catalog;
    let path = in_file.root().join("password");
    std::fs::write(&path, in_file.unset("KAFKA_SASL_PASSWORD")).unwrap();
    in_file.set("KAFKA_SASL_PASSWORD_FILE", path.to_str().unwrap());
    says(
        &self::problem(&in_file),
        &["check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD_FILE"],
    );
    in_file.unset("KAFKA_SASL_PASSWORD_FILE");
    check(&in_file.with("KAFKA_SASL_PASSWORD", "right"), 0);
}

#[test]
fn a_user_who_may_write_nowhere_or_not_see_a_topic_has_its_advice() {
    let (_sandbox, broker, catalog) = working();
    broker.ask("refuse init no-cluster-right 1000");
    says(
        &problem(&catalog),
        &["lets the user write to no topic", "the right Write"],
    );
    broker.ask("behave");
    broker.ask("refuse metadata no-right 1000");
    let kafka = check(&catalog, 1);
    let problem = kafka["topics"][0]["problem"].as_str().unwrap();
    says(
        problem,
        &["may not see the topic `tfc-logs`", "the rights Describe and Write"],
    );
    broker.ask("behave");
    check(&catalog, 0);
}

#[test]
fn with_a_transactional_id_it_does_not_disturb_a_forwarder_at_work() {
    let (_sandbox, broker, catalog) = working();
    broker.ask("refuse init no-cluster-right 1000");
    let kafka = check(&catalog.with("KAFKA_TRANSACTIONAL_ID", "trailkeeper"), 0);
    says(kafka["notice"].as_str().unwrap(), &["KAFKA_TRANSACTIONAL_ID"]);
}

#[test]
fn it_asks_kafka_where_the_cursor_stands_and_makes_nothing_for_that() {
    let (_sandbox, broker, catalog) = working();
    let catalog = catalog.with("KAFKA_TRANSACTIONAL_ID", ID);
    assert_eq!(check(&catalog, 0)["topics"][0]["cursor"], Value::Null);
    assert_eq!(broker.ask("topics"), ["tfc-logs"]);
    catalog.collect(0, &["--forward-kafka"]);
    broker.count("init");
    let (name, text) = catalog.day_files(Api::Tfc).pop_last().unwrap();
    let text = String::from_utf8(text).unwrap();
    let cursor = json!({"file": name, "offset": text.len(), "waiting": 0});
    assert_eq!(check(&catalog, 0)["topics"][0]["cursor"], cursor);
    let path = catalog.folder(Api::Tfc).join(&name);
    std::fs::write(&path, format!("{text}{}", text.replace("\"id\":\"", "\"id\":\"new-"))).unwrap();
    let cursor = json!({"file": name, "offset": text.len(), "waiting": 3});
    assert_eq!(check(&catalog, 0)["topics"][0]["cursor"], cursor);
    let shown = catalog.run(&["check", "--forward-kafka"]).stdout;
    let sentence = format!(
        "tfc: its cursor in Kafka stands at byte {} of {name}, and 3 lines wait\n",
        text.len()
    );
    assert!(shown.contains(&sentence), "{shown}");
    broker.ask(r"deny coordinator logserver1.tfc\0 no-group-right");
    let problem = check(&catalog, 1)["topics"][0]["problem"].as_str().unwrap().to_owned();
    says(
        &problem,
        &["grant the user the right Read on the consumer group `logserver1.tfc`"],
    );
}

#[test]
fn a_machine_that_only_forwards_needs_no_token_and_learns_of_a_cursor_that_is_not_its_own() {
    let broker = Broker::start();
    broker.ask("create tfc-logs 1");
    let outbox = || Outbox::exactly_once(&broker);
    let (mut one, mut other) = (outbox(), outbox());
    one.append(DAYS[0], 3, 10);
    one.forward(0);
    let kafka = check(&one.catalog, 0);
    assert_eq!(kafka["topics"][0]["cursor"]["waiting"], 0);
    let run = one.catalog.run(&["check", "--forward-kafka"]);
    says(
        &run.stdout,
        &[
            "not asked",
            "tfc: no token of any service is set, so it is checked for forwarding alone",
        ],
    );
    other.append(DAYS[0], 5, 9);
    other.forward(0);
    let problem = check(&one.catalog, 1)["topics"][0]["problem"]
        .as_str()
        .unwrap()
        .to_owned();
    says(
        &problem,
        &["is not one in these day files", "It was written by another archive"],
    );
    // Where a token is set, collecting is checked.
    let collecting = one.catalog.with("PORT_API_TOKEN", "abc");
    let run = collecting.run(&["check", "--forward-kafka", "--json"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    says(&json["streams"][0]["problems"].to_string(), &["TFC_ORG_TOKEN"]);
}

#[test]
fn settings_that_cannot_be_used_are_problems() {
    let (_sandbox, _broker, catalog) = working();
    let catalog = catalog.with("KAFKA_SERVER", "kafka").with("KAFKA_SASL_USERNAME", "x");
    let run = catalog.run(&["check", "--forward-kafka", "--json"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (run.code, &json["forwarders"]),
        (1, &Value::Array(Vec::new())),
        "{json}"
    );
    let problems = json["problems"].to_string();
    says(
        &problems,
        &["KAFKA_SERVER must be `host:port`", "KAFKA_SASL_MECHANISM is required"],
    );
}
