//! What errors of lines mean: for the lines, for the producer, or for the run.

use rdkafka::types::RDKafkaErrorCode;

use super::reports::Failure;

/// Codes about the size of a batch.
pub(super) const SIZE_CODES: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::MessageSizeTooLarge,
    RDKafkaErrorCode::MessageBatchTooLarge,
    RDKafkaErrorCode::InvalidMessageSize,
];

/// Codes that can only be about a line itself.
pub(super) const LINE_CODES: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::InvalidTimestamp,
    RDKafkaErrorCode::InvalidRecord,
    RDKafkaErrorCode::InvalidMessage,
];

/// Codes about the producer, not about the lines.
const PRODUCER_CODES: [RDKafkaErrorCode; 13] = [
    RDKafkaErrorCode::DuplicateSequenceNumber,
    RDKafkaErrorCode::Fatal,
    RDKafkaErrorCode::GaplessGuarantee,
    RDKafkaErrorCode::Inconsistent,
    RDKafkaErrorCode::InvalidDifferentRecord,
    RDKafkaErrorCode::InvalidProducerEpoch,
    RDKafkaErrorCode::InvalidProducerIdMapping,
    RDKafkaErrorCode::InvalidTransactionalState,
    RDKafkaErrorCode::OutOfOrderSequenceNumber,
    RDKafkaErrorCode::PurgeInflight,
    RDKafkaErrorCode::PurgeQueue,
    RDKafkaErrorCode::State,
    RDKafkaErrorCode::UnknownProducerId,
];

/// Codes of a broker about its own state, the topic or the user. Those of the client, which are negative, are of this kind too.
const CIRCUMSTANCES: [RDKafkaErrorCode; 33] = [
    RDKafkaErrorCode::UnknownTopicOrPartition,
    RDKafkaErrorCode::LeaderNotAvailable,
    RDKafkaErrorCode::NotLeaderForPartition,
    RDKafkaErrorCode::RequestTimedOut,
    RDKafkaErrorCode::BrokerNotAvailable,
    RDKafkaErrorCode::ReplicaNotAvailable,
    RDKafkaErrorCode::NetworkException,
    RDKafkaErrorCode::CoordinatorLoadInProgress,
    RDKafkaErrorCode::CoordinatorNotAvailable,
    RDKafkaErrorCode::NotCoordinator,
    RDKafkaErrorCode::InvalidTopic,
    RDKafkaErrorCode::NotEnoughReplicas,
    RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
    RDKafkaErrorCode::InvalidRequiredAcks,
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::GroupAuthorizationFailed,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
    RDKafkaErrorCode::TransactionalIdAuthorizationFailed,
    RDKafkaErrorCode::UnsupportedSASLMechanism,
    RDKafkaErrorCode::IllegalSASLState,
    RDKafkaErrorCode::SaslAuthenticationFailed,
    RDKafkaErrorCode::UnsupportedVersion,
    RDKafkaErrorCode::ConcurrentTransactions,
    RDKafkaErrorCode::TransactionCoordinatorFenced,
    RDKafkaErrorCode::SecurityDisabled,
    RDKafkaErrorCode::KafkaStorageError,
    RDKafkaErrorCode::LogDirNotFound,
    RDKafkaErrorCode::ReassignmentInProgress,
    RDKafkaErrorCode::FencedLeaderEpoch,
    RDKafkaErrorCode::UnknownLeaderEpoch,
    RDKafkaErrorCode::UnsupportedCompressionType,
    RDKafkaErrorCode::ThrottlingQuotaExceeded,
    RDKafkaErrorCode::ProducerFenced,
];

/// What to do about lines that were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The broker has something against lines: learn from it, and send again.
    Learn,
    /// The producer is unusable: create another.
    Renew,
    /// Only an operator, or time, can help.
    GiveUp(RDKafkaErrorCode),
}

/// Returns what these failures mean: what is said about lines comes first, then about the topic, then about the producer.
pub(super) fn verdict(failures: &[Failure]) -> Verdict {
    if failures.iter().any(|failure| is_about_lines(failure.code)) {
        return Verdict::Learn;
    }
    match failures.iter().find(|failure| !PRODUCER_CODES.contains(&failure.code)) {
        Some(failure) => Verdict::GiveUp(failure.code),
        None => Verdict::Renew,
    }
}

/// Whether a code is about lines, known or not.
pub(super) fn is_about_lines(code: RDKafkaErrorCode) -> bool {
    let is_of_broker = code == RDKafkaErrorCode::Unknown || code as i32 > 0;
    is_of_broker && !PRODUCER_CODES.contains(&code) && !CIRCUMSTANCES.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::{
        Fatal, InvalidDifferentRecord, InvalidRecord, MessageSizeTooLarge, OutOfOrderSequenceNumber, PolicyViolation,
        TopicAuthorizationFailed,
    };

    #[test]
    fn errors_of_lines_come_before_those_of_the_producer_whatever_they_are_called() {
        let failures = |codes: &[RDKafkaErrorCode]| -> Vec<Failure> {
            let numbered = codes.iter().enumerate();
            numbered.map(|(number, code)| Failure { number, code: *code }).collect()
        };
        for (codes, expected) in [
            (&[OutOfOrderSequenceNumber, Fatal][..], Verdict::Renew),
            (
                &[Fatal, TopicAuthorizationFailed],
                Verdict::GiveUp(TopicAuthorizationFailed),
            ),
            (&[MessageSizeTooLarge, Fatal, TopicAuthorizationFailed], Verdict::Learn),
            (&[Fatal, PolicyViolation], Verdict::Learn),
            (&[InvalidDifferentRecord, InvalidRecord], Verdict::Learn),
        ] {
            assert_eq!(verdict(&failures(codes)), expected);
        }
    }
}
