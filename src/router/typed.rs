use std::{fmt, future::Future};

use super::{Handler, HandlerFuture, extract::FromRecord};
use crate::{
    error::Rejection,
    record::ConsumerRecord,
    topic::{Codec, RecordKey, Topic},
};

/// A topic with types and its handler; made by [`Topic::handle`], and taken by
/// [`Router::route`](crate::Router::route). It is a [`Handler`] itself.
pub struct TopicRoute<H, T, C, K> {
    pub(super) topic: Topic<T, C, K>,
    pub(super) handler: H,
}

impl<T, C: Codec<T>, K: RecordKey> Topic<T, C, K> {
    /// Binds a handler to this topic, for [`Router::route`](crate::Router::route).
    ///
    /// It is an async function whose last argument is what the record holds ([`FromTopic`]); before
    /// it there may be up to 11 [extractors](crate::extract):
    ///
    /// | last argument | |
    /// |---|---|
    /// | `T` | the value; a tombstone is an error |
    /// | `Option<T>` | the value; `None` is a tombstone |
    /// | `(K, T)`, `(K, Option<T>)` | key and value |
    ///
    /// A key or value that can't be read is an error of its record, not retriable, and goes the way
    /// of the layers around the handler.
    ///
    /// # Example
    ///
    /// ```
    /// use kafka_tower::{Router, Topic, extract::State};
    /// use uuid::Uuid;
    /// # use kafka_tower::JsonCodec;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Customer { name: String }
    /// # #[derive(Clone)] struct Db;
    ///
    /// const CUSTOMERS: Topic<Customer, JsonCodec, Uuid> = Topic::new("customers");
    ///
    /// async fn on_customer(
    ///     State(db): State<Db>,
    ///     (id, customer): (Uuid, Option<Customer>),
    /// ) {
    ///     match customer {
    ///         Some(customer) => println!("{id} is {}", customer.name),
    ///         None => println!("{id} is gone"),
    ///     }
    /// }
    ///
    /// let router: Router = Router::new()
    ///     .route(CUSTOMERS.handle(on_customer))
    ///     .with_state(Db);
    /// ```
    pub fn handle<H>(&self, handler: H) -> TopicRoute<H, T, C, K> {
        TopicRoute {
            topic: self.clone(),
            handler,
        }
    }
}

/// What the last argument of a [`Topic`]'s handler can be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what the records of a topic of `{T}` hold",
    note = "the last argument is `{T}`, `Option<{T}>` where tombstones are, `({K}, {T})` or \
            `({K}, Option<{T}>)`"
)]
pub trait FromTopic<T, C, K>: Sized {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong with the record.
    fn from_topic(topic: &Topic<T, C, K>, record: &ConsumerRecord) -> Result<Self, Rejection>;
}

impl<T, C: Codec<T>, K: RecordKey> FromTopic<T, C, K> for T {
    fn from_topic(topic: &Topic<T, C, K>, record: &ConsumerRecord) -> Result<T, Rejection> {
        topic
            .value_of(record)?
            .ok_or_else(|| Rejection::missing("payload: it is a tombstone"))
    }
}

impl<T, C: Codec<T>, K: RecordKey> FromTopic<T, C, K> for Option<T> {
    fn from_topic(topic: &Topic<T, C, K>, record: &ConsumerRecord) -> Result<Self, Rejection> {
        topic.value_of(record)
    }
}

impl<T, C: Codec<T>, K: RecordKey> FromTopic<T, C, K> for (K, T) {
    fn from_topic(topic: &Topic<T, C, K>, record: &ConsumerRecord) -> Result<Self, Rejection> {
        Ok((topic.key_of(record)?, T::from_topic(topic, record)?))
    }
}

impl<T, C: Codec<T>, K: RecordKey> FromTopic<T, C, K> for (K, Option<T>) {
    fn from_topic(topic: &Topic<T, C, K>, record: &ConsumerRecord) -> Result<Self, Rejection> {
        Ok((topic.key_of(record)?, topic.value_of(record)?))
    }
}

/// An async function that handles the records of a [`Topic`], see [`Topic::handle`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler for a `{P}` in a router whose state is `{S}`",
    label = "not a handler",
    note = "its last argument is the topic's value, `Option` of it, or a pair of key and one of these; \
            those before it are extractors (`kafka_tower::extract`)",
    note = "an argument `State<T>` wants a router whose state is `T`, or `FromRef` for it: give it \
            with `.with_state(...)` before the router is served",
    note = "a function in `transform` returns what is `IntoRecords`: one `ProducerRecord`, several, or a \
            `Result` of these"
)]
pub trait TopicHandler<A, P, S>: Clone + Send + Sync + 'static {
    /// What the function returns.
    type Output;
    /// The function's future, or the rejection of an argument.
    type Future: Future<Output = Result<Self::Output, Rejection>> + Send + 'static;

    /// Reads the arguments from the record and calls the function.
    fn call(self, topic: &P, record: &ConsumerRecord, state: &S) -> Self::Future;
}

macro_rules! impl_topic_handler {
    ($last:ident $(, $argument:ident)*) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_variables, reason = "named as their types are; none may be there")]
        impl<F, Fut, S, T, C, K, $($argument,)* $last>
            TopicHandler<($($argument,)* $last,), Topic<T, C, K>, S> for F
        where
            F: FnOnce($($argument,)* $last) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($argument: FromRecord<S>,)*
            $last: FromTopic<T, C, K>,
        {
            type Output = Fut::Output;
            type Future = HandlerFuture<Fut>;

            fn call(
                self,
                topic: &Topic<T, C, K>,
                record: &ConsumerRecord,
                state: &S,
            ) -> Self::Future {
                $(
                    let $argument = match $argument::from_record(record, state) {
                        Ok(argument) => argument,
                        Err(rejection) => return HandlerFuture::rejected(rejection),
                    };
                )*
                match $last::from_topic(topic, record) {
                    Ok(last) => HandlerFuture::running(self($($argument,)* last)),
                    Err(rejection) => HandlerFuture::rejected(rejection),
                }
            }
        }
    };
    () => {};
}

super::all_the_tuples!(impl_topic_handler);

impl<A, S, H, T, C, K> Handler<A, S> for TopicRoute<H, T, C, K>
where
    H: TopicHandler<A, Topic<T, C, K>, S>,
    C: Codec<T>,
    K: 'static,
    T: 'static,
{
    type Output = H::Output;
    type Future = H::Future;

    fn call(self, record: &ConsumerRecord, state: &S) -> Self::Future {
        self.handler.call(&self.topic, record, state)
    }
}

impl<H: Clone, T, C: Clone, K> Clone for TopicRoute<H, T, C, K> {
    fn clone(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            handler: self.handler.clone(),
        }
    }
}

impl<H, T, C, K> fmt::Debug for TopicRoute<H, T, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicRoute")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
