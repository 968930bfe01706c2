//! What a handler can ask for: its arguments, read from the record.

mod header;
#[cfg(feature = "json")]
mod json;
mod key;
mod parts;
mod payload;
mod state;

pub use self::header::{FromHeader, Header};
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::key::Key;
pub use self::parts::{Attempt, Extension, Offset, Partition, Timestamp, Topic};
pub use self::payload::Payload;
pub use self::state::{FromRef, State};
use crate::{error::Rejection, record::ConsumerRecord};

/// What can be an argument of a handler: something to be read from a record, or from the state `S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a handler whose router has the state `{S}`",
    label = "not an extractor",
    note = "see `kafka_tower::extract` for what can be one",
    note = "a `State<T>` wants a router whose state is `T`, or `FromRef` for it: \
            `.with_state(...)` gives it"
)]
pub trait FromRecord<S>: Sized {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong, and what that means for the record.
    fn from_record(record: &ConsumerRecord, state: &S) -> Result<Self, Rejection>;
}

/// `None` where there is nothing to read: a null key or payload, a header that isn't there. What is
/// there and can't be read is an error all the same.
impl<S, T: FromRecord<S>> FromRecord<S> for Option<T> {
    fn from_record(record: &ConsumerRecord, state: &S) -> Result<Self, Rejection> {
        match T::from_record(record, state) {
            Ok(value) => Ok(Some(value)),
            Err(rejection) if rejection.is_missing() => Ok(None),
            Err(rejection) => Err(rejection),
        }
    }
}

/// Leaves it to the handler what to do about an argument that can't be read.
impl<S, T: FromRecord<S>> FromRecord<S> for Result<T, Rejection> {
    fn from_record(record: &ConsumerRecord, state: &S) -> Result<Self, Rejection> {
        Ok(T::from_record(record, state))
    }
}
