use std::future::{Future, poll_fn};

use tower::Service;

use crate::{
    error::PublishError,
    record::{Delivery, ProducerRecord},
};

/// Sends a record through a [`Publisher`](crate::Publisher), or through any stack of layers around
/// one.
///
/// This trait is implemented for every service that publishes.
pub trait PublishExt:
    Service<ProducerRecord, Response = Delivery, Error = PublishError, Future: Send>
    + Clone
    + Send
    + Sync
{
    /// Waits for room, publishes the record, and waits for its delivery report.
    ///
    /// The future borrows nothing, so that many can be spawned, or awaited together. Records are
    /// published in the order in which their futures are first polled: `join_all` keeps it, tasks of
    /// their own don't.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the record in it.
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
                return Err(error.with_record(record));
            }
            service.call(record).await
        }
    }
}

impl<S> PublishExt for S where
    S: Service<ProducerRecord, Response = Delivery, Error = PublishError, Future: Send>
        + Clone
        + Send
        + Sync
{
}
