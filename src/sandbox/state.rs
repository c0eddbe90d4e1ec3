//! The state of a running sandbox: feeds, tokens, counters, the log of requests.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::api::Api;
use super::behavior::Records;
use super::event::Event;
use super::feed::{Feed, View};
use super::generate::{Generator, SampleError};
use super::http::{Answer, ServiceRequest, http_date};
use super::options::Options;
use super::rate_limit::Quota;
use super::script::{Action, Seen, Step};
use super::service::{RequestError, matches_path};
use super::tenant::{Tenant, tenant_of};

/// An answer and how it is to be sent.
pub(super) struct Reply {
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

/// The state behind one lock: requests are answered one after the other.
pub(super) struct SharedState {
    options: Options,
    state: Mutex<State>,
}

struct State {
    /// The organization whose credentials the options name.
    first: Tenant,
    /// Others, by their numbers, from when they are asked for.
    others: HashMap<u64, Tenant>,
    script: Vec<Step>,
    seen: Vec<Seen>,
    counts: HashMap<(Option<Api>, bool), usize>,
}

impl SharedState {
    pub(super) fn new(mut options: Options) -> Result<Self, SampleError> {
        let feeds = Api::ALL.into_iter().map(|api| {
            let records = match &mut options[api].records {
                // They are of the first one alone.
                Records::Given(events) => Records::Given(std::mem::take(events)),
                generated @ Records::Generated { .. } => generated.clone(),
            };
            feed(&options, api, records, 0)
        });
        let feeds = feeds.collect::<Result<_, _>>()?;
        let state = State {
            first: Tenant::new(feeds),
            others: HashMap::new(),
            script: std::mem::take(&mut options.script),
            seen: Vec::new(),
            counts: HashMap::new(),
        };
        Ok(Self {
            options,
            state: Mutex::new(state),
        })
    }

    /// Returns the options, without the records and the script, which the state took.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub(super) fn events(&self, api: Api) -> Vec<Event> {
        let now = (self.options.clock)();
        self.state().first.events(api, now)
    }

    pub(super) fn add(&self, api: Api, events: Vec<Event>) {
        self.state().first.feeds[api as usize].add(events);
    }

    #[cfg(test)]
    pub(super) fn drop_oldest(&self, api: Api, count: usize) {
        self.state().first.feeds[api as usize].drop_oldest(count);
    }

    /// Returns the number of requests for the audit log of an API.
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

