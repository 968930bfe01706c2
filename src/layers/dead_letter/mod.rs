//! Records that can't be handled go to another topic, with what is known of their failure.
//!
//! A record dies when its error is [`Retriable`](crate::ErrorClass::Retriable) (what comes this far is
//! not repeated any more) or [`NonRetriable`](crate::ErrorClass::NonRetriable), or when the handler
//! answers [`Outcome::DeadLetter`](crate::Outcome::DeadLetter). What is
//! [`Unavailable`](crate::ErrorClass::Unavailable) or [`Fatal`](crate::ErrorClass::Fatal) is never the
//! record's fault: such errors pass, so that no topic is drained through a wrong password.
//!
//! * Consuming, the answer is [`Outcome::Moved`](crate::Outcome::Moved), once Kafka has acknowledged
//!   the dead letter. Until then the offset isn't committed.
//! * Publishing, the answer is the error, and
//!   [`PublishError::dead_letter`](crate::PublishError::dead_letter) says where the record is.
//!
//! The layer belongs outside of a retry layer: inside it, the first failure would be the last.
//!
//! # What a dead letter carries
//!
//! Key, payload and headers of the record, byte for byte, and what [`header`] names. Where there is a span
//! (feature `otel`), a trace context that came in the headers gives way to the one of the span. Its
//! timestamp is the time of dying. These headers replace those of an earlier death, so that a record that dies
//! again and again doesn't grow.
//!
//! A dead letter that is too large becomes a pointer: the headers say which topic, partition and
//! offset the record is at, for as long as that topic keeps it. Publishing, there is no such place, and
//! it is an error.
//!
//! # When the dead letter can't be written
//!
//! The write is repeated, and the handler isn't run again for it. When it has to be given up, at once where
//! the topic doesn't exist or may not be written to, the error blocks the commit.
//!
//! [`original`] makes the record of a dead letter, to be published once more.
//!
//! # Example
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use kafka_tower::{
//!     BoxError, Classified, ConsumerRecord, Delivery, MessageId, Outcome, ProducerRecord,
//!     PublishError, layers::dead_letter::{DeadLetter, header},
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! async fn on_order(_: ConsumerRecord) -> Result<(), BoxError> {
//!     Err(Classified::non_retriable("no such customer").into())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! // Stands for a publisher.
//! let written = Arc::new(Mutex::new(Vec::new()));
//! let log = Arc::clone(&written);
//! let publisher = service_fn(move |record: ProducerRecord| {
//!     let to = Delivery::new(record.topic.clone(), 0, 0, MessageId::new());
//!     log.lock().unwrap().push(record);
//!     async { Ok::<_, PublishError>(to) }
//! });
//!
//! let service = ServiceBuilder::new()
//!     .layer(DeadLetter::to(publisher))
//!     .service(service_fn(on_order));
//! let record = ConsumerRecord::builder("orders", 3, 7).payload("{}").build();
//! let outcome = service.oneshot(record).await?;
//! assert!(matches!(outcome, Outcome::Moved { to } if &*to.topic == "orders.dlq"));
//!
//! let letter = written.lock().unwrap().remove(0);
//! assert_eq!(letter.payload.as_deref(), Some(&b"{}"[..]));
//! assert_eq!(letter.headers.get(header::TOPIC), Some(&b"orders"[..]));
//! assert_eq!(letter.headers.get(header::OFFSET), Some(&b"7"[..]));
//! assert_eq!(letter.headers.get(header::MESSAGE), Some(&b"no such customer"[..]));
//! # Ok(())
//! # }
//! ```

mod budget;
mod death;
mod error;
mod future;
pub mod header;
mod layer;
mod letter;
mod original;
mod service;
mod write;

pub use self::budget::DeadLetterBudget;
pub use self::error::DeadLetterError;
pub use self::future::ResponseFuture;
pub use self::layer::DeadLetter;
pub use self::original::original;
pub use self::service::DeadLetterService;
