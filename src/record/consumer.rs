use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{Extensions, Headers, IntoBytes};

/// A record received from Kafka.
///
/// Cheap to clone: what Kafka sent is shared between clones.
#[derive(Clone)]
pub struct ConsumerRecord {
    received: Arc<Received>,
    attempt: u32,
    extensions: Extensions,
}

struct Received {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    headers: Headers,
}

impl ConsumerRecord {
    /// Starts a record of one's own, to test a handler without a broker.
    ///
    /// # Example
    ///
    /// ```
    /// use kafka_tower::ConsumerRecord;
    ///
    /// let record = ConsumerRecord::builder("orders", 0, 7).payload("{}").build();
    /// assert_eq!(record.offset(), 7);
    /// assert_eq!(record.attempt(), 1);
    /// ```
    pub fn builder(
        topic: impl Into<Arc<str>>,
        partition: i32,
        offset: i64,
    ) -> ConsumerRecordBuilder {
        ConsumerRecordBuilder {
            received: Received {
                topic: topic.into(),
                partition,
                offset,
                timestamp: None,
                key: None,
                payload: None,
                headers: Headers::new(),
            },
            attempt: 1,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.received.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.received.partition
    }

    /// The offset within the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.received.offset
    }

    /// The timestamp in milliseconds since the Unix epoch; `None` in topics of Kafka's oldest
    /// format.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        self.received.timestamp
    }

    /// The key; `None` is a null key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.received.key.as_deref()
    }

    /// The payload; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.received.payload.as_deref()
    }

    /// The payload to keep: shared with the record, not copied.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Bytes> {
        self.received.payload.clone()
    }

    /// The key to keep: shared with the record, not copied.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.received.key.clone()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.received.headers
    }

    /// Which attempt at this record this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Values that the layers on the way have added.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Values that the layers on the way have added.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    pub(crate) fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }
}

/// Shows sizes in place of key and payload, which may be confidential.
impl fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = &*self.received;
        f.debug_struct("ConsumerRecord")
            .field("topic", &received.topic)
            .field("partition", &received.partition)
            .field("offset", &received.offset)
            .field("timestamp", &received.timestamp)
            .field("key_bytes", &received.key.as_ref().map(Bytes::len))
            .field("payload_bytes", &received.payload.as_ref().map(Bytes::len))
            .field("headers", &received.headers)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Builds a [`ConsumerRecord`]; made by [`ConsumerRecord::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConsumerRecordBuilder {
    received: Received,
    attempt: u32,
}

impl ConsumerRecordBuilder {
    /// Sets the key; null without.
    pub fn key(mut self, key: impl IntoBytes) -> Self {
        self.received.key = Some(key.into_bytes());
        self
    }

    /// Sets the payload; null, a tombstone, without.
    pub fn payload(mut self, payload: impl IntoBytes) -> Self {
        self.received.payload = Some(payload.into_bytes());
        self
    }

    /// Sets the headers; none without.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.received.headers = headers;
        self
    }

    /// Sets the timestamp in milliseconds since the Unix epoch; `None` without.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.received.timestamp = Some(milliseconds);
        self
    }

    /// Sets the number of the attempt; 1 without.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Builds the record.
    #[must_use]
    pub fn build(self) -> ConsumerRecord {
        ConsumerRecord {
            received: Arc::new(self.received),
            attempt: self.attempt,
            extensions: Extensions::new(),
        }
    }
}

impl fmt::Debug for ConsumerRecordBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecordBuilder")
            .field("topic", &self.received.topic)
            .field("partition", &self.received.partition)
            .field("offset", &self.received.offset)
            .finish_non_exhaustive()
    }
}
