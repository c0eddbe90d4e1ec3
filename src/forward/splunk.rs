//! The answers of Splunk's HTTP Event Collector, and what their codes mean:
//! <https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector>.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use url::Url;

/// An answer: `{"text":"Success","code":0}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct HecAnswer {
    text: String,
    code: u32,
    /// The first event that is not one, from 0.
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
    /// The number of the acknowledgement that is to be asked for.
    #[serde(rename = "ackId")]
    pub(super) ack_id: Option<u64>,
}

/// What an answer means for the events of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// They were taken.
    Taken,
    /// The same request can be taken later.
    Busy,
    /// The token is not taken.
    Token,
    /// This event will never be taken.
    InvalidEvent(usize),
    /// Only an operator can help.
    Refused,
}

/// What has become of acknowledgements: `{"acks":{"0":true,"1":false}}`.
#[derive(Debug, Deserialize)]
struct Acks {
    acks: BTreeMap<u64, bool>,
}

/// Returns which of the acknowledgements in an answer have come; `None` if it is not such an answer.
pub(super) fn acknowledged(body: &[u8]) -> Option<BTreeSet<u64>> {
    let Acks { acks } = serde_json::from_slice(body).ok()?;
    Some(
        acks.into_iter()
            .filter(|(_, has_come)| *has_come)
            .map(|(id, _)| id)
            .collect(),
    )
}

/// Returns the body that asks for acknowledgements.
pub(super) fn ask_for(ids: impl Iterator<Item = u64>) -> Vec<u8> {
    let ids: Vec<_> = ids.collect();
    serde_json::json!({ "acks": ids }).to_string().into_bytes()
}

/// Returns where the acknowledgements of a channel are asked for, beside the address of the events.
pub(super) fn ack_address(events: &Url, channel: &str) -> Url {
    const COLLECTOR: &str = "/services/collector";
    let mut address = events.clone();
    let before = events.path().find(COLLECTOR).map_or("", |at| &events.path()[..at]);
    address.set_path(&format!("{before}{COLLECTOR}/ack"));
    address.query_pairs_mut().append_pair("channel", channel);
    address
}

impl HecAnswer {
    /// Reads an answer; `None` if it is not one of Splunk's.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Returns what it means.
    pub(super) fn meaning(&self) -> Meaning {
        match (self.code, self.invalid_event) {
            (0, _) => Meaning::Taken,
            // 1 disabled, 2 required, 3 invalid authorization, 4 invalid, 21 and 22 also.
            (1..=4 | 21 | 22, _) => Meaning::Token,
            // 8 internal error, 9 busy, 18 to 20 queues full, 23 shutting down, 24 to 26 queues at capacity.
            (8 | 9 | 18..=20 | 23..=26, _) => Meaning::Busy,
            // 6 invalid data format, 12 event required, 13 event blank, 15 indexed fields.
            (6 | 12 | 13 | 15, Some(event)) => Meaning::InvalidEvent(event),
            _ => Meaning::Refused,
        }
    }

    /// Returns what to do, as the end of a sentence.
    pub(super) fn advice(&self) -> &'static str {
        match self.code {
            1..=4 | 16 | 21 | 22 => "; check HTTP_FORWARD_TOKEN, and that the token is enabled",
            7 => "; the token may not write to this index: check its allowed indexes",
            10 | 11 => {
                "; the token asks for indexer acknowledgement, whose channel did not arrive: check what is between"
            }
            _ => "",
        }
    }

    /// Returns it in words.
    pub(super) fn words(&self) -> String {
        format!("{} (code {})", self.text, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_asked_for_beside_the_events() {
        for (events, expected) in [
            ("/services/collector/event", "/services/collector/ack?channel=c-1"),
            ("/services/collector", "/services/collector/ack?channel=c-1"),
            (
                "/hec/services/collector/event/1.0?a=b",
                "/hec/services/collector/ack?a=b&channel=c-1",
            ),
            ("/", "/services/collector/ack?channel=c-1"),
        ] {
            let events = Url::parse(&format!("https://splunk.example.org:8088{events}")).unwrap();
            let address = ack_address(&events, "c-1");
            assert_eq!(address.as_str(), format!("https://splunk.example.org:8088{expected}"));
        }
    }

    #[test]
    fn codes_mean_what_splunk_says() {
        let meaning = |code, number: &str| {
            let answer = format!(r#"{{"text":"t","code":{code}{number}}}"#);
            HecAnswer::read(answer.as_bytes()).unwrap().meaning()
        };
        for (code, expected) in [
            (0, Meaning::Taken),
            (1, Meaning::Token),
            (4, Meaning::Token),
            (6, Meaning::Refused),
            (7, Meaning::Refused),
            (8, Meaning::Busy),
            (9, Meaning::Busy),
            (10, Meaning::Refused),
            (14, Meaning::Refused),
        ] {
            assert_eq!(meaning(code, ""), expected, "{code}");
        }
        for code in [6, 12, 13, 15] {
            assert_eq!(meaning(code, r#","invalid-event-number":2"#), Meaning::InvalidEvent(2));
        }
        for foreign in ["", "ok", "[]", "{}", r#"{"code":"0"}"#, r#"{"text":"Success"}"#] {
            assert_eq!(HecAnswer::read(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
