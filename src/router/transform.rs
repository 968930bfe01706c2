use std::{
    array, fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    vec,
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{Handler, TopicHandler};
use crate::{
    error::{BoxError, Rejection, boxed},
    record::{ConsumerRecord, Outcome, ProducerRecord, RecordService},
};

/// Makes a handler of a function that returns records: they are published through `publisher`, any
/// stack that publishes, and the source record is complete when all of them are acknowledged.
///
/// The function takes what handlers take, and returns [`IntoRecords`]. Several records are
/// published side by side, in order; through a stack that retries only
/// [`key_order`](crate::layers::ServiceBuilderExt::key_order) keeps the order of equal
/// keys.
///
/// # At least once
///
/// When a publish fails the source record fails with that error, and its class: what is retriable
/// is retried as a whole. The function runs again then, and records that had been written are
/// written again; so they are when the process ends between their acknowledgement and the commit of
/// the source's offset, or the partition moves and the running call is dropped. Consumers of the
/// target topics have to bear with duplicates. Kafka's transactions would spare them that, and are
/// not offered.
///
/// A dead-letter layer belongs around the handler and not into the stack that publishes: there it
/// would move one of the records, and the source would fail all the same.
///
/// # Example
///
/// ```no_run
/// use kafka_tower::{
///     BoxError, ProducerRecord, Publisher, PublishError, Router, Topic, router::transform,
/// };
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Order { customer: String, price: u32 }
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Invoice { amount: u32 }
///
/// const ORDERS: Topic<Order> = Topic::new("orders");
/// const INVOICES: Topic<Invoice> = Topic::new("invoices");
///
/// async fn invoice(order: Order) -> Result<ProducerRecord, PublishError> {
///     INVOICES.record(order.customer, &Invoice { amount: order.price })
/// }
///
/// # fn run(publisher: Publisher) {
/// let router: Router = Router::new().route(ORDERS.handle(transform(publisher, invoice)));
/// # }
/// ```
pub fn transform<P, H>(publisher: P, handler: H) -> Transform<P, H>
where
    P: RecordService<ProducerRecord> + Clone + Send + Sync + 'static,
{
    Transform { publisher, handler }
}

/// A handler whose records are published; made by [`transform`].
#[derive(Clone)]
#[must_use = "a handler does nothing until a router has it"]
pub struct Transform<P, H> {
    publisher: P,
    handler: H,
}

/// What the function of a [`transform`] may return: a [`ProducerRecord`], an `Option`, a `Vec` or an
/// array of them, `()` for none, or a `Result` of one of these and any error.
#[diagnostic::on_unimplemented(
    message = "a handler in `transform` can't return `{Self}`",
    label = "not records to be published",
    note = "it returns a `ProducerRecord`, an `Option`, a `Vec` or an array of them, `()`, or a \
            `Result` of one of these whose error converts into `BoxError`"
)]
pub trait IntoRecords {
    /// The records, in the order in which they are published.
    type Records: Iterator<Item = ProducerRecord> + Send + 'static;

    /// Gives the records.
    ///
    /// # Errors
    ///
    /// The function's own, boxed.
    fn into_records(self) -> Result<Self::Records, BoxError>;
}

impl IntoRecords for () {
    type Records = array::IntoIter<ProducerRecord, 0>;

    fn into_records(self) -> Result<Self::Records, BoxError> {
        Ok([].into_iter())
    }
}

impl IntoRecords for ProducerRecord {
    type Records = array::IntoIter<Self, 1>;

    fn into_records(self) -> Result<Self::Records, BoxError> {
        Ok([self].into_iter())
    }
}

impl IntoRecords for Option<ProducerRecord> {
    type Records = std::option::IntoIter<ProducerRecord>;

    fn into_records(self) -> Result<Self::Records, BoxError> {
        Ok(self.into_iter())
    }
}

impl IntoRecords for Vec<ProducerRecord> {
    type Records = vec::IntoIter<ProducerRecord>;

    fn into_records(self) -> Result<Self::Records, BoxError> {
        Ok(self.into_iter())
    }
}

impl<const N: usize> IntoRecords for [ProducerRecord; N] {
    type Records = array::IntoIter<ProducerRecord, N>;

    fn into_records(self) -> Result<Self::Records, BoxError> {
        Ok(self.into_iter())
    }
}

impl<T: IntoRecords, E: Into<BoxError> + 'static> IntoRecords for Result<T, E> {
    type Records = T::Records;

    fn into_records(self) -> Result<Self::Records, BoxError> {
        self.map_err(boxed)?.into_records()
    }
}

type TransformFuture =
    Pin<Box<dyn Future<Output = Result<Result<Outcome, BoxError>, Rejection>> + Send>>;

impl<A, S, P, H> Handler<A, S> for Transform<P, H>
where
    P: RecordService<ProducerRecord> + Clone + Send + Sync + 'static,
    H: Handler<A, S, Output: IntoRecords>,
{
    type Output = Result<Outcome, BoxError>;
    type Future = TransformFuture;

    fn call(self, record: &ConsumerRecord, state: &S) -> TransformFuture {
        finish(self.handler.call(record, state), self.publisher)
    }
}

impl<A, D, S, P, H> TopicHandler<A, D, S> for Transform<P, H>
where
    P: RecordService<ProducerRecord> + Clone + Send + Sync + 'static,
    H: TopicHandler<A, D, S, Output: IntoRecords>,
{
    type Output = Result<Outcome, BoxError>;
    type Future = TransformFuture;

    fn call(self, topic: &D, record: &ConsumerRecord, state: &S) -> TransformFuture {
        finish(self.handler.call(topic, record, state), self.publisher)
    }
}

fn finish<P, R>(
    answer: impl Future<Output = Result<R, Rejection>> + Send + 'static,
    publisher: P,
) -> TransformFuture
where
    P: RecordService<ProducerRecord> + Send + 'static,
    R: IntoRecords,
{
    Box::pin(async move {
        let records = match answer.await?.into_records() {
            Ok(records) => records,
            Err(error) => return Ok(Err(error)),
        };
        let published = publish(publisher, records).await;
        Ok(published.map(|()| Outcome::Ack))
    })
}

/// Publishes side by side. After a failure nothing more is begun, and what was begun is waited for: a
/// retry of the source must not find the last one's records on their way.
async fn publish<P>(
    mut publisher: P,
    records: impl Iterator<Item = ProducerRecord>,
) -> Result<(), BoxError>
where
    P: RecordService<ProducerRecord>,
{
    let mut begun = FuturesUnordered::new();
    let mut result = Ok(());
    for record in records {
        // There may be room for this one only when another is done.
        let ready = poll_fn(|context| {
            while let Poll::Ready(Some(published)) = begun.poll_next_unpin(context) {
                published?;
            }
            publisher.poll_ready(context)
        });
        result = ready.await.map_err(boxed);
        if result.is_err() {
            break;
        }
        begun.push(publisher.call(record));
    }
    while let Some(published) = begun.next().await {
        result = result.and(published.map(drop).map_err(boxed));
    }
    result
}

impl<P, H> fmt::Debug for Transform<P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform").finish_non_exhaustive()
    }
}
