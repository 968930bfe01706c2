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

/// The future of a [`MetricsService`](super::MetricsService).
///
/// Cancel safety: that of the future inside. A call that is dropped is not observed.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, M, S: RecordService<R>> {
    #[pin]
    future: S::Future,
    record: R,
    /// `None`: nobody wants to know.
    call: Option<Call<M>>,
}

/// What is known of a call before it ends.
pub(super) struct Call<M> {
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

impl<M: Metrics> Call<M> {
    fn ended<R: Record>(&self, record: &R, result: &Result<R::Done, BoxError>) {
        let duration = self.started.elapsed();
        let judged = Judgement::new(record, result);
        let destination = match self.destination {
            Destination::Topic => record.view().topic,
            Destination::Route => {
                let route = record.extensions().get();
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
    pub(super) fn new(future: S::Future, record: R, call: Option<Call<M>>) -> Self {
        Self {
            future,
            record,
            call,
        }
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
        if let Some(call) = this.call {
            call.ended(this.record, &result);
        }
        Poll::Ready(result.map_err(|error| this.record.fail(error)))
    }
}

impl<R: Record, M, S: RecordService<R>> fmt::Debug for ResponseFuture<R, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
