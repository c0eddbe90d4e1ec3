//! The checks of the fuzz targets, bounded and on stable: samples, cut, mixed and mutated at random.

#[path = "../../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::support::random::{many, random};

/// Texts that mean something to the code under test.
const TOKENS: [&str; 27] = [
    "null",
    "\"\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud83d",
    "\\udc00",
    "\n",
    "\r\n",
    "\0",
    "1e999",
    "-0",
    "\u{feff}",
    "\u{2028}",
    "😀",
    "2025-02-30T00:00:00Z",
    "\"date\":",
    "\"nextPageToken\":",
    "\"audits\":",
    "\"data\":",
    "\"pagination\":",
];

/// Every sample, line by line and whole, and some odd ends.
fn seeds() -> Vec<Vec<u8>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let files = walkdir::WalkDir::new(samples).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file());
    let mut seeds: Vec<Vec<u8>> = TOKENS.iter().map(|token| token.as_bytes().to_vec()).collect();
    for file in files {
        let bytes = fs::read(file.path()).unwrap();
        seeds.extend(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        seeds.push(bytes);
    }
    seeds
}

/// A seed after some accidents.
fn mutated(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(0..6) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..40)).min(bytes.len());
        match random.u8(..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.insert(at, random.u8(..)),
            3 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << random.u8(..8)),
            4 => drop(bytes.splice(at..end, TOKENS[random.usize(..TOKENS.len())].bytes())),
            5 => drop(bytes.splice(at..at, TOKENS[random.usize(..TOKENS.len())].bytes())),
            6 => bytes.extend_from_within(at..end),
            _ => {
                let other = &seeds[random.usize(..seeds.len())];
                bytes.splice(at..end, other[random.usize(..=other.len())..].iter().copied());
            }
        }
    }
    bytes
}

/// Runs a check on every seed and then on mutated ones, until there were `most` or the time is over.
fn run(check: fn(&[u8]), most: u32, time: Duration) -> u32 {
    let (seeds, mut random, begun) = (seeds(), random(), Instant::now());
    let mut done = 0;
    while done < most && begun.elapsed() < time {
        let bytes = seeds
            .get(done as usize)
            .cloned()
            .unwrap_or_else(|| mutated(&mut random, &seeds));
        if let Err(panic) = std::panic::catch_unwind(|| check(&bytes)) {
            println!("found: {}", bytes.escape_ascii());
            std::panic::resume_unwind(panic);
        }
        done += 1;
    }
    println!("{done} inputs in {:.1?}", begun.elapsed());
    done
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_line_form_holds_for_any_bytes() {
    assert!(run(checks::line, many(100_000), many(MINUTE)) > 0);
}

#[test]
fn the_page_readers_hold_for_any_bytes() {
    assert!(run(checks::pages, many(40_000), many(MINUTE)) > 0);
}

#[test]
fn the_reader_of_day_files_holds_for_any_bytes() {
    assert!(run(checks::tail, many(400), many(MINUTE)) > 0);
}

#[test]
#[ignore = "takes three minutes"]
fn all_of_them_hold_for_a_minute_each() {
    for check in [checks::line, checks::pages, checks::tail] {
        assert!(run(check, u32::MAX, MINUTE) > 0);
    }
}
