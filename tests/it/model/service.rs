//! The model: a service with its records, its habits and its clock, and what it answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, TimeDelta, Utc};

use super::bounds::Bound;
use super::cap::Cap;
use super::chance::roll;
use super::faults::{Fault, Faults, Looks};
use super::feed::{BETWEEN_RUNS, Moment, RUNS, Record};
use super::numbered::{NumberedOddity, Pagination};
use super::order::Order;
use super::tokens::{NextToken, NoToken, Position, TokenOddity};
use super::vendor::{Asked, AskedPage, Paged, Paging, TimeForm, Vendor};

/// What a service is like; the records are those of its whole life.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) vendor: Vendor,
    pub(crate) records: Vec<Record>,
    pub(crate) lower: Bound,
    pub(crate) upper: Bound,
    pub(crate) order: Order,
    pub(crate) cap: Cap,
    /// The longest window that it answers for, in milliseconds.
    pub(crate) widest: Option<i64>,
    /// How far below the upper bound an answer reaches at most, in milliseconds.
    pub(crate) reaching: Option<i64>,
    pub(crate) tokens: Option<TokenOddity>,
    pub(crate) numbered: Option<NumberedOddity>,
    pub(crate) faults: Vec<Faults>,
    pub(crate) times: TimeForm,
    /// What it does by chance, it does by this.
    pub(crate) seed: u64,
    /// When the first run begins, by its own clock.
    pub(crate) now: DateTime<Utc>,
}

/// A service that is being asked.
pub(crate) struct Model {
    pub(crate) service: Service,
    /// After so many requests of a run it answers nothing more: nobody wants to wait for the end of a storm.
    most_requests: usize,
    state: Mutex<State>,
}

/// What a service remembers of its readers.
#[derive(Clone, Debug)]
pub(crate) struct State {
    now: Moment,
    looks: Looks,
    /// Where the scroll that began with this request stands by now.
    scrolls: HashMap<usize, Position>,
    /// What was asked in each run.
    runs: Vec<Asking>,
    /// The records that answers have held which came whole, and in which run first.
    given: BTreeMap<usize, usize>,
}

/// What was asked in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking {
    pub(crate) requests: usize,
    /// Answers with a fault.
    pub(crate) faults: usize,
    /// The oldest time that was asked for, if any was.
    pub(crate) oldest: Option<i64>,
}

/// What a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Page(Vec<u8>),
    Error(u16, Vec<u8>),
    /// The body ends in its middle, with the connection.
    Cut(Vec<u8>),
    /// The connection ends.
    Nothing,
}

/// One page: its records, and what is said of others.
pub(crate) struct Page<'a> {
    pub(crate) records: Vec<&'a Record>,
    paged: Paged,
}

/// The token was refused.
pub(crate) struct RefusedError;

impl Service {
    /// Nothing about it is odd.
    pub(crate) fn ordinary(vendor: Vendor, records: Vec<Record>, now: DateTime<Utc>, seed: u64) -> Self {
        Self {
            vendor,
            records,
            lower: Bound::EXACT,
            upper: Bound::EXACT,
            order: if vendor == Vendor::Mail {
                Order::NewestPageFirst
            } else {
                Order::NewestFirst
            },
            cap: Cap::Asked,
            widest: None,
            reaching: None,
            tokens: None,
            numbered: None,
            faults: Vec::new(),
            times: TimeForm::Usual,
            seed,
            now,
        }
    }

    /// What it has by `now`; a replica that lags does not have the newest so many yet.
    fn view(&self, now: Moment, lag: usize, is_in_any_order: bool) -> Vec<&Record> {
        let mut records: Vec<&Record> = self.records.iter().filter(|record| record.is_there(now)).collect();
        if lag > 0 {
            let mixed = |record: &Record| roll(self.seed, &record.number).cast_signed();
            records.sort_by_key(|record| match record.comes {
                Moment::START if is_in_any_order => (record.comes, record.shown_at, record.number),
                comes if is_in_any_order => (comes, mixed(record), record.number),
                _ => (Moment::START, record.shown_at, record.number),
            });
            records.truncate(records.len().saturating_sub(lag));
        }
        records
    }

