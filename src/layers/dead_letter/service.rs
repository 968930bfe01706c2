use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tower::Service;

use super::{DeadLetter, ResponseFuture, budget::Purse, layer::Settings};
use crate::{
    error::boxed,
    record::{ProducerRecord, Record, RecordService, Side},
};

/// The service of a [`DeadLetter`] layer.
pub struct DeadLetterService<P, S> {
    inner: S,
    shared: Arc<Shared<P>>,
}

/// What the clones and their futures share.
pub(super) struct Shared<P> {
    pub(super) settings: Settings,
    pub(super) purse: Option<Purse>,
    publisher: Mutex<P>,
}

impl<P: Clone> Shared<P> {
    pub(super) fn publisher(&self) -> P {
        self.publisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl<P, S> DeadLetterService<P, S> {
    pub(super) fn new(inner: S, layer: DeadLetter<P>) -> Self {
        Self {
            inner,
            shared: Arc::new(Shared {
                settings: layer.settings,
                purse: layer.budget.map(Purse::new),
                publisher: Mutex::new(layer.publisher),
            }),
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

impl<R, P, S> Service<R> for DeadLetterService<P, S>
where
    R: Record,
    P: RecordService<ProducerRecord> + Clone + Send + 'static,
    S: RecordService<R>,
{
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, P, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| R::dead(boxed(error)))
    }

    fn call(&mut self, record: R) -> ResponseFuture<R, P, S> {
        let most = self.shared.settings.max_attempts;
        if R::SIDE == Side::Consume && most.is_some_and(|most| record.view().attempt > most) {
            return ResponseFuture::refused(record, Arc::clone(&self.shared));
        }
        let kept = record.clone();
        let future = self.inner.call(record);
        ResponseFuture::new(future, kept, Arc::clone(&self.shared))
    }
}

impl<P, S: Clone> Clone for DeadLetterService<P, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P, S: fmt::Debug> fmt::Debug for DeadLetterService<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
