//! Whether a fetched message has headers at all, without asking librdkafka to parse them.
//!
//! `rd_kafka_message_headers` allocates a reader to find out that there are none, which is a fifth of
//! what a small record costs. Its answer for a message without headers follows from one byte that
//! librdkafka points to, in a struct that it doesn't publish. So this looks only where the linked
//! librdkafka is the very version whose struct is written down here; with any other the answer is
//! always "maybe".
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    ptr::NonNull,
    sync::atomic::{AtomicU8, Ordering},
};

use rdkafka::bindings as rd;

/// librdkafka 2.12.1.
const KNOWN_VERSION: c_int = 0x020c_01ff;

/// `rd_kafka_msg_t` of that version (`rdkafka_msg.h`), as far as it matters.
#[repr(C)]
struct Unpublished {
    message: rd::rd_kafka_message_t,
    link: [*mut c_void; 2],
    flags: c_int,
    timestamp_type: c_int,
    timestamp: i64,
    parsed_headers: *mut c_void,
    status: c_int,
    broker: i32,
    unparsed_headers_length: i32,
    /// The number of headers as a varint, then the headers.
    unparsed_headers: *const u8,
}

/// Whether the message certainly has no headers.
///
/// # Safety
///
/// `message` is valid and a record that a consumer fetched.
pub(super) unsafe fn has_none(message: NonNull<rd::rd_kafka_message_t>) -> bool {
    if !is_known() {
        return false;
    }
    let message: NonNull<Unpublished> = message.cast();
    // SAFETY: in the version that is linked every message of a consumer is the first field of a
    // `rd_kafka_msg_t`, whose fields lie as above.
    let message = unsafe { message.as_ref() };
    message.parsed_headers.is_null()
        && match message.unparsed_headers_length {
            ..=0 => true,
            // SAFETY: librdkafka points to as many bytes as the length says, inside the response
            // that the message keeps alive.
            1.. => unsafe { *message.unparsed_headers == 0 },
        }
}

fn is_known() -> bool {
    const UNKNOWN: u8 = 1;
    const KNOWN: u8 = 2;
    static IS_KNOWN: AtomicU8 = AtomicU8::new(0);
    match IS_KNOWN.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: no preconditions.
            let version = unsafe { rd::rd_kafka_version() };
            let known = version == KNOWN_VERSION && cfg!(target_pointer_width = "64");
            IS_KNOWN.store(if known { KNOWN } else { UNKNOWN }, Ordering::Relaxed);
            known
        }
        known => known == KNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librdkafka_that_is_built_in_is_known() {
        // Another version: compare its `rd_kafka_msg_t` with the struct above, and where it is the
        // same, know that version instead.
        assert!(is_known());
    }
}
