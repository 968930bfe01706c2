use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;

use crate::{
    error::{PanicError, boxed},
    record::{Record, RecordService},
};

/// The future of a [`CatchPanic`](super::CatchPanic).
///
/// Cancel safety: that of the future inside.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, S: RecordService<R>>(#[pin] State<R, S::Future, R::Error>);

#[pin_project(project = StateProj)]
enum State<R, F, E> {
    Calling {
        #[pin]
        future: F,
        record: R,
    },
    Failed(Option<E>),
}

impl<R: Record, S: RecordService<R>> ResponseFuture<R, S> {
    pub(super) fn calling(future: S::Future, record: R) -> Self {
        Self(State::Calling { future, record })
    }

    pub(super) fn failed(error: R::Error) -> Self {
        Self(State::Failed(Some(error)))
    }
}

impl<R: Record, S: RecordService<R>> Future for ResponseFuture<R, S> {
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, record) = match self.project().0.project() {
            StateProj::Calling { future, record } => (future, record),
            StateProj::Failed(error) => {
                let error = error.take();
                return Poll::Ready(Err(error.expect("not polled after completion")));
            }
        };
        // The conversions are inside: they may be the user's code as well.
        let polled = AssertUnwindSafe(|| match future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(done)) => Poll::Ready(Ok(done.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(boxed(error))),
        });
        match catch_unwind(polled) {
            Ok(poll) => poll.map_err(|error| record.fail(error)),
            Err(panic) => Poll::Ready(Err(record.fail(PanicError::new(panic).into()))),
        }
    }
}

impl<R: Record, S: RecordService<R>> fmt::Debug for ResponseFuture<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
