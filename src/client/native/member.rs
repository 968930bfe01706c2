//! What a consumer knows without asking a broker.
#![allow(unsafe_code)]

use std::{ffi::CString, ptr};

use rdkafka::{
    bindings as rd,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    types::RDKafkaRespErr,
};

/// The generation of the group (the member's epoch with KIP-848); `None` outside of one.
pub(crate) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<i64> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client is valid while it is borrowed.
    let metadata = unsafe { rd::rd_kafka_consumer_group_metadata(client) };
    if metadata.is_null() {
        return None;
    }
    // SAFETY: the metadata is ours, read once, and freed.
    let generation = unsafe {
        let generation = rd::rd_kafka_consumer_group_metadata_generation_id(metadata);
        rd::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation
    };
    Some(i64::from(generation)).filter(|generation| *generation >= 0)
}

/// The end of a partition as of the last fetch.
pub(crate) fn known_end<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is valid while it is borrowed, the topic's name ends with a NUL, and both
    // offsets are there to be written to. The call doesn't wait.
    let result = unsafe {
        rd::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    let known = result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
    known.then_some(high)
}

/// Whether there is a connection to any broker. Waits a millisecond at the most, which is not enough for
/// the answer to what it asks, but to see whether there is somebody to ask.
pub(crate) fn reaches_a_broker<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let mut metadata = ptr::null();
    // SAFETY: the client is valid while it is borrowed, and the pointer is there to be written to. It is
    // only when there was no error; then the metadata is ours, and freed.
    let result = unsafe {
        let client = consumer.client().native_ptr();
        let result = rd::rd_kafka_metadata(client, 0, ptr::null_mut(), &mut metadata, 1);
        if result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            rd::rd_kafka_metadata_destroy(metadata);
        }
        result
    };
    result != RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT
}
