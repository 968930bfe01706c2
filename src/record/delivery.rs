use std::sync::Arc;

use super::MessageId;

/// Where a published record landed, as Kafka's delivery report says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition that the partitioner or the caller chose.
    pub partition: i32,
    /// The record's offset. `None` when the broker did not tell: with `acks=0`, or when an
    /// idempotent retry found the record written already.
    pub offset: Option<i64>,
    /// The record's timestamp in milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// The record's id: the caller's own, or the one that was generated for it.
    pub message_id: MessageId,
    /// How many attempts it took: 1 but for a retry layer. The client's own retries, which keep the
    /// order, are not counted.
    pub attempts: u32,
}

impl Delivery {
    /// A delivery at a place, for fakes and tests: no timestamp, one attempt.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32, offset: i64, id: MessageId) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset: Some(offset),
            timestamp: None,
            message_id: id,
            attempts: 1,
        }
    }
}
