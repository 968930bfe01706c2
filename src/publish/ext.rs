use std::{
    any::TypeId,
    future::{Future, poll_fn},
};

use super::{BoxPublisher, SendQueue, TopicPublisher};
use crate::{
    error::{BoxError, PublishError, boxed},
    record::{Delivery, ProducerRecord, Record, RecordService},
    topic::{Codec, RecordKey, Topic},
};

/// Sends records through a [`Publisher`](crate::Publisher), or through any stack of layers around
/// one.
///
/// This trait is implemented for every service that publishes.
pub trait PublishExt: RecordService<ProducerRecord> + Clone + Send + Sync + 'static {
    /// Waits for room, publishes the record, and waits for its delivery report.
    ///
    /// The future borrows nothing, so that many can be spawned, or awaited together. Records are
    /// published in the order in which their futures are first polled: `join_all` keeps it, tasks of
    /// their own don't.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the record in it; also where the outermost layer of the stack fails with
    /// an error of its own, as tower's `timeout` does.
    ///
    /// Cancel safety: dropped before there was room, the record is dropped with the future;
    /// afterwards it is published all the same.
    fn send(
        &self,
        record: ProducerRecord,
    ) -> impl Future<Output = Result<Delivery, PublishError>> + Send + use<Self> {
        let mut service = self.clone();
        async move {
            if let Err(error) = poll_fn(|cx| service.poll_ready(cx)).await {
                return Err(ProducerRecord::dead(boxed(error)).or_record(&record));
            }
            let kept = keep::<Self>(&record);
            answer(service.call(record).await, kept)
        }
    }

    /// A publisher for one topic with types, on a clone of this one.
    ///
    /// # Example
    ///
    /// ```
    /// use kafka_tower::{BoxError, PublishExt, Topic, testing::EmbeddedKafka};
    ///
    /// const TEMPERATURES: Topic<f64> = Topic::new("temperatures");
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), BoxError> {
    /// let kafka = EmbeddedKafka::start().await?;
    /// let temperatures = kafka.publisher().topic(&TEMPERATURES);
    /// temperatures.send("kitchen", &21.5).await?;
    /// # Ok(())
    /// # }
    /// ```
    fn topic<T, C: Codec<T>, K: RecordKey>(
        &self,
        topic: &Topic<T, C, K>,
    ) -> TopicPublisher<Self, T, C, K> {
        TopicPublisher::new(self.clone(), topic)
    }

    /// The same publisher as a type with a name, for a field of a state that handlers share.
    ///
    /// # Example
    ///
    /// ```
    /// use kafka_tower::{BoxPublisher, PublishExt};
    ///
    /// #[derive(Clone)]
    /// struct App {
    ///     orders: BoxPublisher,
    /// }
    ///
    /// fn app(stack: impl PublishExt) -> App {
    ///     App { orders: stack.erased() }
    /// }
    /// ```
    fn erased(self) -> BoxPublisher {
        BoxPublisher::new(self)
    }

    /// A queue that owns what is sent through this publisher, up to `max_in_flight` records at a time; 0
    /// counts as 1.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime: the queue is a task.
    fn queue(self, max_in_flight: usize) -> SendQueue {
        SendQueue::new(self, max_in_flight)
    }
}

impl<S: RecordService<ProducerRecord> + Clone + Send + Sync + 'static> PublishExt for S {}

/// A copy for an error that comes without the record.
pub(super) fn keep<S: RecordService<ProducerRecord>>(
    record: &ProducerRecord,
) -> Option<ProducerRecord> {
    let brings_it = TypeId::of::<S::Error>() == TypeId::of::<PublishError>();
    (!brings_it).then(|| record.clone())
}

/// What a service answered, as it is told to callers.
pub(super) fn answer<T: Into<Delivery>, E: Into<BoxError> + 'static>(
    answer: Result<T, E>,
    kept: Option<ProducerRecord>,
) -> Result<Delivery, PublishError> {
    match (answer, kept) {
        (Ok(delivery), _) => Ok(delivery.into()),
        (Err(error), Some(record)) => Err(record.fail(boxed(error))),
        (Err(error), None) => Err(*boxed(error)
            .downcast::<PublishError>()
            .expect("an error of this type needs no copy of the record")),
    }
}
