//! No more calls to what keeps failing, until one of them succeeds again.
//!
//! The circuit is *closed* as long as calls may pass. Too many failures open it. After a while it is
//! *half-open*: one call passes as a probe, exactly one over all clones of the stack. Its success closes
//! the circuit, its failure opens it for another while.
//!
//! Failures are errors that are [`Retriable`](crate::ErrorClass::Retriable) or
//! [`Unavailable`](crate::ErrorClass::Unavailable), and answers that ask to come again. An error that is
//! the record's own fault, or [`Fatal`](crate::ErrorClass::Fatal), says nothing about what is behind the
//! service: it counts neither as failure nor as success.
//!
//! While it is open:
//!
//! * Publishing fails at once, with the record in the error, which is `Unavailable` and says when to
//!   come back.
//! * Consuming, the service isn't ready. The partitions that it serves are left unread, other topics
//!   go on, and the consumer stays in its group.
//! * With a circuit for each key or partition ([`per_key`](CircuitBreakerLayer::per_key)), readiness can't
//!   tell: the answer is [`Outcome::Defer`](crate::Outcome::Defer).
//!
//! The layer belongs inside of a retry layer, next to what fails, and outside of a timeout, which is a
//! failure too. A call that is dropped is no failure.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use kafka_tower::{
//!     Delivery, ErrorClass, Persistence, ProducerRecord, PublishError,
//!     layers::circuit_breaker::{CircuitBreakerLayer, CircuitState},
//! };
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! // Stands for a publisher whose brokers are gone.
//! async fn publish(_: ProducerRecord) -> Result<Delivery, PublishError> {
//!     Err(PublishError::new(ErrorClass::Retriable, Persistence::NotPersisted, "no broker"))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), PublishError> {
//! let layer = CircuitBreakerLayer::consecutive(2, Duration::from_secs(30));
//! let monitor = layer.monitor();
//! let mut publisher = ServiceBuilder::new().layer(layer).service(service_fn(publish));
//! for class in [ErrorClass::Retriable, ErrorClass::Retriable, ErrorClass::Unavailable] {
//!     let record = ProducerRecord::to("orders").key("42");
//!     let error = publisher.ready().await?.call(record).await.unwrap_err();
//!     assert_eq!(error.class(), class);
//! }
//! assert_eq!(monitor.state(), CircuitState::Open);
//! # Ok(())
//! # }
//! ```

mod circuit;
mod circuits;
mod future;
mod layer;
mod service;
mod window;

pub use self::circuit::{CircuitOpen, CircuitState};
pub use self::future::ResponseFuture;
#[cfg(feature = "otel")]
pub(crate) use self::layer::WeakMonitor;
pub use self::layer::{CircuitBreakerLayer, CircuitMonitor};
pub use self::service::CircuitBreaker;
