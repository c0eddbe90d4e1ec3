//! Sends the newest checkpoint to a Kafka topic after a seal, where the settings say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::{EvidenceSettings, EvidenceTopic};
use crate::evidence::announcement::{Place, Unannounced};
use crate::evidence::folder::Folder;
use crate::forward::kafka::send_one;

/// How long the brokers may take, whatever `KAFKA_TIMEOUT_SECONDS` is: a run waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends the waiting of another thread when it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends the newest checkpoint, if it is not in the topic yet. If it cannot be sent, that is a warning: the next seal sends what is the
/// newest then.
pub(super) async fn announce(settings: &EvidenceSettings) {
    let Some(topic) = settings.topic.clone() else { return };
    let (folder, over) = (Folder::new(&settings.folder), Arc::new(AtomicBool::new(false)));
    let waiting = Waiting(Arc::clone(&over));
    let (server, name) = (topic.kafka.server.clone(), topic.topic.clone());
    let sent = tokio::task::spawn_blocking(move || sent(&folder, &topic, &over)).await;
    drop(waiting);
    // A panic was reported where it happened.
    if let Ok(Err(problem)) = sent {
        tracing::warn!("no checkpoint in the topic {name} of Kafka at {server}, the next seal sends one: {problem}");
    }
}

fn sent(folder: &Folder, of: &EvidenceTopic, over: &AtomicBool) -> Result<(), String> {
    let Some(newest) = Unannounced::newest(folder, &of.topic).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let patience = of.kafka.timeout.min(PATIENCE);
    let sent = send_one(&of.kafka, &of.topic, (&newest.origin, &newest.note), patience, over)?;
    let place = Place {
        topic: of.topic.clone(),
        partition: sent.partition,
        offset: sent.offset,
    };
    newest.keep(folder, &place).map_err(|error| error.to_string())?;
    tracing::info!(
        entries = newest.size,
        topic = place.topic,
        offset = place.offset,
        "sent to Kafka"
    );
    Ok(())
}
