//! A received message of librdkafka.
#![allow(unsafe_code)]

use std::{ffi::CStr, marker::PhantomData, ptr, ptr::NonNull, slice};

use bytes::Bytes;
use rdkafka::{bindings as rd, types::RDKafkaRespErr};

use super::unparsed;
use crate::record::Headers;

/// A message, or an event of its partition, inside the callback that got it.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    message: NonNull<rd::rd_kafka_message_t>,
    _borrowed: PhantomData<&'a mut rd::rd_kafka_message_t>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Record,
    /// The partition ends here, for now.
    End,
    Error(i32),
}

impl Message<'_> {
    /// # Safety
    ///
    /// The message is valid, and used by nobody else, for as long as the result lives.
    pub(super) unsafe fn borrow(message: NonNull<rd::rd_kafka_message_t>) -> Self {
        Self {
            message,
            _borrowed: PhantomData,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        // SAFETY: the message is valid. The code is read as the integer that it is in C: brokers
        // may send one that the enum doesn't know.
        let code = unsafe {
            ptr::addr_of!((*self.message.as_ptr()).err)
                .cast::<i32>()
                .read()
        };
        match code {
            0 => Kind::Record,
            code if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32 => Kind::End,
            code => Kind::Error(code),
        }
    }

    /// Of a record, or of a partition's end: the offset that the next record will have.
    pub(crate) fn offset(&self) -> i64 {
        // SAFETY: the message is valid.
        unsafe { (*self.message.as_ptr()).offset }
    }

    /// What an error is about.
    pub(crate) fn reason(&self) -> String {
        // SAFETY: the message is valid, and the text ends with a NUL and lives as long.
        unsafe {
            let text = rd::rd_kafka_message_errstr(self.message.as_ptr());
            match text.is_null() {
                true => String::new(),
                false => CStr::from_ptr(text).to_string_lossy().into_owned(),
            }
        }
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: key and length of a valid message belong together.
        unsafe {
            let message = self.message.as_ref();
            bytes(message.key.cast(), message.key_len)
        }
    }

    pub(crate) fn payload(&self) -> Option<&[u8]> {
        // SAFETY: payload and length of a valid message belong together.
        unsafe {
            let message = self.message.as_ref();
            bytes(message.payload.cast(), message.len)
        }
    }

    /// In milliseconds since the Unix epoch.
    pub(crate) fn timestamp(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid, and `kind` is there to be written to.
        let timestamp = unsafe { rd::rd_kafka_message_timestamp(self.message.as_ptr(), &mut kind) };
        (timestamp >= 0).then_some(timestamp)
    }

    /// Copies the headers byte by byte: rdkafka's own reading panics where a key isn't UTF-8, so
    /// that whoever may write to the topic could kill every consumer.
    pub(crate) fn headers(&mut self) -> Headers {
        let mut headers = Headers::new();
        // SAFETY: the message is valid, and a record unless it is an event.
        if self.kind() != Kind::Record || unsafe { unparsed::has_none(self.message) } {
            return headers;
        }
        let mut list = ptr::null_mut();
        // SAFETY: the message is valid. The call parses the headers into the message on its first
        // use: it is borrowed mutably, so that nobody else reads it meanwhile.
        let result = unsafe { rd::rd_kafka_message_headers(self.message.as_ptr(), &mut list) };
        if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
            return headers;
        }
        for index in 0.. {
            let (mut name, mut data, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list belongs to the message and lives as long; an index beyond its end is
            // an error and writes nothing.
            let result = unsafe {
                rd::rd_kafka_header_get_all(list, index, &mut name, &mut data, &mut length)
            };
            if result != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: a name ends with a NUL and lives as long as the list.
            let key = unsafe { CStr::from_ptr(name) }.to_bytes();
            // SAFETY: value and length belong together, and live as long as the list.
            let value = unsafe { bytes(data.cast(), length) };
            headers.push(
                Bytes::copy_from_slice(key),
                value.map(Bytes::copy_from_slice),
            );
        }
        headers
    }
}

/// # Safety
///
/// `data` is null or points to `length` bytes that live as long as `'a`.
unsafe fn bytes<'a>(data: *const u8, length: usize) -> Option<&'a [u8]> {
    (!data.is_null()).then(|| {
        // SAFETY: by the contract.
        unsafe { slice::from_raw_parts(data, length) }
    })
}
