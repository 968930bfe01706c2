//! Topics with types: name, key, value and codec in one constant, for both sides.

mod codec;
mod key;

use std::{fmt, marker::PhantomData, sync::Arc};

pub use self::codec::{Codec, JsonCodec};
pub use self::key::RecordKey;
use crate::{
    error::{ErrorClass, Persistence, PublishError, Rejection},
    record::{ConsumerRecord, ProducerRecord},
};

/// A topic whose values are `T`, written and read by `C`, under keys `K`.
///
/// A constant of it is what a publisher and a consumer agree upon:
///
/// ```
/// use kafka_tower::{BoxError, PublishExt, Router, Topic, serve, testing::EmbeddedKafka};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Order {
///     item: String,
/// }
///
/// const ORDERS: Topic<Order> = Topic::new("orders");
///
/// async fn on_order((id, order): (String, Order)) {
///     println!("{id}: {}", order.item);
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BoxError> {
/// let kafka = EmbeddedKafka::start().await?;
/// let orders = kafka.publisher().topic(&ORDERS);
/// orders.send("42", &Order { item: "tea".to_owned() }).await?;
///
/// let app = Router::new().route(ORDERS.handle(on_order));
/// let summary = serve(kafka.consumer("order-service"), app)
/// #    .with_graceful_shutdown(std::future::ready(()))
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// Publishing, see [`PublishExt::topic`](crate::PublishExt::topic); consuming, see
/// [`handle`](Self::handle).
pub struct Topic<T, C = JsonCodec, K = String> {
    name: Name,
    codec: C,
    types: PhantomData<fn() -> (K, T)>,
}

#[derive(Clone)]
enum Name {
    Static(&'static str),
    Shared(Arc<str>),
}

impl<T, K> Topic<T, JsonCodec, K> {
    /// A topic whose values are JSON.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self::with_codec(name, JsonCodec)
    }
}

impl<T, C, K> Topic<T, C, K> {
    /// A topic with a codec of your choice.
    #[must_use]
    pub const fn with_codec(name: &'static str, codec: C) -> Self {
        Self {
            name: Name::Static(name),
            codec,
            types: PhantomData,
        }
    }

    /// The same under another name, one that is known only when the program runs.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Name::Shared(name.into());
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Static(name) => name,
            Name::Shared(name) => name,
        }
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        match &self.name {
            Name::Static(name) => (*name).into(),
            Name::Shared(name) => Arc::clone(name),
        }
    }
}

impl<T, C: Codec<T>, K: RecordKey> Topic<T, C, K> {
    /// A record with this key and value, to add to before it is published.
    ///
    /// # Errors
    ///
    /// When the value can't be encoded: not retriable, with the record but for its payload.
    pub fn record(&self, key: impl Into<K>, value: &T) -> Result<ProducerRecord, PublishError> {
        let record = self.tombstone(key);
        match self.codec.encode(value) {
            Ok(payload) => Ok(record.payload(payload)),
            Err(error) => {
                let reason = "the value can't be encoded";
                let class = ErrorClass::NonRetriable;
                let failed = PublishError::new(class, Persistence::NotPersisted, reason);
                Err(failed.with_record(record).with_source(error))
            }
        }
    }

    /// A tombstone: a record with this key and a null payload.
    pub fn tombstone(&self, key: impl Into<K>) -> ProducerRecord {
        let mut record = ProducerRecord::to(self.shared_name());
        record.key = key.into().into_key();
        record
    }

    /// The value of a record; `None` is a tombstone.
    ///
    /// # Errors
    ///
    /// When the payload can't be decoded: not retriable.
    pub fn value_of(&self, record: &ConsumerRecord) -> Result<Option<T>, Rejection> {
        let decode = |payload: &[u8]| self.codec.decode(payload);
        let value = record.payload().map(decode).transpose();
        value.map_err(|error| Rejection::record("the payload of the record can't be read", error))
    }

    /// The key of a record.
    ///
    /// # Errors
    ///
    /// When the key can't be read as a `K`, or is null and may not be: not retriable.
    pub fn key_of(&self, record: &ConsumerRecord) -> Result<K, Rejection> {
        key(record)
    }
}

pub(crate) fn key<K: RecordKey>(record: &ConsumerRecord) -> Result<K, Rejection> {
    let key = record.key();
    K::from_key(key).map_err(|error| match key {
        Some(_) => Rejection::record("the key of the record can't be read", error),
        None => Rejection::missing("key"),
    })
}

impl<T, C: Clone, K> Clone for Topic<T, C, K> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            codec: self.codec.clone(),
            types: PhantomData,
        }
    }
}

impl<T, C, K> fmt::Debug for Topic<T, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name()).finish()
    }
}
