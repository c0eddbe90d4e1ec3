//! From append to delivered: how long after a record is in its day file a consumer can read it, under `collect --follow`.
//!
//! `cargo bench --bench forward_latency` gives a sandbox one record after the other, and measures with the real binary in a process of
//! its own, at least once and exactly once, in turns. The broker is krafka's `FakeBroker` in this process: it speaks the whole protocol
//! of transactions, so that each request takes its round trip, and writes nothing to disk and replicates nothing. What a real broker
//! takes for that comes on top. `RECORDS=10` makes it shorter.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench asks the clock, and reads the files that it measures"
)]

#[path = "../tests/it/kafka/proxy/mod.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "it is that of the tests, which alone look into requests"
)]
mod proxy;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use krafka::testing::{ApiKey, FakeBroker};
use tokio::net::TcpListener;
use trailkeeper::sandbox::{Api, Event, Options, Sandbox};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How often each mode is measured with a process of its own.
const TURNS: usize = 3;

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

const TOPIC: &str = "tfc-logs";

/// The modes, by their transactional id.
const MODES: [(&str, Option<&str>); 2] = [("at least once", None), ("exactly once", Some("bench"))];

#[expect(clippy::print_stdout, reason = "the table")]
fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        for (found, (_, id)) in all.iter_mut().zip(MODES) {
            found.extend(measure(&runtime, id)?);
        }
    }
    println!("append to delivered, ms, to a broker in this process\n");
    println!("{:<16}{:>8}{:>8}{:>8}{:>8}", "", "records", "p50", "p90", "most");
    for (found, (name, _)) in all.iter_mut().zip(MODES) {
        found.sort();
        let at = |share: f64| found[((found.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{name:<16}{:>8}{:>8.1}{:>8.1}{:>8.1}",
            found.len(),
            at(0.5),
            at(0.9),
            at(1.0)
        );
    }
    Ok(())
}

/// The number of records of each turn.
fn wanted_records() -> usize {
    std::env::var("RECORDS")
        .ok()
        .and_then(|records| records.parse().ok())
        .unwrap_or(30)
}

/// Ends the process when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Whether it had ended by itself does not matter.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(runtime: &tokio::runtime::Runtime, id: Option<&str>) -> Outcome<Vec<Duration>> {
    let (broker, address) = runtime.block_on(start_broker())?;
    let sandbox = Sandbox::start_on_thread(Options::empty(Arc::new(Utc::now)).give(Api::Tfc, vec![event(0)]))?;
    let folder = tempfile::tempdir()?;
    let catalog = folder.path().join("tfc");
    fs::create_dir(&catalog)?;
    let process = Command::new(env!("CARGO_BIN_EXE_trailkeeper"))
        .args(["collect", "--follow", "--interval", "1s", "--forward-kafka", "-q"])
        .current_dir(folder.path())
        .env_clear()
        .envs(sandbox.variables())
        .env("TFC_LOG_CATALOG_LOCATION", &catalog)
        .env("TFC_LOG_FILE_BASE_NAME", "tfc_audit")
        .env("KAFKA_SERVER", address)
        .envs(id.map(|id| ("KAFKA_TRANSACTIONAL_ID", id)))
        .stdout(Stdio::null())
        .spawn()?;
    let _running = Running(process);
    wait("the first record", || delivered(&broker) == 1)?;
    let mut found = Vec::new();
    for number in 1..=wanted_records() {
        let length = appended(&catalog);
        sandbox.add(Api::Tfc, vec![event(number)]);
        wait("the record is appended", || appended(&catalog) > length)?;
        let begun = Instant::now();
        wait("the record is delivered", || delivered(&broker) == number + 1)?;
        found.push(begun.elapsed());
    }
    Ok(found)
}

fn event(number: usize) -> Event {
    Event::minimal(Api::Tfc, Utc::now() - TimeDelta::seconds(1), format!("event-{number}"))
}

async fn start_broker() -> Outcome<(Arc<FakeBroker>, String)> {
    let broker = Arc::new(FakeBroker::start().await?);
    // The versions that librdkafka and the fake broker have in common, see the proxy.
    broker.set_api_versions(ApiKey::TxnOffsetCommit, 3, 3);
    broker.set_api_versions(ApiKey::EndTxn, 0, 1);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    broker.with_state(|cluster| cluster.brokers[0].port = port.into());
    broker.create_topic(TOPIC, 1);
    let upstream = broker.broker_addr(0).ok_or("no address")?;
    tokio::spawn(proxy::serve(
        listener,
        upstream,
        Arc::new(Mutex::new(proxy::Judge::default())),
        proxy::Ahead::of(&broker),
    ));
    Ok((broker, format!("127.0.0.1:{port}")))
}

/// How many records a consumer that reads committed ones sees.
fn delivered(broker: &FakeBroker) -> usize {
    broker.committed_records(TOPIC).map_or(0, |records| records.len())
}

/// The bytes of all day files.
fn appended(catalog: &Path) -> u64 {
    let files = fs::read_dir(catalog).into_iter().flatten().flatten();
    let lengths = files.filter(|file| file.path().is_file());
    lengths.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) -> Outcome<()> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}
