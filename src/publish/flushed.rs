use crate::{error::PublishError, record::ProducerRecord};

/// What a `flush` or a `close` came to.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "it holds the records that were not delivered"]
pub struct Flushed {
    /// How many records were delivered while it ran.
    pub delivered: u64,
    /// The deliveries that failed while it ran, with their records. Who awaits their futures gets
    /// the same errors.
    pub failed: Vec<PublishError>,
    /// The records that were still on their way at the deadline. After a `flush` they may yet be
    /// delivered. After a `close` they were given up: their futures say of each whether Kafka may
    /// have written it.
    pub undelivered: Vec<ProducerRecord>,
}
