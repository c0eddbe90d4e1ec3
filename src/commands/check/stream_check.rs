//! Checks one stream: its folder, its archive, its service and the clock.

use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::State;
use super::subjects::Subject;
use crate::archive::{Archive, Location, Takeover, try_files, try_out, try_out_state, try_state_files};
use crate::config::{StreamPlace, StreamSettings};
use crate::coverage::{JOURNAL_FILES, PENDING_FILE, Scope, Standing, Wanted};
use crate::env::ConfigErrors;
use crate::fetch::Fetcher;
use crate::forward::{cursor_problems, state_files};
use crate::http::Http;
use crate::http::retry::RetryPolicy;
use crate::output::table::{Cell, to_the_second};
use crate::run::clocks::apart_warning;
use crate::window::Window;

/// How far back one record is asked for. It matters little: a service returns the newest one, or none.
const REACH: TimeDelta = TimeDelta::days(1);

/// The fields are those of `trailkeeper check --json`; `docs/json.md` says what they are.
#[derive(Debug, Serialize)]
pub(super) struct StreamCheck {
    pub(super) stream: &'static str,
    pub(super) state: State,
    pub(super) problems: Vec<String>,
    pub(super) notice: Option<&'static str>,
    pub(super) remarks: Vec<String>,
    folder: Option<PathBuf>,
    newest_file: Option<String>,
    last_record: Option<DateTime<Utc>>,
    address: Option<String>,
    records: Option<usize>,
    newest_record: Option<DateTime<Utc>>,
    milliseconds: Option<u64>,
    clock_skew_seconds: Option<i64>,
    /// Whether it is only forwarded from here.
    #[serde(skip)]
    is_forwarded: bool,
}

impl StreamCheck {
    /// Checks a stream: its settings, its archive, its service and the clock.
    pub(super) async fn run(
        stream: &'static str,
        subject: Result<Subject, ConfigErrors>,
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        let mut check = Self::new(stream);
        match subject {
            Ok(Subject::Forwarded(place)) => check.forwarded(&place, clock()),
            Ok(Subject::Collected(settings)) => {
                check.folder = Some(settings.location.folder().to_owned());
                check.notice = settings.source.notice();
                check.archive(&settings, clock());
                check.service(&settings, clock).await;
            }
            Err(errors) => check.problems.extend(errors.iter().map(ToString::to_string)),
        }
        check.state = State::of(check.problems.is_empty());
        check
    }

    fn new(stream: &'static str) -> Self {
        Self {
            stream,
            state: State::Ok,
            problems: Vec::new(),
            notice: None,
            remarks: Vec::new(),
            folder: None,
            newest_file: None,
            last_record: None,
            address: None,
            records: None,
            newest_record: None,
            milliseconds: None,
            clock_skew_seconds: None,
            is_forwarded: false,
        }
    }

    /// Checks what a forwarder uses.
    fn forwarded(&mut self, place: &StreamPlace, now: DateTime<Utc>) {
        let StreamPlace { kind, location, .. } = place;
        self.is_forwarded = true;
        self.folder = Some(location.folder().to_owned());
        self.notice = Some("no token of any service is set, so it is checked for forwarding alone");
        match location.day_files() {
            Ok(mut files) => self.newest_file = files.pop().and_then(|file| location.day_name(file.date)),
            Err(error) => return self.problem(error),
        }
        match try_out_state(location, now) {
            Ok(()) => {
                let files: Vec<_> = state_files().collect();
                let files = files.iter().map(|(what, used)| (what.as_str(), *used));
                try_state_files(location, files)
                    .into_iter()
                    .for_each(|fault| self.problem(fault));
            }
            Err(error) => self.problem(error),
        }
        cursor_problems(location, kind.name)
            .into_iter()
            .for_each(|problem| self.problem(problem));
        match Archive::last_record(location, kind.shape, now, None) {
            Ok(last) => self.last_record = last,
            Err(error) => self.problem(error),
        }
    }

