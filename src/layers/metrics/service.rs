use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tower::Service;

use super::{
    Metrics, ResponseFuture,
    future::{Call, Destination},
    layer::Shared,
};
use crate::{
    error::boxed,
    record::{MatchedRoute, Record, RecordService},
};

/// The service of a [`MetricsLayer`](super::MetricsLayer).
pub struct MetricsService<M, S> {
    inner: S,
    shared: Arc<Shared<M>>,
}

impl<M, S> MetricsService<M, S> {
    pub(super) fn new(inner: S, shared: Arc<Shared<M>>) -> Self {
        Self { inner, shared }
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

impl<R, M, S> Service<R> for MetricsService<M, S>
where
    R: Record,
    M: Metrics,
    S: RecordService<R>,
{
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, M, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| R::dead(boxed(error)))
    }

    fn call(&mut self, record: R) -> ResponseFuture<R, M, S> {
        let call = self.shared.is_enabled().then(|| self.begin(&record));
        let kept = record.clone();
        ResponseFuture::new(self.inner.call(record), kept, call)
    }
}

impl<M, S> MetricsService<M, S> {
    fn begin<R: Record>(&self, record: &R) -> Call<M> {
        let (kind, name) = match record.extensions().get() {
            Some(route) => (Destination::Route, MatchedRoute::as_str(route)),
            None => (Destination::Topic, record.view().topic),
        };
        let destination = match self.shared.destinations.admit(name) {
            true => kind,
            false => Destination::Other,
        };
        Call {
            destination,
            started: Instant::now(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M, S: Clone> Clone for MetricsService<M, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M, S: fmt::Debug> fmt::Debug for MetricsService<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
