//! A fleet on paper: what 10 000 organizations ask of the services, of Kafka and of the members, by a simulated day.
//!
//! `cargo run --release --example fleet_paper [-- NAME=VALUE …]`: the names are those of [`Assumptions`], as `organizations=2000`. The
//! numbers of docs/fleet.md come from it. It simulates every run of every stream in a day, minute by minute, and then members that
//! die; it talks to nothing. The same arguments give the same numbers.

use std::process::ExitCode;

use fastrand::Rng;

/// Writes a line.
macro_rules! line {
    ($page:expr, $($form:tt)*) => {
        $page.push_str(&(format!($($form)*) + "\n"))
    };
}

/// Of a minute of a day, how many times as many records as on average come: an office day, all in one time zone, which is the worst.
const HOURS: [f64; 24] = [
    0.2, 0.15, 0.1, 0.1, 0.1, 0.15, 0.3, 0.7, 1.5, 2.2, 2.5, 2.4, 2.0, 2.1, 2.4, 2.3, 2.0, 1.5, 0.9, 0.7, 0.6, 0.5,
    0.4, 0.3,
];

/// The name, the value, and where it is from.
type Assumption = (&'static str, f64, &'static str);

const ASSUMPTIONS: &[Assumption] = &[
    ("organizations", 10_000.0, "assumed"),
    (
        "median_people",
        60.0,
        "assumed; people are spread lognormally over organizations",
    ),
    (
        "sigma_people",
        1.4,
        "assumed: one in a hundred organizations has 26 times the median, or more",
    ),
    (
        "mail_a_day",
        40.0,
        "assumed: records of yandex-mail for each of the people",
    ),
    (
        "audit_a_day",
        25.0,
        "assumed: records of yandex-audit for each of the people",
    ),
    ("tfc_a_day", 1.5, "assumed: records of tfc for each of the people"),
    ("line_bytes", 900.0, "about the mean of the samples of the services"),
    ("compression", 5.0, "assumed: lz4 in batches of one stream"),
    ("interval", 60.0, "the default of `fleet run`, in seconds"),
    ("overlap", 120.0, "the default of OVERLAP_MINUTES, in seconds"),
    (
        "reconcile_hours",
        0.0,
        "the default: no reconciling; the reach of what is known, in hours",
    ),
    ("answer_seconds", 0.3, "assumed: how long a service takes for an answer"),
    (
        "in_flight",
        32.0,
        "most requests of a member to one host at a time (src/fetch/host.rs)",
    ),
    (
        "run_ms",
        2.26,
        "measured: CPU of a run that brings nothing, day files (docs/benchmarks.md)",
    ),
    (
        "mib_of_1000",
        97.0,
        "measured: memory of 1000 organizations of three streams (docs/benchmarks.md)",
    ),
    ("buckets", 64.0, "the default of FLEET_BUCKETS"),
    ("partitions", 24.0, "of each audit topic"),
    (
        "commit_seconds",
        0.02,
        "assumed: a transaction with three replicas in one place",
    ),
    (
        "state_bytes",
        1_290.0,
        "measured: the message of a stream's state with its key",
    ),
    ("identity_bytes", 32.0, "two 128-bit hashes (src/fleet/identities.rs)"),
    (
        "identities_full",
        64.0,
        "identities in a part, after which the next begins (src/fleet/identities.rs)",
    ),
    (
        "transaction_bytes",
        1_100.0,
        "assumed: Kafka's own log of a transaction, and its markers",
    ),
    (
        "closed_after",
        600.0,
        "seconds until what was written is compacted: segment.ms of `fleet init`",
    ),
    ("session", 10.0, "of a member without heartbeats, in seconds"),
    ("heartbeat", 2.0, "seconds between two"),
    (
        "fence_seconds",
        0.1,
        "assumed: to fence and settle a bucket's transactions",
    ),
    (
        "read_mib",
        30.0,
        "assumed: MiB a second of state that a member reads, all buckets together",
    ),
    ("replicas", 3.0, "of every topic"),
    ("keep_days", 7.0, "how long Kafka keeps the audit topics"),
    ("history_days", 184.0, "how far back a first collection of mail goes"),
];

/// What is not simulated but assumed, or was measured elsewhere.
struct Assumptions {
    values: Vec<Assumption>,
}

impl Assumptions {
    fn new() -> Self {
        Self {
            values: ASSUMPTIONS.to_vec(),
        }
    }

    fn set(&mut self, argument: &str) -> Option<()> {
        let (name, value) = argument.split_once('=')?;
        let found = self.values.iter_mut().find(|(known, ..)| *known == name)?;
        (found.1, found.2) = (value.parse().ok()?, "given");
        Some(())
    }

