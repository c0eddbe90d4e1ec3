//! A case: a vendor's service with its oddities, and the settings with which it is read.

use std::fmt;

use chrono::{DateTime, Utc};

use super::bounds::Bound;
use super::cap::Cap;
use super::chance::roll;
use super::cost;
use super::faults::Faults;
use super::feed::{Arrival, Damage, Feed, Moment};
use super::numbered::NumberedOddity;
use super::order::Order;
use super::service::{Asking, Model, Service};
use super::tokens::TokenOddity;
use super::vendor::{TimeForm, Vendor};

/// A service and its reader.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) vendor: Vendor,
    pub(crate) feed: Feed,
    pub(crate) settings: Settings,
    pub(crate) oddities: Vec<Oddity>,
    /// What the service does by chance, it does by this.
    pub(crate) seed: u64,
}

/// The settings of the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) max_pages: u32,
    pub(crate) port_limit: usize,
    pub(crate) concurrency: u32,
    pub(crate) lookback_days: u32,
    pub(crate) max_retries: u32,
}

/// What is odd about a service.
#[derive(Clone, Debug)]
pub(crate) enum Oddity {
    Lower(Bound),
    Upper(Bound),
    Order(Order),
    Cap(Cap),
    /// Answers 504 for windows longer than so many milliseconds.
    Widest(i64),
    /// Gives nothing that is further below the upper bound than so many milliseconds, and does not say so.
    Reaching(i64),
    Tokens(TokenOddity),
    Numbered(NumberedOddity),
    Faults(Faults),
    /// Filters and sorts by a time so many milliseconds before the one that it shows.
    FiledEarlier(i64),
    /// Records come late, so long after they happened.
    Late(Vec<Arrival>),
    /// The oldest so many records go at this moment.
    Retention(usize, Moment),
    /// The name of the user is filled in at this moment, in all records.
    Change(Moment),
    /// Records are up to so many bytes large.
    Large(usize),
    /// One record in so many has this damage.
    Damage(Damage, usize),
    Times(TimeForm),
    /// The reader's clock goes so many seconds behind the service's.
    Clock(i64),
}

impl Case {
    /// Whether the same request always has the same answer, but for what comes meanwhile.
    pub(crate) fn is_steady(&self) -> bool {
        let is_steady = |oddity: &Oddity| {
            matches!(
                oddity,
                Oddity::Lower(_) | Oddity::Upper(_) | Oddity::Cap(_) | Oddity::Widest(_) | Oddity::Order(_)
            )
        };
        self.oddities.iter().all(is_steady)
    }

    /// The service, when its clock says that it is `now` as the first run begins.
    pub(crate) fn service(&self, now: DateTime<Utc>) -> Service {
        let records = self.feed.records(now.timestamp_millis(), self.vendor.grain());
        let mut service = Service::ordinary(self.vendor, records, now, self.seed);
        for oddity in &self.oddities {
            oddity.befall(&mut service);
        }
        service
    }

    /// A model of the service; see [`Case::service`].
    pub(crate) fn model(&self, now: DateTime<Utc>, adjust: impl FnOnce(&mut Service)) -> Model {
        let mut service = self.service(now);
        adjust(&mut service);
        let everything = Asking {
            oldest: Some(i64::MIN),
            ..Asking::default()
        };
        let most = cost::bound(cost::need(self, &service, &everything), &everything, 1);
        Model::new(service, 2 * most)
    }

    /// How many seconds the reader's clock goes behind the service's.
    pub(crate) fn clock_behind(&self) -> i64 {
        let clocks = self.oddities.iter().map(|oddity| match oddity {
            Oddity::Clock(behind) => *behind,
            _ => 0,
        });
        clocks.sum()
    }

    /// Whether it has faults that a patient reader does not get around.
    pub(crate) fn is_endless(&self) -> bool {
        let is_endless = |oddity: &Oddity| matches!(oddity, Oddity::Faults(faults) if faults.is_endless);
        self.oddities.iter().any(is_endless)
    }
}

impl Settings {
    /// The variables of the reader that say so.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MAX_PAGES", self.max_pages.to_string()),
            ("PORT_PAGE_LIMIT", self.port_limit.to_string()),
            ("FETCH_CONCURRENCY", self.concurrency.to_string()),
            ("INITIAL_LOOKBACK_DAYS", self.lookback_days.to_string()),
            ("RETRY_DELAY_SECONDS", "0".to_owned()),
            ("MAX_RETRIES", self.max_retries.to_string()),
            ("REQUEST_TIMEOUT_SECONDS", "10".to_owned()),
        ]
    }
}

