//! Memory: whatever a service answers, the program takes less of it than SECURITY.md says.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use flate2::{Compress, Compression, Crc, FlushCompress};
use trailkeeper::sandbox::Api;

use super::support::{Catalog, Run, at, base_name, streams};

/// What SECURITY.md promises, in bytes.
const BOUND: usize = 512 << 20;

/// How long a run over gigabytes may take without optimization, on a machine with other work.
const LARGE_RUN: Duration = Duration::from_secs(15 * 60);

/// A little less than what is taken of an answer.
const LARGE: usize = 60 << 20;

/// How many pages a service has.
const PAGES: usize = 8;

/// When the tests began: a record is the same one in every answer.
static BEGUN: LazyLock<DateTime<Utc>> = LazyLock::new(|| at(30));

/// Bytes, compressed in such a way that pieces can be joined.
struct Piece {
    deflated: Vec<u8>,
    crc: Crc,
}

impl Piece {
    fn of(bytes: &[u8]) -> Self {
        let mut encoder = Compress::new(Compression::new(4), false);
        let mut deflated = Vec::with_capacity(bytes.len() / 2 + 1_024);
        encoder.compress_vec(bytes, &mut deflated, FlushCompress::Full).unwrap();
        assert_eq!(encoder.total_in(), bytes.len() as u64);
        assert!(deflated.len() < deflated.capacity());
        let mut crc = Crc::new();
        crc.update(bytes);
        Self { deflated, crc }
    }
}

/// The pieces as one gzip file (RFC 1952).
fn gzip(pieces: &[&Piece]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut crc = Crc::new();
    for piece in pieces {
        file.extend_from_slice(&piece.deflated);
        crc.combine(&piece.crc);
    }
    file.extend_from_slice(&[3, 0]);
    file.extend_from_slice(&crc.sum().to_le_bytes());
    file.extend_from_slice(&crc.amount().to_le_bytes());
    file
}

/// What a service answers to a request with this target, compressed.
type Answers = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// Serves these answers; returns the address and the number of requests.
fn serve(answers: Answers) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answers, counter) = (Arc::clone(&answers), Arc::clone(&counter));
            // The program may hang up at any time.
            thread::spawn(move || talk(stream, &*answers, &counter).ok());
        }
    });
    (address, asked)
}

fn talk(mut stream: TcpStream, answers: &dyn Fn(&str) -> Vec<u8>, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(first) = lines.next() {
        let target = first?;
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        asked.fetch_add(1, Ordering::Relaxed);
        let body = answers(&target);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
    }
    Ok(())
}

/// The number of the page that a request names.
fn page(target: &str) -> usize {
    let name = ["pageToken=", "page[number]=", "page%5Bnumber%5D="];
    let rest = name.iter().find_map(|name| target.split_once(name));
    let digits = rest.map_or("1", |(_, rest)| {
        rest.split(|byte: char| !byte.is_ascii_digit()).next().unwrap()
    });
    digits.parse().unwrap()
}

/// A run of the real binary against such a service, and the most memory that it took, in bytes.
fn peak(api: Api, since: &str, answers: Answers) -> (Run, usize) {
    let (address, asked) = serve(answers);
    let (kind, _) = streams().into_iter().find(|(_, of_stream)| *of_stream == api).unwrap();
    let (url, token) = match api {
        Api::Tfc => ("TFC_API_URL", "TFC_ORG_TOKEN"),
        _ => ("YANDEX_API_URL", "OAUTH_TOKEN_ARG"),
    };
    let catalog = Catalog::bare();
    fs::create_dir(catalog.folder(api)).unwrap();
    let folder = catalog.folder(api).display().to_string();
    let catalog = catalog
        .with(url, address)
        .with(token, "invented")
        .with("ORGANIZATION_ID_ARG", 1)
        .with(&kind.variable("LOG_CATALOG_LOCATION"), folder)
        .with(&kind.variable("LOG_FILE_BASE_NAME"), base_name(api))
        .with("MAX_RETRIES", 1)
        .with("RETRY_DELAY_SECONDS", "0.001")
        .with("REQUEST_TIMEOUT_SECONDS", 300);
    let begun = Instant::now();
    let process = catalog.start(&["collect", "--json", "--stream", kind.name, "--since", since]);
    let peak = watch(process.id());
    let run = process.end_within(LARGE_RUN);
    let peak = peak.load(Ordering::Relaxed);
    println!(
        "{} MiB, exit code {}, {} requests in {:.1?}: {}",
        peak >> 20,
        run.code,
        asked.load(Ordering::Relaxed),
        begun.elapsed(),
        run.stdout.trim_end()
    );
    (run, peak)
}

