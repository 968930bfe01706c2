//! How consumers are, over HTTP: `/livez`, `/readyz` and `/metrics` as an axum router. Feature `axum`.
//!
//! * `/livez` fails (503) where a restart may help: a consumer has ended with an error, which doesn't end
//!   the process by itself, or it no longer polls, or a partition is *stuck*: calls run, and none has ended for [`stuck_after`](Health::stuck_after). One that is slow isn't stuck,
//!   and neither is one that waits: for a retry, for a service that isn't ready, or paused. Being stuck
//!   doesn't count while no broker can be reached: what runs may wait for them.
//! * `/readyz` fails while a consumer doesn't run (not yet, or no more), before its group has given it
//!   its first assignment, be it none, from when its partitions are lost until it has joined again, and
//!   while it can reach no broker. In a classic group there is no assignment as long as none of the topics
//!   exists.
//! * `/metrics` has what a [`prometheus::Registry`] gathers, where one is given.
//!
//! Both of the first answer with what they know as JSON, also when all is well. Neither asks a broker
//! anything. Circuit breakers are shown, and fail nothing: another instance would see theirs open as well.
//!
//! The routes tell the names of groups, topics and partitions: don't offer them to strangers.
//!
//! # Example
//!
//! ```no_run
//! use std::future::IntoFuture;
//! use kafka_tower::{BoxError, Consumer, ConsumerRecord, health::health_routes, serve};
//!
//! # async fn run(consumer: Consumer) -> Result<(), BoxError> {
//! let serve = serve(consumer, tower::service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())));
//! let app = axum::Router::new().merge(health_routes(serve.handle()));
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! tokio::spawn(axum::serve(listener, app).into_future());
//! serve.await?;
//! # Ok(())
//! # }
//! ```

mod judge;
mod routes;

use std::{sync::Arc, time::Duration};

pub use self::routes::health_routes;
use crate::{consume::ConsumerHandle, layers::circuit_breaker::CircuitMonitor};

/// More than a dead letter takes that can't be written: 5 minutes, and a last attempt of 2.
const STUCK_AFTER: Duration = Duration::from_secs(600);

/// What the routes tell of; made of a [`ConsumerHandle`], or of several.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use kafka_tower::{ConsumerHandle, health::{Health, health_routes}, layers::CircuitBreakerLayer};
///
/// # fn routes(orders: ConsumerHandle, invoices: ConsumerHandle) -> axum::Router {
/// let database = CircuitBreakerLayer::consecutive(5, Duration::from_secs(10));
/// health_routes(
///     Health::new()
///         .consumer("orders", orders)
///         .consumer("invoices", invoices)
///         .circuit("database", database.monitor())
///         .registry(prometheus::Registry::new())
///         .stuck_after(Duration::from_secs(120)),
/// )
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is told until `health_routes` makes routes of it"]
pub struct Health {
    consumers: Vec<(Arc<str>, ConsumerHandle)>,
    circuits: Vec<(Arc<str>, CircuitMonitor)>,
    registry: Option<prometheus::Registry>,
    stuck_after: Duration,
}

impl Health {
    /// Of nothing yet: all is well.
    pub fn new() -> Self {
        Self {
            consumers: Vec::new(),
            circuits: Vec::new(),
            registry: None,
            stuck_after: STUCK_AFTER,
        }
    }

    /// Adds a consumer under a name; its handle may be taken before it runs.
    pub fn consumer(mut self, name: impl Into<Arc<str>>, consumer: ConsumerHandle) -> Self {
        self.consumers.push((name.into(), consumer));
        self
    }

    /// Adds a circuit breaker under a name.
    pub fn circuit(mut self, name: impl Into<Arc<str>>, circuit: CircuitMonitor) -> Self {
        self.circuits.push((name.into(), circuit));
        self
    }

    /// Offers what the registry gathers at `/metrics`, in Prometheus' text format.
    pub fn registry(mut self, registry: prometheus::Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// How long calls of a partition may run without that one ends, 10 minutes without: more than the
    /// slowest call takes. A dead letter is tried for 5 minutes, and as part of the call.
    pub fn stuck_after(mut self, time: Duration) -> Self {
        self.stuck_after = time;
        self
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl From<ConsumerHandle> for Health {
    fn from(consumer: ConsumerHandle) -> Self {
        Self::new().consumer("consumer", consumer)
    }
}
