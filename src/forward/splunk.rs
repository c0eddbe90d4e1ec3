//! The answers of Splunk's HTTP Event Collector, and what their codes mean:
//! <https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector>.

use serde::Deserialize;

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
