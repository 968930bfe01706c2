//! Another attempt for records that failed.
//!
//! The same layer stands on both sides, and waits where waiting costs nothing:
//!
//! * Consuming, it answers [`Outcome::Retry`](crate::Outcome::Retry) with the time to wait, and the
//!   consumer dispatches the record again as the next attempt. A waiting record holds no slot, no
//!   permit and no clone of the service. What is [`Unavailable`](crate::ErrorClass::Unavailable) is
//!   deferred, for as long as it takes: that counts as no attempt.
//! * Publishing, it waits in place, and repeats only what Kafka surely has not written, unless
//!   [`accept_duplicates`](RetryLayer::accept_duplicates) says that it may.
//!
//! After the last attempt the error is a [`RetryError`](crate::RetryError): how many attempts, for
//! how long, and the last cause.
//!
//! It judges failures, and nothing before: a record that kills the process fails nowhere, and comes again
//! with its attempts counted for as often as the handler, which may look at
//! [`attempt`](crate::ConsumerRecord::attempt), begins it.
//!
//! A retry may put records with equal keys out of order on the publish side: the second may be
//! delivered while the first waits. On the consume side the consumer keeps the order of keys.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use kafka_tower::{Backoff, BoxError, ConsumerRecord, Outcome, layers::RetryLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! async fn on_order(_: ConsumerRecord) -> Result<(), BoxError> {
//!     Err("the database is locked".into())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let backoff = Backoff::exponential(Duration::from_secs(1)..=Duration::from_secs(30));
//! let service = ServiceBuilder::new()
//!     .layer(RetryLayer::new(backoff.max_attempts(3)))
//!     .service(service_fn(on_order));
//!
//! let record = ConsumerRecord::builder("orders", 0, 7);
//! let second = service.clone().oneshot(record.attempt(2).build()).await?;
//! assert_eq!(second, Outcome::Retry { after: Some(Duration::from_secs(2)) });
//!
//! let record = ConsumerRecord::builder("orders", 0, 7);
//! let third = service.oneshot(record.attempt(3).build()).await.unwrap_err();
//! assert!(third.to_string().starts_with("gave up after 3 attempts"));
//! # Ok(())
//! # }
//! ```

mod future;
mod layer;
mod ledger;
mod policy;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::RetryLayer;
pub use self::service::Retry;
