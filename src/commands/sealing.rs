//! Sealing at the end of a run, where the settings say so.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{EvidenceSettings, StreamPlace};
use crate::evidence::keeper::{Keeper, KeeperError, Seal};
use crate::evidence::seal::SealOptions;
use crate::process::exit::Exit;

/// How often it is tried to seal while another process does, and the pause in between: streams that are collected side by side end
/// at the same moment.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Seals streams after a run, if sealing is on; what is wrong is logged, and makes the exit code 3: what was collected is kept all
/// the same.
pub(super) async fn seal(settings: Option<EvidenceSettings>, places: Vec<StreamPlace>, now: DateTime<Utc>) -> Exit {
    let Some(settings) = settings else {
        return Exit::Complete;
    };
    let options = SealOptions {
        now,
        after: settings.after,
        every: settings.every,
        full: false,
    };
    let mut tries = 1;
    loop {
        let (settings, places) = (settings.clone(), places.clone());
        let sealed = tokio::task::spawn_blocking(move || Keeper::new(&settings).seal(&places, options)).await;
        match sealed {
            Ok(Err(error)) if error.is_held() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(sealed) => return told(sealed),
            // A panic was reported where it happened.
            Err(_) => return Exit::StreamFailed,
        }
    }
}

/// Logs what a seal came to.
fn told(sealed: Result<Seal, KeeperError>) -> Exit {
    let seal = match sealed {
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
