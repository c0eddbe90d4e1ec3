//! What the running sandbox knows: feeds, tokens, counters, the log of requests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::api::Api;
use super::event::Event;
use super::feed::{Feed, View};
use super::generate::{Generator, SampleError};
use super::habits::Records;
use super::http::{Answer, Call};
use super::meter::{Meter, Quota};
use super::minted::Minted;
use super::options::Options;
use super::script::{Action, Seen, Step};
use super::service::{Refusal, is_at};

/// An answer and how it is to be sent.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    pub(super) wait: Duration,
    pub(super) delivery: Delivery,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Closed,
    CutAfter(usize),
    Drip(usize, Duration),
}

/// Everything behind one lock: requests are answered one after the other.
pub(super) struct World {
    options: Options,
    state: Mutex<State>,
}

struct State {
    /// The records of each service, by its number.
    feeds: Vec<Feed>,
    meters: [Meter; Api::ALL.len()],
    minted: Minted,
    script: Vec<Step>,
    seen: Vec<Seen>,
    counts: HashMap<(Option<Api>, bool), usize>,
}

impl World {
    pub(super) fn new(mut options: Options) -> Result<Self, SampleError> {
        let feeds = Api::ALL.into_iter().map(|api| take_feed(&mut options, api));
        let feeds = feeds.collect::<Result<_, _>>()?;
        let state = State {
            feeds,
            meters: Default::default(),
            minted: Minted::default(),
            script: std::mem::take(&mut options.script),
            seen: Vec::new(),
            counts: HashMap::new(),
        };
        Ok(Self {
            options,
            state: Mutex::new(state),
        })
    }

