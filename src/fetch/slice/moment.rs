//! A moment that holds more records than an answer, where no bound divides what is left.
//!
//! A larger page may hold all of it. Where the service names next pages, these are followed; since pages behind tokens
//! share nothing, the moment is read until two looks with different page borders agree, or three where pages were short.

use chrono::{DateTime, Utc};

use super::descent::{Descent, Step, same_time};
use crate::fetch::answer::Answer;
use crate::fetch::{FetchError, Fetcher, PageError};
use crate::record::{Anchor, AnchorSet};
use crate::source::{Next, PageRequest};
use crate::window::{TICK, Window, floor_to_millisecond};

/// How often a moment is read at most; a few looks that agree are enough.
const MOST_LOOKS: u32 = 10;

/// How often a page behind the last one is looked at where answers had no records although there were some.
const LOOKS_AT_A_LAST_PAGE: u32 = 4;

/// The most pages of one look.
pub(super) const MOST_PAGES: u32 = 100_000;

/// What one look at a moment brought.
#[derive(Default)]
struct Look {
    /// The records of the moment.
    anchors: AnchorSet,
    /// The answer with an older record; none if the pages ended before.
    below: Option<Answer>,
    /// The oldest record of the last page.
    border: Option<DateTime<Utc>>,
    /// Whether a page had fewer records than were asked for: then one more look has to agree.
    has_short_pages: bool,
    /// The fewest records of a page that named another: with fewer asked for, pages end elsewhere.
    shortest: Option<u32>,
    /// Whether it ended with a full page that named no other.
    is_cut: bool,
}

/// Reads the moment at which the answer ends, and what follows from it.
pub(super) async fn read(fetcher: &Fetcher, descent: &mut Descent, answer: Answer) -> Step {
    // A token that was sent is not sent again.
    let mut begun = Some(&answer);
    if !answer.is_full && answer.next.is_some() {
        if is_surely_last(fetcher, descent, &answer).await {
            return fetcher.learn(|learned| descent.look_for_the_end(answer.into_last(), learned));
        }
        begun = None;
    }
    let (usual, largest) = (fetcher.source().page_size(), fetcher.source().largest_page());
    if answer.next.is_some() || usual == largest {
        return by_tokens(fetcher, descent, &answer, begun).await;
    }
    if descent.size < largest && answer.is_full {
        return descent.enlarge(&answer, largest);
    }
    same_time(answer.oldest().unwrap_or(descent.upper), answer.count)
}

/// Returns whether the page that an answer names is empty, and the last; where answers had no records although there were
/// some, several such pages are looked at. A token that was sent is not sent again.
async fn is_surely_last(fetcher: &Fetcher, descent: &Descent, answer: &Answer) -> bool {
    let mut is_so = is_last(fetcher, descent, answer).await;
    for look in 1..LOOKS_AT_A_LAST_PAGE {
        if !is_so || fetcher.learned().lapses == 0 {
            break;
        }
        fetcher.pause_before_look(look).await;
        let request = descent.request(&fetcher.learned());
        let Ok(page) = fetcher.first_page(&request, false).await else {
            return false;
        };
        let again = Answer::of(&page, &request);
        is_so = again.count == answer.count && is_last(fetcher, descent, &again).await;
    }
    is_so
}

/// Returns whether the page that an answer names is empty, and the last.
async fn is_last(fetcher: &Fetcher, descent: &Descent, answer: &Answer) -> bool {
    let Some(position) = answer.next.clone() else {
        return false;
    };
    let request = PageRequest {
        position,
        ..descent.request(&fetcher.learned())
    };
    let next = fetcher.page(&request, false).await;
    next.is_ok_and(|next| next.records.is_empty() && !matches!(next.next, Next::At(_)))
}

async fn by_tokens(fetcher: &Fetcher, descent: &mut Descent, answer: &Answer, mut begun: Option<&Answer>) -> Step {
    // Where answers reach above their bound, the next one has to begin so much further below.
    let overshoot = fetcher.learned().overshoot;
    let moment = floor_to_millisecond(answer.oldest().unwrap_or(descent.upper) - overshoot);
    // What was given of it before is a part of it.
    let mut known: AnchorSet = descent.anchors_of(answer.oldest()).collect();
    // How many looks brought all that is known, since the last one that brought something new.
    let mut agreed = 0;
    let mut shortest = None;
    for number in 0..MOST_LOOKS {
        if number > 1 {
            fetcher.pause_before_look(number).await;
        }
        let sizes = PageSizes::of(fetcher.source().page_size(), shortest, number);
        let look = match look(fetcher, descent, moment, sizes, begun.take()).await {
            Ok(Some(look)) => look,
            Ok(None) => continue,
            Err(error) => return Step::Fail(error),
        };
        if look.is_cut && known.iter().any(|anchor| !look.anchors.contains(anchor)) {
            // With smaller pages it gave fewer records: what it says of the end is not so.
            return same_time(moment, known.len());
        }
        shortest = shortest.into_iter().chain(look.shortest).min();
        let before = known.len();
        known.extend(look.anchors.iter().copied());
        agreed = match (known.len() == before, known.len() == look.anchors.len()) {
            (true, true) => agreed + 1,
            (false, true) => 1,
            (true, false) => agreed,
            (false, false) => 0,
        };
        if agreed >= if look.has_short_pages { 3 } else { 2 } {
            return behind(fetcher, descent, moment, look.below).await;
        }
    }
    same_time(moment, known.len())
}

