//! A moment that holds more records than an answer, where no bound divides what is left.
//!
//! A larger page may hold all of it. Where the service names next pages, these are followed; since pages behind tokens
//! share nothing, the moment is read until two looks with different page borders agree.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::descent::{Descent, Step, same_time};
use crate::fetch::answer::Answer;
use crate::fetch::{FetchError, Fetcher, PageError};
use crate::record::Anchor;
use crate::source::PageRequest;
use crate::window::floor_to_millisecond;

/// How often a moment is read at most; two looks that agree are enough.
const MOST_LOOKS: u32 = 8;

/// The most pages of one look.
pub(super) const MOST_PAGES: u32 = 100_000;

/// What one look at a moment brought.
struct Look {
    /// The records of the moment.
    anchors: HashSet<Anchor>,
    /// The answer with an older record; none if the pages ended before.
    below: Option<Answer>,
}

/// Reads the moment at which the answer ends, and what follows from it.
pub(super) async fn read(fetcher: &Fetcher, descent: &mut Descent, answer: Answer) -> Step {
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

async fn by_tokens(fetcher: &Fetcher, descent: &mut Descent, answer: &Answer) -> Step {
    // Where answers reach above their bound, the next one has to begin so much further below.
    let overshoot = fetcher.learned().overshoot;
    let moment = floor_to_millisecond(answer.oldest().unwrap_or(descent.upper) - overshoot);
    let mut known: Option<HashSet<Anchor>> = None;
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
        let is_agreed = known.as_ref() == Some(&look.anchors);
        known.get_or_insert_default().extend(look.anchors);
        if is_agreed {
            return behind(fetcher, descent, moment, look.below);
        }
    }
    same_time(moment, known.map_or(answer.count, |known| known.len()))
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
/// before the moment. `None` if a page was lost or refused:
/// its token is not sent again, since it may have moved on.
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
    let mut anchors = HashSet::new();
    if let Some(answer) = begun {
        anchors.extend(answer.anchors().iter().filter(|anchor| anchor.time >= moment));
        match &answer.next {
            Some(position) => request.position = position.clone(),
            None => return Ok(Some(Look { anchors, below: None })),
        }
    }
    for _ in 0..MOST_PAGES {
        let page = match fetcher.page(&request, false).await {
            Ok(page) => page,
            Err(PageError::Lost(_)) => return Ok(None),
            Err(PageError::TooWide(error) | PageError::TooLarge(error) | PageError::Fatal(error)) => return Err(error),
        };
        let answer = Answer::of(&page, &request);
        let new = descent.fetched.add(page.records, page.originals).new;
        fetcher.learn(|learned| learned.note_use(new));
        anchors.extend(answer.anchors().iter().filter(|anchor| anchor.time >= moment));
        if answer
            .oldest()
            .is_some_and(|oldest| oldest < moment - fetcher.learned().depth())
        {
            let below = Some(answer);
            return Ok(Some(Look { anchors, below }));
        }
        match answer.next {
            Some(position) if position != request.position && !descent.fetched.is_too_large() => {
                request.position = position;
            }
            _ => break,
        }
    }
    Ok(Some(Look { anchors, below: None }))
}
