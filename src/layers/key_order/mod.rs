//! Records with equal keys are published one after the other, in the order of their calls. Publish side
//! only.
//!
//! A retry layer may put them out of order: the second is delivered while the first waits for its next
//! attempt. Around a retry layer, this one lets the second begin only when the first is delivered, has
//! failed, or was given up by its caller. Other keys go on meanwhile. Records without a key, and keys
//! of different topics, are in no order.
//!
//! The order is that of the calls of all clones of the service. [`PublishExt::send`](crate::PublishExt::send)
//! calls when its future is first polled and there is room; with futures of their own, which is polled
//! first is the runtime's choice.
//!
//! A record that waits for its turn has no room in the publisher yet, so that those in front can be
//! repeated; when the turn comes it gets room like any other. Of all keys together, 10 000 records may wait;
//! with more the service isn't ready.
//!
//! Each future has to be polled: one that is kept and neither polled nor dropped holds up its key.
//!
//! A record that failed is not made up for: those behind it are published all the same.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{
//!     Delivery, MessageId, ProducerRecord, PublishError,
//!     layers::{KeyOrderLayer, RetryLayer},
//! };
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! // Stands for a publisher.
//! async fn publish(record: ProducerRecord) -> Result<Delivery, PublishError> {
//!     Ok(Delivery::new(record.topic, 0, 7, MessageId::new()))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), PublishError> {
//! let mut publisher = ServiceBuilder::new()
//!     .layer(KeyOrderLayer::new())
//!     .layer(RetryLayer::default())
//!     .service(service_fn(publish));
//!
//! let created = ProducerRecord::to("orders").key("42").payload("created");
//! let paid = ProducerRecord::to("orders").key("42").payload("paid");
//! let created = publisher.ready().await?.call(created);
//! let paid = publisher.ready().await?.call(paid);
//! // However often the first has to be repeated.
//! tokio::try_join!(paid, created)?;
//! # Ok(())
//! # }
//! ```

mod future;
mod layer;
mod queues;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::KeyOrderLayer;
pub use self::service::KeyOrder;
