//! What becomes of each published record, told to hooks and to who asks. Publish side only.
//!
//! * [`DeliveryHooks`] are told of each delivery, each failure, and each attempt that is to be repeated.
//!   A hook that panics is logged and harms nobody.
//! * A [`DeliveryTracker`] among the record's extensions shows the [`DeliveryStatus`] of that one record.
//!
//! Metadata of the caller's own goes along in [`ProducerRecord::extensions`](crate::ProducerRecord), and
//! never to Kafka. A record without a message id is given one, so that all that is told of it agrees.
//!
//! The layer belongs outside of a retry layer: it is told of its retries, and tells the final result.
//! Inside it would take each attempt for a record.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{
//!     Delivery, MessageId, ProducerRecord, PublishError,
//!     layers::track::{DeliveryContext, DeliveryHooks, DeliveryStatus, DeliveryTracker, TrackLayer},
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Clone)]
//! struct CustomerId(u64);
//!
//! struct Audit;
//!
//! impl DeliveryHooks for Audit {
//!     fn on_success(&self, context: &DeliveryContext<'_>, delivery: &Delivery) {
//!         let customer = context.record.extensions.get::<CustomerId>();
//!         println!("{}: offset {:?}, customer {:?}", context.message_id, delivery.offset, customer.map(|id| id.0));
//!     }
//! }
//!
//! // Stands for a publisher.
//! async fn publish(record: ProducerRecord) -> Result<Delivery, PublishError> {
//!     Ok(Delivery::new(record.topic, 0, 7, record.message_id.expect("an id")))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), PublishError> {
//! let publisher = ServiceBuilder::new()
//!     .layer(TrackLayer::new(Audit))
//!     .service(service_fn(publish));
//!
//! let tracker = DeliveryTracker::new();
//! let record = ProducerRecord::to("orders")
//!     .key("42")
//!     .extension(CustomerId(4711))
//!     .extension(tracker.clone());
//! assert_eq!(tracker.status(), DeliveryStatus::Pending);
//! let delivery = publisher.oneshot(record).await?;
//! assert_eq!(tracker.status(), DeliveryStatus::Delivered(delivery));
//! # Ok(())
//! # }
//! ```

mod future;
mod hooks;
mod layer;
mod service;
mod tracker;

pub use self::future::ResponseFuture;
pub use self::hooks::{DeliveryContext, DeliveryHooks};
pub use self::layer::TrackLayer;
pub use self::service::Track;
pub use self::tracker::{DeliveryStatus, DeliveryTracker};
