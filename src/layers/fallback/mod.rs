//! Something else for records that failed: a function, another service, or another topic.
//!
//! It gets the record and the error, and its answer takes the place of the error. By default every
//! error falls back; [`when`](FallbackLayer::when) leaves some alone. What a handler asks for with an
//! [`Outcome`](crate::Outcome) is no error.
//!
//! Outside of a retry layer it is the last resort; inside, it takes the place of the attempt.
//!
//! # Example
//!
//! Publishing degrades to a cache of records while Kafka doesn't take them:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use kafka_tower::{
//!     Delivery, ErrorClass, MessageId, Persistence, ProducerRecord, PublishError,
//!     layers::FallbackLayer,
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! // Stands for a publisher whose brokers are gone.
//! async fn publish(record: ProducerRecord) -> Result<Delivery, PublishError> {
//!     let error = PublishError::new(ErrorClass::Retriable, Persistence::NotPersisted, "no broker");
//!     Err(error.with_record(record))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), PublishError> {
//! let cache = Arc::new(Mutex::new(Vec::new()));
//! let keep = Arc::clone(&cache);
//! let publisher = ServiceBuilder::new()
//!     .layer(FallbackLayer::new(move |record: ProducerRecord, _: PublishError| async move {
//!         let local = Delivery::new("local-cache", 0, 0, MessageId::new());
//!         keep.lock().unwrap().push(record);
//!         Ok::<_, PublishError>(local)
//!     }))
//!     .service(service_fn(publish));
//!
//! let delivery = publisher.oneshot(ProducerRecord::to("orders").key("42")).await?;
//! assert_eq!(&*delivery.topic, "local-cache");
//! assert_eq!(cache.lock().unwrap().len(), 1);
//! # Ok(())
//! # }
//! ```

mod future;
mod layer;
mod rescue;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::FallbackLayer;
pub use self::rescue::{Rescue, ToService, ToTopic};
pub use self::service::Fallback;
