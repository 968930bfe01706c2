use bytes::Bytes;

use super::FromRecord;
use crate::{error::Rejection, record::ConsumerRecord};

/// The payload of the record as it is: `Payload<Bytes>`, `Payload<Vec<u8>>`, or `Payload<String>`
/// where it is text.
///
/// A null payload, a tombstone, is missing: `Option<Payload<_>>` is `None` for it. Text that is not
/// UTF-8 is an error of the record and not retriable.
///
/// `Bytes` share a large payload with the record, and copy a small one
/// ([`payload_bytes`](ConsumerRecord::payload_bytes)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Payload<T>(pub T);

impl<S> FromRecord<S> for Payload<Bytes> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        record.payload_bytes().map(Self).ok_or_else(tombstone)
    }
}

impl<S> FromRecord<S> for Payload<Vec<u8>> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(Self(payload(record)?.to_owned()))
    }
}

impl<S> FromRecord<S> for Payload<String> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        match std::str::from_utf8(payload(record)?) {
            Ok(text) => Ok(Self(text.to_owned())),
            Err(error) => Err(Rejection::record(
                "the payload of the record is no text",
                error,
            )),
        }
    }
}

pub(super) fn payload(record: &ConsumerRecord) -> Result<&[u8], Rejection> {
    record.payload().ok_or_else(tombstone)
}

fn tombstone() -> Rejection {
    Rejection::missing("payload: it is a tombstone")
}
