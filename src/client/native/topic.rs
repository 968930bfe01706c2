//! A topic's handle in librdkafka.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use rdkafka::bindings as rd;

/// `RD_KAFKA_PARTITION_UA`: the partitioner chooses.
pub(super) const ANY_PARTITION: i32 = -1;

/// A topic's handle; valid as long as its producer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic(pub(super) NonNull<rd::rd_kafka_topic_t>);

impl Topic {
    pub(super) fn as_ptr(self) -> *mut rd::rd_kafka_topic_t {
        self.0.as_ptr()
    }
}

// SAFETY: librdkafka's handles may be used by any thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}
