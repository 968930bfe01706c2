//! The headers of a dead letter. All values are UTF-8 text.
//!
//! The names under `__dlq.errors.` are those of the brokers' own dead letters (KIP-1191), the others
//! are this crate's.

use std::str::FromStr;

use crate::record::Headers;

/// The topic in which the record died, or to which it couldn't be published.
pub const TOPIC: &str = "__dlq.errors.topic";
/// Its partition, decimal; missing where it was the partitioner's choice.
pub const PARTITION: &str = "__dlq.errors.partition";
/// Its offset, decimal; missing where it never had one.
pub const OFFSET: &str = "__dlq.errors.offset";
/// The consumer group in which it died, where the layer was told.
pub const GROUP: &str = "__dlq.errors.group";
/// How many attempts were made, decimal.
pub const ATTEMPTS: &str = "__dlq.errors.delivery.count";
/// The error and its causes, at most 1024 bytes.
pub const MESSAGE: &str = "__dlq.errors.message";

/// The class of the error: `retriable` or `non-retriable`.
pub const CLASS: &str = "kafka-tower.dlq.class";
/// What to make of it: `poison`, the record itself is at fault; `failure`, it is not known to be.
pub const DISPOSITION: &str = "kafka-tower.dlq.disposition";
/// The failed attempts, one a line, oldest first: milliseconds since the Unix epoch, class, message.
/// The first attempt and the latest seven.
pub const HISTORY: &str = "kafka-tower.dlq.history";
/// When it failed first, in milliseconds since the Unix epoch.
pub const FIRST_FAILURE: &str = "kafka-tower.dlq.first-failure";
/// When it failed last, in milliseconds since the Unix epoch.
pub const LAST_FAILURE: &str = "kafka-tower.dlq.last-failure";
/// The timestamp of the record before its first death, in milliseconds since the Unix epoch.
pub const ORIGINAL_TIMESTAMP: &str = "kafka-tower.dlq.original-timestamp";
/// How often it has died, decimal.
pub const HOPS: &str = "kafka-tower.dlq.hops";
/// Publishing: `not-persisted`, or `possibly-persisted` where the record may be in its topic all the
/// same.
pub const PERSISTENCE: &str = "kafka-tower.dlq.persistence";
/// `true` where key, payload or headers were left out, for the dead letter would have been too large.
pub const POINTER: &str = "kafka-tower.dlq.pointer";

pub(super) const ALL: [&str; 15] = [
    TOPIC,
    PARTITION,
    OFFSET,
    GROUP,
    ATTEMPTS,
    MESSAGE,
    CLASS,
    DISPOSITION,
    HISTORY,
    FIRST_FAILURE,
    LAST_FAILURE,
    ORIGINAL_TIMESTAMP,
    HOPS,
    PERSISTENCE,
    POINTER,
];

pub(super) fn text<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?).ok()
}

pub(super) fn number<T: FromStr>(headers: &Headers, name: &str) -> Option<T> {
    text(headers, name)?.parse().ok()
}
