//! Sealing at the end of a run, where the settings say so.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::announcing::announce;
use super::witnesses::{self, AskError, Silent};
use crate::config::{EvidenceSettings, StreamPlace, TimestampService};
use crate::evidence::folder::Folder;
use crate::evidence::keeper::{Keeper, KeeperError, Seal};
use crate::evidence::seal::SealOptions;
use crate::evidence::timestamp::Unstamped;
use crate::http::{Http, Post};
use crate::process::exit::Exit;
use crate::process::signals::received;

/// How often it is tried to seal while another process does, and the pause in between: streams that are collected side by side end
/// at the same moment.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// How long a service for time stamps may take.
const STAMP_TIMEOUT: Duration = Duration::from_secs(30);

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
    let silent = match ask_until_ended(&settings, now).await {
        Ok(silent) => silent,
        Err(error) => {
            tracing::error!("not sealed: {error}");
            return Exit::StreamFailed;
        }
    };
    let mut tries = 1;
    loop {
        let (of_log, places) = (settings.clone(), places.clone());
        let sealed = tokio::task::spawn_blocking(move || Keeper::new(&of_log).seal(&places, options)).await;
        match sealed {
            Ok(Err(error)) if error.is_held() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(sealed) => {
                return told(sealed).max(anchor(&settings, &silent, now).await);
            }
            // A panic was reported where it happened.
            Err(_) => return Exit::StreamFailed,
        }
    }
}

/// Asks the witnesses whether they have seen another history, before a command adds anything to the log. A signal ends the command
/// meanwhile, and whenever it comes later.
///
/// # Errors
/// If one of them has, or it cannot be told whom to ask.
pub(super) async fn ask(settings: &EvidenceSettings, now: DateTime<Utc>) -> Result<(), AskError> {
    witnesses::ask(settings, now).await.map(drop)
}

/// Does the same where signals do not end the process by themselves, since something is to be done after it.
///
/// # Errors
/// As `ask`, and if a signal came: what the witnesses would have said is not known, so nothing may be added.
pub(super) async fn ask_until_ended(settings: &EvidenceSettings, now: DateTime<Utc>) -> Result<Silent, AskError> {
    tokio::select! {
        biased;
        exit = received() => Err(AskError::Ended(exit)),
        asked = witnesses::ask(settings, now) => asked,
    }
}

/// Has the newest checkpoint stamped with the time, cosigned and sent to Kafka, as the settings say. A signal ends the waiting for it: the next seal
/// makes up for what is missing.
pub(super) async fn anchor(settings: &EvidenceSettings, silent: &Silent, now: DateTime<Utc>) -> Exit {
    let anchored = async {
        let submitted = witnesses::submit(settings, silent, now);
        let ((), (), submitted) = tokio::join!(stamp(settings), announce(settings), submitted);
        submitted
    };
    let anchored = tokio::select! {
        anchored = anchored => anchored,
        _ = received() => {
            tracing::warn!("not waited for what others say of the checkpoint: the next seal asks again");
            Ok(())
        }
    };
    match anchored {
        Ok(()) => Exit::Complete,
        Err(error) => {
            tracing::error!("{error}");
            Exit::StreamFailed
        }
    }
}

/// Asks for a time stamp of the newest checkpoint, if it has none. One that cannot be had is a warning: the next seal asks again.
async fn stamp(settings: &EvidenceSettings) {
    let Some(service) = &settings.timestamps else { return };
    if let Err(problem) = stamped(&Folder::new(&settings.folder), service).await {
        let host = service.url.host_str().unwrap_or_default();
        tracing::warn!("no time stamp from {host}, the next seal asks again: {problem}");
    }
}

async fn stamped(folder: &Folder, service: &TimestampService) -> Result<(), String> {
    let Some(unstamped) = Unstamped::newest(folder).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let http = Http::to([&service.url], &service.proxies).map_err(|error| error.to_string())?;
    let post = Post {
        url: service.url.clone(),
        content_type: "application/timestamp-query",
        authorization: None,
        channel: None,
        body: unstamped.query(),
    };
    let answer = http
        .with_timeout(STAMP_TIMEOUT)
        .post(post)
        .await
        .map_err(|error| error.to_string())?;
    unstamped
        .keep(folder, &answer.body)
        .map_err(|error| error.to_string())?;
    tracing::info!(entries = unstamped.size, "stamped with the time");
    Ok(())
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
    if seal.waiting > 0 {
        tracing::info!(
            entries = seal.waiting,
            "sealed, and waiting for the key on another host"
        );
    }
    exit
}
