//! Sealing at the end of a run, where the settings say so.

use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{EvidenceSettings, StreamPlace};
use crate::evidence::keeper::{Keeper, KeeperError, Seal};
use crate::evidence::seal::SealOptions;
use crate::process::exit::Exit;

/// How often it is tried to seal while another process does, and the pause in between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Seals streams after a run, if sealing is on; what is wrong is logged, and makes the exit code 3: what was collected is kept all
/// the same.
pub(super) async fn seal(settings: Option<EvidenceSettings>, places: Vec<StreamPlace>, now: DateTime<Utc>) -> Exit {
    let Some(settings) = settings else {
        return Exit::Complete;
    };
    let sealed = tokio::task::spawn_blocking(move || seal_now(&settings, &places, now)).await;
    // A panic was reported where it happened.
    sealed.unwrap_or(Exit::StreamFailed)
}

fn seal_now(settings: &EvidenceSettings, places: &[StreamPlace], now: DateTime<Utc>) -> Exit {
    let options = SealOptions {
        now,
        after: settings.after,
        every: settings.every,
        full: false,
    };
    let seal = match seal_when_free(settings, places, options) {
        Ok(seal) => seal,
        Err(error) => {
            tracing::error!("not sealed: {error}");
            return Exit::StreamFailed;
        }
    };
    let mut exit = Exit::Complete;
    for (stream, sealed) in &seal.streams {
        for problem in &sealed.problems {
            tracing::error!(stream, "not sealed: {problem}");
            exit = Exit::StreamFailed;
        }
        let entries = sealed.entries.len();
        if entries > 0 {
            tracing::info!(stream, entries, "sealed");
        }
    }
    exit
}

/// Seals once nobody else does, or after a few tries: streams that are collected side by side end at the same moment.
fn seal_when_free(
    settings: &EvidenceSettings,
    places: &[StreamPlace],
    options: SealOptions,
) -> Result<Seal, KeeperError> {
    for _ in 1..TRIES {
        match Keeper::new(settings).seal(places, options) {
            Err(error) if error.is_held() => thread::sleep(PAUSE),
            sealed => return sealed,
        }
    }
    Keeper::new(settings).seal(places, options)
}
