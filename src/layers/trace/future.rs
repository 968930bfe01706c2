use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tokio::time::Instant;
use tracing::instrument::Instrumented;

use super::{OnFailure, OnOutcome, join};
use crate::{
    error::boxed,
    record::{Record, RecordService},
};

/// The future of a [`Trace`](super::Trace).
///
/// Cancel safety: that of the future inside. A span whose future was dropped ends without an outcome.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, S: RecordService<R>, O, F> {
    #[pin]
    future: Instrumented<S::Future>,
    record: R,
    started: Option<Instant>,
    on_outcome: Option<O>,
    on_failure: Option<F>,
}

impl<R: Record, S: RecordService<R>, O, F> ResponseFuture<R, S, O, F> {
    pub(super) fn new(
        future: Instrumented<S::Future>,
        record: R,
        started: Option<Instant>,
        on_outcome: Option<O>,
        on_failure: Option<F>,
    ) -> Self {
        Self {
            future,
            record,
            started,
            on_outcome,
            on_failure,
        }
    }
}

impl<R, S, O, F> Future for ResponseFuture<R, S, O, F>
where
    R: Record,
    S: RecordService<R>,
    O: OnOutcome<R>,
    F: OnFailure<R>,
{
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = match ready!(this.future.as_mut().poll(cx)) {
            Ok(done) => Ok(done.into()),
            Err(error) => Err(this.record.fail(boxed(error))),
        };
        let span = this.future.span();
        let latency = this.started.map_or(Duration::ZERO, |at| at.elapsed());
        match &result {
            Ok(done) => {
                if let Some(on_outcome) = this.on_outcome {
                    span.in_scope(|| on_outcome.on_outcome(done, latency, span));
                }
                join::note(span, this.record, done);
            }
            Err(error) => {
                if let Some(on_failure) = this.on_failure {
                    span.in_scope(|| on_failure.on_failure(error, latency, span));
                }
            }
        }
        Poll::Ready(result)
    }
}

impl<R: Record, S: RecordService<R>, O, F> fmt::Debug for ResponseFuture<R, S, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("span", self.future.span())
            .finish_non_exhaustive()
    }
}
