//! The parts that every record passes, each alone: page, line form, identity, recovery.

#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trailkeeper::archive::{Archive, Location};
use trailkeeper::env::{ConfigErrors, Env};
use trailkeeper::json::Scanner;
use trailkeeper::record::{Broken, Reader};
use trailkeeper::sandbox::{Api, samples};
use trailkeeper::source::{PageRequest, Position, SOURCES, Source, read_page};
use trailkeeper::window::Window;

/// Records of a page.
const PAGE: usize = 100;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

/// The records of the sample pages of mail, repeated to a page.
fn records() -> Vec<String> {
    let samples = samples(Api::Mail).unwrap_or_default();
    samples
        .iter()
        .map(|event| event.text.clone())
        .cycle()
        .take(PAGE)
        .collect()
}

/// The source of the mail log, as the sandbox's settings make it.
fn mail() -> Option<Arc<dyn Source>> {
    let variables = [
        ("YANDEX_API_URL", "http://127.0.0.1:1"),
        ("OAUTH_TOKEN_ARG", "invented"),
        ("ORGANIZATION_ID_ARG", "1000001"),
    ];
    (SOURCES[0].configure)(&Env::from_pairs(variables), &mut ConfigErrors::default())
}

fn parts(criterion: &mut Criterion) {
    let Some(source) = mail() else { return };
    let records = records();
    let body = format!(r#"{{"events":[{}],"nextPageToken":"100_0"}}"#, records.join(","));
    let request = PageRequest {
        window: Window::new(now(), now()),
        position: Position::First,
        size: 100,
    };
    let mut group = criterion.benchmark_group("a page of 100 mail records");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("read", |bencher| {
        let mut reader = Reader::new(source.kind().shape);
        bencher.iter(|| {
            read_page(
                &*source,
                &mut reader,
                &request,
                black_box(body.as_bytes()),
                Broken::Refuse,
            )
            .map(|page| page.records.len())
        });
    });
    group.bench_function("line form and hashes", |bencher| {
        let mut scanner = Scanner::new(&[&["date"], &["uniqId"]]);
        let mut line = String::new();
        bencher.iter(|| {
            for record in &records {
                line.clear();
                let _ = black_box(scanner.scan(black_box(record), &mut line));
            }
        });
    });
    let shape = source.kind().shape;
    group.bench_function("read as records", |bencher| {
        let mut reader = Reader::new(shape);
        bencher.iter(|| {
            let read = records.iter().filter_map(|record| reader.read(black_box(record)).ok());
            read.map(|record| record.line.len()).sum::<usize>()
        });
    });
    group.bench_function("identified", |bencher| {
        let mut reader = Reader::new(shape);
        bencher.iter(|| {
            records
                .iter()
                .filter(|record| reader.identify(black_box(record)).is_ok())
                .count()
        });
    });
    group.finish();
}

fn recovery(criterion: &mut Criterion) {
    let (Some(source), Ok(folder)) = (mail(), tempfile::tempdir()) else {
        return;
    };
    let Ok(location) = Location::new(folder.path(), "mail", "log") else {
        return;
    };
    let mut reader = Reader::new(source.kind().shape);
    let mut lines = String::new();
    while lines.len() < 10 << 20 {
        for record in records().iter().filter_map(|record| reader.read(record).ok()) {
            lines.push_str(&record.line);
            lines.push('\n');
        }
    }
    let path = folder.path().join("mail_2024-10-04.log");
    if fs::write(path, &lines).is_err() {
        return;
    }
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(lines.len() as u64));
    group.bench_function("from a whole day file", |bencher| {
        bencher.iter(|| {
            Archive::dry_run(location.clone(), source.kind().shape)
                .recover(DateTime::<Utc>::MAX_UTC, TimeDelta::minutes(2))
        });
    });
    group.finish();
}

criterion_group!(benches, parts, recovery);
criterion_main!(benches);
