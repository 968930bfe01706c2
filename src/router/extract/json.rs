use serde::de::DeserializeOwned;

use super::{FromRecord, payload::payload};
use crate::{
    error::{JsonError, Rejection},
    record::ConsumerRecord,
};

/// The payload of the record, read as JSON.
///
/// What can't be read is an error of the record and not retriable; it says where in the payload, and
/// shows nothing of it. A null payload, a tombstone, is missing: `Option<Json<T>>` is `None` for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Json<T>(pub T);

impl<S, T: DeserializeOwned> FromRecord<S> for Json<T> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        JsonError::read(payload(record)?)
            .map(Self)
            .map_err(|error| Rejection::record("the payload of the record can't be read", error))
    }
}
