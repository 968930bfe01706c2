//! What publishing and consuming have in common, so that one layer serves both.

mod consume;
mod publish;

use std::{error::Error, sync::Arc, time::Duration};

use super::{Delivery, Extensions, Headers, ProducerRecord};
use crate::error::{BoxError, ErrorClass};

/// A record on its way through layers: a [`ProducerRecord`] to be published, or a
/// [`ConsumerRecord`](super::ConsumerRecord) to be handled.
///
/// A layer that is generic over it serves both flows. Its service is
/// `impl<R: Record, S: RecordService<R>> Service<R>` with `Response = R::Done` and
/// `Error = R::Error`, so that the record and the class of an error come back above any layer
/// between, be it tower's or your own.
///
/// This trait is sealed.
///
/// # Example
///
/// A layer's service that lets records of one topic pass and refuses others, on either side:
///
/// ```
/// use std::task::{Context, Poll};
/// use futures_util::{FutureExt, future::BoxFuture};
/// use kafka_tower::{BoxError, Classified, ConsumerRecord, Outcome, Record, RecordService};
/// use tower::{Service, ServiceExt, service_fn};
///
/// struct Only<S>(&'static str, S);
///
/// impl<R: Record, S: RecordService<R>> Service<R> for Only<S> {
///     type Response = R::Done;
///     type Error = R::Error;
///     type Future = BoxFuture<'static, Result<R::Done, R::Error>>;
///
///     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
///         self.1.poll_ready(cx).map_err(|error| R::dead(error.into()))
///     }
///
///     fn call(&mut self, record: R) -> Self::Future {
///         if record.view().topic != self.0 {
///             let error = record.refuse(Classified::non_retriable("not this topic").into());
///             return async { Err(error) }.boxed();
///         }
///         let kept = record.clone();
///         let answer = self.1.call(record);
///         async move {
///             match answer.await {
///                 Ok(done) => Ok(done.into()),
///                 Err(error) => Err(kept.fail(error.into())),
///             }
///         }
///         .boxed()
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() {
/// let service = Only("orders", service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())));
/// let record = ConsumerRecord::builder("orders", 0, 0).build();
/// assert_eq!(service.oneshot(record).await.unwrap(), Outcome::Ack);
/// # }
/// ```
pub trait Record: sealed::Sealed + Clone + Send + Sync + 'static {
    /// What a service answers: a [`Delivery`], or an [`Outcome`](super::Outcome).
    type Done: From<Delivery> + Send + 'static;
    /// How it fails: a [`PublishError`](crate::PublishError), or a [`BoxError`].
    type Error: Into<BoxError> + Send + 'static;
    /// Which of both it is.
    const SIDE: Side;

    /// Its parts.
    fn view(&self) -> RecordView<'_>;
    /// Values that the layers on the way have added.
    fn extensions(&self) -> &Extensions;
    /// Values that the layers on the way have added.
    fn extensions_mut(&mut self) -> &mut Extensions;
    /// A record for another topic with the same key, payload, headers and message id; its partition and
    /// timestamp are left open.
    fn to_producer_record(&self, topic: impl Into<Arc<str>>) -> ProducerRecord;
    /// Makes an error of this record's of whatever a service failed with.
    ///
    /// Publishing, the record is put in and a class is found; of a foreign error it has to be
    /// assumed that Kafka may have written the record.
    fn fail(&self, error: BoxError) -> Self::Error;
    /// The same for a record that was surely not passed on.
    fn refuse(&self, error: BoxError) -> Self::Error;
    /// Makes an error of one of `poll_ready`, when there is no record yet.
    fn dead(error: BoxError) -> Self::Error;
    /// Whether repeating what failed this way can duplicate nothing.
    fn repeatable(error: &(dyn Error + 'static)) -> bool;
    /// What an answer asks of the layers above.
    fn verdict(done: &Self::Done) -> Verdict<'_>;
    /// An answer that leaves the waiting before the next attempt to the caller. `None` publishing:
    /// nobody takes the record back there.
    fn hand_back(after: Duration, class: ErrorClass) -> Option<Self::Done>;
    /// What becomes of a record that a dead-letter layer has moved: an error publishing, for it never
    /// came to its own topic, and an outcome consuming.
    ///
    /// # Errors
    ///
    /// Publishing, always: [`PublishError::dead_letter`](crate::PublishError::dead_letter) says where it
    /// is.
    fn moved(&self, to: Delivery, cause: BoxError) -> Result<Self::Done, Self::Error>;
    /// Sets the number of the attempt, from 1.
    fn set_attempt(&mut self, attempt: u32);
    /// Tells the layers outside that an attempt failed, and which one follows after which wait. Of a
    /// consumed record they see that themselves, by the answer.
    fn retry_scheduled(&self, attempt: u32, after: Duration);
    /// Takes over what a failed attempt has given the record and the next one should keep: the
    /// message id.
    fn adopt(&mut self, failed: &(dyn Error + 'static));
    /// Tells an answer how many attempts it took.
    fn count_attempts(done: &mut Self::Done, attempts: u32);
}

/// Which way a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// To Kafka.
    Publish,
    /// From Kafka.
    Consume,
}

/// The parts of a [`Record`] that both sides have.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RecordView<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` while it is the partitioner's choice.
    pub partition: Option<i32>,
    /// The offset; `None` before the record is published.
    pub offset: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// The key; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a Headers,
    /// Which attempt at it this is, from 1.
    pub attempt: u32,
}

/// What an answer asks of the layers above the service that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict<'a> {
    /// Nothing.
    Done,
    /// The next attempt, after this wait or one of the layer's choice.
    Retry {
        /// How long to wait before.
        after: Option<Duration>,
    },
    /// The same attempt again, after this wait.
    Defer {
        /// How long to wait before.
        after: Duration,
    },
    /// A dead letter.
    DeadLetter {
        /// Why.
        reason: &'a str,
    },
}

mod sealed {
    pub trait Sealed {}
}
