use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::{Route, route::RouteFuture, table::Table};
use crate::{
    error::{BoxError, Rejection},
    record::{ConsumerRecord, Extensions, MatchedRoute, Outcome},
};

/// The route of a partition: a clone of its own, looked up once for an assignment.
#[derive(Debug, Clone)]
pub struct Lane(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Topic(Route),
    /// Found by something else than the topic's name, which a record without extensions gets
    /// without an allocation.
    Matched(Route, MatchedRoute, Extensions),
    Unknown(Arc<str>),
}

impl Lane {
    pub(super) fn plain(route: Route) -> Self {
        Self(Kind::Topic(route))
    }

    pub(super) fn named(route: Route, name: MatchedRoute) -> Self {
        let mut extensions = Extensions::new();
        extensions.insert(name.clone());
        Self(Kind::Matched(route, name, extensions))
    }

    pub(super) fn unknown(topic: &str) -> Self {
        Self(Kind::Unknown(topic.into()))
    }
}

impl Service<ConsumerRecord> for Lane {
    type Response = Outcome;
    type Error = BoxError;
    type Future = RouteFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.0 {
            Kind::Topic(route) | Kind::Matched(route, ..) => route.poll_ready(context),
            Kind::Unknown(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, mut record: ConsumerRecord) -> RouteFuture {
        match &mut self.0 {
            Kind::Topic(route) => route.call(record),
            Kind::Matched(route, name, extensions) => {
                match record.extensions().is_empty() {
                    true => *record.extensions_mut() = extensions.clone(),
                    false => {
                        record.extensions_mut().insert(name.clone());
                    }
                }
                route.call(record)
            }
            Kind::Unknown(topic) => {
                let error = Rejection::program(format!(
                    "the router has no route for the topic `{}`, to which the settings subscribe; \
                     add one, or a `fallback`",
                    topic.escape_debug()
                ));
                Box::pin(async { Err(error.into()) })
            }
        }
    }
}

/// A router as a service; made by [`Router::into_service`](super::Router::into_service).
#[derive(Clone)]
pub struct RouterService(Arc<Table>);

impl RouterService {
    pub(super) fn new(table: Table) -> Self {
        Self(Arc::new(table))
    }
}

impl Service<ConsumerRecord> for RouterService {
    type Response = Outcome;
    type Error = BoxError;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: ConsumerRecord) -> RouteFuture {
        let mut lane = self.0.lane(record.topic());
        Box::pin(async move {
            poll_fn(|context| lane.poll_ready(context)).await?;
            lane.call(record).await
        })
    }
}

impl fmt::Debug for RouterService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterService").finish_non_exhaustive()
    }
}
