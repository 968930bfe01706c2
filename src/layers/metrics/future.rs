use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project::pin_project;

use super::{Metrics, Observation, judge::Judgement, layer::Shared};
use crate::{
    error::{BoxError, boxed},
    record::{MatchedRoute, Record, RecordService, Side},
    telemetry::semconv,
};

/// The future of a [`Measured`](super::Measured).
///
/// Cancel safety: that of the future inside. A call that is dropped is not observed.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, M, S: RecordService<R>> {
    #[pin]
    future: S::Future,
    call: Call<R, M>,
}

/// What is known of a call before it ends.
pub(super) struct Call<R, M> {
    pub(super) record: R,
    pub(super) destination: Destination,
    pub(super) started: Instant,
    pub(super) shared: Arc<Shared<M>>,
}

/// What a record's destination is called by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Destination {
    Topic,
    Route,
    Other,
}

impl<R: Record, M: Metrics> Call<R, M> {
    fn ended(&self, result: &Result<R::Done, BoxError>) {
        let duration = self.started.elapsed();
        let judged = Judgement::new(&self.record, result);
        let destination = match self.destination {
            Destination::Topic => self.record.view().topic,
            Destination::Route => {
                let route = self.record.extensions().get();
                route.map_or(semconv::OTHER, MatchedRoute::as_str)
            }
            Destination::Other => semconv::OTHER,
        };
        self.shared.tell(&Observation {
            side: R::SIDE,
            destination,
            partition: judged.partition,
            group: match R::SIDE {
                Side::Consume => self.shared.group.as_deref(),
                Side::Publish => None,
            },
            duration,
            disposition: judged.disposition,
            error_class: judged.error.as_ref().map(|(class, _)| *class),
            error_type: judged.error.as_ref().map(|(_, name)| &**name),
            attempts: judged.attempts,
            retries: judged.retries,
        });
    }
}

impl<R: Record, M, S: RecordService<R>> ResponseFuture<R, M, S> {
    pub(super) fn new(future: S::Future, call: Call<R, M>) -> Self {
        Self { future, call }
    }
}

impl<R: Record, M: Metrics, S: RecordService<R>> Future for ResponseFuture<R, M, S> {
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match ready!(this.future.poll(cx)) {
            Ok(done) => Ok(done.into()),
            Err(error) => Err(boxed(error)),
        };
        this.call.ended(&result);
        Poll::Ready(result.map_err(|error| this.call.record.fail(error)))
    }
}

impl<R: Record, M, S: RecordService<R>> fmt::Debug for ResponseFuture<R, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
