//! Committing offsets without blocking, with a result that is seen.
//!
//! rdkafka's `commit` blocks without a time limit (`Sync`) or never tells what came of it
//! (`Async`). This one returns at once; the result arrives in `ConsumerContext::commit_callback`
//! on the thread that polls the consumer, with an error for each partition.
#![allow(unsafe_code)]

use std::ptr;

use rdkafka::{
    TopicPartitionList, bindings as rd,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    types::RDKafkaRespErr,
};

/// Starts a commit of `offsets`, each the next offset to read.
///
/// An error is librdkafka's code; no result follows it.
pub(crate) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), i32> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client is valid as long as `consumer` is borrowed.
    let queue = unsafe { rd::rd_kafka_queue_get_consumer(client) };
    if queue.is_null() {
        return Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_GROUP as i32);
    }
    // SAFETY: client, list and queue are valid; librdkafka copies the list and takes a reference of
    // its own to the queue's inside. Without a callback the result is an event on that queue, which
    // `BaseConsumer::poll` frees; the opaque pointer is never read.
    let result =
        unsafe { rd::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut()) };
    // SAFETY: the handle came from `rd_kafka_queue_get_consumer` and is not used again.
    unsafe { rd::rd_kafka_queue_destroy(queue) };
    match result {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code as i32),
    }
}
