//! Pages of which one record is damaged: all others are read as if nothing were wrong with it, or it is named.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use trailkeeper::env::{ConfigErrors, Env};
use trailkeeper::json::scan;
use trailkeeper::record::{Broken, Reader};
use trailkeeper::source::{Page, PageParseError, PageRequest, Position, SOURCES, Source, read_page};
use trailkeeper::window::Window;

use super::model::{Choices, Spelling, spell, value};
use crate::support::random::cases;

static SERVICE: LazyLock<Arc<dyn Source>> = LazyLock::new(|| {
    let variables = [("OAUTH_TOKEN_ARG", "invented"), ("ORGANIZATION_ID_ARG", "1")];
    let mut errors = ConfigErrors::default();
    (SOURCES[0].configure)(&Env::from_pairs(variables), &mut errors).unwrap()
});

fn read(body: &[u8]) -> Result<Page, PageParseError> {
    read_with(body, Broken::Refuse)
}

fn read_with(body: &[u8], broken: Broken) -> Result<Page, PageParseError> {
    let request = PageRequest {
        window: Window::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(20_000)),
        position: Position::First,
        size: 100,
    };
    read_page(
        &**SERVICE,
        &mut Reader::new(SERVICE.kind().shape),
        &request,
        body,
        broken,
    )
}

/// A page with these records.
fn page(records: &[Vec<u8>], has_more_after: bool) -> Vec<u8> {
    let records = records.join(&b","[..]);
    let after: &[u8] = if has_more_after {
        b",\"nextPageToken\":\"\""
    } else {
        b""
    };
    [&b"{\"before\":[{}],\"events\":["[..], &records, b"]", after, b"}"].concat()
}

fn lines(page: &Page) -> Vec<String> {
    let line = |record: &Result<trailkeeper::record::Record, trailkeeper::record::Rejected>| match record {
        Ok(record) => record.line.to_string(),
        Err(rejected) => rejected.line.to_string(),
    };
    page.records.iter().map(line).collect()
}

/// The bytes that a string of the rejected file stands for.
fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = &line[1..line.len() - 1];
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        let length = if after.starts_with('u') { 5 } else { 1 };
        let (escape, after) = after.split_at(length);
        match escape.strip_prefix("udc") {
            Some(byte) => bytes.push(u8::from_str_radix(byte, 16).unwrap()),
            None => bytes.extend(
                serde_json::from_str::<String>(&format!("\"\\{escape}\""))
                    .unwrap()
                    .bytes(),
            ),
        }
        rest = after;
    }
    bytes.extend(rest.bytes());
    bytes
}

/// What is put in the place of something.
fn damage() -> impl Strategy<Value = Vec<u8>> {
    let odd = [
        "", "\"", "\\", "\n", "\0", "NaN", ",", ":", "[", "]", "{", "}", "\\x", "\\u12", "\"}", "]}", "},{", "1", " ",
    ];
    prop_oneof![
        3 => prop::sample::select(odd.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::sample::select(vec![&b"\xff"[..], b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"a\xf0\x9f\x98"])
            .prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..5),
    ]
}

