use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::Service;
use tracing::Instrument;

use super::{
    DefaultMakeSpan, DefaultOnFailure, DefaultOnOutcome, MakeSpan, OnFailure, OnOutcome,
    ResponseFuture, TraceRelation, join,
};
use crate::{
    error::boxed,
    record::{Record, RecordService},
};

/// The service of a [`TraceLayer`](super::TraceLayer).
#[derive(Debug, Clone)]
pub struct Trace<S, M = DefaultMakeSpan, O = DefaultOnOutcome, F = DefaultOnFailure> {
    inner: S,
    make_span: M,
    on_outcome: O,
    on_failure: F,
    relation: TraceRelation,
}

impl<S, M, O, F> Trace<S, M, O, F> {
    pub(super) fn new(
        inner: S,
        make_span: M,
        on_outcome: O,
        on_failure: F,
        relation: TraceRelation,
    ) -> Self {
        Self {
            inner,
            make_span,
            on_outcome,
            on_failure,
            relation,
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

impl<R, S, M, O, F> Service<R> for Trace<S, M, O, F>
where
    R: Record,
    S: RecordService<R>,
    M: MakeSpan<R>,
    O: OnOutcome<R> + Clone + Send + 'static,
    F: OnFailure<R> + Clone + Send + 'static,
{
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, S, O, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| R::dead(boxed(error)))
    }

    fn call(&mut self, mut record: R) -> Self::Future {
        let span = self.make_span.make_span(&record);
        let on_outcome = self
            .on_outcome
            .is_wanted(&span)
            .then(|| self.on_outcome.clone());
        let on_failure = self
            .on_failure
            .is_wanted(&span)
            .then(|| self.on_failure.clone());
        // The clock is read for those alone who want to know.
        let started = (on_outcome.is_some() || on_failure.is_some()).then(Instant::now);
        if !span.is_disabled() {
            join::join(&span, &mut record, self.relation);
        }
        let kept = record.clone();
        let future = span.in_scope(|| self.inner.call(record));
        ResponseFuture::new(
            future.instrument(span),
            kept,
            started,
            on_outcome,
            on_failure,
        )
    }
}
