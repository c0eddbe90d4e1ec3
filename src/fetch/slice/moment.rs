//! A moment that holds more records than an answer, where no bound divides what is left.
//!
//! A larger page may hold all of it. Where the service names next pages, these are followed; since pages behind tokens
//! share nothing, the moment is read until two looks with different page borders agree, or three where pages were short.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::descent::{Descent, Step, same_time};
use crate::fetch::answer::Answer;
use crate::fetch::{FetchError, Fetcher, PageError};
use crate::record::Anchor;
use crate::source::{Next, PageRequest};
use crate::window::floor_to_millisecond;

/// How often a moment is read at most; a few looks that agree are enough.
const MOST_LOOKS: u32 = 8;

/// The most pages of one look.
pub(super) const MOST_PAGES: u32 = 100_000;

/// What one look at a moment brought.
#[derive(Default)]
struct Look {
    /// The records of the moment.
    anchors: HashSet<Anchor>,
    /// The answer with an older record; none if the pages ended before.
    below: Option<Answer>,
    /// Whether a page had fewer records than were asked for: then one more look has to agree.
    has_short_pages: bool,
}

/// Reads the moment at which the answer ends, and what follows from it.
pub(super) async fn read(fetcher: &Fetcher, descent: &mut Descent, answer: Answer) -> Step {
    if let Some(answer) = last_page(fetcher, descent, &answer).await {
        return fetcher.learn(|learned| descent.look_for_the_end(answer, learned));
    }
    let (usual, largest) = (fetcher.source().page_size(), fetcher.source().largest_page());
    if answer.next.is_some() || usual == largest {
        return by_tokens(fetcher, descent, &answer).await;
    }
    if descent.size < largest && answer.is_full {
        descent.size = descent.size.saturating_mul(2).min(largest);
        return Step::Ask;
    }
    same_time(answer.oldest().unwrap_or(descent.upper), answer.count)
}

/// Returns an answer that names a next page, and is not full, as the last one, if that page is empty and the last.
async fn last_page(fetcher: &Fetcher, descent: &Descent, answer: &Answer) -> Option<Answer> {
    let position = answer.next.clone().filter(|_| !answer.is_full)?;
    let request = PageRequest {
        position,
        ..descent.request(&fetcher.learned())
    };
    let next = fetcher.page(&request, false).await.ok()?;
    let is_end = next.records.is_empty() && !matches!(next.next, Next::At(_));
    is_end.then(|| answer.clone().into_last())
}

async fn by_tokens(fetcher: &Fetcher, descent: &mut Descent, answer: &Answer) -> Step {
    // Where answers reach above their bound, the next one has to begin so much further below.
    let overshoot = fetcher.learned().overshoot;
    let moment = floor_to_millisecond(answer.oldest().unwrap_or(descent.upper) - overshoot);
    let mut known = HashSet::new();
    // How many looks in a row brought all that is known.
    let mut agreed = 0;
    for number in 0..MOST_LOOKS {
        if number > 1 {
            fetcher.pause_before_look(number).await;
        }
        let begun = (number == 0).then_some(answer);
        let look = match look(fetcher, descent, moment, number, begun).await {
            Ok(Some(look)) => look,
            Ok(None) => continue,
            Err(error) => return Step::Fail(error),
        };
        let before = known.len();
        known.extend(look.anchors.iter().copied());
        agreed = match (known.len() == before, known.len() == look.anchors.len()) {
            (true, true) => agreed + 1,
            (false, true) => 1,
            (_, false) => 0,
        };
        if agreed >= if look.has_short_pages { 3 } else { 2 } {
            return behind(fetcher, descent, moment, look.below);
        }
    }
    same_time(moment, known.len())
}

/// Returns a page size that puts the borders of pages elsewhere in each of a few looks.
pub(super) fn other_border(usual: u32, look: u32) -> u32 {
    (usual - usual / 6 * (look % 5)).max(1)
}

/// Goes on below a moment that was read.
fn behind(fetcher: &Fetcher, descent: &mut Descent, moment: DateTime<Utc>, below: Option<Answer>) -> Step {
    match below {
        Some(answer) => fetcher.learn(|learned| descent.go_on_behind(answer, learned)),
        None => fetcher.learn(|learned| descent.end_within(moment, learned)),
    }
}

/// Follows the tokens once, from the start or behind the answer that has `begun`, to the first page with a record from
/// before the moment. `None` if a page was lost or refused: its token is not sent again, since it may have moved on.
async fn look(
    fetcher: &Fetcher,
    descent: &mut Descent,
    moment: DateTime<Utc>,
    number: u32,
    begun: Option<&Answer>,
) -> Result<Option<Look>, FetchError> {
    let mut request = PageRequest {
        size: other_border(fetcher.source().page_size(), number),
        ..descent.request(&fetcher.learned())
    };
    let mut look = Look::default();
    if let Some(answer) = begun {
        look.take(answer, moment);
        match &answer.next {
            Some(position) => request.position = position.clone(),
            None => return Ok(Some(look)),
        }
    }
    for _ in 0..MOST_PAGES {
        let page = match fetcher.page(&request, false).await {
            Ok(page) => page,
            Err(PageError::Lost(_)) => return Ok(None),
            Err(PageError::TooWide(error) | PageError::TooLarge(error) | PageError::Fatal(error)) => return Err(error),
        };
        let answer = Answer::of(&page, &request);
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
        self.has_short_pages |= !answer.is_full;
    }
}
