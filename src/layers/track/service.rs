use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{DeliveryHooks, DeliveryStatus, DeliveryTracker, ResponseFuture, hooks::guard};
use crate::{
    error::{PublishError, boxed},
    record::{Delivery, MessageId, OnRetry, ProducerRecord, Record, RecordService},
};

/// The service of a [`TrackLayer`](super::TrackLayer).
pub struct Track<H, S> {
    inner: S,
    hooks: Arc<H>,
    on_retry: OnRetry,
}

impl<H: DeliveryHooks, S> Track<H, S> {
    pub(super) fn new(inner: S, hooks: Arc<H>) -> Self {
        let told = Arc::clone(&hooks);
        let on_retry = OnRetry::new(move |record, attempt, after| {
            if let Some(tracker) = record.extensions.get::<DeliveryTracker>() {
                tracker.set(DeliveryStatus::RetryScheduled { attempt, after });
            }
            guard(record, attempt, |context| {
                told.on_retry_scheduled(context, after);
            });
        });
        Self {
            inner,
            hooks,
            on_retry,
        }
    }
}

impl<H, S> Track<H, S> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the service out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<H, S> Service<ProducerRecord> for Track<H, S>
where
    H: DeliveryHooks,
    S: RecordService<ProducerRecord>,
{
    type Response = Delivery;
    type Error = PublishError;
    type Future = ResponseFuture<H, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| ProducerRecord::dead(boxed(error)))
    }

    fn call(&mut self, mut record: ProducerRecord) -> ResponseFuture<H, S> {
        record.message_id.get_or_insert_with(MessageId::new);
        let kept = record.clone();
        self.on_retry.listen(&mut record);
        let future = self.inner.call(record);
        ResponseFuture::new(future, kept, Arc::clone(&self.hooks))
    }
}

impl<H, S: Clone> Clone for Track<H, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            hooks: Arc::clone(&self.hooks),
            on_retry: self.on_retry.clone(),
        }
    }
}

impl<H, S: fmt::Debug> fmt::Debug for Track<H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Track")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
