use std::str;

use super::FromRecord;
use crate::{
    error::{BoxError, Rejection},
    record::{ConsumerRecord, MessageId},
};

/// A header with a type of its own, [`FromHeader`]. The last one with its name counts.
///
/// A header that isn't there, or is null, is missing: `Option<Header<T>>` is `None` for it. One that
/// can't be read is an error of the record and not retriable.
///
/// # Example
///
/// ```
/// use kafka_tower::{BoxError, Router, extract::{FromHeader, Header}};
///
/// struct Tenant(String);
///
/// impl FromHeader for Tenant {
///     const NAME: &'static str = "tenant";
///
///     fn from_header(value: &[u8]) -> Result<Self, BoxError> {
///         Ok(Self(std::str::from_utf8(value)?.to_owned()))
///     }
/// }
///
/// let router: Router = Router::new()
///     .topic("orders", |Header(tenant): Header<Tenant>| async move {
///         println!("an order of {}", tenant.0);
///     });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Header<T>(pub T);

/// A type that is read from a header of a fixed name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type that is read from a header",
    note = "implement `FromHeader` for it: the name of the header, and how its value is read"
)]
pub trait FromHeader: Sized {
    /// The key of the header.
    const NAME: &'static str;

    /// Reads the value.
    ///
    /// # Errors
    ///
    /// When it can't be read. The message should show nothing of it.
    fn from_header(value: &[u8]) -> Result<Self, BoxError>;
}

impl<S, T: FromHeader> FromRecord<S> for Header<T> {
    fn from_record(record: &ConsumerRecord, _: &S) -> Result<Self, Rejection> {
        let value = record
            .headers()
            .get(T::NAME)
            .ok_or_else(|| Rejection::missing(format_args!("header `{}`", T::NAME)))?;
        T::from_header(value).map(Self).map_err(|error| {
            let what = format!("the header `{}` of the record can't be read", T::NAME);
            Rejection::record(what, error)
        })
    }
}

/// The identity of the record, from the header that
/// [`high_reliability`](crate::ProducerSettings::high_reliability) writes.
impl FromHeader for MessageId {
    const NAME: &'static str = "message-id";

    fn from_header(value: &[u8]) -> Result<Self, BoxError> {
        Ok(str::from_utf8(value)?.to_owned().into())
    }
}
