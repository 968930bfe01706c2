use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;

#[cfg(feature = "otel")]
use super::process_spans::ProcessSpans;
use super::{
    Extensions, Headers, IntoBytes, Lease,
    chunk::{Chunk, Origin},
};

/// A record received from Kafka.
///
/// Cheap to clone: what Kafka sent is shared between clones, and small records that arrived together
/// share one allocation of some kilobytes.
#[derive(Clone)]
pub struct ConsumerRecord {
    chunk: Arc<Chunk>,
    at: Place,
    offset: i64,
    /// `NO_TIMESTAMP`: none.
    timestamp: i64,
    headers: Headers,
    attempt: u32,
    extensions: Extensions,
}

const NO_TIMESTAMP: i64 = i64::MIN;

/// Where a record's key and payload lie in its chunk; the payload follows the key.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    /// Negative: null.
    key: i32,
    /// Negative: null.
    payload: i32,
}

impl Place {
    fn key(self) -> Option<Range<usize>> {
        let length = usize::try_from(self.key).ok()?;
        Some(self.start()..self.start() + length)
    }

    fn payload(self) -> Option<Range<usize>> {
        let length = usize::try_from(self.payload).ok()?;
        let start = self.start() + usize::try_from(self.key).unwrap_or(0);
        Some(start..start + length)
    }

    fn all(self) -> Range<usize> {
        let length = |length: i32| usize::try_from(length).unwrap_or(0);
        self.start()..self.start() + length(self.key) + length(self.payload)
    }

    fn start(self) -> usize {
        self.start as usize
    }
}

impl ConsumerRecord {
    /// Starts a record of one's own, to test a handler without a broker.
    ///
    /// # Example
    ///
    /// ```
    /// use kafka_tower::ConsumerRecord;
    ///
    /// let record = ConsumerRecord::builder("orders", 0, 7);
    /// let record = record.key("42").payload("{}").header("tenant", "north").build();
    /// assert_eq!(record.offset(), 7);
    /// assert_eq!(record.headers().get("tenant"), Some(&b"north"[..]));
    /// assert_eq!(record.attempt(), 1);
    /// ```
    pub fn builder(
        topic: impl Into<Arc<str>>,
        partition: i32,
        offset: i64,
    ) -> ConsumerRecordBuilder {
        ConsumerRecordBuilder {
            topic: topic.into(),
            partition,
            offset,
            timestamp: None,
            key: None,
            payload: None,
            headers: Headers::new(),
            attempt: 1,
            lease: None,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.chunk.origin.topic
    }

    pub(crate) fn shared_topic(&self) -> &Arc<str> {
        &self.chunk.origin.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.chunk.origin.partition
    }

    /// The offset within the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The timestamp in milliseconds since the Unix epoch; `None` in topics of Kafka's oldest
    /// format.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        Some(self.timestamp).filter(|timestamp| *timestamp != NO_TIMESTAMP)
    }

    /// The key; `None` is a null key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        Some(&self.chunk.bytes[self.at.key()?])
    }

    /// The payload; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        Some(&self.chunk.bytes[self.at.payload()?])
    }

    /// The payload to keep: shared with the record where it is the greater part of its
    /// allocation, else a copy, so that what is kept is no more than what is asked for.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Bytes> {
        Some(self.bytes(self.at.payload()?))
    }

    /// The key to keep; shared or copied as [`payload_bytes`](Self::payload_bytes) is.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        Some(self.bytes(self.at.key()?))
    }

    fn bytes(&self, range: Range<usize>) -> Bytes {
        if range.len() * 2 < self.chunk.bytes.capacity() {
            return Bytes::copy_from_slice(&self.chunk.bytes[range]);
        }
        Bytes::from_owner(Part(Arc::clone(&self.chunk))).slice(range)
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Whether the record's partition is still this consumer's own.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.chunk.origin.lease
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

    #[cfg(feature = "otel")]
    pub(crate) fn process_spans(&self) -> &ProcessSpans {
        &self.chunk.origin.process_spans
    }

    /// A record whose key and payload begin at `start` of its chunk, the one behind the other.
    pub(crate) fn in_chunk(
        chunk: Arc<Chunk>,
        start: usize,
        [key, payload]: [Option<usize>; 2],
        offset: i64,
    ) -> Self {
        // Kafka's own lengths are 32 bits wide.
        let length = |length: Option<usize>| {
            length.map_or(-1, |length| i32::try_from(length).expect("32 bits"))
        };
        Self {
            chunk,
            at: Place {
                start: u32::try_from(start).expect("32 bits"),
                key: length(key),
                payload: length(payload),
            },
            offset,
            timestamp: NO_TIMESTAMP,
            headers: Headers::new(),
            attempt: 1,
            extensions: Extensions::new(),
        }
    }

    pub(crate) fn with_timestamp(mut self, timestamp: Option<i64>) -> Self {
        self.timestamp = timestamp.unwrap_or(NO_TIMESTAMP);
        self
    }

    pub(crate) fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    pub(crate) fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Lets go of the records that it arrived with, for one that is kept for long.
    pub(crate) fn alone(mut self) -> Self {
        let all = self.at.all();
        if all.len() * 2 < self.chunk.bytes.len() {
            let more = self.headers.size_bytes() + size_of::<Self>();
            self.chunk = Arc::new(self.chunk.copy(&self.chunk.bytes[all], more));
            self.at.start = 0;
        }
        self
    }
}

