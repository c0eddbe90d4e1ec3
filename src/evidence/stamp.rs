//! What a time stamp (RFC 3161) says: of which hash, and when. The small part of its form (DER) that this needs is read here; whose
//! signature it has is not checked: `openssl ts` does that.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::tree::Hash;

/// The types of a time stamp's content (1.2.840.113549.1.9.16.1.4) and of SHA-256 (2.16.840.1.101.3.4.2.1).
const CONTENT: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

/// The kinds of elements.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const TYPE: u8 = 0x06;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const TAGGED: u8 = 0xa0;

/// What a time stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) hash: Hash,
    pub(super) at: DateTime<Utc>,
}

/// Returns the status of an answer: a sequence that begins with a sequence that begins with a small number.
pub(super) fn status(answer: &[u8]) -> Option<u8> {
    let (information, _) = element(whole(answer)?, SEQUENCE)?;
    match element(information, INTEGER)?.0 {
        [status] => Some(*status),
        _ => None,
    }
}

impl Stamp {
    /// Reads an answer that grants a time stamp; `None` if it does not, is broken, or is not about a SHA-256 hash.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        status(answer).filter(|status| *status <= 1)?;
        let (_, token) = element(whole(answer)?, SEQUENCE)?;
        let (_, signed) = element(whole(token)?, TYPE)?;
        let (signed, _) = element(signed, TAGGED)?;
        let (_version, rest) = element(whole(signed)?, INTEGER)?;
        let (_algorithms, rest) = element(rest, SET)?;
        let (content, _) = element(rest, SEQUENCE)?;
        let (kind, content) = element(content, TYPE)?;
        let (octets, _) = element(content, TAGGED).filter(|_| kind == CONTENT)?;
        Self::of_content(whole(element(octets, OCTETS)?.0)?)
    }

    fn of_content(content: &[u8]) -> Option<Self> {
        let (_version, rest) = element(content, INTEGER)?;
        let (_policy, rest) = element(rest, TYPE)?;
        let (imprint, rest) = element(rest, SEQUENCE)?;
        let (algorithm, hash) = element(imprint, SEQUENCE)?;
        let hash = element(hash, OCTETS)?.0;
        let (_serial, rest) = element(rest, INTEGER)?;
        let time = std::str::from_utf8(element(rest, TIME)?.0).ok()?;
        let at = NaiveDateTime::parse_from_str(time.strip_suffix('Z')?, "%Y%m%d%H%M%S%.f").ok()?;
        let is_sha256 = element(algorithm, TYPE)?.0 == SHA256;
        hash.try_into().ok().filter(|_| is_sha256).map(|hash| Self {
            hash: Hash(hash),
            at: at.and_utc(),
        })
    }
}

/// Returns the content of a sequence that nothing stands behind.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (content, rest) = element(bytes, SEQUENCE)?;
    rest.is_empty().then_some(content)
}

/// Splits the content of the first element of this kind from what is behind it (DER).
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first().filter(|_| *found == kind)?;
    let (length, rest) = match first {
        length @ 0..0x80 => (usize::from(*length), rest),
        many => {
            let (length, rest) = rest
                .split_at_checked(usize::from(many - 0x80))
                .filter(|(length, _)| (1..=4).contains(&length.len()))?;
            (
                length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
                rest,
            )
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read_and_anything_else_is_none() {
        assert_eq!(status(&[0x30, 5, 0x30, 3, 2, 1, 0]), Some(0));
        assert_eq!(status(&[0x30, 0x81, 5, 0x30, 3, 2, 1, 2]), Some(2));
        let all = [0x30, 5, 0x30, 3, 2, 1, 0];
        for end in 0..all.len() {
            assert_eq!(status(&all[..end]), None, "{end}");
        }
        for other in [
            &b"<html>"[..],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x30, 3, 0x30, 1, 2],
            &[0x30, 0xff],
        ] {
            assert_eq!(status(other), None, "{other:?}");
        }
    }

    fn der(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        match content.len() {
            length @ 0..0x80 => [&[kind, length as u8], &content[..]].concat(),
            length => [&[kind, 0x81, length as u8], &content[..]].concat(),
        }
    }

    fn answer(algorithm: &[u8], hash: &[u8], time: &[u8]) -> Vec<u8> {
        let one = der(INTEGER, &[&[1]]);
        let algorithm = der(SEQUENCE, &[&der(TYPE, &[algorithm]), &[5, 0]]);
        let imprint = der(SEQUENCE, &[&algorithm, &der(OCTETS, &[hash])]);
        let content = der(
            SEQUENCE,
            &[&one, &der(TYPE, &[&[0x2a]]), &imprint, &one, &der(TIME, &[time])],
        );
        let octets = der(TAGGED, &[&der(OCTETS, &[&content])]);
        let content = der(SEQUENCE, &[&der(TYPE, &[CONTENT]), &octets]);
        let signed = der(SEQUENCE, &[&one, &der(SET, &[]), &content]);
        let token = der(SEQUENCE, &[&der(TYPE, &[&[0x2a]]), &der(TAGGED, &[&signed])]);
        der(SEQUENCE, &[&der(SEQUENCE, &[&der(INTEGER, &[&[0]])]), &token])
    }

    #[test]
    fn the_hash_and_the_time_are_read_and_what_is_broken_is_no_time_stamp() {
        let good = answer(SHA256, &[7; 32], b"20261128023100.5Z");
        let stamp = Stamp::parse(&good).unwrap();
        assert_eq!(
            (stamp.hash, stamp.at.to_rfc3339().as_str()),
            (Hash([7; 32]), "2026-11-28T02:31:00.500+00:00")
        );
        assert!(Stamp::parse(&answer(SHA256, &[7; 32], b"20261128023100Z")).is_some());
        for end in 0..good.len() {
            assert_eq!(Stamp::parse(&good[..end]), None, "{end}");
        }
        assert_eq!(Stamp::parse(&[&good[..], &[0]].concat()), None);
        for other in [
            answer(CONTENT, &[7; 32], b"20261128023100Z"),
            answer(SHA256, &[7; 20], b"20261128023100Z"),
            answer(SHA256, &[7; 32], b"20261128023100"),
            answer(SHA256, &[7; 32], b"yesterdayZ"),
            vec![0x30, 5, 0x30, 3, 2, 1, 0],
        ] {
            assert_eq!(Stamp::parse(&other), None, "{other:?}");
        }
    }
}