    fn get(&self, name: &str) -> f64 {
        let found = self.values.iter().find(|(known, ..)| *known == name);
        found.map_or(f64::NAN, |(_, value, _)| *value)
    }
}

/// A stream of an organization.
struct Stream {
    service: usize,
    bucket: usize,
    /// Records a second, on average over the day.
    rate: f64,
}

/// The services, with how many records an answer has at most, and the host that each is on.
const SERVICES: [(&str, &str, f64, usize); 3] = [
    ("yandex-mail", "mail_a_day", 100.0, 0),
    ("yandex-audit", "audit_a_day", 100.0, 1),
    ("tfc", "tfc_a_day", 1_000.0, 2),
];

/// What was counted in a minute.
#[derive(Clone, Default)]
struct Minute {
    records: f64,
    /// By host.
    requests: [f64; 3],
    runs: f64,
    transactions: f64,
    /// Bytes written to the state, before replication, and which bucket they are in.
    state: Vec<f64>,
    /// Transactions by bucket.
    commits: Vec<f64>,
}

fn streams(given: &Assumptions, random: &mut Rng) -> Vec<Stream> {
    let buckets = given.get("buckets") as usize;
    let mut streams = Vec::new();
    for _ in 0..given.get("organizations") as usize {
        let people = given.get("median_people") * (given.get("sigma_people") * normal(random)).exp();
        // A hash of its name.
        let bucket = random.usize(..buckets);
        for (service, (_, a_day, ..)) in SERVICES.iter().enumerate() {
            let rate = people * given.get(a_day) / 86_400.0;
            streams.push(Stream { service, bucket, rate });
        }
    }
    streams
}

fn normal(random: &mut Rng) -> f64 {
    let (radius, angle) = ((-2.0 * random.f64().max(1e-12).ln()).sqrt(), random.f64());
    radius * (std::f64::consts::TAU * angle).cos()
}

/// How many records come where so many are expected.
fn poisson(expected: f64, random: &mut Rng) -> f64 {
    if expected > 50.0 {
        return (expected + expected.sqrt() * normal(random)).round().max(0.0);
    }
    let (limit, mut product, mut count) = ((-expected).exp(), random.f64(), 0.0);
    while product > limit {
        product *= random.f64();
        count += 1.0;
    }
    count
}

/// Every run of every stream in a day.
fn day(given: &Assumptions, streams: &[Stream], random: &mut Rng) -> Vec<Minute> {
    let buckets = given.get("buckets") as usize;
    let (interval, overlap) = (given.get("interval"), given.get("overlap"));
    let (part, identity) = (given.get("identities_full"), given.get("identity_bytes"));
    let runs = 60.0 / interval;
    // How many records of the hour each stream has.
    let mut of_hour = vec![0.0; streams.len()];
    let mut day = Vec::new();
    for number in 0..24 * 60 {
        let weight = HOURS[number / 60];
        if number % 60 == 0 {
            of_hour.fill(0.0);
        }
        let mut minute = Minute {
            state: vec![0.0; buckets],
            commits: vec![0.0; buckets],
            ..Minute::default()
        };
        for (stream, of_hour) in streams.iter().zip(&mut of_hour) {
            let (_, _, page, host) = SERVICES[stream.service];
            let rate = stream.rate * weight;
            // Less often than once a minute, and so many of the minute's runs are the same.
            let records = poisson(rate * interval, random);
            let again = rate * overlap;
            minute.records += records * runs;
            minute.runs += runs;
            minute.requests[host] += ((records + again) / page).ceil().max(1.0) * runs;
            if records > 0.0 {
                minute.transactions += runs;
                minute.commits[stream.bucket] += runs;
                // The last part is written anew with what is added to it.
                let identities = *of_hour % part + records;
                minute.state[stream.bucket] += (given.get("state_bytes") + identities * identity) * runs;
                *of_hour += records * runs;
            }
        }
        day.push(minute);
    }
    day
}

/// Writes a row of a table.
fn row(page: &mut String, name: &str, value: impl AsRef<str>) {
    line!(page, "| {name} | {} |", value.as_ref());
}

