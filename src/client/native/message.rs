//! A received message, copied into a record of our own.
#![allow(unsafe_code)]

use std::{ffi::CStr, ptr, slice, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use rdkafka::{Message, bindings as rd, message::BorrowedMessage, types::RDKafkaRespErr};

use crate::record::{ConsumerRecord, Headers};

/// Copies `message`; `topic` is its topic, shared between the records of a lane.
pub(crate) fn record(mut message: BorrowedMessage<'_>, topic: Arc<str>) -> ConsumerRecord {
    let headers = headers(&mut message);
    let (key, payload) = (message.key(), message.payload());
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    // One allocation for both: they live and die together.
    let mut both = BytesMut::with_capacity(length(key) + length(payload));
    both.put_slice(key.unwrap_or_default());
    both.put_slice(payload.unwrap_or_default());
    let both = both.freeze();

    let mut record =
        ConsumerRecord::builder(topic, message.partition(), message.offset()).headers(headers);
    if let Some(key) = key {
        record = record.key(both.slice(..key.len()));
    }
    if payload.is_some() {
        record = record.payload(both.slice(length(key)..));
    }
    if let Some(milliseconds) = message.timestamp().to_millis() {
        record = record.timestamp(milliseconds);
    }
    record.build()
}

/// Copies the headers byte by byte: rdkafka's own reading panics where a key isn't UTF-8, so that
/// whoever may write to the topic could kill every consumer.
fn headers(message: &mut BorrowedMessage<'_>) -> Headers {
    let mut headers = Headers::new();
    let mut list = ptr::null_mut();
    // SAFETY: the message is valid while it is borrowed. The call parses the headers into the
    // message on its first use: it is borrowed mutably, so that nobody else reads it meanwhile.
    let result = unsafe { rd::rd_kafka_message_headers(message.ptr(), &mut list) };
    if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
        return headers;
    }
    for index in 0.. {
        let (mut name, mut data, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list belongs to the message and lives as long; an index beyond its end is an
        // error and writes nothing.
        let result =
            unsafe { rd::rd_kafka_header_get_all(list, index, &mut name, &mut data, &mut length) };
        if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            break;
        }
        // SAFETY: a name ends with a NUL and lives as long as the list.
        let key = unsafe { CStr::from_ptr(name) }.to_bytes();
        let value = (!data.is_null()).then(|| {
            // SAFETY: a value that isn't null has `length` bytes that live as long as the list.
            Bytes::copy_from_slice(unsafe { slice::from_raw_parts(data.cast::<u8>(), length) })
        });
        headers.push(Bytes::copy_from_slice(key), value);
    }
    headers
}
