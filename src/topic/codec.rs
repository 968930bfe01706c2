use bytes::Bytes;

use crate::error::BoxError;

/// How the values of a topic are written and read.
///
/// [`JsonCodec`] is built in. Others are a few lines:
///
/// ```
/// use bytes::Bytes;
/// use kafka_tower::{BoxError, Codec, Topic};
///
/// /// Values as decimal text.
/// #[derive(Debug, Clone)]
/// struct Decimal;
///
/// impl Codec<u64> for Decimal {
///     fn encode(&self, value: &u64) -> Result<Bytes, BoxError> {
///         Ok(value.to_string().into())
///     }
///
///     fn decode(&self, payload: &[u8]) -> Result<u64, BoxError> {
///         Ok(std::str::from_utf8(payload)?.parse()?)
///     }
/// }
///
/// const COUNTS: Topic<u64, Decimal> = Topic::with_codec("counts", Decimal);
/// let record = COUNTS.record("apples", &7)?;
/// assert_eq!(record.payload.as_deref(), Some(&b"7"[..]));
/// # Ok::<_, BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no codec for `{T}`",
    note = "`JsonCodec` wants `serde::Serialize` and `serde::de::DeserializeOwned` of `{T}`, and the \
            feature `json`"
)]
pub trait Codec<T>: Clone + Send + Sync + 'static {
    /// Writes a value as a payload.
    ///
    /// # Errors
    ///
    /// When the value can't be written.
    fn encode(&self, value: &T) -> Result<Bytes, BoxError>;

    /// Reads a value from a payload.
    ///
    /// # Errors
    ///
    /// When the payload can't be read. The message should say where, and show nothing of it: it comes
    /// into logs and dead letters.
    fn decode(&self, payload: &[u8]) -> Result<T, BoxError>;
}

/// Values as JSON, by serde; a codec with the feature `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct JsonCodec;

#[cfg(feature = "json")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for JsonCodec {
    fn encode(&self, value: &T) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(value)?.into())
    }

    fn decode(&self, payload: &[u8]) -> Result<T, BoxError> {
        Ok(crate::error::JsonError::read(payload)?)
    }
}
