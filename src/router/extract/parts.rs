//! What every record has.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::FromRecord;
use crate::{
    error::Rejection,
    record::{ConsumerRecord, Headers, Lease, MatchedRoute},
};

/// The topic that the record is from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic(pub Arc<str>);

/// The partition that the record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

/// The offset of the record in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

/// The timestamp of the record, in milliseconds since the Unix epoch. Records of Kafka's oldest format
/// have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The same as the system's time; `None` where that can't be told.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let since = Duration::from_millis(self.0.unsigned_abs());
        match self.0 {
            0.. => SystemTime::UNIX_EPOCH.checked_add(since),
            _ => SystemTime::UNIX_EPOCH.checked_sub(since),
        }
    }
}

/// Which attempt at the record this is, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// A value that a layer, or whoever called the service, has put among the record's
/// [`extensions`](ConsumerRecord::extensions).
///
/// One that is missing is [`Fatal`](crate::ErrorClass::Fatal), since a layer was forgotten then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Extension<T>(pub T);

impl<S> FromRecord<S> for Topic {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(Self(Arc::clone(record.shared_topic())))
    }
}

impl<S> FromRecord<S> for Partition {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(Self(record.partition()))
    }
}

impl<S> FromRecord<S> for Offset {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(Self(record.offset()))
    }
}

impl<S> FromRecord<S> for Timestamp {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        let timestamp = record.timestamp().map(Self);
        timestamp.ok_or_else(|| Rejection::missing("timestamp"))
    }
}

impl<S> FromRecord<S> for Attempt {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(Self(record.attempt()))
    }
}

impl<S, T: Clone + Send + Sync + 'static> FromRecord<S> for Extension<T> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        let value = record.extensions().get().cloned().map(Self);
        value.ok_or_else(|| {
            let name = std::any::type_name::<T>();
            Rejection::program(format!(
                "the record has no extension `{name}`: a layer that inserts it has to stand around \
                 the handler"
            ))
            .or_none()
        })
    }
}

impl<S> FromRecord<S> for Headers {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(record.headers().clone())
    }
}

impl<S> FromRecord<S> for Lease {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(record.lease().clone())
    }
}

/// The route by which the record came: `tenant-*` for a prefix, `*` for the fallback, else its topic.
impl<S> FromRecord<S> for MatchedRoute {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        let route = record.extensions().get().cloned();
        Ok(route.unwrap_or_else(|| Self::new(Arc::clone(record.shared_topic()))))
    }
}

impl<S> FromRecord<S> for ConsumerRecord {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        Ok(record.clone())
    }
}
