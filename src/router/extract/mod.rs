//! What a handler can ask for: its arguments, read from the record.
//!
//! | argument | | missing |
//! |---|---|---|
//! | [`State<T>`](State) | the router's state, or a part of it | does not compile |
//! | [`Key<T>`](Key) | the key: text, bytes, `Uuid`, integers | a null key |
//! | [`Json<T>`](Json), [`Payload<T>`](Payload) | the payload, as JSON, bytes or text | a tombstone |
//! | [`Header<T>`](Header), [`Headers`] | a header with a type of its own; all of them | no such header, or null |
//! | [`Topic`], [`Partition`], [`Offset`] | where it is from | |
//! | [`Timestamp`] | when it was written | none |
//! | [`Attempt`], [`Lease`], [`MatchedRoute`] | which attempt it is; whether the partition is still ours; by which route it came | |
//! | [`Extension<T>`](Extension) | what a layer has put there | fatal |
//! | [`ConsumerRecord`] | all of it | |
//! | `Option<_>` of each | `None` where it is missing | |
//! | `Result<_, Rejection>` of each | also what can't be read | |
//!
//! What can't be read and what is missing are errors of the record, not retriable, unless it says otherwise.
//! No error shows anything of a key, a payload or a header's value.
//!
//! ```
//! use kafka_tower::{
//!     Outcome, Rejection, Router, extract::{Attempt, Json, Key, Payload},
//! };
//! # #[derive(serde::Deserialize)] struct Order;
//!
//! // A tombstone comes as `None`, and JSON that can't be read is an error all the same.
//! async fn on_order(Key(id): Key<u64>, Attempt(attempt): Attempt, order: Option<Json<Order>>) {}
//!
//! // The handler decides.
//! async fn on_note(text: Result<Payload<String>, Rejection>) -> Outcome {
//!     match text {
//!         Ok(_) => Outcome::Ack,
//!         Err(_) => Outcome::Skip,
//!     }
//! }
//!
//! let router: Router = Router::new().topic("orders", on_order).topic("notes", on_note);
//! ```
//!
//! [`FromRecord`] makes one of a type of your own.

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
pub use crate::record::{Headers, Lease, MatchedRoute};
use crate::{error::Rejection, record::ConsumerRecord};

/// What can be an argument of a handler: something to be read from a record, or from the state `S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a handler whose router has the state `{S}`",
    label = "not an extractor",
    note = "see `kafka_tower::extract` for what can be one",
    note = "a `State<T>` wants a router whose state is `T`, or `FromRef` for it: \
            `.with_state(...)` gives it",
    note = "axum's extractors are others, also those of the same name"
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
