//! A queue that owns sends through a whole stack, so that none is forgotten at the end.

mod books;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::mpsc::unbounded_channel;

use self::books::{Books, Shared};
use super::Flushed;
use crate::{
    error::{ErrorClass, Persistence, PublishError},
    record::{MessageId, ProducerRecord, RecordService},
};

/// Sends records through a publishing stack, and answers for each of them.
///
/// Where [`PublishExt::send`](crate::PublishExt::send) leaves each record to its caller, the queue owns
/// them: those that Kafka hasn't acknowledged, those that wait for room, and those that sleep in a
/// retry layer. [`flush`](Self::flush) and [`close`](Self::close) say what was delivered, what failed,
/// and what is undelivered. Made by [`PublishExt::queue`](crate::PublishExt::queue); clones are the same
/// queue.
///
/// Records enter the stack in the order of the pushes. What fails is kept, with its record, until a
/// `flush`, a `close` or [`take_failed`](Self::take_failed) takes it: call one of them now and then.
///
/// Dropping the last clone lets the queue work on until it is empty; what fails then is logged, and so
/// is what is left when the runtime ends first.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use kafka_tower::{
///     Backoff, ProducerRecord, PublishExt, layers::ServiceBuilderExt, testing::EmbeddedKafka,
/// };
/// use tower::ServiceBuilder;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kafka = EmbeddedKafka::start().await?;
/// let stack = ServiceBuilder::new()
///     .retry_with(Backoff::default())
///     .service(kafka.publisher());
/// let queue = stack.queue(1000);
///
/// for n in 0..10 {
///     queue.push(ProducerRecord::to("orders").payload(n.to_string())).await?;
/// }
/// let flushed = queue.close(Duration::from_secs(5)).await;
/// assert_eq!(flushed.delivered, 10);
/// assert!(flushed.failed.is_empty() && flushed.undelivered.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SendQueue(Arc<Handle>);

/// All clones; the queue takes nothing more when it is dropped.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shut();
    }
}

impl SendQueue {
    pub(super) fn new<S>(stack: S, max_in_flight: usize) -> Self
    where
        S: RecordService<ProducerRecord> + Send + 'static,
    {
        let (entries, queue) = unbounded_channel();
        let shared = Arc::new(Shared::new(max_in_flight, entries));
        tokio::spawn(worker::run(stack, queue, worker::Ends(Arc::clone(&shared))));
        Self(Arc::new(Handle(shared)))
    }

    /// Waits for room in the queue, and puts a record in; its id is what the delivery will tell.
    ///
    /// # Errors
    ///
    /// With the record, when the queue was closed or its runtime has ended. What becomes of the record
    /// later, [`flush`](Self::flush) and [`close`](Self::close) say.
    ///
    /// Cancel safety: dropped before there was room, the record is dropped with the future.
    pub async fn push(&self, mut record: ProducerRecord) -> Result<MessageId, PublishError> {
        let shared = &self.0.0;
        let Ok(room) = Arc::clone(&shared.room).acquire_owned().await else {
            return Err(closed(record));
        };
        let id = record.message_id.get_or_insert_with(MessageId::new).clone();
        shared.books().enter(record, room)?;
        Ok(id)
    }

    /// How many records are in the queue: waiting, in the stack, or on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.0.books().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what has failed so far, with the records.
    #[must_use = "it holds the records that failed"]
    pub fn take_failed(&self) -> Vec<PublishError> {
        self.0.0.books().take_failed()
    }

    /// Waits until every record that was pushed before this call was delivered or has failed, for
    /// `deadline` at the most.
    ///
    /// What it counts and hands out is what was settled since the last `flush`. `undelivered` is copies
    /// of what was pushed before the call and is in the queue still: it may yet be delivered, or fail.
    ///
    /// Cancel safety: dropping the future ends the waiting and nothing else.
    pub async fn flush(&self, deadline: Duration) -> Flushed {
        let shared = &self.0.0;
        let before = shared.books().next();
        let settled = shared.wait_until(|books| books.is_settled(before));
        let _ = tokio::time::timeout(deadline, settled).await;
        shared.books().close_page(before)
    }

    /// Takes no more records, on any clone, and waits until all are delivered or have failed, for
    /// `deadline` at the most. What is in the queue then is given up and handed back: dropped, wherever
    /// in the stack it is.
    ///
    /// A record that was given up may have been on its way to Kafka, and may yet be delivered: the
    /// publisher has it until its own `close`. To publish it again is to risk a duplicate.
    ///
    /// A second call finds nothing.
    ///
    /// Cancel safety: once polled, the queue closes, whether or not the future is dropped.
    pub async fn close(&self, deadline: Duration) -> Flushed {
        let shared = &self.0.0;
        shared.shut();
        let ended = tokio::time::timeout(deadline, shared.wait_until(Books::has_ended)).await;
        if ended.is_err() {
            shared.give_up.cancel();
            shared.wait_until(Books::has_ended).await;
        }
        shared.books().close_for_good()
    }
}

impl fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

fn closed(record: ProducerRecord) -> PublishError {
    let reason = "the send queue is closed; make a new one";
    PublishError::new(ErrorClass::Fatal, Persistence::NotPersisted, reason).with_record(record)
}
