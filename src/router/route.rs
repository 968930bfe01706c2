use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower::Service;

use crate::{
    error::{BoxError, boxed},
    record::{ConsumerRecord, Outcome, RecordService},
};

/// What handles the records of a route: a service behind a box. A clone has a readiness of its own;
/// what the service shares among its clones, a limit for instance, is shared.
pub struct Route(Box<dyn CloneService>);

/// The answer of a [`Route`].
pub(super) type RouteFuture = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

impl Route {
    pub(super) fn new<S>(service: S) -> Self
    where
        S: RecordService<ConsumerRecord> + Clone + Send + Sync + 'static,
    {
        Self(Box::new(service))
    }
}

impl Service<ConsumerRecord> for Route {
    type Response = Outcome;
    type Error = BoxError;
    type Future = RouteFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_route_ready(context)
    }

    fn call(&mut self, record: ConsumerRecord) -> RouteFuture {
        self.0.call_route(record)
    }
}

impl Clone for Route {
    fn clone(&self) -> Self {
        Self(self.0.clone_route())
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
    }
}

trait CloneService: Send + Sync {
    fn poll_route_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>>;
    fn call_route(&mut self, record: ConsumerRecord) -> RouteFuture;
    fn clone_route(&self) -> Box<dyn CloneService>;
}

impl<S> CloneService for S
where
    S: RecordService<ConsumerRecord> + Clone + Send + Sync + 'static,
{
    fn poll_route_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.poll_ready(context).map_err(boxed)
    }

    fn call_route(&mut self, record: ConsumerRecord) -> RouteFuture {
        let answer = self.call(record);
        Box::pin(async move { answer.await.map(Into::into).map_err(boxed) })
    }

    fn clone_route(&self) -> Box<dyn CloneService> {
        Box::new(self.clone())
    }
}
