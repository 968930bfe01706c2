use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower::Service;

use super::ext::{answer, keep};
use crate::{
    error::{PublishError, boxed},
    record::{Delivery, ProducerRecord, Record, RecordService},
};

/// A publisher, or a stack of layers around one, as a type with a name; made by
/// [`PublishExt::erased`](crate::PublishExt::erased).
///
/// A clone costs an allocation, and so does a call.
pub struct BoxPublisher(Box<dyn Erased>);

/// Cancel safety: that of the future inside.
type Answer = Pin<Box<dyn Future<Output = Result<Delivery, PublishError>> + Send>>;

trait Erased: Send + Sync {
    fn copy(&self) -> Box<dyn Erased>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>>;
    fn call(&mut self, record: ProducerRecord) -> Answer;
}

struct Stack<S>(S);

impl<S: RecordService<ProducerRecord> + Clone + Send + Sync + 'static> Erased for Stack<S> {
    fn copy(&self) -> Box<dyn Erased> {
        Box::new(Self(self.0.clone()))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        let ready = self.0.poll_ready(cx);
        ready.map_err(|error| ProducerRecord::dead(boxed(error)))
    }

    fn call(&mut self, record: ProducerRecord) -> Answer {
        let kept = keep::<S>(&record);
        let future = self.0.call(record);
        Box::pin(async move { answer(future.await, kept) })
    }
}

impl BoxPublisher {
    pub(super) fn new<S>(stack: S) -> Self
    where
        S: RecordService<ProducerRecord> + Clone + Send + Sync + 'static,
    {
        Self(Box::new(Stack(stack)))
    }
}

impl Service<ProducerRecord> for BoxPublisher {
    type Response = Delivery;
    type Error = PublishError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, record: ProducerRecord) -> Answer {
        self.0.call(record)
    }
}

impl Clone for BoxPublisher {
    fn clone(&self) -> Self {
        Self(self.0.copy())
    }
}

impl fmt::Debug for BoxPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxPublisher").finish_non_exhaustive()
    }
}
