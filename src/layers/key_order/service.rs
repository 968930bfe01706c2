use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{
    ResponseFuture,
    queues::{Place, Queues},
};
use crate::{
    error::{PublishError, boxed},
    record::{Delivery, ProducerRecord, Record, RecordService},
};

/// The service of a [`KeyOrderLayer`](super::KeyOrderLayer).
#[derive(Debug, Clone)]
pub struct KeyOrder<S> {
    inner: S,
    queues: Arc<Queues>,
}

impl<S> KeyOrder<S> {
    pub(super) fn new(inner: S, queues: Arc<Queues>) -> Self {
        Self { inner, queues }
    }

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

impl<S> Service<ProducerRecord> for KeyOrder<S>
where
    S: RecordService<ProducerRecord> + Clone,
{
    type Response = Delivery;
    type Error = PublishError;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| ProducerRecord::dead(boxed(error)))
    }

    fn call(&mut self, record: ProducerRecord) -> ResponseFuture<S> {
        let Some(key) = &record.key else {
            let kept = record.clone();
            return ResponseFuture::calling(self.inner.call(record), kept, None);
        };
        match self.queues.enter((Arc::clone(&record.topic), key.clone())) {
            Place::Now(turn) => {
                let kept = record.clone();
                ResponseFuture::calling(self.inner.call(record), kept, Some(turn))
            }
            Place::Behind(turn) => {
                // The one that is ready goes along: with a clone, which has yet to get ready, those in
                // front could wait for the room that is reserved for those behind them.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                ResponseFuture::queued(ready, record, turn)
            }
        }
    }
}