    /// What it answers when it has these records.
    pub(crate) fn page<'a>(
        &'a self,
        view: &[&'a Record],
        asked: &Asked,
        state: &mut State,
    ) -> Result<Page<'a>, RefusedError> {
        let mut span: Vec<&Record> = view
            .iter()
            .copied()
            .filter(|record| self.admits(asked, record))
            .collect();
        self.order.sort(&mut span, self.seed);
        match self.vendor.paging() {
            Paging::Tokens => self.token_page(&span, asked, state),
            Paging::None => {
                let salt = roll(self.seed, &(asked.from, asked.to, asked.size));
                let records = self.cut(&span, asked.size, salt);
                let paged = Paged::Nothing;
                Ok(Page { records, paged })
            }
            Paging::Numbers => Ok(self.numbered_page(&span, view.len(), asked, state)),
        }
    }

    fn admits(&self, asked: &Asked, record: &Record) -> bool {
        let is_in_reach = |to: i64| self.reaching.is_none_or(|reaching| record.filed_at > to - reaching);
        asked.to.is_none_or(is_in_reach)
            && self.lower.admits_above(asked.from, record.filed_at)
            && asked.to.is_none_or(|to| self.upper.admits_below(to, record.filed_at))
    }

    /// As many of the first records as an answer holds.
    fn cut<'a>(&self, records: &[&'a Record], asked: usize, salt: u64) -> Vec<&'a Record> {
        let lengths = records.iter().map(|record| self.text(record, false).len());
        let count = self.cap.count(asked, lengths, salt);
        let mut page = records[..count].to_vec();
        self.order.sort_page(&mut page, self.seed);
        page
    }

    fn token_page<'a>(&self, span: &[&'a Record], asked: &Asked, state: &mut State) -> Result<Page<'a>, RefusedError> {
        let (request, is_scroll) = (state.now.request, self.tokens == Some(TokenOddity::MoveAScroll));
        let position = match &asked.page {
            AskedPage::Token(token) => {
                let position = Position::of(token).ok_or(RefusedError)?;
                let moved = state.scrolls.get(&position.given_at).filter(|_| is_scroll);
                moved.copied().unwrap_or(position)
            }
            _ => Position::FIRST,
        };
        let age = request.saturating_sub(position.given_at);
        let is_refused = match self.tokens {
            Some(TokenOddity::ExpireAfter(requests)) => position.page > 0 && age > requests,
            Some(TokenOddity::RefusedPast(offset)) => position.offset > offset,
            _ => false,
        };
        if is_refused {
            return Err(RefusedError);
        }
        let page = position.page + 1;
        let is_emptied = match self.tokens {
            Some(TokenOddity::EmptyPageEvery(every, is_first)) => page % every == usize::from(is_first),
            _ => false,
        };
        let rest = span.get(position.offset..).unwrap_or_default();
        let salt = roll(self.seed, &(asked.from, asked.to, position.offset));
        let records = if is_emptied {
            Vec::new()
        } else {
            self.cut(rest, asked.size, salt)
        };
        let next = Position {
            offset: position.offset + records.len(),
            page,
            given_at: if is_scroll && position.page > 0 {
                position.given_at
            } else {
                request
            },
        };
        if is_scroll {
            state.scrolls.insert(next.given_at, next);
        }
        let is_last = next.offset >= span.len();
        let token = self.next_token(asked, next, is_last, records.is_empty());
        Ok(Page {
            records,
            paged: Paged::Token(token),
        })
    }

    fn next_token(&self, asked: &Asked, next: Position, is_last: bool, is_empty: bool) -> NextToken {
        match (self.tokens, &asked.page) {
            (Some(TokenOddity::LeadToAnEmptyPage), _) if is_last && !is_empty => NextToken::Token(next.token()),
            _ if is_last => NextToken::No(self.vendor.no_token()),
            (Some(TokenOddity::EndAfter(pages, form)), _) if next.page >= pages => NextToken::No(form),
            (Some(TokenOddity::RepeatAfter(pages)), AskedPage::Token(token)) if next.page > pages => {
                NextToken::Token(token.clone())
            }
            _ => NextToken::Token(next.token()),
        }
    }

    fn numbered_page<'a>(&self, span: &[&'a Record], everything: usize, asked: &Asked, state: &State) -> Page<'a> {
        let AskedPage::Number(number) = asked.page else {
            return Page {
                records: Vec::new(),
                paged: Paged::Nothing,
            };
        };
        let size = match self.numbered {
            Some(NumberedOddity::SizeGrows(after, size)) if state.now.request > after => asked.size.min(size),
            _ => self.cap.typical(asked.size, 400),
        };
        let rest = span.get((number - 1).saturating_mul(size)..).unwrap_or_default();
        let mut records: Vec<&Record> = rest.iter().copied().take(size).collect();
        self.order.sort_page(&mut records, self.seed);
        let pagination = Pagination::of(self.numbered, (number, size), (span.len(), everything));
        Page {
            records,
            paged: Paged::Numbers(pagination),
        }
    }

    /// The text of a record.
    fn text(&self, record: &Record, is_changed: bool) -> Vec<u8> {
        self.vendor.record(record, self.times, is_changed)
    }
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            now: Moment::START,
            looks: Looks::default(),
            scrolls: HashMap::new(),
            runs: Vec::new(),
            given: BTreeMap::new(),
        }
    }
}