fn spellings() -> impl Strategy<Value = Vec<Spelling>> {
    let values = prop::collection::vec((value(), any::<u64>()), 1..6);
    values.prop_map(|values| {
        let spell = |(value, seed)| spell(&value, &mut Choices(seed));
        values.into_iter().map(spell).collect()
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_valid_page_is_read_as_it_is(spellings in spellings(), has_more_after: bool) {
        let records: Vec<Vec<u8>> = spellings.iter().map(|spelling| spelling.text.clone().into_bytes()).collect();
        let page = read(&page(&records, has_more_after)).unwrap();
        let forms: Vec<&str> = spellings.iter().map(|spelling| spelling.form.as_str()).collect();
        prop_assert_eq!(lines(&page), forms);
        prop_assert!(page.originals.is_empty());
    }

    #[test]
    fn one_damaged_record_changes_no_other_or_is_named(
        spellings in spellings(),
        has_more_after: bool,
        which: prop::sample::Index,
        from: prop::sample::Index,
        length in prop_oneof![3 => Just(0_usize), 3 => Just(1), 1 => 2..12_usize],
        damage in damage(),
    ) {
        let mut records: Vec<Vec<u8>> = spellings.iter().map(|spelling| spelling.text.clone().into_bytes()).collect();
        let which = which.index(records.len());
        let record = &mut records[which];
        let from = from.index(record.len());
        let to = (from + length).min(record.len());
        record.splice(from..to, damage);
        let damaged = record.clone();
        let body = page(&records, has_more_after);
        let shown = || body.escape_ascii().to_string();
        let page = match read(&body) {
            Ok(page) => page,
            Err(error) => {
                // A bracket before what is not UTF-8 ends the list there.
                let is_named = matches!(error, PageParseError::BrokenRecord { .. }) || str::from_utf8(&damaged).is_err();
                prop_assert!(is_named, "{}: {:?}", shown(), error);
                return Ok(());
            }
        };
        let lines = lines(&page);
        let others: Vec<&str> = spellings.iter().map(|spelling| spelling.form.as_str()).collect();
        let after = &others[which + 1..];
        prop_assert!(lines.len() >= which + after.len(), "{}", shown());
        prop_assert_eq!(&lines[..which], &others[..which], "{}", shown());
        prop_assert_eq!(&lines[lines.len() - after.len()..], after, "{}", shown());
        if lines.len() != others.len() {
            return Ok(());
        }
        let kept = match (scan(&String::from_utf8_lossy(&damaged), &[], &mut String::new()), page.originals.as_slice()) {
            (Ok(_), []) => {
                prop_assert!(str::from_utf8(&damaged).is_ok(), "{}", shown());
                return Ok(());
            }
            (Ok(_), [original]) => original.line.to_string(),
            _ => lines[which].clone(),
        };
        let kept = unescaped(&kept);
        prop_assert_eq!(kept.trim_ascii(), damaged.trim_ascii(), "{}", shown());
    }

    #[test]
    fn a_record_whose_end_cannot_be_told_takes_no_more_than_its_neighbor_with_it(
        spellings in spellings(),
        has_more_after: bool,
        which: prop::sample::Index,
        from: prop::sample::Index,
        length in 0..3_usize,
        damage in damage(),
    ) {
        let record = |(number, spelling): (usize, &Spelling)| {
            let text = &spelling.text;
            format!(r#"{{"uniqId":"n{number}","date":"2025-06-09T10:00:00Z","more":{text}}}"#).into_bytes()
        };
        let mut records: Vec<Vec<u8>> = spellings.iter().enumerate().map(record).collect();
        let which = which.index(records.len());
        let from = from.index(records[which].len());
        let to = (from + length).min(records[which].len());
        records[which].splice(from..to, damage);
        let body = page(&records, has_more_after);
        let shown = || body.escape_ascii().to_string();
        let page = match read(&body) {
            Err(PageParseError::BrokenRecord { .. }) => read_with(&body, Broken::SetAside),
            read => read,
        };
        // What follows the list may have become part of it.
        let Ok(page) = page else { return Ok(()) };
        let lines = lines(&page);
        let missing: Vec<usize> = (0..records.len())
            .filter(|number| *number != which)
            .filter(|number| !lines.iter().any(|line| line.starts_with(&format!(r#"{{"uniqId": "n{number}","#))))
            .collect();
        prop_assert!(missing.iter().all(|number| number.abs_diff(which) == 1), "{missing:?}: {}", shown());
        let kept = lines.iter().filter(|line| line.starts_with('"'));
        let kept: Vec<u8> = kept.flat_map(|line| unescaped(line)).collect();
        for number in missing {
            let record = &records[number];
            prop_assert!(kept.windows(record.len()).any(|part| part == record.as_slice()), "{number}: {}", shown());
        }
    }

    #[test]
    fn a_page_that_is_cut_off_is_no_broken_record_unless_a_string_ends_like_a_page(
        spellings in spellings(),
        cut: prop::sample::Index,
    ) {
        let records: Vec<Vec<u8>> = spellings.iter().map(|spelling| spelling.text.clone().into_bytes()).collect();
        let mut body = page(&records, true);
        body.truncate(cut.index(body.len()));
        let is_like_a_page = body.trim_ascii_end().ends_with(b"}");
        match read(&body) {
            Err(PageParseError::BrokenRecord { .. }) => prop_assert!(is_like_a_page),
            Err(PageParseError::Unreadable(_)) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
