use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tower::Service;

use super::{ResponseFuture, ledger::Ledger, policy::Policy};
use crate::{
    error::boxed,
    record::{Record, RecordService},
};

/// The service of a [`RetryLayer`](super::RetryLayer).
pub struct Retry<S> {
    inner: S,
    shared: Arc<Shared<S>>,
}

/// What the clones and their futures share.
pub(super) struct Shared<S> {
    pub(super) policy: Policy,
    pub(super) ledger: Ledger,
    /// Cloned by a future that has to call again, so that the others need not clone the service.
    spare: Mutex<S>,
}

impl<S: Clone> Shared<S> {
    pub(super) fn service(&self) -> S {
        self.spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl<S: Clone> Retry<S> {
    pub(super) fn new(inner: S, policy: Policy) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                ledger: Ledger::default(),
                spare: Mutex::new(inner.clone()),
            }),
            inner,
        }
    }
}

impl<S> Retry<S> {
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

impl<R, S> Service<R> for Retry<S>
where
    R: Record,
    S: RecordService<R> + Clone,
{
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| R::dead(boxed(error)))
    }

    fn call(&mut self, record: R) -> ResponseFuture<R, S> {
        let kept = record.clone();
        let future = self.inner.call(record);
        ResponseFuture::new(future, kept, Arc::clone(&self.shared))
    }
}

impl<S: Clone> Clone for Retry<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Retry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Retry");
        self.shared.policy.show(shown.field("inner", &self.inner));
        shown.finish()
    }
}