impl Oddity {
    /// Makes a service odd.
    fn befall(&self, service: &mut Service) {
        let seed = service.seed;
        match self {
            Oddity::Lower(bound) => service.lower = *bound,
            Oddity::Upper(bound) => service.upper = *bound,
            Oddity::Order(order) => service.order = *order,
            Oddity::Cap(cap) => service.cap = *cap,
            Oddity::Widest(widest) => service.widest = Some(*widest),
            Oddity::Reaching(reaching) => service.reaching = Some(*reaching),
            Oddity::Tokens(oddity) => service.tokens = Some(*oddity),
            Oddity::Numbered(oddity) => service.numbered = Some(*oddity),
            Oddity::Faults(faults) => service.faults.push(*faults),
            Oddity::Times(form) => service.times = *form,
            Oddity::Clock(_) => {}
            Oddity::FiledEarlier(by) => service.records.iter_mut().for_each(|record| record.filed_at -= by),
            Oddity::Late(arrivals) => {
                let (bursts, arrivals) = (Vec::new(), arrivals.clone());
                let late = Feed { bursts, arrivals }.records(service.now.timestamp_millis(), service.vendor.grain());
                let first = service.records.len();
                service.records.extend(late.into_iter().map(|mut record| {
                    record.number += first;
                    record
                }));
            }
            Oddity::Retention(count, at) => {
                service.records.sort_by_key(|record| record.shown_at);
                for record in service.records.iter_mut().take(*count) {
                    record.goes = *at;
                    record.is_due = false;
                }
            }
            Oddity::Change(at) => service.records.iter_mut().for_each(|record| record.changes = *at),
            Oddity::Large(most) => {
                for record in &mut service.records {
                    record.padding = roll(seed, &("large", record.number)) as usize % most;
                }
            }
            Oddity::Damage(damage, every) => {
                for record in service
                    .records
                    .iter_mut()
                    .filter(|record| record.number % every == every / 2)
                {
                    record.damage = Some(*damage);
                }
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            max_pages,
            port_limit,
            concurrency,
            lookback_days,
            max_retries,
        } = self.settings;
        write!(
            f,
            "    a service like {} with {} records",
            self.vendor.stream(),
            self.feed.len()
        )?;
        if self.feed.len() < 2_000 {
            write!(f, ": bursts (ms back, records) {:?}", self.feed.bursts)?;
        }
        writeln!(f)?;
        for arrival in &self.feed.arrivals {
            writeln!(f, "    {arrival}")?;
        }
        for oddity in &self.oddities {
            writeln!(f, "    - it {oddity}")?;
        }
        write!(f, "    read with MAX_PAGES={max_pages} ")?;
        if self.vendor == Vendor::Port {
            write!(f, "PORT_PAGE_LIMIT={port_limit} ")?;
        }
        write!(
            f,
            "FETCH_CONCURRENCY={concurrency} MAX_RETRIES={max_retries} INITIAL_LOOKBACK_DAYS={lookback_days}"
        )
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arrival { at, count, age } = self;
        write!(f, "{count} more records come {at}, {age} ms after they happened")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at request {} of run {}", self.request, self.run + 1)
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oddity::Lower(bound) => write!(f, "has a lower bound: it {bound}"),
            Oddity::Upper(bound) => write!(f, "has an upper bound: it {bound}"),
            Oddity::Order(order) => write!(f, "{order}"),
            Oddity::Cap(cap) => write!(f, "{cap}"),
            Oddity::Widest(widest) => write!(f, "answers 504 for more than {widest} ms at a time"),
            Oddity::Reaching(reaching) => write!(f, "gives nothing further than {reaching} ms below the upper bound"),
            Oddity::Tokens(oddity) => write!(f, "{oddity}"),
            Oddity::Numbered(oddity) => write!(f, "{oddity}"),
            Oddity::Faults(faults) => write!(f, "has faults: {faults}"),
            Oddity::FiledEarlier(by) => write!(f, "filters by a time {by} ms before the one that it shows"),
            Oddity::Late(arrivals) => {
                write!(f, "gets records late")?;
                arrivals.iter().try_for_each(|arrival| write!(f, "; {arrival}"))
            }
            Oddity::Retention(count, at) => write!(f, "forgets its oldest {count} records {at}"),
            Oddity::Change(at) => write!(f, "fills in the name of the user {at}"),
            Oddity::Large(most) => write!(f, "has records of up to {most} bytes"),
            Oddity::Damage(damage, every) => write!(f, "has {damage:?} in one record of {every}"),
            Oddity::Times(form) => write!(f, "writes its times in the form {form:?}"),
            Oddity::Clock(behind) => write!(f, "has a clock {behind} s ahead of the reader's"),
        }
    }
}
