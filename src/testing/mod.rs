//! Testing what is built with this crate (feature `testing`): handlers and stacks without a broker, and
//! Kafka where it takes one.
//!
//! - A handler is a function, and a stack is a service: call it with a record of
//!   [`ConsumerRecord::builder`](crate::ConsumerRecord::builder). tokio's paused time
//!   (`start_paused`) passes backoffs, timeouts and rate limits without waiting.
//! - [`MockPublisher`] stands in for a publisher. It records, and fails on order.
//! - [`ChaosLayer`] brings errors, delays, panics and services that aren't ready, the same ones
//!   for the same seed.
//! - [`EmbeddedKafka`] is a cluster inside the process, whose brokers fail on order; [`TestKafka`]
//!   is one or a real cluster, as the environment says.
//! - [`ConsumerHandle::drained`](crate::ConsumerHandle::drained) waits until everything that was
//!   published has been handled, in place of a sleep.
//!
//! `examples/testing.rs` shows each of them at work.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{BoxError, Classified, ConsumerRecord, Outcome};
//! use kafka_tower::{layers::{DeadLetter, ServiceBuilderExt}, testing::MockPublisher};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
//!     match record.payload() {
//!         Some(_) => Ok(()),
//!         None => Err(Classified::non_retriable("a tombstone").into()),
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let letters = MockPublisher::new();
//! let service = ServiceBuilder::new()
//!     .dead_letter(DeadLetter::to(letters.clone()))
//!     .service(service_fn(on_order));
//!
//! let order = ConsumerRecord::builder("orders", 0, 7).key("42").payload("tea").build();
//! assert_eq!(service.clone().oneshot(order).await?, Outcome::Ack);
//! let tombstone = ConsumerRecord::builder("orders", 0, 8).key("42").build();
//! assert!(matches!(service.oneshot(tombstone).await?, Outcome::Moved { .. }));
//! assert_eq!(letters.written("orders.dlq").len(), 1);
//! # Ok(())
//! # }
//! ```

pub mod chaos;
mod embedded;
mod kafka;
mod mock;

pub use self::chaos::ChaosLayer;
pub use self::embedded::{EmbeddedKafka, Request};
pub use self::kafka::TestKafka;
pub use self::mock::{MockDelivery, MockPublisher};
