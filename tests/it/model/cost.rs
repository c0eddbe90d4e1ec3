//! Cost: how many requests a walk needs when the service is well, and how many it may take.

use std::collections::HashMap;

use super::case::Case;
use super::service::{Asking, Service};
use super::vendor::Paging;

/// The requests that a run needs: pages that bring records, and one that joins each to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) pages: usize,
    pub(crate) joins: usize,
    /// Pages that are read twice: of a moment that fills more than one, behind tokens.
    pub(crate) twice: usize,
}

/// How many times as many requests as it needs a walk may take.
const TIMES: usize = 4;

/// How many requests each answer with a fault explains: four looks, in case that two more of them have one.
const PER_FAULT: usize = 4;

/// What is not counted one by one in a span: looks for a first page that is small enough, spans without records, a last look.
const FREE: usize = 26;

/// What a run needs that asked for this.
pub(crate) fn need(case: &Case, service: &Service, asking: &Asking) -> Need {
    let Some(oldest) = asking.oldest else {
        return Need {
            pages: 0,
            joins: 0,
            twice: 0,
        };
    };
    let size = match service.vendor.paging() {
        Paging::Tokens => 100,
        Paging::None => case.settings.port_limit,
        Paging::Numbers => 1_000,
    };
    let asked_for = service
        .records
        .iter()
        .filter(|record| record.filed_at + 1_000 >= oldest);
    let (count, bytes) = asked_for.fold((0, 0), |(count, bytes), record| {
        (count + 1, bytes + 400 + record.padding)
    });
    let twice = if service.vendor.paging() == Paging::Tokens {
        read_twice(service, oldest, size)
    } else {
        0
    };
    let length = bytes.checked_div(count).unwrap_or_default();
    let pages = count.div_ceil(service.cap.typical(size, length));
    // Windows that are no longer than it answers for, or than its answers reach, each looked at three times where nothing is in it.
    let windows = service.widest.or(service.reaching).map_or(0, |widest| {
        service.now.timestamp_millis().saturating_sub(oldest) / widest * 3
    });
    Need {
        pages,
        joins: pages + usize::try_from(windows).unwrap_or_default(),
        twice,
    }
}

/// The pages of moments with more records than a page, and one more for each, since no bound divides them: pages behind
/// tokens share nothing, so only other looks with other borders show that none of them was missed: one, or two where a
/// page was not full.
fn read_twice(service: &Service, oldest: i64, size: usize) -> usize {
    let mut moments: HashMap<i64, usize> = HashMap::new();
    for record in service
        .records
        .iter()
        .filter(|record| record.filed_at + 1_000 >= oldest)
    {
        *moments.entry(record.filed_at).or_default() += 1;
    }
    let full = moments.into_values().filter(|count| *count >= size);
    full.map(|count| 2 * (count.div_ceil(size) + 1)).sum()
}

/// The most requests that a run over so many spans may take without being a storm.
pub(crate) fn bound(need: Need, asking: &Asking, spans: usize) -> usize {
    TIMES * (need.pages + need.joins + need.twice) + PER_FAULT * asking.faults + FREE * spans
}

/// The most requests that a run of an ordinary service may take, which is about what it takes today: every page, one more
/// for each cycle of pages, and a few that find out how much there is.
pub(crate) fn ordinary_bound(case: &Case, need: Need, is_first_run: bool) -> usize {
    let cycles = need.pages.div_ceil(case.settings.max_pages as usize);
    // Where nothing older is known, the end of the feed is looked at five times, and short pages of jumbled records twice more.
    let finding = if is_first_run { 18 } else { 12 };
    need.pages + need.pages / 10 + need.twice + cycles + finding
}