impl Model {
    pub(crate) fn new(service: Service, most_requests: usize) -> Self {
        Self {
            service,
            most_requests,
            state: Mutex::new(State::new()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A run begins, or begins again: what had not come by then has come now.
    pub(crate) fn begin_run(&self, run: usize) {
        let mut state = self.state();
        state.now = Moment { run, request: 0 };
        state.runs.truncate(run);
        // A run that was killed has kept nothing of what it was given.
        state.given.retain(|_, given| *given < run);
        state.runs.resize(run + 1, Asking::default());
    }

    /// What was asked in each run.
    pub(crate) fn askings(&self) -> Vec<Asking> {
        self.state().runs.clone()
    }

    /// The records that were given, and in which run first.
    pub(crate) fn given(&self) -> BTreeMap<usize, usize> {
        self.state().given.clone()
    }

    /// The service's clock: it goes on by 50 ms with each request.
    pub(crate) fn clock(&self) -> DateTime<Utc> {
        let now = self.state().now;
        let since = now.run as i64 * BETWEEN_RUNS + now.request as i64 * 50;
        self.service.now + TimeDelta::milliseconds(since)
    }

    /// Answers the request with this target.
    pub(crate) fn answer(&self, target: &str) -> Answer {
        let service = &self.service;
        let error = |status, message| Answer::Error(status, service.vendor.error(status, message));
        let Some(asked) = service.vendor.read(target) else {
            return error(400, "not what the documentation says");
        };
        let state = &mut *self.state();
        state.now.request += 1;
        let Some(asking) = state.runs.last_mut() else {
            return error(503, "asked before a run began");
        };
        if asking.requests > self.most_requests + 4 * asking.faults {
            return error(503, "asked too often");
        }
        asking.requests += 1;
        asking.oldest = Some(asking.oldest.map_or(asked.from, |oldest| oldest.min(asked.from)));
        let is_too_wide = |widest| asked.to.is_some_and(|to| to - asked.from > widest);
        if service.widest.is_some_and(is_too_wide) {
            return error(504, "too much at a time");
        }
        let fault = state
            .looks
            .fault(&self.look(&asked, target), &service.faults, service.seed);
        if let (Some(_), Some(asking)) = (fault, state.runs.last_mut()) {
            asking.faults += 1;
        }
        let is_first = matches!(asked.page, AskedPage::First | AskedPage::Number(1));
        // What the newest look of the last run lacks is for a run after it, as what comes late is.
        let is_last_look = state.now.run + 1 == RUNS && self.is_for_the_newest(&asked);
        let lag = match fault {
            _ if is_last_look => 0,
            Some(Fault::Lagging(newest) | Fault::LaggingInAnyOrder(newest)) => newest,
            Some(Fault::LaggingBehindTheFirst(newest)) if !is_first => newest,
            _ => 0,
        };
        let asked = match (fault, &asked.page) {
            (Some(Fault::PageBefore), AskedPage::Number(number @ 2..)) => Asked {
                page: AskedPage::Number(number - 1),
                ..asked
            },
            _ => asked,
        };
        let now = state.now;
        let is_in_any_order = matches!(fault, Some(Fault::LaggingInAnyOrder(_)));
        let mut view = service.view(now, lag, is_in_any_order);
        if let Some(Fault::Holes(one_in)) = fault.filter(|_| !is_last_look) {
            view.retain(|record| !roll(service.seed, &("hole", record.number)).is_multiple_of(one_in));
        }
        match service.page(&view, &asked, state) {
            Ok(mut page) => {
                let stray = roll(service.seed, &("stray", state.now.request)) as usize % view.len().max(1);
                let stray = view.get(stray).filter(|_| fault == Some(Fault::Stray));
                let is_there = |stray: &&&Record| page.records.iter().any(|record| record.number == stray.number);
                page.records.extend(stray.filter(|stray| !is_there(stray)));
                self.with_fault(page, fault, state)
            }
            Err(RefusedError) => error(400, "bad token"),
        }
    }

    /// Whether this looks for the newest records.
    fn is_for_the_newest(&self, asked: &Asked) -> bool {
        let newest = self.service.records.iter().map(|record| record.shown_at).max();
        let is_first = matches!(asked.page, AskedPage::First | AskedPage::Number(1));
        is_first && asked.to.is_none_or(|to| Some(to) >= newest)
    }

    /// What counts as the same look: looks for the newest records are one, however they are asked for.
    fn look(&self, asked: &Asked, target: &str) -> String {
        if self.is_for_the_newest(asked) {
            "the newest".to_owned()
        } else {
            target.to_owned()
        }
    }

    /// What is left of a page when its answer has a fault.
    fn with_fault(&self, mut page: Page<'_>, fault: Option<Fault>, state: &mut State) -> Answer {
        let now = state.now;
        match fault {
            Some(Fault::Lost) => return Answer::Nothing,
            Some(Fault::Status(status)) => {
                return Answer::Error(status, self.service.vendor.error(status, "try again"));
            }
            Some(Fault::HalfThePage) => page.records.truncate(page.records.len().div_ceil(2)),
            Some(Fault::Empty) => {
                page.records.clear();
                page.paged = match page.paged {
                    Paged::Token(_) => Paged::Token(NextToken::No(NoToken::Empty)),
                    Paged::Nothing => Paged::Nothing,
                    Paged::Numbers(pagination) => Paged::Numbers(Pagination::of(None, (pagination.current, 1), (0, 0))),
                };
            }
            _ => {}
        }
        let texts = page
            .records
            .iter()
            .map(|record| self.service.text(record, record.changes <= now));
        let body = self.service.vendor.body(&texts.collect::<Vec<_>>(), &page.paged);
        match fault {
            Some(Fault::CutBody) => Answer::Cut(body),
            _ => {
                for record in &page.records {
                    state.given.entry(record.number).or_insert(now.run);
                }
                Answer::Page(body)
            }
        }
    }

    /// Whether a reader who asks narrowly enough, and often enough, gets this record.
    pub(crate) fn gives(&self, record: &Record) -> bool {
        let now = self.state().now;
        let view = self.service.view(now, 0, false);
        let spans = [
            (0, 0),
            (1, 1),
            (1_000, 1_000),
            (0, 1_000),
            (1_000, 0),
            (2_000, 2_000),
            (60_000, 60_000),
        ];
        let mut around = spans
            .into_iter()
            .map(|(below, above)| (record.filed_at - below, record.filed_at + above));
        around.any(|span| self.gives_within(record, &view, span))
    }

    fn gives_within(&self, record: &Record, view: &[&Record], (from, to): (i64, i64)) -> bool {
        let paging = self.service.vendor.paging();
        let mut asked = Asked {
            from,
            to: (paging != Paging::Numbers).then_some(to),
            size: if paging == Paging::Tokens { 100 } else { 1_000 },
            page: if paging == Paging::Numbers {
                AskedPage::Number(1)
            } else {
                AskedPage::First
            },
        };
        let mut state = State::new();
        for _ in 0..200 {
            state.now.request += 1;
            let Ok(page) = self.service.page(view, &asked, &mut state) else {
                return false;
            };
            if page.records.iter().any(|given| given.number == record.number) {
                return true;
            }
            asked.page = match (page.paged, asked.page) {
                (Paged::Token(NextToken::Token(token)), _) => AskedPage::Token(token),
                (Paged::Numbers(_), AskedPage::Number(number)) if !page.records.is_empty() => {
                    AskedPage::Number(number + 1)
                }
                _ => return false,
            };
        }
        false
    }
}
