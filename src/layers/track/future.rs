use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use super::{DeliveryHooks, DeliveryStatus, DeliveryTracker, hooks::guard};
use crate::{
    error::{PublishError, RetryError, boxed, find_error},
    record::{Delivery, ProducerRecord, Record, RecordService},
};

/// The future of a [`Track`](super::Track).
///
/// Cancel safety: that of the future inside. No hook is called for a publish that was dropped.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<H, S: RecordService<ProducerRecord>> {
    #[pin]
    future: S::Future,
    record: ProducerRecord,
    hooks: Arc<H>,
}

impl<H, S: RecordService<ProducerRecord>> ResponseFuture<H, S> {
    pub(super) fn new(future: S::Future, record: ProducerRecord, hooks: Arc<H>) -> Self {
        Self {
            future,
            record,
            hooks,
        }
    }
}

impl<H: DeliveryHooks, S: RecordService<ProducerRecord>> Future for ResponseFuture<H, S> {
    type Output = Result<Delivery, PublishError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (record, hooks) = (&*this.record, &**this.hooks);
        let result = match ready!(this.future.poll(cx)) {
            Ok(delivery) => Ok(delivery.into()),
            Err(error) => Err(record.fail(boxed(error))),
        };
        if let Some(tracker) = record.extensions.get::<DeliveryTracker>() {
            tracker.set(match &result {
                Ok(delivery) => DeliveryStatus::Delivered(delivery.clone()),
                Err(_) => DeliveryStatus::Failed,
            });
        }
        match &result {
            Ok(delivery) => guard(record, delivery.attempts, |context| {
                hooks.on_success(context, delivery);
            }),
            Err(error) => {
                let attempts = find_error(error).map_or(1, RetryError::attempts);
                guard(record, attempts, |context| hooks.on_failure(context, error));
            }
        }
        Poll::Ready(result)
    }
}

impl<H, S: RecordService<ProducerRecord>> fmt::Debug for ResponseFuture<H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
