//! What a run does with a stream: where it is collected from, where its lines go, what is done with its old days.

use std::sync::Arc;

use crate::config::{StreamSettings, UpkeepSettings};
use crate::forward::Targets;

/// A stream, and what belongs to it for as long as its settings stay as they are.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) settings: Arc<StreamSettings>,
    /// Where its lines are forwarded to.
    pub(crate) targets: Targets,
    /// What is done with its old days.
    pub(crate) upkeep: Arc<UpkeepSettings>,
}

impl Job {
    /// Creates those of streams that share everything else.
    pub(crate) fn all(streams: &[StreamSettings], targets: &Targets, upkeep: &UpkeepSettings) -> Vec<Self> {
        let upkeep = Arc::new(upkeep.clone());
        let jobs = streams.iter().map(|settings| Self {
            settings: Arc::new(settings.clone()),
            targets: targets.clone(),
            upkeep: Arc::clone(&upkeep),
        });
        jobs.collect()
    }

    /// Returns the settings of its stream.
    pub(crate) fn settings(&self) -> &StreamSettings {
        &self.settings
    }
}
