use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use tower::Service;

use super::ResponseFuture;
use crate::{
    error::{PanicError, boxed},
    record::{Record, RecordService},
};

/// The service of a [`CatchPanicLayer`](super::CatchPanicLayer).
#[derive(Debug)]
pub struct CatchPanic<S> {
    inner: S,
    /// From `poll_ready`, for the next call: an error there would mean that the service has ended.
    panicked: Option<PanicError>,
}

impl<S> CatchPanic<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            panicked: None,
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

impl<R: Record, S: RecordService<R>> Service<R> for CatchPanic<S> {
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        if self.panicked.is_some() {
            return Poll::Ready(Ok(()));
        }
        match catch_unwind(AssertUnwindSafe(|| self.inner.poll_ready(cx))) {
            Ok(ready) => ready.map_err(|error| R::dead(boxed(error))),
            Err(panic) => {
                self.panicked = Some(PanicError::new(panic));
                Poll::Ready(Ok(()))
            }
        }
    }

    fn call(&mut self, record: R) -> ResponseFuture<R, S> {
        if let Some(panic) = self.panicked.take() {
            return ResponseFuture::failed(record.refuse(panic.into()));
        }
        let kept = record.clone();
        match catch_unwind(AssertUnwindSafe(|| self.inner.call(record))) {
            Ok(future) => ResponseFuture::calling(future, kept),
            Err(panic) => ResponseFuture::failed(kept.fail(PanicError::new(panic).into())),
        }
    }
}

impl<S: Clone> Clone for CatchPanic<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}
