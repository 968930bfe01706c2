use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{Rescue, ResponseFuture, layer::When};
use crate::{
    error::boxed,
    record::{Record, RecordService},
};

/// The service of a [`FallbackLayer`](super::FallbackLayer).
#[derive(Clone)]
pub struct Fallback<F, S> {
    inner: S,
    rescue: F,
    when: Option<Arc<When>>,
}

impl<F, S> Fallback<F, S> {
    pub(super) fn new(inner: S, rescue: F, when: Option<Arc<When>>) -> Self {
        Self {
            inner,
            rescue,
            when,
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

impl<R, F, S> Service<R> for Fallback<F, S>
where
    R: Record,
    F: Rescue<R>,
    S: RecordService<R>,
{
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, F, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| R::dead(boxed(error)))
    }

    fn call(&mut self, record: R) -> ResponseFuture<R, F, S> {
        let kept = record.clone();
        let future = self.inner.call(record);
        ResponseFuture::new(future, kept, self.rescue.clone(), self.when.clone())
    }
}

impl<F, S: fmt::Debug> fmt::Debug for Fallback<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
