use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{Extensions, Headers, IntoBytes, MessageId, OnRetry};

/// A record to be published.
///
/// Cheap to clone: its parts are shared. What is wrong with it (an illegal topic name, a partition
/// that doesn't exist, a size over the limit) is found when it is published, and the error gives
/// it back.
///
/// # Example
///
/// ```
/// use kafka_tower::ProducerRecord;
///
/// let record = ProducerRecord::to("orders")
///     .key("42")
///     .payload(r#"{"id":42}"#)
///     .header("content-type", "application/json");
/// assert_eq!(record.key.as_deref(), Some(&b"42"[..]));
/// ```
#[derive(Clone)]
#[non_exhaustive]
#[must_use = "a record does nothing until it is published"]
pub struct ProducerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The key; it decides the partition unless one is set. `None` is a null key.
    pub key: Option<Bytes>,
    /// The payload. `None` is a tombstone: in a compacted topic it deletes the key.
    pub payload: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
    /// The partition; `None` leaves it to the partitioner.
    pub partition: Option<i32>,
    /// Milliseconds since the Unix epoch, 1 or more; `None` is the time of publishing. 0 is
    /// refused, since librdkafka would read it as "now".
    pub timestamp: Option<i64>,
    /// The identity; `None` lets the publisher generate one.
    pub message_id: Option<MessageId>,
    /// Values for the layers on the way; never sent.
    pub extensions: Extensions,
    /// Not among the extensions: those cost allocations.
    pub(crate) on_retry: Option<OnRetry>,
}

impl ProducerRecord {
    /// A record for `topic` with null key and null payload.
    ///
    /// An `Arc<str>` is shared, a `&str` is copied.
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            key: None,
            payload: None,
            headers: Headers::new(),
            partition: None,
            timestamp: None,
            message_id: None,
            extensions: Extensions::new(),
            on_retry: None,
        }
    }

    /// Sets the key.
    pub fn key(mut self, key: impl IntoBytes) -> Self {
        self.key = Some(key.into_bytes());
        self
    }

    /// Sets the payload.
    pub fn payload(mut self, payload: impl IntoBytes) -> Self {
        self.payload = Some(payload.into_bytes());
        self
    }

    /// Sets the payload to `value` as JSON.
    ///
    /// # Errors
    ///
    /// Where `value` can't be written as JSON: a map whose keys aren't strings, a failing
    /// `Serialize`.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|json| self.payload(json))
    }

    /// Makes the record a tombstone: a null payload.
    pub fn tombstone(mut self) -> Self {
        self.payload = None;
        self
    }

    /// Adds a header behind those that are there.
    pub fn header(mut self, key: impl IntoBytes, value: impl IntoBytes) -> Self {
        self.headers.append(key, value);
        self
    }

    /// Sets the partition.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp in milliseconds since the Unix epoch.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// Sets the identity.
    pub fn message_id(mut self, id: impl Into<MessageId>) -> Self {
        self.message_id = Some(id.into());
        self
    }

    /// Adds a value for the layers on the way.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Bytes of key, payload and headers: what counts towards the publisher's byte limit.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.key) + length(&self.payload) + self.headers.size_bytes()
    }
}

/// Shows sizes in place of key and payload, which may be confidential.
impl fmt::Debug for ProducerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerRecord")
            .field("topic", &self.topic)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("payload_bytes", &self.payload.as_ref().map(Bytes::len))
            .field("headers", &self.headers)
            .field("partition", &self.partition)
            .field("timestamp", &self.timestamp)
            .field("message_id", &self.message_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_key_nor_payload() {
        let record = ProducerRecord::to("t").key("secret-key").payload("secret");
        let shown = format!("{record:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("payload_bytes: Some(6)"), "{shown}");
    }

    #[test]
    fn its_size_counts_key_payload_and_headers() {
        let record = ProducerRecord::to("t")
            .key("12")
            .payload("345")
            .header("6", "78");
        assert_eq!(record.size_bytes(), 8);
        assert_eq!(record.tombstone().size_bytes(), 5);
    }

    #[test]
    #[cfg(feature = "json")]
    fn json_that_cannot_be_written_is_an_error() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(ProducerRecord::to("t").json(&map).is_err());
        let record = ProducerRecord::to("t").json(&[1, 2]).unwrap();
        assert_eq!(record.payload.as_deref(), Some(&b"[1,2]"[..]));
    }
}
