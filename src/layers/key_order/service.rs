use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::PollSemaphore;
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
#[derive(Debug)]
pub struct KeyOrder<S> {
    inner: S,
    queues: Arc<Queues>,
    waiting: PollSemaphore,
    /// A place among those that wait, should the next record have to.
    place: Option<OwnedSemaphorePermit>,
}

impl<S> KeyOrder<S> {
    pub(super) fn new(inner: S, queues: Arc<Queues>) -> Self {
        Self {
            inner,
            waiting: PollSemaphore::new(queues.waiting()),
            queues,
            place: None,
        }
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
        if self.place.is_none() {
            self.place = ready!(self.waiting.poll_acquire(cx));
        }
        self.inner
            .poll_ready(cx)
            .map_err(|error| ProducerRecord::dead(boxed(error)))
    }

    fn call(&mut self, record: ProducerRecord) -> ResponseFuture<S> {
        let place = self.place.take();
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
                // What the one that is ready has reserved goes with it: those in front may need that room
                // for another attempt. When its turn comes the record gets room like any other.
                self.inner = self.inner.clone();
                ResponseFuture::queued(self.inner.clone(), record, turn, place)
            }
        }
    }
}

impl<S: Clone> Clone for KeyOrder<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.queues))
    }
}
