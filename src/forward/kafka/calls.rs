//! The calls of a transaction: repeated while they can succeed later, and what their errors mean.

use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::ThreadedProducer;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Context, Session, explain, is_authorization};
use super::cursors::Cursors;
use super::limits::Lesson;
use crate::forward::sink::SinkError;
use crate::process::awake::Stopwatch;

/// The wait before a call that can succeed later is repeated.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a call that can be resumed may block.
pub(super) const SLICE: Duration = Duration::from_millis(500);

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum TransactionError {
    /// It must be aborted and can then be retried.
    Abort(SinkError),
    /// The producer is unusable.
    Renew(SinkError),
    /// The broker has something against lines; this was learnt, and it can be retried.
    Learnt(Lesson),
    /// Only an operator, or time, can help.
    GiveUp(SinkError),
}

impl From<SinkError> for TransactionError {
    fn from(error: SinkError) -> Self {
        TransactionError::GiveUp(error)
    }
}

impl TransactionError {
    pub(super) fn into_error(self) -> SinkError {
        match self {
            TransactionError::Abort(error) | TransactionError::Renew(error) | TransactionError::GiveUp(error) => error,
            TransactionError::Learnt(_) => SinkError::Refused("Kafka has refused lines".into()),
        }
    }
}

/// Makes a call of a transaction, and repeats it while it can succeed later.
///
/// A call that waits returns after [`SLICE`] and goes on when repeated, so that giving up is checked in between.
pub(super) fn call(
    session: &Session,
    id: &str,
    make: impl Fn(&ThreadedProducer<Context>) -> KafkaResult<()>,
) -> Result<(), TransactionError> {
    call_about(None, session, id, make)
}

/// Makes a call that is about the cursor, if there is one.
pub(super) fn call_about(
    cursors: Option<&Cursors>,
    session: &Session,
    id: &str,
    make: impl Fn(&ThreadedProducer<Context>) -> KafkaResult<()>,
) -> Result<(), TransactionError> {
    let begun = Stopwatch::start();
    loop {
        let error = match make(&session.producer) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
        if !is_retriable || session.reports.should_give_up(&begun) {
            return Err(error_of_call(cursors, session, id, &error));
        }
        #[expect(clippy::disallowed_methods, reason = "the thread of the forwarder")]
        thread::sleep(PAUSE);
    }
}

fn error_of_call(cursors: Option<&Cursors>, session: &Session, id: &str, error: &KafkaError) -> TransactionError {
    let fatal = session.fatal();
    let code = error.rdkafka_error_code();
    let forbidden = fatal
        .iter()
        .map(|(code, _)| *code)
        .chain(code)
        .find(|code| is_authorization(*code));
    if let Some(code) = forbidden {
        let refused = cursors.and_then(|cursors| cursors.refused(session.server(), code));
        return TransactionError::GiveUp(refused.unwrap_or_else(|| session.refused(Some(code))));
    }
    if let Some((code, reason)) = &fatal
        && is_fenced(*code)
    {
        return TransactionError::GiveUp(fenced(session, id, reason.clone()));
    }
    if code.is_some_and(is_fenced) {
        return TransactionError::GiveUp(fenced(session, id, explain(error)));
    }
    if let KafkaError::Transaction(native) = error {
        if native.is_fatal() || fatal.is_some() {
            return TransactionError::Renew(SinkError::Refused(explain(error)));
        }
        if native.txn_requires_abort() {
            return TransactionError::Abort(SinkError::Refused(explain(error)));
        }
        if native.is_retriable() {
            return TransactionError::GiveUp(session.refused(None));
        }
        return TransactionError::GiveUp(SinkError::Refused(explain(error)));
    }
    TransactionError::Abort(SinkError::Refused(explain(error)))
}

pub(super) fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
}

/// Returns the error of a session that Kafka has ended: for another program, or since it heard nothing from this one.
pub(super) fn fenced(session: &Session, id: &str, reason: String) -> SinkError {
    let id = id.to_owned();
    let seconds = session.since.not_awake().as_secs();
    if seconds == 0 {
        return SinkError::Fenced { id, reason };
    }
    SinkError::Refused(format!(
        "this process was stopped, or its machine was suspended, for {seconds} s; meanwhile Kafka gave up its transaction, or another \
         program began to forward with the transactional id `{id}`: {reason}"
    ))
}
