//! Lapses: answers that lack a record which another answer to the same request holds, as those of a replica that lags do.
//!
//! One answer cannot show that it lacks something where nothing is known of what it has to hold. So after a lapse the next
//! answers are asked for several times, until one holds whatever the others do. An answer without records is none: it is
//! asked for again in any case.

use chrono::{DateTime, Utc};

use super::answer::Answer;
use super::{FetchError, Fetcher, PageError, span};
use crate::record::{Anchor, AnchorSet};
use crate::source::{Page, PageRequest};
use crate::window::{Window, bound};

/// How often a doubted answer is asked for, at least: a fault seldom comes three times in a row.
const LOOKS: u32 = 3;

/// How often it is asked for at most.
const MOST_LOOKS: u32 = 9;

/// What several answers to one request hold together.
#[derive(Debug)]
struct Repeated {
    /// What was asked for: what is given with it is for other requests.
    window: Window,
    given: AnchorSet,
    looks: u32,
    has_lapsed: bool,
    was_emptied: bool,
}

impl Repeated {
    fn of(window: Window) -> Self {
        Self {
            window,
            given: AnchorSet::default(),
            looks: 0,
            has_lapsed: false,
            was_emptied: false,
        }
    }

    /// Takes one more answer; returns whether it can be believed, since it holds whatever the others do, as far down as it
    /// reaches.
    fn take(&mut self, answer: &Answer) -> bool {
        self.looks += 1;
        let lacks = self.lacking(answer).is_some();
        let span = self.window.from..=self.window.to;
        let asked_for = answer.anchors().iter().filter(|anchor| span.contains(&anchor.time));
        self.given.extend(asked_for);
        self.has_lapsed |= lacks && answer.count > 0;
        self.was_emptied |= lacks && answer.count == 0;
        !lacks && self.looks >= LOOKS
    }

    /// Returns the time of the newest record that an answer lacks.
    fn lacking(&self, answer: &Answer) -> Option<DateTime<Utc>> {
        let held: AnchorSet = answer.anchors().iter().copied().collect();
        let is_in_reach = |anchor: &&Anchor| answer.oldest().is_none_or(|oldest| anchor.time > oldest);
        let given = self.given.iter().filter(is_in_reach);
        given
            .filter(|anchor| !held.contains(anchor))
            .map(|anchor| anchor.time)
            .max()
    }
}

impl Fetcher {
    /// Fetches the first page of a window that has records; while answers are doubted, again and again until one holds whatever
    /// the others do.
    pub(super) async fn believed_page(&self, request: &PageRequest, can_narrow: bool) -> Result<Page, PageError> {
        let mut page = self.first_page(request, can_narrow).await?;
        // One without records is asked for again in any case.
        if !self.learned().doubts_answers() || page.records.is_empty() {
            return Ok(page);
        }
        let mut repeated = Repeated::of(request.window);
        while !repeated.take(&Answer::of(&page, request)) {
            if repeated.looks >= MOST_LOOKS {
                return Err(PageError::Fatal(self.lapses_on(&repeated, &page, request)));
            }
            self.pause_before_look(repeated.looks.saturating_sub(LOOKS - 1)).await;
            page = self.first_page(request, can_narrow).await?;
        }
        self.learn(|learned| {
            learned.note_repeated(repeated.has_lapsed);
            if repeated.was_emptied {
                learned.note_emptied();
            }
        });
        Ok(page)
    }

    fn lapses_on(&self, repeated: &Repeated, page: &Page, request: &PageRequest) -> FetchError {
        let lacking = repeated.lacking(&Answer::of(page, request));
        FetchError::Contradiction {
            lacks: bound(lacking.unwrap_or(request.window.to)),
            span: span(request.window.from, request.window.to),
            looks: repeated.looks,
        }
    }
}