fn number(value: f64) -> String {
    let digits = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text
        .split_once('.')
        .map_or((text.as_str(), String::new()), |(whole, rest)| {
            (whole, format!(".{rest}"))
        });
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

fn write_day(page: &mut String, given: &Assumptions, day: &[Minute]) {
    let mean = |of: &dyn Fn(&Minute) -> f64| day.iter().map(of).sum::<f64>() / 86_400.0;
    let peak = |of: &dyn Fn(&Minute) -> f64| day.iter().map(of).fold(0.0, f64::max) / 60.0;
    line!(
        page,
        "| a second, over the day and in the busiest minute | mean | peak |\n|---|---|---|"
    );
    let mut line = |name: &str, of: &dyn Fn(&Minute) -> f64| {
        line!(page, "| {name} | {} | {} |", number(mean(of)), number(peak(of)));
    };
    line("records", &|minute| minute.records);
    line("runs", &|minute| minute.runs);
    for (service, (name, ..)) in SERVICES.iter().enumerate() {
        line(&format!("requests to {name}"), &|minute| minute.requests[service]);
    }
    line("transactions", &|minute| minute.transactions);
    let kib = |bytes: f64| bytes / 1_024.0;
    line("KiB of lines, compressed", &|minute| {
        kib(minute.records * given.get("line_bytes") / given.get("compression"))
    });
    line("KiB of state", &|minute| kib(minute.state.iter().sum()));
    line("KiB of Kafka's own for the transactions", &|minute| {
        kib(minute.transactions * given.get("transaction_bytes"))
    });
}

/// The share of its time in which a bucket's producer commits: transactions of a bucket come one after the other.
fn write_buckets(page: &mut String, given: &Assumptions, day: &[Minute], streams: &[Stream]) {
    let busiest = day
        .iter()
        .flat_map(|minute| &minute.commits)
        .fold(0.0, |most, count| count.max(most));
    let busy = busiest / 60.0 * given.get("commit_seconds");
    let all = day.iter().map(|minute| minute.transactions).fold(0.0, f64::max) / 60.0;
    row(
        page,
        "the busiest bucket commits in its busiest minute, of its time",
        format!("{} %", number(busy * 100.0)),
    );
    row(
        page,
        "transactions open at a time, at the peak",
        number(all * given.get("commit_seconds")),
    );
    let of_reach = |hours: f64| streams.iter().map(|stream| stream.rate).sum::<f64>() * hours * 3_600.0;
    let known =
        |hours: f64| of_reach(hours) * given.get("identity_bytes") + streams.len() as f64 * given.get("state_bytes");
    let mib = |bytes: f64| number(bytes / 1_048_576.0);
    // What is known is kept by whole hours.
    row(page, "state that counts, MiB, default overlap", mib(known(1.5)));
    row(page, "the same with reconciling of 24 h", mib(known(25.5)));
    let written = day.iter().map(|minute| minute.state.iter().sum::<f64>());
    row(page, "state written a day, MiB, before replication", mib(written.sum()));
}

/// How long the buckets of a member that dies are without an owner that fetches, over many deaths in the busiest hours.
fn takeovers(given: &Assumptions, day: &[Minute], streams: &[Stream], members: usize, random: &mut Rng) -> Vec<f64> {
    let buckets = given.get("buckets") as usize;
    let reach = 1.5_f64.max(given.get("reconcile_hours") + 1.5) * 3_600.0;
    let mut live = vec![0.0; buckets];
    for stream in streams {
        live[stream.bucket] += stream.rate * reach * given.get("identity_bytes") + given.get("state_bytes");
    }
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let minute = random.usize(9 * 60..17 * 60);
        // What was written since the last segment was closed, and of the one before it, which is not compacted at once.
        let open = given.get("closed_after") / 60.0 * (0.5 + random.f64());
        let written = |bucket: usize| {
            let from = minute.saturating_sub(open as usize);
            day[from..minute].iter().map(|minute| minute.state[bucket]).sum::<f64>()
        };
        // Members learn of the rebalance with their next heartbeat, and join twice, as the cooperative protocol wants.
        let since_heartbeat = random.f64() * given.get("heartbeat");
        let noticed = random.f64() * given.get("heartbeat");
        let rejoined = given.get("heartbeat") * random.f64();
        let begun = given.get("session") - since_heartbeat + noticed + rejoined + given.get("fence_seconds");
        // One of the others gets its share of the dead one's buckets, and reads them side by side.
        let heirs = (members - 1).max(1);
        let share = buckets.div_ceil(members).div_ceil(heirs);
        let first = random.usize(..buckets);
        let bytes: f64 = (0..share)
            .map(|place| (first + place * members) % buckets)
            .map(|bucket| live[bucket] + written(bucket))
            .sum();
        times.push(begun + bytes / 1_048_576.0 / given.get("read_mib"));
    }
    times.sort_by(f64::total_cmp);
    times
}