/// Watches a process while it lives; the most memory that it had so far.
fn watch(process: u32) -> Arc<AtomicUsize> {
    let peak = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&peak);
    thread::spawn(move || {
        while let Some(kibibytes) = high_water_mark(process) {
            seen.store(kibibytes << 10, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
        }
    });
    peak
}

/// `VmHWM` of proc_pid_status(5), in KiB; `None` once the process has ended.
fn high_water_mark(process: u32) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A record with so many bytes of filler.
fn record(api: Api, id: &str, filler: usize) -> String {
    let (time, filler) = (BEGUN.to_rfc3339(), "x".repeat(filler));
    match api {
        Api::Tfc => format!(r#"{{"id":"{id}","timestamp":"{time}","filler":"{filler}"}}"#),
        _ => format!(r#"{{"date":"{time}","uniqId":"{id}","filler":"{filler}"}}"#),
    }
}

/// What stands before and after the records of a page.
fn around(api: Api, page: usize) -> (String, String) {
    match api {
        Api::Tfc => {
            let next = if page < PAGES {
                (page + 1).to_string()
            } else {
                "null".into()
            };
            (
                r#"{"data":["#.into(),
                format!(r#"],"pagination":{{"current_page":{page},"next_page":{next},"total_pages":{PAGES}}}}}"#),
            )
        }
        _ => {
            let token = if page < PAGES {
                (page + 1).to_string()
            } else {
                String::new()
            };
            (r#"{"events":["#.into(), format!(r#"],"nextPageToken":"{token}"}}"#))
        }
    }
}

/// Pages that each hold a record of their own and then this, in the first so many answers.
fn pages(api: Api, rest: &[u8], most: usize) -> Answers {
    let (rest, asked) = (Piece::of(rest), AtomicUsize::new(0));
    Arc::new(move |target| {
        let page = page(target);
        let (before, after) = around(api, page);
        let own = record(api, &format!("own-{page}"), 10);
        let (start, end) = (Piece::of((before + &own).as_bytes()), Piece::of(after.as_bytes()));
        if asked.fetch_add(1, Ordering::Relaxed) < most {
            gzip(&[&start, &rest, &end])
        } else {
            gzip(&[&start, &end])
        }
    })
}

fn filled(element: &[u8], last: &[u8]) -> Vec<u8> {
    [element.repeat(LARGE / element.len()), last.to_vec()].concat()
}

/// A service that answers so twice, and then as it should.
#[track_caller]
fn answered_twice(what: &str, rest: &[u8]) {
    stays_below(what, Api::Mail, pages(Api::Mail, rest, 2));
}

#[track_caller]
fn stays_below(what: &str, api: Api, answers: Answers) -> Run {
    stays_below_since("2m", what, api, answers)
}

#[track_caller]
fn stays_below_since(since: &str, what: &str, api: Api, answers: Answers) -> Run {
    println!("{what}, {}:", api.name());
    let (run, peak) = peak(api, since, answers);
    assert!(peak > 1 << 20, "the peak was not seen");
    assert!(peak < BOUND, "{what}, {}: {} MiB", api.name(), peak >> 20);
    run
}

#[test]
#[ignore = "takes minutes without optimization"]
fn large_pages_of_one_record_each_do_not_add_up() {
    // Such answers contradict each other: whether a walk gets to their end is not the question.
    one_new_record_in_a_page(Api::Mail);
}

#[test]
#[ignore = "takes minutes without optimization"]
fn large_pages_of_one_record_each_do_not_add_up_in_a_feed_by_page_number() {
    one_new_record_in_a_page(Api::Tfc);
}

fn one_new_record_in_a_page(api: Api) -> Run {
    let same = format!(",{}", record(api, "same", 1_000));
    let answers = pages(api, &filled(same.as_bytes(), b""), usize::MAX);
    stays_below("one new record in a page", api, answers)
}

#[test]
#[ignore = "takes minutes without optimization"]
fn large_pages_of_one_large_record_each_do_not_add_up() {
    for api in [Api::Mail, Api::Tfc] {
        let filler = Piece::of("x".repeat(LARGE).as_bytes());
        let answers: Answers = Arc::new(move |target| {
            let (before, after) = around(api, page(target));
            let own = record(api, &format!("own-{}", page(target)), 0);
            let (start, end) = own.split_at(own.len() - 2);
            let (start, end) = (before + start, end.to_owned() + &after);
            gzip(&[&Piece::of(start.as_bytes()), &filler, &Piece::of(end.as_bytes())])
        });
        stays_below("one large record in a page", api, answers);
    }
}

/// As many slices as are asked for at a time, each with all that an answer can hold.
#[test]
#[ignore = "takes minutes without optimization"]
fn large_slices_side_by_side_do_not_add_up() {
    let filler = Piece::of("x".repeat(LARGE).as_bytes());
    let asked = AtomicUsize::new(0);
    let answers: Answers = Arc::new(move |target| {
        let (_, from) = target.split_once("afterDate=").unwrap();
        let from = from.split('&').next().unwrap().replace("%3A", ":");
        let time = from.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(1);
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let start = format!(
            r#"{{"events":[{{"date":"{}","uniqId":"{number}","filler":""#,
            time.to_rfc3339()
        );
        let (start, end) = (Piece::of(start.as_bytes()), Piece::of(br#""}],"nextPageToken":""}"#));
        if number < 3 * PAGES {
            gzip(&[&start, &filler, &end])
        } else {
            gzip(&[&start, &end])
        }
    });
    stays_below_since("8d", "large slices side by side", Api::Mail, answers);
}

/// Tries what stands at these places of what a service may send: each takes a debug build half a minute.
fn try_some(all: &[(&str, &dyn Fn() -> Vec<u8>)], places: impl Iterator<Item = usize>) {
    for (what, rest) in places.map(|place| &all[place]) {
        answered_twice(what, &rest());
    }
}

const ELEMENTS: [(&str, &dyn Fn() -> Vec<u8>); 4] = [
    ("eight million numbers", &|| {
        (0..7_500_000).flat_map(|n: u32| format!(",{n}").into_bytes()).collect()
    }),
    ("a number thirty million times", &|| filled(b",1", b"")),
    ("strings that are not UTF-8", &|| filled(b",\"\xff\"", b"")),
    ("elements that are not JSON", &|| filled(b",NaN", b"")),
];

const NESTING: [(&str, &dyn Fn() -> Vec<u8>); 5] = [
    ("arrays that do not end", &|| [&b","[..], &filled(b"[", b"")].concat()),
    ("objects that do not end", &|| {
        [&b","[..], &filled(b"{\"\":", b"")].concat()
    }),
    ("arrays that end", &|| {
        [&b","[..], &b"[".repeat(LARGE / 2), &b"]".repeat(LARGE / 2)].concat()
    }),
    ("an object of many members", &|| {
        [&b",{"[..], &filled(b"\"\":0,", b"\"\":0}")].concat()
    }),
    ("a long string that is not UTF-8", &|| {
        [&b",\""[..], &filled(b"\xff", b"\"")].concat()
    }),
];

const AROUND: [(&str, &dyn Fn() -> Vec<u8>); 3] = [
    ("many members", &|| {
        [&b"]"[..], &filled(b",\"a\":0", b",\"z\":[")].concat()
    }),
    ("a long string", &|| {
        [&b"],\"odd\":\""[..], &filled(b"x", b"\",\"z\":[")].concat()
    }),
    ("arrays that do not end", &|| {
        [&b"],\"odd\":"[..], &filled(b"[", b"")].concat()
    }),
];

#[test]
fn elements_nesting_and_what_is_around_the_records_do_not_fill_the_memory() {
    for all in [&ELEMENTS[..], &NESTING, &AROUND] {
        try_some(all, 0..1);
    }
}

#[test]
#[ignore = "takes minutes without optimization"]
fn other_elements_nesting_and_what_is_around_the_records_do_not_fill_the_memory() {
    for all in [&ELEMENTS[..], &NESTING, &AROUND] {
        try_some(all, 1..all.len());
    }
}