    /// What the sandbox was started with; the records and the script have been taken out of it.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub(super) fn events(&self, api: Api) -> Vec<Event> {
        let now = (self.options.clock)();
        let mut state = self.state();
        let feed = &mut state.feeds[api as usize];
        feed.advance(now);
        feed.events()
    }

    pub(super) fn add(&self, api: Api, events: Vec<Event>) {
        self.state().feeds[api as usize].add(events);
    }

    pub(super) fn drop_oldest(&self, api: Api, count: usize) {
        self.state().feeds[api as usize].drop_oldest(count);
    }

    /// How many requests for the audit log of an API there were.
    pub(super) fn count(&self, api: Api) -> usize {
        self.state()
            .counts
            .get(&(Some(api), false))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn step(&self, step: Step) {
        self.state().script.push(step);
    }

    /// Notes a request, plays the script, and answers.
    pub(super) fn handle(&self, call: &Call) -> Outcome {
        let now = (self.options.clock)();
        let mut state = self.state();
        let (api, is_mint) = route(&call.path);
        let seen = state.note(api, is_mint, call, now);
        let mut plan = Plan::default();
        for action in state.due(&seen) {
            plan.take(action, &mut state);
        }
        let answer = plan.answer.take().unwrap_or_else(|| match api {
            None => Answer::json(404, r#"{"message":"Not Found"}"#),
            Some(api) => self.answer(&mut state, api, is_mint, call, now),
        });
        plan.outcome(answer, self.options.latency)
    }

    /// The answer of a service in good health.
    fn answer(&self, state: &mut State, api: Api, is_mint: bool, call: &Call, now: DateTime<Utc>) -> Answer {
        let Some(limit) = self.options[api].rate_limit else {
            return self.reply(state, api, is_mint, call, now);
        };
        let left = state.meters[api as usize].admit(limit);
        let reset = state.meters[api as usize].reset();
        let service = api.service();
        let answer = match left {
            Some(_) => self.reply(state, api, is_mint, call, now),
            None => (service.refuse)(Refusal::TooManyRequests(reset)),
        };
        let quota = Quota {
            limit,
            left: left.unwrap_or_default(),
            reset,
            now,
        };
        (service.mark)(answer, quota)
    }

    fn reply(&self, state: &mut State, api: Api, is_mint: bool, call: &Call, now: DateTime<Utc>) -> Answer {
        let service = api.service();
        let State { feeds, minted, .. } = state;
        match (&service.mint, is_mint, call.is_post) {
            (Some(mint), true, true) => (mint.answer)(call, minted, now, self.options.port_token_life),
            (_, false, false) => {
                let feed = &mut feeds[api as usize];
                feed.advance(now);
                let options = &self.options[api];
                let view = View {
                    feed,
                    options,
                    minted,
                    now,
                };
                (service.answer)(&view, call)
            }
            _ => (service.refuse)(Refusal::MethodNotAllowed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the feed of a service, leaving nothing of it behind in the options.
fn take_feed(options: &mut Options, api: Api) -> Result<Feed, SampleError> {
    let now = (options.clock)();
    // Another seed for each service, and for each seed.
    let seed = options
        .seed
        .wrapping_mul(Api::ALL.len() as u64)
        .wrapping_add(api as u64);
    Ok(
        match std::mem::replace(&mut options[api].records, Records::Given(Vec::new())) {
            Records::Given(events) => Feed::given(events),
            Records::Generated { count, arrivals } => {
                let recipe = &api.service().recipe;
                Feed::generated(
                    Generator::new(recipe, seed, api.retention(), now, arrivals)?.padding_to(options.record_bytes),
                    count,
                    now,
                )
            }
        },
    )
}

impl State {
    /// Writes a request into the log.
    fn note(&mut self, api: Option<Api>, is_mint: bool, call: &Call, now: DateTime<Utc>) -> Seen {
        let number = self.counts.entry((api, is_mint)).or_default();
        *number += 1;
        let query = if call.raw_query.is_empty() {
            String::new()
        } else {
            format!("?{}", call.raw_query)
        };
        let seen = Seen {
            api,
            is_mint,
            number: *number,
            path_and_query: format!("{}{query}", call.path),
            authorization_present: call.authorization.is_some(),
            at: now,
        };
        self.seen.push(seen.clone());
        seen
    }

    /// What the script says about a request.
    fn due(&self, seen: &Seen) -> Vec<Action> {
        self.script
            .iter()
            .filter(|step| step.when.applies(seen))
            .map(|step| step.action.clone())
            .collect()
    }
}

/// Which service an address belongs to, and whether it mints a token.
fn route(address: &str) -> (Option<Api>, bool) {
    for api in Api::ALL {
        let service = api.service();
        if is_at(service.path, address) {
            return (Some(api), false);
        }
        if service.mint.as_ref().is_some_and(|mint| is_at(mint.path, address)) {
            return (Some(api), true);
        }
    }
    (None, false)
}

/// What the script makes of one request.
#[derive(Default)]
struct Plan {
    answer: Option<Answer>,
    wait: Duration,
    content_type: Option<String>,
    truncate: Option<usize>,
    delivery: Option<Delivery>,
}

impl Plan {
    fn take(&mut self, action: Action, state: &mut State) {
        match action {
            Action::Add(api, events) => state.feeds[api as usize].add(events),
            Action::DropOldest(api, count) => state.feeds[api as usize].drop_oldest(count),
            Action::EndPortToken => state.minted.end(),
            Action::Answer(answer) => {
                self.answer.get_or_insert(answer);
            }
            Action::Wait(wait) => self.wait += wait,
            Action::ContentType(kind) => self.content_type = Some(kind),
            Action::Truncate(length) => self.truncate = Some(length),
            Action::Close => self.delivery = Some(Delivery::Closed),
            Action::CutBody(length) => self.delivery = Some(Delivery::CutAfter(length)),
            Action::Drip(length, pause) => self.delivery = Some(Delivery::Drip(length, pause)),
        }
    }

    fn outcome(self, mut answer: Answer, latency: Duration) -> Outcome {
        if let Some(kind) = self.content_type {
            answer
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            answer = answer.with("content-type", kind);
        }
        if let Some(length) = self.truncate {
            answer.body.truncate(length);
        }
        Outcome {
            answer,
            wait: self.wait + latency,
            delivery: self.delivery.unwrap_or(Delivery::Whole),
        }
    }
}
