//! Committing offsets without blocking, with a result that is seen, and reading them back.
//!
//! rdkafka's `commit` blocks without a time limit (`Sync`) or never tells what came of it
//! (`Async`). This one returns at once; the result arrives in `ConsumerContext::commit_callback`
//! on the thread that polls the consumer, with an error for each partition.
#![allow(unsafe_code)]

use std::{ptr, slice, time::Duration};

use rdkafka::{
    TopicPartitionList, bindings as rd,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
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

/// What a group has committed for a partition.
pub(crate) struct Committed {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: Vec<u8>,
}

/// Asks the group's coordinator what is committed for these partitions; those without an offset
/// are left out. Blocks, for `limit` at the most.
pub(crate) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: TopicPartitionList,
    limit: Duration,
) -> Result<Vec<Committed>, KafkaError> {
    let list = consumer.committed_offsets(partitions, limit)?;
    let count = list.count();
    // SAFETY: the list is valid, with `count` elements, and lives to the end of this function.
    let metadata = unsafe { slice::from_raw_parts((*list.ptr()).elems, count) }
        .iter()
        .map(|element| match element.metadata.is_null() {
            true => Vec::new(),
            // SAFETY: metadata that isn't null has as many bytes as the element says. It is read
            // here, byte by byte: rdkafka's own reading panics where it isn't UTF-8.
            false => unsafe {
                slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size).to_vec()
            },
        });
    let elements = list.elements();
    let committed = elements
        .iter()
        .zip(metadata)
        .filter_map(|(element, metadata)| {
            let offset = element.offset().to_raw().filter(|offset| *offset >= 0)?;
            Some(Committed {
                topic: element.topic().to_owned(),
                partition: element.partition(),
                offset,
                metadata,
            })
        });
    Ok(committed.collect())
}