/// A chunk as the owner of `Bytes`.
struct Part(Arc<Chunk>);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Shows sizes in place of key and payload, which may be confidential.
impl fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecord")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp())
            .field("key_bytes", &self.key().map(<[u8]>::len))
            .field("payload_bytes", &self.payload().map(<[u8]>::len))
            .field("headers", &self.headers)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Builds a [`ConsumerRecord`]; made by [`ConsumerRecord::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConsumerRecordBuilder {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    headers: Headers,
    attempt: u32,
    lease: Option<Lease>,
}

impl ConsumerRecordBuilder {
    /// Sets the key; null without.
    pub fn key(mut self, key: impl IntoBytes) -> Self {
        self.key = Some(key.into_bytes());
        self
    }

    /// Sets the payload; null, a tombstone, without.
    pub fn payload(mut self, payload: impl IntoBytes) -> Self {
        self.payload = Some(payload.into_bytes());
        self
    }

    /// Sets the headers; none without.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Adds a header behind those that are there.
    pub fn header(mut self, key: impl IntoBytes, value: impl IntoBytes) -> Self {
        self.headers.append(key, value);
        self
    }

    /// Sets the timestamp in milliseconds since the Unix epoch; `None` without.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// Sets the number of the attempt; 1 without.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets the lease; without, one with the fencing number 0 that is held for ever.
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Builds the record.
    ///
    /// # Panics
    ///
    /// When the key or the payload is 2 GiB or longer, which Kafka allows for no record.
    #[must_use]
    pub fn build(self) -> ConsumerRecord {
        let parts = [&self.key, &self.payload];
        let lengths = parts.map(|part| part.as_ref().map(Bytes::len));
        let bytes = parts.map(|part| part.as_deref().unwrap_or_default());
        let lease = self.lease.unwrap_or_else(|| Lease::new(0));
        let origin = Origin::new(self.topic, self.partition, lease);
        let chunk = Chunk::new(Arc::new(origin), bytes.concat());
        ConsumerRecord::in_chunk(Arc::new(chunk), 0, lengths, self.offset)
            .with_timestamp(self.timestamp)
            .with_headers(self.headers)
            .with_attempt(self.attempt)
    }
}

impl fmt::Debug for ConsumerRecordBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecordBuilder")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record between two others.
    fn neighbour(payload: &[u8]) -> ConsumerRecord {
        let record = ConsumerRecord::builder("t", 0, 7)
            .payload("x".repeat(100))
            .build();
        let origin = Arc::clone(&record.chunk.origin);
        let bytes = [b"before", b"key".as_slice(), payload, &[0; 100]].concat();
        let chunk = Arc::new(Chunk::new(origin, bytes));
        ConsumerRecord::in_chunk(chunk, 6, [Some(3), Some(payload.len())], 7)
    }

    #[test]
    fn key_and_payload_are_found_in_a_chunk() {
        let record = neighbour(b"tea");
        assert_eq!(record.key(), Some(&b"key"[..]));
        assert_eq!(record.payload(), Some(&b"tea"[..]));
        let alone = record.clone().alone();
        assert_eq!(alone.chunk.bytes, b"keytea");
        assert_eq!(
            (alone.key(), alone.payload()),
            (record.key(), record.payload())
        );
        assert_eq!(record.payload_bytes(), Some(Bytes::from_static(b"tea")));
    }

    #[test]
    fn null_is_not_empty() {
        let record = ConsumerRecord::builder("t", 0, 0).payload("").build();
        assert_eq!((record.key(), record.payload()), (None, Some(&b""[..])));
        let record = ConsumerRecord::builder("t", 0, 0).key("").build();
        assert_eq!((record.key(), record.payload()), (Some(&b""[..]), None));
    }

    #[test]
    fn large_payloads_are_shared_and_small_ones_copied() {
        let large = ConsumerRecord::builder("t", 0, 0)
            .payload(vec![1; 1000])
            .build();
        let kept = large.payload_bytes().expect("a payload");
        assert_eq!(kept.as_ptr(), large.payload().expect("a payload").as_ptr());
        let small = neighbour(b"tea");
        let kept = small.payload_bytes().expect("a payload");
        assert_ne!(kept.as_ptr(), small.payload().expect("a payload").as_ptr());
    }
}
