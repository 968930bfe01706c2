use super::FromRecord;
use crate::{error::Rejection, record::ConsumerRecord, topic::RecordKey};

/// The key of the record, as any [`RecordKey`].
///
/// A key that can't be read is an error of the record and not retriable; a null key is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<T>(pub T);

impl<S, T: RecordKey> FromRecord<S> for Key<T> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        let key = record.key();
        T::from_key(key).map(Self).map_err(|error| match key {
            Some(_) => Rejection::record("the key of the record can't be read", error),
            None => Rejection::missing("key"),
        })
    }
}
