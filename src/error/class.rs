use std::fmt;

/// What an error means for the record at hand: try again, give up on the record, wait, or stop.
///
/// Every decision that a layer or the consumer takes about a failure rests on this class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A later attempt may succeed.
    Retriable,
    /// This record can never succeed unchanged; others may.
    NonRetriable,
    /// Nothing is wrong with the record, but it can't be handled now: a queue is full, a circuit
    /// is open, a dependency is down. Such a record is never dead-lettered. Consuming, it waits for as
    /// long as it takes, which counts as no attempt; publishing, attempts are counted, since a caller
    /// waits.
    Unavailable,
    /// This client can never succeed: wrong credentials, missing rights, a fenced identity.
    Fatal,
}

impl fmt::Display for ErrorClass {
    /// The class in small letters: `retriable`, `non-retriable`, `unavailable`, `fatal`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retriable => "retriable",
            Self::NonRetriable => "non-retriable",
            Self::Unavailable => "unavailable",
            Self::Fatal => "fatal",
        })
    }
}

/// Whether Kafka may have written a record whose publishing failed.
///
/// It is librdkafka's own word (`rd_kafka_message_status`), never a guess from the error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Persistence {
    /// The record was surely not written: sending it again can't duplicate it.
    NotPersisted,
    /// The record may have been written: sending it again may duplicate it.
    PossiblyPersisted,
}