    /// Checks that a run can use the folder and the files that are there, and what they say.
    fn archive(&mut self, settings: &StreamSettings, now: DateTime<Utc>) {
        let location = &settings.location;
        match location.day_files() {
            Ok(mut files) => self.newest_file = files.pop().and_then(|file| location.day_name(file.date)),
            Err(error) => return self.problem(error),
        }
        match try_out(location, now) {
            Ok(remark) => {
                self.remarks.extend(remark.map(str::to_owned));
                self.files(location, now);
            }
            // Where nothing can be done in a folder, nothing can be with its files either.
            Err(error) => self.problem(error),
        }
        cursor_problems(location, settings.kind.name)
            .into_iter()
            .for_each(|problem| self.problem(problem));
        let mut archive = Archive::dry_run(location.clone(), settings.kind.shape);
        match Standing::read(location, Wanted::Stream(settings.kind.name), settings.keep, now) {
            Ok(standing) => {
                self.standing(&standing, settings, now);
                if !standing.is_begun {
                    archive.know_takeover(Takeover::of(&standing.listing, now));
                }
            }
            Err(error) => self.problem(error),
        }
        match archive.recover(now, settings.limits.overlap) {
            Ok(recovery) => self.last_record = recovery.last,
            Err(error) => self.problem(error),
        }
        archive.unusable().values().for_each(|cause| self.problem(cause));
    }

    /// Tries the files that a run uses.
    fn files(&mut self, location: &Location, now: DateTime<Utc>) {
        let of_forwarding: Vec<_> = state_files().collect();
        let of_forwarding = of_forwarding.iter().map(|(what, used)| (what.as_str(), *used));
        let others = JOURNAL_FILES.into_iter().chain([PENDING_FILE]).chain(of_forwarding);
        match try_files(location, others, now.date_naive()) {
            Ok(faults) => faults.into_iter().for_each(|fault| self.problem(fault)),
            Err(error) => self.problem(error),
        }
    }

    fn standing(&mut self, standing: &Standing, settings: &StreamSettings, now: DateTime<Utc>) {
        for (date, wrong) in standing.wrong_days(now) {
            self.problem(format!("{date}: {wrong}"));
        }
        if let Err(problem) = &standing.holds {
            self.problem(problem);
        }
        if let Some(gone) = standing.gone(&settings.location, settings.keep, now) {
            self.problem(gone);
        }
        let change = standing.change_to(&Scope::of(settings.source.as_ref()));
        self.remarks.extend(change.into_iter().chain(standing.remarks()));
    }

    /// Notes what does not work, once: what is in the place of the folder is found by each who looks for a file in it.
    fn problem(&mut self, problem: impl ToString) {
        let problem = problem.to_string();
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Sends one request for one record, and checks the clock by its answer.
    async fn service(&mut self, settings: &StreamSettings, clock: fn() -> DateTime<Utc>) {
        self.address = Some(settings.source.address().to_string());
        let http = match Http::to([settings.source.address()], &settings.proxies) {
            Ok(http) => http.with_timeout(settings.limits.request_timeout),
            Err(error) => return self.problems.push(error.to_string()),
        };
        // No retries: if only the second attempt works, that is worth knowing here.
        let policy = RetryPolicy {
            max_retries: 0,
            delay: settings.limits.retry_delay,
        };
        let fetcher = Fetcher::new(settings.source.clone(), http, policy);
        let (before, started) = (clock(), Instant::now());
        let probe = fetcher.probe(Window::new(before - REACH, before)).await;
        self.milliseconds = Some(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        match probe {
            Ok(probe) => {
                self.records = Some(probe.records);
                self.newest_record = probe.newest;
                self.problems.extend(probe.unfit.map(|reason| {
                    format!("what it gives cannot be filed ({reason}): update trailkeeper, or tell its maintainers")
                }));
            }
            Err(error) => self.problems.push(error.to_string()),
        }
        if let Some(service) = fetcher.service_clock().at(started) {
            let ahead = service.ahead_of(before);
            self.clock_skew_seconds = Some(-ahead.num_seconds());
            self.problems.extend(apart_warning(ahead, settings.limits.overlap));
        }
    }

    pub(super) fn row(&self) -> [Cell; 6] {
        let newest = match (self.records, self.newest_record) {
            (Some(_), Some(newest)) => to_the_second(newest),
            (Some(0), None) => "none in a day".to_owned(),
            (Some(_), None) => "not readable".to_owned(),
            (None, _) if self.is_forwarded => "not asked".to_owned(),
            (None, _) => "no answer".to_owned(),
        };
        let answer = self.milliseconds.filter(|_| self.records.is_some());
        [
            self.stream.into(),
            self.state.cell(),
            self.last_record.map_or_else(|| "none".to_owned(), to_the_second).into(),
            newest.into(),
            answer
                .map(|milliseconds| format!("{milliseconds}ms"))
                .unwrap_or_default()
                .into(),
            self.clock_skew_seconds
                .map(|seconds| format!("{seconds:+}s"))
                .unwrap_or_default()
                .into(),
        ]
    }
}
