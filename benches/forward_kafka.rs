//! A backlog to Kafka: the real forwarder, at least once and exactly once, against a bare rdkafka producer that sends the same
//! messages from memory.
//!
//! `cargo bench --bench forward_kafka` makes day files, starts librdkafka's own mock broker in a process of its own, and
//! prints a table. All of its figures come from that mock, which writes nothing to disk, replicates nothing, and takes every
//! commit without looking: what a transaction costs a real broker is not in them. `SERVER=host:port` measures with a broker that
//! runs already, whose topics `bare` and `mail-logs` it fills; `docs/benchmarks.md` holds what it printed. `LINES=100000` makes it shorter. Each contender is a process of
//! its own, and they take turns.

#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

/// The days over which the lines are spread.
const DAYS: [&str; 3] = ["2025-06-09", "2025-06-10", "2025-06-11"];

/// How often each contender runs; the fastest counts, since everything else on the machine only slows it down.
const ROUNDS: usize = 3;

/// Runs a contender; gives how long it took, and its peak of resident memory in KiB.
type Contender<'a> = dyn Fn() -> Outcome<(Duration, u64)> + 'a;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["broker"] => broker(),
        ["bare", server, folder, with] => bare(server, Path::new(folder), with == "everything"),
        _ => compare(),
    }
}

/// The number of lines of the backlog.
#[expect(clippy::disallowed_methods, reason = "a bench has no env.rs")]
fn wanted_lines() -> usize {
    std::env::var("LINES")
        .ok()
        .and_then(|lines| lines.parse().ok())
        .unwrap_or(1_000_000)
}

#[expect(clippy::print_stdout, reason = "the table")]
fn compare() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let bytes = write_backlog(folder.path(), wanted_lines())?;
    let mut mock = None;
    let server = match own_broker() {
        Some(server) => server,
        None => first_line(mock.insert(start_mock()?))?,
    };
    let lines = wanted_lines() as f64;
    println!(
        "{lines} lines, {:.0} bytes each on average, lz4, acks=all, idempotent, to {}\n",
        bytes as f64 / lines,
        if mock.is_some() {
            "the mock broker of librdkafka"
        } else {
            &server
        }
    );
    println!("{:<46}{:>12}{:>10}{:>10}", "", "lines/s", "MB/s", "MiB");
    let mut rates = Vec::new();
    let contenders: [(&str, &Contender<'_>); 4] = [
        ("bare producer, values alone", &|| {
            run_bare(&server, folder.path(), "values")
        }),
        ("bare producer, with key, time and headers", &|| {
            run_bare(&server, folder.path(), "everything")
        }),
        ("trailkeeper, at least once, the whole process", &|| {
            run_forwarder(&server, folder.path(), None)
        }),
        ("trailkeeper, exactly once, the whole process", &|| {
            run_forwarder(&server, folder.path(), Some("bench"))
        }),
    ];
    let mut best = [(Duration::MAX, 0); 4];
    for _ in 0..ROUNDS {
        for (best, (_, run)) in best.iter_mut().zip(&contenders) {
            let (took, memory) = run()?;
            *best = (best.0.min(took), best.1.max(memory));
        }
    }
    for ((name, _), (took, memory)) in contenders.iter().zip(best) {
        let rate = lines / took.as_secs_f64();
        rates.push(rate);
        let megabytes = bytes as f64 / 1e6 / took.as_secs_f64();
        println!(
            "{name:<46}{rate:>12.0}{megabytes:>10.0}{:>10.1}",
            memory as f64 / 1024.0
        );
    }
    println!(
        "\nat least once / bare with key, time and headers: {:.2}",
        rates[2] / rates[1]
    );
    println!("at least once / bare with values alone: {:.2}", rates[2] / rates[0]);
    println!("exactly once / at least once: {:.2}", rates[3] / rates[2]);
    if let Some(mut mock) = mock {
        mock.kill()?;
        mock.wait()?;
    }
    Ok(())
}

/// The broker to measure with, if not the mock.
#[expect(clippy::disallowed_methods, reason = "a bench has no env.rs")]
fn own_broker() -> Option<String> {
    std::env::var("SERVER").ok()
}

fn start_mock() -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("broker").stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

