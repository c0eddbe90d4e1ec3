//! What the metrics show of the evidence.

/// Whom entries of the log wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The key on another host.
    Signature,
    Timestamp,
    Kafka,
    /// The witness with this name.
    Cosignature(String),
}

/// How the log of the installation, or of one of its organizations, stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvidenceFigures {
    /// Whose log it is, if there are several.
    pub(crate) organization: Option<&'static str>,
    /// How many entries wait for whom.
    pub(crate) waiting: Vec<(Awaited, u64)>,
    /// Of each witness that is asked, by its name, whether it refuses the log.
    pub(crate) refuses: Vec<(String, bool)>,
    /// Whether the last seal was whole; `None` if that stays as it is known.
    pub(crate) is_sealed: Option<bool>,
}

impl Awaited {
    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Timestamp => "timestamp",
            Self::Kafka => "kafka",
            Self::Cosignature(_) => "cosignature",
        }
    }
}
