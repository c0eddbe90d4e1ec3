//! The faults that a service can be given from the command line, to rehearse with: their names, and what each one does.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::api::Api;
use super::http::Answer;
use super::script::{Action, Seen, Step, When};

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(5);

/// The wait that a limited client is told.
const LIMITED: Duration = Duration::from_secs(1);

/// What a replica that lags does not have yet.
const LAG: TimeDelta = TimeDelta::minutes(10);

/// Longer than any service keeps records.
const EVERYTHING: TimeDelta = TimeDelta::weeks(52 * 100);

/// Where an answer breaks off, in bytes: in what every service begins with.
const BROKEN_AFTER: usize = 8;

/// A kind of fault.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    /// What its number is if none is given.
    usual: u32,
    /// The rest of a sentence; `N` is the number.
    about: &'static str,
    requests: Requests,
    /// What happens, with this number.
    action: fn(u32) -> Action,
}

/// The requests that a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Requests {
    /// Every one whose number can be divided by that of the fault.
    EveryNth,
    /// All behind so many.
    Behind,
    All,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "unavailable",
        usual: 5,
        about: "every Nth answer is a 503",
        requests: Requests::EveryNth,
        action: |_| Action::Answer(Answer::html(503, "Service Unavailable")),
    },
    Kind {
        name: "rate-limit",
        usual: 5,
        about: "every Nth answer is a 429 with Retry-After: 1",
        requests: Requests::EveryNth,
        action: |_| Action::TooManyRequests(LIMITED),
    },
    Kind {
        name: "slow",
        usual: 5,
        about: "every Nth answer takes 5 seconds",
        requests: Requests::EveryNth,
        action: |_| Action::Wait(SLOW),
    },
    Kind {
        name: "no-answer",
        usual: 5,
        about: "every Nth connection is closed without an answer",
        requests: Requests::EveryNth,
        action: |_| Action::Close,
    },
    Kind {
        name: "broken-json",
        usual: 5,
        about: "every Nth answer is JSON that breaks off",
        requests: Requests::EveryNth,
        action: |_| Action::Truncate(BROKEN_AFTER),
    },
    Kind {
        name: "empty",
        usual: 5,
        about: "every Nth answer has no record, although there are some",
        requests: Requests::EveryNth,
        action: |_| Action::Lag(EVERYTHING),
    },
    Kind {
        name: "lagging-replica",
        usual: 2,
        about: "every Nth answer lacks the last 10 minutes, as from a slow replica",
        requests: Requests::EveryNth,
        action: |_| Action::Lag(LAG),
    },
    Kind {
        name: "wrong-clock",
        usual: 3_600,
        about: "the clock of the service is N seconds ahead",
        requests: Requests::All,
        action: |seconds| Action::ClockAhead(TimeDelta::seconds(seconds.into())),
    },
    Kind {
        name: "expired-token",
        usual: 100,
        about: "the token is refused (401) after N requests",
        requests: Requests::Behind,
        action: |_| Action::RefuseToken,
    },
];

/// A fault of one service, or of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    kind: &'static Kind,
    number: u32,
    /// The service; `None` for all.
    api: Option<Api>,
}

/// Faults are the same if they are written the same.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        (self.kind.name, self.number, self.api) == (other.kind.name, other.number, other.api)
    }
}

impl Eq for Fault {}

/// Why a text names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FaultError {
    #[error("no such fault; there are {}", names())]
    Name,
    #[error("the number behind = must be a whole one from {least}")]
    Number { least: u32 },
    #[error("no such stream behind @; there are {}", streams())]
    Stream,
}

/// `NAME[=N][@STREAM]`.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (text, api) = match text.split_once('@') {
            Some((text, stream)) => (text, Some(api(stream)?)),
            None => (text, None),
        };
        let (name, number) = match text.split_once('=') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let kind = KINDS.iter().find(|kind| kind.name == name).ok_or(FaultError::Name)?;
        // A token can be refused from the first request on; nothing can be every 0th.
        let least = u32::from(kind.requests != Requests::Behind);
        let number = match number.map(str::parse) {
            None => kind.usual,
            Some(Ok(number)) if number >= least => number,
            Some(_) => return Err(FaultError::Number { least }),
        };
        Ok(Self { kind, number, api })
    }
}

impl Fault {
    /// Returns the faults that there are, a line for each.
    pub(crate) fn list() -> String {
        let lines = KINDS.iter().map(|kind| {
            let Kind { name, usual, about, .. } = kind;
            format!("  {:<22}{about}", format!("{name}[={usual}]"))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns the step of the script that makes it.
    pub(crate) fn step(&self) -> Step {
        let Self { kind, number, api } = self.clone();
        let meets = move |seen: &Seen| {
            let is_of_api = api.map_or(seen.api.is_some(), |api| seen.api == Some(api));
            is_of_api && !seen.is_mint && kind.meets(seen.number, number as usize)
        };
        Step::new(When::Picked(Arc::new(meets)), (kind.action)(number))
    }
}

impl Kind {
    /// Whether a fault with this number meets a request, which is counted from 1.
    fn meets(&self, request: usize, number: usize) -> bool {
        match self.requests {
            Requests::EveryNth => request.is_multiple_of(number),
            Requests::Behind => request > number,
            Requests::All => true,
        }
    }
}

fn api(stream: &str) -> Result<Api, FaultError> {
    let mut apis = Api::ALL.into_iter();
    apis.find(|api| api.name() == stream).ok_or(FaultError::Stream)
}

fn names() -> String {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

fn streams() -> String {
    Api::ALL.map(Api::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(&'static str, u32, Option<Api>), FaultError> {
        text.parse::<Fault>()
            .map(|fault| (fault.kind.name, fault.number, fault.api))
    }

    #[test]
    fn a_fault_has_a_name_and_may_have_a_number_and_a_stream() {
        assert_eq!(read("unavailable"), Ok(("unavailable", 5, None)));
        assert_eq!(read("slow=3@tfc"), Ok(("slow", 3, Some(Api::Tfc))));
        assert_eq!(read("empty@yandex-mail"), Ok(("empty", 5, Some(Api::Mail))));
        assert_eq!(read("expired-token=0"), Ok(("expired-token", 0, None)));
    }

    #[test]
    fn what_is_no_fault_is_answered_with_those_that_there_are() {
        assert_eq!(read("unavailible"), Err(FaultError::Name));
        let message = FaultError::Name.to_string();
        assert!(KINDS.iter().all(|kind| message.contains(kind.name)), "{message}");
        for text in ["slow=0", "slow=", "slow=x", "slow=-1", "slow=99999999999"] {
            assert_eq!(read(text), Err(FaultError::Number { least: 1 }), "{text}");
        }
        assert_eq!(read("slow@elsewhere"), Err(FaultError::Stream));
        assert!(FaultError::Stream.to_string().contains("yandex-audit"));
    }

    #[test]
    fn the_list_fits_a_terminal() {
        let list = Fault::list();
        assert_eq!(list.lines().count(), KINDS.len());
        // clap indents it by ten.
        assert!(list.lines().all(|line| line.len() <= 90), "{list}");
    }
}