/// Day files of records of about 700 bytes; gives their size.
fn write_backlog(folder: &Path, lines: usize) -> Outcome<u64> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = 0;
    for (index, day) in DAYS.iter().enumerate() {
        let path = folder.join(format!("mail_audit_{day}.log"));
        let mut file = BufWriter::new(File::create(&path)?);
        for number in (index * lines / DAYS.len())..((index + 1) * lines / DAYS.len()) {
            let second = number % 86_400;
            writeln!(
                file,
                "{{\"eventType\": \"message_receive\", \"date\": \"{day}T{:02}:{:02}:{:02}.{:03}Z\", \"orgId\": 1000001, \
                 \"userUid\": \"{}\", \"userLogin\": \"user{}@example.org\", \"userName\": \"User {}\", \"requestId\": \
                 \"{:032x}\", \"uniqId\": \"{:032x}\", \"source\": \"imap\", \"mid\": \"{}\", \"folderName\": \"Inbox\", \
                 \"folderType\": \"inbox\", \"labels\": [\"important\", \"{}\"], \"msgId\": \"<{:032x}@mail.example.org>\", \
                 \"subject\": \"Invoice {} of {}\", \"from\": \"sender{}@example.net\", \"to\": \"user{}@example.org\", \
                 \"cc\": \"\", \"bcc\": \"\", \"clientIp\": \"192.0.2.{}\", \"userAgent\": \"Mozilla/5.0 (X11; Linux x86_64)\"}}",
                second / 3600,
                second / 60 % 60,
                second % 60,
                random.u32(0..1000),
                random.u64(1_130_000_000_000_000..1_140_000_000_000_000),
                random.u32(0..500),
                random.u32(0..500),
                random.u128(..),
                random.u128(..),
                random.u64(..),
                random.u32(0..99),
                random.u128(..),
                random.u32(..),
                random.u32(..),
                random.u32(0..9999),
                random.u32(0..500),
                random.u8(..),
            )?;
        }
        file.flush()?;
        bytes += fs::metadata(path)?.len();
    }
    Ok(bytes)
}

/// The mock broker, until its stdin ends.
#[expect(clippy::print_stdout, reason = "its address")]
fn broker() -> Outcome<()> {
    let cluster = MockCluster::new(1)?;
    println!("{}", cluster.bootstrap_servers());
    std::io::stdin().lines().for_each(drop);
    Ok(())
}

fn first_line(process: &mut Child) -> Outcome<String> {
    let mut line = String::new();
    let stdout = process.stdout.as_mut().ok_or("no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn run_bare(server: &str, folder: &Path, with: &str) -> Outcome<(Duration, u64)> {
    let folder = folder.to_str().ok_or("not UTF-8")?;
    let process = Command::new(std::env::current_exe()?)
        .args(["bare", server, folder, with])
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdout, memory) = watch(process)?;
    Ok((Duration::from_secs_f64(stdout.trim().parse()?), memory))
}

/// The forwarder; exactly once with a transactional id.
fn run_forwarder(server: &str, folder: &Path, id: Option<&str>) -> Outcome<(Duration, u64)> {
    let _ = fs::remove_dir_all(folder.join(".trailkeeper"));
    let begun = Instant::now();
    let process = Command::new(env!("CARGO_BIN_EXE_trailkeeper"))
        .args(["forward", "kafka", "--json", "-q", "--forward-from", "start"])
        .current_dir(folder)
        .env_clear()
        .env("MAIL_LOG_CATALOG_LOCATION", folder)
        .env("MAIL_LOG_FILE_BASE_NAME", "mail_audit")
        .env("KAFKA_SERVER", server)
        .envs(id.map(|id| ("KAFKA_TRANSACTIONAL_ID", id)))
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdout, memory) = watch(process)?;
    let took = begun.elapsed();
    let expected = format!("\"sent\":{},\"repaired\":0,\"waiting\":0", wanted_lines());
    if !stdout.contains(&expected) {
        return Err(format!("the forwarder did not send everything: {stdout}").into());
    }
    Ok((took, memory))
}

/// Waits for a process; gives its output and its peak of resident memory in KiB.
fn watch(mut process: Child) -> Outcome<(String, u64)> {
    let status = format!("/proc/{}/status", process.id());
    let mut peak = 0;
    while process.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((String::from_utf8(process.wait_with_output()?.stdout)?, peak))
}

/// Counts what was delivered.
struct Counter(Arc<AtomicUsize>);

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The bare producer: everything is in memory before the clock starts. Prints the seconds.
#[expect(clippy::print_stdout, reason = "its result")]
fn bare(server: &str, folder: &Path, with_everything: bool) -> Outcome<()> {
    let mut files = Vec::new();
    for day in DAYS {
        files.push((
            format!("mail_audit_{day}.log"),
            fs::read(folder.join(format!("mail_audit_{day}.log")))?,
        ));
    }
    let delivered = Arc::new(AtomicUsize::new(0));
    let producer: ThreadedProducer<Counter> = ClientConfig::new()
        .set("bootstrap.servers", server)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .create_with_context(Counter(delivered.clone()))?;
    let begun = Instant::now();
    let mut sent = 0;
    for (name, text) in &files {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut record = BaseRecord::<[u8], [u8]>::to("bare").payload(line).partition(0);
            if with_everything {
                let mut headers = OwnedHeaders::new();
                for (key, value) in [
                    ("stream", "yandex-mail"),
                    ("file", name.as_str()),
                    ("offset", "123456789"),
                    ("dedup-id", "0123456789abcdef0123456789abcdef"),
                ] {
                    headers = headers.insert(Header {
                        key,
                        value: Some(value),
                    });
                }
                record = record.key(&line[..32]).timestamp(1_749_463_872_345).headers(headers);
            }
            while let Err((error, again)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                std::thread::sleep(Duration::from_millis(1));
                record = again;
            }
            sent += 1;
        }
    }
    while delivered.load(Ordering::Relaxed) < sent {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{}", begun.elapsed().as_secs_f64());
    Ok(())
}
