//! What the running sandbox knows: feeds, tokens, counters, the log of requests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::feed::{Event, Feed, View};
use super::generate::{BadSample, Generator};
use super::http::{Answer, Call};
use super::meter::Meter;
use super::options::{Api, Options, Records};
use super::script::{Action, Step};
use super::{port, terraform, yandex};

/// A request that the sandbox has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which service it was for; `None` for an address that none of them has.
    pub api: Option<Api>,
    /// Whether it was to mint a Port token.
    pub is_mint: bool,
    /// Its number among those of its API, from 1; requests that mint tokens are counted on their own.
    pub number: usize,
    /// What was asked for.
    pub path_and_query: String,
    /// Whether it had an `Authorization` header.
    pub authorization_present: bool,
    /// When it came, by the clock of the sandbox.
    pub at: DateTime<Utc>,
}

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
    feeds: [Feed; 4],
    meters: [Meter; 4],
    minted: port::Minted,
    script: Vec<Step>,
    seen: Vec<Seen>,
    counts: HashMap<(Option<Api>, bool), usize>,
}

impl World {
    pub(super) fn new(mut options: Options) -> Result<Self, BadSample> {
        let mut take = |api| take_feed(&mut options, api);
        let feeds = [take(Api::Mail)?, take(Api::Disk)?, take(Api::Port)?, take(Api::Tfc)?];
        let state = State {
            feeds,
            meters: Default::default(),
            minted: port::Minted::default(),
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
        let options = &self.options[api];
        let State {
            feeds, meters, minted, ..
        } = state;
        let feed = &mut feeds[api as usize];
        feed.advance(now);
        let view = View { feed, options, now };
        let meter = &mut meters[api as usize];
        let Some(limit) = options.rate_limit else {
            return self.reply(&view, minted, api, is_mint, call);
        };
        let Some(left) = meter.admit(limit) else {
            return meter.mark(too_many_requests(api, meter.reset()), api, limit, 0, now);
        };
        meter.mark(self.reply(&view, minted, api, is_mint, call), api, limit, left, now)
    }

    fn reply(&self, view: &View<'_>, minted: &mut port::Minted, api: Api, is_mint: bool, call: &Call) -> Answer {
        match (api, is_mint, call.is_post) {
            (Api::Port, true, true) => minted.answer(call, view.now, self.options.port_token_life),
            (_, true, false) | (_, false, true) => method_not_allowed(api),
            (Api::Mail | Api::Disk, ..) => yandex::answer(api, view, call),
            (Api::Port, ..) => port::answer(view, minted, call),
            (Api::Tfc, ..) => terraform::answer(view, call),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the feed of a service, leaving nothing of it behind in the options.
fn take_feed(options: &mut Options, api: Api) -> Result<Feed, BadSample> {
    let now = (options.clock)();
    let seed = options.seed;
    Ok(
        match std::mem::replace(&mut options[api].records, Records::Given(Vec::new())) {
            Records::Given(events) => Feed::given(events),
            Records::Generated { count, arrivals } => {
                Feed::generated(Generator::new(api, seed, now, arrivals)?, count, now)
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
fn route(path: &str) -> (Option<Api>, bool) {
    match path.split('/').skip(1).collect::<Vec<_>>()[..] {
        ["security", "v1", "org", _, "audit_log", "mail"] => (Some(Api::Mail), false),
        ["security", "v1", "org", _, "audit_log", "disk"] => (Some(Api::Disk), false),
        ["v1", "audit-log"] => (Some(Api::Port), false),
        ["v1", "auth", "access_token"] => (Some(Api::Port), true),
        ["api", "v2", "organization", "audit-trail"] => (Some(Api::Tfc), false),
        _ => (None, false),
    }
}

fn method_not_allowed(api: Api) -> Answer {
    match api {
        Api::Mail | Api::Disk => yandex::error(405, "method not allowed"),
        Api::Port => port::error(405, "method_not_allowed", "Method not allowed"),
        Api::Tfc => terraform::error(405, "method not allowed"),
    }
}

fn too_many_requests(api: Api, reset: Duration) -> Answer {
    let seconds = reset.as_secs_f64().ceil().max(1.0);
    match api {
        Api::Mail | Api::Disk => yandex::error(429, "too many requests").with("Retry-After", seconds),
        Api::Port => port::error(429, "rate_limit_exceeded", "Too many requests").with("Retry-After", seconds),
        Api::Tfc => terraform::too_many_requests(),
    }
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
