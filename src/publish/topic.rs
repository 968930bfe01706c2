use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use super::{
    PublishExt,
    ext::{answer, keep},
};
use crate::{
    error::{PublishError, boxed},
    record::{Delivery, ProducerRecord, Record},
    topic::{Codec, RecordKey, Topic},
};

/// A publisher for one [`Topic`]: it takes keys and values of its types. Made by
/// [`PublishExt::topic`].
pub struct TopicPublisher<P, T, C, K> {
    publisher: P,
    topic: Topic<T, C, K>,
}

impl<P, T, C, K> TopicPublisher<P, T, C, K>
where
    P: PublishExt,
    C: Codec<T>,
    K: RecordKey,
{
    pub(super) fn new(publisher: P, topic: &Topic<T, C, K>) -> Self {
        let name = topic.shared_name();
        Self {
            publisher,
            topic: topic.clone().named(name),
        }
    }

    /// Publishes a value under a key, as [`PublishExt::send`] does. To add headers, make the record
    /// with [`Topic::record`] and send that.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; also when the value can't be encoded.
    ///
    /// Cancel safety: as that of [`PublishExt::send`].
    pub fn send(&self, key: impl Into<K>, value: &T) -> SendFuture<P> {
        SendFuture(match self.topic.record(key, value) {
            Ok(record) => Sending::Waiting(Some((self.publisher.clone(), record))),
            Err(error) => Sending::Failed(Some(error)),
        })
    }

    /// Publishes a tombstone for a key: in a compacted topic it deletes the key.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    ///
    /// Cancel safety: as that of [`PublishExt::send`].
    pub fn send_tombstone(&self, key: impl Into<K>) -> SendFuture<P> {
        let record = self.topic.tombstone(key);
        SendFuture(Sending::Waiting(Some((self.publisher.clone(), record))))
    }
}

/// The future of [`TopicPublisher::send`]; it borrows nothing.
#[pin_project]
#[must_use = "nothing is published until it is awaited"]
pub struct SendFuture<P: PublishExt>(#[pin] Sending<P, P::Future>);

#[pin_project(project = SendingPinned)]
enum Sending<P, F> {
    Waiting(Option<(P, ProducerRecord)>),
    Published(#[pin] F, Option<ProducerRecord>),
    Failed(Option<PublishError>),
}

impl<P: PublishExt> Future for SendFuture<P> {
    type Output = Result<Delivery, PublishError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut sending = self.project().0;
        loop {
            let next = match sending.as_mut().project() {
                SendingPinned::Published(future, kept) => {
                    let result = ready!(future.poll(context));
                    return Poll::Ready(answer(result, kept.take()));
                }
                SendingPinned::Failed(error) => {
                    return Poll::Ready(Err(error.take().expect("polled after its end")));
                }
                SendingPinned::Waiting(waiting) => {
                    let (publisher, _) = waiting.as_mut().expect("until it is published");
                    let ready = ready!(publisher.poll_ready(context));
                    let (mut publisher, record) = waiting.take().expect("just looked at");
                    match ready {
                        Ok(()) => {
                            let kept = keep::<P>(&record);
                            Sending::Published(publisher.call(record), kept)
                        }
                        Err(error) => {
                            let error = ProducerRecord::dead(boxed(error));
                            Sending::Failed(Some(error.or_record(&record)))
                        }
                    }
                }
            };
            sending.set(next);
        }
    }
}

impl<P: PublishExt> fmt::Debug for SendFuture<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").finish_non_exhaustive()
    }
}

impl<P: Clone, T, C: Clone, K> Clone for TopicPublisher<P, T, C, K> {
    fn clone(&self) -> Self {
        Self {
            publisher: self.publisher.clone(),
            topic: self.topic.clone(),
        }
    }
}

impl<P, T, C, K> fmt::Debug for TopicPublisher<P, T, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicPublisher")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
