use super::FromRecord;
use crate::{
    error::Rejection,
    record::ConsumerRecord,
    topic::{self, RecordKey},
};

/// The key of the record, as any [`RecordKey`].
///
/// A key that can't be read is an error of the record and not retriable; a null key is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<T>(pub T);

impl<S, T: RecordKey> FromRecord<S> for Key<T> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        topic::key(record).map(Self)
    }
}