fn write_members(page: &mut String, given: &Assumptions, day: &[Minute], streams: &[Stream], random: &mut Rng) {
    line!(
        page,
        "| members | requests of the peak, of what 32 at a time carry | CPU, cores each | memory, MiB each | first collection of all, days | takeover, median s | 99 of 100 | worst |"
    );
    line!(page, "|---|---|---|---|---|---|---|---|");
    let carries = given.get("in_flight") / given.get("answer_seconds");
    let busiest_host = (0..3).map(|host| day.iter().map(|minute| minute.requests[host]).fold(0.0, f64::max) / 60.0);
    let busiest_host = busiest_host.fold(0.0, f64::max);
    let runs = day[0].runs / 60.0;
    // The first collection of mail is the longest. It has half of the places.
    let mail = streams
        .iter()
        .filter(|stream| stream.service == 0)
        .map(|stream| stream.rate)
        .sum::<f64>();
    let pages = mail * 86_400.0 * given.get("history_days") / SERVICES[0].2;
    for members in [1, 2, 3, 6, 12] {
        let count = members as f64;
        let memory = given.get("organizations") / 1_000.0 * given.get("mib_of_1000") / count;
        let first = pages / (carries / 2.0 * count) / 86_400.0;
        let place = if members == 1 {
            "none | none | none".to_owned()
        } else {
            let times = takeovers(given, day, streams, members, random);
            let at = |share: f64| number(times[((times.len() - 1) as f64 * share) as usize]);
            format!("{} | {} | {}", at(0.5), at(0.99), at(1.0))
        };
        line!(
            page,
            "| {members} | {} % | {} | {} | {} | {place} |",
            number(busiest_host / carries / count * 100.0),
            number(runs * given.get("run_ms") / 1_000.0 / count),
            number(memory),
            number(first),
        );
    }
}

fn write_kafka(page: &mut String, given: &Assumptions, day: &[Minute]) {
    let sum = |of: &dyn Fn(&Minute) -> f64| day.iter().map(of).sum::<f64>();
    let gib = |bytes: f64| number(bytes / 1_073_741_824.0);
    let lines = sum(&|minute| minute.records) * given.get("line_bytes") / given.get("compression");
    let state = sum(&|minute| minute.state.iter().sum());
    let own = sum(&|minute| minute.transactions) * given.get("transaction_bytes");
    let replicas = given.get("replicas");
    row(page, "lines a day, GiB, compressed, one replica", gib(lines));
    row(page, "state a day, GiB, one replica", gib(state));
    row(
        page,
        "Kafka's own for the transactions a day, GiB, one replica",
        gib(own),
    );
    row(
        page,
        "written by all brokers a day, GiB",
        gib((lines + state + own) * replicas),
    );
    row(
        page,
        "kept by all brokers, GiB, lines",
        gib(lines * given.get("keep_days") * replicas),
    );
    row(
        page,
        "partitions with their replicas",
        number((given.get("buckets") + 3.0 * given.get("partitions")) * replicas),
    );
}

/// The whole paper; the error says what can be given.
///
/// # Errors
///
/// If an argument is not a value for a name that is known.
pub(crate) fn paper(arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let mut given = Assumptions::new();
    for argument in arguments {
        if given.set(&argument).is_none() {
            let known = given
                .values
                .iter()
                .map(|(name, value, from)| format!("{name}={value}  {from}\n"));
            return Err(format!(
                "{argument} is no NAME=VALUE with a name of these:\n{}",
                known.collect::<String>()
            ));
        }
    }
    let mut page = String::new();
    let mut random = Rng::with_seed(25);
    let streams = streams(&given, &mut random);
    let day = day(&given, &streams, &mut random);
    line!(page, "| assumption | value | from |\n|---|---|---|");
    for (name, value, from) in &given.values {
        line!(page, "| `{name}` | {value} | {from} |");
    }
    line!(page, "");
    write_day(&mut page, &given, &day);
    line!(page, "\n| buckets and state | |\n|---|---|");
    write_buckets(&mut page, &given, &day, &streams);
    line!(page, "");
    write_members(&mut page, &given, &day, &streams, &mut random);
    line!(page, "\n| Kafka | |\n|---|---|");
    write_kafka(&mut page, &given, &day);
    Ok(page)
}

#[allow(dead_code, reason = "a test has the paper only")]
#[expect(clippy::print_stdout, reason = "the tables are what this program is for")]
fn main() -> ExitCode {
    let paper = paper(std::env::args().skip(1));
    let code = if paper.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    print!("{}", paper.unwrap_or_else(|error| error));
    code
}
