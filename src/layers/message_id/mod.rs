//! An id for each record before its first attempt. Publish side only.
//!
//! Without this layer a record gets its id from the [`Publisher`](crate::Publisher) at the end of the
//! stack, too late for the layers above it. With it outermost, all layers see the same id, every
//! attempt carries it, and so does the error of a record that never came as far as the publisher. A
//! record that has an id keeps it.
//!
//! Whether the id is sent as a header is the publisher's choice
//! ([`ProducerSettings::message_id_header`](crate::ProducerSettings::message_id_header)).
//!
//! # Example
//!
//! ```
//! use kafka_tower::{Delivery, MessageId, ProducerRecord, PublishError, layers::MessageIdLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! // Stands for a publisher.
//! async fn publish(record: ProducerRecord) -> Result<Delivery, PublishError> {
//!     Ok(Delivery::new(record.topic, 0, 7, record.message_id.expect("an id")))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), PublishError> {
//! let publisher = ServiceBuilder::new()
//!     .layer(MessageIdLayer::with(|record| {
//!         let order = record.key.as_deref()?;
//!         Some(MessageId::from(format!("order-{}", order.escape_ascii())))
//!     }))
//!     .service(service_fn(publish));
//!
//! let delivery = publisher.oneshot(ProducerRecord::to("orders").key("42")).await?;
//! assert_eq!(delivery.message_id, MessageId::from("order-42"));
//! # Ok(())
//! # }
//! ```

mod layer;
mod service;

pub use self::layer::MessageIdLayer;
pub use self::service::MessageIdService;
