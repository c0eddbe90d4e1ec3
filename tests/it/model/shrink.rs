//! Shrinking: a case that failed is made ever more ordinary and smaller, as long as it fails in the same way.

use std::time::{Duration, Instant};

use super::case::{Case, Settings};
use super::judge::{Judgement, try_case};
use super::runs::Reader;

/// For how long simpler cases are tried.
const LONGEST: Duration = Duration::from_secs(20);

/// The simplest case found that comes to the same verdict, and what came of it.
pub(crate) fn simplest(reader: &Reader, case: Case, judgement: Judgement) -> (Case, Judgement) {
    let begun = Instant::now();
    let mut simplest = (case, judgement);
    // Ends when no simpler case fails, or with the time.
    loop {
        let found = simpler(&simplest.0).into_iter().find_map(|case| {
            if begun.elapsed() > LONGEST {
                return None;
            }
            let judgement = try_case(reader, &case);
            (judgement.verdict == simplest.1.verdict).then_some((case, judgement))
        });
        match found {
            Some(found) => simplest = found,
            None => return simplest,
        }
    }
}

/// Cases that are a step simpler, the largest steps first.
fn simpler(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    for index in 0..case.oddities.len() {
        let mut simpler = case.clone();
        simpler.oddities.remove(index);
        found.push(simpler);
    }
    if !case.feed.arrivals.is_empty() {
        let mut simpler = case.clone();
        simpler.feed.arrivals.clear();
        found.push(simpler);
    }
    found.extend(usual_settings(case));
    found.extend(fewer_bursts(case));
    found.extend(plainer_bursts(case));
    found
}

/// With one setting as it usually is.
fn usual_settings(case: &Case) -> Vec<Case> {
    let usual: [fn(&mut Settings); 5] = [
        |settings| settings.concurrency = 1,
        |settings| settings.max_pages = 20,
        |settings| settings.max_retries = 3,
        |settings| settings.lookback_days = 8,
        |settings| settings.port_limit = 1_000,
    ];
    let simpler = usual.into_iter().map(|set| {
        let mut simpler = case.clone();
        set(&mut simpler.settings);
        simpler
    });
    simpler.filter(|simpler| simpler.settings != case.settings).collect()
}

/// Without a half, a quarter, an eighth … of its bursts.
fn fewer_bursts(case: &Case) -> Vec<Case> {
    let (count, mut found) = (case.feed.bursts.len(), Vec::new());
    let mut part = count.div_ceil(2);
    while part > 0 && count > 1 {
        for begin in (0..count).step_by(part) {
            let mut simpler = case.clone();
            simpler.feed.bursts.drain(begin..count.min(begin + part));
            if !simpler.feed.bursts.is_empty() {
                found.push(simpler);
            }
        }
        part /= 2;
    }
    found
}

/// With bursts of half as many records, or at plain times.
fn plainer_bursts(case: &Case) -> Vec<Case> {
    let plainer: [fn(&mut (i64, usize)); 3] = [
        |(_, count)| *count = count.div_ceil(2),
        |(gap, _)| *gap = (*gap).min(60_000),
        |(gap, _)| *gap = 1_000,
    ];
    let simpler = plainer.into_iter().map(|change| {
        let mut simpler = case.clone();
        simpler.feed.bursts.iter_mut().for_each(change);
        simpler
    });
    simpler
        .filter(|simpler| simpler.feed.bursts != case.feed.bursts)
        .collect()
}