/// How much smaller the pages of a few looks are, in parts of 24 of the usual size.
const SMALLER: [u32; 5] = [0, 4, 2, 3, 1];

/// How many records a look asks for: such that the borders of pages are elsewhere in each of a few looks.
#[derive(Clone, Copy)]
pub(super) struct PageSizes {
    /// The first page: shorter than the shortest that came, where pages are shorter than what is asked for.
    pub(super) first: u32,
    pub(super) next: u32,
}

impl PageSizes {
    /// Those of a look of this number; they are not much smaller than usual, since each page costs a request.
    pub(super) fn of(usual: u32, shortest: Option<u32>, look: u32) -> Self {
        let smaller = SMALLER[look as usize % SMALLER.len()];
        let other = |size: u32| (size - (size * smaller).div_ceil(24)).max(1);
        Self {
            first: shortest.map_or(other(usual), |shortest| other(shortest.min(usual))),
            next: other(usual),
        }
    }
}

/// Goes on below a moment that was read.
async fn behind(fetcher: &Fetcher, descent: &mut Descent, moment: DateTime<Utc>, below: Option<Answer>) -> Step {
    let Some(answer) = below else {
        return fetcher.learn(|learned| descent.end_within(moment, learned));
    };
    match has_skipped(fetcher, descent, moment, &answer).await {
        Ok(false) => fetcher.learn(|learned| descent.go_on_behind(answer, learned)),
        Ok(true) => same_time(moment, answer.count),
        Err(error) => Step::Fail(error.into()),
    }
}

/// Returns whether a request for what is below the moment brings records that the tokens have passed over, down to where
/// their last answer ends: then they may have passed over some of the moment too.
async fn has_skipped(
    fetcher: &Fetcher,
    descent: &Descent,
    moment: DateTime<Utc>,
    last: &Answer,
) -> Result<bool, PageError> {
    let learned = fetcher.learned();
    let request = descent.request(&learned);
    let to = moment - TICK;
    let Some(end) = last.oldest().filter(|_| request.window.from < to) else {
        return Ok(false);
    };
    let request = PageRequest {
        window: Window { to, ..request.window },
        size: fetcher.source().page_size(),
        ..request
    };
    let page = fetcher.first_page(&request, false).await?;
    let known: AnchorSet = descent.fetched.records.iter().map(Anchor::of).collect();
    let answer = Answer::of(&page, &request);
    let is_passed = |anchor: &&Anchor| anchor.time > end + learned.depth() && anchor.time < moment;
    Ok(answer
        .anchors()
        .iter()
        .filter(is_passed)
        .any(|anchor| !known.contains(anchor)))
}

/// Follows the tokens once, from the start or behind the answer that has `begun`, to the first page with a record from
/// before the moment. `None` if a page was lost or refused: its token is not sent again, since it may have moved on.
async fn look(
    fetcher: &Fetcher,
    descent: &mut Descent,
    moment: DateTime<Utc>,
    sizes: PageSizes,
    begun: Option<&Answer>,
) -> Result<Option<Look>, FetchError> {
    let mut request = PageRequest {
        size: sizes.first,
        ..descent.request(&fetcher.learned())
    };
    let mut look = Look::default();
    if let Some(answer) = begun {
        look.take(answer, moment);
        match &answer.next {
            Some(position) => request.position = position.clone(),
            None => return Ok(Some(look)),
        }
        request.size = sizes.next;
    }
    for _ in 0..MOST_PAGES {
        let page = match fetcher.page(&request, false).await {
            Ok(page) => page,
            Err(PageError::Lost(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let answer = Answer::of(&page, &request);
        fetcher.learn(|learned| learned.note_page(&answer, look.border));
        descent.fetched.add(page.records, page.originals);
        look.take(&answer, moment);
        if answer
            .oldest()
            .is_some_and(|oldest| oldest < moment - fetcher.learned().depth())
        {
            look.below = Some(answer);
            break;
        }
        match answer.next {
            Some(position) if position != request.position && !descent.fetched.is_too_large() => {
                request.position = position;
                request.size = sizes.next;
            }
            _ => break,
        }
    }
    Ok(Some(look))
}

impl Look {
    fn take(&mut self, answer: &Answer, moment: DateTime<Utc>) {
        let of_moment = answer.anchors().iter().filter(|anchor| anchor.time >= moment);
        self.anchors.extend(of_moment);
        self.border = answer.oldest().or(self.border);
        self.has_short_pages |= !answer.is_full;
        self.shortest = self.shortest.into_iter().chain(answer.short_page()).min();
        self.is_cut = answer.is_full && answer.next.is_none();
    }
}