    /// Logs a request, applies the script, and answers.
    pub(super) fn handle(&self, request: &ServiceRequest) -> Reply {
        let now = (self.options.clock)();
        let mut state = self.state();
        let (api, is_mint) = route(&request.path);
        let seen = state.note(api, is_mint, request, now);
        let (number, request) = tenant_of(request);
        let mut effects = Effects::default();
        for action in state.due(&seen) {
            effects.apply(action, &mut state);
        }
        let answer = effects.answer.take().unwrap_or_else(|| match (api, effects.too_many) {
            (None, _) => Answer::json(404, r#"{"message":"Not Found"}"#),
            (Some(api), Some(wait)) => (api.service().error_answer)(RequestError::TooManyRequests(wait)),
            (Some(api), None) => {
                let asked = Asked {
                    request: &effects.as_understood(&request),
                    is_mint,
                    now,
                    known_to: effects.lag.map(|lag| now - lag),
                };
                self.answer(state.tenant(&self.options, number), api, &asked)
            }
        });
        effects.into_reply(answer, now, self.options.latency)
    }

    /// Returns the usual answer of a service, within its rate limit.
    fn answer(&self, tenant: &mut Tenant, api: Api, asked: &Asked<'_>) -> Answer {
        let Some(limit) = self.options[api].rate_limit else {
            return self.answer_unlimited(tenant, api, asked);
        };
        let left = tenant.rate_counters[api as usize].admit(limit);
        let reset = tenant.rate_counters[api as usize].reset();
        let service = api.service();
        let answer = match left {
            Some(_) => self.answer_unlimited(tenant, api, asked),
            None => (service.error_answer)(RequestError::TooManyRequests(reset)),
        };
        let quota = Quota {
            limit,
            left: left.unwrap_or_default(),
            reset,
            now: asked.now,
        };
        (service.rate_limit_headers)(answer, quota)
    }

    fn answer_unlimited(&self, tenant: &mut Tenant, api: Api, asked: &Asked<'_>) -> Answer {
        let Asked {
            request, is_mint, now, ..
        } = *asked;
        let service = api.service();
        let Tenant { feeds, minted, .. } = tenant;
        match (&service.mint, is_mint, request.is_post) {
            (Some(mint), true, true) => (mint.answer)(request, minted, now, self.options.port_token_life),
            (_, false, false) => {
                let feed = &mut feeds[api as usize];
                feed.advance(now);
                let options = &self.options[api];
                let view = View {
                    feed,
                    options,
                    minted,
                    now,
                    known_to: asked.known_to,
                };
                (service.answer)(&view, request)
            }
            _ => (service.error_answer)(RequestError::MethodNotAllowed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, as the script lets a service see it.
struct Asked<'a> {
    request: &'a ServiceRequest,
    is_mint: bool,
    now: DateTime<Utc>,
    /// What is newer is not there yet.
    known_to: Option<DateTime<Utc>>,
}

/// Creates the feed of a service from these records.
fn feed(options: &Options, api: Api, records: Records, number: u64) -> Result<Feed, SampleError> {
    let now = (options.clock)();
    // A different seed for each service, and for each organization.
    let seed = options
        .seed
        .wrapping_mul(Api::ALL.len() as u64)
        .wrapping_add(api as u64)
        .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Ok(match records {
        Records::Given(events) => Feed::given(events),
        Records::Generated { count, arrivals } => {
            let recipe = &api.service().recipe;
            Feed::generated(
                Generator::new(recipe, seed, api.retention(), now, arrivals)?.with_record_bytes(options.record_bytes),
                count,
                now,
            )
        }
    })
}

impl State {
    /// Returns what is kept of an organization; of one that was not asked for yet, records are made.
    fn tenant(&mut self, options: &Options, number: u64) -> &mut Tenant {
        if number == 0 {
            return &mut self.first;
        }
        self.others.entry(number).or_insert_with(|| {
            let feeds = Api::ALL.into_iter().map(|api| {
                // The sample was read for the first one.
                feed(options, api, options[api].records.clone(), number).unwrap_or_else(|_| Feed::given(Vec::new()))
            });
            Tenant::new(feeds.collect())
        })
    }

    fn note(&mut self, api: Option<Api>, is_mint: bool, request: &ServiceRequest, now: DateTime<Utc>) -> Seen {
        let number = self.counts.entry((api, is_mint)).or_default();
        *number += 1;
        let query = if request.raw_query.is_empty() {
            String::new()
        } else {
            format!("?{}", request.raw_query)
        };
        let seen = Seen {
            api,
            is_mint,
            number: *number,
            path_and_query: format!("{}{query}", request.path),
            authorization_present: request.authorization.is_some(),
            at: now,
        };
        self.seen.push(seen.clone());
        seen
    }

    /// Applies the script to a request.
    fn due(&self, seen: &Seen) -> Vec<Action> {
        self.script
            .iter()
            .filter(|step| step.when.applies(seen))
            .map(|step| step.action.clone())
            .collect()
    }
}

/// Returns the service of a path, and whether it mints a token.
fn route(address: &str) -> (Option<Api>, bool) {
    for api in Api::ALL {
        let service = api.service();
        if matches_path(service.path, address) {
            return (Some(api), false);
        }
        if service
            .mint
            .as_ref()
            .is_some_and(|mint| matches_path(mint.path, address))
        {
            return (Some(api), true);
        }
    }
    (None, false)
}

/// What the script changes about one answer.
#[derive(Default)]
struct Effects {
    answer: Option<Answer>,
    too_many: Option<Duration>,
    refuses_token: bool,
    lag: Option<TimeDelta>,
    clock_ahead: Option<TimeDelta>,
    wait: Duration,
    content_type: Option<String>,
    truncate: Option<usize>,
    delivery: Option<Delivery>,
}

impl Effects {
    fn apply(&mut self, action: Action, state: &mut State) {
        match action {
            Action::Add(api, events) => state.first.feeds[api as usize].add(events),
            Action::DropOldest(api, count) => state.first.feeds[api as usize].drop_oldest(count),
            Action::EndPortToken => state.first.minted.end(),
            Action::Answer(answer) => {
                self.answer.get_or_insert(answer);
            }
            Action::TooManyRequests(wait) => self.too_many = Some(wait),
            Action::RefuseToken => self.refuses_token = true,
            Action::Lag(lag) => self.lag = Some(lag),
            Action::ClockAhead(ahead) => self.clock_ahead = Some(ahead),
            Action::Wait(wait) => self.wait += wait,
            Action::ContentType(kind) => self.content_type = Some(kind),
            Action::Truncate(length) => self.truncate = Some(length),
            Action::Close => self.delivery = Some(Delivery::Closed),
            Action::CutBody(length) => self.delivery = Some(Delivery::CutAfter(length)),
            Action::Drip(length, pause) => self.delivery = Some(Delivery::Drip(length, pause)),
        }
    }

    /// Returns the request as the service understands it: a token that it refuses is as good as none.
    fn as_understood<'a>(&self, request: &'a ServiceRequest) -> Cow<'a, ServiceRequest> {
        if !self.refuses_token {
            return Cow::Borrowed(request);
        }
        Cow::Owned(ServiceRequest {
            authorization: None,
            ..request.clone()
        })
    }

    fn into_reply(self, mut answer: Answer, now: DateTime<Utc>, latency: Duration) -> Reply {
        if let Some(ahead) = self.clock_ahead {
            answer = answer.with("date", http_date(now + ahead));
        }
        if let Some(kind) = self.content_type {
            answer
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            answer = answer.with("content-type", kind);
        }
        if let Some(length) = self.truncate {
            answer.body.truncate(length);
        }
        Reply {
            answer,
            wait: self.wait + latency,
            delivery: self.delivery.unwrap_or(Delivery::Whole),
        }
    }
}
