//! How a log stands: how many of its entries wait for somebody else, be it the key on another host or an anchor.

use super::anchors::anchors_of;
use super::announcement::announced;
use super::checkpoint::Checkpoint;
use super::folder::Folder;
use super::note::VerifierKey;
use super::policy::Policy;
use super::refusal::Refusal;
use crate::fs::FileError;

/// How many entries there are, and how many of them wait. Nothing of it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Those that are sealed, signed or not.
    pub(crate) entries: u64,
    /// Those behind the newest checkpoint, which wait for the key on another host.
    pub(crate) unsigned: u64,
    /// Those behind the newest time stamp, if somebody is asked for one.
    pub(crate) unstamped: Option<u64>,
    /// Those behind the newest checkpoint that was sent to a topic, if any is.
    pub(crate) unsent: Option<u64>,
    /// Of each witness with an address, by its name, those behind what it has cosigned last.
    pub(crate) uncosigned: Vec<(String, u64)>,
    /// Those of these witnesses that refuse the log.
    pub(crate) refused: Vec<Refusal>,
}

/// Who is asked about a log besides its key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Others<'a> {
    /// Whether a service is asked for time stamps.
    pub(crate) timestamps: bool,
    /// Who names the witnesses.
    pub(crate) policy: Option<&'a Policy>,
    /// The topic that checkpoints are sent to.
    pub(crate) topic: Option<&'a str>,
}

impl Standing {
    /// Reads how the log of a folder stands with others; `None` if there is no log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Folder, others: Others<'_>) -> Result<Option<Self>, FileError> {
        let Others { policy, topic, .. } = others;
        let Some(content) = folder.read()? else {
            return Ok(None);
        };
        let signed = Checkpoint::unverified(&content.checkpoint).map_or(0, |checkpoint| checkpoint.size);
        let entries = signed + content.waiting_behind(signed);
        let stamped = folder.timestamps()?.last().map_or(0, |stamp| stamp.size);
        let sent = announced(folder)?;
        let sent = sent.iter().rev().find(|sent| Some(sent.place.topic.as_str()) == topic);
        let anchors = policy.map(|policy| {
            let of_note = |(_, text): &(String, String)| anchors_of(text, policy.quorum());
            content.anchors.iter().flat_map(of_note).collect::<Vec<_>>()
        });
        let anchors = anchors.unwrap_or_default();
        let asked = policy.into_iter().flat_map(|policy| policy.quorum().addresses());
        let asked: Vec<_> = asked.map(|(key, _)| key).collect();
        let uncosigned = asked.iter().map(|key| {
            let own = anchors.iter().filter(|anchor| anchor.key == key.to_string());
            let cosigned = own.map(|anchor| anchor.size).max().unwrap_or(0);
            (key.name().to_owned(), entries.saturating_sub(cosigned))
        });
        Ok(Some(Self {
            entries,
            unsigned: entries - signed,
            unstamped: others.timestamps.then(|| entries.saturating_sub(stamped)),
            unsent: topic.map(|_| entries.saturating_sub(sent.map_or(0, |sent| sent.size))),
            uncosigned: uncosigned.collect(),
            refused: refused(folder, &asked)?,
        }))
    }
}

fn refused(folder: &Folder, witnesses: &[&VerifierKey]) -> Result<Vec<Refusal>, FileError> {
    let read = witnesses.iter().map(|witness| Refusal::read(folder, witness));
    read.filter_map(Result::transpose).collect()
}
